"""A number for everything that was measured: two runs that differ in one bit have different ones."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import fields
from typing import Any

import numpy as np

__all__ = ["ScanDigest"]


class ScanDigest:
    """SHA-256 over values in the order in which they came, to the last bit.

    Every NaN counts as the same, and 0.0 is not -0.0.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, *values: Any) -> None:
        """Take values: dataclasses (field by field), arrays, numbers, texts, None, and sequences of these."""
        for value in values:
            self._take(value)

    def _take(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            array = np.ascontiguousarray(value)
            if array.dtype.kind == "f":
                array = np.where(np.isnan(array), np.nan, array)
            self._hash.update(f"{array.dtype.str}{array.shape}".encode())
            self._hash.update(array.tobytes())
        elif isinstance(value, float):
            self._hash.update(b"f" + struct.pack("<d", value if value == value else np.nan))
        elif isinstance(value, str):
            text = value.encode()
            self._hash.update(b"s%d:" % len(text) + text)
        elif value is None:
            self._hash.update(b"n")
        elif isinstance(value, (bool, int, np.integer)):
            self._hash.update(b"i%d;" % int(value))
        elif isinstance(value, (tuple, list)):
            self._hash.update(b"(%d" % len(value))
            for item in value:
                self._take(item)
        else:
            for item in fields(value):
                self._take(getattr(value, item.name))

    def text(self) -> str:
        """Give it as 64 hexadecimal digits."""
        return self._hash.hexdigest()
