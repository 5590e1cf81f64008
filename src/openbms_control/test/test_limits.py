"""The final limits: each bound alone, the smallest of all, recovery, and what is unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_control.safety.limits import (
    REASONS,
    RECOVERY_TIME_S,
    LimitCalculator,
    LimitInputs,
    derating,
    usable,
)
from openbms_control.safety.readings import PackFacts
from openbms_core.pack import LimitTriple
from openbms_core.types import State

NAN = math.nan
UPPER = LimitTriple(operating=45.0, recommended=50.0, safety=55.0)
LOWER = LimitTriple(operating=3.0, recommended=2.75, safety=2.5)
STEP = LimitTriple(operating=1.0, recommended=1.0, safety=1.0)


@pytest.mark.parametrize(
    ("value", "triple", "upper", "share"),
    [
        (45.0, UPPER, True, 1.0),
        (47.5, UPPER, True, 0.5),
        (50.0, UPPER, True, 0.0),
        (60.0, UPPER, True, 0.0),
        (3.0, LOWER, False, 1.0),
        (2.875, LOWER, False, 0.5),
        (2.75, LOWER, False, 0.0),
        (0.0, LOWER, False, 0.0),
        (1.0, STEP, True, 1.0),
        (1.1, STEP, True, 0.0),
        (0.9, STEP, False, 0.0),
        (NAN, UPPER, True, 0.0),
    ],
)
def test_the_ramp_from_operating_to_recommended(value, triple, upper, share):
    assert derating(value, triple, upper=upper) == pytest.approx(share)


@pytest.mark.parametrize(
    ("values", "charge", "charge_reason", "discharge", "discharge_reason"),
    [
        ({}, 4.0, "current_rating", 18.0, "current_rating"),
        ({"cells_v": [3.7, 4.15, 3.7, 3.7]}, 2.0, "cell_voltage_high", 18.0, "current_rating"),
        ({"cells_v": [2.875, 3.7, 3.7, 3.7]}, 4.0, "current_rating", 9.0, "cell_voltage_low"),
        ({"temperature_degc": [25, 47.5, 25, 99]}, 2.0, "temperature_high", 18.0, "current_rating"),
        ({"temperature_degc": [25, 57.5, 25, 99]}, 0.0, "temperature_high", 9.0, "temperature_high"),
        ({"temperature_degc": [25, 2.5, 25, -99]}, 2.0, "temperature_low", 18.0, "current_rating"),
        ({"temperature_degc": -15.0}, 0.0, "temperature_low", 9.0, "temperature_low"),
        ({"cells_v": [3.7, NAN, 3.7, 3.7]}, 0.0, "cell_voltage_unknown", 0.0, "cell_voltage_unknown"),
        ({"temperature_degc": [25, NAN, 25, 25]}, 0.0, "temperature_unknown", 0.0, "temperature_unknown"),
        (
            {
                "reported_charge_current_limit_a": 1.5,
                "reported_discharge_current_limit_a": 7.0,
                "reported_limit_validity": 0,
            },
            1.5,
            "device_limit",
            7.0,
            "device_limit",
        ),
        (
            {"reported_charge_current_limit_a": 1.5, "reported_limit_validity": 1},
            4.0,
            "current_rating",
            18.0,
            "current_rating",
        ),
    ],
)
def test_each_bound_of_the_raw_table(kit, values, charge, charge_reason, discharge, discharge_reason):
    rig = kit.rig()
    rig.close()
    limits = rig.step(**values).limits
    assert (limits.charge_current_a, limits.charge_reason) == (pytest.approx(charge), charge_reason)
    assert (limits.discharge_current_a, limits.discharge_reason) == (
        pytest.approx(discharge),
        discharge_reason,
    )


def test_the_estimator_s_ten_second_limit_is_used(kit):
    rig = kit.rig()
    rig.close()
    given_limits = kit.power_limits()
    given_limits.charge_current_a = np.array([9.0, 2.0, 1.0, 0.5])
    given_limits.discharge_current_a = np.array([99.0, 11.0, 8.0, 4.0])
    given_limits.discharge_power_w = np.array([999.0, 50.0, 40.0, 30.0])
    rig.estimates = False
    rig.monitor.take_power_limits(given_limits, rig.t_s)
    limits = rig.step().limits
    assert (limits.charge_current_a, limits.charge_reason) == (2.0, "estimator:cell_voltage")
    assert (limits.discharge_current_a, limits.discharge_reason) == (11.0, "estimator:soc_window")
    assert limits.discharge_power_w == 50.0 and limits.charge_power_w == pytest.approx(2.0 * 14.8)
    # no horizon of 10 s: the longest there is
    given_limits.horizons_s = np.array([1.0, 2.0, 3.0, 4.0])
    assert rig.step().limits.charge_current_a == 0.5


def test_a_power_of_zero_says_so(kit):
    rig = kit.rig()
    rig.close()
    rig.estimates = False
    rig.monitor.take_power_limits(kit.power_limits(power=0.0), rig.t_s)
    limits = rig.step().limits
    assert limits.discharge_power_w == 0.0 and limits.discharge_reason == "estimator:power"


def test_without_any_voltage_no_power_is_stated(kit):
    rig = kit.rig()
    rig.close()
    extremes = {
        "reported_cell_voltage_maximum_v": 3.7,
        "reported_cell_voltage_minimum_v": 3.7,
        "reported_cell_voltage_validity": 0,
    }
    limits = rig.step(cells_v=NAN, string_voltage_validity=1, **extremes).limits
    assert limits.discharge_current_a == 18.0
    assert (limits.discharge_power_w, limits.discharge_reason) == (0.0, "string_voltage_unknown")


def test_unknown_estimates_are_as_good_as_none(kit):
    assert usable(kit.power_limits()) and not usable(None)
    for broken in (kit.power_limits(charge=NAN), kit.power_limits(power=NAN), kit.power_limits()):
        if not math.isnan(broken.charge_current_a[0]) and not math.isnan(broken.charge_power_w[0]):
            broken.horizons_s = np.zeros(0)
        assert not usable(broken)


def test_without_fresh_power_limits_limp_home_and_still_the_raw_table(kit):
    rig = kit.rig()
    rig.close()
    rig.estimates = False
    rig.run(1.0)
    assert not rig.last.limits.limp_home
    rig.run(0.2)
    limits = rig.last.limits
    assert limits.limp_home and (limits.charge_current_a, limits.discharge_current_a) == (1.0, 3.0)
    assert limits.charge_reason == limits.discharge_reason == "limp_home"
    assert 29.0 < limits.shutdown_in_s <= 30.0
    assert "shuts down in" in limits.explanation
    assert "ESTIMATOR_LOST" in rig.ids()
    assert rig.step(temperature_degc=59.5).limits.discharge_current_a == pytest.approx(1.8)


def test_the_limp_home_values_are_those_of_a_string(kit):
    pack = kit.strings(2).pack.file
    scan = kit.strings(2).measurement()
    for closed in (1, 2):
        inputs = LimitInputs(State.DRIVE, False, closed, scan, None, (1.0, ""), (1.0, ""), NAN)
        limits = LimitCalculator(PackFacts(pack)).step(inputs, 0.0)
        assert (limits.charge_current_a, limits.discharge_current_a) == (closed * 1.0, closed * 3.0)
        assert limits.charge_reason == limits.discharge_reason == "limp_home"


def test_a_derating_acts_at_once_and_recovers_slowly(kit):
    rig = kit.rig()
    rig.close()
    rig.step(temperature_degc=59.0)
    low = rig.last.limits.discharge_current_a
    assert low == pytest.approx(3.6)
    rig.step(temperature_degc=25.0)
    assert rig.last.limits.discharge_reason == "recovering"
    assert rig.last.limits.discharge_current_a == pytest.approx(low + 18.0 * 0.1 / RECOVERY_TIME_S)
    took_s = rig.run_until(lambda d: d.limits.discharge_current_a == 18.0, 6.0)
    assert took_s == pytest.approx((18.0 - low) / 18.0 * RECOVERY_TIME_S, abs=0.2)


def test_recovery_from_a_fault_starts_at_zero_but_closing_does_not(kit):
    rig = kit.rig()
    assert rig.close().limits.discharge_current_a == 18.0
    rig.run(2.0, temperature_degc=25.0, cells_v=[3.7, 3.7, 2.74, 3.7])
    assert rig.last.limits.discharge_reason == "fault:CELL_UNDER_VOLTAGE_RECOMMENDED"
    rig.run(0.7, cells_v=3.7)
    assert 0.0 < rig.last.limits.discharge_current_a < 2.0


def test_a_request_for_zero_current_is_enough_by_itself(kit):
    pack = kit.pack()
    inputs = LimitInputs(State.DRIVE, True, 1, kit.rig().measurement(), None, (1.0, ""), (1.0, ""), NAN)
    limits = LimitCalculator(PackFacts(pack.file)).step(inputs, 0.0)
    assert limits.discharge_current_a == 0.0 and limits.discharge_reason == "zero_current_requested"


def test_over_current_halves_the_limit(kit):
    rig = kit.rig()
    rig.close()
    rig.run(0.5, current_a=-20.5)
    assert rig.last.limits.discharge_current_a == 9.0
    assert rig.last.limits.discharge_reason == "fault:OVER_CURRENT_DISCHARGE_RECOMMENDED"
    assert rig.state == State.DRIVE


@pytest.mark.parametrize("state", [State.INIT, State.STANDBY, State.PRECHARGE, State.OPENING, State.FAULT])
def test_limits_are_zero_while_contactors_are_or_get_open(kit, state):
    rig = kit.rig()
    if state == State.INIT:
        rig.tick()
    elif state == State.STANDBY:
        rig.run(0.5)
    elif state == State.PRECHARGE:
        rig.run(0.5)
        rig.monitor.request(State.DRIVE, rig.t_s)
        rig.run(0.5)
    elif state == State.OPENING:
        rig.close()
        rig.monitor.request(State.STANDBY, rig.t_s)
        rig.step(current_a=-9.0)
    else:
        rig.run(0.5, emergency_stop=1)
    assert rig.state == state
    limits = rig.last.limits
    assert (limits.charge_current_a, limits.discharge_current_a) == (0.0, 0.0)
    assert (limits.charge_power_w, limits.discharge_power_w) == (0.0, 0.0)
    assert limits.charge_reason == f"state:{state.name}"
    assert not rig.last.status.charge_allowed and not rig.last.status.discharge_allowed


def test_charging_state_gives_no_discharge(kit):
    rig = kit.rig()
    limits = rig.close(State.CHARGE).limits
    assert (limits.charge_current_a, limits.discharge_current_a) == (4.0, 0.0)
    assert limits.discharge_reason == "state:CHARGE"


def test_a_stale_measurement_gives_nothing(kit):
    rig = kit.rig()
    rig.close()
    rig.tick(0.45)
    assert rig.last.limits.discharge_current_a == 18.0
    rig.tick(0.06)
    assert rig.last.limits.discharge_current_a == 0.0


values = st.floats(-60, 120) | st.just(NAN)


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.floats(2.6, 4.24) | st.just(NAN), min_size=4, max_size=4),
    temperatures=st.lists(st.floats(-19, 59) | st.just(NAN), min_size=4, max_size=4),
    charge=st.floats(-5, 200) | st.just(NAN),
    discharge=st.floats(-5, 200) | st.just(NAN),
    power=st.floats(-5, 1e5) | st.just(NAN) | st.just(math.inf),
)
def test_limits_are_never_negative_or_nan_and_never_above_any_input(
    kit, cells, temperatures, charge, discharge, power
):
    rig = kit.rig()
    rig.close()
    rig.estimates = False
    rig.monitor.take_power_limits(kit.power_limits(charge, discharge, power), rig.t_s)
    limits = rig.step(cells_v=cells, temperature_degc=temperatures).limits
    for value in (
        limits.charge_current_a,
        limits.discharge_current_a,
        limits.charge_power_w,
        limits.discharge_power_w,
    ):
        assert value >= 0.0 and math.isfinite(value)
    assert limits.charge_current_a <= 4.0 and limits.discharge_current_a <= 18.0
    if not any(math.isnan(x) for x in (charge, discharge, power)):
        assert limits.charge_current_a <= max(charge, 0.0)
        assert limits.discharge_current_a <= max(discharge, 0.0)
        assert max(limits.charge_power_w, limits.discharge_power_w) <= max(power, 0.0)
    else:
        assert limits.limp_home and limits.charge_current_a <= 1.0 and limits.discharge_current_a <= 3.0
    if any(math.isnan(x) for x in cells) or any(math.isnan(x) for x in temperatures[:3]):
        assert limits.charge_current_a == limits.discharge_current_a == 0.0
    for reason in (limits.charge_reason, limits.discharge_reason):
        assert reason.split(":")[0] in REASONS
