"""What actuators are told: every state against every command and every age."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from actuation_words import command, limits, status, thermal
from hypothesis import given
from hypothesis import strategies as st

from openbms_core.pack import LoadedPack
from openbms_core.types import State, VehicleInputs
from openbms_drivers.actuators.actuator_file import Charger, Pilot
from openbms_drivers.actuators.control import ActuatorControl, voltage_cap_v

T = 500.0
CHARGER = Charger()


@pytest.fixture
def control(demo_pack: LoadedPack) -> ActuatorControl:
    return ActuatorControl(demo_pack.file)


def tell(control: ActuatorControl, now_s: float = T, **given_: Any) -> None:
    """Give it everything that charges, with what is named in another way (None: never)."""
    state, bounds = given_.get("state", status()), given_.get("limits", limits())
    charge, heat = given_.get("charge", command()), given_.get("thermal", thermal())
    if state is not None:
        control.set_state(state, now_s)
    if bounds is not None:
        control.set_limits(bounds, now_s)
    if charge is not None:
        control.set_charge(charge, now_s)
    if heat is not None:
        control.set_thermal(heat, now_s)


def test_it_charges_as_commanded_within_the_limits(control: ActuatorControl) -> None:
    tell(control)
    order = control.charge(CHARGER, T)
    assert (order.enabled, order.voltage_v, order.current_a, order.reason) == (
        True,
        398.0,
        3.0,
        "charge_command",
    )


STATES = {
    "charging": ({}, True),
    "storage": ({"state": State.CONNECTED}, True),
    "driving": ({"state": State.DRIVE}, False),
    "opening": ({"state": State.OPENING}, False),
    "fault": ({"state": State.FAULT}, False),
    "no charging": ({"charge_allowed": False}, False),
    "zero current": ({"zero_current_requested": True}, False),
    "open contactors": ({"contactors_closed": False}, False),
    "never": (None, False),
    "stale": ({"valid_for_s": 0.05}, False),
    "valid for nonsense": ({"valid_for_s": math.nan}, False),
}
LIMITS = {
    "some": ({}, True),
    "none": ({"charge_current_a": 0.0}, False),
    "unknown": ({"charge_current_a": math.nan}, False),
    "no power": ({"charge_power_w": 0.0}, False),
    "never": (None, False),
    "stale": ({"valid_for_s": 0.05}, False),
}
COMMANDS = {
    "charge": ({}, True),
    "stop": ({"enable": False}, False),
    "no current": ({"current_a": 0.0}, False),
    "no voltage": ({"voltage_v": 0.0}, False),
    "nonsense": ({"current_a": math.nan}, False),
    "endless": ({"current_a": math.inf}, False),
    "never": (None, False),
    "stale": ({"valid_for_s": 0.05}, False),
}


@pytest.mark.parametrize("case", itertools.product(STATES, LIMITS, COMMANDS), ids=" / ".join)
def test_only_everything_together_charges(control: ActuatorControl, case: tuple[str, str, str]) -> None:
    (state, one), (bounds, two), (charge, three) = STATES[case[0]], LIMITS[case[1]], COMMANDS[case[2]]
    tell(
        control,
        state=None if state is None else status(**state),
        limits=None if bounds is None else limits(**bounds),
        charge=None if charge is None else command(**charge),
    )
    order = control.charge(CHARGER, T + 0.1)
    assert order.enabled is (one and two and three), order
    assert (order.current_a > 0.0) is order.enabled
    assert (order.voltage_v > 0.0) is order.enabled
    assert order.reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"state": None}, "expired"),
        ({"state": status(zero_current_requested=True)}, "state"),
        ({"limits": None}, "expired"),
        ({"charge": None}, "expired"),
        ({"charge": command(enable=False)}, "charge_command"),
        ({"limits": limits(charge_current_a=0.0)}, "limits"),
        ({"limits": limits(charge_current_a=1.0)}, "limits"),
        ({"limits": limits(charge_power_w=398.0)}, "limits"),
    ],
)
def test_it_says_what_bounds(control: ActuatorControl, said: dict[str, Any], reason: str) -> None:
    tell(control, **said)
    assert control.charge(CHARGER, T).reason == reason


def test_a_charger_that_reports_a_failure_is_off(control: ActuatorControl) -> None:
    tell(control)
    assert control.charge(CHARGER, T, charger_fault=True).reason == "charger_fault"
    assert control.charge(CHARGER, T).enabled


def test_power_binds_at_the_highest_voltage_that_may_stand_there(control: ActuatorControl) -> None:
    tell(control, limits=limits(charge_power_w=398.0))
    assert control.charge(CHARGER, T).current_a == pytest.approx(1.0)


def test_no_command_goes_beyond_pack_and_charger(control: ActuatorControl, demo_pack: LoadedPack) -> None:
    tell(control, charge=command(voltage_v=900.0, current_a=500.0), limits=limits(charge_current_a=100.0))
    cap_v = voltage_cap_v(demo_pack.file)
    assert cap_v == pytest.approx(96 * 4.21)
    assert control.charge(CHARGER, T).voltage_v == cap_v
    order = control.charge(Charger(voltage_max_v=380.0, current_max_a=8.0), T)
    assert (order.voltage_v, order.current_a, order.reason) == (380.0, 8.0, "")
    assert control.charge(Charger(current_max_a=8.0, count=3), T).current_a == 24.0, "of each of three"


def test_the_control_pilot_binds_where_the_charger_does_not_obey_it_itself(control: ActuatorControl) -> None:
    charger = Charger(follows_pilot=Pilot(mains_voltage_v=230.0, phases=1, efficiency=0.9))
    tell(control)
    assert control.charge(charger, T).reason == "pilot", "what it offers is unknown"
    control.set_vehicle(VehicleInputs(0.3, pilot_current_a=4.0), T)
    assert control.charge(charger, T).current_a == pytest.approx(4.0 * 230.0 * 0.9 / 398.0)
    assert not control.charge(charger, T + 0.31).enabled, "an old offer is none"
    control.set_vehicle(VehicleInputs(0.3, pilot_current_a=math.nan), T)
    assert not control.charge(charger, T).enabled
    assert control.charge(CHARGER, T).enabled, "another one does not ask it"


def test_thermal_commands_and_what_counts_without(control: ActuatorControl) -> None:
    tell(control)
    assert control.duties(T) == (0.6, 0.3, 0.2, 0.1)
    assert control.duties(T + 0.51) == (0.0, 1.0, 1.0, 0.0), "no fresh state: safe values, heater off"
    tell(control, state=status(heating_allowed=False, cooling_required=True))
    assert control.duties(T) == (0.0, 1.0, 1.0, 0.1)
    control.set_state(status(), T + 3.1)
    assert control.duties(T + 3.1) == (0.0, 1.0, 1.0, 0.0), "no fresh command"


def test_who_stops_tells_everybody_to(control: ActuatorControl) -> None:
    tell(control)
    control.stopping = True
    assert not control.charge(CHARGER, T).enabled
    assert control.duties(T) == (0.0, 1.0, 1.0, 0.0)


numbers = st.one_of(st.floats(0.0, 1e4), st.sampled_from([math.nan, math.inf, -1.0, 0.0]))
ages = st.one_of(st.floats(0.0, 5.0), st.just(0.0))


@given(
    numbers, numbers, numbers, numbers, st.booleans(), st.booleans(), st.booleans(), st.booleans(), ages, ages
)
def test_never_above_limits_and_never_on_without_a_fresh_state(
    demo_pack: LoadedPack,
    current_a: float,
    voltage_v: float,
    limit_a: float,
    power_w: float,
    allowed: bool,
    zero: bool,
    closed: bool,
    enable: bool,
    state_age_s: float,
    limits_age_s: float,
) -> None:
    control = ActuatorControl(demo_pack.file)
    control.set_state(
        status(charge_allowed=allowed, zero_current_requested=zero, contactors_closed=closed), T - state_age_s
    )
    control.set_limits(limits(charge_current_a=limit_a, charge_power_w=power_w), T - limits_age_s)
    control.set_charge(command(enable=enable, voltage_v=voltage_v, current_a=current_a), T)
    control.set_thermal(thermal(heater=current_a, pump=voltage_v, fan=limit_a, chiller=power_w), T)
    order, duties = control.charge(CHARGER, T), control.duties(T)
    assert all(0.0 <= duty <= 1.0 for duty in duties)
    if state_age_s > 0.5:
        assert not order.enabled and duties == (0.0, 1.0, 1.0, 0.0)
    if order.enabled:
        assert allowed and closed and not zero and enable and limits_age_s <= 0.5
        assert 0.0 < order.current_a <= min(limit_a, current_a)
        assert order.voltage_v <= voltage_cap_v(demo_pack.file)
        assert order.current_a * order.voltage_v <= power_w * (1.0 + 1e-12)
    else:
        assert order.current_a == order.voltage_v == 0.0
