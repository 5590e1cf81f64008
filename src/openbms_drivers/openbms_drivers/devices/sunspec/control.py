"""A power to the registers that make an inverter keep it, with the time after which it falls back by itself.

Model 124 (Basic Storage Controls): StorCtl_Mod, OutWRte, InWRte in percent of WChaMax, InOutWRte_RvrtTms.
Model 704 (DER AC Controls): WSet or WSetPct, its reversion value and WSetRvrtTms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from openbms_drivers.devices.sunspec.models import Values
from openbms_drivers.devices.sunspec.points import Raw, encode
from openbms_drivers.devices.sunspec.ratings import Ratings

__all__ = ["Plan", "UnusableError", "Write", "plan_der", "plan_release", "plan_storage"]

_CHARGE, _DISCHARGE = 1, 2
_WATTS, _PERCENT = 1, 0
_FROM_SOLAR_ONLY, _FROM_GRID = 0, 1


class UnusableError(Exception):
    """The inverter lacks what is needed to give it a power safely."""


@dataclass(frozen=True)
class Write:
    """Registers to write in one request, counted from the model's register ID."""

    register: int
    words: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes
    ----------
    model : int
    writes : tuple of Write
        In this order.
    expected : dict of str to int
        Raw values that stand there afterwards.
    power_w : float
        What the registers say after rounding [W at the inverter; positive: charging].
    """

    model: int
    writes: tuple[Write, ...]
    expected: dict[str, int]
    power_w: float

    def difference(self, values: Values) -> str:
        """Say what stands there otherwise than it was written; empty where nothing does."""
        wrong = [
            f"{name} is {values.raw(name)}, written was {raw}"
            for name, raw in self.expected.items()
            if not _stands(name, raw, values.raw(name))
        ]
        return "; ".join(wrong)


def _stands(name: str, written: int, read: Raw) -> bool:
    """Tell whether a point holds what was written; a reversion time may be shown running down."""
    if name.endswith("RvrtTms") and isinstance(read, int):
        return 0 < read <= written
    return read == written


class _Draft:
    """Collects writes to one model."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._writes: list[Write] = []
        self._expected: dict[str, int] = {}

    def add(self, **wanted: float) -> None:
        """Write points that follow each other, in one request."""
        words: list[int] = []
        points = [self._values.model.point(name) for name in wanted]
        for point, value in zip(points, wanted.values(), strict=True):
            if point.register != points[0].register + len(words):
                raise ValueError(f"{point.name} does not follow")
            try:
                encoded = encode(point.type, value, self._values.power(point))
            except ValueError as error:
                raise UnusableError(f"{point.name} (model {self._values.model.number}): {error}") from None
            words += encoded
            raw = int.from_bytes(
                b"".join(word.to_bytes(2, "big") for word in encoded), "big", signed=value < 0
            )
            self._expected[point.name] = raw
        self._writes.append(Write(points[0].register, tuple(words), tuple(wanted)))

    def change(self, name: str, value: int) -> None:
        """Write a point where something else stands there now and the device has it."""
        raw = self._values.raw(name)
        if raw is not None and raw != value:
            self.add(**{name: value})
        elif raw == value:
            self._expected[name] = value

    def raw(self, name: str) -> int:
        """Give what is written to a point."""
        return self._expected[name]

    def plan(self, power_w: float) -> Plan:
        """Give the plan."""
        return Plan(self._values.model.number, tuple(self._writes), dict(self._expected), power_w)


def _need(values: Values, names: Sequence[str]) -> None:
    lacking = [name for name in names if not values.has(name)]
    if lacking:
        raise UnusableError(f"model {values.model.number} does not have {', '.join(lacking)}")


