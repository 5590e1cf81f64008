"""Frames that the driver recorded (``can_rx``), out of a bag: with the times at which its scans were closed.

The types come from the bag itself; no ROS is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openbms_core.config_file import ConfigError
from openbms_drivers.frame import Frame

__all__ = ["Bag", "RecordedScan", "is_bag"]

_LONGEST_TEXT = 160
_RX, _TX, _MEASUREMENT = "can_rx", "can_tx", "measurement"
_TYPE = "openbms_msgs/msg/CanFrames"
_NEEDED = ("monotonic_times", "closed_monotonic_time", "closed_stamp", "counted_by_stamp")


@dataclass(frozen=True)
class RecordedScan:
    """The frames of one scan.

    Attributes
    ----------
    frames : list of Frame
        In the order of their reception; frames that the driver sent itself are among them where they belong
        to polls, by their time.
    bus : str
        ``interface:channel``.
    closed_s, closed_stamp_s : float
        When the scan was closed: monotonic, and ROS time [s].
    by_stamp : bool
        Charge was counted over ROS time.
    measurement : object or None
        What the driver published, as a message of the bag; None where the bag does not have it.
    """

    frames: list[Frame]
    bus: str
    closed_s: float
    closed_stamp_s: float
    by_stamp: bool
    measurement: Any


def is_bag(path: Path) -> bool:
    """Tell whether this is a bag: a folder with metadata, or a file of MCAP."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(path.glob("*.mcap"))
    try:
        with path.open("rb") as file:
            return file.read(5) == b"\x89MCAP"
    except OSError:
        return False


class Bag:
    """A bag with ``can_rx``.

    Parameters
    ----------
    path : Path
        Folder of the bag, or an .mcap file.
    namespace : str, optional
        Of the pack, where the bag has several (``/bms``).
    polled : frozenset of int
        Keys of frames of polls: those among ``can_tx`` are given too.

    Attributes
    ----------
    topics : Counter
        Messages of each ``can_rx`` of the bag.
    topic : str
        The one that is read.

    Raises
    ------
    ConfigError
        It is no bag, has no ``can_rx``, has several and none was named, or cannot be read.
    """

    def __init__(
        self, path: Path, namespace: str | None = None, polled: frozenset[int] = frozenset()
    ) -> None:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        self.path = path
        self._polled = polled
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            raise ConfigError(
                f"{path}: the bag was not ended (no metadata.yaml). `openbms recover {path}` completes it."
            )
        try:
            self._reader = AnyReader([path], default_typestore=get_typestore(Stores.EMPTY))
            self._reader.open()
        except Exception as error:  # whatever the reader of a storage raises at what is damaged
            raise ConfigError(
                f"{path}: cannot be read as a bag ({_said(error)}). `openbms recover {path}` completes one "
                "that was cut off."
            ) from error
        try:
            self._look(namespace)
        except ConfigError:
            self._reader.close()
            raise

    def _look(self, namespace: str | None) -> None:
        counts = Counter({c.topic: c.msgcount for c in self._reader.connections if c.msgtype == _TYPE})
        self.topics = Counter(
            {name: count for name, count in counts.items() if count and name.endswith(f"/{_RX}")}
        )
        self.topic = self._chosen(namespace)
        self._check_fields()

    def _chosen(self, namespace: str | None) -> str:
        if not self.topics:
            raise ConfigError(
                f"{self.path}: the bag has no {_RX}: set device.record_frames: true in the pack file (or "
                "record_frames of the afe_driver) and record again."
            )
        if namespace is not None:
            wanted = f"/{namespace.strip('/')}/{_RX}"
            if wanted in self.topics:
                return wanted
        elif len(self.topics) == 1:
            return next(iter(self.topics))
        there = ", ".join(name.removesuffix(f"/{_RX}").lstrip("/") for name in sorted(self.topics))
        asked = f"no pack '{namespace}'" if namespace is not None else "several packs"
        raise ConfigError(f"{self.path}: the bag has {asked}; name one of {there} (--log-channel).")

    def _check_fields(self) -> None:
        known = {name for name, _ in self._reader.typestore.fielddefs[_TYPE][1]}
        if missing := [name for name in _NEEDED if name not in known]:
            raise ConfigError(
                f"{self.path}: {_RX} was recorded by an older OpenBMS, without {', '.join(missing)}: its "
                "scans cannot be closed as they were. Record again."
            )

    def scans(self) -> Iterator[RecordedScan]:
        """Give the scans in their order.

        Raises
        ------
        ConfigError
            A part of the bag cannot be read.
        """
        count = 0
        try:
            for scan in self._scans():
                count += 1
                yield scan
        except Exception as error:  # whatever the reader of a storage raises at damaged data
            raise ConfigError(
                f"{self.path}: cannot be read behind scan {count} of {self.topic} ({_said(error)}). "
                f"`openbms recover {self.path}` keeps what can be read."
            ) from error

    def _scans(self) -> Iterator[RecordedScan]:
        base = self.topic.removesuffix(_RX)
        wanted = {self.topic, base + _MEASUREMENT} | ({base + _TX} if self._polled else set())
        connections = [c for c in self._reader.connections if c.topic in wanted]
        waiting: list[Any] = []
        sent: list[Frame] = []
        measured: dict[int, list[Any]] = {}
        for connection, _, raw in self._reader.messages(connections):
            message = self._reader.deserialize(raw, connection.msgtype)
            if connection.topic == self.topic:
                waiting.append(message)
            elif connection.topic == base + _TX:
                sent += [frame for frame in _frames(message) if frame.key in self._polled]
            else:
                measured.setdefault(_stamp_ns(message), []).append(message)
            # topics are written one after the other: a scan is given when the next one has come
            while len(waiting) > 2:
                yield self._scan(waiting.pop(0), sent, measured)
        for message in waiting:
            yield self._scan(message, sent, measured)

    def _scan(self, message: Any, sent: list[Frame], measured: dict[int, list[Any]]) -> RecordedScan:
        frames = _frames(message)
        closed_s = float(message.closed_monotonic_time)
        own = [frame for frame in sent if frame.monotonic_s <= closed_s]
        if own:
            sent[:] = [frame for frame in sent if frame.monotonic_s > closed_s]
            frames = sorted([*own, *frames], key=lambda frame: frame.monotonic_s)
        same = measured.get(_stamp_ns(message))
        measurement = same.pop(0) if same else None
        for old in [stamp for stamp, left in measured.items() if not left]:
            del measured[old]
        return RecordedScan(
            frames, message.channel, closed_s, _seconds(int(message.closed_stamp)),
            bool(message.counted_by_stamp), measurement,
        )  # fmt: skip

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()


def _said(error: Exception) -> str:
    """Give what an error says in one line; readers may put a whole message definition into it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _seconds(nanoseconds: int) -> float:
    """Give the number of seconds that was written, to the last bit: whole ones and the rest by themselves."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return whole + rest * 1e-9


def _frames(message: Any) -> list[Frame]:
    data, ends = bytes(message.data), np.cumsum(message.lengths, dtype=np.int64).tolist()
    begins = [0, *ends[:-1]] if ends else []
    return [
        Frame(identifier, data[begin:end], flags, monotonic_s, _seconds(stamp_ns))
        for identifier, begin, end, flags, monotonic_s, stamp_ns in zip(
            message.identifiers.tolist(), begins, ends, message.flags.tolist(),
            message.monotonic_times.tolist(), message.stamps.tolist(), strict=True,
        )
    ]  # fmt: skip
