"""The models of SunSpec that OpenBMS knows: which point is where (``sunspec.yaml``), registers to values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from openbms_core.config_file import read_yaml
from openbms_drivers.devices.sunspec.points import Point, Raw, decode, scaled

__all__ = [
    "CONTROL_MODELS",
    "INVERTER_MODELS",
    "METER_MODELS",
    "Definition",
    "Repeat",
    "Values",
    "definition",
    "definitions",
]

INVERTER_MODELS = (701, 103, 102, 101, 113, 112, 111)
"""What an inverter measures at its AC side; the first that is there counts."""
METER_MODELS = (201, 202, 203, 204, 211, 212, 213, 214)
CONTROL_MODELS = (704, 124)
"""What takes a power; the first that is there and complete counts."""

_TABLE = Path(__file__).with_name("sunspec.yaml")
_MOST_REPEATS = 32


@dataclass(frozen=True)
class Repeat:
    """The part of a model that stands there several times."""

    offset: int
    length: int
    count: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Definition:
    """One model: its points, without what OpenBMS does not need."""

    number: int
    label: str
    length: int
    points: tuple[Point, ...]
    repeat: Repeat | None = None

    def point(self, name: str) -> Point:
        """Give a point by its name."""
        return next(point for point in self.points if point.name == name)

    def registers(self, length: int) -> int:
        """Give how many registers from ID on must be read of a model of that length (without ID and L)."""
        if self.repeat is not None:
            return length + 2
        ends = [point.end for point in self.points if point.end <= length + 2]
        return max(ends, default=2)


@dataclass(frozen=True)
class Values:
    """What one model held at one time.

    Attributes
    ----------
    model : Definition
    words : tuple of int
        Its registers from ID on, as far as they were read.
    length : int
        Its length as the device says it: a point beyond it is not there.
    """

    model: Definition
    words: tuple[int, ...]
    length: int

    def raw(self, name: str) -> Raw:
        """Give a point unscaled; None where it is not implemented."""
        return self._raw(self.model.point(name), 0)

    def _raw(self, point: Point, offset: int) -> Raw:
        start, end = point.register + offset, point.end + offset
        if end > min(len(self.words), self.length + 2):
            return None
        return decode(point.type, self.words[start:end])

    def power(self, point: Point) -> Raw:
        """Give the power of ten of a point; None where the device does not say it."""
        if point.scale == "":
            return 0
        if isinstance(point.scale, int):
            return point.scale
        return self.raw(point.scale)

    def number(self, name: str) -> float:
        """Give a point in its unit; NaN where it is not implemented or has no usable scale factor."""
        point = self.model.point(name)
        return scaled(self.raw(name), self.power(point))

    def text(self, name: str) -> str:
        """Give a text; empty where there is none."""
        raw = self.raw(name)
        return raw if isinstance(raw, str) else ""

    def choice(self, name: str) -> int | None:
        """Give an enumeration or bit field; None where it is not implemented."""
        raw = self.raw(name)
        return raw if isinstance(raw, int) else None

    def has(self, name: str) -> bool:
        """Tell whether the device implements a point."""
        return self.raw(name) is not None

    def modules(self) -> Iterator[dict[str, float | str]]:
        """Give the points of each module of a model with a repeated part, numbers in their unit."""
        repeat = self.model.repeat
        if repeat is None:
            return
        told = self.raw(repeat.count)
        there = (min(len(self.words), self.length + 2) - repeat.offset) // repeat.length
        for index in range(max(0, min(told if isinstance(told, int) else 0, there, _MOST_REPEATS))):
            offset = repeat.offset + index * repeat.length
            found: dict[str, float | str] = {}
            for point in repeat.points:
                raw = self._raw(point, offset)
                if point.type.startswith("string"):
                    found[point.name] = raw if isinstance(raw, str) else ""
                else:
                    found[point.name] = scaled(raw, self.power(point))
            yield found

    def known(self) -> dict[str, float | str]:
        """Give every implemented point of the fixed part but scale factors."""
        found: dict[str, float | str] = {}
        for point in self.model.points:
            if point.type == "sunssf":
                continue
            if point.type.startswith("string"):
                text = self.text(point.name)
                if text:
                    found[point.name] = text
            else:
                value = self.number(point.name)
                if not math.isnan(value):
                    found[point.name] = value
        return found


def _points(table: dict[str, list[Any]]) -> tuple[Point, ...]:
    return tuple(
        Point(name, row[0], row[1], row[2], row[3], len(row) > 4 and row[4] == "rw")
        for name, row in table.items()
    )


@lru_cache(maxsize=1)
def definitions() -> dict[int, Definition]:
    """Give the known models by their number."""
    tables: dict[int, dict[str, Any]] = read_yaml(_TABLE)[0]["models"]
    found = {}
    for number, table in tables.items():
        body = tables[table["like"]] if "like" in table else table
        repeat = body.get("repeat")
        found[number] = Definition(
            number,
            table["label"],
            body["length"],
            _points(body["points"]),
            None
            if repeat is None
            else Repeat(repeat["offset"], repeat["length"], repeat["count"], _points(repeat["points"])),
        )
    return found


def definition(number: int) -> Definition | None:
    """Give a model by its number; None where OpenBMS does not know it."""
    return definitions().get(number)
