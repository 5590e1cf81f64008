"""Accuracy and speed of the SoC filter against coulomb counting and against filterpy, in one run.

    python benchmarks/soc_accuracy.py [--data FOLDER]

FOLDER holds drive cycles named lg_hg2__<temperature>__<cycle>.parquet. Without it the shipped one is used.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from filterpy.kalman import ExtendedKalmanFilter

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_config, find_resource
from openbms_estimation.log_file import CellLog, read_cell_log
from openbms_estimation.replay import ReplayOptions, replay
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample

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


def speed() -> None:
    """Print time per step of the batch, and of one filterpy filter per cell."""
    rng = np.random.default_rng(0)
    per_cell = {}
    for cells in (1, 96, 1000):
        ekf = SocEkf(MODEL, cells, initial_soc=0.6)
        voltage = MODEL.ocv(np.full(cells, 0.6), 25.0) + rng.normal(0, 0.003, cells)
        sample = SocSample(0.1, -1.0, voltage - 0.03, np.full(cells, 25.0))
        for _ in range(20):
            ekf.step(sample)
        times = []
        for _ in range(300):
            began = time.perf_counter()
            ekf.step(sample)
            times.append(time.perf_counter() - began)
        median = float(np.median(times))
        per_cell[cells] = median / cells
        print(
            f"batch of {cells:5d} cells: {1e6 * median:8.0f} us a step, {1e6 * median / cells:7.2f} us a cell"
        )
    one = ExtendedKalmanFilter(dim_x=6, dim_z=1)
    one.P *= 0.01
    h = np.array([[1.0, 0.02, 0.02, 0.0, -0.03, 1.0]])
    times = []
    for _ in range(500):
        began = time.perf_counter()
        one.predict()
        one.update(np.array([[3.7]]), lambda _: h, lambda x: h @ x)
        times.append(time.perf_counter() - began)
    alone = float(np.median(times))
    print(f"filterpy (fixed matrices, no cell model): {1e6 * alone:7.1f} us a cell and step")
    print(f"ratio at 96 cells: {alone / per_cell[96]:.0f} times faster than one filterpy filter per cell")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    accuracy(logs(arguments.data))
    speed()


if __name__ == "__main__":
    main()
