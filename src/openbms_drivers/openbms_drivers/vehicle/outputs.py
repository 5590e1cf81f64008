"""What the vehicle is told: limits that expire, state, estimates, measurement, a summary of the faults.

Everything is looked up when it is sent, with its age at that moment. Stale limits are zero, with a flag that
says so; a stale state allows nothing; whatever else is stale is unknown (NaN), which the sender writes as the
not-available code of the signal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from openbms_core.types import (
    BmsStatus,
    FaultState,
    FinalLimits,
    PackMeasurement,
    StateOfCharge,
    StateOfHealth,
    Validity,
)
from openbms_drivers.gateway.held import Held

__all__ = ["OUTPUT_VALUES", "REASON_CODES", "VehicleOutputs", "fault_group"]

REASON_CODES = {
    "current_rating": 1, "estimator": 2, "cell_voltage_high": 3, "cell_voltage_low": 4, "temperature_high": 5,
    "temperature_low": 6, "cell_voltage_unknown": 7, "temperature_unknown": 7, "string_voltage_unknown": 7,
    "measurement_lost": 7, "limp_home": 8, "device_limit": 9, "fault": 10, "recovering": 11,
    "zero_current_requested": 12, "state": 13,
}  # fmt: skip
"""Codes of the DBC for what binds a limit; 0: nothing, 14: something else, 15: the limits have expired."""
_OTHER, _EXPIRED = 14, 15

_GROUPS = (
    ("runaway", ("THERMAL_RUNAWAY", "SMOKE", "GAS", "PRESSURE")),
    ("insulation", ("INSULATION",)),
    ("contactor", ("CONTACTOR", "PRECHARGE", "LINK_LIVE", "OPENED_UNDER_LOAD", "STRING_ISOLATED")),
    ("input", ("EMERGENCY_STOP", "INTERLOCK", "SAFETY_INPUT", "PLUGGED_IN", "SUPPLY_VOLTAGE")),
    ("current", ("CURRENT",)),
    ("temperature", ("TEMPERATURE", "COOLANT", "HEATER", "PUMP", "FAN")),
    ("cell_voltage", ("CELL", "VOLTAGE", "DEEP_DISCHARGE", "BLEED")),
)  # fmt: skip
_GROUP_NAMES = (*(name for name, _ in _GROUPS), "system")

OUTPUT_VALUES = frozenset(
    {
        "soc", "displayed_soc", "soc_std", "soh", "remaining_energy_wh", "remaining_charge_ah",
        "charge_current_limit_a", "discharge_current_limit_a", "charge_power_limit_w",
        "discharge_power_limit_w", "charge_reason", "discharge_reason", "limits_expired", "limp_home",
        "shutdown_in_s", "state", "state_expired", "contactors_closed", "zero_current_requested",
        "opening_deadline_s", "charge_allowed", "discharge_allowed", "current_a", "voltage_v", "power_w",
        "link_voltage_v", "cell_voltage_min_v", "cell_voltage_max_v", "temperature_min_degc",
        "temperature_max_degc", "insulation_ohm", "fault_level", "fault_count", "crash_latched",
        "request_answer",
        *(f"fault_{name}" for name in _GROUP_NAMES),
    }
)  # fmt: skip
"""What can be sent to a vehicle."""

Fault = tuple[str, int, int]
"""Identifier, level, state."""


def fault_group(identifier: str) -> str:
    """Give the group of a row of the fault table, by its identifier."""
    return next((name for name, parts in _GROUPS if any(part in identifier for part in parts)), "system")


class VehicleOutputs:
    """Holds what the topics said and gives what is sent now.

    The setters may be called by another thread than :meth:`values`.
    """

    def __init__(self) -> None:
        self._limits: Held[FinalLimits] = Held("limits")
        self._state: Held[BmsStatus] = Held("state")
        self._soc: Held[StateOfCharge] = Held("soc")
        self._soh: Held[StateOfHealth] = Held("soh")
        self._scan: Held[dict[str, float]] = Held("measurement")
        self._faults: Held[tuple[Fault, ...]] = Held("faults")
        self.crash_latched = False
        self.request_answer = 0

    def set_limits(self, limits: FinalLimits, now_s: float) -> None:
        """Take the final limits."""
        self._limits.set(limits, now_s, limits.valid_for_s)

    def set_state(self, state: BmsStatus, now_s: float) -> None:
        """Take the monitor's state."""
        self._state.set(state, now_s, state.valid_for_s)

    def set_soc(self, soc: StateOfCharge, now_s: float) -> None:
        """Take the state of charge."""
        self._soc.set(soc, now_s)

    def set_soh(self, soh: StateOfHealth, now_s: float) -> None:
        """Take the state of health."""
        self._soh.set(soh, now_s)

    def set_scan(self, scan: PackMeasurement, now_s: float) -> None:
        """Take a scan."""
        self._scan.set(_summary(scan), now_s)

    def set_faults(self, faults: Iterable[Fault], now_s: float) -> None:
        """Take the faults: identifier, level and state of each."""
        self._faults.set(tuple(faults), now_s)

    def state(self, now_s: float) -> BmsStatus | None:
        """Give the monitor's state while it is fresh."""
        return self._state.get(now_s)

    def values(self, now_s: float) -> dict[str, float]:
        """Give every value of ``OUTPUT_VALUES`` at a monotonic time."""
        return {
            **self._limit_values(now_s),
            **self._state_values(now_s),
            **self._estimates(now_s),
            **(self._scan.get(now_s) or dict.fromkeys(_SCAN_VALUES, math.nan)),
            **_fault_values(self._faults.get(now_s)),
            "crash_latched": float(self.crash_latched),
            "request_answer": float(self.request_answer),
        }

    def _limit_values(self, now_s: float) -> dict[str, float]:
        limits = self._limits.get(now_s)
        if limits is None:
            zeros = ("charge_current_limit_a", "discharge_current_limit_a", "charge_power_limit_w")
            return {
                **dict.fromkeys((*zeros, "discharge_power_limit_w"), 0.0),
                "charge_reason": _EXPIRED, "discharge_reason": _EXPIRED, "limits_expired": 1.0,
                "limp_home": math.nan, "shutdown_in_s": math.nan,
            }  # fmt: skip
        return {
            "charge_current_limit_a": _magnitude(limits.charge_current_a),
            "discharge_current_limit_a": _magnitude(limits.discharge_current_a),
            "charge_power_limit_w": _magnitude(limits.charge_power_w),
            "discharge_power_limit_w": _magnitude(limits.discharge_power_w),
            "charge_reason": _reason(limits.charge_reason),
            "discharge_reason": _reason(limits.discharge_reason),
            "limits_expired": 0.0,
            "limp_home": float(limits.limp_home),
            "shutdown_in_s": limits.shutdown_in_s,
        }

    def _state_values(self, now_s: float) -> dict[str, float]:
        state = self.state(now_s)
        if state is None:
            return {
                "state": math.nan, "state_expired": 1.0, "contactors_closed": math.nan,
                "zero_current_requested": 1.0, "opening_deadline_s": math.nan, "charge_allowed": 0.0,
                "discharge_allowed": 0.0,
            }  # fmt: skip
        return {
            "state": float(state.state),
            "state_expired": 0.0,
            "contactors_closed": float(state.contactors_closed),
            "zero_current_requested": float(state.zero_current_requested),
            "opening_deadline_s": state.opening_deadline_s,
            "charge_allowed": float(state.charge_allowed),
            "discharge_allowed": float(state.discharge_allowed),
        }

    def _estimates(self, now_s: float) -> dict[str, float]:
        soc, soh = self._soc.get(now_s), self._soh.get(now_s)
        names = ("soc", "displayed_soc", "soc_std", "remaining_energy_wh", "remaining_charge_ah")
        values = {name: math.nan if soc is None else float(getattr(soc, name)) for name in names}
        return {**values, "soh": math.nan if soh is None else float(soh.soh)}


