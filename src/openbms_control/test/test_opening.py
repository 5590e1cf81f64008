"""Opening over a plant: zero current, deadlines, the fuse, welds, a link that stays live, wear."""

from __future__ import annotations

import math

import numpy as np
import pytest
from string_plant import PlantRun, StringPlant

from openbms_control.safety.record import FaultRecord
from openbms_control.safety.wear import ContactorRecord
from openbms_core.types import FaultState, State

NAN = math.nan


@pytest.fixture
def make(kit):
    """Give a function that builds a monitor on a plant in DRIVE (or the target)."""

    def build(*soc, target=State.DRIVE, load_a=0.0, record=None, **changes):
        rig = kit.strings(len(soc), record=record, **changes)
        run = PlantRun(rig, StringPlant(soc))
        run.run(0.5)
        assert rig.monitor.request(target, rig.t_s).accepted
        run.until(lambda d: d.status.state == target, 8.0)
        run.plant.load_a = load_a
        run.run(0.5)
        rig.history.clear()
        return run

    return build


def standby(run):
    assert run.rig.monitor.request(State.STANDBY, run.rig.t_s).accepted


def rest(run, within_s=6.0):
    run.until(lambda d: d.status.state in (State.STANDBY, State.FAULT), within_s)


def first_s(run, condition):
    return next(t for t, d in run.rig.history if condition(d))


def commands(run):
    seen = []
    for _, decision in run.rig.history:
        text = "".join(str(value) for value in decision.status.contactor_command)
        seen += [text] if not seen or seen[-1] != text else []
    return seen


# ---- order ----


def test_the_contactors_take_turns_in_opening_first(make):
    run = make(0.5)
    standby(run)
    rest(run)
    assert commands(run) == ["110", "010", "000"]
    again = make(0.5, record=run.rig.monitor.record())
    standby(again)
    rest(again)
    assert commands(again) == ["110", "100", "000"]
    assert again.rig.monitor.record().contactors.openings == (2,)


def test_they_take_turns_within_one_start_as_well(make):
    run = make(0.5)
    orders = []
    for turn in range(3):
        if turn:
            assert run.rig.monitor.request(State.DRIVE, run.rig.t_s).accepted
            run.until(lambda d: d.status.state == State.DRIVE, 8.0)
            run.rig.history.clear()
        standby(run)
        rest(run)
        orders.append(commands(run)[1])
    assert orders == ["010", "100", "010"]


@pytest.mark.parametrize("how", ["fault", "load"])
def test_in_a_fault_and_under_load_all_open_at_once(make, how):
    run = make(0.5, load_a=-1.0)
    if how == "fault":
        run.rig.values["emergency_stop"] = 1
    else:
        run.plant.load_a, run.plant.obeys = -9.0, False
        run.run(0.3)
        standby(run)
    rest(run)
    assert commands(run) == ["110", "000"]


def test_a_fault_between_the_steps_opens_the_rest(make):
    run = make(0.5)
    standby(run)
    run.until(lambda d: d.status.contactor_command.sum() == 1, 1.0)
    before_s = run.rig.t_s
    run.rig.values["emergency_stop"] = 1
    run.until(lambda d: d.status.contactor_command.sum() == 0, 1.0)
    assert run.rig.t_s - before_s <= 0.11


def test_a_driver_that_is_lost_between_the_steps_delays_nothing(make):
    run = make(0.5)
    standby(run)
    run.until(lambda d: d.status.contactor_command.sum() == 1, 1.0)
    run.lost = True
    before_s = run.rig.t_s
    run.until(lambda d: d.status.contactor_command.sum() == 0, 2.0)
    assert run.rig.t_s - before_s < 1.2


# ---- deadlines ----


def test_an_emergency_stop_may_have_a_faster_deadline(make):
    faults = {"EMERGENCY_STOP": {"opening_deadline_s": 0.1}}
    run = make(0.5, load_a=-9.0, faults=faults)
    run.plant.obeys = False
    run.rig.values["emergency_stop"] = 1
    rest(run)
    asked = first_s(run, lambda d: d.status.zero_current_requested)
    opened = first_s(run, lambda d: not d.status.contactor_command.any())
    assert opened - asked == pytest.approx(0.1, abs=0.03)


