"""The valid values of one scan, each worked out once however many rows ask for it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import PackMeasurement, Validity

if TYPE_CHECKING:
    from openbms_control.safety.readings.facts import PackFacts

__all__ = ["BoolArray", "FloatArray", "ScanValues", "cell_extreme", "extreme", "valid"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_VALID = int(Validity.VALID)


def valid(values: FloatArray, validity: NDArray[np.uint8]) -> FloatArray:
    """Give the values with NaN wherever they are not valid (the array itself where all are)."""
    if not np.count_nonzero(validity):  # all VALID, which is 0: nearly always, and much quicker
        return values
    return np.where(validity == _VALID, values, np.nan)


def extreme(values: FloatArray, sign: float, reported: float, is_reported: bool) -> tuple[float, int]:
    """Give the largest (sign +1) or smallest (-1) value with its index; the device's own extreme counts as
    well.
    """
    value, index = float("nan"), -1
    if values.size:
        # NaN is found first by both, so that one look tells whether there is any
        index = int(values.argmax() if sign > 0 else values.argmin())
        value = values.item(index)
        if value != value:
            ordered = np.where(np.isnan(values), -np.inf, sign * values)
            index = int(ordered.argmax())
            value, index = (values.item(index), index) if ordered[index] > -np.inf else (float("nan"), -1)
    if is_reported and np.isfinite(reported) and not sign * reported <= sign * value:
        value, index = float(reported), -1
    return value, index


def cell_extreme(m: PackMeasurement, sign: float) -> tuple[float, int]:
    """Give the highest (+1) or lowest (-1) cell voltage [V] and its cell; of two measurements of a cell the
    worse counts.
    """
    reported = m.reported_cell_voltage_maximum_v if sign > 0 else m.reported_cell_voltage_minimum_v
    cells = valid(m.cell_voltages_v, m.cell_voltage_validity)
    if m.redundant_cell_voltages_v.size == cells.size:
        second = valid(m.redundant_cell_voltages_v, m.redundant_cell_voltage_validity)
        cells = np.fmax(cells, second) if sign > 0 else np.fmin(cells, second)
    return extreme(cells, sign, reported, m.reported_cell_voltage_validity == _VALID)


class ScanValues:
    """What is valid in one scan of a pack. The scan must not be changed while this is in use.

    Parameters
    ----------
    m : PackMeasurement
    facts : PackFacts

    Attributes
    ----------
    scan : PackMeasurement
    cells : array, shape (cells,)
        [V], NaN where not valid; so are the following.
    temperatures : array, shape (sensors,)
        [°C], of the sensors at cells; NaN at the others.
    string_voltages : array, shape (strings,)
        [V].
    currents : array, shape (strings,)
        Mean current of each string [A].
    second_currents : array, shape (strings,), or None
        What the second sensors say [A]; None where none is fitted.
    """

    def __init__(self, m: PackMeasurement, facts: PackFacts) -> None:
        self.scan = m
        self._facts = facts
        self.cells = valid(m.cell_voltages_v, m.cell_voltage_validity)
        temperatures = valid(m.temperatures_degc, m.temperature_validity)
        self.temperatures = np.where(facts.cell_sensors, temperatures, np.nan)
        self.string_voltages = valid(m.string_voltages_v, m.string_voltage_validity)
        self.currents = valid(m.string_currents_a, m.string_current_validity)
        self.second_currents: FloatArray | None = None
        if m.redundant_string_currents_a.size == m.string_currents_a.size:
            self.second_currents = valid(m.redundant_string_currents_a, m.redundant_string_current_validity)

    @cached_property
    def lost_cells(self) -> BoolArray | None:
        """Which cells have no valid voltage, shape (cells,); None: none of them."""
        known = np.isfinite(self.cells)
        return ~known if np.count_nonzero(known) < known.size else None

    @cached_property
    def currents_known(self) -> bool:
        """The current of every string is known."""
        return bool(np.isfinite(self.currents).all())

    @cached_property
    def cell_sums(self) -> FloatArray:
        """Sum of the cells of each string [V], NaN where one is lost; shape (strings,)."""
        return np.asarray(self.cells.reshape(self._facts.strings, -1).sum(axis=1))

    @cached_property
    def highest_cell(self) -> tuple[float, int]:
        """Highest cell voltage [V] and its cell."""
        return cell_extreme(self.scan, 1.0)

    @cached_property
    def lowest_cell(self) -> tuple[float, int]:
        """Lowest cell voltage [V] and its cell."""
        return cell_extreme(self.scan, -1.0)

    @cached_property
    def hottest(self) -> tuple[float, int]:
        """Highest cell temperature [°C] and its sensor."""
        return self.temperature_extreme(1.0)

    @cached_property
    def coldest(self) -> tuple[float, int]:
        """Lowest cell temperature [°C] and its sensor."""
        return self.temperature_extreme(-1.0)

    def temperature_extreme(self, sign: float, of: BoolArray | None = None) -> tuple[float, int]:
        """Give the highest (+1) or lowest (-1) cell temperature [°C] and its sensor, of those strings
        (default: all).
        """
        m, values = self.scan, self.temperatures
        if of is not None:
            values = np.where((self._facts.sensor_strings & of).any(axis=1), values, np.nan)
        reported = m.reported_temperature_maximum_degc if sign > 0 else m.reported_temperature_minimum_degc
        return extreme(values, sign, reported, m.reported_temperature_validity == _VALID)

    @cached_property
    def largest_current(self) -> float:
        """Largest magnitude in any string within the scan [A], by either sensor; NaN if a string's current
        is unknown.
        """
        if not self.currents_known:
            return float("nan")
        m = self.scan
        peaks = [
            valid(x, m.string_current_validity)
            for x in (m.string_current_minimum_a, m.string_current_maximum_a)
        ]
        if self.second_currents is not None:
            peaks.append(self.second_currents)
        return float(np.fmax.reduce(np.abs([self.currents, *peaks]), axis=None))

    @cached_property
    def insulation_ohm_per_v(self) -> float:
        """Insulation resistance per volt of the highest string [ohm/V]; NaN if it is not known."""
        m, facts = self.scan, self._facts
        if m.insulation_resistance_validity != _VALID:
            return float("nan")
        highest = float(np.fmax.reduce(self.string_voltages))
        if not np.isfinite(highest):
            # without a string voltage the highest possible one, which is the strictest
            highest = facts.cells_in_series * facts.pack.limits.cell_voltage_max_v.safety
        return float(m.insulation_resistance_ohm / max(highest, 1.0))
