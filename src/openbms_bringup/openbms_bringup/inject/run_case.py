"""Run one case of the fault library on a running system: prepare, inject, watch, judge, recover."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from openbms_bringup.inject.case import Case, Given, Twin
from openbms_bringup.inject.hands import Hands
from openbms_bringup.inject.library import drawn
from openbms_bringup.inject.outcome import IN_USE, Outcome, Trace, complete, judge
from openbms_bringup.ros.live_system import LiveSystem
from openbms_bringup.ros.remote_system import RemoteSystem
from openbms_core.config_file import ConfigError
from openbms_core.faults import FaultRow, fault_rows
from openbms_core.pack import load_pack
from openbms_core.types import Level
from openbms_sim.faults import FAULTS

__all__ = ["NotReadyError", "follow", "pack_rows", "prepare", "recover", "run_case"]

_READY_S = 40.0
_BEFORE_S = 0.3
"""From the last look at the healthy pack to the fault."""
_SLICE_S = 0.05
_RAMPED_K = 6.0
"""Another temperature than this far away is begun with anew: warming slowly enough would take longer."""
_KELVIN_PER_S = 0.7
_PATIENCE_S = 20.0
"""A system of one's own that has not recovered in this time begins anew."""


class NotReadyError(Exception):
    """The state in which the fault is to come was not reached; the text says why."""


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
        pack = load_pack(str(system.parameter("safety_monitor", "pack") or "demo_96s_nmc"))
        known = _ROWS[system] = {row.id: row for row in fault_rows(pack.file)}
    return known


_ROWS: WeakKeyDictionary[RemoteSystem, dict[str, FaultRow]] = WeakKeyDictionary()
"""Of each system; its pack does not change while it runs."""


def _surroundings(given: Given) -> list[dict[str, Any]]:
    """What the twin is told beside the fault, all the time."""
    entries: list[dict[str, Any]] = []
    if given.state != "standby":
        entries.append({"fault": "load", "current_a": given.current_a})
    if given.state == "charge":
        entries.append({"fault": "charging_plug", "plugged": True})
    return entries


def prepare(system: RemoteSystem, given: Given, timeout_s: float = _READY_S) -> list[dict[str, Any]]:
    """Bring the system to where the fault is to come; give what the twin is told for that.

    Raises
    ------
    NotReadyError
        It was not reached in time; the text says what stands in the way.
    """
    if system.parameter("twin", "source") != "plant":
        raise NotReadyError("the twin replays a recorded test: an operating point needs source: plant")
    if given.clock not in ("system", system.clock):
        raise NotReadyError(f"the processes must take their time from another clock ({given.clock})")
    entries = _surroundings(given)
    if isinstance(system, LiveSystem) and _degc_off(system, given) > _RAMPED_K:
        system.begin_at(given.soc, given.temperature_degc)
    deadline = time.monotonic() + timeout_s
    if system.state() != given.state or not _is_there(system, given):
        if system.state() != "standby":
            system.request("standby")
            _until(system, "standby", deadline)
        _put(system, given)
    system.set_injections(entries)
    if given.state != "standby" and system.state() != given.state:
        while True:
            granted, answer = system.request(given.state)
            if granted:
                break
            if time.monotonic() > deadline:
                raise NotReadyError(f"{given.state} is refused: {answer}")
            clear_latched(system)
            system.wait_news(0.1)
        _until(system, given.state, deadline)
    if given.state != "standby":
        # limits may bind: then what flows is less than what is wanted
        system.wait(lambda: _flows(system, given.current_a), 3.0)
    return entries


def _degc_off(system: RemoteSystem, given: Given) -> float:
    truth = system.truth()
    cores = truth.cell_core_temperature if truth is not None else ()
    return abs(sum(cores) / len(cores) - given.temperature_degc) if len(cores) else 0.0


def _is_there(system: RemoteSystem, given: Given) -> bool:
    truth = system.truth()
    if truth is None or not len(truth.cell_soc):
        return False
    soc = sum(truth.cell_soc) / len(truth.cell_soc)
    degc = sum(truth.cell_core_temperature) / len(truth.cell_core_temperature)
    return abs(soc - given.soc) < 0.03 and abs(degc - given.temperature_degc) < 3.0


