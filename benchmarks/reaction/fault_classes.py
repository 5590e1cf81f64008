"""The fault classes that are tried: how each is put into the twin, and which frame shows it first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CLASSES", "ROWS", "FaultClass", "foxbms_ms"]

_CELL, _SENSOR = 5, "cell_0"
_FOX_OPENING_MS = 500.0
"""foxBMS 2: at least this passes between the fatal entry and the first contactor that moves."""


@dataclass(frozen=True)
class FaultClass:
    """One class of faults.

    Attributes
    ----------
    name : str
        As it is chosen and printed.
    rows : tuple of str
        Rows of the fault table that trip, by name without level.
    inject : dict or None
        Injection of the twin; None: a process is killed.
    message : str
        The message that shows it, or the one that stays away; empty: none.
    shows : callable or None
        ``shows(values, limits)`` tells whether a frame's signals show the fault; None: it begins with the
        last frame of ``message`` that still came.
    kills : str
        The process that is killed.
    foxbms_ms : float or None
        Onset to open, derived from foxBMS's settings.
    """

    name: str
    rows: tuple[str, ...]
    inject: dict[str, Any] | None = None
    message: str = ""
    shows: Callable[[dict[str, Any], Any], bool] | None = None
    kills: str = ""
    foxbms_ms: float | None = None


def foxbms_ms(events: int, delay_ms: float) -> float:
    """Derive a reaction of foxBMS 2 from its settings: so many 10 ms events, a delay, then the opening."""
    return 10.0 * events + delay_ms + _FOX_OPENING_MS


def _cell(values: dict[str, Any]) -> float:
    return float(values.get(f"Cell{_CELL:02d}_Voltage", float("nan")))


CLASSES = (
    FaultClass(
        "over_voltage", ("CELL_OVER_VOLTAGE",),
        {"fault": "cell_voltage_offset", "cell": _CELL, "offset_v": 0.9},
        "Cmu0_CellVoltages", lambda v, limits: limits.cell_voltage_max_v.safety < _cell(v) < 6.0,
        foxbms_ms=foxbms_ms(50, 200),
    ),
    FaultClass(
        "under_voltage", ("CELL_UNDER_VOLTAGE",),
        {"fault": "cell_voltage_offset", "cell": _CELL, "offset_v": -1.5},
        "Cmu0_CellVoltages", lambda v, limits: _cell(v) < limits.cell_voltage_min_v.safety,
        foxbms_ms=foxbms_ms(50, 200),
    ),
    # a load that does not obey: the contactors open at the deadline, whatever flows
    FaultClass(
        "over_current_discharge", ("OVER_CURRENT_DISCHARGE",),
        {"fault": "load", "current_a": -25.0, "obeys": False},
        "Pack_Current", lambda v, limits: -v["StringCurrent"] > limits.discharge_current_max_a.safety,
        foxbms_ms=foxbms_ms(10, 100),
    ),
    FaultClass(
        "over_current_charge", ("OVER_CURRENT_CHARGE",),
        {"fault": "load", "current_a": 9.0, "obeys": False},
        "Pack_Current", lambda v, limits: v["StringCurrent"] > limits.charge_current_max_a.safety,
        foxbms_ms=foxbms_ms(10, 100),
    ),
    # a sensor that says so, with a load that obeys
    FaultClass(
        "over_current_measured", ("OVER_CURRENT_DISCHARGE",),
        {"fault": "current_offset", "offset_a": -40.0, "which": "both"},
        "Pack_Current", lambda v, limits: -v["StringCurrent"] > limits.discharge_current_max_a.safety,
        foxbms_ms=foxbms_ms(10, 100),
    ),
    FaultClass(
        "over_temperature", ("OVER_TEMPERATURE_DISCHARGE",),
        {"fault": "temperature_offset", "sensor": _SENSOR, "offset_degc": 45.0},
        "Cmu0_Temperatures",
        lambda v, limits: v["Sensor0_Temperature"] > limits.discharge_temperature_max_degc.safety,
        foxbms_ms=foxbms_ms(500, 1000),
    ),
    FaultClass(
        "interlock", ("INTERLOCK_OPEN",), {"fault": "interlock_open"}, "Pack_Status",
        lambda v, limits: v["Interlock"] == 0, foxbms_ms=foxbms_ms(10, 100),
    ),
    FaultClass(
        "emergency_stop", ("EMERGENCY_STOP",), {"fault": "emergency_stop"}, "Pack_Status",
        lambda v, limits: v["EmergencyStop"] == 1,
    ),
    FaultClass(
        "smoke", ("SMOKE_ALARM",), {"fault": "smoke"}, "Pack_Status", lambda v, limits: v["Smoke"] == 1,
    ),
    FaultClass(
        "cell_voltages_missing", ("CELL_VOLTAGE_MISSING",),
        {"fault": "drop_message", "message": "Cmu0_CellVoltages"}, "Cmu0_CellVoltages",
    ),
    FaultClass(
        "current_missing", ("CURRENT_MISSING",), {"fault": "drop_message", "message": "Pack_Current"},
        "Pack_Current", foxbms_ms=foxbms_ms(100, 200),
    ),
    FaultClass("bus_silent", ("BUS_LOST",), {"fault": "silent_bus"}, "Pack_Status"),
    FaultClass("monitor_killed", (), kills="safety"),
    FaultClass("driver_killed", (), kills="driver"),
)  # fmt: skip
ROWS = sorted({row for entry in CLASSES for row in entry.rows})
