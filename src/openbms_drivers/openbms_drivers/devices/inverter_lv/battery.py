"""The battery as the inverter shall see it: values and texts, from what was measured and estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import BmsStatus, PackMeasurement, StateOfCharge, StateOfHealth, Validity

__all__ = ["BatteryFacts", "battery_current_a", "battery_texts", "battery_values", "battery_voltage_v"]

_KELVIN = 273.15
_NAN = math.nan


@dataclass(frozen=True)
class BatteryFacts:
    """What does not change (from PackDescription).

    Attributes
    ----------
    serial, name, manufacturer : str
    strings, cells_in_series : int
    rated_capacity_ah : float
        Of all strings together [Ah].
    cell_maximum_v, cell_minimum_v : tuple of float
        Operating and recommended limit of a cell's voltage [V].
    charge_current_max_a, discharge_current_max_a : float
        Operating limits of all strings together [A].
    at_cell : ndarray of bool, shape (sensors,)
        Temperature sensors that sit at cells.
    scan_period_s : float
        Usual time between two scans [s].
    """

    serial: str
    name: str
    manufacturer: str
    strings: int
    cells_in_series: int
    rated_capacity_ah: float
    cell_maximum_v: tuple[float, float]
    cell_minimum_v: tuple[float, float]
    charge_current_max_a: float
    discharge_current_max_a: float
    at_cell: NDArray[np.bool_]
    scan_period_s: float = 0.1


def battery_voltage_v(facts: BatteryFacts, measured: PackMeasurement | None) -> float:
    """Give the voltage at the terminals [V]; NaN where it is not known.

    The mean of the strings that are measured; where none is, the sum of the cells of the first string, if
    every one of them is known.
    """
    if measured is None:
        return _NAN
    valid = measured.string_voltage_validity == Validity.VALID
    if valid.any():
        return float(measured.string_voltages_v[valid].mean())
    cells = measured.cell_voltages_v[: facts.cells_in_series]
    known = measured.cell_voltage_validity[: facts.cells_in_series] == Validity.VALID
    return float(cells.sum()) if cells.size == facts.cells_in_series and known.all() else _NAN


def battery_current_a(measured: PackMeasurement | None) -> float:
    """Give the current of all strings together [A], positive when charging; NaN if one is not known."""
    if measured is None or not measured.string_currents_a.size:
        return _NAN
    if (measured.string_current_validity != Validity.VALID).any():
        return _NAN
    return float(measured.string_currents_a.sum())


def _extremes(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> tuple[float, int, float, int]:
    """Give minimum and its index, maximum and its index; NaN and -1 where nothing is known."""
    where = np.flatnonzero(valid & np.isfinite(values))
    if not where.size:
        return _NAN, -1, _NAN, -1
    low, high = where[values[where].argmin()], where[values[where].argmax()]
    return float(values[low]), int(low), float(values[high]), int(high)


def _cell_voltages(measured: PackMeasurement | None) -> tuple[float, int, float, int]:
    if measured is None:
        return _NAN, -1, _NAN, -1
    low_v, low, high_v, high = _extremes(
        measured.cell_voltages_v, measured.cell_voltage_validity == Validity.VALID
    )
    if low < 0 and measured.reported_cell_voltage_validity == Validity.VALID:
        return (
            measured.reported_cell_voltage_minimum_v,
            -1,
            measured.reported_cell_voltage_maximum_v,
            -1,
        )
    return low_v, low, high_v, high


def _temperatures(
    facts: BatteryFacts, measured: PackMeasurement | None
) -> tuple[float, float, int, float, int]:
    """Give mean, minimum and its sensor, maximum and its sensor, of the cells [°C]."""
    if measured is None:
        return _NAN, _NAN, -1, _NAN, -1
    values = measured.temperatures_degc
    valid = (measured.temperature_validity == Validity.VALID) & np.isfinite(values)
    if facts.at_cell.shape == values.shape:
        valid &= facts.at_cell
    low_degc, low, high_degc, high = _extremes(values, valid)
    if low >= 0:
        return float(values[valid].mean()), low_degc, low, high_degc, high
    if measured.reported_temperature_validity == Validity.VALID:
        low_degc = measured.reported_temperature_minimum_degc
        high_degc = measured.reported_temperature_maximum_degc
        return 0.5 * (low_degc + high_degc), low_degc, -1, high_degc, -1
    return _NAN, _NAN, -1, _NAN, -1


def _online(facts: BatteryFacts, status: BmsStatus | None) -> int:
    """Count the strings whose contactors are closed."""
    if status is None or not status.contactors_closed:
        return 0
    commanded = np.asarray(status.contactor_command)[: 3 * facts.strings]
    if commanded.size == 3 * facts.strings and commanded.any():
        each = commanded.reshape(facts.strings, 3)
        return int(((each[:, 0] == 1) & (each[:, 1] == 1)).sum())
    return facts.strings  # a device that moves them says only that all are closed


def battery_values(
    facts: BatteryFacts,
    measured: PackMeasurement | None,
    soc: StateOfCharge | None,
    soh: StateOfHealth | None,
    status: BmsStatus | None,
) -> dict[str, float]:
    """Give every value that is no limit; NaN where it is not known.

    Parameters
    ----------
    facts : BatteryFacts
    measured, soc, soh, status
        The newest that still counts; None: there is none.

    Returns
    -------
    dict of str to float
        By the names of :mod:`openbms_drivers.devices.inverter_lv.vocabulary`.
    """
    low_v, _, high_v, _ = _cell_voltages(measured)
    mean_degc, low_degc, _, high_degc, _ = _temperatures(facts, measured)
    online = _online(facts, status)
    blocks_charge = status is None or not status.charge_allowed
    blocks_discharge = status is None or not status.discharge_allowed
    return {
        # the shown one: it reaches 0 before cut-off, and an inverter's reserve is counted from there
        "soc": soc.displayed_soc if soc is not None else _NAN,
        "soh": min(soh.soh, 1.0) if soh is not None else _NAN,
        "battery_voltage_v": battery_voltage_v(facts, measured),
        "battery_current_a": battery_current_a(measured),
        "battery_temperature_degc": mean_degc,
        "cell_voltage_minimum_v": low_v,
        "cell_voltage_maximum_v": high_v,
        "cell_temperature_minimum_degc": low_degc,
        "cell_temperature_maximum_degc": high_degc,
        "cell_temperature_minimum_k": low_degc + _KELVIN,
        "cell_temperature_maximum_k": high_degc + _KELVIN,
        "capacity_ah": facts.rated_capacity_ah,
        "module_count": float(facts.strings),
        "modules_online": float(online),
        "modules_offline": float(facts.strings - online),
        "modules_blocking_charge": float(online if blocks_charge else 0),
        "modules_blocking_discharge": float(online if blocks_discharge else 0),
        "charged_energy_wh": soh.energy_in_wh if soh is not None else _NAN,
        "discharged_energy_wh": soh.energy_out_wh if soh is not None else _NAN,
    }


def battery_texts(facts: BatteryFacts, measured: PackMeasurement | None) -> Mapping[str, str]:
    """Give every text; empty where it is not known."""
    _, low_cell, _, high_cell = _cell_voltages(measured)
    _, _, cold, _, hot = _temperatures(facts, measured)

    def place(kind: str, index: int) -> str:
        return f"{kind}{index}" if index >= 0 else ""

    return {
        "manufacturer": facts.manufacturer or "OpenBMS",
        "name_1": facts.name[:8],
        "name_2": facts.name[8:16] or " ",
        "serial_1": facts.serial[:8],
        "serial_2": facts.serial[8:16] or " ",
        "cell_voltage_minimum_place": place("cell ", low_cell),
        "cell_voltage_maximum_place": place("cell ", high_cell),
        "cell_temperature_minimum_place": place("temp ", cold),
        "cell_temperature_maximum_place": place("temp ", hot),
    }
