"""Raw values by which a device says that it has no value."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from openbms_drivers.mapping.evidence import LogEvidence
from openbms_drivers.mapping.facts import Fact

__all__ = ["Codes", "no_value_codes"]


@dataclass(frozen=True)
class Codes:
    """Codes and why.

    Attributes
    ----------
    raw : tuple of int
        For ``not_available_raw``.
    why : str
        Where they are from; empty where there are none.
    """

    raw: tuple[int, ...]
    why: str


def no_value_codes(fact: Fact, evidence: LogEvidence | None = None) -> Codes:
    """Find the codes of a signal.

    Parameters
    ----------
    fact : Fact
        The signal.
    evidence : LogEvidence, optional
        Of a log: shows codes that the DBC does not name.

    Returns
    -------
    Codes
        From its value table; for J1939 the codes of the standard (SAE J1939-71: the highest byte 0xFE an
        error, 0xFF
        not available); else the highest raw value where the DBC declares a range below it; and what a log
        shows.
    """
    raw = list(fact.no_value_codes)
    whys = []
    if raw:
        labels = ", ".join(f"{code} {fact.choices[code]!r}" for code in raw[:4])
        whys.append(f"value table: {labels}")
    said = _said_in_comment(fact)
    if said:
        raw += [code for code in said if code not in raw]
        whys.append(f"its comment: {', '.join(hex(code) for code in said)}")
    if fact.bits < 6 or fact.signal.conversion.is_float:
        return Codes(tuple(dict.fromkeys(raw)), "; ".join(whys))
    low, high = fact.raw_range
    if fact.message.protocol == "j1939" and fact.bits in (8, 16, 24, 32) and not fact.signal.is_signed:
        top = fact.bits - 8
        codes = [high, 0xFE << top]
        raw += [code for code in codes if code not in raw]
        whys.append("J1939: 0xFF not available, 0xFE error")
    elif fact.declared is not None:
        ends = (high,) if not fact.signal.is_signed else (high, low)
        for end in ends:
            value = fact.physical(end)
            beyond = value > fact.declared[1] or value < fact.declared[0]
            if beyond and end not in raw:
                raw.append(end)
                whys.append(f"raw {end:#x} lies beyond the declared range")
    if evidence is not None:
        shown = _shown(fact, evidence, raw)
        if shown is not None:
            raw.append(shown)
            whys.append(f"raw {shown:#x} comes up in the log, far from everything else")
    return Codes(tuple(dict.fromkeys(raw)), "; ".join(whys))


_CODE = r"(0x[0-9a-f]+|\d{2,10})"
_NOTHING = r"(?:not[ _]?available|n/?a\b|sna\b|invalid|no value|not valid|unavailable|not measured|error)"
_COMMENTS = (
    re.compile(
        rf"\b{_CODE}h?\b\s*(?:\([^)]*\))?\s*(?:=|:|->|-|is|means|for|if|when|\x22)*\s*{_NOTHING}",
        re.IGNORECASE,
    ),
    re.compile(rf"{_NOTHING}\s*(?:=|:|->|-|is|as|\()+\s*{_CODE}\b", re.IGNORECASE),
)


def _said_in_comment(fact: Fact) -> list[int]:
    """Read codes such as ``raw 65535: not available`` or ``0xFFFF = invalid``."""
    low, high = fact.raw_range
    found = []
    for pattern in _COMMENTS:
        for match in pattern.finditer(fact.comment):
            code = int(match[1], 16 if match[1].lower().startswith("0x") else 10)
            if fact.signal.is_signed and code > high:
                code -= 1 << fact.bits
            # a number in the middle of the range may be a value, not a code
            if low <= code <= high and (
                match[1].lower().startswith("0x") or abs(code) > 0.8 * max(abs(high), 1)
            ):
                found.append(code)
    return list(dict.fromkeys(found))


def _shown(fact: Fact, evidence: LogEvidence, known: list[int]) -> int | None:
    """Give an end of the raw range that a log has, apart from all other values."""
    _, values = evidence.raw(fact)
    if len(values) < 10:
        return None
    low, high = fact.raw_range
    for end in (high, low) if fact.signal.is_signed else (high, high - 1):
        if end in known or fact.bits < 8:
            continue
        others = values[~np.isin(values, [end, *known])]
        if not (values == end).any() or not len(others):
            continue
        if np.min(np.abs(others - end)) > 0.1 * (high - low):
            return int(end)
    return None
