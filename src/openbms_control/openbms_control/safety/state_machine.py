"""State machine of the pack: an explicit transition table, and the opening at zero current."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from openbms_control.safety.contactors import ContactorSequencer, Sensed
from openbms_control.safety.wear import ContactorRecord
from openbms_core.pack import PackFile
from openbms_core.types import State

__all__ = ["CLOSING_TARGETS", "TRANSITIONS", "Event", "Inputs", "StateMachine", "transition"]

CLOSING_TARGETS = (State.DRIVE, State.CHARGE, State.CONNECTED)
"""States that can be requested and need closed contactors."""


class Event(Enum):
    """What can move the state machine; the order is the priority when several are true at once."""

    FAULT = "a row of the fault table that opens contactors is active or latched"
    STOP = "the monitor is told to stop (SIGINT, deactivation)"
    SHUTDOWN = "limp-home has expired: power limits have stayed away for too long"
    REQUEST_STANDBY = "STANDBY is requested"
    BLOCKED = "a row that forbids closing, but opens nothing, is active or latched"
    END_CHARGING = "a row that forbids charging, but not driving, is active or latched"
    KEY_OFF = "the ignition has been off for its debounce, and DRIVE is what it is for"
    PLUGGED_IN = "the charging plug is in, and no current flows that could not be broken"
    REQUEST_CLOSE = "DRIVE, CHARGE or CONNECTED was requested and granted"
    READY = "measurements are complete"
    CLOSED = "every string is closed, or left out"
    OPENED_WITH_FAULT = "the contactors are open; a fault forbids closing"
    OPENED = "the contactors are open"
    CLEARED = "no fault forbids closing any more"


_CLOSED = {State.DRIVE, State.CHARGE, State.CONNECTED}
_TARGET = None

TRANSITIONS: dict[tuple[State, Event], State | None] = {
    (State.INIT, Event.FAULT): State.FAULT,
    (State.INIT, Event.READY): State.STANDBY,
    (State.STANDBY, Event.FAULT): State.FAULT,
    (State.STANDBY, Event.REQUEST_CLOSE): State.PRECHARGE,
    (State.PRECHARGE, Event.FAULT): State.OPENING,
    (State.PRECHARGE, Event.STOP): State.OPENING,
    (State.PRECHARGE, Event.SHUTDOWN): State.OPENING,
    (State.PRECHARGE, Event.REQUEST_STANDBY): State.OPENING,
    (State.PRECHARGE, Event.BLOCKED): State.OPENING,
    (State.PRECHARGE, Event.KEY_OFF): State.OPENING,
    (State.PRECHARGE, Event.CLOSED): _TARGET,
    **{
        (state, event): State.OPENING
        for state in _CLOSED
        for event in (Event.FAULT, Event.STOP, Event.SHUTDOWN, Event.REQUEST_STANDBY)
    },
    (State.CHARGE, Event.END_CHARGING): State.OPENING,
    (State.DRIVE, Event.KEY_OFF): State.OPENING,
    (State.DRIVE, Event.PLUGGED_IN): State.OPENING,
    (State.OPENING, Event.OPENED_WITH_FAULT): State.FAULT,
    (State.OPENING, Event.OPENED): State.STANDBY,
    (State.FAULT, Event.CLEARED): State.STANDBY,
}
"""What moves the machine; every other pair leaves the state as it is. None: the requested state.

