"""dQ/dV: its area is the charge, its peaks lie at the plateaus of the cell, a slow charge is recognised."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_estimation.soh.incremental import SlowCharge, incremental_capacity

GRID = np.linspace(3.2, 4.15, 4000)


def charge_at(voltage, peak_v=3.6):
    """Charge of a cell with a plateau at ``peak_v``."""
    return 10.0 * (voltage - 3.2) + 8.0 / (1.0 + np.exp(-(voltage - peak_v) / 0.02))


@pytest.mark.parametrize("peak_v", [3.5, 3.6, 3.9])
def test_the_peak_and_the_area(peak_v: float) -> None:
    rng = np.random.default_rng(0)
    found = incremental_capacity(GRID + 0.0005 * rng.normal(size=GRID.size), charge_at(GRID, peak_v))
    assert found is not None
    assert found.peak_v == pytest.approx(peak_v, abs=0.008)
    assert found.peak_ah_per_v == pytest.approx(10.0 + 8.0 / 0.08, rel=0.1)
    area = np.sum(found.slope_ah_per_v) * 0.005
    assert area == pytest.approx(np.ptp(charge_at(found.voltage_v, peak_v)), rel=0.03)


def test_the_drop_of_the_current_is_taken_off() -> None:
    found = incremental_capacity(GRID + 0.05, charge_at(GRID), drop_v=0.05)
    assert found is not None and found.peak_v == pytest.approx(3.6, abs=0.008)


def test_a_plain_line_has_no_peak_and_little_has_no_curve() -> None:
    found = incremental_capacity(GRID, 10.0 * GRID)
    assert found is None or np.isnan(found.peak_v) or found.peak_ah_per_v < 10.1
    assert incremental_capacity(GRID[:100], charge_at(GRID)[:100]) is None
    assert incremental_capacity([3.5, np.nan, 3.7], [0.0, 1.0, 2.0]) is None
    assert incremental_capacity([3.5], [0.0]) is None


def charged(watch: SlowCharge, current_a: float, share: float, cells: int = 2, dt_s: float = 10.0):
    """Charge at a current, then stop; give what was told."""
    total = charge_at(4.15)
    voltages = np.interp(np.arange(0.0, share * total, current_a * dt_s / 3600.0), charge_at(GRID), GRID)
    moved = current_a * dt_s / 3600.0
    told = [watch.step(dt_s, current_a, moved, np.full(cells, v), np.zeros(cells)) for v in voltages]
    told += [watch.step(dt_s, 0.0, 0.0, np.full(cells, 4.0), np.zeros(cells)) for _ in range(3)]
    return [t for t in told if t is not None]


def test_a_slow_charge_is_told_once_at_its_end() -> None:
    watch = SlowCharge(2, 17.5)
    told = charged(watch, 3.0, 0.95)
    assert len(told) == 1 and len(told[0]) == 2
    assert all(curve is not None and curve.peak_v == pytest.approx(3.6, abs=0.01) for curve in told[0])
    assert len(charged(watch, 3.0, 0.95)) == 1, "and the next one again"


@pytest.mark.parametrize(("current_a", "share"), [(3.0, 0.2), (12.0, 0.95), (0.2, 0.1)])
def test_a_fast_or_short_one_is_not(current_a: float, share: float) -> None:
    assert charged(SlowCharge(2, 17.5), current_a, share) == []
