"""The monitor as a whole: order of commands, requests, lost partners, clocks, restarts."""

from __future__ import annotations

import math

import pytest

from openbms_control.safety.fault_manager import StoredFault
from openbms_control.safety.monitor import START_UP_S
from openbms_control.safety.record import FaultRecord
from openbms_core.types import UNKNOWN, FaultState, State

NAN = math.nan
CLOSED = (State.DRIVE, State.CHARGE, State.CONNECTED)


# ---- requests ----


@pytest.mark.parametrize("target", CLOSED)
def test_every_closed_state_is_reached_from_standby_and_left_to_it(kit, target):
    rig = kit.rig()
    rig.close(target)
    assert rig.last.status.requested_state == target
    again = rig.monitor.request(target, rig.t_s)
    assert again.accepted and "already" in again.reason
    for other in CLOSED:
        if other != target:
            refused = rig.monitor.request(other, rig.t_s)
            assert not refused.accepted and "request STANDBY first" in refused.reason
    assert rig.monitor.request(State.STANDBY, rig.t_s).accepted
    rig.step()
    rig.rest()
    assert rig.state == State.STANDBY and not rig.last.status.contactor_command.any()


def test_what_cannot_be_requested_is_refused(kit):
    rig = kit.rig()
    assert "waiting for a measurement" in rig.monitor.request(State.DRIVE, 0.0).reason
    rig.run(0.5)
    for state in (State.INIT, State.PRECHARGE, State.OPENING, State.FAULT):
        assert not rig.monitor.request(state, rig.t_s).accepted
    rig.tick(0.6)
    assert "fresh measurement" in rig.monitor.request(State.DRIVE, rig.t_s).reason or rig.ids()


def test_standby_is_always_accepted(kit):
    rig = kit.rig()
    for expected in ("open", "open"):
        answer = rig.monitor.request(State.STANDBY, rig.t_s)
        assert answer.accepted and expected in answer.reason
        rig.run(0.5)
    rig.close()
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.step(current_a=-9.0)
    answer = rig.monitor.request(State.STANDBY, rig.t_s)
    assert answer.accepted and "being opened" in answer.reason
    assert not rig.monitor.request(State.DRIVE, rig.t_s).accepted
    rig.run(1.0, current_a=0.0)
    assert rig.state == State.STANDBY


