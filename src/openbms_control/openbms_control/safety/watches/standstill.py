"""Values that stand still to the bit while what belongs to them moves: frozen cells, frozen current."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.readings.facts import BoolArray, FloatArray, PackFacts, Reading
from openbms_control.safety.watches.strings import Strings
from openbms_core.types import PackMeasurement

__all__ = ["CellStandstill", "CurrentStandstill"]

CELL_WINDOW_S = 10.0
"""Only what the median moves within this time counts: slowly, a cell on a flat part of its curve may stand
while the others climb the end of theirs."""
CURRENT_WINDOW_S = 60.0
"""Likewise for the current: up and down within it, not from one day to the next."""
RESOLUTIONS = 10.0
"""A cell must have moved by this many steps of its resolution, before a standing value is wrong."""
SINGLE_CELL_TIMES = 10.0
"""One cell may stand this many times longer than all of them together (LFP, coarse resolution)."""


def _settle_s(facts: PackFacts) -> float:
    """Give how much later than others a cell may answer to a change of the current: as old as it may be."""
    return facts.oldest_cell_s + facts.pack.measurement.scan_period_s


class CellStandstill:
    """Cells that stand still to the bit.

    Two signs, either is enough: the median of the string swings (each cell would by about as much, since the
    same current flows through all), or much charge flows.

    Parameters
    ----------
    facts : PackFacts
    """

    def __init__(self, facts: PackFacts) -> None:
        self._facts = facts
        shape = (facts.strings, facts.cells_in_series)
        protection = facts.pack.protection
        self._limit_v = protection.cell_voltage_standstill_max_v or np.inf
        self._charge_ah = protection.standstill_charge_ah or np.inf
        self._deadband_a = facts.deadband_a
        self._settle_s = _settle_s(facts)
        self._window_s = max(CELL_WINDOW_S, 4.0 * self._settle_s)
        self._last: FloatArray = np.full(shape, np.nan)
        self._high: FloatArray = np.zeros(shape)
        self._low: FloatArray = np.zeros(shape)
        self._stood_ah: FloatArray = np.zeros(shape)
        self._stood_s: FloatArray = np.zeros(shape)
        self._beyond_s: FloatArray = np.zeros(shape)
        self._stuck: BoolArray = np.zeros(shape, dtype=np.bool_)
        self._any = self._any_beyond = False
        self._elapsed_s = 0.0
        self._resolution_v = np.inf
        self._probe = 0

    def forget(self) -> None:
        """Begin anew after a gap."""
        self._last.fill(np.nan)
        self._beyond_s.fill(0.0)
        self._stuck.fill(False)
        self._any = self._any_beyond = False

    def step(self, strings: Strings, m: PackMeasurement) -> Reading:
        """Take a scan; gives the worst standing cell."""
        volts, median = strings.volts, strings.median[:, None]
        changed = volts != self._last  # also where it was or is not there
        bleeding = m.cell_balancing == 1
        if np.count_nonzero(bleeding):  # it may be held where it is by its resistor
            changed |= bleeding.reshape(changed.shape)
        self._learn_resolution(volts)
        if strings.seen is not None:
            changed &= strings.seen | np.isnan(volts)
            np.copyto(self._last, volts, where=changed)
        else:
            self._last = volts
        self._count_charge(strings, m, changed)
        self._follow(strings, median, changed)
        if self._any:
            self._stuck &= ~changed
        self._find(strings.step_s)
        if not self._any:
            return Reading(present=False)
        swing = np.where(self._stuck, self._high - self._low, -1.0)
        index = int(swing.argmax())
        return Reading(swing.item(index), index)

    def _learn_resolution(self, volts: FloatArray) -> None:
        """Note the smallest step that any cell made, looking at one in each scan."""
        self._probe = (self._probe + 1) % volts.size
        step = abs(volts.item(self._probe) - self._last.item(self._probe))
        if 0.0 < step < self._resolution_v:
            self._resolution_v = step

    def _count_charge(self, strings: Strings, m: PackMeasurement, changed: BoolArray) -> None:
        flows = self._facts.values(m).currents
        flows = np.where(np.abs(flows) > self._deadband_a, flows, 0.0)  # NaN: unknown, nothing is counted
        self._stood_ah += (flows * (strings.step_s / 3600.0))[:, None]
        np.copyto(self._stood_ah, 0.0, where=changed)

    def _follow(self, strings: Strings, median: FloatArray, changed: BoolArray) -> None:
        """Note between which values the median was since each cell moved and its neighbours followed."""
        self._stood_s += strings.step_s
        np.copyto(self._stood_s, 0.0, where=changed)
        self._elapsed_s += strings.step_s
        if self._elapsed_s >= self._window_s or not strings.whole:
            # with only some of the cells, or others than before, the median moves for that alone
            self._elapsed_s = 0.0
            self._high[:] = self._low[:] = median
            return
        np.maximum(self._high, median, out=self._high)
        np.minimum(self._low, median, out=self._low)
        young = self._stood_s <= self._settle_s
        np.copyto(self._high, median, where=young)
        np.copyto(self._low, median, where=young)

    def _find(self, step_s: float) -> None:
        swing = self._high - self._low
        if swing.item(int(swing.argmax())) > self._limit_v:
            resolution_v = self._resolution_v if np.isfinite(self._resolution_v) else 0.0
            beyond = swing > max(self._limit_v, RESOLUTIONS * resolution_v)
            self._beyond_s = np.where(beyond, self._beyond_s + step_s, 0.0)
            self._stuck |= self._beyond_s > self._settle_s  # a cell may follow as late as it may be old
            self._any_beyond = True
        elif self._any_beyond:
            self._beyond_s.fill(0.0)
            self._any_beyond = False
        stood = np.abs(self._stood_ah)
        if stood.item(int(stood.argmax())) > self._charge_ah:
            self._stuck |= stood > SINGLE_CELL_TIMES * self._charge_ah
            self._stuck |= np.logical_and.reduce(stood > self._charge_ah, axis=1, keepdims=True)
        self._any = bool(np.count_nonzero(self._stuck))


class CurrentStandstill:
    """A string's current that stands still to the bit while its cells go up and down together.

    Both directions are asked for, since voltages go on in one direction for long after the current has
    ended.

    Parameters
    ----------
    facts : PackFacts
    """

    def __init__(self, facts: PackFacts) -> None:
        self._facts = facts
        self._limit_v = facts.pack.protection.cell_voltage_standstill_max_v or np.inf
        self._settle_s = _settle_s(facts)
        count = facts.strings
        self._last: FloatArray = np.full((3, count), np.nan)
        self._stood_s: FloatArray = np.zeros(count)
        self._window_s: FloatArray = np.zeros(count)
        self._high, self._low = np.zeros(count), np.zeros(count)
        self._up, self._down = np.zeros(count), np.zeros(count)
        self._bled: NDArray[np.uint8] = np.zeros(0, np.uint8)

    def forget(self) -> None:
        """Begin anew after a gap."""
        self._last.fill(np.nan)

    def step(self, strings: Strings, m: PackMeasurement) -> Reading:
        """Take a scan; gives the smaller of both swings where the current stands."""
        mean, extremes = (
            self._facts.values(m).currents,
            (m.string_current_minimum_a, m.string_current_maximum_a),
        )
        now = np.array([mean, *extremes])
        unknown = np.isnan(now)
        if np.count_nonzero(unknown):  # no extremes: the mean serves
            now = np.where(unknown, mean, now)
        same: BoolArray = now == self._last
        stands = same.all(axis=0)
        self._last = now
        if not np.count_nonzero(stands):
            self._stood_s.fill(0.0)
            return Reading(present=False)
        begins = self._stood_s == 0.0  # what the cells did before is of a current that moved
        self._stood_s = np.where(stands, self._stood_s + strings.step_s, 0.0)
        self._window_s += strings.step_s
        same_bleed = np.array_equal(self._bled, m.cell_balancing)  # bleed resistors move all cells as well
        self._bled = m.cell_balancing
        over = self._window_s > CURRENT_WINDOW_S
        anew = begins | (self._stood_s <= self._settle_s) | over | np.isnan(strings.median)
        if not same_bleed or not strings.whole:
            anew.fill(True)
        self._window_s[anew] = 0.0
        self._high = np.where(anew, strings.median, np.maximum(self._high, strings.median))
        self._low = np.where(anew, strings.median, np.minimum(self._low, strings.median))
        self._up = np.where(anew, 0.0, np.maximum(self._up, strings.median - self._low))
        self._down = np.where(anew, 0.0, np.maximum(self._down, self._high - strings.median))
        swing = np.minimum(self._up, self._down)
        string = int(swing.argmax())
        value = swing.item(string)
        return Reading(value, string, value > self._limit_v)
