"""A list that is replaced keeps what goes on; a replayed test refuses what it cannot feel."""

from __future__ import annotations

import pytest

from openbms_sim.faults import InjectionError, Injections, check_source, parse_injections
from openbms_sim.faults.bus import DropMessage
from openbms_sim.faults.sensors import CellVoltageDrift, CellVoltageStuck


def items(text: str) -> list:
    return parse_injections(text, cells=96, sensors=["cell_0"], messages=["Pack_Status"])


STUCK = "{fault: cell_voltage_stuck, cell: 3}"
DRIFT = "{fault: cell_voltage_drift, cell: 4, rate_v_per_s: 1}"


def test_what_stands_in_both_lists_goes_on_as_it_is() -> None:
    first = Injections(items(f"[{STUCK}]"), 100.0).at(101.0)
    assert first.hold(first.of(CellVoltageStuck)[0], 3, 3.7) == 3.7
    second = Injections(items(f"[{DRIFT}, {STUCK}]"), 105.0, first).at(106.0)
    stuck, drift = second.of(CellVoltageStuck)[0], second.of(CellVoltageDrift)[0]
    assert second.hold(stuck, 3, 9.9) == 3.7, "it keeps the value of its own beginning"
    assert (second.since_s(stuck), second.since_s(drift)) == (6.0, 1.0)
    assert second.began(CellVoltageDrift) == [drift] and second.began(CellVoltageStuck) == []


def test_what_is_not_in_the_new_list_ends_and_begins_anew() -> None:
    first = Injections(items(f"[{STUCK}]"), 100.0).at(101.0)
    first.hold(first.of(CellVoltageStuck)[0], 3, 3.7)
    second = Injections([], 102.0, first).at(102.0)
    assert len(second.ended(CellVoltageStuck)) == 1 and not second.acts(CellVoltageStuck)
    assert second.at(102.1).ended(CellVoltageStuck) == []
    third = Injections(items(f"[{STUCK}]"), 103.0, second).at(103.0)
    assert third.hold(third.of(CellVoltageStuck)[0], 3, 3.9) == 3.9


def test_equal_entries_are_told_apart() -> None:
    twice = "{fault: drop_message, message: Pack_Status, probability: 0.5}"
    first = Injections(items(f"[{twice}, {twice}]"), 1.0).at(1.0)
    second = Injections(items(f"[{twice}]"), 2.0, first).at(2.0)
    assert len(first.of(DropMessage)) == 2 and len(second.of(DropMessage)) == 1
    assert len(second.ended(DropMessage)) == 1


def test_times_count_from_the_setting() -> None:
    injections = Injections(items("[{fault: smoke, start_s: 1, duration_s: 2}]"), 10.0)
    acting = [bool(injections.at(t)._active) for t in (10.5, 11.0, 12.9, 13.0)]
    assert acting == [False, True, True, False]


def test_a_replayed_test_refuses_what_it_cannot_feel() -> None:
    check_source(items("[{fault: smoke}, {fault: pump_stopped}]"), "replay")
    for text in ("{fault: load, current_a: -5}", "{fault: cell_thermal_runaway, cell: 1}"):
        check_source(items(f"[{text}]"), "plant")
        with pytest.raises(InjectionError, match="source: plant"):
            check_source(items(f"[{text}]"), "replay")
