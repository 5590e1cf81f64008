"""Actuators that do not do what they are told, coolant that does not flow, front ends that are too hot."""

from __future__ import annotations

import math

import pytest

from openbms_core.faults import not_monitored
from openbms_core.types import UNKNOWN, BalancingCommand, FaultState, State, ThermalCommand

NAN = math.nan


def thermal(heater=0.0, pump=1.0, fan=1.0, valid_for_s=1.0):
    return ThermalCommand(heater, pump, fan, 0.0, "test", valid_for_s)


def told(rig, seconds, command=None, bleed=None, **values):
    """Go on while a command is renewed with every scan."""
    for _ in range(round(seconds / rig.period_s)):
        if command is not None:
            rig.monitor.take_thermal_command(command, rig.t_s)
        if bleed is not None:
            rig.monitor.take_balancing_command(BalancingCommand(bleed, "test", 1.0), rig.t_s)
        rig.step(**values)


def feedback(heater=0.0, pump=1.0, fan=1.0):
    return {"actuator_feedback": [heater, pump, fan, 0.0]}


def test_a_heater_that_is_told_to_run_may_run(kit):
    rig = kit.rig()
    rig.close()
    told(rig, 5.0, thermal(heater=0.8), **feedback(heater=0.8))
    assert not rig.ids()
    # the command ends: what still runs then is a fault, and no sooner
    rig.run(6.0)
    assert rig.ids(FaultState.ACTIVE) == {"HEATER_STUCK_ON"}


def test_a_stuck_heater_lets_a_drive_go_on_and_opens_only_a_hot_pack(kit):
    rig = kit.rig()
    rig.close()
    rig.run(5.0, **feedback(heater=1.0))
    assert rig.ids(FaultState.ACTIVE) == {"HEATER_STUCK_ON"} and rig.state == State.DRIVE
    assert rig.last.limits.charge_current_a == 0.0 and rig.last.limits.discharge_current_a == 18.0
    assert "HEATER_STUCK_ON" in " ".join(rig.last.status.inhibits)
    rig.run(6.0, temperature_degc=[25.0, 55.5, 25.0, 25.0])
    assert "HEATER_STUCK_ON_HOT" in rig.ids() and rig.state == State.FAULT


def test_a_stuck_heater_ends_charging(kit):
    rig = kit.rig()
    rig.close(State.CHARGE)
    rig.run(8.0, **feedback(heater=1.0))
    assert rig.state != State.CHARGE and "HEATER_STUCK_ON" in rig.ids()


def test_a_hot_pack_without_a_stuck_heater_is_judged_by_its_temperature_alone(kit):
    rig = kit.rig()
    rig.run(6.0, temperature_degc=[25.0, 56.0, 25.0, 25.0])
    assert "HEATER_STUCK_ON_HOT" not in rig.ids()


def test_a_hot_pack_is_cooled_whatever_is_commanded_and_a_pump_that_does_not_follow_is_a_fault(kit):
    rig = kit.rig()
    off = thermal(pump=0.0, fan=0.0)
    told(rig, 12.0, off, **feedback(pump=0.0, fan=0.0))
    assert not rig.ids() and not rig.last.status.cooling_required
    # too hot: cooling is required, and the driver overrules the command; so what is expected changes, too
    told(rig, 25.0, off, temperature_degc=[25.0, 61.0, 25.0, 25.0])
    assert rig.last.status.cooling_required
    assert {"PUMP_FAILURE", "FAN_FAILURE"} <= rig.ids(FaultState.ACTIVE)
    told(rig, 12.0, off, **feedback(pump=1.0, fan=1.0))
    assert not {"PUMP_FAILURE", "FAN_FAILURE"} & rig.ids(FaultState.ACTIVE)


def test_without_feedback_nothing_is_said_of_the_actuators_but_that(kit):
    rig = kit.rig()
    rig.run(12.0, actuator_feedback=NAN, actuator_feedback_validity=1)
    assert rig.ids() == {"ACTUATOR_FEEDBACK_MISSING"}


def test_a_slow_pump_is_its_own_fault_and_not_one_of_the_flow(kit):
    rig = kit.rig()
    rig.run(12.0, **feedback(pump=0.2), coolant_flow_m3_per_s=1e-5)
    assert rig.ids() == {"PUMP_FAILURE"}


def test_the_flow_is_judged_by_what_the_pump_does(kit):
    rig = kit.rig()  # 5e-5 at full duty
    half = thermal(pump=0.5)
    told(rig, 12.0, half, **feedback(pump=0.5), coolant_flow_m3_per_s=2.6e-5)
    assert not rig.ids()
    told(rig, 12.0, half, coolant_flow_m3_per_s=2.4e-5)
    assert rig.ids() == {"COOLANT_FLOW_LOW"}
    told(rig, 1.0, half, coolant_flow_validity=1)
    assert "COOLANT_FLOW_LOW" in rig.ids()  # unknown is not gone
    told(
        rig, 12.0, thermal(pump=0.1), **feedback(pump=0.1), coolant_flow_m3_per_s=0.0, coolant_flow_validity=0
    )
    assert not rig.ids()


def test_without_feedback_of_the_pump_its_command_serves(kit):
    rig = kit.rig(device=kit.signals("actuator_feedback"))
    rig.run(12.0, coolant_flow_m3_per_s=4e-5)
    assert rig.ids() == {"COOLANT_FLOW_LOW"}
    listed = set(not_monitored(rig.pack.file))
    assert {"HEATER_STUCK_ON", "HEATER_STUCK_ON_HOT", "PUMP_FAILURE", "FAN_FAILURE"} <= listed


