"""Registers of SunSpec to values and back: types, codes for "not implemented", scale factors.

Source: SunSpec Device Information Model Specification, version 1.1, section 4 (types and their codes).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SCALE_RANGE", "Point", "Raw", "decode", "encode", "scaled", "size_of"]

Raw = float | int | str | None
"""What a point's registers hold, unscaled; None where it is not implemented."""

SCALE_RANGE = range(-10, 11)
"""Powers of ten that the standard allows."""

# type -> struct code and the raw values that mean "not implemented" (for accumulators: "not accumulated")
_NUMBERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "int16": (">h", (-0x8000,)),
    "uint16": (">H", (0xFFFF,)),
    "count": (">H", (0xFFFF,)),
    "acc16": (">H", (0, 0xFFFF)),
    "enum16": (">H", (0xFFFF,)),
    "bitfield16": (">H", (0xFFFF,)),
    "sunssf": (">h", (-0x8000,)),
    "int32": (">i", (-0x80000000,)),
    "uint32": (">I", (0xFFFFFFFF,)),
    "acc32": (">I", (0, 0xFFFFFFFF)),
    "enum32": (">I", (0xFFFFFFFF,)),
    "bitfield32": (">I", (0xFFFFFFFF,)),
    "int64": (">q", (-0x8000000000000000,)),
    "uint64": (">Q", (0xFFFFFFFFFFFFFFFF,)),
    "acc64": (">Q", (0, 0xFFFFFFFFFFFFFFFF)),
    "float32": (">f", ()),
    "float64": (">d", ()),
}


@dataclass(frozen=True)
class Point:
    """One point of a model.

    Attributes
    ----------
    name : str
        As in the standard, such as ``WphA``.
    register : int
        First register, counted from the model's register ID.
    type : str
        ``int16``, ``acc32``, ``float32``, ``string8`` (of 8 registers) …
    scale : str or int
        Name of the point that holds the power of ten, the power itself, or empty.
    unit : str
    writable : bool
    """

    name: str
    register: int
    type: str
    scale: str | int = ""
    unit: str = ""
    writable: bool = False

    @property
    def size(self) -> int:
        """Number of registers."""
        return size_of(self.type)

    @property
    def end(self) -> int:
        """Register behind it."""
        return self.register + self.size


def size_of(kind: str) -> int:
    """Give the number of registers of a type.

    Raises
    ------
    ValueError
        There is no such type.
    """
    if kind.startswith("string") and kind[6:].isdigit() and int(kind[6:]) > 0:
        return int(kind[6:])
    if kind not in _NUMBERS:
        raise ValueError(f"'{kind}' is no type of SunSpec")
    return struct.calcsize(_NUMBERS[kind][0]) // 2


def decode(kind: str, words: Sequence[int]) -> Raw:
    """Give the unscaled value of a point's registers.

    Parameters
    ----------
    kind : str
        Type.
    words : sequence of int
        Its registers, first the most significant.

    Returns
    -------
    int, float, str or None
        None: not implemented, not accumulated, or not finite. Text without what is not printable.
    """
    data = struct.pack(f">{len(words)}H", *words)
    if kind.startswith("string"):
        text = data.split(b"\0", 1)[0].decode("utf-8", "replace")
        return "".join(letter for letter in text if letter.isprintable()).strip() or None
    code, unknown = _NUMBERS[kind]
    value: float | int = struct.unpack(code, data)[0]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value in unknown else value


def scaled(raw: Raw, power: Raw) -> float:
    """Give the value of a number in its unit.

    Parameters
    ----------
    raw : int, float or None
        Of the point.
    power : int or None
        Of its scale factor; 0 where it has none.

    Returns
    -------
    float
        NaN where one of them is unknown, or the power is outside ``SCALE_RANGE``.
    """
    if raw is None or isinstance(raw, str) or not isinstance(power, int) or power not in SCALE_RANGE:
        return math.nan
    # not raw * 10**-1: one rounding instead of two, so that 2301 becomes 230.1
    return raw * 10.0**power if power >= 0 else raw / 10.0**-power


def encode(kind: str, value: float, power: Raw = 0) -> list[int]:
    """Give the registers for a value, rounded towards zero: a limit is never exceeded by rounding.

    Parameters
    ----------
    kind : str
        Type; no text.
    value : float
        In the point's unit.
    power : int
        Of its scale factor.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        The value does not fit, would read as "not implemented", or the scale factor is unknown.
    """
    code, unknown = _NUMBERS[kind]
    if not isinstance(power, int) or power not in SCALE_RANGE:
        raise ValueError(f"scale factor {power} is unknown or outside -10 to 10")
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number")
    if code in (">f", ">d"):
        data = struct.pack(code, value)
    else:
        exact = value / 10.0**power if power >= 0 else value * 10.0**-power
        # 57.3 % in steps of 0.1 is 573, although 57.3 * 10 is a little less in binary
        near = round(exact)
        raw = near if math.isclose(exact, near, rel_tol=1e-9) else math.trunc(exact)
        if raw in unknown and not kind.startswith("acc"):
            raise ValueError(f"{value} would read as not implemented")
        try:
            data = struct.pack(code, raw)
        except struct.error:
            raise ValueError(f"{value} does not fit into {kind} with scale factor {power}") from None
    return list(struct.unpack(f">{len(data) // 2}H", data))
