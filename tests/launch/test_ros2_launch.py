"""The launch files with the real command `ros2 launch`, where it is installed (elsewhere: test_run.py)."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import psutil
import pytest
from processes import Process, free_domain

pytest.importorskip("launch_ros")
ROS2 = shutil.which("ros2")
pytestmark = [
    pytest.mark.system,
    pytest.mark.ros_install,
    pytest.mark.timeout(120),
    pytest.mark.skipif(ROS2 is None, reason="no ros2 command in the PATH"),
]

LAUNCH = [str(ROS2), "launch", "openbms_bringup", "openbms.launch.py"]
START_S = 40.0
PROCESSES = ("sim", "driver", "safety", "bms", "data", "ui")


def test_interrupt_ends_everything_in_order(tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.yaml"
    # another program may listen on the usual port of the live view
    parameters.write_text("/**/foxglove_server:\n  ros__parameters:\n    port: 0\n")
    # interactive shells send Ctrl-C to the whole group; a service manager to ros2 launch alone, as here
    with Process(
        [*LAUNCH, "sim:=true", f"params:={parameters}"],
        {
            "ROS_DOMAIN_ID": str(free_domain()),
            "XDG_DATA_HOME": str(tmp_path),
            "ROS_LOG_DIR": str(tmp_path / "log"),
        },
    ) as process:
        process.wait_for("the request of the key was accepted", START_S)
        names = [re.match(r"\[INFO\] \[(\w+)-\d+\]: process started", line) for line in process.lines]
        assert [name.group(1) for name in names if name] == list(PROCESSES)
        children = psutil.Process(process.process.pid).children(recursive=True)
        began = time.monotonic()
        assert process.interrupt() == 0, process.output
        assert time.monotonic() - began < 8.0
        assert not any(child.is_running() for child in children)
        assert "Traceback" not in process.output
        assert process.output.count("process has finished cleanly") == len(PROCESSES), process.output


def test_a_wrong_pack_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with Process(
        [*LAUNCH, "pack:=nothing"],
        {"ROS_DOMAIN_ID": str(free_domain()), "ROS_LOG_DIR": str(tmp_path)},
    ) as process:
        assert process.wait(START_S) != 0
        assert "nothing: no such file" in process.output
        assert "Traceback" not in process.output
