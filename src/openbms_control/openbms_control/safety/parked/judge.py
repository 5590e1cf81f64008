"""The verdict on a parked pack: a snapshot now, what is remembered, and what follows from both.

``judge`` is pure: whoever calls it measures, remembers and acts (``openbms parked-check``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.parked.checks import (
    ALARM,
    OK,
    WARN,
    Finding,
    Lists,
    check_all_at_once,
    check_drift,
)
from openbms_control.safety.parked.drift import measure_drift
from openbms_control.safety.parked.snapshot import (
    HistoryEntry,
    ParkedMemory,
    ParkedSnapshot,
    why_not_comparable,
)
from openbms_control.safety.parked.thresholds import PARKED, ParkedThresholds
from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import Level

__all__ = ["Verdict", "judge", "wake_after_s"]

FloatArray = NDArray[np.float64]

_HEAT = frozenset({"HOT_CELL", "OVER_TEMPERATURE", "PACK_WARMS"})
_LOSS = frozenset({"VOLTAGE_DROP", "SELF_DISCHARGE"})
_NOT_BY_LOOKING = frozenset({"SUPPLY_LOW", "DEEP_DISCHARGE", "EMPTY_SOON"})
"""Looking more often would only cost charge."""


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes
    ----------
    level : str
        ``ok``, ``warn`` or ``alarm``: the worst of the findings.
    findings : tuple of Finding
        Worst first.
    not_judged : tuple of str
        What could not be judged, and why.
    remaining_days, remaining_days_at_least : float
        Until the first cell reaches the safety limit of its voltage; infinite: never at this drift, NaN: not
        known.
    memory : ParkedMemory
        To be kept for the next wake.
    """

    level: str
    findings: tuple[Finding, ...]
    not_judged: tuple[str, ...]
    remaining_days: float
    remaining_days_at_least: float
    memory: ParkedMemory


def judge(
    pack: LoadedPack,
    now: ParkedSnapshot,
    memory: ParkedMemory | None,
    *,
    faults: Sequence[tuple[str, Level]] = (),
    bled_ah: FloatArray | float = 0.0,
    thresholds: ParkedThresholds = PARKED,
) -> Verdict:
    """Judge a parked pack.

    Parameters
    ----------
    pack : LoadedPack
    now : ParkedSnapshot
        Its ``rested_s`` is the time of this wake alone; that since the parking is added here.
    memory : ParkedMemory or None
        Of the parking and the wakes before; None: there is none.
    faults : sequence of (str, Level)
        Rows that the safety monitor has in force now.
    bled_ah : ndarray, shape (cells,), or float
        Charge that balancing took from each cell since the reference, where it is known [Ah].
    thresholds : ParkedThresholds

    Returns
    -------
    Verdict
    """
    lists = Lists()
    serial, config_hash = pack.file.serial, pack.config_hash
    usable = memory
    if memory is not None:
        why = why_not_comparable(
            memory, now, serial=serial, config_hash=config_hash, longest_s=thresholds.longest_s
        )
        if why:
            lists.not_judged.append(f"what was remembered is not used: {why}")
            usable = None
    days = least = math.nan
    if usable is None:
        lists.not_judged.append("drift: nothing from before to compare with")
        check_all_at_once(now, None, pack.file, faults, thresholds, lists)
    else:
        now = replace(now, rested_s=usable.last.rested_s + now.stamp_s - usable.last.stamp_s)
        check_all_at_once(now, usable, pack.file, faults, thresholds, lists)
        unknown = np.where(usable.bled | now.balancing, math.nan, 0.0)
        model = CellModel.from_file(pack.cell)
        drift = measure_drift(usable.reference, now, pack.file, model, thresholds, bled_ah + unknown)
        days, least = check_drift(drift, pack.file, model, thresholds, lists)
    _vote(pack, lists)
    lists.findings.sort(key=lambda finding: finding.level != ALARM)
    level = lists.findings[0].level if lists.findings else OK
    if usable is None:
        history = memory.history if memory is not None and memory.serial == serial else ()
        usable = ParkedMemory.begin(serial, config_hash, now).with_history(history)
    entry = _entry(now, level, lists.findings, days)
    return Verdict(
        level=level,
        findings=tuple(lists.findings),
        not_judged=tuple(lists.not_judged),
        remaining_days=days,
        remaining_days_at_least=least,
        memory=usable.follow(now, entry, thresholds.settled_s),
    )


def _vote(pack: LoadedPack, lists: Lists) -> None:
    """Two independent signs at one place are an alarm, where each alone is a warning."""
    topology = pack.file.topology
    everywhere = range(topology.cell_count)
    # a sensor that is assigned to no cell stands for all of them
    near = [cells or everywhere for _, _, cells in topology.sensors]
    warm = {
        cell
        for finding in lists.findings
        if finding.code in _HEAT
        for cell in (near[finding.index] if finding.index >= 0 else everywhere)
    }
    losing = sorted({finding.index for finding in lists.findings if finding.code in _LOSS} & warm)
    for cell in losing:
        words = f"Cell {cell} loses charge and is warm: two signs of a cell that goes bad. Keep away."
        lists.findings.append(Finding("RUNAWAY_PRECURSOR", ALARM, words, cell))


def _entry(now: ParkedSnapshot, level: str, findings: Sequence[Finding], days: float) -> HistoryEntry:
    def extreme(values: FloatArray, largest: bool) -> float:
        known = values[np.isfinite(values)]
        return float(known.max() if largest else known.min()) if known.size else math.nan

    return HistoryEntry(
        stamp_s=now.stamp_s,
        level=level,
        codes=tuple(dict.fromkeys(finding.code for finding in findings)),
        cell_voltage_min_v=extreme(now.cell_voltages_v, False),
        temperature_max_degc=extreme(now.temperatures_degc, True),
        insulation_ohm=now.insulation_ohm,
        supply_v=now.supply_v,
        remaining_days=days,
    )


def wake_after_s(verdict: Verdict, interval_s: float, thresholds: ParkedThresholds = PARKED) -> float:
    """Give the time until the next wake [s].

    Parameters
    ----------
    verdict : Verdict
    interval_s : float
        Usual time between wakes [s].
    thresholds : ParkedThresholds
    """
    watched = {finding.level for finding in verdict.findings if finding.code not in _NOT_BY_LOOKING}
    wanted = interval_s
    if ALARM in watched:
        wanted = min(interval_s, thresholds.alarm_wake_s)
    elif WARN in watched:
        wanted = interval_s / thresholds.warn_wakes_sooner
    return max(wanted, min(thresholds.shortest_wake_s, interval_s))
