"""The verdict on a parked pack as plain data and as text for people."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

from openbms_bringup.parked.store import plain
from openbms_control.safety.parked.judge import Verdict

__all__ = ["as_data", "as_text", "summary_line"]

_EACH = 3
"""Findings of one kind that are written out."""


def _when(stamp_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp_s))


def as_data(verdict: Verdict, *, next_wake_s: float, notes: list[str]) -> dict[str, Any]:
    """Give the verdict as JSON can hold it; None where a number is not known."""
    return {
        "level": verdict.level,
        "stamp": _when(verdict.memory.last.stamp_s),
        "parked_since": _when(verdict.memory.parking.stamp_s),
        "findings": [plain(asdict(finding)) for finding in verdict.findings],
        "not_judged": list(verdict.not_judged),
        "remaining_days": plain(verdict.remaining_days),
        "remaining_days_at_least": plain(verdict.remaining_days_at_least),
        "next_wake_s": next_wake_s,
        "notes": notes,
    }


def summary_line(verdict: Verdict) -> str:
    """Give the verdict in one line, for a log or a message."""
    words = "; ".join(dict.fromkeys(finding.text for finding in verdict.findings[:_EACH]))
    return f"parked pack {verdict.memory.serial}: {verdict.level}" + (f": {words}" if words else "")


def _days(verdict: Verdict) -> str:
    days, least = verdict.remaining_days, verdict.remaining_days_at_least
    if math.isnan(days):
        return "Days left: not known yet"
    if math.isinf(days):
        return "Days left: no cell loses charge"
    return f"Days left until the first cell is empty: {days:.0f} (at least {least:.0f})"


def as_text(verdict: Verdict, *, next_wake_s: float, notes: list[str]) -> str:
    """Write the verdict for people."""
    memory = verdict.memory
    lines = [
        f"Parked pack {memory.serial}: {verdict.level}",
        f"  compared with the parking of {_when(memory.parking.stamp_s)}; "
        f"{len(memory.history)} wake(s) remembered",
    ]
    shown: dict[tuple[str, str], int] = {}
    for finding in verdict.findings:
        kind = (finding.code, finding.level)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] <= _EACH:
            lines.append(f"  {finding.level}: {finding.text} [{finding.code}]")
    lines += [
        f"  {level}: … and {count - _EACH} more [{code}]"
        for (code, level), count in shown.items()
        if count > _EACH
    ]
    lines += [f"  not judged: {text}" for text in verdict.not_judged]
    lines += [_days(verdict), f"Next check in {next_wake_s / 3600.0:.2f} h", *notes]
    return "\n".join(lines)
