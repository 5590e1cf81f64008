"""What topics say to actuators and gateways, for tests: everything allowed, unless it is said otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openbms_core.types import BmsStatus, ChargeCommand, FinalLimits, State, ThermalCommand

__all__ = ["command", "limits", "status", "thermal"]


def status(**values: Any) -> BmsStatus:
    given: dict[str, Any] = {
        "state": State.CHARGE, "previous_state": State.STANDBY, "time_in_state_s": 1.0,
        "requested_state": State.CHARGE, "reason": "", "explanation": "",
        "contactor_command": np.array([1, 1, 0], np.uint8), "contactors_closed": True,
        "zero_current_requested": False, "opening_deadline_s": math.nan, "charge_allowed": True,
        "discharge_allowed": True, "balancing_allowed": True, "heating_allowed": True,
        "cooling_required": False, "inhibits": [], "inhibit_texts": [], "start_count": 1, "valid_for_s": 0.5,
    }  # fmt: skip
    return BmsStatus(**{**given, **values})


def limits(**values: Any) -> FinalLimits:
    given: dict[str, Any] = {
        "charge_current_a": 4.0, "discharge_current_a": 18.0, "charge_power_w": 1e5, "discharge_power_w": 6e3,
        "charge_reason": "", "discharge_reason": "", "explanation": "", "limp_home": False,
        "shutdown_in_s": math.nan, "valid_for_s": 0.5,
    }  # fmt: skip
    return FinalLimits(**{**given, **values})


def command(**values: Any) -> ChargeCommand:
    return ChargeCommand(
        **{"enable": True, "voltage_v": 398.0, "current_a": 3.0, "reason": "", "valid_for_s": 1.0, **values}
    )


def thermal(**values: Any) -> ThermalCommand:
    return ThermalCommand(
        **{"heater": 0.6, "pump": 0.3, "fan": 0.2, "chiller": 0.1, "reason": "", "valid_for_s": 3.0, **values}
    )
