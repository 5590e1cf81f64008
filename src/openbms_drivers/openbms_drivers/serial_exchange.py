"""Question and answer on a serial line, as frames: without port, without clock.

A smart BMS on a UART says nothing by itself. What it is asked and what it answers are *virtual frames* of its
DBC: the pack file asks by ``device.commands`` as it would on CAN, and signal map, validity, recording and
replay hold for the answers as for any frame. Here is what a bus has and a serial line has not: one question
at a time, the end of an answer, echoes, half frames, a second device that answers too.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import NamedTuple

__all__ = ["Answer", "Exchange", "Request", "SerialProtocol", "VirtualFrame"]

_DOUBLE_ANSWERS = 3
_DOUBLE_WITHIN_S = 30.0


class VirtualFrame(NamedTuple):
    """What one answer becomes."""

    identifier: int
    data: bytes
    extended: bool = False


class Request(NamedTuple):
    """One question."""

    data: bytes
    """Its bytes on the line."""
    key: int
    """By which its answers are known."""
    answers: int = 1
    """How many frames answer it."""


class Answer(NamedTuple):
    """One intact frame of the device."""

    key: int
    part: int = 0
    """Which of several frames of one answer."""
    frames: tuple[VirtualFrame, ...] = ()


class SerialProtocol(ABC):
    """How one device frames its answers: start byte, length, checksum.

    Attributes
    ----------
    start : bytes
        First byte of each frame.
    header : int
        Bytes from which the length is known.
    silence_s : float
        Without a byte for this long an answer does not come any more, or has ended.
    pause_s : float
        Rest of the line between an answer and the next question.
    longest_s : float
        A question ends after this time also where the line never falls silent (noise, wrong bit rate).
    skipped, broken, echoed : int
        Bytes that belong to no frame; frames with a wrong checksum; own questions that came back.
    """

    start: bytes
    header: int
    silence_s: float = 0.25
    pause_s: float = 0.02
    longest_s: float = 1.0

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.skipped = self.broken = self.echoed = 0

    @abstractmethod
    def request(self, identifier: int, data: bytes) -> Request | None:
        """Give the question that a virtual frame asks; None if it asks none."""

    @abstractmethod
    def length(self, header: bytes) -> int:
        """Give the whole length of the frame that begins like this; 0 if none does."""

    @abstractmethod
    def intact(self, frame: bytes) -> bool:
        """Tell whether checksum and end of a frame are right."""

    @abstractmethod
    def read(self, frame: bytes) -> Answer | None:
        """Read an intact frame; None if it is nothing that this device answers."""

    def feed(self, data: bytes) -> list[Answer]:
        """Take bytes of the line; gives the intact answers among them. Anything may be in them."""
        self._buffer += data
        answers = []
        while self._buffer:
            at = self._buffer.find(self.start)
            self._skip(len(self._buffer) if at < 0 else at)
            if len(self._buffer) < self.header:
                break
            length = self.length(bytes(self._buffer[: self.header]))
            if length == 0:
                self._skip(1)
                continue
            if len(self._buffer) < length:
                break
            frame = bytes(self._buffer[:length])
            if not self.intact(frame):
                # what is inside it may be a whole frame behind the half of another
                self.broken += 1
                self._skip(1)
                continue
            del self._buffer[:length]
            answer = self.read(frame)
            if answer is not None:
                answers.append(answer)
        return answers

    def flush(self) -> list[Answer]:
        """Say that nothing more comes: a beginning without end is skipped, what lies behind it is read."""
        answers = []
        while self._buffer:
            self._skip(1)
            answers += self.feed(b"")
        return answers

    def forget(self) -> None:
        """Forget what has been received."""
        self._buffer.clear()

    def _skip(self, count: int) -> None:
        self.skipped += count
        del self._buffer[:count]


class Exchange:
    """Asks one question at a time and takes the answers to it, and nothing else.

    Questions go out in the order of asking, but for the one that was asked first of all: it waits for one
    other question at most. A pack file asks for the current first.

    Parameters
    ----------
    protocol : SerialProtocol
        The device's frames.

    Attributes
    ----------
    asked, answered, unanswered : int
        Questions since the start.
    unasked : int
        Intact answers that nobody had asked for: late ones, or those of a second device.
    """

    def __init__(self, protocol: SerialProtocol) -> None:
        self.protocol = protocol
        self.asked = self.answered = self.unanswered = self.unasked = 0
        self._lock = threading.Lock()
        self._waiting: dict[int, Request] = {}
        self._first = self._last = -1
        self._open: Request | None = None
        self._key: int | None = None
        self._parts: set[int] = set()
        self._heard_s = self._sent_s = -math.inf
        self._double_s: deque[float] = deque(maxlen=_DOUBLE_ANSWERS)

    def reset(self) -> None:
        """Begin anew: the port was opened."""
        with self._lock:
            self._waiting.clear()
            self._first = self._last = -1
        self._open, self._key = None, None
        self._parts.clear()
        self._double_s.clear()
        self._heard_s = self._sent_s = -math.inf
        self.protocol.forget()

    def ask(self, identifier: int, data: bytes) -> None:
        """Put a question into the queue, once however often it is asked; any thread may call this."""
        request = self.protocol.request(identifier, data)
        if request is not None:
            with self._lock:
                self._waiting[identifier] = request
                if self._first < 0:
                    self._first = identifier

    def to_send(self, now_s: float) -> bytes:
        """Give the bytes to send now (monotonic time); nothing while the line is in use."""
        if self._open is not None or now_s < self._free_s():
            return b""
        with self._lock:
            if not self._waiting:
                return b""
            identifier = next(iter(self._waiting))
            if self._first in self._waiting and self._last != self._first:
                identifier = self._first
            request = self._waiting.pop(identifier)
        self._last = identifier
        self._open, self._key = request, request.key
        self._parts.clear()
        self._heard_s = self._sent_s = now_s
        self.asked += 1
        return request.data

    def next_s(self) -> float:
        """When :meth:`to_send` or :meth:`look` has something to do (monotonic)."""
        if self._open is not None:
            return self._over_s()
        with self._lock:
            waiting = bool(self._waiting)
        return self._free_s() if waiting else math.inf

    def _free_s(self) -> float:
        protocol = self.protocol
        return min(self._heard_s + protocol.pause_s, self._sent_s + protocol.longest_s)

    def _over_s(self) -> float:
        protocol = self.protocol
        return min(self._heard_s + protocol.silence_s, self._sent_s + protocol.longest_s)

    def take(self, data: bytes, now_s: float) -> list[VirtualFrame]:
        """Take bytes of the line; gives the frames that answer what was asked."""
        self._heard_s = now_s
        return self._accept(self.protocol.feed(data), now_s)

    def look(self, now_s: float) -> list[VirtualFrame]:
        """End a question that nobody answers any more; gives what was left of its answer."""
        request = self._open
        if request is None or now_s < self._over_s():
            return []
        frames = self._accept(self.protocol.flush(), now_s)
        if self._open is not None:
            self._open = None
            if self._parts:
                self.answered += 1
            else:
                self.unanswered += 1
        return frames

    def _accept(self, answers: list[Answer], now_s: float) -> list[VirtualFrame]:
        frames: list[VirtualFrame] = []
        for answer in answers:
            if answer.key != self._key:
                self.unasked += 1
            elif answer.part in self._parts:
                # the same part of the same answer once more: somebody else answers as well
                self.unasked += 1
                self._double_s.append(now_s)
            else:
                self._parts.add(answer.part)
                frames += answer.frames
        if self._open is not None and len(self._parts) >= self._open.answers:
            self._open = None
            self.answered += 1
        return frames

    def two_answer(self, now_s: float) -> bool:
        """Tell whether a second device answers: whose values are whose cannot be told."""
        doubles = self._double_s
        return len(doubles) == _DOUBLE_ANSWERS and now_s - doubles[0] < _DOUBLE_WITHIN_S
