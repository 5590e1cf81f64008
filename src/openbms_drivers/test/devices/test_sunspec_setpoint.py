"""The wish and what binds it: expiry of everything, limits times voltage, nameplate, events, connection."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_core.types import FinalLimits, GridEvent, GridEventKind, PowerSetpoint
from openbms_drivers.devices.sunspec.ratings import Ratings
from openbms_drivers.devices.sunspec.setpoint import SiteInputs, Surroundings, decide


def limits(
    charge_a: float = 100.0, discharge_a: float = 100.0, charge_w: float = 6000.0, discharge_w: float = 6000.0
) -> FinalLimits:
    return FinalLimits(
        charge_a, discharge_a, charge_w, discharge_w, "cell_voltage_high", "cold", "", False, math.nan, 0.5
    )


def event(source: str = "dso", kind: int = GridEventKind.CURTAILMENT, **bounds: float) -> GridEvent:
    names = ("charge_power_w", "discharge_power_w", "import_power_w", "export_power_w")
    return GridEvent(kind, *(bounds.get(name, math.nan) for name in names), source, "why", 60.0)


def none() -> GridEvent:
    return event("inverter", GridEventKind.NONE)


def inputs(power_w: float, now_s: float = 0.0, *, valid_for_s: float = 5.0) -> SiteInputs:
    held = SiteInputs()
    held.take_setpoint(PowerSetpoint(power_w, "plan", "", valid_for_s), now_s)
    held.take_limits(limits(), now_s)
    held.take_pack(50.0, 10.0, now_s)
    return held


AROUND = Surroundings(Ratings(5000.0, 5000.0, 5000.0, 5000.0), none(), 300.0)


def power(held: SiteInputs, around: Surroundings = AROUND, now_s: float = 0.0) -> tuple[float, str]:
    decision = decide(held, around, now_s, release_when_expired=False)
    return decision.power_w, decision.bound_by


def test_a_wish_within_everything_is_granted() -> None:
    assert power(inputs(1234.0)) == (1234.0, "")
    assert power(inputs(-1234.0)) == (-1234.0, "")


@pytest.mark.parametrize("wanted", [3000.0, -3000.0])
def test_each_thing_that_expires_ends_the_power(wanted: float) -> None:
    assert power(inputs(wanted), now_s=0.4)[0] == wanted
    held = inputs(wanted)
    assert power(held, now_s=0.51) == (0.0, "limits_stale")
    held.take_limits(limits(), 1.2)
    assert power(held, now_s=1.2) == (0.0, "pack_voltage_unknown")
    held.take_pack(50.0, 0.0, 5.1)
    held.take_limits(limits(), 5.1)
    assert power(held, now_s=5.1) == (0.0, "no_setpoint")


def test_nothing_was_ever_received() -> None:
    assert power(SiteInputs()) == (0.0, "limits_stale")


def test_without_a_wish_the_inverter_may_be_left_to_itself_but_not_without_limits() -> None:
    held = SiteInputs()
    held.take_limits(limits(), 0.0)
    assert decide(held, AROUND, 0.0, release_when_expired=True).release
    assert not decide(held, AROUND, 0.0, release_when_expired=False).release
    assert not decide(held, AROUND, 9.0, release_when_expired=True).release


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_wish_that_is_no_number_ends_the_one_before(wrong: float) -> None:
    held = inputs(1000.0)
    held.take_setpoint(PowerSetpoint(wrong, "plan", "", 5.0), 0.0)
    assert power(held) == (0.0, "no_setpoint")


def test_current_limits_count_times_the_measured_voltage() -> None:
    held = inputs(4000.0)
    held.take_limits(limits(charge_a=20.0), 0.0)
    assert power(held) == (1000.0, "limits")
    held = inputs(-4000.0)
    held.take_limits(limits(discharge_a=30.0), 0.0)
    assert power(held) == (-1500.0, "limits")


def test_power_limits_count_too_and_one_that_is_unknown_is_zero() -> None:
    held = inputs(4000.0)
    held.take_limits(limits(charge_w=700.0), 0.0)
    assert power(held) == (700.0, "limits")
    for wrong in (limits(charge_w=math.nan), limits(charge_a=math.nan), limits(charge_a=-5.0)):
        held.take_limits(wrong, 0.0)
        assert power(held) == (0.0, "limits")


def test_nameplate_and_one_that_is_unknown() -> None:
    assert power(inputs(6000.0), Surroundings(Ratings(2500.0, 2000.0), none())) == (2500.0, "nameplate")
    assert power(inputs(-6000.0), Surroundings(Ratings(2500.0, 2000.0), none())) == (-2000.0, "nameplate")
    decision = decide(inputs(100.0), Surroundings(Ratings(), none()), 0.0, release_when_expired=False)
    assert decision.power_w == 0.0 and "charge_max_w" in decision.reason


def test_an_inverter_that_is_not_read_gets_nothing() -> None:
    assert power(inputs(500.0), Surroundings(AROUND.ratings, None)) == (0.0, "inverter_unreachable")


@pytest.mark.parametrize(
    ("given_event", "charge_w", "discharge_w"),
    [
        (event(charge_power_w=800.0), 800.0, -3000.0),
        (event(discharge_power_w=0.0), 3000.0, 0.0),
        (event(kind=GridEventKind.DISCONNECTED), 0.0, 0.0),
        (event(kind=GridEventKind.FAULT), 0.0, 0.0),
        (event(import_power_w=1000.0), 700.0, -3000.0),  # the house itself draws 300 W
        (event(export_power_w=1000.0), 3000.0, -1300.0),
        (event(import_power_w=100.0), 0.0, -3000.0),  # never turned round into discharging
    ],
)
def test_events_of_the_grid(given_event: GridEvent, charge_w: float, discharge_w: float) -> None:
    for wanted, expected in ((3000.0, charge_w), (-3000.0, discharge_w)):
        held = inputs(wanted)
        held.take_event(given_event, 0.0)
        assert power(held)[0] == expected
        held.take_event(event(kind=GridEventKind.NONE), 0.0)
        assert power(held)[0] == wanted


def test_an_event_expires_and_the_smallest_of_several_counts() -> None:
    held = inputs(3000.0, valid_for_s=100.0)
    held.take_event(event("a", charge_power_w=2000.0), 0.0)
    held.take_event(event("b", charge_power_w=1000.0), -30.0)
    assert power(held) == (1000.0, "grid_event:b")
    for now_s, expected in ((31.0, 2000.0), (61.0, 3000.0)):
        held.take_limits(limits(), now_s)
        held.take_pack(50.0, 0.0, now_s)
        assert power(held, now_s=now_s)[0] == expected


def test_what_this_node_says_itself_does_not_come_back_to_it() -> None:
    held = inputs(3000.0)
    held.take_event(event("inverter", charge_power_w=1.0), 0.0)
    assert power(held)[0] == 3000.0


def test_sources_that_only_pass_by_do_not_fill_the_memory() -> None:
    held = inputs(3000.0)
    for number in range(1000):
        held.take_event(event(f"s{number}", charge_power_w=2000.0), 0.0)
    assert len(held.events(0.0)) == 32


@pytest.mark.parametrize("others_w", [math.nan, 300.0, -4000.0, 20000.0])
def test_the_limits_of_the_connection(others_w: float) -> None:
    around = Surroundings(AROUND.ratings, none(), others_w, 2000.0, 1000.0)
    charge_w, discharge_w = power(inputs(4000.0), around)[0], power(inputs(-4000.0), around)[0]
    if math.isnan(others_w):
        assert (charge_w, discharge_w) == (0.0, 0.0)
    else:
        assert charge_w == min(4000.0, max(0.0, 2000.0 - others_w))
        assert discharge_w == -min(4000.0, max(0.0, 1000.0 + others_w))


@given(
    st.floats(-1e5, 1e5),
    st.floats(allow_nan=True, allow_infinity=False, width=32),
    st.floats(0, 300),
    st.floats(0, 800),
    st.one_of(st.just(math.nan), st.floats(0, 1e5)),
    st.one_of(st.just(math.nan), st.floats(-1e4, 1e4)),
)
def test_no_bound_is_ever_exceeded_and_no_direction_turned(
    wanted: float, limit_w: float, limit_a: float, volts: float, rated_w: float, others_w: float
) -> None:
    held = SiteInputs()
    held.take_setpoint(PowerSetpoint(wanted, "plan", "", 5.0), 0.0)
    held.take_limits(limits(limit_a, limit_a, limit_w, limit_w), 0.0)
    held.take_pack(volts, 0.0, 0.0)
    around = Surroundings(Ratings(rated_w, rated_w, rated_w, rated_w), none(), others_w, 5000.0, 5000.0)
    decision = decide(held, around, 0.0, release_when_expired=False)
    assert math.isfinite(decision.power_w)
    assert abs(decision.power_w) <= abs(wanted) + 1e-9 and decision.power_w * wanted >= 0.0
    assert abs(decision.power_w) <= limit_a * volts + 1e-6
    assert not math.isnan(limit_w) or decision.power_w == 0.0
    assert not math.isnan(rated_w) or decision.power_w == 0.0
    assert not math.isnan(others_w) or decision.power_w == 0.0
    assert (decision.power_w == wanted) == (decision.bound_by == "")
