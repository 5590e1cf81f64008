"""Bags to write and independent readers to check them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from openbms_core.ros.raw_topics import raw_topics
from openbms_recorder.bag_metadata import BagTopic
from openbms_recorder.ros.recorder_settings import bag_topic

EPOCH_NS = 1_800_000_000_000_000_000


class Messages:
    """Makes and reads messages by rosbags, which shares no code with rclpy."""

    def __init__(self, store: Typestore) -> None:
        self.store = store

    def _sequence(self, element: Any, values: list[Any]) -> Any:
        kind, detail = element
        if kind == 1 and detail[0] != "string":
            return np.asarray(values, dtype={"byte": "uint8", "char": "uint8"}.get(detail[0], detail[0]))
        return values

    def _fill(self, type_name: str, values: dict[str, Any]) -> Any:
        fields: dict[str, Any] = {}
        for name, (kind, detail) in self.store.fielddefs[type_name][1]:
            if kind == 1:
                empty = {"string": "", "bool": False}.get(detail[0], 0)
                fields[name] = values.get(name, empty)
            elif kind == 2:
                fields[name] = self._fill(detail, values.get(name, {}))
            else:
                fields[name] = self._sequence(detail[0], values.get(name, []))
        return self.store.types[type_name](**fields)

    def cdr(self, type_name: str, **values: Any) -> bytes:
        return bytes(self.store.serialize_cdr(self._fill(type_name, values), type_name))

    def measurement(self, number: int, cells: int = 96) -> bytes:
        return self.cdr(
            "openbms_msgs/msg/PackMeasurement",
            scan_number=number,
            cell_voltages=[3.5 + 0.001 * ((number + cell) % 100) for cell in range(cells)],
        )

    def description(self, serial: str = "OBMS-1") -> bytes:
        return self.cdr("openbms_msgs/msg/PackDescription", name="demo", serial=serial)


@pytest.fixture(scope="session")
def topics() -> list[BagTopic]:
    return [bag_topic(topic) for topic in raw_topics("/bms", recorded_only=True)]


@pytest.fixture(scope="session")
def messages(topics: list[BagTopic]) -> Messages:
    store = get_typestore(Stores.ROS2_JAZZY)
    for topic in topics:
        store.register(get_types_from_msg(topic.schema, topic.type))
    return Messages(store)


def read_with_rosbags(directory: Path) -> list[tuple[str, int, Any]]:
    """Give (topic, log time, message) of a whole bag; the types come from the bag alone."""
    with AnyReader([directory], default_typestore=get_typestore(Stores.EMPTY)) as reader:
        return [
            (connection.topic, time_ns, reader.deserialize(raw, connection.msgtype))
            for connection, time_ns, raw in reader.messages()
        ]


def read_with_mcap(directory: Path) -> list[tuple[str, int, bytes]]:
    """Give (topic, log time, bytes) of a whole bag by mcap's indexed reader, file after file."""
    found = []
    for path in sorted(directory.glob("*.mcap"), key=lambda path: int(path.stem.rpartition("_")[2])):
        with path.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            summary = reader.get_summary()
            assert summary is not None and summary.statistics is not None
            here = [
                (channel.topic, message.log_time, message.data)
                for _, channel, message in reader.iter_messages()
            ]
            assert len(here) == summary.statistics.message_count
            found += here
    return found


@pytest.fixture
def rosbags_reader() -> Any:
    return read_with_rosbags


@pytest.fixture
def mcap_reader() -> Any:
    return read_with_mcap


@pytest.fixture
def epoch_ns() -> int:
    return EPOCH_NS
