"""Every state with every event, against the specification written out by hand."""

from __future__ import annotations

import itertools

import pytest

from openbms_control.safety.state_machine import CLOSING_TARGETS, Event, transition
from openbms_core.types import State

S, E = State, Event

# Rows: state. Columns: what the event does there; a missing event leaves the state.
SPECIFICATION: dict[State, dict[Event, State]] = {
    S.INIT: {E.FAULT: S.FAULT, E.READY: S.STANDBY},
    S.STANDBY: {E.FAULT: S.FAULT, E.REQUEST_CLOSE: S.PRECHARGE},
    S.PRECHARGE: {
        E.FAULT: S.OPENING,
        E.STOP: S.OPENING,
        E.SHUTDOWN: S.OPENING,
        E.REQUEST_STANDBY: S.OPENING,
        E.BLOCKED: S.OPENING,
        E.KEY_OFF: S.OPENING,
        E.CLOSED: S.CONNECTED,  # the target of this test
    },
    S.DRIVE: {
        E.FAULT: S.OPENING,
        E.STOP: S.OPENING,
        E.SHUTDOWN: S.OPENING,
        E.REQUEST_STANDBY: S.OPENING,
        E.KEY_OFF: S.OPENING,
        E.PLUGGED_IN: S.OPENING,
    },
    S.CHARGE: {
        E.FAULT: S.OPENING,
        E.STOP: S.OPENING,
        E.SHUTDOWN: S.OPENING,
        E.REQUEST_STANDBY: S.OPENING,
        E.END_CHARGING: S.OPENING,
    },
    S.CONNECTED: {
        E.FAULT: S.OPENING,
        E.STOP: S.OPENING,
        E.SHUTDOWN: S.OPENING,
        E.REQUEST_STANDBY: S.OPENING,
    },
    S.OPENING: {E.OPENED: S.STANDBY, E.OPENED_WITH_FAULT: S.FAULT},
    S.FAULT: {E.CLEARED: S.STANDBY},
}


EVERY_PAIR = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR, ids=lambda item: item.name)
def test_every_state_with_every_event(state, event):
    assert transition(state, event, State.CONNECTED) == SPECIFICATION[state].get(event, state)


@pytest.mark.parametrize("target", CLOSING_TARGETS)
def test_precharge_leads_to_what_was_requested(target):
    assert transition(State.PRECHARGE, Event.CLOSED, target) == target


def test_closed_states_are_left_only_by_opening_and_entered_only_from_precharge():
    for state, event, target in itertools.product(State, Event, CLOSING_TARGETS):
        after = transition(state, event, target)
        if state in CLOSING_TARGETS:
            assert after in (state, State.OPENING)
        if after in CLOSING_TARGETS and after != state:
            assert state == State.PRECHARGE


def test_no_way_out_of_a_fault_but_clearing():
    assert {transition(S.FAULT, event, S.DRIVE) for event in Event} == {S.FAULT, S.STANDBY}
