"""What uses the pack: a vehicle that takes all that it is allowed, and a charger."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from openbms_core.types import State
from openbms_sim.vehicle import Permission

__all__ = ["Load", "NoLoad", "Vehicle"]


class Load(Protocol):
    """Gives the current that it wants for the next time step [A]; positive charges."""

    def current_a(self, permission: Permission, dt_s: float) -> float:
        """Give the current under what the load has heard from the pack."""
        ...


class NoLoad:
    """Nothing is switched on."""

    def current_a(self, permission: Permission, dt_s: float) -> float:
        """Give zero."""
        return 0.0


class Vehicle:
    """Drives a random cycle of ramps and holds, as hard as the limits allow, and obeys them at once.

    Parameters
    ----------
    seed : int
        Of the cycle.
    strongest_a : float
        What it would like at full power [A]; limits cut it.
    slew_a_per_s : float
        How fast the wanted current changes: 0 to full power in tenths of a second is a hard acceleration.
    """

    def __init__(self, seed: int, strongest_a: float = 22.0, slew_a_per_s: float = 150.0) -> None:
        self._rng = np.random.default_rng(seed)
        self._strongest_a, self._slew = strongest_a, slew_a_per_s
        self._left_s = 0.0
        self._goal_a = self._wanted_a = 0.0

    def current_a(self, permission: Permission, dt_s: float) -> float:
        """Give the current for the next ``dt_s`` seconds [A]."""
        if permission.zero_current or permission.state not in (State.DRIVE, State.CONNECTED):
            self._wanted_a = 0.0
            return 0.0
        self._left_s -= dt_s
        if self._left_s <= 0.0:
            self._left_s = float(self._rng.exponential(2.0)) + 0.1
            mode = self._rng.random()
            if mode < 0.2:
                self._goal_a = 0.0
            elif mode < 0.7:
                self._goal_a = -self._strongest_a * float(self._rng.beta(1.5, 1.5))
            elif mode < 0.8:
                self._goal_a = -self._strongest_a
            else:
                self._goal_a = 0.4 * self._strongest_a * float(self._rng.random())
        step = self._slew * dt_s
        self._wanted_a += math.copysign(
            min(step, abs(self._goal_a - self._wanted_a)), self._goal_a - self._wanted_a
        )
        return min(max(self._wanted_a, -permission.discharge_limit_a), permission.charge_limit_a)
