"""Several strings over a plant that computes the currents between them: who joins when, and who stays out."""

from __future__ import annotations

import numpy as np
import pytest
from string_plant import PlantRun, StringPlant

from openbms_control.safety.record import FaultRecord
from openbms_control.safety.wear import ContactorRecord
from openbms_core.types import FaultState, State

JOINING = {"voltage_difference_max_v": 0.4, "current_max_a": 4.0, "settle_s": 0.5}


QUICK = {"CONTACTOR_FEEDBACK_MISMATCH": {"debounce_s": 0.2}, "LOW_INSULATION": {"debounce_s": 0.1}}


@pytest.fixture
def make(kit):
    """Give a function that builds a monitor on a plant of strings with these states of charge."""

    def build(*soc, record=None, **contactors):
        rig = kit.strings(
            len(soc), contactors={"joining": JOINING, **contactors}, record=record, faults=QUICK
        )
        run = PlantRun(rig, StringPlant(soc))
        run.run(0.5)
        return run

    return build


def close(run, target=State.DRIVE, within_s=12.0):
    answer = run.rig.monitor.request(target, run.rig.t_s)
    assert answer.accepted, answer.reason
    run.until(lambda d: d.status.state == target, within_s)


def closed(run):
    """Give the strings that are really closed."""
    return [int(s) for s in np.flatnonzero(run.plant.contacts[:, :2].all(axis=1))]


def left_out(run):
    return {code for code in run.rig.last.status.inhibits if code.startswith("string_")}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_equal_strings_all_join_without_inrush(make, count):
    run = make(*[0.6] * count)
    close(run)
    assert closed(run) == list(range(count)) and not left_out(run)
    assert run.rig.last.limits.discharge_current_a == count * 18.0
    # only the first goes through its resistor: its own voltage over 40 ohm
    assert run.plant.inrush_a < 0.25


@pytest.mark.parametrize(("target", "first"), [(State.DRIVE, 1), (State.CONNECTED, 1), (State.CHARGE, 0)])
def test_the_first_string_is_the_highest_for_a_load_and_the_lowest_for_a_charger(make, target, first):
    run = make(0.3, 0.9)
    close(run, target)
    assert closed(run) == [first]


def test_precharge_is_for_the_first_string_only(make):
    run = make(0.6, 0.6, 0.61)
    close(run)
    precharged = {
        string
        for _, decision in run.rig.history
        for string in np.flatnonzero(decision.status.contactor_command.reshape(-1, 3)[:, 2])
    }
    assert precharged == {2}


@pytest.mark.parametrize("difference", np.linspace(0.0, 0.45, 10))
def test_what_may_join_never_makes_more_current_than_the_window_allows(make, difference):
    """The window of 0.4 V over two strings of 80 milliohm: 2.5 A at most, whatever the difference is."""
    run = make(0.4, 0.4 + difference)
    close(run)
    run.run(3.0)
    joined = closed(run) == [0, 1]
    assert joined == (2.4 * difference < 0.4)
    assert run.plant.inrush_a <= 0.4 / 0.16 + 0.1
    assert left_out(run) == (set() if joined else {"string_0:voltage"})
    if not joined:
        assert "V off, at most 0.4 V may be" in run.rig.last.status.explanation
        assert run.rig.last.limits.discharge_current_a == 18.0


def test_a_string_that_was_left_out_joins_when_the_others_have_come_down_to_it(make):
    run = make(0.55, 0.8)
    run.plant.capacity_ah = 0.05
    close(run)
    assert closed(run) == [1] and left_out(run) == {"string_0:voltage"}
    run.plant.load_a = -3.0
    run.until(lambda d: closed(run) == [0, 1], 60.0)
    assert run.rig.state == State.DRIVE and run.plant.inrush_a < 4.0
    run.run(0.5)
    assert not left_out(run)
    assert run.rig.last.limits.discharge_current_a <= 36.0
    run.run(6.0)
    assert run.rig.last.limits.discharge_current_a == 36.0  # it rises slowly to what two strings may


def test_a_charged_pack_takes_up_its_higher_string_from_below(make):
    run = make(0.3, 0.8)
    run.plant.capacity_ah = 0.05
    run.plant.load_a = 2.0
    close(run, State.CHARGE)
    assert closed(run) == [0] and left_out(run) == {"string_1:voltage"}
    run.until(lambda d: closed(run) == [0, 1], 60.0)
    assert run.plant.inrush_a < 4.0


