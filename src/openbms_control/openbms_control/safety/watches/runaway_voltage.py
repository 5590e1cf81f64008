"""Thermal runaway, seen by cell voltages: one that falls as current and neighbours do not explain.

Every cell is followed against the median of its string (of two cells against the other one). Both have a
level,
their exponential mean over half a minute; what counts is how far the cell fell below its level beyond

    (fall of the median) + |movement of the median|,

so that a cell whose resistance is up to twice that of its neighbours, or nothing of it, never counts,
whatever
flows: the overpotential of a cell and of the median follow the same current through the same dynamics, and
the
level is linear in both. While a cell is fallen its level stands still.

- *fallen*: beyond half of ``runaway_voltage_dip_v``, at once, or by the mean of half a minute against that of
  half an hour. It supports a rising temperature at the same place.
- *dip*: fallen beyond ``runaway_voltage_dip_v``, and recovered: an internal short that burnt free.
- *drop*: fallen by more than a quarter of its level (GB 38031-2025 C.5.3.7 a).
- *lost*: no value any more right after it had fallen beyond ``runaway_voltage_dip_v``.

Not counted: what is gone before every cell has been read anew (front ends are not read at the same moment),
more than three cells at once (a front end, not a cell), a fall that the next cell up or down makes good (a
loose sense wire), and small falls of a cell that is nearly empty or whose bleed has just switched.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.readings.facts import BoolArray, FloatArray, PackFacts
from openbms_core.types import PackMeasurement

__all__ = ["VoltageCourses"]

LEVEL_S, SLOW_S = 30.0, 1800.0
"""Time constants of the levels."""
LEAST_SEEN_S = 0.2
"""A fall shorter than this is not counted, nor one that is seen in a single scan."""
LONGEST_FALL_S = 60.0
"""A fall that stands for so long is the new level."""
LOST_S = 2.0
"""A cell that comes back after more than this begins anew."""
RECOVERED = 0.5
"""Share of the deepest fall from which on a cell has recovered."""
MANY_CELLS, AT_ONCE_S = 3, 1.0
"""More cells than this that begin to fall within that time have a common cause."""
BLEED_QUIET_S = 2.0
"""After a bleed has switched, small falls nearby are not counted for this long."""
REFRESH_FORGOTTEN_S = 10.0
NEARLY_EMPTY = 1.1
"""Below this multiple of the lowest operating voltage a cell falls steeply by itself."""
SUPPORT_S = 600.0
"""A fall supports a rising temperature for this long: the heat of a small short takes minutes."""


class VoltageCourses:
    """The course of every cell voltage, and what it is evidence of.

    Parameters
    ----------
    facts : PackFacts
    hold_s : float
        Time for which evidence counts [s].

    Attributes
    ----------
    evidence_age_s, drop_age_s, fell_age_s : array, shape (cells,)
        Time since a cell last was evidence, dropped by more than a quarter, was fallen; infinite: never. They
        stand still while the cell's voltage is lost.
    dropping, fall_v : array, shape (strings, cells in series)
        Cells that have dropped by more than a quarter and still are down; fall against the median [V].
    """

    def __init__(self, facts: PackFacts, hold_s: float) -> None:
        self._facts = facts
        chosen = facts.pack.protection
        self._shape = (facts.strings, facts.cells_in_series)
        self._judged = facts.cells_mapped and facts.cells_in_series > 1
        self._hold_s = hold_s
        self._dip_v, self._drop_ratio = chosen.runaway_voltage_dip_v, chosen.runaway_voltage_drop_ratio
        self._empty_v = NEARLY_EMPTY * facts.pack.limits.cell_voltage_min_v.operating
        cells = facts.strings * facts.cells_in_series
        self._past_s = np.full((3, cells), np.inf)
        self.evidence_age_s, self.drop_age_s, self.fell_age_s = self._past_s
        # levels of the cells and of what they are compared with
        self._levels_v = np.full((2, *self._shape), np.nan)
        self._slow_v = np.full((2, *self._shape), np.nan)
        self._level_v, self._reference_v = self._levels_v
        self._peak_v, self._fallen_s = np.zeros((2, *self._shape))
        self._fallen, self._counted = np.zeros((2, *self._shape), dtype=np.bool_)
        self.dropping: BoolArray = np.zeros(self._shape, dtype=np.bool_)
        self.fall_v: FloatArray = np.zeros(self._shape)
        self._lost_s = np.zeros(self._shape)
        self._quiet: BoolArray = np.zeros(self._shape, dtype=np.bool_)
        self._bleeds: BoolArray | None = None
        self._quiet_left_s = 0.0
        self._refresh_s = 0.0

    def restart(self) -> None:
        """Forget the courses, not the evidence: what was not seen is not judged."""
        self._levels_v[:] = self._slow_v[:] = np.nan
        self._fallen[:] = self.dropping[:] = False

    def step(self, m: PackMeasurement, step_s: float) -> None:
        """Take a scan.

        Parameters
        ----------
        m : PackMeasurement
        step_s : float
            Time since the scan before [s].
        """
        if not self._judged:
            return
        volts = self._facts.values(m).cells.reshape(self._shape)
        here = np.isfinite(volts)
        complete = np.count_nonzero(here) == here.size
        self._follow_refresh(m.cell_voltage_ages_s, here, step_s)
        self._follow_bleeding(m.cell_balancing, step_s)
        medians = _references(volts)
        moved = self._reference_v - medians
        relative = self._level_v - volts - moved
        beyond = relative - np.abs(moved)
        self._past_s += step_s if complete else step_s * here.ravel()
        self.dropping[:] = False
        self.fall_v = relative
        falls = np.count_nonzero(self._fallen) or np.fmax.reduce(beyond, axis=None) >= 0.5 * self._dip_v
        if falls:
            self._follow_falls(volts, medians, moved, relative, beyond, step_s)
        if not complete:
            self._follow_losses(here, step_s)
        elif np.count_nonzero(self._lost_s):
            self._level_v[self._lost_s > LOST_S] = np.nan
            self._lost_s[:] = 0.0
        new = np.isnan(self._levels_v).any(axis=0) if math.isnan(self._levels_v.sum()) else None
        share = -math.expm1(-step_s / LEVEL_S)
        moves = None if complete and not falls else here & ~(self._fallen | np.isnan(medians))
        for level_v, value in ((self._level_v, volts), (self._reference_v, medians)):
            change_v = share * (value - level_v)
            level_v += change_v if moves is None else np.where(moves, change_v, 0.0)
        if new is not None:
            self._begin(new, volts, medians)
        self._sag(step_s, here)

    def _begin(self, where: BoolArray, volts: FloatArray, medians: FloatArray) -> None:
        """Take the present values as levels."""
        np.copyto(self._level_v, volts, where=where)
        np.copyto(self._reference_v, medians, where=where)
        self._fallen &= ~where

    def _sag(self, step_s: float, here: BoolArray) -> None:
        """Follow the mean of half a minute against that of half an hour."""
        apart = self._slow_v - self._levels_v
        if math.isnan(apart.sum()):
            new = np.isnan(self._slow_v)
            self._slow_v[new] = self._levels_v[new]
            apart = np.nan_to_num(self._slow_v - self._levels_v)
        self._slow_v += math.expm1(-step_s / SLOW_S) * apart
        sags_v = apart[0] - apart[1] - np.abs(apart[1])
        if sags_v.max() >= 0.5 * self._dip_v:
            sags = here & (sags_v >= 0.5 * self._dip_v) & (self._level_v >= self._empty_v)
            _stamp(self.fell_age_s, sags)

    def _follow_refresh(self, ages_s: FloatArray, here: BoolArray, step_s: float) -> None:
        """Follow how long it takes until every cell has been read anew: the age of the oldest value."""
        oldest_s = 0.0
        if len(ages_s) == here.size:
            oldest_s = float(np.fmax.reduce(np.where(here.ravel(), ages_s, 0.0)))
        self._refresh_s = max(oldest_s, self._refresh_s * (1.0 - min(step_s / REFRESH_FORGOTTEN_S, 1.0)))

    def _follow_bleeding(self, balancing: NDArray[np.uint8], step_s: float) -> None:
        """Note where a bleed has switched: it shifts what is measured at its cell and the next ones."""
        self._quiet_left_s = max(0.0, self._quiet_left_s - step_s)
        if balancing.size != self._fallen.size:
            return
        bleeds = balancing.reshape(self._shape) == 1
        if self._bleeds is not None and (switched := bleeds != self._bleeds).any():
            near = switched.copy()
            near[:, 1:] |= switched[:, :-1]
            near[:, :-1] |= switched[:, 1:]
            self._quiet = near | (self._quiet if self._quiet_left_s > 0.0 else False)
            self._quiet_left_s = BLEED_QUIET_S
        self._bleeds = bleeds

    def _follow_falls(
        self,
        volts: FloatArray,
        medians: FloatArray,
        moved: FloatArray,
        relative: FloatArray,
        beyond: FloatArray,
        step_s: float,
    ) -> None:
        # a cell that is at nothing cannot drop
        drop_v = np.maximum(self._drop_ratio * self._level_v, self._dip_v)
        deaf = self._level_v < self._empty_v
        if self._quiet_left_s > 0.0:
            deaf |= self._quiet
        needed = np.where(deaf, drop_v, 0.5 * self._dip_v)
        stands = beyond >= needed
        begins = stands & ~self._fallen
        self._fallen_s = np.where(begins, 0.0, self._fallen_s + step_s)
        self._peak_v = np.where(begins, relative, np.fmax(self._peak_v, relative))
        self._counted &= ~begins
        self._fallen |= begins
        seen = self._fallen & ~begins & (self._fallen_s >= max(LEAST_SEEN_S, 2.0 * self._refresh_s) - 1e-6)
        new = seen & stands & ~self._counted
        if new.any():
            refused = self._common_cause(new, relative)
            self._begin(refused, volts, medians)
            self._counted |= new & ~refused
        counted = self._counted & self._fallen
        _stamp(self.fell_age_s, counted)
        dropped = self.dropping = counted & (beyond >= drop_v)
        _stamp(self.drop_age_s, dropped)
        recovered = self._fallen & (relative <= RECOVERED * self._peak_v)
        recovered &= np.abs(moved) <= 0.5 * RECOVERED * self._peak_v
        _stamp(self.evidence_age_s, dropped | (recovered & counted & (self._peak_v >= self._dip_v)))
        # a flicker that nobody counted ends where it began; a fall that stands becomes the level
        flickered = self._fallen & ~self._counted & ~stands
        self._fallen &= ~(recovered | flickered)
        self._begin(self._fallen & (self._fallen_s > LONGEST_FALL_S), volts, medians)

    def _common_cause(self, new: BoolArray, relative: FloatArray) -> BoolArray:
        """Tell which cells fell together with many others, or whose neighbour rose by what they fell."""
        together = self._fallen & (self._fallen_s <= AT_ONCE_S + max(LEAST_SEEN_S, 2.0 * self._refresh_s))
        if together.sum() > MANY_CELLS:
            return together
        rise = np.nan_to_num(-relative)
        beside = np.zeros_like(rise)
        beside[:, 1:] = rise[:, :-1]
        beside[:, :-1] = np.maximum(beside[:, :-1], rise[:, 1:])
        return np.asarray(new & (beside >= RECOVERED * relative))

    def _follow_losses(self, here: BoolArray, step_s: float) -> None:
        gone = ~here & (self._lost_s == 0.0)
        burnt = gone & self._fallen & self._counted & (self._peak_v >= self._dip_v)
        _stamp(self.evidence_age_s, burnt)
        back = here & (self._lost_s > LOST_S)
        self._level_v[back] = np.nan
        self._fallen &= here
        self._lost_s = np.where(here, 0.0, self._lost_s + max(step_s, 1e-9))

    @property
    def falling(self) -> BoolArray:
        """Cells whose level stands still, since they have fallen; shape (strings, cells in series)."""
        return self._fallen

    def active(self) -> BoolArray:
        """Tell which cells are evidence within the time that it counts."""
        return self.evidence_age_s <= self._hold_s

    def dropped(self) -> BoolArray:
        """Tell which cells met criterion a) within the time that evidence counts."""
        return self.drop_age_s <= self._hold_s

    def fell(self) -> BoolArray:
        """Tell which cells have fallen lately enough to support a temperature."""
        return self.fell_age_s <= SUPPORT_S


def _stamp(ages_s: FloatArray, where: BoolArray) -> None:
    ages_s[where.ravel()] = 0.0


def _references(volts: FloatArray) -> FloatArray:
    """Give what each cell is compared with: the median of its string; NaN where fewer than two are there."""
    if volts.shape[1] == 2:
        return volts[:, ::-1]
    ordered = np.sort(volts, axis=1)
    count = volts.shape[1]
    if not np.isnan(ordered[:, -1]).any():
        return np.asarray(0.5 * (ordered[:, (count - 1) // 2, None] + ordered[:, count // 2, None]))
    present = np.isfinite(volts).sum(axis=1, keepdims=True)
    low, high = np.maximum(present - 1, 0) // 2, np.minimum(present // 2, count - 1)
    middle = 0.5 * (np.take_along_axis(ordered, low, axis=1) + np.take_along_axis(ordered, high, axis=1))
    return np.asarray(np.where(present >= 2, middle, np.nan))
