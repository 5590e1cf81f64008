"""Rows for what is not measured any more: a limit that is not watched does not protect."""

from __future__ import annotations

from openbms_core.fault_rows.row import BLOCKS, MOVES, NEEDS_CURRENT, OPENS, Action, FaultRow, Timing, single
from openbms_core.types import Level

__all__ = ["MISSING_ROWS"]

_WARNS = "Warning."
_BUS = "Check the sensor, its wiring and the message that carries it."

MISSING_ROWS: list[FaultRow] = [
    single("CELL_VOLTAGE_MISSING", "cell_voltage_missing", Timing(0.5, 0.2, 5.0),
            "A cell's voltage is stale or not valid, so that its limits are not watched.", OPENS,
            "Check the cell-monitoring unit, its wiring and the bus.", unit="s",
            needs=(("cell_voltage_v", "reported_cell_voltage_maximum_v"),), at_start=False),
    single("TEMPERATURE_MISSING", "temperature_missing", Timing(5.0, 1.0, 30.0),
            "A cell temperature is stale or not valid, so that its limits are not watched.", OPENS,
            "Check the sensor, its wiring and the bus.", unit="s",
            needs=(("temperature_degc", "reported_temperature_maximum_degc"),), at_start=False),
    single("CURRENT_MISSING", "current_missing", Timing(0.2, 0.1, 2.0),
            "The current of a string is stale or not valid.", OPENS,
            "Check the current sensor, its supply and the bus.", needs=(NEEDS_CURRENT,), at_start=False),
    single("SAFETY_INPUT_MISSING", "safety_input_missing", Timing(0.2, 0.1, 2.0),
            "Interlock, emergency stop, smoke or gas detector is fitted but its state is unknown.", OPENS,
            "Check the message that carries it and its wiring.",
            needs=(("interlock", "emergency_stop", "smoke", "gas"),), at_start=False),
    # without feedback a weld cannot be seen: what is closed may stay closed, nothing new may close
    single("CONTACTOR_FEEDBACK_MISSING", "contactor_feedback_missing", Timing(0.5, 0.0, 5.0),
            "Contactor feedback is fitted but unknown.", BLOCKS, "Check the auxiliary contacts and the bus.",
            level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING, at_start=False, authorities=MOVES,
            needs=(("contactor_positive", "contactor_negative", "contactor_precharge"),)),
    single("INSULATION_MISSING", "insulation_missing", Timing(5.0, 0.0, 30.0),
            "The insulation monitor is fitted but gives no valid value.", BLOCKS,
            "Check the insulation monitor and its wiring.", level=Level.RECOMMENDED,
            action=Action.BLOCK_CLOSING,
            needs=(("insulation_resistance_ohm",),), at_start=False),
    # without it neither a precharge nor a weld can be judged
    single("LINK_VOLTAGE_MISSING", "link_voltage_missing", Timing(5.0, 0.0, 30.0),
            "The sensor of the link voltage is fitted but gives no valid value.", BLOCKS, _BUS,
            level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING, needs=(("link_voltage_v",),),
            at_start=False, authorities=("openbms",)),
    # What is fitted for comfort, comparison or a later warning: without it protection goes on.
    *(
        single(f"{name}_MISSING", f"{quantity}_missing", Timing(5.0, 0.0, 30.0),
                f"{what} fitted but gives no valid value.", does, cure, level=Level.RECOMMENDED,
                action=action, needs=((mapped,),), at_start=False)
        for name, quantity, mapped, what, does, cure, action in (
            ("STRING_VOLTAGE", "string_voltage", "string_voltage_v", "A string voltage sensor is",
             "Warning: the sum of the cells serves in its place.", _BUS, Action.NONE),
            ("REDUNDANT_CELL_VOLTAGE", "redundant_cell_voltage", "redundant_cell_voltage_v",
             "A second measurement of a cell is", _WARNS, _BUS, Action.NONE),
            ("REDUNDANT_CURRENT", "redundant_current", "redundant_string_current_a",
             "A second current sensor is", _WARNS, _BUS, Action.NONE),
            # a bleed that cannot be seen cannot be found stuck
            ("BALANCING_FEEDBACK", "balancing_feedback", "cell_balancing", "Feedback of a bleed resistor is",
             "Warning: balancing is switched off.", _BUS, Action.NO_BALANCING),
            ("AFE_TEMPERATURE", "afe_temperature", "temperature_degc:afe", "The die sensor of a front end is",
             "Warning: balancing is switched off.", _BUS, Action.NO_BALANCING),
            ("PRESSURE", "pressure", "pressure_pa", "The pressure sensor is", _WARNS, _BUS, Action.NONE),
            ("SUPPLY_VOLTAGE", "supply_voltage", "supply_voltage_v",
             "The measurement of the low-voltage supply is", _WARNS, _BUS, Action.NONE),
            ("COOLANT_FLOW", "coolant_flow", "coolant_flow_m3_per_s", "The coolant flow sensor is", _WARNS,
             _BUS, Action.NONE),
            ("ACTUATOR_FEEDBACK", "actuator_feedback", "actuator_feedback", "Feedback of an actuator is",
             _WARNS, _BUS, Action.NONE),
        )
    ),
    # Each value behind a refused frame goes stale by itself and is judged then; this one tells early that the
    # bus is sick.
    single("FRAME_INTEGRITY", "frame_error_ratio", Timing(1.0, 0.0, 10.0),
            "Too many frames of the pack are refused (checksum, counter, length).", BLOCKS,
            "Check cable, shield, termination and bit rate; the driver's diagnostics say which messages.",
            level=Level.RECOMMENDED, comparison="above", limit="frame_error_ratio_max",
            action=Action.BLOCK_CLOSING, detection_s=2.0),
    single("BUS_LOST", "bus_lost", Timing(0.2, 0.1, 3.0),
            "The bus to the pack is silent, off, faulty or carries only foreign frames.", OPENS,
            "Check cable, termination, bit rate and supply of the pack; the driver's diagnostics say more.",
            at_start=False),
]  # fmt: skip
