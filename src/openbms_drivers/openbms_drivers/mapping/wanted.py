"""What each quantity of one value looks like in a DBC: words, unit, length, range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["NOT_MEASURED", "OTHER_KINDS", "SCALARS", "Wanted"]

NOT_MEASURED = frozenset({"target", "counter", "checksum", "index", "unknown_kind", "difference", "historic"})
OTHER_KINDS = frozenset(
    {
        "voltage",
        "current",
        "temperature",
        "soc",
        "soh",
        "energy",
        "power",
        "capacity",
        "counter_ah",
        "resistance",
    }
)


@dataclass(frozen=True)
class Wanted:
    """What a quantity looks like in a DBC.

    Attributes
    ----------
    dimension : str
        Of its unit; a signal with another known unit is out. Empty: none.
    needs : tuple of frozenset
        Concepts of which one each must be there, in the signal's name or, for half, around it.
    likes : mapping of str to float
        What further concepts in its name add or take.
    forbids : frozenset
        Concepts in its name that rule it out.
    bits : tuple of int
        Least and greatest length.
    base : float
        What its words are worth beyond the usual.
    reach : tuple of float
        Its range must reach up to a value between these (in the DBC's unit times the factor of its unit).
    """

    dimension: str
    needs: tuple[frozenset[str], ...]
    likes: Mapping[str, float] = field(default_factory=dict)
    forbids: frozenset[str] = frozenset()
    bits: tuple[int, int] = (6, 64)
    reach: tuple[float, float] | None = None
    base: float = 0.0


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


_MEASURED = {
    "foreign": -6.0,
    "motor": -6.0,
    "flag": -5.0,
    "state": -3.0,
    "balance": -4.0,
    "open": -2.0,
    "average": -1.5,
    "insulation": -6.0,
    "redundant": -3.0,
    "interlock": -6.0,
}
_LIMIT_FORBIDS = NOT_MEASURED | _set(
    "voltage", "temperature", "soc", "power", "energy", "cell", "counter_ah", "resistance"
)
_ALARM_FORBIDS = _set(
    "target", "counter", "checksum", "cell", "voltage", "current", "temperature", "pressure"
)
_STATE_LIKES = {"state": 1.5, "pack": 1.0, "foreign": -6.0, "motor": -6.0}

SCALARS: dict[str, Wanted] = {
    "string_current_a": Wanted(
        "a",
        (_set("current"),),
        {
            **_MEASURED,
            "pack": 3.0,
            "charge": -4.0,
            "discharge": -4.0,
            "cell": -5.0,
            "module": -1.0,
            "supply": -4.0,
            "link": -2.0,
            "shunt": 1.0,
            "redundant": -4.0,
            "board": -3.0,
            "contactor": -2.0,
            "precharge": -4.0,
        },
        NOT_MEASURED
        | _set(
            "limit",
            "minimum",
            "maximum",
            "temperature",
            "voltage",
            "soc",
            "power",
            "energy",
            "resistance",
            "insulation",
            "counter_ah",
        ),
        (8, 64),
    ),
    "string_voltage_v": Wanted(
        "v",
        (_set("voltage"),),
        {
            **_MEASURED,
            "pack": 3.0,
            "cell": -6.0,
            "supply": -6.0,
            "link": -3.0,
            "module": -2.0,
            "charge": -4.0,
            "discharge": -4.0,
            "board": -5.0,
            "precharge": -4.0,
            "contactor": -2.0,
            "positive": -1.5,
            "negative": -1.5,
        },
        NOT_MEASURED
        | _set("limit", "minimum", "maximum", "temperature", "current", "soc", "power", "resistance"),
        (7, 64),
        (12.0, 70_000.0),
    ),
    "link_voltage_v": Wanted(
        "v",
        (_set("voltage"), _set("link")),
        {
            "foreign": -4.0,
            "motor": -3.0,
            "flag": -5.0,
            "supply": -6.0,
            "pack": 0.5,
            "charge": -3.0,
            "cell": -6.0,
            "insulation": -4.0,
            "state": -3.0,
            "board": -4.0,
        },
        NOT_MEASURED | _set("limit", "minimum", "maximum", "temperature", "current", "soc", "power"),
        (8, 64),
        (12.0, 70_000.0),
    ),
    "supply_voltage_v": Wanted(
        "v",
        (_set("voltage"), _set("supply")),
        {
            "pack": 1.0,
            "foreign": -4.0,
            "motor": -3.0,
            "flag": -5.0,
            "cell": -6.0,
            "link": -3.0,
            "state": -3.0,
            "board": -0.5,
        },
        NOT_MEASURED | _set("limit", "minimum", "maximum", "temperature", "current", "soc", "power"),
        (6, 64),
        (10.0, 110.0),
        base=1.0,
    ),
    "reported_soc": Wanted(
        "%",
        (_set("soc"),),
        {
            "pack": 2.0,
            "flag": -5.0,
            "foreign": -5.0,
            "motor": -5.0,
            "state": -0.5,
            "average": -1.0,
            "cell": -5.0,
            "supply": -6.0,
            "minimum": -2.5,
            "maximum": -2.5,
            "module": -3.0,
            "balance": -4.0,
            "open": -2.0,
            "redundant": -2.0,
            "display": -1.0,
        },
        NOT_MEASURED
        | _set("limit", "voltage", "temperature", "current", "soh", "power", "energy", "capacity"),
        (6, 64),
        base=2.5,
    ),
    "reported_charge_current_limit_a": Wanted(
        "a",
        (_set("current"), _set("limit", "maximum"), _set("charge")),
        {
            "pack": 1.0,
            "limit": 1.0,
            "foreign": -6.0,
            "motor": -4.0,
            "flag": -5.0,
            "state": -4.0,
            "supply": -4.0,
            "minimum": -4.0,
        },
        _LIMIT_FORBIDS | _set("discharge"),
        (6, 64),
    ),
    "reported_discharge_current_limit_a": Wanted(
        "a",
        (_set("current"), _set("limit", "maximum"), _set("discharge")),
        {
            "pack": 1.0,
            "limit": 1.0,
            "foreign": -6.0,
            "motor": -4.0,
            "flag": -5.0,
            "state": -4.0,
            "supply": -4.0,
            "minimum": -4.0,
        },
        _LIMIT_FORBIDS,
        (6, 64),
    ),
    "reported_cell_voltage_minimum_v": Wanted(
        "v",
        (_set("voltage"), _set("minimum"), _set("cell", "pack")),
        {
            "cell": 2.0,
            "flag": -5.0,
            "limit": -4.0,
            "foreign": -6.0,
            "motor": -6.0,
            "open": -2.5,
            "module": -2.0,
            "charge": -3.0,
            "discharge": -3.0,
            "state": -2.0,
            "supply": -6.0,
            "maximum": -9.0,
            "redundant": -3.0,
        },
        NOT_MEASURED | _set("temperature", "current", "soc", "resistance", "average"),
        (6, 64),
        (2.0, 70.0),
    ),
    "reported_cell_voltage_maximum_v": Wanted(
        "v",
        (_set("voltage"), _set("maximum"), _set("cell", "pack")),
        {
            "cell": 2.0,
            "flag": -5.0,
            "limit": -4.0,
            "foreign": -6.0,
            "motor": -6.0,
            "open": -2.5,
            "module": -2.0,
            "charge": -3.0,
            "discharge": -3.0,
            "state": -2.0,
            "supply": -6.0,
            "minimum": -9.0,
            "redundant": -3.0,
        },
        NOT_MEASURED | _set("temperature", "current", "soc", "resistance", "average"),
        (6, 64),
        (2.0, 70.0),
    ),
    "reported_temperature_minimum_degc": Wanted(
        "degc",
        (_set("temperature"), _set("minimum")),
        {
            "cell": 2.0,
            "pack": 1.5,
            "flag": -5.0,
            "limit": -4.0,
            "foreign": -6.0,
            "motor": -6.0,
            "board": -5.0,
            "coolant": -4.0,
            "ambient": -4.0,
            "module": -0.5,
            "state": -2.0,
            "maximum": -9.0,
            "balance": -3.0,
        },
        NOT_MEASURED | _set("voltage", "current", "soc", "resistance", "average"),
        (6, 64),
    ),
    "reported_temperature_maximum_degc": Wanted(
        "degc",
        (_set("temperature"), _set("maximum")),
        {
            "cell": 2.0,
            "pack": 1.5,
            "flag": -5.0,
            "limit": -4.0,
            "foreign": -6.0,
            "motor": -6.0,
            "board": -5.0,
            "coolant": -4.0,
            "ambient": -4.0,
            "module": -0.5,
            "state": -2.0,
            "minimum": -9.0,
            "balance": -3.0,
        },
        NOT_MEASURED | _set("voltage", "current", "soc", "resistance", "average"),
        (6, 64),
    ),
    "insulation_resistance_ohm": Wanted(
        "ohm",
        (_set("insulation"),),
        {
            "resistance": 2.0,
            "pack": 1.0,
            "flag": -6.0,
            "state": -4.0,
            "positive": -0.5,
            "negative": -0.5,
            "minimum": -2.0,
            "open": 0.0,
        },
        NOT_MEASURED | _set("limit", "voltage", "current", "temperature", "maximum"),
        (6, 64),
        base=2.0,
    ),
    "interlock": Wanted(
        "",
        (_set("interlock"),),
        {**_STATE_LIKES, "flag": -2.0},
        _set("target", "counter", "checksum", "index", "historic", "voltage", "current", "temperature"),
        (1, 4),
        base=2.5,
    ),
    "contactor_positive": Wanted(
        "",
        (_set("contactor"), _set("positive", "main", "discharge")),
        {**_STATE_LIKES, "flag": -5.0, "precharge": -9.0, "charge": -4.0},
        NOT_MEASURED | _set("voltage", "current", "temperature", "resistance", "limit"),
        (1, 4),
    ),
    "contactor_negative": Wanted(
        "",
        (_set("contactor"), _set("negative", "charge")),
        {**_STATE_LIKES, "flag": -5.0, "precharge": -9.0, "discharge": -4.0},
        NOT_MEASURED | _set("voltage", "current", "temperature", "resistance", "limit"),
        (1, 4),
    ),
    "contactor_precharge": Wanted(
        "",
        (_set("contactor"), _set("precharge")),
        {**_STATE_LIKES, "flag": -5.0},
        NOT_MEASURED | _set("voltage", "current", "temperature", "resistance", "limit"),
        (1, 4),
    ),
    "emergency_stop": Wanted("", (_set("emergency"),), {"foreign": -6.0}, _ALARM_FORBIDS, (1, 2), base=1.0),
    "ignition": Wanted(
        "",
        (_set("ignition"),),
        {"foreign": -6.0, "motor": -6.0, "flag": -6.0},
        _ALARM_FORBIDS,
        (1, 2),
        base=1.0,
    ),
    "charging_plug": Wanted(
        "", (_set("plug"),), {"foreign": -3.0, "flag": -4.0, "charge": 1.5}, _ALARM_FORBIDS, (1, 2)
    ),
    "smoke": Wanted("", (_set("smoke"),), {"foreign": -6.0}, _ALARM_FORBIDS, (1, 2), base=1.0),
    "gas": Wanted("", (_set("gas"),), {"foreign": -6.0, "motor": -6.0}, _ALARM_FORBIDS, (1, 2), base=1.0),
}
"""What the quantities of one value look like."""
