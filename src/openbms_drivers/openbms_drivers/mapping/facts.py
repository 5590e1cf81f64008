"""What a DBC says of each signal, in one shape: words, unit, ranges, codes, cycle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from openbms_drivers.database import multiplexing
from openbms_drivers.mapping.words import concepts

__all__ = ["Fact", "collect_facts", "cycle_of", "unit_of"]

_UNITS: tuple[tuple[str, str, float], ...] = (
    (r"(?:unit_)?(?:milli-?volts?|mv)", "v", 1e-3),
    (r"(?:kv|kilovolts?)", "v", 1e3),
    (r"(?:unit_)?(?:volts?|v|vdc|vcc)", "v", 1.0),
    (r"(?:milli-?amp(?:ere)?s?|ma)", "a", 1e-3),
    (r"(?:unit_)?(?:amp(?:er|ere)?s?|a|adc)", "a", 1.0),
    (r"(?:mah|milliamp-?hours?)", "ah", 1e-3),
    (r"(?:unit_)?(?:ah|a\*?h|amp-?hours?|ampere?hours?)", "ah", 1.0),
    (r"(?:as|a\*?s|c_coulomb|coulombs?)", "ah", 1 / 3600),
    (r"(?:mas)", "ah", 1 / 3.6e6),
    (r"(?:unit_)?(?:°|º|deg(?:ree)?s?[ _.]*|grad[ _]*)?(?:c|cel|celsius|celsi|degrecelsi)", "degc", 1.0),
    (r"(?:unit_degrecelsi|degc|deg|°)", "degc", 1.0),
    (r"(?:k|kelvin|unit_kelvi)", "k", 1.0),
    (r"(?:°|deg[ _]?)?f(?:ahrenheit)?", "degf", 1.0),
    (r"(?:k-?ohms?|kω|kohms?|kilo-?ohms?|kΩ)", "ohm", 1e3),
    (r"(?:m-?ohms?|mΩ|mω)", "ohm", 1e-3),
    (r"(?:megohms?|mega-?ohms?)", "ohm", 1e6),
    (r"(?:ohms?|ω|Ω)", "ohm", 1.0),
    (r"(?:kw|unit_kilowatt)", "w", 1e3),
    (r"(?:w|watts?|unit_watt)", "w", 1.0),
    (r"(?:kwh)", "wh", 1e3),
    (r"(?:wh|unit_watthour)", "wh", 1.0),
    (r"(?:unit_)?(?:%|percent|pct|prozent|% ?soc|%\+1)", "%", 1e-2),
    (r"(?:‰|permille|promille)", "%", 1e-3),
    (r"(?:kpa)", "pa", 1e3),
    (r"(?:hpa|mbar)", "pa", 1e2),
    (r"(?:bar)", "pa", 1e5),
    (r"(?:pa)", "pa", 1.0),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), name, factor) for pattern, name, factor in _UNITS)
_NO_VALUE = re.compile(
    r"(?<![a-z])(?:sna|snv|n/?\.?a\.?|nv|invalid|inval|not[ _]?avail\w*|unavail\w*|notavailable|no[ "
    r"_]?(?:valid[ _]?)?"
    r"(?:value|data|signal|info)|undefined|undef|unknown|not[ "
    r"_]?(?:valid|measured|supported|used|connected|fitted|"
    r"present|equipped)|error[ "
    r"_]?(?:value|indicator)?|fault(?:y)?|failure|fehler|ungueltig|ung\u00fcltig|nicht[ _]?"
    r"verf\w*|init(?:ial\w*|wert|_value)?|default|signal[ _]?(?:invalid|error|not)|missing|wuxiao|open[ "
    r"_]?wire)(?![a-z])",
    re.IGNORECASE,
)
"""Labels of value tables that say that there is no value."""
_CYCLE_MS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*_?m(?:s|sec|illiseconds?)\b", re.IGNORECASE)
_CYCLE_HZ = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*hz\b", re.IGNORECASE)


def unit_of(text: str | None) -> tuple[str, float] | None:
    """Give dimension and factor of a unit as DBCs write it; None where it is none that is known.

    Examples
    --------
    >>> unit_of("mV"), unit_of("0.1 V"), unit_of("Unit_Volt"), unit_of("rpm")
    (('v', 0.001), ('v', 0.1), ('v', 1.0), None)
    """
    bare = (text or "").strip().strip("_[]() ")
    if not bare:
        return None
    if bare in ("MOhm", "MΩ", "Mohm"):
        return "ohm", 1e6
    factor = 1.0
    leading = re.match(r"(\d*\.?\d+)\s*\*?\s*(?=[A-Za-z°%µ])", bare)
    if leading and float(leading[1]) > 0:
        factor, bare = float(leading[1]), bare[leading.end() :]
    bare = re.sub(r"\s*[(\[/].*$", "", bare).strip() or bare
    for pattern, name, own in _COMPILED:
        if pattern.fullmatch(bare):
            return name, own * factor
    return None


def cycle_of(message: Any) -> float | None:
    """Give the cycle of a message [s] from its attributes, its comment or its name; None where unsaid."""
    cycle = getattr(message, "cycle_time", None)
    if cycle:
        return float(cycle) / 1000.0
    for text in (message.comment or "", message.name):
        if match := _CYCLE_MS.search(text.replace("_", " ") if text is message.name else text):
            found = float(match[1]) / 1000.0
            if 0.0 < found <= 60.0:
                return found
        if match := _CYCLE_HZ.search(text):
            return 1.0 / float(match[1]) if float(match[1]) > 0 else None
    return None


@dataclass(frozen=True, eq=False)
class Fact:
    """One signal of one message, with what the DBC says of it.

    Attributes
    ----------
    message, signal : cantools objects
        Where it is from.
    levels : tuple
        Multiplexers above it and their values, outermost first.
    pages : int
        How many values the innermost multiplexer of the message has (1: not multiplexed).
    """

    message: Any
    signal: Any
    levels: tuple[tuple[str, tuple[int, ...]], ...]
    pages: int
    selection: tuple[tuple[str, int], ...] = ()
    """Signals of the frame and the values that they have where this is the member that is meant (a signal
    that
    carries a whole row in turn is one fact for each member)."""
    by_battery: bool = False
    """It is sent by one that also sends values of a battery, or the whole DBC is of one."""

    @property
    def name(self) -> str:
        """Name of the signal."""
        return str(self.signal.name)

    @property
    def full_name(self) -> str:
        """``Message.Signal``."""
        return f"{self.message.name}.{self.signal.name}"

    @cached_property
    def unit(self) -> tuple[str, float] | None:
        """Dimension and factor of its unit."""
        return unit_of(self.signal.unit)

    @property
    def dimension(self) -> str:
        """Dimension of its unit; empty where it has none that is known. Kelvin counts as a temperature."""
        if self.unit is None:
            return ""
        return "degc" if self.unit[0] in ("k", "degf") else self.unit[0]

    @cached_property
    def said(self) -> frozenset[str]:
        """Concepts in its name."""
        return concepts(self.name)

    @cached_property
    def around(self) -> frozenset[str]:
        """Concepts in the name of its message and of who sends it."""
        senders = " ".join(self.message.senders or ())
        return concepts(self.message.name) | concepts(senders)

    @cached_property
    def comment(self) -> str:
        """Comment of the signal, else empty."""
        return " ".join(str(self.signal.comment or "").split())

    @cached_property
    def choices(self) -> dict[int, str]:
        """Value table: raw value to label."""
        return {int(raw): str(label) for raw, label in (self.signal.choices or {}).items()}

    @property
    def bits(self) -> int:
        """Length."""
        return int(self.signal.length)

    @cached_property
    def raw_range(self) -> tuple[int, int]:
        """Lowest and highest raw value."""
        if self.signal.conversion.is_float:
            return -(2**31), 2**31
        if self.signal.is_signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    def physical(self, raw: float) -> float:
        """Value in the DBC's unit of a raw value."""
        return float(raw) * float(self.signal.conversion.scale) + float(self.signal.conversion.offset)

    @cached_property
    def span(self) -> tuple[float, float]:
        """Range that its bits can hold, in the DBC's unit."""
        low, high = (self.physical(raw) for raw in self.raw_range)
        return min(low, high), max(low, high)

    @cached_property
    def declared(self) -> tuple[float, float] | None:
        """Range that the DBC declares, in its unit; None where it declares none, or an impossible one."""
        low, high = self.signal.minimum, self.signal.maximum
        if low is None or high is None or not float(low) < float(high):
            return None
        if (float(low), float(high)) == (0.0, 1.0) and self.bits > 2:
            return None  # what editors write who were not asked
        return float(low), float(high)

    @property
    def reach(self) -> tuple[float, float]:
        """Declared range, else that of its bits, in the DBC's unit."""
        return self.declared or self.span

    @cached_property
    def period_s(self) -> float | None:
        """Period at which it is refreshed [s]: cycle of its message, times the pages it shares it with."""
        cycle = cycle_of(self.message)
        return None if cycle is None else cycle * (self.pages if self.levels else 1)

    @property
    def is_boolean(self) -> bool:
        """Short enough for a state."""
        return self.bits <= 2

    @cached_property
    def is_enumeration(self) -> bool:
        """Its values have names: it is a state, not a number."""
        named = [raw for raw, label in self.choices.items() if not _NO_VALUE.search(label)]
        return len(named) >= 3 and (self.bits <= 8 or not self.dimension)

    @cached_property
    def no_value_codes(self) -> tuple[int, ...]:
        """Raw values that its value table calls no value."""
        return tuple(sorted(raw for raw, label in self.choices.items() if _NO_VALUE.search(label)))

    @cached_property
    def of_pack(self) -> bool:
        """Its message or its name speaks of a battery."""
        return self.by_battery or bool({"pack", "cell", "module"} & (self.said | self.around))