So DRIVE and CHARGE meet only through STANDBY, and every way out of closed contactors is OPENING."""


def transition(state: State, event: Event, target: State) -> State:
    """Give the state after an event.

    Parameters
    ----------
    state : State
    event : Event
    target : State
        State that was requested last: where CLOSED leads.
    """
    after = TRANSITIONS.get((state, event), state)
    return target if after is None else after


@dataclass(frozen=True)
class Inputs:
    """What one step of the machine is decided by.

    Attributes
    ----------
    sensed : Sensed or None
        The last scan; None if there is none that may be trusted.
    ready : bool
        Measurements are complete.
    faults : tuple of str
        Identifiers of the rows in force that open contactors, the worst first.
    fault_deadline_s : float
        Time that the rows in force which open leave for zero current [s].
    at_once : bool
        One of them does not wait for zero current.
    blocked : str
        Why closing is forbidden; empty: it is not.
    about_to_open : bool
        A row that opens has tripped and is about to act.
    end_charging : str
        Identifier of a row in force that ends charging.
    shutdown, plugged_in, key_off : bool
    """

    sensed: Sensed | None
    ready: bool = False
    faults: tuple[str, ...] = ()
    fault_deadline_s: float = 0.0
    at_once: bool = False
    blocked: str = ""
    about_to_open: bool = False
    end_charging: str = ""
    shutdown: bool = False
    plugged_in: bool = False
    key_off: bool = False

    @property
    def fault(self) -> str:
        """Identifier of the worst row in force that opens contactors; empty: none."""
        return self.faults[0] if self.faults else ""

    @property
    def may_close(self) -> bool:
        """Nothing forbids closing a contactor now."""
        return not (self.fault or self.blocked or self.about_to_open or self.shutdown)


class StateMachine:
    """Carry out the transitions: precharge on the way in, zero current on the way out.

    Parameters
    ----------
    pack : PackFile
    record : ContactorRecord, optional
        What is kept of the contactors from before.

    Attributes
    ----------
    state, previous, requested : State
    reason : str
        Why it is in this state.
    contactors : ContactorSequencer
    """

    def __init__(self, pack: PackFile, record: ContactorRecord | None = None) -> None:
        self.contactors = ContactorSequencer(pack, record)
        self.state, self.previous, self.requested = State.INIT, State.INIT, State.STANDBY
        self.reason = "start"
        self._request: State | None = None
        self._entered_s: float | None = None
        self._stopping = False

    @property
    def deadline_s(self) -> float | None:
        """Monotonic time at which the contactors open whatever flows; None: not waiting for zero current."""
        return self.contactors.opening.deadline_s

    def time_in_state_s(self, t_s: float) -> float:
        """Give the time since the state was entered [s]."""
        return 0.0 if self._entered_s is None else t_s - self._entered_s

    def request(self, target: State) -> None:
        """Take a granted request; it is carried out in the next step."""
        self._request = self.requested = target

    def stop(self) -> None:
        """Begin to end: open what is closed, close nothing any more."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """The machine was told to end."""
        return self._stopping

    @property
    def stopped(self) -> bool:
        """Contactors are open and stay so."""
        return self._stopping and self.state in (State.INIT, State.STANDBY, State.FAULT)

    def step(self, inputs: Inputs, t_s: float) -> None:
        """Take one step.

        Parameters
        ----------
        inputs : Inputs
        t_s : float
            Monotonic time [s].
        """
        if self._entered_s is None:
            self._entered_s = t_s
        self.contactors.age_s(t_s)
        entered = self._leave(inputs, t_s)
        if self.state == State.OPENING:
            # in the step that asks for zero current the contactors still stay as they are
            self._step_opening(inputs, t_s, asked_before=not entered)
        elif self.state in _CLOSED:
            self.contactors.step_closed(inputs.sensed, t_s, may_close=inputs.may_close)
        if self.state == State.FAULT and inputs.fault and self.reason.partition(":")[2] not in inputs.faults:
            self.reason = f"fault:{inputs.fault}"  # what it began with is cleared, something else still holds
        if self.state not in (State.PRECHARGE, *_CLOSED):
            self.requested = State.STANDBY  # a request that could not be carried out any more is over
        self._request = None

    def _events(self, inputs: Inputs, t_s: float) -> dict[Event, str]:
        """Give the events that are true now, with their reason, in the order of priority."""
        opened = self.state == State.OPENING and self.contactors.opened(inputs.sensed, t_s)
        fault = f"fault:{inputs.fault}"
        true = {
            Event.FAULT: fault if inputs.fault else "",
            Event.STOP: "stopped" if self._stopping else "",
            Event.SHUTDOWN: "limp_home_expired" if inputs.shutdown else "",
            Event.REQUEST_STANDBY: "requested" if self._request == State.STANDBY else "",
            Event.BLOCKED: f"fault:{inputs.blocked}" if inputs.blocked else "",
            Event.END_CHARGING: f"fault:{inputs.end_charging}" if inputs.end_charging else "",
            Event.KEY_OFF: "key_off" if inputs.key_off and self.requested == State.DRIVE else "",
            Event.PLUGGED_IN: "charging_plug" if inputs.plugged_in else "",
            Event.REQUEST_CLOSE: "requested"
            if self._request in CLOSING_TARGETS
            and inputs.sensed is not None
            and inputs.may_close
            and not self._stopping
            else "",
            Event.READY: "ready" if inputs.ready else "",
            Event.OPENED_WITH_FAULT: fault if opened and inputs.fault else "",
            Event.OPENED: self.reason if opened else "",
            Event.CLEARED: "faults_cleared" if inputs.ready and not inputs.fault else "",
        }
        return {event: reason for event, reason in true.items() if reason}

    def _leave(self, inputs: Inputs, t_s: float) -> bool:
        """Follow the first event that moves the state; tell whether OPENING was entered."""
        for event, reason in self._events(inputs, t_s).items():
            if self._follow(event, reason, inputs, t_s):
                return self.state == State.OPENING
        # only where nothing leads out: in the step that gives up no contactor is closed any more
        if (
            self.state == State.PRECHARGE
            and inputs.sensed is not None
            and inputs.may_close
            and self.contactors.step_closing(inputs.sensed, t_s)
        ):
            self._follow(Event.CLOSED, "requested", inputs, t_s)
        return False

    def _follow(self, event: Event, reason: str, inputs: Inputs, t_s: float) -> bool:
        """Move the state by an event; tell whether it moved."""
        after = transition(self.state, event, self.requested)
        if after == self.state:
            return False
        self.previous, self.state, self.reason, self._entered_s = self.state, after, reason, t_s
        if after == State.PRECHARGE:
            assert inputs.sensed is not None
            self.contactors.begin_closing(self.requested, inputs.sensed, t_s)
        elif after == State.OPENING:
            self.requested = State.STANDBY
            self.contactors.begin_opening(self.previous, t_s)
        return True

    def _step_opening(self, inputs: Inputs, t_s: float, *, asked_before: bool) -> None:
        if inputs.fault:  # a fault that comes up while it opens by request shortens the wait
            self.contactors.opening.hurry(inputs.fault_deadline_s, t_s)
            if not self.reason.startswith("fault:"):
                self.reason = f"fault:{inputs.fault}"
        if inputs.at_once:
            self.contactors.open_at_once(t_s)
        elif asked_before:
            self.contactors.step_opening(inputs.sensed, t_s, by_fault=bool(inputs.fault))
