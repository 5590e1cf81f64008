"""The actuator driver on a virtual bus: idle without a file, what it refuses, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

import can  # noqa: E402
from elcon_charger import REQUEST  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402

from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_drivers.ros.actuator_driver_node import ActuatorDriverNode  # noqa: E402

ELCON = "package://openbms_drivers/devices/elcon/actuators.yaml"
OWN = "package://openbms_drivers/devices/actuators/actuators.yaml"


@pytest.fixture
def make() -> Iterator[Any]:
    rclpy.init()
    made: list[ActuatorDriverNode] = []

    def node(**given: Any) -> ActuatorDriverNode:
        given = {"can_interface": "virtual", **given}
        made.append(
            ActuatorDriverNode(
                namespace="/bms",
                parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
            )
        )
        return made[-1]

    yield node
    for one in made:
        one.stop()
        one.destroy_node()
    rclpy.shutdown()


def test_without_a_file_it_does_nothing_and_says_so(make: Any) -> None:
    node = make()
    node.start()
    assert node.active and "no actuators" in node._status.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"actuators": [ELCON]}, "each file needs its bus"),
        ({"actuators": [ELCON, ELCON], "actuator_channels": ["a", "b"]}, "2 files have a charger"),
        ({"actuators": [OWN, OWN], "actuator_channels": ["a", "b"]}, "another file has 'heater' as well"),
        ({"actuators": ["nothing.yaml"], "actuator_channels": ["a"]}, "no such file"),
        ({"actuators": [ELCON], "actuator_channels": ["a"], "actuator_interface": "serial"}, "socketcan"),
    ],
)
def test_what_it_refuses(make: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(**given).start()


def test_nobody_commands_so_it_says_stop_and_the_last_frame_says_it_again(make: Any) -> None:
    bus = can.Bus(interface="virtual", channel="charger")
    node = make(actuators=[ELCON], actuator_channels=["charger"])
    executor = make_executor()
    executor.add_node(node)
    stop = bytes.fromhex("0000 0000 0100 0000")

    def frames() -> list[can.Message]:
        found = []
        while (message := bus.recv(0.0)) is not None:
            found.append(message)
        return found

    try:
        node.start()
        heard: list[can.Message] = []
        end = time.monotonic() + 15.0
        while not heard:
            assert time.monotonic() < end, "it never said anything"
            executor.spin_until_future_complete(Future(), timeout_sec=0.02)
            heard = frames()
        assert heard[0].arbitration_id == REQUEST and heard[0].is_extended_id
        assert bytes(heard[0].data) == stop
        node.stop()
        assert [bytes(message.data) for message in frames()][-1:] == [stop], "well before its second is over"
    finally:
        bus.shutdown()
