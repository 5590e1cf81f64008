"""Rows for what is not measured any more: a limit that is not watched does not protect."""

from __future__ import annotations

from openbms_core.fault_rows.row import BLOCKS, MOVES, NEEDS_CURRENT, OPENS, Action, FaultRow, Timing, single
from openbms_core.types import Level

__all__ = ["MISSING_ROWS"]

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
    single("BUS_LOST", "bus_lost", Timing(0.2, 0.1, 3.0),
            "The bus to the pack is silent, off, faulty or carries only foreign frames.", OPENS,
            "Check cable, termination, bit rate and supply of the pack; the driver's diagnostics say more.",
            at_start=False),
]  # fmt: skip
