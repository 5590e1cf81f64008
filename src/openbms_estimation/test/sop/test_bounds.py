"""Bounds beside the voltage: plating, core temperature, fuse, ramps, recovery."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from openbms_core.cell import PlatingMap, ThermalProperties, load_cell
from openbms_core.models.two_node import TwoNodeThermal
from openbms_core.pack_contactors import Fuse
from openbms_core.plating import plating_map
from openbms_estimation.sop.bounds import CoreTemperature, FuseLoad, PlatingLimit, derating, window_a
from openbms_estimation.sop.recovery import Recovery
from openbms_estimation.sop.settings import Ramp

HORIZONS = np.array([2.0, 10.0, 30.0, 1800.0])
CELL = load_cell(Path(__file__).parents[1] / "data" / "cell.yaml")
MAP = plating_map(CELL)
ONE = np.ones(1)


def plating(soc: float, degc: float, *, before: float = 0.0, share: float = 1.0) -> np.ndarray:
    limit = PlatingLimit(MAP, 1)
    for _ in range(600):
        limit.advance(1.0, np.array([before]))
    return limit.limit_a(soc * ONE, degc * ONE, CELL.capacity_ah * ONE, HORIZONS, share)[0]


@settings(deadline=None, max_examples=20)
@given(
    st.floats(0.0, 1.0),
    st.floats(-30.0, 50.0),
    st.floats(0.0, 0.2),
    st.floats(0.0, 20.0),
    st.floats(0.0, 2.0),
)
def test_plating_limit_falls_with_soc_cold_and_what_was_charged(
    soc: float, degc: float, more: float, colder: float, before: float
) -> None:
    base = plating(soc, degc)
    assert np.all(base > 0.0) and np.all(np.diff(base) <= 1e-9)
    # (where the map's pulses and what may be held do not fall alike, two seconds may gain a little)
    assert np.all(plating(min(soc + more, 1.0), degc) <= base * 1.05)
    for worse in (
        plating(soc, degc - colder),
        plating(soc, degc, before=before),
        plating(soc, degc, share=0.7),
    ):
        # (what leads up the map is found to a percent)
        assert np.all(worse <= base * 1.01 + 1e-9)


def test_plating_limit_falls_by_a_third_for_ten_kelvin() -> None:
    assert plating(0.5, -20.0)[0] == pytest.approx(plating(0.5, -10.0)[0] / 1.5, rel=0.01)
    assert 1.3 < plating(0.5, 10.0)[0] / plating(0.5, 0.0)[0] < 1.8


def test_a_limit_that_is_held_stays_what_it_is() -> None:
    """Charging at the continuous limit leaves the continuous limit where it was, apart from the SoC."""
    flat = PlatingMap(
        soc_breakpoints=[0.0, 1.0], temperature_breakpoints_degc=[25.0], held_a=[[2.0, 2.0]],
        pulse_a=[[3.0, 3.0]], source="test",
    )  # fmt: skip
    limit = PlatingLimit(flat, 1)
    assert limit.limit_a(0.5 * ONE, 25 * ONE, 3 * ONE, HORIZONS)[0, 1] == pytest.approx(3.0, rel=1e-3)
    for _ in range(1000):
        limit.advance(1.0, 2.0 * ONE)
    assert limit.limit_a(0.5 * ONE, 25 * ONE, 3 * ONE, HORIZONS)[0] == pytest.approx([2.0] * 4, rel=1e-3)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.05, 0.95), st.floats(-10.0, 45.0), st.floats(0.1, 6.0))
def test_a_discharge_makes_room_that_is_forgotten(soc: float, degc: float, before: float) -> None:
    rested, after = plating(soc, degc), plating(soc, degc, before=-before)
    assert np.all(after >= rested) and after[0] > rested[0]
    # what may be held for long does not depend on it
    assert after[-1] == pytest.approx(rested[-1], rel=1e-3)
    limit = PlatingLimit(MAP, 1)
    limit.advance(600.0, np.array([-before]))
    limit.advance(1e5, np.zeros(1))
    later = limit.limit_a(soc * ONE, degc * ONE, CELL.capacity_ah * ONE, HORIZONS)[0]
    assert later == pytest.approx(rested, rel=1e-6)


def test_an_unknown_current_leaves_the_memory_usable() -> None:
    limit = PlatingLimit(MAP, 1)
    limit.advance(1.0, np.array([np.nan]))
    assert np.isfinite(limit.limit_a(0.5 * ONE, 25.0 * ONE, 3.0 * ONE, HORIZONS)).all()


def test_lto_does_not_plate() -> None:
    assert plating_map(CELL.model_copy(update={"chemistry": "lto", "plating": None})) is None
    assert np.isinf(PlatingLimit(None, 1).limit_a(ONE, ONE, ONE, HORIZONS)).all()


def test_swapped_plating_tables_are_refused() -> None:
    with pytest.raises(ValidationError, match="swapped"):
        PlatingMap(
            soc_breakpoints=[0.0, 1.0], temperature_breakpoints_degc=[25.0], held_a=[[3.0, 3.0]],
            pulse_a=[[2.0, 2.0]], source="test",
        )  # fmt: skip


def test_the_core_reaches_the_limit_at_the_end_of_the_horizon() -> None:
    """A fine simulation with the current of the limit ends at the temperature of the limit."""
    thermal = TwoNodeThermal.from_file(
        ThermalProperties(mass_kg=0.05, heat_capacity_j_per_kg_k=900.0, surface_to_coolant_k_per_w=8.0)
    )
    core = CoreTemperature(thermal, 1)
    core.advance(0.0, 30.0 * ONE, 0.0 * ONE)
    ohm = 0.03
    found = core.limit_a(30.0 * ONE, ohm * ONE, 55.0, HORIZONS)[0]
    for seconds, current in zip(HORIZONS, found, strict=True):
        c, s, dt = 30.0, 30.0, seconds / 20_000
        for _ in range(20_000):
            through = (c - s) / thermal.core_to_surface_k_per_w
            out = (s - 30.0) / 8.0
            c += dt * (ohm * current**2 - through) / thermal.core_j_per_k
            s += dt * (through - out) / thermal.surface_j_per_k
        assert c == pytest.approx(55.0, abs=0.1)


def test_a_hot_core_allows_nothing_though_the_surface_is_cool() -> None:
    thermal = TwoNodeThermal.from_file(ThermalProperties(mass_kg=0.05, heat_capacity_j_per_kg_k=900.0))
    core = CoreTemperature(thermal, 1)
    for _ in range(3000):
        core.advance(1.0, 40.0 * ONE, 4.0 * ONE)
    assert core.core_degc[0] > 60.0
    assert core.limit_a(40.0 * ONE, 0.03 * ONE, 55.0, HORIZONS)[0, 0] == 0.0


def test_fuse_bears_pulses_from_cold_and_its_rating_for_ever() -> None:
    fuse = Fuse(current_min_a=500.0, wait_s=1.0, rated_current_a=100.0, melting_i2t_a2_s=50_000.0)
    load = FuseLoad(fuse, 1)
    found = load.limit_a(HORIZONS)[0]
    assert found[-1] == pytest.approx(80.0, rel=0.01)
    # a short pulse takes half of the melting integral
    assert found[0] ** 2 * 2.0 == pytest.approx(25_000.0, rel=0.35)
    for _ in range(600):
        load.advance(1.0, 80.0 * ONE)
    assert load.limit_a(HORIZONS)[0] == pytest.approx([80.0] * 4, rel=1e-3)
    assert np.isinf(FuseLoad(None, 2).limit_a(HORIZONS)).all()


def test_half_of_the_fuse_data_is_refused() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        Fuse(current_min_a=1.0, wait_s=1.0, rated_current_a=10.0)


@pytest.mark.parametrize(
    ("degc", "upper", "left"),
    [(40.0, True, 1.0), (45.0, True, 1.0), (50.0, True, 0.5), (55.0, True, 0.0), (70.0, True, 0.0)],
)
def test_ramp(degc: float, upper: bool, left: float) -> None:
    assert derating(degc * ONE, Ramp(45.0, 55.0), upper=upper)[0] == pytest.approx(left)
    assert derating(-degc * ONE, Ramp(-45.0, -55.0), upper=not upper)[0] == pytest.approx(left)
    assert derating(degc * ONE, None, upper=upper)[0] == 1.0
    assert derating(degc * ONE, Ramp(45.0, 45.0), upper=upper)[0] == (1.0 if degc <= 45.0 else 0.0)


def test_window_is_charge_over_time() -> None:
    assert window_a(0.1 * ONE, 3.0 * ONE, HORIZONS)[0, 3] == pytest.approx(0.1 * 3.0 * 2.0)
    assert window_a(-0.1 * ONE, 3.0 * ONE, HORIZONS).max() == 0.0


def test_recovery_falls_at_once_and_rises_slowly() -> None:
    ramp = Recovery(10.0, 5.0, 1)
    assert ramp.step(0.1, 8.0 * ONE)[0] == pytest.approx([8.0])
    assert ramp.step(0.1, 2.0 * ONE)[0] == pytest.approx([2.0])
    value, rising = ramp.step(0.5, 8.0 * ONE)
    assert value == pytest.approx([3.0]) and rising.all()
    for _ in range(6):
        value, rising = ramp.step(0.5, 8.0 * ONE)
    assert value == pytest.approx([8.0]) and not rising.any()
