"""Looks for each quantity among the signals of a DBC."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from openbms_drivers.bit_field import BitField
from openbms_drivers.dbc_file import DbcFile
from openbms_drivers.mapping.arrays import Array, find_arrays, selected_arrays
from openbms_drivers.mapping.codes import no_value_codes
from openbms_drivers.mapping.evidence import LogEvidence
from openbms_drivers.mapping.facts import Fact, collect_facts
from openbms_drivers.mapping.proposal import ON_OFF, Item
from openbms_drivers.mapping.roles import SCALARS, SURE, UNSURE, Rating, rate, rate_cell, rate_temperature
from openbms_drivers.mapping.rows import Entry, Row, compress, shape
from openbms_drivers.mapping.scales import PLAUSIBLE, Scaling, scaling_of
from openbms_drivers.mapping.validity import true_values, valid_signal
from openbms_drivers.mapping.words import words

__all__ = ["Search"]

_MARGIN = 1.0


class Search:
    """Rates all signals, and takes what fits best.

    Parameters
    ----------
    dbc : DbcFile
        The DBC.
    evidence : LogEvidence or None
        Of a log, which then weighs in.

    Attributes
    ----------
    notes : list of str
        What could not be decided.
    """

    def __init__(self, dbc: DbcFile, evidence: LogEvidence | None) -> None:
        self.dbc, self.evidence = dbc, evidence
        self.facts = [fact for fact in collect_facts(dbc.database.messages) if _lies_within(fact)]
        self.used: set[str] = set()
        self.notes: list[str] = []
        alike: dict[tuple[str, str], set[str]] = {}
        for fact in self.facts:
            alike.setdefault((shape(fact.name), shape(fact.message.name)), set()).add(fact.message.name)
        self._alike = {key: len(names) for key, names in alike.items()}
        self._devices, self._hosts = _directions(self.facts)

    # ---- rating with the log

    def _seen(self, fact: Fact) -> float | None:
        return None if self.evidence is None else self.evidence.median(fact)

    def _commanded(self, fact: Fact) -> bool:
        """Tell whether a signal is sent to the battery, not by it."""
        senders = set(fact.message.senders or ())
        return bool(senders & self._hosts) and not senders & self._devices

    def _heard(self, fact: Fact) -> bool:
        return self.evidence is None or self.evidence.traffic(fact.message) is not None

    def _rated(self, rating: Rating | None, quantity: str, fact: Fact) -> Rating | None:
        """Weigh in what the log says of a signal."""
        if rating is not None and self._commanded(fact):
            rating = Rating(rating.score - 3.0, rating.why)
        if rating is None or self.evidence is None:
            return rating
        if not self._heard(fact):
            return Rating(rating.score - 4.0, rating.why)
        seen = self._seen(fact)
        if seen is None:
            return Rating(rating.score - 2.0, rating.why)
        low, high = PLAUSIBLE.get(quantity, (-math.inf, math.inf))
        scaling = scaling_of(quantity, fact, seen)
        value = seen * scaling.scale + scaling.offset
        if not low <= value <= high:
            return Rating(rating.score - 3.0, rating.why)
        if quantity == "string_voltage_v" and value < 5.0:
            return Rating(rating.score - 2.0, rating.why)
        if "cell_voltage" in quantity and not 1.0 <= value <= 5.0:
            return Rating(rating.score - 3.0, rating.why)
        return Rating(rating.score + 1.0, f"{rating.why}, {value:.4g} in the log")

    # ---- arrays

    def cells(self) -> tuple[list[Item], list[str]]:
        """Find the array of cell voltages, and a redundant one; with what could not be decided."""

        def rated(fact: Fact) -> Rating | None:
            return self._rated(rate_cell(fact), "cell_voltage_v", fact)

        valid = {id(fact): valid_signal(fact) for fact in self.facts if rate_cell(fact) is not None}
        arrays = find_arrays(
            self.facts, rated, UNSURE, lambda fact: (valid.get(id(fact)) or (None, 1, ""))[0]
        )
        more, unknown = selected_arrays(self.facts, rate_cell, UNSURE, self._span)
        arrays = sorted([*arrays, *more], key=lambda array: -array.score)
        if not arrays:
            return [], unknown
        plain = [array for array in arrays if "redundant" not in array.members[0].said] or arrays
        best = plain[0]
        item = self._array_item("cell_voltage_v", best)
        flag = valid.get(id(best.members[0]))
        if flag is not None and item.entries[0].valid:
            item.valid_when = flag[1]
            (item.doubts if flag[2] else item.notes).append(flag[2] or f"valid where {flag[0]} is {flag[1]}")
        others = [array for array in plain[1:] if array.score > best.score - 4.0]
        item.alternatives = [f"{array.name} ({len(array.members)})" for array in others[:3]]
        if others and len(others[0].members) >= len(best.members) and others[0].score > best.score - _MARGIN:
            item.doubts.append(f"{others[0].name} fits as well")
        items = [item]
        for array in arrays:
            if array is not best and "redundant" in array.members[0].said and array.size == best.size:
                items.append(self._array_item("redundant_cell_voltage_v", array))
                break
        self._use(items)
        return items, unknown

    def _span(self, fact: Fact) -> tuple[int, int] | None:
        return None if self.evidence is None else self.evidence.span(fact)

    def _array_item(self, quantity: str, array: Array) -> Item:
        cut = self._trim(quantity, array)
        first = array.members[0]
        seen = self._seen_row(array.members)
        scaling = Scaling() if quantity in ON_OFF else scaling_of(quantity, first, seen)
        item = Item(quantity, array.members, array.entries, scaling, why=array.why, doubts=list(array.doubts))
        if scaling.doubt:
            item.doubts.append(scaling.doubt)
        if array.score < SURE:
            item.doubts.append("its names say little")
        if cut:
            item.doubts.append(cut)
        silent = [fact for fact in array.members if not self._heard(fact)]
        if silent:
            item.doubts.append(f"{len(silent)} of {len(array.members)} are not in the log")
        return item

    def _trim(self, quantity: str, array: Array) -> str:
        """Leave out the members at the end that the log shows not to be fitted; say so, or nothing.

        A DBC often has room for more cells than the pack has: these never come, or are zero all the time.
        """
        if self.evidence is None or quantity in ON_OFF or array.entries[0].selected_by:
            return ""
        fitted = [self._fitted(fact) for fact in array.members]
        count = len(fitted) - fitted[::-1].index(True) if True in fitted else 0
        left_out = len(fitted) - count
        if count < 2 or not left_out:
            return ""
        valid = {(fact.name, fact.message.name): valid_signal(fact) for fact in array.members[:count]}
        row = Row(array.members[:count], list(range(count)))
        names = [(flag or ("", 1, ""))[0] or None for flag in valid.values()]
        array.members, array.size = row.members, count
        array.entries = compress(row, names if any(names) else None)
        return f"{left_out} more at the end of the row never have a value in the log: taken as not fitted"

    def _fitted(self, fact: Fact) -> bool:
        """Tell whether the log has a value of a member that is not zero (raw) all the time."""
        assert self.evidence is not None
        _, raw = self.evidence.raw(fact)
        return bool(len(raw)) and bool((raw[~np.isin(raw, no_value_codes(fact).raw)] != 0).any())

    def _seen_row(self, members: Sequence[Fact]) -> float | None:
        if self.evidence is None:
            return None
        medians = [value for fact in members[:48] if (value := self.evidence.median(fact)) is not None]
        return float(np.median(medians)) if medians else None

    def temperatures(self) -> list[Item]:
        """Find temperatures: the row of the cells, coolant, ambient."""

        def rated(fact: Fact) -> Rating | None:
            return self._rated(rate_temperature(fact), "temperature_degc", fact)

        valid = {id(fact): valid_signal(fact) for fact in self.facts if rate_temperature(fact) is not None}
        arrays = find_arrays(
            self.facts, rated, UNSURE, lambda fact: (valid.get(id(fact)) or (None, 1, ""))[0]
        )
        more, unknown = selected_arrays(self.facts, rate_temperature, UNSURE, self._span)
        self.notes += unknown
        arrays = sorted([*arrays, *more], key=lambda array: -array.score)
        in_rows = {id(fact) for array in arrays for fact in array.members}
        items: list[Item] = []
        of_cells = [array for array in arrays if _location(array.members[0])[0] == "cell"]
        if of_cells:
            best = of_cells[0]
            item = self._array_item("temperature_degc", best)
            item.location, doubt = _location(best.members[0])
            if doubt:
                item.doubts.append(doubt)
            flag = valid.get(id(best.members[0]))
            if flag is not None and item.entries[0].valid:
                item.valid_when = flag[1]
                (item.doubts if flag[2] else item.notes).append(
                    flag[2] or f"valid where {flag[0]} is {flag[1]}"
                )
            item.alternatives = [
                f"{array.name} ({len(array.members)})" for array in arrays if array is not best
            ][:4]
            items.append(item)
        single = [
            (rating.score, fact, rating)
            for fact in self.facts
            if id(fact) not in in_rows and (rating := rated(fact)) is not None and rating.score >= UNSURE
        ]
        single.sort(key=lambda found: (-found[0], found[1].name))
        taken: dict[str, str] = {}
        for score, fact, rating in single:
            location, doubt = _location(fact)
            if location in ("afe", "other") or (location == "cell" and of_cells):
                continue
            # several sensors by name in one message; else the best of its place
            if taken.setdefault(location, fact.message.name) != fact.message.name:
                continue
            if location != "cell" and any(item.location == location for item in items):
                continue
            seen = self._seen(fact)
            scaling = scaling_of("temperature_degc", fact, seen)
            item = Item("temperature_degc", [fact], _single(fact), scaling, why=rating.why, location=location)
            item.doubts += [text for text in (doubt, scaling.doubt) if text]
            if score < SURE:
                item.doubts.append("its name says little")
            items.append(item)
        items.sort(key=lambda item: item.location != "cell")
        self._use(items)
        return items

    def balancing(self, cells: int) -> list[Item]:
        """Find which cells are bled: a row as long as that of the cells."""

        def rated(fact: Fact) -> Rating | None:
            if "balance" not in fact.said | fact.around or not fact.is_boolean or fact.dimension:
                return None
            if fact.said & {"target", "flag", "minimum", "maximum", "voltage"} - {"flag"}:
                return None
            if self._commanded(fact):
                return None
            in_name = "balance" in fact.said
            score = (5.0 if in_name else 3.0) + 2.0 * ("cell" in fact.said)
            return Rating(score, f"'balance' in its {'name' if in_name else 'message'}")

        arrays = find_arrays(self.facts, rated, UNSURE, lambda _: None)
        fitting = [array for array in arrays if cells and array.size == cells]
        if not fitting:
            return []
        return [self._array_item("cell_balancing", fitting[0])]

    # ---- single values

    def scalars(self) -> list[Item]:
        """Find what has one value: each signal for the quantity that it fits best."""
        found: dict[str, list[tuple[float, Fact, Rating]]] = {}
        for quantity in SCALARS:
            candidates = []
            for fact in self.facts:
                if fact.full_name in self.used:
                    continue
                rating = self._rated(rate(quantity, fact), quantity, fact)
                if rating is not None and self._alike[(shape(fact.name), shape(fact.message.name))] > 2:
                    rating = Rating(rating.score - 2.5, rating.why)  # one of many modules, not the pack
                if rating is not None and rating.score >= UNSURE:
                    candidates.append((rating.score, fact, rating))
            candidates.sort(key=lambda item: (-item[0], item[1].message.frame_id, item[1].signal.start))
            found[quantity] = candidates
        order = sorted(
            (
                (score, quantity, fact, rating)
                for quantity, rows in found.items()
                for score, fact, rating in rows
            ),
            key=lambda item: -item[0],
        )
        chosen: dict[str, tuple[float, Fact, Rating]] = {}
        for score, quantity, fact, rating in order:
            if quantity not in chosen and fact.full_name not in self.used:
                chosen[quantity] = (score, fact, rating)
                self.used.add(fact.full_name)
        items = []
        for quantity in SCALARS:
            if quantity in chosen:
                score, fact, rating = chosen[quantity]
                others = [
                    row for row in found[quantity] if row[1] is not fact and row[1].full_name not in self.used
                ]
                items.append(self._scalar_item(quantity, score, fact, rating, others))
        return items

    def _scalar_item(
        self,
        quantity: str,
        score: float,
        fact: Fact,
        rating: Rating,
        others: list[tuple[float, Fact, Rating]],
    ) -> Item:
        seen = self._seen(fact)
        item = Item(quantity, [fact], _single(fact), why=rating.why)
        if quantity in ON_OFF:
            item.true_when, doubt = true_values(quantity, fact)
        else:
            item.scaling = scaling_of(quantity, fact, seen)
            doubt = item.scaling.doubt
        if doubt:
            item.doubts.append(doubt)
        if quantity.startswith("contactor") and fact.said & {"charge", "discharge"}:
            item.doubts.append("a switch for one direction is taken as a contactor")
        if score < SURE:
            item.doubts.append("its name says little: look whether it is that")
        near = [row for row in others if row[0] > score - _MARGIN]
        if near:
            item.doubts.append(f"{near[0][1].full_name} fits as well")
        item.alternatives = [row[1].full_name for row in others[:4]]
        if not self._heard(fact):
            item.doubts.append("its message is not in the log")
        flag = valid_signal(fact)
        if flag is not None:
            item.entries = [Entry(fact.message.name, fact.name, flag[0], {}, 0, 1)]
            item.valid_when = flag[1]
            (item.doubts if flag[2] else item.notes).append(flag[2] or f"valid where {flag[0]} is {flag[1]}")
        return item

    def _use(self, items: list[Item]) -> None:
        self.used |= {fact.full_name for item in items for fact in item.members}


def _directions(facts: list[Fact]) -> tuple[set[str], set[str]]:
    """Give who sends cell voltages or the pack current, and who only receives them."""
    senders: set[str] = set()
    receivers: set[str] = set()
    for fact in facts:
        cell = rate_cell(fact)
        current = rate("string_current_a", fact)
        if (cell is not None and cell.score >= SURE) or (current is not None and current.score >= SURE):
            senders |= set(fact.message.senders or ())
            receivers |= set(fact.signal.receivers or ())
    return senders, receivers - senders - {"Vector__XXX", "XXX"}


def _lies_within(fact: Fact) -> bool:
    try:
        BitField.of(fact.signal, fact.message.length)
    except ValueError:
        return False
    return True


def _single(fact: Fact) -> list[Entry]:
    return compress(Row([fact], [0]))


def _location(fact: Fact) -> tuple[str, str]:
    """Give the location of a temperature, and what is unsure about it."""
    both = fact.said | fact.around
    for concept, location in (("coolant", "coolant_in"), ("ambient", "ambient"), ("board", "afe")):
        if concept in fact.said or (concept in fact.around and "cell" not in fact.said):
            if concept == "coolant":
                named = set(words(fact.name))
                out = named & {
                    "out",
                    "outlet",
                    "outlt",
                    "outwater",
                    "coolantout",
                    "auslass",
                    "ausgang",
                    "return",
                    "austritt",
                }
                inlet = named & {
                    "in",
                    "inlet",
                    "inlt",
                    "inwater",
                    "coolantin",
                    "inflow",
                    "eingang",
                    "einlass",
                    "eintritt",
                }
                return ("coolant_out" if out else "coolant_in"), (
                    "" if out or inlet else "inlet or outlet is not said"
                )
            return location, ""
    if both & {"foreign", "motor", "supply"}:
        return "other", ""
    if both & {"cell", "module"}:
        return "cell", ""
    return "cell", "whether it is a temperature of cells is not said"
