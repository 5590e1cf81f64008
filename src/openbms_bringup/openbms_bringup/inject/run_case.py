"""Run one case of the fault library on a running system: prepare, inject, watch, judge, recover."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from openbms_bringup.inject.case import Case, Twin
from openbms_bringup.inject.fit_to_pack import fit_to_pack
from openbms_bringup.inject.hands import Hands
from openbms_bringup.inject.library import drawn
from openbms_bringup.inject.outcome import Outcome, Trace, complete, judge
from openbms_bringup.inject.readiness import NotReadyError, prepare, recover
from openbms_bringup.ros.remote_system import RemoteSystem
from openbms_core.config_file import ConfigError
from openbms_core.faults import FaultRow, fault_rows
from openbms_core.pack import PackFile, load_pack
from openbms_sim.faults import FAULTS

__all__ = ["NotReadyError", "follow", "pack_rows", "prepare", "recover", "run_case"]

_BEFORE_S = 0.3
"""From the last look at the healthy pack to the fault."""
_SLICE_S = 0.05


@dataclass
class _Timeline:
    """What is still to be done or taken back, in time."""

    hands: Hands
    start_s: float
    due: list[tuple[float, int, Any]] = field(default_factory=list)
    ends: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    done_at_s: dict[int, float] = field(default_factory=dict)

    def go_on(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            _, number, action = self.due.pop(0)
            self.done_at_s[number] = time.monotonic()
            undo = self.hands.do(action)
            for_s = getattr(action, "for_s", None)
            if for_s is not None:
                self.ends.append((self.done_at_s[number] + for_s, undo))
        for end in [each for each in self.ends if each[0] <= now]:
            self.ends.remove(end)
            end[1]()


def pack_rows(system: RemoteSystem) -> dict[str, FaultRow]:
    """Give the rows that the system's pack monitors, with its own timing, by identifier."""
    known = _ROWS.get(system)
    if known is None:
        known = _ROWS[system] = {row.id: row for row in fault_rows(_pack_of(system))}
    return known


def _pack_of(system: RemoteSystem) -> PackFile:
    known = _PACKS.get(system)
    if known is None:
        known = load_pack(str(system.parameter("safety_monitor", "pack") or "demo_96s_nmc")).file
        _PACKS[system] = known
    return known


_PACKS: WeakKeyDictionary[RemoteSystem, PackFile] = WeakKeyDictionary()
_ROWS: WeakKeyDictionary[RemoteSystem, dict[str, FaultRow]] = WeakKeyDictionary()
"""Of each system; its pack does not change while it runs."""


def _twin_entries(case: Case) -> list[dict[str, Any]]:
    entries = []
    for action in case.inject:
        if isinstance(action, Twin):
            entry = dict(action.keys)
            if action.at_s:
                entry["start_s"] = action.at_s
            if action.for_s is not None:
                entry["duration_s"] = action.for_s
            entries.append(entry)
    return entries


def _onset_s(case: Case, system: RemoteSystem, timeline: _Timeline) -> float | None:
    if isinstance(case.onset, str):
        degc = float(case.onset.removeprefix("core_above_").removesuffix("_degc"))
        return system.core_above_s(degc, timeline.start_s)
    action = case.inject[case.onset]
    if isinstance(action, Twin):
        return timeline.start_s + action.at_s
    return timeline.done_at_s.get(case.onset)


def follow(
    system: RemoteSystem,
    case: Case,
    before: Sequence[dict[str, Any]],
    rows: dict[str, FaultRow],
    hands: Hands,
    *,
    longest_s: float | None = None,
    to_the_end: bool = True,
    watch: Callable[[Trace], None] = lambda _: None,
) -> Trace:
    """Inject and watch until everything expected has happened, or cannot happen in time any more.

    Parameters
    ----------
    system : RemoteSystem
    case : Case
    before : list of dict
        What the twin is told beside the fault.
    rows : dict of FaultRow
    hands : Hands
        Does what the twin cannot.
    longest_s : float, optional
        Time after which it is given up; default: the deadline and as much again, 5 s to 20 s more.
    to_the_end : bool
        Wait for the end of actions that end by themselves.
    watch : callable
        Is given the trace after each message.

    Returns
    -------
    Trace
        In times since the onset.
    """
    entries = _twin_entries(case)
    start_s = system.set_injections([*before, *entries]) if entries else time.monotonic()
    timeline = _Timeline(hands, start_s)
    timeline.due = sorted(
        (start_s + action.at_s, number, action)
        for number, action in enumerate(case.inject)
        if not isinstance(action, Twin)
    )
    limit_s = case.expect.limit_s(rows)
    last_s = max(action.at_s + (getattr(action, "for_s", None) or 0.0) for action in case.inject)
    if longest_s is None:
        longest_s = (
            300.0
            if isinstance(case.onset, str)
            else last_s + (0.0 if case.quiet else 5.0 + limit_s + min(limit_s, 15.0))
        )
    happened_s: float | None = None
    while True:
        timeline.go_on()
        now, onset_s = time.monotonic(), _onset_s(case, system, timeline)
        trace = system.trace(onset_s if onset_s is not None else now)
        watch(trace)
        everything_done = not timeline.due and (not to_the_end or now >= start_s + last_s)
        if onset_s is not None and everything_done and complete(case, trace):
            happened_s = happened_s or now
            if now - happened_s >= case.watch_s:
                break
        elif now - start_s > longest_s:
            break
        system.wait_news(_SLICE_S)
    if case.expect.refuses is not None:
        granted, answer = system.request(case.expect.refuses)
        trace.refused = None if granted else answer
    return trace


def _settle_s(case: Case) -> float:
    """How long what was injected may have an effect after it is gone."""
    jumps = any(
        isinstance(a, Twin) and a.fault != "load" and FAULTS[a.fault].__module__.endswith(_SENSORS)
        for a in case.inject
    )
    return 4.0 if jumps else 0.5


_SENSORS = (".sensors", ".plant")


def run_case(
    system: RemoteSystem,
    case: Case,
    rng: random.Random | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run one case: bring the pack to where it begins, inject, watch, judge, and bring the pack back.

    Parameters
    ----------
    system : RemoteSystem
        A running system whose twin has its own physics.
    case : Case
    rng : Random, optional
        Draws the operating point and the parameters within the case's ranges; default: as the case says.
    say : callable
        Takes a sentence for people.

    Returns
    -------
    Outcome
    """
    values: dict[str, Any] = {}
    with contextlib.suppress(ConfigError):  # a pack that cannot be read is told of below
        case = fit_to_pack(case, _pack_of(system))
    if rng is not None:
        case, values = drawn(case, rng)
    values = {**case.given.model_dump(include={"state", "current_a", "soc", "temperature_degc"}), **values}
    hands = Hands(system, say)
    rows: dict[str, FaultRow] = {}
    try:
        rows = pack_rows(system)
        before = prepare(system, case.given)
        quiet_until = time.monotonic() + _BEFORE_S
        system.wait(lambda: time.monotonic() > quiet_until, 2 * _BEFORE_S)
        outcome = judge(case, follow(system, case, before, rows, hands), rows, values)
    except (NotReadyError, ConfigError) as error:
        outcome = Outcome(case.name, "error", str(error), values=values)
    finally:
        hands.release()
    try:
        left = recover(system, rows, _settle_s(case))
    except ConfigError as error:
        left = str(error)
    if left:
        outcome.text = f"{outcome.text}; " * bool(outcome.text) + f"afterwards the system stays in {left}"
        if outcome.verdict == "in_time":
            outcome.verdict = "wrong"
    return outcome
