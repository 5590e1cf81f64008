"""Readings of actuators against what they are told, of the coolant, and of the dies of the front ends."""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import (
    Circumstances,
    PackFacts,
    Reading,
    ScanReading,
)
from openbms_core.types import UNKNOWN, PackMeasurement, Validity

__all__ = ["ACTUATOR_READINGS"]

_VALID = int(Validity.VALID)
LEAST_PUMP_DUTY = 0.3
"""Below it the flow of a pump is not in proportion to its duty."""


def _feedback(m: PackMeasurement, facts: PackFacts, name: str, sign: float) -> tuple[float, int]:
    """Give the highest (+1) or lowest (-1) feedback of an actuator (there may be several) and its place."""
    worst, place = math.nan, -1
    for index in facts.actuators[name]:
        if m.actuator_feedback_validity.item(index) == _VALID:
            value = m.actuator_feedback.item(index)
            if not sign * value <= sign * worst:
                worst, place = value, index
    return worst, place


def _heater_excess(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    value, place = _feedback(m, facts, "heater", 1.0)
    return Reading(value - now.heater_wanted, place)


def _heater_excess_hot(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    """Read the hottest cell while the heater runs untold."""
    value, _ = _feedback(m, facts, "heater", 1.0)
    if math.isnan(value):
        return Reading(present=None)
    if not value - now.heater_wanted > facts.pack.protection.actuator_deviation_max:
        return Reading(present=False)
    return Reading(*facts.values(m).hottest)


def _lack(name: str) -> ScanReading:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        value, place = _feedback(m, facts, name, -1.0)
        wanted: float = getattr(now, f"{name}_wanted")
        return Reading(wanted - value, place)

    return read


def _bleed_excess(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    bled = m.cell_balancing == 1
    if not bled.any():
        return Reading(present=None if (m.cell_balancing == UNKNOWN).all() else False)
    wanted = now.balancing_wanted
    if wanted is not None and wanted.shape == bled.shape:
        bled &= ~wanted
    return Reading(index=int(np.argmax(bled))) if bled.any() else Reading(present=False)


def _coolant_flow(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    """Read the flow that the pump would make at full duty [m³/s]."""
    duty = now.pump_wanted
    if facts.actuators["pump"]:  # a pump that does not run is told by its own row
        duty = min(duty, _feedback(m, facts, "pump", -1.0)[0])
    if m.coolant_flow_validity != _VALID:
        return Reading()
    if not duty >= LEAST_PUMP_DUTY:
        return Reading(m.coolant_flow_m3_per_s, present=False)
    return Reading(m.coolant_flow_m3_per_s / duty)


def _die_temperature(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    dies = facts.die_sensors
    values = m.temperatures_degc[dies]
    lost = m.temperature_validity[dies] != _VALID
    if lost.any():
        if lost.all():
            return Reading()
        values = np.where(lost, -np.inf, values)
    place = int(values.argmax())
    return Reading(values.item(place), dies.item(place))


ACTUATOR_READINGS: dict[str, ScanReading] = {
    "heater_excess": _heater_excess,
    "heater_excess_hot": _heater_excess_hot,
    "pump_lack": _lack("pump"),
    "fan_lack": _lack("fan"),
    "bleed_excess": _bleed_excess,
    "coolant_flow": _coolant_flow,
    "afe_temperature_maximum": _die_temperature,
}
