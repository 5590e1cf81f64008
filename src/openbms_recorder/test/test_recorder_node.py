"""The recorder as a process, on real ROS: what is published stands in the bag."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.task import Future

from openbms_core.ros.executor import make_executor
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row
from openbms_core.topics import TOPICS
from openbms_msgs.msg import PackDescription, PackMeasurement
from openbms_recorder.recovery import BagInUseError, recover, unfinished_bags

pytestmark = pytest.mark.system
NAMESPACE = "/recorder_test"


class Bench:
    """A node that publishes to the recorder and hears its diagnostics."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = Node("bench", namespace=NAMESPACE)
        self.executor = make_executor()
        self.executor.add_node(self.node)
        self.diagnostics: dict[str, str] = {}
        self.level = -1
        self.message = ""
        self.heard = 0
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)

    def _hear(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == f"{NAMESPACE}/recorder":
                self.heard += 1
                self.level = status.level[0]
                self.message = status.message
                self.diagnostics = {pair.key: pair.value for pair in status.values}

    def publisher(self, name: str) -> Any:
        row = topic_row(name)
        return self.node.create_publisher(interface_type(row.type), name, qos_profile(row))

    def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, (self.message, self.diagnostics)
            self.executor.spin_until_future_complete(Future(), timeout_sec=0.02)

    def hears(self, name: str) -> bool:
        """Tell whether the recorder subscribes to a topic."""
        ends = self.node.get_subscriptions_info_by_topic(name)
        return any(end.node_name == "recorder" and end.node_namespace == NAMESPACE for end in ends)

    def close(self) -> None:
        self.executor.remove_node(self.node)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


class RecorderProcess:
    """The recorder in its own process."""

    def __init__(self, folder: Path, **parameters: object) -> None:
        arguments = [f"{key}:={value}" for key, value in parameters.items()]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from openbms_recorder.ros.recorder_node import main; main()",
                "--ros-args",
                *("-r", f"__ns:={NAMESPACE}", "-p", f"directory:={folder}", "-p", "minimum_free_mb:=1.0"),
                *(part for argument in arguments for part in ("-p", argument)),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        code = self.process.wait(20)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RecorderProcess]]:
    started: list[RecorderProcess] = []

    def build(**parameters: object) -> RecorderProcess:
        started.append(RecorderProcess(tmp_path / "bags", **parameters))
        return started[-1]

    yield build
    for process in started:
        process.end(signal.SIGKILL)


def measurement(number: int) -> PackMeasurement:
    return PackMeasurement(scan_number=number, cell_voltages=[3.7] * 96)


def test_everything_published_stands_in_the_bag(bench: Bench, start: Any, rosbags_reader: Any) -> None:
    latched = bench.publisher("pack_description")
    latched.publish(PackDescription(name="demo", serial="FROM-THE-TOPIC"))  # before the recorder is there
    process = start()
    publisher = bench.publisher("measurement")
    bench.until(
        lambda: publisher.get_subscription_count() == 1 and bench.diagnostics.get("messages", "0") != "0"
    )
    for number in range(160):
        publisher.publish(measurement(number))
        if number == 79:  # a recorder that keeps up is not asked to hold a burst
            bench.until(lambda: int(bench.diagnostics["messages"]) > number)  # noqa: B023
    assert bench.level == 0
    assert bench.diagnostics["dropped"] == "0"
    assert float(bench.diagnostics["recorded_mb"]) > 0
    bag = Path(bench.diagnostics["bag"])
    assert process.end() == 0
    assert f"recording to {bag}" in "".join(process.log)
    read = rosbags_reader(bag)
    names = [topic for topic, _, _ in read]
    numbers = [message.scan_number for topic, _, message in read if topic == f"{NAMESPACE}/measurement"]
    assert numbers == list(range(160))
    serials = [message.serial for topic, _, message in read if topic == f"{NAMESPACE}/pack_description"]
    assert serials == ["FROM-THE-TOPIC"]
    assert "/diagnostics" in names
    times = [time_ns for _, time_ns, _ in read]
    assert abs(times[-1] - time.time_ns()) < 60e9
    assert unfinished_bags(bag.parent) == []


def test_it_listens_to_every_recorded_topic_and_no_other(bench: Bench, start: Any) -> None:
    start()
    bench.until(lambda: bench.level == 0)
    for row in TOPICS:
        name = row.name if row.name.startswith("/") else f"{NAMESPACE}/{row.name}"
        bench.until(lambda: bench.hears(name) == row.recorded)  # noqa: B023


def test_after_kill_9_the_next_start_repairs_the_bag(bench: Bench, start: Any, rosbags_reader: Any) -> None:
    process = start(chunk_period_s=0.2)
    publisher = bench.publisher("measurement")
    bench.until(lambda: publisher.get_subscription_count() == 1 and "messages" in bench.diagnostics)
    for number in range(20):
        publisher.publish(measurement(number))
    heard = bench.heard
    # two reports later, at 1 Hz, several chunk periods are over
    bench.until(lambda: int(bench.diagnostics["messages"]) >= 20 and bench.heard >= heard + 2)
    killed = Path(bench.diagnostics["bag"])
    process.end(signal.SIGKILL)
    assert unfinished_bags(killed.parent) == [killed]
    again = start()
    bench.until(lambda: bench.diagnostics.get("recovered_bags") == "1")
    read = rosbags_reader(killed)
    assert [m.scan_number for topic, _, m in read if topic.endswith("/measurement")] == list(range(20))
    assert again.end() == 0
    assert "was left unfinished" in "".join(again.log)


def test_a_folder_that_cannot_be_written_is_said_and_does_not_end_the_node(
    bench: Bench, start: Any, tmp_path: Path
) -> None:
    (tmp_path / "bags").write_text("a file where the folder should be")
    process = start(retry_s=0.1)
    bench.until(lambda: bench.level == 2 and bench.message.startswith("not recording: "))
    assert "directory" in bench.message
    (tmp_path / "bags").unlink()
    bench.until(lambda: bench.level in (0, 1) and bool(bench.diagnostics.get("bag")))
    assert process.end() == 0


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"chunk_period_s": 0.0}, "parameter chunk_period_s is 0.0; give more than 0."),
        ({"split_size_mb": -1.0}, "parameter split_size_mb is -1.0; give 0 or more."),
        ({"name": "'{pack}'"}, "Use the fields {serial} and {start} only."),
    ],
)
def test_wrong_parameters_are_refused(start: Any, parameters: dict[str, object], said: str) -> None:
    process = start(**parameters)
    assert process.process.wait(30) == 2
    process.end()
    assert said in "".join(process.log)


def test_a_bag_of_the_node_is_not_recovered_while_it_runs(bench: Bench, start: Any) -> None:
    start()
    bench.until(lambda: bool(bench.diagnostics.get("bag")))
    with pytest.raises(BagInUseError):
        recover(Path(bench.diagnostics["bag"]))
