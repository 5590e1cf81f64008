"""Limits of single cells: prediction, search, everything that can bind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.cell import CellFile, PlatingMap, load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.sop.cell_limiter import CellLimiter, HorizonLimits
from openbms_estimation.sop.settings import Ramp, SopSettings
from openbms_estimation.sop.tracking import CellState

FREE = PlatingMap(
    soc_breakpoints=[0.0, 1.0], temperature_breakpoints_degc=[25.0], held_a=[[1e3, 1e3]], source="test"
)
SHIPPED = load_cell(Path(__file__).parents[1] / "data" / "cell.yaml")
CELL = SHIPPED.model_copy(update={"plating": FREE})
MODEL = CellModel.from_file(CELL)
HORIZONS = (2.0, 10.0, 30.0, 1800.0)
LOW_V, HIGH_V = 2.8, 4.2


def settings_of(**changes: object) -> SopSettings:
    values = {"charge_current_max_a": 100.0, "discharge_current_max_a": 100.0, "soc_min": 0.0, "soc_max": 1.0}
    return SopSettings(HORIZONS, LOW_V, HIGH_V, **{**values, **changes})


def limits(
    soc: list[float],
    temperature: float | list[float],
    before: float = 0.0,
    *,
    std: float = 0.0,
    ratio_std: float | None = None,
    use: SopSettings | None = None,
    cell: CellFile = CELL,
    model: CellModel = MODEL,
    repeat: float = 1.0,
) -> tuple[HorizonLimits, HorizonLimits]:
    """Limits after 60 s of the current ``before``, without a measured voltage."""
    z = np.asarray(soc, float)
    n = len(z)
    state = CellState(
        soc=z,
        soc_std=np.full(n, std),
        temperature_degc=np.array(np.broadcast_to(temperature, n), float),
        capacity_ah=np.full(n, model.capacity_ah),
        current_a=np.full(n, before),
        voltage_v=np.full(n, np.nan),
        resistance_ratio=None if ratio_std is None else np.full(n, repeat),
        resistance_ratio_std=None if ratio_std is None else np.full(n, ratio_std),
    )
    limiter = CellLimiter(cell, n, use or settings_of(), model=model)
    for _ in range(60):
        limiter.step(1.0, state)
    return limiter.limits()


def extremes(
    current: float, seconds: float, soc: float, temperature: float, before: float
) -> tuple[float, float]:
    """Lowest and highest voltage of the full model in small steps, after 60 s of the current ``before``."""
    p = MODEL.parameters(soc, temperature)
    i1, i2 = (before * (1 - np.exp(-60 / tau)) for tau in (p.tau1_s, p.tau2_s))
    h = np.clip(60 * before / 3600 / MODEL.capacity_ah / MODEL.hysteresis_soc, -1, 1)
    steps, volts = 150, []
    dt = seconds / steps
    for _ in range(steps + 1):
        q = MODEL.parameters(soc, temperature)
        instant = q.instant_v(current)
        volts.append(float(q.ocv_v + h * q.half_gap_v + instant + q.r1_ohm * i1 + q.r2_ohm * i2))
        moved = current * dt / 3600 / MODEL.capacity_ah
        soc, h = soc + moved, np.clip(h + moved / MODEL.hysteresis_soc, -1, 1)
        i1 = current + np.exp(-dt / q.tau1_s) * (i1 - current)
        i2 = current + np.exp(-dt / q.tau2_s) * (i2 - current)
    return min(volts), max(volts)


@settings(deadline=None, max_examples=12)
@given(st.floats(0.1, 0.9), st.floats(-10.0, 45.0), st.floats(-4.0, 3.0), st.sampled_from([0, 1, 2]))
def test_simulation_at_the_limit_stays_within_the_voltages(
    soc: float, temperature: float, before: float, k: int
) -> None:
    charge, discharge = limits([soc], temperature, before)
    low, _ = extremes(-discharge.current_a[0, k], HORIZONS[k], soc, temperature, before)
    _, high = extremes(charge.current_a[0, k], HORIZONS[k], soc, temperature, before)
    if discharge.current_a[0, k] > 0:
        assert low >= LOW_V
    if charge.current_a[0, k] > 0:
        assert high <= HIGH_V


@settings(deadline=None, max_examples=12)
@given(st.floats(0.0, 1.0), st.floats(-20.0, 45.0), st.floats(-4.0, 3.0), st.floats(0.0, 0.1))
def test_limits_are_magnitudes_within_the_rating(
    soc: float, temperature: float, before: float, std: float
) -> None:
    for found in limits([soc], temperature, before, std=std, use=settings_of(charge_current_max_a=7.0)):
        assert np.all(np.isfinite(found.current_a)) and np.all(found.current_a >= 0)
        assert np.all(np.isfinite(found.power_w)) and np.all(found.power_w >= 0)
        assert np.all(found.current_a <= 100.0) and np.all(found.current_std_a >= 0)
    assert np.all(limits([soc], temperature, use=settings_of(charge_current_max_a=7.0))[0].current_a <= 7.0)


@settings(deadline=None, max_examples=12)
@given(st.floats(0.05, 0.95), st.floats(-10.0, 40.0), st.floats(0.0, 0.05), st.floats(0.001, 0.05))
def test_more_doubt_never_allows_more(soc: float, temperature: float, std: float, more: float) -> None:
    for sure, unsure in (
        (limits([soc], temperature, std=std), limits([soc], temperature, std=std + more)),
        (
            limits([soc], temperature, ratio_std=std),
            limits([soc], temperature, ratio_std=std + more),
        ),
    ):
        for a, b in zip(sure, unsure, strict=True):
            assert np.all(b.current_a <= a.current_a * 1.001 + 2e-3)


@settings(deadline=None, max_examples=12)
@given(st.floats(0.3, 0.7), st.floats(40.0, 62.0), st.floats(0.0, 10.0))
def test_limit_never_rises_with_temperature_on_the_hot_ramp(soc: float, low: float, more: float) -> None:
    ramp = {
        "discharge_hot": Ramp(45.0, 55.0),
        "charge_hot": Ramp(40.0, 50.0),
        "discharge_current_max_a": 6.0,
        "charge_current_max_a": 2.0,
    }
    cool, warm = (limits([soc], t, use=settings_of(**ramp)) for t in (low, low + more))
    for a, b in zip(cool, warm, strict=True):
        assert np.all(b.current_a[:, :3] <= a.current_a[:, :3] + 1e-6)


def test_batch_equals_single() -> None:
    together = limits([0.8, 0.5, 0.2], [25.0, 0.0, -10.0], -1.0)
    for j, (soc, temperature) in enumerate(zip([0.8, 0.5, 0.2], [25.0, 0.0, -10.0], strict=True)):
        alone = limits([soc], temperature, -1.0)
        for a, b in zip(alone, together, strict=True):
            assert b.current_a[j] == pytest.approx(a.current_a[0], rel=1e-3)
            assert b.power_w[j] == pytest.approx(a.power_w[0], rel=1e-3)


def test_longer_horizons_allow_less_at_rest() -> None:
    for found in limits([0.5], 10.0):
        assert np.all(np.diff(found.current_a[0]) <= 1e-9)


def test_cold_uncertain_and_old_cells_get_less() -> None:
    warm, cold, unsure, old = (
        limits([0.4], t, std=s, ratio_std=0.02, repeat=r)[1].current_a[0]
        for t, s, r in ((25, 0.0, 1.0), (-10, 0.0, 1.0), (25, 0.05, 1.0), (25, 0.0, 1.5))
    )
    for less in (cold, unsure, old):
        assert np.all(less[:3] < warm[:3])


def test_a_constant_power_ends_at_the_voltage_that_a_constant_current_does() -> None:
    _, found = limits([0.2], 0.0, std=0.0)
    # at constant power less flows first, so that more is possible than the limiting current at its lowest
    # voltage
    least = found.current_a[0] * LOW_V
    assert np.all(found.power_w[0, :3] > least[:3]) and np.all(found.power_w[0, :3] < 1.4 * least[:3])


@pytest.mark.parametrize(
    ("change", "soc", "degc", "horizon", "charge", "reason"),
    [
        ({"discharge_current_max_a": 2.0}, 0.5, 25.0, 0, False, "current_rating"),
        ({"charge_current_max_a": 0.5}, 0.5, 25.0, 0, True, "current_rating"),
        ({}, 0.5, -10.0, 1, False, "cell_voltage"),
        ({}, 0.97, 25.0, 1, True, "cell_voltage"),
        ({"soc_min": 0.45}, 0.5, 25.0, 3, False, "soc_window"),
        ({"soc_max": 0.55}, 0.5, 25.0, 3, True, "soc_window"),
        (
            {"discharge_hot": Ramp(45, 55), "discharge_current_max_a": 5.0},
            0.8,
            50.0,
            0,
            False,
            "temperature",
        ),
        ({"charge_cold": Ramp(5, 0), "charge_current_max_a": 1.0}, 0.2, 2.0, 0, True, "temperature"),
        ({"discharge_hot": Ramp(45, 55)}, 1.0, 44.0, 3, False, "core_temperature"),
    ],
)
def test_what_binds_is_named(
    change: dict[str, object], soc: float, degc: float, horizon: int, charge: bool, reason: str
) -> None:
    found = limits([soc], degc, use=settings_of(**change))[0 if charge else 1]
    assert found.reason[0, horizon] == reason


def test_plating_binds_in_the_cold_by_the_map_of_the_chemistry() -> None:
    found, _ = limits([0.6], 5.0, cell=SHIPPED)
    assert set(found.reason[0, :3]) == {"lithium_plating"}
    assert found.current_a[0, 1] < 0.8 * SHIPPED.capacity_ah


def test_nothing_is_left_outside_the_window() -> None:
    _, discharge = limits([0.2], 25.0, use=settings_of(soc_min=0.3))
    assert np.all(discharge.current_a == 0)


def test_limits_before_the_first_step_are_an_error() -> None:
    with pytest.raises(ValueError, match="no step"):
        CellLimiter(CELL, 1, settings_of(), model=MODEL).limits()


def test_an_aged_anode_bears_less_by_what_its_resistance_tells() -> None:
    free = settings_of(charge_current_max_a=1e3)
    model = CellModel.from_file(SHIPPED)

    def charge(repeat: float) -> float:
        found, _ = limits([0.5], 10.0, ratio_std=1e-3, repeat=repeat, use=free, cell=SHIPPED, model=model)
        assert found.reason[0, -1] == "lithium_plating"
        return float(found.current_a[0, -1])

    new = charge(1.0)
    # (the map falls with SoC, and a smaller current leads less far up)
    assert new / 1.75 <= charge(1.5) <= new / 1.35
    assert charge(0.8) == pytest.approx(new, rel=5e-3)
