"""Whether the inverter is there: its frames, their age, what it says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

from openbms_drivers.devices.inverter_lv.profile import InverterSide
from openbms_drivers.frame import ERROR, EXTENDED, REMOTE, Frame

__all__ = ["InverterWatch"]


class InverterWatch:
    """Listens to the inverter.

    Parameters
    ----------
    side : InverterSide
        Its frames and how long they may be away.
    """

    def __init__(self, side: InverterSide) -> None:
        self._side = side
        self._heard_s: dict[int, float] = {}
        self._others: set[int] = set()
        self._started_s: float | None = None
        self.frames = 0
        """Frames of the inverter."""

    def receive(self, frame: Frame, own: Mapping[int, object]) -> str:
        """Take a frame; give a sentence if it should not be there, else an empty text.

        Parameters
        ----------
        frame : Frame
            From the bus.
        own : mapping
            Identifiers that the battery sends: heard from somebody else, there are two batteries on the bus.
        """
        if frame.flags & (ERROR | REMOTE | EXTENDED):
            return ""
        if frame.identifier in self._side.identifiers:
            self._heard_s[frame.identifier] = frame.monotonic_s
            self.frames += 1
        elif frame.identifier in own:
            return (
                f"somebody else sends 0x{frame.identifier:03X} on this bus: two batteries would tell the "
                "inverter different limits. Give the inverter a bus of its own."
            )
        else:
            self._others.add(frame.identifier)
        return ""

    def start(self, now_s: float) -> None:
        """Begin to wait (monotonic time): frames are being sent."""
        if self._started_s is None:
            self._started_s = now_s

    def age_s(self, now_s: float) -> float:
        """Give the time since its last frame [s]; infinite if there was none."""
        return now_s - max(self._heard_s.values()) if self._heard_s else math.inf

    def lost(self, now_s: float) -> bool:
        """Tell whether it stays away for longer than it may."""
        waited_s = self.age_s(now_s)
        if math.isinf(waited_s):
            waited_s = now_s - self._started_s if self._started_s is not None else 0.0
        return waited_s > self._side.lost_after_s
