"""Which row of the fault table is which cause in the inverters' words."""

from __future__ import annotations

from collections.abc import Iterable

from openbms_core.faults import FAULT_TABLE
from openbms_core.types import Level
from openbms_drivers.devices.inverter_lv.vocabulary import CAUSES

__all__ = ["CAUSE_OF", "cause_items"]

_OF_NAME = {
    "high_voltage": ("CELL_OVER_VOLTAGE",),
    "low_voltage": ("CELL_UNDER_VOLTAGE", "DEEP_DISCHARGE"),
    "high_temperature": ("OVER_TEMPERATURE_DISCHARGE",),
    "low_temperature": ("UNDER_TEMPERATURE_DISCHARGE",),
    "high_temperature_charge": ("OVER_TEMPERATURE_CHARGE",),
    "low_temperature_charge": ("UNDER_TEMPERATURE_CHARGE",),
    "high_current": ("OVER_CURRENT_DISCHARGE",),
    "high_current_charge": ("OVER_CURRENT_CHARGE",),
    "contactor": (
        "CONTACTOR_FAILED_TO_CLOSE",
        "CONTACTOR_FEEDBACK_MISMATCH",
        "CONTACTOR_FEEDBACK_MISSING",
        "CONTACTOR_WELDED",
        "LINK_LIVE",
        "CURRENT_ON_OPEN_STRING",
        "OPENED_UNDER_LOAD",
        "STRING_ISOLATED",
        "PRECHARGE_ABORTED_VOLTAGE",
        "PRECHARGE_ABORTED_CURRENT",
        "PRECHARGE_TIMEOUT",
    ),
    "imbalance": ("CELL_VOLTAGE_SPREAD",),
    "communication": ("BUS_LOST", "FRAME_INTEGRITY", "DRIVER_LOST", "DRIVER_RESTARTED", "SCAN_NOT_ADVANCING"),
    "general": (
        "SMOKE_ALARM",
        "GAS_ALARM",
        "PRESSURE_ALARM",
        "EMERGENCY_STOP",
        "INTERLOCK_OPEN",
        "LOW_INSULATION",
        "PLUGGED_IN_WHILE_DRIVING",
        "THERMAL_RUNAWAY_WARNING",
        "THERMAL_RUNAWAY_ALARM",
        "THERMAL_RUNAWAY_EMERGENCY",
        "TEMPERATURE_SPREAD",
        "HEATER_STUCK_ON",
        "HEATER_STUCK_ON_HOT",
        "PUMP_FAILURE",
        "FAN_FAILURE",
        "COOLANT_FLOW_LOW",
    ),
}
_NAMED = {name: cause for cause, names in _OF_NAME.items() for name in names}


def _cause(name: str) -> str:
    """What is not named above is the battery management's own trouble: sensors, supply, its processes."""
    return _NAMED.get(name, "bms_internal")


CAUSE_OF = {row.id: _cause(row.name) for row in FAULT_TABLE}
"""Cause by identifier of the row."""


def cause_items(
    faults: Iterable[tuple[str, int]] | None, not_monitored: Iterable[str] = ()
) -> dict[str, bool | None]:
    """Give every ``alarm_…`` and ``warning_…`` item.

    Parameters
    ----------
    faults : iterable of (str, int), or None
        Identifier and level of each active or latched fault; None: not known.
    not_monitored : iterable of str
        Rows that this pack cannot monitor.

    Returns
    -------
    dict of str to bool or None
        None: not known, or nothing behind it is monitored. Faults of the level *operating* are no alarm: a
        full battery has them each day.
    """
    items: dict[str, bool | None] = {
        f"{kind}_{cause}": None for kind in ("alarm", "warning") for cause in CAUSES
    }
    if faults is None:
        return items
    unmonitored = set(not_monitored)
    for row in FAULT_TABLE:
        kind = {Level.SAFETY: "alarm", Level.RECOMMENDED: "warning"}.get(Level(row.level))
        if kind is not None and row.id not in unmonitored:
            items[f"{kind}_{CAUSE_OF[row.id]}"] = False
    for identifier, level in faults:
        kind = {Level.SAFETY: "alarm", Level.RECOMMENDED: "warning"}.get(Level(level))
        if kind is not None:
            items[f"{kind}_{CAUSE_OF.get(identifier, 'bms_internal')}"] = True
    return items
