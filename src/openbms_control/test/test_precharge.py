"""Precharge over a plant: complete by voltage and current, given up with its reason, locked out by heat."""

from __future__ import annotations

import math

import numpy as np
import pytest
from string_plant import PlantRun, StringPlant

from openbms_control.safety.contactor_bank import PRECHARGE, ContactorBank, Sensed
from openbms_control.safety.precharge import PrechargeJudge, ResistorHeat
from openbms_control.safety.record import FaultRecord
from openbms_core.types import UNKNOWN, FaultState, State

NAN = math.nan


@pytest.fixture
def make(kit):
    """Give a function that builds a monitor on a plant of strings."""

    def build(*soc, record=None, without=(), **changes):
        rig = kit.strings(len(soc), record=record, **changes)
        run = PlantRun(rig, StringPlant(soc))
        run.run(0.5)
        return run

    return build


def ask(run, target=State.DRIVE):
    answer = run.rig.monitor.request(target, run.rig.t_s)
    assert answer.accepted, answer.reason


def commands(run):
    """Give the distinct commands in their order, as text."""
    seen = []
    for _, decision in run.rig.history:
        text = "".join(str(value) for value in decision.status.contactor_command)
        seen += [text] if not seen or seen[-1] != text else []
    return seen


# ---- complete by voltage and current ----


def test_a_sound_link_is_charged_without_inrush(make):
    run = make(0.5)
    ask(run)
    run.until(lambda d: d.status.state == State.DRIVE, 3.0)
    assert commands(run) == ["000", "010", "011", "111", "110"]
    # 7.2 V over 40 ohm; then 1 V at most is left: 2 mF take it in one step of the plant, 7.2 V would be 2.9 A
    assert 0.15 < run.plant.inrush_a < 0.45


def test_current_that_goes_on_keeps_the_precharge_from_being_complete(make):
    """A load on the link: the voltages come together, but what flows would flow through the contactor."""
    run = make(0.5, contactors={"precharge": {"current_max_a": 0.05}})
    run.plant.shorted_ohm = 80.0
    run.plant.precharge_ohm[:] = 5.0
    ask(run)
    run.until(lambda d: d.status.state == State.FAULT, 12.0)
    assert "111" not in commands(run)
    aborted = next(e for e in run.rig.last.faults if e.row.id == "PRECHARGE_ABORTED_CURRENT")
    assert (aborted.state, aborted.limit, aborted.index) == (FaultState.ACTIVE, 0.05, 0)
    assert aborted.value == pytest.approx(7.2 / (5.0 + 1.0 / (1.0 / 80.0 + 1.0 / 1000.0)), rel=0.05)
    assert "PRECHARGE_ABORTED_VOLTAGE" not in run.rig.ids()


@pytest.mark.parametrize("why", ["short", "broken_resistor"])
def test_a_link_that_does_not_follow_is_told_from_current_that_stays(make, why):
    run = make(0.5)
    if why == "short":
        run.plant.shorted_ohm = 1.0
    else:
        run.plant.precharge_ohm[:] = 1e9
    ask(run)
    run.until(lambda d: "PRECHARGE_ABORTED_VOLTAGE" in run.rig.ids(), 4.0)
    assert run.rig.state == State.PRECHARGE  # another attempt follows
    assert "attempt 1 of 2" in run.rig.last.status.explanation
    aborted = next(e for e in run.rig.last.faults if e.row.id == "PRECHARGE_ABORTED_VOLTAGE")
    assert aborted.value > 6.0 and aborted.limit == 1.0
    run.until(lambda d: "attempt 2 of 2" in d.status.explanation, 3.0)
    run.until(lambda d: d.status.state == State.FAULT, 4.0)
    assert run.rig.last.status.reason == "fault:PRECHARGE_TIMEOUT"
    assert run.rig.last.status.contactor_command.sum() == 0


