"""The control pilot's current, and a crash that is held."""

from __future__ import annotations

import math

import pytest

from openbms_drivers.vehicle.crash import CrashLatch
from openbms_drivers.vehicle.pilot import pilot_current_a


@pytest.mark.parametrize(
    ("percent", "current_a"),
    [
        (0.0, 0.0), (2.9, 0.0), (7.5, 0.0), (8.0, 6.0), (9.9, 6.0), (10.0, 6.0), (16.0, 9.6), (25.0, 15.0),
        (50.0, 30.0), (85.0, 51.0), (86.0, 55.0), (90.0, 65.0), (96.0, 80.0), (96.5, 80.0), (97.5, 0.0),
        (100.0, 0.0),
    ],
)  # fmt: skip
def test_duty_says_the_current(percent: float, current_a: float) -> None:
    assert pilot_current_a(percent / 100.0) == pytest.approx(current_a)


@pytest.mark.parametrize("percent", [3.0, 5.0, 7.0, math.nan])
def test_digital_communication_says_nothing_of_the_current(percent: float) -> None:
    assert math.isnan(pilot_current_a(percent / 100.0))


def test_a_crash_is_held_until_the_key_was_off_and_on() -> None:
    latch = CrashLatch()
    assert latch.step(0, 1) is False
    assert latch.step(1, 1) is True
    for crash, key in ((0, 1), (None, None), (None, 0), (None, 1), (0, None)):
        assert latch.step(crash, key) is False, "an unknown crash does not say that it has gone"
        assert latch.latched
    assert latch.step(0, 0) is False
    assert latch.step(1, 0) is False, "again: the key counts from anew"
    assert latch.step(0, 1) is False
    latch.step(0, 0)
    assert latch.step(0, 1) is True
    assert not latch.latched


def test_a_crash_from_before_the_restart_is_held() -> None:
    latch = CrashLatch(latched=True)
    assert latch.step(0, 1) is False
    assert latch.latched
