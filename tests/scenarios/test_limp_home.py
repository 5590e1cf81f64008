"""Without estimators the drive goes on for a while, and ends in order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from bms_system import BmsSystem, contactors_open, fault_ids

from openbms_core.resources import find_config
from openbms_core.types import State

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def test_estimators_that_stay_away_end_the_drive_in_time(tmp_path: Path) -> None:
    """kill -9 of the estimators: limp-home, after its time zero current and open; when they are back STANDBY,
    and nothing closes unasked."""
    data = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    data["limits"]["limp_home"]["shutdown_after_s"] = 3.0
    pack = tmp_path / "demo_96s_nmc.yaml"
    pack.write_text(yaml.safe_dump(data))
    system = BmsSystem(tmp_path / "system", pack=str(pack))
    try:
        system.drive()
        system.wait("limits", lambda message: not message.limp_home, 30)
        moment_s = system.kill("bms")
        limits = system.wait("limits", lambda message: message.limp_home, since=moment_s)
        assert 0.0 < limits.shutdown_in <= 3.0
        opening = system.wait("state", lambda message: message.state == State.OPENING, since=moment_s)
        assert opening.zero_current_requested and "limp_home_expired" in opening.reason.lower()
        truth = system.wait("twin_truth", contactors_open, since=moment_s)
        assert not truth.device_trip, "the monitor opened, not the device"
        opened_s = system.received_at("twin_truth", contactors_open, moment_s)
        assert 3.0 < opened_s - moment_s < 3.0 + 1.0 + system.plan.pack.contactors.opening_deadline_s + 2.0
        system.start("bms")
        system.wait("limits", lambda message: not message.limp_home, 40)
        system.wait("state", lambda message: message.state == State.STANDBY, 20)
        system.wait("faults", lambda message: "LIMP_HOME_EXPIRED" not in fault_ids(message, 1), 20)
        moment_s = time.monotonic()
        system.wait("twin_truth", lambda _: time.monotonic() - moment_s > 2.0, 20)
        seen = [message for received, message in system.messages["twin_truth"] if received >= moment_s]
        assert all(contactors_open(message) for message in seen)
        system.request_until_accepted("drive")
    finally:
        system.close()
