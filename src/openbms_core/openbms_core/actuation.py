"""What the actuators are told, from command, pack file and the monitor's state: one rule for all who need it.

The driver carries it out, and the safety monitor knows by it what the actuators ought to do (DESIGN 5.2).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from openbms_core.pack import ThermalSafe
from openbms_core.types import ThermalCommand

__all__ = ["LONGEST_VALID_S", "ThermalDuties", "thermal_duties"]

LONGEST_VALID_S = 10.0
"""A command that claims to be valid for longer is not believed."""


class ThermalDuties(NamedTuple):
    """Duties of the thermal actuators [0 to 1]."""

    heater: float
    pump: float
    fan: float
    chiller: float


def thermal_duties(
    command: ThermalCommand | None, safe: ThermalSafe, *, heating_allowed: bool, cooling_required: bool
) -> ThermalDuties:
    """Give the duties that count.

    Parameters
    ----------
    command : ThermalCommand or None
        A fresh one; without one the safe values count, and the heater is off.
    safe : ThermalSafe
    heating_allowed : bool
    cooling_required : bool
        No command cools less than the safe values.

    Returns
    -------
    ThermalDuties
        Within 0 to 1; what is commanded as NaN or infinite has its safe value.
    """
    if command is None:
        return ThermalDuties(0.0, safe.pump, safe.fan, safe.chiller)

    def cooling(commanded: float, safe_duty: float) -> float:
        return _duty(commanded, safe_duty, safe_duty if cooling_required else 0.0)

    return ThermalDuties(
        _duty(command.heater, 0.0, 0.0) if heating_allowed else 0.0,
        cooling(command.pump, safe.pump),
        cooling(command.fan, safe.fan),
        cooling(command.chiller, safe.chiller),
    )


def _duty(value: float, otherwise: float, least: float) -> float:
    return min(max(float(value), least), 1.0) if math.isfinite(value) else otherwise