def test_of_several_fans_each_must_run(kit):
    rig = kit.rig(topology={"actuators": ["heater", "pump", "fan_1", "fan_2"]})
    for place, turning in ((3, [0.0, 1.0, 1.0, 0.0]), (2, [0.0, 1.0, 0.0, 1.0])):
        rig.run(12.0, actuator_feedback=turning)
        entry = next(entry for entry in rig.last.faults if entry.row.id == "FAN_FAILURE")
        assert entry.index == place and entry.state == FaultState.ACTIVE


def test_a_bleed_that_is_asked_for_is_none_that_is_stuck(kit):
    rig = kit.rig()
    rig.run(1.0)
    told(rig, 12.0, bleed=[0, 0, 1, 1], cell_balancing=[0, 0, 1, 0])
    assert not rig.ids()
    told(rig, 12.0, bleed=[0, 0, 1, 1], cell_balancing=[1, 0, 1, 0])
    entry = next(entry for entry in rig.last.faults if entry.row.id == "BLEED_STUCK_ON")
    assert entry.index == 0 and not rig.last.status.balancing_allowed
    # nothing is asked for any more, since the fault forbids it: the others must stop too
    rig.run(12.0, cell_balancing=0)
    assert not rig.ids()


def test_a_command_for_another_pack_asks_for_nothing(kit):
    rig = kit.rig()
    told(rig, 12.0, bleed=[1, 1], cell_balancing=[1, 1, 0, 0])
    assert rig.ids() == {"BLEED_STUCK_ON"}


def test_unknown_balancing_is_not_judged(kit):
    rig = kit.rig()
    rig.run(1.0)
    rig.run(12.0, cell_balancing=UNKNOWN)
    assert rig.ids() == {"BALANCING_FEEDBACK_MISSING"}


def test_bleeds_that_end_one_after_the_other_may_be_seen_a_scan_late(kit):
    """Of thousands of cells one is switched off in nearly every scan, and feedback is a scan behind."""
    rig = kit.rig()
    for number in range(400):
        before = [int(cell == number % 4) for cell in range(4)]
        now = [int(cell == (number + 1) % 4) for cell in range(4)]
        told(rig, rig.period_s, bleed=now, cell_balancing=before)
    assert not rig.ids()
    told(rig, 12.0, bleed=[0, 0, 0, 0], cell_balancing=[0, 1, 0, 0])
    assert rig.ids(FaultState.ACTIVE) == {"BLEED_STUCK_ON"}


@pytest.mark.parametrize("source", ["heater", "pump", "fan", "bleed"])
def test_what_the_pack_file_does_not_command_is_not_disobedient(kit, source):
    command = kit.SMALL["device"]["commands"][0]
    signals = [signal for signal in command["signals"] if signal["source"] != source]
    rig = kit.rig(device={"commands": [{**command, "signals": signals}]})
    rig.run(12.0, **feedback(heater=0.0 if source != "heater" else 1.0))
    rows = {
        "heater": {"HEATER_STUCK_ON", "HEATER_STUCK_ON_HOT"},
        "pump": {"PUMP_FAILURE", "COOLANT_FLOW_LOW"},
        "fan": {"FAN_FAILURE"},
        "bleed": {"BLEED_STUCK_ON"},
    }
    assert rows[source] <= set(rig.last.not_monitored) and not rig.ids()


def with_dies(kit):
    sensors = [
        *kit.SMALL["topology"]["temperature_sensors"],
        {"name": "die_{i}", "location": "afe", "count": 2},
    ]
    dies = {
        "to": "temperature_degc",
        "message": "M",
        "signal": "D{i}",
        "repeat": {"i": [0, 1]},
        "first_index": 4,
    }
    return kit.rig(
        topology={"temperature_sensors": sensors}, device={"signals": [*kit.SMALL["device"]["signals"], dies]}
    )


@pytest.mark.parametrize(("die_degc", "found"), [(105.5, True), (104.5, False)])
def test_a_front_end_that_is_too_hot_is_not_bled_with(kit, die_degc, found):
    rig = with_dies(kit)
    rig.close()
    rig.run(6.0, temperature_degc=[25.0, 25.0, 25.0, 25.0, 60.0, die_degc])
    assert (rig.ids(FaultState.ACTIVE) == {"AFE_OVER_TEMPERATURE"}) == found
    assert rig.last.status.balancing_allowed != found and rig.state == State.DRIVE
    if found:
        entry = next(entry for entry in rig.last.faults if entry.row.id == "AFE_OVER_TEMPERATURE")
        assert (entry.index, entry.value) == (5, die_degc)


def test_a_die_sensor_that_is_lost_is_said_and_the_others_are_judged_on(kit):
    rig = with_dies(kit)
    rig.run(1.0)
    rig.run(6.0, temperature_degc=[25.0, 25.0, 25.0, 25.0, NAN, 106.0])
    assert rig.ids() == {"AFE_TEMPERATURE_MISSING", "AFE_OVER_TEMPERATURE"}
    entry = next(entry for entry in rig.last.faults if entry.row.id == "AFE_TEMPERATURE_MISSING")
    assert entry.index == 4
    rig.run(7.0, temperature_degc=[25.0, 25.0, 25.0, 25.0, NAN, NAN])
    assert "AFE_OVER_TEMPERATURE" in rig.ids()  # unknown is not gone
    assert "AFE_OVER_TEMPERATURE" in kit.rig().monitor.step(None, 0.0, 0.0).not_monitored
    rig.run(
        7.0, temperature_degc=[25.0, 25.0, 25.0, 25.0, NAN, 50.0], temperature_validity=[0, 0, 0, 0, 7, 0]
    )
    assert not rig.ids()
