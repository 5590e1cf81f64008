"""What holds for every brand and every course of inputs: never more than was allowed, never old, in range."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lv_battery import FACTS, STAMP_S, charge, health, limits, measurement, status
from lv_tables import DOCUMENTS, decode

from openbms_core.types import FinalLimits, State
from openbms_drivers.devices.inverter_lv.gateway import GatewaySettings, InverterGateway
from openbms_drivers.devices.inverter_lv.limits import CurrentLimit, Shaping, received_currents_a
from openbms_drivers.devices.inverter_lv.profile import load_profile, shipped_profiles

PROFILES = {name: load_profile(name) for name in shipped_profiles()}
AT_ONCE = GatewaySettings(shaping=Shaping(rise_s=0.001, hold_s=0.0))
KEEPS_ABOVE = ("sma", "victron", "sofar")
SMALLEST_A = {"deye": 0.1, "sofar": 0.1}

anything = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.sampled_from([0.0, 0.04, 0.05, 0.1, 99.95, 3276.7, 3276.8, 6553.5, 1e9, -1e9]),
)
names = st.sampled_from(sorted(PROFILES))
steps = st.lists(
    st.tuples(
        st.sampled_from([0.02, 0.1, 0.3, 0.6, 1.0]),
        st.one_of(st.none(), st.tuples(anything, anything, anything, anything)),
        st.one_of(st.none(), st.sampled_from(list(State))),
        st.one_of(st.none(), st.floats(0.0, 70.0)),
    ),
    max_size=25,
)


def given_limits(values: tuple[float, float, float, float]) -> FinalLimits:
    charge_a, discharge_a, charge_w, discharge_w = values
    return limits(charge_a, discharge_a, charge_power_w=charge_w, discharge_power_w=discharge_w)


def allowed(received: float) -> float:
    return received if received > 0.0 else 0.0  # NaN: nothing


@settings(max_examples=80, deadline=None)
@given(names, steps)
def test_nothing_beyond_what_was_received_and_still_counts(name: str, course: list[Any]) -> None:
    gateway, document, now_s = InverterGateway(PROFILES[name], FACTS, AT_ONCE), DOCUMENTS[name], 100.0
    newest: FinalLimits | None = None
    newest_s = state_s = volts_s = -math.inf
    state, volts, smallest_a = State.INIT, math.nan, SMALLEST_A.get(name, 0.0)
    for dt_s, given_now, state_now, volts_now in course:
        now_s += dt_s
        if given_now is not None:
            newest, newest_s = given_limits(given_now), now_s
            gateway.take("limits", newest, now_s, newest.valid_for_s)
        if state_now is not None:
            state, state_s = state_now, now_s
            gateway.take("state", status(state), now_s, 0.5)
        if volts_now is not None:
            volts, volts_s = volts_now, now_s
            gateway.take("measurement", measurement(volts), now_s)
        for frame in gateway.frames_due(now_s, STAMP_S + now_s):
            length, _ = document.frames[frame.identifier]
            assert len(frame.data) == length <= 8
            if frame.identifier != 0x351:
                continue
            told = decode(document, 0x351, frame.data)
            counts = (
                newest is not None
                and now_s - newest_s <= 0.5
                and now_s - state_s <= 0.5
                and state in (State.DRIVE, State.CHARGE, State.CONNECTED)
            )
            for key, received in (
                ("ccl_a", newest.charge_current_a if newest and counts else 0.0),
                ("dcl_a", newest.discharge_current_a if newest and counts else 0.0),
            ):
                assert told[key] <= max(allowed(received), smallest_a) + 1e-6
                low, high = document.current_range_a
                assert low <= told[key] <= high + 1e-6
            low_v, high_v = document.voltage_range_v
            assert max(low_v, 10.0) <= told["cvl_v"] + 1e-6 and told["cvl_v"] <= high_v + 1e-6
            if name in KEEPS_ABOVE and now_s - volts_s <= 0.5 and volts <= 62.9:
                assert told["cvl_v"] >= volts - 1e-6, "else it would discharge the battery"


@settings(max_examples=30, deadline=None)
@given(names, st.floats(0.05, 30.0), st.sampled_from(["limits", "state"]))
def test_whatever_stays_away_ends_the_current_in_time(name: str, valid_for_s: float, lost: str) -> None:
    gateway, document = InverterGateway(PROFILES[name], FACTS, AT_ONCE), DOCUMENTS[name]
    now_s = last_s = 0.0
    zero_a = SMALLEST_A.get(name, 0.0) + 1e-6
    # the word of the publisher counts, but no longer than 5 s; then one turn and the inhibit time
    latest_s = min(valid_for_s, 5.0) + 0.1 + document.inhibit_s + 0.1
    newest: dict[str, Any] = {}
    for turn in range(100):
        now_s = 0.1 * turn
        for topic, value in (("limits", limits()), ("state", status()), ("measurement", measurement())):
            if topic != lost or now_s < 2.0:
                keep_s = valid_for_s if topic == lost else None
                gateway.take(topic, value, now_s, keep_s)  # type: ignore[arg-type]
                last_s = now_s if topic == lost else last_s
        for frame in gateway.frames_due(now_s, STAMP_S + now_s):
            if frame.identifier == 0x351:
                newest = decode(document, 0x351, frame.data)
        if now_s > last_s + latest_s:
            assert max(newest["ccl_a"], newest["dcl_a"]) <= zero_a


@settings(max_examples=80, deadline=None)
@given(names, st.lists(anything, min_size=8, max_size=8))
def test_any_value_fits_its_field_or_is_withheld(name: str, values: list[float]) -> None:
    gateway, document = InverterGateway(PROFILES[name], FACTS, AT_ONCE), DOCUMENTS[name]
    scan = measurement(values[0], values[1])
    scan.cell_voltages_v[:] = values[2]
    scan.temperatures_degc[:] = values[3]
    found: dict[str, Any] = {}
    for turn in range(60):
        now_s = 0.1 * turn
        for topic, value in (
            ("limits", limits(values[4], values[5])), ("state", status()), ("measurement", scan),
            ("soc", charge(values[6])), ("soh", health(values[7])), ("faults", []),
        ):  # fmt: skip
            gateway.take(topic, value, now_s)  # type: ignore[arg-type]
        for frame in gateway.frames_due(now_s, STAMP_S + now_s):
            found |= decode(document, frame.identifier, frame.data)
    code = name in ("sma", "sofar")
    if math.isfinite(values[1]) and math.isfinite(values[0]) and "current_a" in found:
        # what does not fit is sent as the nearest that does, never wrapped around to the other sign
        assert found["current_a"] == pytest.approx(min(max(values[1], -3276.8), 3276.7), abs=0.21)
    elif not code:
        assert "current_a" not in found or math.isfinite(values[1])
    if math.isfinite(values[6]) and "soc_pct" in found:
        assert found["soc_pct"] == pytest.approx(100.0 * min(max(values[6], 0.0), 1.0), abs=0.51)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(-10.0, 500.0)), max_size=40),
    st.floats(0.0, 60.0),
    st.floats(0.0, 20.0),
)
def test_a_limit_falls_at_once_and_rises_slowly(
    course: list[tuple[float, float]], rise_s: float, hold_s: float
) -> None:
    limit, now_s, before_a, zero_s = CurrentLimit(100.0, Shaping(rise_s, hold_s)), 0.0, 0.0, -math.inf
    for dt_s, wanted_a in course:
        now_s += dt_s
        sent_a = limit.step(wanted_a, now_s)
        assert 0.0 <= sent_a <= max(wanted_a, 0.0)
        if sent_a > before_a:
            assert sent_a - before_a <= 100.0 / max(rise_s, 1e-3) * dt_s * (1.0 + 1e-9) + 1e-9
            assert before_a > 0.0 or now_s - zero_s >= hold_s
        if wanted_a <= before_a:
            assert sent_a == max(wanted_a, 0.0)
        if before_a > 0.0 and sent_a == 0.0:
            zero_s = now_s
        before_a = sent_a


@settings(max_examples=300, deadline=None)
@given(anything, anything, anything, anything, anything, st.floats(20.0, 63.0))
def test_a_power_limit_binds_too(
    charge_a: float, discharge_a: float, charge_w: float, discharge_w: float, volts: float, charge_v: float
) -> None:
    found = received_currents_a(given_limits((charge_a, discharge_a, charge_w, discharge_w)), volts, charge_v)
    for sent_a, current_a, power_w in zip(
        found, (charge_a, discharge_a), (charge_w, discharge_w), strict=True
    ):
        assert 0.0 <= sent_a <= allowed(current_a)
        if math.isfinite(volts) and volts > 0.0:
            assert sent_a * volts <= allowed(power_w) * (1.0 + 1e-9) + 1e-9
        assert not math.isnan(sent_a)


@settings(max_examples=40, deadline=None)
@given(names, st.integers(1, 16), st.floats(1.0, 2000.0))
def test_capacity_and_modules_of_any_battery(name: str, strings: int, capacity_ah: float) -> None:
    facts = dataclasses.replace(FACTS, strings=strings, rated_capacity_ah=strings * capacity_ah)
    gateway, document = InverterGateway(PROFILES[name], facts, AT_ONCE), DOCUMENTS[name]
    state = status(contactor_command=np.array([1, 1, 0] * strings, np.uint8))
    found: dict[str, Any] = {}
    for turn in range(120):
        now_s = 0.1 * turn
        gateway.take("limits", limits(), now_s)
        gateway.take("state", state, now_s)
        for frame in gateway.frames_due(now_s, STAMP_S + now_s):
            found |= decode(document, frame.identifier, frame.data)
    assert found.get("modules", strings) == strings
    assert (found.get("online", strings), found.get("offline", 0)) == (strings, 0)
    if "capacity_ah" in found:
        assert found["capacity_ah"] == pytest.approx(strings * capacity_ah, abs=0.51)
