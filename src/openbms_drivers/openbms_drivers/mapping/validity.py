"""Signals that tell whether another one is valid, and raw values that mean yes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from openbms_drivers.mapping.facts import Fact
from openbms_drivers.mapping.rows import numbers
from openbms_drivers.mapping.words import CONCEPTS, words

__all__ = ["true_values", "valid_signal"]

_GOOD = frozenset({"valid", "validity", "ok", "plausible", "qual", "present", "supported"})
_BAD = frozenset({"invalid", "absent", "missing", "implausible", "fault", "error", "unsupported"})
_FILLERS = frozenset(
    {"flag", "bit", "value", "val", "status", "sts", "sig", "measurement", "data", "is", "qf"}
)
_YES = re.compile(
    r"(?<![a-z])(?:closed?|on|active|engaged|geschlossen|ein|ok|okay|intact|normal|connected|valid|ferme\w*|"
    r"locked|complete|pressed|plugged|inserted|detected|yes|alarm)(?![a-z])",
    re.IGNORECASE,
)
_NO = re.compile(r"(?<![a-z])(?:not|no|nicht|open\w*|off|fault|error|invalid|sna)(?![a-z])", re.IGNORECASE)


def _stem(name: str) -> tuple[str, ...]:
    kinds = {"voltage", "temperature", "current"}
    return tuple(
        word
        for word in words(name)
        if word not in _GOOD | _BAD | _FILLERS and not CONCEPTS.get(word, frozenset()) & kinds
    )


def valid_signal(fact: Fact) -> tuple[str, int, str] | None:
    """Find the signal that tells whether one is valid.

    Parameters
    ----------
    fact : Fact
        The signal.

    Returns
    -------
    (str, int, str) or None
        Name, raw value that means valid, and a doubt about that value (may be empty).
    """
    flags = _flags(fact.message)
    if not flags:
        return None
    for signal, said in flags.get((_stem(fact.name), numbers(fact.name)), ()):
        if signal.name == fact.name or not _same_part(fact, signal):
            continue
        kinds = {"voltage", "temperature", "current"}
        theirs = {kind for word in said for kind in CONCEPTS.get(word, frozenset()) & kinds}
        if theirs and not theirs & (fact.said | {fact.dimension.replace("degc", "temperature")}):
            continue
        return _meaning(signal, said)
    return None


@lru_cache(maxsize=1024)
def _flags(message: Any) -> dict[tuple[tuple[str, ...], tuple[int, ...]], list[tuple[Any, frozenset[str]]]]:
    """Give the flags of a message by what their names are about."""
    found: dict[tuple[tuple[str, ...], tuple[int, ...]], list[tuple[Any, frozenset[str]]]] = {}
    for signal in message.signals:
        said = frozenset(words(signal.name))
        if signal.length > 2 or not said & (_GOOD | _BAD):
            continue
        if not said & {"over", "under", "ov", "uv", "short", "open", "limit"}:
            found.setdefault((_stem(signal.name), numbers(signal.name)), []).append((signal, said))
    return found


def _same_part(fact: Fact, signal: Any) -> bool:
    if not signal.multiplexer_ids:
        return True
    return bool(fact.levels) and set(fact.levels[-1][1]) <= {int(value) for value in signal.multiplexer_ids}


def _meaning(signal: Any, said: frozenset[str]) -> tuple[str, int, str]:
    choices = {int(raw): str(label).lower() for raw, label in (signal.choices or {}).items()}
    for raw, label in choices.items():
        good = re.search(r"(?<![a-z])(?:valid|ok|good|true|present)(?![a-z])", label) and "not" not in label
        if good and not (said & _BAD and "true" in label):
            return str(signal.name), raw, ""
    comment = str(signal.comment or "").lower()
    match = re.search(r"\b([01])\b\s*(?:=|:|means|->|is)?\s*\W?(?:the value is )?valid", comment)
    if match:
        return str(signal.name), int(match[1]), ""
    if said & _BAD:
        return (
            str(signal.name),
            0,
            f"{signal.name} is named so that 0 means valid; some devices have it the other way round (see "
            "with a log)",
        )
    return str(signal.name), 1, ""


def true_values(quantity: str, fact: Fact) -> tuple[tuple[int, ...] | None, str]:
    """Find the raw values that mean closed, or pressed.

    Returns
    -------
    (tuple of int or None, str)
        None: the default, 1. A doubt, empty where the DBC says it.
    """
    yes = tuple(
        raw for raw, label in sorted(fact.choices.items()) if _YES.search(label) and not _NO.search(label)
    )
    if yes:
        return (None if yes == (1,) else yes), ""
    reversed_name = bool(
        set(words(fact.name)) & {"open", "fault", "error", "err", "failure", "broken", "fail"}
    )
    if quantity == "interlock" and reversed_name:
        return (0,), f"{fact.name} is taken as 0 where the interlock is whole: the DBC has no value table"
    meaning = "closed" if quantity.startswith(("contactor", "interlock")) else "on"
    return None, f"1 is taken as {meaning}: the DBC has no value table"
