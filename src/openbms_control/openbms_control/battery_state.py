"""The pack as sensor_msgs/BatteryState: what each field is, and when it is unknown.

Pure: :func:`battery_state` turns measurements, estimates, state and faults into plain values. What is
unknown or stale is NaN or the UNKNOWN code; nothing is invented. Source of the fields' meaning:
sensor_msgs/BatteryState.msg (ROS 2 Jazzy).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import BusState, PackMeasurement, State, StateOfCharge, Validity

__all__ = [
    "NO_SENSOR",
    "BatteryFacts",
    "BatteryValues",
    "Health",
    "SupplyStatus",
    "Technology",
    "battery_state",
]

NO_SENSOR = 65535
"""PackDescription: this cell has no temperature sensor near it."""
FULL_FROM = 0.995
"""Displayed state of charge from which a pack that is not discharged counts as full."""
REST_RATE = 0.02
"""Below this share of the rated capacity, as current in A per Ah (C/50), nothing flows as far as the status
goes."""


class SupplyStatus(IntEnum):
    """Values of power_supply_status."""

    UNKNOWN = 0
    CHARGING = 1
    DISCHARGING = 2
    NOT_CHARGING = 3
    FULL = 4


class Health(IntEnum):
    """Values of power_supply_health."""

    UNKNOWN = 0
    GOOD = 1
    OVERHEAT = 2
    DEAD = 3
    OVERVOLTAGE = 4
    UNSPEC_FAILURE = 5
    COLD = 6
    WATCHDOG_TIMER_EXPIRE = 7


class Technology(IntEnum):
    """Values of power_supply_technology."""

    UNKNOWN = 0
    LION = 2
    LIFE = 4
    LIMN = 6


_TECHNOLOGY = {
    "nmc": Technology.LION,
    "nca": Technology.LION,
    "lco": Technology.LION,
    "lto": Technology.LION,
    "lmo": Technology.LIMN,
    "lfp": Technology.LIFE,
}

# The first that applies is said: what is most dangerous stands first.
_HEALTH: tuple[tuple[str, Health], ...] = (
    ("OVER_TEMPERATURE_", Health.OVERHEAT),
    ("CELL_OVER_VOLTAGE_", Health.OVERVOLTAGE),
    ("CELL_UNDER_VOLTAGE_SAFETY", Health.DEAD),
    ("UNDER_TEMPERATURE_", Health.COLD),
    ("DRIVER_LOST", Health.WATCHDOG_TIMER_EXPIRE),
    ("MONITOR_LATE", Health.WATCHDOG_TIMER_EXPIRE),
)


@dataclass(frozen=True)
class BatteryFacts:
    """Static facts, from the pack's description.

    Attributes
    ----------
    serial, chemistry : str
    strings : int
    rated_capacity_ah : float
        Of one string; NaN if unknown.
    cell_sensor : array of int, shape (cells,)
        Temperature sensor nearest to each cell; ``NO_SENSOR`` where there is none.
    at_cell : array of bool, shape (sensors,)
        The sensor sits at a cell.
    """

    serial: str
    chemistry: str
    strings: int
    rated_capacity_ah: float
    cell_sensor: NDArray[np.int64]
    at_cell: NDArray[np.bool_]


@dataclass
class BatteryValues:
    """Fields of sensor_msgs/BatteryState, in SI units, °C and Ah; NaN where unknown."""

    voltage: float = float("nan")
    temperature: float = float("nan")
    current: float = float("nan")
    charge: float = float("nan")
    capacity: float = float("nan")
    design_capacity: float = float("nan")
    percentage: float = float("nan")
    power_supply_status: int = SupplyStatus.UNKNOWN
    power_supply_health: int = Health.UNKNOWN
    power_supply_technology: int = Technology.UNKNOWN
    present: bool = False
    cell_voltage: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    cell_temperature: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    location: str = ""
    serial_number: str = ""


def battery_state(
    facts: BatteryFacts | None,
    measurement: PackMeasurement | None,
    soc: StateOfCharge | None,
    state: State | None,
    faults: Collection[tuple[str, int]] | None,
    location: str = "",
) -> BatteryValues:
    """Compute every field.

    Parameters
    ----------
    facts : BatteryFacts or None
        None: the description has not arrived.
    measurement, soc, state : optional
        None where it is absent or stale.
    faults : collection of (identifier, level), optional
        Active and latched faults; None if unknown.
    location : str
        Where the pack sits.
    """
    values = BatteryValues(location=location, power_supply_health=_health(faults))
    if facts is not None:
        values.serial_number = facts.serial
        values.power_supply_technology = _TECHNOLOGY.get(facts.chemistry, Technology.UNKNOWN)
        values.design_capacity = facts.rated_capacity_ah * facts.strings
    if soc is not None:
        values.charge, values.percentage = float(soc.remaining_charge_ah), float(soc.displayed_soc)
    if measurement is not None:
        _measured(values, measurement, facts)
    values.power_supply_status = _status(values, state)
    return values


def _valid(values: NDArray[np.float64], validity: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.where(validity == Validity.VALID, values, np.nan)


def _measured(values: BatteryValues, m: PackMeasurement, facts: BatteryFacts | None) -> None:
    cells = _valid(m.cell_voltages_v, m.cell_voltage_validity)
    temperatures = _valid(m.temperatures_degc, m.temperature_validity)
    currents = _valid(m.string_currents_a, m.string_current_validity)
    voltages = _valid(m.string_voltages_v, m.string_voltage_validity)
    values.present = m.bus_state == BusState.OK
    values.cell_voltage = cells
    # NaN as soon as one string is unknown: a part of the current would pass for the whole
    values.current = float(currents.sum()) if len(currents) else float("nan")
    strings = len(currents)
    if len(voltages) and np.isfinite(voltages).all():
        values.voltage = float(voltages.mean())
    elif strings and len(cells) and len(cells) % strings == 0:
        values.voltage = float(cells.reshape(strings, -1).sum(axis=1).mean())
    if facts is None or len(facts.at_cell) != len(temperatures):
        return
    # the hottest cell, since a mean hides a hot spot
    at_cells = temperatures[facts.at_cell]
    if np.isfinite(at_cells).any():
        values.temperature = float(np.nanmax(at_cells))
    near = facts.cell_sensor
    known = near < len(temperatures)
    values.cell_temperature = np.full(len(near), np.nan)
    values.cell_temperature[known] = temperatures[near[known]]


def _status(values: BatteryValues, state: State | None) -> SupplyStatus:
    """Charging follows the state: regeneration while driving is not charging."""
    if state is None or np.isnan(values.current):
        return SupplyStatus.UNKNOWN
    rest = REST_RATE * values.design_capacity if np.isfinite(values.design_capacity) else 0.1
    if values.current < -rest:
        return SupplyStatus.DISCHARGING
    if state in (State.DRIVE, State.OPENING):
        return SupplyStatus.NOT_CHARGING
    if values.current > rest:
        return SupplyStatus.CHARGING
    return SupplyStatus.FULL if values.percentage >= FULL_FROM else SupplyStatus.NOT_CHARGING


def _health(faults: Collection[tuple[str, int]] | None) -> Health:
    """Warnings and safety faults count; operating limits are for information."""
    if faults is None:
        return Health.UNKNOWN
    serious = [identifier for identifier, level in faults if level >= 1]
    for start, health in _HEALTH:
        if any(identifier.startswith(start) for identifier in serious):
            return health
    return Health.UNSPEC_FAILURE if any(level >= 2 for _, level in faults) else Health.GOOD
