"""Readings of the limit triples: the worst cell voltage, string current and temperature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from openbms_control.safety.readings.facts import (
    BoolArray,
    Circumstances,
    FloatArray,
    PackFacts,
    Reading,
    ScanReading,
    cell_extreme,
    currents,
    extreme,
    temperature_extreme,
    valid,
)
from openbms_core.types import PackMeasurement

__all__ = ["LIMIT_READINGS"]


def _voltage(sign: float) -> ScanReading:
    return lambda m, facts, now: Reading(*cell_extreme(m, sign))


def _peak(sign: float) -> ScanReading:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        reached = m.string_current_maximum_a if sign > 0 else m.string_current_minimum_a
        peaks = valid(reached, m.string_current_validity)
        values = sign * np.where(np.isfinite(peaks), peaks, currents(m))
        return Reading(*extreme(values, 1.0, float("nan"), False))

    return read


def _temperature(sign: float, applies: Callable[[FloatArray, float], BoolArray]) -> ScanReading:
    """Read the worst temperature of the strings whose present current makes the limit apply."""

    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        # a pack that measures no current may always be at rest, where heat is dangerous as well
        flows = currents(m) if facts.currents_mapped else np.zeros(facts.strings)
        strings = applies(flows, facts.deadband_a) & np.isfinite(flows)
        if strings.any():
            value, index = temperature_extreme(m, facts, sign, strings)
            return Reading(value, index, True)
        value, index = temperature_extreme(m, facts, sign)
        return Reading(value, index, None if np.isnan(flows).any() else False)

    return read


LIMIT_READINGS: dict[str, ScanReading] = {
    "cell_voltage_maximum": _voltage(+1.0),
    "cell_voltage_minimum": _voltage(-1.0),
    "charge_current": _peak(+1.0),
    "discharge_current": _peak(-1.0),
    "charge_temperature_maximum": _temperature(+1.0, lambda i, band: i > band),
    "charge_temperature_minimum": _temperature(-1.0, lambda i, band: i > band),
    # heat needs no current to be dangerous: at rest the discharge limit holds (as in foxBMS); cold at rest
    # is harmless
    "discharge_temperature_maximum": _temperature(+1.0, lambda i, band: i <= band),
    "discharge_temperature_minimum": _temperature(-1.0, lambda i, band: i < -band),
}
