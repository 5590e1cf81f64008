"""Rows of the thermal-runaway watch: warning, alarm, emergency. Each is a row of its own name, since they are
not three limits of one quantity.

The watch confirms what it sees itself, so the rows have no debounce. Fault-tolerant times: 10 s for a
reaction
to evidence that is there; the watch's own time is measured in ``benchmarks/runaway_watch.py``.
"""

from __future__ import annotations

from openbms_core.fault_rows.row import OPENS_LATCHED, Action, FaultRow, Timing, single
from openbms_core.types import Level

__all__ = ["RUNAWAY_ROWS"]

_TEMPERATURE = ("temperature_degc", "reported_temperature_maximum_degc")
_SEEN = Timing(0.0, 0.0, 10.0)
_CARE = Action.NO_BALANCING | Action.NO_HEATING | Action.COOL
_KEEP_AWAY = "Stop, leave the vehicle, keep away, call the fire brigade."

RUNAWAY_ROWS: list[FaultRow] = [
    single("THERMAL_RUNAWAY_WARNING", "runaway_indicators", _SEEN,
            "One indicator of a thermal runaway: a cell heats or its voltage falls as its neighbours do not, "
            "or gas, smoke, pressure or insulation say so.",
            "The charge limit is zero, so is regeneration; no balancing, no heating, but cooling. Driving "
            "goes on.",
            "Stop where it is safe, in the open. Do not charge; have the pack checked before further use.",
            level=Level.RECOMMENDED, comparison="above", limit=0.0, unit="indicators",
            action=_CARE | Action.END_CHARGING, factors=(0.0, 1.0),
            needs=((*_TEMPERATURE, "cell_voltage_v"),)),
    single("THERMAL_RUNAWAY_ALARM", "runaway_indicators", _SEEN,
            "Two independent indicators of a thermal runaway.", OPENS_LATCHED, _KEEP_AWAY,
            comparison="above", limit=1.0, unit="indicators", latched=True, by_name=True,
            action=Action.OPEN | _CARE,
            needs=(_TEMPERATURE, ("cell_voltage_v", "gas", "smoke", "pressure_pa",
                                  "insulation_resistance_ohm"))),
    single("THERMAL_RUNAWAY_EMERGENCY", "runaway_confirmed", _SEEN,
            "A cell is in thermal runaway by the criterion of GB 38031-2025 C.5.3.7.", OPENS_LATCHED,
            f"{_KEEP_AWAY} The pack may burn again hours later; it must not be used any more.",
            unit="K/s", latched=True, by_name=True, action=Action.OPEN | _CARE, needs=(_TEMPERATURE,)),
]  # fmt: skip
"""In the order in which a runaway shows itself."""
