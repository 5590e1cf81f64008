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
    for number in range(300):
        worked.step(scan(number, current_a=-10.0), state(0.08))
    after = worked.step(scan(300), state(0.08))
    before = rested.step(scan(300), state(0.08))
    assert after is not None and before is not None
    assert after.discharge_current_a[2] < before.discharge_current_a[2]
