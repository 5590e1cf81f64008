"""The demonstration under launch_pytest, where it is installed (elsewhere: test_run.py)."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import free_domain, wait_until

rclpy = pytest.importorskip("rclpy")
launch_pytest = pytest.importorskip("launch_pytest")
if pytest.version_tuple >= (8, 4) and "_pytestfixturefunction" in inspect.getsource(launch_pytest.plugin):
    pytest.skip("this launch_pytest needs pytest < 8.4", allow_module_level=True)

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
