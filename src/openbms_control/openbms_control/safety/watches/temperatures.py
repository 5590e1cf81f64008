"""Cell sensors against each other: spread, jumps, and sensors that stand still while the others move."""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import FloatArray, PackFacts, Reading
from openbms_core.types import PackMeasurement, Validity

__all__ = ["Temperatures"]

_VALID = int(Validity.VALID)
MEAN_S = 2.0
"""A jump counts as its mean over this time."""
RESOLUTIONS = 10.0
"""The others must have moved by this many steps of the resolution before a standing sensor is wrong."""
LEAST_SENSORS = 3
"""Fewer cannot outvote one of them."""


class Temperatures:
    """Every cell sensor from scan to scan.

    Parameters
    ----------
    facts : PackFacts
    """

    def __init__(self, facts: PackFacts) -> None:
        protection = facts.pack.protection
        self._places = np.flatnonzero(facts.cell_sensors)
        self._rate_k_per_s = protection.temperature_rate_max_k_per_s
        self._limit_k = protection.temperature_standstill_max_k or np.inf
        count = len(self._places)
        self._last: FloatArray = np.full(count, np.nan)
        self._followed: FloatArray = np.full(count, np.nan)
        self._jumped: FloatArray = np.zeros(count)
        self._high: FloatArray = np.zeros(count)
        self._low: FloatArray = np.zeros(count)
        self._resolution_k = math.inf
        self._probe = 0

    def forget(self) -> None:
        """Begin anew after a gap."""
        self._last.fill(np.nan)
        self._followed.fill(np.nan)
        self._jumped.fill(0.0)

    def step(self, m: PackMeasurement, step_s: float) -> dict[str, Reading]:
        """Take a scan; gives spread, step and standstill."""
        values = m.temperatures_degc[self._places]
        lost = m.temperature_validity[self._places] != _VALID
        count = np.count_nonzero(lost)
        if count:
            values = np.where(lost, np.nan, values)
        valid = len(values) - count
        step = self._jump(values, step_s) if valid else Reading()
        if valid < LEAST_SENSORS:
            self._last = np.full_like(values, np.nan)
            return {
                "temperature_spread": Reading(),
                "temperature_step": step,
                "temperature_stuck": Reading(present=None),
            }
        median = np.partition(values, valid // 2).item(valid // 2)  # NaN are sorted to the end
        away = np.abs(values - median)
        return {
            "temperature_spread": self._largest(np.nan_to_num(away) if count else away),
            "temperature_step": step,
            "temperature_stuck": self._stuck(values, median),
        }

    def _jump(self, values: FloatArray, step_s: float) -> Reading:
        rest = values - self._followed
        new = np.isnan(rest)
        if np.count_nonzero(new):
            rest[new] = 0.0
            self._followed = np.where(new, values, self._followed)
            self._jumped[new] = 0.0
        most = self._rate_k_per_s * step_s
        self._followed = self._followed + np.maximum(np.minimum(rest, most), -most)
        np.abs(rest, out=rest)
        rest -= self._jumped
        rest *= -math.expm1(-step_s / MEAN_S)
        self._jumped += rest
        return self._largest(self._jumped)

    def _stuck(self, values: FloatArray, median: float) -> Reading:
        changed = values != self._last
        if np.count_nonzero(changed):
            self._learn_resolution(values)
            self._last = values
        np.maximum(self._high, median, out=self._high)
        np.minimum(self._low, median, out=self._low)
        np.copyto(self._high, median, where=changed)
        np.copyto(self._low, median, where=changed)
        worst = self._largest(self._high - self._low)
        if worst.value <= self._limit_k:
            return Reading(worst.value, worst.index, False)
        resolution_k = self._resolution_k if math.isfinite(self._resolution_k) else 0.0
        limit_k = max(self._limit_k, RESOLUTIONS * resolution_k)
        return Reading(worst.value, worst.index, worst.value > limit_k)

    def _learn_resolution(self, values: FloatArray) -> None:
        """Note the smallest step that any sensor made, looking at one in each scan."""
        self._probe = (self._probe + 1) % len(values)
        step = abs(values.item(self._probe) - self._last.item(self._probe))
        if 0.0 < step < self._resolution_k:
            self._resolution_k = step

    def _largest(self, values: FloatArray) -> Reading:
        place = int(values.argmax())
        return Reading(values.item(place), self._places.item(place))
