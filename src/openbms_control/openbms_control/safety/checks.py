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

_NOT_KNOWN = Reading(present=None)


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
        self._compared = self._above | self._below
        # the three levels of a quantity share one reading
        self._quantities = tuple(dict.fromkeys(row.quantity for row in rows))
        self._watches = [kind(self.facts) for kind in WATCHES if set(self._quantities) & set(kind.quantities)]
        # where the reading of each quantity stands, by what it is read from
        self._place = {quantity: place for place, quantity in enumerate(self._quantities)}
        self._of_row = np.array([self._place[row.quantity] for row in rows])
        watched = {quantity for watch in self._watches for quantity in watch.quantities}
        self._by_clock = [(p, CLOCK_READINGS[q]) for q, p in self._place.items() if q in CLOCK_READINGS]
        self._by_scan = [
            (place, SCAN_READINGS[quantity])
            for quantity, place in self._place.items()
            if quantity not in watched and quantity not in CLOCK_READINGS
        ]

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
        readings = [_NOT_KNOWN] * len(self._quantities)
        for place, by_clock in self._by_clock:
            readings[place] = by_clock(now)
        if m is not None:
            for place, by_scan in self._by_scan:
                readings[place] = by_scan(m, self.facts, now)
            for watch in self._watches:
                for quantity, reading in watch.step(m, now, step_s).items():
                    if quantity in self._place:
                        readings[self._place[quantity]] = reading
        values, indices, presence = zip(*readings, strict=True)
        value = np.array(values)[self._of_row]
        index = np.array(indices, dtype=np.int32)[self._of_row]
        judged = np.array(presence, dtype=np.float64)[self._of_row]  # 0, 1, and NaN where it cannot be
        present = judged == 1.0
        beyond = np.where(self._above, value > self.limit, value < self.limit)
        # a comparison that does not apply is known not to hold, even without a value
        known = ~(np.isnan(judged) | (self._compared & present & np.isnan(value)))
        if not now.started:
            known &= self._at_start
        return Findings(value, index, present & (beyond | ~self._compared), known)