def test_of_several_faults_the_shortest_deadline_counts(make):
    faults = {
        "EMERGENCY_STOP": {"opening_deadline_s": 0.1},
        "SMOKE_ALARM": {"debounce_s": 0.0, "delay_s": 0.0},
    }
    run = make(0.5, load_a=-9.0, faults=faults)
    run.plant.obeys = False
    run.rig.values["smoke"] = 1
    run.until(lambda d: d.status.zero_current_requested, 1.0)
    asked = run.rig.t_s
    run.rig.values["emergency_stop"] = 1
    rest(run)
    opened = first_s(run, lambda d: not d.status.contactor_command.any())
    assert opened - asked < 0.25


def test_the_text_counts_down(make):
    run = make(0.5, load_a=-9.0)
    run.plant.obeys = False
    standby(run)
    run.scan()
    text = run.rig.last.status.explanation
    assert "The current is 9.0 A; the contactors open below 5 A, or in 1.9 s whatever flows." in text
    run.plant.load_a = 0.0
    run.until(lambda d: d.status.contactor_command.sum() == 1, 1.0)
    assert "checked for a weld" in run.rig.last.status.explanation
    run.until(lambda d: d.status.contactor_command.sum() == 0, 1.0)
    assert "All contactors are told to open." in run.rig.last.status.explanation


# ---- the fuse ----

FUSE = {"fuse": {"current_min_a": 20.0, "wait_s": 1.0}}
HIGH = {"discharge_current_max_a": {"operating": 18.0, "recommended": 60.0, "safety": 90.0}}


def test_contactors_leave_a_short_to_the_fuse(make):
    run = make(0.5, contactors=FUSE, limits=HIGH)
    run.plant.load_a, run.plant.obeys = -40.0, False
    run.rig.values["emergency_stop"] = 1
    run.until(lambda d: "the fuse's to break" in d.status.explanation, 1.0)
    asked = first_s(run, lambda d: d.status.zero_current_requested)
    assert run.rig.last.status.contactor_command.any()
    run.plant.load_a = 0.0  # it has melted
    run.until(lambda d: not d.status.contactor_command.any(), 0.5)
    assert run.rig.t_s - asked < 1.0
    run.run(0.3)
    assert "OPENED_UNDER_LOAD" not in run.rig.ids()


def test_they_do_not_wait_for_ever(make):
    run = make(0.5, contactors=FUSE, limits=HIGH)
    run.plant.load_a, run.plant.obeys = -40.0, False
    run.rig.values["emergency_stop"] = 1
    rest(run)
    asked = first_s(run, lambda d: d.status.zero_current_requested)
    opened = first_s(run, lambda d: not d.status.contactor_command.any())
    assert opened - asked == pytest.approx(0.3 + 1.0, abs=0.05)
    assert "OPENED_UNDER_LOAD" in run.rig.ids()
    assert run.rig.pack.file.longest_opening_s >= opened - asked


def test_between_break_current_and_fuse_they_open_at_the_deadline(make):
    run = make(0.5, contactors=FUSE, limits=HIGH, load_a=-12.0)
    run.plant.obeys = False
    run.rig.values["emergency_stop"] = 1
    rest(run)
    asked = first_s(run, lambda d: d.status.zero_current_requested)
    opened = first_s(run, lambda d: not d.status.contactor_command.any())
    assert opened - asked == pytest.approx(0.3, abs=0.03)


def test_a_current_that_is_not_known_is_not_waited_for(make):
    run = make(0.5, contactors=FUSE, limits=HIGH, load_a=-40.0)
    run.rig.values["emergency_stop"] = 1
    for _ in range(6):
        run.scan(current_a=NAN, string_current_minimum_a=NAN, string_current_maximum_a=NAN)
    assert not run.rig.last.status.contactor_command.any()


# ---- under load ----


