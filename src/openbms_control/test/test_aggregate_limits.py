"""Division of the current between packs, and the limits of all."""

from __future__ import annotations

import numpy as np
import pytest
from aggregation_rig import facts, limits, scan, soh, view
from hypothesis import given
from hypothesis import strategies as st

from openbms_control.aggregation.limits import AggregateLimits, parallel_bound, series_bound
from openbms_control.aggregation.sharing import ShareEstimator, divide, prior_conductances
from openbms_core.types import State


def step(core, views, t_s=0.0, conductance=None, zero=False):
    members = np.array([one.connected or one.opening for one in views])
    currents = np.array([one.current_a for one in views])
    division = divide(
        np.ones(len(views)) if conductance is None else np.array(conductance), currents, members
    )
    return core.step(views, division, t_s, zero_current=zero, state_reason="state:STANDBY")


def test_equal_packs_may_take_the_sum() -> None:
    result = step(AggregateLimits(series=False, margin=0.0), [view(one) for one in facts(3)])
    assert result.charge_current_a == pytest.approx(150.0)
    assert result.discharge_current_a == pytest.approx(300.0)


def test_the_pack_with_the_least_resistance_binds_before_the_sum_is_reached() -> None:
    """Of 100 A each pack with twice the conductance carries 50: the sum of 150 A would give it 75."""
    result = step(
        AggregateLimits(series=False, margin=0.0),
        [view(one) for one in facts(3)],
        conductance=[2.0, 1.0, 1.0],
    )
    assert result.charge_current_a == pytest.approx(100.0)
    assert result.charge_reason == "current_rating:p0"


def test_current_that_flows_between_the_packs_is_taken_off() -> None:
    """The first pack takes 20 A from the others without any load: it reaches 50 A with 60 A in all."""
    packs = [view(one, current_a=a) for one, a in zip(facts(2), (20.0, -20.0), strict=True)]
    charge = step(AggregateLimits(series=False, margin=0.0), packs).charge_current_a
    assert charge == pytest.approx(60.0)
    packs = [view(one, current_a=a) for one, a in zip(facts(2), (60.0, -60.0), strict=True)]
    result = step(AggregateLimits(series=False, margin=0.0), packs)
    assert result.charge_current_a == 0.0 and result.charge_reason == "between_packs:p0"
    assert result.discharge_current_a == pytest.approx(80.0), "p1 gives 60 A already"


def test_the_power_of_a_pack_counts_as_current() -> None:
    packs = [view(facts(2)[0], limits=limits(charge_power_w=132.0)), view(facts(2)[1])]
    result = step(AggregateLimits(series=False, margin=0.0), packs)
    assert result.charge_current_a == pytest.approx(20.0), "132 W at 13.2 V are 10 A of each"
    assert result.charge_power_w == pytest.approx(264.0)


def test_a_pack_that_may_take_nothing_stops_all() -> None:
    packs = [view(facts(2)[0], limits=limits(0.0, charge_reason="cell_voltage_high")), view(facts(2)[1])]
    result = step(AggregateLimits(series=False, margin=0.0), packs)
    assert (result.charge_current_a, result.charge_reason) == (0.0, "cell_voltage_high:p0")
    assert result.discharge_current_a == pytest.approx(200.0)


def test_a_pack_that_is_lost_and_known_open_leaves_the_rest_at_once_in_the_same_step() -> None:
    core, own = AggregateLimits(series=False, margin=0.0), facts(3)
    assert step(core, [view(one) for one in own], 0.0).discharge_current_a == pytest.approx(300.0)
    lost = view(own[1], State.FAULT, scan=None)
    result = step(core, [view(own[0]), lost, view(own[2])], 0.1)
    assert result.discharge_current_a == pytest.approx(200.0)
    assert result.charge_reason == "current_rating:p0"


def test_nothing_rises_while_a_pack_may_be_connected_that_is_not_heard() -> None:
    core, own = AggregateLimits(series=False, margin=0.0), facts(2)
    weak = view(own[0], limits=limits(5.0))
    assert step(core, [weak, view(own[1])], 0.0).charge_current_a == pytest.approx(10.0)
    silent = view(own[0], None, scan=None)
    for n in range(1, 100):
        held = step(core, [silent, view(own[1])], 0.1 * n)
        assert held.charge_current_a == pytest.approx(10.0)
        assert held.charge_reason == "pack_lost:p0"
    opened = view(own[0], None, scan=scan(closed=0))  # its driver says that it is off
    values = [step(core, [opened, view(own[1])], 10.0 + 0.1 * n).charge_current_a for n in range(60)]
    assert values[-1] == pytest.approx(50.0) and max(np.diff(values)) < 1.5, "it rises slowly"


def test_a_pack_that_opens_gets_what_its_contactors_break() -> None:
    own = facts(2)
    packs = [view(own[0], State.OPENING, scan=scan(-50.0)), view(own[1], current_a=-50.0)]
    result = step(AggregateLimits(series=False, margin=0.0), packs)
    assert result.discharge_current_a == pytest.approx(48.0), "24 A of each, 0.8 of 30 A"
    assert result.discharge_reason == "zero_current_requested:p0"


def test_stale_limits_are_zero_and_nobody_connected_is_zero() -> None:
    own = facts(2)
    for packs in (
        [view(one, None, scan=None) for one in own],
        [view(one, State.STANDBY) for one in own],
        [view(one, limits=None) for one in own],
    ):
        result = step(AggregateLimits(series=False, margin=0.05), packs)
        assert (result.charge_current_a, result.discharge_current_a) == (0.0, 0.0)
        assert (result.charge_power_w, result.discharge_power_w) == (0.0, 0.0)


