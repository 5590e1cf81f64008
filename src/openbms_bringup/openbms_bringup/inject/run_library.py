"""Run the fault library over real nodes, processes and bus: `make faults`.

Starts a demonstration system of its own, puts one case after the other into it, and prints and writes what
came of each.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from openbms_bringup.claim import claim_domain
from openbms_bringup.inject.case import Case
from openbms_bringup.inject.library import drawn, load_library
from openbms_bringup.inject.outcome import Outcome
from openbms_bringup.inject.run_case import run_case
from openbms_bringup.ros.live_system import LiveSystem
from openbms_core.config_file import ConfigError

__all__ = ["main", "outcome_page", "random_draws", "run_library"]

_COMMAND = "make faults"


def random_draws(cases: Iterable[Case], count: int, seed: int) -> list[Case]:
    """Draw cases at random, each with an operating point and values within its ranges.

    Every case comes once before any comes again; those without ranges stay as they are.

    Parameters
    ----------
    cases : iterable of Case
    count : int
        How many.
    seed : int
        Equal seeds give equal draws.
    """
    known, rng = list(cases), random.Random(seed)
    draws: list[Case] = []
    while len(draws) < count:
        draws += [drawn(case, rng)[0] for case in rng.sample(known, len(known))]
    return draws[:count]


def run_library(
    cases: Iterable[Case], folder: Path, domain: int, seed: int | None = None
) -> Iterator[tuple[Outcome, float]]:
    """Run cases one after the other; gives the outcome of each and the seconds that it took.

    Systems are started as they are needed; cases are ordered so that few are.

    Parameters
    ----------
    cases : iterable of Case
        Also of :func:`random_draws`, without ``seed`` then.
    folder : Path
        For what the systems write.
    domain : int
        ROS domain.
    seed : int, optional
        Draws operating points and parameters; default: as the cases say.
    """
    ordered = sorted(cases, key=lambda case: (case.given.clock, round(case.given.temperature_degc)))
    system: LiveSystem | None = None
    try:
        for number, case in enumerate(ordered):
            began_s = time.monotonic()
            if system is None or system.clock != case.given.clock:
                if system is not None:
                    system.close()
                    system = None
                place = folder / f"system_{number}"
                system = LiveSystem(place, domain, clock=case.given.clock)
            rng = None if seed is None else random.Random(f"{seed}:{case.name}")
            outcome = run_case(system, case, rng)
            yield outcome, time.monotonic() - began_s
            if outcome.verdict == "error" or "afterwards" in outcome.text:
                # what has not recovered is not used again
                system.close()
                system = None
    finally:
        if system is not None:
            system.close()


def _s(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def outcome_page(outcomes: list[Outcome], cases: dict[str, Case], seed: int | None) -> str:
    """Give the page of results as Markdown."""
    count = Counter(outcome.verdict for outcome in outcomes)
    drawn = "as each case says" if seed is None else f"operating points and parameters drawn with seed {seed}"
    lines = [
        "# Fault library over the real nodes",
        "",
        f"Written by `{_COMMAND}`: each case of `config/faults` put into a running demonstration (twin,",
        f"driver, safety monitor and estimators in processes of their own, on the bus), {drawn}.",
        "",
        "Times are seconds from the onset of the fault: until it is active, until zero current is asked for,",
        "until every contact is really open. The deadline is the fault-tolerant time of the fault table, or",
        "the case's own; it counts for the open contacts where they must open, else for the fault. What each",
        "case is, and what must not happen in it, is in the files.",
        "",
        ", ".join(f"{number} {verdict.replace('_', ' ')}" for verdict, number in sorted(count.items())),
        "",
        "| Case | Expected | Outcome | Deadline | Detected | Zero request | Open |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in sorted(outcomes, key=lambda each: list(cases).index(each.case)):
        expected = (" or " if cases[outcome.case].expect.any_of else ", ").join(outcome.expected)
        verdict = outcome.verdict.replace("_", " ") + (f": {outcome.text}" if outcome.text else "")
        times = (outcome.deadline_s, outcome.detected_s, outcome.zero_request_s, outcome.open_s)
        lines.append(
            f"| {outcome.case} | {expected or 'nothing'} | {verdict} | {' | '.join(_s(t) for t in times)} |"
        )
    return "\n".join([*lines, ""])


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the library; 0 when everything came as expected."""
    parser = argparse.ArgumentParser(prog="run_library", description=__doc__)
    parser.add_argument("names", nargs="*", help="cases, with * for any letters; none: all")
    parser.add_argument("--seed", type=int, help="draw operating points and parameters")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    parser.add_argument("--page", type=Path, help="write the page to this file")
    given = parser.parse_args(arguments)
    cases = load_library()
    wanted = {
        name: case
        for name, case in cases.items()
        if not given.names or any(fnmatch.fnmatchcase(name, pattern) for pattern in given.names)
    }
    if not wanted:
        sys.stderr.write(f"run_library: no case is called {' or '.join(given.names)}\n")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        # also where a shell's background job ignores it: what was started and mounted has to go
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="openbms-faults-"))
    claim = claim_domain("bms", os.environ.get("ROS_DOMAIN_ID"))
    outcomes: list[Outcome] = []
    try:
        for outcome, seconds in run_library(wanted.values(), folder, claim.domain, given.seed):
            outcomes.append(outcome)
            sys.stdout.write(_line(outcome, len(outcomes), len(wanted), seconds))
            sys.stdout.flush()
    except ConfigError as error:
        sys.stderr.write(f"run_library: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("run_library: ended early\n")
        return 1
    finally:
        claim.release()
        shutil.rmtree(folder, ignore_errors=True)
    count = Counter(outcome.verdict for outcome in outcomes)
    sys.stdout.write(", ".join(f"{number} {verdict}" for verdict, number in sorted(count.items())) + "\n")
    if given.json is not None:
        content: dict[str, Any] = {"seed": given.seed, **count, "rows": [one.to_dict() for one in outcomes]}
        _write(given.json, json.dumps(content, indent=1, allow_nan=False) + "\n")
    if given.page is not None:
        _write(given.page, outcome_page(outcomes, cases, given.seed))
    return 0 if set(count) <= {"in_time"} else 1


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _line(outcome: Outcome, number: int, of: int, seconds: float) -> str:
    times = ", ".join(
        f"{label} {value:.2f} s"
        for label, value in (
            ("detected", outcome.detected_s),
            ("zero", outcome.zero_request_s),
            ("open", outcome.open_s),
            ("allowed", outcome.deadline_s),
        )
        if value is not None
    )
    text = f" {outcome.text}; saw {', '.join(outcome.seen)}" if not outcome.as_expected else ""
    head = f"[{number}/{of}] {outcome.case}: {outcome.verdict}{text}"
    return f"{head} ({times or 'nothing'}; took {seconds:.0f} s)\n"


if __name__ == "__main__":
    sys.exit(main())
