"""Whatever is measured and asked, in whatever order: what must never happen."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.faults import SOFTWARE_ALLOWANCE_S
from openbms_core.types import FaultState, State

NAN = math.nan
CLOSED = (State.DRIVE, State.CHARGE, State.CONNECTED)

event = st.one_of(
    st.tuples(st.just("cells_v"), st.sampled_from([3.7, 4.3, 4.21, 2.4, 2.9, NAN])),
    st.tuples(st.just("current_a"), st.sampled_from([0.0, 3.0, -3.0, 8.0, -23.0, NAN])),
    st.tuples(st.just("temperature_degc"), st.sampled_from([25.0, 66.0, -30.0, 52.0, NAN])),
    st.tuples(st.just("link_v"), st.sampled_from([0.0, 14.8, NAN])),
    st.tuples(st.just("interlock"), st.sampled_from([0, 1, 255])),
    st.tuples(st.just("emergency_stop"), st.sampled_from([0, 1, 255])),
    st.tuples(st.just("charging_plug"), st.sampled_from([0, 1, 255])),
    st.tuples(st.just("bus_state"), st.sampled_from([0, 2, 5])),
    st.tuples(st.just("insulation_resistance_ohm"), st.sampled_from([1e6, 1000.0, 0.0])),
    st.tuples(st.just("feedback"), st.sampled_from([None, [1, 0, 0], [0, 0, 0], [1, 1, 1], 255])),
    st.tuples(st.just("estimates"), st.booleans()),
    st.tuples(st.just("request"), st.sampled_from([State.STANDBY, *CLOSED])),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("silence"), st.sampled_from([0.05, 0.3, 0.7])),
    st.tuples(st.just("restart_of_driver"), st.none()),
    st.tuples(st.just("clock"), st.sampled_from([-100.0, 100.0])),
    st.tuples(st.just("go_on"), st.sampled_from([0.2, 0.8])),
)


def apply(rig, name, value):
    if name == "feedback":
        rig.feedback = value
    elif name == "estimates":
        rig.estimates = value
    elif name == "request":
        rig.monitor.request(value, rig.t_s)
    elif name == "clear":
        rig.monitor.clear([], rig.t_s)
    elif name == "silence":
        for _ in range(round(value / 0.02)):
            rig.tick(0.02)
    elif name == "restart_of_driver":
        rig.scan = 0
    elif name == "clock":
        rig.stamp_s += value
    elif name == "go_on":
        rig.run(value)
    else:
        rig.values[name] = value


def check(history):
    opening_s = 0.3 + 0.1 + SOFTWARE_ALLOWANCE_S  # deadline, one scan until the next call, software
    asked = None  # contactors were closed in the decision before, and that one did not ask for zero
    fault_since_s = None
    for t_s, decision in history:
        status, limits = decision.status, decision.limits
        opens = any(e.row.opens and e.state != FaultState.PENDING for e in decision.faults)
        closed = bool(status.contactor_command.reshape(-1, 3)[:, :2].all())
        # no closed contactors beyond the deadline of an active fault
        fault_since_s = None if not opens else fault_since_s if fault_since_s is not None else t_s
        assert not (closed and fault_since_s is not None and t_s - fault_since_s > opening_s)
        # zero current is asked before, or in the very decision where the device has opened already
        if asked is not None and asked.status.contactor_command.any() and not closed:
            was_closed = asked.status.state in CLOSED
            assert not was_closed or status.zero_current_requested or status.state == State.OPENING
            assert limits.charge_current_a == limits.discharge_current_a == 0.0
        # contactors move only in the states that may move them
        if status.state in (State.INIT, State.STANDBY, State.FAULT):
            assert not status.contactor_command.any()
        if status.zero_current_requested or status.state not in CLOSED:
            assert limits.charge_current_a == limits.discharge_current_a == 0.0
        for value in (
            limits.charge_current_a,
            limits.discharge_current_a,
            limits.charge_power_w,
            limits.discharge_power_w,
        ):
            assert value >= 0.0 and math.isfinite(value)
        assert limits.charge_current_a <= 4.0 and limits.discharge_current_a <= 18.0
        if status.contactor_command[0] and status.contactor_command[2]:
            assert status.state in (State.PRECHARGE, State.OPENING)
        asked = decision


@settings(max_examples=50, deadline=None)
@given(st.lists(event, max_size=20))
def test_random_streams_keep_the_pack_safe(kit, events):
    rig = kit.rig()
    rig.close()
    for name, value in events:
        apply(rig, name, value)
        rig.step()
        rig.tick(0.02)
    rig.run(0.5)
    check(rig.history)


@settings(max_examples=40, deadline=None)
@given(st.lists(event, max_size=15))
def test_nothing_closes_unasked(kit, events):
    rig = kit.rig()
    for name, value in events:
        if name != "request":
            apply(rig, name, value)
        rig.step()
    assert all(not decision.status.contactor_command.any() for _, decision in rig.history)


@settings(max_examples=40, deadline=None)
@given(st.lists(event, max_size=15), st.integers(0, 2**32 - 1))
def test_two_strings_with_noise_keep_the_pack_safe(kit, events, seed):
    noise = np.random.default_rng(seed)
    rig = kit.strings(2)
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.values["link_v"] = 7.4
    for name, value in events:
        if name not in ("feedback", "link_v"):
            apply(rig, name, value)
        rig.step(noise.uniform(0.01, 0.2))
    for _, decision in rig.history:
        assert decision.limits.discharge_current_a <= 2 * 18.0
        if decision.status.state in (State.INIT, State.STANDBY, State.FAULT):
            assert not decision.status.contactor_command.any()
