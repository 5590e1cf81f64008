"""How well a signal fits a quantity, by the words in its name and its message, its unit and its range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openbms_drivers.mapping.facts import Fact
from openbms_drivers.mapping.wanted import NOT_MEASURED, OTHER_KINDS, SCALARS

__all__ = ["SCALARS", "SURE", "UNSURE", "Rating", "rate", "rate_cell", "rate_temperature"]

SURE, UNSURE = 8.0, 5.0
"""From these ratings on a signal is taken as sure, or at least proposed."""


@dataclass(frozen=True)
class Rating:
    """How well a signal fits.

    Attributes
    ----------
    score : float
        From :data:`UNSURE` on it is worth a proposal.
    why : str
        What speaks for it.
    """

    score: float
    why: str


def _unit_matches(fact: Fact, dimension: str) -> bool | None:
    """Tell whether the unit fits; None where the DBC gives none that is known."""
    return fact.dimension == dimension if fact.dimension else None


def rate(quantity: str, fact: Fact) -> Rating | None:
    """Rate a signal for a quantity of one value; None where it cannot be it."""
    wanted = SCALARS[quantity]
    if not wanted.bits[0] <= fact.bits <= wanted.bits[1] or fact.said & wanted.forbids:
        return None
    whys: list[str] = []
    score = wanted.base - 2.5 * ("target" in fact.around)
    if wanted.dimension:
        if fact.is_enumeration:
            return None
        matches = _unit_matches(fact, wanted.dimension)
        if matches is False:
            return None
        if matches:
            score += 3.0
            whys.append(f"unit [{fact.signal.unit}]")
        if wanted.reach is not None:
            factor = fact.unit[1] if fact.unit is not None and matches else 1.0
            high = fact.reach[1] * factor
            # 24 bits and more without a declared range say nothing about the range
            open_ended = fact.declared is None and fact.bits >= 24
            if matches and not wanted.reach[0] <= high <= (math.inf if open_ended else wanted.reach[1]):
                return None
    elif fact.dimension:
        return None
    else:
        score += 1.5
    for number, group in enumerate(wanted.needs):
        if group & fact.said:
            score += 3.0
            whys.append(f"'{sorted(group & fact.said)[0]}' in its name")
        elif group & fact.around:
            score += 1.5
            whys.append(f"'{sorted(group & fact.around)[0]}' in its message")
        elif number == 0 and wanted.dimension in ("a", "v", "degc") and fact.dimension == wanted.dimension:
            score += 1.0  # the unit says what it is
        else:
            return None
    for concept, points in wanted.likes.items():
        if concept in fact.said:
            score += points
            if points > 0:
                whys.append(f"'{concept}' in its name")
        elif concept in fact.around:
            score += (0.15 if concept == "state" else 0.5) * points
    if "historic" in fact.around:
        score -= 3.0  # of a configuration, of a diagnosis
    if not fact.of_pack:
        score -= 3.0 if wanted.dimension else 1.5
    score += _shape_points(quantity, fact, whys)
    return Rating(score, ", ".join(dict.fromkeys(whys)))


def _shape_points(quantity: str, fact: Fact, whys: list[str]) -> float:
    """What range, sign and number in the name add."""
    score = 0.0
    if quantity == "string_current_a":
        if fact.reach[0] < 0.0:
            score += 2.0
            whys.append("its range has both signs")
        elif not fact.signal.conversion.is_float:
            score -= 1.0
        if fact.bits < 10:
            score -= 1.5
        if fact.of_pack:
            score += 0.5
    elif (quantity in ("string_voltage_v", "reported_soc") and fact.of_pack) or (
        quantity == "insulation_resistance_ohm" and fact.dimension == "ohm" and "resistance" not in fact.said
    ):
        score += 1.0
    if "cell_voltage" in quantity:
        if not fact.dimension and fact.reach[1] > 10_000:
            score -= 1.0
        if "cell" not in fact.said | fact.around:
            factor = fact.unit[1] if fact.unit is not None else 1.0
            score -= 1.0 if fact.by_battery and fact.reach[1] * factor < 70.0 else 5.0
    if fact.levels and len(fact.levels[-1][1]) == 1 and quantity == "string_current_a":
        score -= 0.5  # a current that takes turns is a slow one
    return score


def rate_cell(fact: Fact) -> Rating | None:
    """Rate a signal as a member of the array of cell voltages."""
    said, both = fact.said, fact.said | fact.around
    forbidden = (
        NOT_MEASURED - {"index"}
        | OTHER_KINDS - {"voltage"}
        | {"minimum", "maximum", "average", "limit", "balance", "supply", "link", "motor"}
    )
    if said & forbidden or fact.bits < 7 or fact.is_enumeration or not fact.of_pack:
        return None
    if "flag" in said or ("index" in said and "voltage" not in said and fact.dimension != "v"):
        return None
    if fact.dimension not in ("", "v"):
        return None
    whys: list[str] = []
    score = 0.0
    for concept, in_name, around in (("cell", 4.0, 2.0), ("voltage", 2.0, 1.0)):
        if concept in said:
            score += in_name
            whys.append(f"'{concept}' in its name")
        elif concept in fact.around:
            score += around
            whys.append(f"'{concept}' in its message")
    if fact.dimension == "v":
        score += 3.0
        whys.append(f"unit [{fact.signal.unit}]")
    elif ("voltage" not in both and not ("cell" in said and fact.bits >= 10)) or (
        fact.around & {"temperature", "soc", "balance", "resistance", "current"} and "voltage" not in said
    ):
        return None
    factor = fact.unit[1] if fact.unit is not None else 1.0
    high = fact.reach[1] * factor
    if 3.0 <= high <= 7.0:
        score += 2.0
        whys.append(f"range up to {high:g} V")
    elif fact.dimension == "v" and factor == 1.0 and 70.0 < high < 3000.0:
        score -= 3.0  # volts of a pack or a module
    if "cell" not in both:
        score -= 2.0
    if (
        not fact.dimension
        and fact.declared is not None
        and (3000 <= high <= 6600 or 30_000 <= high <= 66_000)
    ):
        score += 2.0
        whys.append(f"range up to {high:g}, as of a cell in {'' if high < 10_000 else '0.1 '}mV")
    score += (
        -3.0 * ("open" in said)
        - 2.0 * ("state" in said)
        - 3.0 * ("foreign" in both)
        - 1.0 * ("redundant" in said)
    )
    return Rating(score, ", ".join(whys))


def rate_temperature(fact: Fact) -> Rating | None:
    """Rate a signal as a temperature of the pack."""
    said, both = fact.said, fact.said | fact.around
    forbidden = (
        NOT_MEASURED - {"index"} | OTHER_KINDS - {"temperature"} | {"minimum", "maximum", "average", "limit"}
    )
    if said & forbidden or "flag" in said or fact.bits < 6 or fact.is_enumeration:
        return None
    if fact.dimension not in ("", "degc"):
        return None
    if "index" in said and fact.dimension != "degc" and "temperature" not in said:
        return None
    unit = (fact.signal.unit or "").strip().lower()
    named = "temperature" in (said if unit in ("°", "deg") else both)
    if not named and (fact.dimension != "degc" or unit in ("°", "deg", "degree", "degrees", "k")):
        return None
    score = 0.0
    whys: list[str] = []
    if "temperature" in said:
        score += 3.0
        whys.append("'temperature' in its name")
    elif "temperature" in fact.around:
        score += 1.5
        whys.append("'temperature' in its message")
    if fact.dimension == "degc":
        score += 3.0
        whys.append(f"unit [{fact.signal.unit}]")
    for concept, points in (
        ("cell", 3.0),
        ("module", 2.0),
        ("pack", 2.0),
        ("coolant", 1.5),
        ("ambient", 1.0),
    ):
        if concept in said:
            score += points
            whys.append(f"'{concept}' in its name")
        elif concept in fact.around:
            score += 0.6 * points
    for concept, points in (
        ("foreign", -7.0),
        ("motor", -7.0),
        ("state", -2.0),
        ("board", -1.0),
        ("balance", -2.0),
        ("supply", -4.0),
    ):
        if concept in said:
            score += points
        elif concept in fact.around:
            score += 0.7 * points
    if not fact.of_pack:
        score -= 4.0
    elif fact.by_battery:
        score += 1.0
    return Rating(score, ", ".join(whys))
