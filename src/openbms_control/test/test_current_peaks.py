"""A current that swings beyond both limits trips; a single frame, or one within them, does not."""

from __future__ import annotations

import math

import pytest

from openbms_core.types import State

FRAME_S = 0.01


def run_frames(rig, current_of, seconds):
    """Close scans as the driver does: at once at a frame beyond a limit (7 A, 22 A), else every 100 ms."""
    reached, since_s, spent_s = [], 0.0, 0.0
    while spent_s < seconds:
        spent_s += FRAME_S
        since_s += FRAME_S
        current = current_of(spent_s)
        reached.append(current)
        if current > 7.0 or current < -22.0 or since_s >= 0.1 - 1e-9:
            rig.step(since_s, current_a=sum(reached) / len(reached), string_current_minimum_a=min(reached),
                     string_current_maximum_a=max(reached))  # fmt: skip
            reached, since_s = [], 0.0
        if rig.last.status.zero_current_requested:
            return spent_s
    return None


@pytest.mark.parametrize("hertz", [0.7, 2.0, 5.0, 10.0, 20.0, 50.0])
def test_a_swing_beyond_both_limits_is_seen_in_time(kit, hertz):
    rig = kit.rig()
    rig.close()
    asked_s = run_frames(rig, lambda t: 30.0 * math.copysign(1.0, math.sin(2 * math.pi * hertz * t)), 3.0)
    assert asked_s is not None and asked_s < 0.5


def test_a_swing_within_the_limits_is_not(kit):
    rig = kit.rig()
    rig.close()
    assert run_frames(rig, lambda t: 6.5 * math.sin(2 * math.pi * 7.0 * t), 3.0) is None
    assert rig.state == State.DRIVE


def test_a_single_frame_a_second_is_not(kit):
    rig = kit.rig()
    rig.close()
    assert run_frames(rig, lambda t: 40.0 if round(t / FRAME_S) % 100 == 37 else 0.0, 5.0) is None
    assert rig.state == State.DRIVE


def test_one_fast_sample_of_a_pack_that_is_scanned_seldom_is_not(kit):
    """Half of a scan period of 0.2 s is as long as the debounce, of which a single frame must stay short."""
    slow = ("OVER_CURRENT_CHARGE", "OVER_CURRENT_DISCHARGE", "CURRENT_ON_OPEN_STRING", "INTERLOCK_OPEN")
    faults = {name: {"fault_tolerant_time_s": 2.0} for name in slow}
    rig = kit.rig(measurement={"scan_period_s": 0.2}, faults=faults)
    rig.close()
    for number in range(100):
        rig.step(0.05, current_a=40.0 if number % 20 == 5 else 0.0)
        assert not rig.last.status.zero_current_requested
    assert rig.state == State.DRIVE
