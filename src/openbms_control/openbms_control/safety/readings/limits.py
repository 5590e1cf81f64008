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
    second_currents,
    temperature_extreme,
)
from openbms_core.types import PackMeasurement

__all__ = ["LIMIT_READINGS"]


def _voltage(sign: float) -> ScanReading:
    return lambda m, facts, now: Reading(*cell_extreme(m, sign))


def _temperature(sign: float, applies: Callable[[FloatArray, float], BoolArray]) -> ScanReading:
    """Read the worst temperature of the strings whose present current makes the limit apply."""

    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        # a pack that measures no current may always be at rest, where heat is dangerous as well
        flows = currents(m) if facts.currents_mapped else np.zeros(facts.strings)
        strings = applies(flows, facts.deadband_a) & np.isfinite(flows)
        second = second_currents(m)
        if second is not None:  # the limit applies where either sensor says so
            strings |= applies(second, facts.deadband_a)
        if strings.any():
            value, index = temperature_extreme(m, facts, sign, strings)
            return Reading(value, index, True)
        value, index = temperature_extreme(m, facts, sign)
        return Reading(value, index, None if np.isnan(flows).any() else False)

    return read


LIMIT_READINGS: dict[str, ScanReading] = {
    "cell_voltage_maximum": _voltage(+1.0),
    "cell_voltage_minimum": _voltage(-1.0),
    "charge_temperature_maximum": _temperature(+1.0, lambda i, band: i > band),
    "charge_temperature_minimum": _temperature(-1.0, lambda i, band: i > band),
    # heat needs no current to be dangerous: at rest the discharge limit holds (as in foxBMS); cold at rest
    # is harmless
    "discharge_temperature_maximum": _temperature(+1.0, lambda i, band: i <= band),
    "discharge_temperature_minimum": _temperature(-1.0, lambda i, band: i < -band),
}
