"""Limits that fall at once and rise slowly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Recovery"]

FloatArray = NDArray[np.float64]


class Recovery:
    """Rate limit of a row of limits, upwards only.

    Parameters
    ----------
    full : float
        The rating: a rise from zero to it takes ``recovery_s``.
    recovery_s : float
        [s].
    count : int
        Length of the row.
    """

    def __init__(self, full: float, recovery_s: float, count: int) -> None:
        self._rate = full / recovery_s
        self._last = np.full(count, np.inf)

    def step(self, dt_s: float, wanted: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Give the limits now, and which of them are still rising.

        Parameters
        ----------
        dt_s : float
            Time since the last step [s].
        wanted : ndarray, shape (count,)
            Limits without this rule; the first ones are taken as they are.
        """
        most = self._last + self._rate * max(dt_s, 0.0)
        self._last = np.minimum(wanted, most)
        return self._last.copy(), wanted > most
