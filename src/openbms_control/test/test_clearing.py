"""Clearing: who may, when, and what must be true; faults of the record that nobody monitors any more."""

from __future__ import annotations

import dataclasses
import math

import pytest

from openbms_control.safety.fault_manager import StoredFault
from openbms_control.safety.record import FaultRecord
from openbms_core.faults import FAULT_BY_ID, FAULT_TABLE
from openbms_core.types import FaultState, Level, State

NAN = math.nan
DEEP = {"protection": {"deep_discharge_voltage_v": 2.0}}


def latched(*names):
    """Give a record in which these faults are latched."""
    return FaultRecord("TEST-1", 2, {name: StoredFault(True, 1, 1.0, 2.0, 3.0, 0) for name in names})


MONITORED = [row for row in FAULT_TABLE if row.latched]


@pytest.mark.parametrize("row", MONITORED, ids=lambda row: row.id)
def test_every_latched_row_blocks_what_it_says_until_the_right_one_clears_it(kit, row):
    """After a restart, from the record alone, whether this pack monitors the row or not."""
    rig = kit.rig(record=latched(row.id), **DEEP)
    rig.run(0.5)
    entry = next(entry for entry in rig.last.faults if entry.row.id == row.id)
    assert entry.state == FaultState.LATCHED and entry.from_record
    assert rig.state == (State.FAULT if row.opens else State.STANDBY)
    answer = rig.monitor.request(State.DRIVE, rig.t_s)
    assert answer.accepted != row.blocks_closing
    assert (f"close:{row.id}" in rig.last.status.inhibits) == row.blocks_closing
    if not row.blocks_closing:
        rig.monitor.request(State.STANDBY, rig.t_s)
        rig.step()
        rig.rest()
    everything = rig.monitor.clear([], rig.t_s)
    by_name = row.by_name or "not monitored for it any more" in entry.row.means
    assert everything.cleared == (() if by_name else (row.id,))
    if by_name:
        assert everything.accepted and everything.refused == (row.id,)
        assert "cleared by its name only" in everything.reason
        assert rig.monitor.clear([row.id], rig.t_s).cleared == (row.id,)
    rig.run(1.0)
    assert not rig.ids() and rig.state == State.STANDBY
    assert not rig.last.status.contactor_command.any()


def test_clearing_closes_nothing_and_grants_nothing(kit):
    rig = kit.rig(record=latched("CELL_OVER_VOLTAGE_SAFETY"))
    rig.run(0.5)
    assert not rig.monitor.request(State.DRIVE, rig.t_s).accepted
    assert rig.monitor.clear([], rig.t_s).cleared
    rig.run(5.0)
    assert rig.state == State.STANDBY
    assert all(not decision.status.contactor_command.any() for _, decision in rig.history)


# ---- deep discharge ----


def test_a_deeply_discharged_cell_locks_the_pack_until_service_has_brought_it_back(kit):
    rig = kit.rig(**DEEP)
    rig.run(1.9, cells_v=[3.7, 1.9, 3.7, 3.7])
    assert "DEEP_DISCHARGE" not in rig.ids(FaultState.ACTIVE)
    rig.run(0.5)
    assert "DEEP_DISCHARGE" in rig.ids(FaultState.ACTIVE) and rig.state == State.FAULT
    assert not rig.last.status.charge_allowed and not rig.last.status.heating_allowed
    again = kit.rig(record=rig.monitor.record(), **DEEP)
    again.run(3.0, cells_v=[3.7, 2.4, 3.7, 3.7])
    answer = again.monitor.clear(["DEEP_DISCHARGE"], again.t_s)
    assert not answer.accepted
    assert "the lowest cell must be at 2.5 V or above; it is at 2.400 V" in answer.reason
    again.run(0.3, cells_v=[3.7, NAN, 3.7, NAN])
    again.run(1.0, cells_v=[NAN, NAN, NAN, NAN])
    assert "its voltage is not known" in again.monitor.clear(["DEEP_DISCHARGE"], again.t_s).reason
    again.run(3.0, cells_v=3.0)
    assert again.monitor.clear([], again.t_s).refused == ("DEEP_DISCHARGE",)
    assert again.monitor.clear(["DEEP_DISCHARGE"], again.t_s).accepted
    again.monitor.clear([], again.t_s)
    again.run(0.5)
    assert again.monitor.request(State.CHARGE, again.t_s).accepted


@pytest.mark.parametrize(("lowest_v", "accepted"), [(2.499, False), (2.5, True)])
def test_the_voltage_that_is_asked_for_is_enough(kit, lowest_v, accepted):
    rig = kit.rig(record=latched("DEEP_DISCHARGE"), **DEEP)
    rig.run(3.0, cells_v=[3.0, lowest_v, 3.0, 3.0])
    assert rig.monitor.clear(["DEEP_DISCHARGE"], rig.t_s).accepted == accepted


