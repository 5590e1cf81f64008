"""When the key ends the system: table of what keeps it up, and invariants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_bringup.power_down import OPEN_FOR_S, KeyWatch, Seen
from openbms_core.types import UNKNOWN, State

OFF, ON = 0, 1
KEY_OFF_S, NEVER_ON_S = 10.0, 100.0


def seen(
    ignition: int = OFF, plug: int = OFF, state: State | None = State.STANDBY, closed: bool = False
) -> Seen:
    return Seen(ignition, plug, state, closed)


def watch(*, was_on: bool = True) -> KeyWatch:
    """Give a watch that has seen the key on at -1 s, or not at all."""
    it = KeyWatch(KEY_OFF_S, NEVER_ON_S)
    it.step(seen(ON if was_on else UNKNOWN, state=State.DRIVE, closed=True), -1.0)
    return it


def ends_at(it: KeyWatch, what: Seen, until_s: float = 200.0, step_s: float = 0.5) -> float | None:
    """Give the first moment in which it ends the system, if it is shown the same all the time."""
    for n in range(int(until_s / step_s)):
        if it.step(what, n * step_s).power_down:
            return n * step_s
    return None


@pytest.mark.parametrize(
    ("what", "end_s"),
    [
        (seen(), KEY_OFF_S),
        (seen(state=State.FAULT), KEY_OFF_S),
        (seen(state=State.INIT), KEY_OFF_S),
        (seen(plug=UNKNOWN), KEY_OFF_S),
        (seen(ON), None),
        (seen(plug=ON), None),
        (seen(state=None), None),
        (seen(closed=True), None),
        *((seen(state=state), None) for state in (State.PRECHARGE, State.DRIVE, State.CHARGE)),
        *((seen(state=state), None) for state in (State.CONNECTED, State.OPENING)),
    ],
)
def test_what_ends_the_system_and_what_keeps_it_up(what: Seen, end_s: float | None) -> None:
    assert ends_at(watch(), what) == end_s


def test_a_key_that_was_never_on_waits_longer() -> None:
    assert ends_at(watch(was_on=False), seen()) == NEVER_ON_S
    assert KeyWatch(10.0, 1.0)._never_on_s == 10.0, "never sooner than after a key-off"


def test_a_key_that_was_never_seen_ends_nothing() -> None:
    it = watch(was_on=False)
    assert ends_at(it, seen(UNKNOWN)) is None
    assert it.step(seen(UNKNOWN), 300.0).text == "the key has not been seen yet"


def test_a_pack_that_falls_asleep_with_the_key_is_off() -> None:
    it = watch()
    it.step(seen(OFF), 0.0)
    assert it.step(seen(UNKNOWN), KEY_OFF_S).power_down


def test_a_key_that_comes_back_begins_anew() -> None:
    it = watch()
    assert not it.step(seen(OFF), 0.0).power_down
    assert not it.step(seen(ON), 9.0).power_down
    assert not it.step(seen(OFF), 9.5).power_down
    assert not it.step(seen(OFF), 19.0).power_down
    assert it.step(seen(OFF), 19.5).power_down


def test_after_an_opening_there_is_time_for_the_disk() -> None:
    it = watch()
    it.step(seen(state=State.DRIVE, closed=True), 0.0)
    it.step(seen(state=State.OPENING, closed=True), 50.0)
    assert not it.step(seen(), 50.5).power_down, "the contactors have only just opened"
    assert it.step(seen(), 50.5 + OPEN_FOR_S).power_down


def test_what_it_waits_for_is_said() -> None:
    it = watch()
    assert it.step(seen(ON), 0.0).text == "the key is on"
    assert it.step(seen(), 1.0).text == "the key is off: power-down in 10 s"
    assert it.step(seen(plug=ON), 2.0).text == "the key is off; kept up: the charging plug is in"
    assert it.step(seen(state=State.CHARGE), 3.0).text == "the key is off; kept up: the state is CHARGE"
    assert "safety monitor" in it.step(seen(state=None), 4.0).text
    it.step(seen(), 5.0)
    assert it.step(seen(), 20.0).text == "the key has been off for 19 s, nothing is closed"


ANY = st.builds(
    Seen,
    st.sampled_from([OFF, ON, UNKNOWN]),
    st.sampled_from([OFF, ON, UNKNOWN]),
    st.sampled_from([None, *State]),
    st.booleans(),
)


@given(st.lists(st.tuples(ANY, st.floats(0.0, 60.0)), min_size=1, max_size=40))
def test_it_never_ends_with_something_closed_a_plug_in_or_a_key_on(history: list[tuple[Seen, float]]) -> None:
    it, now_s, off_since_s = KeyWatch(KEY_OFF_S, NEVER_ON_S), 0.0, None
    for what, step_s in history:
        now_s += step_s
        if what.ignition == ON:
            off_since_s = None
        elif what.ignition == OFF and off_since_s is None:
            off_since_s = now_s
        if it.step(what, now_s).power_down:
            assert what.ignition != ON and what.plug != ON and not what.contactors_closed
            assert what.state in (State.INIT, State.STANDBY, State.FAULT)
            assert off_since_s is not None and now_s - off_since_s >= KEY_OFF_S
