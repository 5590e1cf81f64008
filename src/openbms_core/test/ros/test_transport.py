"""The transport between processes is chosen, unless the user has; and what was chosen is what runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import free_domain

from openbms_core.ros.transport import LOCALHOST_PROFILES, PROFILES, choose_transport

NAMES = (
    "FASTDDS_BUILTIN_TRANSPORTS",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_LOCALHOST_ONLY",
    "ROS_STATIC_PEERS",
    "RMW_IMPLEMENTATION",
)
LOCALHOST = {"ROS_DISTRO": "jazzy", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ROS_DISTRO": "jazzy"}, (None, str(LOCALHOST_PROFILES), "SUBNET")),
        ({"ROS_DISTRO": "jazzy", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, (None, str(PROFILES), "SUBNET")),
        (LOCALHOST, (None, str(LOCALHOST_PROFILES), "SUBNET")),
        ({"ROS_DISTRO": "jazzy", "ROS_LOCALHOST_ONLY": "1"}, (None, str(LOCALHOST_PROFILES), "SUBNET")),
        (LOCALHOST | {"ROS_STATIC_PEERS": "10.0.0.2"}, (None, str(PROFILES), "LOCALHOST")),
        (LOCALHOST | {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, (None, str(LOCALHOST_PROFILES), "SUBNET")),
        ({"ROS_DISTRO": "jazzy", "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, (None, None, "LOCALHOST")),
        ({"ROS_DISTRO": "kilted"}, ("UDPv4", None, "LOCALHOST")),
        ({"ROS_DISTRO": "kilted", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, ("UDPv4", None, "SUBNET")),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "SHM"}, ("SHM", None, None)),
        (LOCALHOST | {"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"}, (None, "mine.xml", "LOCALHOST")),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "mine.xml"}, (None, None, None)),
    ],
)
def test_the_users_choice_of_transport_stays(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # restored at the end, whatever is set here
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    choose_transport()
    assert tuple(os.environ.get(name) for name in (*NAMES[:2], NAMES[3])) == expected
    assert PROFILES.is_file() and LOCALHOST_PROFILES.is_file()


PARTICIPANT = """
import json, os, psutil
from pathlib import Path
import openbms_core.ros
import rclpy
rclpy.init()
node = rclpy.create_node("participant")
threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
mine = psutil.Process().net_connections("udp4")
base = 7400 + 250 * int(os.environ["ROS_DOMAIN_ID"])
addresses = [one.laddr.ip for one in mine if base <= one.laddr.port < base + 250]
print(json.dumps({"threads": threads, "addresses": addresses}))
node.destroy_node()
rclpy.shutdown()
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads Linux's list of threads")
@pytest.mark.skipif(os.environ.get("ROS_DISTRO") != "jazzy", reason="the profiles are for Fast DDS 2.14")
@pytest.mark.parametrize("discovery", ["LOCALHOST", "SUBNET"])
def test_a_participant_uses_no_shared_memory_and_is_as_open_as_the_user_wants(discovery: str) -> None:
    pytest.importorskip("rclpy")
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": discovery, "ROS_DOMAIN_ID": str(free_domain())}
    done = subprocess.run(
        [sys.executable, "-c", PARTICIPANT], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert any(name.startswith("dds.udp") for name in found["threads"])
    assert not [name for name in found["threads"] if name.startswith("dds.shm")]
    assert found["addresses"]
    unicast = {address for address in found["addresses"] if not address.startswith("239.")}
    assert unicast == ({"127.0.0.1"} if discovery == "LOCALHOST" else {"0.0.0.0"})
