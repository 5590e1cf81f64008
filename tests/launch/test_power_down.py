"""Key off: everything ends in order, nothing is lost, and only then the host is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from key_off import assert_nothing_lost, switch_key_off, write_key_off_system
from processes import Process, free_domain, wait_until

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

START_S = 60.0
ROS2 = shutil.which("ros2")


def environment(folder: Path) -> dict[str, str]:
    return {
        "ROS_DOMAIN_ID": str(free_domain()),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_DATA_HOME": str(folder / "data"),
        "ROS_LOG_DIR": str(folder / "log"),
    }


def test_openbms_run_ends_with_the_key(tmp_path: Path) -> None:
    marker, summary = tmp_path / "host_was_told", tmp_path / "summary.json"
    system = write_key_off_system(tmp_path, marker=marker)
    command = ["python", "-m", "openbms_bringup.cli.main", "run", "--system", str(system)]
    with Process([*command, "--summary", str(summary)], environment(tmp_path)) as process:
        process.wait_for("] DRIVE (", START_S)
        assert not marker.exists()
        switch_key_off(free_domain())
        assert process.wait(START_S) == 0, process.output
        assert "Traceback" not in process.output
    assert marker.exists(), process.output
    content = json.loads(summary.read_text())
    assert content["ended_by"] == "the key is off: ordered power-down"
    assert content["forced"] == [] and content["not_running"] == []
    assert_nothing_lost(tmp_path)


@pytest.mark.ros_install
@pytest.mark.skipif(ROS2 is None, reason="no ros2 command in the PATH")
def test_ros2_launch_ends_with_the_key(tmp_path: Path) -> None:
    pytest.importorskip("launch_ros")
    marker = tmp_path / "host_was_told"
    system = write_key_off_system(tmp_path, marker=marker)
    command = [str(ROS2), "launch", "openbms_bringup", "openbms.launch.py", f"system:={system}"]
    with Process(command, environment(tmp_path)) as process:
        process.wait_for("DRIVE: requested", START_S)
        switch_key_off(free_domain())
        assert process.wait(START_S) == 0, process.output
        assert "ordered power-down" in process.output
        assert process.output.count("process has finished cleanly") == 4, process.output
        wait_until(marker.exists, 5.0, "the host is told")
    assert_nothing_lost(tmp_path)
