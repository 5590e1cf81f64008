"""Write a rosbag2 bag with MCAP storage that loses little when the process or the power dies.

Layout as rosbag2 writes it: ``<bag>/<bag>_0.mcap``, ``<bag>_1.mcap`` … and ``metadata.yaml``. A chunk is
closed, written and forced to the disk by `BagWriter.sync`, so that a slow topic does not wait until 1 MiB has
come together. ``metadata.yaml`` stands from the first moment on and is renewed with every file.

While a writer lives it holds a lock on the bag's directory (``flock``): it ends with the process, however
that dies, and tells `openbms_recorder.recovery` which bags are being written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from mcap.writer import CompressionType, Writer

from openbms_recorder.bag_metadata import (
    STATE_FINISHED,
    STATE_KEY,
    STATE_RECORDING,
    BagTopic,
    FileSummary,
    metadata_document,
    sync_directory,
    write_metadata,
)

__all__ = ["LIBRARY", "BagWriter", "lock_directory", "register_topics"]

LIBRARY = "openbms_recorder"
PROFILE = "ros2"
_CHUNK_BYTES = 1024 * 1024
# The size of the file is looked at (a system call) once for so many bytes of messages
_CHECK_BYTES = 64 * 1024


def lock_directory(directory: Path) -> int | None:
    """Lock a bag's directory for this process.

    Returns
    -------
    int or None
        Handle to close; None if somebody else holds the lock. A file system without locks counts as free.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        pass
    return handle


def register_topics(writer: Writer, topics: Iterable[BagTopic]) -> dict[str, int]:
    """Register schemas and channels as rosbag2_storage_mcap does; give the channel by topic name."""
    schemas: dict[str, int] = {}
    channels = {}
    for topic in topics:
        if topic.type not in schemas:
            schemas[topic.type] = writer.register_schema(topic.type, "ros2msg", topic.schema.encode("utf-8"))
        channels[topic.name] = writer.register_channel(
            topic.name,
            "cdr",
            schemas[topic.type],
            {"offered_qos_profiles": topic.qos_text(), "topic_type_hash": topic.type_hash},
        )
    return channels


class BagWriter:
    """One bag, open for writing. Not for use from several threads at once.

    Parameters
    ----------
    directory : Path
        The bag's directory; must not exist. Its name is the bag's name.
    topics : iterable of BagTopic
        Everything that may be written.
    split_size_bytes : int
        A file of this size is followed by the next; 0: never.
    split_duration_s : float
        A file that spans this much log time is followed by the next; 0: never.
    ros_distro : str
        For the metadata.
    latched : mapping, optional
        Last messages of latched topics, from before this bag: they stand at its head.

    Raises
    ------
    OSError
        Any method: the disk is full, the directory is not writable, … The bag is then as after a crash;
        `abort` it.
    """

    def __init__(
        self,
        directory: Path,
        topics: Iterable[BagTopic],
        *,
        split_size_bytes: int = 0,
        split_duration_s: float = 0.0,
        ros_distro: str = "",
        latched: Mapping[str, bytes] | None = None,
    ) -> None:
        self.directory = directory
        self.topics = tuple(topics)
        self.files: list[FileSummary] = []
        self.latched: dict[str, bytes] = dict(latched or {})
        self._latched_topics = frozenset(topic.name for topic in self.topics if topic.latched)
        self._split_size_bytes = split_size_bytes
        self._split_duration_ns = round(split_duration_s * 1e9)
        self._ros_distro = ros_distro
        self._sequence = dict.fromkeys((topic.name for topic in self.topics), 0)
        self._stream: BinaryIO | None = None
        self._writer: Writer | None = None
        self._closed_bytes = 0
        self._unchecked_bytes = 0
        self._head_due = True
        directory.mkdir(parents=True)
        self._lock = lock_directory(directory)
        try:
            self._begin_file()
        except OSError:
            self.abort()
            raise

    @property
    def messages(self) -> int:
        """Messages in the bag so far, with those not yet on the disk."""
        return sum(file.messages for file in self.files)

    @property
    def bytes_written(self) -> int:
        """Size of all files, without the chunk in progress."""
        return self._closed_bytes + self._position()

    def _position(self) -> int:
        return self._stream.tell() if self._stream is not None else 0

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int | None = None) -> None:
        """Append a message.

        Parameters
        ----------
        topic : str
            Name of one of the bag's topics.
        data : bytes
            CDR with its encapsulation header, as received.
        log_time_ns : int
            Time of reception [ns since the epoch].
        publish_time_ns : int, optional
            Time of publication; default the time of reception.

        Raises
        ------
        KeyError
            The bag has no such topic.
        """
        if self._split_due(log_time_ns):
            self.split()
        if self._head_due:
            self._head_due = False
            for name, message in self.latched.items():
                # At the time of the file's first message: in order of time within and between the files
                self._append(name, message, log_time_ns, log_time_ns)
        if topic in self._latched_topics:
            self.latched[topic] = data
        self._append(topic, data, log_time_ns, log_time_ns if publish_time_ns is None else publish_time_ns)

    def _append(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int) -> None:
        assert self._writer is not None
        self._sequence[topic] += 1
        self._unchecked_bytes += len(data)
        self._writer.add_message(
            self._channels[topic], log_time_ns, data, publish_time_ns, self._sequence[topic] & 0xFFFFFFFF
        )
        self.files[-1].count(topic, log_time_ns)

    def _split_due(self, log_time_ns: int) -> bool:
        start = self.files[-1].start_ns
        if start is None or self._stream is None:
            return False
        if self._split_duration_ns and log_time_ns - start >= self._split_duration_ns:
            return True
        if not self._split_size_bytes or self._unchecked_bytes < _CHECK_BYTES:
            return False
        self._unchecked_bytes = 0
        return self._position() >= self._split_size_bytes

    def sync(self) -> None:
        """Close the chunk and force it to the disk: it then survives kill -9 and a loss of power."""
        if self._writer is not None and self._stream is not None:
            self._writer.flush()
            os.fsync(self._stream.fileno())

    def split(self) -> None:
        """End the present file and begin the next."""
        self._end_file()
        self._begin_file()

    def close(self) -> None:
        """End the bag: a complete last file, the final metadata."""
        self._end_file()
        self._write_metadata(STATE_FINISHED)
        self._unlock()

    def abort(self) -> None:
        """Let go of the bag as it stands, like after a crash; never raises."""
        self._writer = None
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._stream = None
        self._unlock()

    def _begin_file(self) -> None:
        name = f"{self.directory.name}_{len(self.files)}.mcap"
        # Named in the metadata before it exists it would make readers fail; recovery finds it by its name
        self._stream = (self.directory / name).open("xb")
        self._writer = Writer(self._stream, chunk_size=_CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(PROFILE, LIBRARY)
        self._channels = register_topics(self._writer, self.topics)
        self._stream.flush()
        self.files.append(FileSummary(name))
        self._head_due = True
        self._write_metadata(STATE_RECORDING)

    def _end_file(self) -> None:
        if self._writer is None or self._stream is None:
            return
        self._writer.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._closed_bytes += self._stream.tell()
        self._stream.close()
        self._writer = self._stream = None

    def _write_metadata(self, state: str) -> None:
        write_metadata(
            self.directory,
            metadata_document(
                self.topics, self.files, ros_distro=self._ros_distro, custom_data={STATE_KEY: state}
            ),
        )
        sync_directory(self.directory.parent)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
