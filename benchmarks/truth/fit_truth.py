"""Cell file of the PyBaMM cell from its laboratory tests, through the house's own fit.

fit_truth.py COMMISSION.npz PLATING.npz CELL.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from openbms_core.cell import CellFile, load_cell
from openbms_estimation.identification.cell_file import cell_file, to_yaml
from openbms_estimation.identification.commission import Kind, commission
from openbms_estimation.identification.error_model import model_error
from openbms_estimation.identification.read import CellTest

KINDS: dict[str, Kind] = {"slow": "ocv", "one": "dynamic", "pulses": "hppc"}
MEMORY_S = 50.0
"""With it one exponential comes nearest to pulses of 10 and 30 s at once."""
RATED_AH = 5.0
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


def laboratory(tests: Any) -> list[tuple[Kind, CellTest]]:
    """Give the tests as `openbms fit` would have read them."""
    found = []
    for name in tests:
        if tests[name].ndim == 2:
            time_s, voltage_v, current_a, degc, ah = tests[name]
            test = CellTest(Path(name), time_s, voltage_v, current_a, degc, ah, None, None)
            found.append((KINDS[name.split("_")[0]], test))
    return found


def plating_section(test: Any) -> dict[str, Any]:
    """Give the section ``plating`` of the cell file from the three-electrode test."""
    held, pulse = plating_tables(test)

    def rows(table: Any) -> list[list[float]]:
        return [[round(float(v), 3) for v in [row[0], *row, 0.9 * row[-1]]] for row in table]

    return {
        "soc_breakpoints": [0.0, *(round(float(z), 3) for z in test["soc"]), 1.0],
        "temperature_breakpoints_degc": [float(t) for t in test["temperatures_degc"]],
        "held_a": rows(held),
        "pulse_a": rows(pulse),
        "memory_s": MEMORY_S,
        "source": "simulated three-electrode test, reserve 5 mV (benchmarks/truth/plating.py)",
    }


def write(tests: Path, plating: Path, out: Path) -> None:
    """Fit as `openbms fit` does, add the plating test, and write the cell file."""
    found = commission(laboratory(np.load(tests)), "nmc", RATED_AH)
    content = cell_file(
        found,
        model_error(found),
        name="LG M50 (PyBaMM OKane2022)",
        chemistry="nmc",
        rated_ah=RATED_AH,
        source="PyBaMM, parameter set OKane2022, DFN",
        citation="O'Kane et al., Phys. Chem. Chem. Phys. 24 (2022) 7909",
        licence="computed",
        mass_kg=0.068,
    )
    whole = CellFile.model_validate({**content, "plating": plating_section(np.load(plating))})
    out.write_text(to_yaml(whole.model_dump(mode="json", exclude_none=True), HEADING), encoding="utf-8")
    for row in load_cell(out).provenance.residuals:
        print(f"{row.record:16s} {row.rms_v * 1e3:6.1f} {row.rms_above_20_percent_soc_v * 1e3:6.1f} mV")


if __name__ == "__main__":
    write(*(Path(name) for name in sys.argv[1:4]))
