"""Move the contactors of each string: voltage-based precharge, several strings, and what counts as closed
and open.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_core.faults import place_in_file
from openbms_core.pack import LoadedPack, PackFile, Precharge
from openbms_core.types import UNKNOWN, State

__all__ = ["ContactorSequencer", "Sensed", "check_contactors"]

POSITIVE, NEGATIVE, PRECHARGE = range(3)

DEVICE_CLOSING_TIME_S = 10.0
"""A device that closes by itself has this long, where the pack file says nothing of precharge."""


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
    """

    feedback: NDArray[np.uint8]
    string_voltages_v: NDArray[np.float64]
    string_currents_a: NDArray[np.float64]
    link_voltage_v: float
    largest_current_a: float


class _Phase(Enum):
    WAIT = auto()
    NEGATIVE = auto()
    PRECHARGE = auto()
    POSITIVE = auto()
    RELEASE = auto()


def check_contactors(loaded: LoadedPack) -> None:
    """Refuse a pack whose precharge, or whose strings' fit to each other, cannot be judged.

    Raises
    ------
    ConfigError
        ``contactors.precharge`` is given, but the link voltage or every string voltage is not measured; or it
        is not given, but there are several strings.
    """
    pack, key = loaded.file, f"{place_in_file(loaded, 'contactors', 'precharge')}: contactors.precharge"
    if pack.contactors.authority != "openbms":
        return
    if pack.contactors.precharge is None:
        if pack.topology.strings > 1:
            raise ConfigError(
                f"{key}: it is absent, but this pack has {pack.topology.strings} strings: "
                "strings of different voltage would be connected without anything between them. Add it, "
                "since voltage_difference_max_v decides whether a string may join."
            )
        return
    if not pack.mapped("link_voltage_v"):
        raise ConfigError(
            f"{key}: precharge is judged by voltage, but device.signals maps no "
            "link_voltage_v. "
            "Map it, or remove contactors.precharge where the load limits its own inrush."
        )
    if not pack.mapped("string_voltage_v") and not pack.mapped("cell_voltage_v"):
        raise ConfigError(
            f"{key}: precharge is judged by voltage, but device.signals maps neither "
            "string_voltage_v nor "
            "cell_voltage_v. Map one of them."
        )


