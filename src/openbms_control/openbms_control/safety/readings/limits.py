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
)
from openbms_core.types import PackMeasurement

__all__ = ["LIMIT_READINGS"]


def _highest_cell(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(*facts.values(m).highest_cell)


def _lowest_cell(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(*facts.values(m).lowest_cell)


def _temperature(sign: float, applies: Callable[[FloatArray, float], BoolArray]) -> ScanReading:
    """Read the worst temperature of the strings whose present current makes the limit apply."""

    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        # a pack that measures no current may always be at rest, where heat is dangerous as well
        values = facts.values(m)
        flows = values.currents if facts.currents_mapped else np.zeros(facts.strings)
        strings = applies(flows, facts.deadband_a)  # not where it is unknown
        if values.second_currents is not None:  # the limit applies where either sensor says so
            strings |= applies(values.second_currents, facts.deadband_a)
        count = np.count_nonzero(strings)
        if count and count < len(strings):
            return Reading(*values.temperature_extreme(sign, strings), True)
        worst = values.hottest if sign > 0 else values.coldest
        if count:
            return Reading(*worst, True)
        return Reading(*worst, None if np.isnan(flows).any() else False)

    return read


LIMIT_READINGS: dict[str, ScanReading] = {
    "cell_voltage_maximum": _highest_cell,
    "cell_voltage_minimum": _lowest_cell,
    "charge_temperature_maximum": _temperature(+1.0, lambda i, band: i > band),
    "charge_temperature_minimum": _temperature(-1.0, lambda i, band: i > band),
    # heat needs no current to be dangerous: at rest the discharge limit holds (as in foxBMS); cold at rest
    # is harmless
    "discharge_temperature_maximum": _temperature(+1.0, lambda i, band: i <= band),
    "discharge_temperature_minimum": _temperature(-1.0, lambda i, band: i < -band),
}
