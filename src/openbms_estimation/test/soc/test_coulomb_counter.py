from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.coulomb_counter import CoulombCounter, CoulombCounterSettings
from openbms_estimation.soc.estimate import Quality, SocSample

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))


@given(st.floats(-10, 10), st.floats(0, 100), st.floats(0, 1))
def test_counts_and_stays_within_bounds(current: float, dt: float, soc: float) -> None:
    counter = CoulombCounter(MODEL, 2, initial_soc=soc)
    estimate = counter.step(SocSample(dt, current, [np.nan, np.nan], 25.0))
    expected = np.clip(soc + current * dt / 3600 / MODEL.capacity_ah, 0, 1)
    assert estimate.soc == pytest.approx([expected] * 2, abs=1e-12)


def test_increment_counts_and_not_the_current() -> None:
    counter = CoulombCounter(MODEL, 1, initial_soc=0.5)
    estimate = counter.step(SocSample(1.0, 9.0, [np.nan], 25.0, charge_increment_ah=0.02))
    assert estimate.soc[0] == pytest.approx(0.5 + 0.02 / MODEL.capacity_ah)


def test_deviation_grows_in_proportion_to_time_and_charge() -> None:
    counter = CoulombCounter(MODEL, 1, initial_soc=0.9, initial_soc_std=0.0)
    stds = [counter.step(SocSample(60.0, -1.0, [np.nan], 25.0)).soc_std[0] for _ in range(60)]
    assert stds[59] == pytest.approx(2 * stds[29], rel=1e-6)


def test_offset_is_covered_by_the_deviation() -> None:
    settings = CoulombCounterSettings(current_bias_std_c=0.01)
    counter = CoulombCounter(MODEL, 1, initial_soc=0.9, initial_soc_std=0.01, settings=settings)
    offset = 0.01 * MODEL.capacity_ah
    for _ in range(3600):
        estimate = counter.step(SocSample(1.0, -1.0 + offset, [np.nan], 25.0))
    truth = 0.9 - 1.0 / MODEL.capacity_ah
    assert abs(estimate.soc[0] - truth) < 1.96 * estimate.soc_std[0]


def test_starts_from_the_first_voltage_without_load() -> None:
    counter = CoulombCounter(MODEL, 2)
    loaded = counter.step(SocSample(1.0, -3.0, [3.5, 3.5], 25.0))
    assert np.all(loaded.quality & Quality.UNINITIALISED)
    rested = counter.step(SocSample(1.0, 0.0, MODEL.ocv([0.8, 0.4], 25.0), 25.0))
    assert rested.soc == pytest.approx([0.8, 0.4], abs=1e-3)
    assert np.all(rested.soc_std < loaded.soc_std)


def test_rest_corrects_but_never_makes_less_certain() -> None:
    counter = CoulombCounter(MODEL, 1, initial_soc=0.6, initial_soc_std=0.1)
    voltage = MODEL.ocv([0.7], 25.0)
    stds = [counter.step(SocSample(60.0, 0.0, voltage, 25.0)).soc_std[0] for _ in range(120)]
    found = counter.step(SocSample(60.0, 0.0, voltage, 25.0))
    assert found.soc[0] == pytest.approx(0.7, abs=0.03)
    assert stds[-1] < stds[0]


def test_unknown_current_holds_and_widens() -> None:
    counter = CoulombCounter(MODEL, 1, initial_soc=0.5, initial_soc_std=0.0)
    for _ in range(60):
        estimate = counter.step(SocSample(10.0, np.nan, [np.nan], np.nan))
    assert estimate.soc[0] == 0.5
    assert estimate.soc_std[0] > 0.05
    assert estimate.quality[0] & Quality.CURRENT_MISSING


def test_unsound_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity_ah"):
        CoulombCounter(MODEL, 1, capacity_ah=-1.0)
