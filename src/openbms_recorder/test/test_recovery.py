"""Whatever is left of a bag can be read again, and no more than a chunk period is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from openbms_recorder.bag_metadata import (
    METADATA_FILE,
    STATE_FINISHED,
    STATE_KEY,
    STATE_RECOVERED,
    BagTopic,
    read_metadata,
)
from openbms_recorder.bag_writer import BagWriter
from openbms_recorder.recovery import BagInUseError, NotRecoverableError, recover, unfinished_bags

MEASUREMENT = "/bms/measurement"
DESCRIPTION = "/bms/pack_description"
SECOND = 1_000_000_000
PERIOD = SECOND // 10
PER_CHUNK = 10


@pytest.fixture
def unfinished(tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int) -> Path:
    """A bag of three files whose last one was never ended; 75 messages, 70 of them in closed chunks."""
    writer = BagWriter(tmp_path / "bag", topics, split_duration_s=3.0, ros_distro="jazzy")
    writer.write(DESCRIPTION, messages.description(), epoch_ns)
    for number in range(75):
        writer.write(MEASUREMENT, messages.measurement(number), epoch_ns + number * PERIOD)
        if number % PER_CHUNK == PER_CHUNK - 1:
            writer.sync()
    writer.abort()
    return tmp_path / "bag"


def numbers(read: list[tuple[str, int, Any]]) -> list[int]:
    return [message.scan_number for topic, _, message in read if topic == MEASUREMENT]


def test_whole_chunks_are_kept_and_readable(unfinished: Path, rosbags_reader: Any, mcap_reader: Any) -> None:
    report = recover(unfinished)
    assert report.repaired == ["bag_2.mcap"]
    assert numbers(rosbags_reader(unfinished)) == list(range(70))
    assert (
        len(mcap_reader(unfinished)) == report.messages == 73
    )  # with a description at the head of each file
    information = read_metadata(unfinished)
    assert information is not None
    assert information["custom_data"] == {STATE_KEY: STATE_RECOVERED}
    assert information["message_count"] == 73
    assert information["ros_distro"] == "jazzy"
    assert [file["message_count"] for file in information["files"]] == [31, 31, 11]


def test_topics_without_messages_stay_in_the_metadata(unfinished: Path, topics: list[BagTopic]) -> None:
    recover(unfinished)
    information = read_metadata(unfinished)
    assert information is not None
    names = [entry["topic_metadata"]["name"] for entry in information["topics_with_message_count"]]
    assert sorted(names) == sorted(topic.name for topic in topics)


def test_a_bag_without_metadata_is_rebuilt(unfinished: Path, rosbags_reader: Any) -> None:
    (unfinished / METADATA_FILE).unlink()
    recover(unfinished)
    assert numbers(rosbags_reader(unfinished)) == list(range(70))


def test_a_half_written_metadata_is_rebuilt(unfinished: Path, rosbags_reader: Any) -> None:
    text = (unfinished / METADATA_FILE).read_text()
    (unfinished / METADATA_FILE).write_text(text[: len(text) // 2])
    recover(unfinished)
    assert numbers(rosbags_reader(unfinished)) == list(range(70))


def test_recovering_twice_changes_nothing(unfinished: Path) -> None:
    recover(unfinished)
    before = {path.name: path.read_bytes() for path in unfinished.glob("*.mcap")}
    assert recover(unfinished).repaired == []
    assert {path.name: path.read_bytes() for path in unfinished.iterdir() if path.suffix == ".mcap"} == before


def test_finished_files_are_not_touched(unfinished: Path) -> None:
    before = [(unfinished / f"bag_{number}.mcap").stat().st_mtime_ns for number in (0, 1)]
    recover(unfinished)
    assert [(unfinished / f"bag_{number}.mcap").stat().st_mtime_ns for number in (0, 1)] == before


@pytest.mark.parametrize("seed", range(25))
def test_cut_anywhere_every_whole_chunk_is_recovered(
    unfinished: Path, seed: int, rosbags_reader: Any, mcap_reader: Any
) -> None:
    path = unfinished / "bag_2.mcap"
    size = path.stat().st_size
    cut = random.Random(seed).randrange(size)
    os.truncate(path, cut)
    recover(unfinished)
    found = numbers(rosbags_reader(unfinished))
    assert found in (list(range(60)), list(range(70)))
    assert len(mcap_reader(unfinished)) >= 62


@pytest.mark.parametrize("seed", range(10))
def test_garbage_behind_the_cut_does_no_harm(unfinished: Path, seed: int, rosbags_reader: Any) -> None:
    chance = random.Random(seed)
    path = unfinished / "bag_2.mcap"
    garbage = bytes(5000) if seed % 2 else chance.randbytes(5000)
    with path.open("ab") as stream:
        stream.write(garbage)
    recover(unfinished)
    assert numbers(rosbags_reader(unfinished)) == list(range(70))


def test_a_damaged_chunk_is_left_out_and_those_behind_it_kept(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int, rosbags_reader: Any
) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    edges = []
    for number in range(40):
        writer.write(MEASUREMENT, messages.measurement(number), epoch_ns + number * PERIOD)
        if number % PER_CHUNK == PER_CHUNK - 1:
            writer.sync()
            edges.append(writer.bytes_written)
    writer.abort()
    with (tmp_path / "bag" / "bag_0.mcap").open("r+b") as stream:
        stream.seek((edges[0] + edges[1]) // 2 - 200)
        stream.write(b"\xff" * 16)
    report = recover(tmp_path / "bag")
    assert report.bytes_lost > 0
    assert numbers(rosbags_reader(tmp_path / "bag")) == [*range(10), *range(20, 40)]


def test_a_bag_that_is_being_written_is_refused(tmp_path: Path, topics: list[BagTopic]) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    with pytest.raises(BagInUseError, match="is being written"):
        recover(tmp_path / "bag")
    writer.close()
    assert recover(tmp_path / "bag").repaired == []


def test_a_full_bag_of_another_recorder_is_not_unfinished(
    tmp_path: Path, topics: list[BagTopic], unfinished: Path
) -> None:
    BagWriter(tmp_path / "finished", topics).close()
    foreign = tmp_path / "foreign"
    shutil.copytree(unfinished, foreign)
    text = (foreign / METADATA_FILE).read_text()
    (foreign / METADATA_FILE).write_text(text.replace(STATE_KEY, "other_key"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("")
    assert unfinished_bags(tmp_path) == [unfinished]
    assert unfinished_bags(tmp_path / "absent") == []


def test_an_interrupted_recovery_leaves_the_bag_as_it_was(unfinished: Path, rosbags_reader: Any) -> None:
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    with pytest.raises(InterruptedError):
        recover(unfinished, should_stop=lambda: True)
    assert {path.name: path.read_bytes() for path in unfinished.iterdir()} == before
    (unfinished / "bag_2.mcap.recovering").write_bytes(b"left over by a kill")
    recover(unfinished)
    assert numbers(rosbags_reader(unfinished)) == list(range(70))
    assert not list(unfinished.glob("*.recovering"))


def test_a_whole_bag_of_another_recorder_is_not_changed(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int
) -> None:
    topic = next(topic for topic in topics if topic.name == MEASUREMENT)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            topic.name, topic.type, msgdef=topic.schema, rihs01=topic.type_hash
        )
        writer.write(connection, epoch_ns, messages.measurement(0))
    before = {path.name: path.read_bytes() for path in (tmp_path / "bag").iterdir()}
    report = recover(tmp_path / "bag")
    assert (report.messages, report.repaired) == (1, [])
    assert {path.name: path.read_bytes() for path in (tmp_path / "bag").iterdir()} == before


def test_a_file_that_never_was_mcap_is_left_alone(unfinished: Path) -> None:
    (unfinished / "bag_2.mcap").write_bytes(b"%PDF-1.7 something that somebody put here")
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    with pytest.raises(NotRecoverableError, match=r"bag_2\.mcap is not an MCAP file"):
        recover(unfinished)
    assert {path.name: path.read_bytes() for path in unfinished.iterdir()} == before


def test_a_file_of_zeros_is_what_a_loss_of_power_leaves(unfinished: Path, rosbags_reader: Any) -> None:
    (unfinished / "bag_2.mcap").write_bytes(bytes(4096))
    assert recover(unfinished).bytes_lost == 4096
    assert numbers(rosbags_reader(unfinished)) == list(range(60))


def test_a_bag_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3):
        pass
    before = {path.name: path.read_bytes() for path in (tmp_path / "bag").iterdir()}
    with pytest.raises(NotRecoverableError, match="another recorder"):
        recover(tmp_path / "bag")
    assert {path.name: path.read_bytes() for path in (tmp_path / "bag").iterdir()} == before


def test_no_bag_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither"):
        recover(tmp_path)


def test_killed_between_the_last_file_and_the_metadata(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int
) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    writer.write(MEASUREMENT, messages.measurement(0), epoch_ns)
    at_start = (tmp_path / "bag" / METADATA_FILE).read_bytes()
    writer.close()
    (tmp_path / "bag" / METADATA_FILE).write_bytes(at_start)
    assert unfinished_bags(tmp_path) == [tmp_path / "bag"]
    assert recover(tmp_path / "bag").messages == 1
    information = read_metadata(tmp_path / "bag")
    assert information is not None
    assert information["custom_data"] == {STATE_KEY: STATE_FINISHED}


_VICTIM = """
import sys, time
from pathlib import Path
from openbms_recorder.bag_metadata import BagTopic
from openbms_recorder.recording import Recording, RecordingSettings
topic = BagTopic("/n", "std_msgs/msg/UInt64", "uint64 data\\n")
late = BagTopic("/once", "std_msgs/msg/UInt64", "uint64 data\\n", latched=True)
recording = Recording(
    RecordingSettings(
        Path(sys.argv[1]), chunk_period_s=float(sys.argv[2]), split_duration_s=0.35, minimum_free_mb=0.0
    ),
    [topic, late],
)
recording.start()
number = 0
while True:
    number += 1
    recording.put("/n", b"\\x00\\x01\\x00\\x00" + number.to_bytes(8, "little"), time.time_ns())
    print(number, time.time_ns(), flush=True)
    time.sleep(0.001)