def test_a_second_attempt_that_succeeds_takes_the_warning_back(make):
    run = make(0.5)
    run.plant.shorted_ohm = 1.0
    ask(run)
    run.until(lambda d: "PRECHARGE_ABORTED_VOLTAGE" in run.rig.ids(), 4.0)
    run.plant.shorted_ohm = np.inf
    run.until(lambda d: d.status.state == State.DRIVE, 5.0)
    assert not run.rig.ids()
    assert run.rig.monitor.record().faults["PRECHARGE_ABORTED_VOLTAGE"].occurrences == 1


def test_the_text_says_how_far_it_is(make):
    run = make(0.5)
    run.plant.precharge_ohm[:] = 400.0  # a time constant of 0.8 s
    ask(run)
    run.until(lambda d: d.status.contactor_command[2] == 1, 3.0)
    run.run(0.3)
    text = run.rig.last.status.explanation
    assert "Precharge of string 0, attempt 1 of 2: the link is at" in text and "V of 7.2 V" in text
    assert run.rig.last.status.reason == "requested"


def test_an_unmeasured_current_leaves_the_voltage(kit):
    rig = kit.rig(device=kit.signals("string_current_a"))
    rig.values |= {"string_current_validity": 7, "current_a": NAN}
    rig.close()
    judge = PrechargeJudge(rig.pack.file)
    assert judge.state(sensed(link_v=14.8, string_v=14.8, current_a=NAN), 0).calm


def test_an_unknown_current_that_is_measured_is_not_small(kit):
    judge = PrechargeJudge(kit.pack().file)
    assert judge.current_max_a == 0.2  # the deadband, where the pack file says nothing
    assert not judge.state(sensed(14.8, 14.8, NAN), 0).calm
    assert not judge.state(sensed(NAN, 14.8, 0.0), 0).together
    assert judge.state(sensed(14.8, 14.0, 0.1), 0).together


def sensed(link_v, string_v, current_a):
    return Sensed(
        np.full((1, 3), UNKNOWN, np.uint8), np.array([string_v]), np.array([current_a]), link_v,
        abs(current_a), 1, 0.0,
    )  # fmt: skip


# ---- welds that show while it closes ----


@pytest.mark.parametrize("contactor", [0, 2])
def test_a_link_that_comes_up_with_only_the_negative_closed_shows_a_weld(make, contactor):
    run = make(0.5)
    run.plant.stuck_feedback[0, contactor] = 0  # the auxiliary contact does not tell
    run.plant.welded[0, contactor] = run.plant.contacts[0, contactor] = True
    run.plant.link_f = 1e-3
    ask(run)
    run.until(lambda d: d.status.state == State.FAULT, 3.0)
    assert run.rig.last.status.reason == "fault:CONTACTOR_WELDED"
    assert commands(run) == ["000", "010", "000"]  # nothing more was closed
    entry = next(e for e in run.rig.last.faults if e.row.id == "CONTACTOR_WELDED")
    assert entry.index == 0
    run.run(1.0)
    assert run.rig.ids(FaultState.LATCHED) == {"CONTACTOR_WELDED"}
    refused = run.rig.monitor.clear([], run.rig.t_s)
    assert refused.cleared == () and "by its name only" in refused.reason


def test_a_link_that_is_up_already_tells_nothing(make):
    run = make(0.5)
    run.plant.link_v = run.plant.held_v = 7.1
    run.run(0.2)
    ask(run)
    run.until(lambda d: d.status.state == State.DRIVE, 3.0)
    assert not run.rig.ids()


def test_a_charger_may_bring_the_link_up_while_the_contactors_close(make):
    run = make(0.5)
    ask(run, State.CHARGE)
    run.until(lambda d: d.status.contactor_command[1] == 1, 1.0)
    run.plant.link_v = run.plant.held_v = 7.1
    run.until(lambda d: d.status.state == State.CHARGE, 3.0)
    assert not run.rig.ids()


# ---- heat ----


def heat_of(run):
    return run.rig.monitor.record().contactors.precharge_heat


