"""A crash is held after its signal has gone, also over a restart."""

from __future__ import annotations

__all__ = ["CrashLatch"]


class CrashLatch:
    """Holds a crash until it has gone and the key was switched off and on again.

    A crash sensor says it for some milliseconds, or its line is cut right after. What it said must not be
    forgotten because nobody was looking: contactors stay open until a person acts at the vehicle.

    Parameters
    ----------
    latched : bool
        What was kept from before the start.

    Attributes
    ----------
    latched : bool
    """

    def __init__(self, *, latched: bool = False) -> None:
        self.latched = latched
        self._key_was_off = False

    def step(self, crash: int | None, ignition: int | None) -> bool:
        """Take what the vehicle says now (None: unknown); gives whether ``latched`` changed."""
        before = self.latched
        if crash == 1:
            self.latched, self._key_was_off = True, False
        elif self.latched and crash == 0:
            if ignition == 0:
                self._key_was_off = True
            elif ignition == 1 and self._key_was_off:
                self.latched, self._key_was_off = False, False
        return self.latched != before
