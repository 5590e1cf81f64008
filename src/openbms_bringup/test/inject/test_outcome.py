"""Each verdict, from what a system could have said and done."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from openbms_bringup.inject.case import Case
from openbms_bringup.inject.outcome import Trace, complete, judge
from openbms_core.faults import FAULT_BY_ID

CLOSED, OPEN, WELDED = (1, 1, 0), (0, 0, 0), (1, 0, 0)
ROW = "CELL_OVER_VOLTAGE_SAFETY"


def case(**expect: Any) -> Case:
    wanted = {"faults": [ROW], "state": "fault", "contactors": "open", "deadline_s": 2.0} | expect
    if not wanted["faults"]:
        del wanted["deadline_s"]
    return Case.model_validate(
        {"name": "one", "description": "x", "inject": [{"fault": "smoke"}], "expect": wanted}
    )


def trace(**change: Any) -> Trace:
    usual: dict[str, Any] = {
        "faults": [(-1.0, {}), (0.5, {ROW: 0}), (0.9, {ROW: 1})],
        "states": [
            (-0.1, "drive", False),
            (0.7, "drive", True),
            (0.9, "opening", True),
            (1.3, "fault", False),
        ],
        "contacts": [(-0.1, CLOSED, ""), (1.1, OPEN, "")],
    }
    return Trace(**(usual | change))


def verdict(a: Case, b: Trace) -> tuple[str, str]:
    outcome = judge(a, b, FAULT_BY_ID)
    return outcome.verdict, outcome.text


def test_as_expected_with_all_times() -> None:
    outcome = judge(case(), trace(), FAULT_BY_ID, {"cell": 3})
    assert outcome.as_expected and outcome.text == ""
    assert (outcome.detected_s, outcome.zero_request_s, outcome.open_s, outcome.done_s) == (
        0.9,
        0.7,
        1.1,
        1.1,
    )
    assert (outcome.seen, outcome.state, outcome.contactors) == ([ROW], "fault", "open")
    assert json.loads(json.dumps(outcome.to_dict()))["values"] == {"cell": 3}
    assert complete(case(), trace())


@pytest.mark.parametrize(
    ("expect", "change", "expected", "said"),
    [
        ({}, {"faults": [(-1.0, {})]}, "missed", "was not detected"),
        ({}, {"faults": [(-1.0, {}), (0.5, {ROW: 0})]}, "missed", "was not detected"),
        ({}, {"contacts": [(-0.1, CLOSED, "")]}, "missed", "stayed closed"),
        (
            {},
            {"contacts": [(-0.1, CLOSED, ""), (2.5, OPEN, "")]},
            "late",
            "done after 2.50 s, allowed are 2 s",
        ),
        ({"contactors": "any"}, {"contacts": [(-0.1, CLOSED, ""), (2.5, OPEN, "")]}, "in_time", ""),
        (
            {},
            {"faults": [(-1.0, {}), (0.9, {ROW: 1}), (1.5, {ROW: 2, "SMOKE_ALARM": 1})]},
            "false_alarm",
            "SMOKE_ALARM",
        ),
        (
            {"may_also": ["SMOKE_*"]},
            {"faults": [(-1.0, {}), (0.9, {ROW: 1, "SMOKE_ALARM": 1})]},
            "in_time",
            "",
        ),
        ({}, {"faults": [(-1.0, {}), (0.9, {ROW: 1, "ESTIMATOR_LOST": 1})]}, "in_time", ""),
        ({}, {"faults": [(-1.0, {"SMOKE_ALARM": 2}), (0.9, {ROW: 1, "SMOKE_ALARM": 2})]}, "in_time", ""),
        ({}, {"states": [(-0.1, "drive", False), (1.2, "opening", True)]}, "wrong", "ends in opening"),
        (
            {"state": ["fault", "opening"]},
            {"states": [(-0.1, "drive", False), (0.8, "opening", True)]},
            "in_time",
            "",
        ),
        (
            {},
            {"states": [(-0.1, "drive", False), (1.2, "opening", True), (1.3, "fault", False)]},
            "wrong",
            "before zero current was requested",
        ),
        (
            {"zero_first": False},
            {"states": [(-0.1, "drive", False), (1.2, "opening", True), (1.3, "fault", False)]},
            "in_time",
            "",
        ),
        ({"contactors": "closed", "state": None}, {}, "wrong", "contactors are open"),
        ({"refuses": "drive"}, {}, "wrong", "drive was granted"),
        ({"refuses": "drive"}, {"refused": "no"}, "in_time", ""),
        ({"faults": [ROW, "SMOKE_ALARM"]}, {}, "missed", "was not detected"),
        ({"faults": [ROW, "SMOKE_ALARM"], "any_of": True}, {}, "in_time", ""),
        ({"faults": [], "contactors": "closed", "state": "drive"}, {}, "false_alarm", ROW),
    ],
)
def test_verdicts(expect: dict, change: dict, expected: str, said: str) -> None:
    found, text = verdict(case(**expect), trace(**change))
    assert found == expected and said in text


def test_nothing_happens() -> None:
    quiet = case(faults=[], state="drive", contactors="closed")
    still = Trace([(-1.0, {})], [(-0.1, "drive", False)], [(-0.1, CLOSED, "")])
    assert verdict(quiet, still) == ("in_time", "") and complete(quiet, still)
    warned = Trace([(-1.0, {}), (1.0, {"ESTIMATOR_LOST": 1})], still.states, still.contacts)
    assert verdict(quiet, warned)[0] == "false_alarm", "a warning is one too many here"
    told = Trace([(-1.0, {}), (1.0, {"CELL_OVER_VOLTAGE_OPERATING": 1})], still.states, still.contacts)
    assert verdict(quiet, told)[0] == "in_time", "information is none"


def test_what_was_there_before_counts_from_the_onset() -> None:
    early = trace(faults=[(-3.0, {ROW: 1})])
    assert judge(case(), early, FAULT_BY_ID).detected_s is None
    again = trace(faults=[(-3.0, {ROW: 1}), (0.2, {ROW: 1})])
    assert judge(case(), again, FAULT_BY_ID).detected_s == 0.2


def test_a_fault_that_comes_and_goes_at_once_is_named_by_the_state() -> None:
    gone = trace(
        faults=[(-1.0, {})], reasons=[(-0.1, "requested"), (0.8, f"fault:{ROW}"), (1.4, "requested")]
    )
    assert judge(case(), gone, FAULT_BY_ID).detected_s == 0.8
    old = trace(faults=[(-1.0, {})], reasons=[(-0.1, f"fault:{ROW}"), (0.8, f"fault:{ROW}")])
    assert judge(case(), old, FAULT_BY_ID).detected_s is None


def test_a_weld_never_opens_and_needs_not() -> None:
    welded = trace(contacts=[(-0.1, CLOSED, ""), (1.1, WELDED, "")])
    outcome = judge(case(contactors="any"), welded, FAULT_BY_ID)
    assert outcome.as_expected and outcome.open_s is None and outcome.contactors == "partly closed"


def test_it_is_not_complete_before_its_end() -> None:
    assert not complete(case(), trace(contacts=[(-0.1, CLOSED, "")]))
    assert not complete(case(), trace(states=[(-0.1, "drive", False)]))
    assert not complete(case(), Trace())
    assert math.isinf(Trace().first_active_s(ROW)) and Trace().state == ""
