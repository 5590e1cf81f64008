"""A cell against its string: spread, values that jump away, and the mirrored pair of an open wire."""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import FloatArray, PackFacts, Reading
from openbms_control.safety.watches.strings import Strings
from openbms_core.types import PackMeasurement, Validity

__all__ = ["Departure"]

MEAN_S = 2.0
"""A jump counts as its mean over this time: a single spoilt scan does not, many within a second do."""
SETTLING_S = 30.0
"""What the string's median has moved within this time is load, and is answered by each cell's resistance."""
RESISTANCE_SHARE = 0.5
"""A cell's resistance may differ by this part from the median's: so far it departs under load."""
MIRRORED_WITHIN = 0.25
"""Both sides of an open wire depart by the same amount, to this part of it."""
MIRRORED_WITHIN_V = 0.02
_MOST_CELLS_OF_WIRES = 4
"""More cells of a string that are not available at once are a front end, not broken wires."""


class Departure:
    """How far each cell is from the median of its string, and how it came there.

    Parameters
    ----------
    facts : PackFacts
    """

    def __init__(self, facts: PackFacts) -> None:
        protection, limits = facts.pack.protection, facts.pack.limits
        shape = (facts.strings, facts.cells_in_series)
        self._rate_v_per_s = protection.cell_voltage_rate_max_v_per_s
        self._spread_v = protection.cell_voltage_spread_max_v
        self._lowest_v = limits.cell_voltage_min_v.operating
        self._highest_v = limits.cell_voltage_max_v.operating
        self._away: FloatArray = np.zeros(shape)
        self._followed: FloatArray = np.full(shape, np.nan)
        self._jumped: FloatArray = np.zeros(shape)
        self._waited_s: FloatArray = np.zeros(shape)
        self._settled_v: FloatArray = np.full(facts.strings, np.nan)
        self._new = True

    def forget(self) -> None:
        """Begin anew after a gap."""
        self._away.fill(0.0)
        self._followed.fill(np.nan)
        self._jumped.fill(0.0)
        self._waited_s.fill(0.0)
        self._settled_v.fill(np.nan)
        self._new = True

    def step(self, strings: Strings, m: PackMeasurement) -> dict[str, Reading]:
        """Take a scan; gives spread, step and open wire."""
        median, dt_s = strings.median, strings.step_s
        unknown = np.isnan(median)
        holes = np.count_nonzero(unknown)
        if holes == len(median):
            return {
                "cell_voltage_spread": Reading(),
                "cell_voltage_step": Reading(),
                "cell_open_wire": self._not_available(strings, m) or Reading(present=None),
            }
        moved = median - self._settled_v
        self._settled_v = self._settled_v + moved * -math.expm1(-dt_s / SETTLING_S)
        if holes or self._new:
            self._settled_v = np.where(np.isnan(self._settled_v), median, self._settled_v)
            moved = median - self._settled_v
        doubt = strings.doubt[:, None]
        away = strings.volts - median[:, None]
        if strings.seen is None and strings.lost is None:
            self._away = away
        else:
            away = self._partly(strings, away, doubt)
        load = RESISTANCE_SHARE * np.abs(moved)[:, None]
        self._follow(strings, away, doubt + load)
        return {
            "cell_voltage_spread": self._spread(median),
            "cell_voltage_step": _largest(self._jumped),
            "cell_open_wire": self._not_available(strings, m) or self._mirrored(),
        }

    def _partly(self, strings: Strings, away: FloatArray, doubt: FloatArray) -> FloatArray:
        """Keep how far the cells are that did not come with this scan; a lost one is nowhere."""
        if strings.seen is None:
            self._away = np.nan_to_num(away)
        else:
            sure = np.nan_to_num(away - np.clip(away, -doubt, doubt))
            self._away = np.where(strings.seen, sure, self._away)
        if strings.lost is not None:
            self._away[strings.lost] = 0.0
            self._followed[strings.lost] = np.nan
            self._jumped[strings.lost] = 0.0
        return away

    def _follow(self, strings: Strings, away: FloatArray, slack: FloatArray) -> None:
        """Let the followed distance go after the real one, as fast as a cell can; the rest is a jump."""
        if self._new:
            unknown = np.isnan(self._followed)
            self._followed[unknown] = away[unknown]
        self._new = strings.lost is not None
        seen = strings.seen
        if seen is None:
            elapsed_s: float | FloatArray = strings.step_s
            share: float | FloatArray = -math.expm1(-strings.step_s / MEAN_S)
        else:  # those that come now tell of all the time since they came last
            self._waited_s += strings.step_s
            elapsed_s = self._waited_s.copy()
            share = -np.expm1(-elapsed_s / MEAN_S)
            self._waited_s[seen] = 0.0
        rest = away - self._followed
        most = self._rate_v_per_s * elapsed_s
        followed = self._followed + np.maximum(np.minimum(rest, most), -most)
        over = np.abs(rest)
        over -= slack
        np.maximum(over, 0.0, out=over)
        over -= self._jumped
        over *= share
        over += self._jumped
        if seen is None and strings.lost is None:
            self._followed, self._jumped = followed, over
            return
        known = np.isfinite(away) if seen is None else seen & np.isfinite(away)
        self._followed = np.where(known, followed, self._followed)
        self._jumped = np.where(known, over, self._jumped)

    def _spread(self, median: FloatArray) -> Reading:
        # beyond the operating limits the curve is steep and every pack spreads; there the limits watch
        within = (median >= self._lowest_v) & (median <= self._highest_v)
        if np.count_nonzero(within) == len(within):
            return _largest(np.abs(self._away))
        worst = _largest(np.where(within[:, None], np.abs(self._away), 0.0))
        return worst if within.any() else Reading(worst.value, worst.index, False)

    def _mirrored(self) -> Reading:
        low, high = self._away[:, :-1], self._away[:, 1:]
        product = low * high
        if not product.size or product.item(int(product.argmin())) >= -(self._spread_v**2):
            return Reading(present=False)
        least, most = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
        pair = (product < 0.0) & (least > self._spread_v)
        pair &= most - least <= MIRRORED_WITHIN * most + MIRRORED_WITHIN_V
        if not pair.any():
            return Reading(present=False)
        string, cell = np.unravel_index(int(np.argmax(np.where(pair, least, 0.0))), pair.shape)
        return Reading(float(least[string, cell]), int(string) * self._away.shape[1] + int(cell))

    @staticmethod
    def _not_available(strings: Strings, m: PackMeasurement) -> Reading | None:
        """Give the first cell whose wire the device itself calls open."""
        if strings.lost is None:
            return None
        said = (m.cell_voltage_validity == Validity.NOT_AVAILABLE).reshape(strings.lost.shape)
        count = said.sum(axis=1)
        broken = (count > 0) & (count <= min(_MOST_CELLS_OF_WIRES, said.shape[1] - 1))
        if not broken.any():
            return None
        return Reading(index=int(np.argmax(said & broken[:, None])))


def _largest(values: FloatArray) -> Reading:
    index = int(values.argmax())
    return Reading(values.item(index), index)
