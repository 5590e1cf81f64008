"""The recorder's parameters, and the topic table in the bag's words."""

from __future__ import annotations

import os
from pathlib import Path

from openbms_core.config_file import ConfigError
from openbms_core.ros.node_base import BmsNode
from openbms_core.ros.raw_topics import RawTopic
from openbms_recorder.bag_metadata import BagTopic, qos_profiles
from openbms_recorder.recording import RecordingSettings, bag_name

__all__ = ["bag_topic", "declare_parameters", "default_directory", "read_settings"]

_POSITIVE = ("chunk_period_s", "retry_s", "queue_mb")
_NOT_NEGATIVE = ("split_size_mb", "split_duration_s", "minimum_free_mb")


def default_directory() -> Path:
    """Give the folder of the bags where none is set: ``$XDG_DATA_HOME/openbms/bags``."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "openbms" / "bags"


def bag_topic(topic: RawTopic) -> BagTopic:
    """Describe a topic of the table for the bag."""
    profile = BmsNode.qos(topic.row)
    return BagTopic(
        topic.name,
        topic.type,
        topic.schema,
        topic.type_hash,
        qos_profiles(
            depth=profile.depth,
            reliable=topic.row.quality != "best_effort",
            latched=topic.row.quality == "latched",
        ),
        latched=topic.row.quality == "latched",
    )


def declare_parameters(node: BmsNode) -> None:
    """Declare the parameters of the recorder."""
    node.parameter("directory", "", "Folder of the bags; empty: $XDG_DATA_HOME/openbms/bags")
    node.parameter("name", "{serial}_{start}", "Name of a bag; {serial}: of the pack, {start}: UTC")
    node.parameter(
        "names", [""], "Namespaces of several packs, below that of this node; the starter tells them"
    )
    node.parameter("split_size_mb", 256.0, "Size of a file of the bag [MiB]; 0: no limit")
    node.parameter("split_duration_s", 3600.0, "Time span of a file of the bag [s]; 0: no limit")
    node.parameter("minimum_free_mb", 500.0, "Recording stops when less is free on the disk [MiB]")
    node.parameter("chunk_period_s", 1.0, "What is older survives kill -9 and a loss of power [s]")
    node.parameter("retry_s", 10.0, "After the disk refused, try again this often [s]")
    node.parameter("queue_mb", 64.0, "What may wait for the disk [MiB]; beyond it messages are dropped")
    node.parameter(
        "linger_s",
        2.0,
        "Told to stop, it records on until nobody publishes any more, but not longer than this [s]: "
        "so the opening of the contactors at the end stands in the bag",
    )


def read_settings(node: BmsNode) -> RecordingSettings:
    """Read the parameters.

    Raises
    ------
    ConfigError
        A value is out of range, or the pack file cannot be used.
    """
    for name in (*_POSITIVE, *_NOT_NEGATIVE, "linger_s"):
        value = node.value(name)
        if value < 0 or (name in _POSITIVE and value == 0):
            least = "more than 0" if name in _POSITIVE else "0 or more"
            raise ConfigError(f"recorder: parameter {name} is {value}; give {least}.")
    serial = node.pack.file.serial
    try:
        bag_name(node.value("name"), serial, 0)
    except ValueError as error:
        raise ConfigError(f"recorder: parameter {error}") from error
    return RecordingSettings(
        folder=Path(node.value("directory")).expanduser() if node.value("directory") else default_directory(),
        name=node.value("name"),
        serial=serial,
        ros_distro=os.environ.get("ROS_DISTRO", ""),
        **{name: float(node.value(name)) for name in _POSITIVE + _NOT_NEGATIVE},
    )
