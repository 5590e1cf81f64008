"""A third party on the CAN bus: neither driver nor monitor, it only notes what the bus carried and when.

It speaks the hub's protocol itself and keeps the hub's own stamps, the moment at which the bus carried a
frame, so how soon this process is scheduled does not matter.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import Any

__all__ = ["Carried", "Witness"]


@dataclass(frozen=True)
class Carried:
    """One frame and when the bus carried it (system time [s])."""

    stamp_s: float
    identifier: int
    data: bytes


class Witness(threading.Thread):
    """Reads every frame of a bus.

    Parameters
    ----------
    host, port : str, int
        Of the hub.
    database : cantools database
        To read signals.
    """

    def __init__(self, host: str, port: int, database: Any) -> None:
        super().__init__(name="witness", daemon=True)
        self.database = database
        self.frames: list[Carried] = []
        self._new = threading.Condition()
        self._socket = socket.create_connection((host, port), timeout=5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for said, expected in (("", b"hi"), ("< open can0 >", b"ok"), ("< rawmode >", b"ok")):
            self._socket.sendall(said.encode())
            answer = self._socket.recv(64)
            if expected not in answer:
                raise OSError(f"the hub answered {answer!r} to {said!r}")
        self._socket.settimeout(0.5)
        self._leaving = False

    def run(self) -> None:
        """Note what comes."""
        rest = b""
        while not self._leaving:
            try:
                received = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            if not received:
                return
            *elements, rest = (rest + received).split(b">")
            noted = []
            for element in elements:
                words = element.split()
                if len(words) == 5 and words[1] == b"frame":
                    noted.append(
                        Carried(float(words[3]), int(words[2], 16), bytes.fromhex(words[4].decode()))
                    )
            with self._new:
                self.frames += noted
                self._new.notify_all()

    def take(self) -> list[Carried]:
        """Give what was noted so far, and forget it."""
        with self._new:
            frames, self.frames = self.frames, []
        return frames

    def forget_before(self, stamp_s: float) -> None:
        """Drop what was noted before a moment."""
        with self._new:
            self.frames = [frame for frame in self.frames if frame.stamp_s >= stamp_s]

    def since(self, stamp_s: float, identifier: int | None = None) -> list[Carried]:
        """Give what the bus carried after a moment, of one identifier or of all."""
        with self._new:
            frames = list(self.frames)
        return [f for f in frames if f.stamp_s >= stamp_s and identifier in (None, f.identifier)]

    def identifier(self, name: str) -> int:
        """Give the identifier of a message."""
        return int(self.database.get_message_by_name(name).frame_id)

    def values(self, frame: Carried) -> dict[str, Any]:
        """Read all signals of a frame."""
        decoded: dict[str, Any] = self.database.decode_message(
            frame.identifier, frame.data, decode_choices=False
        )
        return decoded

    def leave(self) -> None:
        """Leave the bus."""
        self._leaving = True
        self.join(2.0)
        self._socket.close()
