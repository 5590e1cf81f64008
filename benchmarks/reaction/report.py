"""What was measured as tables for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from reaction.matching import Latency
from reaction.trips import ClassResult

__all__ = ["content", "merged", "page", "percentiles_ms"]

_CONDITION = {
    "latency": ("scan_period_s", "load", "scheduling"),
    "trips": ("class", "timing", "load", "scheduling"),
}
"""What an entry of each part is measured under; measured again, it replaces the one before."""

_LATENCY = (
    "From the last frame of a scan to the first heartbeat that answers it, both as the bus carried them [ms]."
)
_TRIPS = """\
From the frame that shows the fault (or the last one before frames stay away, or the kill) to the request for
zero current, to the command to open on the bus, and to the open contactors as the twin tells them once a scan
[ms]: p50 / p99 / max. *In order*: zero current was asked for before the command to open. *Allowed*: the
current was below the break current, or the deadline was reached. Where a process is killed nobody is left to
ask or to wait: the commands expire in the driver, or the device opens by itself."""
_FOXBMS = (
    "foxBMS 2, derived from its settings (events of 10 ms, delay, and 0.5 s before the first contactor "
    'moves; without the\nfront end\'s latency): its own table of response times says "to be added".'
)
_TARGETS = (
    ("p99, idle", "idle", "p99", 2.0),
    ("p99.9, idle", "idle", "p99.9", 10.0),
    ("p99.9, loaded, SCHED_FIFO", "loaded", "p99.9", 25.0),
)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Give p50, p99, p99.9 and the largest [ms], rounded to a microsecond; empty where there is nothing."""
    values = 1e3 * np.array([value for value in seconds if value == value])
    if not values.size:
        return {}
    points = dict(zip(("p50", "p99", "p99.9"), np.percentile(values, (50, 99, 99.9)), strict=True))
    return {name: round(float(value), 3) for name, value in {**points, "max": values.max()}.items()}


def _machine() -> dict[str, Any]:
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    python = platform.python_version() + ("" if optimised else ", built without profile-guided optimisation")
    return {
        "processors": len(os.sched_getaffinity(0)),
        "model": model,
        "kernel": platform.release().partition("-")[0],
        "python": python,
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
    }