_SCAN_VALUES = (
    "current_a", "voltage_v", "link_voltage_v", "power_w", "cell_voltage_min_v", "cell_voltage_max_v",
    "temperature_min_degc", "temperature_max_degc", "insulation_ohm",
)  # fmt: skip


def _magnitude(value: float) -> float:
    return value if value > 0.0 else 0.0  # NaN as well: what is unknown is not offered


def _reason(reason: str) -> float:
    code = reason.partition(":")[0]
    return float(REASON_CODES.get(code, _OTHER) if code else 0)


def _summary(scan: PackMeasurement) -> dict[str, float]:
    current = float(scan.string_currents_a.sum()) if len(scan.string_currents_a) else math.nan
    known = scan.string_voltages_v[np.isfinite(scan.string_voltages_v)]
    # strings in parallel have one voltage while they are closed; it is measured, never made up from cells
    voltage = float(known.mean()) if len(known) else math.nan
    cells = _ends(scan.cell_voltages_v, scan.cell_voltage_validity)
    if math.isnan(cells[0]) and scan.reported_cell_voltage_validity == Validity.VALID:
        cells = (scan.reported_cell_voltage_minimum_v, scan.reported_cell_voltage_maximum_v)
    degrees = _ends(scan.temperatures_degc, scan.temperature_validity)
    return {
        "current_a": current,
        "voltage_v": voltage,
        "link_voltage_v": scan.link_voltage_v,
        "power_w": current * voltage,
        "cell_voltage_min_v": cells[0],
        "cell_voltage_max_v": cells[1],
        "temperature_min_degc": degrees[0],
        "temperature_max_degc": degrees[1],
        "insulation_ohm": scan.insulation_resistance_ohm,
    }


def _ends(values: Any, validity: Any) -> tuple[float, float]:
    """Give the smallest and the largest of what is measured; unknown where one that is fitted is missing."""
    fitted = np.asarray(values)[np.asarray(validity) != Validity.NOT_FITTED]
    if not len(fitted) or not np.isfinite(fitted).all():
        return math.nan, math.nan
    return float(fitted.min()), float(fitted.max())


def _fault_values(faults: Sequence[Fault] | None) -> dict[str, float]:
    names = ("fault_level", "fault_count", *(f"fault_{name}" for name in _GROUP_NAMES))
    if faults is None:
        return dict.fromkeys(names, math.nan)
    counted = [(name, level) for name, level, state in faults if state != FaultState.PENDING]
    values = dict.fromkeys(names, 0.0)
    # 0: none, 1 to 3: the levels from operating to safety
    values["fault_level"] = float(max((level + 1 for _, level in counted), default=0))
    values["fault_count"] = float(len(counted))
    for name, level in counted:
        group = f"fault_{fault_group(name)}"
        values[group] = max(values[group], float(level + 1))
    return values
