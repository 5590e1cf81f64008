"""A CAN frame as the pure modules see it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BIT_RATE_SWITCH", "ERROR", "EXTENDED", "FD", "REMOTE", "Frame"]

EXTENDED = 1
"""Flag: 29-bit identifier (the flags are those of CanFrames.msg)."""
FD = 2
BIT_RATE_SWITCH = 4
REMOTE = 8
ERROR = 16


class Frame(NamedTuple):
    """One frame with the two times of its reception (or, for a frame to send, of its hand-over)."""

    identifier: int
    data: bytes
    flags: int = 0
    monotonic_s: float = 0.0
    """Clock that is never set and goes on in suspend (CLOCK_BOOTTIME): for ages and gaps."""
    stamp_s: float = 0.0
    """ROS time: for stamps."""

    @property
    def key(self) -> int:
        """Identifier and its kind in one number, as SocketCAN writes them (bit 31: 29-bit identifier)."""
        return self.identifier | (self.flags & EXTENDED) << 31
