"""Diagnosis of simulated and real packs: confusion of the faults, detection times, false alarms.

Without arguments a short version (minutes); ``--full`` is what docs/validation/diagnosis.md shows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from diagnosing.episodes import Episode, run_episode  # noqa: E402
from diagnosing.real_logs import LogResult, real_logs  # noqa: E402
from diagnosing.report import Campaign, write_report  # noqa: E402
from diagnosing.simulated_pack import FAULTS  # noqa: E402

KEPT = HERE.parent / "docs" / "validation"
TUNED_SEEDS, HELD_OUT_SEEDS = 1_000, 700_000
"""Settings were chosen on seeds from the first number on; the report is on those from the second."""
HEALTHY_DAYS, FAULTY_DAYS = 2.5, 5.0
LONG_DAYS = 14.0


def jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give the arguments of every episode."""
    first = HELD_OUT_SEEDS if options.held_out else TUNED_SEEDS
    for number in range(options.episodes):
        for k, fault in enumerate((*FAULTS, "")):
            yield {
                "group": "confusion",
                "seed": first + 100 * number + k,
                "fault": fault,
                "healthy_days": HEALTHY_DAYS if fault else HEALTHY_DAYS + FAULTY_DAYS,
                "faulty_days": FAULTY_DAYS,
            }
    for number in range(options.timed):
        for name, size, k in (("internal_short", 100.0, 50), ("connection_resistance", 0.0002, 60)):
            yield {
                "group": f"timed {name}",
                "seed": first + 100 * number + k,
                "fault": name,
                "healthy_days": HEALTHY_DAYS,
                "faulty_days": 2.0,
                "size": size,
                "ramp_s": 0.0,
                "evaluation_s": 300.0,
            }
    for number in range(int(np.ceil(options.healthy_hours / (LONG_DAYS * 24.0 * 96.0)))):
        yield {
            "group": "healthy",
            "seed": first + 50_000 + number,
            "fault": "",
            "healthy_days": LONG_DAYS,
            "faulty_days": 0.0,
        }


def run(job: dict[str, Any]) -> tuple[str, Episode]:
    """Run one episode in a worker."""
    group = job.pop("group")
    return group, run_episode(job.pop("seed"), job.pop("fault"), **job)


def main() -> int:
    """Run the campaign, print and keep its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="as in docs/validation, an hour or two")
    parser.add_argument("--held-out", action="store_true", help="seeds that were not used for tuning")
    parser.add_argument("--episodes", type=int, help="of each fault, and healthy")
    parser.add_argument("--timed", type=int, help="episodes for each detection time")
    parser.add_argument("--healthy-hours", type=float, help="simulated healthy cell-hours")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, help="folder with soc/ and pack/ logs of healthy cells")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/validation")
    options = parser.parse_args()
    for name, short, full in (("episodes", 1, 30), ("timed", 1, 20), ("healthy_hours", 2e4, 1.02e6)):
        if getattr(options, name) is None:
            setattr(options, name, full if options.full else short)
    begin_s = time.monotonic()
    campaign = Campaign(held_out=options.held_out)
    todo = list(jobs(options))
    logs: list[LogResult] = real_logs(options.data) if options.data else []
    campaign.logs = [asdict(log) for log in logs]
    with ProcessPoolExecutor(options.jobs) as pool:
        for done, future in enumerate(as_completed([pool.submit(run, job) for job in todo]), 1):
            group, episode = future.result()
            campaign.add(group, episode)
            spent_s = time.monotonic() - begin_s
            print(
                f"{done}/{len(todo)} after {spent_s:.0f} s: {group}, {episode.fault} -> {episode.named}",
                file=sys.stderr,
                flush=True,
            )
    campaign.duration_s = time.monotonic() - begin_s
    text = write_report(campaign)
    print(text)
    if options.write or options.full:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / "diagnosis.md").write_text(text, encoding="utf-8")
        (KEPT / "diagnosis.json").write_text(
            json.dumps(campaign.as_dict(), indent=1) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
