"""Faults of the computer and of the load, which the twin's own injections cannot be: processes, clocks,
users.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "ClockSteps",
    "DriverDies",
    "DriverHangs",
    "EstimatorSilent",
    "ForeignConfiguration",
    "LoadDefies",
    "MonitorDies",
    "MonitorHangs",
    "ScanRepeats",
    "SystemFault",
    "acting",
]


@dataclass(frozen=True)
class SystemFault:
    """What every fault of this kind has: when it begins, and how long it lasts (None: to the end)."""

    start_s: float = 0.0
    duration_s: float | None = None

    def acts(self, since_s: float) -> bool:
        """Tell whether it acts this long after the faults were set."""
        past = since_s - self.start_s
        return past >= 0.0 and (self.duration_s is None or past < self.duration_s)


@dataclass(frozen=True)
class LoadDefies(SystemFault):
    """The load takes a current whatever limits and requests say."""

    current_a: float = 0.0
    """Positive charges."""
    swing_a: float = 0.0
    """It swings by so much to both sides of it."""
    swing_hz: float = 0.0

    def now_a(self, since_s: float) -> float:
        """Give its current this long after the faults were set [A]."""
        return self.current_a + self.swing_a * math.sin(
            2.0 * math.pi * self.swing_hz * (since_s - self.start_s)
        )


@dataclass(frozen=True)
class EstimatorSilent(SystemFault):
    """The process of the estimators is gone: no power limits, no charge command."""


@dataclass(frozen=True)
class MonitorHangs(SystemFault):
    """The monitor's process stands still; what is sent to it waits."""


@dataclass(frozen=True)
class MonitorDies(SystemFault):
    """The monitor's process is gone, and starts anew with its record when the time is over."""


@dataclass(frozen=True)
class DriverHangs(SystemFault):
    """The driver's process stands still; frames wait in its socket."""


@dataclass(frozen=True)
class DriverDies(SystemFault):
    """The driver's process is gone, and starts anew when the time is over."""


@dataclass(frozen=True)
class ClockSteps(SystemFault):
    """Somebody sets the system clock (ROS time) by this step; the monotonic clock goes on."""

    step_s: float = 0.0


@dataclass(frozen=True)
class ForeignConfiguration(SystemFault):
    """The driver describes another pack file than the monitor has."""


@dataclass(frozen=True)
class ScanRepeats(SystemFault):
    """The driver's decoding hangs: it publishes its last scan again and again."""


def acting(faults: Iterable[SystemFault], kind: type[SystemFault], since_s: float) -> SystemFault | None:
    """Give the first fault of a kind that acts now."""
    return next((fault for fault in faults if isinstance(fault, kind) and fault.acts(since_s)), None)
