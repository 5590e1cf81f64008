"""The system of a vehicle with its gateways: a process of their own, whose death touches nobody else."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from processes import Process, free_domain, wait_until

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

START_S = 60.0
PARAMETERS = """/**/vehicle_gateway:
  ros__parameters: {vehicle_channel: vehicle, real_time_priority: 0}
/**/afe_driver:
  ros__parameters: {real_time_priority: 0, lock_memory: false}
/**/safety_monitor:
  ros__parameters: {real_time_priority: 0, lock_memory: false}
/**/actuator_driver:
  ros__parameters:
    actuators: ["package://openbms_drivers/devices/elcon/actuators.yaml"]
    actuator_channels: [charger]
/**/foxglove_server:
  ros__parameters: {port: 0}
"""


def children(process: Process) -> dict[str, psutil.Process]:
    """Give the processes of the system by name."""
    found = {}
    for child in psutil.Process(process.process.pid).children():
        command = child.cmdline()
        if "--process" in command:
            found[command[command.index("--process") + 1]] = child
    return found


def test_the_gateways_die_and_come_back_alone(tmp_path: Path) -> None:
    parameters = tmp_path / "gateways.yaml"
    parameters.write_text(PARAMETERS)
    command = ["python", "-m", "openbms_bringup.cli.main", "run", "--system", "vehicle"]
    command += [
        "--can-interface",
        "virtual",
        "--data-dir",
        str(tmp_path / "data"),
        "--params",
        str(parameters),
    ]
    environment = {"ROS_DOMAIN_ID": str(free_domain()), "XDG_STATE_HOME": str(tmp_path / "state")}
    with Process(command, environment) as process:
        process.wait_for("openbms: bag:", START_S)
        before = children(process)
        assert list(before) == ["driver", "safety", "bms", "gateway", "data", "ui"], "started in this order"
        before["gateway"].kill()
        process.wait_for("gateway died (signal SIGKILL)")
        process.wait_for("gateway: started again")
        wait_until(lambda: "gateway" in children(process), START_S, "the new gateway")
        after = children(process)
        assert after["gateway"].pid != before["gateway"].pid
        for name in ("driver", "safety", "bms"):
            assert after[name].pid == before[name].pid, "nobody else was touched"
        began = time.monotonic()
        assert process.interrupt() == 0, process.output
        assert time.monotonic() - began < 15.0
        assert "Traceback" not in process.output
        assert not any(one.is_running() for one in after.values())
