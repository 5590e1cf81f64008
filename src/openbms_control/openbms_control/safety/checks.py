"""Judge every row of the fault table on one scan: worst value, where, and whether the condition holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.readings import CLOCK_READINGS, SCAN_READINGS, Circumstances, PackFacts, Reading
from openbms_control.safety.watches import WATCHES
from openbms_core.faults import FaultRow, limit_value
from openbms_core.pack import PackFile
from openbms_core.types import PackMeasurement

__all__ = ["Checks", "Findings"]


@dataclass(frozen=True)
class Findings:
    """What was found, one entry per row of the table; all arrays have shape (rows,).

    Attributes
    ----------
    value : array
        Worst value in the row's unit; NaN where there is none.
    index : array of int
        Worst cell, sensor or string; -1 for the whole pack.
    condition : array of bool
        The condition holds; meaningful only where ``known``.
    known : array of bool
        The row could be judged in this call.
    """

    value: NDArray[np.float64]
    index: NDArray[np.int32]
    condition: NDArray[np.bool_]
    known: NDArray[np.bool_]


class Checks:
    """The comparisons of the fault table for one pack.

    Parameters
    ----------
    pack : PackFile
    rows : sequence of FaultRow
        The rows that the pack monitors.

    Attributes
    ----------
    facts : PackFacts
    limit : array, shape (rows,)
        Number that each row compares with; NaN where there is none.
    """

    def __init__(self, pack: PackFile, rows: Sequence[FaultRow]) -> None:
        self.facts = PackFacts(pack)
        self._rows = tuple(rows)
        self.limit = np.array([limit_value(row, pack) for row in rows])
        self.by_clock = np.array([row.by_clock for row in rows])
        self._at_start = np.array([row.at_start for row in rows])
        self._above = np.array([row.comparison == "above" for row in rows])
        self._below = np.array([row.comparison == "below" for row in rows])
        # the three levels of a quantity share one reading
        self._quantities = tuple(dict.fromkeys(row.quantity for row in rows))
        self._of_row = np.array([self._quantities.index(row.quantity) for row in rows])
        wanted = set(self._quantities)
        self._watches = [kind(self.facts) for kind in WATCHES if wanted & set(kind.quantities)]

    def evaluate(self, m: PackMeasurement | None, now: Circumstances, step_s: float = 0.0) -> Findings:
        """Judge every row.

        Parameters
        ----------
        m : PackMeasurement or None
            The scan that has just arrived; None: only the clock went on, and only rows that follow it are
            judged.
        now : Circumstances
        step_s : float
            Time since the scan before [s], for what is judged over several scans.

        Returns
        -------
        Findings
        """
        watched: dict[str, Reading] = {}
        if m is not None:
            for watch in self._watches:
                watched |= watch.step(m, now, step_s)
        readings = [
            watched[quantity] if quantity in watched else self._read(quantity, m, now)
            for quantity in self._quantities
        ]
        value = np.array([reading.value for reading in readings])[self._of_row]
        index = np.array([reading.index for reading in readings], dtype=np.int32)[self._of_row]
        present = np.array([bool(reading.present) for reading in readings])[self._of_row]
        known = np.array([reading.present is not None for reading in readings])[self._of_row]
        compared = self._above | self._below
        beyond = np.where(self._above, value > self.limit, value < self.limit)
        # a comparison that does not apply is known not to hold, even without a value
        known &= ~(compared & present & np.isnan(value))
        known &= self._at_start | now.started
        return Findings(value, index, present & (beyond | ~compared), known)

    def _read(self, quantity: str, m: PackMeasurement | None, now: Circumstances) -> Reading:
        if quantity in CLOCK_READINGS:
            return CLOCK_READINGS[quantity](now)
        if m is None:
            return Reading(present=None)
        return SCAN_READINGS[quantity](m, self.facts, now)
