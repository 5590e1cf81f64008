"""Which power the battery may have now: the wish, cut by everything that binds, each with its expiry."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from openbms_core.types import FinalLimits, GridEvent, GridEventKind, PowerSetpoint
from openbms_drivers.devices.sunspec.ratings import Ratings

__all__ = ["OWN_SOURCE", "Decision", "SiteInputs", "Surroundings", "decide"]

OWN_SOURCE = "inverter"
"""Source of the events that are read from the inverter; the same from elsewhere is an echo."""

_PACK_MAX_AGE_S = 1.0
_MOST_SOURCES = 32


@dataclass(frozen=True)
class Decision:
    """The power that is given to the inverter.

    Attributes
    ----------
    power_w : float
        At the terminals of the pack [W; positive: charging].
    wanted_w : float
        What was asked for [W]; NaN where nothing was.
    bound_by : str
        Text code of what binds; empty where the wish is granted.
    reason : str
        The same for people.
    release : bool
        The inverter is left to its own mode.
    """

    power_w: float
    wanted_w: float
    bound_by: str = ""
    reason: str = ""
    release: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What the site brings to a decision.

    Attributes
    ----------
    ratings : Ratings
    own_event : GridEvent or None
        What the inverter says; None while it is not read.
    others_w : float
        Power that the site draws without the battery's inverter [W; NaN: the meter is not read].
    pack_per_ac_in, pack_per_ac_out : float
        Power at the pack that is decided for 1 W at the AC side, charging and discharging.
    import_max_w, export_max_w : float or None
        Limits of the connection by the site's file.
    """

    ratings: Ratings = field(default_factory=Ratings)
    own_event: GridEvent | None = None
    others_w: float = math.nan
    import_max_w: float | None = None
    export_max_w: float | None = None
    pack_per_ac_in: float = 1.0
    pack_per_ac_out: float = 1.0


class _Expiring:
    def __init__(self, value: object, now_s: float, valid_for_s: float) -> None:
        self.value, self.until_s = value, now_s + valid_for_s

    def fresh(self, now_s: float) -> bool:
        return now_s <= self.until_s


class SiteInputs:
    """What came by topic, as long as it is valid."""

    def __init__(self) -> None:
        self._setpoint: _Expiring | None = None
        self._limits: _Expiring | None = None
        self._pack: tuple[float, float, float] | None = None
        self._events: dict[str, _Expiring] = {}

    def take_setpoint(self, setpoint: PowerSetpoint, now_s: float) -> None:
        """Take a wish; one that is not a number ends the one before."""
        self._setpoint = (
            _Expiring(setpoint, now_s, setpoint.valid_for_s) if math.isfinite(setpoint.power_w) else None
        )

    def take_limits(self, limits: FinalLimits, now_s: float) -> None:
        """Take the limits of the safety monitor."""
        self._limits = _Expiring(limits, now_s, limits.valid_for_s)

    def take_pack(self, voltage_v: float, current_a: float, now_s: float) -> None:
        """Take the measured voltage and current of the pack (positive: charging; NaN: unknown)."""
        self._pack = (voltage_v, current_a, now_s)

    def take_event(self, event: GridEvent, now_s: float) -> None:
        """Take what the grid asks; what comes back from this node itself is left out."""
        if event.source == OWN_SOURCE:
            return
        self._events = {name: held for name, held in self._events.items() if held.fresh(now_s)}
        if event.kind == GridEventKind.NONE:
            self._events.pop(event.source, None)
        elif event.source in self._events or len(self._events) < _MOST_SOURCES:
            self._events[event.source] = _Expiring(event, now_s, event.valid_for_s)

    def setpoint(self, now_s: float) -> PowerSetpoint | None:
        """Give the wish, unless it has expired."""
        held = self._setpoint
        return held.value if held is not None and held.fresh(now_s) else None  # type: ignore[return-value]

    def limits(self, now_s: float) -> FinalLimits | None:
        """Give the limits, unless they have expired."""
        held = self._limits
        return held.value if held is not None and held.fresh(now_s) else None  # type: ignore[return-value]

    def voltage_v(self, now_s: float) -> float:
        """Give the voltage of the pack; NaN where it is unknown or older than 1 s."""
        return (
            self._pack[0] if self._pack is not None and now_s - self._pack[2] <= _PACK_MAX_AGE_S else math.nan
        )

    def pack_power_w(self, now_s: float) -> float:
        """Give the measured power of the pack [W; positive: charging]; NaN where it is unknown."""
        if self._pack is None or now_s - self._pack[2] > _PACK_MAX_AGE_S:
            return math.nan
        return self._pack[0] * self._pack[1]

    def events(self, now_s: float) -> list[GridEvent]:
        """Give what the grid asks now."""
        held = dict(self._events)
        return [item.value for item in held.values() if item.fresh(now_s)]  # type: ignore[misc]


