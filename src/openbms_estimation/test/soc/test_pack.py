from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openbms_core.cell import load_cell
from openbms_core.models.ecm import DISCHARGE, CellModel
from openbms_estimation.soc.pack import DisplayedSoc, aggregate

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))
socs = hnp.arrays(float, 6, elements=st.floats(0.0, 1.0))
capacities = hnp.arrays(float, 6, elements=st.floats(1.0, 4.0))


@given(socs, capacities)
def test_formula_and_bounds(z: np.ndarray, q: np.ndarray) -> None:
    pack = aggregate(MODEL, z, 0.01, q, 25.0)
    charge, room = min(z * q), min((1 - z) * q)
    if charge + room > 1e-9:
        assert pack.soc == pytest.approx(charge / (charge + room), abs=1e-9)
        assert pack.remaining_charge_ah == pytest.approx(charge, abs=1e-9)
        assert 0 <= pack.soc <= 1 and pack.remaining_energy_wh >= 0


def test_equal_cells_give_the_soc_of_a_cell() -> None:
    pack = aggregate(MODEL, [0.4] * 4, 0.02, 2.5, 25.0)
    assert (pack.soc, pack.soc_std) == (pytest.approx(0.4), pytest.approx(0.02))
    assert pack.remaining_charge_ah == pytest.approx(1.0)


def test_empty_cell_empties_and_full_cell_fills_the_string() -> None:
    assert aggregate(MODEL, [0.0, 0.5], 0.01, 2.0, 25.0).soc == 0.0
    assert aggregate(MODEL, [1.0, 0.5], 0.01, 2.0, 25.0).soc == 1.0


def test_strings_add_charge_and_room() -> None:
    pack = aggregate(MODEL, [0.2, 0.2, 0.6, 0.6], 0.01, [1.0, 1.0, 3.0, 3.0], 25.0, n_strings=2)
    assert pack.string_soc == pytest.approx([0.2, 0.6])
    assert pack.soc == pytest.approx((0.2 + 1.8) / 4.0)
    assert pack.remaining_charge_ah == pytest.approx(2.0)


def test_usable_window() -> None:
    pack = aggregate(MODEL, [0.5, 0.5], 0.01, 2.0, 25.0, usable_min=0.1, usable_max=0.9)
    assert pack.soc == pytest.approx(0.5)
    assert pack.remaining_charge_ah == pytest.approx(0.8)
    assert pack.capacity_ah == pytest.approx(1.6)


def test_energy_is_the_integral_of_the_ocv() -> None:
    pack = aggregate(MODEL, [0.8, 0.8], 0.01, 2.0, 25.0)
    z = np.linspace(0, 0.8, 4001)
    expected = 2 * 2.0 * np.trapezoid(MODEL.ocv(z, 25.0, DISCHARGE), z) if hasattr(np, "trapezoid") else None
    if expected is not None:
        assert pack.remaining_energy_wh == pytest.approx(float(expected), rel=2e-3)


def test_unknown_cell_makes_the_pack_unknown() -> None:
    pack = aggregate(MODEL, [0.5, np.nan], 0.01, 2.0, 25.0)
    assert (
        math.isnan(pack.soc) and math.isnan(pack.remaining_charge_ah) and math.isnan(pack.remaining_energy_wh)
    )


def test_cells_must_divide_into_strings() -> None:
    with pytest.raises(ValueError, match="divide"):
        aggregate(MODEL, [0.5] * 3, 0.01, 2.0, 25.0, n_strings=2)
    with pytest.raises(ValueError, match="window"):
        aggregate(MODEL, [0.5] * 3, 0.01, 2.0, 25.0, usable_min=1.0, usable_max=0.5)


def test_displayed_never_steps() -> None:
    shown = DisplayedSoc()
    previous = shown.step(0.8, 0.1)
    for _ in range(100):
        now = shown.step(0.4, 0.1)
        assert abs(now - previous) <= 0.005 * 0.1 + 1e-12
        previous = now


@pytest.mark.parametrize("ahead", [0.0, 0.1, 0.2])
def test_displayed_is_zero_before_the_pack_is_empty(ahead: float) -> None:
    shown = DisplayedSoc()
    shown.step(0.5 + ahead, 1.0)
    soc = 0.5
    while soc > 0.0:
        value = shown.step(soc, 1.0)
        soc -= 1 / 3600
    assert value == 0.0


def test_displayed_keeps_its_value_without_estimate() -> None:
    shown = DisplayedSoc()
    assert math.isnan(shown.step(float("nan"), 1.0))
    first = shown.step(0.5, 1.0)
    assert shown.step(float("nan"), 1.0) == first
