"""Recording that never makes the caller wait: a bounded queue, and one thread that writes.

`Recording.put` only appends to the queue. The thread wakes once a chunk period, writes what has come, closes
the chunk and forces it to the disk. When that fails, or when the disk comes near its floor, it ends the bag,
says so, and tries again later with a new bag.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from openbms_recorder.bag_metadata import BagTopic
from openbms_recorder.bag_writer import BagWriter
from openbms_recorder.recovery import BagInUseError, recover, unfinished_bags

__all__ = ["MEBIBYTE", "Recording", "RecordingSettings", "RecordingStatus", "bag_name"]

MEBIBYTE = 1024 * 1024
_WAKE_BYTES = 1 * MEBIBYTE
_OVERHEAD_BYTES = 200  # what a queued message costs beside its own bytes


@dataclass(frozen=True)
class RecordingSettings:
    """How to record.

    Attributes
    ----------
    folder : Path
        Folder of the bags.
    name : str
        Name of a bag; ``{serial}`` and ``{start}`` (UTC, ``20260131T235959Z``) are filled in.
    serial : str
        Serial number of the pack.
    split_size_mb : float
        Size of a file [MiB]; 0: no limit.
    split_duration_s : float
        Time span of a file [s]; 0: no limit.
    minimum_free_mb : float
        Recording stops when less is free [MiB].
    chunk_period_s : float
        What was recorded longer ago than this survives kill -9 and a loss of power [s, > 0].
    retry_s : float
        After a stop, try again this often [s, > 0].
    queue_mb : float
        What may wait for the disk [MiB]; beyond it messages are dropped, and counted.
    ros_distro : str
        For the metadata.
    """

    folder: Path
    name: str = "{serial}_{start}"
    serial: str = "pack"
    split_size_mb: float = 256.0
    split_duration_s: float = 3600.0
    minimum_free_mb: float = 500.0
    chunk_period_s: float = 1.0
    retry_s: float = 10.0
    queue_mb: float = 64.0
    ros_distro: str = ""


@dataclass(frozen=True)
class RecordingStatus:
    """How the recording goes: whether it runs (else ``problem`` says why not), where, how much."""

    recording: bool = False
    problem: str = ""
    bag: str = ""
    bytes_recorded: int = 0
    messages: int = 0
    dropped: int = 0
    recovered: int = 0


def bag_name(pattern: str, serial: str, start_ns: int) -> str:
    """Give the name of a bag.

    Parameters
    ----------
    pattern : str
        May hold ``{serial}`` and ``{start}``.
    serial : str
        Serial number of the pack.
    start_ns : int
        Start [ns since the epoch].

    Raises
    ------
    ValueError
        The pattern has another field, or gives no usable name.
    """
    start = datetime.fromtimestamp(start_ns // 1_000_000_000, tz=timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    try:
        name = pattern.format(serial=serial, start=start)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(
            f"name: {pattern!r} cannot be filled in. Use the fields {{serial}} and {{start}} only."
        ) from error
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip(".")
    if not name:
        raise ValueError(f"name: {pattern!r} gives an empty name. Use for example {{serial}}_{{start}}.")
    return name


def _reason(error: OSError) -> str:
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


class Recording:
    """Records from `start` to `stop`.

    Parameters
    ----------
    settings : RecordingSettings
        How and where.
    topics : sequence of BagTopic
        What may be put.
    now_ns : callable
        Time for the names of bags [ns since the epoch].
    say : callable
        Gets ``(problem, text)`` when recording starts, stops or resumes; called from the writing thread.
    """

    def __init__(
        self,
        settings: RecordingSettings,
        topics: Sequence[BagTopic],
        *,
        now_ns: Callable[[], int] = time.time_ns,
        say: Callable[[bool, str], None] = lambda problem, text: None,
    ) -> None:
        bag_name(settings.name, settings.serial, 0)
        self.settings = settings
        self._topics = tuple(topics)
        self._latched_topics = frozenset(topic.name for topic in topics if topic.latched)
        self._latched: dict[str, bytes] = {}
        self._now_ns = now_ns
        self._say = say
        self._queue: deque[tuple[str, bytes, int]] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bag-writer", daemon=True)
        self._recovery: threading.Thread | None = None
        self._bag: BagWriter | None = None
        self._retry_at = 0.0
        self._problem = "not started"
        self._earlier_bytes = 0
        self._earlier_messages = 0
        self._dropped = 0
        self._safe_messages = 0
        self._recovered = 0
        self._status = RecordingStatus(problem=self._problem)

    # ---- called by whoever records ------------------------------------------------------------

    def start(self) -> None:
        """Start to record; what an earlier run left unfinished is repaired once the first bag stands."""
        self._thread.start()

    def put(self, topic: str, data: bytes, log_time_ns: int) -> None:
        """Take one message; never waits for the disk."""
        size = len(data) + _OVERHEAD_BYTES
        with self._lock:
            if self._queued_bytes + size > self.settings.queue_mb * MEBIBYTE:
                self._dropped += 1
                return
            self._queue.append((topic, data, log_time_ns))
            self._queued_bytes += size
            full = self._queued_bytes >= _WAKE_BYTES
        if full:
            self._wake.set()

    def status(self) -> RecordingStatus:
        """Tell how it goes."""
        return self._status

    def request_stop(self) -> None:
        """Ask for the end; the bag is completed in the background."""
        self._stopping.set()
        self._wake.set()

    @property
    def stopped(self) -> bool:
        """The bag is complete."""
        return not self._thread.is_alive() and not (self._recovery is not None and self._recovery.is_alive())

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Ask for the end and wait for it; False if the disk did not let it end in time."""
        self.request_stop()
        deadline = time.monotonic() + timeout_s
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._recovery is not None:
            self._recovery.join(max(0.0, deadline - time.monotonic()))
        return self.stopped

    # ---- the writing thread ------------------------------------------------------------

    def _run(self) -> None:
        next_sync = time.monotonic()
        while not self._stopping.is_set():
            try:
                next_sync = self._step(next_sync)
            except Exception as error:
                # A bug in here must not end the recording for good: give this bag up, say so, begin another
                self._fail(OSError(0, f"internal error, please report it: {error!r}"))
            self._publish_status()
            self._wake.clear()
            with self._lock:
                full = self._queued_bytes >= _WAKE_BYTES
            if not full and not self._stopping.is_set():
                self._wake.wait(max(0.0, next_sync - time.monotonic()))
        self._drain()
        self._close("stopped")
        self._publish_status()

    def _step(self, next_sync: float) -> float:
        """Write what has come, close the chunk when its period is over; give the end of the next period."""
        if self._bag is None and time.monotonic() >= self._retry_at:
            self._open()
        self._drain()
        if time.monotonic() < next_sync:
            return next_sync
        self._sync()
        return max(next_sync + self.settings.chunk_period_s, time.monotonic())

    def _drain(self) -> None:
        """Write everything that waits."""
        with self._lock:
            waiting, self._queue = self._queue, deque()
            self._queued_bytes = 0
        for topic, data, log_time_ns in waiting:
            if topic in self._latched_topics:
                self._latched[topic] = data
            if self._bag is None:
                self._dropped += 1
                continue
            try:
                self._bag.write(topic, data, log_time_ns)
            except OSError as error:
                self._dropped += 1  # this one; _fail counts those since the last chunk
                self._fail(error)

    def _sync(self) -> None:
        if self._bag is None:
            return
        try:
            self._bag.sync()
            self._safe_messages = self._bag.messages
            free_mb = self._free_mb()
        except OSError as error:
            self._fail(error)
            return
        if free_mb < self.settings.minimum_free_mb:
            self._close(
                f"only {free_mb:.0f} MiB are free at {self.settings.folder}, "
                f"the floor is {self.settings.minimum_free_mb:.0f} MiB (minimum_free_mb). Free some space"
            )

    def _open(self) -> None:
        self._retry_at = time.monotonic() + self.settings.retry_s
        try:
            self.settings.folder.mkdir(parents=True, exist_ok=True)
            free_mb = self._free_mb()
            if free_mb < self.settings.minimum_free_mb:
                self._set_problem(
                    f"only {free_mb:.0f} MiB are free at {self.settings.folder}, "
                    f"the floor is {self.settings.minimum_free_mb:.0f} MiB (minimum_free_mb). Free some space"
                )
                return
            self._bag = BagWriter(
                self._free_directory(),
                self._topics,
                split_size_bytes=round(self.settings.split_size_mb * MEBIBYTE),
                split_duration_s=self.settings.split_duration_s,
                ros_distro=self.settings.ros_distro,
                latched=self._latched,
            )
        except OSError as error:
            self._set_problem(
                f"{_reason(error)}. Make {self.settings.folder} writable, or set the parameter directory"
            )
            return
        self._problem = ""
        self._safe_messages = 0
        self._say(False, f"recording to {self._bag.directory}")
        if self._recovery is None or not self._recovery.is_alive():
            self._recovery = threading.Thread(target=self._recover, name="bag-recovery", daemon=True)
            self._recovery.start()

    def _free_directory(self) -> Path:
        """Give a directory that does not exist yet: two recorders may start in the same second."""
        name = bag_name(self.settings.name, self.settings.serial, self._now_ns())
        directory = self.settings.folder / name
        number = 1
        while directory.exists():
            number += 1
            directory = self.settings.folder / f"{name}_{number}"
        return directory

    def _free_mb(self) -> float:
        disk = os.statvfs(self.settings.folder)
        return disk.f_bavail * disk.f_frsize / MEBIBYTE

    def _fail(self, error: OSError) -> None:
        """Give the bag up after an error of the disk: recovery completes it when it can be written again."""
        bag = self._bag
        if bag is not None:
            bag.abort()
            self._dropped += bag.messages - self._safe_messages
            self._count_bag(bag, self._safe_messages)
        self._retry_at = time.monotonic() + self.settings.retry_s
        self._set_problem(f"{_reason(error)}. Free some space or make {self.settings.folder} writable")

    def _close(self, why: str) -> None:
        """End the bag in good order."""
        bag = self._bag
        if bag is not None:
            try:
                bag.close()
            except OSError as error:
                self._fail(error)
                return
            self._count_bag(bag, bag.messages)
            self._retry_at = time.monotonic() + self.settings.retry_s
            self._set_problem(why)

    def _count_bag(self, bag: BagWriter, messages: int) -> None:
        self._earlier_bytes += bag.bytes_written
        self._earlier_messages += messages
        self._bag = None

    def _set_problem(self, text: str) -> None:
        if text != self._problem:
            self._problem = text
            self._say(not self._stopping.is_set(), f"not recording: {text}")

    def _publish_status(self) -> None:
        bag = self._bag
        self._status = RecordingStatus(
            recording=bag is not None,
            problem=self._problem,
            bag=str(bag.directory) if bag is not None else self._status.bag,
            bytes_recorded=self._earlier_bytes + (bag.bytes_written if bag is not None else 0),
            messages=self._earlier_messages + (bag.messages if bag is not None else 0),
            dropped=self._dropped,
            recovered=self._recovered,
        )

    # ---- the repairing thread ------------------------------------------------------------

    def _recover(self) -> None:
        """Repair what earlier runs or a full disk left unfinished; the recording does not wait for it."""
        for directory in unfinished_bags(self.settings.folder):
            if self._stopping.is_set():
                return
            with contextlib.suppress(BagInUseError, InterruptedError):
                try:
                    report = recover(directory, should_stop=self._stopping.is_set)
                except OSError as error:
                    self._say(
                        True, f"{directory} was left unfinished and could not be repaired: {_reason(error)}"
                    )
                    continue
                self._recovered += 1
                self._say(
                    False,
                    f"{directory} was left unfinished: {report.messages} messages are readable again, "
                    f"{report.bytes_lost} bytes of an unfinished chunk are lost",
                )
