"""Integration of one string's current over every frame that comes."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["CurrentSummary", "CurrentWindow"]


class CurrentSummary(NamedTuple):
    """One string's current over one scan; positive charges."""

    mean_a: float
    minimum_a: float
    maximum_a: float
    charge_ah: float
    samples: int
    gap: bool
    """A gap longer than the maximum age lay in this scan: the charge is not complete."""


_NOTHING = CurrentSummary(math.nan, math.nan, math.nan, math.nan, 0, False)


class CurrentWindow:
    """Collects the current frames of a scan.

    Between two frames the current is taken as a straight line (trapezoid). From the last frame to the end of
    the scan it is held; what was held is settled when the next frame comes, so the increments of all scans
    add up to the trapezoid over all frames, and a sensor slower than the scan gives no zeros in between.

    Parameters
    ----------
    max_age_s : float
        A gap longer than this is not integrated [s, monotonic].
    """

    def __init__(self, max_age_s: float) -> None:
        self.max_age_s = max_age_s
        self._last_a = math.nan
        self._last_s = 0.0
        self._last_monotonic_s = -math.inf
        self._held_as = 0.0
        self._clear()

    def _clear(self) -> None:
        self._charge_as = 0.0
        self._sum_a = 0.0
        self._minimum_a = math.inf
        self._maximum_a = -math.inf
        self._samples = 0
        self._gap = False

    def add(self, current_a: float, time_s: float, monotonic_s: float) -> None:
        """Take one valid current frame.

        Parameters
        ----------
        current_a : float
            Its current [A].
        time_s : float
            Its time on the clock by which charge is integrated [s].
        monotonic_s : float
            Its time of reception, monotonic [s].
        """
        if self._last_monotonic_s > -math.inf:
            step_s = time_s - self._last_s
            if monotonic_s - self._last_monotonic_s > self.max_age_s or step_s < 0:
                self._gap = True
            else:
                self._charge_as += 0.5 * (self._last_a + current_a) * step_s - self._held_as
        self._held_as = 0.0
        self._last_a, self._last_s, self._last_monotonic_s = current_a, time_s, monotonic_s
        self._sum_a += current_a
        self._samples += 1
        if current_a < self._minimum_a:
            self._minimum_a = current_a
        if current_a > self._maximum_a:
            self._maximum_a = current_a

    def close(self, time_s: float, monotonic_s: float) -> CurrentSummary:
        """End the scan and begin the next.

        Parameters
        ----------
        time_s, monotonic_s : float
            End of the scan on both clocks [s].

        Returns
        -------
        CurrentSummary
            NaN where no frame came within the maximum age.
        """
        if self._last_monotonic_s == -math.inf:
            return _NOTHING
        if monotonic_s - self._last_monotonic_s <= self.max_age_s and time_s > self._last_s:
            held_as = self._last_a * (time_s - self._last_s)
            self._charge_as += held_as - self._held_as
            self._held_as = held_as
        count = self._samples
        mean_a = self._sum_a / count if count else self._last_a
        summary = CurrentSummary(
            mean_a=mean_a,
            # the mean of equal samples may round to just outside of them
            minimum_a=min(self._minimum_a, mean_a),
            maximum_a=max(self._maximum_a, mean_a),
            charge_ah=self._charge_as / 3600.0,
            samples=count,
            gap=self._gap,
        )
        self._clear()
        return summary
