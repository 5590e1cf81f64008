"""Linux's broadcast manager (TX_SETUP) on a Unix socket, with a clock of its own: for machines without CAN.

Written from net/can/bcm.c and linux/can/bcm.h. Kernels differ in one thing: older ones count a frame before
they send it, so that the last one of a count is not sent; newer ones send it, and count an announced one too.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

__all__ = ["KernelBcm"]

_HEAD = struct.Struct("@IIIllllII")
_FRAME = struct.Struct("=IB3x8s")
_TX_SETUP, _TX_EXPIRED = 1, 9
_SETTIMER, _STARTTIMER, _COUNTEVT, _ANNOUNCE = 1, 2, 4, 8


@dataclass
class _Task:
    frame: tuple[int, bytes] = (0, b"")
    flags: int = 0
    count: int = 0
    first_s: float = 0.0
    second_s: float = 0.0
    next_s: float | None = None


class KernelBcm:
    """The kernel's end of a broadcast manager's socket; ``end`` is what a program gets.

    Parameters
    ----------
    older : bool
        Count as older kernels do.

    Attributes
    ----------
    sent : list of (float, int, bytes)
        Time, identifier and data of what went out.
    """

    def __init__(self, *, older: bool = False) -> None:
        self._ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self._older = older
        self._tasks: dict[int, _Task] = {}
        self._now_s = 0.0
        self.sent: list[tuple[float, int, bytes]] = []

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self.end.close()

    def run(self, until_s: float) -> None:
        """Let time go by: what the program asked for so far, then the timers."""
        self._take()
        while True:
            due = [
                task for task in self._tasks.values() if task.next_s is not None and task.next_s <= until_s
            ]
            if not due:
                break
            self._expire(min(due, key=lambda task: task.next_s or 0.0))
        self._now_s = until_s

    def _take(self) -> None:
        while True:
            try:
                request = self._ours.recv(4096)
            except BlockingIOError:
                return
            if not request:  # the program is gone, and its tasks with it
                self._tasks.clear()
                return
            self._set_up(request)

    def _set_up(self, request: bytes) -> None:
        opcode, flags, count, s1, us1, s2, us2, identifier, frames = _HEAD.unpack_from(request)
        assert (opcode, frames, len(request)) == (_TX_SETUP, 1, _HEAD.size + _FRAME.size)
        frame_identifier, length, data = _FRAME.unpack_from(request, _HEAD.size)
        task = self._tasks.setdefault(identifier, _Task())
        task.frame, task.flags = (frame_identifier, data[:length]), flags
        if flags & _SETTIMER:
            task.count, task.first_s, task.second_s = count, s1 + 1e-6 * us1, s2 + 1e-6 * us2
        if flags & _STARTTIMER:
            task.next_s = None
        if flags & (_STARTTIMER | _ANNOUNCE):
            self._send(task)
            if task.count and not self._older:
                task.count -= 1
        if flags & _STARTTIMER:
            task.next_s = self._following(task)

    def _following(self, task: _Task) -> float | None:
        if task.first_s and task.count:
            return self._now_s + task.first_s
        return self._now_s + task.second_s if task.second_s else None

    def _expire(self, task: _Task) -> None:
        assert task.next_s is not None
        self._now_s = task.next_s
        if task.first_s and task.count:
            task.count -= 1
            if task.count or not self._older:
                self._send(task)
            if not task.count and task.flags & _COUNTEVT:
                identifier = task.frame[0]
                self._ours.send(_HEAD.pack(_TX_EXPIRED, task.flags, 0, 0, 0, 0, 0, identifier, 0))
        elif task.second_s:
            self._send(task)
        task.next_s = self._following(task)

    def _send(self, task: _Task) -> None:
        self.sent.append((self._now_s, *task.frame))
