"""Two measurements of one thing: sum of cells and string sensor, second sensors, the device's extremes."""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import FloatArray, PackFacts, Reading
from openbms_control.safety.readings.values import valid
from openbms_control.safety.watches.strings import Strings
from openbms_core.types import PackMeasurement, Validity

__all__ = ["Agreement"]

MEAN_S = 1.0
"""String voltages are compared as a mean over this time."""
_DOUBT_KEEPS = 0.6


class Agreement:
    """Disagreement of two measurements, less what different moments of sampling explain.

    Parameters
    ----------
    facts : PackFacts
    """

    def __init__(self, facts: PackFacts) -> None:
        pack = facts.pack
        self._facts = facts
        self._oldest_s = max(facts.oldest_cell_s, pack.measurement.scan_period_s)
        self._strings = pack.mapped("string_voltage_v")
        self._second_cells = pack.mapped("redundant_cell_voltage_v")
        self._second_currents = pack.mapped("redundant_string_current_a")
        self._sum_v: FloatArray = np.full(facts.strings, np.nan)
        self._sensor_v: FloatArray = np.full(facts.strings, np.nan)
        self._doubt_v: FloatArray = np.zeros(facts.strings)
        self._difference_v: FloatArray = np.zeros(facts.strings)
        self._low_a: FloatArray = np.full(facts.strings, np.nan)
        self._high_a: FloatArray = np.full(facts.strings, np.nan)
        self._reported_v = (math.nan, math.nan)
        self._reported_doubt_v = 0.0

    def forget(self) -> None:
        """Begin anew after a gap."""
        self._doubt_v.fill(0.0)
        self._difference_v.fill(0.0)
        for array in (self._sum_v, self._sensor_v, self._low_a, self._high_a):
            array.fill(np.nan)
        self._reported_v, self._reported_doubt_v = (math.nan, math.nan), 0.0

    def step(self, strings: Strings, m: PackMeasurement) -> dict[str, Reading]:
        """Take a scan; gives one reading for each kind of second measurement."""
        nothing = Reading()
        return {
            "string_voltage_difference": self._string_voltage(strings, m) if self._strings else nothing,
            "redundant_cell_voltage_difference": self._cells(strings, m) if self._second_cells else nothing,
            "redundant_current_difference": self._currents(m) if self._second_currents else nothing,
            "reported_cell_voltage_difference": self._reported_cells(strings, m),
            "reported_temperature_difference": self._reported_temperatures(m),
        }

    def _string_voltage(self, strings: Strings, m: PackMeasurement) -> Reading:
        total = strings.volts.sum(axis=1)  # NaN where a cell is lost
        sensor = self._facts.values(m).string_voltages
        moved = np.maximum(np.abs(total - self._sum_v), np.abs(sensor - self._sensor_v))
        if strings.seen is None:  # fmax: what is not known has not moved
            self._doubt_v = np.fmax(moved, _DOUBT_KEEPS * self._doubt_v)
        else:  # cells may be as old as the pack file allows, and the sensor has moved on all the time
            keeps = math.exp(-strings.step_s / self._oldest_s)
            self._doubt_v = keeps * self._doubt_v + np.nan_to_num(moved)
        self._sum_v, self._sensor_v = total, sensor
        apart = total - sensor
        sure = np.copysign(np.maximum(np.abs(apart) - self._doubt_v, 0.0), apart)
        known = np.isfinite(apart)
        rate = -math.expm1(-strings.step_s / MEAN_S)
        self._difference_v = np.where(known, self._difference_v + rate * (sure - self._difference_v), 0.0)
        if not np.count_nonzero(known):
            return Reading()
        size = np.abs(self._difference_v)
        string = int(size.argmax())
        return Reading(size.item(string), string)

    def _cells(self, strings: Strings, m: PackMeasurement) -> Reading:
        if m.redundant_cell_voltages_v.size != strings.volts.size:
            return Reading()
        second = valid(m.redundant_cell_voltages_v, m.redundant_cell_voltage_validity)
        apart = np.abs(strings.volts - second.reshape(strings.volts.shape)) - strings.doubt[:, None]
        return _largest(apart)

    def _currents(self, m: PackMeasurement) -> Reading:
        mean = self._facts.values(m).currents
        low = np.fmin(m.string_current_minimum_a, mean)
        high = np.fmax(m.string_current_maximum_a, mean)
        if m.redundant_string_currents_a.size != mean.size:
            return Reading()
        second = valid(m.redundant_string_currents_a, m.redundant_string_current_validity)
        # the second sensor may have sampled anywhere in this scan or the one before
        below, above = np.fmin(low, self._low_a) - second, second - np.fmax(high, self._high_a)
        self._low_a, self._high_a = low, high
        apart = np.maximum(np.maximum(below, above), 0.0)
        return _largest(np.where(np.isnan(mean), np.nan, apart))

    def _reported_cells(self, strings: Strings, m: PackMeasurement) -> Reading:
        low, high = m.reported_cell_voltage_minimum_v, m.reported_cell_voltage_maximum_v
        if m.reported_cell_voltage_validity != Validity.VALID or strings.lost is not None:
            return Reading()
        moved = np.nanmax([abs(low - self._reported_v[0]), abs(high - self._reported_v[1]), 0.0])
        keeps = math.exp(-strings.step_s / self._oldest_s)
        self._reported_doubt_v = keeps * self._reported_doubt_v + float(moved)
        self._reported_v = (low, high)
        apart = _apart(low, float(strings.volts.min()), high, float(strings.volts.max()))
        return Reading(max(apart - self._reported_doubt_v - float(np.nanmax(strings.doubt)), 0.0))

    def _reported_temperatures(self, m: PackMeasurement) -> Reading:
        if m.reported_temperature_validity != Validity.VALID:
            return Reading()
        cells = self._facts.cell_sensors
        if not cells.any() or (m.temperature_validity[cells] != Validity.VALID).any():
            return Reading()
        values = m.temperatures_degc[cells]
        low, high = m.reported_temperature_minimum_degc, m.reported_temperature_maximum_degc
        return Reading(_apart(low, float(values.min()), high, float(values.max())))


def _apart(low: float, own_low: float, high: float, own_high: float) -> float:
    """Give the larger distance of both extremes; a device may report only one of them."""
    found = [abs(a - b) for a, b in ((low, own_low), (high, own_high)) if math.isfinite(a)]
    return max(found, default=math.nan)


def _largest(values: FloatArray) -> Reading:
    flat = values.ravel()
    unknown = np.isnan(flat)
    count = np.count_nonzero(unknown)
    if count:
        if count == len(flat):
            return Reading()
        flat = np.where(unknown, -np.inf, flat)
    index = int(flat.argmax())
    return Reading(max(flat.item(index), 0.0), index)
