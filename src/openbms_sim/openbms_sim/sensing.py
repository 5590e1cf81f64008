"""What the device's sensors say: the true values with what is wrong with the sensors."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_sim import faults
from openbms_sim.faults import Injections
from openbms_sim.interface import Readings

__all__ = ["Sensed", "SensorNames", "sense", "sense_current_a"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SensorNames:
    """Temperature sensors in the order of the pack file: name, location and nearest cells of each."""

    names: list[str]
    locations: list[str]
    cells: list[range]


@dataclass
class Sensed:
    """What the sensors say at the end of a scan; NaN where a sensor has no value."""

    cell_voltages_v: FloatArray
    temperatures_degc: FloatArray
    """In the order of the pack file."""
    string_voltage_v: float
    link_voltage_v: float
    module_voltages_v: FloatArray
    """Sum of each module's cells, measured apart from them."""


def sense(
    readings: Readings,
    cell_means_v: FloatArray,
    link_mean_v: float,
    sensors: SensorNames,
    bleeding: NDArray[np.bool_],
    cells_each_module: int,
    injections: Injections,
) -> Sensed:
    """Turn true values into what the sensors say.

    Parameters
    ----------
    readings : Readings
        True values at the end of the scan.
    cell_means_v : ndarray, shape (cells,)
        Cell voltages, as the mean over the scan: the front end integrates like a sigma-delta converter, so
        that voltage and mean current of a scan fit each other.
    link_mean_v : float
        Link voltage, as the mean over the scan too.
    sensors : SensorNames
        Temperature sensors of the pack.
    bleeding : ndarray of bool, shape (cells,)
        Bleed resistors that are on: they warm their front end.
    cells_each_module : int
        Cells of a module.
    injections : Injections
        What is wrong now.

    Returns
    -------
    Sensed
    """
    voltages = cell_means_v.copy()
    modules = voltages.reshape(-1, cells_each_module)
    module_voltages, string_voltage = modules.sum(axis=1), float(voltages.sum())
    surface, die = readings.cell_surface_degc, 0
    warm = bleeding.reshape(modules.shape).sum(axis=1)
    temperatures = np.empty(len(sensors.names))
    for i, (location, cells) in enumerate(zip(sensors.locations, sensors.cells, strict=True)):
        if location == "cell" and len(cells):
            temperatures[i] = surface[cells.start : cells.stop].mean()
        elif location == "afe":
            module = min(die, len(modules) - 1)
            # A few degrees above its cells; 1.5 K for each bleed resistor (0.5 W beside the front end).
            temperatures[i] = surface.reshape(modules.shape)[module].mean() + 4.0 + 1.5 * warm[module]
            die += 1
        else:
            temperatures[i] = {
                "coolant_in": readings.coolant_in_degc,
                "coolant_out": readings.coolant_out_degc,
            }.get(location, readings.ambient_degc)
    _spoil_voltages(voltages, injections)
    _spoil_temperatures(temperatures, sensors.names, injections)
    return Sensed(voltages, temperatures, string_voltage, link_mean_v, module_voltages)


def _spoil_voltages(voltages: FloatArray, injections: Injections) -> None:
    for item in injections.of(faults.CellVoltageOffset, faults.CellVoltageStuck, faults.CellOpenWire):
        if isinstance(item, faults.CellVoltageOffset):
            voltages[item.cell] += item.offset_v
        elif isinstance(item, faults.CellVoltageStuck):
            held = injections.hold(item, item.cell, float(voltages[item.cell]))
            voltages[item.cell] = held if item.value_v is None else item.value_v
        else:
            voltages[item.cell] = np.nan


def _spoil_temperatures(temperatures: FloatArray, names: list[str], injections: Injections) -> None:
    for item in injections.of(faults.TemperatureOffset, faults.TemperatureStuck, faults.TemperatureOpen):
        for i, name in enumerate(names):
            if not fnmatch.fnmatchcase(name, item.sensor):
                continue
            if isinstance(item, faults.TemperatureOffset):
                temperatures[i] += item.offset_degc
            elif isinstance(item, faults.TemperatureStuck):
                held = injections.hold(item, name, float(temperatures[i]))
                temperatures[i] = held if item.value_degc is None else item.value_degc
            else:
                temperatures[i] = np.nan


def sense_current_a(current_a: float, injections: Injections) -> float:
    """Turn the true current [A] into what the sensor says [A]."""
    for item in injections.of(faults.CurrentOffset, faults.CurrentGain, faults.CurrentStuck):
        if isinstance(item, faults.CurrentOffset):
            current_a += item.offset_a
        elif isinstance(item, faults.CurrentGain):
            current_a *= item.gain
        else:
            held = injections.hold(item, "current", current_a)
            current_a = held if item.value_a is None else item.value_a
    return current_a
