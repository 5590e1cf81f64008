"""Scale and offset that lead from the DBC's value to the unit of a quantity, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openbms_drivers.mapping.facts import Fact

__all__ = ["PLAUSIBLE", "Scaling", "dimension_of", "scaling_of"]

PLAUSIBLE: dict[str, tuple[float, float]] = {
    "cell_voltage_v": (0.0, 6.0),
    "redundant_cell_voltage_v": (0.0, 6.0),
    "reported_cell_voltage_minimum_v": (0.0, 6.0),
    "reported_cell_voltage_maximum_v": (0.0, 6.0),
    "temperature_degc": (-60.0, 150.0),
    "reported_temperature_minimum_degc": (-60.0, 150.0),
    "reported_temperature_maximum_degc": (-60.0, 150.0),
    "string_voltage_v": (0.0, 2000.0),
    "link_voltage_v": (-50.0, 2000.0),
    "supply_voltage_v": (0.0, 60.0),
    "reported_soc": (0.0, 1.05),
}
"""Range outside of which a value must be an error."""

_USUAL: dict[str, tuple[float, float]] = {
    "cell_voltage_v": (1.5, 4.6),
    "string_voltage_v": (8.0, 1200.0),
    "link_voltage_v": (8.0, 1200.0),
    "supply_voltage_v": (8.0, 60.0),
    "temperature_degc": (-35.0, 90.0),
    "reported_soc": (0.02, 1.03),
}
_DIMENSIONS = ("degc", "ohm", "ah", "pa", "v", "a")
_KELVIN, _FAHRENHEIT = -273.15, -160.0 / 9.0


@dataclass(frozen=True)
class Scaling:
    """How a value is converted.

    Attributes
    ----------
    scale, offset : float
        As in the signal map.
    doubt : str
        Why this may be wrong; empty where the DBC says it.
    """

    scale: float = 1.0
    offset: float = 0.0
    doubt: str = ""


def dimension_of(quantity: str) -> str:
    """Give the dimension of a quantity by its suffix; of the state of charge ``%``."""
    if quantity == "reported_soc":
        return "%"
    return next((name for name in _DIMENSIONS if quantity.endswith(f"_{name}")), "")


def _kind(quantity: str) -> str:
    if "cell_voltage" in quantity:
        return "cell_voltage_v"
    return "temperature_degc" if "temperature" in quantity else quantity


def scaling_of(quantity: str, fact: Fact, seen: float | None = None) -> Scaling:
    """Find the scaling of a signal.

    Parameters
    ----------
    quantity : str
        Of the pack file.
    fact : Fact
        The signal.
    seen : float, optional
        Median of the DBC's physical value in a log: decides where unit and range leave it open.

    Returns
    -------
    Scaling
    """
    kind = _kind(quantity)
    if kind == "temperature_degc":
        return _temperature(fact, seen)
    if kind == "reported_soc":
        return _share(fact, seen)
    unit = fact.unit[1] if fact.unit is not None and fact.unit[0] == dimension_of(quantity) else None
    usual = _USUAL.get(kind)
    if usual is None:
        return Scaling(unit or 1.0, 0.0, "" if unit else "the DBC gives no unit")
    if unit is not None and _fits(fact, unit, kind) and _seen_fits(seen, unit, usual):
        return Scaling(unit)
    candidates = [unit] if unit is not None else []
    candidates += [1.0, 1e-3, 1e-4, 0.1, 0.01] if kind == "cell_voltage_v" else [1.0, 0.1, 1e-3, 0.01]
    ranked = [scale for scale in dict.fromkeys(candidates) if _fits(fact, scale, kind)]
    if seen is not None and seen != 0.0:
        matching = [scale for scale in (ranked or candidates) if _seen_fits(seen, scale, usual)]
        matching = matching or [scale for scale in candidates if _seen_fits(seen, scale, usual)]
        if matching:
            if matching[0] == unit:
                return Scaling(unit)
            return Scaling(
                matching[0],
                0.0,
                f"{_unit_said(fact)}; the log has {seen:g}, which with {matching[0]:g} makes sense",
            )
    if not ranked:
        return Scaling(
            unit or 1.0, 0.0, f"{_unit_said(fact)} and its range up to {fact.reach[1]:g} fits no scale"
        )
    if unit is not None and unit in ranked:
        return Scaling(unit)
    others = ", ".join(f"{scale:g}" for scale in ranked[1:3])
    return Scaling(
        ranked[0], 0.0,
        f"{_unit_said(fact)}; its range up to {fact.reach[1]:g} speaks for scale {ranked[0]:g}"
        + (f" (else {others})" if others else ""),
    )  # fmt: skip


def _unit_said(fact: Fact) -> str:
    text = (fact.signal.unit or "").strip()
    return f"the DBC says [{text}]" if text else "the DBC gives no unit"


def _seen_fits(seen: float | None, scale: float, usual: tuple[float, float]) -> bool:
    return seen is None or seen == 0.0 or usual[0] <= seen * scale <= usual[1]


def _fits(fact: Fact, scale: float, kind: str) -> bool:
    """Tell whether the range of the signal, scaled, is one that such a quantity has."""
    high = fact.reach[1] * scale
    step = abs(float(fact.signal.conversion.scale)) * scale
    if kind == "cell_voltage_v":
        # 16 bits of 1 mV reach 65 V; a step above 50 mV is no cell voltage
        return 2.0 <= high <= (66.0 if fact.unit is None else 200.0) and step <= 0.05
    if kind == "supply_voltage_v":
        return 8.0 <= high <= 700.0
    open_ended = fact.declared is None and fact.bits >= 24
    return 12.0 <= high <= (math.inf if open_ended else 70_000.0) and step <= 5.0


def _temperature(fact: Fact, seen: float | None) -> Scaling:
    unit = fact.unit
    low, high = fact.reach
    if unit is not None and unit[0] == "degf":
        return Scaling(5.0 / 9.0, _FAHRENHEIT)
    if unit is not None and unit[0] == "k":
        if low < 0.0 or (seen is not None and seen < 150.0):
            return Scaling(
                1.0, 0.0, "the DBC says Kelvin, but its range reaches below 0 K: taken as degrees Celsius"
            )
        return Scaling(1.0, _KELVIN)
    factor = unit[1] if unit is not None and unit[0] == "degc" else None
    if factor is not None:
        return Scaling(factor)
    if seen is not None and 200.0 < seen < 400.0 and low >= 0.0:
        return Scaling(1.0, _KELVIN, "the DBC gives no unit; the log speaks for Kelvin")
    if seen is not None and not -60.0 <= seen <= 150.0:
        for scale in (0.1, 0.01, 0.001):
            if -35.0 <= seen * scale <= 90.0:
                return Scaling(scale, 0.0, f"the DBC gives no unit; the log has {seen:g}")
    if high > 1000.0 and not fact.declared:
        step = float(fact.signal.conversion.scale)
        if step >= 1.0:
            return Scaling(
                0.1, 0.0, f"the DBC gives no unit and a range up to {high:g}: taken as tenths (else 1)"
            )
    return Scaling(1.0, 0.0, "" if fact.unit else "the DBC gives no unit: taken as degrees Celsius")


def _share(fact: Fact, seen: float | None) -> Scaling:
    if fact.unit is not None and fact.unit[0] == "%":
        factor = fact.unit[1]
        high = fact.reach[1] * factor
        if seen is not None and seen * factor > 1.1:
            for scale in (0.1, 0.01, 0.001):
                if seen * factor * scale <= 1.05:
                    return Scaling(
                        factor * scale, 0.0, f"the DBC says [{fact.signal.unit}], but the log has {seen:g}"
                    )
        if fact.declared and high <= 0.0105:
            return Scaling(1.0, 0.0, f"the DBC says [{fact.signal.unit}] with a range up to "
                                     f"{fact.reach[1]:g}: "
                           "taken as a share of 1")  # fmt: skip
        return Scaling(factor)
    if fact.signal.maximum is not None and fact.signal.maximum == 1 and fact.signal.conversion.scale <= 0.01:
        return Scaling()
    high = fact.reach[1]
    if seen is not None and seen > 0.0:
        scale = next(scale for scale in (1.0, 0.01, 1e-3, 1e-4, 1e-5) if seen * scale <= 1.1 or scale == 1e-5)
        return Scaling(scale, 0.0, f"the DBC gives no unit; the log has {seen:g}")
    for limit, scale in ((1.5, 1.0), (260.0, 0.01), (1100.0, 1e-3), (11_000.0, 1e-4)):
        if high <= limit:
            return Scaling(
                scale, 0.0, f"the DBC gives no unit; its range up to {high:g} speaks for scale {scale:g}"
            )
    return Scaling(0.01, 0.0, f"the DBC gives no unit and a range up to {high:g}: taken as percent")
