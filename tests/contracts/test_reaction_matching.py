"""The reaction benchmark finds the right answer to each scan: by counts, not by what comes next."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "reaction" / "matching.py"


@pytest.fixture(scope="module")
def matching() -> Any:
    spec = importlib.util.spec_from_file_location("reaction_matching", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(matching: Any, latency_s: Any, extra: frozenset[int] = frozenset()) -> Any:
    """Give what is found for a bus on which scan n is answered after ``latency_s(n)`` by the number n + 200
    and a periodic repeat comes now and then; before scan ``n`` of ``extra`` the driver closes one by itself.
    """
    period_s, count = 0.02, 700
    scans = [(period_s * n, (65_000 + n) % 65_536) for n in range(count)]
    added, answers = 0, []
    for n, (stamp_s, _) in enumerate(scans):
        added += n in extra
        answers.append((stamp_s + latency_s(n), (200 + n + added) % 256))
    answers.sort()
    repeats = [(stamp_s + 0.9 * period_s, low) for stamp_s, low in answers[::7]]
    newest, seen = -1.0, []
    for stamp_s, low in sorted(answers + repeats):  # a repeat says what was newest then
        if (stamp_s, low) in answers:
            newest = low
        seen.append((stamp_s, newest))
    result = matching.Latency("", "", period_s)
    matching.match(scans, seen, 100 * period_s, result)
    return result


def test_a_constant_latency_is_found(matching: Any) -> None:
    result = run(matching, lambda n: 0.003)
    assert result.scans == 600 and result.lost == result.skipped == result.extra == 0
    assert result.seconds == pytest.approx([0.003] * 600)


def test_an_answer_that_is_later_than_the_next_scan_is_not_taken_for_a_quick_one(matching: Any) -> None:
    source = random.Random(1)
    late = {n: source.uniform(0.02, 0.5) if n > 150 else 0.002 for n in range(700)}
    # one after the other: an answer waits for those before it
    ends: list[float] = []
    for n in range(700):
        ends.append(max(0.02 * n + late[n], ends[-1] + 0.0001 if ends else 0.0))
    result = run(matching, lambda n: ends[n] - 0.02 * n)
    assert result.seconds == pytest.approx([ends[n] - 0.02 * n for n in range(100, 700)])
    assert result.extra == 0


def test_a_scan_that_the_driver_closed_by_itself_shifts_the_count(matching: Any) -> None:
    result = run(matching, lambda n: 0.003, extra=frozenset({300, 500}))
    assert result.extra == 2
    assert result.seconds == pytest.approx([0.003] * 600)


def test_scans_without_answer_are_lost(matching: Any) -> None:
    result = matching.Latency("", "", 0.02)
    scans, answers = [(0.02 * n, n) for n in range(300)], [(0.02 * n + 0.002, n) for n in range(200)]
    matching.match(scans, answers, 2.0, result)
    assert result.scans == 200 and result.lost == 100 and len(result.seconds) == 100
