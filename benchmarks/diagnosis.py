"""Diagnosis of simulated and real packs: confusion of the faults, detection times, false alarms.

Without arguments a short version on the seeds that settings were chosen on; ``--full`` on others, as in
docs/validation/diagnosis.md, which it writes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from diagnosing.episodes import Branch, Episode, run_pack  # noqa: E402
from diagnosing.real_logs import real_logs  # noqa: E402
from diagnosing.report import Campaign, write_report  # noqa: E402
from diagnosing.simulated_pack import CELLS, FAULTS  # noqa: E402

KEPT = HERE.parent / "docs" / "validation"
TUNED_SEEDS, HELD_OUT_SEEDS = 1_000, 700_000
"""Settings were chosen on seeds from the first number on; the report is on those from the second."""
HEALTHY_DAYS, FAULTY_DAYS, TIMED_DAYS = 2.5, 4.0, 2.0
LONG_DAYS = 14.0
TIMED_EVALUATION_S = 300.0
"""The product compares the hypotheses every 20 s; a detection time is measured to this much."""

BRANCHES = (
    *(Branch("confusion", fault, FAULTY_DAYS) for fault in (*FAULTS, "")),
    Branch("timed internal_short", "internal_short", TIMED_DAYS, TIMED_EVALUATION_S, True, {"size": 100.0}),
    Branch(
        "timed connection_resistance",
        "connection_resistance",
        TIMED_DAYS,
        TIMED_EVALUATION_S,
        True,
        {"size": 0.0002, "ramp_s": 0.0},
    ),
)


@dataclass(frozen=True)
class Job:
    """A pack to run: arguments of :func:`run_pack`, and the healthy cell-hours that it brings at most."""

    seed: int
    cells: int
    healthy_days: float
    branches: tuple[Branch, ...] = ()


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Give the packs, faulty ones and healthy ones in turn, so that an early end leaves some of both."""
    first = HELD_OUT_SEEDS if options.held_out else TUNED_SEEDS
    faulty = [Job(first + number, CELLS, HEALTHY_DAYS, BRANCHES) for number in range(options.packs)]
    each = LONG_DAYS * 24.0 * options.healthy_cells
    count = int(np.ceil(max(options.healthy_hours, 0.0) / each))
    healthy = [Job(first + 50_000 + number, options.healthy_cells, LONG_DAYS) for number in range(count)]
    places = [(i / len(faulty), 0, i, job) for i, job in enumerate(faulty)]
    places += [(i / len(healthy), 1, i, job) for i, job in enumerate(healthy)]
    for *_, job in sorted(places, key=lambda place: place[:3]):
        yield job


def run(job: Job) -> list[tuple[str, Episode]]:
    """Run a pack in a worker."""
    return run_pack(job.seed, job.cells, job.healthy_days, job.branches)


def simulate(
    todo: list[Job], options: argparse.Namespace, done: Callable[[list[tuple[str, Episode]]], None]
) -> None:
    """Run the packs, until the time is over."""
    end_s = time.monotonic() + 60.0 * options.minutes
    left = iter(todo)
    running: set[Future[list[tuple[str, Episode]]]] = set()
    with ProcessPoolExecutor(options.jobs) as pool:
        while True:
            while len(running) < options.jobs and time.monotonic() < end_s:
                job = next(left, None)
                if job is None:
                    break
                running.add(pool.submit(run, job))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done(future.result())


def main() -> int:
    """Run the campaign, print and keep its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full",
        action="store_true",
        help="a million cell-hours and 30 packs on held-out seeds, kept (hours)",
    )
    parser.add_argument("--held-out", action="store_true", help="seeds that were not used for tuning")
    parser.add_argument("--packs", type=int, help="each goes on with every fault, without one and timed")
    parser.add_argument("--healthy-hours", type=float, help="cell-hours of packs that stay healthy")
    parser.add_argument("--healthy-cells", type=int, default=384, help="cells of these, a multiple of 3")
    parser.add_argument("--minutes", type=float, default=1e6, help="after this time no further pack begins")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, help="folder with soc/ and pack/ logs of healthy cells")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/validation")
    parser.add_argument("--again", action="store_true", help="only write the page anew from what was kept")
    options = parser.parse_args()
    if options.again:
        kept = json.loads((KEPT / "diagnosis.json").read_text(encoding="utf-8"))
        (KEPT / "diagnosis.md").write_text(write_report(Campaign.of(kept)), encoding="utf-8")
        return 0
    for name, short, full in (("packs", 1, 30), ("healthy_hours", 1e5, 1.02e6)):
        if getattr(options, name) is None:
            setattr(options, name, full if options.full else short)
    options.held_out, options.write = options.held_out or options.full, options.write or options.full
    if options.healthy_cells % 3 or options.healthy_cells < 6:
        parser.error("--healthy-cells: a multiple of 3 from 6 on is needed, three cells share a sensor")
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data {options.data}: no such folder")
    begin_s = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - begin_s:6.0f} s  {text}", file=sys.stderr, flush=True)

    todo = list(jobs(options))
    campaign = Campaign(held_out=options.held_out, planned=len(todo))

    def keep() -> None:
        campaign.duration_s = time.monotonic() - begin_s
        if options.write:
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / "diagnosis.md").write_text(write_report(campaign), encoding="utf-8")
            text = json.dumps(campaign.as_dict(), indent=1)
            (KEPT / "diagnosis.json").write_text(text + "\n", encoding="utf-8")

    def done(results: list[tuple[str, Episode]]) -> None:
        campaign.packs += 1
        for group, episode in results:
            campaign.add(group, episode)
            found = "" if episode.detected_h is None else f" after {episode.detected_h:.1f} h"
            alarms = ", ".join(episode.alarms_before + episode.alarms_elsewhere)
            also = f"; also {alarms}" if alarms else ""
            tell(f"{group} {episode.seed}, {episode.fault} -> {episode.named}{found}{also}")
        keep()

    if options.data is not None:
        campaign.logs = [asdict(log) for log in real_logs(options.data, tell)]
        keep()
    simulate(todo, options, done)
    keep()
    print(write_report(campaign))
    return 0


if __name__ == "__main__":
    sys.exit(main())
