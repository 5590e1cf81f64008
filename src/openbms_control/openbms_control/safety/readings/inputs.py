"""Readings of what the pack reports beside cells: insulation, interlock, emergency stop, smoke, gas, plug."""

from __future__ import annotations

from openbms_control.safety.readings.facts import Circumstances, PackFacts, Reading, ScanReading
from openbms_core.types import UNKNOWN, PackMeasurement, State, Validity

__all__ = ["INPUT_READINGS"]


def _insulation(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    """Give the insulation resistance per volt of the highest string [ohm/V]."""
    return Reading(facts.values(m).insulation_ohm_per_v)


def _switch(name: str, alarm: int) -> ScanReading:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        state = getattr(m, name)
        return Reading(present=None if state == UNKNOWN else state == alarm)

    return read


def _scalar(name: str, validity: str) -> ScanReading:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        return Reading(getattr(m, name)) if getattr(m, validity) == Validity.VALID else Reading()

    return read


def _plugged_in_drive(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=m.charging_plug == 1 and now.state == State.DRIVE)


INPUT_READINGS: dict[str, ScanReading] = {
    "insulation": _insulation,
    "interlock_open": _switch("interlock", 0),
    "emergency_stop": _switch("emergency_stop", 1),
    "smoke": _switch("smoke", 1),
    "gas": _switch("gas", 1),
    "plugged_in_drive": _plugged_in_drive,
    "pressure": _scalar("pressure_pa", "pressure_validity"),
    "supply_voltage": _scalar("supply_voltage_v", "supply_voltage_validity"),
}
