"""A string whose own contactors fail is taken out, as long as other strings carry on without it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.contactor_bank import NAMES, ContactorBank, Sensed
from openbms_control.safety.joining import LeftOut
from openbms_core.faults import fault_rows
from openbms_core.pack import PackFile

__all__ = ["Isolation"]


class Isolation:
    """Watch the contactors of each string that should be closed.

    Only a string that carries no current is taken out: one whose feedback says open while current flows has a
    broken auxiliary contact, and nobody knows what is closed. Then, and where no other string is left, the
    fault table opens the whole pack.

    Parameters
    ----------
    pack : PackFile
    bank : ContactorBank
    isolated : iterable of int
        Strings that are out from before, until somebody clears STRING_ISOLATED.

    Attributes
    ----------
    isolated : dict of int to LeftOut
    covers : array of bool, shape (strings,)
        Strings whose failing contactors concern nobody else.
    """

    def __init__(self, pack: PackFile, bank: ContactorBank, isolated: Iterable[int]) -> None:
        self._bank = bank
        self._quiet_a = pack.contactors.break_current_a
        names = ("CONTACTOR_FAILED_TO_CLOSE", "CONTACTOR_FEEDBACK_MISMATCH")
        # with the pack's own times, where it monitors them (without feedback nothing ever fails)
        times = [row.timing.debounce_s for row in fault_rows(pack) if row.name in names]
        self._debounce_s = max(times, default=0.0)
        before = "one of its contactors failed before this start; clear STRING_ISOLATED"
        self.isolated = {string: LeftOut("isolated", before) for string in isolated}
        self.covers: NDArray[np.bool_] = np.zeros(bank.strings, dtype=np.bool_)
        self._since_s: dict[int, float] = {}

    def step(self, sensed: Sensed, t_s: float, spare: NDArray[np.bool_]) -> list[int]:
        """Take out what has failed for long enough.

        Parameters
        ----------
        sensed : Sensed
        t_s : float
            Monotonic time [s].
        spare : array of bool, shape (strings,)
            Strings without which others carry on.

        Returns
        -------
        list of int
            Strings that were taken out now.
        """
        failing = self._bank.failing(sensed)
        quiet = np.abs(sensed.string_currents_a) < self._quiet_a
        self.covers = np.asarray(failing.any(axis=1) & spare & quiet)
        self._since_s = {int(s): self._since_s.get(int(s), t_s) for s in np.flatnonzero(self.covers)}
        out = [string for string, since_s in self._since_s.items() if t_s - since_s >= self._debounce_s]
        for string in out:
            which = ", ".join(name for name, bad in zip(NAMES, failing[string], strict=True) if bad)
            self.isolated[string] = LeftOut("isolated", f"its {which} contactor does not stay closed")
            self._bank.open_string(string, t_s)
        return out

    def rest(self) -> None:
        """Cover nothing: no string is needed now, or none is spare."""
        self.covers[:] = False
        self._since_s.clear()
