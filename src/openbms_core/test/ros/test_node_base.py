"""The node base over real rclpy in real processes: start, gating, clean end, refusals."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Process, free_domain

pytest.importorskip("rclpy")


NODE = """
import sys, threading
from openbms_core.config_file import ConfigError
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_msgs.msg import BmsState

class Tester(BmsNode):
    def __init__(self, **kw):
        super().__init__("tester", **kw)
    def say(self, text):
        print(text, flush=True)
    def configure(self):
        self.say("configured")
        self.publisher = self.publisher_for("state")
        self.listen("state", self.received)
        self.every(0.02, self.tick)
        self.ticks = self.got = self.after_stop = 0
    def activate(self):
        self.say("activated")
    def deactivate(self):
        self.say("deactivated")
    def release(self):
        self.say("released")
    def received(self, message):
        self.got += 1
    def tick(self):
        self.ticks += 1
        self.publisher.publish(BmsState())
        if self.ticks == 10:
            self.say("ten ticks")
        if self.stop_requested:
            self.after_stop += 1
{body}

run_nodes([Tester], fail_safe={fail_safe})
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Process]:
    running: list[Process] = []

    def begin(body: str = "", *arguments: str, fail_safe: bool = False) -> Process:
        script = tmp_path / "node.py"
        script.write_text(
            NODE.format(body=textwrap.indent(textwrap.dedent(body), "    "), fail_safe=fail_safe)
        )
        process = Process(
            ["python", str(script), *arguments],
            {"ROS_DOMAIN_ID": str(free_domain()), "ROS_LOG_DIR": str(tmp_path)},
        )
        running.append(process)
        return process

    yield begin  # type: ignore[misc]
    for process in running:
        process.__exit__()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_starts_itself_and_ends_cleanly(start: Callable[..., Process], number: int) -> None:
    node = start()
    node.wait_for("ten ticks")
    node.signal(number)
    assert node.wait(5) == 0
    assert "Traceback" not in node.output
    assert node.lines[:2] == ["configured", "activated"]
    assert node.lines[-2:] == ["deactivated", "released"]


def test_acts_on_until_it_is_ready_to_stop(start: Callable[..., Process]) -> None:
    node = start(
        """
        stop_deadline_s = 8.0
        def ready_to_stop(self):
            if self.after_stop >= 15:
                self.say(f"ready after {self.after_stop} ticks, {self.got > 0}")
                return True
            return False
        """
    )
    node.wait_for("ten ticks")
    assert node.interrupt(10) == 0
    assert "ready after" in node.output and ", True" in node.output


def test_deadline_ends_a_node_that_never_gets_ready(start: Callable[..., Process]) -> None:
    node = start("stop_deadline_s = 0.3\ndef ready_to_stop(self):\n    return False")
    node.wait_for("ten ticks")
    assert node.interrupt(5) == 0
    assert node.lines[-1] == "released"


def test_without_autostart_it_waits_for_a_lifecycle_manager(start: Callable[..., Process]) -> None:
    node = start("def declare(self):\n    self.say('declared')", "--ros-args", "-p", "autostart:=false")
    node.wait_for("declared")
    with pytest.raises(TimeoutError):
        node.wait_for("configured", 1.0)
    assert node.interrupt(5) == 0


def test_callback_error_ends_a_fail_safe_process_at_once(start: Callable[..., Process]) -> None:
    node = start("def received(self, message):\n    raise ValueError('broken callback')", fail_safe=True)
    assert node.wait(10) == 1
    assert "broken callback" in node.output
    assert node.lines[-1] == "released"


def test_a_fail_safe_node_makes_its_process_so(start: Callable[..., Process]) -> None:
    body = "fail_safe = True\ndef received(self, message):\n    raise ValueError('broken callback')"
    assert start(body).wait(10) == 1


def test_callback_error_elsewhere_is_logged_and_the_node_goes_on(start: Callable[..., Process]) -> None:
    node = start(
        """
        def received(self, message):
            self.got += 1
            if self.got == 3:
                raise ValueError('broken callback')
            if self.got == 30:
                self.say("went on")
        """
    )
    node.wait_for("went on")
    assert "broken callback" in node.output
    assert node.interrupt(5) == 0


def test_refused_configuration_is_one_sentence_and_code_2(start: Callable[..., Process]) -> None:
    node = start("def configure(self):\n    raise ConfigError('pack.yaml:3: cells: wrong. Do this.')")
    assert node.wait(10) == 2
    assert "openbms: pack.yaml:3: cells: wrong. Do this." in node.output
    assert "Traceback" not in node.output


def test_a_parameter_of_another_type_is_refused_in_one_sentence(start: Callable[..., Process]) -> None:
    body = "def declare(self):\n    self.parameter('load', 1.0, 'Of something')"
    node = start(body, "--ros-args", "-p", "load:=much")
    assert node.wait(10) == 2
    assert (
        "openbms: tester: parameter load is 'much' (str): it must be of type float, such as 1.0."
        in node.output
    )
    assert "Traceback" not in node.output


def test_an_unknown_parameter_is_said(start: Callable[..., Process]) -> None:
    node = start("", "--ros-args", "-p", "autostrt:=true", "-p", "can_port:=1", "-p", "zzz:=1")
    node.wait_for("ten ticks")
    assert "unknown parameter 'autostrt': it has no effect. Did you mean 'autostart'?" in node.output
    assert "unknown parameter 'zzz': it has no effect. It has: " in node.output
    assert "can_port" not in node.output, "told to every node, asked by few"
    assert node.interrupt(5) == 0


def test_simulated_time_is_refused_on_a_real_bus(start: Callable[..., Process]) -> None:
    body = "def configure(self):\n    self.require_real_time()\n    self.say('accepted')"
    assert start(body, "--ros-args", "-p", "use_sim_time:=true").wait(10) == 2
    twin = start(body, "--ros-args", "-p", "use_sim_time:=true", "-p", "bus_is_simulated:=true")
    twin.wait_for("accepted")


def test_timers_run_by_the_monotonic_clock_while_ros_time_stands_still(start: Callable[..., Process]) -> None:
    node = start("", "--ros-args", "-p", "use_sim_time:=true")
    node.wait_for("ten ticks", 10)