def test_an_opening_under_load_is_on_record_and_blocks_closing_until_it_is_cleared_by_name(make):
    run = make(0.5, 0.5, load_a=-20.0)
    run.plant.obeys = False
    standby(run)
    rest(run)
    assert run.rig.state == State.STANDBY
    entry = next(e for e in run.rig.last.faults if e.row.id == "OPENED_UNDER_LOAD")
    assert entry.value == pytest.approx(10.0, abs=0.3) and entry.limit == 5.0
    kept = run.rig.monitor.record().contactors
    assert kept.openings == (1, 1) and kept.openings_under_load == (1, 1)
    assert kept.broken_current_a == pytest.approx((10.0, 10.0), abs=0.3)
    refused = run.rig.monitor.request(State.DRIVE, run.rig.t_s)
    assert "OPENED_UNDER_LOAD" in refused.reason and "contactors checked" in refused.reason
    assert run.rig.monitor.clear([], run.rig.t_s).cleared == ()
    again = make_again(run)
    assert again.rig.ids(FaultState.LATCHED) == {"OPENED_UNDER_LOAD"}
    assert again.rig.monitor.clear(["OPENED_UNDER_LOAD"], again.rig.t_s).accepted
    assert again.rig.monitor.record().contactors.openings_under_load == (1, 1)  # wear stays


def make_again(run):
    """Give a new monitor with the record of the last one, on the same plant."""
    rig = type(run.rig)(run.rig.pack, run.rig.monitor.record())
    again = PlantRun(rig, run.plant)
    again.run(0.5)
    return again


def test_it_cannot_be_cleared_while_it_opens(make):
    run = make(0.5, load_a=-9.0)
    run.plant.obeys = False
    run.plant.travel_s[1] = 0.09
    standby(run)
    run.until(lambda d: "OPENED_UNDER_LOAD" in run.rig.ids(), 4.0)
    if run.rig.state == State.OPENING:
        answer = run.rig.monitor.clear(["OPENED_UNDER_LOAD"], run.rig.t_s)
        assert not answer.accepted
    rest(run)
    run.run(0.2)
    assert run.rig.monitor.clear(["OPENED_UNDER_LOAD"], run.rig.t_s).accepted


@pytest.mark.parametrize("current_a", [-9.0, -4.0])
def test_what_opened_without_being_told_broke_the_last_current_that_is_known(make, current_a):
    run = make(0.5, load_a=current_a)
    run.lost = True  # the driver is gone: the device opens by itself
    run.plant.dead[:] = True
    rest(run)
    run.lost = False
    run.run(0.5)
    assert ("OPENED_UNDER_LOAD" in run.rig.ids()) == (current_a == -9.0)


def test_a_late_monitor_counts_what_flowed_before_it_slept(make):
    run = make(0.5, load_a=-9.0)
    run.plant.dead[:] = True
    run.plant.step(np.zeros(3), zero_current=False, dt_s=0.1)
    run.rig.step(0.6, current_a=0.0)  # commands were valid for 0.5 s, the driver has opened
    assert run.rig.last.status.reason == "fault:MONITOR_LATE"
    run.rig.step(0.1, current_a=0.0)
    assert "OPENED_UNDER_LOAD" in run.rig.ids()
    assert run.rig.monitor.record().contactors.openings_under_load == (1,)


# ---- welds ----

CHECK = {"weld_check_s": 0.6, "precharge": {"voltage_difference_max_v": 0.5}}


@pytest.mark.parametrize("turn", [0, 1])
def test_a_link_that_does_not_fall_shows_the_weld_of_the_first_contactor(make, turn):
    """Each contactor is the first at every other opening; its auxiliary contact says nothing of the weld."""
    record = FaultRecord("TEST-1", 2, contactors=ContactorRecord(openings=(turn,)))
    run = make(0.5, contactors=CHECK, record=record)
    run.plant.welded[0, turn] = True
    run.plant.stuck_feedback[0, turn] = 1
    standby(run)
    run.until(lambda d: d.status.contactor_command.sum() == 1, 1.0)
    run.plant.stuck_feedback[0, turn] = 0
    rest(run)
    run.run(1.0)
    assert run.rig.state == State.FAULT and run.rig.ids() == {"CONTACTOR_WELDED"}
    assert commands(run)[-1] == "000"  # the other one opens all the same


def test_a_sound_contactor_passes_the_check_at_once(make):
    run = make(0.5, contactors=CHECK)
    run.plant.bleed_ohm = 400.0  # 0.8 s
    standby(run)
    rest(run)
    run.run(1.0)
    assert run.rig.state == State.STANDBY and not run.rig.ids()
    first = first_s(run, lambda d: d.status.contactor_command.sum() == 1)
    last = first_s(run, lambda d: d.status.contactor_command.sum() == 0)
    assert last - first < 0.3


