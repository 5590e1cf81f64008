"""Thirty days of LFP cells between 25 and 80 % without one full charge: many runs in simulated time.

The truth is the house's own twin (:class:`openbms_sim.plant.cell.CellBank`, another code than the filter's
model) with an LFP cell that is read off the slow tests directly: open-circuit voltage the mean of slow
discharge and charge, hysteresis half of their gap. Every run is another driver with other sensors and another
capacity than the filter believes. The filter's cell file is what `openbms fit` makes of the OCV tests and the
cycles at 25 °C.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accuracy_report.groups import A123, files_of
from openbms_core.models.ecm import CellModel
from openbms_estimation.log_file import read_cell_log
from openbms_estimation.soc.coulomb_counter import CoulombCounter
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample
from openbms_sim.plant.cell import CellBank, CellParameters, Spread

__all__ = ["lfp_cell", "run"]

FloatArray = NDArray[np.float64]
RUNS = 32
STEP_S = 5.0
LOWEST, HIGHEST = 0.25, 0.80
SEED = 20
_GRID = (0.0, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, *np.linspace(0.125, 0.975, 69), 0.985, 0.995, 1.0)


def _branch(path: Path, rising: bool, capacity_ah: float) -> FloatArray:
    """Read a slow discharge (charge) off a test: voltage on the grid of SoC."""
    log = read_cell_log(path)
    if log.ah is None:
        raise ValueError(f"{path.name} has no charge counter")
    flows = log.current_a > 0.001 if rising else log.current_a < -0.001
    # the longest stretch of slow current
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flows.astype(int), [0]))))
    begin, end = max(zip(edges[::2], edges[1::2], strict=True), key=lambda pair: pair[1] - pair[0])
    charge = log.ah[begin:end] - log.ah[begin]
    soc = charge / capacity_ah + (0.0 if rising else 1.0)
    order = np.argsort(soc)
    return np.interp(_GRID, soc[order], log.voltage_v[begin:end][order])


def lfp_cell(data: Path, model: CellModel) -> CellParameters:
    """Give the twin's cell: curves from the slow tests at 25 °C, resistances of the middle of the model."""
    falling, rising = (files_of(data, [f"{A123}P25__OCV_script{n}.parquet"])[0] for n in (1, 3))
    down, up = _branch(falling, False, model.capacity_ah), _branch(rising, True, model.capacity_ah)
    middle = (np.asarray(_GRID) > 0.2) & (np.asarray(_GRID) < 0.8)
    q = model.parameters(np.array([0.5]), np.array([25.0]))
    return CellParameters(
        capacity_ah=model.capacity_ah,
        ocv_soc=tuple(_GRID),
        ocv_v=tuple(np.maximum.accumulate(0.5 * (up + down))),
        hysteresis_v=float(0.5 * np.mean((up - down)[middle])),
        hysteresis_soc=0.05,
        r0_ohm=float(q.r0_ohm[0]),
        r1_ohm=float(q.r1_ohm[0]),
        tau1_s=3.0,
        r2_ohm=float(q.r2_ohm[0]),
        tau2_s=90.0,
        self_discharge_ohm=60_000.0,
    )


