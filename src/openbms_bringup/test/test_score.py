"""Error against the truth, and scans lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_bringup.score import ScanCounter, SocScore


def test_nothing_is_invented_without_truth() -> None:
    score = SocScore(0.1)
    score.add_estimate(1.0, np.array([0.5]))
    assert (score.rmse, score.mae, score.largest) == (None, None, None)


def test_equal_stamps() -> None:
    score = SocScore(0.1)
    score.add_truth(1.0, np.array([0.5, 0.6]))
    score.add_estimate(1.0, np.array([0.53, 0.56]))
    assert score.rmse == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2))
    assert score.mae == pytest.approx(0.035)
    assert score.largest == pytest.approx(0.04)


@pytest.mark.parametrize("estimate_first", [True, False])
def test_between_two_truths_it_interpolates_whatever_comes_first(estimate_first: bool) -> None:
    score = SocScore(0.1)
    score.add_truth(1.0, np.array([0.5]))
    if estimate_first:
        score.add_estimate(1.05, np.array([0.6]))
    score.add_truth(1.1, np.array([0.7]))
    if not estimate_first:
        score.add_estimate(1.05, np.array([0.6]))
    assert score.rmse == pytest.approx(0.0, abs=1e-9)
    assert score.scans == 1


def test_a_truth_too_far_away_is_not_used() -> None:
    score = SocScore(0.1)
    score.add_truth(1.0, np.array([0.5]))
    score.add_estimate(5.0, np.array([0.6]))
    score.add_truth(9.0, np.array([0.5]))
    assert score.rmse is None


def test_unknown_truth_and_unknown_estimates_do_not_count() -> None:
    score = SocScore(0.1)
    score.add_truth(1.0, np.array([0.5, math.nan, 0.5]))
    score.add_estimate(1.0, np.array([0.6, 0.1, math.nan]))
    assert score.values == 1
    assert score.rmse == pytest.approx(0.1)


def test_time_that_jumps_back_starts_anew() -> None:
    score = SocScore(0.1)
    score.add_truth(100.0, np.array([0.5]))
    score.add_truth(1.0, np.array([0.4]))
    score.add_estimate(1.0, np.array([0.4]))
    assert score.rmse == pytest.approx(0.0)


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=30))
def test_mean_is_never_above_rmse_nor_rmse_above_the_largest(errors: list[float]) -> None:
    score = SocScore(0.1)
    for index, error in enumerate(errors):
        score.add_truth(float(index), np.array([0.5]))
        score.add_estimate(float(index), np.array([0.5 + error]))
    assert score.scans == len(errors)
    assert score.mae <= score.rmse + 1e-12
    assert score.rmse <= score.largest + 1e-12


@pytest.mark.parametrize(
    ("numbers", "scans", "lost", "starts"),
    [
        ([], 0, 0, 0),
        ([5, 6, 7], 3, 0, 1),
        ([0, 1, 4, 5], 4, 2, 1),
        ([7, 8, 0, 1], 4, 0, 2),
        ([3, 3, 4], 2, 0, 1),
    ],
)
def test_scans(numbers: list[int], scans: int, lost: int, starts: int) -> None:
    counter = ScanCounter()
    for number in numbers:
        counter.add(number)
    assert (counter.scans, counter.lost, counter.starts) == (scans, lost, starts)
