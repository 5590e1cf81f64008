"""A parked pack is looked at: by the real driver and monitor, on the real bus, and nothing is closed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bms_system import BmsSystem, contactors_open
from processes import Process

from openbms_core.types import State

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

KEY_OFF = {"fault": "ignition", "switched_on": False}
CHECK_S = 90.0
"""A check takes some seconds; many on a computer that is busy with other things."""


class Parked:
    """The twin alone on its bus, and checks that come and go."""

    def __init__(self, system: BmsSystem) -> None:
        self.system = system
        system.start("sim")
        system.wait("twin_truth", timeout_s=30)
        system.inject(KEY_OFF)
        twin = system.plan.parameters["sim"]["/**/twin"]["ros__parameters"]
        bus = {"interface": "socketcand", "channel": "can0", "host": "127.0.0.1", "port": twin["can_port"]}
        names = {
            "driver": ("afe_driver", "openbms_drivers.ros.afe_driver_node:AfeDriverNode"),
            "safety": ("safety_monitor", "openbms_control.ros.safety_monitor_node:SafetyMonitorNode"),
            "bms": ("soc_estimator", "openbms_estimation.ros.soc_estimator_node:SocEstimatorNode"),
        }
        self.file = system.folder / "parked.yaml"
        self.file.write_text(
            yaml.safe_dump(
                {
                    "schema_version": 1,
                    "pack": "demo_96s_nmc",
                    "bus": bus,
                    "processes": {
                        name: {"critical": True, "nodes": [node]} for name, (node, _) in names.items()
                    },
                    "nodes": {node: {"class": path} for node, path in names.values()},
                }
            )
        )

    def process(self, *options: str) -> Process:
        """Start a check."""
        command = ["python", "-m", "openbms_bringup.cli.main", "parked-check", "--system", str(self.file)]
        return Process(
            [*command, "--scans", "10", *options],
            {"ROS_DOMAIN_ID": str(self.system.domain), "XDG_STATE_HOME": str(self.system.folder / "state")},
        )

    def check(self, *options: str) -> tuple[int, str]:
        """Look once; give exit code and output."""
        with self.process(*options) as process:
            return process.wait(CHECK_S), process.output

    def report(self, *options: str) -> tuple[int, Any]:
        code, output = self.check("--json", *options)
        return code, json.loads(output[output.index("{") : output.rindex("}") + 1])


@pytest.fixture
def parked(new_system: Callable[..., Any]) -> Parked:
    return Parked(new_system(twin={"load_factor": 0.0}))


def test_what_changes_while_parked_is_found_and_nothing_is_closed(parked: Parked, tmp_path: Path) -> None:
    system = parked.system
    code, first = parked.report()
    assert code == 0, first
    assert first["findings"] == [] and any("drift" in text for text in first["not_judged"])
    # nothing has happened: everything is judged, nothing found, days are left; and nobody can close meanwhile
    with parked.process("--scans", "60") as process:
        system.wait("state", lambda message: message.state == State.STANDBY, CHECK_S)
        answer = system.request("drive")
        assert not answer.accepted and "may_close" in answer.reason
        assert process.wait(CHECK_S) == 0, process.output
        assert "Parked pack DEMO-2026-0001: ok" in process.output
        assert "not judged" not in process.output
        assert "Days left until the first cell is empty" in process.output
    # a cell is shorted and its sensor warms, the insulation is gone
    system.inject(
        KEY_OFF,
        {"fault": "cell_internal_short", "cell": 40, "resistance_ohm": 1.0},
        {"fault": "temperature_offset", "sensor": "cell_13", "offset_degc": 7.0},
        {"fault": "insulation", "resistance_ohm": 20_000.0},
    )
    told = tmp_path / "told"
    hook = f"sh -c 'echo $OPENBMS_PARKED_LEVEL $OPENBMS_PARKED_REPORT > {told}'"
    code, third = parked.report("--on-alarm", hook, "--every", "6h", "--wake", f"rtc:{tmp_path}")
    assert code == 4, third
    found = {(finding["code"], finding["index"]): finding["level"] for finding in third["findings"]}
    assert found[("RUNAWAY_PRECURSOR", 40)] == "alarm"
    assert found[("HOT_CELL", 13)] == "warn"
    assert ("VOLTAGE_DROP", 40) in found
    assert found[("LOW_INSULATION", -1)] == "alarm"
    assert not {index for code, index in found if code in ("VOLTAGE_DROP", "SELF_DISCHARGE")} - {40}
    assert third["next_wake_s"] == 900.0
    assert (tmp_path / "wakealarm").read_text() == "+900\n", "woken sooner than in six hours"
    level, report = told.read_text().split()
    assert level == "alarm" and json.loads(Path(report).read_text())["level"] == "alarm"
    memory = json.loads((system.folder / "state/openbms/DEMO-2026-0001/parked.json").read_text())
    assert [entry["level"] for entry in memory["history"]] == ["ok", "ok", "alarm"]
    # over all checks
    assert all(contactors_open(message) for _, message in system.messages["twin_truth"])
    assert not any(any(message.positive) for _, message in system.messages["contactor_command"])
    assert any(message.status for _, message in system.messages["/diagnostics"])


def test_a_pack_in_use_is_left_alone(parked: Parked) -> None:
    system = parked.system
    system.inject()  # the key is on
    code, output = parked.check()
    assert code == 5 and "the key is on: the pack is not parked" in output, output
    system.start("driver", "safety")
    system.wait("state", timeout_s=30)
    code, output = parked.check()
    assert code == 5 and ("runs already" in output or "another driver is on the bus" in output), output
    starts = {message.start_count for _, message in system.messages["state"][-5:]}
    assert len(starts) == 1, "no second monitor was started"