def content(latencies: list[Latency], classes: list[ClassResult], notes: list[str]) -> dict[str, Any]:
    """Give everything as plain data."""
    machine = _machine()
    return {
        "machine": machine,
        "notes": notes,
        "latency": [
            {
                "load": one.load, "scheduling": one.scheduling, "scan_period_s": one.scan_period_s,
                "scans": one.scans, "answered_by_a_later_one": one.skipped, "not_answered": one.lost,
                "taken_with_the_next": one.merged, "beside": one.load_text,
                "ms": percentiles_ms(one.seconds), "date": machine["date"],
            }
            for one in latencies
        ],
        "trips": [{**_class_content(one), "date": machine["date"]} for one in classes],
    }  # fmt: skip


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Give what was measured now, and what was measured before and not again."""
    whole = dict(now)
    for part, names in _CONDITION.items():
        entries = {tuple(one[name] for name in names): one for one in before.get(part, []) + now[part]}
        whole[part] = list(entries.values())
    return whole


def _class_content(one: ClassResult) -> dict[str, Any]:
    trips = one.trips
    return {
        "class": one.name, "timing": one.timing, "load": one.load, "scheduling": one.scheduling,
        "opened_for": dict(Counter(trip.reason for trip in trips).most_common()),
        "trips": len(trips), "lost": one.lost, "restarts": one.restarts, "notes": one.notes,
        "zero_asked_first": sum(trip.in_order for trip in trips),
        "opened_small_or_at_deadline": sum(trip.allowed for trip in trips),
        "to_zero_request_ms": percentiles_ms([t.zero_s for t in trips if t.zero_s is not None]),
        "to_open_command_ms": percentiles_ms([t.command_s for t in trips if t.command_s is not None]),
        "to_open_contactors_ms": percentiles_ms([t.open_s for t in trips]),
        "largest_current_at_opening_a": round(max((t.current_a for t in trips), default=float("nan")), 2),
        "foxbms_to_open_ms": one.foxbms_ms,
    }  # fmt: skip


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _three(values: dict[str, float], digits: int = 1) -> list[str]:
    return [f"{values[name]:.{digits}f}" if values else "–" for name in ("p50", "p99", "max")]


def page(data: dict[str, Any], command: str) -> str:
    """Give the page of the documentation."""
    machine = data["machine"]
    lines = [
        "# reaction_time",
        "",
        f"Last printed by `{command}` on {machine['date']}: {machine['processors']} processors",
        f"({machine['model']}), Linux {machine['kernel']}, Python {machine['python']}. What a run does not",
        "measure again keeps its last result.",
        "",
        *(f"- {note}" for note in data["notes"]),
    ]
    if data["latency"]:
        lines += ["", *_latency_lines(data["latency"]), "", *_targets(data["latency"])]
    if data["trips"]:
        lines += ["", *_trip_lines(data["trips"])]
    return "\n".join(lines) + "\n"


def _latency_lines(latencies: list[dict[str, Any]]) -> list[str]:
    heads = ("Beside", "Scheduling", "Scan [ms]", "Scans", "p50", "p99", "p99.9", "max",
             "Answered by a later one", "Not answered", "Taken with the next", "Date")  # fmt: skip
    lines = ["## Software latency", "", _LATENCY, "", _row(heads), _row(["---"] * len(heads))]
    for one in latencies:
        values = [f"{one['ms'].get(name, float('nan')):.2f}" for name in ("p50", "p99", "p99.9", "max")]
        counts = [one[name] for name in ("answered_by_a_later_one", "not_answered", "taken_with_the_next")]
        period = f"{1e3 * one['scan_period_s']:g}"
        lines.append(
            _row((one["load"], one["scheduling"], period, one["scans"], *values, *counts, one["date"]))
        )
    return lines


def _trip_lines(classes: list[dict[str, Any]]) -> list[str]:
    heads = ("Class", "Timing", "Beside, scheduling", "Trips", "Lost", "Zero asked", "Open on the bus",
             "Contactors open", "Largest current [A]", "In order", "Allowed", "foxBMS 2",
             "Opened for", "Date")  # fmt: skip
    lines = ["## Trips", "", _TRIPS, "", _row(heads), _row(["---"] * len(heads))]
    for one in classes:
        times = [
            " / ".join(_three(one[name]))
            for name in ("to_zero_request_ms", "to_open_command_ms", "to_open_contactors_ms")
        ]
        order = "–" if one["class"].endswith("_killed") else one["zero_asked_first"]
        fox = f"{one['foxbms_to_open_ms']:.0f}" if one["foxbms_to_open_ms"] else "–"
        several = len(one["opened_for"]) > 1
        reasons = ", ".join(f"{name} ({n})" if several else name for name, n in one["opened_for"].items())
        lines.append(
            _row((one["class"], one["timing"], f"{one['load']}, {one['scheduling']}", one["trips"],
                  len(one["lost"]), *times, one["largest_current_at_opening_a"], order,
                  one["opened_small_or_at_deadline"], fox, reasons, one["date"]))
        )  # fmt: skip
    lost = [
        f"- {one['class']} ({one['timing']}): {text}"
        for one in classes
        for text in one["lost"] + one["notes"]
    ]
    return [*lines, *(["", "Lost trips and restarts:", "", *lost[:20]] if lost else []), "", _FOXBMS]


def _targets(latencies: list[dict[str, Any]]) -> list[str]:
    found = []
    for text, load, name, most in _TARGETS:
        for one in latencies:
            wanted = one["load"] == load and (load == "idle" or one["scheduling"] == "SCHED_FIFO")
            if wanted and one["ms"]:
                value_ms, period_ms = one["ms"][name], 1e3 * one["scan_period_s"]
                found.append(
                    f"- Target {text} ≤ {most:g} ms; {one['scheduling']}, scan {period_ms:g} ms: "
                    f"{value_ms:.2f} ms, {'met' if value_ms <= most else 'not met'}."
                )
    return found
