"""What the vehicle asks for, as requests to the safety monitor: each is asked once, and an old one is none.

Nothing closes unasked: a request to close counts when it begins. One that stood there before the gateway
started, or that outlived an opening, must be withdrawn first.
"""

from __future__ import annotations

import math
from enum import IntEnum

from openbms_core.types import State

__all__ = ["Answer", "RequestKeeper"]

_ASK_AGAIN_S = 0.5
_GIVE_UP_S = 5.0
"""A refused request is repeated for this long: the pack may still be starting."""
_LATE_ANSWER_S = 1.0
_CLOSED = (State.DRIVE, State.CHARGE, State.CONNECTED)
_CLOSING = (State.PRECHARGE, *_CLOSED)


class Answer(IntEnum):
    """What became of the vehicle's request; the codes of the DBC."""

    NONE = 0
    ASKED = 1
    ACCEPTED = 2
    REFUSED = 3
    WITHDRAW_FIRST = 4


class RequestKeeper:
    """Decides when the monitor is asked for what.

    Parameters
    ----------
    lost_after_s : float
        The vehicle's request has been unknown for this long: STANDBY is asked for. Infinite: never.

    Attributes
    ----------
    answer : Answer
        What became of the present request.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._armed = False
        self._wanted: State | None = None
        self._since_s = self._asked_s = -math.inf
        self._known_s: float | None = None
        self._waiting: State | None = None
        self._asked_for: State | None = None
        self._waiting_since_s = -math.inf
        self._done = False
        self._began = False
        self._standby_owed = False
        self.answer = Answer.NONE

    def step(
        self, wanted: State | None, state: State | None, now_s: float, *, stop: bool = False
    ) -> State | None:
        """Give what to ask the monitor for now, or None.

        Parameters
        ----------
        wanted : State or None
            STANDBY, DRIVE, CHARGE or CONNECTED, freshly from the vehicle; None: unknown or contradictory.
        state : State or None
            Fresh state of the monitor.
        now_s : float
            Monotonic time [s].
        stop : bool
            Crash or emergency stop: nothing may be closed, and what is asked for then must be withdrawn.
        """
        if stop:
            self._known_s = now_s
            self._follow(State.STANDBY, state, now_s)
            # whoever closes the pack meanwhile: it opens again
            self._standby_owed |= state in _CLOSING
            self._armed = False
            wanted = State.STANDBY
        elif wanted is not None:
            self._known_s = now_s
            self._follow(wanted, state, now_s)
        elif self._lost(now_s):
            self._follow(State.STANDBY, state, now_s)
            # whoever comes back must ask anew: what stands there then is what stood there before
            self._armed = False
        if self._waiting is not None and now_s - self._waiting_since_s > _LATE_ANSWER_S:
            self._waiting = None
        # to open waits for nothing that was asked before
        hurry = self._wanted == State.STANDBY and self._asked_for != State.STANDBY
        if not hurry and (self._waiting is not None or now_s - self._asked_s < _ASK_AGAIN_S):
            return None
        return self._due(wanted, state, now_s)

    def _lost(self, now_s: float) -> bool:
        return self._known_s is not None and now_s - self._known_s >= self._lost_after_s

    def _follow(self, wanted: State, state: State | None, now_s: float) -> None:
        if wanted == State.STANDBY:
            if self._wanted != State.STANDBY:
                self._standby_owed = True
            self._wanted, self._armed, self.answer = State.STANDBY, True, Answer.NONE
            if state is not None and state not in _CLOSING:
                self._standby_owed = False
            return
        if wanted == self._wanted:
            self._watch(wanted, state)
            return
        self._done = self._began = False
        if not self._armed and state != wanted:
            # it stood there already when this began, or goes over from another request
            self.answer = Answer.WITHDRAW_FIRST
            return
        self._wanted, self._since_s, self._asked_s = wanted, now_s, -math.inf
        self._armed, self._standby_owed = False, False
        self._done = self._began = state == wanted
        self.answer = Answer.ACCEPTED if self._done else Answer.ASKED

    def _watch(self, wanted: State, state: State | None) -> None:
        """See whether what was accepted has begun, and whether it has ended since."""
        if not self._done:
            return
        if state == wanted or state == State.PRECHARGE:
            self._began = True
        elif self._began and state is not None:
            self.answer = Answer.WITHDRAW_FIRST

    def _due(self, wanted: State | None, state: State | None, now_s: float) -> State | None:
        if self._wanted == State.STANDBY:
            asked = self._standby_owed and state in _CLOSING
            return self._ask(State.STANDBY, now_s) if asked else None
        if self._wanted is None or self._done or wanted != self._wanted or state is None:
            return None
        if now_s - self._since_s > _GIVE_UP_S:
            return None
        return self._ask(self._wanted, now_s)

    def _ask(self, target: State, now_s: float) -> State:
        self._asked_s = self._waiting_since_s = now_s
        self._waiting = self._asked_for = target
        return target

    def answered(self, target: State, accepted: bool) -> None:
        """Take the monitor's answer to what was asked."""
        if self._waiting == target:
            self._waiting = None
        if target == State.STANDBY or target != self._wanted:
            return
        self._done = accepted
        self.answer = Answer.ACCEPTED if accepted else Answer.REFUSED
