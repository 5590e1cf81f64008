"""What the writer writes is what independent readers read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.interfaces import QosDurability, QosHistory, QosReliability
from rosbags.rosbag2 import Reader

from openbms_recorder.bag_metadata import (
    METADATA_FILE,
    STATE_FINISHED,
    STATE_KEY,
    STATE_RECORDING,
    BagTopic,
    qos_profiles,
    read_metadata,
    replace_file,
)
from openbms_recorder.bag_writer import BagWriter

MEASUREMENT = "/bms/measurement"
DESCRIPTION = "/bms/pack_description"
SECOND = 1_000_000_000


def fill(writer: BagWriter, messages: Any, epoch_ns: int, count: int, period_ns: int = SECOND // 10) -> None:
    writer.write(DESCRIPTION, messages.description(), epoch_ns)
    for number in range(count):
        writer.write(MEASUREMENT, messages.measurement(number), epoch_ns + number * period_ns)


def test_rosbags_reads_every_message_with_the_types_of_the_bag_alone(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int, rosbags_reader: Any
) -> None:
    writer = BagWriter(tmp_path / "bag", topics, ros_distro="jazzy")
    fill(writer, messages, epoch_ns, 50)
    writer.close()
    read = rosbags_reader(tmp_path / "bag")
    assert [topic for topic, _, _ in read] == [DESCRIPTION] + [MEASUREMENT] * 50
    assert read[0][2].serial == "OBMS-1"
    assert [message.scan_number for _, _, message in read[1:]] == list(range(50))
    assert read[3][2].cell_voltages[10] == pytest.approx(3.512)
    assert [time_ns for _, time_ns, _ in read[1:]] == [
        epoch_ns + number * SECOND // 10 for number in range(50)
    ]


def test_mcap_indexed_reader_gives_the_bytes_untouched(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int, mcap_reader: Any
) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    fill(writer, messages, epoch_ns, 20)
    writer.close()
    read = mcap_reader(tmp_path / "bag")
    assert [data for topic, _, data in read if topic == MEASUREMENT] == [
        messages.measurement(n) for n in range(20)
    ]


def test_mcap_ros2_decodes_nested_types(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int
) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    fill(writer, messages, epoch_ns, 3)
    writer.close()
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        decoded = [message for _, _, _, message in reader.iter_decoded_messages(topics=[MEASUREMENT])]
        assert reader.get_header().profile == "ros2"
    assert [message.scan_number for message in decoded] == [0, 1, 2]
    assert decoded[0].header.frame_id == ""


def test_type_hashes_are_those_that_rosbags_computes(topics: list[BagTopic], messages: Any) -> None:
    for topic in topics:
        assert topic.type_hash == messages.store.hash_rihs01(topic.type), topic.type


def test_metadata_has_the_fields_of_version_9(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int
) -> None:
    writer = BagWriter(tmp_path / "bag", topics, split_duration_s=2.0, ros_distro="jazzy")
    fill(writer, messages, epoch_ns, 50)
    writer.close()
    information = yaml.safe_load((tmp_path / "bag" / METADATA_FILE).read_text())[
        "rosbag2_bagfile_information"
    ]
    assert information["version"] == 9
    assert information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["bag_0.mcap", "bag_1.mcap", "bag_2.mcap"]
    assert information["starting_time"] == {"nanoseconds_since_epoch": epoch_ns}
    assert information["duration"] == {"nanoseconds": 49 * SECOND // 10}
    assert (information["compression_format"], information["compression_mode"]) == ("", "")
    assert information["ros_distro"] == "jazzy"
    assert information["custom_data"] == {STATE_KEY: STATE_FINISHED}
    assert sum(file["message_count"] for file in information["files"]) == information["message_count"]
    assert [file["starting_time"]["nanoseconds_since_epoch"] - epoch_ns for file in information["files"]] == [
        0,
        2 * SECOND,
        4 * SECOND,
    ]
    assert [file["duration"]["nanoseconds"] for file in information["files"]] == [19 * SECOND // 10] * 2 + [
        9 * SECOND // 10
    ]
    entries = {entry["topic_metadata"]["name"]: entry for entry in information["topics_with_message_count"]}
    assert set(entries) == {topic.name for topic in topics}
    assert entries[MEASUREMENT]["message_count"] == 50
    assert entries["/bms/soc"]["message_count"] == 0
    assert entries[MEASUREMENT]["topic_metadata"]["type_description_hash"].startswith("RIHS01_")
    profile = entries[DESCRIPTION]["topic_metadata"]["offered_qos_profiles"][0]
    assert profile["durability"] == "transient_local"
    assert profile["liveliness_lease_duration"] == {"sec": 9223372036, "nsec": 854775807}


def test_rosbags_reads_the_qos_of_channel_and_metadata_alike(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int
) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    fill(writer, messages, epoch_ns, 1)
    writer.close()
    for path in (tmp_path / "bag", tmp_path / "bag" / "bag_0.mcap"):
        with Reader(path) as reader:
            profile = {connection.topic: connection for connection in reader.connections}[DESCRIPTION].ext
            (qos,) = profile.offered_qos_profiles  # type: ignore[union-attr]
            assert qos.durability is QosDurability.TRANSIENT_LOCAL
            assert qos.reliability is QosReliability.RELIABLE
            assert qos.history is QosHistory.KEEP_LAST


def test_each_further_file_begins_with_the_last_latched_messages(
    tmp_path: Path,
    topics: list[BagTopic],
    messages: Any,
    epoch_ns: int,
    mcap_reader: Any,
    rosbags_reader: Any,
) -> None:
    writer = BagWriter(tmp_path / "bag", topics, split_duration_s=1.0)
    fill(writer, messages, epoch_ns, 15)
    writer.write(DESCRIPTION, messages.description("OBMS-2"), epoch_ns + 3 * SECOND // 2)
    for number in range(15, 35):
        writer.write(MEASUREMENT, messages.measurement(number), epoch_ns + (number + 1) * SECOND // 10)
    writer.close()
    heads = []
    for path in sorted((tmp_path / "bag").glob("*.mcap")):
        with path.open("rb") as stream:
            first = next(iter(make_reader(stream).iter_messages()))
        heads.append((first[1].topic, first[2].data))
    assert [topic for topic, _ in heads] == [DESCRIPTION] * 4
    assert [data for _, data in heads] == [messages.description()] * 2 + [messages.description("OBMS-2")] * 2
    times = [time_ns for _, time_ns, _ in rosbags_reader(tmp_path / "bag")]
    assert times == sorted(times)


def test_latched_messages_from_before_stand_at_the_head(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int, rosbags_reader: Any
) -> None:
    writer = BagWriter(tmp_path / "bag", topics, latched={DESCRIPTION: messages.description("EARLIER")})
    writer.write(MEASUREMENT, messages.measurement(0), epoch_ns)
    writer.close()
    assert rosbags_reader(tmp_path / "bag")[0][2].serial == "EARLIER"


def test_a_file_of_the_given_size_is_followed_by_the_next(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int, mcap_reader: Any
) -> None:
    limit = 200_000
    chance = np.random.default_rng(0)
    written = [
        messages.cdr("openbms_msgs/msg/PackMeasurement", cell_voltages=chance.uniform(3, 4, 96))
        for _ in range(1000)
    ]
    writer = BagWriter(tmp_path / "bag", topics, split_size_bytes=limit)
    for number, data in enumerate(written):
        writer.write(MEASUREMENT, data, epoch_ns + number * SECOND // 10)
        if number % 10 == 9:
            writer.sync()
    writer.close()
    sizes = [file.stat().st_size for file in (tmp_path / "bag").glob("*.mcap")]
    assert len(sizes) > 1
    # beyond the limit: what stood in the chunk, and the definitions and the index at the end
    assert max(sizes) < limit + 100_000
    assert [data for _, _, data in mcap_reader(tmp_path / "bag")] == written


def test_metadata_stands_from_the_start_and_is_renewed_at_each_split(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int
) -> None:
    writer = BagWriter(tmp_path / "bag", topics, split_duration_s=1.0)
    at_start = read_metadata(tmp_path / "bag")
    assert at_start is not None
    assert at_start["custom_data"] == {STATE_KEY: STATE_RECORDING}
    assert at_start["relative_file_paths"] == ["bag_0.mcap"]
    fill(writer, messages, epoch_ns, 15)
    after_split = read_metadata(tmp_path / "bag")
    assert after_split is not None
    assert [file["message_count"] for file in after_split["files"]] == [11, 0]
    writer.abort()


def test_a_bag_without_messages_is_readable(
    tmp_path: Path, topics: list[BagTopic], rosbags_reader: Any, mcap_reader: Any
) -> None:
    BagWriter(tmp_path / "bag", topics).close()
    assert rosbags_reader(tmp_path / "bag") == []
    assert mcap_reader(tmp_path / "bag") == []


def test_times_that_jump_back_are_kept(
    tmp_path: Path, topics: list[BagTopic], messages: Any, epoch_ns: int, rosbags_reader: Any
) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    for number, offset in enumerate((0, SECOND, -5 * SECOND, -4 * SECOND)):
        writer.write(MEASUREMENT, messages.measurement(number), epoch_ns + offset)
    writer.close()
    information = read_metadata(tmp_path / "bag")
    assert information is not None
    assert information["starting_time"]["nanoseconds_since_epoch"] == epoch_ns - 5 * SECOND
    assert information["duration"]["nanoseconds"] == 6 * SECOND
    assert sorted(m.scan_number for _, _, m in rosbags_reader(tmp_path / "bag")) == [0, 1, 2, 3]


def test_an_existing_directory_is_refused(tmp_path: Path, topics: list[BagTopic]) -> None:
    with pytest.raises(FileExistsError):
        BagWriter(tmp_path, topics)


def test_an_unknown_topic_is_refused(tmp_path: Path, topics: list[BagTopic]) -> None:
    writer = BagWriter(tmp_path / "bag", topics)
    with pytest.raises(KeyError):
        writer.write("/other", b"", 0)
    writer.abort()


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"depth": 10}, ("keep_last", 10, "reliable", "volatile")),
        ({"depth": 1, "latched": True}, ("keep_last", 1, "reliable", "transient_local")),
        ({"depth": 5, "reliable": False}, ("keep_last", 5, "best_effort", "volatile")),
        ({"depth": 0, "keep_all": True}, ("keep_all", 0, "reliable", "volatile")),
    ],
)
def test_qos_profiles(arguments: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (profile,) = qos_profiles(**arguments)
    assert (profile["history"], profile["depth"], profile["reliability"], profile["durability"]) == expected
