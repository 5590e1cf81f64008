"""Zero of the current sensors, learnt while the contactors are open: what they show then is their offset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SensorZero"]

FloatArray = NDArray[np.float64]

_SETTLE_S, _AVERAGED_S = 5.0, 60.0
_KNOWN_SHARE = 0.02
"""Standard deviation of a zero just learnt, as a part of that of one that is not known."""
_WANDERS_S = 7.0 * 86_400.0
"""Time in which a zero becomes as doubtful as one that was never learnt [s]."""


class SensorZero:
    """Offset of each string's sensor.

    Parameters
    ----------
    strings : int
    unknown_std_a : float
        Standard deviation of an offset of which nothing is known [A].
    """

    def __init__(self, strings: int, unknown_std_a: float) -> None:
        self.offset_a = np.zeros(strings)
        self._unknown = unknown_std_a
        self._variance = np.full(strings, unknown_std_a**2)
        self._open_s = 0.0

    def step(self, dt_s: float, current_a: FloatArray, contactors_open: bool) -> None:
        """Take one scan.

        Parameters
        ----------
        dt_s : float
            Time since the last one [s].
        current_a : ndarray, shape (strings,)
            NaN: unknown.
        contactors_open : bool
            By their feedback no current can flow.
        """
        dt = max(dt_s, 0.0)
        limit = self._unknown**2
        self._variance = np.minimum(self._variance + limit * dt / _WANDERS_S, limit)
        self._open_s = self._open_s + dt if contactors_open else 0.0
        if self._open_s < _SETTLE_S or dt == 0.0:
            return
        known = np.isfinite(current_a)
        # the first reading counts as it is, later ones are averaged
        share = np.maximum(1.0 - np.exp(-dt / _AVERAGED_S), self._variance / (self._variance + limit))
        self.offset_a += np.where(known, share * (current_a - self.offset_a), 0.0)
        floor = (_KNOWN_SHARE * self._unknown) ** 2
        self._variance = np.where(known, np.maximum((1.0 - share) * self._variance, floor), self._variance)

    def std_a(self) -> FloatArray:
        """Give the standard deviation of each offset [A]."""
        return np.sqrt(self._variance)

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the string."""
        return {"sensor_zero": np.array([self.offset_a, self._variance])}

    def resume(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of these sensors.
        """
        rows = np.asarray(state.get("sensor_zero", np.nan), float)
        if rows.shape != (2, self.offset_a.size) or not np.isfinite(rows).all() or (rows[1] <= 0.0).any():
            raise ValueError("sensor_zero is not that of these sensors")
        self.offset_a, self._variance = rows[0].copy(), rows[1].copy()
