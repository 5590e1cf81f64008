"""Charge over every current frame: nothing is lost between scans, nothing is invented over gaps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_drivers.current_window import CurrentWindow


def test_a_pulse_between_two_scans_is_not_lost() -> None:
    window = CurrentWindow(0.2)
    for step in range(11):
        window.add(100.0 if step == 5 else 0.0, 0.01 * step, 0.01 * step)
    summary = window.close(0.1, 0.1)
    assert summary.charge_ah == pytest.approx(100.0 * 0.01 / 3600)
    assert (summary.minimum_a, summary.maximum_a, summary.samples) == (0.0, 100.0, 11)
    assert summary.mean_a == pytest.approx(100 / 11)


def test_nothing_received_is_nan_and_not_zero() -> None:
    summary = CurrentWindow(0.2).close(1.0, 1.0)
    assert math.isnan(summary.mean_a)
    assert math.isnan(summary.charge_ah)
    assert summary.samples == 0


def test_a_gap_is_not_integrated_and_said() -> None:
    window = CurrentWindow(0.2)
    window.add(10.0, 0.0, 0.0)
    window.close(0.1, 0.1)
    window.add(10.0, 5.0, 5.0)
    summary = window.close(5.0, 5.0)
    assert summary.gap
    assert summary.charge_ah == 0.0
    window.add(10.0, 5.1, 5.1)
    assert not window.close(5.1, 5.1).gap


def test_a_slow_sensor_gives_no_zeros_in_between() -> None:
    window = CurrentWindow(2.5)
    window.add(36.0, 0.0, 0.0)
    charges = [window.close(0.1 * scan, 0.1 * scan).charge_ah for scan in range(1, 11)]
    assert charges == pytest.approx([36.0 * 0.1 / 3600] * 10)
    window.add(18.0, 1.0, 1.0)
    # the trapezoid over the second is 27 A·s; 36 A·s were given already
    assert window.close(1.0, 1.0).charge_ah == pytest.approx(-9.0 / 3600)


def test_stamps_may_run_faster_than_the_monotonic_clock() -> None:
    window = CurrentWindow(0.2)
    for step in range(11):
        window.add(3.6, 1000.0 + 1.0 * step, 0.01 * step)
    assert window.close(1010.0, 0.1).charge_ah == pytest.approx(3.6 * 10 / 3600)


def test_a_clock_that_goes_back_is_a_gap() -> None:
    window = CurrentWindow(0.2)
    window.add(3.6, 1000.0, 0.0)
    window.add(3.6, 900.0, 0.01)
    summary = window.close(900.0, 0.01)
    assert summary.gap
    assert summary.charge_ah == 0.0


@given(
    steps=st.lists(
        st.tuples(
            st.floats(-500, 500),
            st.integers(0, 180).map(lambda ms: ms / 1000),
            st.booleans(),
            st.integers(0, 50),
        ),
        min_size=2,
        max_size=60,
    )
)
def test_increments_add_up_to_the_trapezoid(steps: list[tuple[float, float, bool, int]]) -> None:
    """However scans are cut, the sum over them is the trapezoid over all frames."""
    window, now, total, expected = CurrentWindow(0.2), 0.0, 0.0, 0.0
    for (current, wait, cut, part), (before, *_) in zip(steps, [steps[0], *steps], strict=False):
        if cut:  # the scan ends between two frames: what is held until then is settled with the next
            total += (window.close(now + wait * part / 50, now + wait * part / 50).charge_ah) if now else 0.0
        expected += 0.5 * (current + before) * wait if now else 0.0
        now += wait if now else 1.0
        window.add(current, now, now)
    summary = window.close(now, now)
    total += summary.charge_ah
    assert total * 3600 == pytest.approx(expected, abs=1e-6)
    assert not summary.gap


@given(
    steps=st.lists(
        st.tuples(st.floats(-500, 500), st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=40
    )
)
def test_the_mean_lies_between_the_extremes(steps: list[tuple[float, float, float, bool]]) -> None:
    window, now, stamp = CurrentWindow(0.2), 0.0, 0.0
    for current, wait, advance, cut in steps:
        now, stamp = now + wait, stamp + advance - 0.1
        window.add(current, stamp, now)
        if cut:
            summary = window.close(stamp, now)
            assert summary.minimum_a <= summary.mean_a <= summary.maximum_a
            assert math.isfinite(summary.charge_ah)
