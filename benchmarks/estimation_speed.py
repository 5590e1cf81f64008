"""Speed of the SoC filters against filterpy's EKF and UKF per cell, a bare compiled loop, and NumPy.

    make bench-estimation [ESTIMATION_ARGS='--cells 1 96 --rounds 3']

All take part in each round, one after the other, over the same samples of the shipped drive; the figures are
medians over the rounds. Before that, filterpy and the batch must agree over the drive.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from estimating.filterpy_cells import SETTINGS, FilterpyEkf, FilterpyUkf
from soh_report.page import printed_to

from openbms_core.cell import load_cell
from openbms_core.compiled import HAS_COMPILER
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_config, find_resource
from openbms_estimation.log_file import read_cell_log
from openbms_estimation.soc.ekf import SocEkf, SocSigmaPoint
from openbms_estimation.soc.estimate import SocSample
from openbms_estimation.soc.kernel import run_compiled

COMMAND = "make bench-estimation"
AGREE_SOC = 1e-6
CHECKED_STEPS = 400
MOST_FILTERPY_CELLS = 100
"""More cells are not run through filterpy: its time per cell does not depend on their number."""
LINE = (
    "cells={cells} us_per_step={ours:.1f} filterpy_ratio={ekf:.0f} compiled_ratio={compiled:.2f} "
    "compiled_us={loop:.1f} numpy_us={numpy:.0f} filterpy_us_per_cell={alone:.0f} "
    "filterpy_bare_ratio={bare:.0f} sigma_point_us={sigma:.1f} filterpy_ukf_ratio={ukf:.0f} "
    "filterpy_ukf_us_per_cell={ukf_alone:.0f}"
)


@dataclass(frozen=True)
class Drive:
    """Some samples of the shipped recording; arrays (steps,)."""

    dt_s: np.ndarray
    current_a: np.ndarray
    voltage_v: np.ndarray
    temperature_degc: np.ndarray
    soc: float
    """At its start, by the tester's counter."""

    def samples(self, cells: int, seed: int = 1) -> list[SocSample]:
        """Give the samples for a number of cells, each with its own noise and temperature."""
        rng = np.random.default_rng(seed)
        degc = rng.normal(0.0, 2.0, cells)
        return [
            SocSample(
                dt_s=float(dt),
                current_a=np.full(cells, i),
                voltage_v=v + rng.normal(0.0, 0.002, cells),
                temperature_degc=t + degc,
                charge_increment_ah=np.full(cells, i * dt / 3600.0),
            )
            for dt, i, v, t in zip(
                self.dt_s, self.current_a, self.voltage_v, self.temperature_degc, strict=True
            )
        ]


def shipped_drive(steps: int) -> Drive:
    """Take one sample a second from the middle of the shipped recording, where neither end is near."""
    log = read_cell_log(find_resource("package://openbms_sim/data/lg_hg2_25degC_mixed.parquet", Path()))
    assert log.ah is not None and log.soc_at_start is not None and log.capacity_ah is not None
    soc = log.soc_at_start + (log.ah - log.ah[0]) / log.capacity_ah
    first = int(np.argmax(soc < 0.7))
    seconds = log.time_s[first] + np.arange(steps + 1)
    rows = np.searchsorted(log.time_s, seconds)
    # the mean current of each second, so that the charge is the tester's
    charge_ah, dt_s = np.diff(log.ah[rows]), np.diff(log.time_s[rows])
    return Drive(
        dt_s=dt_s,
        current_a=3600.0 * charge_ah / dt_s,
        voltage_v=log.voltage_v[rows[1:]],
        temperature_degc=log.temperature_degc[rows[1:]],
        soc=float(soc[first]),
    )


def started(
    kind: type[SocEkf], model: CellModel, drive: Drive, cells: int, *, compiled: bool = True
) -> SocEkf:
    """Give a filter that has seen one sample without a time step: states and covariance are set."""
    soc = drive.soc + np.random.default_rng(2).normal(0.0, 0.01, cells)
    batch = kind(model, cells, initial_soc=soc, settings=replace(SETTINGS, compiled=compiled))
    batch.step(replace(drive.samples(cells)[0], dt_s=0.0))
    return batch


