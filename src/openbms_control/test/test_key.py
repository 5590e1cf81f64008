"""Key off ends DRIVE, and only that; DRIVE is refused while the key is off."""

from __future__ import annotations

import pytest

from openbms_control.safety.key import KeySwitch
from openbms_core.types import UNKNOWN, State


@pytest.fixture
def pack(kit):
    signals = [*kit.SMALL["device"]["signals"], {"to": "ignition", "message": "M", "signal": "K"}]
    return {"device": {"signals": signals}, "measurement": {"max_age_s": {"ignition": 0.4}}}


def test_key_off_opens_ordinarily_after_its_debounce(kit, pack):
    rig = kit.rig(**pack)
    rig.values["ignition"] = 1
    rig.close()
    rig.run(0.9, ignition=0, current_a=-9.0)
    assert rig.state == State.DRIVE
    rig.run_until(lambda d: d.status.zero_current_requested, 0.5)
    assert rig.last.status.reason == "key_off" and rig.last.status.contactors_closed
    assert "The ignition was switched off." in rig.last.status.explanation
    assert rig.last.status.opening_deadline_s > 1.5  # not hurried: it is no fault
    rig.rest(current_a=0.0)
    assert rig.state == State.STANDBY and rig.last.status.reason == "key_off" and not rig.ids()


def test_key_off_during_precharge_for_drive_opens(kit, pack):
    rig = kit.rig(**pack)
    rig.run(0.5, ignition=1)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.run(0.3)
    rig.run(1.3, ignition=0)
    assert rig.state in (State.OPENING, State.STANDBY) and rig.last.status.reason == "key_off"


@pytest.mark.parametrize("target", [State.CHARGE, State.CONNECTED])
def test_charging_and_storage_need_no_key(kit, pack, target):
    rig = kit.rig(**pack)
    rig.values["ignition"] = 0
    rig.close(target)
    rig.run(3.0)
    assert rig.state == target


@pytest.mark.parametrize(("ignition", "text"), [(0, "is off"), (UNKNOWN, "has an unknown state")])
def test_drive_is_refused_without_the_key(kit, pack, ignition, text):
    rig = kit.rig(**pack)
    rig.run(0.5, ignition=ignition)
    answer = rig.monitor.request(State.DRIVE, rig.t_s)
    assert not answer.accepted and f"The ignition {text}: DRIVE is refused." in answer.reason
    assert "drive:ignition" in rig.last.status.inhibits
    assert rig.monitor.request(State.CHARGE, rig.t_s).accepted


def test_a_key_that_is_not_fitted_or_not_known_stops_nobody(kit, pack):
    rig = kit.rig()
    rig.values["ignition"] = 0
    rig.close()
    rig.run(3.0)
    assert rig.state == State.DRIVE
    rig = kit.rig(**pack)
    rig.values["ignition"] = 1
    rig.close()
    rig.run(3.0, ignition=UNKNOWN)
    assert rig.state == State.DRIVE


def test_a_blink_of_the_key_starts_its_time_anew(kit, pack):
    rig = kit.rig(**pack)
    scan = rig.measurement()
    key = KeySwitch(rig.pack.file)
    for t_s, ignition, off in ((0.0, 0, False), (0.9, 0, False), (0.95, 1, False), (1.1, 0, False),
                               (2.0, 0, False), (2.1, 0, True), (2.2, 1, False)):  # fmt: skip
        scan.ignition = ignition
        key.step(scan, t_s)
        assert key.off == off, t_s
    key.step(None, 9.0)
    assert not key.off
