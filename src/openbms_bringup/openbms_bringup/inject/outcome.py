"""What came of an injected fault: judged from what the system said and did, against what the case expects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from openbms_bringup.inject.case import Case
from openbms_core.faults import FAULT_BY_ID, Action, FaultRow
from openbms_core.types import Level

__all__ = ["IN_USE", "Outcome", "Trace", "complete", "judge"]

IN_USE = ("precharge", "drive", "charge", "connected")
_ACTIVE = (1, 2)
"""States of a fault that count: active and latched; 0 is pending."""


@dataclass
class Trace:
    """What a system said and did, in times since the onset [s].

    Attributes
    ----------
    faults : list of (time, {identifier: state})
        Every change of the faults; state 0 pending, 1 active, 2 latched.
    states : list of (time, name, zero current requested)
    contacts : list of (time, closed contacts, device's trip)
        Where the contacts really are, positive, negative and precharge.
    reasons : list of (time, reason)
        Why the monitor was in its state: a fault that came and went at once is named here too.
    refused : str or None
        What the monitor said to the request that it should refuse; None: it was not asked, or granted it.
    """

    faults: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    states: list[tuple[float, str, bool]] = field(default_factory=list)
    contacts: list[tuple[float, tuple[int, ...], str]] = field(default_factory=list)
    reasons: list[tuple[float, str]] = field(default_factory=list)
    refused: str | None = None

    def active_at(self, t_s: float) -> set[str]:
        """Give the faults that were active or latched at a time."""
        before = [faults for at, faults in self.faults if at <= t_s]
        return {name for name, state in before[-1].items() if state in _ACTIVE} if before else set()

    def first_active_s(self, name: str) -> float:
        """Give when a fault was active first after the onset; infinite if it was not."""
        listed = (t for t, faults in self.faults if t >= 0.0 and faults.get(name) in _ACTIVE)
        before = next((reason for t, reason in reversed(self.reasons) if t < 0.0), "")
        named = (t for t, reason in self.reasons if t >= 0.0 and reason == f"fault:{name}" != before)
        return min(next(listed, math.inf), next(named, math.inf))

    def closed_at(self, t_s: float) -> bool:
        """Tell whether some contact was closed at a time."""
        before = [contacts for at, contacts, _ in self.contacts if at <= t_s]
        return bool(before) and any(before[-1])

    @property
    def state(self) -> str:
        """The last state."""
        return self.states[-1][1] if self.states else ""


@dataclass
class Outcome:
    """What came of a case.

    Attributes
    ----------
    verdict : str
        ``in_time``; ``late``; ``missed``; ``false_alarm`` (a safety fault that was not to come);
        ``wrong`` (detected in time, but another state, contactors or order than expected); ``skipped``
        (``text`` says why); ``error`` (the state where the fault was to come was not reached).
    deadline_s, detected_s, zero_request_s, open_s, done_s : float or None
        Since the onset [s]: allowed; the fault was active; zero current was requested; every contact was
        really open; what the deadline counts for. None: not expected, or it did not happen.
    values : dict
        What was drawn, and the operating point.
    """

    case: str
    verdict: str
    text: str = ""
    deadline_s: float | None = None
    detected_s: float | None = None
    zero_request_s: float | None = None
    open_s: float | None = None
    done_s: float | None = None
    expected: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    state: str = ""
    contactors: str = ""
    device_trip: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def as_expected(self) -> bool:
        """The system did what the case expects."""
        return self.verdict == "in_time"

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values for JSON."""
        return asdict(self)


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _detected_s(case: Case, trace: Trace) -> float:
    times = [trace.first_active_s(name) for name in case.expect.faults]
    if not times:
        return math.inf
    return min(times) if case.expect.any_of else max(times)


def _opened_s(trace: Trace) -> float:
    if not trace.closed_at(0.0):
        return math.inf
    return next((t for t, closed, _ in trace.contacts if t > 0.0 and not any(closed)), math.inf)


def _done_s(case: Case, trace: Trace) -> float:
    detected = _detected_s(case, trace)
    if case.expect.contactors == "open" and trace.closed_at(0.0):
        return max(detected, _opened_s(trace)) if case.expect.faults else _opened_s(trace)
    return detected


def _final(trace: Trace) -> str:
    if not trace.contacts:
        return ""
    closed = trace.contacts[-1][1]
    return "closed" if closed[:2] == (1, 1) else "open" if not any(closed) else "partly closed"


def complete(case: Case, trace: Trace) -> bool:
    """Tell whether everything that must happen has happened."""
    if case.quiet:
        return True
    states = case.expect.states
    return (
        math.isfinite(_done_s(case, trace))
        and (not states or trace.state in states)
        and (case.expect.contactors == "any" or _final(trace) == case.expect.contactors)
    )


def _asks_first(case: Case, rows: Mapping[str, FaultRow]) -> bool:
    if case.expect.zero_first is not None:
        return case.expect.zero_first
    actions = [rows[name].action for name in case.expect.faults if name in rows]
    return (
        case.given.state != "standby"
        and case.expect.contactors == "open"
        and any(Action.OPEN in action for action in actions)
        and not any(Action.OPEN_AT_ONCE in action for action in actions)
    )


def _unexpected(case: Case, trace: Trace, rows: Mapping[str, FaultRow]) -> list[str]:
    wanted = [*case.expect.faults, *case.expect.may_also]
    least = Level.RECOMMENDED if case.quiet else Level.SAFETY
    there = trace.active_at(0.0)
    found: dict[str, None] = {}
    for t, faults in trace.faults:
        for name, state in faults.items():
            row = rows.get(name) or FAULT_BY_ID.get(name)
            if t < 0.0 or state not in _ACTIVE or name in there or row is None or row.level < least:
                continue
            if not any(fnmatchcase(name, pattern) for pattern in wanted):
                found[name] = None
    return list(found)


def judge(
    case: Case, trace: Trace, rows: Mapping[str, FaultRow], values: Mapping[str, Any] | None = None
) -> Outcome:
    """Judge what came of a case.

    Parameters
    ----------
    case : Case
    trace : Trace
        In times since the onset.
    rows : mapping of str to FaultRow
        Rows with the pack's own timing.
    values : mapping, optional
        What was drawn.

    Returns
    -------
    Outcome
    """
    expect = case.expect
    limit, done, opened = expect.limit_s(rows), _done_s(case, trace), _opened_s(trace)
    zero = next((t for t, _, requested in trace.states if t >= 0.0 and requested), math.inf)
    unexpected = _unexpected(case, trace, rows)
    wrong = _wrong(case, trace, zero, opened, rows)
    if unexpected:
        verdict, text = "false_alarm", f"{', '.join(unexpected)} was not to come"
    elif not case.quiet and not math.isfinite(done):
        came = (
            "was not detected"
            if not math.isfinite(_detected_s(case, trace))
            else "the contactors stayed closed"
        )
        verdict, text = "missed", f"{', '.join(expect.faults)}: {came}"
    elif not case.quiet and done > limit:
        verdict, text = "late", f"done after {done:.2f} s, allowed are {limit:g} s"
    elif wrong:
        verdict, text = "wrong", wrong
    else:
        verdict, text = "in_time", ""
    there = trace.active_at(0.0)
    seen = {
        name for t, faults in trace.faults if t >= 0.0 for name, state in faults.items() if state in _ACTIVE
    }
    return Outcome(
        case=case.name,
        verdict=verdict,
        text=text,
        deadline_s=_finite(limit),
        detected_s=_finite(_detected_s(case, trace)),
        zero_request_s=_finite(zero),
        open_s=_finite(opened),
        done_s=_finite(done),
        expected=list(expect.faults),
        seen=sorted(seen - there),
        unexpected=unexpected,
        state=trace.state,
        contactors=_final(trace),
        device_trip=trace.contacts[-1][2] if trace.contacts else "",
        values=dict(values or {}),
    )


def _wrong(case: Case, trace: Trace, zero_s: float, opened_s: float, rows: Mapping[str, FaultRow]) -> str:
    """Say what else than the detection is not as expected; empty: nothing."""
    expect = case.expect
    if expect.states and trace.state not in expect.states:
        return f"it ends in {trace.state}, not in {' or '.join(expect.states)}"
    if expect.contactors != "any" and _final(trace) != expect.contactors:
        return f"the contactors are {_final(trace)} at the end, not {expect.contactors}"
    if _asks_first(case, rows) and math.isfinite(opened_s) and not zero_s <= opened_s:
        return "the contactors opened before zero current was requested"
    if expect.refuses is not None and trace.refused is None:
        return f"{expect.refuses} was granted, and ought to be refused"
    return ""
