"""What recording costs: the recorder at the demo's rate, and the writer against plain ones in the same run.

Run in the built workspace: ``python benchmarks/recorder.py [--seconds 15] [--messages 20000]``. It prints two
tables.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from mcap.writer import Writer as McapWriter
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from openbms_core.ros.raw_topics import raw_topics
from openbms_recorder.bag_metadata import BagTopic, read_metadata
from openbms_recorder.bag_writer import BagWriter, register_topics
from openbms_recorder.recording import Recording, RecordingSettings
from openbms_recorder.ros.recorder_settings import bag_topic

NAMESPACE = "/recorder_benchmark"
CELLS = 96
START_NS = 1_800_000_000_000_000_000
PERIOD_NS = 10_000_000


def measurements(count: int) -> list[bytes]:
    """Give scans of 96 cells whose voltages wander by millivolts, as those of a pack do."""
    from openbms_msgs.msg import PackMeasurement

    chance = np.random.default_rng(0)
    voltages = 3.7 + 0.01 * chance.standard_normal(CELLS)
    made = []
    for number in range(count):
        voltages = voltages + 1e-4 * chance.standard_normal(CELLS)
        made.append(
            serialize_message(
                PackMeasurement(
                    scan_number=number,
                    cell_voltages=np.round(voltages, 4).tolist(),
                    cell_voltage_validity=bytes(CELLS),
                    cell_voltage_ages=[0.01] * CELLS,
                    cell_balancing=bytes(CELLS),
                    temperatures=[25.0 + 0.01 * number % 1] * 16,
                    temperature_validity=bytes(16),
                    temperature_ages=[0.1] * 16,
                )
            )
        )
    return made


def with_bag_writer(folder: Path, topics: list[BagTopic], data: list[bytes]) -> None:
    """Ours, a chunk on the disk (fsync) each second of log time."""
    writer = BagWriter(folder / "bag", topics, split_size_bytes=256 * 1024 * 1024)
    name = next(topic.name for topic in topics if topic.type.endswith("PackMeasurement"))
    for number, message in enumerate(data):
        writer.write(name, message, START_NS + number * PERIOD_NS)
        if number % 100 == 99:
            writer.sync()
    writer.close()


def with_recording(folder: Path, topics: list[BagTopic], data: list[bytes]) -> None:
    """Ours with its queue and thread, as the node uses it."""
    name = next(topic.name for topic in topics if topic.type.endswith("PackMeasurement"))
    recording = Recording(RecordingSettings(folder, minimum_free_mb=0.0, queue_mb=1024.0), topics)
    recording.start()
    for number, message in enumerate(data):
        recording.put(name, message, START_NS + number * PERIOD_NS)
    if not recording.stop(60.0) or recording.status().messages != len(data):
        raise RuntimeError(f"messages are missing: {recording.status()}")


def with_mcap(folder: Path, topics: list[BagTopic], data: list[bytes]) -> None:
    """The plain mcap writer: chunks of 1 MiB, nothing forced to the disk."""
    topic = next(topic for topic in topics if topic.type.endswith("PackMeasurement"))
    with (folder / "plain.mcap").open("wb") as stream:
        writer = McapWriter(stream)
        writer.start("ros2")
        channel = register_topics(writer, topics)[topic.name]
        for number, message in enumerate(data):
            stamp = START_NS + number * PERIOD_NS
            writer.add_message(channel, stamp, message, stamp)
        writer.finish()


def with_rosbags(folder: Path, topics: list[BagTopic], data: list[bytes]) -> None:
    """The writer of rosbags, MCAP with zstd chunks."""
    topic = next(topic for topic in topics if topic.type.endswith("PackMeasurement"))
    writer = Writer(folder / "rosbags", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(
            topic.name, topic.type, msgdef=topic.schema, rihs01=topic.type_hash
        )
        for number, message in enumerate(data):
            writer.write(connection, START_NS + number * PERIOD_NS, message)


def throughput(topics: list[BagTopic], data: list[bytes]) -> None:
    """Print messages a second and size of each writer; the ratio is against the plain mcap writer."""
    ways: dict[str, Callable[[Path, list[BagTopic], list[bytes]], None]] = {
        "mcap, plain": with_mcap,
        "rosbags, mcap zstd": with_rosbags,
        "BagWriter, fsync each 100": with_bag_writer,
        "Recording (queue, thread)": with_recording,
    }
    raw = sum(len(message) for message in data)
    print(f"\n{len(data)} scans of {len(data[0])} bytes\n")
    print(f"| {'writer':<26} | {'msg/s':>8} | {'ratio':>5} | {'file/raw':>8} |")
    print(f"| {'-' * 26} | {'-' * 8} | {'-' * 5} | {'-' * 8} |")
    base = 0.0
    for name, way in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            way(Path(folder), topics, data)
            rate = len(data) / (time.perf_counter() - start)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.mcap"))
        base = base or rate
        print(f"| {name:<26} | {rate:>8.0f} | {rate / base:>5.2f} | {size / raw:>8.3f} |")


def publish_as_the_demo(seconds: float, ready: Callable[[], bool]) -> int:
    """Publish every recorded topic at its usual rate; give the number of messages."""
    import rclpy

    from openbms_core.ros.interfaces import interface_type, qos_profile
    from openbms_core.topics import TOPICS, absolute_name

    rclpy.init()
    node = rclpy.create_node("demo_rate")
    rows = [row for row in TOPICS if row.recorded and row.rate_hz > 0]
    scans = measurements(200)
    publishers = [
        node.create_publisher(interface_type(row.type), absolute_name(row, NAMESPACE), qos_profile(row))
        for row in rows
    ]
    while not ready() or any(publisher.get_subscription_count() == 0 for publisher in publishers):
        time.sleep(0.05)
    sent = 0
    start = time.monotonic()
    for tick in range(int(seconds * 10)):
        for row, publisher in zip(rows, publishers, strict=True):
            if tick % max(1, round(10 / row.rate_hz)) == 0:
                scan = row.type.endswith("PackMeasurement")
                publisher.publish(scans[tick % len(scans)] if scan else interface_type(row.type)())
                sent += 1
        time.sleep(max(0.0, start + (tick + 1) * 0.1 - time.monotonic()))
    node.destroy_node()
    rclpy.shutdown()
    return sent


def at_demo_rate(seconds: float) -> None:
    """Print what the recorder process takes while the demo's topics are published at their usual rates."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from openbms_recorder.ros.recorder_node import main; main()"),
                *(
                    "--ros-args",
                    "-r",
                    f"__ns:={NAMESPACE}",
                    "-p",
                    f"directory:={folder}",
                    "-p",
                    "minimum_free_mb:=0.0",
                ),
            ],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        taken = psutil.Process(process.pid)
        before: list[float] = []

        def ready() -> bool:
            if not any(Path(folder).iterdir()):
                return False
            before[:] = [sum(taken.cpu_times()[:2]), time.monotonic()]
            return True

        sent = publish_as_the_demo(seconds, ready)
        busy = (sum(taken.cpu_times()[:2]) - before[0]) / (time.monotonic() - before[1])
        memory = taken.memory_info().rss
        os.kill(process.pid, signal.SIGINT)
        process.wait(20)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.mcap"))
        recorded = 0
        for bag in Path(folder).iterdir():
            recorded += (read_metadata(bag) or {}).get("message_count", 0)
    # more are recorded than sent: the recorder's own diagnostics
    print(f"\nThe recorder process, {sent / seconds:.0f} messages a second for {seconds:.0f} s\n")
    heads = ("CPU [% of a core]", "resident [MB]", "written [MB/h]", "sent", "recorded")
    values = (
        f"{100 * busy:.1f}",
        f"{memory / 1e6:.0f}",
        f"{size / seconds * 3600 / 1e6:.1f}",
        sent,
        recorded,
    )
    print("| " + " | ".join(heads) + " |")
    print("| " + " | ".join("-" * len(head) for head in heads) + " |")
    print(
        "| " + " | ".join(f"{value:>{len(head)}}" for head, value in zip(heads, values, strict=True)) + " |"
    )


def main() -> None:
    """Run both benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    at_demo_rate(options.seconds)
    topics = [bag_topic(topic) for topic in raw_topics(NAMESPACE, recorded_only=True)]
    distinct = measurements(2000)
    throughput(topics, [distinct[number % len(distinct)] for number in range(options.messages)])


if __name__ == "__main__":
    main()