"""


@pytest.mark.parametrize("seed", range(12))
def test_kill_9_loses_at_most_the_last_chunk_period(
    tmp_path: Path, seed: int, rosbags_reader: Any, mcap_reader: Any
) -> None:
    period_s = 0.1
    lines_before_kill = random.Random(seed).randrange(30, 500)
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(tmp_path), str(period_s)], stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    try:
        rows = [victim.stdout.readline() for _ in range(lines_before_kill)]
    finally:
        victim.send_signal(signal.SIGKILL)
    tail = victim.stdout.read().splitlines()
    victim.wait()
    victim.stdout.close()
    rows += tail[:-1]  # the last line may be torn
    last_put_ns = max(int(row.split()[1]) for row in rows)
    (bag,) = unfinished_bags(tmp_path)
    recover(bag)
    read = mcap_reader(bag)
    found = [int.from_bytes(data[4:12], "little") for _, _, data in read]
    assert found == list(range(1, len(found) + 1)), "a gap or a repetition"
    assert len(rosbags_reader(bag)) == len(found)
    newest_ns = read[-1][1] if read else min(int(row.split()[1]) for row in rows)
    # the chunk period, and room for a disk and a scheduler that are busy with other tests
    assert (last_put_ns - newest_ns) * 1e-9 < period_s + 0.5