def collect_facts(messages: Iterable[Any]) -> list[Fact]:
    """Give the facts of every signal that carries a value (multiplexers and containers left out)."""
    facts = []
    messages = list(messages)
    senders, whole = _batteries(messages)
    for message in messages:
        by_battery = whole or bool(senders & set(message.senders or ()))
        if message.is_container or message.name.upper() == "VECTOR__INDEPENDENT_SIG_MSG":
            continue
        levels = {signal.name: multiplexing(message, signal) for signal in message.signals}
        pages: set[tuple[tuple[str, int], ...]] = set()
        for own in levels.values():
            if own:
                pages |= {
                    (*((name, values[0]) for name, values in own[:-1]), (own[-1][0], value))
                    for value in own[-1][1]
                }
        facts += [
            Fact(message, signal, levels[signal.name], max(1, len(pages)), by_battery=by_battery)
            for signal in message.signals
            if not signal.is_multiplexer
        ]
    return facts


def _batteries(messages: list[Any]) -> tuple[set[str], bool]:
    """Give who sends values of a battery, and whether the whole DBC is of one."""
    senders: dict[str, int] = {}
    sent: dict[str, int] = {}
    of_pack = foreign = 0
    cells = False
    for message in messages:
        around = concepts(message.name) | concepts(" ".join(message.senders or ()))
        own = set(message.senders or ()) - {"Vector__XXX", "XXX"}
        names = [
            concepts(signal.name) | ({"voltage"} if (unit_of(signal.unit) or ("",))[0] == "v" else set())
            for signal in message.signals[:64]
        ]
        speaks = any(
            {"cell", "voltage"} <= said | around and "flag" not in said and not said & {"foreign", "motor"}
            for said in names
        )
        cells |= speaks
        for name in own:
            sent[name] = sent.get(name, 0) + 1
            senders[name] = senders.get(name, 0) + speaks
        of_pack += bool({"pack", "cell", "module"} & around)
        foreign += bool({"motor", "foreign"} & around)
    # a sender of nearly everything is the car, or the editor's default
    own = {
        name
        for name, count in senders.items()
        if count and (sent[name] < 0.6 * len(messages) or len(messages) < 12)
    }
    whole = (
        cells
        and bool(messages)
        and (
            of_pack >= 0.5 * len(messages)
            or (len(messages) < 80 and foreign < 0.1 * len(messages) and of_pack)
        )
    )
    return own, bool(whole)
