"""The newest value of everything that a pack measures, with why it is or is not there.

One flat table of slots: each quantity of the pack file has as many consecutive slots as the pack has of it.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.pack import PackFile
from openbms_core.types import Validity

__all__ = ["Snapshot", "ValueTable"]

_VALID, _STALE, _MISSING = int(Validity.VALID), int(Validity.STALE), int(Validity.MISSING)
_CHECKSUM, _BUS_LOST = int(Validity.CHECKSUM), int(Validity.BUS_LOST)
_REFUSED = (_CHECKSUM,)
_KEEPS_LAST = (_VALID, _MISSING, _CHECKSUM)


@dataclass(frozen=True)
class Snapshot:
    """The table at one moment.

    Attributes
    ----------
    values : ndarray of float
        Value of each slot; NaN wherever ``validity`` is not VALID.
    validity : ndarray of uint8
        Why (:class:`~openbms_core.types.Validity`).
    ages_s : ndarray of float
        Time since the last good reception [s]; NaN if there was none.
    """

    values: NDArray[np.float64]
    validity: NDArray[np.uint8]
    ages_s: NDArray[np.float64]


class ValueTable:
    """Values, times of reception and outcomes, one slot each.

    The arrays are public because the decoder writes them in its inner loop: it fills them one value at a
    time, which plain arrays do faster than NumPy's; a snapshot reads the same memory as a whole.

    Parameters
    ----------
    pack : PackFile
        Gives the quantities and their number.
    """

    def __init__(self, pack: PackFile) -> None:
        self.sizes = pack.sizes()
        self.offsets: dict[str, int] = {}
        count = 0
        for quantity, size in self.sizes.items():
            self.offsets[quantity] = count
            count += size
        self.count = count
        self.values = array("d", [math.nan] * count)
        self.good_at = array("d", [-math.inf] * count)
        """When the last good value came [s, monotonic]."""
        self.heard_at = array("d", [-math.inf] * count)
        """When the last frame for the slot came, good or not."""
        self.outcome = bytearray([int(Validity.NOT_FITTED)] * count)
        """What the last frame brought."""
        self._values = np.frombuffer(self.values)
        self._good_at, self._heard_at = np.frombuffer(self.good_at), np.frombuffer(self.heard_at)
        self._outcome = np.frombuffer(self.outcome, np.uint8)
        self._max_age_s = np.full(count, math.inf)
        self._mapped = np.zeros(count, bool)

    def slot(self, quantity: str, index: int) -> int:
        """Give the slot of one value."""
        return self.offsets[quantity] + index

    def slots(self, quantity: str) -> slice:
        """Give the slots of a quantity."""
        first = self.offsets[quantity]
        return slice(first, first + self.sizes[quantity])

    def fit(self, slot: int, max_age_s: float) -> None:
        """Note that the device gives this value."""
        self._mapped[slot] = True
        self._max_age_s[slot] = max_age_s
        self.outcome[slot] = int(Validity.MISSING)

    def fitted(self, slot: int) -> bool:
        """Tell whether the device gives this value."""
        return bool(self._mapped[slot])

    def max_age_s(self, slot: int) -> float:
        """Give the age at which the value is stale."""
        return float(self._max_age_s[slot])

    def refuse(self, slots: tuple[int, ...], reason: int, now_s: float) -> None:
        """Note that a frame for these slots was refused.

        After a wrong checksum the last good value stays until it is too old. A stuck counter says that the
        values themselves are old, so they end at once. A reason for which the device had given up a value is
        not overwritten by a broken frame: that must not bring back what came before.
        """
        for slot in slots:
            if reason not in _REFUSED or self.outcome[slot] in _KEEPS_LAST:
                self.outcome[slot] = reason
                self.heard_at[slot] = now_s

    def snapshot(self, now_s: float, *, bus_lost: bool = False) -> Snapshot:
        """Judge every slot.

        Parameters
        ----------
        now_s : float
            Monotonic time.
        bus_lost : bool
            The bus is silent, off or gone: nothing is valid any more.
        """
        values, validity = self._values.copy(), self._outcome.copy()
        ages = now_s - self._good_at
        quiet = now_s - self._heard_at > self._max_age_s
        old = ages > self._max_age_s
        received = self._mapped & (validity != _MISSING)
        # a broken frame now and then: the last good value counts until its own maximum age
        validity[(validity == _CHECKSUM) & ~old] = _VALID
        validity[received & np.where(validity == _VALID, old, quiet)] = _STALE
        if bus_lost:
            validity[self._mapped] = _BUS_LOST
        values[validity != _VALID] = math.nan
        ages[ages == math.inf] = math.nan
        return Snapshot(values, validity, ages)
