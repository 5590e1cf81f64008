"""Checksums that protect the frames of a device; used by the driver, by the twin and by nobody else.

The bytes that a checksum covers are all bytes of the frame but those that it fills; where it fills only
part of a byte (a nibble), all bytes count with those bits at zero. :func:`covered_bytes` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

__all__ = ["CHECKSUM_KINDS", "CHECKSUM_WIDTHS", "CRC_KINDS", "Crc", "checksum", "covered_bytes"]


@dataclass(frozen=True)
class Crc:
    """A cyclic redundancy check by its parameters, as the RevEng catalogue names them.

    Attributes
    ----------
    width : int
        Bits: 8, 16 or 32.
    polynomial : int
        Without the leading one, not reflected.
    initial, final_xor : int
        Start value (not reflected) and what the result is combined with.
    reflected : bool
        Input and output least significant bit first.
    """

    width: int
    polynomial: int
    initial: int = 0
    final_xor: int = 0
    reflected: bool = False

    @cached_property
    def table(self) -> tuple[int, ...]:
        """Register after each byte, from zero."""
        top, mask = 1 << (self.width - 1), (1 << self.width) - 1
        table = []
        for value in range(256):
            if self.reflected:
                register = value
                polynomial = _mirrored(self.polynomial, self.width)
                for _ in range(8):
                    register = (register >> 1) ^ (polynomial if register & 1 else 0)
            else:
                register = value << (self.width - 8)
                for _ in range(8):
                    register = ((register << 1) ^ (self.polynomial if register & top else 0)) & mask
            table.append(register)
        return tuple(table)

    def __call__(self, data: bytes) -> int:
        """Give the check value of ``data``."""
        table, width = self.table, self.width
        if self.reflected:
            register = _mirrored(self.initial, width)
            for byte in data:
                register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
            return register ^ self.final_xor
        register = self.initial
        if width == 8:
            for byte in data:
                register = table[register ^ byte]
            return register ^ self.final_xor
        shift, mask = width - 8, (1 << width) - 1
        for byte in data:
            register = ((register << 8) & mask) ^ table[(register >> shift) ^ byte]
        return register ^ self.final_xor


def _mirrored(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


CRC_KINDS: dict[str, Crc] = {
    "crc8_sae_j1850": Crc(8, 0x1D, 0xFF, 0xFF),
    "crc8_sae_j1850_zero": Crc(8, 0x1D),
    "crc8_2f": Crc(8, 0x2F, 0xFF, 0xFF),
    "crc8_85": Crc(8, 0x85),
    "crc8_hyundai": Crc(8, 0x1D, 0xFD, 0xDF),
    "crc8_smbus": Crc(8, 0x07),
    "crc8_maxim": Crc(8, 0x31, reflected=True),
    "crc16_ccitt_false": Crc(16, 0x1021, 0xFFFF),
    "crc16_xmodem": Crc(16, 0x1021),
    "crc16_modbus": Crc(16, 0x8005, 0xFFFF, reflected=True),
    "crc32_iso_hdlc": Crc(32, 0x04C11DB7, 0xFFFFFFFF, 0xFFFFFFFF, reflected=True),
    "crc32_autosar_p4": Crc(32, 0xF4ACFB13, 0xFFFFFFFF, 0xFFFFFFFF, reflected=True),
}
"""Named CRCs."""

_HYUNDAI_FD_FINAL = {8: 0x5F29, 16: 0x041D, 24: 0x819D, 32: 0x9F5B}

CHECKSUM_KINDS = (
    *CRC_KINDS,
    "xor",
    "sum",
    "nibble_sum",
    "sum_inverted",
    "sum_negated",
    "sum16",
    "sum_with_id",
    "toyota",
    "honda",
    "hyundai_fd",
)
"""Every kind that :func:`checksum` knows."""

CHECKSUM_WIDTHS: dict[str, int] = {
    **dict.fromkeys(CHECKSUM_KINDS, 8),
    **{name: crc.width for name, crc in CRC_KINDS.items()},
    "nibble_sum": 4,
    "honda": 4,
    "sum16": 16,
    "hyundai_fd": 16,
}
"""Bits that each kind gives."""


def _id_bytes(identifier: int) -> int:
    return sum(identifier.to_bytes(4, "big"))


def checksum(
    kind: str,
    data: bytes,
    data_id: int | None = None,
    *,
    identifier: int = 0,
    length: int | None = None,
    data_id_first: bool = False,
) -> int:
    """Compute the checksum of some bytes.

    Parameters
    ----------
    kind : str
        ``crc8_sae_j1850`` (polynomial 0x1D, start 0xFF, final 0xFF), ``crc8_sae_j1850_zero`` (0x1D, 0, 0),
        ``crc8_2f`` (AUTOSAR: 0x2F, 0xFF, 0xFF), ``crc8_85`` (0x85, 0, 0), ``crc8_hyundai`` (0x1D, 0xFD,
        0xDF), ``crc8_smbus`` (0x07, 0, 0), ``crc8_maxim`` (0x31, 0, 0, reflected), the 16 and 32 bit ones of
        :data:`CRC_KINDS`; ``xor`` (of all bytes), ``sum`` (of all bytes, modulo 256), ``nibble_sum`` (of all
        nibbles, modulo 16), ``sum_inverted`` (255 - sum), ``sum_negated`` (all bytes and the checksum make
        0), ``sum16`` (modulo 65536), ``sum_with_id`` (sum with the bytes of the identifier: Tesla, Subaru),
        ``toyota`` (with identifier and length), ``honda`` (8 - all nibbles of data and identifier, 3 more for
        29 bit), ``hyundai_fd`` (CRC 16 over data and identifier, by length).
    data : bytes
        The covered bytes (see :func:`covered_bytes`).
    data_id : int, optional
        Identifier of the message, 0 … 65535, put behind the data: one byte up to 255, else two, the low one
        first.
    identifier : int
        CAN identifier, for the kinds that count it.
    length : int, optional
        Bytes of the whole frame, for the kinds that count it; absent: one more than ``data``.
    data_id_first : bool
        Put ``data_id`` before the data (AUTOSAR E2E profile 1).

    Returns
    -------
    int
        Within the bits of :data:`CHECKSUM_WIDTHS`.

    Raises
    ------
    ValueError
        ``kind`` is unknown, or ``data_id`` does not fit in two bytes.

    Notes
    -----
    Sources: AUTOSAR SWS CRC Library, 7.2.1.1 (8-bit SAE J1850) and 7.2.1.2 (8-bit 0x2F); the RevEng catalogue
    of parametrised CRC algorithms (CRC-8/SAE-J1850, CRC-8/AUTOSAR; the zero variant as in AUTOSAR E2E profile
    1). Kinds named after makers: commaai/opendbc (MIT), opendbc/can and opendbc/car, as facts; Nissan's
    also in dalathegreat/Battery-Emulator. Of these only Nissan's is held against recorded frames, where a
    machine has them (``tests/replay/test_can_replay.py``).
    """
    if data_id is not None:
        if not 0 <= data_id <= 0xFFFF:
            raise ValueError(f"data_id {data_id} does not fit in two bytes (0 … 65535)")
        added = bytes((data_id,)) if data_id <= 0xFF else data_id.to_bytes(2, "little")
        data = added + bytes(data) if data_id_first else bytes(data) + added
    crc = CRC_KINDS.get(kind)
    if crc is not None:
        return crc(data)
    if kind == "sum":
        return sum(data) & 0xFF
    if kind == "xor":
        register = 0
        for byte in data:
            register ^= byte
        return register
    if kind == "nibble_sum":
        return sum((byte >> 4) + (byte & 0xF) for byte in data) & 0xF
    if kind == "sum_inverted":
        return 0xFF - (sum(data) & 0xFF)
    if kind == "sum_negated":
        return -sum(data) & 0xFF
    if kind == "sum16":
        return sum(data) & 0xFFFF
    if kind == "sum_with_id":
        return (sum(data) + _id_bytes(identifier)) & 0xFF
    whole = len(data) + 1 if length is None else length
    if kind == "toyota":
        return (sum(data) + _id_bytes(identifier) + whole) & 0xFF
    if kind == "honda":
        nibbles = sum((byte >> 4) + (byte & 0xF) for byte in data + identifier.to_bytes(4, "big"))
        return (8 - nibbles + (3 if identifier > 0x7FF else 0)) & 0xF
    if kind == "hyundai_fd":
        return CRC_KINDS["crc16_xmodem"](data + identifier.to_bytes(4, "little")[:2]) ^ _HYUNDAI_FD_FINAL.get(
            len(data) + 2 if length is None else length, 0
        )
    raise ValueError(f"unknown kind of checksum '{kind}': it must be one of {', '.join(CHECKSUM_KINDS)}")


def covered_bytes(frame: bytes, start_bit: int, length_bits: int, *, big_endian: bool = False) -> bytes:
    """Give the bytes of a frame that its checksum covers.

    Parameters
    ----------
    frame : bytes
        The whole data of the frame; what its checksum bits hold does not matter.
    start_bit : int
        Start bit of the checksum signal as the DBC counts it (least significant bit for little endian, most
        significant bit for big endian; bit 8·i + 7 is the most significant of byte i).
    length_bits : int
        Length of the checksum signal [bit].
    big_endian : bool
        The DBC says ``@0`` (Motorola).

    Returns
    -------
    bytes
        The frame without the bytes that the checksum fills, or the whole frame with the checksum's bits at
        zero where it fills only part of a byte.

    Raises
    ------
    ValueError
        The signal reaches beyond the frame.
    """
    bits = []
    bit = start_bit
    for _ in range(length_bits):
        bits.append(bit)
        if big_endian:  # downwards in the byte, then on at the top of the next one
            bit = bit - 1 if bit % 8 else bit + 15
        else:
            bit += 1
    if not bits or min(bits) < 0 or max(bits) >= 8 * len(frame):
        raise ValueError(
            f"the checksum (start bit {start_bit}, {length_bits} bit) does not lie in a frame of "
            f"{len(frame)} bytes"
        )
    masks: dict[int, int] = {}
    for bit in bits:
        masks[bit // 8] = masks.get(bit // 8, 0) | 1 << bit % 8
    return bytes(byte & ~masks.get(i, 0) & 0xFF for i, byte in enumerate(frame) if masks.get(i) != 0xFF)
