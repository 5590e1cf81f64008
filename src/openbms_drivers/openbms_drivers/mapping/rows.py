"""Rows of like signals: which signals of a DBC are numbered members of one array, in which order, and how the
row is written with ``repeat``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from openbms_drivers.mapping.facts import Fact

__all__ = ["Entry", "Row", "compress", "find_rows"]

_NUMBER = re.compile(r"(\d+)")
_KEYS = "cmnk"


def shape(name: str) -> str:
    """Give a name with its numbers replaced, case and separators left out."""
    return re.sub(r"[_\W]+", "", _NUMBER.sub("#", name)).lower()


def numbers(name: str) -> tuple[int, ...]:
    """Give the numbers in a name."""
    return tuple(int(text) for text in _NUMBER.findall(name))


@dataclass
class Row:
    """Members of one array in their order.

    Attributes
    ----------
    members : list of Fact
        In the order of their index.
    indices : list of int
        Index of each; gaps are members that the DBC lacks.
    doubts : list of str
        What is not sure about the order or the number.
    """

    members: list[Fact]
    indices: list[int]
    doubts: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Length of the array, gaps included."""
        return self.indices[-1] + 1 if self.indices else 0


@dataclass(frozen=True)
class Entry:
    """One entry of a signal map for a row or a part of it."""

    message: str
    signal: str
    valid: str | None
    repeat: dict[str, tuple[int, int]]
    first_index: int
    count: int
    selected_by: dict[str, str] = field(default_factory=dict)


def find_rows(facts: Sequence[Fact]) -> list[Row]:
    """Group signals into rows by their names.

    Parameters
    ----------
    facts : sequence of Fact
        Signals that may be members (of one kind of quantity).

    Returns
    -------
    list of Row
        Largest first; signals without a number in signal or message name stand alone in none.
    """
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        if numbers(fact.name) or numbers(fact.message.name):
            groups[(shape(fact.name), shape(fact.message.name))].append(fact)
    merged = _merged(list(groups.values()))
    rows = [row for group in merged for row in _ordered(group) if len(row.members) >= 2]
    return sorted(rows, key=lambda row: -len(row.members))


def _merged(groups: list[list[Fact]]) -> list[list[Fact]]:
    """Join groups of the same signal shape that go on with each other's numbers, or are modules by letter."""
    by_signal: dict[str, list[list[Fact]]] = defaultdict(list)
    for group in groups:
        by_signal[shape(group[0].name)].append(group)
    result = []
    for parts in by_signal.values():
        while parts:
            group = parts.pop(0)
            used = {numbers(fact.name) for fact in group}
            for other in list(parts):
                theirs = {numbers(fact.name) for fact in other}
                siblings = _siblings(group[0].message.name, other[0].message.name)
                if (not used & theirs and all(theirs)) or siblings:
                    group = group + other
                    used |= theirs
                    parts.remove(other)
            result.append(group)
    return result


_WORD_PAIRS = (
    ("front", "rear"),
    ("left", "right"),
    ("upper", "lower"),
    ("first", "second"),
    ("top", "bottom"),
)


def _siblings(name: str, other: str) -> bool:
    """Tell whether two messages are modules of one pack: names that differ in one letter or one such word."""
    one, two = shape(name), shape(other)
    if len(one) == len(two) and one != two:
        differing = [(a, b) for a, b in zip(one, two, strict=True) if a != b]
        if len(differing) == 1 and all(letter.isalpha() for letter in differing[0]):
            return True
    for first, second in _WORD_PAIRS:
        if one.replace(first, "~").replace(second, "~") == two.replace(first, "~").replace(second, "~"):
            return first in one + two and second in one + two and one != two
    return False


def _ordered(group: list[Fact]) -> list[Row]:
    """Order a group; alternatives that repeat the same numbers come apart."""
    own = [numbers(fact.name) for fact in group]
    shapes = {shape(fact.message.name) for fact in group}
    if len(set(own)) == len(group) and all(own):
        return [_by_own_numbers(group)]
    outer = [numbers(fact.message.name) for fact in group]
    letters = [shape(fact.message.name) if len(shapes) > 1 else "" for fact in group]
    # fewest numbers of the message's name that tell the members apart
    width = min((len(item) for item in outer), default=0)
    for chosen in [(), *((at,) for at in range(width)), tuple(range(width))]:
        keys = [
            (letter, tuple(item[at] for at in chosen), mine)
            for letter, item, mine in zip(letters, outer, own, strict=True)
        ]
        if len(set(keys)) == len(group):
            paired = sorted(zip(keys, group, strict=True), key=lambda pair: pair[0])
            row = Row([fact for _, fact in paired], list(range(len(group))))
            parts = defaultdict(list)
            for key, _ in paired:
                parts[key[:2]].append(key[2])
            sizes = {len(part) for part in parts.values()}
            if len(parts) > 1 and len(sizes) > 1:
                row.doubts.append(f"its {len(parts)} parts have different sizes ({sorted(sizes)})")
            if len(parts) > 1:
                row.doubts += _order_doubts(len(chosen), len(shapes))
            return [row]
    # the same numbers twice: not one array
    apart: dict[str, list[Fact]] = defaultdict(list)
    for fact in group:
        apart[fact.message.name].append(fact)
    if len(apart) == 1:
        return []
    return [row for part in apart.values() for row in _ordered(part)]


