"""Fit the shipped cell file of the LG 18650HG2: ``python -m openbms_estimation.identification.fit_lg_hg2
--help``.

Uses the C/20, pulse (HPPC) and 1C tests of the open data set only; drive cycles are left for judging. The
same data give the same file.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from openbms_core.cell import load_cell
from openbms_estimation.identification.cell_file import to_yaml
from openbms_estimation.identification.cell_tables import (
    charge_branch_v,
    impedance_tables,
    model_error_tables,
    ocv_tables,
    residual_rows,
)
from openbms_estimation.identification.fit import FitSettings, fit_cell
from openbms_estimation.identification.records import Record, discharge_part, make_record

CAPACITY_AH = 2.7782
"""C/20 discharge at 25 °C. Every test began with a full charge at 22 °C or more, so this is SoC 1 → 0 in
all of them."""

TEMPERATURES = {24.0: "25degC", 9.0: "10degC", -0.5: "0degC", -10.0: "n10degC"}
"""Mean temperature of the cell's case in the tests → name of the chamber's set point."""

HEADING = """\
LG 18650HG2, 3.0 Ah NMC/graphite-silicon. Written by
  python -m openbms_estimation.identification.fit_lg_hg2 --data DIR --output lg_hg2.yaml
Do not edit by hand. Data: CC BY 4.0, see provenance."""


def _load(folder: Path, place: str, test: str) -> Record:
    name = f"lg_hg2__{place}__{test}"
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise SystemExit(f"{path}: no such file. --data must be the folder with the converted LG HG2 tests.")
    table = pq.read_table(path)
    return make_record(name, {column: table[column].to_numpy() for column in table.column_names}, CAPACITY_AH)


def build(folder: Path, settings: FitSettings) -> dict[str, Any]:
    """Fit everything; give the content of the cell file."""
    records: dict[float, list[Record]] = {}
    for temperature, place in TEMPERATURES.items():
        one_c = _load(folder, place, "Cap_1C")
        # an hour of one pulse-free load stands for all sustained loads: it weighs as four hours
        records[temperature] = [
            _load(folder, place, "HPPC"),
            replace(one_c, weight=2.0 * one_c.weight),
            discharge_part(_load(folder, place, "C20")),
        ]

    steps = 0

    def progress() -> None:
        nonlocal steps
        steps += 1
        sys.stderr.write(f"\r  search {steps}/{settings.search_steps}")
        sys.stderr.flush()

    fits, search = fit_cell(records, settings, progress=progress)
    sys.stderr.write("\n")
    reference = fits[-1]
    slow = _load(folder, TEMPERATURES[reference.temperature_degc], "C20")
    rising = np.flatnonzero(slow.current_a > 0.02 * CAPACITY_AH)
    charge = charge_branch_v(reference, slow.part(slice(int(rising[0]), int(rising[-1]) + 1)), settings)
    sys.stderr.write("  model error from left-out tests\n")
    return {
        "schema_version": 1,
        "name": "LG 18650HG2",
        "chemistry": "nmc",
        "capacity_ah": CAPACITY_AH,
        "rated_capacity_ah": 3.0,
        "nominal_voltage_v": 3.6,
        "voltage_min_v": 2.5,
        "voltage_max_v": 4.2,
        "coulombic_efficiency": 1.0,
        "ocv": ocv_tables(fits, charge, reference, settings),
        "impedance": impedance_tables(fits, settings),
        "model_error": model_error_tables(records, fits, search, settings),
        "thermal": {"mass_kg": 0.047, "heat_capacity_j_per_kg_k": 900.0},
        "provenance": {
            "source": "LG 18650HG2 Li-ion Battery Data and Example Deep Neural Network xEV SOC Estimator "
            "Script, "
            "Mendeley Data V3, doi:10.17632/cp3473x7xv.3",
            "citation": "Kollmeyer, P., Vidal, C., Naguib, M., Skells, M. (2020), McMaster University",
            "licence": "CC BY 4.0",
            "method": "openbms_estimation.identification: variable projection on HPPC, C/20 discharge "
            "and 1C discharge; "
            "charge branch from C/20 charge at 25 degC; model error from left-out tests; limits and mass "
            "from the "
            "data sheet; heat capacity is a typical value of 18650 cells",
            "records": [record.name for tests in records.values() for record in tests],
            "residuals": residual_rows(fits, records, settings),
        },
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit the cell file of the LG 18650HG2 from its test data.")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with lg_hg2__<temperature>__<test>.parquet"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="cell file to write")
    arguments = parser.parse_args()
    content = build(arguments.data, FitSettings())
    arguments.output.write_text(to_yaml(content, HEADING), encoding="utf-8")
    cell = load_cell(arguments.output)
    sys.stdout.write(f"{'record':28s} {'degC':>6s} {'rms mV':>8s} {'above 20 % SoC':>15s}\n")
    for row in cell.provenance.residuals:
        sys.stdout.write(
            f"{row.record:28s} {row.temperature_degc:6.1f} {row.rms_v * 1e3:8.1f} "
            f"{row.rms_above_20_percent_soc_v * 1e3:15.1f}\n"
        )
    sys.stdout.write(f"Written: {arguments.output}\n")


if __name__ == "__main__":
    main()
