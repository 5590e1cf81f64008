"""Which situation the battery is in, as the table of a profile has it."""

from __future__ import annotations

from enum import Enum

from openbms_core.types import BmsStatus, State

__all__ = ["CLOSED_STATES", "Situation", "SituationWatch", "situation_of"]

CLOSED_STATES = (State.DRIVE, State.CHARGE, State.CONNECTED)


class Situation(Enum):
    """What an inverter must be told.

    Attributes
    ----------
    STARTING
        Nothing was heard of the battery yet, or the monitor says INIT before anything was sent.
    STANDBY
        The contactors are open, or the link is being precharged.
    OPENING
        The load must bring its current to zero now.
    FAULT
        A fault forbids closing.
    LOST
        State or limits came once and stay away: the monitor, or the link to it, is gone.
    CONNECTED
        The contactors are closed; the limits hold.
    """

    STARTING = "starting"
    STANDBY = "standby"
    OPENING = "opening"
    FAULT = "fault"
    LOST = "lost"
    CONNECTED = "connected"


def situation_of(
    status: BmsStatus | None, *, limits_fresh: bool, state_was_heard: bool, was_sending: bool
) -> Situation:
    """Judge the situation.

    Parameters
    ----------
    status : BmsStatus or None
        The state, if it is fresh.
    limits_fresh : bool
        There are limits that have not expired.
    state_was_heard : bool
        A state came before.
    was_sending : bool
        The inverter has had frames from us: it must hear zeros rather than nothing.

    Returns
    -------
    Situation
    """
    if status is None:
        return Situation.LOST if state_was_heard else Situation.STARTING
    if status.state == State.FAULT:
        return Situation.FAULT
    if status.state == State.INIT:
        return Situation.STANDBY if was_sending else Situation.STARTING
    if status.state == State.OPENING or (status.zero_current_requested and status.state in CLOSED_STATES):
        return Situation.OPENING
    if status.state not in CLOSED_STATES or not status.contactors_closed:
        return Situation.STANDBY
    return Situation.CONNECTED if limits_fresh else Situation.LOST


class SituationWatch:
    """Remembers since when the situation holds."""

    def __init__(self) -> None:
        self.situation = Situation.STARTING
        self._since_s: float | None = None

    def step(self, situation: Situation, now_s: float) -> float:
        """Take the present situation; give how long it has lasted [s]."""
        if self._since_s is None or situation != self.situation:
            self.situation, self._since_s = situation, now_s
        return max(0.0, now_s - self._since_s)
