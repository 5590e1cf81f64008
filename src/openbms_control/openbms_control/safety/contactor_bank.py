"""What every contactor is commanded to, for how long, and what its feedback says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN

__all__ = ["NAMES", "NEGATIVE", "POSITIVE", "PRECHARGE", "ContactorBank", "Sensed"]

POSITIVE, NEGATIVE, PRECHARGE = range(3)
NAMES = ("positive", "negative", "precharge")
"""Contactors of a string, in the order of every array."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Sensed:
    """What closing and opening are judged by.

    Attributes
    ----------
    feedback : array, shape (strings, 3)
        Positive, negative, precharge contactor: 0 open, 1 closed, 255 unknown.
    string_voltages_v, string_currents_a : array, shape (strings,)
        NaN where unknown.
    link_voltage_v : float
    largest_current_a : float
        Largest magnitude in any string; NaN if one is unknown.
    scan_number : int
        Tells a new scan from the one that was seen before.
    measured_s : float
        Monotonic time of its acquisition [s]: one that was held up on its way shows contactors as they were.
    """

    feedback: NDArray[np.uint8]
    string_voltages_v: NDArray[np.float64]
    string_currents_a: NDArray[np.float64]
    link_voltage_v: float
    largest_current_a: float
    scan_number: int
    measured_s: float


class ContactorBank:
    """The commands of all contactors.

    Parameters
    ----------
    pack : PackFile

    Attributes
    ----------
    strings : int
    command : array, shape (strings, 3)
        Positive, negative, precharge: 0 open, 1 closed.
    seen_closed : array of bool, shape (strings, 3)
        Feedback has said closed since the contactor was commanded closed.
    """

    def __init__(self, pack: PackFile) -> None:
        self.strings = pack.topology.strings
        self.command = np.zeros((self.strings, 3), dtype=np.uint8)
        self.seen_closed = np.zeros((self.strings, 3), dtype=np.bool_)
        self._closing_s, self._opening_s = pack.contactors.closing_time_s, pack.contactors.opening_time_s
        self._changed_s: NDArray[np.float64] | None = None

    def age_s(self, t_s: float) -> NDArray[np.float64]:
        """Give how long each contactor has been commanded to what it is [s], shape (strings, 3)."""
        if self._changed_s is None:
            self._changed_s = np.full((self.strings, 3), t_s)
        return t_s - self._changed_s

    def set(self, string: int, which: int, value: int, t_s: float) -> None:
        """Command one contactor."""
        self.age_s(t_s)
        assert self._changed_s is not None
        if self.command[string, which] != value:
            self.command[string, which] = value
            self._changed_s[string, which] = t_s
            self.seen_closed[string, which] = False

    def open_string(self, string: int, t_s: float) -> None:
        """Command the three contactors of a string open."""
        for which in (POSITIVE, NEGATIVE, PRECHARGE):
            self.set(string, which, 0, t_s)

    def open_all(self, t_s: float) -> None:
        """Command every contactor open."""
        for string in range(self.strings):
            self.open_string(string, t_s)

    def note(self, sensed: Sensed) -> None:
        """Take the feedback of a scan."""
        since = self.age_s(sensed.measured_s) >= 0.0
        self.seen_closed |= (self.command == 1) & (sensed.feedback == 1) & since

    def followed(self, sensed: Sensed, t_s: float) -> BoolArray:
        """Tell which contactors are as commanded; without feedback, after the time that they need."""
        needed = np.where(self.command == 1, self._closing_s, self._opening_s)
        return np.where(
            sensed.feedback == UNKNOWN, self.age_s(t_s) >= needed, sensed.feedback == self.command
        )

    def failing(self, sensed: Sensed) -> BoolArray:
        """Tell which contactors are commanded closed, but report open and are not on their way."""
        late = self.age_s(sensed.measured_s) > self._closing_s
        return np.asarray((self.command == 1) & (sensed.feedback == 0) & late)

    def commanded_strings(self) -> BoolArray:
        """Tell which strings have both main contactors commanded closed."""
        return np.asarray(self.command[:, :PRECHARGE].all(axis=1))

    def closed_strings(self, sensed: Sensed | None) -> BoolArray:
        """Tell which strings are closed: commanded so, and not reported open."""
        commanded = self.commanded_strings()
        if sensed is None:
            return commanded
        return np.asarray(commanded & (sensed.feedback[:, :PRECHARGE] != 0).all(axis=1))