def test_nobody_joins_while_too_much_current_flows(make):
    """Under load the voltage of the closed string is that of the other one; without it is not."""
    run = make(0.55, 0.8)
    run.plant.load_a = -6.0  # 0.48 V over 80 milliohm: now they fit by voltage
    close(run)
    run.run(3.0)
    assert closed(run) == [1]
    assert left_out(run) == {"string_0:current"}
    assert "6.0 A flow, at most 4 A may while it joins" in run.rig.last.status.explanation
    assert run.plant.inrush_a < 0.3


def test_they_join_one_at_a_time(make):
    run = make(0.5, 0.5, 0.5, 0.5)
    close(run)
    before = 0
    for _, decision in run.rig.history:
        command = decision.status.contactor_command.reshape(-1, 3)
        moving = (command[:, 1] == 1) & (command[:, 0] == 0)
        assert moving.sum() <= 1
        now = int(command[:, :2].all(axis=1).sum())
        assert now <= before + 1
        before = now
    assert before == 4


def test_a_string_of_unknown_voltage_stays_out(make, kit):
    run = make(0.6, 0.6)
    run.wrong_v = np.array([0.0, kit.nan])
    run.rig.monitor.request(State.DRIVE, run.rig.t_s)
    # the row for missing cells opens the pack in the end; until then nobody joins what nobody knows
    run.run(2.0)
    assert not run.rig.last.status.contactor_command.reshape(-1, 3)[1].any()


def test_without_the_link_s_voltage_nobody_joins(make):
    run = make(0.55, 0.8)
    close(run)
    run.plant.soc[:] = 0.7
    run.rig.values["link_voltage_validity"] = 1
    run.run(2.0)
    assert closed(run) == [1] and left_out(run) == {"string_0:voltage_unknown"}


def test_a_sensor_of_the_link_that_is_wrong_connects_no_strings(make):
    """The link reads like the open string, but the closed one does not: they are not connected."""
    run = make(0.3, 0.9)
    close(run)
    for _ in range(20):
        run.scan(link_v=float(run.plant.emf_v()[0]))
    assert closed(run) == [1] and run.plant.inrush_a < 0.3


def test_a_join_is_broken_off_when_closing_becomes_forbidden(make):
    run = make(0.55, 0.8, closing_time_s=0.9)
    run.plant.travel_s[0] = 0.8
    close(run, within_s=20.0)
    run.plant.soc[:] = 0.7
    run.until(lambda d: d.status.contactor_command[1] == 1, 3.0)  # its negative contactor is on its way
    run.rig.values["insulation_resistance_ohm"] = 300.0  # blocks closing, opens nothing
    run.until(lambda d: d.status.contactor_command[1] == 0, 1.0)
    assert left_out(run) == {"string_0:blocked"} and run.rig.state == State.DRIVE
    run.run(3.0)
    assert closed(run) == [1]
    run.rig.values["insulation_resistance_ohm"] = 1e6
    run.until(lambda d: closed(run) == [0, 1], 5.0)


def test_a_string_that_does_not_fit_any_more_when_its_turn_comes_is_opened_again(make):
    run = make(0.55, 0.8, closing_time_s=0.9)
    run.plant.travel_s[0] = 0.8
    close(run, within_s=20.0)
    run.plant.soc[:] = 0.7
    run.until(lambda d: d.status.contactor_command[1] == 1, 3.0)
    run.plant.load_a = -6.0
    run.until(lambda d: d.status.contactor_command[1] == 0, 2.0)
    assert closed(run) == [1] and left_out(run) == {"string_0:voltage"}  # 6 A are 0.48 V


# ---- a string whose own contactors fail ----


def test_a_contactor_that_drops_takes_out_its_string_and_the_others_carry_on(make):
    run = make(0.6, 0.6, 0.6)
    close(run)
    run.plant.load_a = -6.0
    run.run(1.0)
    run.plant.dead[1, 0] = True
    run.run(1.0)
    assert run.rig.state == State.DRIVE and closed(run) == [0, 2]
    assert not run.rig.last.status.contactor_command.reshape(-1, 3)[1].any()
    assert run.rig.ids(FaultState.LATCHED) == {"STRING_ISOLATED"}
    assert left_out(run) == {"string_1:isolated"}
    assert "its positive contactor does not stay closed" in run.rig.last.status.explanation
    assert run.rig.last.limits.discharge_current_a == 36.0
    # it does not come back by itself, not even when its contactor is sound again
    run.plant.dead[1, 0] = False
    run.run(3.0)
    assert closed(run) == [0, 2]


