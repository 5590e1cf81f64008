"""Who is connected when: order, voltage match, loss, return, by hand, danger, series."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from aggregation_rig import FACTS, facts, fault, limits, scan, status, view

from openbms_control.aggregation.aggregator import AggregateSettings, Aggregator
from openbms_control.aggregation.joining import JoinSettings, equalising_current_a, first_pack, misfit
from openbms_core.config_file import ConfigError
from openbms_core.types import State


class Rack:
    """Packs that do what their monitors are asked for, a step later; an own voltage each, and one bus."""

    def __init__(self, volts, settings=None, **changes):
        self.facts = facts(len(volts), **changes)
        self.core = Aggregator(self.facts, settings or AggregateSettings())
        self.volts = {one.name: v for one, v in zip(self.facts, volts, strict=True)}
        self.state = dict.fromkeys(self.volts, State.STANDBY)
        self.reason = dict.fromkeys(self.volts, "ready")
        self.faults = dict.fromkeys(self.volts, ())
        self.refuse, self.deaf, self.dead = set(), set(), set()
        self.load_a, self.t_s, self.log, self.result = 0.0, 100.0, [], None

    @property
    def closed(self):
        return [name for name, state in self.state.items() if state in (3, 4, 5)]

    def views(self):
        closed = self.closed
        bus = sum(self.volts[name] for name in closed) / len(closed) if closed else 0.0
        found = []
        for one in self.facts:
            name, state = one.name, self.state[one.name]
            if name in self.dead:
                found.append(view(one, None, scan=None))
                continue
            on = name in closed
            volts = bus if on else self.volts[name]
            current = self.load_a / len(closed) if on else 0.0
            found.append(
                view(
                    one,
                    status=status(state, reason=self.reason[name]),
                    limits=limits() if on else limits(0.0, 0.0),
                    scan=scan(current, volts, bus, int(on), one),
                    faults=self.faults[name],
                )
            )
        return found

    def request(self, state):
        return self.core.request(state, self.views())

    def run(self, seconds):
        for _ in range(round(seconds / 0.1)):
            for name, state in self.state.items():
                if state == State.PRECHARGE:
                    self.state[name] = self.core._conductor.wanted
                elif state == State.OPENING:
                    self.state[name] = State.STANDBY
            self.result = self.core.step(self.views(), self.t_s)
            for order in self.result.orders:
                self.log.append((order.pack, order.state.name))
                if order.pack in self.deaf:
                    continue
                refused = order.pack in self.refuse
                self.core.answered(order, not refused, "no", self.t_s)
                if not refused:
                    opens = order.state == State.STANDBY
                    self.state[order.pack] = State.OPENING if opens else State.PRECHARGE
                    self.reason[order.pack] = "requested"
            self.t_s += 0.1
        return self.result


@pytest.mark.parametrize(
    ("target", "volts", "order", "left"),
    [
        (State.DRIVE, (13.0, 13.4, 13.2), ["p1", "p2", "p0"], []),
        (State.CHARGE, (13.0, 13.4, 13.2), ["p0", "p2", "p1"], []),
        (State.CONNECTED, (13.0, 13.4, 13.2), ["p1", "p2", "p0"], []),
        # one that stands apart: of a load the highest begins, for storage one of the group
        (State.DRIVE, (13.2, 16.0, 13.2), ["p1"], ["p0", "p2"]),
        (State.CHARGE, (13.2, 10.0, 13.2), ["p1"], ["p0", "p2"]),
        (State.CONNECTED, (13.2, 16.0, 13.2), ["p0", "p2"], ["p1"]),
        (State.CONNECTED, (13.2, 10.0, 13.2), ["p0", "p2"], ["p1"]),
    ],
)
def test_packs_are_connected_one_after_the_other_and_only_where_they_fit(target, volts, order, left) -> None:
    rack = Rack(volts, model_resistance_ohm=0.1)
    assert rack.request(target).accepted
    result = rack.run(20.0)
    assert [name for name, _ in rack.log] == order
    assert result.status.state == target and sorted(result.out) == left
    for name in left:
        assert "V off the bus" in result.out[name]
    assert result.limits.discharge_current_a > 0.0


def test_only_one_moves_at_a_time_and_each_fits_for_a_while() -> None:
    rack = Rack((13.2, 13.2, 13.2, 13.2))
    rack.request(State.CONNECTED)
    times = {}
    for _ in range(200):
        rack.run(0.1)
        assert sum(state in (State.PRECHARGE, State.OPENING) for state in rack.state.values()) <= 1
        for name, _ in rack.log:
            times.setdefault(name, rack.t_s)
    gaps = sorted(times.values())
    assert len(gaps) == 4 and all(b - a >= 1.0 for a, b in pairwise(gaps))


def test_who_is_not_ready_yet_is_waited_for_before_the_first_is_chosen() -> None:
    """The empty one is ready first: if it began, none of the others would fit to it."""
    rack = Rack((13.2, 13.2, 10.0), model_resistance_ohm=0.1)
    rack.state["p0"] = rack.state["p1"] = State.INIT
    assert rack.request(State.CONNECTED).accepted
    rack.run(2.0)
    assert rack.log == []
    rack.state["p0"] = rack.state["p1"] = State.STANDBY
    rack.run(8.0)
    assert rack.closed == ["p0", "p1"]
    alone = Rack((13.2, 13.2))
    alone.state["p1"] = State.FAULT
    alone.request(State.CONNECTED)
    alone.run(6.0)
    assert alone.closed == ["p0"], "but not for ever"


def test_a_request_that_is_repeated_moves_no_second_pack() -> None:
    rack = Rack((13.2, 13.2, 13.2))
    rack.deaf |= {"p0", "p1", "p2"}  # what they are asked for takes a while
    for _ in range(10):
        assert rack.request(State.CONNECTED).accepted
        rack.run(0.2)
    assert len(rack.log) == 1


def test_a_pack_joins_when_the_bus_has_come_to_it() -> None:
    rack = Rack((16.0, 13.2), model_resistance_ohm=0.1)
    rack.request(State.DRIVE)
    rack.run(10.0)
    assert rack.closed == ["p0"]
    rack.volts["p0"] = 13.9  # discharged
    rack.run(3.0)
    assert rack.closed == ["p0", "p1"]


def test_a_loaded_bus_that_seems_to_fit_does_not() -> None:
    """p0 has 14 V without load; at 80 A its bus is at the 13.2 V of p1, which 40 A would flow into later."""
    own = facts(2)
    loaded = view(own[0], current_a=-80.0, voltage_v=13.2)
    waiting = view(own[1], State.STANDBY, voltage_v=13.2, link_v=13.2)
    assert equalising_current_a(waiting, [loaded], 13.2) == pytest.approx(40.0)
    assert "40 A would flow" in misfit(waiting, [loaded], JoinSettings())
    assert misfit(waiting, [view(own[0], voltage_v=13.2)], JoinSettings()) == ""


def test_the_window_is_never_wider_than_that_of_the_packs_own_monitor() -> None:
    waiting = view(FACTS, State.STANDBY)
    assert JoinSettings(50.0).window_v(waiting) == pytest.approx(0.9)
    assert JoinSettings(0.5).window_v(waiting) == 0.5
    without = view(replace(FACTS, join_window_v=float("nan")), State.STANDBY)
    assert JoinSettings().window_v(without) == pytest.approx(0.0256)


def test_another_bus_on_its_side_is_no_match() -> None:
    own = facts(2)
    assert "on its side of the bus" in misfit(
        view(own[1], State.STANDBY, link_v=0.0), [view(own[0])], JoinSettings()
    )


def test_a_lost_pack_derates_and_returns() -> None:
    rack = Rack((13.2, 13.2, 13.2))
    rack.request(State.CONNECTED)
    full = rack.run(15.0).limits.discharge_current_a
    rack.state["p1"], rack.reason["p1"] = State.FAULT, "fault:DRIVER_LOST"
    result = rack.run(0.1)
    assert result.limits.discharge_current_a == pytest.approx(full * 2 / 3, rel=1e-3)
    assert result.status.state == State.CONNECTED and result.status.contactors_closed
    assert "FAULT" in result.out["p1"] and result.orders == []
    rack.state["p1"] = State.STANDBY
    rack.reason["p1"] = "faults_cleared"
    rack.run(3.0)
    assert "p1" not in rack.closed, "it waits a while before it is asked again"
    rack.run(10.0)
    assert sorted(rack.closed) == ["p0", "p1", "p2"]
    # each further loss makes it wait longer
    for wait_s in (10.0, 20.0):
        rack.state["p1"] = State.FAULT
        rack.run(0.5)
        rack.state["p1"], lost_s = State.STANDBY, rack.t_s
        while "p1" not in rack.closed:
            rack.run(0.1)
        assert rack.t_s - lost_s == pytest.approx(wait_s, abs=2.0)


def test_a_pack_that_somebody_opened_by_hand_stays_out_until_the_whole_is_requested_again() -> None:
    rack = Rack((13.2, 13.2))
    rack.request(State.CONNECTED)
    rack.run(10.0)
    rack.state["p1"], rack.reason["p1"] = State.STANDBY, "requested"
    result = rack.run(60.0)
    assert rack.closed == ["p0"] and "taken out" in result.out["p1"]
    assert rack.request(State.CONNECTED).accepted
    rack.run(5.0)
    assert rack.closed == ["p0", "p1"]


def test_a_refusing_pack_does_not_keep_the_others_out() -> None:
    rack = Rack((13.4, 13.2, 13.2))
    rack.refuse.add("p0")
    rack.request(State.DRIVE)
    result = rack.run(10.0)
    assert sorted(rack.closed) == ["p1", "p2"]
    assert "tried again" in result.out["p0"] and "(no)" in result.out["p0"]
    rack = Rack((13.4, 13.2))
    rack.deaf.add("p0")
    rack.request(State.DRIVE)
    rack.run(6.0)
    assert rack.closed == ["p1"], "one that never answers is passed over after a while"


def test_nobody_can_be_connected() -> None:
    rack = Rack((13.2, 13.2))
    rack.refuse |= {"p0", "p1"}
    rack.request(State.DRIVE)
    result = rack.run(3.0)
    assert result.status.state == State.STANDBY
    assert result.status.reason == "could_not_close:p0,p1"
    rack.state = dict.fromkeys(rack.state, State.FAULT)
    rack.run(0.2)
    answer = rack.request(State.DRIVE)
    assert not answer.accepted and "p0: its state is FAULT" in answer.reason
    assert rack.run(0.1).status.state == State.FAULT


def test_when_the_last_pack_is_gone_nothing_closes_unasked() -> None:
    rack = Rack((13.2, 13.2))
    rack.request(State.CONNECTED)
    rack.run(10.0)
    for name in rack.state:
        rack.state[name], rack.reason[name] = State.FAULT, "fault:BUS_LOST"
    result = rack.run(0.2)
    assert (result.status.state, result.status.reason) == (State.FAULT, "fault:BUS_LOST")
    rack.state = dict.fromkeys(rack.state, State.STANDBY)
    rack.log.clear()
    assert rack.run(120.0).status.state == State.STANDBY and rack.log == []


def test_a_process_that_was_held_up_ends_nothing() -> None:
    """For a moment nobody is heard: limits are zero, but nobody is asked to open."""
    rack = Rack((13.2, 13.2))
    rack.request(State.CONNECTED)
    rack.run(10.0)
    rack.log.clear()
    rack.dead = {"p0", "p1"}
    assert rack.run(0.5).limits.discharge_current_a == 0.0
    rack.dead = set()
    assert rack.run(0.5).status.state == State.CONNECTED and rack.log == []


def test_standby_opens_all_at_once_at_zero_current() -> None:
    rack = Rack((13.2, 13.2, 13.2))
    rack.request(State.CONNECTED)
    rack.run(15.0)
    rack.log.clear()
    answer = rack.request(State.STANDBY)
    assert answer.accepted
    result = rack.run(0.1)
    assert sorted(rack.log) == [("p0", "STANDBY"), ("p1", "STANDBY"), ("p2", "STANDBY")]
    assert result.status.state == State.OPENING and result.status.zero_current_requested
    assert result.limits.charge_current_a == result.limits.discharge_current_a == 0.0
    assert not rack.request(State.DRIVE).accepted, "only from STANDBY"
    assert rack.run(1.0).status.state == State.STANDBY


@pytest.mark.parametrize("name", ["EMERGENCY_STOP", "SMOKE_ALARM", "THERMAL_RUNAWAY_EMERGENCY"])
def test_what_endangers_all_opens_all(name) -> None:
    rack = Rack((13.2, 13.2))
    rack.request(State.CONNECTED)
    rack.run(10.0)
    rack.faults["p1"] = (fault(name),)
    rack.state["p1"] = State.FAULT
    result = rack.run(1.0)
    assert rack.closed == [] and result.status.reason == f"fault:{name} (p1)"
    answer = rack.request(State.CONNECTED)
    assert not answer.accepted and name in answer.reason
    rack.faults["p1"] = ()
    assert rack.request(State.CONNECTED).accepted


def test_a_restart_takes_over_what_is_closed_and_closes_nothing() -> None:
    rack = Rack((13.2, 13.2, 13.2))
    rack.state["p0"] = rack.state["p2"] = State.DRIVE
    result = rack.run(30.0)
    assert (result.status.state, result.status.reason) == (State.DRIVE, "adopted")
    assert rack.log == [] and list(result.out) == ["p1"]
    assert result.limits.discharge_current_a > 0.0


def test_requests_that_make_no_sense() -> None:
    rack = Rack((13.2, 13.2))
    assert not rack.request(State.FAULT).accepted
    rack.request(State.DRIVE)
    rack.run(10.0)
    assert "already" in rack.request(State.DRIVE).reason
    assert "request STANDBY first" in rack.request(State.CHARGE).reason


def test_first_pack_needs_a_voltage() -> None:
    blind = view(FACTS, State.STANDBY, scan=None)
    assert first_pack([blind], State.DRIVE, JoinSettings()) is None


SERIES = AggregateSettings(series=True)


def test_a_series_closes_the_precharging_pack_last_and_opens_as_one() -> None:
    rack = Rack((13.2, 13.2, 13.2), SERIES, has_precharge=False)
    rack.facts[0] = replace(rack.facts[0], has_precharge=True)
    rack.core = Aggregator(rack.facts, SERIES)
    assert rack.request(State.DRIVE).accepted
    result = rack.run(20.0)
    assert [name for name, _ in rack.log] == ["p1", "p2", "p0"]
    assert result.status.state == State.DRIVE
    rack.log.clear()
    rack.state["p1"], rack.reason["p1"] = State.FAULT, "fault:CELL_UNDER_VOLTAGE_SAFETY"
    result = rack.run(0.1)
    assert sorted(rack.log) == [("p0", "STANDBY"), ("p2", "STANDBY")]
    assert result.limits.discharge_current_a == 0.0 and result.status.reason == "series_open:p1"
    answer = rack.request(State.DRIVE)
    assert not answer.accepted


def test_a_series_with_a_silent_pack_opens_after_a_second() -> None:
    rack = Rack((13.2, 13.2), SERIES, has_precharge=False)
    rack.request(State.DRIVE)
    rack.run(20.0)
    rack.log.clear()
    rack.dead = {"p1"}
    assert rack.run(0.5).limits.charge_current_a == 0.0 and rack.log == []
    rack.run(1.0)
    assert ("p0", "STANDBY") in rack.log


@pytest.mark.parametrize(
    ("packs", "series", "said"),
    [
        (facts(1), False, "two or more"),
        ([facts(2)[0], replace(facts(2)[1], cells_in_series=5)], False, "same number of cells"),
        ([facts(2)[0], replace(facts(2)[1], chemistry="nmc")], False, "one chemistry"),
        (facts(2), True, "only one pack may have a precharge resistor, here have: p0, p1"),
    ],
)
def test_packs_that_are_no_battery(packs, series, said) -> None:
    with pytest.raises(ConfigError, match=said):
        Aggregator(packs, AggregateSettings(series=series))
