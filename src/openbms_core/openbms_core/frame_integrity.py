"""Checksums that protect the frames of a device; used by the driver, by the twin and by nobody else.

The bytes that a checksum covers are all bytes of the frame but the one that it fills; where it fills only
part of a byte (a nibble), all bytes count with those bits at zero. :func:`covered_bytes` gives them.
"""

from __future__ import annotations

__all__ = ["CHECKSUM_KINDS", "checksum", "covered_bytes"]


def _crc8_table(polynomial: int) -> bytes:
    table = bytearray(256)
    for value in range(256):
        register = value
        for _ in range(8):
            register = ((register << 1) ^ polynomial) & 0xFF if register & 0x80 else register << 1
        table[value] = register
    return bytes(table)


_TABLE_1D = _crc8_table(0x1D)
_TABLE_2F = _crc8_table(0x2F)

_CRC8: dict[str, tuple[bytes, int, int]] = {
    "crc8_sae_j1850": (_TABLE_1D, 0xFF, 0xFF),
    "crc8_sae_j1850_zero": (_TABLE_1D, 0x00, 0x00),
    "crc8_2f": (_TABLE_2F, 0xFF, 0xFF),
}
"""Table, start value and final exclusive or of each CRC (no reflection in any of them)."""

CHECKSUM_KINDS = (*_CRC8, "xor", "sum", "nibble_sum")
"""Every kind that :func:`checksum` knows."""


def checksum(kind: str, data: bytes, data_id: int | None = None) -> int:
    """Compute the checksum of some bytes.

    Parameters
    ----------
    kind : str
        ``crc8_sae_j1850`` (polynomial 0x1D, start 0xFF, final 0xFF), ``crc8_sae_j1850_zero`` (0x1D, 0, 0),
        ``crc8_2f`` (AUTOSAR: 0x2F, 0xFF, 0xFF), ``xor`` (of all bytes), ``sum`` (of all bytes, modulo 256) or
        ``nibble_sum`` (of all nibbles, modulo 16).
    data : bytes
        The covered bytes (see :func:`covered_bytes`).
    data_id : int, optional
        Identifier of the message, 0 … 65535, put behind the data: one byte up to 255, else two, the low one
        first.

    Returns
    -------
    int
        0 … 255 (``nibble_sum``: 0 … 15).

    Raises
    ------
    ValueError
        ``kind`` is unknown, or ``data_id`` does not fit in two bytes.

    Notes
    -----
    Sources: AUTOSAR SWS CRC Library, 7.2.1.1 (8-bit SAE J1850) and 7.2.1.2 (8-bit 0x2F); the RevEng catalogue
    of parametrised CRC algorithms (CRC-8/SAE-J1850, CRC-8/AUTOSAR; the zero variant as in AUTOSAR E2E profile
    1).
    """
    if data_id is not None:
        if not 0 <= data_id <= 0xFFFF:
            raise ValueError(f"data_id {data_id} does not fit in two bytes (0 … 65535)")
        data = bytes(data) + (bytes((data_id,)) if data_id <= 0xFF else data_id.to_bytes(2, "little"))
    parameters = _CRC8.get(kind)
    if parameters is not None:
        table, register, final = parameters
        for byte in data:
            register = table[register ^ byte]
        return register ^ final
    if kind == "sum":
        return sum(data) & 0xFF
    if kind == "xor":
        register = 0
        for byte in data:
            register ^= byte
        return register
    if kind == "nibble_sum":
        return sum((byte >> 4) + (byte & 0xF) for byte in data) & 0xF
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
        The frame without the byte that the checksum fills, or the whole frame with the checksum's bits at
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
