"""Make bags readable again that a killed recorder, a full disk or a loss of power left unfinished.

Whole chunks of an unfinished MCAP file are kept, what is torn is left out, the index and the summary are
written anew, and metadata.yaml is rebuilt from the files. A repaired file replaces the old one in one step,
so that a recovery that is itself killed has done no harm and is simply begun again.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
import zstandard
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, Header, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer

from openbms_recorder.bag_metadata import (
    METADATA_FILE,
    STATE_FINISHED,
    STATE_KEY,
    STATE_RECORDING,
    STATE_RECOVERED,
    BagTopic,
    FileSummary,
    metadata_document,
    read_metadata,
    sync_directory,
    write_metadata,
)
from openbms_recorder.bag_writer import LIBRARY, PROFILE, lock_directory

__all__ = ["BagInUseError", "NotRecoverableError", "RecoveryReport", "recover", "unfinished_bags"]

# What mcap raises over torn or overwritten bytes; a wrong checksum and text that is not UTF-8 are ValueErrors
_TORN = (McapError, zstandard.ZstdError, struct.error, ValueError, OverflowError, EOFError, MemoryError)
_TEMPORARY = ".recovering"


class BagInUseError(RuntimeError):
    """A recorder writes this bag now."""


class NotRecoverableError(OSError):
    """A bag of another kind, which this module would spoil."""


@dataclass
class RecoveryReport:
    """What `recover` found and did.

    Attributes
    ----------
    directory : Path
        The bag.
    files : list of FileSummary
        Its files, as they are now.
    repaired : list of str
        Names of the files that were rewritten.
    bytes_lost : int
        Bytes of unfinished or damaged chunks that were left out.
    """

    directory: Path
    files: list[FileSummary] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    bytes_lost: int = 0

    @property
    def messages(self) -> int:
        """Messages in the bag now."""
        return sum(file.messages for file in self.files)


def unfinished_bags(folder: Path) -> list[Path]:
    """Give the bags of this recorder in a folder that were never finished, in order of their names.

    A folder that cannot be read has none. Bags of other recorders are not touched. One that is being written
    is among them; `recover` refuses it.
    """
    found = []
    with contextlib.suppress(OSError):
        for directory in sorted(folder.iterdir()):
            information = read_metadata(directory) if directory.is_dir() else None
            custom = (information or {}).get("custom_data")
            if isinstance(custom, dict) and custom.get(STATE_KEY) == STATE_RECORDING:
                found.append(directory)
    return found


def recover(directory: Path, *, should_stop: Callable[[], bool] = lambda: False) -> RecoveryReport:
    """Make a bag complete and readable.

    Parameters
    ----------
    directory : Path
        The bag's directory. Its metadata.yaml may be missing.
    should_stop : callable
        Asked between chunks; when true, the recovery ends with InterruptedError and the bag stays as it was.

    Raises
    ------
    BagInUseError
        It is being written, or recovered by somebody else.
    FileNotFoundError
        There is no bag.
    NotRecoverableError
        It is not an MCAP bag, holds a file that is none, or is compressed as a whole by rosbag2; it is left
        alone.
    OSError
        The disk is full or not writable: the bag stays as it was.
    """
    lock = lock_directory(directory)
    if lock is None:
        raise BagInUseError(f"{directory} is being written by a recorder that is running. End that first.")
    try:
        return _recover_locked(directory, should_stop)
    finally:
        os.close(lock)


def _recover_locked(directory: Path, should_stop: Callable[[], bool]) -> RecoveryReport:
    for left_over in directory.glob(f"*{_TEMPORARY}"):
        left_over.unlink()
    paths = _bag_files(directory)
    old = read_metadata(directory)
    if not paths and old is None:
        raise FileNotFoundError(f"{directory} holds neither {METADATA_FILE} nor .mcap files.")
    if old is not None and (old.get("storage_identifier") != "mcap" or old.get("compression_mode")):
        raise NotRecoverableError(
            f"{directory} is not an MCAP bag, or compressed as a whole: another recorder wrote it. "
            "Use `ros2 bag reindex`."
        )
    for path in paths:
        _check_begin(path)
    report = RecoveryReport(directory)
    topics: dict[str, BagTopic] = {}
    for path in paths:
        summary = _summary(path, topics)
        if summary is None:
            report.bytes_lost += _rewrite(path, should_stop)
            report.repaired.append(path.name)
            summary = _summary(path, topics)
            if summary is None:
                raise OSError(f"{path} cannot be read back after its repair.")
        report.files.append(summary)
    custom = dict((old or {}).get("custom_data") or {})
    listed = [str(name) for name in (old or {}).get("relative_file_paths") or []]
    unfinished = custom.get(STATE_KEY) == STATE_RECORDING or listed != [file.path for file in report.files]
    if not report.repaired and not unfinished:
        return report  # whole: not a byte of it is changed
    for topic in _topics_of(old):
        topics.setdefault(topic.name, topic)
    custom[STATE_KEY] = STATE_RECOVERED if report.repaired else STATE_FINISHED
    write_metadata(
        directory,
        metadata_document(
            topics.values(),
            report.files,
            ros_distro=str((old or {}).get("ros_distro", "")),
            custom_data={str(key): str(value) for key, value in custom.items()},
        ),
    )
    return report


def _check_begin(path: Path) -> None:
    """Refuse a file that never was an MCAP file: a repair would replace whatever it holds by nothing."""
    with path.open("rb") as stream:
        begin = stream.read(len(MCAP0_MAGIC))
    # empty, cut off within the first bytes, or zeros: what a loss of power leaves of a new file
    if not MCAP0_MAGIC.startswith(begin) and any(begin):
        raise NotRecoverableError(
            f"{path} is not an MCAP file (it does not begin like one) and was left as it is. Move it away."
        )


def _bag_files(directory: Path) -> list[Path]:
    """Give the bag's files in the order of their numbers (``_10`` after ``_9``)."""

    def number(path: Path) -> tuple[int, str]:
        match = re.search(r"_(\d+)$", path.stem)
        return (int(match[1]) if match else -1, path.name)

    return sorted(directory.glob("*.mcap"), key=number)