def agreement(model: CellModel) -> None:
    """Stop unless filterpy's EKF and the batch have the same SoC all along; print the UKF's distance too."""
    cells = 4
    drive = shipped_drive(CHECKED_STEPS)
    worst = {}
    for kind, opponent in ((SocEkf, FilterpyEkf), (SocSigmaPoint, FilterpyUkf)):
        batch = started(kind, model, drive, cells)
        singles = [opponent(batch, c) for c in range(cells)]
        worst[opponent] = 0.0
        for s in drive.samples(cells):
            soc = batch.step(s).soc
            for c, single in enumerate(singles):
                single.step(s.current_a[c], s.voltage_v[c], s.temperature_degc[c], s.dt_s)
                worst[opponent] = max(worst[opponent], abs(single.soc - float(soc[c])))
    moved = abs(float(np.sum(drive.current_a * drive.dt_s))) / 3600.0 / model.capacity_ah
    print(
        f"{CHECKED_STEPS} steps of the shipped drive ({np.sum(drive.dt_s):.0f} s, {100 * moved:.1f} % of the "
        f"charge), {cells} cells: largest difference of SoC to filterpy's EKF {worst[FilterpyEkf]:.1e}, "
        f"to its UKF (other points, no gate) {worst[FilterpyUkf]:.1e}."
    )
    if worst[FilterpyEkf] > AGREE_SOC:
        sys.exit(f"filterpy's EKF and SocEkf differ by more than {AGREE_SOC}: their times compare nothing.")


Samples = list[SocSample]


def bare_loop(batch: SocEkf) -> Callable[[Samples], None]:
    """Give the kernel's compiled loop over samples, from the state of a batch, with ready arrays."""
    n = batch.n_cells
    ones, zeros = np.ones(n), np.zeros(n)
    x, p, direction, doubt = (a.copy() for a in (batch.x, batch.upper, batch.direction, batch.doubt))
    innovation, variance, limited = np.empty((3, n))
    table, axes, k, capacity = batch.model.table, batch.model.axes, batch._constants, batch.capacity_ah

    def loop(samples: Samples) -> None:
        for s in samples:
            run_compiled(
                table, axes, x, p, direction, doubt, s.charge_increment_ah, ones, zeros, s.current_a,
                s.voltage_v, ones, ones, s.temperature_degc, s.dt_s, capacity, k, innovation, variance,
                limited,
            )  # fmt: skip

    return loop


def stepping(batch: SocEkf) -> Callable[[Samples], None]:
    """Give the public step over samples."""

    def steps(samples: Samples) -> None:
        for s in samples:
            batch.step(s)

    return steps


def filterpy(filters: list[FilterpyEkf] | list[FilterpyUkf]) -> Callable[[Samples], None]:
    """Give the steps of one filter after the other."""

    def steps(samples: Samples) -> None:
        for s in samples:
            for c, single in enumerate(filters):
                single.step(s.current_a[c], s.voltage_v[c], s.temperature_degc[c], s.dt_s)

    return steps


def bare_filterpy(filters: list[FilterpyEkf]) -> Callable[[Samples], None]:
    """Give filterpy's own arithmetic, without the cell model."""

    def steps(samples: Samples) -> None:
        for _ in samples:
            for single in filters:
                single.bare_step()

    return steps


