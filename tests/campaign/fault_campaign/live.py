"""The live part: cases of the fault library, drawn at random, over real nodes, processes and bus."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openbms_bringup.inject.case import Case
    from openbms_bringup.inject.outcome import Outcome

__all__ = ["live_part", "with_operating_point"]

EACH_SYSTEM = 30
"""After so many cases a new system is started, so that one that has suffered cannot spoil the rest."""
_OUTCOMES = {"in_time": "in time", "false_alarm": "false alarm", "error": "broken"}
_USUAL = {"current_a": (-9.0, -1.0), "soc": (0.35, 0.8), "temperature_degc": (16.0, 34.0)}
"""Where the pack stands, for cases that say nothing of it: anywhere in ordinary use."""


def with_operating_point(case: Case) -> Case:
    """Give the case with ranges for the operating point wherever it leaves them at what they usually are."""
    from openbms_bringup.inject.case import Given, action_keys

    usual = Given()
    # a load or a condition that is injected has keys of the same name: those are the fault's
    taken = {*case.vary, *(key for action in case.inject for key in action_keys(action))}
    free = {
        key: span
        for key, span in _USUAL.items()
        if key not in taken and getattr(case.given, key) == getattr(usual, key)
    }
    if case.given.state != "drive":
        free.pop("current_a", None)
    return case.model_copy(update={"vary": {**free, **case.vary}})


def _row(number: int, case: Case, outcome: Outcome) -> dict[str, Any]:
    told = _OUTCOMES.get(outcome.verdict, outcome.verdict)
    row: dict[str, Any] = {
        "number": number,
        "kind": case.name,
        "variant": "",
        "use": outcome.values.get("state", case.given.state),
        "outcome": "quiet" if told == "in time" and case.quiet else told,
        "values": {key: value for key, value in outcome.values.items() if key != "state"},
        "problem": outcome.text,
    }
    if outcome.expected and outcome.deadline_s is not None:
        row["demands"] = [
            {
                "rows": outcome.expected,
                "by": outcome.expected[0],
                "outcome": "in time" if told in ("in time", "false alarm", "wrong") else told,
                "reaction_s": outcome.done_s,
                "deadline_s": outcome.deadline_s,
            }
        ]
    if told == "false alarm":
        row["false_alarms"] = outcome.unexpected
    return {key: value for key, value in row.items() if value not in ("", [], {})}


def live_part(faults: int, seed: int, kept: Path, progress: Callable[[float], None]) -> dict[str, Any]:
    """Inject faults into a running demonstration system.

    Parameters
    ----------
    faults : int
        How many.
    seed : int
        Of the draw.
    kept : Path
        Finished cases, one a line; those that are there are not run again.
    progress : callable
        Told 1 for each case.
    """
    from openbms_bringup.inject.library import load_library
    from openbms_bringup.inject.run_case import run_case
    from openbms_bringup.ros.live_system import LiveSystem

    # a system of its own: other systems on this computer are on other domains
    domain = 10 + os.getpid() % 90
    cases = [case for case in load_library().values() if case.given.clock == "system"]
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    rows = [row for row in rows if row["number"] < faults]
    there = {row["number"] for row in rows}
    progress(float(len(there)))
    order = [case for turn in range(1 + faults // len(cases)) for case in _shuffled(cases, seed + turn)]
    todo = [number for number in range(faults) if number not in there]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as file:
        for first in range(0, len(todo), EACH_SYSTEM):
            with tempfile.TemporaryDirectory() as folder, LiveSystem(Path(folder), domain) as system:
                for number in todo[first : first + EACH_SYSTEM]:
                    case = with_operating_point(order[number])
                    outcome = run_case(system, case, random.Random(seed * 100_003 + number))
                    rows.append(_row(number, case, outcome))
                    file.write(json.dumps(rows[-1]) + "\n")
                    file.flush()
                    progress(1.0)
    rows.sort(key=lambda row: row["number"])
    return summed(rows, seed)


def _shuffled(cases: list[Case], seed: int) -> list[Case]:
    mixed = list(cases)
    random.Random(seed).shuffle(mixed)
    return mixed


def summed(rows: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Count outcomes."""
    outcomes = Counter(row["outcome"] for row in rows)
    return {
        "seed": seed,
        "injected": len(rows),
        "kinds": len({row["kind"] for row in rows}),
        "in_time": outcomes["in time"],
        "quiet": outcomes["quiet"],
        "late": outcomes["late"],
        "missed": outcomes["missed"],
        "false_alarms": outcomes["false alarm"],
        "wrong": outcomes["wrong"],
        "skipped": outcomes["skipped"],
        "broken": outcomes["broken"],
        "cases": rows,
    }
