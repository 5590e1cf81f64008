"""Smart BMS on pseudo-terminals, written from the makers' documents and not from our drivers.

A thread answers on the far end of a pty as a JBD or a Daly board does, at the pace of the real line if asked,
and can misbehave: noise, half frames, echoes, wrong checksums, a second board, silence, the plug pulled.
"""

from __future__ import annotations

import os
import pty
import select
import struct
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["DalyBoard", "JbdBoard", "PortEnd"]


class PortEnd:
    """The far end of a serial port: ``path`` is what a driver opens; it outlives :meth:`pull`.

    Parameters
    ----------
    path : Path
        Name of the port: a link to the pty.
    answer : callable
        Gets all bytes received so far that no question has been made of; gives how many it used, and what it
        answers.
    byte_s : float
        Time of a byte on the line [s]: 0 sends at once, 10 bits at 9600 bit/s are 1.04 ms.
    """

    def __init__(self, path: Path, answer: Callable[[bytes], tuple[int, bytes]], byte_s: float = 0.0) -> None:
        self.path, self._answer, self._byte_s = path, answer, byte_s
        self.received: list[bytes] = []
        self.spoil: Callable[[bytes], bytes] = lambda answer: answer
        """What the line makes of an answer."""
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.plug()

    def plug(self) -> None:
        """Plug the adapter in."""
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        # a USB adapter is there while nobody has opened it; a pty only while somebody has
        self._slave = slave
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._end,), daemon=True)
        self._thread.start()

    def pull(self) -> None:
        """Pull the adapter out: the port ends for whoever has it open."""
        self._end.set()
        assert self._thread is not None
        self._thread.join()
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)

    def write(self, data: bytes) -> None:
        """Put bytes on the line unasked."""
        os.write(self._master, data)

    def _run(self, end: threading.Event) -> None:
        pending = b""
        while not end.is_set():
            if not select.select([self._master], [], [], 0.005)[0]:
                continue
            pending += os.read(self._master, 4096)
            while True:
                used, answer = self._answer(pending)
                if used == 0:
                    break
                self.received.append(pending[:used])
                pending = pending[used:]
                self._send(self.spoil(answer))

    def _send(self, data: bytes) -> None:
        if not self._byte_s:
            os.write(self._master, data)
            return
        for value in data:
            time.sleep(self._byte_s)
            os.write(self._master, bytes([value]))


class JbdBoard:
    """What a JBD board knows; ``answer`` is for :class:`PortEnd`.

    Source: "Software board general protocol" V4: a frame is DD, command, status, length, data, checksum
    (two's complement of the sum of status, length and data), 77.
    """

    def __init__(self, cells_mv: list[int], sensors_degc: list[float]) -> None:
        self.cells_mv, self.sensors_degc = cells_mv, sensors_degc
        self.current_a, self.soc_percent, self.mosfets, self.balancing = 0.0, 50, 3, 0
        self.written: list[bytes] = []

    def frame(self, register: int, data: bytes, status: int = 0) -> bytes:
        """Build one answer."""
        total = status + len(data) + sum(data)
        return (
            bytes([0xDD, register, status, len(data)])
            + data
            + struct.pack(">H", (0x10000 - total) & 0xFFFF)
            + b"\x77"
        )

    def basic(self) -> bytes:
        """Give the data of register 3."""
        head = struct.pack(
            ">HhHHHHHHHBBBBB",
            sum(self.cells_mv) // 10, round(100 * self.current_a), 600, 1200, 7, 0x2078,
            self.balancing & 0xFFFF, self.balancing >> 16, 0, 0x20, self.soc_percent, self.mosfets,
            len(self.cells_mv), len(self.sensors_degc),
        )  # fmt: skip
        return head + b"".join(struct.pack(">H", round(10 * t) + 2731) for t in self.sensors_degc)

    def answer(self, pending: bytes) -> tuple[int, bytes]:
        """Answer the first whole question."""
        if len(pending) < 7 or pending[0] != 0xDD:
            return 0, b""
        register, used = pending[2], 7 + pending[3]
        if len(pending) < used:
            return 0, b""
        if pending[1] == 0x5A:
            self.written.append(pending[:used])
            if register == 0xE1:
                self.mosfets = ~pending[5] & 3
            return used, self.frame(register, b"")
        cells = b"".join(struct.pack(">H", mv) for mv in self.cells_mv)
        known = {3: self.basic(), 4: cells, 5: b"JBD-SP14S004"}
        return used, self.frame(register, known[register]) if register in known else self.frame(
            register, b"", 0x80
        )


class DalyBoard:
    """What a Daly board knows; ``answer`` is for :class:`PortEnd`.

    Source: "Daly UART/485 Communications Protocol" V1.2; frames of cells are counted from ``first``
    (the document says 0, boards in the field say 1).
    """

    def __init__(
        self, cells_mv: list[int], sensors_degc: list[int], first: int = 1, address: int = 1
    ) -> None:
        self.cells_mv, self.sensors_degc, self.first, self.address = cells_mv, sensors_degc, first, address
        self.current_a, self.soc_percent, self.life = 0.0, 50.0, 0

    def frame(self, command: int, data: bytes) -> bytes:
        """Build one answer."""
        body = bytes([0xA5, self.address, command, 8]) + data.ljust(8, b"\x00")
        return body + bytes([sum(body) % 256])

    def payloads(self, command: int) -> Iterator[bytes]:
        """Give the data of each frame that answers a command."""
        low, high = min(self.cells_mv), max(self.cells_mv)
        if command == 0x90:
            raw = round(10 * self.current_a) + 30000
            yield struct.pack(">HHHH", sum(self.cells_mv) // 100, 0, raw, round(10 * self.soc_percent))
        elif command == 0x91:
            yield struct.pack(">HBHB", high, self.cells_mv.index(high) + 1, low, self.cells_mv.index(low) + 1)
        elif command == 0x92:
            yield bytes([max(self.sensors_degc) + 40, 1, min(self.sensors_degc) + 40, 1])
        elif command == 0x93:
            self.life = (self.life + 1) % 256
            yield struct.pack(">BBBBI", 0, 1, 1, self.life, 6000)
        elif command == 0x94:
            yield bytes([len(self.cells_mv), len(self.sensors_degc), 0, 0, 0])
        elif command == 0x95:
            for start in range(0, len(self.cells_mv), 3):
                three = [*self.cells_mv[start : start + 3], 0, 0][:3]
                yield struct.pack(">BHHH", self.first + start // 3, *three)
        elif command == 0x96:
            for start in range(0, len(self.sensors_degc), 7):
                seven = [t + 40 for t in self.sensors_degc[start : start + 7]]
                yield bytes([self.first + start // 7, *seven])
        elif command in (0x97, 0x98):
            yield bytes(8)

    def answer(self, pending: bytes) -> tuple[int, bytes]:
        """Answer the first whole question."""
        if len(pending) < 13:
            return 0, b""
        return 13, b"".join(self.frame(pending[2], data) for data in self.payloads(pending[2]))
