"""When the monitor is asked for what: each request once, an old one never."""

from __future__ import annotations

import math

from openbms_core.types import State
from openbms_drivers.vehicle.requests import Answer, RequestKeeper

STANDBY, DRIVE, CHARGE = State.STANDBY, State.DRIVE, State.CHARGE


class Run:
    """A keeper with its clock; every answer is what the monitor would say."""

    def __init__(self, lost_after_s: float = 1.0) -> None:
        self.keeper = RequestKeeper(lost_after_s)
        self.now_s = 100.0
        self.asked: list[State] = []

    def go(self, seconds: float, wanted: State | None, state: State | None, **kwargs: bool) -> list[State]:
        """Run for a while; give what was asked."""
        asked = []
        for _ in range(round(seconds / 0.05)):
            self.now_s += 0.05
            if (target := self.keeper.step(wanted, state, self.now_s, **kwargs)) is not None:
                asked.append(target)
        return asked

    def answer(self, target: State, accepted: bool) -> None:
        self.keeper.answered(target, accepted)


def armed() -> Run:
    run = Run()
    assert run.go(0.5, STANDBY, STANDBY) == []
    return run


def test_a_request_is_asked_once_and_answered() -> None:
    run = armed()
    assert run.go(0.05, DRIVE, STANDBY) == [DRIVE]
    assert run.keeper.answer == Answer.ASKED
    run.answer(DRIVE, True)
    assert run.keeper.answer == Answer.ACCEPTED
    assert run.go(2.0, DRIVE, State.PRECHARGE) == []
    assert run.go(20.0, DRIVE, DRIVE) == []


def test_a_request_that_stood_there_before_does_not_close() -> None:
    run = Run()
    assert run.go(10.0, DRIVE, STANDBY) == []
    assert run.keeper.answer == Answer.WITHDRAW_FIRST
    run.go(0.1, STANDBY, STANDBY)
    assert run.go(0.1, DRIVE, STANDBY) == [DRIVE]


def test_a_gateway_that_restarts_while_driving_leaves_it_as_it_is() -> None:
    run = Run()
    assert run.go(5.0, DRIVE, DRIVE) == []
    # and after the pack has opened, the same old request does not close it again
    assert run.go(5.0, DRIVE, STANDBY) == []
    assert run.keeper.answer == Answer.WITHDRAW_FIRST


def test_a_request_that_outlived_a_fault_does_not_close_again() -> None:
    run = armed()
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    run.go(1.0, DRIVE, DRIVE)
    assert run.go(5.0, DRIVE, State.FAULT) == []
    assert run.go(5.0, DRIVE, STANDBY) == []
    assert run.keeper.answer == Answer.WITHDRAW_FIRST


def test_a_refused_request_is_repeated_for_a_while_then_given_up() -> None:
    run = armed()
    asked = 0
    for _ in range(400):
        if run.go(0.05, DRIVE, STANDBY):
            asked += 1
            run.answer(DRIVE, False)
    assert 5 <= asked <= 11
    assert run.keeper.answer == Answer.REFUSED


def test_withdrawing_opens() -> None:
    run = armed()
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    run.go(1.0, DRIVE, DRIVE)
    assert run.go(0.05, STANDBY, DRIVE) == [STANDBY]
    run.answer(STANDBY, True)
    assert run.go(2.0, STANDBY, State.OPENING) == []
    assert run.go(2.0, STANDBY, STANDBY) == []


def test_withdrawing_is_repeated_until_it_is_heard() -> None:
    run = armed()
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    run.go(1.0, DRIVE, DRIVE)
    assert len(run.go(5.0, STANDBY, DRIVE)) >= 3, "an answer that never comes"


def test_another_request_wants_the_first_withdrawn() -> None:
    run = armed()
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    run.go(1.0, DRIVE, DRIVE)
    assert run.go(3.0, CHARGE, DRIVE) == []
    assert run.keeper.answer == Answer.WITHDRAW_FIRST


def test_an_old_request_is_none() -> None:
    run = armed()
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    run.go(1.0, DRIVE, DRIVE)
    assert run.go(0.95, None, DRIVE) == [], "a gap is not a wish"
    assert run.go(0.3, None, DRIVE) == [STANDBY]
    run.answer(STANDBY, True)
    run.go(1.0, None, STANDBY)
    assert run.go(5.0, DRIVE, STANDBY) == [], "what comes back is what stood there before"
    assert run.keeper.answer == Answer.WITHDRAW_FIRST


def test_a_vehicle_that_is_never_lost() -> None:
    run = Run(math.inf)
    run.go(0.5, STANDBY, STANDBY)
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    assert run.go(100.0, None, DRIVE) == []


def test_an_unknown_vehicle_asks_for_nothing() -> None:
    assert Run().go(20.0, None, STANDBY) == []
    assert Run().go(20.0, None, DRIVE) == [], "somebody else asked for it; this vehicle was never heard"


def test_a_stop_opens_and_what_is_asked_meanwhile_must_be_withdrawn() -> None:
    run = armed()
    run.go(0.05, DRIVE, STANDBY)
    run.answer(DRIVE, True)
    run.go(1.0, DRIVE, DRIVE)
    assert run.go(0.05, DRIVE, DRIVE, stop=True) == [STANDBY]
    run.answer(STANDBY, True)
    assert run.go(3.0, DRIVE, STANDBY, stop=True) == []
    assert run.go(3.0, DRIVE, STANDBY) == []
    run.go(0.1, STANDBY, STANDBY)
    assert run.go(0.1, DRIVE, STANDBY) == [DRIVE]


def test_nothing_closes_while_the_monitor_is_not_heard() -> None:
    run = armed()
    assert run.go(2.0, DRIVE, None) == []


def test_a_pack_that_somebody_closes_during_a_stop_is_opened_again() -> None:
    run = armed()
    assert run.go(1.0, STANDBY, STANDBY, stop=True) == []
    assert run.go(0.05, STANDBY, DRIVE, stop=True) == [STANDBY]
    assert run.go(2.0, STANDBY, STANDBY, stop=True) == []


def test_to_open_does_not_wait_for_the_answer_to_what_was_asked_before() -> None:
    run = armed()
    assert run.go(0.05, DRIVE, STANDBY) == [DRIVE]
    assert run.go(0.05, DRIVE, State.PRECHARGE, stop=True) == [STANDBY], "no answer came yet"
    run.answer(DRIVE, True)
    run.answer(STANDBY, True)
    assert run.go(3.0, DRIVE, State.OPENING, stop=True) == []
    assert run.go(3.0, DRIVE, STANDBY) == [], "and what was accepted meanwhile does not count"