def plan_storage(
    values: Values,
    ratings: Ratings,
    power_w: float,
    *,
    revert_after_s: float,
    window: bool = True,
    allow_grid_charging: bool = False,
) -> Plan:
    """Plan a power for model 124.

    Parameters
    ----------
    values : Values
        Model 124 as it was read last.
    ratings : Ratings
        What a rate of 100 % is.
    power_w : float
        At the inverter [W; positive: charging].
    revert_after_s : float
        Time after which the inverter leaves the mode by itself [s].
    window : bool
        A negative rate of the other direction forces this one; else only the wanted direction gets a rate.
    allow_grid_charging : bool
        Also write ChaGriSet where it forbids to charge from the grid.

    Raises
    ------
    UnusableError
        A point is missing that is needed, above all the one with which the inverter falls back by itself.
    """
    _need(values, ("StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_RvrtTms"))
    base_w = ratings.rate_base_w
    if not base_w > 0.0:
        raise UnusableError("model 124 does not say its WChaMax, to which the rates refer")
    percent = min(100.0, 100.0 * abs(power_w) / base_w)
    charging = power_w > 0.0
    draft = _Draft(values)
    draft.add(InOutWRte_RvrtTms=math.ceil(revert_after_s))
    if window:
        rate = percent if charging else -percent
        draft.add(OutWRte=-rate, InWRte=rate)
        mode = _CHARGE | _DISCHARGE
    else:
        draft.add(OutWRte=0.0 if charging else percent, InWRte=percent if charging else 0.0)
        mode = (_CHARGE if charging else _DISCHARGE) if percent else _CHARGE | _DISCHARGE
    if charging and allow_grid_charging and values.choice("ChaGriSet") == _FROM_SOLAR_ONLY:
        draft.add(ChaGriSet=_FROM_GRID)
    draft.add(StorCtl_Mod=mode)
    power = values.power(values.model.point("InWRte"))
    raw = draft.raw("InWRte" if charging else "OutWRte")
    written_w = abs(raw) * 10.0 ** float(power if isinstance(power, int) else 0) / 100.0 * base_w
    return draft.plan(written_w if charging else 0.0 - written_w)


def plan_der(values: Values, ratings: Ratings, power_w: float, *, revert_after_s: float) -> Plan:
    """Plan a power for model 704, which counts positive what the inverter gives.

    Parameters
    ----------
    values : Values
        Model 704 as it was read last.
    ratings : Ratings
        What WSetPct refers to, for a device without WSet.
    power_w : float
        At the inverter [W; positive: charging].
    revert_after_s : float
        Time after which the inverter falls back to 0 W, or leaves the mode if it has no reversion value [s].

    Raises
    ------
    UnusableError
        A point is missing that is needed.
    """
    _need(values, ("WSetEna", "WSetRvrtTms"))
    draft = _Draft(values)
    generated_w = -power_w
    in_watts = values.has("WSet") and isinstance(values.power(values.model.point("WSet")), int)
    if in_watts:
        if values.has("WSetPct"):  # it has both: what counts must be said
            _need(values, ("WSetMod",))
        value, reversion, setpoint = generated_w, "WSetRvrt", "WSet"
    elif values.has("WSetPct"):
        if not ratings.maximum_w > 0.0:
            raise UnusableError("model 704 takes only percent of WMax, which the inverter does not say")
        value = max(-100.0, min(100.0, 100.0 * generated_w / ratings.maximum_w))
        reversion, setpoint = "WSetPctRvrt", "WSetPct"
    else:
        raise UnusableError("model 704 has neither WSet nor WSetPct")
    if values.has(reversion):
        draft.change(reversion, 0)
        draft.change("WSetEnaRvrt", 1)
    else:
        draft.change("WSetEnaRvrt", 0)
    draft.change("WSetMod", _WATTS if in_watts else _PERCENT)
    draft.add(**{setpoint: value})
    draft.add(WSetRvrtTms=math.ceil(revert_after_s))
    draft.add(WSetEna=1)
    power = values.power(values.model.point(setpoint))
    written = draft.raw(setpoint) * 10.0 ** float(power if isinstance(power, int) else 0)
    return draft.plan(0.0 - (written if in_watts else written / 100.0 * ratings.maximum_w))


def plan_release(values: Values) -> Plan:
    """Plan to leave the inverter to its own mode."""
    draft = _Draft(values)
    draft.add(**{"WSetEna" if values.model.number == 704 else "StorCtl_Mod": 0})
    return draft.plan(math.nan)
