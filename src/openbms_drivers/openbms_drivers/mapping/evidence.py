"""What a log says of the messages and signals of a DBC: which are there, how often, with which values."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_drivers.bit_field import BitField
from openbms_drivers.database import frame_key
from openbms_drivers.frame import ERROR, REMOTE, Frame
from openbms_drivers.mapping.facts import Fact
from openbms_drivers.message_plan import MessagePlan
from openbms_drivers.message_table import MessageTable

__all__ = ["LogEvidence", "Traffic", "key_text", "near_identifier"]

_KEPT = 4000
"""Frames of a message that are kept; of more, every second, fourth … one."""

Floats = NDArray[np.float64]


class Traffic:
    """Frames of one message.

    Attributes
    ----------
    count, short : int
        Frames; those of them that are shorter than the DBC says.
    times, frames : list
        A part of them, evenly over the log, with the time of each [s].
    gap_s : float
        Longest time between two [s].
    """

    __slots__ = ("count", "frames", "gap_s", "heads", "keys", "last_s", "short", "stride", "times")

    def __init__(self) -> None:
        self.count = self.short = 0
        self.times: list[float] = []
        self.frames: list[bytes] = []
        self.heads: list[tuple[float, bytes]] = []
        self.stride = 1
        self.gap_s = self.last_s = 0.0
        self.keys: Counter[int] = Counter()

    def take(self, frame: Frame, length: int) -> None:
        """Take one frame."""
        at_s = frame.monotonic_s
        if self.count:
            self.gap_s = max(self.gap_s, at_s - self.last_s)
        self.last_s = at_s
        if len(self.heads) < _KEPT:
            self.heads.append((at_s, frame.data))
        if self.count % self.stride == 0:
            self.times.append(at_s)
            self.frames.append(frame.data)
            if len(self.times) > _KEPT:
                self.stride *= 2
                self.times, self.frames = self.times[::2], self.frames[::2]
        self.short += len(frame.data) < length
        self.count += 1
        self.keys[frame.key] += 1

    @property
    def period_s(self) -> float | None:
        """Median time between two frames in a row [s]; None where there are too few."""
        times = [at_s for at_s, _ in self.heads]
        steps = [b - a for a, b in itertools.pairwise(times)]
        return statistics.median(steps) if len(steps) >= 3 else None


class LogEvidence:
    """Takes the frames of a log.

    Parameters
    ----------
    messages : sequence of cantools messages
        Of the DBC.

    Attributes
    ----------
    frames, known : int
        Data frames; those of them that the DBC has.
    foreign : Counter
        Those that it has not, by their key.
    duration_s : float
        From the first to the last [s].
    """

    def __init__(self, messages: Sequence[Any]) -> None:
        self._table = MessageTable()
        for message in messages:
            self._table.add(message, MessagePlan(message, message.name, message.length, mapped=False))
        self._traffic: dict[str, Traffic] = {}
        self._decoded: dict[tuple[str, str], tuple[Floats, Floats]] = {}
        self.frames = self.known = 0
        self.foreign: Counter[int] = Counter()
        self.duration_s = 0.0
        self._first_s: float | None = None

    def knows(self, key: int) -> bool:
        """Tell whether the DBC has a frame with this key."""
        return self._table.find(key) is not None

    def run(self, frames: Iterable[Frame]) -> None:
        """Take all frames."""
        for frame in frames:
            self.take(frame)

    def take(self, frame: Frame) -> None:
        """Take one frame."""
        if frame.flags & (ERROR | REMOTE):
            return
        if self._first_s is None:
            self._first_s = frame.monotonic_s
        self.duration_s = frame.monotonic_s - self._first_s
        self.frames += 1
        plan = self._table.find(frame.key)
        if plan is None:
            self.foreign[frame.key] += 1
            return
        self.known += 1
        traffic = self._traffic.get(plan.name)
        if traffic is None:
            traffic = self._traffic[plan.name] = Traffic()
        traffic.take(frame, plan.length)

    def traffic(self, message: Any) -> Traffic | None:
        """Give the frames of a message; None where it is not in the log."""
        return self._traffic.get(message.name)

    def period(self, fact: Fact) -> float | None:
        """Give the time from one value of a signal to the next [s]; None where it comes less than twice."""
        traffic = self.traffic(fact.message)
        if traffic is None:
            return None
        if not fact.levels and not fact.selection:
            return traffic.period_s
        conditions = self._conditions(fact)
        length = int(fact.message.length)
        times = [
            at_s for at_s, data in traffic.heads
            if len(data) >= length
            and all(selector.extract(data[:length]) in allowed for selector, allowed in conditions or ())
        ]  # fmt: skip
        if conditions is None or len(times) < 2:
            return None
        return (times[-1] - times[0]) / (len(times) - 1)

    def _conditions(self, fact: Fact) -> list[tuple[BitField, frozenset[int]]] | None:
        """Give what the frame must hold for the signal to be there."""
        by_name = {signal.name: signal for signal in fact.message.signals}
        wanted = [(name, frozenset(values)) for name, values in fact.levels]
        wanted += [(name, frozenset((value,))) for name, value in fact.selection]
        try:
            return [(BitField.of(by_name[name], int(fact.message.length)), values) for name, values in wanted]
        except (ValueError, KeyError):
            return None

    def raw(self, fact: Fact) -> tuple[Floats, Floats]:
        """Give times [s] and raw values of a signal, of the frames that hold it."""
        key = (fact.message.name, f"{fact.name}{fact.selection}")
        if key not in self._decoded:
            self._decoded[key] = self._decode(fact)
        return self._decoded[key]

    def _decode(self, fact: Fact) -> tuple[Floats, Floats]:
        traffic = self.traffic(fact.message)
        empty = np.empty(0)
        if traffic is None:
            return empty, empty
        length = int(fact.message.length)
        conditions = self._conditions(fact)
        try:
            bits = BitField.of(fact.signal, length)
        except ValueError:
            return empty, empty
        if conditions is None:
            return empty, empty
        times, values = [], []
        for at_s, data in zip(traffic.times, traffic.frames, strict=True):
            if len(data) < length:
                continue
            data = data[:length]
            if all(selector.extract(data) in allowed for selector, allowed in conditions):
                times.append(at_s)
                values.append(float(bits.extract(data)))
        return np.array(times), np.array(values)

    def physical(self, fact: Fact) -> tuple[Floats, Floats]:
        """Give times and values in the DBC's unit, without codes for no value."""
        times, raw = self.raw(fact)
        good = np.isfinite(raw) & ~np.isin(raw, fact.no_value_codes)
        conversion = fact.signal.conversion
        return times[good], raw[good] * float(conversion.scale) + float(conversion.offset)

    def median(self, fact: Fact) -> float | None:
        """Give the median of what a signal has, in the DBC's unit; None where it is not there."""
        _, values = self.physical(fact)
        return float(np.median(values)) if len(values) else None

    def span(self, fact: Fact) -> tuple[int, int] | None:
        """Give the lowest and highest raw value of a signal."""
        _, raw = self.raw(fact)
        return (int(raw.min()), int(raw.max())) if len(raw) else None


def near_identifier(key: int, messages: Sequence[Any]) -> str:
    """Say which message a foreign frame may be meant to be: another kind of identifier, or a J1939 parameter
    group
    from another source; empty where none is near.
    """
    identifier, extended = key & 0x1FFF_FFFF, bool(key >> 31)
    for message in messages:
        if message.frame_id == identifier and bool(message.is_extended_frame) != extended:
            return (
                f"{message.name} has this number, but with {'29' if message.is_extended_frame else '11'} bits"
            )
        if extended and message.is_extended_frame and frame_key(message) != key:
            mine, theirs = identifier >> 8 & 0x3FFFF, message.frame_id >> 8 & 0x3FFFF
            if mine == theirs:
                if (message.frame_id ^ identifier) & 0xFF:
                    return (
                        f"{message.name} is the same parameter group from source address "
                        f"{message.frame_id & 0xFF:#04x}, the log has {identifier & 0xFF:#04x}"
                    )
                return f"{message.name} is the same parameter group with another priority"
    return ""


def key_text(key: int) -> str:
    """Give an identifier as candump writes it."""
    return f"0x{key & 0x1FFF_FFFF:0{8 if key >> 31 else 3}X}"
