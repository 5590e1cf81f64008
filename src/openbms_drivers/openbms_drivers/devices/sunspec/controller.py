"""Keeps the inverter at the decided power: writes, renews, reads back, says what it does not follow."""

from __future__ import annotations

import math
from collections.abc import Callable

from openbms_drivers.devices.sunspec.chain import RefusedError
from openbms_drivers.devices.sunspec.control import (
    Plan,
    UnusableError,
    plan_der,
    plan_release,
    plan_storage,
)
from openbms_drivers.devices.sunspec.device import Reading, SunspecDevice
from openbms_drivers.devices.sunspec.link import LinkDownError
from openbms_drivers.devices.sunspec.models import CONTROL_MODELS, Values
from openbms_drivers.devices.sunspec.ratings import Ratings
from openbms_drivers.devices.sunspec.setpoint import Decision
from openbms_drivers.devices.sunspec.site_file import Inverter

__all__ = ["InverterController"]

_SHORTEST_BETWEEN_WRITES_S = 0.25
_AFTER_REFUSAL_S = 2.0
_AGAIN_S = 0.5
_SMALL_CHANGE = 0.005
"""Share of the rating below which a power is not raised: the voltage of the pack moves all the time."""
_FOLLOWS_SHARE = 0.1
_FOLLOWS_W = 100.0