def test_heat_follows_the_energy_in_the_resistor(make):
    """In a good precharge the resistor takes as much as the capacitor keeps: C V²/2."""
    run = make(0.5)
    run.plant.precharge_ohm[:] = 100.0  # a time constant of 0.2 s, time-out 2 s: 0.05 of a full attempt
    ask(run)
    run.until(lambda d: d.status.state == State.DRIVE, 3.0)
    assert 0.02 < heat_of(run)[0] < 0.15
    run = make(0.5)
    run.plant.shorted_ohm = 0.5
    ask(run)
    run.until(lambda d: "PRECHARGE_ABORTED_VOLTAGE" in run.rig.ids(), 4.0)
    assert heat_of(run)[0] == pytest.approx(0.95, abs=0.1)  # the link stays at zero: a full attempt


def test_the_lock_out_grows_with_what_the_resistor_has_borne(make):
    run = make(0.5)
    run.plant.shorted_ohm = 0.5
    waits = []
    for _ in range(2):
        ask(run)
        run.until(lambda d: d.status.state == State.FAULT, 80.0)
        answer = run.rig.monitor.clear(["PRECHARGE_TIMEOUT"], run.rig.t_s)
        assert not answer.accepted
        waits.append(int(answer.reason.split("another ")[1].split(" s")[0]))
        while not run.rig.monitor.clear(["PRECHARGE_TIMEOUT"], run.rig.t_s).accepted:
            run.run(1.0)
        run.run(0.2)
    # 2 attempts of 30 s cooling each: after the first closing there is some of the cold resistor left
    assert 15 < waits[0] < 28 and 25 <= waits[1] <= 30
    heats = [d for _, d in run.rig.history if d.status.contactor_command[2]]
    assert heats


def test_while_it_is_hot_closing_is_refused_with_the_time(make):
    record = FaultRecord("TEST-1", 2, contactors=type(EMPTY)(precharge_heat=(1.5,), written_s=1.7e9))
    run = make(0.5, record=record)
    answer = run.rig.monitor.request(State.DRIVE, run.rig.t_s)
    assert not answer.accepted and "precharge resistor must cool for another" in answer.reason
    assert "close:precharge_resistor_hot" in run.rig.last.status.inhibits
    run.run(16.0)
    ask(run)


EMPTY = FaultRecord("TEST-1").contactors


@pytest.mark.parametrize(("away_s", "left"), [(0.0, 1.5), (15.0, 1.0), (1e6, 0.0), (-100.0, 1.5)])
def test_over_a_restart_it_cools_by_the_clock_unless_that_was_set_back(make, away_s, left):
    contactors = type(EMPTY)(precharge_heat=(1.5,), written_s=1.7e9 - away_s)
    run = make(0.5, record=FaultRecord("TEST-1", 2, contactors=contactors))
    assert heat_of(run)[0] == pytest.approx(left, abs=0.03)


def test_an_attempt_under_way_is_on_record_as_a_whole_one(make):
    run = make(0.5)
    run.plant.precharge_ohm[:] = 1e3
    ask(run)
    run.until(lambda d: d.status.contactor_command[2] == 1, 2.0)
    assert 1.0 <= heat_of(run)[0] < 1.1
    run.rig.history.clear()
    run.until(lambda d: d.status.contactor_command[2] == 0, 4.0)
    assert any(decision.record_changed for _, decision in run.rig.history)
    assert heat_of(run)[0] < 1.0


def test_unknown_voltages_count_as_the_worst(kit):
    pack = kit.pack().file
    bank = ContactorBank(pack)
    heat = ResistorHeat(pack, bank, [0.0])
    bank.set(0, PRECHARGE, 1, 0.0)
    heat.step(None, 0.0)
    heat.step(None, 1.0)
    heat.step(sensed(NAN, 14.8, 0.0), 2.0)
    heat.step(sensed(0.0, 0.0, 0.0), 2.0)
    assert heat.heat[0] == pytest.approx(1.0 - 2.0 / 30.0)
    assert heat.wait_s(0) == 0.0
    heat.heat[0] = 1.5
    assert heat.wait_s(0) == pytest.approx(15.0)
    none = ResistorHeat(kit.pack(contactors={"precharge": None}).file, bank, [9.0])
    none.step(None, 0.0)
    none.step(None, 1.0)
    none.cool(1.0)
    assert none.wait_s(0) == 0.0 and none.stored() == [9.0]