class _Bounds:
    """The narrowest bound of each direction, and who sets it."""

    def __init__(self) -> None:
        self._charge = (math.inf, "", "")
        self._discharge = (math.inf, "", "")

    def charge(self, power_w: float, code: str, reason: str) -> None:
        """Bound what goes into the pack; an unknown bound lets nothing through."""
        value = 0.0 if math.isnan(power_w) else max(0.0, power_w)
        if value < self._charge[0]:
            self._charge = (value, code, reason)

    def discharge(self, power_w: float, code: str, reason: str) -> None:
        """Bound what comes out of the pack."""
        value = 0.0 if math.isnan(power_w) else max(0.0, power_w)
        if value < self._discharge[0]:
            self._discharge = (value, code, reason)

    def both(self, power_w: float, code: str, reason: str) -> None:
        """Bound both."""
        self.charge(power_w, code, reason)
        self.discharge(power_w, code, reason)

    def cut(self, wanted_w: float) -> Decision:
        """Cut a wish; never turns its direction round."""
        bound, code, reason = self._charge if wanted_w > 0.0 else self._discharge
        if abs(wanted_w) <= bound:
            return Decision(wanted_w, wanted_w)
        return Decision(math.copysign(bound, wanted_w) if bound else 0.0, wanted_w, code, reason)


def decide(inputs: SiteInputs, around: Surroundings, now_s: float, *, release_when_expired: bool) -> Decision:
    """Decide which power the battery has now.

    Parameters
    ----------
    inputs : SiteInputs
        Wish, limits, pack and events, with their expiry.
    around : Surroundings
        Inverter and site.
    now_s : float
        Monotonic time [s].
    release_when_expired : bool
        Without a wish the inverter is left to its own mode, in place of 0 W.
    """
    limits, voltage_v = inputs.limits(now_s), inputs.voltage_v(now_s)
    if limits is None:
        return Decision(0.0, math.nan, "limits_stale", "no fresh limits of the safety monitor: 0 W")
    setpoint = inputs.setpoint(now_s)
    if setpoint is None:
        reason = "no fresh power_setpoint"
        if release_when_expired:
            return Decision(0.0, math.nan, "no_setpoint", f"{reason}: the inverter's own mode", release=True)
        return Decision(0.0, math.nan, "no_setpoint", f"{reason}: 0 W")
    bounds = _Bounds()
    if math.isnan(voltage_v):
        bounds.both(0.0, "pack_voltage_unknown", "the voltage of the pack is not measured freshly")
    else:
        bounds.charge(limits.charge_current_a * voltage_v, "limits", f"limits: {limits.charge_reason}")
        bounds.discharge(
            limits.discharge_current_a * voltage_v, "limits", f"limits: {limits.discharge_reason}"
        )
    bounds.charge(limits.charge_power_w, "limits", f"limits: {limits.charge_reason}")
    bounds.discharge(limits.discharge_power_w, "limits", f"limits: {limits.discharge_reason}")
    nameplate = "the inverter does not say its {} power: give inverter.{}_max_w in the site's file"
    for name, bound, known_w in (
        ("charge", bounds.charge, around.ratings.charge_w),
        ("discharge", bounds.discharge, around.ratings.discharge_w),
    ):
        unknown = math.isnan(known_w)
        bound(known_w, "nameplate", nameplate.format(name, name) if unknown else "nameplate of the inverter")
    if around.own_event is None:
        bounds.both(0.0, "inverter_unreachable", "the inverter is not read")
    _by_events(bounds, inputs.events(now_s), around)
    return bounds.cut(setpoint.power_w)


def _by_events(bounds: _Bounds, events: list[GridEvent], around: Surroundings) -> None:
    import_w = [] if around.import_max_w is None else [(around.import_max_w, "connection", "connection")]
    export_w = [] if around.export_max_w is None else [(around.export_max_w, "connection", "connection")]
    own = [] if around.own_event is None else [around.own_event]
    for event in (*own, *events):
        code, text = f"grid_event:{event.source}", f"{event.source}: {event.reason}"
        if event.kind in (GridEventKind.DISCONNECTED, GridEventKind.FAULT, GridEventKind.UNREACHABLE):
            bounds.both(0.0, code, text)
        if not math.isnan(event.charge_power_w):
            bounds.charge(event.charge_power_w, code, text)
        if not math.isnan(event.discharge_power_w):
            bounds.discharge(event.discharge_power_w, code, text)
        if not math.isnan(event.import_power_w):
            import_w.append((event.import_power_w, code, text))
        if not math.isnan(event.export_power_w):
            export_w.append((event.export_power_w, code, text))
    lost = math.isnan(around.others_w)
    unknown = "the limit at the connection cannot be kept: its meter or the pack's power is not read freshly"
    for limit_w, code, text in import_w:
        bounds.charge(
            around.pack_per_ac_in * (limit_w - around.others_w), code, unknown if lost else f"import: {text}"
        )
    for limit_w, code, text in export_w:
        bounds.discharge(
            around.pack_per_ac_out * (limit_w + around.others_w), code, unknown if lost else f"export: {text}"
        )
