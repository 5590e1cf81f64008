"""Sensors that do not say what is there: biased, noisy, frozen, of wrong scale, drifting, open."""

from __future__ import annotations

from typing import Literal

from openbms_core.config_file import NonNegative, Number, Positive
from openbms_sim.faults.base import Cell, Injection, Module

__all__ = [
    "CellOpenWire",
    "CellVoltageDrift",
    "CellVoltageGain",
    "CellVoltageNoise",
    "CellVoltageOffset",
    "CellVoltageStuck",
    "CoolantFlowStuck",
    "CurrentDrift",
    "CurrentGain",
    "CurrentNoise",
    "CurrentOffset",
    "CurrentStuck",
    "CurrentUnavailable",
    "FrozenScan",
    "ModuleVoltageGain",
    "ModuleVoltageStuck",
    "OfCell",
    "OfCurrent",
    "OfPackVoltage",
    "OfTemperature",
    "PackVoltageGain",
    "PackVoltageNoise",
    "PackVoltageOffset",
    "PackVoltageStuck",
    "PackVoltageUnavailable",
    "TemperatureDrift",
    "TemperatureGain",
    "TemperatureNoise",
    "TemperatureOffset",
    "TemperatureOpen",
    "TemperatureStuck",
]

# ---- cell voltages ------------------------------------------------------------------------------------


class OfCell(Injection):
    """One cell's voltage is measured wrong."""

    cell: Cell


class CellVoltageOffset(OfCell):
    """The front end measures one cell wrong by an offset."""

    fault: Literal["cell_voltage_offset"]
    offset_v: Number


class CellVoltageGain(OfCell):
    """The front end measures one cell with a wrong scale."""

    fault: Literal["cell_voltage_gain"]
    gain: Number


class CellVoltageNoise(OfCell):
    """The reading of one cell is noisy (normally distributed, new in every scan)."""

    fault: Literal["cell_voltage_noise"]
    sigma_v: Positive


class CellVoltageDrift(OfCell):
    """The reading of one cell wanders away at a constant rate."""

    fault: Literal["cell_voltage_drift"]
    rate_v_per_s: Number


class CellVoltageStuck(OfCell):
    """The front end repeats a value for one cell."""

    fault: Literal["cell_voltage_stuck"]
    value_v: NonNegative | None = None
    """Absent: the value of the moment in which it starts."""


class CellOpenWire(OfCell):
    """The sense wire above a cell is open.

    What a front end shows then depends on its filter and on whether it has looked for open wires:
    ``not_available``: it has found the wire and says so; ``mirrored``: the floating input charges, this cell
    reads low and its upper neighbour high by the same amount (their sum stays right), with a time constant;
    ``drifting``: the same, but a leak pulls the input away at a constant rate until the converter clips.
    The topmost wire of a module has no neighbour on the same front end: there the cell alone reads low.
    """

    fault: Literal["cell_open_wire"]
    mode: Literal["not_available", "mirrored", "drifting"] = "not_available"
    shift_v: Number = 0.8
    """Where ``mirrored`` ends."""
    time_constant_s: Positive = 0.5
    rate_v_per_s: Number = 0.05
    """Of ``drifting``."""


class ModuleVoltageGain(Injection):
    """The reference of a front end is off: all its cells and its module sum have a wrong scale."""

    fault: Literal["module_voltage_gain"]
    module: Module
    gain: Number


class ModuleVoltageStuck(Injection):
    """A front end repeats its last conversion of all its cells; its frames and counters go on."""

    fault: Literal["module_voltage_stuck"]
    module: Module


class FrozenScan(Injection):
    """The pack controller repeats the values of one moment; frames and counters go on."""

    fault: Literal["frozen_scan"]


# ---- temperatures -------------------------------------------------------------------------------------


class OfTemperature(Injection):
    """A temperature sensor measures wrong."""

    sensor: str
    """Name of the sensor in the pack file; may hold ``*``."""


