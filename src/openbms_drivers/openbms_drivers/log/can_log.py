"""Any CAN log as frames by its own time: which format, which bus of several, how far it goes.

The format is recognised by the content, not by the name. Times count from the first frame of the log, rounded
to a microsecond (a frame takes 47 at least), so that the same traffic gives the same frames out of every
format.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from openbms_core.config_file import ConfigError
from openbms_drivers.frame import Frame
from openbms_drivers.log.logged import LineError, Logged
from openbms_drivers.log.python_can_formats import BinaryLog, text_log
from openbms_drivers.log.source import LogLines, open_log_file
from openbms_drivers.log.text_formats import (
    candump,
    looks_like_candump,
    looks_like_savvycan,
    savvycan,
)

__all__ = ["LONGEST_SILENCE_S", "CanLog"]

LONGEST_SILENCE_S = 60.0
"""A longer silence of the log is shortened to this: everything is old by then, a day has a million scans."""
_CENSUS_FRAMES = 20_000
_MOST_PER_S = 50_000
"""Frames: those of CAN FD at 8 Mbit/s take more than 20 us."""
_SINCE_1970_S, _YEAR_10000_S = 5e8, 253_402_300_800.0
"""Times between these are dates (from 1985 on), below they count from the beginning of the log."""
_KNOWN = "candump (also .gz), ASC, BLF, MF4, TRC, CSV of python-can or SavvyCAN, SQLite of python-can"

Knows = Callable[[int], bool]


class CanLog:
    """A recorded log of one bus or several.

    Parameters
    ----------
    path : Path
        The log.
    channel : str, optional
        Bus of the log; absent and there are several: the one with the most frames that ``knows`` knows.
    knows : callable, optional
        Tells by a frame's ``key`` whether it belongs to the pack.

    Attributes
    ----------
    kind : str
        Format, as ``candump`` or ``blf``.
    channel : str
        Bus that is replayed; known after the first frame.
    channels : Counter
        Frames of each bus, as far as it was read.
    cut : str
        Why it ended before its end, after it was read; empty where it is whole.
    began_s : float or None
        Time of the first frame since 1970 [s]; None where the log counts from its own beginning.
    went_back, longest_back_s : int, float
        How often a time lay before the one before it, and by how much at most [s].
    duration_s : float
        Time of the last frame [s].
    left_out : int
        Lines before the first frame that are none.
    silences, silence_s : int, float
        Longer than LONGEST_SILENCE_S, and how much of them was left out [s].

    Raises
    ------
    ConfigError
        The file is not there or is not a log that can be read.
    """

    def __init__(self, path: Path, channel: str | None = None, knows: Knows | None = None) -> None:
        self.path = path
        self.channels: Counter[str] = Counter()
        self.channel = channel or ""
        self.cut = ""
        self.began_s: float | None = None
        self.went_back, self.longest_back_s = 0, 0.0
        self.silences, self.silence_s = 0, 0.0
        self.left_out = 0
        self.duration_s = 0.0
        self._chosen, self._knows = channel is not None, knows
        self.kind = _kind(path)

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames of the bus.

        Raises
        ------
        ConfigError
            A line in the middle cannot be read, no frame is there, or the log has no such bus.
        """
        logged = self._all()
        head = list(itertools.islice(logged, _CENSUS_FRAMES))
        if not head:
            raise ConfigError(
                f"{self.path}: there is no frame in it. Name a log in which something was recorded."
            )
        if not self._chosen:
            self._choose(head)
        yield from self._timed(itertools.chain(head, logged))
        if not self.channels[self.channel]:
            there = ", ".join(f"'{name}'" for name in sorted(self.channels) if self.channels[name])
            raise ConfigError(
                f"{self.path}: the log has no bus '{self.channel}'; it has {there}. Name one of them."
            )

    def _all(self) -> Iterator[Logged]:
        if self.kind in ("blf", "mf4", "db"):
            binary = BinaryLog(self.path, self.kind)
            yield from binary
            self.cut = binary.cut
            return
        lines = LogLines(self.path)
        source = (
            candump(lines)
            if self.kind == "candump"
            else savvycan(lines)
            if self.kind == "savvycan"
            else text_log(lines, self.kind)
        )
        given = False
        try:
            for frame in source:
                given = True
                yield frame
        except LineError as error:
            if not given or not lines.nothing_follows():
                shown = lines.text.strip()
                shown = shown if len(shown) <= 60 else shown[:57] + "..."
                raise ConfigError(
                    f"{self.path}:{lines.number}: {error} ({shown!r}). Remove the line, or end the file "
                    "before it."
                ) from error
            lines.note_cut_line()
        finally:
            self.cut, self.left_out = lines.cut, lines.left_out
            if lines.unended and not self.cut:
                self.cut = f"the last line ({lines.number}) has no end, so it may be cut off"
            lines.close()

    def _choose(self, head: list[Logged]) -> None:
        """Take the bus with the most frames of the pack among the first ones."""
        counts = Counter(frame.channel for frame in head)
        known: Counter[str] = Counter()
        if self._knows is not None and len(counts) > 1:
            knows = self._knows
            for frame in head:
                known[frame.channel] += knows(frame.identifier | (frame.flags & 1) << 31)
        self.channel = max(counts, key=lambda name: (known[name], counts[name], name))

    def _timed(self, frames: Iterator[Logged]) -> Iterator[Frame]:
        """Date the frames of the bus: never back, and silences shortened."""
        first_s = last_s = skipped_s = 0.0
        started = False
        channel, channels = self.channel, self.channels
        for time_s, name, identifier, data, flags in frames:
            if not started:
                started, first_s = True, time_s
                self.began_s = time_s if _SINCE_1970_S < time_s < _YEAR_10000_S else None
            channels[name] += 1
            if name != channel:
                continue
            at_s = round(time_s - first_s, 6)
            monotonic_s = round(at_s - skipped_s, 6)
            if monotonic_s < last_s:
                self.went_back += 1
                self.longest_back_s = max(self.longest_back_s, last_s - monotonic_s)
                if last_s - monotonic_s > 1.0:  # a clock was set, or two logs were joined: time goes on here
                    skipped_s = round(at_s - last_s, 6)
                monotonic_s = last_s
            elif monotonic_s - last_s > LONGEST_SILENCE_S and channels[channel] > 1:
                self.silences += 1
                left_out_s = round(monotonic_s - last_s - LONGEST_SILENCE_S, 6)
                self.silence_s += left_out_s
                skipped_s = round(skipped_s + left_out_s, 6)
                monotonic_s = round(last_s + LONGEST_SILENCE_S, 6)
            last_s = self.duration_s = monotonic_s
            yield Frame(identifier, data, flags, monotonic_s, at_s)

    def told(self) -> list[str]:
        """Say what is not as one would expect; after it was read."""
        notes = []
        if self.cut:
            notes.append(f"the log ends early: {self.cut}; everything before that was replayed")
        others = {name: count for name, count in self.channels.items() if name != self.channel}
        if others:
            left = ", ".join(f"'{name}' with {count} frames" for name, count in sorted(others.items()))
            notes.append(f"bus '{self.channel}' was replayed; left out: {left}")
        if self.left_out:
            notes.append(f"{self.left_out} lines before the first frame are no frames and were left out")
        if self.went_back:
            notes.append(f"time goes back {self.went_back} times, by {self.longest_back_s:.6f} s at most")
        if self.duration_s > 0.0 and self.channels[self.channel] > _MOST_PER_S * max(self.duration_s, 0.02):
            notes.append(
                f"{self.channels[self.channel]} frames in {self.duration_s:.3f} s are more than any bus "
                "carries: the times of this file seem to have another unit than those of its format"
            )
        if self.silences:
            notes.append(
                f"{self.silences} silences longer than {LONGEST_SILENCE_S:g} s were shortened to that, by "
                f"{self.silence_s:.1f} s together"
            )
        return notes

    @property
    def began(self) -> str | None:
        """Date of the first frame (UTC), where the log has dates."""
        if self.began_s is None:
            return None
        return datetime.fromtimestamp(self.began_s, timezone.utc).isoformat(timespec="microseconds")


