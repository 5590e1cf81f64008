"""Limits of current: a simulation at the limit stays within the voltages, and the right thing binds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_config
from openbms_estimation.sop.voltage_limited import HorizonLimits, LimiterState, SopSettings, VoltageLimiter

MODEL = CellModel.from_file(load_cell(find_config("cells", "lg_hg2")))
HORIZONS = (2.0, 10.0, 30.0, 1800.0)
LOW_V, HIGH_V = 2.8, 4.2


def settings_of(**changes: float) -> SopSettings:
    values = {"charge_current_max_a": 100.0, "discharge_current_max_a": 100.0, "soc_min": 0.0, "soc_max": 1.0}
    return SopSettings(HORIZONS, LOW_V, HIGH_V, **{**values, **changes})


def limits(
    soc: list[float],
    temperature: float | list[float],
    before: float = 0.0,
    *,
    std: float = 0.0,
    use: SopSettings | None = None,
) -> tuple[HorizonLimits, HorizonLimits]:
    """Limits after 60 s of the current ``before``, without a measured voltage."""
    z = np.asarray(soc, float)
    n = len(z)
    t = np.array(np.broadcast_to(temperature, n), float)
    limiter = VoltageLimiter(MODEL, n, use or settings_of())
    current = np.full(n, before)
    for _ in range(60):
        limiter.advance(1.0, current, z, t)
    capacity = np.full(n, MODEL.capacity_ah)
    return limiter.limits(LimiterState(z, np.full(n, std), t, capacity, current, np.full(n, np.nan)))


def extremes(
    current: float, seconds: float, soc: float, temperature: float, before: float
) -> tuple[float, float]:
    """Lowest and highest voltage of the full model in small steps, after 60 s of the current ``before``."""
    p = MODEL.parameters(soc, temperature)
    i1, i2 = (before * (1 - np.exp(-60 / tau)) for tau in (p.tau1_s, p.tau2_s))
    steps, volts = 150, []
    dt = seconds / steps
    for _ in range(steps + 1):
        q = MODEL.parameters(soc, temperature)
        volts.append(float(q.ocv_v + q.instant_v(current) + q.r1_ohm * i1 + q.r2_ohm * i2))
        soc += current * dt / 3600 / MODEL.capacity_ah
        i1 = current + np.exp(-dt / q.tau1_s) * (i1 - current)
        i2 = current + np.exp(-dt / q.tau2_s) * (i2 - current)
    return min(volts), max(volts)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.3, 0.9), st.floats(-10.0, 45.0), st.floats(-4.0, 3.0), st.sampled_from([0, 1, 2]))
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


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 1.0), st.floats(-20.0, 45.0), st.floats(-4.0, 3.0), st.floats(0.0, 0.1))
def test_limits_are_magnitudes_within_the_rating(
    soc: float, temperature: float, before: float, std: float
) -> None:
    for found in limits([soc], temperature, before, std=std, use=settings_of(charge_current_max_a=7.0)):
        assert np.all(np.isfinite(found.current_a)) and np.all(found.current_a >= 0)
        assert np.all(found.current_a <= 100.0) and np.all(found.current_std_a >= 0)


def test_batch_equals_single() -> None:
    together = limits([0.8, 0.5, 0.2], [25.0, 0.0, -10.0], -1.0)
    for j, (soc, temperature) in enumerate(zip([0.8, 0.5, 0.2], [25.0, 0.0, -10.0], strict=True)):
        alone = limits([soc], temperature, -1.0)
        for a, b in zip(alone, together, strict=True):
            assert b.current_a[j] == pytest.approx(a.current_a[0], abs=1e-9)


def test_longer_horizons_allow_less_at_rest() -> None:
    for found in limits([0.5], 10.0):
        assert np.all(np.diff(found.current_a[0]) <= 1e-9)


def test_cold_and_uncertain_cells_get_less() -> None:
    warm, cold, unsure = (
        limits([0.4], t, std=s)[1].current_a[0] for t, s in ((25, 0.0), (-10, 0.0), (25, 0.05))
    )
    assert np.all(cold[:3] < warm[:3]) and np.all(unsure[:3] < warm[:3])


def test_what_binds_is_named() -> None:
    _, rating = limits([0.5], 25.0, use=settings_of(discharge_current_max_a=2.0))
    assert rating.reason[0, 0] == "current_rating" and rating.current_a[0, 0] == 2.0
    _, voltage = limits([0.5], -10.0)
    assert voltage.reason[0, 1] == "cell_voltage"
    _, window = limits([0.5], 25.0, use=settings_of(soc_min=0.45))
    assert window.reason[0, 3] == "soc_window"
    assert window.current_a[0, 3] == pytest.approx(0.05 * MODEL.capacity_ah * 2.0, rel=1e-6)


def test_nothing_is_left_outside_the_window() -> None:
    _, discharge = limits([0.2], 25.0, use=settings_of(soc_min=0.3))
    assert np.all(discharge.current_a == 0)
