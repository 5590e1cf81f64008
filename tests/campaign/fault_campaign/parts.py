"""The parts of the campaign: each gives plain data, and can be gone on with where it was interrupted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from fault_campaign.brief import brief
from fault_campaign.healthy.frames import live_through
from fault_campaign.healthy.packs import FLEET, HealthyPack
from fault_campaign.healthy.run import HealthyRun
from fault_campaign.judge import judge
from fault_campaign.play import draw, kinds, play

__all__ = ["healthy_part", "one", "pure_part"]

Progress = Callable[[float], None]
Rows = list[dict[str, Any]]


def one(seed: int, number: int, kind: str = "") -> dict[str, Any]:
    """Play and judge one draw; a draw that raises is no result, and says so."""
    case = draw(seed, number, kind)
    try:
        played = play(case)
        row = judge(case, played).row()
    except Exception as error:
        return {
            "number": number,
            "kind": case.kind,
            "outcome": "broken",
            "problem": f"{type(error).__name__}: {error}",
        }
    row["simulated_s"] = round(played.ended_s - played.began_s, 2)
    return row


def _in_processes(
    work: Callable[..., dict[str, Any]], arguments: Iterable[tuple[Any, ...]], jobs: int
) -> Iterator[dict[str, Any]]:
    if jobs <= 1:
        for values in arguments:
            yield work(*values)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(work, *values) for values in arguments]):
            yield done.result()


def _kept(path: Path) -> Rows:
    """Read what an interrupted run has left; a line that was cut off is left out."""
    rows: Rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


def _collect(
    rows: Rows,
    new: Iterator[dict[str, Any]],
    path: Path,
    weight: Callable[[dict[str, Any]], float],
    progress: Progress,
) -> Rows:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for row in new:
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            progress(weight(row))
    return rows


def pure_part(draws: int, seed: int, jobs: int, kept: Path, progress: Progress) -> dict[str, Any]:
    """Random faults through the closed loop in simulated time.

    Parameters
    ----------
    draws, seed : int
    jobs : int
        Processes.
    kept : Path
        Finished draws, one a line; those that are there are not played again.
    progress : callable
        Told 1 for each draw.
    """
    rows = [row for row in _kept(kept) if row["number"] < draws]
    there = {row["number"] for row in rows}
    progress(float(len(there)))
    todo = [(seed, number) for number in range(draws) if number not in there]
    rows = _collect(rows, _in_processes(one, todo, jobs), kept, lambda _: 1.0, progress)
    rows.sort(key=lambda row: row["number"])
    outcomes = Counter(row["outcome"] for row in rows)
    return {
        "seed": seed,
        "injected": sum(row["kind"] != "healthy" for row in rows),
        "kinds": len({row["kind"] for row in rows}),
        "kinds_not_drawn": kinds()[1],
        "in_time": outcomes["in time"],
        "quiet": outcomes["quiet"],
        "late": outcomes["late"],
        "missed": outcomes["missed"],
        "false_alarms": sum(bool(row.get("false_alarms")) for row in rows),
        "broken": outcomes["broken"],
        "not_in_fault_table": dict(Counter(name for row in rows for name in row.get("not_in_table", ()))),
        "unforeseen": dict(Counter(name for row in rows for name in row.get("unforeseen", ()))),
        "unexplained_warnings": dict(Counter(name for row in rows for name in row.get("warnings", ()))),
        "simulated_hours": round(sum(row.get("simulated_s", 0.0) for row in rows) / 3600.0, 3),
        "cases": [brief(row) for row in rows],
    }


BUS = HealthyPack("demonstration pack over the bus, 10 Hz", 1, 96, 1, 12, 3, 0.1, 0.00005, False)
"""A few of the hours go the whole way: twin, frames, driver, estimators, monitor."""
HEALTHY = (*FLEET, BUS)


def _healthy(number: int, hours: float, seed: int) -> dict[str, Any]:
    pack = HEALTHY[number]
    tally = live_through(hours, seed) if pack is BUS else HealthyRun(pack, seed).run(hours)
    return _told(number, pack, tally, seed)


def _told(number: int, pack: HealthyPack, tally: Any, seed: int) -> dict[str, Any]:
    return {
        "number": number,
        "seed": seed,
        "pack": pack.name,
        "cells": pack.cells,
        "strings": pack.strings,
        "scan_period_s": pack.scan_period_s,
        "poor_sensors": pack.pessimistic,
        "pack_hours": round(tally.hours, 4),
        "cell_hours": round(tally.hours * pack.cells, 2),
        "scans": tally.scans,
        "hours_in": {name: round(value, 4) for name, value in sorted(tally.states.items())},
        "reached": {
            "cell_voltage_v": [round(tally.lowest_v, 3), round(tally.highest_v, 3)],
            "temperature_degc": [round(tally.coldest_degc, 1), round(tally.hottest_degc, 1)],
            "string_current_a": round(tally.largest_a, 1),
        },
        "false_alarms": tally.alarms,
        "warnings": dict(sorted(tally.warnings.items())),
    }


BUS_SCANS = 3_000
CHUNK_SCANS = 20_000
"""A chunk of hours is one piece of work: a pack of its own spread, and what an interruption costs at most."""


def healthy_part(cell_hours: float, seed: int, jobs: int, kept: Path, progress: Progress) -> dict[str, Any]:
    """Let the healthy fleet live; every chunk of hours is another pack, with cells, sensors and use of
    its own.

    Parameters
    ----------
    cell_hours : float
        In sum.
    seed, jobs, kept, progress
        As for :func:`pure_part`; ``progress`` is told cell-hours.
    """
    shares = sum(pack.share for pack in HEALTHY)
    todo = []
    for number, pack in enumerate(HEALTHY):
        hours = cell_hours * pack.share / shares / pack.cells
        chunks = max(
            1, round(hours * 3600.0 / pack.scan_period_s / (CHUNK_SCANS if pack is not BUS else BUS_SCANS))
        )
        # a thousandth more, since the last scan ends a little after or before
        todo += [(number, 1.001 * hours / chunks, seed + chunk) for chunk in range(chunks)]
    rows = _kept(kept)
    there = {(row["number"], row["seed"]) for row in rows}
    progress(sum(row["cell_hours"] for row in rows))
    # the long ones first, so that no core waits at the end
    todo = sorted(
        (item for item in todo if (item[0], item[2]) not in there),
        key=lambda item: -item[1] / HEALTHY[item[0]].scan_period_s,
    )
    rows = _collect(
        rows, _in_processes(_healthy, todo, jobs), kept, lambda row: float(row["cell_hours"]), progress
    )
    rows.sort(key=lambda row: (row["number"], row["seed"]))
    alarms = sum(len(row["false_alarms"]) for row in rows)
    cells, packs = sum(row["cell_hours"] for row in rows), sum(row["pack_hours"] for row in rows)
    return {
        "seed": seed,
        "cell_hours": round(cells, 1),
        "pack_hours": round(packs, 3),
        "scans": sum(row["scans"] for row in rows),
        "packs": len(rows),
        "false_alarms": alarms,
        "upper_95_per_cell_hour": 3.0 / cells if not alarms else None,
        "upper_95_per_pack_hour": 3.0 / packs if not alarms else None,
        "warnings": dict(sum((Counter(row["warnings"]) for row in rows), Counter())),
        "cases": rows,
    }
