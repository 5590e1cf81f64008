"""A small, seeded part of the campaign, and the rules by which it judges."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fault_campaign import report
from fault_campaign.cases import Case
from fault_campaign.closed_loop import ClosedLoop, LoopSettings
from fault_campaign.dice import Dice
from fault_campaign.expectations import EXPECTED, Expectation
from fault_campaign.healthy.packs import FLEET, loaded
from fault_campaign.healthy.run import HealthyRun
from fault_campaign.judge import judge
from fault_campaign.live import with_operating_point
from fault_campaign.loads import Vehicle
from fault_campaign.logs.part import play_file
from fault_campaign.logs.sets import SETS
from fault_campaign.parts import healthy_part, pure_part
from fault_campaign.play import draw, kinds, play
from fault_campaign.system_faults import LoadDefies

from openbms_bringup.inject.library import load_library
from openbms_core.types import State

SEED = 7

# One of each family, chosen for short runs: cell, load, frame, bus, contactor, input, process, clock.
SMALL = (
    ("healthy", 1),
    ("cell_voltage_offset", 3),
    ("cell_open_wire", 0),
    ("over_current_discharge", 0),
    ("drop_message", 0),
    ("silent_bus", 1),
    ("contactor_welded", 0),
    ("contactor_feedback", 2),
    ("interlock_open", 0),
    ("monitor_hangs", 0),
    ("driver_dies", 0),
    ("clock_steps", 1),
)


@pytest.mark.parametrize(("kind", "number"), SMALL)
def test_a_draw_is_answered_in_time_and_by_nothing_else(kind: str, number: int) -> None:
    case = draw(SEED, number, kind)
    case = dataclasses.replace(case, run_s=min(case.run_s, 8.0))
    verdict = judge(case, play(case))
    assert verdict.outcome in ("in time", "quiet"), verdict
    assert not verdict.unforeseen


def test_every_kind_that_can_be_drawn_has_a_line_in_the_table() -> None:
    there, absent = kinds()
    drawn = {draw(SEED, number, kind).kind for number, kind in enumerate(there)}
    assert not absent, "the twin has an injection for each"
    assert drawn <= set(EXPECTED)


def test_a_draw_is_the_same_again_with_the_same_seed_and_number() -> None:
    assert draw(3, 5) == draw(3, 5)
    assert draw(3, 5) != draw(4, 5)
    case = dataclasses.replace(draw(3, 5, "over_current_charge"), run_s=2.0)
    one, other = play(case), play(case)
    assert one.trace.raised == other.trace.raised
    assert one.trace.contacts == other.trace.contacts


# ---- the judge: it must see each of the outcomes, or the campaign proves nothing


def over_current(duration_s: float | None, run_s: float = 3.0) -> Case:
    settings = LoopSettings(soc=0.6, target=State.DRIVE, seed=5, estimator=False)
    fault = LoadDefies(0.05, duration_s, -30.0)
    return Case(0, "over_current_discharge", "test", settings, faults=(fault,), run_s=run_s)


def test_the_judge_sees_a_fault_that_is_detected_in_time() -> None:
    verdict = judge(over_current(None), play(over_current(None)))
    assert verdict.outcome == "in time"
    assert verdict.worst is not None and 0.2 < verdict.worst.reaction_s < 1.0
    rows = {row for demand in verdict.demands for row in demand.rows}
    assert {"OVER_CURRENT_DISCHARGE_OPERATING", "OVER_CURRENT_DISCHARGE_SAFETY"} <= rows


def test_the_judge_sees_that_a_short_one_needs_no_answer() -> None:
    verdict = judge(over_current(0.05), play(over_current(0.05)))
    assert verdict.outcome == "quiet" and not verdict.demands


def test_the_judge_sees_a_fault_that_is_missed() -> None:
    case = over_current(None)
    played = play(case)
    played.trace.raised.clear()
    assert judge(case, played).outcome == "missed"


def test_the_judge_sees_a_fault_that_comes_late() -> None:
    case = over_current(None)
    played = play(case)
    times = played.trace.raised["OVER_CURRENT_DISCHARGE_SAFETY"]
    times[0] += 2.0
    assert judge(case, played).outcome == "late"


def test_the_judge_sees_contacts_that_open_late_though_the_row_came_in_time() -> None:
    case = over_current(None)
    played = play(case)
    trace = played.trace
    trace.contacts = [
        (at + 2.0 if at > played.injected_s else at, contacts) for at, contacts in trace.contacts
    ]
    assert judge(case, played).outcome == "late"


def test_the_judge_sees_a_false_alarm() -> None:
    case = over_current(0.05)
    played = play(over_current(None))
    # a trip without the fault: the same course, but nothing in the numbers
    quiet = play(case)
    quiet.trace.raised["CELL_OVER_VOLTAGE_SAFETY"].append(quiet.injected_s + 1.0)
    quiet.trace.rows["CELL_OVER_VOLTAGE_SAFETY"] = dataclasses.replace(
        played.trace.rows["OVER_CURRENT_DISCHARGE_SAFETY"],
        id="CELL_OVER_VOLTAGE_SAFETY",
        name="CELL_OVER_VOLTAGE",
    )
    verdict = judge(case, quiet)
    assert verdict.outcome == "false alarm" and verdict.false_alarms == ["CELL_OVER_VOLTAGE_SAFETY"]


def test_the_judge_sees_an_opening_that_nobody_asked_for() -> None:
    case = over_current(0.05)
    played = play(case)
    played.trace.contacts.append((played.injected_s + 1.0, (False, False, False)))
    assert "opened without a reason" in judge(case, played).false_alarms


def test_the_judge_says_where_the_table_does_not_foresee_what_happened() -> None:
    case = over_current(None)
    verdict = judge(case, play(case), Expectation())
    assert "OVER_CURRENT_DISCHARGE_SAFETY" in verdict.unforeseen


# ---- loop, load and generator


def test_the_loop_is_quiet_without_a_fault_and_keeps_its_limits() -> None:
    loop = ClosedLoop(
        LoopSettings(soc=0.5, target=State.DRIVE, seed=2, estimator=False), load=Vehicle(2, 40.0)
    )
    assert loop.run_until(lambda: loop.state is State.DRIVE, 10.0)
    loop.run(6.0)
    said = loop.trace.sensed
    limits = loop.pack.file.limits
    # the link's capacitor and the coolant pump come on top of what the load takes
    assert said.current_minimum_a.min() > -limits.discharge_current_max_a.recommended
    assert said.current_maximum_a.max() < limits.charge_current_max_a.recommended
    assert said.current_minimum_a.min() < -0.8 * limits.discharge_current_max_a.operating, "it is driven hard"


def test_a_small_fleet_lives_healthy_hours_without_a_false_alarm(tmp_path: Path) -> None:
    part = healthy_part(300.0, SEED, 1, tmp_path / "healthy.jsonl", lambda _: None)
    assert part["false_alarms"] == 0, [row["false_alarms"] for row in part["cases"] if row["false_alarms"]]
    assert part["cell_hours"] >= 300.0
    assert part["upper_95_per_cell_hour"] == pytest.approx(3.0 / part["cell_hours"], rel=1e-3)


def test_a_healthy_pack_is_used_up_to_its_limits_and_not_beyond() -> None:
    pack = FLEET[0]
    run = HealthyRun(pack, 3)
    run.run(0.04)
    limits, tally = loaded(pack).file.limits, run.tally
    assert not tally.alarms
    assert tally.largest_a < limits.discharge_current_max_a.safety
    assert (
        limits.cell_voltage_min_v.safety < tally.lowest_v < tally.highest_v < limits.cell_voltage_max_v.safety
    )
    assert set(tally.states) & {"DRIVE", "CHARGE", "CONNECTED"}, tally.states


def test_a_healthy_run_that_breaks_the_limits_is_an_alarm() -> None:
    run = HealthyRun(FLEET[4], 3)
    run.run(0.05)
    run._cells._table += 1.0  # overcharged cells: the tally must say so
    run.run(0.05)
    assert {alarm["row"] for alarm in run.tally.alarms} & {"CELL_OVER_VOLTAGE_SAFETY"}


# ---- parts and report


def test_an_interrupted_part_goes_on_where_it_was(tmp_path: Path) -> None:
    kept, told = tmp_path / "pure.jsonl", []
    first = pure_part(2, SEED, 1, kept, told.append)
    assert first["injected"] + sum(row["kind"] == "healthy" for row in first["cases"]) == 2
    kept.write_text(kept.read_text() + '{"number": 2, "kind"', encoding="utf-8")  # cut off by an interruption
    again = pure_part(2, SEED, 1, kept, told.append)
    assert again["cases"] == first["cases"], "nothing is played twice"
    report.save(tmp_path, {"parts": {"pure": again}})
    page = (tmp_path / "campaign.md").read_text()
    assert f"| Faults injected | {again['injected']} |" in page
    assert report.load(tmp_path)["injected"] == again["injected"]


@pytest.mark.parametrize("number", range(len(SETS)), ids=[recorded.name for recorded in SETS])
def test_the_beginning_of_real_logs_raises_no_false_alarm(number: int) -> None:
    files = SETS[number].files()
    if not files:
        pytest.skip("the recordings are not here")
    told = play_file(number, files[len(files) // 2], most=1200)
    assert told["samples"] > 5 and told["hours"] > 0.0
    assert told["false_alarms"] == []


def test_an_operating_point_is_within_the_limits() -> None:
    for number in range(50):
        point = Dice(SEED, number).point()
        assert 0.0 < point.soc < 1.0 and point.strongest_a <= 18.0


def test_what_a_fault_injects_is_not_drawn_with_the_operating_point() -> None:
    cases = load_library()
    drawn = with_operating_point(cases["current_sensor_stuck"])
    assert "current_a" not in drawn.vary and "soc" in drawn.vary
    assert "temperature_degc" not in with_operating_point(cases["temperature_sensor_stuck"]).vary
    assert {"current_a", "soc", "temperature_degc"} <= set(with_operating_point(cases["smoke"]).vary)
