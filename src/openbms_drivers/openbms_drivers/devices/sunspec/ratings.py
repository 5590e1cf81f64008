"""What an inverter can do by its own word, and what binds it: nameplate, settings, curtailment, state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openbms_core.types import GridEvent, GridEventKind
from openbms_drivers.devices.sunspec.models import INVERTER_MODELS, Values

__all__ = ["Ratings", "grid_state", "ratings", "smallest"]

_FAULT_STATES = {701: 6}
_INVERTER_FAULT = 7
_BATTERY_FAULT = 99
_ALARM_AC_DISCONNECT = 1 << 2
_ALARM_GRID_DISCONNECT = 1 << 4

Models = Mapping[int, Values]


@dataclass(frozen=True)
class Ratings:
    """Largest powers [W; NaN where the device does not say it].

    Attributes
    ----------
    charge_w, discharge_w : float
        Into and out of the battery, the smallest of nameplate, settings and the file's bounds.
    maximum_w : float
        WMax: what percentages of curtailment and of WSetPct refer to.
    rate_base_w : float
        What the rates of model 124 refer to: the largest of those that devices use, so that a device that
        uses a smaller one does less and never more.
    """

    charge_w: float = math.nan
    discharge_w: float = math.nan
    maximum_w: float = math.nan
    rate_base_w: float = math.nan


def smallest(values: Iterable[float]) -> float:
    """Give the smallest of those that are known; NaN where none is."""
    known = [value for value in values if not math.isnan(value)]
    return min(known) if known else math.nan


def _number(models: Models, number: int, name: str) -> float:
    values = models.get(number)
    return math.nan if values is None else values.number(name)


def ratings(models: Models, charge_max_w: float | None, discharge_max_w: float | None) -> Ratings:
    """Collect what the device says of its power.

    Parameters
    ----------
    models : mapping of int to Values
        Models 120, 121, 124, 702, 802 as far as they are there.
    charge_max_w, discharge_max_w : float or None
        Bounds of the site's file.
    """
    at_ac = [
        _number(models, 702, "WMaxRtg"),
        _number(models, 120, "WRtg"),
        _number(models, 702, "WMax"),
        _number(models, 121, "WMax"),
    ]
    into = [
        _number(models, 702, "WChaRteMaxRtg"),
        _number(models, 702, "WChaRteMax"),
        _number(models, 120, "MaxChaRte"),
        _number(models, 124, "WChaMax"),
        _number(models, 802, "WChaRteMax"),
    ]
    out_of = [
        _number(models, 702, "WDisChaRteMaxRtg"),
        _number(models, 702, "WDisChaRteMax"),
        _number(models, 120, "MaxDisChaRte"),
        _number(models, 802, "WDisChaRteMax"),
    ]
    given_in = math.nan if charge_max_w is None else charge_max_w
    given_out = math.nan if discharge_max_w is None else discharge_max_w
    bases = [
        value
        for value in (
            _number(models, 124, "WChaMax"),
            _number(models, 120, "MaxChaRte"),
            _number(models, 120, "MaxDisChaRte"),
        )
        if value > 0.0
    ]
    maximum = _number(models, 702, "WMax")
    if math.isnan(maximum):
        maximum = _number(models, 121, "WMax")
    return Ratings(
        # a rating of 0 W is how some devices say that they have none
        charge_w=smallest([*(v for v in into if v != 0.0), *(v for v in at_ac if v != 0.0), given_in]),
        discharge_w=smallest([*(v for v in out_of if v != 0.0), *(v for v in at_ac if v != 0.0), given_out]),
        maximum_w=maximum if not math.isnan(maximum) else smallest(at_ac),
        rate_base_w=max(bases) if _number(models, 124, "WChaMax") > 0.0 else math.nan,
    )


def _share(models: Models, number: int, percent: str, enable: str) -> float:
    """Give the curtailment that a control model holds, as a share; NaN where none is enabled."""
    values = models.get(number)
    if values is None or values.choice(enable) != 1:
        return math.nan
    share = values.number(percent) / 100.0
    return share if 0.0 <= share < 1.0 else math.nan


def grid_state(models: Models, maximum_w: float, valid_for_s: float) -> GridEvent:
    """Give what the inverter says of the grid and of itself, as an event; kind NONE where nothing binds.

    Parameters
    ----------
    models : mapping of int to Values
        Fresh models only.
    maximum_w : float
        What percentages refer to [W].
    valid_for_s : float
        Expiry of the event [s].
    """
    kind, reason = GridEventKind.NONE, ""
    discharge_w = charge_w = math.nan
    shares = [
        (_share(models, 704, "WMaxLimPct", "WMaxLimPctEna"), "model 704"),
        (_share(models, 123, "WMaxLimPct", "WMaxLim_Ena"), "model 123"),
    ]
    share, where = min(shares, key=lambda item: math.inf if math.isnan(item[0]) else item[0])
    if not math.isnan(share):
        kind = GridEventKind.CURTAILMENT
        discharge_w = share * maximum_w
        of = f"{maximum_w:.0f} W" if not math.isnan(maximum_w) else "a maximum that it does not say"
        reason = f"the inverter is curtailed to {100.0 * share:g} % of {of} (WMaxLimPct, {where})"
    disconnected = _disconnected(models)
    if disconnected:
        kind, reason, charge_w, discharge_w = GridEventKind.DISCONNECTED, disconnected, 0.0, 0.0
    fault = _fault(models)
    if fault:
        kind, reason, charge_w, discharge_w = GridEventKind.FAULT, fault, 0.0, 0.0
    return GridEvent(
        kind=int(kind),
        charge_power_w=charge_w,
        discharge_power_w=discharge_w,
        import_power_w=math.nan,
        export_power_w=math.nan,
        source="inverter",
        reason=reason,
        valid_for_s=valid_for_s,
    )


def _disconnected(models: Models) -> str:
    control, measured, status = models.get(123), models.get(701), models.get(122)
    if control is not None and control.choice("Conn") == 0:
        return "the inverter was told to disconnect (Conn, model 123)"
    if measured is not None and measured.choice("ConnSt") == 0:
        return "the inverter is not connected to the grid (ConnSt, model 701)"
    if status is not None and status.choice("ECPConn") == 0:
        return "the inverter is not connected to the grid (ECPConn, model 122)"
    for number in INVERTER_MODELS:
        values = models.get(number)
        if values is None:
            continue
        alarms = values.choice("Alrm" if number == 701 else "Evt1") or 0
        if alarms & (_ALARM_GRID_DISCONNECT | _ALARM_AC_DISCONNECT):
            return f"the inverter says that the grid is disconnected (alarms 0x{alarms:08X}, model {number})"
    return ""


def _fault(models: Models) -> str:
    for number in INVERTER_MODELS:
        values = models.get(number)
        if values is not None:
            state = values.choice("InvSt" if number == 701 else "St")
            if state == _FAULT_STATES.get(number, _INVERTER_FAULT):
                alarms = values.choice("Alrm" if number == 701 else "Evt1") or 0
                return f"the inverter reports a fault (model {number}, alarms 0x{alarms:08X})"
    battery = models.get(802)
    if battery is not None and battery.choice("State") == _BATTERY_FAULT:
        return "the battery model 802 of the inverter reports a fault"
    return ""
