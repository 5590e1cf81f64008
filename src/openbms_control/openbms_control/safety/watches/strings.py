"""The cells of every string as the watches see them: voltages, the string's median, and how far to trust it.

Cells of one scan are not sampled at the same moment, and a device may send only some of them in each scan.
Under a step of the current neighbours then differ although nothing is wrong. So every watch that compares a
cell with its string takes off the *doubt*: what the median has just moved, and in a scan that brought only
some of the cells also how far these stand from the rest together.
"""

from __future__ import annotations

import numpy as np

from openbms_control.safety.readings.facts import BoolArray, FloatArray, PackFacts
from openbms_core.types import PackMeasurement, Validity

__all__ = ["LEAST_CELLS", "Strings"]

_VALID = int(Validity.VALID)
_DOUBT_KEEPS = 0.6
"""A cell may be sampled a scan before or after the others: what the median moved counts on, less each
scan."""
LEAST_CELLS = 3
"""A string of fewer valid cells has no median that could outvote one of them."""


class Strings:
    """The cells of the newest scan, one row a string; kept from scan to scan.

    Parameters
    ----------
    facts : PackFacts

    Attributes
    ----------
    volts : array, shape (strings, cells)
        NaN where a cell is lost.
    lost : array of bool, shape (strings, cells), or None
        Cells without valid value; None: no cell.
    seen : array of bool, shape (strings, cells), or None
        Cells that came with this scan; None: all that are not lost.
    whole : bool
        All cells that are not lost came with this scan, and they are the same as in the scan before.
    median : array, shape (strings,)
        NaN where too few cells are valid.
    doubt : array, shape (strings,)
        How far a cell may stand from the median for its moment of sampling alone [V].
    step_s : float
        Time since the scan before [s].
    """

    def __init__(self, facts: PackFacts) -> None:
        self._shape = (facts.strings, facts.cells_in_series)
        self._middle = facts.cells_in_series // 2
        self._rows = np.arange(facts.strings)
        self.volts: FloatArray = np.full(self._shape, np.nan)
        self.lost: BoolArray | None = None
        self.seen: BoolArray | None = None
        self.whole = False
        self.median: FloatArray = np.full(facts.strings, np.nan)
        self.doubt: FloatArray = np.zeros(facts.strings)
        self.step_s = 0.0
        self._moved = np.zeros(facts.strings)
        self._was_lost: bytes = b""

    def take(self, m: PackMeasurement, step_s: float) -> None:
        """Take a scan."""
        before = self.median
        self.step_s = step_s
        volts = m.cell_voltages_v.reshape(self._shape)
        self.lost = self._lost_of(m)
        lost = b"" if self.lost is None else self.lost.tobytes()
        same, self._was_lost = lost == self._was_lost, lost
        self.seen = self._seen_of(m)
        if self.lost is None and self._shape[1] >= LEAST_CELLS:
            self.volts = volts
            self.median = np.partition(volts, self._middle, axis=1)[:, self._middle]
        else:
            self.volts = volts if self.lost is None else np.where(self.lost, np.nan, volts)
            self.median = self._median_of_valid()
        self.whole = same and self.seen is None
        self._moved = np.fmax(np.abs(self.median - before), _DOUBT_KEEPS * self._moved)
        self.doubt = self._moved
        if self.seen is not None:
            away = np.where(self.seen, self.volts - self.median[:, None], 0.0).sum(axis=1)
            self.doubt = self._moved + np.abs(away) / np.maximum(self.seen.sum(axis=1), 1)

    def forget(self) -> None:
        """Begin anew: what the median did during a gap is not known."""
        self._moved = np.zeros_like(self._moved)
        self.median = np.full_like(self.median, np.nan)

    def _lost_of(self, m: PackMeasurement) -> BoolArray | None:
        invalid = m.cell_voltage_validity != _VALID
        return invalid.reshape(self._shape) if np.count_nonzero(invalid) else None

    def _seen_of(self, m: PackMeasurement) -> BoolArray | None:
        ages = m.cell_voltage_ages_s
        if len(ages) != len(m.cell_voltages_v):
            return None  # a driver that sends no ages
        seen = ages <= m.scan_duration_s * (1.0 + 1e-6)
        if self.lost is not None:
            missing = ~(seen | self.lost.ravel())
            return seen.reshape(self._shape) & ~self.lost if np.count_nonzero(missing) else None
        return None if np.count_nonzero(seen) == len(seen) else seen.reshape(self._shape)

    def _median_of_valid(self) -> FloatArray:
        valid = np.isfinite(self.volts).sum(axis=1)
        median = np.sort(self.volts, axis=1)[self._rows, valid // 2]
        return np.where(valid >= LEAST_CELLS, median, np.nan)
