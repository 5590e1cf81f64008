"""Cells, connections, cooling and load: what goes wrong in the physics of the pack."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from openbms_core.config_file import NonNegative, Number, Positive, Unit
from openbms_sim.faults.base import Cell, Injection

__all__ = [
    "ActuatorDead",
    "CellInternalShort",
    "CellSelfDischarge",
    "CellThermalRunaway",
    "Condition",
    "ConnectionResistance",
    "CoolantBlocked",
    "HeaterStuckOn",
    "LinkLoad",
    "Load",
    "PrechargeResistorOpen",
]


class CellInternalShort(Injection):
    """A resistor inside one cell (plant only: a recorded cell has none)."""

    plant_only: ClassVar[bool] = True
    fault: Literal["cell_internal_short"]
    cell: Cell
    resistance_ohm: Annotated[Number, Field(ge=0.05)]


class CellSelfDischarge(Injection):
    """A cell discharges itself with this current, beside what flows (plant only)."""

    plant_only: ClassVar[bool] = True
    fault: Literal["cell_self_discharge"]
    cell: Cell
    current_a: Annotated[Number, Field(gt=0, le=50)]


class CellThermalRunaway(Injection):
    """A cell goes into thermal runaway (plant only): see :mod:`openbms_sim.plant.runaway`.

    A growing internal short heats it; above about 90 °C it heats itself; its voltage dips and recovers in
    part, it vents, then its voltage collapses. When the injection ends the pack is as it was before.
    """

    plant_only: ClassVar[bool] = True
    fault: Literal["cell_thermal_runaway"]
    cell: Cell
    short_ohm: Annotated[Number, Field(ge=0.05, le=10)] = 0.5
    """The short at the end of its growth."""
    ramp_s: Positive = 20.0
    """Time in which it grows there from 100 times that."""
    self_heating: bool = True
    """Without it the short alone heats."""


class ConnectionResistance(Injection):
    """The connection above a cell has this much more resistance, and heats (plant only)."""

    plant_only: ClassVar[bool] = True
    fault: Literal["connection_resistance"]
    cell: Cell
    resistance_ohm: Annotated[Number, Field(gt=0, le=10)]
    ramp_s: NonNegative = 0.0
    """Time in which it grows evenly from nothing."""


class CoolantBlocked(Injection):
    """The coolant does not flow as it should, though the pump runs (plant only: a record has no coolant)."""

    plant_only: ClassVar[bool] = True
    fault: Literal["coolant_blocked"]
    remaining: Unit = 0.0
    """Part of the flow that is left."""


class ActuatorDead(Injection):
    """Pump, fan, chiller or heater does nothing whatever it is told."""

    fault: Literal["pump_stopped", "fan_dead", "chiller_dead", "heater_dead"]
    feedback_right: bool = True
    """Its feedback says that it stands; otherwise what it was told."""

    @property
    def actuator(self) -> str:
        """Which one."""
        return self.fault.split("_")[0]


class HeaterStuckOn(Injection):
    """The heater runs at full power whatever it is told."""

    fault: Literal["heater_stuck_on"]


class PrechargeResistorOpen(Injection):
    """The precharge resistor is burnt out."""

    fault: Literal["precharge_resistor_open"]


class LinkLoad(Injection):
    """Something on the link draws current all the time, also while it is precharged."""

    fault: Literal["link_load"]
    resistance_ohm: Positive


class Load(Injection):
    """The load wants this current, in place of the recorded one (plant only; positive charges)."""

    plant_only: ClassVar[bool] = True
    fault: Literal["load"]
    current_a: Number
    obeys: bool = True
    """It keeps to the limits and stops at the request for zero current, and outside of the states for use."""


class Condition(Injection):
    """Puts the pack into a condition at the start, then leaves it alone: no fault, but where one begins."""

    plant_only: ClassVar[bool] = True
    fault: Literal["condition"]
    soc: Unit | None = None
    """Mean of the cells; they keep their distances. Every cell is at rest then."""
    cell: Cell | None = None
    """Only this cell gets the state of charge and temperature."""
    temperature_degc: Annotated[Number, Field(ge=-40, le=90)] | None = None
    """Of cells and coolant."""
    ambient_degc: Annotated[Number, Field(ge=-40, le=90)] | None = None
    ramp_s: NonNegative = 0.0
    """Time in which it gets there evenly; a step of all cells at once would be a fault of its own."""
