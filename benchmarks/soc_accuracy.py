"""Accuracy of the SoC filter against coulomb counting, in one run; its speed: estimation_speed.py.

    python benchmarks/soc_accuracy.py [--data FOLDER]

FOLDER holds drive cycles named lg_hg2__<temperature>__<cycle>.parquet. Without it the shipped one is used.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_config, find_resource
from openbms_estimation.log_file import CellLog, read_cell_log
from openbms_estimation.replay import ReplayOptions, replay

MODEL = CellModel.from_file(load_cell(find_config("cells", "lg_hg2")))
CAPACITY_AH = 2.778


def logs(folder: Path | None) -> dict[str, list[CellLog]]:
    """Drive cycles by temperature."""
    if folder is None:
        path = find_resource("package://openbms_sim/data/lg_hg2_25degC_mixed.parquet", Path())
        return {"25degC": [read_cell_log(path)]}
    found: dict[str, list[CellLog]] = defaultdict(list)
    for path in sorted(folder.glob("lg_hg2__*.parquet")):
        _, place, test, *more = path.stem.split("__")
        if test.startswith(("Mixed", "UDDS", "US06", "LA92", "HWFET")) and not more:
            found[place].append(read_cell_log(path))
    return found


def accuracy(by_place: dict[str, list[CellLog]]) -> None:
    """Print mean RMSE [% SoC] for each temperature."""
    cases = {
        "filter": ("ekf", 0.0, 1.0),
        "count": ("coulomb", 0.0, 1.0),
        "filter, errors": ("ekf", 0.01 * CAPACITY_AH, 1.01),
        "count, errors": ("coulomb", 0.01 * CAPACITY_AH, 1.01),
    }
    print("Mean RMSE [% SoC]; 'errors': current with gain +1 % and offset +C/100; last columns: filter")
    names = " ".join(f"{name:>15s}" for name in cases)
    print(f"{'place':10s} {'logs':>4s} {names}  worst  coverage  ratio*")
    for place, group in by_place.items():
        rmse: dict[str, list[float]] = defaultdict(list)
        coverage = []
        for log in group:
            for name, (method, offset, gain) in cases.items():
                options = ReplayOptions(
                    method="ekf" if method == "ekf" else "coulomb",
                    initial_soc=1.0,
                    capacity_ah=CAPACITY_AH,
                    current_bias_a=offset,
                )
                figures = replay(replace(log, current_a=gain * log.current_a), MODEL, options).figures
                rmse[name].append(100 * figures["rmse"])
                if name == "filter":
                    coverage.append(figures["coverage95"])
        means = {name: float(np.mean(values)) for name, values in rmse.items()}
        ratio = means["filter, errors"] / means["count, errors"]
        row = " ".join(f"{means[name]:15.2f}" for name in cases)
        print(
            f"{place:10s} {len(group):4d} {row} {max(rmse['filter']):6.2f} "
            f"{np.mean(coverage):9.3f} {ratio:7.2f}"
        )
    print("* filter / count, both with errors: below 1 the filter wins\n")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    accuracy(logs(arguments.data))


if __name__ == "__main__":
    main()
