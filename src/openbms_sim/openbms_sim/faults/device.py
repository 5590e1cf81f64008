"""The device itself: contactors, inputs, small sensors, its processor."""

from __future__ import annotations

from typing import Literal

from openbms_core.config_file import NonNegative, Positive
from openbms_sim.faults.base import Cell, Contactor, Injection

__all__ = [
    "BleedStuckOn",
    "ChargingPlug",
    "ContactorDropsOut",
    "ContactorFailsToClose",
    "ContactorFeedback",
    "ContactorWelded",
    "DeviceReboot",
    "EmergencyStop",
    "Gas",
    "Ignition",
    "InputUnknown",
    "Insulation",
    "InsulationUnknown",
    "InterlockOpen",
    "Pressure",
    "PressureUnavailable",
    "Smoke",
    "SupplyVoltage",
]


class DeviceReboot(Injection):
    """The device restarts once, at the start: silence, contactors open, counters from zero.

    After the silence it sends again, and refuses commands for a while; then it closes nothing before it was
    told to have everything open.
    """

    fault: Literal["device_reboot"]
    silence_s: Positive = 1.0
    refuse_s: NonNegative = 1.0


class ContactorWelded(Injection):
    """A contactor does not open once it is closed."""

    fault: Literal["contactor_welded"]
    contactor: Contactor


class ContactorFailsToClose(Injection):
    """A contactor does not close."""

    fault: Literal["contactor_fails_to_close"]
    contactor: Contactor


class ContactorDropsOut(Injection):
    """A contactor opens by itself (broken coil or coil supply) and does not close."""

    fault: Literal["contactor_drops_out"]
    contactor: Contactor


class ContactorFeedback(Injection):
    """The auxiliary contact says something of its own."""

    fault: Literal["contactor_feedback"]
    contactor: Contactor
    value: Literal["open", "closed", "unknown"]


class Insulation(Injection):
    """The insulation resistance has this value, or falls to it (evenly on a logarithmic scale)."""

    fault: Literal["insulation"]
    resistance_ohm: NonNegative
    ramp_s: NonNegative = 0.0
    """Time in which it falls there."""


class InsulationUnknown(Injection):
    """The insulation monitor has stopped."""

    fault: Literal["insulation_unknown"]


class InterlockOpen(Injection):
    """The interlock loop is broken."""

    fault: Literal["interlock_open"]


class EmergencyStop(Injection):
    """The emergency stop is pressed."""

    fault: Literal["emergency_stop"]


class Smoke(Injection):
    """The smoke detector gives alarm."""

    fault: Literal["smoke"]


class Gas(Injection):
    """The gas detector gives alarm."""

    fault: Literal["gas"]


class InputUnknown(Injection):
    """The pack controller does not know the state of an input."""

    fault: Literal["input_unknown"]
    input: Literal["interlock", "emergency_stop", "smoke", "gas", "ignition", "charging_plug"]


class Pressure(Injection):
    """The absolute pressure in the housing has this value, or rises to it evenly."""

    fault: Literal["pressure"]
    value_pa: NonNegative
    ramp_s: NonNegative = 0.0


class PressureUnavailable(Injection):
    """The pressure sensor has no value."""

    fault: Literal["pressure_unavailable"]


class ChargingPlug(Injection):
    """The charging plug is in or out."""

    fault: Literal["charging_plug"]
    plugged: bool


class Ignition(Injection):
    """The key is on or off."""

    fault: Literal["ignition"]
    switched_on: bool


class SupplyVoltage(Injection):
    """The 12 V supply has this value."""

    fault: Literal["supply_voltage"]
    value_v: NonNegative


class BleedStuckOn(Injection):
    """The bleed resistor of a cell cannot be switched off."""

    fault: Literal["bleed_stuck_on"]
    cell: Cell
    reported: bool = True
    """The device says so; otherwise it says what it was told."""