def _order_doubts(chosen: int, shapes: int) -> list[str]:
    if shapes > 1:
        return ["the order of its parts is that of their names"]
    return [] if chosen <= 1 else ["its parts are ordered by all numbers in their names"]


def _by_own_numbers(group: list[Fact]) -> Row:
    pairs = sorted(((numbers(fact.name), fact) for fact in group), key=lambda pair: pair[0])
    keys = [key for key, _ in pairs]
    members = [fact for _, fact in pairs]
    varying = [at for at in range(len(keys[0])) if len({key[at] for key in keys if len(key) > at}) > 1]
    if len(varying) == 1 and all(len(key) == len(keys[0]) for key in keys):
        own = [key[varying[0]] for key in keys]
        first = own[0]
        gaps = own[-1] - first + 1 - len(own)
        if 0 < gaps <= max(4, len(own) // 2):
            missing = sorted(set(range(first, own[-1] + 1)) - set(own))
            shown = ", ".join(str(number) for number in missing[:8]) + (" …" if len(missing) > 8 else "")
            return Row(
                members, [number - first for number in own], [f"the DBC has no member with number {shown}"]
            )
    return Row(members, list(range(len(members))))


# ---- writing a row with repeat


@dataclass
class _Item:
    """A template: parts of three names, each text, a number as text, or a key of the repeat."""

    parts: tuple[tuple[object, ...], ...]
    repeat: tuple[tuple[str, int, int], ...]
    first: int
    count: int


def _split(name: str) -> tuple[object, ...]:
    return tuple(_NUMBER.split(name))


def _changes(one: _Item, two: _Item) -> list[tuple[int, int]] | None:
    """Give the places of the numbers in which two templates differ; None where they differ otherwise."""
    if one.repeat != two.repeat or len(one.parts) != len(two.parts):
        return None
    places = []
    for name, (left, right) in enumerate(zip(one.parts, two.parts, strict=True)):
        if len(left) != len(right):
            return None
        for at, (a, b) in enumerate(zip(left, right, strict=True)):
            if a != b:
                if not (isinstance(a, str) and isinstance(b, str) and a.isdigit() and b.isdigit()):
                    return None
                places.append((name, at))
    return places or None


def _value(item: _Item, place: tuple[int, int]) -> str:
    return str(item.parts[place[0]][place[1]])


def _merge(items: list[_Item], key: str) -> list[_Item]:
    merged: list[_Item] = []
    at = 0
    while at < len(items):
        end = at
        places = _changes(items[at], items[at + 1]) if at + 1 < len(items) else None
        if places is not None:
            while end + 1 < len(items) and _follows(items[at], items[end], items[end + 1], places):
                end += 1
        widths = _widths(items[at : end + 1], places) if places is not None and end > at else None
        if places is None or end == at or widths is None:
            merged.append(items[at])
            at += 1
            continue
        first = items[at]
        parts = [list(part) for part in first.parts]
        for place in places:
            parts[place[0]][place[1]] = (key, widths[place])
        merged.append(
            _Item(
                tuple(tuple(part) for part in parts),
                ((key, int(_value(first, places[0])), int(_value(items[end], places[0]))), *first.repeat),
                first.first,
                sum(item.count for item in items[at : end + 1]),
            )
        )
        at = end + 1
    return merged


def _follows(start: _Item, last: _Item, item: _Item, places: list[tuple[int, int]]) -> bool:
    if item.first != last.first + last.count or _changes(last, item) != places:
        return False
    values = {int(_value(item, place)) for place in places}
    before = {int(_value(last, place)) for place in places}
    begun = {int(_value(start, place)) for place in places}
    return len(values) == len(before) == len(begun) == 1 and values.pop() == before.pop() + 1


def _widths(items: list[_Item], places: list[tuple[int, int]]) -> dict[tuple[int, int], int] | None:
    """Give the number of digits of each place (0: as many as needed)."""
    widths = {}
    for place in places:
        texts = [_value(item, place) for item in items]
        if all(str(int(text)) == text for text in texts):
            widths[place] = 0
        elif all(len(text) == len(texts[0]) for text in texts):
            widths[place] = len(texts[0])
        else:
            return None
    return widths


def _text(parts: tuple[object, ...]) -> str:
    return "".join(
        part if isinstance(part, str) else f"{{{part[0]}:0{part[1]}d}}" if part[1] else f"{{{part[0]}}}"  # type: ignore[index]
        for part in parts
    )


def compress(row: Row, valid: Sequence[str | None] | None = None) -> list[Entry]:
    """Write a row with as few entries as its names allow.

    Parameters
    ----------
    row : Row
        The row.
    valid : sequence of str or None, optional
        Name of the signal that tells the validity of each member.

    Returns
    -------
    list of Entry
        Their expansions are the members, in their order and with their indices.
    """
    names = list(valid) if valid is not None else [None] * len(row.members)
    items = [
        _Item((_split(fact.message.name), _split(fact.name), _split(name or "")), (), index, 1)
        for fact, index, name in zip(row.members, row.indices, names, strict=True)
    ]
    for key in _KEYS:
        items = _merge(items, key)
    return [
        Entry(
            message=_text(item.parts[0]),
            signal=_text(item.parts[1]),
            valid=_text(item.parts[2]) or None,
            repeat={key: (first, last) for key, first, last in item.repeat},
            first_index=item.first,
            count=item.count,
        )
        for item in items
    ]
