"""Rows of the limit triples of the pack file: voltage, current, temperature of cells."""

from __future__ import annotations

from openbms_core.fault_rows.row import (
    CURRENT,
    HEAT_NEEDS,
    NEEDS_CURRENT,
    TEMPERATURE,
    VOLTAGE,
    Action,
    FaultRow,
    triple,
)

__all__ = ["LIMIT_ROWS"]

_TEMPERATURE_NEEDS_MAX = (*HEAT_NEEDS, NEEDS_CURRENT)
_TEMPERATURE_NEEDS_MIN = (("temperature_degc", "reported_temperature_minimum_degc"), NEEDS_CURRENT)

LIMIT_ROWS: list[FaultRow] = [
    *triple(
        "CELL_OVER_VOLTAGE", "cell_voltage_maximum", "cell_voltage_max_v", "V", VOLTAGE,
        (("cell_voltage_v", "reported_cell_voltage_maximum_v"),),
        "A cell's voltage is too high", "Stop charging; check charger settings and balance of that cell.",
        charge=0.0, safety_action=Action.OPEN,  # bleeding is what brings an overcharged cell down
    ),
    *triple(
        "CELL_UNDER_VOLTAGE", "cell_voltage_minimum", "cell_voltage_min_v", "V", VOLTAGE,
        (("cell_voltage_v", "reported_cell_voltage_minimum_v"),),
        "A cell's voltage is too low", "Charge the pack; a cell below the safety limit needs service first.",
        discharge=0.0, warning_action=Action.NO_BALANCING | Action.NO_HEATING,
    ),
    # A load that exceeds its limit is told half of it, not zero: zero and back again would make it pump.
    *triple(
        "OVER_CURRENT_CHARGE", "charge_current", "charge_current_max_a", "A", CURRENT, (NEEDS_CURRENT,),
        "A string is charged with too much current",
        "Make charger and regeneration obey the published limits.",
        charge=0.5,
    ),
    *triple(
        "OVER_CURRENT_DISCHARGE", "discharge_current", "discharge_current_max_a", "A", CURRENT,
        (NEEDS_CURRENT,),
        "A string is discharged with too much current",
        "Make the load obey the published limits; look for a short.",
        discharge=0.5,
    ),
    *triple(
        "OVER_TEMPERATURE_CHARGE", "charge_temperature_maximum", "charge_temperature_max_degc", "degC",
        TEMPERATURE, _TEMPERATURE_NEEDS_MAX,
        "Cells are charged while too hot", "Let the pack cool; check the cooling.", charge=0.0,
        warning_action=Action.NO_HEATING | Action.COOL,
    ),
    *triple(
        "OVER_TEMPERATURE_DISCHARGE", "discharge_temperature_maximum", "discharge_temperature_max_degc",
        "degC", TEMPERATURE, HEAT_NEEDS,
        "Cells are too hot, in discharge or at rest",
        "Let the pack cool; check the cooling. Watch for further rise.",
        charge=0.0, discharge=0.0, warning_action=Action.NO_HEATING | Action.NO_BALANCING | Action.COOL,
    ),
    *triple(
        "UNDER_TEMPERATURE_CHARGE", "charge_temperature_minimum", "charge_temperature_min_degc", "degC",
        TEMPERATURE, _TEMPERATURE_NEEDS_MIN,
        "Cells are charged while too cold, which plates lithium", "Warm the pack before charging.",
        charge=0.0,
    ),
    *triple(
        "UNDER_TEMPERATURE_DISCHARGE", "discharge_temperature_minimum", "discharge_temperature_min_degc",
        "degC", TEMPERATURE, _TEMPERATURE_NEEDS_MIN,
        "Cells are discharged while too cold", "Warm the pack.", discharge=0.0,
    ),
]  # fmt: skip
