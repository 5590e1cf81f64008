"""Sections of a cell file for power limits and energy, from the same laboratory tests as the circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_core.cell import CellFile, DepletionTable, PulseTables, ThermalProperties
from openbms_core.models.ecm import CellModel
from openbms_estimation.sop.depletion import FullDischarge, cooling_k_per_w, depletion_table
from openbms_estimation.sop.pulse_error import Pulse, pulse_tables, pulses_of

__all__ = ["SectionTest", "full_discharge", "with_test_sections"]

FloatArray = NDArray[np.float64]

_FLOWS_C, _STEADY, _LEAST_SPAN = 0.02, 0.08, 0.5
_SAME_PLACE_K = 4.0


@dataclass(frozen=True)
class SectionTest:
    """One laboratory test; arrays (n,), current positive when charging.

    Attributes
    ----------
    time_s, voltage_v, current_a, temperature_degc : ndarray
    soc : ndarray
        From the tester's charge counter.
    """

    time_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    temperature_degc: FloatArray
    soc: FloatArray


def full_discharge(test: SectionTest, capacity_ah: float) -> FullDischarge | None:
    """Give the discharge of a test, if it is one with a constant current over most of the charge."""
    flows = np.flatnonzero(test.current_a < -_FLOWS_C * capacity_ah)
    if len(flows) < 10:
        return None
    begin, end = int(flows[0]), int(np.argmin(test.soc))
    if end <= begin:
        return None
    rows = slice(begin, end + 1)
    t, i = test.time_s[rows], test.current_a[rows]
    duration = np.diff(t, prepend=t[0])
    span = float(test.soc[begin] - test.soc[end])
    seconds = float(t[-1] - t[0])
    if span < _LEAST_SPAN or seconds <= 0.0:
        return None
    mean = float(np.sum(i * duration) / seconds)
    if np.sum(duration * np.abs(i - mean)) / seconds > _STEADY * abs(mean):
        return None
    return FullDischarge(
        temperature_degc=float(test.temperature_degc[begin]),
        soc_begin=float(test.soc[begin]),
        soc_end=float(test.soc[end]),
        mean_power_w=float(-np.sum(test.voltage_v[rows] * i * duration) / seconds),
        rate_c=-mean / capacity_ah,
        voltage_end_v=float(test.voltage_v[rows].min()),
        temperature_end_degc=float(test.temperature_degc[end]),
    )


def with_test_sections(cell: CellFile, tests: Sequence[SectionTest]) -> CellFile:
    """Give the cell file with what the tests say of large currents, of the end of discharge, of cooling.

    Parameters
    ----------
    cell : CellFile
        With the fitted circuit.
    tests : sequence of SectionTest
        Any; those that say nothing of it are passed over.

    Returns
    -------
    CellFile
        With ``pulses``, ``depletion`` and, where the file had none, ``thermal.surface_to_coolant_k_per_w``
        as far as the tests tell them.
    """
    model = CellModel.from_file(cell)
    changes: dict[str, Any] = {}
    places: dict[float, list[Pulse]] = {}
    discharges = []
    for test in tests:
        found = full_discharge(test, cell.capacity_ah)
        if found is not None:
            discharges.append(found)
            continue
        pulses = pulses_of(
            model, test.time_s, test.voltage_v, test.current_a, test.temperature_degc, test.soc
        )
        if pulses:
            degc = round(float(np.median(test.temperature_degc)), 1)
            near = [place for place in places if abs(place - degc) < _SAME_PLACE_K]
            places.setdefault(near[0] if near else degc, []).extend(pulses)
    tables = pulse_tables(places) if places else None
    if tables is not None:
        changes["pulses"] = PulseTables(**tables)
    thermal = cell.thermal
    if thermal is not None and thermal.surface_to_coolant_k_per_w is None:
        cooling = cooling_k_per_w(model, discharges)
        if cooling is not None:
            values = {**thermal.model_dump(), "surface_to_coolant_k_per_w": round(cooling, 2)}
            thermal = changes["thermal"] = ThermalProperties(**values)
    table = depletion_table(model, discharges, thermal)
    if table is not None:
        changes["depletion"] = DepletionTable(**table)
    return cell.model_copy(update=changes)
