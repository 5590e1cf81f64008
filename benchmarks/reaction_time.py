"""Reaction of the whole chain, seen by a third party on the bus: answers to scans, real trips.

Twin, driver, safety monitor and estimators run as they do in the demonstration. Software latency: from the
last frame of a scan to the first heartbeat that answers it. Trips: from the frame that shows a fault to the
request for zero current, to the command to open, to the open contactors; with the timing of the shipped pack
a few times, and with debounce and delay at zero and a short precharge for the mass of them.
"""

from __future__ import annotations

import json
import logging
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import typer
from reaction.fault_classes import CLASSES, FaultClass
from reaction.latency import measure
from reaction.matching import Latency
from reaction.report import content, merged, page
from reaction.system import LOADS, busy, may_have_priority, write_pack
from reaction.trips import ClassResult, Stand, run_class
from rich.console import Console
from rich.progress import Progress

import openbms_core.ros  # noqa: F401 - before any message

KEPT = Path(__file__).resolve().parents[1] / "docs" / "validation"
_TRIP_S = {"safety": 5.0, "driver": 5.0, "": 2.3}
"""What a trip takes with its recovery, about."""
_CALM_S = 20.0


def main(
    scans: Annotated[int, typer.Option(help="Scans for each condition of the software latency")] = 10_000,
    scan_period: Annotated[float, typer.Option(help="Their period in seconds, of a copy of the pack")] = 0.02,
    scans_shipped: Annotated[int, typer.Option(help="Scans for each condition at the shipped 0.1 s")] = 1000,
    trips: Annotated[int, typer.Option(help="Trips of each class, without debounce and delay")] = 200,
    trips_shipped: Annotated[int, typer.Option(help="Trips of each class with the shipped timing")] = 5,
    classes: Annotated[str, typer.Option(help="Only these classes, separated by commas")] = "",
    load: Annotated[str, typer.Option(help="idle, loaded or both")] = "both",
    scheduling: Annotated[str, typer.Option(help="ordinary, fifo or both")] = "both",
    trips_load: Annotated[str, typer.Option(help="idle, loaded or both (loaded: with SCHED_FIFO)")] = "idle",
    keep: Annotated[bool, typer.Option(help="Keep the result in docs/validation")] = True,
    plan: Annotated[bool, typer.Option(help="Only say how much that is, and how long it takes")] = False,
) -> None:
    """Measure reaction times; 0 scans or 0 trips leave that part out."""
    logging.getLogger("can").setLevel(logging.ERROR)
    console = Console(stderr=True)
    wanted = _chosen(classes)
    notes = [
        "The process that stands for device and bus has a priority above all others where that is permitted: "
        "hardware does not wait for a processor.",
        "Beside driver, monitor and twin run the estimators; recorder and live view do not.",
    ]
    schedulings = [False, True] if scheduling == "both" else [scheduling == "fifo"]
    if True in schedulings and not may_have_priority():
        notes.append("SCHED_FIFO is not permitted here, so nothing was measured with it.")
        schedulings = [False]
    conditions = [
        (one, priority, period, count)
        for period, count in ((scan_period, scans), (0.1, scans_shipped))
        for one in (LOADS if load == "both" else (load,))
        for priority in schedulings
        if count > 0
    ]
    trials = [
        (timing, one, one == "loaded" and True in schedulings, count)
        for timing, count in (("as shipped", trips_shipped), ("at once", trips))
        for one in (LOADS if trips_load == "both" else (trips_load,))
        if count > 0
    ]
    needed_s = sum(_CALM_S + period * count for *_, period, count in conditions)
    needed_s += sum(_CALM_S + _TRIP_S[entry.kills] * count for *_, count in trials for entry in wanted)
    console.print(
        f"{len(conditions)} conditions of latency, {len(wanted)} classes of trips under {len(trials)} "
        f"conditions: about {needed_s / 60.0:.0f} minutes"
    )
    if plan:
        return
    latencies: list[Latency] = []
    results: list[ClassResult] = []
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary, Progress(console=console) as progress:
        folder = Path(temporary)
        for number, (one, priority, period, count) in enumerate(conditions):
            name = f"latency, {one}, {'SCHED_FIFO' if priority else 'ordinary'}, scan {1e3 * period:g} ms"
            task = progress.add_task(name, total=count)
            pack = write_pack(folder / "packs", scan_period_s=None if period == 0.1 else period)
            try:
                latencies.append(
                    measure(
                        folder / f"latency_{number}", pack, load=one, priority=priority, scans=count,
                        progress=lambda done, task=task: progress.update(task, completed=done),
                    )
                )  # fmt: skip
                _save(content(latencies, results, notes), keep)  # an interruption loses one condition
            except Exception as error:  # the others are still worth their time
                notes.append(
                    f"{name}: not measured ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
                )
        for number, (timing, one, priority, count) in enumerate(trials):
            pack = write_pack(folder / "packs", at_once=timing == "at once")
            stand = Stand(folder / f"trips_{number}", pack, priority=priority)
            with busy(one):
                for entry in wanted:
                    results.append(_try(progress, stand, entry, timing, one, count))
                    _save(content(latencies, results, notes), keep)  # an interruption loses one class
    notes.append(f"It took {(time.monotonic() - began_s) / 60.0:.0f} minutes.")
    print(_save(content(latencies, results, notes), keep))


def _save(data: dict[str, Any], keep: bool) -> str:
    """Give the page of what was measured; keep it with what was measured before, if that is wanted."""
    arguments = shlex.join(sys.argv[1:])
    command = "make bench-reaction" + (f" REACTION_ARGS='{arguments}'" if arguments else "")
    path = KEPT / "benchmark-reaction_time.json"
    if keep:
        if path.exists():
            data = merged(json.loads(path.read_text(encoding="utf-8")), data)
        KEPT.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(page(data, command), encoding="utf-8")
    return page(data, command)


def _try(
    progress: Progress, stand: Stand, entry: FaultClass, timing: str, load: str, count: int
) -> ClassResult:
    scheduling = "SCHED_FIFO" if stand.priority else "ordinary"
    result = ClassResult(entry.name, timing, load, scheduling, entry.foxbms_ms)
    name = f"{entry.name}, {timing}, {load}"
    task = progress.add_task(name, total=count)

    def said(done: int, lost: int) -> None:
        text = name + (f", {lost} lost" if lost else "")
        progress.update(task, completed=done + lost, description=text)

    run_class(stand, entry, result, count, said)
    stand.drop()  # the evidence of one class must not count in the next
    return result


def _chosen(names: str) -> list[FaultClass]:
    known = {entry.name: entry for entry in CLASSES}
    asked = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise typer.BadParameter(f"no class {unknown[0]}; there are: {', '.join(known)}")
    return [known[name] for name in asked]


if __name__ == "__main__":
    typer.run(main)
