"""A pretended Elcon / TC charger, from its maker's table: bytes by hand, none of the driver's code."""

from __future__ import annotations

from openbms_drivers.frame import EXTENDED, Frame

__all__ = ["REQUEST", "STATUS", "ElconCharger"]

REQUEST, STATUS = 0x1806E5F4, 0x18FF50E5
SILENT_S = 5.0


class ElconCharger:
    """It charges as it was told last, and stops by itself 5 s after the last frame."""

    def __init__(self) -> None:
        self.voltage_v = self.current_a = 0.0
        self.control = 1
        self.heard_s: float | None = None
        self.requests = 0
        self.status = 0
        self.stuck_a: float | None = None
        """It delivers this whatever it is told: its output switch is stuck."""

    def hear(self, identifier: int, data: bytes, now_s: float, *, extended: bool = True) -> None:
        """Take a frame from the bus."""
        if identifier != REQUEST or not extended:
            return
        assert len(data) == 8, "a request has eight bytes"
        assert data[5:] == bytes(3), "the rest is zero"
        self.voltage_v = 0.1 * (data[0] << 8 | data[1])
        self.current_a = 0.1 * (data[2] << 8 | data[3])
        self.control = data[4]
        self.heard_s = now_s
        self.requests += 1

    def timed_out(self, now_s: float) -> bool:
        """Tell whether it has stopped since nobody commands it."""
        return self.heard_s is None or now_s - self.heard_s > SILENT_S

    def output_a(self, now_s: float) -> float:
        """Give the current that it delivers [A]; a control byte of zero lets it charge."""
        if self.stuck_a is not None:
            return self.stuck_a
        if self.timed_out(now_s) or self.control != 0 or self.voltage_v <= 0.0:
            return 0.0
        return self.current_a

    def frame(self, now_s: float) -> Frame:
        """Give its status frame."""
        current, voltage = round(10.0 * self.output_a(now_s)), round(10.0 * 350.0)
        status = self.status | (0x10 if self.timed_out(now_s) else 0)
        data = bytes((voltage >> 8, voltage & 0xFF, current >> 8, current & 0xFF, status, 0, 0, 0))
        return Frame(STATUS, data, EXTENDED, now_s, now_s)
