"""One step of the Kalman filter of :mod:`openbms_estimation.soc.ekf`, once for numbers and for arrays.

:func:`advance` is arithmetic only: called with arrays it works on all cells at once (NumPy), called with
numbers from the compiled loop :func:`run_compiled` on one cell after the other (Numba). Both give the same
to rounding; the loop is several times faster because nothing leaves the processor's cache. Most steps have
every voltage, current and temperature, and nothing to be judged after them: :func:`regular_step` works such a
step in one compiled call, anything unusual is left to the array operations of ``ekf.py``.

States: ``z, i1, i2, b, s, e`` (SoC, currents of both RC pairs, offset of the current sensor, relative error
of the resistances, slow voltage error). The covariance is the upper triangle, row by row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openbms_core.compiled import choose, compiled

__all__ = [
    "LOAD_RELATIVE_STD",
    "RESULTS",
    "UNUSUAL",
    "UPPER",
    "Bounds",
    "Constants",
    "advance",
    "fill_results",
    "regular_step",
    "run_compiled",
]

FloatArray = NDArray[np.float64]
Value = Any
"""A number or an array of shape (n_cells,)."""

STATES = 6
UPPER = np.triu_indices(STATES)
"""Rows and columns of the 21 kept elements of the covariance."""

SOC_LOW, SOC_HIGH = -0.05, 1.005
"""Full is full by definition: beyond it a curve that goes on straight would make a filter certain."""
MOST_C = 200.0
"""Mean currents beyond this many capacities per hour are not believed in the RC pairs."""
NARROWEST_SOC = 0.02
"""The slope of the open-circuit voltage is never taken over less than ± this: no estimator knows the SoC
better, and the tangent of a measured curve is noise."""
WIDEST_SOC = 0.2
LOAD_RELATIVE_STD = 0.7
"""Slow voltage error as a part of the overpotential that lasts, if the resistance may be wrong by 100 %."""
ROOT3 = 1.7320508075688772


class Constants(NamedTuple):
    """What is the same for all cells and steps; see :class:`openbms_estimation.soc.ekf.EkfSettings`."""

    voltage_noise_v2: float
    bias_std_c: float
    bias_walk_s: float
    charge_relative_std: float
    unknown_soc_var: float
    unknown_current_c: float
    gate2: float
    resistance_correlation_soc: float
    resistance_correlation_s: float
    resistance_state: float
    fast_correlation_s: float
    sigma_points: float
    doubt_time_s: float
    most_doubt: float
    load_relative_std: float
    bend_var: float
    correlation_v: float
    correlation_s: float
    fast_overpotential_ratio: float
    shared_resistance_error: float
    coulombic_efficiency: float
    hysteresis_soc: float


def predicted_soc(z: Value, bias_a: Value, charge_ah: Value, known: Value, dt_s: Value, capacity_ah: Value,
                  efficiency: float) -> tuple[Value, Value]:  # fmt: skip
    """Give the SoC after the step, and the charge that really moved [Ah]."""
    charge = known * (charge_ah - bias_a * (dt_s / 3600.0))
    moved = charge * choose(charge > 0.0, efficiency, 1.0) / capacity_ah
    return np.minimum(np.maximum(z + moved, SOC_LOW), SOC_HIGH), charge


def spread_of(p_zz: Value, sigma_points: float) -> Value:
    """Half-width over which the slope of the OCV is taken: ±2 %, or the sigma points at √3 deviations."""
    wide = np.minimum(np.maximum(ROOT3 * np.sqrt(np.maximum(p_zz, 0.0)), NARROWEST_SOC), WIDEST_SOC)
    return choose(sigma_points > 0.5, wide, NARROWEST_SOC)


def advance(
    x: tuple[Value, ...],
    p: tuple[Value, ...],
    direction: Value,
    doubt: Value,
    z_next: Value,
    charge_ah: Value,
    known: Value,
    blind_var: Value,
    current_a: Value,
    voltage_v: Value,
    use: Value,
    more_error: Value,
    dt_s: Value,
    capacity_ah: Value,
    q: tuple[Value, ...],
    ocv_up: Value,
    ocv_down: Value,
    spread: Value,
    k: Constants,
) -> tuple[Value, ...]:
    """Predict over ``dt_s`` and correct with the voltage where ``use`` is 1.

    Parameters
    ----------
    x, p : tuple
        State (6) and upper triangle of the covariance (21) before the step.
    direction, doubt : number or array
        Hysteresis, -1…1; running mean of the squared innovation / its variance.
    z_next, charge_ah : number or array
        From :func:`predicted_soc`.
    known, use : number or array
        1 where the charge of the step is known / where the voltage counts; else 0.
    blind_var : number or array
        Variance of the SoC that an unmeasured current adds.
    current_a, voltage_v : number or array
        Measured; any number where they do not count.
    more_error : number or array
        Factor on the slow model error (temperature not measured).
    dt_s, capacity_ah : number or array
    q : tuple
        The cell's parameters at ``z_next`` in the order of
        :class:`openbms_core.models.ecm.CellParameters`.
    ocv_up, ocv_down, spread : number or array
        Open-circuit voltage of the present branch at ``z_next`` ± ``spread``.
    k : Constants

    Returns
    -------
    tuple
        Six states, 21 covariances, direction, doubt, innovation [V], expected variance of the innovation
        [V²], 1 where the innovation lost weight.
    """
    z, i1, i2, b, s, e = x
    zz, z1, z2, zb, zs, ze, p11, p12, p1b, p1s, p1e, p22, p2b, p2s, p2e, bb, bs, be, ss, se, ee = p
    (ocv, half_gap, _, _, r0, rk, ik, r1, tau1, r2, tau2, slow_std, s_std, pair_std, _) = q

    # ---- predict ----
    hours = dt_s / 3600.0
    most = MOST_C * capacity_ah
    mean = np.minimum(np.maximum(charge_ah / np.maximum(hours, 1e-9), -most), most)
    efficiency = choose(charge_ah > 0.0, k.coulombic_efficiency, 1.0)
    moved = charge_ah * efficiency / capacity_ah
    distance = np.abs(moved)
    slope = (ocv_up - ocv_down) / (2.0 * spread)
    a1 = np.exp(-dt_s / tau1)
    a2 = np.exp(-dt_s / tau2)
    fe = np.exp(-np.abs(slope) * distance / k.correlation_v - dt_s / k.correlation_s)
    fs = np.exp(-distance / k.resistance_correlation_soc - dt_s / k.resistance_correlation_s)
    drift = -efficiency * hours * known / capacity_ah
    direction = np.minimum(np.maximum(direction + moved / k.hysteresis_soc, -1.0), 1.0)

    z = z_next
    i1 = a1 * i1 + (1.0 - a1) * mean
    i2 = a2 * i2 + (1.0 - a2) * mean
    s = fs * s
    e = fe * e

    zz = zz + drift * (2.0 * zb + drift * bb)
    z1 = a1 * (z1 + drift * p1b)
    z2 = a2 * (z2 + drift * p2b)
    zb = zb + drift * bb
    zs = fs * (zs + drift * bs)
    ze = fe * (ze + drift * be)
    p11 = a1 * a1 * p11
    p12 = a1 * a2 * p12
    p1b = a1 * p1b
    p1s = a1 * fs * p1s
    p1e = a1 * fe * p1e
    p22 = a2 * a2 * p22
    p2b = a2 * p2b
    p2s = a2 * fs * p2s
    p2e = a2 * fe * p2e
    bs = fs * bs
    be = fe * be
    ss = fs * fs * ss
    se = fs * fe * se
    ee = fe * fe * ee

    # a model that has lately been further off than it says is trusted less
    inflation = np.minimum(np.maximum(doubt, 1.0), k.most_doubt)
    # between the branches the path is a guess
    between = 0.4 * half_gap * (1.0 - direction * direction)
    # what lasts of a wrong resistance is in proportion to the load that lasts
    load = k.load_relative_std * s_std * ((r0 + r1) * np.abs(i1) + r2 * np.abs(i2))
    slow_var = more_error * more_error * inflation * (slow_std * slow_std + load * load) + between * between
    swing = (pair_std * mean) ** 2 * inflation + (1.0 - known) * (k.unknown_current_c * capacity_ah) ** 2
    zz = zz + k.charge_relative_std * k.charge_relative_std * distance + blind_var
    p11 = p11 + swing * (1.0 - a1 * a1)
    p22 = p22 + swing * (1.0 - a2 * a2)
    bb = bb + (k.bias_std_c * capacity_ah) ** 2 * (dt_s / k.bias_walk_s)
    ss = ss + k.resistance_state * s_std * s_std * (1.0 - fs * fs)
    ee = ee + slow_var * (1.0 - fe * fe)
    # nobody can be less certain than "anywhere"; scaling row and column keeps the matrix positive
    scale = choose(
        zz > k.unknown_soc_var, np.sqrt(k.unknown_soc_var / np.maximum(zz, k.unknown_soc_var)), 1.0
    )
    zz, z1, z2, zb, zs, ze = scale * scale * zz, scale * z1, scale * z2, scale * zb, scale * zs, scale * ze

    # ---- correct ----
    u = current_a - b
    instant = r0 * u + rk * (ik * np.arcsinh(u / ik) - u)
    sag = half_gap * direction
    shared = k.shared_resistance_error
    lever = instant + shared * (r1 * i1 + r2 * i2)
    r1, r2 = (1.0 + shared * s) * r1, (1.0 + shared * s) * r2
    # mean and variance of the OCV over a spread-out SoC, to second order (central differences)
    bend = (ocv_up + ocv_down - 2.0 * (ocv + sag)) / (spread * spread)
    mean_bend = k.sigma_points * 0.5 * bend * np.minimum(zz, spread * spread / 3.0)
    unsure = 0.5 * bend * np.minimum(zz, k.bend_var)
    expected = ocv + sag + mean_bend + (1.0 + s) * instant + r1 * i1 + r2 * i2 + e
    # an offset of the current is seen by the charge it moves; its voltage drop is lost in the model's error
    hz = zz * slope + z1 * r1 + z2 * r2 + zs * lever + ze
    h1 = z1 * slope + p11 * r1 + p12 * r2 + p1s * lever + p1e
    h2 = z2 * slope + p12 * r1 + p22 * r2 + p2s * lever + p2e
    hb = zb * slope + p1b * r1 + p2b * r2 + bs * lever + be
    hs = zs * slope + p1s * r1 + p2s * r2 + ss * lever + se
    he = ze * slope + p1e * r1 + p2e * r2 + se * lever + ee
    variance = slope * hz + r1 * h1 + r2 * h2 + lever * hs + he
    # an error that lasts seconds counts once, however often it is sampled
    step_s = choose(dt_s > 0.0, np.maximum(dt_s, 1e-4), 1.0)
    correlated = 1.0 + 2.0 * k.fast_correlation_s / step_s
    # where the current has just changed, what follows it within seconds is not settled yet
    fast = k.fast_overpotential_ratio * (np.abs(instant) + r0 * np.abs(u - i1))
    noise = k.voltage_noise_v2 + correlated * (fast * fast + 2.0 * unsure * unsure)
    innovation = use * (voltage_v - expected)
    squared = innovation * innovation
    total = variance + noise
    limited = use * choose(squared > k.gate2 * total, 1.0, 0.0)
    total = choose(limited > 0.5, squared / k.gate2, total)
    weight = use / total
    gain = weight * innovation
    z = np.minimum(np.maximum(z + gain * hz, SOC_LOW), SOC_HIGH)
    i1 = i1 + gain * h1
    i2 = i2 + gain * h2
    b = b + gain * hb
    s = np.minimum(np.maximum(s + gain * hs, -0.6), 3.0)
    e = e + gain * he
    zz = zz - weight * hz * hz
    z1 = z1 - weight * hz * h1
    z2 = z2 - weight * hz * h2
    zb = zb - weight * hz * hb
    zs = zs - weight * hz * hs
    ze = ze - weight * hz * he
    p11 = p11 - weight * h1 * h1
    p12 = p12 - weight * h1 * h2
    p1b = p1b - weight * h1 * hb
    p1s = p1s - weight * h1 * hs
    p1e = p1e - weight * h1 * he
    p22 = p22 - weight * h2 * h2
    p2b = p2b - weight * h2 * hb
    p2s = p2s - weight * h2 * hs
    p2e = p2e - weight * h2 * he
    bb = bb - weight * hb * hb
    bs = bs - weight * hb * hs
    be = be - weight * hb * he
    ss = ss - weight * hs * hs
    se = se - weight * hs * he
    ee = ee - weight * he * he
    forget = use * (1.0 - np.exp(-dt_s / k.doubt_time_s))
    ratio = np.minimum(squared / (variance + noise), 25.0)
    doubt = doubt + forget * (ratio - doubt)
    return (
        z, i1, i2, b, s, e,
        zz, z1, z2, zb, zs, ze, p11, p12, p1b, p1s, p1e, p22, p2b, p2s, p2e, bb, bs, be, ss, se, ee,
        direction, doubt, innovation, variance + noise, limited,
    )  # fmt: skip


_predicted_soc = compiled(predicted_soc)
_spread_of = compiled(spread_of)
_advance = compiled(advance)


@compiled
def _corners(soc: float, temperature_degc: float, axis: tuple[float, ...]) -> tuple[int, float, float]:
    """Row of the table and both distances from there; ``axis``: first and steps per unit of both axes."""
    column = min(max((soc - axis[0]) * axis[1], 0.0), axis[2] - 1.0)
    row = min(max((temperature_degc - axis[3]) * axis[4], 0.0), axis[5] - 1.0)
    left = min(int(column), int(axis[2]) - 2)
    below = min(int(row), int(axis[5]) - 2)
    return below * int(axis[2]) + left, column - left, row - below


@compiled
def run_compiled(
    table: FloatArray,
    axis: tuple[float, ...],
    x: FloatArray,
    p: FloatArray,
    direction: FloatArray,
    doubt: FloatArray,
    charge_ah: FloatArray,
    known: FloatArray,
    blind_var: FloatArray,
    current_a: FloatArray,
    voltage_v: FloatArray,
    use: FloatArray,
    more_error: FloatArray,
    temperature_degc: FloatArray,
    dt_s: float,
    capacity_ah: FloatArray,
    k: Constants,
    innovation: FloatArray,
    variance: FloatArray,
    limited: FloatArray,
) -> None:
    """Work :func:`advance` through all cells, in place.

    Parameters
    ----------
    table : ndarray, shape (rows x columns, parameters)
        Of :class:`openbms_core.models.ecm.CellModel`.
    axis : tuple of float
        First SoC, steps per unit SoC, number; first temperature, steps per kelvin, number.
    x, p : ndarray, shape (6, n_cells), (21, n_cells)
    innovation, variance, limited : ndarray, shape (n_cells,)
        Results. The others: as in :func:`advance`, one value a cell; ``dt_s`` and ``k`` for all.
    """
    columns = int(axis[2])
    for c in range(x.shape[1]):
        z, charge = _predicted_soc(
            x[0, c], x[3, c], charge_ah[c], known[c], dt_s, capacity_ah[c], k.coulombic_efficiency
        )
        here, right, above = _corners(z, temperature_degc[c], axis)
        w3 = right * above
        w2, w1 = above - w3, right - w3
        w0 = 1.0 - right - above + w3
        t0, t1, t2, t3 = table[here], table[here + 1], table[here + columns], table[here + columns + 1]
        q = (
            w0 * t0[0] + w1 * t1[0] + w2 * t2[0] + w3 * t3[0],
            w0 * t0[1] + w1 * t1[1] + w2 * t2[1] + w3 * t3[1],
            0.0,
            0.0,
            w0 * t0[4] + w1 * t1[4] + w2 * t2[4] + w3 * t3[4],
            w0 * t0[5] + w1 * t1[5] + w2 * t2[5] + w3 * t3[5],
            w0 * t0[6] + w1 * t1[6] + w2 * t2[6] + w3 * t3[6],
            w0 * t0[7] + w1 * t1[7] + w2 * t2[7] + w3 * t3[7],
            w0 * t0[8] + w1 * t1[8] + w2 * t2[8] + w3 * t3[8],
            w0 * t0[9] + w1 * t1[9] + w2 * t2[9] + w3 * t3[9],
            w0 * t0[10] + w1 * t1[10] + w2 * t2[10] + w3 * t3[10],
            w0 * t0[11] + w1 * t1[11] + w2 * t2[11] + w3 * t3[11],
            w0 * t0[12] + w1 * t1[12] + w2 * t2[12] + w3 * t3[12],
            w0 * t0[13] + w1 * t1[13] + w2 * t2[13] + w3 * t3[13],
            0.0,
        )
        moved = charge / capacity_ah[c] / k.hysteresis_soc
        turned = min(max(direction[c] + moved * (k.coulombic_efficiency if charge > 0.0 else 1.0), -1.0), 1.0)
        spread = _spread_of(p[0, c], k.sigma_points)
        at, right, above = _corners(z + spread, temperature_degc[c], axis)
        low = table[at, 0] + turned * table[at, 1]
        high = table[at + 1, 0] + turned * table[at + 1, 1]
        low2 = table[at + columns, 0] + turned * table[at + columns, 1]
        high2 = table[at + columns + 1, 0] + turned * table[at + columns + 1, 1]
        up = (1.0 - above) * (low + right * (high - low)) + above * (low2 + right * (high2 - low2))
        at, right, above = _corners(z - spread, temperature_degc[c], axis)
        low = table[at, 0] + turned * table[at, 1]
        high = table[at + 1, 0] + turned * table[at + 1, 1]
        low2 = table[at + columns, 0] + turned * table[at + columns, 1]
        high2 = table[at + columns + 1, 0] + turned * table[at + columns + 1, 1]
        down = (1.0 - above) * (low + right * (high - low)) + above * (low2 + right * (high2 - low2))
        found = _advance(
            (x[0, c], x[1, c], x[2, c], x[3, c], x[4, c], x[5, c]),
            (
                p[0, c], p[1, c], p[2, c], p[3, c], p[4, c], p[5, c], p[6, c], p[7, c], p[8, c], p[9, c],
                p[10, c], p[11, c], p[12, c], p[13, c], p[14, c], p[15, c], p[16, c], p[17, c], p[18, c],
                p[19, c], p[20, c],
            ),
            direction[c], doubt[c], z, charge, known[c], blind_var[c], current_a[c], voltage_v[c], use[c],
            more_error[c], dt_s, capacity_ah[c], q, up, down, spread, k,
        )  # fmt: skip
        for row in range(6):
            x[row, c] = found[row]
        for row in range(21):
            p[row, c] = found[6 + row]
        direction[c], doubt[c], innovation[c] = found[27], found[28], found[29]
        variance[c], limited[c] = found[30], found[31]


# ---- a whole step where nothing is unusual; in this file, since a compiled loop kept on disk does not
# notice that one which it calls has changed in another ----

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
