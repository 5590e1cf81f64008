"""Messages to plain types and back.

The fields of a type in :mod:`openbms_core.types` are named like those of its message with the unit as
suffix; the
conversion is derived from both once, so that a field cannot be forgotten: a name without partner fails at
import.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import Header

from openbms_core import types
from openbms_core.types import State
from openbms_msgs import msg as messages

__all__ = [
    "CONTACTORS",
    "LIMITS",
    "MEASUREMENT",
    "STATE",
    "Conversion",
    "actuator_feedback_from_msg",
    "actuator_feedback_to_msg",
    "balancing_command_from_msg",
    "balancing_command_to_msg",
    "cell_diagnosis_from_msg",
    "cell_diagnosis_to_msg",
    "charge_command_from_msg",
    "charge_command_to_msg",
    "contactor_command_from_msg",
    "contactor_command_to_msg",
    "duration_to_msg",
    "grid_event_from_msg",
    "grid_event_to_msg",
    "limits_from_msg",
    "limits_to_msg",
    "measurement_from_msg",
    "measurement_to_msg",
    "power_limits_from_msg",
    "power_limits_to_msg",
    "power_setpoint_from_msg",
    "power_setpoint_to_msg",
    "site_meter_from_msg",
    "site_meter_to_msg",
    "state_from_msg",
    "state_of_charge_from_msg",
    "state_of_charge_to_msg",
    "state_of_health_from_msg",
    "state_of_health_to_msg",
    "state_to_msg",
    "thermal_command_from_msg",
    "thermal_command_to_msg",
    "time_from_msg",
    "time_to_msg",
    "vehicle_inputs_from_msg",
    "vehicle_inputs_to_msg",
    "within_float32",
]

_UNIT = re.compile(r"_(m3_per_s|degc|ohm|ah|wh|pa|hz|v|a|w|s)$")
_TYPE_CODES = {
    "float": ("f", np.float32),
    "double": ("d", np.float64),
    "uint8": ("B", np.uint8),
    "uint16": ("H", np.uint16),
    "uint32": ("I", np.uint32),
    "int32": ("i", np.int32),
    "int64": ("q", np.int64),
}
_FLOAT32_MAX = float(np.finfo(np.float32).max)

TypeT = TypeVar("TypeT")


def time_to_msg(seconds: float) -> Time:
    """Convert seconds to builtin_interfaces/Time; a time that is not finite or negative becomes 0."""
    if not math.isfinite(seconds) or seconds < 0:
        return Time()
    whole = math.floor(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    return Time(sec=whole + nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def time_from_msg(stamp: Time | Duration) -> float:
    """Convert builtin_interfaces/Time or Duration to seconds."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def duration_to_msg(seconds: float) -> Duration:
    """Convert seconds to builtin_interfaces/Duration."""
    stamp = time_to_msg(seconds)
    return Duration(sec=stamp.sec, nanosec=stamp.nanosec)


def _array_to_msg(code: str, dtype: Any, value: Any) -> array[Any]:
    # assigned as array.array since field checks refuse an ndarray here
    return array(code, np.ascontiguousarray(value, dtype=dtype).tobytes())


def within_float32(value: Any) -> float:
    """Give a number that a float32 field takes: beyond its range infinity, as the wire would say."""
    value = float(value)
    return math.copysign(math.inf, value) if math.isfinite(value) and abs(value) > _FLOAT32_MAX else value


def _writer(field_type: str) -> Callable[[Any], Any]:
    if match := re.fullmatch(r"sequence<(\w+)>", field_type):
        if match[1] in _TYPE_CODES:
            return partial(_array_to_msg, *_TYPE_CODES[match[1]])
        return list
    if field_type.startswith("sequence<"):
        return lambda _: []  # of messages: their own converter fills them in
    if field_type == "builtin_interfaces/Duration":
        return duration_to_msg
    if field_type == "builtin_interfaces/Time":
        return time_to_msg
    if field_type == "float":
        return within_float32
    return {"double": float, "boolean": bool, "string": str}.get(field_type, int)


def _plain_dtype(field_type: str) -> Any:
    """Give the type of an array of numbers in the plain types: either kind of float is float64 there."""
    code, dtype = _TYPE_CODES.get(field_type[len("sequence<") : -1], ("", None))
    return np.float64 if code and code in "fd" else dtype


def _reader(field_type: str) -> Callable[[Any], Any]:
    if match := re.fullmatch(r"sequence<(\w+)>", field_type):
        if match[1] in _TYPE_CODES:
            return partial(np.array, dtype=_plain_dtype(field_type))
        return list
    if field_type in ("builtin_interfaces/Duration", "builtin_interfaces/Time"):
        return time_from_msg
    return lambda value: value


