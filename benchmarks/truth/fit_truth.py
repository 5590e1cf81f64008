"""Cell file of the PyBaMM cell from its laboratory tests, through the house's own fit.

fit_truth.py COMMISSION.npz PLATING.npz CELL.yaml
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from openbms_core.cell import CellFile, load_cell
from openbms_estimation.identification.cell_file import to_yaml
from openbms_estimation.identification.cell_tables import (
    impedance_tables,
    model_error_tables,
    ocv_tables,
    residual_rows,
)
from openbms_estimation.identification.fit import FitSettings, fit_cell
from openbms_estimation.identification.records import Record, discharge_part, make_record
from openbms_estimation.sop.from_tests import CellTest, with_test_sections

COLUMNS = ("time_s", "voltage_v", "current_a", "temperature_c", "ah")
MEMORY_S = 50.0
"""With it one exponential comes nearest to pulses of 10 and 30 s at once."""
WITHIN_S = 30.0
"""Pulses of the test up to this length are all kept to; longer ones bound what may be held."""
HEADING = "LG M50 as PyBaMM has it (OKane2022, DFN). Written by benchmarks/power_limits.py."


def plating_tables(test: Any) -> tuple[Any, Any]:
    """Give the currents that may be held, and for 10 s [A], so that no pulse of the test is exceeded."""
    seconds, pulsed = test["pulses_s"], test["pulsed_a"]
    held = np.minimum(test["held_a"], pulsed[:, :, -1])
    short = seconds <= WITHIN_S
    through = -np.expm1(-seconds[short] / MEMORY_S)
    share = held[..., None] / pulsed[:, :, short]
    at_once = np.clip((share - through) / (1.0 - through), 0.0, 1.0).max(axis=2)
    return held, held / (at_once - (1.0 - at_once) * np.expm1(-10.0 / MEMORY_S))


def build(tests: Any, plating: Any, settings: FitSettings) -> dict[str, Any]:
    """Fit everything; give the content of the cell file."""
    capacity = float(tests["capacity_ah"])
    temperatures = sorted(float(name.removeprefix("pulses_")) for name in tests if name.startswith("pulses_"))

    def record(name: str) -> Record:
        return make_record(name, dict(zip(COLUMNS, tests[name], strict=True)), capacity)

    records: dict[float, list[Record]] = {}
    for degc in temperatures:
        one_c = record(f"one_c_{degc:.0f}")
        pulses = record(f"pulses_{degc:.0f}")
        # the circuit is for what it can describe; what happens far above the rating goes into "pulses"
        beyond = np.abs(pulses.current_a) > 3.2 * 5.0
        apart = pulses.time_s - np.maximum.accumulate(np.where(beyond, pulses.time_s, -np.inf))
        records[degc] = [
            replace(pulses, judged=pulses.judged & (apart > 60.0)),
            replace(one_c, weight=2.0 * one_c.weight),
            discharge_part(record(f"slow_{degc:.0f}")),
        ]
    fits, search = fit_cell(records, settings)
    errors = model_error_tables(records, fits, search, settings)
    held, pulse = plating_tables(plating)

    def rows(table: Any) -> list[list[float]]:
        return [[round(float(v), 3) for v in [row[0], *row, 0.9 * row[-1]]] for row in table]

    return {
        "schema_version": 1,
        "name": "LG M50 (PyBaMM OKane2022)",
        "chemistry": "nmc",
        "capacity_ah": capacity,
        "rated_capacity_ah": 5.0,
        "nominal_voltage_v": 3.63,
        "voltage_min_v": 2.5,
        "voltage_max_v": 4.2,
        "ocv": ocv_tables(fits, None, fits[-1], settings),
        "impedance": impedance_tables(fits, settings),
        "model_error": errors,
        "plating": {
            "soc_breakpoints": [0.0, *(round(float(z), 3) for z in plating["soc"]), 1.0],
            "temperature_breakpoints_degc": [float(t) for t in plating["temperatures_degc"]],
            "held_a": rows(held),
            "pulse_a": rows(pulse),
            "memory_s": MEMORY_S,
            "source": "simulated three-electrode test, reserve 5 mV (benchmarks/truth/plating.py)",
        },
        "thermal": {"mass_kg": 0.068, "heat_capacity_j_per_kg_k": 900.0},
        "provenance": {
            "source": "PyBaMM, parameter set OKane2022, DFN",
            "citation": "O'Kane et al., Phys. Chem. Chem. Phys. 24 (2022) 7909",
            "licence": "computed",
            "method": "openbms_estimation.identification on simulated C/20, 1C and pulse tests",
            "records": [r.name for tests_ in records.values() for r in tests_],
            "residuals": residual_rows(fits, records, settings),
        },
    }


def write(tests: Path, plating: Path, out: Path) -> None:
    """Fit, and write the cell file."""
    settings = FitSettings(search_steps=120, activation_energy_j_per_mol=22_000.0)
    loaded = np.load(tests)
    content = build(loaded, np.load(plating), settings)
    cell = CellFile(**content)
    laboratory = []
    for name in loaded.files:
        if loaded[name].ndim == 2:
            t, v, i, degc, ah = loaded[name]
            laboratory.append(CellTest(t, v, i, degc, 1.0 + ah / cell.capacity_ah))
    whole = with_test_sections(cell, laboratory).model_dump(mode="json", exclude_none=True)
    out.write_text(to_yaml(whole, HEADING), encoding="utf-8")
    for row in load_cell(out).provenance.residuals:
        print(f"{row.record:16s} {row.rms_v * 1e3:6.1f} {row.rms_above_20_percent_soc_v * 1e3:6.1f} mV")


if __name__ == "__main__":
    write(*(Path(name) for name in sys.argv[1:4]))
