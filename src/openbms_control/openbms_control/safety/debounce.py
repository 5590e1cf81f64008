"""Debounce in seconds: an up and down integrator for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Debounce"]

_TOLERANCE_S = 1e-3
"""Scans jitter: five scans of 99.9 ms count as half a second."""


class Debounce:
    """Integrate over time how long each row's condition has held, between 0 and its debounce.

    The integral follows the trapezoidal rule: an interval counts up where the condition held at both of its
    ends, down where it held at neither, and not at all where it changed, since nobody knows when. So a
    condition that is seen in a single scan counts nothing, one that holds half of the time never trips, and
    the scan period does not change the time. A row trips when the integral reaches its debounce and clears
    when it is back at zero (both ways at once where the debounce is zero). While a condition is unknown its
    integral stands still.

    Parameters
    ----------
    debounce_s : array, shape (rows,)
        Debounce of each row [s, >= 0].
    """

    def __init__(self, debounce_s: NDArray[np.float64]) -> None:
        self.debounce_s = np.asarray(debounce_s, dtype=np.float64)
        self.held_s = np.zeros_like(self.debounce_s)
        self.tripped = np.zeros(self.debounce_s.shape, dtype=np.bool_)
        self._before = np.zeros(self.debounce_s.shape, dtype=np.bool_)

    def update(
        self, condition: NDArray[np.bool_], known: NDArray[np.bool_], step_s: NDArray[np.float64]
    ) -> None:
        """Take the conditions at the end of an interval.

        Parameters
        ----------
        condition : array of bool, shape (rows,)
            Whether the condition holds now; read only where ``known``.
        known : array of bool, shape (rows,)
            Whether the row was judged now.
        step_s : array, shape (rows,)
            Length of the interval [s, >= 0].
        """
        steady = known & (condition == self._before)
        change = np.where(condition, step_s, -step_s)
        self.held_s = np.where(steady, np.clip(self.held_s + change, 0.0, self.debounce_s), self.held_s)
        trips = known & condition & (self.held_s >= self.debounce_s - _TOLERANCE_S)
        clears = known & ~condition & (self.held_s <= _TOLERANCE_S)
        self.tripped = (self.tripped | trips) & ~clears
        self._before = np.where(known, condition, self._before)

    def counting(self, row: int) -> bool:
        """Tell whether a row's condition holds, or its integral is not back at zero yet."""
        return bool(self._before[row]) or bool(self.held_s[row] > _TOLERANCE_S)
