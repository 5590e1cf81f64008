"""Runs of one recorded cycle under all conditions at once, with the filter and both opponents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accuracy_report.opponents import PlainEkf
from openbms_core.models.ecm import CellModel
from openbms_estimation.log_file import read_cell_log
from openbms_estimation.soc.coulomb_counter import CoulombCounter
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample

__all__ = ["CONDITIONS", "ESTIMATORS", "Run", "run_file"]

FloatArray = NDArray[np.float64]
WRONG_BY = 0.3
SETTLING_S = 600.0
SURE_STD = 0.015
"""A filter that says this of itself has seen an anchor: from there on a wrong start of LFP is scored."""
POINTS = 400
ESTIMATORS = ("filter", "coulomb counter", "1RC EKF")


@dataclass(frozen=True)
class Condition:
    """What is wrong with start and sensors."""

    text: str
    told: float | None
    current_c: float = 0.0
    voltage_v: float = 0.0


CONDITIONS = {
    "clean": Condition("start from the first voltage", None),
    "told": Condition("true start told", 0.0),
    "wrong start": Condition("start told 30 points too low, scored after 10 min", -WRONG_BY),
    "current +": Condition("true start told, current + C/500", 0.0, 1 / 500),
    "current -": Condition("true start told, current - C/500", 0.0, -1 / 500),
    "voltage +": Condition("start from the first voltage, voltage + 5 mV", None, 0.0, 0.005),
    "voltage -": Condition("start from the first voltage, voltage - 5 mV", None, 0.0, -0.005),
}


@dataclass(frozen=True)
class Run:
    """Figures of one cycle; axes: estimator (:data:`ESTIMATORS`), condition (:data:`CONDITIONS`).

    Attributes
    ----------
    file : str
    rmse, largest : ndarray, shape (3, 7)
        Of the scored part [SoC]; NaN: nothing was scored.
    covered, width : ndarray, shape (3, 7)
        Share of all rows within ±1.96 standard deviations, and the mean width of that interval [SoC].
    reference, error, std : ndarray, shape (points,), (7, points), (7, points)
        Thinned course of the filter, for the plot.
    """

    file: str
    rmse: FloatArray
    largest: FloatArray
    covered: FloatArray
    width: FloatArray
    reference: FloatArray
    error: FloatArray
    std: FloatArray


def run_file(path: Path, model: CellModel, capacity_ah: float, true_start: float = 1.0) -> Run:
    """Run every estimator over a cycle that starts at ``true_start``, in every condition.

    Parameters
    ----------
    path : Path
    model : CellModel
    capacity_ah : float
        Present capacity; for all estimators and for the reference [Ah].
    true_start : float

    Returns
    -------
    Run
    """
    log = read_cell_log(path)
    if log.ah is None:
        raise ValueError(f"{path.name} has no charge counter")
    conditions = list(CONDITIONS.values())
    told = np.array([np.nan if c.told is None else min(true_start + c.told, 1.0) for c in conditions])
    more_a = np.array([c.current_c for c in conditions]) * model.capacity_ah
    more_v = np.array([c.voltage_v for c in conditions])
    n = len(conditions)
    ours = SocEkf(model, n, initial_soc=told, capacity_ah=capacity_ah)
    counter = CoulombCounter(model, n, initial_soc=told, capacity_ah=capacity_ah)
    plain = PlainEkf(model, told, capacity_ah)
    rows = len(log.time_s)
    soc, std = np.empty((3, n, rows)), np.empty((3, n, rows))
    steps_s = np.diff(log.time_s, prepend=log.time_s[0])
    for row in range(rows):
        sample = SocSample(
            steps_s[row], log.current_a[row] + more_a, log.voltage_v[row] + more_v, log.temperature_degc[row]
        )
        for number, estimator in enumerate((ours, counter)):
            found: Any = estimator.step(sample)
            soc[number, :, row], std[number, :, row] = found.soc, found.soc_std
        soc[2, :, row], std[2, :, row] = plain.step(sample)
    reference = true_start + (log.ah - log.ah[0]) / capacity_ah
    error = soc - reference
    scored = np.ones((3, n, rows), bool)
    late = log.time_s - log.time_s[0] >= SETTLING_S
    for number, name in enumerate(CONDITIONS):
        if name == "wrong start":
            sure = np.logical_or.accumulate(std[0, number] < SURE_STD)
            scored[:, number] = late & sure if model.chemistry == "lfp" else late
    count = scored.sum(axis=2)
    with np.errstate(invalid="ignore"):
        rmse = np.sqrt(np.where(scored, error**2, 0.0).sum(axis=2) / np.where(count > 0, count, np.nan))
    thin = np.linspace(0, rows - 1, min(rows, POINTS)).astype(int)
    return Run(
        path.stem,
        rmse,
        np.where(count > 0, np.where(scored, np.abs(error), 0.0).max(axis=2), np.nan),
        (np.abs(error) <= 1.96 * std).mean(axis=2),
        3.92 * std.mean(axis=2),
        reference[thin],
        error[0][:, thin],
        std[0][:, thin],
    )