def _kind(path: Path) -> str:
    """Recognise the format by its first bytes or lines."""
    with open_log_file(path) as file:
        try:
            start = file.read(4096)
        except (EOFError, OSError, struct.error, zlib.error) as error:
            raise ConfigError(f"{path}: cannot be unpacked ({error}). The file is damaged.") from error
    for kind, magic in (("blf", b"LOGG"), ("mf4", b"MDF "), ("mf4", b"UnFinMF "), ("db", b"SQLite format 3")):
        if start.startswith(magic):
            return kind
    lines = start.decode("latin-1").splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.lower().startswith("timestamp,arbitration_id"):
        return "csv"
    if looks_like_savvycan(first):
        return "savvycan"
    if any(line.startswith((";$FILEVERSION", ";$STARTTIME")) for line in lines):
        return "trc"
    head = [line.strip().lower() for line in lines[:20]]
    if any(line.startswith(("date ", "base hex", "base dec", "begin trigger")) for line in head):
        return "asc"
    if looks_like_candump(lines):
        return "candump"
    if any(line.startswith(";") for line in lines) and path.suffix.lower() == ".trc":
        return "trc"  # version 1.0 says nothing about itself
    shown = first if len(first) <= 60 else first[:57] + "..."
    raise ConfigError(f"{path}:1: this is no CAN log that is known ({shown!r}). Known: {_KNOWN}.")
