"""The load of a home storage: sun on the roof by day, a household that uses power when it likes."""

from __future__ import annotations

import math
import random

from openbms_core.types import State
from openbms_sim.vehicle import Permission

__all__ = ["Household"]

_SLOT_S = 300.0
_DAY_S = 86_400.0


class Household:
    """Charges and discharges a storage by a made-up day, within what the battery management allows.

    All in multiples of the capacity in an hour (C): sun from 6 to 18 o'clock, at most 0.5 C less clouds;
    0.05 C always, 0.1 C more in the morning, 0.25 C in the evening; now and then 0.4 C for some minutes.

    Parameters
    ----------
    capacity_ah : float
        Of the storage [Ah].
    factor : float
        Everything is multiplied by this.
    seed : int
        Of clouds and habits; equal seeds give equal days.
    start_hour : float
        Time of the day at the start [h].
    """

    def __init__(
        self, capacity_ah: float, factor: float = 1.0, *, seed: int = 1, start_hour: float = 9.0
    ) -> None:
        self._scale_a = capacity_ah * factor
        self._seed = seed
        self._at_s = start_hour * 3600.0
        self._slot = -1
        self._sun = self._cooks = 0.0

    def wanted_a(self) -> float:
        """Give the current that sun and household would make now [A], positive charging."""
        slot = int(self._at_s / _SLOT_S)
        if slot != self._slot:
            rng = random.Random(f"{self._seed} {slot}")
            self._slot, self._sun = slot, 0.4 + 0.6 * rng.random()
            self._cooks = 0.4 if rng.random() < 0.12 else 0.0
        hour = (self._at_s % _DAY_S) / 3600.0
        sun = 0.5 * self._sun * max(0.0, math.sin(math.pi * (hour - 6.0) / 12.0)) if 6 < hour < 18 else 0.0
        used = 0.05 + 0.1 * (6.5 < hour < 8.5) + 0.25 * (17.0 < hour < 22.0) + self._cooks
        return self._scale_a * (sun - used)

    def current_a(self, permission: Permission, dt_s: float) -> float:
        """Give the current that flows for the next ``dt_s`` seconds [A], positive charging.

        Time of the day passes whether current may flow or not.
        """
        wanted = self.wanted_a()
        self._at_s += dt_s
        if permission.zero_current or permission.state not in (State.DRIVE, State.CONNECTED):
            return 0.0
        return min(max(wanted, -permission.discharge_limit_a), permission.charge_limit_a)
