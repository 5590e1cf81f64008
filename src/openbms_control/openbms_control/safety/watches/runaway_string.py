"""Does the pack's own voltage sensor agree that a cell has dropped? It is another measuring chain than the
cell's.

While no cell drops, the difference of the string's voltage and the sum of its cells has a mean and a
scatter. When
a cell drops by more than a quarter and the difference stays where it was, the voltage is really gone; where
the
cell's own measurement is wrong, the difference grows by the drop.
"""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import BoolArray, FloatArray, PackFacts
from openbms_control.safety.watches.runaway_voltage import VoltageCourses
from openbms_core.types import PackMeasurement

__all__ = ["StringAgreement"]

LEVEL_S = 10.0
"""Time constant of mean and variance of the difference."""
SETTLED_S = 10.0
"""They count after this time without a drop."""
SKIPPED_S, AGREED_S = 0.3, 0.8
"""Of a drop the beginning is left out, since the two are not read at the same moment; then it must agree
until this time."""
ALLOWED = 0.3
"""Of the drop, for the mean and for three standard deviations of the difference."""


class StringAgreement:
    """Drops of a cell that the string's voltage confirms.

    Parameters
    ----------
    facts : PackFacts
    hold_s : float
        Time for which evidence counts [s].

    Attributes
    ----------
    evidence_age_s : array, shape (strings,)
        Time since the string's voltage last agreed to a drop; infinite: never.
    """

    def __init__(self, facts: PackFacts, hold_s: float) -> None:
        self._measured = facts.cells_mapped and facts.pack.mapped("string_voltage_v")
        self._facts, self._hold_s = facts, hold_s
        self.evidence_age_s = np.full(facts.strings, np.inf)
        self._mean_v, self._variance, self._calm_s, self._drop_s, self._sum_v, self._scans = np.zeros(
            (6, facts.strings)
        )

    def restart(self) -> None:
        """Forget the course, not the evidence."""
        self._calm_s[:] = self._drop_s[:] = 0.0

    def step(self, m: PackMeasurement, voltages: VoltageCourses, step_s: float) -> None:
        """Take a scan, after the cells' voltages have.

        Parameters
        ----------
        m : PackMeasurement
        voltages : VoltageCourses
        step_s : float
            Time since the scan before [s].
        """
        if not self._measured:
            return
        self.evidence_age_s += step_s
        values = self._facts.values(m)
        apart = values.string_voltages - values.cell_sums
        known = np.isfinite(apart)
        drops = voltages.dropping.any(axis=1)
        if drops.any():
            self._compare(np.where(known, apart, self._mean_v), drops & known, voltages, step_s)
        # a fall is noticed before it is called a drop: what came just before a drop must not shift the level
        calm = known & ~voltages.falling.any(axis=1)
        share = 1.0 - math.exp(-step_s / LEVEL_S)
        first = calm & (self._calm_s == 0.0)
        offset = np.where(calm & ~first, apart - self._mean_v, 0.0)
        self._mean_v = np.where(first, apart, self._mean_v + share * offset)
        self._variance = np.where(first, 0.0, self._variance + share * calm * (offset**2 - self._variance))
        self._calm_s = np.where(calm, self._calm_s + max(step_s, 1e-9), self._calm_s)
        self._drop_s[~drops] = 0.0

    def _compare(self, apart: FloatArray, drops: BoolArray, voltages: VoltageCourses, step_s: float) -> None:
        fall_v = np.where(voltages.dropping, voltages.fall_v, 0.0).sum(axis=1)
        begins = drops & (self._drop_s == 0.0)
        self._sum_v[begins] = self._scans[begins] = 0.0
        self._drop_s += drops * max(step_s, 1e-9)
        taken = drops & (self._drop_s > SKIPPED_S)
        self._sum_v += np.where(taken, apart, 0.0)
        self._scans += taken
        shift_v = np.abs(self._sum_v / np.maximum(self._scans, 1.0) - self._mean_v)
        agrees = taken & (self._drop_s >= AGREED_S) & (self._calm_s >= SETTLED_S)
        agrees &= (shift_v <= ALLOWED * fall_v) & (3.0 * np.sqrt(self._variance) <= ALLOWED * fall_v)
        self.evidence_age_s[agrees] = 0.0

    def active(self) -> bool:
        """Tell whether a string's voltage has agreed within the time that evidence counts."""
        return bool((self.evidence_age_s <= self._hold_s).any())
