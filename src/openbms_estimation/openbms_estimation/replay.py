"""Run an SoC estimator over a recorded log of one cell and compare it with the tester's charge counter.

The reference is ``soc_start + (ah - ah[0]) / capacity``. Its start does not depend on what the estimator is
told: it is the option ``true_initial_soc``; else the file's own ``soc0``; else the open-circuit voltage of
a first row without load (within 2 % of full counts as full: tests start with a full charge); else, and only
then, the estimator's initial SoC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_core.models.ecm import CellModel
from openbms_estimation.log_file import CellLog
from openbms_estimation.soc.coulomb_counter import CoulombCounter
from openbms_estimation.soc.ekf import SocEkf, SocSigmaPoint
from openbms_estimation.soc.estimate import SocEstimator, SocSample

__all__ = ["METHODS", "Method", "ReplayOptions", "ReplayResult", "replay"]

FloatArray = NDArray[np.float64]
Method = Literal["auto", "ekf", "sigma", "coulomb"]
METHODS: dict[str, Method] = {"auto": "auto", "ekf": "ekf", "sigma": "sigma", "coulomb": "coulomb"}

SETTLED_ERROR = 0.03
"""Error of SoC below which an estimate counts as converged."""
_REST_C = 1 / 15


@dataclass(frozen=True)
class ReplayOptions:
    """What to run, and with which errors of the sensors.

    Attributes
    ----------
    method : str
        ``ekf``, ``sigma``, ``coulomb``; ``auto``: the EKF, which is the more accurate on every chemistry
        measured.
    initial_soc : float or None
        State of charge that the estimator is told; None: it takes it from the first voltage.
    true_initial_soc : float or None
        State of charge that the reference starts from; None: see the module.
    capacity_ah : float or None
        Present capacity of the cell, for the estimator and for the reference; None: the cell file's for the
        estimator, the file's (else the cell file's) for the reference.
    current_bias_a, voltage_bias_v : float
        Added to the measured current [A] and voltage [V].
    """

    method: Method = "auto"
    initial_soc: float | None = None
    true_initial_soc: float | None = None
    capacity_ah: float | None = None
    current_bias_a: float = 0.0
    voltage_bias_v: float = 0.0


@dataclass(frozen=True)
class ReplayResult:
    """Estimate along the log, reference and figures.

    Attributes
    ----------
    time_s, soc, soc_std : ndarray
        Estimate after each row.
    reference_soc : ndarray or None
        None without a charge counter.
    current_bias_a, resistance_ratio : ndarray
        What the filter found along the way.
    innovation_v : ndarray
        Measured minus expected voltage [V]; NaN where there is none.
    figures : dict
        Errors as SoC 0…1 (None without a reference) and facts of the run.
    """

    time_s: FloatArray
    soc: FloatArray
    soc_std: FloatArray
    reference_soc: FloatArray | None
    current_bias_a: FloatArray
    resistance_ratio: FloatArray
    innovation_v: FloatArray
    figures: dict[str, Any]


def _reference_start(log: CellLog, model: CellModel, options: ReplayOptions) -> tuple[float | None, str]:
    """Give the SoC the reference starts from, and why."""
    if options.true_initial_soc is not None:
        return options.true_initial_soc, "given"
    if log.soc_at_start is not None:
        return log.soc_at_start, "file"
    if abs(log.current_a[0]) < _REST_C * model.capacity_ah:
        soc = float(model.soc_from_ocv(log.voltage_v[0], log.temperature_degc[0]))
        return (1.0, "full by first voltage") if soc > 0.98 else (soc, "first voltage")
    if options.initial_soc is not None:
        return options.initial_soc, "initial soc (the log starts under load)"
    return None, "unknown (the log starts under load)"


def _check(options: ReplayOptions) -> None:
    for name in ("initial_soc", "true_initial_soc"):
        value = getattr(options, name)
        if value is not None and not 0.0 <= value <= 1.0:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}: it must be from 0 to 1.")
    if options.capacity_ah is not None and not 0.0 < options.capacity_ah < float("inf"):
        raise ConfigError(
            f"--capacity-ah is {options.capacity_ah}: it must be a positive number of ampere-hours."
        )
    for name in ("current_bias_a", "voltage_bias_v"):
        if not np.isfinite(getattr(options, name)):
            raise ConfigError(f"--{name.replace('_', '-')} must be a finite number.")
    if options.method not in METHODS:
        raise ConfigError(f"--method is {options.method!r}: it must be {', '.join(METHODS)}.")


def _errors(time: FloatArray, error: FloatArray, std: FloatArray) -> dict[str, float | None]:
    late = error[time - time[0] >= 600.0]
    outside = np.flatnonzero(np.abs(error) > SETTLED_ERROR)
    settled: float | None = 0.0
    if len(outside):
        settled = None if outside[-1] == len(error) - 1 else float(time[outside[-1] + 1] - time[0])
    inside = np.flatnonzero(np.abs(error) <= SETTLED_ERROR)
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "max_error": float(np.max(np.abs(error))),
        "rmse_after_10min": float(np.sqrt(np.mean(late**2))) if len(late) else None,
        "coverage95": float(np.mean(np.abs(error) <= 1.96 * std)),
        "first_within_3_percent_s": float(time[inside[0]] - time[0]) if len(inside) else None,
        "converged_after_s": settled,
        "final_error": float(error[-1]),
    }


def replay(
    log: CellLog,
    model: CellModel,
    options: ReplayOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayResult:
    """Run one estimator over a log.

    Parameters
    ----------
    log : CellLog
    model : CellModel
        The cell in the log.
    options : ReplayOptions, optional
    progress : callable, optional
        Called now and then with rows done and rows in all.

    Returns
    -------
    ReplayResult

    Raises
    ------
    openbms_core.config_file.ConfigError
        An option is out of range.
    """
    options = options or ReplayOptions()
    _check(options)
    rows = len(log.time_s)
    estimator: SocEstimator
    if options.method != "coulomb":
        bends = options.method == "sigma"
        kind = SocSigmaPoint if bends else SocEkf
        estimator = kind(model, 1, initial_soc=options.initial_soc, capacity_ah=options.capacity_ah)
    else:
        estimator = CoulombCounter(model, 1, initial_soc=options.initial_soc, capacity_ah=options.capacity_ah)
    duration = np.diff(log.time_s, prepend=log.time_s[0]).tolist()
    current = log.current_a + options.current_bias_a
    voltage = log.voltage_v + options.voltage_bias_v
    temperature = log.temperature_degc
    found = np.empty((5, rows))
    name = ""
    for row in range(rows):
        here = slice(row, row + 1)
        estimate = estimator.step(SocSample(duration[row], current[here], voltage[here], temperature[here]))
        found[0, row] = estimate.soc[0]
        found[1, row] = estimate.soc_std[0]
        found[2, row] = estimate.current_bias_a[0]
        found[3, row] = estimate.resistance_ratio[0]
        found[4, row] = estimate.innovation_v[0]
        if row % 2000 == 0:
            name = estimate.method
            if progress is not None:
                progress(row, rows)
    soc, std = found[0], found[1]

    start, start_source = _reference_start(log, model, options)
    capacity = options.capacity_ah or log.capacity_ah or model.capacity_ah
    names = ("rmse", "mae", "max_error", "rmse_after_10min", "coverage95")
    figures: dict[str, Any] = dict.fromkeys(
        (*names, "first_within_3_percent_s", "converged_after_s", "final_error")
    )
    reference = None
    if log.ah is not None and start is not None:
        reference = start + (log.ah - log.ah[0]) / capacity
        figures |= _errors(log.time_s, soc - reference, std)
    figures |= {
        "rows": rows,
        "duration_s": float(log.time_s[-1] - log.time_s[0]),
        "method": name,
        "cell": model.name,
        "initial_soc": float(soc[0]) if options.initial_soc is None else options.initial_soc,
        "initial_soc_source": "first voltage" if options.initial_soc is None else "given",
        "true_initial_soc": start,
        "true_initial_soc_source": start_source,
        "capacity_ah": float(capacity),
        "final_soc": float(soc[-1]),
        "final_soc_std": float(std[-1]),
        "final_current_bias_a": float(found[2, -1]),
        "final_resistance_ratio": float(found[3, -1]),
    }
    return ReplayResult(log.time_s, soc, std, reference, found[2], found[3], found[4], figures)
