"""What people see of an injection: the library, what is injected, what happens, what came of it."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from openbms_bringup.inject.case import Case, Twin
from openbms_bringup.inject.library import load_library
from openbms_bringup.inject.outcome import Outcome, Trace
from openbms_core.faults import FAULT_BY_ID
from openbms_sim.faults import FAULTS

__all__ = ["Events", "announce", "listing", "say_outcome"]


def listing() -> Table:
    """Give the table of all cases and kinds."""
    table = Table("Case", "What happens", "Expected", "Level", "Within", title="Fault library")
    for case in load_library().values():
        expect = case.expect
        rows = (" or " if expect.any_of else ", ").join(expect.faults) or "nothing"
        levels = {FAULT_BY_ID[name].level.name.lower() for name in expect.faults}
        limit = f"{expect.limit_s():g} s" if expect.faults else ""
        table.add_row(case.name, case.description, rows, ", ".join(sorted(levels)), limit)
    table.caption = f"Kinds of injection into the twin, without expectation: {', '.join(FAULTS)}"
    return table


class Events:
    """Says each thing that happens once, as it happens."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[str] = set()

    def __call__(self, trace: Trace) -> None:
        """Say what is new in a trace."""
        events: list[tuple[float, str]] = []
        before = trace.active_at(0.0)
        for t, faults in trace.faults:
            for name, state in faults.items():
                if t >= 0.0 and name not in before and state:
                    row = FAULT_BY_ID.get(name)
                    level = f" ({row.level.name.lower()})" if row is not None else ""
                    events.append((t, f"{name}{level} is active"))
        known = next((name for t, name, _ in reversed(trace.states) if t < 0.0), "")
        for t, name, zero in trace.states:
            if t < 0.0:
                continue
            if zero:
                events.append((t, "zero current is requested"))
            if name != known:
                known = name
                events.append((t, f"the state is {name.upper()}"))
        closed = trace.closed_at(0.0)
        for t, contacts, trip in trace.contacts:
            if t >= 0.0 and any(contacts) != closed:
                closed = any(contacts)
                events.append((t, "the contactors are closed" if closed else "the contactors are open"))
            if t >= 0.0 and trip:
                events.append((t, f"the device opened by itself: {trip}"))
        for t, text in sorted(events):
            if text not in self._told:
                self._told.add(text)
                self._say(f"{t:+7.2f} s  {text}")


def announce(case: Case, expects: bool, say: Callable[[str], None], limit_s: float) -> None:
    """Say what is injected and what is expected."""
    say(f"{case.name}: {case.description}" if expects else f"{case.description}, as asked for")
    for action in case.inject:
        shown = action.keys if isinstance(action, Twin) else action.model_dump(exclude_unset=True)
        timed = {key: getattr(action, key, None) for key in ("at_s", "for_s")}
        words = {**shown, **{key: value for key, value in timed.items() if value}}
        say("  inject  " + ", ".join(f"{key} {value}" for key, value in words.items() if value is not None))
    if not expects:
        return
    if case.quiet:
        say("  expect  nothing")
    else:
        rows = (" or " if case.expect.any_of else " and ").join(case.expect.faults)
        ends = "" if case.expect.contactors == "any" else f", contactors {case.expect.contactors}"
        say(f"  expect  {rows} within {limit_s:g} s{ends}")


def say_outcome(outcome: Outcome, say: Callable[[str], None]) -> None:
    """Say what came of it."""
    words = {
        "in_time": "as expected",
        "late": "LATE",
        "missed": "MISSED",
        "false_alarm": "FALSE ALARM",
        "wrong": "NOT AS EXPECTED",
    }
    parts = [words[outcome.verdict] + (f": {outcome.text}" if outcome.text else "")]
    for label, value in (
        ("detected", outcome.detected_s),
        ("zero current requested", outcome.zero_request_s),
        ("contactors open", outcome.open_s),
    ):
        if value is not None:
            parts.append(f"{label} after {value:.2f} s")
    say("; ".join(parts))
