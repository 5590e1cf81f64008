"""Definitions and hashes from the installation, checked against rosbags' own parser and hash."""

from __future__ import annotations

import pytest
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from openbms_core.config_file import ConfigError
from openbms_core.ros.raw_topics import listening_qos, raw_topics, schema_text, type_hash
from openbms_core.topics import TOPIC_BY_NAME, TOPICS


def test_every_topic_of_the_table_in_the_namespace() -> None:
    names = [topic.name for topic in raw_topics("/packs/left")]
    assert len(names) == len(TOPICS)
    assert "/packs/left/measurement" in names
    assert "/battery_state" in names


def test_recorded_only_leaves_out_what_the_table_does_not_record() -> None:
    assert {topic.row.name for topic in raw_topics("/bms", recorded_only=True)} == {
        row.name for row in TOPICS if row.recorded
    }


@pytest.mark.parametrize("type_name", sorted({row.type for row in TOPICS}))
def test_definition_is_complete_and_its_hash_is_that_of_the_installation(type_name: str) -> None:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(schema_text(type_name), type_name))
    assert store.hash_rihs01(type_name) == type_hash(type_name)


def test_each_type_used_stands_once_behind_its_separator() -> None:
    text = schema_text("diagnostic_msgs/msg/DiagnosticArray")
    used = [line.removeprefix("MSG: ") for line in text.splitlines() if line.startswith("MSG: ")]
    assert sorted(used) == [
        "builtin_interfaces/Time",
        "diagnostic_msgs/DiagnosticStatus",
        "diagnostic_msgs/KeyValue",
        "std_msgs/Header",
    ]
    assert text.count("=" * 80 + "\nMSG: ") == len(used)


def test_a_package_that_is_not_installed_is_named_with_the_cure() -> None:
    with pytest.raises(ConfigError, match=r"absent_msgs is not installed.*make build"):
        schema_text("absent_msgs/msg/Thing")


def test_a_type_without_description_has_no_hash() -> None:
    assert type_hash("std_msgs/msg/Absent") == ""


@pytest.mark.parametrize("name", ["pack_description", "measurement", "/diagnostics"])
def test_a_listener_has_a_deeper_queue_and_is_compatible_otherwise(name: str) -> None:
    row = TOPIC_BY_NAME[name]
    profile = listening_qos(row)
    assert profile.depth == 100
    assert profile.reliability is ReliabilityPolicy.RELIABLE
    assert (profile.durability is DurabilityPolicy.TRANSIENT_LOCAL) == (row.quality == "latched")
