"""The clock of ages goes on in suspend."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy")

from openbms_core.ros.clocks import awake_s, elapsed_s, find_clock
from openbms_core.ros.node_base import BmsNode


def test_ages_follow_the_clock_that_goes_on_in_suspend() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now, of_a_node = elapsed_s(), BmsNode.monotonic_s()
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= now <= of_a_node <= after


def test_whether_a_thread_hangs_is_judged_by_the_clock_that_stands_still() -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert before <= awake_s() <= time.clock_gettime(time.CLOCK_MONOTONIC)


def test_a_system_without_that_clock_takes_the_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(clock: int) -> float:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", refused)
    assert find_clock() is time.monotonic
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert find_clock() is time.monotonic
