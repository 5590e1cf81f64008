"""A change of a linear model: found when it is there, dated, sized; memory bounded; state kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_estimation.diagnosis.change_model import ChangeModel, crowd_variance

SERIES = 30


def fed(
    minutes: int, *, change: float = 0.0, onset: int = 0, series: int = SERIES, seed: int = 1
) -> ChangeModel:
    """Feed a constant and a wave; from ``onset`` on series 3 has more of the wave."""
    rng = np.random.default_rng(seed)
    model = ChangeModel(series, [1.0, 1.0], epoch_s=600.0)
    own = rng.standard_normal((2, series)) * 0.3
    for minute in range(minutes):
        phi = np.array([1.0, np.sin(minute / 7.0)])
        y = phi @ own + rng.standard_normal(series) * 0.1
        if minute >= onset:
            y[3] += change * phi[1]
        add(model, phi, y, minute)
    return model


def add(model: ChangeModel, phi: np.ndarray, y: np.ndarray, minute: int, **values: float) -> None:
    given = {"weight": 100.0, "samples": 1.0, "time_s": 60.0 * minute, "duration_s": 60.0} | values
    model.add(phi, y, **given)


def wave_direction(model: ChangeModel) -> np.ndarray:
    directions = np.zeros((model.epochs, 1, 2))
    directions[:, 0, 1] = 1.0
    return directions


def strongest(model: ChangeModel) -> tuple[int, float, float, float]:
    """Give series, onset [min], size, and logarithm of the likelihood ratio of the strongest change."""
    found = model.evaluate(wave_direction(model))
    ratio = 0.5 * found.delta[:, 0] ** 2 * found.information[:, :1] / found.inflation
    onset, series = np.unravel_index(ratio.argmax(), ratio.shape)
    return (
        int(series),
        float(found.onset_s[onset]) / 60.0,
        float(found.delta[onset, 0, series]),
        float(ratio.max()),
    )


def test_change_is_found_dated_and_sized() -> None:
    series, onset, size, ratio = strongest(fed(1200, change=0.2, onset=900))
    assert series == 3
    assert abs(onset - 900) < 90  # epochs of that age are an hour or two long
    assert abs(size - 0.2) < 0.03
    assert ratio > 30.0


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_without_change_the_evidence_stays_small(seed: int) -> None:
    assert strongest(fed(300, seed=seed))[3] < 14.0


def test_memory_is_bounded() -> None:
    model = ChangeModel(2, [1.0, 1.0], epoch_s=60.0)
    most = 0
    for minute in range(6000):
        add(model, np.array([1.0, 0.0]), np.zeros(2), minute)
        most = max(most, model.epochs)
    assert most <= 3 * np.log2(6000) + 4


def test_merging_loses_nothing() -> None:
    fine, coarse = fed(500), ChangeModel(SERIES, [1.0, 1.0], epoch_s=1e9)
    rng = np.random.default_rng(1)
    own = rng.standard_normal((2, SERIES)) * 0.3
    for minute in range(500):
        phi = np.array([1.0, np.sin(minute / 7.0)])
        add(coarse, phi, phi @ own + rng.standard_normal(SERIES) * 0.1, minute)
    np.testing.assert_allclose(
        fine.evaluate(wave_direction(fine)).theta, coarse.evaluate(wave_direction(coarse)).theta, atol=2e-3
    )


def test_an_onset_that_is_held_is_not_merged_away() -> None:
    free, pinned = fed(300), fed(300)
    onset = float(pinned.onsets()[0][-2])
    pinned.hold(np.array([onset]))
    for model in (free, pinned):
        for minute in range(300, 6000):
            add(model, np.array([1.0, 0.5]), np.zeros(SERIES), minute)
    assert onset in pinned.onsets()[0]
    assert onset not in free.onsets()[0]


def test_missing_values_are_no_news() -> None:
    model = fed(600)
    before = model.evaluate(wave_direction(model)).theta
    missing = np.full(SERIES, np.nan)
    for minute in range(600, 700):
        add(model, np.array([1.0, 0.3]), missing, minute)
    after = model.evaluate(wave_direction(model)).theta
    assert np.isfinite(after).all()
    one = np.zeros(SERIES)
    one[5] = np.nan
    for minute in range(700, 720):
        add(model, np.array([1.0, 0.3]), one, minute)
    theta = model.evaluate(wave_direction(model)).theta[:, 5]
    np.testing.assert_allclose(theta, before[:, 5], atol=0.12)


def test_what_is_old_is_forgotten() -> None:
    model = ChangeModel(1, [10.0], half_life_s=3600.0)
    add(model, np.array([1.0]), np.array([5.0]), 0)
    assert model.epochs == 1
    add(model, np.array([1.0]), np.array([1.0]), 60 * 24)
    assert model.epochs == 1, "after a day one of an hour's half-life is gone"
    theta = model.evaluate(np.ones((model.epochs, 1, 1))).theta
    assert theta[0, 0] == pytest.approx(1.0, abs=0.01)


def test_state_goes_on_as_if_nothing_had_happened() -> None:
    model = fed(400, change=0.2, onset=300)
    model.hold(model.onsets()[0][1:2])
    other = ChangeModel(SERIES, [1.0, 1.0], epoch_s=600.0)
    other.resume(model.state())
    for each in (model, other):
        add(each, np.array([1.0, 0.1]), np.ones(SERIES), 401)
    a, b = (m.evaluate(wave_direction(m)) for m in (model, other))
    np.testing.assert_array_equal(a.delta, b.delta)
    assert other.state()["held"].size == 1


@pytest.mark.parametrize("spoil", ["size", "nan", "meta"])
def test_state_of_another_model_is_refused(spoil: str) -> None:
    state = fed(100).state()
    if spoil == "size":
        state["b"] = state["b"][:, :-1]
    elif spoil == "nan":
        state["yy"][0, 0] = np.nan
    else:
        state["meta"][0, 1] = np.inf
    with pytest.raises(ValueError, match="values"):
        ChangeModel(SERIES, [1.0, 1.0]).resume(state)


def test_crowd_takes_what_many_have_for_noise_and_what_one_has_for_a_fault() -> None:
    rng = np.random.default_rng(3)
    score = rng.standard_normal((2, 96))
    score[0, 7] = 40.0
    score[1] *= 5.0
    one, many = crowd_variance(score)
    assert one < 1.6
    assert 15.0 < many < 40.0


def test_two_series_are_no_crowd() -> None:
    assert crowd_variance(np.array([[30.0, 0.0]])) == 1.0
