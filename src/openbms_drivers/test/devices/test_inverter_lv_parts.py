"""Parts of the inverter gateway: profiles, limits, situations, requests, supervision, the end."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from lv_battery import FACTS, STAMP_S, charge, feed, limits, measurement, newest, run, status
from lv_tables import DOCUMENTS, decode

from openbms_core.config_file import ConfigError
from openbms_core.faults import FAULT_TABLE
from openbms_core.types import State
from openbms_drivers.devices.inverter_lv.causes import CAUSE_OF, cause_items
from openbms_drivers.devices.inverter_lv.gateway import GatewaySettings, InverterGateway
from openbms_drivers.devices.inverter_lv.limits import Shaping, charge_voltage_limit_v
from openbms_drivers.devices.inverter_lv.profile import (
    ChargeVoltage,
    InverterSide,
    find_profile,
    load_profile,
    shipped_profiles,
)
from openbms_drivers.devices.inverter_lv.requests import ChargeRequests
from openbms_drivers.devices.inverter_lv.situation import Situation, situation_of
from openbms_drivers.devices.inverter_lv.stored import load_last_full, save_last_full
from openbms_drivers.devices.inverter_lv.supervision import InverterWatch
from openbms_drivers.frame import ERROR, EXTENDED, REMOTE, Frame

PROFILES = {name: load_profile(name) for name in shipped_profiles()}
AT_ONCE = GatewaySettings(shaping=Shaping(rise_s=0.001, hold_s=0.0))
DAY_S = 86_400.0


def gateway(name: str = "pylontech_v1_2", settings: GatewaySettings = AT_ONCE) -> InverterGateway:
    return InverterGateway(PROFILES[name], FACTS, settings)


# ---- profiles


def changed(tmp_path: Path, change: Any) -> Path:
    """Write a shipped profile with a change."""
    content = yaml.safe_load(find_profile("pylontech_v1_2").read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _no_limits(c: Any) -> None:
    c["frames"] = [frame for frame in c["frames"] if frame["id"] != 0x351]


def _put(c: Any, frame: int, **values: Any) -> None:
    next(item for item in c["frames"] if item["id"] == frame).update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_no_limits, "no frame tells charge_voltage_limit_v"),
        (lambda c: c["frames"].append(c["frames"][0]), "0x351 stands twice"),
        (lambda c: c["inverter"].update(identifiers=[0x351]), "sent by both the battery and the inverter"),
        (lambda c: c.update(inhibit_s=2.0), "inhibit_s must not be longer"),
        (lambda c: _put(c, 0x355, length=2), "the frame has 2 bytes"),
        (lambda c: _put(c, 0x356, constants={0: 1}), "byte 0 holds both"),
        (lambda c: c["charge_voltage"].update(minimum_v=70.0), "minimum_v must be below maximum_v"),
        (lambda c: c["frames"][0]["numbers"][0].update(value="voltage_v"), "voltage_v"),
        (lambda c: _put(c, 0x35E, texts=[{"text": "PYLONTECH"}]), "not longer than 8"),
        (lambda c: c.update(cycle_s=1.0), "cycle_s"),
        (lambda c: _put(c, 0x35E, id=0x1351), "id"),
    ],
)
def test_a_profile_that_is_wrong_is_refused_by_file_and_line(
    tmp_path: Path, change: Any, sentence: str
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(ConfigError, match=sentence) as error:
        load_profile(path)
    assert f"{path}:" in str(error.value)


def test_a_profile_by_path_and_one_that_is_not_there(tmp_path: Path) -> None:
    assert load_profile(changed(tmp_path, lambda c: c.update(name="Mine"))).name == "Mine"
    with pytest.raises(ConfigError, match=r"pylontech_v1_2, .*victron"):
        load_profile("fronius")


def test_discharging_as_positive_and_big_endian_are_data(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        content["byte_order"] = "big"
        next(f for f in content["frames"] if f["id"] == 0x356)["numbers"][1]["sign"] = -1

    profile = load_profile(changed(tmp_path, change))
    data = newest(run(InverterGateway(profile, FACTS, AT_ONCE), 0.0, 1.0))
    assert data[0x356] == (5312).to_bytes(2, "big") + (270).to_bytes(2, "big") + (230).to_bytes(2, "big")


# ---- limits


@pytest.mark.parametrize(
    ("below", "stops", "battery_v", "charging", "limit_v", "share"),
    [
        (False, False, 53.0, True, 55.2, 1.0),
        (False, False, 57.0, True, 55.2, 1.0),
        (True, False, 57.0, True, 57.0, 0.0),  # SMA: never below the battery, and no leave to charge
        (True, False, 55.31, True, 55.4, 0.78),
        (True, True, 53.04, False, 53.1, 1.0),  # Victron: down to the battery, not below
        (True, True, 57.0, False, 57.0, 0.0),
        (True, True, 0.0, False, 55.2, 1.0),
        (True, True, math.nan, False, 55.2, 1.0),
        (True, True, 80.0, False, 63.0, 0.0),
        (True, True, 5.0, False, 41.0, 1.0),
    ],
)
def test_the_charge_voltage_limit(
    below: bool, stops: bool, battery_v: float, charging: bool, limit_v: float, share: float
) -> None:
    rule = ChargeVoltage(minimum_v=41.0, maximum_v=63.0, not_below_battery=below, stops_charging=stops)
    found = charge_voltage_limit_v(rule, 55.2, battery_v, charging_allowed=charging)
    assert found == (pytest.approx(limit_v), pytest.approx(share))


def test_a_battery_above_its_charge_voltage_is_not_discharged_by_an_sma() -> None:
    found = decode(
        DOCUMENTS["sma"], 0x351, newest(run(gateway("sma"), 0.0, 3.0, measurement=measurement(57.23)))[0x351]
    )
    assert found["cvl_v"] == pytest.approx(57.3)
    assert found["ccl_a"] == 0.0 and found["dcl_a"] > 0.0


def test_a_voltage_that_is_lost_still_bounds_the_charge_voltage() -> None:
    one = gateway("sma")
    run(one, 0.0, 2.0, measurement=measurement(57.23))
    found = decode(DOCUMENTS["sma"], 0x351, newest(run(one, 2.0, 5.0, measurement=None))[0x351])
    assert found["cvl_v"] == pytest.approx(57.3)


def test_less_than_a_count_is_nothing_and_its_enable_bit_is_cleared() -> None:
    data = newest(run(gateway(), 0.0, 2.0, limits=limits(0.09, 0.11)))
    found = decode(DOCUMENTS["pylontech_v1_2"], 0x351, data[0x351])
    assert (found["ccl_a"], found["dcl_a"]) == (0.0, pytest.approx(0.1))
    requests = decode(DOCUMENTS["pylontech_v1_2"], 0x35C, data[0x35C])
    assert (requests["charge"], requests["discharge"]) == (False, True)


def test_limits_are_rounded_down() -> None:
    data = newest(run(gateway(), 0.0, 2.0, limits=limits(99.99, 0.3)))
    found = decode(DOCUMENTS["pylontech_v1_2"], 0x351, data[0x351])
    assert (found["ccl_a"], found["dcl_a"]) == (pytest.approx(99.9), pytest.approx(0.3))


def test_a_taper_passes_on_at_once_and_recovers_slowly() -> None:
    one = gateway(settings=GatewaySettings(shaping=Shaping(rise_s=20.0, hold_s=5.0)))
    run(one, 0.0, 30.0, 0.05)
    frames = run(one, 30.0, 31.5, 0.05, limits=limits(20.0, 150.0))
    first = next(frame for frame in frames if frame.identifier == 0x351)
    assert decode(DOCUMENTS["pylontech_v1_2"], 0x351, first.data)["ccl_a"] == pytest.approx(20.0)
    assert first.monotonic_s <= 30.11, "it does not wait for the cycle"
    found = [
        (f.monotonic_s, decode(DOCUMENTS["pylontech_v1_2"], 0x351, f.data)["ccl_a"])
        for f in run(one, 31.5, 60.0, 0.05)
        if f.identifier == 0x351
    ]
    assert all(after[1] - before[1] <= 7.5 for before, after in pairwise(found))
    assert found[-1][1] == pytest.approx(100.0)


# ---- situations

CLOSED = {State.DRIVE, State.CHARGE, State.CONNECTED}
EXPECTED = {
    State.INIT: Situation.STARTING, State.STANDBY: Situation.STANDBY, State.PRECHARGE: Situation.STANDBY,
    State.OPENING: Situation.OPENING, State.FAULT: Situation.FAULT,
    State.DRIVE: Situation.CONNECTED, State.CHARGE: Situation.CONNECTED, State.CONNECTED: Situation.CONNECTED,
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("was_sending", [True, False])
def test_every_state_is_a_situation(state: State, fresh: bool, zero: bool, was_sending: bool) -> None:
    given = status(state, zero_current_requested=zero)
    found = situation_of(given, limits_fresh=fresh, state_was_heard=True, was_sending=was_sending)
    expected = EXPECTED[state]
    if state is State.INIT and was_sending:
        expected = Situation.STANDBY
    if state in CLOSED and zero:
        expected = Situation.OPENING
    elif state in CLOSED and not fresh:
        expected = Situation.LOST
    assert found is expected


def test_no_state_and_open_contactors() -> None:
    def judge(given: Any, heard: bool) -> Situation:
        return situation_of(given, limits_fresh=True, state_was_heard=heard, was_sending=True)

    assert judge(None, False) is Situation.STARTING
    assert judge(None, True) is Situation.LOST
    assert judge(status(State.CONNECTED, contactors_closed=False), True) is Situation.STANDBY


# ---- causes


def test_every_row_of_the_fault_table_has_a_cause() -> None:
    assert set(CAUSE_OF) == {row.id for row in FAULT_TABLE}
    short = [row.id for row in FAULT_TABLE if CAUSE_OF[row.id] == "short_circuit"]
    assert short == [], "nothing in the table is a short circuit: the bits say so"
    items = cause_items([], [row.id for row in FAULT_TABLE])
    assert set(items.values()) == {None}, "what nobody monitors is not said to be fine"
    assert cause_items(None)["alarm_high_voltage"] is None
    assert cause_items([])["alarm_high_voltage"] is False


# ---- requests


def test_force_charge_has_its_hysteresis() -> None:
    requests = ChargeRequests()
    found = [
        (requests.step(soc, STAMP_S, charging_allowed=True), soc)
        for soc in (0.5, 0.10, 0.095, 0.09, 0.06, 0.05, 0.08, 0.0999, 0.10, 0.1299, 0.13, 0.11)
    ]
    first = [bool(items["force_charge_1"]) for items, _ in found]
    second = [bool(items["force_charge_2"]) for items, _ in found]
    assert first == [False] * 5 + [True, True, True, False, False, False, False]
    assert second == [False] * 3 + [True] * 7 + [False] * 2
    denied = requests.step(0.01, STAMP_S, charging_allowed=False)
    assert not any(denied.values()), "nothing is asked for that the limits forbid"
    assert not any(requests.step(math.nan, STAMP_S, charging_allowed=True).values())


def test_a_full_charge_is_asked_for_after_thirty_days() -> None:
    requests = ChargeRequests(last_full_s=STAMP_S)
    for days, wanted in ((29.9, False), (30.1, True), (40.0, True)):
        now_s = STAMP_S + days * DAY_S
        assert requests.step(0.5, now_s, charging_allowed=True)["full_charge_request"] is wanted
    assert not requests.step(0.97, STAMP_S + 41 * DAY_S, charging_allowed=True)["full_charge_request"]
    assert requests.last_full_s == STAMP_S + 41 * DAY_S
    requests.step(0.5, STAMP_S, charging_allowed=True)
    assert requests.last_full_s == STAMP_S, "a clock that was set back does not ask for months"


def test_the_day_of_the_last_full_charge_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "inverter.json"
    assert load_last_full(path) is None
    assert save_last_full(path, STAMP_S) == ""
    assert load_last_full(path) == STAMP_S
    for broken in ("", "{", '{"last_full_s": "x"}', '{"last_full_s": -1}', "[]", '{"last_full_s": NaN}'):
        path.write_text(broken, encoding="utf-8")
        assert load_last_full(path) is None, broken
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "Make it writable" in save_last_full(tmp_path / "file" / "inverter.json", STAMP_S)


# ---- the inverter


def test_only_the_inverters_own_frames_are_a_sign_of_life() -> None:
    watch = InverterWatch(InverterSide(identifiers=(0x305,), lost_after_s=2.0))
    watch.start(10.0)
    assert not watch.lost(12.0) and watch.lost(12.1) and math.isinf(watch.age_s(12.1))
    for flags in (ERROR, REMOTE, EXTENDED):
        watch.receive(Frame(0x305, bytes(8), flags, 13.0), {})
    watch.receive(Frame(0x123, bytes(8), 0, 13.0), {})
    assert watch.lost(13.0)
    watch.receive(Frame(0x305, bytes(8), 0, 13.0), {})
    assert not watch.lost(15.0) and watch.lost(15.1) and watch.age_s(15.0) == 2.0


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_keep_alive_that_stays_away_is_said_and_can_zero_the_limits(name: str) -> None:
    lost_s = PROFILES[name].inverter.lost_after_s
    for reaction in ("say", "zero"):
        one = gateway(name, GatewaySettings(shaping=AT_ONCE.shaping, on_inverter_lost=reaction))  # type: ignore[arg-type]
        run(one, 0.0, 1.0)
        one.receive(Frame(PROFILES[name].inverter.identifiers[0], bytes(8), 0, 1.0))
        found = decode(DOCUMENTS[name], 0x351, newest(run(one, 1.0, 2.5))[0x351])
        assert found["ccl_a"] == pytest.approx(100.0) and one.report(2.5).level == 0
        found = decode(DOCUMENTS[name], 0x351, newest(run(one, lost_s + 1.5, lost_s + 4.0))[0x351])
        assert "not heard" in one.report(lost_s + 4.0).message
        assert found["ccl_a"] == pytest.approx(
            100.0 if reaction == "say" else PROFILES[name].smallest_current_a
        )
        one.receive(Frame(PROFILES[name].inverter.identifiers[0], bytes(8), 0, lost_s + 4.0))
        found = decode(DOCUMENTS[name], 0x351, newest(run(one, lost_s + 4.0, lost_s + 6.0))[0x351])
        assert found["ccl_a"] == pytest.approx(100.0), "it comes back"


def test_a_second_battery_on_the_bus_is_said_as_long_as_it_sends() -> None:
    one = gateway()
    run(one, 0.0, 1.0)
    one.receive(Frame(0x351, bytes(8), 0, 1.0))
    assert one.report(1.5).level == 2 and "two batteries" in one.report(1.5).message
    one.receive(Frame(0x305, bytes(8), 0, 12.0))
    assert one.report(12.0).level == 0


# ---- the end


def test_an_orderly_end_says_zero_first_and_waits_until_it_is_obeyed() -> None:
    one = gateway()
    run(one, 0.0, 2.0)
    assert not one.ended(2.0), "nobody has asked for it"
    one.end(2.0)
    frames = run(one, 2.0, 6.0, 0.05)  # 27 A go on flowing
    found = decode(DOCUMENTS["pylontech_v1_2"], 0x351, newest(frames)[0x351])
    assert found["ccl_a"] == found["dcl_a"] == 0.0
    assert min(f.monotonic_s for f in frames if f.identifier == 0x351) <= 2.11
    assert not one.ended(6.0)
    feed(one, 6.0, measurement=measurement(current_a=-0.5))
    assert one.ended(6.0), "no current flows: nothing is opened under load"
    feed(one, 6.0, measurement=measurement(current_a=math.nan))
    assert not one.ended(6.0), "what is not known is not zero"
    feed(one, 6.0, state=status(State.STANDBY))
    assert one.ended(6.0)
    assert one.ended(60.0), "the monitor is gone"
    one.begin()
    assert not one.ended(60.0)


def test_nothing_was_sent_so_nothing_must_be_ended() -> None:
    one = gateway()
    one.end(0.0)
    assert one.ended(0.0)


def test_soc_that_is_shown_is_told_and_the_true_one_asks_for_charge() -> None:
    told = charge(0.04)
    told.displayed_soc = 0.08
    data = newest(run(gateway(), 0.0, 2.0, soc=told))
    assert decode(DOCUMENTS["pylontech_v1_2"], 0x355, data[0x355])["soc_pct"] == 8
    assert decode(DOCUMENTS["pylontech_v1_2"], 0x35C, data[0x35C])["force_charge_1"]


def test_a_battery_that_is_scanned_once_a_second_is_not_unknown_between_scans() -> None:
    slow = dataclasses.replace(FACTS, scan_period_s=1.0)
    one = InverterGateway(PROFILES["pylontech_v1_2"], slow, AT_ONCE)
    feed(one, 0.0)
    frames = [
        frame
        for turn in range(1, 80)
        for frame in (_keep_state(one, 0.05 * turn) or one.frames_due(0.05 * turn, STAMP_S))
    ]
    last_s = max(frame.monotonic_s for frame in frames if frame.identifier == 0x356)
    assert last_s == pytest.approx(2.0, abs=0.2), "2.5 scans, then its value is unknown"


def _keep_state(one: InverterGateway, now_s: float) -> None:
    one.take("state", status(), now_s)
    one.take("limits", limits(), now_s)


@pytest.mark.parametrize(("way", "key"), [("charge_allowed", "ccl_a"), ("discharge_allowed", "dcl_a")])
def test_what_the_state_forbids_is_not_told_whatever_the_limits_say(way: str, key: str) -> None:
    data = newest(run(gateway(), 0.0, 2.0, 0.05, state=status(State.CONNECTED, **{way: False})))
    found = decode(DOCUMENTS["pylontech_v1_2"], 0x351, data[0x351])
    assert found[key] == 0.0
    assert max(found["ccl_a"], found["dcl_a"]) > 50.0, "the other way is free"
    bits = decode(DOCUMENTS["pylontech_v1_2"], 0x35C, data[0x35C])
    assert bits["charge"] == (way != "charge_allowed") and bits["discharge"] == (way != "discharge_allowed")