def test_the_limits_expire_with_the_first_of_the_packs() -> None:
    own = facts(2)
    packs = [view(own[0], limits_left_s=0.32), view(own[1])]
    assert step(AggregateLimits(series=False, margin=0.0), packs).valid_for_s == pytest.approx(0.32)


def test_zero_current_is_zero_for_all() -> None:
    result = step(AggregateLimits(series=False, margin=0.0), [view(one) for one in facts(2)], zero=True)
    assert result.charge_current_a == 0.0 and result.charge_reason == "zero_current_requested"


def test_a_series_takes_the_smallest_limit_and_adds_the_volts() -> None:
    own = facts(3)
    packs = [
        view(one, limits=limits(charge_a)) for one, charge_a in zip(own, (50.0, 30.0, 40.0), strict=True)
    ]
    result = step(AggregateLimits(series=True, margin=0.0), packs)
    assert (result.charge_current_a, result.charge_reason) == (30.0, "current_rating:p1")
    assert result.charge_power_w == pytest.approx(30.0 * 3 * 13.2)
    packs[2] = view(own[2], State.STANDBY)
    assert series_bound(packs, charge=True).reason == "series_open:p2"


def test_shares_begin_with_resistance_and_capacity() -> None:
    own = facts(3)
    packs = [
        view(own[0], soh=soh(resistance_ohm=0.01)),
        view(own[1], soh=soh(resistance_ohm=0.02)),
        view(own[2]),
    ]
    g = prior_conductances(packs)
    assert g[0] / g[1] == pytest.approx(2.0)
    assert g[2] == pytest.approx(1.0 / 0.015), "not known: the median at its capacity"
    equal = prior_conductances([view(one) for one in own])
    assert equal == pytest.approx(np.full(3, equal[0]))


def test_shares_follow_the_changes_that_are_seen() -> None:
    """The second pack has half the resistance that is thought; a bad sensor's offset does not disturb."""
    own, core = facts(2), ShareEstimator(2)
    rng, division = np.random.default_rng(3), None
    for n in range(1200):
        if n % 10 == 0:
            total = float(rng.uniform(-100.0, 100.0))
        packs = [view(own[0], current_a=total / 3.0 + 4.0), view(own[1], current_a=total * 2.0 / 3.0 - 4.0)]
        division = core.step(packs, np.ones(2, bool), 0.1 * n)
    assert division.share == pytest.approx([1 / 3, 2 / 3], abs=0.02)
    assert core.step([view(one) for one in own], np.array([True, False]), 200.0).share.tolist() == [1.0, 0.0]


def test_an_unknown_current_gives_no_offset_and_a_wider_margin() -> None:
    own = facts(2)
    blind = view(own[0])
    blind.scan.string_current_validity[:] = 2
    packs = [blind, view(own[1], current_a=10.0)]
    division = divide(np.ones(2), np.array([one.current_a for one in packs]), np.ones(2, bool))
    assert not division.measured and division.offset_a.tolist() == [0.0, 0.0]
    core = AggregateLimits(series=False, margin=0.1)
    result = core.step(packs, division, 0.0, zero_current=False, state_reason="")
    assert result.charge_current_a == pytest.approx(50.0 / 0.6)


AMPS = st.floats(0.0, 500.0)
PACK = st.tuples(AMPS, AMPS, st.floats(0.05, 20.0), st.floats(-50.0, 50.0), st.booleans())


@given(st.lists(PACK, min_size=1, max_size=16), st.floats(0.0, 0.5), st.floats(0.0, 1.0))
def test_no_pack_ever_exceeds_its_own_limit_by_the_model(packs, margin, part) -> None:
    own = facts(len(packs))
    views = [
        view(
            one,
            State.CONNECTED if joined else State.STANDBY,
            current_a=a if joined else 0.0,
            limits=limits(c, d),
        )
        for one, (c, d, _, a, joined) in zip(own, packs, strict=True)
    ]
    members = np.array([one.connected for one in views])
    division = divide(
        np.array([g for _, _, g, _, _ in packs]), np.array([one.current_a for one in views]), members
    )
    for charge, sign in ((True, 1.0), (False, -1.0)):
        bound = parallel_bound(views, division, charge=charge, margin=margin)
        total = sum((c if charge else d) for c, d, _, _, joined in packs if joined)
        assert 0.0 <= bound.current_a <= total * (1 + 1e-9) + 1e-6, "the sum is the upper bound"
        carried = division.currents_a(sign * part * bound.current_a)
        for n, (c, d, _, _, joined) in enumerate(packs):
            allowed = c if charge else d
            if joined and sign * division.offset_a[n] <= allowed and bound.current_a > 0.0:
                assert sign * carried[n] <= allowed + 1e-6


@given(st.lists(st.tuples(AMPS, st.floats(0.05, 20.0)), min_size=2, max_size=8), st.integers(0, 7))
def test_a_pack_that_falls_silent_never_raises_the_limit(packs, which) -> None:
    own, which = facts(len(packs)), which % len(packs)
    views = [view(one, limits=limits(a, a)) for one, (a, _) in zip(own, packs, strict=True)]
    conductance = [g for _, g in packs]
    core = AggregateLimits(series=False, margin=0.05)
    before = step(core, views, 0.0, conductance)
    views[which] = view(own[which], None, scan=None)
    for n in range(1, 20):
        now = step(core, views, 0.1 * n, conductance)
        assert now.charge_current_a <= before.charge_current_a + 1e-9
        assert now.discharge_current_a <= before.discharge_current_a + 1e-9
