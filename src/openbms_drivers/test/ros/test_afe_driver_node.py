"""The node on a virtual bus in one process: what it publishes, obeys and refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

import can  # noqa: E402
import numpy as np  # noqa: E402
from demo_device import DemoDevice  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402

from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.pack import LoadedPack  # noqa: E402
from openbms_core.resources import find_config  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_core.types import State  # noqa: E402
from openbms_drivers.ros.afe_driver_node import AfeDriverNode  # noqa: E402
from openbms_msgs.msg import BmsState, CanFrames, ContactorCommand, PackDescription, PackMeasurement  # noqa: E402
from openbms_msgs.srv import RequestState  # noqa: E402

PATIENCE_S = 15.0


class World:
    """The node, its bus and whoever listens."""

    def __init__(self, channel: str, **parameters: Any) -> None:
        rclpy.init()
        given = {"can_interface": "virtual", "can_channel": channel, "record_frames": True, **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        self.node = AfeDriverNode(namespace="/bms", parameter_overrides=overrides)
        self.probe = rclpy.create_node("probe", namespace="/bms")
        self.got: dict[str, list[Any]] = {}
        for name in ("pack_description", "measurement", "can_rx", "can_tx"):
            topic = topic_row(name)
            self.probe.create_subscription(
                interface_type(topic.type), name, self.got.setdefault(name, []).append, qos_profile(topic)
            )
        self.publishers = {
            name: self.probe.create_publisher(
                interface_type(topic_row(name).type), name, qos_profile(topic_row(name))
            )
            for name in ("state", "contactor_command")
        }
        self.executor = make_executor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.probe)
        self.bus = can.Bus(interface="virtual", channel=channel)

    def spin_until(self, done: Callable[[], Any], each: Callable[[], None] = lambda: None) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end, "it never happened"
            each()
            self.executor.spin_until_future_complete(Future(), timeout_sec=0.02)

    def send(self, frames: list[Any]) -> None:
        for frame in frames:
            self.bus.send(can.Message(arbitration_id=frame.identifier, data=frame.data, is_extended_id=False))

    def close(self) -> None:
        self.node.stop()
        self.bus.shutdown()
        self.node.destroy_node()
        self.probe.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.node.name)
    yield world
    world.close()


def commanded(world: World, wanted: int) -> Callable[[], bool]:
    def seen() -> bool:
        while (message := world.bus.recv(0.0)) is not None:
            if message.arbitration_id == 0x50 and message.data[1] & 7 == wanted:
                return True
        return False

    return seen


def test_description_scans_and_contactors(world: World, demo_pack: LoadedPack, device: DemoDevice) -> None:
    world.node.start()
    measurements: list[PackMeasurement] = world.got["measurement"]
    world.spin_until(
        lambda: measurements and measurements[-1].bus_state == PackMeasurement.BUS_OK,
        each=lambda: world.send(device.scan(0.0)),
    )
    world.spin_until(lambda: world.got["pack_description"] and world.got["can_rx"])
    description: PackDescription = world.got["pack_description"][0]
    assert description.config_hash == demo_pack.config_hash
    assert description.header.frame_id == demo_pack.file.serial
    assert (description.string_count, description.cells_in_series, len(description.cell_module)) == (
        1,
        96,
        96,
    )
    assert description.cell_temperature_sensor[:4].tolist() == [0, 0, 0, 1]
    assert "reported_soc" in description.not_monitored
    assert "cell_voltage_v" not in description.not_monitored
    assert measurements[-1].header.frame_id == demo_pack.file.serial
    assert np.isfinite(measurements[-1].cell_voltages).all()
    frames: CanFrames = next(message for message in world.got["can_rx"] if len(message.identifiers))
    assert sum(frames.lengths) == len(frames.data)

    valid = {"sec": 0, "nanosec": 500_000_000}

    def order(closed: int) -> None:
        state = BmsState(
            state=BmsState.DRIVE, contactor_command=[closed, closed, 0], contactors_closed=bool(closed)
        )
        order = ContactorCommand(
            positive=[closed], negative=[closed], precharge=[0], requested_state=int(State.DRIVE)
        )
        for message in (state, order):
            message.valid_for.sec, message.valid_for.nanosec = valid["sec"], valid["nanosec"]
        world.publishers["state"].publish(state)
        world.publishers["contactor_command"].publish(order)

    arbiter = world.node._driver.encoder.arbiter
    world.spin_until(lambda: arbiter.may_close, each=lambda: order(0))
    world.spin_until(commanded(world, 0b011), each=lambda: order(1))
    asked: list[RequestState.Request] = []

    def answer(request: RequestState.Request, response: RequestState.Response) -> RequestState.Response:
        asked.append(request)
        return response

    world.probe.create_service(RequestState, "request_state", answer)

    def told_to_stop() -> None:
        order(1)
        assert not world.node.ready_to_stop(), "closed contactors: serve on"

    world.spin_until(lambda: asked, each=told_to_stop)
    world.spin_until(commanded(world, 0b011), each=told_to_stop)
    assert [request.state for request in asked] == [State.STANDBY], "zero current, then open: asked once"
    world.spin_until(commanded(world, 0b000))
    assert world.node.ready_to_stop(), "the monitor went silent and everything was commanded open"
    world.node.stop()
    while world.bus.recv(0.0) is not None:
        pass
    assert world.bus.recv(0.3) is None, "the heartbeat has ended"


def test_inactive_means_silent(request: pytest.FixtureRequest) -> None:
    world = World(request.node.name, autostart=False)
    try:
        world.node.start()
        world.node.trigger_configure()
        world.executor.spin_until_future_complete(Future(), timeout_sec=0.05)
        assert world.bus.recv(0.3) is None
        assert world.got["measurement"] == []
        world.node.trigger_activate()
        world.spin_until(commanded(world, 0b000))
    finally:
        world.close()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"use_sim_time": True}, "use_sim_time is refused on a real bus"),
        ({"pack": "no_such_pack"}, "no_such_pack: no such file"),
    ],
)
def test_what_it_refuses(
    request: pytest.FixtureRequest, tmp_path: Path, parameters: dict[str, Any], said: str
) -> None:
    world = World(request.node.name, **parameters)
    try:
        with pytest.raises(ConfigError, match=said):
            world.node.start()
    finally:
        world.close()


def test_it_refuses_a_pack_that_does_not_fit_together(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    pack = tmp_path / "bad.yaml"
    text = find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8")
    pack.write_text(text.replace("command_valid_for_s: 0.5", "command_valid_for_s: 0.1"), encoding="utf-8")
    world = World(request.node.name, pack=str(pack))
    try:
        with pytest.raises(
            ConfigError, match=rf"{pack}:\d+: contactors.command_valid_for_s: 0.1 s is shorter"
        ):
            world.node.start()
    finally:
        world.close()


def test_a_bus_thread_that_fails_ends_the_process(world: World) -> None:
    world.node.start()
    world.node._loop.failure = ZeroDivisionError("a bug")
    with pytest.raises(RuntimeError, match="the bus thread failed"):
        world.spin_until(lambda: False)


def test_a_state_that_does_not_exist_renews_nothing_and_ends_nothing(
    world: World, device: DemoDevice
) -> None:
    world.node.start()
    measurements = world.got["measurement"]
    nonsense = BmsState(state=99, contactor_command=[1, 1, 0])
    nonsense.valid_for.sec = 1

    def publish() -> None:
        world.publishers["state"].publish(nonsense)
        world.send(device.scan(0.0))

    world.spin_until(lambda: len(measurements) > 5, each=publish)
    world.spin_until(commanded(world, 0), each=publish)
    since = len(measurements)
    world.spin_until(lambda: len(measurements) > since + 5, each=publish)
