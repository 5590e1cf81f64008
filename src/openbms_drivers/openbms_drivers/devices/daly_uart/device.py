"""How a Daly smart BMS speaks on a UART: ``A5 address command 08`` eight bytes, sum of all.

The same eight bytes come over CAN under the identifier 0x18 command 40 01, so an answer becomes that frame.

Cells and temperatures come in numbered frames. The documents count them from 0, devices in the field from 1,
and no frame says which: it is learned from the numbers that come (a 0, or one that only counting from 1
reaches), and until then these frames are held back, since a cell in the wrong place is worse than none.
"""

from __future__ import annotations

from math import ceil

from openbms_core.pack import LoadedPack
from openbms_drivers.serial_exchange import Answer, Request, SerialProtocol, VirtualFrame

__all__ = ["DalyProtocol", "serial_protocol"]

_START = 0xA5
_HOST, _BMS = 0x40, 0x01
CELLS, TEMPERATURES = 0x95, 0x96
_FIRST, _LAST = 0x90, 0x98
_CELLS_EACH, _TEMPERATURES_EACH = 3, 7
_INVALID = 0xFF


class DalyProtocol(SerialProtocol):
    """Reads commands 0x90 to 0x98; writes nothing. Its frames of cells and temperatures count from 1.

    Parameters
    ----------
    cells, sensors : int
        Of the pack: how many frames answer 0x95 and 0x96.
    """

    start = bytes([_START])
    header = 4

    def __init__(self, cells: int, sensors: int) -> None:
        super().__init__()
        self._first: dict[int, int] = {}
        """From which number a command's frames are counted, once known."""
        self._answers = {CELLS: ceil(cells / _CELLS_EACH), TEMPERATURES: ceil(sensors / _TEMPERATURES_EACH)}

    def request(self, identifier: int, data: bytes) -> Request | None:
        """Give the question that a virtual frame asks: 0x18 command 01 40, as on CAN."""
        command = identifier >> 16 & 0xFF
        if identifier != self._identifier(command, _BMS, _HOST) or not _FIRST <= command <= _LAST:
            return None
        body = bytes([_START, _HOST, command, 8]) + bytes(8)
        return Request(body + bytes([sum(body) & 0xFF]), command, max(self._answers.get(command, 1), 1))

    @staticmethod
    def _identifier(command: int, to: int, source: int) -> int:
        return 0x18 << 24 | command << 16 | to << 8 | source

    def length(self, header: bytes) -> int:
        """Give 13: every frame has eight bytes of data."""
        return 13 if header[3] == 8 else 0

    def intact(self, frame: bytes) -> bool:
        """Tell whether the sum of all bytes is right."""
        return sum(frame[:-1]) & 0xFF == frame[-1]

    def read(self, frame: bytes) -> Answer | None:
        """Read an answer of the BMS; None for what comes from another address, such as our own question."""
        address, command, data = frame[1], frame[2], frame[4:12]
        if address == _HOST:
            self.echoed += 1
            return None
        if address != _BMS or not _FIRST <= command <= _LAST:
            return None
        part = 0
        if command in self._answers:
            part = data[0]
            if part == _INVALID:
                return None
            first = self._counted_from(command, part)
            if first is None:
                return Answer(command, part)
            data = bytes([part - first + 1]) + data[1:]
        identifier = self._identifier(command, _HOST, _BMS)
        return Answer(command, part, (VirtualFrame(identifier, data, extended=True),))

    def _counted_from(self, command: int, number: int) -> int | None:
        if number == 0:
            self._first[command] = 0
        elif number >= self._answers[command]:
            # a board that counts from 0 may send frames beyond the last cell: what is known stays
            self._first.setdefault(command, 1)
        return self._first.get(command)

    def forget(self) -> None:
        """Forget what has been received: behind a port that was lost there may be another device."""
        super().forget()
        self._first.clear()


def serial_protocol(pack: LoadedPack) -> SerialProtocol:
    """Give the protocol of this pack's device."""
    topology = pack.file.topology
    sensors = sum(1 for _, location, _ in topology.sensors if location == "cell")
    return DalyProtocol(topology.cell_count, sensors)
