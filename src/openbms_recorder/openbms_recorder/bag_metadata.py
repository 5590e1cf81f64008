"""The metadata.yaml of a rosbag2 bag, version 9, and how it is replaced without ever being half written.

Format: rosbag2 (Jazzy and later), ``rosbag2_storage``: version 9 writes QoS profiles as YAML lists with names
for the policies. ``ros2 bag``, rosbag2_py and rosbags read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "METADATA_FILE",
    "STATE_FINISHED",
    "STATE_KEY",
    "STATE_RECORDING",
    "STATE_RECOVERED",
    "BagTopic",
    "FileSummary",
    "metadata_document",
    "qos_profiles",
    "read_metadata",
    "replace_file",
    "write_metadata",
]

METADATA_FILE = "metadata.yaml"
VERSION = 9
STATE_KEY = "openbms_state"
"""Key in ``custom_data`` that says how far a bag is; recovery touches only bags that have it."""
STATE_RECORDING = "recording"
STATE_FINISHED = "finished"
STATE_RECOVERED = "recovered"

_ROOT = "rosbag2_bagfile_information"
# RMW_DURATION_INFINITE, as rmw writes a deadline, lifespan or lease that is not set
_INFINITE = {"sec": 9223372036, "nsec": 854775807}


def qos_profiles(
    *, depth: int, reliable: bool = True, latched: bool = False, keep_all: bool = False
) -> list[dict[str, Any]]:
    """Give one offered QoS profile in rosbag2's form (version 9).

    Parameters
    ----------
    depth : int
        Depth of the publisher's queue.
    reliable, latched, keep_all : bool
        Reliability (else best effort), durability transient local (else volatile), history keep all (else
        keep last).
    """
    return [
        {
            "history": "keep_all" if keep_all else "keep_last",
            "depth": depth,
            "reliability": "reliable" if reliable else "best_effort",
            "durability": "transient_local" if latched else "volatile",
            "deadline": dict(_INFINITE),
            "lifespan": dict(_INFINITE),
            "liveliness": "automatic",
            "liveliness_lease_duration": dict(_INFINITE),
            "avoid_ros_namespace_conventions": False,
        }
    ]


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag.

    Attributes
    ----------
    name : str
        Full name.
    type : str
        ``package/msg/Name``.
    schema : str
        Definition in the ``ros2msg`` encoding.
    type_hash : str
        RIHS01 hash; may be empty.
    qos : list of dict
        Offered profiles, see `qos_profiles`.
    latched : bool
        Its last message is repeated at the head of every further file.
    """

    name: str
    type: str
    schema: str
    type_hash: str = ""
    qos: list[dict[str, Any]] = field(default_factory=list)
    latched: bool = False

    def qos_text(self) -> str:
        """Give the profiles as the YAML text that a channel of the MCAP file carries."""
        return yaml.safe_dump(self.qos, sort_keys=False).strip() if self.qos else ""


@dataclass
class FileSummary:
    """One file of a bag: name, span of its log times [ns since the epoch], number of messages by topic."""

    path: str
    start_ns: int | None = None
    end_ns: int | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Number of messages."""
        return sum(self.counts.values())

    def count(self, topic: str, log_time_ns: int) -> None:
        """Count one message."""
        self.counts[topic] = self.counts.get(topic, 0) + 1
        self.start_ns = log_time_ns if self.start_ns is None else min(self.start_ns, log_time_ns)
        self.end_ns = log_time_ns if self.end_ns is None else max(self.end_ns, log_time_ns)


def _span(start_ns: int | None, end_ns: int | None) -> dict[str, dict[str, int]]:
    start = start_ns or 0
    return {
        "starting_time": {"nanoseconds_since_epoch": start},
        "duration": {"nanoseconds": max(0, (end_ns or start) - start)},
    }


def metadata_document(
    topics: Iterable[BagTopic],
    files: Iterable[FileSummary],
    *,
    ros_distro: str = "",
    custom_data: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give the content of metadata.yaml.

    Parameters
    ----------
    topics : iterable of BagTopic
        All topics, also those without a message.
    files : iterable of FileSummary
        Files in order.
    ros_distro : str
        Name of the ROS distribution.
    custom_data : mapping, optional
        Text by key.
    """
    files = list(files)
    starts = [file.start_ns for file in files if file.start_ns is not None]
    ends = [file.end_ns for file in files if file.end_ns is not None]
    return {
        _ROOT: {
            "version": VERSION,
            "storage_identifier": "mcap",
            **_span(min(starts, default=None), max(ends, default=None)),
            "message_count": sum(file.messages for file in files),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": sum(file.counts.get(topic.name, 0) for file in files),
                }
                for topic in topics
            ],
            # Chunks inside the MCAP files are compressed; these two speak of rosbag2's own compression
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file.path for file in files],
            "files": [
                {"path": file.path, **_span(file.start_ns, file.end_ns), "message_count": file.messages}
                for file in files
            ],
            "custom_data": dict(custom_data) if custom_data else None,
            "ros_distro": ros_distro,
        }
    }


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole: readers see the old or the new content, also after a loss of power."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Dumper(yaml.SafeDumper):
    """Without anchors: yaml-cpp reads them, people do not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_metadata(directory: Path, document: Mapping[str, Any]) -> None:
    """Write metadata.yaml into a bag, atomically."""
    text = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, default_flow_style=False)
    replace_file(directory / METADATA_FILE, text.encode("utf-8"))


def read_metadata(directory: Path) -> dict[str, Any] | None:
    """Give what stands in metadata.yaml below its root; None if there is none or it cannot be read."""
    try:
        document = yaml.safe_load((directory / METADATA_FILE).read_text(encoding="utf-8"))
        information = document[_ROOT]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return None
    return information if isinstance(information, dict) else None
