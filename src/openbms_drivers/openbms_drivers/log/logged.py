"""One frame of a log as its reader gives it."""

from __future__ import annotations

import math
from typing import NamedTuple

from openbms_drivers.frame import ERROR, EXTENDED, FD

__all__ = ["LineError", "Logged", "checked"]

_EXTENDED_MASK = 0x1FFF_FFFF
_STANDARD_MASK = 0x7FF
_FD_LENGTHS = frozenset([*range(9), 12, 16, 20, 24, 32, 48, 64])


class LineError(ValueError):
    """A line or a record is none of this format; the message says what is wrong with it."""


class Logged(NamedTuple):
    """A frame with the time and the bus that stand in the log."""

    time_s: float
    """As the log counts: since 1970, or since its own beginning."""
    channel: str
    identifier: int
    data: bytes
    flags: int
    """Those of :mod:`openbms_drivers.frame`."""


def checked(time_s: float, channel: str, identifier: int, data: bytes, flags: int) -> Logged:
    """Give a frame, where it can be one.

    Raises
    ------
    LineError
        Its time is no number, its identifier none of CAN, or its length none of its kind.
    """
    if not math.isfinite(time_s):
        raise LineError(f"the time is {time_s}")
    if not flags & ERROR:
        if not 0 <= identifier <= (_EXTENDED_MASK if flags & EXTENDED else _STANDARD_MASK):
            raise LineError(f"{identifier:#x} is no CAN identifier")
        if len(data) > 8 and (not flags & FD or len(data) not in _FD_LENGTHS):
            raise LineError(f"a frame cannot have {len(data)} bytes")
    return Logged(time_s, channel, identifier, data, flags)
