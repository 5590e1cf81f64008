"""What the battery asks of the inverter: charge it now, charge it full once in a while.

The rules are those of Pylontech's document: force charge I from 5 to 10 % (for an inverter that lets the
battery shut down and wakes it), force charge II from 9 to 13 % (for one that charges before that), full
charge where the state of charge was never at 97 % within 30 days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ChargeRequests", "RequestRules"]

_DAY_S = 86_400.0


@dataclass(frozen=True)
class RequestRules:
    """When something is asked for; on below the first, off from the second."""

    force_charge_1: tuple[float, float] = (0.05, 0.10)
    force_charge_2: tuple[float, float] = (0.09, 0.13)
    full_soc: float = 0.97
    full_after_s: float = 30.0 * _DAY_S


class ChargeRequests:
    """Keeps the requests.

    Parameters
    ----------
    rules : RequestRules
    last_full_s : float, optional
        ROS time at which the battery was full last, as it was stored; None: not known, the days are counted
        from the first step.
    """

    def __init__(self, rules: RequestRules | None = None, last_full_s: float | None = None) -> None:
        self._rules = rules or RequestRules()
        self.last_full_s = last_full_s
        """ROS time at which it was full last, or from which the days are counted; to be stored."""
        self._low_1 = self._low_2 = False

    def step(self, soc: float, stamp_s: float, *, charging_allowed: bool) -> dict[str, bool]:
        """Take the state of charge; give the three items.

        Parameters
        ----------
        soc : float
            Unslewed state of charge, 0 … 1; NaN: unknown, then nothing is asked for.
        stamp_s : float
            ROS time [s].
        charging_allowed : bool
            The charge-current limit is above zero; where not, nothing is asked for.
        """
        rules = self._rules
        if self.last_full_s is None or self.last_full_s > stamp_s:  # first step, or the clock was set back
            self.last_full_s = stamp_s
        if not math.isfinite(soc):
            return {"force_charge_1": False, "force_charge_2": False, "full_charge_request": False}
        self._low_1 = soc <= rules.force_charge_1[0] or (self._low_1 and soc < rules.force_charge_1[1])
        self._low_2 = soc <= rules.force_charge_2[0] or (self._low_2 and soc < rules.force_charge_2[1])
        if soc >= rules.full_soc:
            self.last_full_s = stamp_s
        return {
            "force_charge_1": self._low_1 and charging_allowed,
            "force_charge_2": self._low_2 and charging_allowed,
            "full_charge_request": stamp_s - self.last_full_s > rules.full_after_s and charging_allowed,
        }
