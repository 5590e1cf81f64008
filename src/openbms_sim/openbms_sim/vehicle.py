"""The load of the twin: a vehicle (or storage inverter) that obeys the battery management."""

from __future__ import annotations

from dataclasses import dataclass

from openbms_core.types import State
from openbms_sim.record import Record

__all__ = ["Permission", "Vehicle"]


@dataclass(frozen=True)
class Permission:
    """What the vehicle has heard from the battery management; nothing fresh means off."""

    state: State = State.INIT
    zero_current: bool = True
    charge_limit_a: float = 0.0
    discharge_limit_a: float = 0.0


class Vehicle:
    """Drives the recorded current in a loop, scaled and cut to the limits.

    Parameters
    ----------
    record : Record
        Where the wanted current comes from; it starts again at its end.
    factor : float
        The recorded current is multiplied by this.
    """

    def __init__(self, record: Record, factor: float = 1.0) -> None:
        self._record = record
        self._factor = factor
        self._at_s = 0.0

    def current_a(self, permission: Permission, dt_s: float) -> float:
        """Give the current that flows for the next ``dt_s`` seconds [A], positive when braking charges.

        Time of the cycle passes only while the vehicle may drive.
        """
        if permission.zero_current or permission.state not in (State.DRIVE, State.CONNECTED):
            return 0.0
        if self._at_s + dt_s > self._record.duration_s:
            self._at_s = 0.0
        _, wanted = self._record.mean(self._at_s, self._at_s + dt_s)
        self._at_s += dt_s
        wanted *= self._factor
        return min(max(wanted, -permission.discharge_limit_a), permission.charge_limit_a)