def test_a_short_dip_under_load_is_no_deep_discharge(kit):
    rig = kit.rig(**DEEP)
    rig.close()
    rig.run(1.2, cells_v=[3.7, 1.9, 3.7, 3.7])
    rig.run(2.0, cells_v=3.6)
    assert "DEEP_DISCHARGE" not in rig.ids()


def test_without_a_scan_nobody_knows_the_cells(kit):
    rig = kit.rig(record=latched("DEEP_DISCHARGE"), **DEEP)
    rig.tick()
    assert "its voltage is not known" in rig.monitor.clear(["DEEP_DISCHARGE"], rig.t_s).reason


# ---- what nobody monitors any more ----


def test_a_latched_fault_whose_row_this_pack_does_not_monitor_stays_in_force(kit):
    changes = {"device": kit.signals("smoke")}
    rig = kit.rig(record=latched("SMOKE_ALARM"), **changes)
    rig.run(0.5)
    assert "SMOKE_ALARM" in rig.last.not_monitored
    assert rig.state == State.FAULT and rig.last.status.reason == "fault:SMOKE_ALARM"
    assert "This pack is not monitored for it any more" in rig.last.status.explanation
    assert rig.last.limits.charge_current_a == 0.0
    assert rig.monitor.record().faults["SMOKE_ALARM"].latched
    assert rig.monitor.clear(["SMOKE_ALARM"], rig.t_s).accepted
    rig.run(0.3)
    assert rig.state == State.STANDBY and "SMOKE_ALARM" not in rig.monitor.record().faults


def test_a_latched_fault_that_this_version_does_not_know_stays_in_force(kit):
    rig = kit.rig(record=latched("FROM_THE_FUTURE"))
    rig.run(0.5)
    assert rig.state == State.FAULT and rig.ids(FaultState.LATCHED) == {"FROM_THE_FUTURE"}
    assert "This version has no such row" in rig.last.status.explanation
    assert "FROM_THE_FUTURE" in rig.monitor.request(State.DRIVE, rig.t_s).reason
    assert rig.monitor.clear([], rig.t_s).refused == ("FROM_THE_FUTURE",)
    assert rig.monitor.clear(["FROM_THE_FUTURE"], rig.t_s).accepted
    rig.run(0.3)
    assert rig.state == State.STANDBY


def test_the_row_of_a_fault_that_this_version_does_not_know_is_a_whole_one(kit):
    rig = kit.rig(record=latched("FROM_THE_FUTURE"))
    rig.run(0.5)
    (row,) = (entry.row for entry in rig.last.faults)
    known = FAULT_BY_ID["SMOKE_ALARM"]
    for of in (lambda row: row, lambda row: row.timing):
        for field in dataclasses.fields(of(known)):
            value, other = getattr(of(row), field.name), getattr(of(known), field.name)
            assert isinstance(value, type(other)), field.name
    assert row.level == Level.SAFETY and row.opens and row.blocks_closing and row.unit == ""
    assert row.timing.delay_s == row.timing.debounce_s == 0.0 and row.timing.opening_deadline_s is None
    assert row.clear_condition.startswith("by name only")
    limits = rig.last.limits
    assert limits.charge_current_a == limits.discharge_current_a == 0.0
    assert (row.charge_factor, row.discharge_factor) == (0.0, 0.0)


def test_counts_of_what_is_not_monitored_are_kept_but_not_shown(kit):
    stored = {"SMOKE_ALARM": StoredFault(False, 7, 1.0, 2.0), "GONE": StoredFault(False, 2, 1.0, 2.0)}
    rig = kit.rig(record=FaultRecord("TEST-1", 2, stored), device=kit.signals("smoke"))
    rig.run(0.5)
    assert not rig.ids() and rig.monitor.record().faults == stored


def test_the_table_says_who_clears_what():
    for row in FAULT_TABLE:
        text = row.clear_condition
        assert text.startswith("by itself") != row.latched
        assert ("by name only" in text) == (row.latched and row.by_name)
    assert "the lowest cell is above" in FAULT_BY_ID["DEEP_DISCHARGE"].clear_condition


def test_the_state_names_a_fault_that_still_holds_when_the_one_it_began_with_is_cleared(kit):
    both = {"CELL_OVER_VOLTAGE_SAFETY", "STRING_VOLTAGE_MISMATCH"}
    rig = kit.rig(record=latched(*both))
    rig.run(1.0)
    first = rig.last.status.reason.removeprefix("fault:")
    (other,) = both - {first}
    assert rig.monitor.clear([first], rig.t_s).cleared == (first,)
    assert rig.run(0.1).status.reason == f"fault:{other}"
    assert rig.state == State.FAULT and first not in rig.last.status.explanation
    assert rig.monitor.clear([], rig.t_s).accepted
    assert rig.run(0.1).status.reason == "faults_cleared" and rig.state == State.STANDBY
