"""A small table over SoC and temperature, between whose rows 1/T counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SocTemperatureTable"]

FloatArray = NDArray[np.float64]

_KELVIN = 273.15


class SocTemperatureTable:
    """Bilinear over SoC and 1/T, constant beyond the breakpoints.

    Parameters
    ----------
    soc_breakpoints, temperature_breakpoints_degc : sequence of float
        Columns and rows, rising.
    table : array_like, shape (rows, columns)
    """

    def __init__(
        self,
        soc_breakpoints: Sequence[float],
        temperature_breakpoints_degc: Sequence[float],
        table: ArrayLike,
    ) -> None:
        self._soc = np.asarray(soc_breakpoints, float)
        self._inverse = -1.0 / (np.asarray(temperature_breakpoints_degc, float) + _KELVIN)
        self._table = np.asarray(table, float)

    def __call__(self, soc: ArrayLike, temperature_degc: ArrayLike) -> FloatArray:
        """Look up; both broadcast against each other."""
        x = np.clip(np.asarray(soc, float), self._soc[0], self._soc[-1])
        j = np.clip(np.searchsorted(self._soc, x, side="right") - 1, 0, len(self._soc) - 2)
        a = (x - self._soc[j]) / (self._soc[j + 1] - self._soc[j])
        t = self._table
        if len(self._inverse) == 1:
            return np.asarray(t[0][j] * (1 - a) + t[0][j + 1] * a + 0.0 * np.asarray(temperature_degc, float))
        y = -1.0 / (np.asarray(temperature_degc, float) + _KELVIN)
        y = np.clip(y, self._inverse[0], self._inverse[-1])
        i = np.clip(np.searchsorted(self._inverse, y, side="right") - 1, 0, len(self._inverse) - 2)
        b = (y - self._inverse[i]) / (self._inverse[i + 1] - self._inverse[i])
        low = t[i, j] * (1 - a) + t[i, j + 1] * a
        high = t[i + 1, j] * (1 - a) + t[i + 1, j + 1] * a
        return np.asarray(low * (1 - b) + high * b)
