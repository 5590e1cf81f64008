"""How a JBD smart BMS speaks: ``DD register status length data checksum 77``.

The answer to a register is the virtual frame of that number; where the BMS has fewer sensors or cells than
the DBC, the frame ends in 0xFF, by which the signal map knows that there is no value.
"""

from __future__ import annotations

from openbms_core.pack import LoadedPack
from openbms_drivers.serial_exchange import Answer, Request, SerialProtocol, VirtualFrame

__all__ = ["JbdProtocol", "serial_protocol"]

_START, _END = 0xDD, 0x77
_READ, _WRITE = 0xA5, 0x5A
BASIC, CELLS, NAME, MOSFETS = 0x03, 0x04, 0x05, 0xE1
_LONGEST = 128
ASK = 0x100
"""The virtual frame that asks for a register is this much above its answer."""
_LENGTHS = {BASIC: 39, CELLS: 64, NAME: 32}
"""Of the answers in the DBC: eight sensors, 32 cells, 32 letters."""
_FIXED = 23
"""Bytes of the basic information before its temperatures."""


def _checksum(data: bytes) -> bytes:
    return (-sum(data) & 0xFFFF).to_bytes(2, "big")


class JbdProtocol(SerialProtocol):
    """Reads registers 0x03 to 0x05; writes the MOSFET switches (0xE1) where the pack file sends them."""

    start = bytes([_START])
    header = 4
    silence_s = 0.3

    def request(self, identifier: int, data: bytes) -> Request | None:
        """Give the question that a virtual frame asks."""
        register = identifier - ASK
        if register in _LENGTHS:
            body = bytes([register, 0])
            return Request(bytes([_START, _READ]) + body + _checksum(body) + bytes([_END]), register)
        if register == MOSFETS:
            body = bytes([register, 2, 0, data[0] & 3])
            return Request(bytes([_START, _WRITE]) + body + _checksum(body) + bytes([_END]), register)
        return None

    def length(self, header: bytes) -> int:
        """Give the whole length of a frame by its fourth byte."""
        return 7 + header[3] if header[3] <= _LONGEST else 0

    def intact(self, frame: bytes) -> bool:
        """Tell whether checksum (over status, length and data) and last byte are right."""
        return frame[-1] == _END and _checksum(frame[2:-3]) == frame[-3:-1]

    def read(self, frame: bytes) -> Answer | None:
        """Read an answer; None for a question of ours that came back, and for what is too short."""
        register, status, data = frame[1], frame[2], frame[4:-3]
        if register in (_READ, _WRITE):
            self.echoed += 1
            return None
        if register == MOSFETS or (status != 0 and register in _LENGTHS):
            return Answer(register)  # answered, but without values
        if register not in _LENGTHS or not self._complete(register, data):
            return None
        length = _LENGTHS[register]
        return Answer(register, 0, (VirtualFrame(register, data[:length].ljust(length, b"\xff")),))

    @staticmethod
    def _complete(register: int, data: bytes) -> bool:
        if register == BASIC:
            return len(data) >= _FIXED and len(data) >= _FIXED + 2 * data[22]
        return register == NAME or (len(data) > 0 and len(data) % 2 == 0)


def serial_protocol(pack: LoadedPack) -> SerialProtocol:
    """Give the protocol of this pack's device."""
    del pack  # a JBD board says itself how many cells and sensors it has
    return JbdProtocol()