class Conversion:
    """Field-by-field conversion between one type and its message.

    Parameters
    ----------
    plain, message : type
        The plain type and its message.

    Raises
    ------
    TypeError
        A field of one has no partner in the other.
    """

    def __init__(self, plain: type[Any], message: type[Any]) -> None:
        self.plain, self.message = plain, message
        types_of = message.get_fields_and_field_types()
        names = [item.name for item in fields(plain) if item.name != "stamp_s"]
        pairs = [(name, name if name in types_of else _UNIT.sub("", name)) for name in names]
        missing = [name for name, other in pairs if other not in types_of]
        left = set(types_of) - {other for _, other in pairs} - {"header"}
        if missing or left:
            raise TypeError(
                f"{plain.__name__} and {message.__name__} do not match: {missing or sorted(left)}"
            )
        self.writers = [(name, other, _writer(types_of[other])) for name, other in pairs]
        states = {"state", "previous_state", "requested_state"}
        self.readers = [
            (name, other, State if other in states else _reader(types_of[other])) for name, other in pairs
        ]
        self.dtypes = {
            name: _plain_dtype(kind) for name, kind in types_of.items() if kind.startswith("sequence<")
        }
        """Of arrays of numbers in the plain type, by the message's name."""
        self.stamped = any(item.name == "stamp_s" for item in fields(plain))

    def to_msg(self, value: Any, header: Header) -> Any:
        """Give the message."""
        message = self.message()
        message.header = header
        return self.fill(message, value)

    def fill(self, message: Any, value: Any) -> Any:
        """Fill in all but the header; give the message."""
        for name, other, convert in self.writers:
            setattr(message, other, convert(getattr(value, name)))
        return message

    def from_msg(self, message: Any) -> Any:
        """Give the plain value."""
        values = {name: convert(getattr(message, other)) for name, other, convert in self.readers}
        if self.stamped:
            values["stamp_s"] = time_from_msg(message.header.stamp)
        return self.plain(**values)


def _header(stamp_s: float, pack_serial: str) -> Header:
    return Header(stamp=time_to_msg(stamp_s), frame_id=pack_serial)


MEASUREMENT = Conversion(types.PackMeasurement, messages.PackMeasurement)
_SOC = Conversion(types.StateOfCharge, messages.StateOfCharge)
_SOH = Conversion(types.StateOfHealth, messages.StateOfHealth)
_DIAGNOSIS = Conversion(types.CellDiagnosis, messages.CellDiagnosis)
_FINDING = Conversion(types.DiagnosisFinding, messages.DiagnosisFinding)
_POWER_LIMITS = Conversion(types.PowerLimits, messages.PowerLimits)
LIMITS = Conversion(types.FinalLimits, messages.Limits)
STATE = Conversion(types.BmsStatus, messages.BmsState)
CONTACTORS = Conversion(types.ContactorCommand, messages.ContactorCommand)
_BALANCING = Conversion(types.BalancingCommand, messages.BalancingCommand)
_THERMAL = Conversion(types.ThermalCommand, messages.ThermalCommand)
_CHARGE = Conversion(types.ChargeCommand, messages.ChargeCommand)
_ACTUATORS = Conversion(types.ActuatorFeedback, messages.ActuatorFeedback)
_GRID = Conversion(types.GridEvent, messages.GridEvent)
_SETPOINT = Conversion(types.PowerSetpoint, messages.PowerSetpoint)
_METER = Conversion(types.SiteMeter, messages.SiteMeter)
_VEHICLE = Conversion(types.VehicleInputs, messages.VehicleInputs)


def measurement_to_msg(value: types.PackMeasurement, pack_serial: str) -> messages.PackMeasurement:
    """Convert a scan to its message, stamped with the scan's own time."""
    return MEASUREMENT.to_msg(value, _header(value.stamp_s, pack_serial))


def measurement_from_msg(message: messages.PackMeasurement) -> types.PackMeasurement:
    """Convert a message to a scan."""
    return MEASUREMENT.from_msg(message)  # type: ignore[no-any-return]


def state_of_charge_to_msg(value: types.StateOfCharge, pack_serial: str) -> messages.StateOfCharge:
    """Convert a state of charge to its message, stamped with the measurement's time."""
    return _SOC.to_msg(value, _header(value.stamp_s, pack_serial))


def state_of_charge_from_msg(message: messages.StateOfCharge) -> types.StateOfCharge:
    """Convert a message to a state of charge."""
    return _SOC.from_msg(message)  # type: ignore[no-any-return]


def state_of_health_to_msg(value: types.StateOfHealth, pack_serial: str) -> messages.StateOfHealth:
    """Convert a state of health to its message, stamped with the measurement's time."""
    return _SOH.to_msg(value, _header(value.stamp_s, pack_serial))


def state_of_health_from_msg(message: messages.StateOfHealth) -> types.StateOfHealth:
    """Convert a message to a state of health."""
    return _SOH.from_msg(message)  # type: ignore[no-any-return]


def cell_diagnosis_to_msg(value: types.CellDiagnosis, pack_serial: str) -> messages.CellDiagnosis:
    """Convert a diagnosis to its message, stamped with the measurement's time."""
    message = _DIAGNOSIS.to_msg(value, _header(value.stamp_s, pack_serial))
    message.findings = [_FINDING.fill(messages.DiagnosisFinding(), finding) for finding in value.findings]
    return message