class ContactorSequencer:
    """Close string after string, and open all.

    Close order of a string (foxBMS): negative contactor; precharge contactor; when string and link voltage
    have come together the positive contactor; then the precharge contactor opens. Further strings join only
    within the same voltage difference and below the break current; a string that does not fit stays out.

    Parameters
    ----------
    pack : PackFile

    Attributes
    ----------
    command : array, shape (strings, 3)
        Positive, negative, precharge: 0 open, 1 closed.
    left_out : list of int
        Strings that could not join.
    failed : bool
        Every attempt of the last closing failed.
    """

    def __init__(self, pack: PackFile) -> None:
        self._authority = pack.contactors.authority
        self._contactors = pack.contactors
        self.strings = pack.topology.strings
        self.command = np.zeros((self.strings, 3), dtype=np.uint8)
        self.left_out: list[int] = []
        self.failed = False
        self._changed_s: NDArray[np.float64] | None = None
        self._queue: list[int] = []
        self._string = 0
        self._phase = _Phase.WAIT
        self._phase_since_s = 0.0
        self._wait_s = 0.0
        self._attempts = 0
        self._begun_s = 0.0

    # ---- what is commanded, and whether it was followed ----

    def age_s(self, t_s: float) -> NDArray[np.float64]:
        """Give how long each contactor has been commanded to what it is [s], shape (strings, 3)."""
        if self._changed_s is None:
            self._changed_s = np.full((self.strings, 3), t_s)
        return t_s - self._changed_s

    def _set(self, string: int, which: int, value: int, t_s: float) -> None:
        self.age_s(t_s)
        assert self._changed_s is not None
        if self.command[string, which] != value:
            self.command[string, which] = value
            self._changed_s[string, which] = t_s

    def _followed(self, sensed: Sensed, t_s: float) -> NDArray[np.bool_]:
        """Tell which contactors are as commanded; without feedback, after the time that they need."""
        needed = np.where(self.command == 1, self._contactors.closing_time_s, self._contactors.opening_time_s)
        return np.where(
            sensed.feedback == UNKNOWN, self.age_s(t_s) >= needed, sensed.feedback == self.command
        )

    def closed(self, sensed: Sensed | None) -> bool:
        """Tell whether every string that should be closed is closed, and one should be (always, without
        contactors).
        """
        if self._authority == "none":
            return True
        mains = self.command[:, :PRECHARGE]
        should = mains.all(axis=1)
        if not should.any():
            return False
        is_open = (
            (sensed.feedback[:, :PRECHARGE] == 0)
            if sensed is not None
            else np.zeros_like(mains, dtype=np.bool_)
        )
        return not (is_open.any(axis=1) & should).any()

    def closed_strings(self) -> int:
        """Give how many strings are commanded closed (all, where nobody moves contactors)."""
        if self._authority == "none":
            return self.strings
        return int(self.command[:, :PRECHARGE].all(axis=1).sum())

    # ---- opening ----

    def open_all(self, t_s: float) -> None:
        """Command every contactor open."""
        for string in range(self.strings):
            for which in (POSITIVE, NEGATIVE, PRECHARGE):
                self._set(string, which, 0, t_s)

    def opened(self, sensed: Sensed | None, t_s: float) -> bool:
        """Tell whether everything is open; a contactor that does not follow in its time counts as welded
        elsewhere.
        """
        if self._authority == "none":
            return True
        limit = self._contactors.opening_time_s
        if self._authority == "device":  # it takes its own time
            limit = max(limit, self._contactors.opening_deadline_s)
        timed_out = bool((self.age_s(t_s) >= limit).all())
        return timed_out or (sensed is not None and bool(self._followed(sensed, t_s).all()))

    # ---- closing ----

    def begin_closing(self, target: State, sensed: Sensed, t_s: float) -> None:
        """Start to close the strings, the one with the highest voltage first (for charging the lowest)."""
        self.failed, self.left_out, self._attempts, self._begun_s = False, [], 0, t_s
        sign = 1.0 if target == State.CHARGE else -1.0
        voltages = np.nan_to_num(sign * sensed.string_voltages_v, nan=np.inf)
        self._queue = [int(string) for string in np.argsort(voltages, kind="stable")]
        self._string = self._queue.pop(0)
        self._enter(_Phase.WAIT, t_s)
        self._wait_s = 0.0

    def step_closing(self, sensed: Sensed, t_s: float) -> bool:
        """Go on closing.

        Returns
        -------
        bool
            Every string is closed or left out. ``failed`` tells of a precharge that was given up.
        """
        if self._authority == "none":
            return True
        if self._authority == "device":
            return self._step_device(sensed, t_s)
        return not self.failed and self._step_string(sensed, t_s)

    def _step_device(self, sensed: Sensed, t_s: float) -> bool:
        for string in range(self.strings):
            self._set(string, POSITIVE, 1, t_s)
            self._set(string, NEGATIVE, 1, t_s)
        own = self._contactors.precharge
        allowed = own.timeout_s if own is not None else DEVICE_CLOSING_TIME_S
        if self._followed(sensed, t_s)[:, :PRECHARGE].all():
            return True
        if t_s - self._begun_s >= allowed:
            self.failed = True
        return False

    def _enter(self, phase: _Phase, t_s: float) -> None:
        self._phase, self._phase_since_s = phase, t_s
        moves = {
            _Phase.NEGATIVE: (NEGATIVE, 1),
            _Phase.PRECHARGE: (PRECHARGE, 1),
            _Phase.POSITIVE: (POSITIVE, 1),
        }
        if phase != _Phase.WAIT:
            self._set(self._string, *moves.get(phase, (PRECHARGE, 0)), t_s)

    def _step_string(self, sensed: Sensed, t_s: float) -> bool:
        """Advance one string; a phase that is over leads to the next in the following call."""
        precharge, string = self._contactors.precharge, self._string
        followed, spent = self._followed(sensed, t_s)[string], t_s - self._phase_since_s
        if self._phase == _Phase.WAIT:
            if spent >= self._wait_s:
                return self._start(sensed, precharge, t_s, spent)
        elif self._phase == _Phase.NEGATIVE:
            if followed[NEGATIVE]:
                self._enter(_Phase.PRECHARGE if precharge is not None else _Phase.POSITIVE, t_s)
        elif self._phase == _Phase.PRECHARGE:
            assert precharge is not None
            if followed[PRECHARGE] and self._together(sensed, precharge):
                self._enter(_Phase.POSITIVE, t_s)
            elif spent >= precharge.timeout_s:
                self._give_up(precharge, t_s)
        elif self._phase == _Phase.POSITIVE:
            if followed[POSITIVE]:
                self._enter(_Phase.RELEASE, t_s)
        elif followed[PRECHARGE]:
            return self._next(t_s)
        return False

    def _next(self, t_s: float) -> bool:
        if not self._queue:
            return True
        self._string, self._wait_s = self._queue.pop(0), 0.0
        self._enter(_Phase.WAIT, t_s)
        return False

    def _together(self, sensed: Sensed, precharge: Precharge) -> bool:
        difference = abs(float(sensed.string_voltages_v[self._string]) - sensed.link_voltage_v)
        return difference < precharge.voltage_difference_max_v  # False where one is NaN

    def _start(self, sensed: Sensed, precharge: Precharge | None, t_s: float, waited_s: float) -> bool:
        """Close the negative contactor; a string that joins others must fit to the link before, or stays
        out.
        """
        if self.closed_strings() and precharge is not None:
            calm = sensed.largest_current_a <= self._contactors.break_current_a
            fits = calm and self._together(sensed, precharge)
            if not fits:
                if waited_s < precharge.timeout_s:
                    return False
                self.left_out.append(self._string)
                return self._next(t_s)
        self._enter(_Phase.NEGATIVE, t_s)
        return False

    def _give_up(self, precharge: Precharge, t_s: float) -> None:
        self._set(self._string, PRECHARGE, 0, t_s)
        self._set(self._string, NEGATIVE, 0, t_s)
        self._attempts += 1
        if self._attempts >= precharge.attempts:
            self.failed = True
            return
        self._wait_s = precharge.wait_between_attempts_s
        self._enter(_Phase.WAIT, t_s)
