"""Precharge by voltage, several strings, feedback, authority: what the contactors do over time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openbms_control.safety.contactors import ContactorSequencer
from openbms_core.config_file import ConfigError
from openbms_core.types import UNKNOWN, FaultState, State

NAN = math.nan


def commands(rig):
    """Give the distinct contactor commands in the order in which they came, as text per string."""
    seen: list[str] = []
    for _, decision in rig.history:
        text = "".join(str(int(value)) for value in decision.status.contactor_command)
        if not seen or seen[-1] != text:
            seen.append(text)
    return seen


def begin(rig, target=State.DRIVE):
    rig.run(0.5)
    answer = rig.monitor.request(target, rig.t_s)
    assert answer.accepted, answer.reason


def test_the_order_is_negative_precharge_positive_and_precharge_off(kit):
    rig = kit.rig()
    begin(rig)
    rig.run(1.0, link_v=13.0)  # 1.8 V below: not yet
    assert commands(rig)[-1] == "011"
    assert rig.state == State.PRECHARGE and not rig.last.status.contactors_closed
    assert rig.last.limits.discharge_current_a == 0.0
    rig.run(1.0, link_v=13.81)
    assert commands(rig) == ["000", "010", "011", "111", "110"]
    assert rig.state == State.DRIVE and rig.last.status.contactors_closed
    assert rig.last.contactor_command.requested_state == State.DRIVE


def test_without_feedback_the_contactors_times_count(kit):
    rig = kit.rig(device=kit.signals("contactor_positive", "contactor_negative", "contactor_precharge"))
    rig.feedback = UNKNOWN
    begin(rig)
    took_s = rig.run_until(lambda d: d.status.state == State.DRIVE, 3.0, link_v=14.8)
    assert 0.7 <= took_s <= 1.4  # three closings of 0.2 s, one opening of 0.1 s
    assert {"CONTACTOR_FAILED_TO_CLOSE", "CONTACTOR_FEEDBACK_MISMATCH"} <= set(rig.last.not_monitored)
    assert "CONTACTOR_WELDED" not in rig.last.not_monitored  # the link voltage tells as well
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run(1.0)
    assert rig.state == State.STANDBY


def test_precharge_gives_up_after_its_attempts_and_locks_out(kit):
    rig = kit.rig()
    begin(rig)
    start_s = rig.t_s
    took_s = rig.run_until(lambda d: d.status.state == State.FAULT, 10.0, link_v=2.0)
    assert took_s == pytest.approx(2.0 + 1.0 + 2.0, abs=1.5)
    assert commands(rig).count("011") == 2 and "111" not in commands(rig)
    assert rig.last.status.reason == "fault:PRECHARGE_TIMEOUT"
    answer = rig.monitor.clear(["PRECHARGE_TIMEOUT"], rig.t_s)
    assert not answer.accepted and "must cool for another" in answer.reason
    rig.run(1.0)
    assert rig.ids(FaultState.LATCHED) == {"PRECHARGE_TIMEOUT"}
    rig.run(12.0)
    assert rig.monitor.clear([], rig.t_s).cleared == ("PRECHARGE_TIMEOUT",)
    rig.run(0.2)
    assert rig.state == State.STANDBY and rig.t_s > start_s
    begin(rig)
    rig.run_until(lambda d: d.status.state == State.DRIVE, 5.0, link_v=14.8)


@pytest.mark.parametrize(
    "lost", [{"link_voltage_validity": 1}, {"string_voltage_validity": 1, "cells_v": 3.7}]
)
def test_unknown_voltages_never_end_a_precharge(kit, lost):
    rig = kit.rig(device=kit.signals()) if "link_voltage_validity" in lost else kit.rig()
    begin(rig)
    rig.run(0.8, link_v=14.8 if "link_voltage_validity" in lost else 0.0, **lost)
    assert rig.state == State.PRECHARGE


def test_the_sum_of_the_cells_stands_in_for_a_string_voltage_that_is_not_measured(kit):
    rig = kit.rig(device=kit.signals("string_voltage_v"))
    begin(rig)
    rig.values["string_voltage_validity"] = 7
    rig.run_until(lambda d: d.status.state == State.DRIVE, 3.0, link_v=14.8)
    assert rig.last.limits.discharge_power_w == pytest.approx(18.0 * 14.8)


def test_a_pack_without_precharge_contactor_closes_both_mains(kit):
    rig = kit.rig(contactors={"precharge": None})
    begin(rig)
    rig.run(1.0)
    assert rig.state == State.DRIVE and commands(rig) == ["000", "010", "110"]


def test_several_strings_without_a_voltage_to_judge_their_fit_are_refused(kit):
    with pytest.raises(ConfigError, match=r"small\.yaml:1: contactors\.precharge: it is absent.* 2 strings"):
        kit.strings(2, contactors={"precharge": None})
    kit.strings(2, contactors={"precharge": None, "authority": "device"})  # it judges that itself


@pytest.mark.parametrize("missing", [("link_voltage_v",), ("string_voltage_v", "cell_voltage_v")])
def test_precharge_that_cannot_be_judged_is_refused(kit, missing):
    with pytest.raises(ConfigError, match="judged by voltage"):
        kit.rig(device=kit.signals(*missing))


def test_strings_close_one_after_the_other_the_highest_first(kit):
    rig = kit.strings(3)
    cells = [3.6, 3.6, 3.8, 3.8, 3.7, 3.7]
    begin(rig)
    rig.run_until(lambda d: d.status.state == State.DRIVE, 6.0, cells_v=cells, link_v=7.6)
    first = [text for text in commands(rig) if text != "000000000"]
    assert first[0] == "000010000"
    assert [text.count("110") for text in ("110110110",)] == [3]
    assert commands(rig)[-1] == "110110110"
    assert rig.last.limits.discharge_current_a == 3 * 18.0


def test_for_charging_the_lowest_string_is_first(kit):
    rig = kit.strings(2)
    begin(rig, State.CHARGE)
    rig.run(1.0, cells_v=[3.9, 3.9, 3.7, 3.7])
    assert commands(rig)[1] == "000010"


def test_a_string_that_does_not_fit_stays_out(kit):
    rig = kit.strings(2)
    begin(rig)
    rig.run_until(lambda d: d.status.state == State.DRIVE, 8.0, cells_v=[3.9, 3.9, 3.2, 3.2], link_v=7.8)
    assert commands(rig)[-1] == "110000"
    assert rig.last.limits.discharge_current_a == 18.0
    assert "String 1 is not connected: its 6.4 V are 1.4 V off" in rig.last.status.explanation
    assert "string_1:voltage" in rig.last.status.inhibits
    assert rig.last.status.contactors_closed


def test_a_string_does_not_join_while_current_flows(kit):
    rig = kit.strings(2)
    begin(rig)
    rig.run_until(lambda d: d.status.contactor_command[0] == 1, 3.0, link_v=7.4)
    rig.run_until(lambda d: d.status.state == State.DRIVE, 8.0, current_a=[-8.0, 0.0])
    assert commands(rig)[-1] == "110000"


def test_a_contactor_that_stays_open_is_a_fault(kit):
    rig = kit.rig()
    begin(rig)
    rig.feedback = [0, 0, 0]
    rig.run(1.5)
    assert rig.state == State.FAULT and rig.ids() == {"CONTACTOR_FAILED_TO_CLOSE"}


def test_a_welded_contactor_is_seen_after_opening_and_closing_is_refused(kit):
    rig = kit.rig()
    rig.close()
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run_until(lambda d: not d.status.contactor_command.any(), 2.0)
    rig.feedback = [1, 0, 0]
    rig.run(1.5)
    assert rig.state == State.FAULT and rig.ids(FaultState.ACTIVE) == {"CONTACTOR_WELDED"}
    assert not rig.monitor.request(State.DRIVE, rig.t_s).accepted
    rig.feedback = None
    rig.run(1.0)
    assert rig.ids(FaultState.LATCHED) == {"CONTACTOR_WELDED"} and rig.state == State.FAULT


def test_current_in_an_open_string_is_a_fault_but_the_scan_of_the_opening_is_not(kit):
    rig = kit.rig()
    rig.close()
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run_until(lambda d: not d.status.contactor_command.all(), 1.0, current_a=-2.0)
    rig.step()
    rig.run(1.0, current_a=0.0)
    assert not rig.ids() and rig.state == State.STANDBY
    rig.run(1.0, current_a=-0.5)
    assert rig.ids(FaultState.ACTIVE) == {"CURRENT_ON_OPEN_STRING"}
    rig = kit.rig()
    rig.run(1.0)
    rig.run(0.3, current_a=NAN)
    assert "CURRENT_ON_OPEN_STRING" not in rig.ids()


def test_a_device_with_its_own_contactors_is_asked_and_believed(kit):
    rig = kit.rig(contactors={"authority": "device"})
    rig.feedback = [0, 0, 0]
    begin(rig)
    rig.run(1.0)
    assert rig.state == State.PRECHARGE and rig.last.contactor_command.requested_state == State.DRIVE
    rig.feedback = [1, 1, 0]
    rig.run(0.5)
    assert rig.state == State.DRIVE and not rig.ids()
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.step(current_a=-9.0)
    assert rig.state == State.OPENING and rig.last.contactor_command.requested_state == State.DRIVE
    rig.run(0.3, current_a=0.0)
    assert rig.last.contactor_command.requested_state == State.STANDBY and rig.state == State.OPENING
    rig.feedback = [0, 0, 0]
    rig.run(0.5)
    assert rig.state == State.STANDBY and not rig.ids()


def test_a_device_that_opens_by_itself_is_noticed(kit):
    rig = kit.rig(contactors={"authority": "device"})
    rig.close()
    rig.feedback = [0, 0, 0]
    rig.run(1.0)
    assert "CONTACTOR_FEEDBACK_MISMATCH" in rig.ids()


@pytest.mark.parametrize(("precharge", "within_s"), [(None, 10.2), ("as it is", 2.2)])
def test_a_device_that_does_not_close_is_given_up(kit, precharge, within_s):
    changes = {"authority": "device"} | ({"precharge": None} if precharge is None else {})
    rig = kit.rig(contactors=changes)
    rig.feedback = [0, 0, 0]
    begin(rig)
    took_s = rig.run_until(lambda d: d.status.state == State.FAULT, 12.0)
    assert took_s == pytest.approx(within_s, abs=0.5)
    assert rig.last.status.reason == "fault:PRECHARGE_TIMEOUT"


def test_a_pack_without_contactors_changes_state_at_once_and_still_asks_for_zero_current(kit):
    rig = kit.rig(contactors={"authority": "none"}, device={"commands": []})
    begin(rig)
    rig.run(0.3)
    assert rig.state == State.DRIVE and rig.last.limits.discharge_current_a == 18.0
    assert not rig.last.status.contactor_command.any() and rig.last.status.contactors_closed
    rig.run(0.9, emergency_stop=1, current_a=-9.0)
    assert rig.state == State.FAULT
    order = [d.status.state for _, d in rig.history if d.status.zero_current_requested]
    assert order and set(order) <= {State.DRIVE, State.OPENING}


def test_nothing_is_open_or_closed_before_it_is_known(kit):
    contactors = ContactorSequencer(kit.pack().file)
    assert not contactors.closed(None)
    contactors.command[:] = 1
    assert contactors.closed(None)
    assert not contactors.opened(None, 0.0)  # nobody has asked for it
    assert np.all(contactors.age_s(0.0) == 0.0) and np.all(contactors.age_s(1.0) == 1.0)


def test_a_scan_that_was_held_up_does_not_blame_the_contactors(kit):
    rig = kit.rig()
    rig.close()
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run_until(lambda d: not d.status.contactor_command.any(), 1.0)
    opened_s, opened_stamp_s = rig.t_s, rig.stamp_s
    rig.feedback = [0, 1, 0]  # as measured before the second one opened
    for number in range(4):
        rig.scan += 1
        rig.stamp_s = opened_stamp_s + 0.02 * number
        t_s = opened_s + 0.35 + 0.02 * number
        decision = rig.monitor.step(rig.measurement(), t_s, opened_stamp_s + t_s - opened_s)
    assert not decision.faults


def test_feedback_that_is_fitted_but_unknown_is_not_judged(kit):
    rig = kit.rig()
    rig.close()
    rig.feedback = UNKNOWN
    rig.run(1.5)
    assert rig.ids(FaultState.ACTIVE) == {"CONTACTOR_FEEDBACK_MISSING"} and rig.state == State.DRIVE
