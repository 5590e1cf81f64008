"""Debounce is in seconds, whatever the scan period."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_control.safety.debounce import Debounce


def feed(debounce: Debounce, condition: bool, step_s: float, known: bool = True) -> bool:
    debounce.update(np.array([condition]), np.array([known]), np.array([step_s]))
    return bool(debounce.tripped[0])


def one(seconds: float) -> Debounce:
    return Debounce(np.array([seconds]))


@pytest.mark.parametrize("period_s", [0.01, 0.02, 0.05, 0.1, 0.25, 0.5])
def test_half_a_second_is_half_a_second(period_s):
    debounce, elapsed = one(0.5), 0.0
    assert not feed(debounce, True, period_s)
    while not feed(debounce, True, period_s):
        elapsed += period_s
    assert elapsed + period_s == pytest.approx(0.5, abs=1e-6)


def test_a_single_scan_counts_nothing():
    debounce = one(0.5)
    for _ in range(100):
        feed(debounce, True, 0.4)
        assert not feed(debounce, False, 0.4)
    assert debounce.held_s[0] == 0.0


def test_it_clears_only_after_the_same_time():
    debounce = one(0.5)
    for _ in range(20):
        feed(debounce, True, 0.1)
    assert feed(debounce, False, 0.1)
    for _ in range(4):
        assert feed(debounce, False, 0.1)
    assert not feed(debounce, False, 0.1)
    assert not debounce.counting(0)


def test_two_thirds_of_the_time_trips():
    debounce = one(0.5)
    assert any(feed(debounce, number % 3 != 0, 0.1) for number in range(60))


def test_without_debounce_it_follows_at_once():
    debounce = one(0.0)
    assert feed(debounce, True, 0.0)
    assert not feed(debounce, False, 0.0)


def test_while_unknown_it_stands_still():
    debounce = one(0.5)
    for _ in range(4):
        feed(debounce, True, 0.1)
    held = debounce.held_s[0]
    for condition in (True, False):
        feed(debounce, condition, 10.0, known=False)
    assert debounce.held_s[0] == held
    assert debounce.counting(0)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 2)), max_size=60), st.floats(0, 3))
def test_the_integral_stays_within_its_bounds(events, debounce_s):
    debounce = one(debounce_s)
    for condition, known, step_s in events:
        feed(debounce, condition, step_s, known)
        assert 0.0 <= debounce.held_s[0] <= debounce_s


@given(st.lists(st.floats(0.001, 0.3), min_size=1, max_size=300))
def test_jittering_scans_trip_not_before_and_at_most_one_scan_after(steps):
    debounce, elapsed = one(0.5), 0.0
    assert not feed(debounce, True, 1.0)
    for step_s in steps:
        elapsed += step_s
        if feed(debounce, True, step_s):
            assert elapsed >= 0.499 - 1e-9
            assert elapsed - step_s < 0.5
            return
    assert elapsed < 0.5
