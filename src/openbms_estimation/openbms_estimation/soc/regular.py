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
from openbms_estimation.soc.kernel import Constants, _corners, run_compiled

__all__ = ["RESULTS", "UNUSUAL", "Bounds", "fill_results", "regular_step"]

FloatArray = NDArray[np.float64]

UNUSUAL = -1
RESULTS = 7
"""Rows of the results: soc, soc_std, bias, bias_std, resistance ratio, its std, innovation."""


class Bounds(NamedTuple):
    """What is unusual; see :class:`openbms_estimation.soc.ekf.EkfSettings`."""

    coldest_degc: float
    hottest_degc: float
    restart_sigma: float
    restart_after_s: float
    full_time_s: float
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
def _slow_std(
    table: FloatArray,
    axis: tuple[float, ...],
    x: FloatArray,
    c: int,
    temperature_degc: float,
    load_std: float,
) -> float:
    """Standard deviation that the slow model error of a cell may have now [V]."""
    at, right, above = _corners(x[0, c], temperature_degc, axis)
    columns = int(axis[2])
    r0 = r1 = r2 = slow = relative = 0.0
    for row, weight in (
        (at, (1.0 - right) * (1.0 - above)),
        (at + 1, right * (1.0 - above)),
        (at + columns, (1.0 - right) * above),
        (at + columns + 1, right * above),
    ):
        r0 += weight * table[row, 4]
        r1 += weight * table[row, 7]
        r2 += weight * table[row, 9]
        slow += weight * table[row, 11]
        relative += weight * table[row, 12]
    lasting = (r0 + r1) * abs(x[1, c]) + r2 * abs(x[2, c])
    return float(np.hypot(slow, load_std * relative * lasting))


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
    quality: NDArray[np.uint8],
    limited_bit: np.uint8,
    results: FloatArray,
) -> int:
    """Check the sample, work one step, judge what came out.

    Parameters
    ----------
    increment_ah, current_a, voltage_v, temperature_degc : ndarray, shape (n_cells,)
        The sample.
    contradicted_s, full_s : ndarray, shape (n_cells,)
        For how long a cell has contradicted, and has been full; counted on.
    ones, zeros : ndarray, shape (n_cells,)
    charge_ah, innovation, variance, limited : ndarray, shape (n_cells,)
        Written.
    quality : ndarray of uint8, shape (n_cells,)
        Gets ``limited_bit`` where an innovation lost weight.
    results : ndarray, shape (7, n_cells)
        Written.

    The others: see :func:`openbms_estimation.soc.kernel.run_compiled`.

    Returns
    -------
    int
        :data:`UNUSUAL`: the sample is not complete and nothing was done. 1: done, and a counter has reached
        its time. 0: done.
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
    act = 0
    for c in range(x.shape[1]):
        if limited[c] > 0.5:
            quality[c] |= limited_bit
        error = abs(x[5, c])
        against = innovation[c] * innovation[c] > bounds.restart_sigma**2 * variance[c]
        if error > bounds.small_v and not against:
            slow_std = _slow_std(table, axis, x, c, temperature_degc[c], k.load_relative_std)
            against = error > bounds.restart_sigma * slow_std
        contradicted_s[c] = contradicted_s[c] + dt_s if against else 0.0
        full = (
            voltage_v[c] > bounds.full_v
            and 0.0 <= current_a[c] < bounds.full_current_c * capacity_ah[c]
            and temperature_degc[c] > bounds.full_above_degc
        )
        full_s[c] = full_s[c] + dt_s if full else 0.0
        if contradicted_s[c] > bounds.restart_after_s or full_s[c] > bounds.full_time_s:
            act = 1
    fill_results(x, p, innovation, results)
    return act