class TemperatureOffset(OfTemperature):
    """A temperature sensor measures wrong by an offset."""

    fault: Literal["temperature_offset"]
    offset_degc: Number


class TemperatureGain(OfTemperature):
    """A temperature sensor has a wrong scale around a reference (an NTC of another B value)."""

    fault: Literal["temperature_gain"]
    gain: Number
    reference_degc: Number = 25.0


class TemperatureNoise(OfTemperature):
    """A temperature sensor is noisy (normally distributed, new in every scan)."""

    fault: Literal["temperature_noise"]
    sigma_degc: Positive


class TemperatureDrift(OfTemperature):
    """A temperature sensor wanders away at a constant rate."""

    fault: Literal["temperature_drift"]
    rate_degc_per_s: Number


class TemperatureStuck(OfTemperature):
    """A temperature sensor repeats a value."""

    fault: Literal["temperature_stuck"]
    value_degc: Number | None = None
    """Absent: the value of the moment in which it starts."""


class TemperatureOpen(OfTemperature):
    """A temperature sensor is open: not available."""

    fault: Literal["temperature_open"]


# ---- current ------------------------------------------------------------------------------------------


class OfCurrent(Injection):
    """A current sensor measures wrong; the charge counter is that of the main one."""

    which: Literal["main", "redundant", "both"] = "main"


class CurrentOffset(OfCurrent):
    """The current sensor has an offset; its charge counter too."""

    fault: Literal["current_offset"]
    offset_a: Number


class CurrentGain(OfCurrent):
    """The current sensor multiplies by a gain; its charge counter too."""

    fault: Literal["current_gain"]
    gain: Number


class CurrentNoise(OfCurrent):
    """The current sensor is noisy (normally distributed, new in every sample)."""

    fault: Literal["current_noise"]
    sigma_a: Positive


class CurrentDrift(OfCurrent):
    """The current sensor wanders away at a constant rate."""

    fault: Literal["current_drift"]
    rate_a_per_s: Number


class CurrentStuck(OfCurrent):
    """The current sensor repeats a value."""

    fault: Literal["current_stuck"]
    value_a: Number | None = None
    """Absent: the value of the moment in which it starts."""


class CurrentUnavailable(OfCurrent):
    """The current sensor reports an internal error and no value."""

    fault: Literal["current_unavailable"]


# ---- string and link voltage, coolant flow ------------------------------------------------------------


class OfPackVoltage(Injection):
    """String or link voltage is measured wrong; the name of the fault says which."""

    fault: str

    @property
    def of_string(self) -> bool:
        """The string voltage is meant, not the link's."""
        return self.fault.startswith("string")


class PackVoltageOffset(OfPackVoltage):
    """String or link voltage has an offset."""

    fault: Literal["string_voltage_offset", "link_voltage_offset"]
    offset_v: Number


class PackVoltageGain(OfPackVoltage):
    """String or link voltage has a wrong scale."""

    fault: Literal["string_voltage_gain", "link_voltage_gain"]
    gain: Number


class PackVoltageNoise(OfPackVoltage):
    """String or link voltage is noisy (normally distributed, new in every scan)."""

    fault: Literal["string_voltage_noise", "link_voltage_noise"]
    sigma_v: Positive


class PackVoltageStuck(OfPackVoltage):
    """String or link voltage repeats a value."""

    fault: Literal["string_voltage_stuck", "link_voltage_stuck"]
    value_v: NonNegative | None = None
    """Absent: the value of the moment in which it starts."""


class PackVoltageUnavailable(OfPackVoltage):
    """String or link voltage is not available."""

    fault: Literal["string_voltage_unavailable", "link_voltage_unavailable"]


class CoolantFlowStuck(Injection):
    """The flow sensor repeats a value."""

    fault: Literal["coolant_flow_stuck"]
    value_l_per_min: NonNegative | None = None
    """Absent: the value of the moment in which it starts."""
