"""What a profile can send: the names of values, of yes-or-no items and of texts.

Numbers carry their unit. An item is ``alarm_…`` (the fault opens the contactors) or ``warning_…`` (it
derates), or a request to the inverter.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["ALARMS", "CAUSES", "ITEMS", "LIMITS", "VALUES", "Item", "TextName", "Value"]

Value = Literal[
    "charge_voltage_limit_v",
    "discharge_voltage_limit_v",
    "charge_current_limit_a",
    "discharge_current_limit_a",
    "soc",
    "soh",
    "battery_voltage_v",
    "battery_current_a",
    "battery_temperature_degc",
    "cell_voltage_minimum_v",
    "cell_voltage_maximum_v",
    "cell_temperature_minimum_degc",
    "cell_temperature_maximum_degc",
    "cell_temperature_minimum_k",
    "cell_temperature_maximum_k",
    "capacity_ah",
    "module_count",
    "modules_online",
    "modules_blocking_charge",
    "modules_blocking_discharge",
    "modules_offline",
    "charged_energy_wh",
    "discharged_energy_wh",
]
VALUES: tuple[str, ...] = get_args(Value)
LIMITS = ("charge_current_limit_a", "discharge_current_limit_a")
"""Values that are rounded down and never raised."""

CAUSES = (
    "general",
    "high_voltage",
    "low_voltage",
    "high_temperature",
    "low_temperature",
    "high_temperature_charge",
    "low_temperature_charge",
    "high_current",
    "high_current_charge",
    "contactor",
    "short_circuit",
    "bms_internal",
    "imbalance",
    "communication",
)
"""What an alarm or warning can be about: those of SMA's table, and internal communication (Pylontech)."""

Item = Literal[
    "alarm_general",
    "alarm_high_voltage",
    "alarm_low_voltage",
    "alarm_high_temperature",
    "alarm_low_temperature",
    "alarm_high_temperature_charge",
    "alarm_low_temperature_charge",
    "alarm_high_current",
    "alarm_high_current_charge",
    "alarm_contactor",
    "alarm_short_circuit",
    "alarm_bms_internal",
    "alarm_imbalance",
    "alarm_communication",
    "warning_general",
    "warning_high_voltage",
    "warning_low_voltage",
    "warning_high_temperature",
    "warning_low_temperature",
    "warning_high_temperature_charge",
    "warning_low_temperature_charge",
    "warning_high_current",
    "warning_high_current_charge",
    "warning_contactor",
    "warning_short_circuit",
    "warning_bms_internal",
    "warning_imbalance",
    "warning_communication",
    "charge_enable",
    "discharge_enable",
    "force_charge_1",
    "force_charge_2",
    "full_charge_request",
    "offline",
]
ITEMS: tuple[str, ...] = get_args(Item)
ALARMS = tuple(item for item in ITEMS if item.startswith("alarm_"))

TextName = Literal[
    "manufacturer",
    "name_1",
    "name_2",
    "serial_1",
    "serial_2",
    "cell_voltage_minimum_place",
    "cell_voltage_maximum_place",
    "cell_temperature_minimum_place",
    "cell_temperature_maximum_place",
]
