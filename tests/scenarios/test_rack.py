"""A rack of four strings: real drivers, monitors, estimators, aggregator; the twin's strings on one bus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from openbms_core.types import State

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(240)]

RACK = Path(__file__).resolve().parents[2] / "config" / "systems" / "rack.yaml"
STRINGS = [f"string_{n}" for n in range(4)]
OVER_CURRENT = ("OVER_CURRENT", "CURRENT_ON_OPEN", "PRECHARGE")


def faults_ever(system: Any) -> set[str]:
    """Give every fault that was active in any string."""
    return {
        fault.id
        for name in STRINGS
        for _, message in system.messages[f"{name}/faults"]
        for fault in message.faults
        if fault.state > 0
    }


def closed_in_order(system: Any) -> list[str]:
    """Give the strings in the order in which they began to close."""
    first: dict[str, float] = {}
    for name in STRINGS:
        for moment, message in system.messages[f"{name}/state"]:
            if message.state == State.PRECHARGE:
                first.setdefault(name, moment)
    return sorted(first, key=first.__getitem__)


def test_unequal_strings_come_up_lose_one_and_take_it_back(tmp_path: Path) -> None:
    from bms_system import BmsSystem

    twin = {"initial_soc": [0.55, 0.56, 0.05, 0.57], "load": "none", "request_on_start": "none"}
    system = BmsSystem(tmp_path / "rack", {"rack_twin": twin}, system=RACK)
    try:
        drivers = [f"driver_{name}" for name in STRINGS]
        system.start("sim", *drivers, *(f"safety_{name}" for name in STRINGS), "bms", "rack")
        for name in STRINGS:
            system.wait(f"{name}/state", lambda state: state.state == State.STANDBY, 60, since=0.0)
        for name in STRINGS:
            system.wait(f"{name}/power_limits", timeout_s=90, since=0.0)
        system.request_until_accepted("connected", 30)
        for name in ("string_0", "string_1", "string_3"):
            system.wait(f"{name}/state", lambda state: state.state == State.CONNECTED, 40, since=0.0)
        full = system.wait("limits", lambda limits: limits.discharge_current > 200.0, 30).discharge_current
        # the three are within millivolts on the flat part of their curve: any of them may begin
        assert closed_in_order(system)[0] != "string_2", "one of the group begins, not the empty one"
        state = system.wait("state", lambda now: any("V off the bus" in text for text in now.inhibit_texts))
        assert any(text.startswith("string_2 is not connected") for text in state.inhibit_texts)
        assert system.last("string_2/state").state == State.STANDBY, "the empty one waits"
        assert not [name for name in faults_ever(system) if name.startswith(OVER_CURRENT)]

        killed_s = system.kill("driver_string_1")
        system.wait("string_1/state", lambda state: state.state == State.FAULT, 20, since=killed_s)
        system.wait("limits", lambda limits: 0.0 < limits.discharge_current < 0.75 * full, since=killed_s)
        system.wait("state", lambda state: state.state == State.CONNECTED and state.contactors_closed)
        for name in ("string_0", "string_3"):
            assert system.last(f"{name}/state").state == State.CONNECTED, "no trip"

        system.start("driver_string_1")
        connected = lambda state: state.state == State.CONNECTED  # noqa: E731
        system.wait("string_1/state", connected, 60, since=killed_s + 1.0)
        system.wait("limits", lambda limits: limits.discharge_current > 0.9 * full, 30)
        assert system.last("string_0/state").state == State.CONNECTED
        battery = system.wait("/battery_state", lambda battery: battery.present)
        assert 45.0 < battery.voltage < 58.0
    finally:
        system.close()
