"""Capacity of ageing cells from partial windows: NASA and CALCE cells, one by one, and each left out in turn.

The last table shows that the settings fit no single cell: for each cell they are chosen by the others among a
few variants, and then judged on it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from soh_report.page import printed_to

from openbms_estimation.soh.curve_filter import FilterSettings
from openbms_estimation.soh.cycle_record import CellRecord, read_cell_record
from openbms_estimation.soh.evaluate import EvaluationOptions, ScoredCycle, evaluate

COMMAND = ".venv/bin/openbms-env python benchmarks/soh_windows.py --data DIR"

SETS = {"nasa_pcoe": 2.0, "calce_cs2": 1.1}
"""Folders and rated capacities [Ah]."""

DEFAULT = FilterSettings()
VARIANTS = {
    "default": DEFAULT,
    "slower": replace(DEFAULT, mode=0.002, local=0.004),
    "faster": replace(DEFAULT, mode=0.005, local=0.010),
    "less resistance": replace(DEFAULT, resistance_share_v=0.2),
    "more resistance": replace(DEFAULT, resistance_share_v=0.4),
    "wider parts": replace(DEFAULT, neighbours=0.12),
    "longer rates": replace(DEFAULT, rate_lasts=100.0),
}


def score(cycles: list[ScoredCycle], rated_ah: float) -> str:
    """Give the figures of some estimates in one line."""
    measured = np.array([c.measured_ah for c in cycles])
    error = np.array([c.estimate_ah for c in cycles]) - measured
    std = np.array([c.std_ah for c in cycles])
    healthy = measured >= 0.7 * rated_ah
    life = f"{100 * np.sqrt(np.mean(error[healthy] ** 2)) / rated_ah:5.2f}" if healthy.any() else "    -"
    return (
        f"{len(cycles):6d} {100 * np.sqrt(np.mean(error**2)) / rated_ah:6.2f} {life} "
        f"{100 * np.mean(np.abs(error)) / rated_ah:6.2f} {100 * np.max(np.abs(error)) / rated_ah:6.1f} "
        f"{100 * np.mean(error) / rated_ah:+6.2f} {100 * np.mean(np.abs(error) <= 1.96 * std):6.1f} "
        f"{100 * np.mean(3.92 * std) / rated_ah:6.1f}"
    )


HEADING = "estimates   RMSE to70%    MAE    max   bias  cover  width"


def main() -> None:
    """Judge every cell of the folders and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with nasa_pcoe and calce_cs2")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--output", type=Path, help="write what is printed to this page too")
    options = parser.parse_args()
    with printed_to(options.output, COMMAND):
        judge(options)


def judge(options: argparse.Namespace) -> None:
    """Run and print."""
    cells: dict[str, tuple[CellRecord, float]] = {}
    for folder, rated_ah in SETS.items():
        for curves in sorted((options.data / folder).glob("*_curves.parquet")):
            name = curves.name.removesuffix("_curves.parquet")
            record = read_cell_record(curves, curves.with_name(f"{name}_cycles.parquet"), rated_ah)
            cells[name] = record, rated_ah
    print(
        "Errors, bias and widths in % of the rated capacity; cover: 95 % interval; to70%: RMSE down to 70 %."
    )
    for title, charges in (("windows of charges and discharges", True), ("of discharges only", False)):
        print(f"\n{title}\n{'cell':10s} {'load A':>7s} {'degC':>5s} {HEADING}")
        groups: dict[str, list[tuple[ScoredCycle, float]]] = {}
        for name, (record, rated_ah) in cells.items():
            result = evaluate(record, rated_ah, EvaluationOptions(draws=options.draws, use_charges=charges))
            conditions: dict[tuple[float, str], list[ScoredCycle]] = {}
            for c in result.cycles:
                conditions.setdefault((c.load_a, f"{c.ambient_degc:.0f}"), []).append(c)
            for (load, ambient), part in conditions.items():
                print(f"{name:10s} {load:7.2f} {ambient:>5s} {score(part, rated_ah)}", flush=True)
                kind = f"{record.curves_path.parent.name} {ambient} degC"
                groups.setdefault(kind, []).extend((c, rated_ah) for c in part)
        for kind, members in groups.items():
            print(f"{kind:24s} {score([c for c, _ in members], members[0][1])}")
    print(
        f"\neach cell left out while the settings are chosen\n{'cell':10s} {'chosen':16s} RMSE  with default"
    )
    rms = {
        variant: {
            name: float(
                str(evaluate(record, rated, EvaluationOptions(draws=2), settings=s).figures["rmse_percent"])
            )
            for name, (record, rated) in cells.items()
        }
        for variant, s in VARIANTS.items()
    }
    for name in cells:
        chosen = min(VARIANTS, key=lambda v: sum(rms[v][other] for other in cells if other != name))
        print(f"{name:10s} {chosen:16s} {rms[chosen][name]:5.2f} {rms['default'][name]:5.2f}")


if __name__ == "__main__":
    main()
