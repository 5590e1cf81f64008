"""Arrays of a DBC: cell voltages, temperatures and bleeding, in their order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from openbms_drivers.mapping.facts import Fact
from openbms_drivers.mapping.roles import Rating
from openbms_drivers.mapping.rows import Entry, Row, compress, find_rows, numbers, shape

__all__ = ["Array", "find_arrays", "selected_arrays"]

_INDEX = re.compile(
    r"(?:^|_|(?<=[a-z]))(?:id|idx|index|num|number|no|nr|addr|address|group|grp|page|row|slot|pos)\d*$",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?:(?<=_)|^)[A-Z](?=_|$)")
_NUMBER = re.compile(r"\d+")
_OUTER = re.compile(r"ic|module|mod|cmu|slave|segment|seg|node|string|board|stack|csc|afe", re.IGNORECASE)


@dataclass
class Array:
    """A row of one quantity.

    Attributes
    ----------
    members : list of Fact
        In the order of their index.
    entries : list of Entry
        As the signal map writes it.
    score : float
        Mean rating of its members, more for a longer row.
    why : str
        What speaks for it.
    doubts : list of str
        What is not sure about order and number.
    size : int
        Length, gaps included; 0 where nothing tells it.
    """

    members: list[Fact]
    entries: list[Entry]
    score: float
    why: str
    doubts: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def name(self) -> str:
        """Its first member, and its last one."""
        first, last = self.members[0], self.members[-1]
        return first.full_name if len(self.members) < 2 else f"{first.full_name} … {last.full_name}"


def _size_points(count: int) -> float:
    return min(2.0, 0.35 * count.bit_length())


def find_arrays(
    facts: Sequence[Fact],
    rate: Callable[[Fact], Rating | None],
    least: float,
    valid: Callable[[Fact], str | None],
) -> list[Array]:
    """Find the rows among the signals that may be members.

    Parameters
    ----------
    facts : sequence of Fact
        All of the DBC.
    rate : callable
        Rates one as a member.
    least : float
        Rating that a row must have in the mean.
    valid : callable
        Names the signal that tells whether a member is valid.

    Returns
    -------
    list of Array
        Best first.
    """
    rated = [(fact, rating) for fact in facts if (rating := rate(fact)) is not None]
    ratings = {id(fact): rating for fact, rating in rated}
    single = [fact for fact, _ in rated if not _in_turn(fact)]
    arrays: list[Array] = []
    for row in _lettered(find_rows(single)):
        score = sum(ratings[id(fact)].score for fact in row.members) / len(row.members)
        if score < least:
            continue
        arrays.append(
            Array(
                row.members,
                compress(row, [valid(fact) for fact in row.members]),
                score + _size_points(len(row.members)),
                ratings[id(row.members[0])].why,
                list(row.doubts),
                row.size,
            )
        )
    arrays += _in_turns([fact for fact, _ in rated if _in_turn(fact)], ratings, least)
    return sorted(arrays, key=lambda array: -array.score)


def _lettered(rows: list[Row]) -> list[Row]:
    """Join rows that differ in one letter only, such as Voltage_1_0_A and Voltage_1_0_B."""
    groups: dict[tuple[object, ...], list[tuple[str, Row]]] = defaultdict(list)
    for row in rows:
        name = row.members[0].name
        letters = _LETTER.findall(name)
        pages = tuple((_LETTER.sub("@", fact.name), fact.message.name) for fact in row.members)
        groups[(pages if len(letters) == 1 else name, len(row.members))].append(("".join(letters), row))
    joined = []
    for parts in groups.values():
        parts.sort(key=lambda part: part[0])
        order = "".join(letter for letter, _ in parts)
        follow = "".join(chr(ord(order[0]) + at) for at in range(len(parts))) if order else ""
        if len(parts) < 2 or order != follow:
            joined += [row for _, row in parts]
            continue
        name = parts[0][1].members[0].name
        at = max((match.start() for match in _LETTER.finditer(name)), default=0)
        inner = at > max((match.start() for match in _NUMBER.finditer(name)), default=-1)
        columns = [row.members for _, row in parts]
        members = (
            [fact for turn in zip(*columns, strict=True) for fact in turn]
            if inner
            else [fact for column in columns for fact in column]
        )
        doubt = f"{len(parts)} rows that differ by a letter ({', '.join(order)}) are taken as one"
        joined.append(Row(members, list(range(len(members))), [*parts[0][1].doubts, doubt]))
    return joined


def _in_turn(fact: Fact) -> bool:
    """One signal for several values of its multiplexer."""
    return bool(fact.levels) and len(fact.levels[-1][1]) > 1


def _in_turns(facts: list[Fact], ratings: Mapping[int, Rating], least: float) -> list[Array]:
    """Rows whose signals stand for another member at each value of their multiplexer."""
    groups: dict[tuple[str, str, tuple[tuple[str, tuple[int, ...]], ...]], list[Fact]] = defaultdict(list)
    for fact in facts:
        if len(fact.levels) == 1:
            groups[(fact.message.name, shape(fact.name), fact.levels)].append(fact)
    arrays = []
    for (message, _, levels), group in groups.items():
        name, values = levels[0]
        score = sum(ratings[id(fact)].score for fact in group) / len(group)
        if score < least:
            continue
        ordered = sorted(values)
        array = selected(message, group, [(name, ordered)], score, ratings[id(group[0])].why)
        if array is not None:
            array.doubts.insert(
                0, f"one signal for {len(ordered)} values of {name}: taken as one member for each value"
            )
            arrays.append(array)
    return arrays


def selected(
    message: str,
    group: Sequence[Fact],
    selectors: Sequence[tuple[str, Sequence[int]]],
    score: float,
    why: str,
) -> Array | None:
    """Write a row whose members take turns in the same signals; None where ``repeat`` cannot say it."""
    group = sorted(group, key=lambda fact: numbers(fact.name))
    row = Row(list(group), list(range(len(group))))
    inner = compress(row) if len(group) > 1 else None
    if inner is not None and len(inner) != 1:
        return None
    repeat: dict[str, tuple[int, int]] = {}
    by: dict[str, str] = {}
    for key, (name, values) in zip("pq", selectors, strict=False):
        if list(values) != list(range(values[0], values[-1] + 1)):
            return None
        repeat[key] = (values[0], values[-1])
        by[key] = name
    signal = group[0].name
    if inner is not None:
        signal = inner[0].signal
        repeat |= inner[0].repeat
    members = []
    turns: list[tuple[tuple[str, int], ...]] = [()]
    for name, values in selectors:
        turns = [(*turn, (name, value)) for turn in turns for value in values]
    for turn in turns:
        members += [replace(fact, selection=turn) for fact in group]
    entry = Entry(message, signal, None, repeat, 0, len(members), by)
    return Array(members, [entry], score + _size_points(len(members)), why, [], len(members))


def selected_arrays(
    facts: Sequence[Fact],
    rate: Callable[[Fact], Rating | None],
    least: float,
    seen: Callable[[Fact], tuple[int, int] | None],
) -> tuple[list[Array], list[str]]:
    """Find rows that one message carries in turn, with the member's number in plain signals.

    Parameters
    ----------
    facts, rate, least
        As for :func:`find_arrays`.
    seen : callable
        Lowest and highest value that a signal has in the log; None without one.

    Returns
    -------
    arrays : list of Array
        Those whose length is known.
    unknown : list of str
        Sentences about those whose length nothing tells.
    """
    by_message: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_message[fact.message.name].append(fact)
    arrays: list[Array] = []
    unknown: list[str] = []
    for message, members in by_message.items():
        indices = [fact for fact in members if _is_index(fact)]
        rated = [
            (fact, rating) for fact in members if fact not in indices and (rating := rate(fact)) is not None
        ]
        groups: dict[str, list[tuple[Fact, Rating]]] = defaultdict(list)
        for fact, rating in rated:
            if not fact.levels:
                groups[shape(fact.name)].append((fact, rating))
        if not 1 <= len(indices) <= 2 or not groups:
            continue
        best = max(groups.values(), key=lambda group: sum(rating.score for _, rating in group) / len(group))
        if len(best) > 12:
            continue
        score = sum(rating.score for _, rating in best) / len(best) + 1.5  # an index beside it says much
        if score < least:
            continue
        indices.sort(key=lambda fact: (not _OUTER.search(fact.name), fact.bits, fact.name))
        spans, guessed = [], ""
        for index in indices:
            span = seen(index) or _declared_span(index)
            if span is None:
                guessed = index.full_name
                break
            spans.append((index.name, range(span[0], span[1] + 1)))
        group = [fact for fact, _ in best]
        if guessed:
            unknown.append(
                f"{group[0].full_name} carries one member of a row in each frame, {guessed} says which: how "
                "many there "
                "are, and from where they count, is not in the DBC (give --log, or write repeat and "
                "selected_by)"
            )
            continue
        array = selected(message, group, spans, score, best[0][1].why)
        if array is None or len(array.members) < 2 or len(array.members) > 2048:
            continue
        names = " and ".join(name for name, _ in spans)
        from_log = all(seen(index) is not None for index in indices)
        array.doubts.append(
            f"{names} says which member a frame holds: number and first index are those "
            + ("that the log has" if from_log else "of its range in the DBC")
        )
        arrays.append(array)
    return sorted(arrays, key=lambda array: -array.score), unknown


def _is_index(fact: Fact) -> bool:
    if fact.levels or fact.bits > 16 or fact.dimension or fact.signal.conversion.is_float:
        return False
    if float(fact.signal.conversion.scale) != 1.0 or "flag" in fact.said or "counter" in fact.said:
        return False
    extremes = {"minimum", "maximum", "average", "temperature", "voltage"} & fact.said
    return bool(_INDEX.search(fact.name)) and not extremes and "checksum" not in fact.said


def _declared_span(fact: Fact) -> tuple[int, int] | None:
    declared = fact.declared
    if declared is None or declared[1] >= min(fact.span[1], 2000.0) or declared[1] > 1000.0:
        return None
    offset = float(fact.signal.conversion.offset)
    return int(declared[0] - offset), int(declared[1] - offset)
