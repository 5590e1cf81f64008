"""Anchors: what a rested or tapered voltage says, when a rest is verified, which pairs two anchors make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.soh.anchors import (
    Anchor,
    Anchors,
    AnchorSettings,
    RestWatch,
    soc_of_rest,
    soc_of_taper,
)
from openbms_estimation.soh.sensor_zero import SensorZero

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))
SETTINGS = AnchorSettings()


def watch(strings: int = 1) -> RestWatch:
    return RestWatch(np.repeat(np.arange(strings), 2), 50.0, SETTINGS)


def let(rest: RestWatch, seconds: float, volts, current_a: float = 0.0, dt_s: float = 10.0) -> None:
    for k in range(int(seconds / dt_s)):
        v = volts(k * dt_s) if callable(volts) else volts
        rest.step(dt_s, np.full(rest.resting_s.size, current_a), np.array(v, float), charge_v=4.2)


def test_a_rested_voltage_is_read_with_a_deviation_that_follows_the_slope() -> None:
    z = np.linspace(0.05, 0.95, 19)
    found = soc_of_rest(MODEL, MODEL.ocv(z, 25.0), np.full(19, 25.0), 0.0, SETTINGS)
    np.testing.assert_allclose(found.soc, z, atol=1e-3)
    slope = MODEL.parameters(z, 25.0).chord_v
    assert (found.std > SETTINGS.sensor_std_v / slope).all()


@pytest.mark.parametrize("volts", [1.0, 4.6, np.nan])
def test_what_lies_outside_the_curve_is_no_anchor(volts: float) -> None:
    found = soc_of_rest(MODEL, [volts], [25.0], 0.0, SETTINGS)
    assert np.isnan(found.soc).all()


def test_a_tapered_voltage_is_read_without_the_drop_and_doubted_for_it() -> None:
    current = 0.05 * MODEL.capacity_ah
    volts = MODEL.ocv(0.97, 25.0, 1.0) + current * MODEL.resistance(0.95, 25.0)
    found = soc_of_taper(MODEL, [volts], [current], [25.0], SETTINGS)
    rested = soc_of_rest(MODEL, MODEL.ocv([0.97], 25.0, 1.0), [25.0], 1.0, SETTINGS)
    assert found.soc[0] == pytest.approx(0.97, abs=2e-3) and found.std[0] > rested.std[0]


def test_a_rest_must_last() -> None:
    rest = watch()
    let(rest, SETTINGS.rest_s - 20.0, [3.7, 3.8])
    assert not rest.rested().any()
    let(rest, 40.0, [3.7, 3.8])
    assert rest.rested().all()
    let(rest, 10.0, [3.7, 3.8], current_a=2.0)
    assert not rest.rested().any()


def test_a_voltage_that_still_relaxes_is_not_rested() -> None:
    rest = watch()
    let(rest, 2400.0, lambda t: [3.7 + 0.02 * t / 2400.0, 3.8])
    assert rest.rested().tolist() == [False, True]


def test_an_unknown_current_or_voltage_is_no_rest() -> None:
    rest = watch()
    let(rest, 3600.0, [3.7, np.nan])
    assert rest.rested().tolist() == [True, False]
    let(rest, 10.0, [3.7, 3.8], current_a=np.nan)
    assert not rest.rested().any()


def test_each_string_rests_for_itself() -> None:
    rest = watch(2)
    for _ in range(400):
        rest.step(10.0, np.array([0.0, 5.0]), np.full(4, 3.7), charge_v=4.2)
    assert rest.rested().tolist() == [True, True, False, False]


def test_full_takes_a_tapered_current_at_the_top() -> None:
    rest = watch()
    let(rest, 60.0, [4.19, 4.15], current_a=2.0)
    assert rest.full().all()
    for volts, current in (([4.19, 4.15], 20.0), ([4.1, 4.1], 2.0), ([4.19, 4.15], -2.0)):
        other = watch()
        let(other, 60.0, volts, current_a=current)
        assert not other.full().any()


def anchor(*soc: float, std: float = 0.01) -> Anchor:
    return Anchor(np.array(soc), np.full(len(soc), std))


def test_two_anchors_make_a_pair_of_what_was_counted_between() -> None:
    kept = Anchors(2, 50.0, 0.3, SETTINGS)
    assert np.isnan(kept.take(anchor(0.9, 0.9), np.array([True, True])).delta_soc).all()
    kept.count(np.array([-25.0, -25.0]), 3600.0, np.full(2, 0.1))
    pairs = kept.take(anchor(0.4, np.nan), np.array([True, True]))
    assert pairs.delta_soc[0] == pytest.approx(-0.5) and np.isnan(pairs.delta_soc[1])
    assert pairs.charge_ah[0] == -25.0
    assert pairs.soc_std[0] == pytest.approx(0.01 * np.sqrt(2))
    assert pairs.charge_std_ah[0] == pytest.approx(np.hypot(0.1, 0.05))
    kept.count(np.array([20.0, 40.0]), 3600.0, np.zeros(2))
    later = kept.take(anchor(0.8, 0.75), np.array([True, True]))
    assert later.charge_ah[0] == 20.0, "counted from the last anchor on"
    assert np.isnan(later.charge_ah[1]), "15 % is too little"


def test_too_small_a_change_keeps_the_better_anchor() -> None:
    kept = Anchors(1, 50.0, 0.3, SETTINGS)
    one = np.array([True])
    kept.take(anchor(0.9, std=0.005), one)
    kept.count(np.array([-5.0]), 600.0, np.zeros(1))
    kept.take(anchor(0.8, std=0.02), one)
    assert kept.soc[0] == 0.9 and kept.charge_ah[0] == -5.0
    kept.count(np.zeros(1), 20 * 3600.0, np.full(1, 0.2))
    kept.take(anchor(0.8, std=0.02), one)
    assert kept.soc[0] == 0.8 and kept.charge_ah[0] == 0.0, "by now the count is worse than the voltage"


def test_after_uncounted_charge_there_is_no_pair() -> None:
    kept = Anchors(1, 50.0, 0.3, SETTINGS)
    one = np.array([True])
    kept.take(anchor(0.9), one)
    kept.forget(one)
    assert np.isnan(kept.take(anchor(0.3), one).delta_soc[0])


def test_a_bleed_is_doubted() -> None:
    kept = Anchors(2, 50.0, 0.3, SETTINGS)
    kept.take(anchor(0.9, 0.9), np.ones(2, bool))
    kept.count(np.full(2, -25.0), 36_000.0, np.zeros(2), np.array([True, False]))
    doubt = kept.charge_std_ah()
    assert doubt[0] > 10.0 * doubt[1]


def test_the_zero_of_a_sensor_is_learnt_while_nothing_can_flow() -> None:
    rng = np.random.default_rng(0)
    zero = SensorZero(1, 0.25)
    for _ in range(100):
        zero.step(1.0, np.array([-12.0]), contactors_open=False)
    assert zero.offset_a[0] == 0.0 and zero.std_a()[0] == pytest.approx(0.25)
    for _ in range(600):
        zero.step(1.0, np.array([0.1 + 0.05 * rng.normal()]), contactors_open=True)
    assert zero.offset_a[0] == pytest.approx(0.1, abs=0.03) and zero.std_a()[0] < 0.05
    for _ in range(100):
        zero.step(86_400.0, np.array([3.0]), contactors_open=False)
    assert zero.std_a()[0] == pytest.approx(0.25), "it wanders"


@pytest.mark.parametrize("part", ["anchors", "sensor_zero"])
def test_state_survives_and_a_wrong_one_is_refused(part: str) -> None:
    def new() -> Anchors | SensorZero:
        return Anchors(2, 50.0, 0.3, SETTINGS) if part == "anchors" else SensorZero(2, 0.1)

    first, second = new(), new()
    if isinstance(first, Anchors):
        first.take(anchor(0.9, 0.5), np.array([True, False]))
        first.count(np.full(2, -3.0), 60.0, np.full(2, 0.1))
    else:
        first.step(60.0, np.array([0.3, 0.1]), contactors_open=True)
    second.resume(first.state())
    np.testing.assert_array_equal(first.state()[part], second.state()[part])
    for wrong in ({}, {part: np.full_like(first.state()[part], np.nan)}, {part: np.zeros((1, 2))}):
        with pytest.raises(ValueError, match=part):
            second.resume(wrong)
