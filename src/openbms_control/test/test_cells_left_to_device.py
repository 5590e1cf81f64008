"""A battery that shows no cell: nothing, unless its own limits are trusted, and then no more than those."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openbms_control.safety.limits import LimitCalculator, LimitInputs
from openbms_control.safety.readings import PackFacts
from openbms_core.pack import PackFile, load_pack
from openbms_core.types import PackMeasurement, PowerLimits, State, Validity


def scan(**values: float) -> PackMeasurement:
    m = PackMeasurement.empty(15, 1, 1)
    m.string_voltages_v[:], m.string_currents_a[:], m.temperatures_degc[:] = 49.86, -27.0, 25.0
    for name in ("string_voltage", "string_current", "temperature"):
        getattr(m, f"{name}_validity")[:] = Validity.VALID
    m.reported_charge_current_limit_a, m.reported_discharge_current_limit_a = 30.0, 70.0
    m.reported_limit_validity = Validity.VALID
    for name, value in values.items():
        setattr(m, name, value)
    return m


def generous() -> PowerLimits:
    ample, nobody = np.full(1, 1e5), np.full(1, -1, np.int32)
    return PowerLimits(
        0.0, 1, np.array([10.0]), ample, ample, ample, ample, 1e3 * ample, 1e3 * ample, ["device"], nobody,
        ["device"], nobody, 1.0,
    )  # fmt: skip


def limits(pack: PackFile, m: PackMeasurement) -> tuple[float, float, str, str]:
    inputs = LimitInputs(State.CONNECTED, False, 1, m, generous(), (1.0, ""), (1.0, ""), math.nan)
    found = LimitCalculator(PackFacts(pack)).step(inputs, 100.0)
    return found.charge_current_a, found.discharge_current_a, found.charge_reason, found.discharge_reason


@pytest.fixture(scope="module")
def left() -> PackFile:
    return load_pack("pylontech_lv_v1_2").file


def test_its_own_limits_hold_while_they_are_fresh(left: PackFile) -> None:
    assert limits(left, scan()) == (30.0, 70.0, "device_limit", "device_limit")


def test_without_its_limits_there_is_nothing(left: PackFile) -> None:
    found = limits(left, scan(reported_limit_validity=Validity.STALE))
    assert found == (0.0, 0.0, "cell_voltage_unknown", "cell_voltage_unknown")


def test_what_is_measured_here_still_derates(left: PackFile) -> None:
    cold = scan()
    cold.temperatures_degc[:] = 2.5
    assert limits(left, cold)[:3] == (30.0, 70.0, "device_limit"), "half of 80 A is above the device's 30 A"
    cold.temperatures_degc[:] = 0.0
    assert limits(left, cold)[0::2] == (0.0, "temperature_low")
    unknown = scan()
    unknown.temperature_validity[:] = Validity.STALE
    assert limits(left, unknown)[2] == "temperature_unknown"


def test_unasked_nothing_is_trusted(left: PackFile) -> None:
    strict = left.model_copy(
        update={"limits": left.limits.model_copy(update={"cells_left_to_device": False})}
    )
    assert limits(strict, scan()) == (0.0, 0.0, "cell_voltage_unknown", "cell_voltage_unknown")


def test_a_battery_that_shows_its_extremes_is_judged_by_them(left: PackFile) -> None:
    shows = load_pack("pylontech_lv_15s").file
    m = scan(
        reported_cell_voltage_minimum_v=3.2,
        reported_cell_voltage_maximum_v=3.55,
        reported_cell_voltage_validity=Validity.VALID,
    )
    m.reported_charge_current_limit_a = 80.0
    found = limits(shows, m)
    assert (found[0], found[2]) == (pytest.approx(40.0), "cell_voltage_high")
    m.reported_cell_voltage_validity = Validity.MISSING
    assert limits(shows, m)[2] == "cell_voltage_unknown"
    trusting = shows.model_copy(
        update={"limits": shows.limits.model_copy(update={"cells_left_to_device": True})}
    )
    assert limits(trusting, m)[2] == "cell_voltage_unknown", "extremes that are mapped are needed"


def test_without_a_voltage_no_power_is_stated(left: PackFile) -> None:
    m = scan()
    m.string_voltage_validity[:] = Validity.STALE
    inputs = LimitInputs(State.CONNECTED, False, 1, m, generous(), (1.0, ""), (1.0, ""), math.nan)
    found = LimitCalculator(PackFacts(left)).step(inputs, 100.0)
    assert (found.charge_power_w, found.discharge_power_w) == (0.0, 0.0)
    assert found.charge_reason == "string_voltage_unknown"
