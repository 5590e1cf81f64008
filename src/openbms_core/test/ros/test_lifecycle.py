"""What a lifecycle manager can do to a node in one process: nothing stays closed by it, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402

from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_core.ros.node_base import BmsNode  # noqa: E402
from openbms_msgs.msg import PackDescription  # noqa: E402

PATIENCE_S = 15.0
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Tester(BmsNode):
    """Notes what happens to it; ready to stop when told."""

    stop_deadline_s = PATIENCE_S

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.said: list[str] = []
        self.asked = 0
        self.ready = False
        super().__init__("tester", parameter_overrides=[Parameter("autostart", value=False)])

    def configure(self) -> None:
        self.descriptions = self.publisher_for("pack_description", as_name="own_description")
        self.listen("pack_description", lambda message: self.heard.append(message.serial))

    def activate(self) -> None:
        self.said.append("activate")

    def deactivate(self) -> None:
        self.said.append("deactivate")

    def release(self) -> None:
        self.said.append("release")

    def ready_to_stop(self) -> bool:
        self.asked += 1
        return self.ready


class World:
    """The node and somebody who publishes."""

    def __init__(self) -> None:
        rclpy.init()
        self.node, self.other = Tester(), rclpy.create_node("other")
        topic = topic_row("pack_description")
        self.description = self.other.create_publisher(
            interface_type(topic.type), topic.name, qos_profile(topic)
        )
        self.executor = make_executor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)

    def spin_until(self, done: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end, "it never happened"
            self.executor.spin_until_future_complete(Future(), timeout_sec=0.02)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.node.destroy_node()
    world.other.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize("end", ["trigger_deactivate", "trigger_shutdown"])
def test_every_way_out_of_active_winds_down(world: World, end: str) -> None:
    node = world.node
    node.trigger_configure()
    node.trigger_activate()
    assert getattr(node, end)() == SUCCESS
    world.spin_until(lambda: node.asked > 2)
    assert node.acting and node.said == ["activate"], "contactors are still closed: it acts on"
    node.ready = True
    world.spin_until(lambda: not node.acting)
    assert node.said == ["activate", "deactivate"]


def test_neither_activated_nor_released_while_it_winds_down(world: World) -> None:
    node = world.node
    node.trigger_configure()
    node.trigger_activate()
    node.trigger_deactivate()
    assert node.trigger_activate() == FAILURE, "a second bus thread, or a monitor that opens under load"
    assert node.trigger_cleanup() == FAILURE, "a bus that is closed under load"
    assert node.said == ["activate"]
    node.ready = True
    world.spin_until(lambda: not node.acting)
    assert node.trigger_activate() == SUCCESS
    assert node.active


def test_what_is_latched_is_not_lost_while_it_is_inactive(world: World) -> None:
    node, other = world.node, world.other
    world.description.publish(PackDescription(serial="A"))
    node.trigger_configure()
    world.spin_until(lambda: other.count_subscribers("pack_description") and node._latched_newest)
    assert node.heard == []
    node.trigger_activate()
    assert node.heard == ["A"]
    node.ready = True
    node.trigger_deactivate()
    world.spin_until(lambda: not node.acting)
    node.trigger_activate()
    assert node.heard == ["A", "A"], "what begins anew has forgotten it"


def test_cleaning_up_leaves_nothing_that_is_latched(world: World) -> None:
    node, other = world.node, world.other
    for _ in range(2):
        node.trigger_configure()
        world.spin_until(lambda: other.count_publishers("own_description") == 1)
        assert node.trigger_cleanup() == SUCCESS
        world.spin_until(lambda: other.count_publishers("own_description") == 0)


def test_a_bug_in_a_transition_is_logged(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    node = world.node

    def broken() -> None:
        raise TypeError("a bug in configure")

    node.configure = broken  # type: ignore[method-assign]
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert "TypeError: a bug in configure" in capfd.readouterr().err


def test_a_refusal_in_activation_leaves_it_inactive(world: World) -> None:
    node = world.node

    def refused() -> None:
        raise ConfigError("no")

    node.trigger_configure()
    node.activate = refused  # type: ignore[method-assign]
    assert node.trigger_activate() == FAILURE
    assert not node.acting
