"""Run the fault-injection campaign: `make campaign`, or `openbms-env python tests/campaign --help`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from fault_campaign import report
from fault_campaign.judge import judge
from fault_campaign.parts import healthy_part, pure_part
from fault_campaign.play import draw, play
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

ROOT = Path(__file__).resolve().parents[2]
app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=False)
console = Console()
PARTS = ("pure", "healthy", "logs", "live")


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    parts: Annotated[str, typer.Option(help=f"Parts to run, of: {', '.join(PARTS)}")] = ",".join(PARTS),
    draws: Annotated[int, typer.Option(help="Random faults in simulated time")] = 600,
    cell_hours: Annotated[float, typer.Option(help="Healthy simulated cell-hours")] = 1e6,
    live: Annotated[int, typer.Option(help="Faults on the live system")] = 100,
    seed: Annotated[int, typer.Option(help="Of everything random")] = 2026,
    jobs: Annotated[int, typer.Option(help="Processes (the live system always runs alone)")] = 0,
    resume: Annotated[
        bool, typer.Option(help="Go on where the last run with this seed was interrupted")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder of the result")] = ROOT / "docs" / "validation",
    kept: Annotated[Path, typer.Option(help="Folder for what is finished of a run")] = ROOT
    / "log"
    / "campaign",
) -> None:
    """Run parts of the campaign and write campaign.json and campaign.md."""
    if context.invoked_subcommand is not None:
        return
    wanted = [part.strip() for part in parts.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        raise typer.BadParameter(f"there is no part {unknown[0]!r}; parts are {', '.join(PARTS)}")
    jobs = jobs or os.cpu_count() or 1
    result = report.load(output)
    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for part in wanted:
            path = kept / f"{part}-{seed}.jsonl"
            if not resume:
                path.unlink(missing_ok=True)
            total = {"pure": draws, "healthy": cell_hours, "live": live}.get(part)
            task = progress.add_task(part, total=total)

            def advance(amount: float, task: object = task) -> None:
                progress.advance(task, amount)  # type: ignore[arg-type]

            if part == "pure":
                data = pure_part(draws, seed, jobs, path, advance)
            elif part == "healthy":
                data = healthy_part(cell_hours, seed, jobs, path, advance)
            elif part == "logs":
                from fault_campaign.logs import logs_part

                data = logs_part(jobs, advance, lambda total, task=task: progress.update(task, total=total))
            else:
                from fault_campaign.live import live_part

                data = live_part(live, seed, path, advance)
            if data is None:
                continue
            result["parts"][part] = {**report.stamp(), **data}
            report.save(output, result)
    _say(result)
    bad = report.summary(result["parts"])
    if (
        bad["late"]
        or bad["missed"]
        or bad["false_alarms"]
        or any(part.get(what) for part in result["parts"].values() for what in ("broken", "wrong"))
    ):
        raise typer.Exit(1)


def _say(result: dict[str, object]) -> None:
    for key, value in report.summary(result["parts"]).items():  # type: ignore[arg-type]
        console.print(f"{key:42} {value}")


@app.command()
def one(kind: str, number: int, seed: int = 2026) -> None:
    """Play one draw again and print what was expected and what happened."""
    case = draw(seed, number, kind)
    console.print(case)
    played = play(case)
    trace, zero = played.trace, played.injected_s
    console.print_json(json.dumps(judge(case, played).row()))
    for name, events in (
        ("state", [(t, s.name) for t, s in trace.states]),
        ("contacts (positive, negative, precharge)", trace.contacts),
        ("zero current requested", trace.zero_requests),
        ("device opened by itself", trace.trips),
        ("active", [(t, row) for row, times in trace.raised.items() for t in times]),
    ):
        console.print(
            f"[bold]{name}[/bold]", *(f"{t - zero:+.3f} s {what}" for t, what in events), sep="\n  "
        )


@app.command("report")
def write_report(output: Path = ROOT / "docs" / "validation") -> None:
    """Write the page of the last result again."""
    report.save(output, report.load(output))


if __name__ == "__main__":
    sys.exit(app())
