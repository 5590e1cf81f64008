"""What injections make of the values of sensors."""

from __future__ import annotations

import fnmatch
import math

import numpy as np
from numpy.typing import NDArray

from openbms_sim.faults import Injections, sensors

__all__ = [
    "spoil_coolant_flow",
    "spoil_current",
    "spoil_modules",
    "spoil_temperatures",
    "spoil_voltage",
    "spoil_voltages",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int_]

CONVERTER_V = 5.0
"""A cell's converter clips here, and at 0 V."""


def spoil_voltages(
    voltages: FloatArray, module_of: IntArray, injections: Injections, rng: np.random.Generator
) -> FloatArray:
    """Give the cell voltages [V] as wrong as they are read, shape (cells,)."""
    for item in injections.of(sensors.OfCell):
        cell, true = item.cell, float(voltages[item.cell])
        if isinstance(item, sensors.CellVoltageOffset):
            voltages[cell] = true + item.offset_v
        elif isinstance(item, sensors.CellVoltageGain):
            voltages[cell] = true * item.gain
        elif isinstance(item, sensors.CellVoltageNoise):
            voltages[cell] = true + item.sigma_v * rng.standard_normal()
        elif isinstance(item, sensors.CellVoltageDrift):
            voltages[cell] = true + item.rate_v_per_s * injections.since_s(item)
        elif isinstance(item, sensors.CellVoltageStuck):
            held = injections.hold(item, cell, true)
            voltages[cell] = held if item.value_v is None else item.value_v
        elif isinstance(item, sensors.CellOpenWire):
            _open_wire(voltages, item, module_of, injections.since_s(item))
    return voltages


def _open_wire(voltages: FloatArray, item: sensors.CellOpenWire, module_of: IntArray, since_s: float) -> None:
    cell = item.cell
    if item.mode == "not_available":
        voltages[cell] = math.nan
        return
    if item.mode == "mirrored":
        shift = item.shift_v * (1.0 - math.exp(-since_s / item.time_constant_s))
    else:
        shift = item.rate_v_per_s * since_s
    # a converter reads nothing below 0 V and nothing above its range
    below = float(np.clip(voltages[cell] - shift, 0.0, CONVERTER_V))
    if cell + 1 < voltages.size and module_of[cell + 1] == module_of[cell]:
        voltages[cell + 1] = np.clip(voltages[cell + 1] + shift, 0.0, CONVERTER_V)
    voltages[cell] = below


def spoil_modules(
    voltages: FloatArray, module_voltages: FloatArray, module_of: IntArray, injections: Injections
) -> None:
    """Spoil what whole front ends read, in place; ``voltages`` and ``module_of`` have the shape (cells,)."""
    for item in injections.of(sensors.ModuleVoltageGain, sensors.ModuleVoltageStuck):
        if isinstance(item, sensors.ModuleVoltageGain):
            voltages[module_of == item.module] *= item.gain
            module_voltages[item.module] *= item.gain
        else:
            module_voltages[item.module] = injections.hold(item, "sum", float(module_voltages[item.module]))
            for cell in np.flatnonzero(module_of == item.module).tolist():
                voltages[cell] = injections.hold(item, cell, float(voltages[cell]))


def spoil_temperatures(
    temperatures: FloatArray, names: list[str], injections: Injections, rng: np.random.Generator
) -> None:
    """Spoil temperatures [°C] in place, shape (sensors,)."""
    for item in injections.of(sensors.OfTemperature):
        for i, name in enumerate(names):
            if fnmatch.fnmatchcase(name, item.sensor):
                temperatures[i] = _temperature(float(temperatures[i]), item, name, injections, rng)


def _temperature(
    true: float,
    item: sensors.OfTemperature,
    name: str,
    injections: Injections,
    rng: np.random.Generator,
) -> float:
    if isinstance(item, sensors.TemperatureOffset):
        return true + item.offset_degc
    if isinstance(item, sensors.TemperatureGain):
        return item.reference_degc + item.gain * (true - item.reference_degc)
    if isinstance(item, sensors.TemperatureNoise):
        return true + item.sigma_degc * rng.standard_normal()
    if isinstance(item, sensors.TemperatureDrift):
        return true + item.rate_degc_per_s * injections.since_s(item)
    if isinstance(item, sensors.TemperatureStuck):
        held = injections.hold(item, name, true)
        return held if item.value_degc is None else item.value_degc
    return math.nan


def spoil_current(
    current_a: float, injections: Injections, rng: np.random.Generator, *, redundant: bool
) -> float:
    """Turn the true current [A] into what the main or the redundant sensor says [A]; NaN: no value."""
    for item in injections.of(sensors.OfCurrent):
        if item.which not in ("both", "redundant" if redundant else "main"):
            continue
        if isinstance(item, sensors.CurrentOffset):
            current_a += item.offset_a
        elif isinstance(item, sensors.CurrentGain):
            current_a *= item.gain
        elif isinstance(item, sensors.CurrentNoise):
            current_a += item.sigma_a * float(rng.standard_normal())
        elif isinstance(item, sensors.CurrentDrift):
            current_a += item.rate_a_per_s * injections.since_s(item)
        elif isinstance(item, sensors.CurrentStuck):
            held = injections.hold(item, redundant, current_a)
            current_a = held if item.value_a is None else item.value_a
        else:
            current_a = math.nan
    return current_a


def spoil_voltage(
    voltage_v: float, injections: Injections, rng: np.random.Generator, *, of_string: bool
) -> float:
    """Turn the true string or link voltage [V] into what its sensor says [V]; NaN: no value."""
    for item in injections.of(sensors.OfPackVoltage):
        if item.of_string is not of_string:
            continue
        if isinstance(item, sensors.PackVoltageOffset):
            voltage_v += item.offset_v
        elif isinstance(item, sensors.PackVoltageGain):
            voltage_v *= item.gain
        elif isinstance(item, sensors.PackVoltageNoise):
            voltage_v += item.sigma_v * float(rng.standard_normal())
        elif isinstance(item, sensors.PackVoltageStuck):
            held = injections.hold(item, of_string, voltage_v)
            voltage_v = held if item.value_v is None else item.value_v
        else:
            voltage_v = math.nan
    return voltage_v


def spoil_coolant_flow(flow_l_per_min: float, injections: Injections) -> float:
    """Turn the true coolant flow [l/min] into what its sensor says."""
    for item in injections.of(sensors.CoolantFlowStuck):
        held = injections.hold(item, "flow", flow_l_per_min)
        flow_l_per_min = held if item.value_l_per_min is None else item.value_l_per_min
    return flow_l_per_min