def cell_diagnosis_from_msg(message: messages.CellDiagnosis) -> types.CellDiagnosis:
    """Convert a message to a diagnosis."""
    value = _DIAGNOSIS.from_msg(message)
    value.findings = [_FINDING.from_msg(finding) for finding in message.findings]
    return value  # type: ignore[no-any-return]


def power_limits_to_msg(value: types.PowerLimits, pack_serial: str) -> messages.PowerLimits:
    """Convert advisory limits to their message, stamped with the measurement's time."""
    return _POWER_LIMITS.to_msg(value, _header(value.stamp_s, pack_serial))


def power_limits_from_msg(message: messages.PowerLimits) -> types.PowerLimits:
    """Convert a message to advisory limits."""
    return _POWER_LIMITS.from_msg(message)  # type: ignore[no-any-return]


def limits_to_msg(value: types.FinalLimits, header: Header) -> messages.Limits:
    """Convert final limits to their message."""
    return LIMITS.to_msg(value, header)


def limits_from_msg(message: messages.Limits) -> types.FinalLimits:
    """Convert a message to final limits."""
    return LIMITS.from_msg(message)  # type: ignore[no-any-return]


def state_to_msg(value: types.BmsStatus, header: Header) -> messages.BmsState:
    """Convert a state to its message."""
    return STATE.to_msg(value, header)


def state_from_msg(message: messages.BmsState) -> types.BmsStatus:
    """Convert a message to a state."""
    return STATE.from_msg(message)  # type: ignore[no-any-return]


def contactor_command_to_msg(value: types.ContactorCommand, header: Header) -> messages.ContactorCommand:
    """Convert a contactor command to its message."""
    return CONTACTORS.to_msg(value, header)


def contactor_command_from_msg(message: messages.ContactorCommand) -> types.ContactorCommand:
    """Convert a message to a contactor command."""
    return CONTACTORS.from_msg(message)  # type: ignore[no-any-return]


def balancing_command_to_msg(value: types.BalancingCommand, header: Header) -> messages.BalancingCommand:
    """Convert a balancing command to its message."""
    return _BALANCING.to_msg(value, header)


def balancing_command_from_msg(message: messages.BalancingCommand) -> types.BalancingCommand:
    """Convert a message to a balancing command."""
    return _BALANCING.from_msg(message)  # type: ignore[no-any-return]


def thermal_command_to_msg(value: types.ThermalCommand, header: Header) -> messages.ThermalCommand:
    """Convert a thermal command to its message."""
    return _THERMAL.to_msg(value, header)


def thermal_command_from_msg(message: messages.ThermalCommand) -> types.ThermalCommand:
    """Convert a message to a thermal command."""
    return _THERMAL.from_msg(message)  # type: ignore[no-any-return]


def charge_command_to_msg(value: types.ChargeCommand, header: Header) -> messages.ChargeCommand:
    """Convert a charge command to its message."""
    return _CHARGE.to_msg(value, header)


def charge_command_from_msg(message: messages.ChargeCommand) -> types.ChargeCommand:
    """Convert a message to a charge command."""
    return _CHARGE.from_msg(message)  # type: ignore[no-any-return]


def actuator_feedback_to_msg(value: types.ActuatorFeedback, header: Header) -> messages.ActuatorFeedback:
    """Convert a feedback of actuators to its message."""
    return _ACTUATORS.to_msg(value, header)


def actuator_feedback_from_msg(message: messages.ActuatorFeedback) -> types.ActuatorFeedback:
    """Convert a message to a feedback of actuators."""
    return _ACTUATORS.from_msg(message)  # type: ignore[no-any-return]


def grid_event_to_msg(value: types.GridEvent, header: Header) -> messages.GridEvent:
    """Convert a event of the grid to its message."""
    return _GRID.to_msg(value, header)


def grid_event_from_msg(message: messages.GridEvent) -> types.GridEvent:
    """Convert a message to a event of the grid."""
    return _GRID.from_msg(message)  # type: ignore[no-any-return]


def power_setpoint_to_msg(value: types.PowerSetpoint, header: Header) -> messages.PowerSetpoint:
    """Convert a setpoint to its message."""
    return _SETPOINT.to_msg(value, header)


def power_setpoint_from_msg(message: messages.PowerSetpoint) -> types.PowerSetpoint:
    """Convert a message to a setpoint."""
    return _SETPOINT.from_msg(message)  # type: ignore[no-any-return]


def site_meter_to_msg(value: types.SiteMeter, header: Header) -> messages.SiteMeter:
    """Convert a reading of the site's meter to its message."""
    return _METER.to_msg(value, header)


def site_meter_from_msg(message: messages.SiteMeter) -> types.SiteMeter:
    """Convert a message to a reading of the site's meter."""
    return _METER.from_msg(message)  # type: ignore[no-any-return]


def vehicle_inputs_to_msg(value: types.VehicleInputs, header: Header) -> messages.VehicleInputs:
    """Convert a word of the vehicle to its message."""
    return _VEHICLE.to_msg(value, header)


def vehicle_inputs_from_msg(message: messages.VehicleInputs) -> types.VehicleInputs:
    """Convert a message to a word of the vehicle."""
    return _VEHICLE.from_msg(message)  # type: ignore[no-any-return]
