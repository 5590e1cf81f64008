"""Rows of what the pack reports beside cells: interlock, emergency stop, insulation, smoke, gas."""

from __future__ import annotations

from openbms_core.fault_rows.row import (
    AT_ONCE,
    CURRENT,
    OPENS,
    OPENS_LATCHED,
    Action,
    FaultRow,
    Timing,
    single,
)
from openbms_core.types import Level

__all__ = ["INPUTS_ROWS"]

INPUTS_ROWS: list[FaultRow] = [
    single("INTERLOCK_OPEN", "interlock_open", CURRENT, "The interlock loop is broken.", OPENS,
            "Close all high-voltage connectors and covers, then request the state again.",
            needs=(("interlock",),)),
    single("EMERGENCY_STOP", "emergency_stop", AT_ONCE, "The emergency stop is pressed.", OPENS,
            "Release it when it is safe, then request the state again.", needs=(("emergency_stop",),)),
    # ISO 6469-1 and UN R100: 500 ohm/V where AC and DC circuits are connected, 100 ohm/V for DC
    single("LOW_INSULATION", "insulation", Timing(1.0, 0.0, 10.0),
            "The insulation against the chassis is below the first limit.", "For information.",
            "Have the insulation checked.", level=Level.OPERATING, suffix="_OPERATING", comparison="below",
            limit="insulation_warning_ohm_per_v",
            unit="ohm/V", action=Action.NONE, needs=(("insulation_resistance_ohm",),)),
    single("LOW_INSULATION", "insulation", Timing(1.0, 0.0, 10.0),
            "The insulation against the chassis is below the second limit.",
            "Driving goes on with a warning; charging ends, closing is refused.",
            "Stop where it is safe. Do not touch conductors; have the insulation repaired.",
            level=Level.RECOMMENDED, suffix="_RECOMMENDED", comparison="below",
            limit="insulation_error_ohm_per_v", unit="ohm/V",
            action=Action.BLOCK_CLOSING | Action.END_CHARGING, factors=(0.0, 1.0),
            needs=(("insulation_resistance_ohm",),)),
    single("SMOKE_ALARM", "smoke", Timing(0.5, 0.2, 2.0), "The smoke detector alarms.", OPENS_LATCHED,
            "Leave the vehicle, keep away, call the fire brigade.", latched=True, needs=(("smoke",),)),
    single("GAS_ALARM", "gas", Timing(0.5, 0.2, 2.0), "The gas detector alarms: a cell may be venting.",
            OPENS_LATCHED, "Leave the vehicle, keep away, call the fire brigade.", latched=True,
            needs=(("gas",),)),
    single("PRESSURE_ALARM", "pressure", Timing(0.5, 0.2, 2.0),
            "The pressure in the housing is high: a cell may be venting.", OPENS_LATCHED,
            "Leave the vehicle, keep away, call the fire brigade.", comparison="above",
            limit="pressure_max_pa", unit="Pa", latched=True, needs=(("pressure_pa",),)),
    # foxBMS opens when its supply is lost. A weak supply is not lost yet: what is closed is held with less
    # than what closing takes, and a drive to a safe place must not end on the road. Inrush makes it dip for
    # some tenths of a second.
    single("SUPPLY_VOLTAGE_LOW", "supply_voltage", Timing(2.0, 0.0, 10.0),
            "The low-voltage supply of contactors and electronics is weak: contactors may drop out.",
            "Warning: contactors stay as they are; closing is refused.",
            "Stop where it is safe; check the DC/DC converter and the 12 V or 24 V battery.",
            level=Level.RECOMMENDED, comparison="below", limit="supply_voltage_min_v", unit="V",
            action=Action.BLOCK_CLOSING, needs=(("supply_voltage_v",),)),
    single("SUPPLY_VOLTAGE_HIGH", "supply_voltage", Timing(2.0, 0.0, 10.0),
            "The low-voltage supply is too high: electronics may be damaged.",
            "Warning: contactors stay as they are; closing is refused.",
            "Stop where it is safe; check the DC/DC converter.",
            level=Level.RECOMMENDED, comparison="above", limit="supply_voltage_max_v", unit="V",
            action=Action.BLOCK_CLOSING, needs=(("supply_voltage_v",),)),
]  # fmt: skip
