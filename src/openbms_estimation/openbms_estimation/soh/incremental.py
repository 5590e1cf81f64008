"""Incremental capacity dQ/dV of a slow charge: its peaks move and shrink with what a cell has lost.

The voltage is compensated for the resistance, put on an even grid and smoothed (Savitzky-Golay); the charge
is counted once on each grid line, so that noise of the voltage does not fold back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["IncrementalCapacity", "SlowCharge", "incremental_capacity"]

FloatArray = NDArray[np.float64]

STEP_V = 0.005
_SMOOTHED = 9
_FASTEST_C, _SLOWEST_C, _STEADY = 0.4, 0.02, 0.1
_LEAST_SOC = 0.4
_LONGEST_PAUSE_S = 5.0
_KEPT_V = 0.001


@dataclass(frozen=True)
class IncrementalCapacity:
    """dQ/dV of one cell over one charge.

    Attributes
    ----------
    voltage_v, slope_ah_per_v : ndarray, shape (n,)
        Grid and curve.
    peak_v, peak_ah_per_v : float
        The highest peak inside the range; NaN: there is none.
    """

    voltage_v: FloatArray
    slope_ah_per_v: FloatArray
    peak_v: float
    peak_ah_per_v: float


def incremental_capacity(
    voltage_v: ArrayLike, charge_ah: ArrayLike, drop_v: ArrayLike = 0.0
) -> IncrementalCapacity | None:
    """Compute dQ/dV of a charge.

    Parameters
    ----------
    voltage_v, charge_ah : array_like, shape (n,)
        Course of one charge, charge rising [V], [Ah].
    drop_v : array_like, shape () or (n,)
        Voltage that the current makes, to be taken off [V].

    Returns
    -------
    IncrementalCapacity or None
        None where the charge spans less than 20 grid lines.
    """
    voltage = np.maximum.accumulate(np.asarray(voltage_v, float) - np.asarray(drop_v, float))
    charge = np.asarray(charge_ah, float)
    if voltage.size < 2 or not (np.isfinite(voltage).all() and np.isfinite(charge).all()):
        return None
    grid = np.arange(np.ceil(voltage[0] / STEP_V), np.floor(voltage[-1] / STEP_V) + 1.0) * STEP_V
    if grid.size < 20:
        return None
    # the last charge at which each level was not yet passed
    rising, where = np.unique(voltage, return_index=True)
    counted = np.interp(grid, rising, charge[where])
    from scipy.signal import savgol_filter  # a second of a start, for what few packs need

    slope = savgol_filter(counted, _SMOOTHED, 2, deriv=1, delta=STEP_V)
    inside = slope[1:-1]
    peaks = np.flatnonzero((inside > slope[:-2]) & (inside >= slope[2:])) + 1
    peaks = peaks[(peaks > _SMOOTHED // 2) & (peaks < grid.size - _SMOOTHED // 2 - 1)]
    if not peaks.size:
        return IncrementalCapacity(grid, slope, float("nan"), float("nan"))
    best = int(peaks[np.argmax(slope[peaks])])
    return IncrementalCapacity(grid, slope, float(grid[best]), float(slope[best]))


class SlowCharge:
    """Keeps the course of a slow steady charge of all cells of one string, as long as it lasts.

    Parameters
    ----------
    count : int
        Cells.
    rated_ah : float
        Capacity of the string [Ah].
    """

    def __init__(self, count: int, rated_ah: float) -> None:
        self.count, self.rated_ah = count, rated_ah
        self._clear()

    def _clear(self) -> None:
        self._voltage: list[FloatArray] = []
        self._moved: list[float] = []
        self._current_a, self._sum_ah, self._pause_s = 0.0, 0.0, 0.0

    def step(
        self,
        dt_s: float,
        current_a: float,
        charge_ah: float,
        voltage_v: FloatArray,
        resistance_ohm: FloatArray,
    ) -> list[IncrementalCapacity | None] | None:
        """Take one scan; give the curves of the cells when a charge that is long enough ends.

        Parameters
        ----------
        dt_s : float
            Time since the last scan [s].
        current_a : float
            Of the string [A], positive when charging.
        charge_ah : float
            Charge since the last scan [Ah].
        voltage_v, resistance_ohm : ndarray, shape (n_cells,)
            Cell voltages [V], and what is taken off them per ampere [Ω].

        Returns
        -------
        list or None
            One entry for each cell; None while there is nothing to tell.
        """
        rate = current_a / self.rated_ah
        slow = _SLOWEST_C < rate < _FASTEST_C and np.isfinite(voltage_v).all() and np.isfinite(charge_ah)
        if slow and self._moved and abs(current_a / self._current_a - 1.0) > _STEADY:
            slow = False
        if slow:
            self._current_a = current_a if not self._moved else self._current_a
            self._pause_s = 0.0
            self._sum_ah += charge_ah
            level = voltage_v - current_a * resistance_ohm
            if not self._voltage or float(np.median(level - self._voltage[-1])) > _KEPT_V:
                self._voltage.append(level)
                self._moved.append(self._sum_ah)
            return None
        if not self._moved:
            return None
        self._pause_s += max(dt_s, 0.0)
        if self._pause_s < _LONGEST_PAUSE_S:
            return None
        found = None
        if self._sum_ah >= _LEAST_SOC * self.rated_ah:
            courses = np.array(self._voltage).T
            found = [incremental_capacity(course, self._moved) for course in courses]
        self._clear()
        return found
