"""The largest current and power that no cell's voltage forbids within a horizon.

The predicted voltage (:mod:`openbms_estimation.sop.prediction`) rises with the current, so that the limit is
found by false position, for all cells and horizons at once; what counts is the worst point of the horizon,
not its end. The voltage limit is approached by ``margin_std`` standard deviations of the prediction.

Source: G. L. Plett, *Battery Management Systems*, vol. II, Artech 2016, ch. 6 (power limits by voltage with
an equivalent circuit; a search on the full model instead of its linearisation, which is wrong at the knee).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_estimation.sop.prediction import Path, Situation, Voltages

__all__ = ["CHARGE", "DISCHARGE", "VoltageBound", "excess_v", "power_shape", "solve"]

FloatArray = NDArray[np.float64]

CHARGE, DISCHARGE = 1.0, -1.0
_ITERATIONS = 8
_CLOSE_V = 1e-4
"""Near enough to the limit."""


@dataclass(frozen=True)
class VoltageBound:
    """Result of the search; arrays have the shape (n_cells, horizons).

    Attributes
    ----------
    current_a : ndarray
        Largest current at the end of the horizon [A], a magnitude.
    current_std_a : ndarray
        Its standard deviation [A]; 0 where the voltage does not bind.
    voltage_v : ndarray
        Predicted voltages at that current [V], shape (n_cells, horizons, points), without margin.
    binds : ndarray of bool
        The voltage binds.
    """

    current_a: FloatArray
    current_std_a: FloatArray
    voltage_v: FloatArray
    binds: NDArray[np.bool_]


def excess_v(
    situation: Situation,
    path: Path,
    sign: float,
    magnitude_a: FloatArray,
    limit_v: float,
    margin_std: float,
) -> tuple[FloatArray, Voltages]:
    """Say how far the worst point lies beyond the voltage limit.

    Parameters
    ----------
    situation : Situation
    path : Path
        Of the situation.
    sign : float
        ``CHARGE`` or ``DISCHARGE``.
    magnitude_a : ndarray, shape (n_cells, horizons)
        Current at the end of the horizon [A].
    limit_v : float
        [V].
    margin_std : float
        Distance to keep, in standard deviations.

    Returns
    -------
    excess : ndarray, shape (n_cells, horizons)
        [V]; negative: there is room.
    found : Voltages
    """
    found = situation.predict(sign * magnitude_a, path)
    beyond = sign * (found.voltage_v - limit_v) + margin_std * situation.std_v(found)
    return np.asarray(beyond.max(axis=-1)), found


def solve(
    situation: Situation,
    path: Path,
    sign: float,
    most_a: FloatArray,
    limit_v: float,
    margin_std: float,
) -> VoltageBound:
    """Find the largest current within the voltage limit.

    Parameters
    ----------
    situation, path, sign, limit_v, margin_std
        As in :func:`excess_v`.
    most_a : ndarray, shape (n_cells, horizons)
        Nothing beyond this is looked for [A].
    """

    def excess(magnitude: FloatArray) -> tuple[FloatArray, Voltages]:
        return excess_v(situation, path, sign, magnitude, limit_v, margin_std)

    low, top = np.zeros_like(most_a), most_a
    at_top, found = excess(top)
    binds = at_top > 0.0
    if binds.any():
        at_low, _ = excess(low)
        open_ = binds & (at_low < 0.0)
        # false position with halving (Illinois) keeps the root between low, which is allowed, and top,
        # which is not
        for _ in range(_ITERATIONS):
            if not (open_ & (at_low < -_CLOSE_V)).any():
                break
            span = np.where(open_, at_top - at_low, 1.0)
            middle = low - np.where(open_, at_low * (top - low) / span, 0.0)
            value, _ = excess(middle)
            over = value > 0.0
            at_low, at_top = np.where(over, 0.5 * at_low, value), np.where(over, value, 0.5 * at_top)
            low, top = np.where(over, low, middle), np.where(over, middle, top)
    current = np.where(binds, low, most_a)
    found = situation.predict(sign * current, path) if binds.any() else found
    std_v = situation.std_v(found)[..., -1]
    slope_ohm = np.maximum(found.slope_ohm[..., -1], 1e-6)
    return VoltageBound(current, np.where(binds, std_v / slope_ohm, 0.0), found.voltage_v, binds)


def power_shape(voltage_v: FloatArray) -> FloatArray:
    """Give the current at each point over that at the end, at constant power.

    Parameters
    ----------
    voltage_v : ndarray, shape (…, points)
        Voltage of whatever the power flows through [V].
    """
    return np.asarray(voltage_v[..., -1:] / np.maximum(voltage_v, 0.1 * voltage_v[..., -1:]))