def test_a_request_during_precharge_for_standby_opens(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.run(0.6)
    assert rig.state == State.PRECHARGE
    assert rig.monitor.request(State.DRIVE, rig.t_s).accepted
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.step()
    rig.rest()
    assert rig.state == State.STANDBY and rig.last.status.previous_state == State.OPENING


@pytest.mark.parametrize(("plug", "text"), [(1, "is plugged in"), (UNKNOWN, "unknown state")])
def test_plugged_in_blocks_drive_but_not_charging(kit, plug, text):
    rig = kit.rig()
    rig.run(0.5, charging_plug=plug)
    assert text in rig.monitor.request(State.DRIVE, rig.t_s).reason
    assert rig.monitor.request(State.CHARGE, rig.t_s).accepted


def test_a_pack_without_a_plug_signal_may_drive(kit):
    rig = kit.rig(device=kit.signals("charging_plug"))
    rig.run(0.5, charging_plug=UNKNOWN)
    assert rig.monitor.request(State.DRIVE, rig.t_s).accepted


def test_plugged_in_while_driving_opens_only_at_small_current(kit):
    rig = kit.rig()
    rig.close()
    rig.run(3.0, charging_plug=1, current_a=-9.0)
    assert rig.state == State.DRIVE and "PLUGGED_IN_WHILE_DRIVING" in rig.ids()
    rig.run(0.2, current_a=-1.0)
    rig.rest(current_a=0.0)
    assert rig.state == State.STANDBY


def test_low_insulation_warns_while_driving_blocks_closing_and_ends_charging(kit):
    low = {"insulation_resistance_ohm": 1000.0}
    rig = kit.rig()
    rig.close()
    rig.run(3.0, **low)
    assert rig.state == State.DRIVE
    assert rig.last.limits.charge_current_a == 0.0 and rig.last.limits.discharge_current_a == 18.0
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.step()
    rig.rest()
    assert rig.state == State.STANDBY
    assert "LOW_INSULATION_RECOMMENDED" in rig.monitor.request(State.DRIVE, rig.t_s).reason
    rig = kit.rig()
    rig.close(State.CHARGE)
    rig.run(3.0, **low)
    assert rig.state == State.STANDBY and rig.last.status.reason == "fault:LOW_INSULATION_RECOMMENDED"


def test_a_blocking_fault_during_precharge_gives_up(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.run(1.9, insulation_resistance_ohm=1000.0)
    assert rig.state == State.STANDBY and rig.last.status.reason == "fault:LOW_INSULATION_RECOMMENDED"


# ---- order and deadlines ----


def first(rig, condition):
    return next(t for t, decision in rig.history if condition(decision))


@pytest.mark.parametrize("current_a", [0.0, -9.0, NAN])
def test_zero_is_asked_before_anything_opens_and_the_deadline_holds(kit, current_a):
    rig = kit.rig()
    rig.close()
    rig.history.clear()
    rig.step(emergency_stop=1, current_a=current_a)
    for _ in range(60):
        rig.tick(0.02)
    asked_s = first(rig, lambda d: d.status.zero_current_requested)
    zero_s = first(rig, lambda d: d.limits.charge_current_a == d.limits.discharge_current_a == 0.0)
    opened_s = first(rig, lambda d: not d.status.contactor_command.any())
    assert asked_s == zero_s == rig.history[0][0]
    assert asked_s < opened_s
    expected = 0.02 if current_a == 0.0 else 0.3
    assert opened_s - asked_s == pytest.approx(expected, abs=0.021)


def test_by_request_it_waits_longer_and_says_how_long(kit):
    rig = kit.rig()
    rig.close()
    rig.run(0.2, current_a=-9.0)
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.step()
    start_s = rig.t_s
    assert rig.last.status.opening_deadline_s == pytest.approx(2.0)
    rig.run_until(lambda d: not d.status.contactor_command.any(), 3.0)
    assert rig.t_s - start_s == pytest.approx(2.0, abs=0.11)
    assert math.isnan(rig.last.status.opening_deadline_s)


def test_a_fault_while_opening_by_request_shortens_the_wait(kit):
    rig = kit.rig()
    rig.close()
    rig.run(0.2, current_a=-9.0)
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run(0.5)
    start_s = rig.t_s
    rig.step(emergency_stop=1)
    assert rig.last.status.reason == "fault:EMERGENCY_STOP"
    rig.run_until(lambda d: not d.status.contactor_command.any(), 3.0)
    assert rig.t_s - start_s <= 0.51
    rig.run(0.3, current_a=0.0)
    assert rig.state == State.FAULT


def test_a_fault_during_precharge_opens(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.run(0.6)
    rig.run(0.6, cells_v=[4.3, 3.7, 3.7, 3.7])
    assert rig.last.status.zero_current_requested
    assert "close:CELL_OVER_VOLTAGE_SAFETY" in rig.last.status.inhibits
    rig.run(0.8)
    assert rig.state == State.FAULT


# ---- lost partners ----


def test_a_lost_driver_is_noticed_by_time_alone(kit):
    rig = kit.rig()
    rig.close()
    start_s = rig.t_s
    while rig.state == State.DRIVE:
        rig.tick(0.02)
        assert rig.t_s - start_s < 0.6
    assert rig.last.status.reason == "fault:DRIVER_LOST"
    while rig.last.status.contactor_command.any():
        rig.tick(0.02)
    assert rig.t_s - start_s <= 0.5 + 0.3 + 0.05
    for _ in range(20):
        rig.tick(0.02)
    assert rig.state == State.FAULT
    assert "balancing:measurement_incomplete" in rig.last.status.inhibits
    rig.run(0.5)
    assert rig.state == State.STANDBY  # it is back; nothing closes unasked
    rig.run(2.0)
    assert rig.state == State.STANDBY


def test_a_monitor_that_was_held_up_looks_into_its_queue_before_it_blames_the_driver(kit):
    rig = kit.rig()
    rig.close()
    for _ in range(4):
        rig.tick(0.1)
    rig.tick(0.3)
    assert rig.state == State.DRIVE
    rig.step(0.0)
    rig.tick(0.1)
    assert rig.state == State.DRIVE and not rig.ids()


def test_a_driver_that_restarts_while_closed_is_opened_at_once(kit):
    rig = kit.rig()
    rig.close()
    rig.run(0.3, current_a=-9.0)
    rig.scan = 0
    rig.step()
    assert not rig.last.status.contactor_command.any() and rig.last.status.zero_current_requested
    assert rig.last.status.reason == "fault:DRIVER_RESTARTED"
    rig.run(0.5, current_a=0.0)
    assert rig.state == State.STANDBY
    # the new driver has opened what 9 A flowed through
    assert rig.ids() == {"OPENED_UNDER_LOAD"}
    assert rig.monitor.clear(["OPENED_UNDER_LOAD"], rig.t_s).accepted
    rig.scan = 0
    rig.run(0.5)
    assert rig.state == State.STANDBY and not rig.ids()


def test_a_late_monitor_never_closes_again_what_the_driver_has_opened(kit):
    rig = kit.rig()
    rig.close()
    rig.step(0.55)  # commands were valid for 0.5 s
    assert not rig.last.status.contactor_command.any()
    assert rig.last.status.reason == "fault:MONITOR_LATE"
    rig = kit.rig()
    rig.run(0.5)
    rig.step(0.55)
    assert rig.state == State.STANDBY


def test_a_dead_estimator_leads_to_limp_home_and_a_timed_shutdown(kit):
    rig = kit.rig()
    rig.close()
    rig.estimates = False
    took_s = rig.run_until(lambda d: d.status.state != State.DRIVE, 40.0, current_a=-1.0)
    assert took_s == pytest.approx(30.0 + 1.0, abs=0.3)
    assert rig.last.status.state == State.OPENING and rig.last.status.reason == "limp_home_expired"
    rig.run(1.0, current_a=0.0)
    assert rig.state == State.STANDBY
    assert "LIMP_HOME_EXPIRED" in rig.monitor.request(State.DRIVE, rig.t_s).reason
    rig.estimates = True
    rig.run(0.3)
    assert not rig.ids() and rig.monitor.request(State.DRIVE, rig.t_s).accepted


def test_an_estimator_that_comes_back_stops_the_clock(kit):
    rig = kit.rig()
    rig.close()
    rig.estimates = False
    rig.run(20.0)
    rig.estimates = True
    rig.run(0.5)
    rig.estimates = False
    rig.run(20.0)
    assert rig.state == State.DRIVE and rig.last.limits.limp_home


def test_an_estimator_that_was_never_there_is_given_its_start_up_time(kit):
    rig = kit.rig()
    rig.estimates = False
    rig.run(START_UP_S - 0.5)
    assert not rig.ids()
    rig.run(1.0)
    assert rig.ids() == {"ESTIMATOR_LOST"} and rig.state == State.STANDBY


def test_a_driver_with_another_configuration_is_refused(kit):
    rig = kit.rig()
    rig.monitor.take_config_hash(rig.pack.config_hash)
    rig.run(0.5)
    assert not rig.ids()
    rig.monitor.take_config_hash("other")
    rig.run(0.5)
    assert rig.state == State.FAULT and rig.ids() == {"CONFIG_MISMATCH"}
    rig.monitor.take_config_hash(rig.pack.config_hash)
    rig.run(0.5)
    assert rig.state == State.STANDBY


def test_a_scan_of_another_pack_is_not_used(kit):
    rig = kit.rig()
    rig.close()
    foreign = kit.strings(2)
    for _ in range(10):
        rig.t_s += 0.1
        decision = rig.monitor.step(foreign.measurement(), rig.t_s, rig.stamp_s)
    assert decision.status.state == State.FAULT
    assert {"CONFIG_MISMATCH", "DRIVER_LOST"} <= {entry.row.id for entry in decision.faults}


# ---- clocks ----


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0, 1.5])
def test_a_clock_that_is_set_does_not_change_debounce(kit, jump_s):
    rig = kit.rig()
    rig.close()
    rig.step(cells_v=[4.3, 3.7, 3.7, 3.7])
    seen_s = rig.t_s
    rig.stamp_s += jump_s
    rig.run_until(lambda d: d.status.zero_current_requested, 2.0)
    assert rig.t_s - seen_s == pytest.approx(0.5, abs=0.01)


def test_stamps_that_come_late_count_by_their_own_difference(kit):
    """Scans that wait in a queue are integrated over the time in which they were measured."""
    rig = kit.rig()
    rig.close()
    rig.values["cells_v"] = [4.3, 3.7, 3.7, 3.7]
    for _ in range(3):
        rig.stamp_s += 0.1
        rig.t_s += 0.001
        rig.scan += 1
        decision = rig.monitor.step(rig.measurement(), rig.t_s, rig.stamp_s)
    assert not decision.status.zero_current_requested
    for _ in range(3):
        rig.stamp_s += 0.1
        rig.t_s += 0.001
        rig.scan += 1
        decision = rig.monitor.step(rig.measurement(), rig.t_s, rig.stamp_s)
    assert decision.status.zero_current_requested


# ---- restart, record, stop ----


def test_after_a_restart_nothing_closes_unasked_and_latched_faults_stay(kit):
    rig = kit.rig()
    rig.close()
    rig.run(1.5, cells_v=[4.3, 3.7, 3.7, 3.7])
    record = rig.monitor.record()
    assert record.faults["CELL_OVER_VOLTAGE_SAFETY"].latched
    again = kit.rig(record=FaultRecord("TEST-1", 2, record.faults))
    again.run(3.0)
    assert again.state == State.FAULT and not again.last.status.contactor_command.any()
    assert again.last.status.start_count == 2
    entry = again.last.faults[0]
    assert (
        entry.row.id == "CELL_OVER_VOLTAGE_SAFETY" and entry.from_record and entry.state == FaultState.LATCHED
    )
    assert entry.first_active_s == record.faults["CELL_OVER_VOLTAGE_SAFETY"].first_active_s
    assert not again.monitor.request(State.DRIVE, again.t_s).accepted
    assert again.monitor.clear([], again.t_s).cleared == ("CELL_OVER_VOLTAGE_SAFETY",)
    again.step()
    assert again.last.record_changed and again.state == State.STANDBY
    again.run(3.0)
    assert again.state == State.STANDBY


def test_a_latched_fault_that_comes_again_counts_on(kit):
    stored = {
        "CELL_OVER_VOLTAGE_SAFETY": StoredFault(True, 3, 1.0, 2.0, 4.4, 1),
        "NO_SUCH_ROW": StoredFault(True, 1, 1, 1),
    }
    rig = kit.rig(record=FaultRecord("TEST-1", 5, stored))
    rig.run(2.0, cells_v=[4.3, 3.7, 3.7, 3.7])
    entry = rig.last.faults[0]
    assert (entry.state, entry.occurrences, entry.first_active_s) == (FaultState.ACTIVE, 4, 1.0)
    assert not entry.from_record


def test_faults_that_do_not_latch_keep_their_count_on_record(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.run(0.5, emergency_stop=1)
    rig.run(0.5, emergency_stop=0)
    stored = rig.monitor.record().faults["EMERGENCY_STOP"]
    assert stored.occurrences == 1 and not stored.latched


def test_clearing_says_what_it_refuses(kit):
    rig = kit.rig()
    rig.close()
    rig.run(1.5, cells_v=[4.3, 3.7, 3.7, 3.7])
    answer = rig.monitor.clear(["CELL_OVER_VOLTAGE_SAFETY", "NO_SUCH_ROW", "SMOKE_ALARM"], rig.t_s)
    assert not answer.accepted and answer.refused == ("CELL_OVER_VOLTAGE_SAFETY", "NO_SUCH_ROW")
    assert "condition is still there" in answer.reason and "no monitored row" in answer.reason
    rig.run(0.7, cells_v=3.7)
    answer = rig.monitor.clear(["CELL_OVER_VOLTAGE_SAFETY"], rig.t_s)
    assert answer.accepted and answer.cleared == ("CELL_OVER_VOLTAGE_SAFETY",)


def test_a_request_right_after_clearing_is_too_early(kit):
    rig = kit.rig()
    rig.run(1.5, cells_v=[4.3, 3.7, 3.7, 3.7])
    rig.run(1.0, cells_v=3.7)
    assert rig.monitor.clear([], rig.t_s).cleared
    assert rig.monitor.request(State.DRIVE, rig.t_s).reason == "The state is FAULT, not STANDBY."
    rig.step()
    assert rig.monitor.request(State.DRIVE, rig.t_s).accepted


def test_the_first_decision_puts_the_start_on_record(kit):
    rig = kit.rig()
    assert rig.step().record_changed
    assert not rig.step().record_changed


def test_a_first_start_is_no_fault(kit):
    rig = kit.rig(problem="new")
    rig.run(0.5)
    assert rig.ids() == set()
    assert rig.monitor.request(State.DRIVE, rig.t_s).accepted


def test_closed_contactors_are_on_record_and_a_death_with_them_is_said_at_the_next_start(kit):
    rig = kit.rig()
    rig.run(0.5)
    assert not rig.monitor.record().closed
    rig.close()
    assert rig.monitor.record().closed
    again = kit.rig(record=FaultRecord("TEST-1", 2, {}, closed=True))
    again.run(0.5)
    assert again.ids() == {"MONITOR_DIED"} and again.last.status.state == State.STANDBY
    assert not again.monitor.record().closed
    assert again.monitor.request(State.DRIVE, again.t_s).accepted
    assert again.monitor.clear([], again.t_s).cleared == ("MONITOR_DIED",)


def test_each_closing_and_opening_puts_the_record_out_of_date(kit):
    rig = kit.rig()
    rig.run(0.5)
    assert rig.monitor.request(State.DRIVE, rig.t_s).accepted
    assert rig.step().record_changed


def test_an_unreadable_record_blocks_closing_until_somebody_has_looked(kit):
    rig = kit.rig(problem="corrupt")
    rig.run(0.5)
    assert rig.ids() == {"FAULT_RECORD_CORRUPT"}
    assert "FAULT_RECORD_CORRUPT" in rig.monitor.request(State.DRIVE, rig.t_s).reason
    assert rig.monitor.clear([], rig.t_s).cleared == ("FAULT_RECORD_CORRUPT",)
    rig.run(0.2)
    assert rig.monitor.request(State.DRIVE, rig.t_s).accepted


def test_a_record_that_cannot_be_written_is_said(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.monitor.record_written(False)
    rig.run(0.2)
    assert rig.ids() == {"FAULT_RECORD_NOT_WRITTEN"}
    rig.monitor.record_written(True)
    rig.run(0.2)
    assert not rig.ids()


@pytest.mark.parametrize("target", [None, *CLOSED])
def test_stopping_opens_first(kit, target):
    rig = kit.rig()
    if target is None:
        rig.run(0.5)
    else:
        rig.close(target)
    rig.monitor.stop()
    assert rig.monitor.stopped == (target is None)
    if target is not None:
        rig.step(current_a=-9.0)
        assert rig.last.status.zero_current_requested and rig.last.status.contactors_closed
        rig.rest(current_a=0.0)
    assert rig.monitor.stopped
    assert "being stopped" in rig.monitor.request(State.DRIVE, rig.t_s).reason


# ---- what it says ----


def test_it_is_asked_for_only_when_something_is_due(kit):
    rig = kit.rig()
    rig.run(0.5)
    assert not rig.monitor.due(rig.t_s + 0.05)
    assert rig.monitor.due(rig.t_s + 0.101)
    rig.tick(0.49)
    assert rig.monitor.due(rig.t_s + 0.02)
    rig.step()
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.step()
    assert rig.monitor.due(rig.t_s)


def test_balancing_and_heating_follow_faults_and_measurements(kit):
    rig = kit.rig()
    rig.tick()
    assert not rig.last.status.balancing_allowed and not rig.last.status.heating_allowed
    rig.run(0.5)
    assert rig.last.status.balancing_allowed and rig.last.status.heating_allowed
    rig.run(1.5, cells_v=[4.3, 3.7, 3.7, 3.7])
    assert rig.last.status.balancing_allowed  # bleeding is the cure
    rig.run(1.5, cells_v=[2.4, 3.7, 3.7, 3.7])
    assert not rig.last.status.balancing_allowed
    assert "balancing:CELL_UNDER_VOLTAGE_SAFETY" in rig.last.status.inhibits


def test_explanations_name_cause_and_cure(kit):
    rig = kit.rig()
    rig.step()
    rig.close()
    rig.run(1.0, emergency_stop=1)
    assert "emergency stop is pressed" in rig.last.status.explanation
    rig.run(0.5, emergency_stop=0)
    assert "faults that forbid closing are gone" in rig.last.status.explanation
    rig.close()
    rig.run(0.6, cells_v=[4.3, 3.7, 3.7, 3.7])
    assert "Opening is about to begin" in rig.last.status.explanation


def test_sequence_numbers_and_expiry(kit):
    rig = kit.rig()
    numbers = [rig.step().contactor_command.sequence for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert (
        rig.last.contactor_command.valid_for_s
        == rig.last.status.valid_for_s
        == rig.last.limits.valid_for_s
        == 0.5
    )


@pytest.mark.parametrize("valid_for_s", [1e9, float("inf"), float("nan")])
def test_power_limits_that_claim_to_hold_for_ever_do_not(kit, valid_for_s):
    rig = kit.rig()
    rig.close()
    rig.estimates = False
    limits = kit.power_limits(discharge=10.0)
    limits.valid_for_s = valid_for_s
    rig.monitor.take_power_limits(limits, rig.t_s)
    assert rig.run(0.9).limits.discharge_reason.startswith("estimator")
    rig.run(0.3)
    assert rig.last.limits.limp_home and rig.ids() == {"ESTIMATOR_LOST"}


def test_the_command_is_told_before_the_rest_is_worked_out_and_is_that_of_the_decision(kit):
    rig = kit.rig()
    told = []
    for _ in range(3):
        rig.scan, rig.stamp_s, rig.t_s = rig.scan + 1, rig.stamp_s + 0.1, rig.t_s + 0.1
        decision = rig.monitor.step(rig.measurement(), rig.t_s, rig.stamp_s, told.append)
        assert told[-1] is decision.contactor_command
        assert told[-1].scan_number == rig.scan
    assert [command.sequence for command in told] == [0, 1, 2]
