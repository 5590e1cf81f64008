"""When the key is off for long enough: the decision to end the whole system in order.

No ROS, no clock. Who carries it out: the node ``power_manager`` ends its process with
:data:`EXIT_POWER_DOWN`; what started it (``openbms run``, the launch file) then ends all others in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from openbms_core.types import State

__all__ = ["EXIT_POWER_DOWN", "KeyWatch", "Seen", "Verdict"]

EXIT_POWER_DOWN = 10
"""Exit code of a process that asks for the end of the whole system; no other meaning is given to it."""
OPEN_FOR_S = 1.0
"""Contactors must have been open for this long [s], so that what follows an opening is on disk."""

_ENDED = (State.INIT, State.STANDBY, State.FAULT)
"""States in which nothing is closed and nothing goes on."""


@dataclass(frozen=True)
class Seen:
    """What is known now.

    Attributes
    ----------
    ignition, plug : int
        0 off, 1 on, 255 unknown, as in PackMeasurement.msg.
    state : State or None
        Of the safety monitor; None: no fresh one.
    contactors_closed : bool
        As the monitor says; true while a contactor is commanded to close.
    """

    ignition: int
    plug: int
    state: State | None
    contactors_closed: bool


@dataclass(frozen=True)
class Verdict:
    """What follows.

    Attributes
    ----------
    power_down : bool
        End now.
    text : str
        Why, or what it waits for; for people.
    """

    power_down: bool
    text: str


class KeyWatch:
    """Watch the key.

    Parameters
    ----------
    key_off_s : float
        Time for which the key must be off [s].
    never_on_s : float
        The same where the key has not been on since the start: somebody may work at the vehicle [s].
    """

    def __init__(self, key_off_s: float, never_on_s: float) -> None:
        self._key_off_s = key_off_s
        self._never_on_s = max(never_on_s, key_off_s)
        self._off_since_s = self._open_since_s = math.nan
        self._was_on = False

    def step(self, seen: Seen, now_s: float) -> Verdict:
        """Take what is known now.

        Parameters
        ----------
        seen : Seen
        now_s : float
            Monotonic time [s].
        """
        self._follow_key(seen.ignition, now_s)
        busy = self._busy(seen)
        if busy:
            self._open_since_s = math.nan
        elif math.isnan(self._open_since_s):
            self._open_since_s = now_s
        if math.isnan(self._off_since_s):
            return Verdict(False, "the key is on" if self._was_on else "the key has not been seen yet")
        if busy:
            return Verdict(False, f"the key is off; kept up: {busy}")
        wanted_s = self._key_off_s if self._was_on else self._never_on_s
        left_s = max(
            self._off_since_s + wanted_s - now_s, self._open_since_s + min(OPEN_FOR_S, wanted_s) - now_s
        )
        if left_s > 0.0:
            return Verdict(False, f"the key is off: power-down in {left_s:.0f} s")
        return Verdict(True, f"the key has been off for {now_s - self._off_since_s:.0f} s, nothing is closed")

    def _follow_key(self, ignition: int, now_s: float) -> None:
        if ignition == 1:
            self._was_on, self._off_since_s = True, math.nan
        elif ignition == 0 and math.isnan(self._off_since_s):
            self._off_since_s = now_s
        # unknown: as it was known last. A pack that goes to sleep with the key is off, not on.

    @staticmethod
    def _busy(seen: Seen) -> str:
        if seen.plug == 1:
            return "the charging plug is in"
        if seen.state is None:
            return "the safety monitor says nothing, so that the contactors may be closed"
        if seen.state not in _ENDED or seen.contactors_closed:
            return f"the state is {seen.state.name}"
        return ""
