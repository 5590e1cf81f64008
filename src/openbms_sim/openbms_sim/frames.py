"""Frames of a device with little-endian signals, alive counter and checksum, packed as its DBC says.

cantools reads the DBC once; packing a frame from raw values is then a few shifts, checksum included
(benchmarks/twin_speed.py compares it with cantools' own encoder).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openbms_core.light_can  # noqa: F401  # cantools imports python-can as well

# isort: split
import cantools.database

from openbms_core.frame_integrity import checksum

__all__ = ["Field", "Layout", "layouts", "raw_of"]

CHECKSUM_KIND = "crc8_sae_j1850"


@dataclass(frozen=True)
class Field:
    """Where a signal lies in the frame, and how its raw value is meant."""

    start: int
    length: int
    signed: bool
    scale: float
    offset: float

    @property
    def not_available(self) -> int:
        """Raw value that says not available: all ones, or the most negative value."""
        return -(1 << (self.length - 1)) if self.signed else (1 << self.length) - 1

    def raw(self, value: float) -> int:
        """Give the raw value of a physical one, kept within the field; NaN gives not available."""
        if value != value:  # NaN
            return self.not_available
        least = -(1 << (self.length - 1)) + 1 if self.signed else 0
        most = (1 << (self.length - 1)) - 1 if self.signed else (1 << self.length) - 2
        return int(min(max(round((value - self.offset) / self.scale), least), most))


class Layout:
    """Layout of one message.

    Parameters
    ----------
    message : cantools message
        Message of the DBC: little endian, ``Counter`` and ``Checksum`` (the last byte).
    """

    def __init__(self, message: Any) -> None:
        self.name: str = message.name
        self.identifier: int = message.frame_id
        self.length: int = message.length
        self.fields: dict[str, Field] = {}
        for signal in message.signals:
            if signal.byte_order != "little_endian":
                raise ValueError(f"{message.name}.{signal.name}: only little-endian signals can be packed")
            self.fields[signal.name] = Field(
                signal.start, signal.length, signal.is_signed, float(signal.scale), float(signal.offset)
            )

    def pack(self, raw: dict[str, int], counter: int, *, spoil_checksum: bool = False) -> bytes:
        """Give the bytes of a frame from raw values; signals that are not named are 0.

        Parameters
        ----------
        raw : dict
            Raw value by signal.
        counter : int
            Alive counter, 0 … 15.
        spoil_checksum : bool
            Send a wrong checksum.
        """
        whole = counter
        for name, value in raw.items():
            field = self.fields[name]
            whole |= (value & ((1 << field.length) - 1)) << field.start
        return self.seal(whole, spoil_checksum=spoil_checksum)

    def seal(self, whole: int, *, spoil_checksum: bool = False) -> bytes:
        """Give the bytes of a frame whose content is this little-endian number, with its checksum."""
        data = whole.to_bytes(self.length - 1, "little")
        code = checksum(CHECKSUM_KIND, data, self.identifier)
        return data + bytes(((code ^ 0x55) if spoil_checksum else code,))

    def unpack(self, data: bytes) -> dict[str, int] | None:
        """Give the raw value of each signal, or None where length or checksum is wrong."""
        if len(data) != self.length or checksum(CHECKSUM_KIND, data[:-1], self.identifier) != data[-1]:
            return None
        whole = int.from_bytes(data, "little")
        values = {}
        for name, field in self.fields.items():
            value = (whole >> field.start) & ((1 << field.length) - 1)
            if field.signed and value >> (field.length - 1):
                value -= 1 << field.length
            values[name] = value
        return values


def layouts(dbc_path: str) -> dict[str, Layout]:
    """Read the layouts of all messages of a DBC, by name."""
    database = cantools.database.load_file(dbc_path, strict=True)
    return {message.name: Layout(message) for message in database.messages}


def raw_of(layout: Layout, values: dict[str, float]) -> dict[str, int]:
    """Turn physical values into raw ones, by signal."""
    return {name: layout.fields[name].raw(value) for name, value in values.items()}
