"""Readings of what is not measured any more."""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import (
    BoolArray,
    Circumstances,
    FloatArray,
    PackFacts,
    Reading,
    ScanReading,
)
from openbms_core.types import UNKNOWN, BusState, PackMeasurement, Validity

__all__ = ["MISSING_READINGS"]


_NOT_MISSING = Reading(present=False)


def _missing(bad: BoolArray, ages: FloatArray | None = None) -> Reading:
    if not bad.any():
        return _NOT_MISSING
    if ages is None or len(ages) != len(bad):
        return Reading(index=int(np.argmax(bad)))
    # never received counts as the oldest
    index = int(np.argmax(np.where(bad, np.nan_to_num(ages, nan=np.inf), -np.inf)))
    return Reading(float(ages[index]), index)


def _cell_voltage_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    if facts.cell_extremes_mapped and m.reported_cell_voltage_validity != Validity.VALID:
        return Reading()
    bad = facts.values(m).lost_cells
    if bad is None:
        return _NOT_MISSING
    if facts.cell_extremes_mapped:
        bad = bad & (m.cell_voltage_validity != Validity.NOT_FITTED)
    return _missing(bad, m.cell_voltage_ages_s)


def _temperature_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    bad = ~np.isfinite(facts.values(m).temperatures) & facts.cell_sensors
    if facts.temperature_extremes_mapped:
        if m.reported_temperature_validity != Validity.VALID:
            return Reading()
        bad &= m.temperature_validity != Validity.NOT_FITTED
    return _missing(bad, m.temperature_ages_s)


def _current_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    values = facts.values(m)
    if values.currents_known:
        return _NOT_MISSING
    return _missing(~np.isfinite(values.currents))


def _safety_input_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=any(getattr(m, name) == UNKNOWN for name in facts.inputs))


def _feedback_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return _missing(facts.feedback_mapped & (m.contactor_feedback == UNKNOWN))


def _insulation_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=not math.isfinite(facts.values(m).insulation_ohm_per_v))


def _scalar_missing(validity: str) -> ScanReading:
    return lambda m, facts, now: Reading(present=getattr(m, validity) != Validity.VALID)


def _array_missing(validity: str) -> ScanReading:
    """Read whether a member that is fitted has no valid value."""

    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        states = getattr(m, validity)
        if not states.any():  # all valid
            return _NOT_MISSING
        bad = (states != Validity.VALID) & (states != Validity.NOT_FITTED)
        return Reading(index=int(np.argmax(bad))) if bad.any() else _NOT_MISSING

    return read


def _die_temperature_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    states = m.temperature_validity[facts.die_sensors]
    if not states.any():  # all valid
        return _NOT_MISSING
    bad = (states != Validity.VALID) & (states != Validity.NOT_FITTED)
    return Reading(index=int(facts.die_sensors[np.argmax(bad)])) if bad.any() else _NOT_MISSING


def _balancing_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    unknown = (m.cell_balancing == UNKNOWN) & facts.balancing_mapped
    return Reading(index=int(np.argmax(unknown))) if unknown.any() else _NOT_MISSING


def _bus_lost(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=m.bus_state != BusState.OK)


MISSING_READINGS: dict[str, ScanReading] = {
    "cell_voltage_missing": _cell_voltage_missing,
    "temperature_missing": _temperature_missing,
    "current_missing": _current_missing,
    "safety_input_missing": _safety_input_missing,
    "contactor_feedback_missing": _feedback_missing,
    "insulation_missing": _insulation_missing,
    "link_voltage_missing": _scalar_missing("link_voltage_validity"),
    "string_voltage_missing": _array_missing("string_voltage_validity"),
    "redundant_cell_voltage_missing": _array_missing("redundant_cell_voltage_validity"),
    "redundant_current_missing": _array_missing("redundant_string_current_validity"),
    "balancing_feedback_missing": _balancing_missing,
    "afe_temperature_missing": _die_temperature_missing,
    "pressure_missing": _scalar_missing("pressure_validity"),
    "supply_voltage_missing": _scalar_missing("supply_voltage_validity"),
    "coolant_flow_missing": _scalar_missing("coolant_flow_validity"),
    "actuator_feedback_missing": _array_missing("actuator_feedback_validity"),
    "bus_lost": _bus_lost,
}
