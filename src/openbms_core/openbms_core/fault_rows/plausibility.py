"""Rows of measurements that cannot be true: open wires, outliers, standing and jumping values, disagreement.

A value that is not believed is not watched any more, so it opens like a missing one; and it latches, since a
sensor that has lied is not believed again before a person has looked. Where a second measurement is there
that the limits are judged on as well, disagreement only warns: nothing is unwatched.

A broken sensor is not yet a danger, only the loss of the protection against a second fault. So the
fault-tolerant times are longer than those of the limits behind them, and the debounces long enough for cells
that are not sampled at the same moment.
"""

from __future__ import annotations

from openbms_core.fault_rows.row import NEEDS_CURRENT, OPENS_LATCHED, Action, FaultRow, Timing, single
from openbms_core.types import Level

__all__ = ["PLAUSIBILITY_ROWS"]

_CELLS = ("cell_voltage_v",)
_SENSORS = ("temperature_degc",)
_WARNS = "Warning."

PLAUSIBILITY_ROWS: list[FaultRow] = [
    # foxBMS only warns; here it opens: a cell whose wire is open is watched by nobody
    single("CELL_OPEN_WIRE", "cell_open_wire", Timing(0.5, 0.2, 5.0),
            "A sense wire is open: the device says so, or two neighbours depart by mirrored amounts.",
            OPENS_LATCHED, "Have the wires and connectors of that cell's front end repaired.", unit="V",
            latched=True, needs=(_CELLS,), at_start=False),
    # The limits follow the worst cell anyway. Half the power is for what they do not see: a bad joint
    # between two cells looks like spread under load, and its heat goes with the square of the current.
    single("CELL_VOLTAGE_SPREAD", "cell_voltage_spread", Timing(5.0, 0.0, 30.0),
            "A cell's voltage is far away from the others of its string.",
            "Warning: the limits are halved.",
            "Balance the pack; if it comes back under load, look for a bad joint or a weak cell.",
            level=Level.RECOMMENDED, comparison="above", limit="cell_voltage_spread_max_v", unit="V",
            action=Action.NONE, factors=(0.5, 0.5), needs=(_CELLS,)),
    # no factors: the limits follow the hottest and the coldest sensor themselves
    single("TEMPERATURE_SPREAD", "temperature_spread", Timing(10.0, 0.0, 60.0),
            "A cell sensor is far away from the others.", _WARNS,
            "Check coolant flow, air paths and heater; look at that sensor and its cells.",
            level=Level.RECOMMENDED, comparison="above", limit="temperature_spread_max_k", unit="K",
            action=Action.NONE, needs=(_SENSORS,)),
    single("CELL_VOLTAGE_STUCK", "cell_voltage_stuck", Timing(2.0, 0.5, 10.0),
            "A cell's voltage stands still to the bit although the others of its string move.", OPENS_LATCHED,
            "Restart the front end; replace it if it comes back.", unit="V", latched=True, needs=(_CELLS,)),
    # as slow as temperatures are; a missing sensor has the same fault-tolerant time
    single("TEMPERATURE_STUCK", "temperature_stuck", Timing(5.0, 1.0, 30.0),
            "A cell sensor stands still to the bit although the others move by several kelvins.",
            OPENS_LATCHED, "Check the sensor, its wiring and its front end.", unit="K", latched=True,
            needs=(_SENSORS,)),
    single("CURRENT_STUCK", "current_stuck", Timing(0.5, 0.1, 5.0),
            "A string's current stands still to the bit although its cells swing up and down together.",
            OPENS_LATCHED, "Check the current sensor and its supply.", unit="V", latched=True,
            needs=(NEEDS_CURRENT, _CELLS)),
    # What is real may look the same (a hard internal short): it opens either way.
    single("CELL_VOLTAGE_RATE", "cell_voltage_step", Timing(1.0, 0.2, 8.0),
            "A cell's voltage departed from its neighbours faster than a cell can.", OPENS_LATCHED,
            "Look for a loose sense wire; keep away from the pack if the voltage is real.",
            comparison="above", limit="cell_voltage_step_max_v", unit="V", latched=True, needs=(_CELLS,),
            detection_s=2.0),
    single("TEMPERATURE_RATE", "temperature_step", Timing(2.0, 1.0, 15.0),
            "A cell sensor changed faster than a cell can.", OPENS_LATCHED,
            "Check the sensor and its wiring; keep away from the pack if the temperature is real.",
            comparison="above", limit="temperature_step_max_k", unit="K", latched=True, needs=(_SENSORS,),
            detection_s=2.0),
    # Nobody knows which of the two is wrong, the cells or the sensor; foxBMS: 100 ms + 100 ms, fatal, at one
    # moment of sampling for both.
    single("STRING_VOLTAGE_MISMATCH", "string_voltage_difference", Timing(1.0, 0.2, 5.0),
            "The sum of the cells and the pack's own sensor disagree.", OPENS_LATCHED,
            "Check the string voltage sensor, the front ends' references and the number of mapped cells.",
            comparison="above", limit="string_voltage_difference_max_v", unit="V", latched=True,
            needs=(_CELLS, ("string_voltage_v",))),
    # the limits are judged on the worse of the two, so driving on is safe (foxBMS warns as well)
    single("REDUNDANT_CELL_VOLTAGE_MISMATCH", "redundant_cell_voltage_difference", Timing(2.0, 0.0, 10.0),
            "Two measurements of one cell disagree.",
            "Warning: the limits are judged on the worse of the two.",
            "Check both front ends.", level=Level.RECOMMENDED, comparison="above",
            limit="redundant_cell_voltage_difference_max_v", unit="V", action=Action.NONE,
            needs=(_CELLS, ("redundant_cell_voltage_v",))),
    single("REDUNDANT_CURRENT_MISMATCH", "redundant_current_difference", Timing(1.0, 0.0, 10.0),
            "Two current sensors of one string disagree.",
            "Warning: the limits are judged on the worse of the two.",
            "Check both sensors, their offset and their supply.", level=Level.RECOMMENDED, comparison="above",
            limit="redundant_current_difference_max_a", unit="A", action=Action.NONE,
            needs=(NEEDS_CURRENT, ("redundant_string_current_a",))),
    # mostly a wrong scale in the signal map; both are judged against the limits
    single("REPORTED_CELL_VOLTAGE_MISMATCH", "reported_cell_voltage_difference", Timing(10.0, 0.0, 60.0),
            "The smallest or largest cell voltage that the device reports is not that of its cells.",
            "Warning: the limits are judged on the worse of the two.",
            "Check scale and indices of the signals in the pack file.", level=Level.RECOMMENDED,
            comparison="above", limit="reported_cell_voltage_difference_max_v", unit="V", action=Action.NONE,
            needs=(_CELLS, ("reported_cell_voltage_minimum_v", "reported_cell_voltage_maximum_v"))),
    single("REPORTED_TEMPERATURE_MISMATCH", "reported_temperature_difference", Timing(30.0, 0.0, 120.0),
            "The lowest or highest temperature that the device reports is not that of its sensors.",
            "Warning: the limits are judged on the worse of the two.",
            "Check scale and indices of the signals in the pack file.", level=Level.RECOMMENDED,
            comparison="above", limit="reported_temperature_difference_max_k", unit="K", action=Action.NONE,
            needs=(_SENSORS, ("reported_temperature_minimum_degc", "reported_temperature_maximum_degc"))),
]  # fmt: skip