@pytest.mark.parametrize("held", ["charger", "unknown"])
def test_a_link_that_something_else_holds_or_nobody_knows_tells_nothing(make, held):
    target = State.CHARGE if held == "charger" else State.DRIVE
    run = make(0.5, contactors=CHECK, target=target)
    if held == "charger":
        run.plant.held_v = 7.2
    else:
        run.rig.values["link_voltage_validity"] = 1
    standby(run)
    rest(run)
    run.run(1.0)
    assert run.rig.state == State.STANDBY and "CONTACTOR_WELDED" not in run.rig.ids()


def test_current_that_goes_on_after_the_first_contactor_shows_its_weld(make):
    run = make(0.5, load_a=-2.0)
    run.plant.obeys = False
    run.plant.welded[0, 0] = True
    run.plant.stuck_feedback[0, 0] = 1
    standby(run)
    run.until(lambda d: d.status.contactor_command.sum() == 1, 1.0)
    run.plant.stuck_feedback[0, 0] = 0
    rest(run)
    run.run(1.0)
    assert "CONTACTOR_WELDED" in run.rig.ids() and run.rig.state == State.FAULT


def test_a_weld_on_one_of_several_strings_is_named(make):
    run = make(0.5, 0.5, 0.5, load_a=-3.0)
    run.plant.obeys = False
    run.plant.welded[2, 0] = True
    standby(run)
    rest(run)
    run.run(1.0)
    entry = next(e for e in run.rig.last.faults if e.row.id == "CONTACTOR_WELDED")
    assert entry.index == 2


# ---- a link that stays live ----

LIVE = {"link_discharge_time_s": 3.0, "link_safe_voltage_v": 2.0}


def test_a_link_that_stays_up_after_its_time_is_a_fault(make):
    run = make(0.5, contactors=LIVE)
    run.plant.held_v = 6.0
    standby(run)
    rest(run)
    run.run(2.5)
    assert not run.rig.ids()
    run.run(2.0)
    assert run.rig.state == State.FAULT and run.rig.ids(FaultState.ACTIVE) == {"LINK_LIVE"}
    assert "LINK_LIVE" in run.rig.monitor.request(State.DRIVE, run.rig.t_s).reason
    entry = next(e for e in run.rig.last.faults if e.row.id == "LINK_LIVE")
    assert entry.limit == 2.0 and entry.value == pytest.approx(6.0, abs=0.1)
    answer = run.rig.monitor.clear(["LINK_LIVE"], run.rig.t_s)
    assert not answer.accepted and "still there" in answer.reason
    run.plant.held_v = NAN
    run.run(6.0)
    assert run.rig.monitor.clear([], run.rig.t_s).cleared == ()
    assert run.rig.monitor.clear(["LINK_LIVE"], run.rig.t_s).accepted


@pytest.mark.parametrize("why", ["falls", "plugged", "unknown", "not_given"])
def test_a_link_that_falls_or_that_a_charger_holds_is_none(make, why):
    run = make(0.5, contactors=LIVE if why != "not_given" else {})
    if why != "falls":
        run.plant.held_v = 6.0
    if why == "plugged":
        run.rig.values["charging_plug"] = 1
    if why == "unknown":
        run.rig.values["link_voltage_validity"] = 1
    standby(run)
    rest(run)
    run.run(6.0)
    assert "LINK_LIVE" not in run.rig.ids()


def test_a_small_pack_s_link_is_judged_by_its_own_voltage(kit):
    from openbms_core.faults import FAULT_BY_ID, limit_value

    row = FAULT_BY_ID["LINK_LIVE"]
    small = kit.pack(contactors={"link_discharge_time_s": 3.0}).file
    assert limit_value(row, small) == 0.5 * 4 * 2.5
    assert math.isnan(limit_value(row, kit.pack().file))
    assert limit_value(row, kit.pack(contactors=LIVE).file) == 2.0


def test_nothing_moves_where_nobody_moves_contactors(kit):
    rig = kit.rig(contactors={"authority": "none"}, device={"commands": []})
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.run(0.3)
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run(3.0, current_a=-9.0)
    assert rig.state == State.STANDBY and not rig.ids()
    assert rig.monitor.record().contactors.openings_under_load == (0,)