def race(model: CellModel, cells: int, rounds: int) -> str:
    """Let all run in turn through the drive; give the line of this number of cells."""
    steps = max(5, min(100, 40_000 // cells))
    few = min(cells, MOST_FILTERPY_CELLS)
    slow = max(2, min(steps, 400 // few))
    drive = shipped_drive(steps * (rounds + 1))
    samples = drive.samples(cells)
    ekf = started(SocEkf, model, drive, cells)
    sigma = started(SocSigmaPoint, model, drive, cells)
    plain = [FilterpyEkf(ekf, c) for c in range(few)]
    filterpy(plain)(samples[:1])  # sets their matrices
    runs = {  # what runs, over how many samples of a round, and for how many units the time is taken
        "ours": (stepping(ekf), steps, steps),
        "loop": (bare_loop(ekf), steps, steps),
        "sigma": (stepping(sigma), steps, steps),
        "numpy": (stepping(started(SocEkf, model, drive, cells, compiled=False)), steps, steps),
        "alone": (filterpy([FilterpyEkf(ekf, c) for c in range(few)]), slow, slow * few),
        "bare": (bare_filterpy(plain), slow, slow * few),
        "ukf": (filterpy([FilterpyUkf(sigma, c) for c in range(few)]), slow, slow * few),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, (work, count, units) in runs.items():
            part = samples[number * steps : number * steps + count]
            began = time.perf_counter()
            work(part)
            took = time.perf_counter() - began
            if number:  # the first round fills caches
                times[name].append(1e6 * took / units)
    t = {name: float(np.median(values)) for name, values in times.items()}
    return LINE.format(
        cells=cells,
        ours=t["ours"],
        ekf=t["alone"] * cells / t["ours"],
        compiled=t["ours"] / t["loop"],
        loop=t["loop"],
        numpy=t["numpy"],
        alone=t["alone"],
        bare=t["bare"] * cells / t["ours"],
        sigma=t["sigma"],
        ukf=t["ukf"] * cells / t["sigma"],
        ukf_alone=t["ukf"],
    )


def first_call() -> None:
    """Print the time of a filter's first two steps in this process [s]."""
    model = CellModel.from_file(load_cell(find_config("cells", "lg_hg2")))
    batch = SocEkf(model, 4, initial_soc=0.5)
    sample = SocSample(0.1, -1.0, np.full(4, 3.7), 25.0, -1.0 / 36000.0)
    began = time.perf_counter()
    batch.step(sample)
    batch.step(sample)  # the first one starts the filter, the second takes the way of all later ones
    print(time.perf_counter() - began)


def compile_time() -> str:
    """Time of the first two steps in a fresh process, with an empty and a filled cache of compiled code."""
    if not HAS_COMPILER:
        return "Numba is not installed: the public step is the NumPy path; there is no compiled loop."
    with tempfile.TemporaryDirectory() as folder:
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, __file__, "--first-call"],
                    env=os.environ | {"NUMBA_CACHE_DIR": folder},
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for _ in range(2)
        ]
    return (
        f"First two steps of a process: {seconds[0]:.2f} s with an empty cache (the kernel is compiled), "
        f"{seconds[1]:.2f} s with a filled one (it is loaded)."
    )


def main() -> None:
    """Check that all do the same, then time them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 96, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=None, help="page to write")
    parser.add_argument("--first-call", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first_call:
        first_call()
        return
    with printed_to(arguments.output, COMMAND):
        model = CellModel.from_file(load_cell(find_config("cells", "lg_hg2")))
        agreement(model)
        print(
            "us_per_step          the whole public SocEkf.step\n"
            "filterpy_ratio       one filterpy EKF for each cell, same states and equations / SocEkf.step\n"
            "compiled_ratio       SocEkf.step / the bare compiled loop of the same arithmetic (compiled_us)\n"
            "numpy_us             SocEkf.step where Numba is absent\n"
            "filterpy_bare_ratio  filterpy's own arithmetic without the cell model / SocEkf.step\n"
            "filterpy_ukf_ratio   one filterpy UKF for each cell / SocSigmaPoint.step (sigma_point_us)\n"
            f"Above {MOST_FILTERPY_CELLS} cells filterpy runs {MOST_FILTERPY_CELLS} of them and its time is "
            f"scaled up.\nMedians of {arguments.rounds} rounds, all in turn in each round.\n"
        )
        for cells in arguments.cells:
            print(race(model, cells, arguments.rounds), flush=True)
        print(f"\n{compile_time()}")
        print(
            f"Processors: {os.cpu_count()}; processes that wanted one, mean of the last 5 minutes: "
            f"{os.getloadavg()[1]:.1f} (this one included)."
        )


if __name__ == "__main__":
    main()
