"""Peaks of the current, held for a moment: what swings through both limits must not escape both.

The driver closes a scan at once when a frame is beyond a limit. A current that swings from far beyond the
discharge limit to far beyond the charge limit and back then makes scans that violate one limit each, in
turns: no interval would have a violation at both of its ends, and neither row's debounce would count. A peak
therefore holds for half a scan period: with scans and a debounce of 100 ms a swing of 5 Hz and more counts
without a break, a slower one lasts longer than the debounce by itself, and a single frame still counts less
than a debounce. A pack that is scanned seldom holds it for half the debounce only, for the same reason: else
a single sample of a fast current would trip the row.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import numpy as np

from openbms_control.safety.readings.facts import (
    Circumstances,
    FloatArray,
    PackFacts,
    Reading,
)
from openbms_control.safety.readings.values import extreme, valid
from openbms_control.safety.watches.watch import Watch
from openbms_core.faults import fault_rows
from openbms_core.types import PackMeasurement

__all__ = ["CurrentPeaks"]

_HELD_SHARE = 0.5


class CurrentPeaks(Watch):
    """Largest charge and discharge current of each string within the last half of a scan period (of the
    debounce, if that is shorter).
    """

    quantities: ClassVar[tuple[str, ...]] = ("charge_current", "discharge_current")

    def __init__(self, facts: PackFacts) -> None:
        super().__init__(facts)
        rows = [row for row in fault_rows(facts.pack) if row.quantity in self.quantities]
        self._hold_s = _HELD_SHARE * min(
            facts.pack.measurement.scan_period_s, *(row.timing.debounce_s for row in rows)
        )
        self._elapsed_s = 0.0
        self._held: deque[tuple[float, FloatArray, FloatArray]] = deque()

    def step(self, m: PackMeasurement, now: Circumstances, step_s: float) -> dict[str, Reading]:
        """Take a scan."""
        self._elapsed_s += step_s
        while self._held and self._held[0][0] < self._elapsed_s - self._hold_s:
            self._held.popleft()
        charging, discharging = self._peaks(m)
        self._held.append((self._elapsed_s, charging, discharging))
        for _, more_charging, more_discharging in self._held:
            charging = np.fmax(charging, more_charging)
            discharging = np.fmax(discharging, more_discharging)
        return {
            "charge_current": Reading(*extreme(charging, 1.0, float("nan"), False)),
            "discharge_current": Reading(*extreme(discharging, 1.0, float("nan"), False)),
        }

    def _peaks(self, m: PackMeasurement) -> tuple[FloatArray, FloatArray]:
        """Give the largest charge and discharge current of each string in this scan [A, magnitudes]."""
        values = self.facts.values(m)
        mean, second = values.currents, values.second_currents
        both = []
        for sign, reached in ((1.0, m.string_current_maximum_a), (-1.0, m.string_current_minimum_a)):
            peaks = valid(reached, m.string_current_validity)
            largest = sign * np.where(np.isnan(peaks), mean, peaks)
            if second is not None:  # of two sensors the worse counts
                largest = np.fmax(largest, sign * second)
            both.append(largest)
        return both[0], both[1]
