"""The launch files with the real ros2 launch, where it is installed (elsewhere: test_run.py)."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import Process, free_domain, wait_until

rclpy = pytest.importorskip("rclpy")
launch_pytest = pytest.importorskip("launch_pytest")

from ament_index_python.packages import get_package_share_directory  # noqa: E402
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_pytest.actions import ReadyToTest  # noqa: E402

from launch import LaunchDescription  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402

pytestmark = [pytest.mark.system, pytest.mark.ros_install, pytest.mark.timeout(120)]

DOMAIN = free_domain()  # at most 99
START_S = 40.0
DRIVE = 3
PROCESSES = ("sim", "driver", "safety", "bms", "data", "ui")


def launch_file(name: str) -> str:
    return str(Path(get_package_share_directory("openbms_bringup"), "launch", name))


def parameters(folder: Path) -> str:
    """Write a parameter file: another program may listen on the usual port of the live view."""
    path = folder / "parameters.yaml"
    path.write_text("/**/foxglove_server:\n  ros__parameters:\n    port: 0\n")
    return str(path)


@launch_pytest.fixture
def system(tmp_path: Path) -> LaunchDescription:
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN)),
            SetEnvironmentVariable("XDG_DATA_HOME", str(tmp_path)),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(launch_file("sim.launch.py")),
                launch_arguments=[("params", parameters(tmp_path))],
            ),
            ReadyToTest(),
        ]
    )


@pytest.fixture
def states() -> Iterator[list[int]]:
    """States of the pack as they are published."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node("launch_test", namespace="bms", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen: list[int] = []
    row = topic_row("state")
    node.create_subscription(
        interface_type(row.type), "state", lambda message: seen.append(message.state), qos_profile(row)
    )
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    yield seen
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.launch(fixture=system)
def test_demonstration_comes_to_drive(states: list[int]) -> None:
    wait_until(lambda: DRIVE in states, START_S, "the pack drives")


def test_interrupt_ends_everything_in_order(tmp_path: Path) -> None:
    ros2 = shutil.which("ros2")
    if ros2 is None:
        pytest.skip("no ros2 command in the PATH")
    launch = ["python", ros2, "launch", "openbms_bringup", "openbms.launch.py"]
    # interactive shells send Ctrl-C to the whole group; a service manager to ros2 launch alone, as here
    with Process(
        [*launch, "sim:=true", f"params:={parameters(tmp_path)}"],
        {
            "ROS_DOMAIN_ID": str(DOMAIN + 1),
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
    ros2 = shutil.which("ros2")
    if ros2 is None:
        pytest.skip("no ros2 command in the PATH")
    with Process(
        ["python", ros2, "launch", "openbms_bringup", "openbms.launch.py", "pack:=nothing"],
        {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_LOG_DIR": str(tmp_path)},
    ) as process:
        assert process.wait(START_S) != 0
        assert "nothing: no such file" in process.output
        assert "Traceback" not in process.output
