"""`openbms can replay BAG`: can_rx of the recorder gives the measurement that was published, bit by bit."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from demo_device import DemoDevice
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from typer.testing import CliRunner

from openbms_bringup.cli.can import can as commands
from openbms_core.pack import load_pack
from openbms_core.ros import convert, wire
from openbms_core.ros.raw_topics import raw_topics
from openbms_core.types import PackMeasurement
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.ros.frames import frames_to_msg
from openbms_recorder.bag_writer import BagWriter
from openbms_recorder.ros.recorder_settings import bag_topic

PACK = "demo_96s_nmc"
BUS = "socketcand:can0"
SCANS = 40


def drive(folder: Path, *, simulated: bool = False, skip: int = 0, only: tuple[str, ...] = ()) -> Path:
    """Let a driver live with delays as they are, and record what its node publishes."""
    pack = load_pack(PACK)
    topics = [bag_topic(topic) for topic in raw_topics("/bms", recorded_only=True)]
    names = {topic.name.rpartition("/")[2]: topic.name for topic in topics}
    writer = BagWriter(folder / "bag", topics, ros_distro="jazzy")
    driver, device = PackDriver(pack, BUS, simulated=simulated), DemoDevice(pack)
    source = random.Random(7)
    received: list[Frame] = []
    now_s, ahead_s = 67_029.123_456_7, 1_763_896_437.987_654_3
    published = 0

    def publish(scan: PackMeasurement) -> None:
        nonlocal published
        published += 1
        header = Header(stamp=convert.time_to_msg(scan.stamp_s), frame_id=pack.file.serial)
        at_ns = round((now_s + ahead_s) * 1e9)
        frames = frames_to_msg(received, BUS, header, driver.scan)
        received.clear()
        if published <= skip:
            return
        data = wire.MEASUREMENT.encode(scan, scan.stamp_s, pack.file.serial)
        messages = {
            "measurement": data if isinstance(data, bytes) else bytes(serialize_message(data)),
            "can_rx": bytes(serialize_message(frames)),
        }
        for name, message in messages.items():
            if not only or name in only:
                writer.write(names[name], message, at_ns)

    driver.health.opened(now_s)
    driver.start(now_s)
    for number in range(SCANS):
        frames = device.scan(0.0, voltage_v=3.6 + 0.001 * number, current_a=-50.0 + 3.3 * number)
        if number in (12, 13):
            frames = frames[:-1]  # the trigger is lost: closed by time
        if number == 20:
            frames[3] = frames[3]._replace(data=bytes(8))  # wrong checksum
        for frame in frames:
            now_s += source.uniform(2e-4, 2e-3)
            frame = frame._replace(monotonic_s=now_s, stamp_s=now_s + ahead_s + source.uniform(0, 1e-6))
            received.append(frame)
            late_s = source.uniform(0.0, 3e-3)
            if (scan := driver.receive(frame, lambda closed_s=now_s + late_s: closed_s)) is not None:
                now_s += late_s
                publish(scan)
        now_s += source.uniform(0.0, 0.05)
        if (scan := driver.tick(now_s, now_s + ahead_s)) is not None:
            publish(scan)
    writer.close()
    return folder / "bag"


def run(*arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(commands, ["replay", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if not code else result.output


@pytest.mark.parametrize("simulated", [False, True])
def test_the_measurement_comes_back_bit_by_bit(simulated: bool, tmp_path: Path) -> None:
    bag = drive(tmp_path, simulated=simulated)
    told = run(bag, "--pack", PACK, "--json")
    assert told["recorded"]["scans"] >= SCANS
    assert told["recorded"] == {
        "scans": told["scans"], "identical": told["scans"], "identical_since": 0, "different_fields": [],
    }  # fmt: skip
    assert told["refused"] == 1
    again = run(bag, "--pack", PACK, "--json")
    assert again == told
    assert (
        run(next(bag.glob("*.mcap")), "--pack", PACK, "--json")["digest_of_scans"] == told["digest_of_scans"]
    )


def test_a_recording_that_begins_later(tmp_path: Path) -> None:
    told = run(drive(tmp_path, skip=5), "--pack", PACK, "--json")
    compared = told["recorded"]
    assert compared["identical"] > 0.8 * compared["scans"]
    assert 0 < compared["identical_since"] <= 3, "what lay before the recording is not in it"


def test_without_measurement_it_says_that_nothing_was_compared(tmp_path: Path) -> None:
    told = run(drive(tmp_path, only=("can_rx",)), "--pack", PACK, "--json")
    assert told["recorded"]["scans"] == 0
    assert "the bag has no measurement" in told["notes"][-1]


def test_what_is_wrong_with_a_bag(tmp_path: Path) -> None:
    bag = drive(tmp_path, only=("measurement",))
    assert "the bag has no can_rx: set device.record_frames: true" in run(bag, "--pack", PACK, code=2)
    (bag / "metadata.yaml").unlink()
    assert "openbms recover" in run(bag, "--pack", PACK, code=2)
    other = drive(tmp_path / "other")
    assert "has no pack 'pack7'; name one of bms" in run(
        other, "--pack", PACK, "--log-channel", "pack7", code=2
    )
    assert "a bag cannot be put onto a bus" in run(other, "--interface", "virtual", code=2)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_a_bag_that_is_damaged_is_refused_in_one_sentence(part: float, tmp_path: Path) -> None:
    bag = drive(tmp_path)
    file = next(bag.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    at = int(part * len(data))
    data[at : at + 600] = bytes(600)
    file.write_bytes(data)
    said = run(bag, "--pack", PACK, code=2)
    assert f"{bag}: cannot be read" in said
    assert "openbms recover" in said
    assert len(said.strip().splitlines()) == 1
