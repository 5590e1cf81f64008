"""Plain values to the bytes of a message and back, without the message between.

rclpy builds a Python message field by field, copies it into one of C and serialises that, and the same
backwards. Here NumPy arrays go to the wire as they are. The format is plain CDR (XCDR version 1, little
endian), as the middlewares of ROS 2 write it; whoever uses it compares it once with what rclpy makes of the
same value, and uses rclpy where they differ (:mod:`openbms_core.ros.convert`).

Sources: OMG DDS Interoperability Wire Protocol 2.5, section 10 (encapsulation); OMG DDS-XTYPES 1.3, section
7.4.3 (XCDR version 1).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["CdrCodec", "CdrError", "split_seconds"]

_HEADER = b"\x00\x01\x00\x00"
_PADS = tuple(bytes(count) for count in range(8))
_SCALARS = {
    "boolean": "?", "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "uint32": "I", "int32": "i",
    "uint64": "Q", "int64": "q", "float": "f", "double": "d",
}  # fmt: skip
_DTYPES = {
    "uint8": "u1", "int8": "i1", "uint16": "<u2", "int16": "<i2", "uint32": "<u4", "int32": "<i4",
    "uint64": "<u8", "int64": "<i8", "float": "<f4", "double": "<f8",
}  # fmt: skip
_COUNT = struct.Struct("<I")
_STAMP = struct.Struct("<iI")

_Encoder = Callable[[Any, int, list[bytes]], int]
"""``encoder(value, position, parts)`` appends bytes and gives the new position, counted behind the header."""
_Decoder = Callable[[memoryview, int], tuple[Any, int]]
"""``decoder(data, position)`` gives the value and the new position."""


class CdrError(ValueError):
    """The bytes are not a message of this type."""


class CdrCodec:
    """Encodes and decodes the fields of one message, by name.

    Parameters
    ----------
    fields : mapping of str to str
        Name and type of each field in the order of the message, as rosidl writes them
        (``get_fields_and_field_types``): headers, durations, times, scalars, strings, and sequences of
        scalars or strings.

    Raises
    ------
    KeyError
        A field has another type.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._encoders = [(name, _encoder(kind)) for name, kind in fields.items()]
        self._decoders = [(name, _decoder(kind)) for name, kind in fields.items()]

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """Give the bytes. Sequences of numbers are ndarrays, times are seconds, a header is time and text.

        Raises
        ------
        struct.error, OverflowError
            A number does not fit its field.
        """
        parts: list[bytes] = [_HEADER]
        position = 0
        for name, encode in self._encoders:
            position = encode(values[name], position, parts)
        return b"".join(parts)

    def decode(self, data: bytes) -> dict[str, Any]:
        """Give the values by name; sequences of numbers are new arrays (float64 for either kind of float).

        Raises
        ------
        CdrError
            The bytes end too early, or are encapsulated in another way.
        """
        if bytes(data[:2]) != _HEADER[:2]:
            raise CdrError(f"encapsulation {bytes(data[:2]).hex()} is not little-endian plain CDR")
        body, position = memoryview(data)[4:], 0
        values: dict[str, Any] = {}
        try:
            with np.errstate(invalid="ignore"):  # a signalling NaN becomes an ordinary one
                for name, decode in self._decoders:
                    values[name], position = decode(body, position)
        except (struct.error, ValueError) as error:
            raise CdrError(f"{len(data)} bytes are no such message: {error}") from error
        return values


