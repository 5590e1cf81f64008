"""What the actuators are told: commands against the monitor's state and limits, each with its expiry.

The monitor's state is obeyed over any command, the final limits bound whatever is commanded, and what is not
renewed ends: without a fresh command the charger and the heater are off, and pump, fan and chiller run at the
safe values of the pack file. The same without a fresh state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from openbms_core.actuation import LONGEST_VALID_S, ThermalDuties, thermal_duties
from openbms_core.pack import PackFile
from openbms_core.types import (
    BmsStatus,
    ChargeCommand,
    FinalLimits,
    State,
    ThermalCommand,
    VehicleInputs,
)
from openbms_drivers.actuators.actuator_file import Charger, Pilot
from openbms_drivers.gateway.held import Held

__all__ = ["ActuatorControl", "ChargeOrder", "voltage_cap_v"]

_CHARGES = (State.CHARGE, State.CONNECTED)
"""Regeneration may charge in DRIVE; a charger may not."""


@dataclass(frozen=True)
class ChargeOrder:
    """What a charger is told.

    Attributes
    ----------
    enabled : bool
        It may deliver.
    voltage_v, current_a : float
        Not to be exceeded [V, A], by all chargers together; zero where they may not deliver.
    reason : str
        What bounds it, as in ActuatorFeedback.msg; empty: the charger's own maximum, or nothing.
    """

    enabled: bool
    voltage_v: float
    current_a: float
    reason: str


def voltage_cap_v(pack: PackFile) -> float:
    """Give the voltage at the pack's terminals above which nothing charges it [V].

    The limit of charge current is zero where a cell reaches its recommended maximum: no charger is told to
    go to a higher mean.
    """
    return pack.limits.cell_voltage_max_v.recommended * pack.topology.cells_in_series


class ActuatorControl:
    """Holds what the topics said and decides what counts.

    The setters may be called by another thread than the rest.

    Parameters
    ----------
    pack : PackFile
        Its safe values and its highest voltage.

    Attributes
    ----------
    stopping : bool
        The driver is about to end: as if no command were fresh, and no state.
    """

    def __init__(self, pack: PackFile) -> None:
        self._safe = pack.thermal_safe
        self._cap_v = voltage_cap_v(pack)
        self._state: Held[BmsStatus] = Held("state")
        self._limits: Held[FinalLimits] = Held("limits")
        self._thermal: Held[ThermalCommand] = Held("thermal_command", LONGEST_VALID_S)
        self._charge: Held[ChargeCommand] = Held("charge_command", LONGEST_VALID_S)
        self._vehicle: Held[VehicleInputs] = Held("vehicle_inputs")
        self.stopping = False

    def set_state(self, state: BmsStatus, now_s: float) -> None:
        """Take the monitor's state."""
        self._state.set(state, now_s, state.valid_for_s)

    def set_limits(self, limits: FinalLimits, now_s: float) -> None:
        """Take the final limits."""
        self._limits.set(limits, now_s, limits.valid_for_s)

    def set_thermal(self, command: ThermalCommand, now_s: float) -> None:
        """Take a thermal command."""
        self._thermal.set(command, now_s, command.valid_for_s)

    def set_charge(self, command: ChargeCommand, now_s: float) -> None:
        """Take a charge command."""
        self._charge.set(command, now_s, command.valid_for_s)

    def set_vehicle(self, inputs: VehicleInputs, now_s: float) -> None:
        """Take what the vehicle says: its control pilot."""
        self._vehicle.set(inputs, now_s, inputs.valid_for_s)

    def duties(self, now_s: float) -> ThermalDuties:
        """Give what heater, pump, fan and chiller are told now [0 to 1]."""
        state = None if self.stopping else self._state.get(now_s)
        return thermal_duties(
            None if state is None else self._thermal.get(now_s),
            self._safe,
            heating_allowed=state is not None and state.heating_allowed,
            cooling_required=state is not None and state.cooling_required,
        )

    def charge(self, charger: Charger, now_s: float, *, charger_fault: bool = False) -> ChargeOrder:
        """Give what a charger is told now.

        Parameters
        ----------
        charger : Charger
            What it can do.
        now_s : float
            Monotonic time [s].
        charger_fault : bool
            It reports a failure.
        """
        state, limits, command = self._state.get(now_s), self._limits.get(now_s), self._charge.get(now_s)
        if state is None:
            return _off("expired")
        if (
            self.stopping
            or state.state not in _CHARGES
            or not state.charge_allowed
            or state.zero_current_requested
            or not state.contactors_closed
        ):
            return _off("state")
        if limits is None or command is None:
            return _off("expired")
        if not command.enable or not (command.voltage_v > 0.0 and command.current_a > 0.0):  # NaN: neither
            return _off("charge_command")
        if charger_fault:
            return _off("charger_fault")
        voltage_v = min(command.voltage_v, self._cap_v, charger.voltage_max_v or math.inf)
        # the power limits as currents at the highest voltage that may stand there
        bounds = [
            (_bound(command.current_a), "charge_command"),
            (_bound(limits.charge_current_a), "limits"),
            (_bound(limits.charge_power_w) / voltage_v, "limits"),
            (charger.count * (charger.current_max_a or math.inf), ""),
        ]
        if charger.follows_pilot is not None:
            bounds.append((self._pilot_power_w(charger.follows_pilot, now_s) / voltage_v, "pilot"))
        current_a, reason = min(bounds)
        return ChargeOrder(True, voltage_v, current_a, reason) if current_a > 0.0 else _off(reason)

    def _pilot_power_w(self, pilot: Pilot, now_s: float) -> float:
        """Give the power that the control pilot leaves [W]; zero where it is unknown."""
        inputs = self._vehicle.get(now_s)
        offered_a = 0.0 if inputs is None else _bound(inputs.pilot_current_a)
        return offered_a * pilot.mains_voltage_v * pilot.phases * pilot.efficiency


def _bound(value: float) -> float:
    """Give a limit as it counts: what is not a positive finite number grants nothing."""
    return value if 0.0 < value < math.inf else 0.0


def _off(reason: str) -> ChargeOrder:
    return ChargeOrder(False, 0.0, 0.0, reason)
