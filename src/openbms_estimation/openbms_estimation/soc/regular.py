"""A whole step of the filter where nothing is unusual, in one compiled call.

Most steps have every voltage, current and temperature, and nothing to be judged after them. What
:class:`openbms_estimation.soc.ekf.SocEkf` works out with a few dozen array operations is then one loop
before and one after :func:`openbms_estimation.soc.kernel.run_compiled`; anything unusual is left to those
operations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openbms_core.compiled import compiled
from openbms_estimation.soc.kernel import Constants, run_compiled

__all__ = ["RESULTS", "UNUSUAL", "Bounds", "fill_results", "regular_step"]

FloatArray = NDArray[np.float64]

UNUSUAL = -1
RESULTS = 7
"""Rows of the results: soc, soc_std, bias, bias_std, resistance ratio, its std, innovation."""


class Bounds(NamedTuple):
    """Beyond these a step is to be looked at."""

    coldest_degc: float
    hottest_degc: float
    restart_variances: float
    small_v: float
    full_v: float
    full_current_c: float
    full_above_degc: float


@compiled
def fill_results(x: FloatArray, p: FloatArray, innovation: FloatArray, results: FloatArray) -> None:
    """Write what a step gives into ``results``, shape (7, n_cells)."""
    for c in range(x.shape[1]):
        results[0, c] = min(max(x[0, c], 0.0), 1.0)
        results[1, c] = np.sqrt(max(p[0, c], 0.0))
        results[2, c] = x[3, c]
        results[3, c] = np.sqrt(max(p[15, c], 0.0))
        results[4, c] = 1.0 + x[4, c]
        results[5, c] = np.sqrt(max(p[18, c], 0.0))
        results[6, c] = innovation[c]


@compiled
def regular_step(
    table: FloatArray,
    axis: tuple[float, ...],
    x: FloatArray,
    p: FloatArray,
    direction: FloatArray,
    doubt: FloatArray,
    increment_ah: FloatArray,
    current_a: FloatArray,
    voltage_v: FloatArray,
    temperature_degc: FloatArray,
    dt_s: float,
    capacity_ah: FloatArray,
    k: Constants,
    bounds: Bounds,
    contradicted_s: FloatArray,
    full_s: FloatArray,
    ones: FloatArray,
    zeros: FloatArray,
    charge_ah: FloatArray,
    innovation: FloatArray,
    variance: FloatArray,
    limited: FloatArray,
    results: FloatArray,
) -> int:
    """Check the sample, work one step, look at what came out.

    Parameters
    ----------
    increment_ah, current_a, voltage_v, temperature_degc : ndarray, shape (n_cells,)
        The sample.
    contradicted_s, full_s : ndarray, shape (n_cells,)
        Counters of the filter; read only.
    ones, zeros : ndarray, shape (n_cells,)
    charge_ah, innovation, variance, limited : ndarray, shape (n_cells,)
        Written.
    results : ndarray, shape (7, n_cells)
        Written.

    The others: see :func:`openbms_estimation.soc.kernel.run_compiled`.

    Returns
    -------
    int
        :data:`UNUSUAL`: the sample is not complete and nothing was done. 1: done, and there is something to
        judge. 0: done.
    """
    for c in range(x.shape[1]):
        volts, degc = voltage_v[c], temperature_degc[c]
        if not (
            np.isfinite(volts)
            and volts > 0.0
            and np.isfinite(current_a[c])
            and bounds.coldest_degc <= degc <= bounds.hottest_degc
        ):
            return UNUSUAL
        charge_ah[c] = increment_ah[c] if np.isfinite(increment_ah[c]) else current_a[c] * (dt_s / 3600.0)
    run_compiled(
        table, axis, x, p, direction, doubt, charge_ah, ones, zeros, current_a, voltage_v, ones, ones,
        temperature_degc, dt_s, capacity_ah, k, innovation, variance, limited,
    )  # fmt: skip
    judge = 0
    for c in range(x.shape[1]):
        full = (
            voltage_v[c] > bounds.full_v
            and 0.0 <= current_a[c] < bounds.full_current_c * capacity_ah[c]
            and temperature_degc[c] > bounds.full_above_degc
        )
        if (
            full
            or limited[c] > 0.5
            or innovation[c] * innovation[c] > bounds.restart_variances * variance[c]
            or np.abs(x[5, c]) > bounds.small_v
            or contradicted_s[c] != 0.0
            or full_s[c] != 0.0
        ):
            judge = 1
            break
    fill_results(x, p, innovation, results)
    return judge
