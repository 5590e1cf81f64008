"""One frame of a log as its reader gives it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Logged"]


class Logged(NamedTuple):
    """A frame with the time and the bus that stand in the log."""

    time_s: float
    """As the log counts: since 1970, or since its own beginning."""
    channel: str
    identifier: int
    data: bytes
    flags: int
    """Those of :mod:`openbms_drivers.frame`."""