class InverterController:
    """Writes to one inverter; used by the thread that owns its link.

    Parameters
    ----------
    device : SunspecDevice
    settings : Inverter
        Of the site's file.
    max_age_s : float
        Age at which what was read of the control model is unknown.
    monotonic_s : callable
        The clock [s].

    Attributes
    ----------
    problem : str
        Why the inverter is not controlled; empty while it takes what is written.
    not_following : str
        It took the power, and the pack shows another one; empty while it follows.
    writes : int
        Requests that were confirmed.
    overruled, overruled_because : int, str
        How often something else stood in the registers than was written, and what stood there last.
    """

    def __init__(
        self, device: SunspecDevice, settings: Inverter, max_age_s: float, monotonic_s: Callable[[], float]
    ) -> None:
        self._device, self._settings = device, settings
        self._max_age_s, self._monotonic_s = max_age_s, monotonic_s
        self._plan: Plan | None = None
        self._written_s = self._attempt_s = -math.inf
        self._released = self._taken = False
        self._apart_since_s: float | None = None
        self.problem = self.not_following = ""
        self.writes = self.overruled = 0
        self.overruled_because = ""

    @property
    def written_w(self) -> float:
        """Power that was written [W at the inverter; positive: charging; NaN: none]."""
        return math.nan if self._plan is None else self._plan.power_w

    @property
    def model(self) -> int | None:
        """Model by which it is controlled."""
        return None if self._plan is None else self._plan.model

    def step(self, decision: Decision, ratings: Ratings) -> None:
        """Write what has to be written now."""
        now_s = self._monotonic_s()
        if self._settings.control == "none" or now_s < self._attempt_s:
            return
        try:
            if decision.release:
                self._release(now_s)
            else:
                self._keep(decision, ratings, now_s)
        except UnusableError as error:
            self.problem = str(error)
            self._attempt_s = now_s + _AFTER_REFUSAL_S
        except RefusedError as error:
            self._plan, self.problem = None, f"the inverter refused a write: {error}"
            self._attempt_s = now_s + _AFTER_REFUSAL_S
        except LinkDownError as error:
            # it may have taken a part of it: everything is written anew
            self._plan, self.problem = None, str(error)
            self._attempt_s = now_s + _SHORTEST_BETWEEN_WRITES_S

    def stop(self, ratings: Ratings) -> None:
        """Leave 0 W with its reversion time behind; the inverter falls back to its own mode by itself."""
        if self._settings.control == "none" or not self._taken:
            return
        self._attempt_s = self._written_s = -math.inf
        self.step(Decision(0.0, math.nan, "stopped", "this node ends"), ratings)

    def watch(self, decision: Decision, pack_power_w: float) -> None:
        """Compare what was decided with what the pack measures."""
        now_s = self._monotonic_s()
        tolerance_w = max(_FOLLOWS_W, _FOLLOWS_SHARE * abs(decision.power_w))
        apart = abs(pack_power_w - decision.power_w) > tolerance_w
        if self._plan is None or decision.release or not apart:  # NaN is not apart: it is not known
            self._apart_since_s, self.not_following = None, ""
            return
        if self._apart_since_s is None:
            self._apart_since_s = now_s
        if now_s - self._apart_since_s > self._settings.follows_within_s:
            self.not_following = (
                f"the inverter does not follow: {decision.power_w:.0f} W were given to it, the pack measures "
                f"{pack_power_w:.0f} W"
            )

    def at_inverter_w(self, power_w: float) -> float:
        """Give the power at the inverter for one at the pack, such that the pack's is not exceeded.

        Charging, the battery gets what the inverter draws or less; discharging, the inverter gives less than
        the battery does.
        """
        if self._settings.setpoint_at == "ac" and power_w < 0.0:
            return power_w * self._settings.efficiency
        return power_w

    def _control(self) -> Reading:
        snapshot = self._device.snapshot
        if snapshot.chain is None:
            raise UnusableError(snapshot.problem or "the inverter is not read")
        wanted = {"der": (704,), "storage": (124,)}.get(self._settings.control, CONTROL_MODELS)
        there = [number for number in wanted if snapshot.chain.block(number) is not None]
        if not there:
            names = " or ".join(map(str, wanted))
            raise UnusableError(
                f"the inverter has no model {names}: a power cannot be given to it by SunSpec"
            )
        problem = ""
        for number in there:
            reading = snapshot.fresh((number,), self._monotonic_s(), self._max_age_s)
            if reading is None:
                problem = problem or f"model {number} is not read freshly: {snapshot.problem}"
            elif number != there[-1] and not _complete(reading.values):
                continue
            else:
                return reading
        raise UnusableError(problem)

    def _planned(self, values: Values, decision: Decision, ratings: Ratings) -> Plan:
        settings, power_w = self._settings, self.at_inverter_w(decision.power_w)
        if values.model.number == 704:
            return plan_der(values, ratings, power_w, revert_after_s=settings.revert_after_s)
        return plan_storage(
            values,
            ratings,
            power_w,
            revert_after_s=settings.revert_after_s,
            window=settings.storage_rates == "window",
            allow_grid_charging=settings.allow_grid_charging,
        )

    def _keep(self, decision: Decision, ratings: Ratings, now_s: float) -> None:
        reading = self._control()
        plan = self._planned(reading.values, decision, ratings)
        if self._due(plan, reading, ratings, now_s):
            self._write(plan, now_s)

    def _due(self, plan: Plan, reading: Reading, ratings: Ratings, now_s: float) -> bool:
        old = self._plan
        if old is None or self._released or old.model != plan.model:
            return True
        difference = old.difference(reading.values) if reading.at_s > self._written_s else ""
        if difference and now_s - self._written_s >= _AGAIN_S:
            # it fell back, or somebody else writes
            self.overruled += 1
            self.overruled_because = difference
            return True
        if now_s - self._written_s >= self._settings.revert_after_s / 3.0:
            return True
        change_w = plan.power_w - old.power_w
        if change_w == 0.0 or now_s - self._written_s < _SHORTEST_BETWEEN_WRITES_S:
            return False
        rating_w = max(ratings.charge_w, ratings.discharge_w)
        narrower = abs(plan.power_w) < abs(old.power_w) or plan.power_w * old.power_w < 0.0
        return narrower or not abs(change_w) < _SMALL_CHANGE * rating_w

    def _write(self, plan: Plan, now_s: float) -> None:
        self._taken = True  # from the first register on, also if the others fail
        for write in plan.writes:
            try:
                self._device.write(plan.model, write.register, write.words)
            except RefusedError as error:
                raise RefusedError(
                    f"{' and '.join(write.names)} of model {plan.model}: {error}", error.code
                ) from None
            self.writes += 1
        self._plan, self._written_s, self._released = plan, now_s, math.isnan(plan.power_w)
        self._taken = not self._released
        difference = plan.difference(self._device.read_now(plan.model))
        self.problem = f"the inverter does not take what is written: {difference}" if difference else ""

    def _release(self, now_s: float) -> None:
        if self._released:
            return
        if not self._taken:
            self._released = True  # never taken over: nothing to give back
            return
        self._write(plan_release(self._control().values), now_s)


def _complete(values: Values) -> bool:
    """Tell whether a model 704 has what a power with an expiry needs."""
    setpoint = values.has("WSet") or values.has("WSetPct")
    return setpoint and values.has("WSetEna") and values.has("WSetRvrtTms")
