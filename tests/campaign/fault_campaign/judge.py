"""Hold what happened against what was expected: in time, late, missed, false alarm."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from fault_campaign.cases import Case, Must
from fault_campaign.closed_loop import demo_pack
from fault_campaign.draws_system import OPEN
from fault_campaign.evidence import Evidence
from fault_campaign.expectations import EXPECTED, Expectation
from fault_campaign.play import Played
from fault_campaign.trace import Trace, conducts
from openbms_core.faults import FaultRow, fault_rows
from openbms_core.types import State

__all__ = ["OUTCOMES", "Demand", "Verdict", "judge"]

OUTCOMES = ("in time", "quiet", "late", "missed", "false alarm")
"""Of a draw: the worst that applies; quiet: nothing had to happen, and nothing did."""
_TICK_S = 0.02
"""Two steps of simulated time, by which cause and effect may seem to change places."""


@dataclass(frozen=True)
class Demand:
    """Something that had to happen.

    Attributes
    ----------
    rows : tuple of str
        Identifiers, any of which will do.
    onset_s, deadline_s : float
        From the moment of injection [s].
    done_s : float
        When it was complete, from the moment of injection [s]; infinite: never.
    by : str
        The row that did it.
    """

    rows: tuple[str, ...]
    onset_s: float
    deadline_s: float
    done_s: float
    by: str

    @property
    def reaction_s(self) -> float:
        """From the onset to the complete action [s]."""
        return max(self.done_s - self.onset_s, 0.0)

    @property
    def outcome(self) -> str:
        """In time, late or missed."""
        return (
            "in time"
            if self.done_s <= self.deadline_s + 1e-6
            else "missed"
            if math.isinf(self.done_s)
            else "late"
        )


@dataclass
class Verdict:
    """What a draw came to."""

    number: int
    kind: str
    variant: str
    use: str
    soc: float
    ambient_degc: float
    seed: int
    outcome: str = "quiet"
    demands: list[Demand] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)
    """Rows that had to act by the numbers, though the table does not name them for this kind."""
    warnings: list[str] = field(default_factory=list)
    """Rows that neither latch nor open, and which the table does not explain."""
    not_in_table: list[str] = field(default_factory=list)
    """Demands for which the fault table has no row yet."""
    raised: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def worst(self) -> Demand | None:
        """The demand that came closest to its deadline, or furthest beyond it."""
        return max(self.demands, key=lambda d: d.done_s - d.deadline_s, default=None)

    def row(self) -> dict[str, Any]:
        """Give the verdict as plain data."""
        data = asdict(self)
        data["demands"] = [
            {
                "rows": list(demand.rows),
                "by": demand.by,
                "outcome": demand.outcome,
                "reaction_s": _plain(demand.reaction_s),
                "deadline_s": round(demand.deadline_s - demand.onset_s, 3),
            }
            for demand in self.demands
        ]
        return {key: value for key, value in data.items() if value not in ([], {}, "")}


def _plain(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


@lru_cache(maxsize=1)
def _rows() -> tuple[FaultRow, ...]:
    return fault_rows(demo_pack()[0].file)


def _opened(trace: Trace, at_s: float, by_coils: bool) -> float:
    """Give when the way of the current was open, from a moment on."""
    if not by_coils:
        return trace.opened_after(at_s)
    closed = False
    for when, coils in trace.coils:
        if when <= at_s:
            closed = conducts(coils)
        elif not conducts(coils):
            return when if closed else at_s
    return math.inf if closed else at_s


def _raised(trace: Trace, identifier: str, onset_s: float) -> float:
    """Give when a row became active at or after a moment; that moment where it was active already."""
    for when in reversed(trace.raised.get(identifier, [])):
        if when < onset_s - _TICK_S:
            ended = next((end for end in trace.ended.get(identifier, []) if end >= when), math.inf)
            latched = trace.rows[identifier].latched
            if ended > onset_s or latched:
                return onset_s
            break
    return min(
        (when for when in trace.raised.get(identifier, []) if when >= onset_s - _TICK_S), default=math.inf
    )


def _demand(
    rows: list[FaultRow], onset_s: float, within_s: float | None, played: Played, expected: Expectation
) -> Demand:
    best, by, deadline = math.inf, "", math.inf
    for row in rows:
        done = _raised(played.trace, row.id, onset_s)
        if row.opens:
            done = max(done, _opened(played.trace, onset_s, expected.by_coils))
        allowed = onset_s + (row.timing.fault_tolerant_time_s if within_s is None else within_s)
        if not by or done - allowed < best - deadline:
            best, by, deadline = done, row.id, allowed
    zero = played.injected_s
    return Demand(tuple(row.id for row in rows), onset_s - zero, deadline - zero, best - zero, by)


def _named(names: tuple[str, ...]) -> list[FaultRow]:
    return [row for row in _rows() if row.id in names or row.name in names]


def _direct(must: Must, played: Played, expected: Expectation) -> Demand | None:
    start_s = played.requested_s if must.of_request else played.injected_s
    if must.core_degc is not None:
        hot = [scan.at_s for scan in played.trace.scans if scan.hottest_core_degc >= must.core_degc]
        # the last second of a run leaves no time for an answer
        if not hot or hot[0] > played.ended_s - (must.within_s or 1.0):
            return None
        start_s = hot[0]
    onset_s = start_s + must.onset_s
    if OPEN in must.rows:
        within_s = 0.0 if must.within_s is None else must.within_s
        zero = played.injected_s
        done = _opened(played.trace, onset_s, expected.by_coils)
        return Demand((OPEN,), onset_s - zero, onset_s + within_s - zero, done - zero, OPEN)
    rows = _named(must.rows)
    return _demand(rows, onset_s, must.within_s, played, expected) if rows else None


def judge(case: Case, played: Played, expected: Expectation | None = None) -> Verdict:
    """Judge one case.

    Parameters
    ----------
    case : Case
    played : Played
        What happened.
    expected : Expectation, optional
        Another one than the table's.
    """
    expected = expected or EXPECTED[case.kind]
    settings = case.settings
    verdict = Verdict(
        case.number,
        case.kind,
        case.variant,
        settings.target.name,
        settings.soc,
        settings.ambient_degc,
        settings.seed,
    )
    evidence = Evidence(played.trace, demo_pack()[2], bus=expected.bus)
    _judge_demands(case, played, expected, evidence, verdict)
    _judge_alarms(case, played, expected, evidence, verdict)
    outcomes = {demand.outcome for demand in verdict.demands}
    if not played.reached and not case.before:
        verdict.problem = f"{settings.target.name} was not reached"
        verdict.false_alarms = verdict.false_alarms or [verdict.problem]
    verdict.raised = {
        identifier: round(times[0] - played.injected_s, 3)
        for identifier, times in played.trace.raised.items()
        if times
    }
    verdict.outcome = (
        "missed"
        if "missed" in outcomes
        else "late"
        if "late" in outcomes
        else "false alarm"
        if verdict.false_alarms
        else "in time"
        if outcomes
        else "quiet"
    )
    return verdict


def _judge_demands(
    case: Case, played: Played, expected: Expectation, evidence: Evidence, verdict: Verdict
) -> None:
    for must in case.must:
        demand = _direct(must, played, expected)
        if demand is None and must.core_degc is None:
            verdict.not_in_table.append(" or ".join(must.rows))
        elif demand is not None:
            verdict.demands.append(demand)
    if case.kind == "healthy":
        return  # here nothing may trip, whatever the numbers say
    for row in _rows():
        # a blind monitor can see only what is missing
        windows = (one for one in evidence.must(row) if one.by_frames or not expected.blinds)
        window = next(windows, None)
        if window is None:
            continue
        demand = _demand([row], window.onset_s, None, played, expected)
        if math.isinf(demand.done_s) and demand.deadline_s > played.ended_s - played.injected_s:
            continue  # the run ends within the time that the row has
        verdict.demands.append(demand)
        if row.name not in expected.numbers and row.id not in expected.numbers and (row.latched or row.opens):
            verdict.unforeseen.append(row.id)


def _judge_alarms(
    case: Case, played: Played, expected: Expectation, evidence: Evidence, verdict: Verdict
) -> None:
    trace = played.trace
    directly = {name for must in case.must for name in must.rows}
    opening_rows: list[float] = []
    for identifier, times in trace.raised.items():
        row = trace.rows[identifier]
        if row.opens:
            opening_rows.append(times[0])
        names = {row.id, row.name}
        explained = bool(names & set(expected.consequences)) or bool(names & directly)
        may_from = evidence.may(row)
        if explained and times[0] < played.injected_s:
            explained = False
        if not explained and may_from is not None and case.kind != "healthy":
            explained = times[0] >= may_from - evidence.period_s
        if not explained and may_from is not None and not (row.latched or row.opens):
            explained = times[0] >= may_from - evidence.period_s
        if explained:
            continue
        (verdict.false_alarms if row.latched or row.opens else verdict.warnings).append(identifier)
    if case.kind in ("charging_plug",) or case.request == "standby" or expected.consequences:
        return
    ways = [(when, conducts(contacts)) for when, contacts in trace.contacts]
    opened = any(before and not now for (_, before), (_, now) in pairwise(ways))
    asked = any(state is State.OPENING for _, state in trace.states)
    if opened and not opening_rows and not asked:
        verdict.false_alarms.append("opened without a reason")
