"""The ignition: DRIVE ends when it is switched off."""

from __future__ import annotations

from openbms_core.pack import PackFile
from openbms_core.types import PackMeasurement

__all__ = ["KeySwitch"]


class KeySwitch:
    """Tell whether the ignition has been off for long enough.

    One that is not mapped is never off; one whose state is unknown is not off either: a broken wire must not
    stop a vehicle that drives (DRIVE is refused by it, though).

    Parameters
    ----------
    pack : PackFile

    Attributes
    ----------
    off : bool
    """

    def __init__(self, pack: PackFile) -> None:
        self._mapped = pack.mapped("ignition")
        self._debounce_s = pack.contactors.key_off_debounce_s
        self._since_s: float | None = None
        self.off = False

    def step(self, scan: PackMeasurement | None, t_s: float) -> None:
        """Take the last fresh scan (None: there is none)."""
        if not self._mapped or scan is None or scan.ignition != 0:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = t_s
        self.off = self._since_s is not None and t_s - self._since_s >= self._debounce_s
