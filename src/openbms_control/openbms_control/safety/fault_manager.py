"""Life of each fault: pending, active, latched, cleared; counts and times; what is on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from openbms_control.safety.checks import Findings
from openbms_control.safety.debounce import Debounce
from openbms_core.faults import FAULT_BY_ID, Action, FaultRow, Timing
from openbms_core.types import FaultState, Level

__all__ = ["ClearAnswer", "FaultEntry", "FaultManager", "StoredFault"]


@dataclass
class StoredFault:
    """What is kept of a fault over restarts.

    Attributes
    ----------
    latched : bool
        It was active or latched, and is of a kind that latches.
    occurrences : int
        How often it became active since it was last cleared.
    first_active_s, last_seen_s : float
        ROS time [s].
    value : float
        Worst value when it was last seen; NaN if it has none.
    index : int
    """

    latched: bool
    occurrences: int
    first_active_s: float
    last_seen_s: float
    value: float = float("nan")
    index: int = -1


@dataclass(frozen=True)
class FaultEntry:
    """A fault that is pending, active or latched (Fault.msg)."""

    row: FaultRow
    state: FaultState
    first_active_s: float
    last_seen_s: float
    occurrences: int
    value: float
    limit: float
    index: int
    from_record: bool


@dataclass(frozen=True)
class ClearAnswer:
    """Answer to a request to clear faults (ClearFaults.srv)."""

    accepted: bool
    reason: str
    cleared: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass
class _Life:
    state: FaultState | None = None
    tripped_at_s: float | None = None
    first_active_s: float = 0.0
    last_seen_s: float = 0.0
    occurrences: int = 0
    value: float = float("nan")
    index: int = -1
    from_record: bool = False


_NOBODY_KNOWS = "It is on record from before; nobody can tell whether its cause is gone."


def _orphan(identifier: str) -> FaultRow:
    """Make the row of a latched fault that is on record, but is not monitored now.

    A pack file that no longer measures what a fault needs, or another version of this software, must not
    make it disappear.
    """
    known = FAULT_BY_ID.get(identifier)
    if known is not None:
        return replace(
            known, means=f"{known.means} This pack is not monitored for it any more. {_NOBODY_KNOWS}",
            latched=True, by_name=True, clears_when="",
        )  # fmt: skip
    return FaultRow(
        id=identifier, name=identifier, level=Level.SAFETY, quantity="", comparison="is", limit=float("nan"),
        unit="", timing=Timing(0.0, 0.0, 1.0), latched=True, action=Action.OPEN, needs=(),
        means=f"This version has no such row in its fault table. {_NOBODY_KNOWS}",
        does="All limits are zero; closing is refused until it is cleared.",
        cure="Look up what it meant in the version that wrote the record.",
        charge_factor=0.0, discharge_factor=0.0, by_name=True,
    )  # fmt: skip


class FaultManager:
    """Follow every row from its first sight to its end.

    A latched fault of the record whose row is not monitored any more stays in force until it is cleared by
    name.

    Parameters
    ----------
    rows : sequence of FaultRow
        The monitored rows.
    limit : array, shape (rows,)
        Number that each row compares with, for the report.
    stored : dict of str to StoredFault, optional
        The record of the last start.
    """

    def __init__(
        self, rows: Sequence[FaultRow], limit: Iterable[float], stored: dict[str, StoredFault] | None = None
    ) -> None:
        stored, monitored = stored or {}, {row.id for row in rows}
        orphans = [_orphan(name) for name, old in stored.items() if old.latched and name not in monitored]
        self.rows = (*rows, *orphans)
        self._monitored = len(rows)
        self._limit = [*(float(value) for value in limit), *(float("nan") for _ in orphans)]
        self._index = {row.id: number for number, row in enumerate(self.rows)}
        self._lives = [_Life() for _ in self.rows]
        self._debounce = Debounce(np.array([row.timing.debounce_s for row in rows]))
        self._charge = np.array([row.charge_factor for row in self.rows])
        self._discharge = np.array([row.discharge_factor for row in self.rows])
        # counts of what is not monitored now are only kept
        self._kept = {name: old for name, old in stored.items() if name not in self._index}
        for identifier, old in stored.items():
            if identifier in self._index:
                life = self._lives[self._index[identifier]]
                life.state = FaultState.LATCHED if old.latched else None
                life.occurrences, life.value, life.index = old.occurrences, old.value, old.index
                life.first_active_s, life.last_seen_s = old.first_active_s, old.last_seen_s
                life.from_record = True
        # what is asked for ten times a step looks only at the few rows that are not idle
        self._is_busy = np.zeros(len(self.rows), dtype=np.bool_)
        self._busy: list[int] = []
        self._counted: set[int] = set()
        self._in_force: list[FaultRow] | None = None
        self._note_busy(range(len(self.rows)))

    def _note_busy(self, numbers: Iterable[int]) -> None:
        """Keep up which rows are pending, tripped, active or latched, and which have a count."""
        for number in numbers:
            life = self._lives[number]
            self._is_busy[number] = life.state is not None or life.tripped_at_s is not None
            (self._counted.add if life.occurrences else self._counted.discard)(number)
        self._busy = np.flatnonzero(self._is_busy).tolist()
        self._in_force = None

    def step(self, found: Findings, step_s: np.ndarray, t_s: float, now_s: float) -> bool:
        """Take the findings of one call.

        Parameters
        ----------
        found : Findings
        step_s : array, shape (rows,)
            Time since each row was judged before [s].
        t_s : float
            Monotonic time [s], for delays.
        now_s : float
            ROS time of the scan [s], for the record.

        Returns
        -------
        bool
            A fault appeared, changed its state or went.
        """
        self._debounce.update(found.condition, found.known, step_s)
        changed = False
        holds = found.known & found.condition
        for number in np.flatnonzero(holds):
            life = self._lives[number]
            life.last_seen_s, life.value, life.index = (
                now_s,
                float(found.value[number]),
                int(found.index[number]),
            )
        touched = np.flatnonzero(holds | self._debounce.tripped | self._is_busy[: self._monitored]).tolist()
        for number in touched:
            changed |= self._advance(number, t_s, now_s)
        if touched:
            self._note_busy(touched)
        return changed

    def _advance(self, number: int, t_s: float, now_s: float) -> bool:
        row, life, before = self.rows[number], self._lives[number], self._lives[number].state
        tripped, held = bool(self._debounce.tripped[number]), self._debounce.counting(number)
        if tripped and life.tripped_at_s is None and life.state != FaultState.ACTIVE:
            life.tripped_at_s = t_s
        if life.tripped_at_s is not None:
            # once tripped it becomes active, even if the load has already cured the symptom
            if t_s - life.tripped_at_s >= row.timing.delay_s:
                life.tripped_at_s, life.state, life.from_record = None, FaultState.ACTIVE, False
                life.first_active_s = life.first_active_s if life.occurrences else now_s
                life.occurrences += 1
            elif life.state is None:
                life.state = FaultState.PENDING
        elif life.state == FaultState.ACTIVE:
            if not tripped:
                life.state = FaultState.LATCHED if row.latched else None
        elif life.state != FaultState.LATCHED:
            life.state = FaultState.PENDING if held else None
        return life.state != before

    def _effective(self, number: int) -> bool:
        life = self._lives[number]
        return life.tripped_at_s is not None or life.state in (FaultState.ACTIVE, FaultState.LATCHED)

    def active(self) -> list[FaultRow]:
        """Give the rows whose condition is there now."""
        return [self.rows[n] for n in self._busy if self._lives[n].state == FaultState.ACTIVE]

    def in_force(self) -> list[FaultRow]:
        """Give the rows that are active or latched, worst level first."""
        if self._in_force is None:
            held = (FaultState.ACTIVE, FaultState.LATCHED)
            found = [self.rows[n] for n in self._busy if self._lives[n].state in held]
            self._in_force = sorted(found, key=lambda row: -row.level)
        return self._in_force

    def has(self, action: Action) -> FaultRow | None:
        """Give the worst active or latched row with this action."""
        return next((row for row in self.in_force() if action in row.action), None)

    def about_to_open(self) -> FaultRow | None:
        """Give a row that has tripped and will open the contactors when its delay is over."""
        tripped = (self.rows[n] for n in self._busy if self._lives[n].tripped_at_s is not None)
        return next((row for row in tripped if row.opens), None)

    def factor(self, charge: bool) -> tuple[float, str]:
        """Give what faults leave of the limit (0 to 1) and the identifier of the row that binds (empty:
        none).
        """
        factors = self._charge if charge else self._discharge
        worst, name = 1.0, ""
        for number in self._busy:
            if factors[number] < worst and self._effective(number):
                worst, name = float(factors[number]), self.rows[number].id
        return worst, name

    def entries(self) -> list[FaultEntry]:
        """Give every pending, active and latched fault, worst level first."""
        found = [
            FaultEntry(row, life.state, 0.0 if life.state == FaultState.PENDING and not life.occurrences
                       else life.first_active_s, life.last_seen_s, life.occurrences, life.value, limit,
                       life.index, life.from_record)
            for row, life, limit in ((self.rows[n], self._lives[n], self._limit[n]) for n in self._busy)
            if life.state is not None
        ]  # fmt: skip
        return sorted(found, key=lambda entry: (-entry.row.level, entry.state == FaultState.PENDING))

    def highest_level(self) -> Level | None:
        """Give the highest level among the active and latched faults."""
        return max((row.level for row in self.in_force()), default=None)

    def row(self, identifier: str) -> FaultRow:
        """Give a row by its identifier, as it stands in this pack."""
        return self.rows[self._index[identifier]]

    def clear(self, identifiers: Sequence[str], unmet: Mapping[str, str] | None = None) -> ClearAnswer:
        """Clear latched faults whose condition is gone.

        Parameters
        ----------
        identifiers : sequence of str
            What to clear; empty: all that can be cleared without being named.
        unmet : mapping of str to str, optional
            Rows that cannot be cleared now, since something else must be true first, and what.
        """
        unmet = unmet or {}
        wanted = list(identifiers) or [entry.row.id for entry in self.entries()]
        cleared: list[str] = []
        refused: dict[str, str] = {}
        for identifier in wanted:
            number = self._index.get(identifier)
            if number is None:
                refused[identifier] = "no monitored row of the fault table"
                continue
            row, life = self.rows[number], self._lives[number]
            latched = life.state == FaultState.LATCHED
            if self._still_there(number):
                refused[identifier] = "its condition is still there"
            elif latched and row.by_name and not identifiers:
                refused[identifier] = "it is cleared by its name only, by service"
            elif latched and identifier in unmet:
                refused[identifier] = unmet[identifier]
            else:
                cleared += [identifier] if latched else []
                self._lives[number] = _Life()
                self._note_busy([number])
        reason = "; ".join(f"{identifier}: {why}" for identifier, why in refused.items())
        return ClearAnswer(not refused or not identifiers, reason, tuple(cleared), tuple(refused))

    def _still_there(self, number: int) -> bool:
        life = self._lives[number]
        counting = number < self._monitored and self._debounce.counting(number)
        return life.tripped_at_s is not None or life.state == FaultState.ACTIVE or counting

    def stored(self) -> dict[str, StoredFault]:
        """Give what the record must keep."""
        counted = ((self.rows[n], self._lives[n]) for n in sorted(self._counted))
        return self._kept | {
            row.id: StoredFault(
                row.latched and life.state in (FaultState.ACTIVE, FaultState.LATCHED),
                life.occurrences, life.first_active_s, life.last_seen_s, life.value, life.index,
            )
            for row, life in counted
        }  # fmt: skip