def test_limits_follow_a_string_that_dropped_before_anything_is_decided(make):
    run = make(0.6, 0.6)
    close(run)
    assert run.rig.last.limits.discharge_current_a == 36.0
    run.plant.dead[1, 0] = True
    run.scan()
    run.scan()
    assert run.rig.last.limits.discharge_current_a <= 18.0
    assert run.rig.last.status.contactor_command.reshape(-1, 3)[1].any()


def test_a_string_that_is_out_stays_out_over_openings_and_restarts_until_it_is_cleared_by_name(make):
    run = make(0.6, 0.6)
    close(run)
    run.plant.dead[0, 1] = True
    run.run(1.0)
    assert closed(run) == [1]
    answer = run.rig.monitor.clear(["STRING_ISOLATED"], run.rig.t_s)
    assert not answer.accepted and "the contactors must be open, but the state is DRIVE" in answer.reason
    run.rig.monitor.request(State.STANDBY, run.rig.t_s)
    run.until(lambda d: d.status.state == State.STANDBY, 3.0)
    assert run.rig.monitor.clear([], run.rig.t_s).cleared == ()
    run.plant.dead[:] = False
    close(run)
    assert closed(run) == [1]
    again = make(0.6, 0.6, record=run.rig.monitor.record())
    close(again)
    assert closed(again) == [1]
    assert "failed before this start" in again.rig.last.status.explanation
    again.rig.monitor.request(State.STANDBY, again.rig.t_s)
    again.until(lambda d: d.status.state == State.STANDBY, 3.0)
    assert again.rig.monitor.clear(["STRING_ISOLATED"], again.rig.t_s).accepted
    close(again)
    assert closed(again) == [0, 1]


def test_the_last_string_that_drops_opens_the_pack(make):
    run = make(0.6, 0.6)
    close(run)
    run.plant.dead[0, 0] = True
    run.run(1.0)
    run.plant.dead[1, 0] = True
    run.run(1.5)
    assert run.rig.state == State.FAULT
    assert "CONTACTOR_FEEDBACK_MISMATCH" in run.rig.ids()


def test_feedback_that_says_open_while_current_flows_opens_the_pack(make):
    """A broken auxiliary contact: nobody knows any more what is closed."""
    run = make(0.6, 0.6)
    close(run)
    run.plant.load_a = -14.0
    run.run(1.0)
    run.plant.stuck_feedback[1, 0] = 0
    run.run(1.5)
    assert run.rig.state == State.FAULT
    assert "CONTACTOR_FEEDBACK_MISMATCH" in run.rig.ids() and "STRING_ISOLATED" not in run.rig.ids()


@pytest.mark.parametrize("contactor", [0, 1, 2])
def test_a_first_string_that_cannot_close_makes_room_for_the_next(make, contactor):
    run = make(0.6, 0.62)
    run.plant.dead[1, contactor] = True
    close(run)
    assert closed(run) == [0]
    assert run.rig.ids() == {"STRING_ISOLATED"}


def test_a_string_that_cannot_close_when_it_joins_is_left_out(make):
    run = make(0.6, 0.62)
    run.plant.dead[0, 0] = True
    close(run)
    assert closed(run) == [1] and left_out(run) == {"string_0:isolated"}


def test_no_string_left_is_a_fault_and_then_a_refusal_that_says_so(make):
    run = make(0.6, 0.62)
    run.plant.dead[:, 0] = True
    assert run.rig.monitor.request(State.DRIVE, run.rig.t_s).accepted
    run.until(lambda d: d.status.state == State.FAULT, 8.0)
    assert "CONTACTOR_FAILED_TO_CLOSE" in run.rig.ids()
    both = ContactorRecord(isolated=(0, 1))
    again = make(0.6, 0.6, record=FaultRecord("TEST-1", 2, contactors=both))
    refused = again.rig.monitor.request(State.DRIVE, again.rig.t_s)
    assert not refused.accepted and "every string is taken out" in refused.reason
    assert "close:no_string" in again.rig.last.status.inhibits


# ---- a device that closes by itself ----


def test_a_device_may_leave_a_string_out(make):
    run = make(0.6, 0.6, authority="device")
    run.plant.dead[1] = True
    close(run)
    assert run.rig.last.limits.discharge_current_a == 18.0
    assert left_out(run) == {"string_1:device"}
    assert not run.rig.ids()


def test_a_device_that_opens_one_string_leaves_the_other(make):
    run = make(0.6, 0.6, authority="device")
    close(run)
    run.plant.dead[1, :2] = True
    run.run(1.0)
    assert run.rig.state == State.DRIVE and run.rig.ids() == {"STRING_ISOLATED"}
    assert run.rig.last.limits.discharge_current_a == 18.0
