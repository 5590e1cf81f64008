"""Which heartbeat answers which scan, by the two counts that the bus carries."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Latency", "Numbered", "match"]

Numbered = list[tuple[float, int]]
"""Stamps [s] and numbers, in the order of the bus."""


@dataclass
class Latency:
    """Latencies under one condition.

    Attributes
    ----------
    seconds : list of float
        One for each scan that was answered by its own number or, where the monitor took in a newer scan
        first, by the first later one [s].
    scans, skipped, lost, extra : int
        Scans seen; answered only by a later number; not answered at all; closed by the driver without the
        device's last frame.
    """

    load: str
    scheduling: str
    scan_period_s: float
    seconds: list[float] = field(default_factory=list)
    scans: int = 0
    skipped: int = 0
    lost: int = 0
    extra: int = 0
    load_text: str = ""


def match(scans: Numbered, answers: Numbered, since_s: float, result: Latency) -> None:
    """Find the answer to each scan.

    The device counts its scans, the driver counts those that it closed. Both counts run in step; what lies
    between them is taken from the calm time before ``since_s``, when an answer comes long before the next
    scan. Where the driver closes a scan without the device's trigger the difference grows by one: then the
    expected answer would have come before its question.

    Parameters
    ----------
    scans : list of (stamp [s], counter)
        Last frames of the scans, with the device's count.
    answers : list of (stamp [s], low byte)
        Heartbeats, with the number that they answer.
    since_s : float
        Scans from here on count.
    result : Latency
        Filled.
    """
    numbered: list[tuple[float, int]] = []  # first heartbeat with each new number, counted on beyond 255
    for stamp_s, low in answers:
        step = (low - numbered[-1][1]) % 256 if numbered else 0
        if not numbered or 0 < step < 128:
            numbered.append((stamp_s, numbered[-1][1] + step if numbered else low))
    counted = [(stamp_s, n) for n, (stamp_s, _) in enumerate(scans)]
    for n in range(1, len(scans)):  # a scan that the witness did not see leaves a gap
        ahead = (scans[n][1] - scans[n - 1][1]) % 65536
        counted[n] = (scans[n][0], counted[n - 1][1] + ahead)
    stamps = [stamp_s for stamp_s, _ in numbered]
    calm: Counter[int] = Counter()
    for stamp_s, count in counted:
        later = bisect_left(stamps, stamp_s)
        if stamp_s < since_s and later < len(numbered):
            calm[numbered[later][1] - count] += 1
    if not calm:
        result.lost += sum(stamp_s >= since_s for stamp_s, _ in counted)
        return
    offset = calm.most_common(1)[0][0]
    numbers = [number for _, number in numbered]
    for stamp_s, count in counted:
        if stamp_s < since_s:
            continue
        result.scans += 1
        place = bisect_left(numbers, count + offset)
        while place < len(numbered) and numbered[place][0] < stamp_s:
            offset += 1
            result.extra += 1
            place = bisect_left(numbers, count + offset)
        if place >= len(numbered):
            result.lost += 1
            continue
        result.seconds.append(numbered[place][0] - stamp_s)
        result.skipped += numbered[place][1] != count + offset
