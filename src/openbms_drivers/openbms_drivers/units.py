"""Plausibility of the unit that a DBC gives for the quantity that a signal is mapped to."""

from __future__ import annotations

import math

__all__ = ["unit_warning", "units_each"]

_UNITS: dict[str, tuple[str, float]] = {
    "v": ("v", 1.0), "volt": ("v", 1.0), "mv": ("v", 1e-3), "kv": ("v", 1e3),
    "a": ("a", 1.0), "ampere": ("a", 1.0), "ma": ("a", 1e-3),
    "ah": ("ah", 1.0), "mah": ("ah", 1e-3), "as": ("ah", 1 / 3600),
    "degc": ("degc", 1.0), "°c": ("degc", 1.0), "celsius": ("degc", 1.0), "k": ("degc", 1.0),
    "ohm": ("ohm", 1.0), "kohm": ("ohm", 1e3),
    "w": ("w", 1.0), "kw": ("w", 1e3),
    "pa": ("pa", 1.0), "hpa": ("pa", 1e2), "kpa": ("pa", 1e3), "mbar": ("pa", 1e2), "bar": ("pa", 1e5),
    "m3/s": ("m3_per_s", 1.0), "l/min": ("m3_per_s", 1 / 60_000), "l/s": ("m3_per_s", 1e-3),
    "%": ("1", 1e-2),
}  # fmt: skip
_DIMENSIONS = ("m3_per_s", "degc", "ohm", "ah", "pa", "v", "a", "w")
_SHARES = ("reported_soc", "actuator_feedback")


def units_each(quantity: str, unit: str | None) -> float | None:
    """Give how many of a DBC's unit one of a quantity's unit is: 1000 for mA and a quantity in _a.

    Returns
    -------
    float or None
        None where the unit is unknown here, or is another dimension's.
    """
    known = _UNITS.get((unit or "").strip().lower())
    if known is None or not quantity.endswith(f"_{known[0]}"):
        return None
    return 1.0 / known[1]


def unit_warning(quantity: str, unit: str | None, scale: float) -> str | None:
    """Say what looks wrong about a unit, or nothing.

    Parameters
    ----------
    quantity : str
        Quantity of the pack file, with its unit as suffix.
    unit : str or None
        Unit of the signal in the DBC; one that is unknown here says nothing.
    scale : float
        Scale of the signal map; its sign does not matter.

    Returns
    -------
    str or None
        One sentence.
    """
    known = _UNITS.get((unit or "").strip().lower())
    if known is None:
        return None
    dimension = (
        "1" if quantity in _SHARES else next((d for d in _DIMENSIONS if quantity.endswith(f"_{d}")), "")
    )
    if not dimension:
        return None
    if known[0] != dimension:
        return f"the DBC gives it in [{unit}], which does not look like {quantity}"
    if not math.isclose(abs(scale), known[1], rel_tol=0.02):
        return (
            f"the DBC gives it in [{unit}], for {quantity} that asks for scale {known[1]:g}, but scale is "
            f"{scale:g}"
        )
    return None