def _put(system: RemoteSystem, given: Given) -> None:
    """Bring cells to state of charge and temperature, slowly enough that no sensor looks broken."""
    truth = system.truth()
    if truth is None or _is_there(system, given):
        return
    now_soc = sum(truth.cell_soc) / len(truth.cell_soc)
    now_degc = sum(truth.cell_core_temperature) / len(truth.cell_core_temperature)
    ramp_s = round(
        max(1.0, abs(given.temperature_degc - now_degc) / _KELVIN_PER_S, abs(given.soc - now_soc) * 10.0), 1
    )
    system.set_injections(
        [
            {
                "fault": "condition",
                "soc": given.soc,
                "temperature_degc": given.temperature_degc,
                "ambient_degc": given.temperature_degc,
                "ramp_s": ramp_s,
            }
        ]
    )
    if not system.wait(lambda: _is_there(system, given), ramp_s + 5.0):
        raise NotReadyError("the twin did not reach the condition")
    end = time.monotonic() + 1.0  # the rest of the ramp, and what filters still hold of it
    system.wait(lambda: time.monotonic() > end, 2.0)


def _flows(system: RemoteSystem, current_a: float) -> bool:
    truth = system.truth()
    return truth is not None and abs(sum(truth.string_current) - current_a) < 0.7


def _until(system: RemoteSystem, state: str, deadline: float) -> None:
    if not system.wait(lambda: system.state() == state, deadline - time.monotonic()):
        raise NotReadyError(f"it stays in {system.state()}: {system.explanation}")


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


def recover(
    system: RemoteSystem, rows: Mapping[str, FaultRow], settle_s: float = 0.5, timeout_s: float = 60.0
) -> str:
    """Take everything back that was broken, and clear faults until the pack is ready again.

    Parameters
    ----------
    system : RemoteSystem
    rows : mapping of str to FaultRow
        Rows of the pack, by identifier.
    settle_s : float
        For this long it must stay ready: a sensor that jumps back to the truth is a jump as well.
    timeout_s : float
        Then it is given up [s].

    Returns
    -------
    str
        Empty: it stands by, or is in use without a fault. Otherwise what stands in the way.
    """
    deadline = time.monotonic() + timeout_s
    ready_s = system.set_injections([])
    while time.monotonic() < deadline:
        # heard anew: a monitor that has died says nothing
        ready = system.state(time.monotonic() - 1.0) in ("standby", *IN_USE)
        blocking = [
            name
            for name, state in system.fault_states().items()
            if state in (1, 2) and name in rows and rows[name].blocks_closing
        ]
        if not ready or blocking:
            ready_s = time.monotonic()
            clear_latched(system)
            if isinstance(system, LiveSystem) and ready_s > deadline - timeout_s + _PATIENCE_S:
                # evidence of a thermal runaway is held for minutes, and a burnt pack is not used again
                system.begin_anew()
        elif time.monotonic() - ready_s >= settle_s:
            clear_latched(system)
            if isinstance(system, LiveSystem) and _warned(system, rows):
                # what the monitor keeps in mind would count in the next case: evidence of a runaway does
                system.renew_monitor()
            return ""
        system.wait_news(0.2)
    return f"{system.state()}: {system.explanation}; faults {', '.join(system.fault_states()) or 'none'}"


def _warned(system: RemoteSystem, rows: Mapping[str, FaultRow]) -> bool:
    return any(
        state == 1 and name in rows and rows[name].level >= Level.RECOMMENDED
        for name, state in system.fault_states().items()
    )


def clear_latched(system: RemoteSystem) -> None:
    """Clear what is latched and can be cleared, and wait until that is heard."""
    latched = {name for name, state in system.fault_states().items() if state == 2}
    if latched:
        system.clear_faults(sorted(latched))
        system.wait(lambda: not latched <= set(system.fault_states()), 1.2)


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
