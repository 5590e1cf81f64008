"""How long a frame is on the wire: with the stuff bits that its content really has, and at worst.

Sources: ISO 11898-1:2015, 10.4 (frames), 10.5 (bit stuffing), 10.4.2.6 (CRC of CAN FD with stuff count and
fixed stuff bits); Davis et al., Controller Area Network (CAN) schedulability analysis: refuted, revisited and
revised, Real-Time Systems 35 (2007), equation 1 (worst case of classical frames).
"""

from __future__ import annotations

__all__ = ["classic_bits", "classic_worst_bits", "fd_seconds", "fd_worst_seconds"]

_AFTER_CRC = 1 + 2 + 7 + 3
"""CRC delimiter, acknowledge slot and delimiter, end of frame, interframe space."""
_FD_LENGTHS = {12: 9, 16: 10, 20: 11, 24: 12, 32: 13, 48: 14, 64: 15}


def _bits(value: int, count: int) -> list[int]:
    return [value >> at & 1 for at in range(count - 1, -1, -1)]


def _crc15(bits: list[int]) -> int:
    crc = 0
    for bit in bits:
        crc = (crc << 1 ^ (0x4599 if bit ^ crc >> 14 else 0)) & 0x7FFF
    return crc


def _stuff_bits(bits: list[int]) -> list[int]:
    """Give the positions (after how many bits) behind which a stuff bit is put."""
    found, run, last = [], 0, -1
    for at, bit in enumerate(bits, 1):
        run = run + 1 if bit == last else 1
        last = bit
        if run == 5:
            found.append(at)
            run, last = 1, 1 - bit
    return found


def _head(identifier: int, *, extended: bool, fd: bool) -> list[int]:
    """Give start of frame, identifier and what follows up to the bit rate switch or the length code."""
    if not extended:
        # SOF, identifier, RTR/RRS, IDE, then r0, or FDF res BRS
        return [0, *_bits(identifier, 11), 0, 0, *([1, 0, 1] if fd else [0])]
    high, low = identifier >> 18, identifier & 0x3FFFF
    return [0, *_bits(high, 11), 1, 1, *_bits(low, 18), 0, *([1, 0, 1] if fd else [0, 0])]


def classic_bits(identifier: int, data: bytes, *, extended: bool = False) -> int:
    """Give the bits of a classical data frame with interframe space."""
    bits = _head(identifier, extended=extended, fd=False) + _bits(len(data), 4)
    for byte in data:
        bits += _bits(byte, 8)
    bits += _bits(_crc15(bits), 15)
    return len(bits) + len(_stuff_bits(bits)) + _AFTER_CRC


def classic_worst_bits(length: int, *, extended: bool = False) -> int:
    """Give the bits that a classical data frame can have at most."""
    stuffed = (54 if extended else 34) + 8 * length
    return stuffed + _AFTER_CRC + (stuffed - 1) // 4


def _fd_parts(length: int) -> tuple[int, int]:
    """Give the length code, and the bits of stuff count, CRC and its fixed stuff bits."""
    code = length if length <= 8 else _FD_LENGTHS[length]
    return code, (4 + 17 + 6) if length <= 16 else (4 + 21 + 7)


def fd_seconds(
    identifier: int, data: bytes, *, extended: bool = False, nominal: float = 500e3, fast: float = 2e6
) -> float:
    """Give the time of a CAN FD frame with bit rate switch and interframe space [s].

    Up to the bit rate switch and from the CRC delimiter on at the nominal rate, between at the fast one.
    """
    code, check = _fd_parts(len(data))
    head = _head(identifier, extended=extended, fd=True)
    bits = [*head, 0, *_bits(code, 4)]
    for byte in data:
        bits += _bits(byte, 8)
    stuffed = _stuff_bits(bits)
    early = sum(at <= len(head) for at in stuffed)
    slow = len(head) + early + _AFTER_CRC
    quick = len(bits) - len(head) + len(stuffed) - early + check
    return slow / nominal + quick / fast


def fd_worst_seconds(
    length: int, *, extended: bool = False, nominal: float = 500e3, fast: float = 2e6
) -> float:
    """Give the time that a CAN FD frame can take at most [s]: a stuff bit behind every fourth bit."""
    _, check = _fd_parts(length)
    head = len(_head(0, extended=extended, fd=True))
    behind = 5 + 8 * length
    return (head + (head - 1) // 4 + _AFTER_CRC) / nominal + (behind + (behind + 3) // 4 + check) / fast
