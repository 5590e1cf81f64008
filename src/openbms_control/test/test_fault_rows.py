"""Every row of the fault table trips just above, holds just below, debounces in seconds, clears or
latches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openbms_control.safety.readings import CLOCK_READINGS, SCAN_READINGS
from openbms_control.safety.watches import WATCHES
from openbms_core.faults import FAULT_BY_ID, FAULT_TABLE, limit_value
from openbms_core.types import UNKNOWN, FaultState, State

NAN = math.nan


def _voltage(value):
    return {"cells_v": [3.7, 3.7, value, 3.7]}


def _current(value):
    return {"current_a": value}


def _charging(value):
    return {"temperature_degc": [25.0, value, 25.0, 99.0], "current_a": 1.0}


def _discharging(value):
    return {"temperature_degc": [25.0, value, 25.0, 99.0], "current_a": -1.0}


def _resistance(value):
    return {"insulation_resistance_ohm": value * 14.8}


def _second_cell(value):
    return {"redundant_cell_voltages_v": [3.7, 3.7, 3.7 + value, 3.7]}


def _feedback(heater=0.0, pump=1.0, fan=1.0):
    return {"actuator_feedback": [heater, pump, fan, 0.0]}


def _hot_heater(value):
    return {"temperature_degc": [25.0, value, 25.0, 99.0], **_feedback(heater=1.0)}


# Limit rows: how to put a value of the quantity into the scan, and how far beside the limit is just beside
# it.
QUANTITIES = {
    "CELL_OVER_VOLTAGE": (_voltage, 0.001),
    "CELL_UNDER_VOLTAGE": (_voltage, 0.001),
    "OVER_CURRENT_CHARGE": (_current, 0.01),
    "OVER_CURRENT_DISCHARGE": (lambda value: _current(-value), 0.01),
    "OVER_TEMPERATURE_CHARGE": (_charging, 0.1),
    "OVER_TEMPERATURE_DISCHARGE": (_discharging, 0.1),
    "UNDER_TEMPERATURE_CHARGE": (_charging, 0.1),
    "UNDER_TEMPERATURE_DISCHARGE": (_discharging, 0.1),
    "LOW_INSULATION": (_resistance, 0.1),
    "PRESSURE_ALARM": (lambda value: {"pressure_pa": value}, 100.0),
    "SUPPLY_VOLTAGE_LOW": (lambda value: {"supply_voltage_v": value}, 0.01),
    "SUPPLY_VOLTAGE_HIGH": (lambda value: {"supply_voltage_v": value}, 0.01),
    "CELL_VOLTAGE_SPREAD": (lambda value: _voltage(3.7 + value), 0.001),
    "TEMPERATURE_SPREAD": (lambda value: {"temperature_degc": [25.0, 25.0 + value, 25.0, 99.0]}, 0.1),
    "REDUNDANT_CELL_VOLTAGE_MISMATCH": (_second_cell, 0.001),
    "REDUNDANT_CURRENT_MISMATCH": (lambda value: {"redundant_string_currents_a": value}, 0.01),
    "HEATER_STUCK_ON": (lambda value: _feedback(heater=value), 0.01),
    "HEATER_STUCK_ON_HOT": (_hot_heater, 0.1),
    "PUMP_FAILURE": (lambda value: _feedback(pump=1.0 - value), 0.01),
    "FAN_FAILURE": (lambda value: _feedback(fan=1.0 - value), 0.01),
    "COOLANT_FLOW_LOW": (lambda value: {"coolant_flow_m3_per_s": value}, 1e-6),
}
# Thresholds that are wide in the small pack, so that other rows can be tested alone.
CHANGES = {
    "CELL_VOLTAGE_SPREAD": {"protection": {"cell_voltage_spread_max_v": 0.3}},
    "TEMPERATURE_SPREAD": {"protection": {"temperature_spread_max_k": 20.0}},
}
# Where the value stands; for the others it follows from the unit.
PLACES = {
    "SUPPLY_VOLTAGE_LOW": -1,
    "SUPPLY_VOLTAGE_HIGH": -1,
    "HEATER_STUCK_ON": 0,
    "PUMP_FAILURE": 1,
    "FAN_FAILURE": 2,
}
# Yes-or-no rows that come from a scan: what makes them, what does not.
SWITCHES = {
    "CELL_VOLTAGE_MISSING": (_voltage(NAN), _voltage(3.7)),
    "TEMPERATURE_MISSING": ({"temperature_degc": [25, NAN, 25, 25]}, {"temperature_degc": [25, 25, 25, NAN]}),
    "CURRENT_MISSING": (_current(NAN), _current(0.0)),
    "SAFETY_INPUT_MISSING": ({"interlock": UNKNOWN}, {"interlock": 1}),
    "CONTACTOR_FEEDBACK_MISSING": ({"contactor_feedback": [UNKNOWN, 1, 0]}, {}),
    "BUS_LOST": ({"bus_state": 2}, {"bus_state": 0}),
    "INTERLOCK_OPEN": ({"interlock": 0}, {"interlock": 1}),
    "EMERGENCY_STOP": ({"emergency_stop": 1}, {"emergency_stop": 0}),
    "SMOKE_ALARM": ({"smoke": 1}, {"smoke": 0}),
    "GAS_ALARM": ({"gas": 1}, {"gas": 0}),
    "INSULATION_MISSING": ({"insulation_resistance_validity": 1}, {"insulation_resistance_validity": 0}),
    "CONTACTOR_FEEDBACK_MISMATCH": ({"contactor_feedback": [0, 1, 0]}, {}),
    "BLEED_STUCK_ON": ({"cell_balancing": [0, 0, 1, 0]}, {"cell_balancing": 0}),
    "LINK_VOLTAGE_MISSING": ({"link_voltage_validity": 1}, {"link_voltage_validity": 0}),
    "STRING_VOLTAGE_MISSING": ({"string_voltage_validity": 1}, {"string_voltage_validity": 7}),
    "REDUNDANT_CELL_VOLTAGE_MISSING": (
        {"redundant_cell_voltage_validity": [0, 1, 0, 0]},
        {"redundant_cell_voltage_validity": [0, 7, 0, 0]},
    ),
    "REDUNDANT_CURRENT_MISSING": (
        {"redundant_string_current_validity": 1},
        {"redundant_string_current_validity": 0},
    ),
    "BALANCING_FEEDBACK_MISSING": ({"cell_balancing": [0, 0, UNKNOWN, 0]}, {"cell_balancing": 0}),
    "PRESSURE_MISSING": ({"pressure_validity": 1}, {"pressure_validity": 0}),
    "SUPPLY_VOLTAGE_MISSING": ({"supply_voltage_validity": 1}, {"supply_voltage_validity": 0}),
    "COOLANT_FLOW_MISSING": ({"coolant_flow_validity": 1}, {"coolant_flow_validity": 0}),
    "ACTUATOR_FEEDBACK_MISSING": (
        {"actuator_feedback_validity": [0, 0, 0, 1]},
        {"actuator_feedback_validity": [0, 0, 0, 7]},
    ),
    "PLUGGED_IN_WHILE_DRIVING": ({"charging_plug": 1, "current_a": -9.0}, {"charging_plug": 0}),
}
# What needs a story of its own is told in test_monitor.py, test_contactors.py, test_plausibility.py,
# test_actuators.py and test_runaway.py.
ELSEWHERE = {
    "CELL_OPEN_WIRE",
    "CELL_VOLTAGE_STUCK",
    "TEMPERATURE_STUCK",
    "CURRENT_STUCK",
    "CELL_VOLTAGE_RATE",
    "TEMPERATURE_RATE",
    "STRING_VOLTAGE_MISMATCH",
    "REPORTED_CELL_VOLTAGE_MISMATCH",
    "REPORTED_TEMPERATURE_MISMATCH",
    "FRAME_INTEGRITY",
    "AFE_OVER_TEMPERATURE",
    "AFE_TEMPERATURE_MISSING",
    "SCAN_NOT_ADVANCING",
    "CLOCK_JUMP",
    "DRIVER_LOST",
    "DRIVER_RESTARTED",
    "ESTIMATOR_LOST",
    "LIMP_HOME_EXPIRED",
    "CONTACTOR_WELDED",
    "CONTACTOR_FAILED_TO_CLOSE",
    "LINK_LIVE",
    "OPENED_UNDER_LOAD",
    "STRING_ISOLATED",
    "PRECHARGE_ABORTED_VOLTAGE",
    "PRECHARGE_ABORTED_CURRENT",
    "DEEP_DISCHARGE",
    "CURRENT_ON_OPEN_STRING",
    "PRECHARGE_TIMEOUT",
    "CONFIG_MISMATCH",
    "MONITOR_LATE",
    "MONITOR_DIED",
    "FAULT_RECORD_CORRUPT",
    "FAULT_RECORD_NOT_WRITTEN",
    "THERMAL_RUNAWAY_WARNING",
    "THERMAL_RUNAWAY_ALARM",
    "THERMAL_RUNAWAY_EMERGENCY",
}
LIMIT_ROWS = [row for row in FAULT_TABLE if row.name in QUANTITIES]
SWITCH_ROWS = [row for row in FAULT_TABLE if row.name in SWITCHES]


def test_no_row_is_forgotten():
    assert {row.name for row in FAULT_TABLE} == set(QUANTITIES) | set(SWITCHES) | ELSEWHERE


def test_every_quantity_of_the_table_is_read_somewhere():
    read = {*SCAN_READINGS, *CLOCK_READINGS, *(name for watch in WATCHES for name in watch.quantities)}
    assert {row.quantity for row in FAULT_TABLE} == read


def beside(row, pack):
    """Give scans just beyond and just within the limit."""
    put, margin = QUANTITIES[row.name]
    limit, sign = limit_value(row, pack.file), -1.0 if row.comparison == "below" else 1.0
    return put(limit + sign * margin), put(limit - sign * margin)


def scans(row, pack):
    return beside(row, pack) if row.name in QUANTITIES else SWITCHES[row.name]


def state_of(rig, row):
    return next((entry.state for entry in rig.last.faults if entry.row.id == row.id), None)


@pytest.mark.parametrize("row", LIMIT_ROWS, ids=lambda row: row.id)
def test_it_trips_just_above_and_holds_just_below(kit, row):
    rig = kit.rig(**CHANGES.get(row.name, {}))
    rig.close()
    above, below = beside(row, rig.pack)
    wait_s = row.timing.debounce_s + row.timing.delay_s + 0.3
    rig.run(wait_s, **below)
    assert state_of(rig, row) is None
    rig.run(wait_s, **above)
    assert state_of(rig, row) == FaultState.ACTIVE
    entry = next(entry for entry in rig.last.faults if entry.row.id == row.id)
    assert entry.limit == limit_value(row, rig.pack.file)
    assert (entry.value > entry.limit) == (row.comparison == "above")
    by_unit = {"V": 2, "degC": 1, "K": 1, "A": 0, "ohm/V": -1, "Pa": -1, "m3/s": -1}
    assert entry.index == (PLACES[row.name] if row.name in PLACES else by_unit[row.unit])
    assert entry.occurrences == 1 and entry.first_active_s <= entry.last_seen_s == rig.stamp_s


@pytest.mark.parametrize("row", SWITCH_ROWS, ids=lambda row: row.id)
def test_a_condition_trips_and_its_absence_does_not(kit, row):
    rig = kit.rig()
    rig.close()
    there, absent = scans(row, rig.pack)
    wait_s = row.timing.debounce_s + row.timing.delay_s + 0.3
    rig.run(wait_s, **absent)
    assert state_of(rig, row) is None
    rig.run(wait_s, **there)
    assert state_of(rig, row) == FaultState.ACTIVE


@pytest.mark.parametrize("period_s", [0.02, 0.1])
@pytest.mark.parametrize("row", LIMIT_ROWS + SWITCH_ROWS, ids=lambda row: row.id)
def test_debounce_and_delay_take_the_same_seconds_at_every_scan_period(kit, row, period_s):
    if period_s < 0.05 and row.timing.debounce_s > 1.0:
        pytest.skip("only long, nothing new")
    rig = kit.rig(measurement={"scan_period_s": period_s}, **CHANGES.get(row.name, {}))
    rig.close()
    rig.run(0.3)  # until feedback must have followed
    there, _ = scans(row, rig.pack)
    rig.step(**there)
    seen_s = rig.t_s
    pending = row.timing.debounce_s + row.timing.delay_s
    while state_of(rig, row) != FaultState.ACTIVE:
        assert state_of(rig, row) in (None, FaultState.PENDING)
        rig.step()
        assert rig.t_s - seen_s < pending + 1.0
    assert rig.t_s - seen_s == pytest.approx(pending, abs=2 * period_s + 1e-6)
    assert rig.t_s - seen_s >= pending - 2e-3


@pytest.mark.parametrize("row", LIMIT_ROWS + SWITCH_ROWS, ids=lambda row: row.id)
def test_a_blink_does_nothing(kit, row):
    if row.timing.debounce_s == 0.0:
        pytest.skip("acts on the first scan by intent")
    rig = kit.rig(**CHANGES.get(row.name, {}))
    rig.close()
    there, _ = scans(row, rig.pack)
    before = dict(rig.values)
    rig.step(**there)
    rig.values = before
    rig.run(0.5)
    assert rig.state == State.DRIVE
    assert state_of(rig, row) is None


@pytest.mark.parametrize("row", LIMIT_ROWS + SWITCH_ROWS, ids=lambda row: row.id)
def test_it_clears_by_itself_or_latches(kit, row):
    rig = kit.rig(**CHANGES.get(row.name, {}))
    rig.close()
    there, _ = scans(row, rig.pack)
    quiet = {**rig.values, "current_a": 0.0, "link_v": 0.0}
    quiet.pop("contactor_feedback", None)
    rig.run_until(lambda d: state_of(rig, row) == FaultState.ACTIVE, 20.0, **there)
    assert state_of(rig, row) is not None
    rig.values = quiet
    rig.run(row.timing.debounce_s + 1.0)
    if not row.latched:
        assert state_of(rig, row) is None
    else:
        assert state_of(rig, row) == FaultState.LATCHED
        assert row.id in rig.monitor.clear([row.id], rig.t_s).cleared
        rig.step()
        assert state_of(rig, row) is None
    if row.opens:
        rig.monitor.clear([], rig.t_s)
        rig.run(8.0)
        assert rig.state == State.STANDBY, rig.ids()


@pytest.mark.parametrize("row", LIMIT_ROWS + SWITCH_ROWS, ids=lambda row: row.id)
def test_only_rows_that_open_open(kit, row):
    rig = kit.rig(**CHANGES.get(row.name, {}))
    rig.close()
    there, _ = scans(row, rig.pack)
    if row.level != 2 and row.name in QUANTITIES:
        rig.run(12.0, **there)
        assert rig.state == State.DRIVE
    elif row.opens:
        rig.run(row.timing.debounce_s + row.timing.delay_s + 1.0, **there)
        assert rig.state == State.FAULT
        assert not rig.last.status.contactor_command.any()
        assert rig.last.status.reason == f"fault:{row.id}" or row.name == "OVER_TEMPERATURE_DISCHARGE"


def test_recommended_limits_take_the_direction_that_makes_it_worse(kit):
    rig = kit.rig()
    rig.close()
    rig.run(2.0, **_voltage(4.21))
    assert rig.last.limits.charge_current_a == 0.0
    assert rig.last.limits.charge_reason == "fault:CELL_OVER_VOLTAGE_RECOMMENDED"
    assert rig.last.limits.discharge_current_a == 18.0


def test_a_row_that_is_about_to_open_asks_for_zero_current_during_its_delay(kit):
    rig = kit.rig()
    rig.close()
    rig.step(**_voltage(4.3))
    asked_s = rig.run_until(lambda d: d.status.zero_current_requested, 2.0)
    assert asked_s == pytest.approx(0.5, abs=0.01)
    assert rig.state == State.DRIVE and rig.last.status.contactors_closed
    assert rig.last.limits.charge_current_a == rig.last.limits.discharge_current_a == 0.0


def test_without_debounce_the_delay_still_runs(kit):
    rig = kit.rig(faults={"CELL_OVER_VOLTAGE": {"debounce_s": 0.0}})
    rig.close()
    rig.step(**_voltage(4.3))
    assert rig.last.status.zero_current_requested and "CELL_OVER_VOLTAGE_SAFETY" in rig.ids(
        FaultState.PENDING
    )
    rig.run(0.3)
    assert rig.state == State.OPENING or rig.state == State.FAULT


def test_rows_of_the_device_s_own_extremes_are_judged_where_they_are_faster(kit):
    entry = {"message": "M", "signal": "x"}
    signals = [
        *kit.SMALL["device"]["signals"],
        {"to": "reported_cell_voltage_maximum_v", **entry},
        {"to": "reported_cell_voltage_minimum_v", **entry},
        {"to": "reported_temperature_maximum_degc", **entry},
    ]
    ages = {entry["to"]: 0.4 for entry in signals[-3:]}
    rig = kit.rig(device={"signals": signals}, measurement={"max_age_s": ages})
    fine = {
        "reported_cell_voltage_maximum_v": 3.7,
        "reported_cell_voltage_minimum_v": 3.7,
        "reported_cell_voltage_validity": 0,
        "reported_temperature_maximum_degc": 25.0,
        "reported_temperature_minimum_degc": 25.0,
        "reported_temperature_validity": 0,
    }
    rig.values |= fine
    rig.close()
    # cells that the device does not send one by one are watched by its extremes
    rig.run(
        2.0,
        cells_v=[3.7, NAN, NAN, 3.7],
        cell_voltage_validity=[0, 7, 7, 0],
        temperature_degc=[25, NAN, 25, 25],
        temperature_validity=[0, 7, 0, 0],
        string_voltages_v=14.8,
        string_voltage_validity=0,
    )
    assert rig.state == State.DRIVE and rig.last.limits.discharge_current_a == 18.0
    rig.run(1.0, reported_cell_voltage_maximum_v=4.3)
    assert "CELL_OVER_VOLTAGE_SAFETY" in rig.ids()
    for lost, name in (("cell_voltage", "CELL_VOLTAGE_MISSING"), ("temperature", "TEMPERATURE_MISSING")):
        rig = kit.rig(device={"signals": signals}, measurement={"max_age_s": ages})
        rig.values |= fine
        rig.run(1.0)
        rig.run(7.0, **{f"reported_{lost}_validity": 1})
        assert name in rig.ids(FaultState.ACTIVE)


@pytest.mark.parametrize(("current_a", "tripped"), [(1.0, True), (0.19, False), (-1.0, False)])
@pytest.mark.parametrize("target", [State.DRIVE, State.CHARGE])
def test_temperature_rows_follow_the_current_that_flows_in_every_state(kit, target, current_a, tripped):
    """Regeneration is charging; a charger that is plugged in but delivers nothing is not."""
    rig = kit.rig()
    rig.close(target)
    rig.run(8.0, temperature_degc=-6.0, current_a=current_a)
    assert ("UNDER_TEMPERATURE_CHARGE_SAFETY" in rig.ids()) == tripped


@pytest.mark.parametrize(("current_a", "tripped"), [(1.0, True), (0.19, False)])
def test_one_current_sensor_is_enough_to_know_the_direction(kit, current_a, tripped):
    rig = kit.rig(device=kit.signals("redundant_string_current_a"))
    rig.run(8.0, temperature_degc=-6.0, current_a=current_a)
    assert ("UNDER_TEMPERATURE_CHARGE_SAFETY" in rig.ids()) == tripped


def test_each_string_s_temperatures_follow_its_own_current(kit):
    topology = {
        "temperature_sensors": [{"name": "t{i}", "location": "cell", "count": 4, "cells_each": 1}],
    }
    rig = kit.strings(2, topology=topology)
    rig.run(8.0, temperature_degc=[25.0, 25.0, -6.0, -6.0], current_a=[1.0, 0.0])
    assert "UNDER_TEMPERATURE_CHARGE_SAFETY" not in rig.ids()
    rig.run(8.0, current_a=[0.0, 1.0])
    assert "UNDER_TEMPERATURE_CHARGE_SAFETY" in rig.ids()


def test_heat_at_rest_counts_as_in_discharge_and_cold_at_rest_does_not(kit):
    rig = kit.rig()
    rig.run(7.0, temperature_degc=66.0)
    assert "OVER_TEMPERATURE_DISCHARGE_SAFETY" in rig.ids(FaultState.ACTIVE)
    rig = kit.rig()
    rig.run(7.0, temperature_degc=-30.0)
    assert rig.state == State.STANDBY


def test_over_current_is_judged_on_the_extremes_of_the_scan_not_on_its_mean(kit):
    rig = kit.rig()
    rig.close()
    rig.run(1.0, current_a=-10.0, string_current_minimum_a=-22.5)
    assert rig.state == State.FAULT
    rig = kit.rig()
    rig.close()
    rig.run(1.0, current_a=-22.5, string_current_minimum_a=NAN)  # no extremes: the mean serves
    assert rig.state == State.FAULT


def test_insulation_without_string_voltage_is_judged_at_the_highest_possible_one(kit):
    rig = kit.rig()
    rig.run(2.0, insulation_resistance_ohm=16.0 * 100.0, string_voltage_validity=1)
    assert "LOW_INSULATION_RECOMMENDED" in rig.ids(FaultState.ACTIVE)


def test_unknown_current_leaves_the_direction_open(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.run(8.0, temperature_degc=-6.0, current_a=NAN)
    assert rig.ids() == {"CURRENT_MISSING", "REDUNDANT_CURRENT_MISSING"}


def test_no_false_alarm_before_the_first_frame(kit):
    rig = kit.rig()
    rig.estimates = False
    for _ in range(90):
        rig.step(cells_v=NAN, temperature_degc=NAN, current_a=NAN, bus_state=1, interlock=UNKNOWN)
        assert rig.state == State.INIT and not rig.ids()
    assert "cell voltages" in rig.last.status.explanation
    rig.run(8.0)
    assert rig.state == State.FAULT
    assert {"CELL_VOLTAGE_MISSING", "BUS_LOST", "ESTIMATOR_LOST"} <= rig.ids(FaultState.ACTIVE)


def test_the_oldest_missing_value_is_the_one_that_is_shown(kit):
    rig = kit.rig()
    rig.run(1.0)
    rig.run(1.0, cells_v=[3.7, NAN, NAN, 3.7], cell_voltage_ages_s=np.array([0.1, 2.0, 9.0, 0.1]))
    entry = next(entry for entry in rig.last.faults if entry.row.id == "CELL_VOLTAGE_MISSING")
    assert (entry.index, entry.value) == (2, 9.0)
    m = rig.measurement()
    m.cell_voltage_ages_s = np.zeros(0)  # a driver that sends no ages
    rig.monitor.step(m, rig.t_s + 0.1, rig.stamp_s + 0.1)
    assert FAULT_BY_ID["CELL_VOLTAGE_MISSING"].explanation


@pytest.mark.parametrize(
    ("name", "place"), [("REDUNDANT_CELL_VOLTAGE_MISSING", 1), ("ACTUATOR_FEEDBACK_MISSING", 3)]
)
def test_the_member_that_is_missing_is_named(kit, name, place):
    rig, row = kit.rig(), FAULT_BY_ID[name]
    rig.run(row.timing.debounce_s + row.timing.delay_s + 1.0, **SWITCHES[name][0])
    assert next(entry.index for entry in rig.last.faults if entry.row.id == name) == place


def test_heat_is_watched_without_a_current_sensor(kit):
    rig = kit.rig(device=kit.signals("string_current_a"))
    rig.values |= {"string_current_validity": 7, "current_a": kit.nan}
    rig.close()
    assert "UNDER_TEMPERATURE_CHARGE_SAFETY" in rig.last.not_monitored
    rig.run(10.0, temperature_degc=80.0)
    assert "OVER_TEMPERATURE_DISCHARGE_SAFETY" in rig.ids() and rig.state == State.FAULT
