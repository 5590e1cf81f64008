"""State of energy against recorded discharges and drives of the LG HG2; see ``benchmarks/power_limits.py``.

The cell file is the shipped one with what the C/20, 1C and pulse tests of the same cell add; the drives are
not among them. Each record is judged from full, 70 % and 40 %, with the mean, the variation and the peak of
its own load from there on as the stated load.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from openbms_core.cell import CellFile, load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_config
from openbms_estimation.sop.energy import Cells, Load, energy_to_cutoff
from openbms_estimation.sop.from_tests import SectionTest, with_test_sections

FROM_SOC = (1.0, 0.7, 0.4)
TESTS = ("C20", "Cap_1C", "HPPC")


def load(path: Path, capacity_ah: float) -> SectionTest:
    """Read one record from its full charge on, to its lowest charge."""
    table = pq.read_table(path)
    t, v, i, degc, ah = (
        table[name].to_numpy() for name in ("time_s", "voltage_v", "current_a", "temperature_c", "ah")
    )
    jump = np.flatnonzero(np.abs(np.diff(ah)) > 0.1)  # the counter is reset between test steps
    rows = slice(0, int(jump[0]) + 1 if len(jump) else len(t))
    return SectionTest(t[rows], v[rows], i[rows], degc[rows], 1.0 + (ah[rows] - ah[0]) / capacity_ah)


def judge(model: CellModel, cell: CellFile, record: SectionTest, steady: bool) -> list[dict[str, float]]:
    """Compare the energy that came out with the one that was foretold."""
    end = int(np.argmin(record.soc))
    begin = int(np.flatnonzero(record.current_a < -0.02 * cell.capacity_ah)[0])
    power = -record.voltage_v * record.current_a
    dt = np.diff(record.time_s, prepend=record.time_s[0])
    minute = np.convolve(power, np.ones(60) / 60, "same")
    whole_wh = float(np.sum((power * dt)[begin : end + 1]) / 3600.0)
    found = []
    for soc in FROM_SOC:
        at = begin + int(np.flatnonzero(record.soc[begin:] <= min(soc, record.soc[begin]) + 1e-9)[0])
        rows = slice(at, end + 1)
        true_wh = float(np.sum((power * dt)[rows]) / 3600.0)
        mean = true_wh * 3600.0 / float(record.time_s[end] - record.time_s[at])
        stated = Load(mean)
        if not steady:
            stated = Load(mean, float(np.std((power - minute)[rows])), float(np.quantile(power[rows], 0.99)))
        said = energy_to_cutoff(
            model,
            Cells(
                soc=record.soc[at : at + 1],
                soc_std=np.array([0.01]),
                capacity_ah=np.array([cell.capacity_ah]),
                temperature_degc=record.temperature_degc[at : at + 1],
            ),
            stated,
            max(float(record.voltage_v[rows].min()), cell.voltage_min_v),
            thermal=cell.thermal,
            coolant_degc=float(record.temperature_degc[begin]),
            depletion=cell.depletion,
        )
        ocv = model.ocv(np.linspace(0.0, float(record.soc[at]), 60), float(record.temperature_degc[at]))
        found.append(
            {
                "from_soc": soc,
                "true_wh": true_wh,
                "said_wh": said.energy_wh,
                "std_wh": said.std_wh,
                "ocv_wh": float(np.mean(ocv)) * float(record.soc[at]) * cell.capacity_ah,
                "whole_wh": whole_wh,
            }
        )
    return found


def energy_lg(folder: Path) -> dict[str, Any]:
    """Judge every record of the folder; give errors by temperature."""
    cell = load_cell(find_config("cells", "lg_hg2"))
    paths = {p.stem: p for p in sorted(folder.glob("lg_hg2__*.parquet")) if "10Hz" not in p.stem}
    tests = [load(p, cell.capacity_ah) for name, p in paths.items() if name.endswith(TESTS)]
    cell = with_test_sections(cell, tests)
    model = CellModel.from_file(cell)
    groups: dict[str, list[dict[str, float]]] = {}
    for name, path in paths.items():
        _, place, kind = name.split("__")
        if "Charge" in kind or "HPPC" in kind:
            continue
        steady = kind in TESTS
        load_kind = "constant current" if steady else "drives"
        group = f"{place.replace('n', '-').replace('degC', ' degC')}, {load_kind}"
        groups.setdefault(group, []).extend(judge(model, cell, load(path, cell.capacity_ah), steady))
    return {name: summary(rows) for name, rows in sorted(groups.items())}


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Give errors as parts of what the whole discharge gives, and of what was left."""
    error = np.array([r["said_wh"] - r["true_wh"] for r in rows])
    plain = np.array([r["ocv_wh"] - r["true_wh"] for r in rows])
    whole, left = (np.array([r[key] for r in rows]) for key in ("whole_wh", "true_wh"))
    std = np.array([r["std_wh"] for r in rows])
    return {
        "count": len(rows),
        "rms_of_whole": round(float(np.sqrt(np.mean((error / whole) ** 2))), 4),
        "bias_of_whole": round(float(np.mean(error / whole)), 4),
        "rms_of_left": round(float(np.sqrt(np.mean((error / left) ** 2))), 4),
        "covered": round(float(np.mean(np.abs(error) <= 2.0 * std)), 3),
        "mean_2_std_of_whole": round(float(np.mean(2.0 * std / whole)), 4),
        "ocv_rms_of_whole": round(float(np.sqrt(np.mean((plain / whole) ** 2))), 4),
    }