class _Drivers:
    """What each run's current is: drive, stand, charge to somewhere below the limit, again every day."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.mode = np.zeros(RUNS, int)
        self.left_s = rng.uniform(0.0, 6.0 * 3600.0, RUNS)
        self.goal = np.zeros(RUNS)
        self.level = np.zeros(RUNS)

    def current_c(self, soc: FloatArray) -> FloatArray:
        """Give the current of the next step, in capacities per hour, shape (RUNS,)."""
        rng = self.rng
        self.left_s -= STEP_S
        over = (
            ((self.mode == 0) & (self.left_s < 0.0))
            | ((self.mode == 1) & ((soc < self.goal) | (soc < LOWEST)))
            | ((self.mode == 2) & ((soc > self.goal) | (soc > HIGHEST)))
        )
        for run in np.flatnonzero(over):
            low = soc[run] < 0.45
            if self.mode[run] == 0:
                self.mode[run] = 2 if low or (soc[run] < 0.7 and rng.random() < 0.4) else 1
                if self.mode[run] == 1:
                    self.goal[run] = max(LOWEST, soc[run] - rng.uniform(0.05, 0.45))
                    self.level[run] = rng.uniform(0.15, 0.6)
                else:
                    self.goal[run] = rng.uniform(max(0.6, soc[run] + 0.02), HIGHEST)
                    self.level[run] = rng.choice([0.12, 0.3, 0.8])
            else:
                self.mode[run] = 0
                self.left_s[run] = rng.uniform(0.5, 10.0) * 3600.0
        swing = rng.normal(0.0, 1.0, RUNS)
        drive = -self.level * (1.0 + 1.5 * swing)
        return np.where(self.mode == 1, np.clip(drive, -3.0, 1.0), np.where(self.mode == 2, self.level, 0.0))


def run(data: Path, days: float, model: CellModel) -> tuple[dict[str, Any], list[str]]:
    """Live the days; give figures and the lines of the page.

    Parameters
    ----------
    data : Path
    days : float
    model : CellModel
        Commissioned by the caller.
    """
    rng = np.random.default_rng(SEED)
    capacity_factor = 1.0 + rng.normal(0.0, 0.01, RUNS)
    spread = Spread(capacity=0.0, resistance=0.1, soc=0.0, self_discharge=0.5)
    bank = CellBank(RUNS, 0.6, seed=SEED, spread=spread, parameters=lfp_cell(data, model))
    bank.soc = rng.uniform(0.35, 0.75, RUNS)
    bank.capacity_ah = bank.capacity_ah * capacity_factor
    start = bank.soc.copy()
    bias_a = rng.normal(0.0, 1.0, RUNS) * model.capacity_ah / 500.0
    gain = 1.0 + rng.normal(0.0, 0.003, RUNS)
    offset_v = rng.normal(0.0, 0.002, RUNS)
    drivers = _Drivers(rng)
    ours = SocEkf(model, RUNS)
    counter = CoulombCounter(model, RUNS, initial_soc=start)
    rows = int(days * 86400.0 / STEP_S)
    error, std, counted, crossed = (np.empty((RUNS, rows), np.float32) for _ in range(4))
    last_cross = np.full(RUNS, -np.inf)
    side = bank.soc > 0.66
    current = np.zeros(RUNS)
    for row in range(rows):
        degc = np.full(RUNS, 20.0 + 6.0 * np.sin(2.0 * np.pi * row * STEP_S / 86400.0))
        current = drivers.current_c(bank.soc) * model.capacity_ah
        bank.step(current, degc, STEP_S)
        voltage = bank.emf_v() + current * bank.r0_ohm(degc) + offset_v + rng.normal(0.0, 0.001, RUNS)
        sample = SocSample(STEP_S, gain * current + bias_a, voltage, degc)
        found = ours.step(sample)
        error[:, row], std[:, row] = found.soc - bank.soc, found.soc_std
        counted[:, row] = counter.step(sample).soc - bank.soc
        now = bank.soc > 0.66
        last_cross = np.where(now != side, row * STEP_S, last_cross)
        side = now
        crossed[:, row] = row * STEP_S - last_cross
    settled = np.arange(rows) * STEP_S > 86400.0
    recent = (crossed < 86400.0) & settled
    size = np.abs(error)
    inside = size <= 1.96 * std
    result = {
        "days": days,
        "runs": RUNS,
        "p95": float(np.quantile(size[:, settled], 0.95)),
        "p95_feature_crossed_within_a_day": float(np.quantile(size[recent], 0.95)),
        "rmse": float(np.sqrt(np.mean(error[:, settled] ** 2))),
        "worst_run_rmse": float(np.sqrt((error[:, settled] ** 2).mean(axis=1)).max()),
        "covered": float(inside[:, settled].mean()),
        "covered_first_day": float(inside[:, ~settled].mean()),
        "width": float(3.92 * std[:, settled].mean()),
        "counter_p95": float(np.quantile(np.abs(counted[:, settled]), 0.95)),
        "share_feature_crossed": float(recent.sum() / (RUNS * settled.sum())),
    }
    p = {key: 100.0 * value for key, value in result.items() if key not in ("days", "runs")}
    lines = [
        f"## LFP, {days:g} days between {100 * LOWEST:.0f} and {100 * HIGHEST:.0f} % without a full charge",
        "",
        f"{RUNS} simulated runs in steps of {STEP_S:g} s, each with its own driver, current offset (standard "
        "deviation C/500) and gain (0.3 %), voltage offset (2 mV) and noise (1 mV), resistance (10 %) and "
        "capacity (1 %, unknown to the estimators). The filter starts from the first voltage, the coulomb "
        "counter from the truth. Scored after the first day.",
        "",
        "| | P95 of the error [%] | RMSE, worst run [%] | Covered [%] | Width [%] |",
        "|---|---|---|---|---|",
        f"| filter | {p['p95']:.2f} | {p['rmse']:.2f}, {p['worst_run_rmse']:.2f} | {p['covered']:.1f} | "
        f"{p['width']:.1f} |",
        f"| filter, staging feature crossed within 24 h ({p['share_feature_crossed']:.0f} % of the time) | "
        f"{p['p95_feature_crossed_within_a_day']:.2f} | | | |",
        f"| filter, first day | | | {p['covered_first_day']:.1f} | |",
        f"| coulomb counter | {p['counter_p95']:.2f} | | | |",
    ]
    return result, lines
