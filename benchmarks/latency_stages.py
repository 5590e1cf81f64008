"""What the answer to a scan is made of: each stage alone, and the way between two processes.

Each stage runs on the demonstration pack: once over and over (its code and data lie in the caches), and once
with a pause of 50 ms before every scan, as in operation. Way between processes: half of a round trip of the
message through an echoing process, by the middleware as the nodes use it, without the stages above.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import openbms_core.ros  # noqa: F401, I001 - before any message
import numpy as np
import rclpy
from demo_device import DemoDevice
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.task import Future

from openbms_control.safety.monitor import SafetyMonitor
from openbms_control.safety.record import load_record
from openbms_core.pack import load_pack
from openbms_core.ros import convert, wire
from openbms_core.ros.executor import make_executor
from openbms_core.ros.interfaces import interface_type, listening, qos_profile, topic_row
from openbms_drivers.database import Database
from openbms_drivers.pack_driver import PackDriver
from openbms_msgs.msg import PackMeasurement as MeasurementMessage

SCANS = 200
PAUSE_S = 0.05
HOP_S = 5.0
TOPICS = ("measurement", "contactor_command")


class Stages:
    """One pack's driver and monitor in this process, every step of a scan timed."""

    def __init__(self) -> None:
        pack = load_pack("demo_96s_nmc")
        database = Database(pack)
        self.device = DemoDevice(pack, database)
        self.driver = PackDriver(pack, database=database)
        self.driver.health.opened(0.0)
        self.driver.start(0.0)
        with tempfile.TemporaryDirectory() as folder:
            record, problem = load_record(Path(folder, "faults.json"), pack.file.serial)
        self.monitor = SafetyMonitor(pack, record, problem)
        self.t_s = 100.0
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.last: dict[str, bytes] = {}

    def timed(self, name: str, function: Any, *arguments: Any) -> Any:
        """Call, and note how long it took."""
        began_s = time.perf_counter()
        result = function(*arguments)
        self.seconds[name].append(time.perf_counter() - began_s)
        return result

    def scan(self) -> None:
        """Go through one scan."""
        self.t_s += 0.1
        frames = self.device.scan(self.t_s)
        time.sleep(self.pause_s)
        for frame in frames[:-1]:
            self.timed("a frame: decode", self.driver.receive, frame)
        scan = self.timed("last frame: decode, close the scan", self.driver.receive, frames[-1])
        data = self.timed("scan to bytes", wire.MEASUREMENT.encode, scan, self.t_s, "PACK")
        taken = self.timed("bytes to scan", wire.MEASUREMENT.decode, data)
        message = self.timed("  by rclpy: scan to message", convert.measurement_to_msg, scan, "PACK")
        same = self.timed("  by rclpy: message to bytes", serialize_message, message)
        message = self.timed("  by rclpy: bytes to message", deserialize_message, same, MeasurementMessage)
        self.timed("  by rclpy: message to scan", convert.measurement_from_msg, message)
        decision = self.timed("safety monitor: one step", self.monitor.step, taken, self.t_s, self.t_s)
        answer = self.timed(
            "command to bytes", wire.COMMAND.encode, decision.contactor_command, self.t_s, "PACK"
        )
        taken = self.timed("bytes to command", wire.COMMAND.decode, answer)
        arbiter = self.driver.encoder.arbiter
        arbiter.set_state(decision.status, self.t_s)
        self.driver.frames_due(self.t_s, self.t_s)
        self.timed("arbitrate, frame of the answer", self._answer, arbiter, taken)
        self.last = {"measurement": data, "contactor_command": answer}

    def _answer(self, arbiter: Any, taken: Any) -> None:
        arbiter.set_contactors(taken, self.t_s + 0.01)
        assert self.driver.frames_due(self.t_s + 0.01, self.t_s)

    def run(self, pause_s: float) -> dict[str, float]:
        """Give the median of each stage [us]."""
        self.pause_s = pause_s
        for _ in range(20):
            self.scan()
        self.seconds.clear()
        gc.collect()
        gc.freeze()
        for _ in range(SCANS):
            self.scan()
        return {name: 1e6 * float(np.median(values)) for name, values in self.seconds.items()}


def echo() -> None:
    """Send every message back as it is."""
    rclpy.init()
    node = rclpy.create_node("echo")
    for name in TOPICS:
        row = topic_row(name)
        back = node.create_publisher(interface_type(row.type), f"{name}_back", qos_profile(row))
        node.create_subscription(interface_type(row.type), name, back.publish, listening(row), raw=True)
    executor = make_executor()
    executor.add_node(node)
    with contextlib.suppress(Exception):
        while True:
            executor.spin_until_future_complete(Future(), timeout_sec=1.0)


def hops(messages: dict[str, bytes]) -> dict[str, float]:
    """Give the median of half a round trip of each message's bytes [us]."""
    rclpy.init()
    node = rclpy.create_node("asking")
    executor = make_executor()
    executor.add_node(node)
    found = {}
    with subprocess.Popen([sys.executable, __file__, "echo"]) as other:
        for name in TOPICS:
            row, data = topic_row(name), messages[name]
            publisher = node.create_publisher(interface_type(row.type), name, qos_profile(row))
            trips: list[float] = []
            sent = [0.0]
            node.create_subscription(
                interface_type(row.type),
                f"{name}_back",
                lambda _, sent=sent, trips=trips: trips.append(time.perf_counter() - sent[0]),
                listening(row),
                raw=True,
            )

            def ask(sent: list[float] = sent, publisher: Any = publisher, data: bytes = data) -> None:
                sent[0] = time.perf_counter()
                publisher.publish(data)

            timer = node.create_timer(PAUSE_S, ask)
            end_s = time.monotonic() + HOP_S + 5.0
            while len(trips) < HOP_S / PAUSE_S and time.monotonic() < end_s:
                executor.spin_until_future_complete(Future(), timeout_sec=0.2)
            node.destroy_timer(timer)
            found[name] = 0.5e6 * float(np.median(trips[10:]))
        other.kill()
    rclpy.shutdown()
    return found


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] == ["echo"]:
        echo()
        return
    # the listeners of this program's own domain, not those of a system that runs beside it
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    stages = Stages()
    warm, cold = stages.run(0.0), stages.run(PAUSE_S)
    between = hops(stages.last)
    pause = f"after {1e3 * PAUSE_S:.0f} ms"
    print(f"{'Median [us]':45s} {'at a stretch':>14s} {pause:>14s}")
    for name, value in warm.items():
        print(f"{name:45s} {value:14.0f} {cold[name]:14.0f}")
    for name, value in between.items():
        print(f"{'between processes: ' + name:45s} {'':14s} {value:14.0f}")
    counted = [name for name in warm if not name.startswith(("a frame", "  by rclpy"))]
    total = sum(cold[name] for name in counted) + sum(between.values())
    print(f"{'last frame to answer, without the bus':45s} {'':14s} {total:14.0f}")
    print(f"A frame of the bus at 500 kbit/s lasts {8e6 * 16.875 / 500e3:.0f} us at most.")


if __name__ == "__main__":
    main()
