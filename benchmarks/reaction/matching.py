"""Which heartbeat answers which scan."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

__all__ = ["Latency", "Numbered", "match"]

Numbered = list[tuple[float, int]]
"""Stamps [s] and numbers, in the order of their stamps."""

_SAME_S = 0.0002
"""A scan carries the stamp of its newest frame, as the bus gave it, to a few microseconds."""


@dataclass
class Latency:
    """Latencies under one condition.

    Attributes
    ----------
    seconds : list of float
        One for each scan that was answered: by its own number, or, where the monitor took in a newer scan
        first, by the first later one [s].
    scans, skipped, merged, lost : int
        Scans of the device; answered only by a later number; taken by the driver into one scan with the next
        ones, since it was held up; not answered at all.
    """

    load: str
    scheduling: str
    scan_period_s: float
    seconds: list[float] = field(default_factory=list)
    scans: int = 0
    skipped: int = 0
    merged: int = 0
    lost: int = 0
    load_text: str = ""


def match(triggers: list[float], taken: Numbered, answers: Numbered, result: Latency) -> None:
    """Find the answer to each scan.

    Parameters
    ----------
    triggers : list of float
        When the bus carried the last frame of each scan [s].
    taken : list of (stamp [s], number)
        The driver's scans, as it published them: stamp of the newest frame and number.
    answers : list of (stamp [s], low byte)
        When the bus carried the heartbeats, and the low byte of the number that each answers.
    result : Latency
        Filled.
    """
    taken = sorted(taken)
    stamps = [stamp_s for stamp_s, _ in taken]
    first: Numbered = []  # the first heartbeat with each new number, in full
    for stamp_s, low in answers:
        before = bisect_right(stamps, stamp_s + _SAME_S)
        if before == 0:
            continue
        newest = taken[before - 1][1]
        number = newest - (newest - low) % 256
        if not first or number > first[-1][1]:
            first.append((stamp_s, number))
    numbers = [number for _, number in first]
    for trigger_s in triggers:
        result.scans += 1
        place = bisect_left(stamps, trigger_s - _SAME_S)
        if place == len(taken):
            result.lost += 1
            continue
        result.merged += taken[place][0] > trigger_s + _SAME_S
        number = taken[place][1]
        answer = bisect_left(numbers, number)
        if answer == len(first):
            result.lost += 1
            continue
        result.seconds.append(first[answer][0] - trigger_s)
        result.skipped += first[answer][1] != number