def split_seconds(seconds: float) -> tuple[int, int]:
    """Give whole seconds and nanoseconds; a time that is not finite or negative becomes 0."""
    if not math.isfinite(seconds) or seconds < 0:
        return 0, 0
    whole = math.floor(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    return whole + nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000


# ---- to bytes ------------------------------------------------------------------------------------------


def _align(position: int, size: int, parts: list[bytes]) -> int:
    missing = -position % size
    if missing:
        parts.append(_PADS[missing])
    return position + missing


def _encoder(kind: str) -> _Encoder:
    if kind in _SCALARS:
        return _scalar_encoder(struct.Struct("<" + _SCALARS[kind]))
    if kind == "string":
        return _put_string
    if kind in ("builtin_interfaces/Duration", "builtin_interfaces/Time"):
        return _put_time
    if kind == "std_msgs/Header":
        return _put_header
    item = re.fullmatch(r"sequence<(\w+)>", kind)
    if item is None:
        raise KeyError(kind)
    return _put_strings if item[1] == "string" else _array_encoder(np.dtype(_DTYPES[item[1]]))


def _scalar_encoder(packed: struct.Struct) -> _Encoder:
    def put(value: Any, position: int, parts: list[bytes]) -> int:
        position = _align(position, packed.size, parts)
        parts.append(packed.pack(value))
        return position + packed.size

    return put


def _array_encoder(dtype: np.dtype[Any]) -> _Encoder:
    size = dtype.itemsize

    def put(value: Any, position: int, parts: list[bytes]) -> int:
        data = np.asarray(value).astype(dtype, copy=False).tobytes()
        position = _align(position, 4, parts) + 4
        parts.append(_COUNT.pack(len(data) // size))
        if data:
            if size == 8:
                position = _align(position, 8, parts)
            parts.append(data)
        return position + len(data)

    return put


def _put_string(value: str, position: int, parts: list[bytes]) -> int:
    data = value.encode() + b"\x00"
    position = _align(position, 4, parts)
    parts += (_COUNT.pack(len(data)), data)
    return position + 4 + len(data)


def _put_strings(value: Any, position: int, parts: list[bytes]) -> int:
    position = _align(position, 4, parts) + 4
    parts.append(_COUNT.pack(len(value)))
    for text in value:
        position = _put_string(text, position, parts)
    return position


def _put_time(value: float, position: int, parts: list[bytes]) -> int:
    position = _align(position, 4, parts)
    parts.append(_STAMP.pack(*split_seconds(value)))
    return position + 8


def _put_header(value: tuple[float, str], position: int, parts: list[bytes]) -> int:
    return _put_string(value[1], _put_time(value[0], position, parts), parts)


# ---- from bytes ----------------------------------------------------------------------------------------


def _decoder(kind: str) -> _Decoder:
    if kind in _SCALARS:
        return _scalar_decoder(struct.Struct("<" + _SCALARS[kind]))
    if kind == "string":
        return _get_string
    if kind in ("builtin_interfaces/Duration", "builtin_interfaces/Time"):
        return _get_time
    if kind == "std_msgs/Header":
        return _get_header
    item = re.fullmatch(r"sequence<(\w+)>", kind)
    if item is None:
        raise KeyError(kind)
    return _get_strings if item[1] == "string" else _array_decoder(np.dtype(_DTYPES[item[1]]))


def _scalar_decoder(packed: struct.Struct) -> _Decoder:
    size, unpack = packed.size, packed.unpack_from

    def get(data: memoryview, position: int) -> tuple[Any, int]:
        position += -position % size
        return unpack(data, position)[0], position + size

    return get


def _array_decoder(dtype: np.dtype[Any]) -> _Decoder:
    size = dtype.itemsize
    wanted = np.dtype(np.float64) if dtype.kind == "f" else dtype.newbyteorder("=")

    def get(data: memoryview, position: int) -> tuple[Any, int]:
        position += -position % 4
        (count,) = _COUNT.unpack_from(data, position)
        position += 4
        if not count:
            return np.empty(0, wanted), position
        if size == 8:
            position += -position % 8
        # a copy in any case: a scan outlives its message
        return np.frombuffer(data, dtype, count, position).astype(wanted), position + count * size

    return get


def _get_string(data: memoryview, position: int) -> tuple[str, int]:
    position += -position % 4
    (length,) = _COUNT.unpack_from(data, position)
    end = position + 4 + length
    if end > len(data) or length < 1:
        raise CdrError("a string reaches beyond the end")
    return str(data[position + 4 : end - 1], "utf-8"), end


def _get_strings(data: memoryview, position: int) -> tuple[list[str], int]:
    position += -position % 4
    (count,) = _COUNT.unpack_from(data, position)
    position += 4
    found: list[str] = []
    for _ in range(count):
        text, position = _get_string(data, position)
        found.append(text)
    return found, position


def _get_time(data: memoryview, position: int) -> tuple[float, int]:
    position += -position % 4
    seconds, nanoseconds = _STAMP.unpack_from(data, position)
    return float(seconds + nanoseconds * 1e-9), position + 8


def _get_header(data: memoryview, position: int) -> tuple[tuple[float, str], int]:
    stamp_s, position = _get_time(data, position)
    text, position = _get_string(data, position)
    return (stamp_s, text), position
