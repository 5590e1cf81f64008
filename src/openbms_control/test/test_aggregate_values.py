"""State of charge, health, measurement, state and faults of several packs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from aggregation_rig import CELLS, FACTS, facts, fault, limits, scan, soc, soh, status, view
from hypothesis import given
from hypothesis import strategies as st

from openbms_control.aggregation.charge import aggregate_soc, aggregate_soh, combined_std, slewed
from openbms_control.aggregation.pack_view import Connection
from openbms_control.aggregation.scan import aggregate_scan, link_voltage_v
from openbms_control.aggregation.state import aggregate_faults, aggregate_state, aggregate_status
from openbms_core.types import State, Validity


def parallel(views):
    return aggregate_soc(views, series=False, stamp_s=1.0)


def test_parallel_is_weighted_with_capacity() -> None:
    own = facts(2)
    views = [
        view(own[0], soc=soc(0.8, ah=80.0)),
        view(replace(own[1], capacity_ah=300.0), soc=soc(0.4, ah=120.0)),
    ]
    result = parallel(views)
    assert result.soc == pytest.approx(0.5)
    assert result.remaining_charge_ah == 200.0 and result.remaining_energy_wh == 1280.0
    assert len(result.cell_soc) == 2 * CELLS and result.quality == 2


def test_a_pack_out_of_service_is_not_counted_and_it_is_said() -> None:
    own = facts(2)
    result = parallel([view(own[0], soc=soc(0.8, ah=80.0)), view(own[1], State.FAULT, soc=soc(0.1, ah=10.0))])
    assert (result.soc, result.remaining_charge_ah) == (pytest.approx(0.8), 80.0)
    assert result.quality == 3 and "not counted: p1" in result.quality_reason
    assert math.isnan(parallel([view(one, soc=None) for one in own]).soc)


def test_series_ends_with_the_least_charge_and_the_least_room() -> None:
    own = facts(2)
    views = [view(own[0], soc=soc(0.8, ah=80.0, wh=1000.0)), view(own[1], soc=soc(0.4, ah=40.0, wh=500.0))]
    result = aggregate_soc(views, series=True, stamp_s=1.0)
    assert result.soc == pytest.approx(40.0 / (40.0 + 20.0))
    assert result.remaining_charge_ah == 40.0 and result.remaining_energy_wh == pytest.approx(1000.0)
    views[0] = view(own[0], soc=None)
    assert math.isnan(aggregate_soc(views, series=True, stamp_s=1.0).soc)


def test_what_is_shown_does_not_step() -> None:
    assert slewed(None, 0.5, 1.0) == 0.5
    assert slewed(0.5, 0.9, 1.0) == pytest.approx(0.51)
    assert slewed(0.5, 0.2, 1.0) == pytest.approx(0.49)
    assert slewed(math.nan, 0.2, 1.0) == 0.2


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 0.3)), min_size=1, max_size=16))
def test_soc_lies_between_the_packs_and_its_error_between_independent_and_equal(packs) -> None:
    own = facts(len(packs))
    result = parallel([view(one, soc=soc(z, s)) for one, (z, s) in zip(own, packs, strict=True)])
    assert min(z for z, _ in packs) - 1e-9 <= result.soc <= max(z for z, _ in packs) + 1e-9
    stds = np.array([s for _, s in packs])
    independent = math.sqrt(float((stds**2).sum())) / len(packs)
    assert independent - 1e-12 <= result.soc_std <= stds.mean() + 1e-12
    assert combined_std(np.ones(1), np.array([0.2])) == pytest.approx(0.2)


def test_soh_adds_capacity_in_parallel_and_takes_the_least_in_series() -> None:
    own = facts(2)
    views = [view(own[0], soh=soh(0.9)), view(own[1], soh=soh(0.7))]
    together = aggregate_soh(views, series=False, stamp_s=1.0)
    assert together.soh == pytest.approx(0.8) and together.usable_capacity_balanced_ah == pytest.approx(160.0)
    assert together.weakest_cell == CELLS + 1, "the second pack's cell 1"
    assert together.charge_in_ah == 20.0
    chain = aggregate_soh(views, series=True, stamp_s=1.0)
    assert chain.soh == pytest.approx(0.7) and chain.charge_in_ah == 10.0
    assert aggregate_soh([view(one) for one in own], series=False, stamp_s=1.0) is None
    half = aggregate_soh([views[0], view(own[1])], series=False, stamp_s=1.0)
    assert math.isnan(half.soh) and "not heard: p1" in half.quality_reason


def test_the_scan_has_the_bus_of_those_on_it_and_zero_current_of_those_off() -> None:
    own = facts(3)
    views = [
        view(own[0], current_a=-10.0, voltage_v=13.2),
        view(own[1], State.STANDBY, voltage_v=15.0, link_v=13.2),
        view(own[2], None, scan=None),
    ]
    m = aggregate_scan(views, series=False, stamp_s=5.0, number=7)
    assert (m.stamp_s, m.scan_number, m.link_voltage_v) == (5.0, 7, 13.2)
    assert m.string_currents_a[:2].tolist() == [-10.0, 0.0] and math.isnan(m.string_currents_a[2])
    assert m.string_voltage_validity.tolist() == [0, Validity.NOT_AVAILABLE, Validity.MISSING]
    assert len(m.cell_voltages_v) == 3 * CELLS and np.isnan(m.cell_voltages_v[-CELLS:]).all()
    assert m.cell_voltages_v[CELLS] == pytest.approx(15.0 / CELLS), "what is off the bus is still measured"
    assert m.contactor_feedback.tolist() == [1, 1, 0, 0, 0, 0, 255, 255, 255]
    assert m.bus_state == 0 and "p2: not heard" in m.bus_message


def test_a_lost_pack_that_is_known_open_carries_nothing() -> None:
    own = facts(2)
    m = aggregate_scan([view(own[0], current_a=5.0), view(own[1], State.FAULT, scan=None)], series=False,
                       stamp_s=1.0, number=0)  # fmt: skip
    assert m.string_currents_a.tolist() == [5.0, 0.0] and m.string_current_validity.tolist() == [0, 0]


def test_a_series_is_one_string() -> None:
    views = [view(one, current_a=a) for one, a in zip(facts(3), (5.0, 5.2, 5.1), strict=True)]
    m = aggregate_scan(views, series=True, stamp_s=1.0, number=0)
    assert m.string_currents_a.tolist() == [5.1] and m.string_voltages_v.tolist() == [pytest.approx(39.6)]
    assert m.contactor_feedback.tolist() == [1, 1, 0] and m.link_voltage_v == pytest.approx(39.6)


def test_one_bad_link_sensor_does_not_decide() -> None:
    views = [view(one, link_v=v) for one, v in zip(facts(3), (13.2, 0.0, 13.3), strict=True)]
    assert link_voltage_v(views, series=False) == 13.2


@pytest.mark.parametrize(
    ("state", "changes", "connection"),
    [
        (State.CONNECTED, {}, Connection.CLOSED),
        (State.STANDBY, {}, Connection.OPEN),
        (State.PRECHARGE, {}, Connection.MOVING),
        (State.OPENING, {}, Connection.MOVING),
        (State.FAULT, {"scan": None}, Connection.OPEN),
        (State.FAULT, {"scan": scan(closed=1)}, Connection.CLOSED),  # a weld
        (None, {"scan": scan(closed=1)}, Connection.CLOSED),
        (None, {"scan": scan(closed=0)}, Connection.OPEN),
        (None, {"scan": None}, Connection.UNKNOWN),
        (State.DRIVE, {"status": status(State.DRIVE, contactors_closed=False)}, Connection.MOVING),
    ],
)
def test_where_the_contactors_are(state, changes, connection) -> None:
    assert view(FACTS, state, **changes).connection is connection


OFF, ON, OPENS, BAD, START = State.STANDBY, State.DRIVE, State.OPENING, State.FAULT, State.INIT


@pytest.mark.parametrize(
    ("wanted", "packs", "state"),
    [
        (OFF, (OFF, OFF), State.STANDBY),
        (OFF, (OFF, BAD), State.STANDBY),
        (OFF, (BAD, BAD), State.FAULT),
        (OFF, (START, START), State.INIT),
        (OFF, (START, OFF), State.STANDBY),
        (OFF, (START, BAD), State.FAULT),
        (OFF, (None, None), State.INIT),
        (OFF, (ON, OFF), State.OPENING),
        (OFF, (OPENS, OFF), State.OPENING),
        (ON, (OFF, OFF), State.PRECHARGE),
        (ON, (State.PRECHARGE, OFF), State.PRECHARGE),
        (ON, (ON, OFF), State.DRIVE),
        (ON, (ON, BAD), State.DRIVE),
        (ON, (ON, None), State.DRIVE),
        (ON, (OPENS, ON), State.DRIVE),
        (ON, (None, None), State.FAULT),
    ],
)
def test_one_state_of_all(wanted, packs, state) -> None:
    views = [view(one, own, **({"scan": None} if own is None else {}))
             for one, own in zip(facts(2), packs, strict=True)]  # fmt: skip
    assert aggregate_state(views, wanted, series=False) == state


def test_a_fault_of_a_pack_that_is_out_is_a_warning_of_the_whole() -> None:
    own = facts(2)
    out = view(own[1], State.FAULT, faults=(fault("CELL_OVER_VOLTAGE_SAFETY"),))
    found = aggregate_faults([view(own[0]), out])
    assert (found[0].id, found[0].level) == ("CELL_OVER_VOLTAGE_SAFETY", 1)
    assert found[0].explanation.startswith("p1 (S1): ")
    assert aggregate_faults([view(own[0], State.STANDBY), out])[0].level == 2, "nobody works any more"
    on = view(own[1], faults=(fault("CELL_OVER_VOLTAGE_SAFETY"),))
    assert aggregate_faults([view(own[0]), on])[0].level == 2, "it is on the bus"
    danger = view(own[1], State.FAULT, faults=(fault("SMOKE_ALARM"),))
    assert aggregate_faults([view(own[0]), danger])[0].level == 2, "smoke stays what it is"


def test_cells_are_counted_through() -> None:
    own = facts(2)
    cell = replace(fault("CELL_OVER_VOLTAGE_SAFETY"), index=3)
    found = aggregate_faults([view(own[0]), view(own[1], faults=(cell,))])
    assert found[0].index == 3 and "p1" in found[0].explanation, "the pack's own number, its name beside it"


def test_the_status_says_who_is_out_and_asks_for_zero_only_when_all_do() -> None:
    own = facts(2)
    views = [view(own[0]), view(own[1], State.OPENING)]
    said = aggregate_status(
        views, limits(0.0, 20.0, charge_reason="device_limit:p1"),
        None, wanted=State.CONNECTED, reason="requested",
        out={"p1": "it is opening"}, series=False, entered_s=0.0, t_s=1.0,
    )  # fmt: skip
    assert not said.zero_current_requested and said.contactors_closed
    assert not said.charge_allowed and said.discharge_allowed
    assert "charge:device_limit:p1" in said.inhibits and "pack_p1:left_out" in said.inhibits
    assert len(said.inhibits) == len(said.inhibit_texts)
    assert len(said.contactor_command) == 6
