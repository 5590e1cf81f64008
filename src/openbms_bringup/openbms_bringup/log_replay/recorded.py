"""A scan that was replayed against the one that was recorded, bit by bit."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from openbms_core.types import PackMeasurement

__all__ = ["Comparison"]

_UNIT = re.compile(r"_(v|a|ah|s|degc|ohm|pa|w|m3_per_s)$")
_COUNTED = ("scan_number",)
"""Counted from the start of the driver: a recording that begins later has other numbers."""


@dataclass
class Comparison:
    """How many scans are those that were recorded.

    Attributes
    ----------
    scans : int
        Compared.
    identical : int
        To the last bit, all fields.
    last_different : int or None
        Number (from 0) of the last one that was not; what the driver had heard before the recording began is
        not in the bag.
    fields : set of str
        In which they differ.
    """

    scans: int = 0
    identical: int = 0
    last_different: int | None = None

    def __post_init__(self) -> None:
        self.fields: set[str] = set()

    def take(self, scan: PackMeasurement, message: Any) -> None:
        """Compare one scan with the message of the bag."""
        different = [item.name for item in fields(scan) if not self._same(item.name, scan, message)]
        if different:
            self.last_different = self.scans
            self.fields.update(different)
        else:
            self.identical += 1
        self.scans += 1

    @staticmethod
    def _same(name: str, scan: PackMeasurement, message: Any) -> bool:
        mine = getattr(scan, name)
        if name in _COUNTED:
            return True
        if name == "stamp_s":
            stamp = message.header.stamp
            whole = int(mine)
            return whole * 10**9 + round((mine - whole) * 1e9) == stamp.sec * 10**9 + stamp.nanosec
        other = name if hasattr(message, name) else _UNIT.sub("", name)
        theirs = getattr(message, other)
        if isinstance(mine, np.ndarray):
            theirs = np.asarray(theirs)
            mine = mine.astype(theirs.dtype)
            return bool(np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"))
        if isinstance(mine, float):
            # what a float32 field gave back is a float32; scan_duration is a float64
            kind = np.float64 if other == "scan_duration" else np.float32
            return bool(np.array_equal(kind(mine), kind(theirs), equal_nan=True))
        return bool(mine == theirs)

    def told(self) -> dict[str, Any]:
        """Give it for JSON."""
        return {
            "scans": self.scans,
            "identical": self.identical,
            "identical_since": 0 if self.last_different is None else self.last_different + 1,
            "different_fields": sorted(self.fields),
        }
