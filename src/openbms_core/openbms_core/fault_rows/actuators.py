"""Rows of actuators that do not do what they are told: heater, bleed resistors, pump, fan; hot front ends.

Each is judged only where the pack file commands the actuator: a device that balances or heats on its own is
not disobedient. Failing cooling only warns: the limits follow the temperatures themselves, and a driver is
not stranded for a fan.
"""

from __future__ import annotations

from openbms_core.fault_rows.row import OPENS_LATCHED, Action, FaultRow, Timing, single
from openbms_core.types import Level

__all__ = ["ACTUATORS_ROWS"]


def _obeys(actuator: str) -> tuple[tuple[str, ...], ...]:
    return ((f"actuator_feedback:{actuator}",), (f"command:{actuator}",))


_SPIN_UP = Timing(10.0, 0.0, 30.0)  # what turns needs some seconds to reach its speed
ACTUATORS_ROWS: list[FaultRow] = [
    # A cold pack needs minutes to become hot, a driver only minutes to a safe place: a drive goes on. Nothing
    # is closed onto a heater that nobody controls, and it is not fed from a charger.
    single("HEATER_STUCK_ON", "heater_excess", Timing(3.0, 0.0, 30.0),
            "The heater runs although it is told not to.",
            "Driving goes on with a warning; charging ends, closing is refused.",
            "Have the heater and its switch repaired; the pack gets hot meanwhile.", level=Level.RECOMMENDED,
            comparison="above", limit="actuator_deviation_max",
            action=Action.BLOCK_CLOSING | Action.END_CHARGING | Action.NO_HEATING, factors=(0.0, 1.0),
            needs=_obeys("heater")),
    # it is fed from the pack: only open contactors switch it off, and that before the cells are too hot
    single("HEATER_STUCK_ON_HOT", "heater_excess_hot", Timing(3.0, 1.0, 30.0),
            "The heater runs although it is told not to, and the pack is already hot.", OPENS_LATCHED,
            "Keep an eye on the pack's temperature; have the heater and its switch repaired.",
            comparison="above", limit="charge_temperature_max_degc", unit="degC", latched=True,
            needs=(*_obeys("heater"), ("temperature_degc", "reported_temperature_maximum_degc"))),
    # A bleed resistor lies across its cell: open contactors do not end it, and it needs a day to empty the
    # cell. The others are not bled on top, since their front end gets hot and does not obey.
    single("BLEED_STUCK_ON", "bleed_excess", Timing(10.0, 0.0, 60.0),
            "A cell is bled although nobody asked for it.",
            "Warning: balancing is switched off. The cell's own limits protect it.",
            "Have the front end of that cell replaced within days: the cell runs empty.",
            level=Level.RECOMMENDED, action=Action.NO_BALANCING,
            needs=(("cell_balancing",), ("command:bleed",))),
    single("AFE_OVER_TEMPERATURE", "afe_temperature_maximum", Timing(5.0, 0.0, 30.0),
            "The die of a front end is too hot to measure well.", "Warning: balancing is switched off.",
            "Let it cool; check the bleed resistors and the air around the electronics.",
            level=Level.RECOMMENDED, comparison="above", limit="afe_temperature_max_degc", unit="degC",
            action=Action.NO_BALANCING, needs=(("temperature_degc:afe",),)),
    single("PUMP_FAILURE", "pump_lack", _SPIN_UP, "The coolant pump does not run as it is told.",
            "Warning: the limits follow the temperatures.", "Check the pump, its supply and its fuse.",
            level=Level.RECOMMENDED, comparison="above", limit="actuator_deviation_max", action=Action.NONE,
            needs=_obeys("pump")),
    single("FAN_FAILURE", "fan_lack", _SPIN_UP, "A fan does not run as it is told.",
            "Warning: the limits follow the temperatures.", "Check the fan, its supply and its fuse.",
            level=Level.RECOMMENDED, comparison="above", limit="actuator_deviation_max", action=Action.NONE,
            needs=_obeys("fan")),
    single("COOLANT_FLOW_LOW", "coolant_flow", _SPIN_UP,
            "The coolant pump runs but too little coolant flows.",
            "Warning: the limits follow the temperatures.",
            "Check the coolant level, look for leaks, bent hoses and air.", level=Level.RECOMMENDED,
            comparison="below", limit="coolant_flow_min_m3_per_s", unit="m3/s", action=Action.NONE,
            needs=(("coolant_flow_m3_per_s",), ("command:pump",))),
]  # fmt: skip
