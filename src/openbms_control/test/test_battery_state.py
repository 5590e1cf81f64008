"""Each field of BatteryState, as a table, and what Nav2 needs of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from openbms_control.battery_state import BatteryFacts, Health, SupplyStatus, Technology, battery_state
from openbms_core.types import State, StateOfCharge

NAN = math.nan
FACTS = BatteryFacts(
    serial="TEST-1",
    chemistry="nmc",
    strings=1,
    rated_capacity_ah=50.0,
    cell_sensor=np.array([0, 0, 1, 65535]),
    at_cell=np.array([True, True, True, False]),
)


def soc(value=0.6, charge=30.0):
    fields = {field.name: NAN for field in dataclasses.fields(StateOfCharge)}
    return StateOfCharge(**(fields | {"displayed_soc": value, "remaining_charge_ah": charge}))


@pytest.fixture
def scan(kit):
    def make(**values):
        rig = kit.rig()
        rig.values |= values
        return rig.measurement()

    return make


def status(scan, state, current_a, percentage=0.6):
    values = battery_state(FACTS, scan(current_a=current_a), soc(percentage), state, [])
    return values.power_supply_status


def test_everything_known(scan):
    m = scan(cells_v=[3.6, 3.7, 3.8, 3.9], current_a=-20.0, temperature_degc=[20.0, 30.0, 25.0, 99.0])
    values = battery_state(FACTS, m, soc(), State.DRIVE, [], "bay 1")
    assert values.voltage == pytest.approx(15.0)
    assert values.current == -20.0
    assert (values.charge, values.percentage, values.design_capacity) == (30.0, 0.6, 50.0)
    assert math.isnan(values.capacity)  # nothing measures it yet
    assert values.temperature == 30.0  # the hottest cell, not the ambient sensor
    assert values.cell_voltage.tolist() == [3.6, 3.7, 3.8, 3.9]
    assert values.cell_temperature[:3].tolist() == [20.0, 20.0, 30.0] and math.isnan(
        values.cell_temperature[3]
    )
    assert values.present and values.location == "bay 1" and values.serial_number == "TEST-1"
    assert values.power_supply_technology == Technology.LION
    assert values.power_supply_health == Health.GOOD


def test_nothing_known():
    values = battery_state(None, None, None, None, None)
    for name in ("voltage", "current", "charge", "capacity", "design_capacity", "percentage", "temperature"):
        assert math.isnan(getattr(values, name)), name
    assert values.power_supply_status == SupplyStatus.UNKNOWN
    assert values.power_supply_health == Health.UNKNOWN
    assert values.power_supply_technology == Technology.UNKNOWN
    assert not values.present and values.serial_number == "" and len(values.cell_voltage) == 0


@pytest.mark.parametrize(
    ("values", "voltage"),
    [
        ({}, 14.8),
        ({"string_voltages_v": 14.5}, 14.5),
        ({"string_voltage_validity": 1}, 14.8),
        ({"string_voltage_validity": 1, "cells_v": [3.7, NAN, 3.7, 3.7]}, NAN),
    ],
)
def test_voltage_is_measured_or_the_sum_of_all_valid_cells(scan, values, voltage):
    assert battery_state(FACTS, scan(**values), None, None, None).voltage == pytest.approx(
        voltage, nan_ok=True
    )


def test_an_unknown_string_current_makes_the_sum_unknown(kit):
    rig = kit.strings(2)
    rig.values["current_a"] = [3.0, NAN]
    assert math.isnan(battery_state(None, rig.measurement(), None, None, None).current)
    rig.values["current_a"] = [3.0, -1.0]
    values = battery_state(None, rig.measurement(), None, None, None)
    assert values.current == 2.0 and values.voltage == pytest.approx(7.4)


def test_cells_that_do_not_divide_into_strings_give_no_voltage(kit):
    rig = kit.strings(2)
    m = rig.measurement()
    m.string_voltage_validity[:] = 1
    m.cell_voltages_v, m.cell_voltage_validity = m.cell_voltages_v[:3], m.cell_voltage_validity[:3]
    assert math.isnan(battery_state(None, m, None, None, None).voltage)


def test_a_silent_bus_is_no_battery_present(scan):
    assert not battery_state(FACTS, scan(bus_state=2), None, None, None).present


def test_cells_without_valid_temperature_are_unknown(scan):
    values = battery_state(FACTS, scan(temperature_degc=[NAN, NAN, NAN, 20.0]), None, None, None)
    assert math.isnan(values.temperature) and np.isnan(values.cell_temperature).all()
    other = dataclasses.replace(FACTS, at_cell=np.array([True]))
    assert len(battery_state(other, scan(), None, None, None).cell_temperature) == 0


@pytest.mark.parametrize(
    ("state", "current_a", "percentage", "expected"),
    [
        (State.CHARGE, 10.0, 0.6, SupplyStatus.CHARGING),
        (State.CONNECTED, 10.0, 0.6, SupplyStatus.CHARGING),
        (
            State.STANDBY,
            10.0,
            0.6,
            SupplyStatus.CHARGING,
        ),  # a pack without contactors of its own on a charger
        (State.DRIVE, 10.0, 0.6, SupplyStatus.NOT_CHARGING),  # regeneration
        (State.OPENING, 10.0, 0.6, SupplyStatus.NOT_CHARGING),
        (State.DRIVE, -10.0, 0.6, SupplyStatus.DISCHARGING),
        (State.CHARGE, -10.0, 0.6, SupplyStatus.DISCHARGING),
        (State.CHARGE, 0.5, 0.6, SupplyStatus.NOT_CHARGING),  # below C/50
        (State.CHARGE, 0.5, 0.999, SupplyStatus.FULL),
        (State.STANDBY, 0.0, 1.0, SupplyStatus.FULL),
        (State.STANDBY, 0.0, 0.6, SupplyStatus.NOT_CHARGING),
        (State.STANDBY, 0.0, NAN, SupplyStatus.NOT_CHARGING),
        (State.FAULT, 0.0, 0.6, SupplyStatus.NOT_CHARGING),
        (None, 10.0, 0.6, SupplyStatus.UNKNOWN),
        (State.CHARGE, NAN, 0.6, SupplyStatus.UNKNOWN),
    ],
)
def test_power_supply_status(scan, state, current_a, percentage, expected):
    assert status(scan, state, current_a, percentage) == expected


def test_without_rated_capacity_a_tenth_of_an_ampere_is_rest(scan):
    values = battery_state(None, scan(current_a=0.2), None, State.CHARGE, None)
    assert values.power_supply_status == SupplyStatus.CHARGING


@pytest.mark.parametrize(
    ("faults", "health"),
    [
        (None, Health.UNKNOWN),
        ([], Health.GOOD),
        ([("CELL_OVER_VOLTAGE_OPERATING", 0)], Health.GOOD),
        ([("ESTIMATOR_LOST", 1)], Health.GOOD),
        ([("CELL_OVER_VOLTAGE_RECOMMENDED", 1)], Health.OVERVOLTAGE),
        ([("OVER_TEMPERATURE_DISCHARGE_SAFETY", 2), ("CELL_OVER_VOLTAGE_SAFETY", 2)], Health.OVERHEAT),
        ([("UNDER_TEMPERATURE_CHARGE_SAFETY", 2)], Health.COLD),
        ([("CELL_UNDER_VOLTAGE_SAFETY", 2)], Health.DEAD),
        ([("CELL_UNDER_VOLTAGE_RECOMMENDED", 1)], Health.GOOD),
        ([("DRIVER_LOST", 2)], Health.WATCHDOG_TIMER_EXPIRE),
        ([("SMOKE_ALARM", 2)], Health.UNSPEC_FAILURE),
    ],
)
def test_power_supply_health(faults, health):
    assert battery_state(None, None, None, None, faults).power_supply_health == health


@pytest.mark.parametrize(
    ("chemistry", "technology"),
    [("nmc", 2), ("nca", 2), ("lco", 2), ("lto", 2), ("lfp", 4), ("lmo", 6), ("", 0)],
)
def test_technology_by_chemistry(chemistry, technology):
    facts = dataclasses.replace(FACTS, chemistry=chemistry)
    assert battery_state(facts, None, None, None, None).power_supply_technology == technology


# ---- what Nav2 does with it ----


def test_nav2_is_battery_low(scan):
    """IsBatteryLow compares percentage with min_battery; NaN never triggers."""
    assert battery_state(FACTS, scan(), soc(0.15), State.DRIVE, []).percentage <= 0.2
    assert not battery_state(FACTS, scan(), None, State.DRIVE, []).percentage <= 0.2


def test_nav2_is_battery_charging(scan):
    """IsBatteryCharging compares the status with CHARGING: not while braking."""
    assert status(scan, State.CHARGE, 5.0) == 1
    assert status(scan, State.DRIVE, 5.0) != 1


def test_nav2_simple_charging_dock(scan):
    """SimpleChargingDock takes current > charging_threshold (0.5 A): charging must be positive."""
    assert battery_state(FACTS, scan(current_a=5.0), None, State.CHARGE, []).current > 0.5
    assert not battery_state(FACTS, scan(current_a=-5.0), None, State.DRIVE, []).current > 0.5
    assert not battery_state(FACTS, None, None, State.CHARGE, []).current > 0.5
