"""The Foxglove server as a process, on real ROS, against a client that shares no code with it."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.task import Future
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from openbms_core.ros.executor import make_executor
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row
from openbms_core.topics import TOPICS, absolute_name
from openbms_msgs.msg import PackDescription, PackMeasurement

pytestmark = pytest.mark.system
NAMESPACE = "/foxglove_test"
MEASUREMENT = f"{NAMESPACE}/measurement"
DESCRIPTION = f"{NAMESPACE}/pack_description"


class Bench:
    """A node that publishes, and hears the server's diagnostics."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = Node("bench", namespace=NAMESPACE)
        self.executor = make_executor()
        self.executor.add_node(self.node)
        self.diagnostics: dict[str, str] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)

    def _hear(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == f"{NAMESPACE}/foxglove_server":
                self.diagnostics = {pair.key: pair.value for pair in status.values}

    def publisher(self, name: str) -> Any:
        row = topic_row(name)
        return self.node.create_publisher(interface_type(row.type), name, qos_profile(row))

    def spin(self) -> None:
        self.executor.spin_until_future_complete(Future(), timeout_sec=0.01)

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


class ServerProcess:
    """The server in its own process; its port is read from its log."""

    def __init__(self, **parameters: object) -> None:
        arguments = [("-p", f"{key}:={value}") for key, value in parameters.items()]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from openbms_dashboard.ros.foxglove_node import main; main()",
                "--ros-args",
                *("-r", f"__ns:={NAMESPACE}"),
                *(part for argument in arguments for part in argument),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.log = ""
        self.port = 0
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            if found := re.search(r"ws://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                self._known.set()

    def wait_for_port(self) -> int:
        assert self._known.wait(30), self.log
        return self.port

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        code = self.process.wait(20)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., ServerProcess]]:
    started: list[ServerProcess] = []

    def build(**parameters: object) -> ServerProcess:
        started.append(ServerProcess(**parameters))
        return started[-1]

    yield build
    for process in started:
        process.end(signal.SIGKILL)


def decode(client: Any, topic: str, data: bytes) -> Any:
    """Deserialise by rosbags, with the definition that the server advertised."""
    channel = client.channels[topic]
    return types_of(channel["schema"], channel["schemaName"]).deserialize_cdr(data, channel["schemaName"])


@functools.cache
def types_of(schema: str, name: str) -> Any:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(schema, name))
    return store


def test_every_topic_of_the_table_is_advertised_and_none_is_followed_unasked(
    bench: Bench, start: Any, connect: Any, until: Any
) -> None:
    client = connect(start(port=0).wait_for_port())
    names = {absolute_name(row, NAMESPACE): row for row in TOPICS}
    until(lambda: set(client.channels) == set(names), client)
    for name, row in names.items():
        channel = client.channels[name]
        assert (channel["schemaName"], channel["schemaEncoding"], channel["encoding"]) == (
            row.type,
            "ros2msg",
            "cdr",
        )
    until(lambda: bool(bench.diagnostics), client, spin=bench.spin)
    for name in names:
        ends = bench.node.get_subscriptions_info_by_topic(name)
        assert [end.node_name for end in ends if end.node_name == "foxglove_server"] == [], name


def test_what_is_published_arrives_at_two_clients_and_the_subscription_ends_with_the_last(
    bench: Bench, start: Any, connect: Any, until: Any
) -> None:
    publisher = bench.publisher("measurement")
    port = start(port=0).wait_for_port()
    first, second = connect(port), connect(port)
    until(lambda: MEASUREMENT in first.channels and MEASUREMENT in second.channels, first, second)
    assert bench.node.count_subscribers(MEASUREMENT) == 0
    first.subscribe(MEASUREMENT)
    second.subscribe(MEASUREMENT)
    until(lambda: bench.node.count_subscribers(MEASUREMENT) == 1, first, second, spin=bench.spin)
    until(lambda: publisher.get_subscription_count() == 1, first, second, spin=bench.spin)
    until(lambda: bench.diagnostics.get("clients") == "2", first, second, spin=bench.spin)
    for number in range(50):
        publisher.publish(PackMeasurement(scan_number=number, cell_voltages=[3.5 + number, 3.25]))
    until(lambda: len(first.received) == len(second.received) == 50, first, second, spin=bench.spin)
    for client in (first, second):
        decoded = [decode(client, topic, data) for topic, _, data in client.received]
        assert [message.scan_number for message in decoded] == list(range(50))
        assert decoded[7].cell_voltages.tolist() == [10.5, 3.25]
        assert all(abs(time_ns - time.time_ns()) < 60e9 for _, time_ns, _ in client.received)
    first.unsubscribe(MEASUREMENT)
    until(lambda: bench.diagnostics.get("clients") == "1", first, second, spin=bench.spin)
    assert bench.node.count_subscribers(MEASUREMENT) == 1
    second.unsubscribe(MEASUREMENT)
    until(lambda: bench.node.count_subscribers(MEASUREMENT) == 0, first, second, spin=bench.spin)
    until(lambda: bench.diagnostics.get("subscribed_topics") == "0", first, second, spin=bench.spin)
    assert bench.diagnostics["forwarded_messages"] == "50"
    first.subscribe(MEASUREMENT)  # and again
    until(lambda: publisher.get_subscription_count() == 1, first, second, spin=bench.spin)
    publisher.publish(PackMeasurement(scan_number=99))
    until(lambda: len(first.received) == 51, first, second, spin=bench.spin)


def test_latched_topics_reach_the_first_and_the_late_client(
    bench: Bench, start: Any, connect: Any, until: Any
) -> None:
    publisher = bench.publisher("pack_description")
    publisher.publish(PackDescription(name="demo", serial="OBMS-7"))
    port = start(port=0).wait_for_port()
    for _ in range(2):
        client = connect(port)
        until(lambda: DESCRIPTION in client.channels, client, spin=bench.spin)  # noqa: B023
        client.subscribe(DESCRIPTION)
        until(lambda: bool(client.received), client, spin=bench.spin)  # noqa: B023
        topic, _, data = client.received[0]
        assert decode(client, topic, data).serial == "OBMS-7"


def test_a_taken_port_ends_the_process_with_the_cure(start: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = start(port=port)
        assert server.process.wait(30) == 2
    server._reader.join(5)
    assert f"port {port} of 127.0.0.1 is taken by another program." in server.log
    assert "parameter port" in server.log


def test_a_port_out_of_range_is_refused(start: Any) -> None:
    server = start(port=70000)
    assert server.process.wait(30) == 2
    server._reader.join(5)
    assert "parameter port is 70000; give 0 to 65535" in server.log


def test_it_ends_with_clients_connected(bench: Bench, start: Any, connect: Any, until: Any) -> None:
    server = start(port=0)
    client = connect(server.wait_for_port())
    until(lambda: MEASUREMENT in client.channels, client)
    client.subscribe(MEASUREMENT)
    until(lambda: bench.node.count_subscribers(MEASUREMENT) == 1, client, spin=bench.spin)
    assert server.end() == 0
    assert "Traceback" not in server.log
