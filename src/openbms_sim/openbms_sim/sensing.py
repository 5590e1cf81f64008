"""What the device's sensors say: the true values with what is wrong with the sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_sim.faults import Injections
from openbms_sim.interface import Readings
from openbms_sim.sensor_faults import spoil_modules, spoil_temperatures, spoil_voltage, spoil_voltages
from openbms_sim.wiring import MODULES, SensorNames

__all__ = ["Sensed", "SensorNoise", "sense"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SensorNoise:
    """Standard deviation of what healthy sensors say, of the size that data sheets of such parts give.

    Attributes
    ----------
    cell_v, pack_v : float
        Of a cell's voltage in a scan; of string and link voltage.
    temperature_degc : float
        Of a temperature.
    current_a : float
        Of one sample of the current (10 ms).
    """

    cell_v: float = 0.0003
    pack_v: float = 0.02
    temperature_degc: float = 0.03
    current_a: float = 0.01


@dataclass
class Sensed:
    """What the sensors say at the end of a scan; NaN where a sensor has no value."""

    cell_voltages_v: FloatArray
    temperatures_degc: FloatArray
    """In the order of the pack file."""
    string_voltage_v: float
    link_voltage_v: float
    module_voltages_v: FloatArray
    """Sum of the cells of each cell-monitoring unit, measured apart from them, shape (8,)."""
    redundant_current_a: float = math.nan
    """What the second current sensor says, as the mean over the scan."""
    open_wires: NDArray[np.bool_] | None = None
    """Units whose front end has found an open wire, shape (8,)."""


def sense(
    readings: Readings,
    cell_means_v: FloatArray,
    link_mean_v: float,
    sensors: SensorNames,
    bleeding: NDArray[np.bool_],
    module_of: NDArray[np.int_],
    injections: Injections,
    *,
    noise: SensorNoise | None = None,
    rng: np.random.Generator | None = None,
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
    module_of : ndarray of int, shape (cells,)
        Cell-monitoring unit that reads each cell, 0 … 7.
    injections : Injections
        What is wrong now.
    noise : SensorNoise, optional
        Of healthy sensors; none by default.
    rng : Generator, optional
        Of all noise.

    Returns
    -------
    Sensed
    """
    rng = rng or np.random.default_rng(0)
    noise = noise or SensorNoise(0.0, 0.0, 0.0, 0.0)
    module_voltages: FloatArray = np.bincount(module_of, cell_means_v, MODULES).astype(float)
    string_voltage = float(cell_means_v.sum())
    voltages = cell_means_v + rng.standard_normal(cell_means_v.size) * noise.cell_v
    temperatures = _temperatures(readings, sensors, bleeding, module_of)
    temperatures += rng.standard_normal(temperatures.size) * noise.temperature_degc
    module_voltages += rng.standard_normal(module_voltages.size) * noise.pack_v
    of_pack = rng.standard_normal(2) * noise.pack_v
    voltages = spoil_voltages(voltages, module_of, injections, rng)
    spoil_modules(voltages, module_voltages, module_of, injections)
    spoil_temperatures(temperatures, sensors.names, injections, rng)
    return Sensed(
        voltages,
        temperatures,
        spoil_voltage(string_voltage + float(of_pack[0]), injections, rng, of_string=True),
        spoil_voltage(max(0.0, link_mean_v + float(of_pack[1])), injections, rng, of_string=False),
        module_voltages,
        open_wires=np.bincount(module_of, np.isnan(voltages), MODULES) > 0,
    )


def _temperatures(
    readings: Readings, sensors: SensorNames, bleeding: NDArray[np.bool_], module_of: NDArray[np.int_]
) -> FloatArray:
    surface = readings.cell_surface_degc
    # A few degrees above its cells; 1.5 K for each bleed resistor (0.5 W beside the front end).
    cells = np.maximum(np.bincount(module_of, minlength=MODULES), 1)
    dies = np.bincount(module_of, surface, MODULES) / cells
    dies += 4.0 + 1.5 * np.bincount(module_of, bleeding, MODULES)
    temperatures = np.empty(len(sensors.names))
    rows = zip(sensors.locations, sensors.cells, sensors.modules, strict=True)
    for i, (location, near, module) in enumerate(rows):
        if location == "cell":
            # where nobody says at which cells it lies, it is somewhere among them
            temperatures[i] = (surface[near.start : near.stop] if len(near) else surface).mean()
        elif location == "afe" and module >= 0:
            temperatures[i] = dies[module]
        else:
            temperatures[i] = {
                "coolant_in": readings.coolant_in_degc,
                "coolant_out": readings.coolant_out_degc,
            }.get(location, readings.ambient_degc)
    return temperatures
