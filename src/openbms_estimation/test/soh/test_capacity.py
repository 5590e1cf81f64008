"""Capacity by total least squares: without the bias of ordinary least squares, with an honest deviation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_estimation.soh.capacity import CapacitySettings, TotalLeastSquares

RUNS = 400
NO_PRIOR = CapacitySettings(forgetting=1.0, least_soc=0.0, prior_std=10.0)


def ordinary(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sum(x * y, axis=0) / np.sum(x * x, axis=0)


def noisy_pairs(count: int, span: float, soc_std: float, charge_std: float, q: float = 10.0, seed: int = 1):
    rng = np.random.default_rng(seed)
    true = rng.uniform(-span, span, (count, RUNS))
    x = true + rng.normal(0.0, soc_std, true.shape)
    y = q * true + rng.normal(0.0, charge_std, true.shape)
    return x, y


def fitted(x, y, soc_std, charge_std, settings=NO_PRIOR, start=10.0):
    estimator = TotalLeastSquares(np.full(x.shape[1], start), settings)
    for row_x, row_y in zip(x, y, strict=True):
        # the sign of a short noisy pair may be lost: turn the pair, which holds the same line
        turn = np.sign(row_x * row_y)
        keep = turn > 0
        estimator.add(np.where(keep, row_x, np.nan), row_y, soc_std, charge_std)
    return estimator.estimate()


def test_where_ordinary_least_squares_fails_this_does_not() -> None:
    x, y = noisy_pairs(100, 0.4, soc_std=0.05, charge_std=0.02)
    plain = ordinary(x, y) / 10.0 - 1.0
    result = fitted(x, y, 0.05, 0.02).capacity_ah / 10.0 - 1.0
    assert plain.mean() < -0.035, "the case must be one in which plain least squares is biased"
    assert abs(result.mean()) < 0.01
    assert np.sqrt(np.mean(result**2)) < 0.7 * np.sqrt(np.mean(plain**2))


def test_large_changes_only_as_the_gate_has_it() -> None:
    rng = np.random.default_rng(3)
    true = rng.uniform(0.3, 0.8, (40, RUNS)) * rng.choice([-1, 1], (40, RUNS))
    x, y = true + rng.normal(0, 0.02, true.shape), 50.0 * true + rng.normal(0, 0.3, true.shape)
    result = fitted(x, y, 0.02, 0.3, CapacitySettings(1.0, 0.3, 10.0), start=60.0)
    error = result.capacity_ah / 50.0 - 1.0
    assert abs(error.mean()) < 0.004 and np.sqrt(np.mean(error**2)) < 0.01


@pytest.mark.parametrize(("soc_std", "charge_std"), [(0.01, 0.1), (0.03, 0.05), (0.002, 0.5)])
def test_the_deviation_is_honest_whichever_side_is_noisy(soc_std: float, charge_std: float) -> None:
    rng = np.random.default_rng(5)
    true = rng.uniform(0.3, 0.8, (30, RUNS))
    x = true + rng.normal(0, soc_std, true.shape)
    y = 10.0 * true + rng.normal(0, charge_std, true.shape)
    result = fitted(x, y, soc_std, charge_std)
    squared = ((result.capacity_ah - 10.0) / result.capacity_std_ah) ** 2
    # 95 % of a mean of 400 squares of a normal variable lies within 1 ± 0.14
    assert 0.8 < squared.mean() < 1.2
    covered = np.mean(squared < 1.96**2)
    assert 0.92 < covered < 0.98


def test_deviations_that_differ_from_pair_to_pair_weigh_it() -> None:
    rng = np.random.default_rng(6)
    good = rng.random((30, RUNS)) < 0.3
    soc_std = np.where(good, 0.005, 0.05)
    true = rng.uniform(0.3, 0.8, good.shape)
    x, y = true + rng.normal(0, 1, good.shape) * soc_std, 10.0 * true + rng.normal(0, 0.05, good.shape)
    weighted = TotalLeastSquares(np.full(RUNS, 10.0), NO_PRIOR)
    flat = TotalLeastSquares(np.full(RUNS, 10.0), NO_PRIOR)
    for k in range(30):
        weighted.add(x[k], y[k], soc_std[k], 0.05)
        flat.add(x[k], y[k], 0.03, 0.05)
    spread = [np.sqrt(np.mean((e.estimate().capacity_ah - 10.0) ** 2)) for e in (weighted, flat)]
    assert spread[0] < 0.6 * spread[1]


def test_a_capacity_that_walks_is_followed_with_an_honest_deviation() -> None:
    rng = np.random.default_rng(7)
    gamma, q = 0.9, np.full(RUNS, 10.0)
    settings = CapacitySettings(forgetting=gamma, least_soc=0.3, prior_std=0.05)
    q = q * (1.0 + 0.05 * rng.normal(size=RUNS))
    estimator = TotalLeastSquares(np.full(RUNS, 10.0), settings)
    squares = []
    for step in range(60):
        # the walk that forgetting stands for: the variance grows by 1 / gamma from pair to pair
        q = q + np.sqrt(1.0 / gamma - 1.0) * estimator.estimate().capacity_std_ah * rng.normal(size=RUNS)
        true = rng.uniform(0.4, 0.8, RUNS)
        estimator.add(true + rng.normal(0, 0.02, RUNS), q * true + rng.normal(0, 0.05, RUNS), 0.02, 0.05)
        result = estimator.estimate()
        if step >= 20:
            squares.append(((result.capacity_ah - q) / result.capacity_std_ah) ** 2)
    assert 0.75 < np.mean(squares) < 1.25


def test_deviations_that_are_too_small_widen_the_result() -> None:
    rng = np.random.default_rng(8)
    true = rng.uniform(0.3, 0.8, (60, RUNS))
    x, y = true + rng.normal(0, 0.03, true.shape), 10.0 * true + rng.normal(0, 0.03, true.shape)
    told = fitted(x, y, 0.005, 0.05)
    assert told.misfit.mean() > 10.0
    squared = ((told.capacity_ah - 10.0) / told.capacity_std_ah) ** 2
    assert squared.mean() < 2.5, "a deviation that is six times too small must not pass to the capacity"


@pytest.mark.parametrize(
    ("x", "y", "sx", "sy"),
    [
        (np.nan, 5.0, 0.01, 0.1),
        (0.5, np.nan, 0.01, 0.1),
        (0.5, 5.0, 0.0, 0.1),
        (0.5, 5.0, 0.01, -1.0),
        (0.29, 2.9, 0.01, 0.1),
        (0.5, -5.0, 0.01, 0.1),
        (0.5, 5.0, np.inf, 0.1),
    ],
)
def test_what_is_no_pair_is_refused_and_changes_nothing(x: float, y: float, sx: float, sy: float) -> None:
    estimator = TotalLeastSquares([10.0, 10.0])
    estimator.add(0.5, 4.9, 0.01, 0.1)
    before = estimator.estimate()
    assert not estimator.add([x, x], y, sx, sy).any()
    after = estimator.estimate()
    np.testing.assert_array_equal(before.capacity_ah, after.capacity_ah)
    np.testing.assert_array_equal(before.pairs, [1, 1])


def test_one_cell_without_anchor_leaves_the_others_alone() -> None:
    estimator = TotalLeastSquares([10.0, 10.0])
    assert estimator.add([0.5, np.nan], 4.5, 0.005, 0.01).tolist() == [True, False]
    result = estimator.estimate()
    assert result.capacity_ah[0] < 9.5 and result.capacity_ah[1] == 10.0
    assert result.capacity_std_ah[1] == pytest.approx(1.0)


@given(st.floats(0.5, 500.0), st.floats(0.31, 1.0), st.floats(0.5, 1.2))
def test_exact_pairs_give_the_exact_capacity_in_any_unit(rated: float, span: float, health: float) -> None:
    estimator = TotalLeastSquares([rated], CapacitySettings(1.0, 0.3, 10.0))
    for sign in (-1, 1, -1):
        estimator.add(sign * span, sign * span * health * rated, 1e-4, 1e-4 * rated)
    result = estimator.estimate()
    assert result.capacity_ah[0] == pytest.approx(health * rated, rel=1e-4)
    assert 0.0 < result.capacity_std_ah[0] < 0.01 * rated


def test_state_survives() -> None:
    x, y = noisy_pairs(5, 0.8, 0.02, 0.05)
    first, second = (TotalLeastSquares(np.full(RUNS, 10.0)) for _ in range(2))
    for k in range(3):
        first.add(x[k], y[k], 0.02, 0.05)
    second.resume(first.state())
    for k in range(3, 5):
        np.testing.assert_array_equal(first.add(x[k], y[k], 0.02, 0.05), second.add(x[k], y[k], 0.02, 0.05))
    np.testing.assert_array_equal(first.estimate().capacity_ah, second.estimate().capacity_ah)


@pytest.mark.parametrize("change", ["shape", "missing", "negative", "nan"])
def test_a_state_that_does_not_exist_is_refused(change: str) -> None:
    estimator = TotalLeastSquares([10.0, 11.0])
    estimator.add(0.5, 5.0, 0.01, 0.1)
    state = estimator.state()
    if change == "shape":
        state["sums"] = state["sums"][:, :1]
    elif change == "missing":
        del state["weight"]
    elif change == "negative":
        state["sums"][0] = -1.0
    else:
        state["weight"][0] = np.nan
    with pytest.raises(ValueError, match=r"shape|exist|squares"):
        estimator.resume(state)


@pytest.mark.parametrize("start", [0.0, -1.0, np.nan, np.inf])
def test_a_capacity_that_is_none_is_refused(start: float) -> None:
    with pytest.raises(ValueError, match="capacity_ah"):
        TotalLeastSquares([start])


@pytest.mark.parametrize("settings", [(0.0, 0.3, 0.05), (1.1, 0.3, 0.05), (0.9, 1.0, 0.05), (0.9, 0.3, 0.0)])
def test_settings_that_are_none_are_refused(settings: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="forgetting"):
        CapacitySettings(*settings)
