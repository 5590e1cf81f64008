"""What must be quick goes to the wire as it is: plain types and the bytes of their messages.

For the scan and its answer, between driver and monitor. Each conversion is compared with rclpy's own, both
ways, when it is asked for the first time; where the installed middleware writes something else, messages are
made as for everything else.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from openbms_core.ros import convert
from openbms_core.ros.cdr import CdrCodec
from openbms_core.types import State

__all__ = ["COMMAND", "LIMITS", "MEASUREMENT", "STATE", "Wire"]


class Wire:
    """One type on the wire.

    Parameters
    ----------
    conversion : Conversion
        Between the type and its message (:mod:`openbms_core.ros.convert`).
    """

    def __init__(self, conversion: convert.Conversion) -> None:
        self._conversion = conversion
        kinds = conversion.message.get_fields_and_field_types()
        self._codec = CdrCodec(kinds)
        self._floats = frozenset(name for name, kind in kinds.items() if kind == "float")
        self._names = [(name, other) for name, other, _ in conversion.writers]
        self._states = frozenset(other for _, other, read in conversion.readers if read is State)

    @cached_property
    def raw(self) -> bool:
        """Bytes go through as they are; otherwise messages. To be given to ``listen``, too."""
        value = self._sample()
        message = self._conversion.to_msg(value, _header(12.5, "serial"))
        kind = self._conversion.message
        try:
            written = deserialize_message(self._bytes(value, 12.5, "serial"), kind)
            read = self._value(bytes(serialize_message(message)))
        except Exception:  # whatever is different on this installation
            return False
        return bool(written == message) and _same(read, self._conversion.from_msg(message))

    def encode(self, value: Any, stamp_s: float, frame_id: str) -> Any:
        """Give what is to be published."""
        if self.raw:
            return self._bytes(value, stamp_s, frame_id)
        return self._conversion.to_msg(value, _header(stamp_s, frame_id))

    def decode(self, received: Any) -> Any:
        """Give the value of what was received (ValueError: it is not one of this type)."""
        if isinstance(received, bytes):
            return self._value(received)
        return self._conversion.from_msg(received)

    def _bytes(self, value: Any, stamp_s: float, frame_id: str) -> bytes:
        values: dict[str, Any] = {other: getattr(value, name) for name, other in self._names}
        for name in self._floats:
            values[name] = convert.within_float32(values[name])
        values["header"] = (stamp_s, frame_id)
        return self._codec.encode(values)

    def _value(self, data: bytes) -> Any:
        found = self._codec.decode(data)
        values = {name: found[other] for name, other in self._names}
        for name, other in self._names:
            if other in self._states:
                values[name] = State(values[name])
        if self._conversion.stamped:
            values["stamp_s"] = found["header"][0]
        return self._conversion.plain(**values)

    def _sample(self) -> Any:
        """Give a value in which arrays have different lengths, so that every alignment occurs."""
        kinds = self._conversion.message.get_fields_and_field_types()
        values: dict[str, Any] = {"stamp_s": 12.5} if self._conversion.stamped else {}
        for number, (name, other) in enumerate(self._names):
            kind, count = kinds[other], number % 4
            if kind == "sequence<string>":
                values[name] = [f"text {n}" for n in range(count)]
            elif kind.startswith("sequence<"):
                target = self._conversion.dtypes[other]
                values[name] = np.arange(1, count + 1).astype(target)
            elif kind == "string":
                values[name] = "äö" + "x" * count
            elif kind == "boolean":
                values[name] = bool(count % 2)
            elif kind in ("float", "double", "builtin_interfaces/Duration"):
                values[name] = 0.25 * number
            elif other in self._states:
                values[name] = State(count)
            else:
                values[name] = number
        return self._conversion.plain(**values)


def _header(stamp_s: float, frame_id: str) -> Header:
    return Header(stamp=convert.time_to_msg(stamp_s), frame_id=frame_id)


def _same(one: Any, other: Any) -> bool:
    pairs = ((getattr(one, item.name), getattr(other, item.name)) for item in fields(one))
    return all(
        np.array_equal(mine, its) and mine.dtype == its.dtype if isinstance(mine, np.ndarray) else mine == its
        for mine, its in pairs
    )


MEASUREMENT = Wire(convert.MEASUREMENT)
STATE = Wire(convert.STATE)
LIMITS = Wire(convert.LIMITS)
COMMAND = Wire(convert.CONTACTORS)