def _summary(path: Path, topics: dict[str, BagTopic]) -> FileSummary | None:
    """Read the summary of a finished file and note its topics; None if it is unfinished or damaged."""
    try:
        with path.open("rb") as stream:
            summary = make_reader(stream).get_summary()
    except _TORN:
        return None
    if summary is None or summary.statistics is None:
        return None
    statistics = summary.statistics
    counts = {}
    for channel_id, channel in summary.channels.items():
        schema = summary.schemas.get(channel.schema_id)
        counts[channel.topic] = statistics.channel_message_counts.get(channel_id, 0)
        qos = yaml.safe_load(channel.metadata.get("offered_qos_profiles", "") or "[]")
        topics.setdefault(
            channel.topic,
            BagTopic(
                channel.topic,
                schema.name if schema else "",
                schema.data.decode("utf-8") if schema else "",
                channel.metadata.get("topic_type_hash", ""),
                qos,
            ),
        )
    if not statistics.message_count:
        return FileSummary(path.name, None, None, counts)
    return FileSummary(path.name, statistics.message_start_time, statistics.message_end_time, counts)


def _topics_of(information: dict[str, Any] | None) -> Iterator[BagTopic]:
    """Give the topics that the old metadata names, for those that no file knows."""
    for entry in (information or {}).get("topics_with_message_count") or []:
        with contextlib.suppress(KeyError, TypeError):
            topic = entry["topic_metadata"]
            qos = topic["offered_qos_profiles"]
            yield BagTopic(
                topic["name"],
                topic["type"],
                "",
                topic["type_description_hash"],
                qos if isinstance(qos, list) else [],
            )


def _whole_records(path: Path) -> Iterator[tuple[McapRecord, int]]:
    """Give the records up to the first torn one, with the offset behind each."""
    with path.open("rb") as stream:
        records = StreamReader(stream, emit_chunks=True, record_size_limit=path.stat().st_size).records
        while True:
            try:
                record = next(records)
            except (StopIteration, *_TORN):
                return
            yield record, stream.tell()


def _rewrite(path: Path, should_stop: Callable[[], bool]) -> int:
    """Write the whole chunks of a file into a complete one that takes its place.

    Returns
    -------
    int
        Bytes left out.
    """
    temporary = path.with_name(path.name + _TEMPORARY)
    kept = 0
    damaged = 0
    try:
        with temporary.open("xb") as stream:
            writer = Writer(stream, compression=CompressionType.ZSTD)
            profile = PROFILE
            started = False
            copier = _Copier(writer)
            for record, end in _whole_records(path):
                if should_stop():
                    raise InterruptedError("recovery was asked to stop")
                if isinstance(record, Header):
                    profile = record.profile
                if not started:
                    writer.start(profile, LIBRARY)
                    started = True
                if isinstance(record, Chunk):
                    # A chunk with a wrong checksum is left out; those behind it may be whole
                    try:
                        inside = breakup_chunk(record, validate_crc=True)
                    except _TORN:
                        damaged += len(record.data)
                        continue
                    for part in inside:
                        copier.copy(part)
                    writer.flush()
                else:
                    copier.copy(record)
                kept = end
            if not started:
                writer.start(profile, LIBRARY)
            writer.finish()
            stream.flush()
            os.fsync(stream.fileno())
        lost = max(0, path.stat().st_size - kept) + damaged
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return lost


class _Copier:
    """Copies schemas, channels and messages; the identifiers may differ between the files."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._schemas: dict[int, int] = {0: 0}
        self._channels: dict[int, int] = {}

    def copy(self, record: McapRecord) -> None:
        """Copy one record; a message whose channel was lost is left out."""
        if isinstance(record, Schema):
            if record.id not in self._schemas:
                self._schemas[record.id] = self._writer.register_schema(
                    record.name, record.encoding, record.data
                )
        elif isinstance(record, Channel):
            if record.id not in self._channels and record.schema_id in self._schemas:
                self._channels[record.id] = self._writer.register_channel(
                    record.topic, record.message_encoding, self._schemas[record.schema_id], record.metadata
                )
        elif isinstance(record, Message) and record.channel_id in self._channels:
            self._writer.add_message(
                self._channels[record.channel_id],
                record.log_time,
                record.data,
                record.publish_time,
                record.sequence,
            )
