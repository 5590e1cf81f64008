"""Advisory limits of a whole pack: weakest cell, units of the pack, what binds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openbms_core.pack import load_pack
from openbms_core.types import PackMeasurement, StateOfCharge
from openbms_estimation.sop.pack_limiter import HORIZONS_S, PackPowerLimiter

PACK = load_pack("demo_96s_nmc")
CELLS = PACK.file.topology.cell_count
SENSORS = len(PACK.file.topology.sensor_names)


def state(soc: float | np.ndarray, std: float = 0.005) -> StateOfCharge:
    """Build a state of charge."""
    nothing = np.zeros(1)
    cells = np.broadcast_to(np.asarray(soc, float), (CELLS,)).copy()
    return StateOfCharge(
        0.0, 0, float(cells.min()), std, 0.5, cells, np.full(CELLS, std), nothing, nothing, 0, 0, 0, 0,
        nothing, nothing, np.zeros(CELLS), "ekf_2rc", 2, "",
    )  # fmt: skip


def scan(number: int = 0, temperature_degc: float = 25.0, current_a: float = 0.0) -> PackMeasurement:
    """Build a scan without voltages: the model alone counts."""
    m = PackMeasurement.empty(CELLS, SENSORS, 1, scan_number=number, stamp_s=0.1 * number)
    m.temperatures_degc[:] = temperature_degc
    m.string_currents_a[:] = current_a
    return m


def limits(soc: float | np.ndarray, temperature_degc: float = 25.0):
    """Give the limits at rest."""
    result = PackPowerLimiter(PACK).step(scan(temperature_degc=temperature_degc), state(soc))
    assert result is not None
    return result


def test_limits_are_magnitudes_and_fall_with_the_horizon() -> None:
    result = limits(0.5)
    for values in (result.charge_current_a, result.discharge_current_a):
        assert (values >= 0).all() and (np.diff(values) <= 1e-9).all()
    assert list(result.horizons_s) == list(HORIZONS_S)
    rated = PACK.file.limits.discharge_current_max_a.operating
    assert result.discharge_current_a.max() <= rated
    # power is that current at a voltage that the pack really has
    voltage = result.discharge_power_w / result.discharge_current_a
    assert (voltage > 2.5 * CELLS).all() and (voltage < 4.25 * CELLS).all()


def test_the_weakest_cell_binds() -> None:
    soc = np.full(CELLS, 0.5)
    soc[17], soc[40] = 0.02, 0.999
    result = limits(soc)
    assert set(result.discharge_cell[1:]) == {17}
    assert set(result.charge_cell[1:]) == {40}
    assert (result.discharge_current_a <= limits(0.5).discharge_current_a + 1e-9).all()


def test_cold_allows_less_and_full_allows_no_charge() -> None:
    assert (limits(0.3, -20.0).discharge_current_a < limits(0.3, 25.0).discharge_current_a).any()
    full = limits(1.0)
    assert full.charge_current_a.max() == pytest.approx(0.0, abs=1e-6)
    assert full.charge_reason[-1] in {"soc_window", "cell_voltage"}


def test_uncertain_state_of_charge_allows_less() -> None:
    sure = PackPowerLimiter(PACK).step(scan(), state(0.1, 0.002))
    unsure = PackPowerLimiter(PACK).step(scan(), state(0.1, 0.05))
    assert sure is not None and unsure is not None
    assert (unsure.discharge_current_a <= sure.discharge_current_a).all()
    assert unsure.discharge_current_a[1] < sure.discharge_current_a[1]


def test_unknown_gives_no_limits_so_that_the_monitor_falls_back() -> None:
    limiter = PackPowerLimiter(PACK)
    soc = np.full(CELLS, 0.5)
    soc[3] = math.nan
    assert limiter.step(scan(), state(soc)) is None
    assert limiter.step(scan(current_a=math.nan), state(0.5)) is None
    assert limiter.step(scan(), state(0.5)) is not None


def test_after_a_long_discharge_less_is_left_than_at_rest() -> None:
    rested, worked = PackPowerLimiter(PACK), PackPowerLimiter(PACK)
    for number in range(0, 300, 10):
        worked.step(scan(number, current_a=-10.0), state(0.08))
    after = worked.step(scan(300), state(0.08))
    before = rested.step(scan(300), state(0.08))
    assert after is not None and before is not None
    assert after.discharge_current_a[2] < before.discharge_current_a[2]


def test_one_cell_of_a_pack_and_a_cell_alone_have_the_same_limits() -> None:
    limiter = PackPowerLimiter(PACK)
    result = limiter.step(scan(temperature_degc=20.0), state(0.15))
    assert result is not None
    charge, discharge = limiter.cells.limits(coolant_degc=20.0)
    assert result.discharge_current_a == pytest.approx(discharge.current_a.min(axis=0), rel=2e-3)
    assert result.charge_current_a == pytest.approx(charge.current_a.min(axis=0), rel=2e-3)
    assert result.discharge_power_w == pytest.approx(CELLS * discharge.power_w.min(axis=0), rel=0.01)


def test_no_cell_is_overlooked_when_the_weakest_one_changes() -> None:
    limiter = PackPowerLimiter(PACK)
    rng = np.random.default_rng(3)
    for number in range(5):
        soc = rng.uniform(0.02, 0.6, CELLS)
        result = limiter.step(scan(10 * number), state(soc))
        assert result is not None
        _, discharge = limiter.cells.limits(coolant_degc=25.0)
        assert np.all(result.discharge_current_a <= discharge.current_a.min(axis=0) * 1.002 + 1e-3)


def test_limits_fall_at_once_and_rise_slowly() -> None:
    limiter = PackPowerLimiter(PACK)
    assert limiter.step(scan(0), state(0.5)) is not None
    low = limiter.step(scan(1), state(0.03))
    high = limiter.step(scan(2), state(0.5))
    assert low is not None and high is not None
    rated = PACK.file.limits.discharge_current_max_a.operating
    assert high.discharge_current_a[1] == pytest.approx(
        low.discharge_current_a[1] + rated * 0.1 / 5.0, rel=0.01
    )
    assert high.discharge_reason[1] == "recovering"


@pytest.mark.parametrize(("error", "degc"), [(1.25, 25.0), (0.8, 5.0), (1.25, -5.0)])
def test_a_load_that_takes_the_whole_limit_does_not_swing(error: float, degc: float) -> None:
    """A vehicle that takes all that it may, on cells whose resistance is not the model's: the limit comes
    to rest and no cell passes its voltage.
    """
    limiter = PackPowerLimiter(PACK)
    model = limiter.cells.model
    soc, i1, i2, current = 0.25, 0.0, 0.0, 0.0
    commands, lowest = [], 5.0
    for number in range(90):
        p = model.parameters(soc, degc)
        i1 = current + np.exp(-0.4 / p.tau1_s) * (i1 - current)
        i2 = current + np.exp(-0.4 / p.tau2_s) * (i2 - current)
        soc += current * 0.4 / 3600.0 / model.capacity_ah
        eta = p.instant_v(current) + p.r1_ohm * i1 + p.r2_ohm * i2
        m = scan(4 * number, degc, current)
        m.cell_voltages_v[:] = p.ocv_v + error * eta
        lowest = min(lowest, float(m.cell_voltages_v.min())) if number > 5 else lowest
        result = limiter.step(m, state(soc))
        assert result is not None
        current = -float(result.discharge_current_a[1])
        commands.append(-current)
    steps = np.diff(commands[15:])
    turns = np.sum(np.sign(steps[1:]) * np.sign(steps[:-1]) < 0)
    swing = np.abs(np.diff(np.asarray(commands[15:]))).max() / max(commands[15:])
    assert swing < 0.05, f"steps of {swing:.1%} between scans, {turns} turns"
    assert lowest > PACK.file.limits.cell_voltage_min_v.recommended - 0.01


def test_without_any_temperature_the_pack_is_taken_as_cold() -> None:
    m = scan()
    m.temperatures_degc[:] = np.nan
    blind = PackPowerLimiter(PACK).step(m, state(0.5))
    assert blind is not None and blind.charge_current_a[1] <= limits(0.5).charge_current_a[1]
