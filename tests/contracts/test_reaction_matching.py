"""The reaction benchmark finds the right answer to each scan: by its number, not by what comes next."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "reaction" / "matching.py"
PERIOD_S, COUNT = 0.02, 700


@pytest.fixture(scope="module")
def matching() -> Any:
    spec = importlib.util.spec_from_file_location("reaction_matching", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(
    matching: Any,
    latency_s: Callable[[int], float],
    extra: frozenset[int] = frozenset(),
    merged: frozenset[int] = frozenset(),
) -> Any:
    """Give what is found for a bus on which scan n is answered after ``latency_s(n)``, with repeats between.

    Before each scan of ``extra`` the driver closes one by itself; each scan of ``merged`` it takes together
    with the next one.
    """
    triggers = [PERIOD_S * n for n in range(COUNT)]
    number, taken, answers = 200, [], []
    for n, trigger_s in enumerate(triggers):
        if n in extra:
            taken.append((trigger_s - 0.4 * PERIOD_S, number))
            answers.append((trigger_s - 0.3 * PERIOD_S, number))
            number += 1
        if n not in merged:
            taken.append((trigger_s + random.Random(n).uniform(-5e-5, 5e-5), number))
            answers.append((trigger_s + latency_s(n), number))
            number += 1
    ends = sorted(answers)
    heard, newest = [], -1
    for stamp_s, answered in sorted(ends + [(at_s + 0.7 * PERIOD_S, -1) for at_s, _ in ends[::7]]):
        newest = max(newest, answered)  # a repeat says what was newest then
        heard.append((stamp_s, newest % 256))
    result = matching.Latency("", "", PERIOD_S)
    matching.match(triggers, taken, heard, result)
    return result


def test_a_constant_latency_is_found(matching: Any) -> None:
    result = run(matching, lambda n: 0.003)
    assert result.scans == COUNT and result.lost == result.skipped == result.merged == 0
    assert result.seconds == pytest.approx([0.003] * COUNT)


def test_an_answer_that_is_later_than_the_next_scans_is_not_taken_for_a_quick_one(matching: Any) -> None:
    source = random.Random(1)
    ends: list[float] = []
    for n in range(COUNT):
        own_s = PERIOD_S * n + (source.uniform(0.02, 0.5) if n > 150 else 0.002)
        ends.append(max(own_s, ends[-1] + 0.0001 if ends else 0.0))  # it waits for those before it
    result = run(matching, lambda n: ends[n] - PERIOD_S * n)
    assert result.seconds == pytest.approx([ends[n] - PERIOD_S * n for n in range(COUNT)])


def test_scans_that_the_driver_closed_by_itself_or_took_together_shift_nothing(matching: Any) -> None:
    result = run(matching, lambda n: 0.003, frozenset({300, 500}), frozenset({320, 321, 510}))
    late = {320: 2, 321: 1, 510: 1}
    expected = [0.003 + PERIOD_S * late.get(n, 0) for n in range(COUNT)]
    assert result.seconds == pytest.approx(expected)
    assert result.merged == 3 and result.lost == 0


def test_an_answer_by_a_later_number_is_counted_as_such(matching: Any) -> None:
    result = matching.Latency("", "", PERIOD_S)
    matching.match([0.0, 0.02], [(0.0, 5), (0.02, 6)], [(0.023, 6)], result)
    assert result.seconds == pytest.approx([0.023, 0.003]) and result.skipped == 1


def test_scans_without_answer_are_lost(matching: Any) -> None:
    result = matching.Latency("", "", PERIOD_S)
    taken = [(PERIOD_S * n, n) for n in range(290)]
    answers = [(PERIOD_S * n + 0.002, n % 256) for n in range(200)]
    matching.match([PERIOD_S * n for n in range(300)], taken, answers, result)
    assert result.scans == 300 and result.lost == 100 and len(result.seconds) == 200
