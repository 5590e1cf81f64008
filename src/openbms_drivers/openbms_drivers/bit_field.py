"""Where the bits of one DBC signal lie in the data of a frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["BitField"]

_FLOAT_CODES = {16: "<e", 32: "<f", 64: "<d"}
_LONGEST_SIGNAL = 64
_LONGEST_MESSAGE = 4095
"""Bytes of an ISO-TP answer; a frame has 64 at most."""


@dataclass(frozen=True)
class BitField:
    """The bits of one signal, counted as in a DBC.

    Attributes
    ----------
    start : int
        Start bit: the least significant one for little endian, the most significant one for big endian; bit
        8·i + 7 is the most significant of byte i.
    length : int
        Number of bits.
    big_endian : bool
        ``@0`` in the DBC (Motorola).
    signed : bool
        Two's complement.
    is_float : bool
        IEEE 754 of 16, 32 or 64 bits.
    frame_bytes : int
        Length of the message.

    Raises
    ------
    ValueError
        The signal does not lie in the message, has more than 64 bits or a float length that does not exist,
        or the message is longer than any frame or answer.
    """

    start: int
    length: int
    big_endian: bool
    signed: bool
    is_float: bool
    frame_bytes: int

    def __post_init__(self) -> None:
        if (
            self.length < 1
            or self.start < 0
            or self.shift < 0
            or self.shift + self.length > 8 * self.frame_bytes
        ):
            raise ValueError(
                f"start bit {self.start} with {self.length} bit does not lie in {self.frame_bytes} bytes"
            )
        if self.length > _LONGEST_SIGNAL:
            raise ValueError(f"{self.length} bit are no number (at most {_LONGEST_SIGNAL})")
        if self.frame_bytes > _LONGEST_MESSAGE:
            raise ValueError(f"a message cannot have {self.frame_bytes} bytes (at most {_LONGEST_MESSAGE})")
        if self.is_float and self.length not in _FLOAT_CODES:
            raise ValueError(f"a float signal cannot have {self.length} bit (16, 32 or 64)")

    @classmethod
    def of(cls, signal: Any, frame_bytes: int) -> BitField:
        """Build it from a cantools signal of a message of ``frame_bytes`` bytes."""
        return cls(
            start=signal.start,
            length=signal.length,
            big_endian=signal.byte_order == "big_endian",
            signed=bool(signal.is_signed),
            is_float=bool(signal.conversion.is_float),
            frame_bytes=frame_bytes,
        )

    @cached_property
    def shift(self) -> int:
        """Position of the least significant bit in the frame's integer (little or big endian as the
        signal).
        """
        if not self.big_endian:
            return self.start
        from_left = 8 * (self.start // 8) + 7 - self.start % 8
        return 8 * self.frame_bytes - from_left - self.length

    @cached_property
    def mask(self) -> int:
        """All bits of the signal, shifted down."""
        return (1 << self.length) - 1

    @cached_property
    def sign(self) -> int:
        """The sign bit, 0 where there is none."""
        return 1 << (self.length - 1) if self.signed and not self.is_float else 0

    def extract(self, data: bytes) -> int | float:
        """Give the raw value; ``data`` has exactly ``frame_bytes`` bytes."""
        bits = int.from_bytes(data, "big" if self.big_endian else "little")
        raw = (bits >> self.shift) & self.mask
        if self.is_float:
            return self.as_float(raw)
        return raw - self.mask - 1 if raw & self.sign else raw

    def as_float(self, bits: int) -> float:
        """Read raw bits as IEEE 754."""
        code = _FLOAT_CODES[self.length]
        return float(struct.unpack(code, bits.to_bytes(self.length // 8, "little"))[0])

    def insert(self, data: bytes, raw: int) -> bytes:
        """Give ``data`` with the bits of the signal replaced by ``raw`` (an integer, cut to the field)."""
        order = "big" if self.big_endian else "little"
        bits = int.from_bytes(data, order)  # type: ignore[arg-type]
        bits = bits & ~(self.mask << self.shift) | (raw & self.mask) << self.shift
        return bits.to_bytes(len(data), order)  # type: ignore[arg-type]
