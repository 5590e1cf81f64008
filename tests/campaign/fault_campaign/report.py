"""The result as data, and as a page."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from collections import Counter, defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fault_campaign import page_text
from fault_campaign.brief import key_demand, share_used

__all__ = ["load", "page", "save", "stamp", "summary"]

NAME = "campaign"
Row = dict[str, Any]


def load(folder: Path) -> dict[str, Any]:
    """Read the result of the last run; empty where there is none."""
    path = folder / f"{NAME}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"parts": {}}


def stamp() -> dict[str, str]:
    """Give when and from what a part was made."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=8"]
    try:
        here = Path(__file__).parent
        commit = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    today = datetime.now(timezone.utc)
    return {"date": f"{today:%Y-%m-%d}", "commit": commit, "python": platform.python_version()}


def summary(parts: dict[str, Any]) -> dict[str, Any]:
    """Give the numbers of the whole campaign."""
    pure, live = parts.get("pure", {}), parts.get("live", {})
    healthy, logs = parts.get("healthy", {}), parts.get("logs", {})
    return {
        "injected": pure.get("injected", 0) + live.get("injected", 0),
        "detected_in_time": pure.get("in_time", 0) + live.get("in_time", 0),
        "nothing_had_to_happen": pure.get("quiet", 0) + live.get("quiet", 0),
        "late": pure.get("late", 0) + live.get("late", 0),
        "missed": pure.get("missed", 0) + live.get("missed", 0),
        "false_alarms": sum(part.get("false_alarms", 0) for part in (pure, live, healthy, logs)),
        "healthy_cell_hours": healthy.get("cell_hours", 0.0),
        "healthy_pack_hours": healthy.get("pack_hours", 0.0),
        "false_alarm_rate_upper_95_per_cell_hour": healthy.get("upper_95_per_cell_hour"),
        "false_alarm_rate_upper_95_per_pack_hour": healthy.get("upper_95_per_pack_hour"),
        "healthy_logs": logs.get("files", 0),
    }


def save(folder: Path, result: dict[str, Any]) -> None:
    """Write data and page."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {**summary(result["parts"]), "parts": result["parts"]}
    (folder / f"{NAME}.json").write_text(_compact(result) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(page(result), encoding="utf-8")


def _compact(value: Any, depth: int = 0) -> str:
    """Write JSON that can be read and compared: short things, and cases, on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if depth >= 4 or not isinstance(value, dict | list) or not value or len(flat) < 100:
        return flat
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, dict):
        inner = [f"{pad}{json.dumps(key)}: {_compact(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{end}}}"
    return "[\n" + ",\n".join(pad + _compact(item, depth + 1) for item in value) + f"\n{end}]"


# ---- the page -----------------------------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(str(value) for value in row) + " |" for row in rows),
        "",
    ]


def _by_kind(rows: list[Row]) -> list[str]:
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    head = (
        "Fault", "n", "in time", "quiet", "late", "missed", "false alarm", "median reaction [s]",
        "worst reaction of its deadline [s]",
    )  # fmt: skip
    return _table(head, [_kind_line(kind, kinds[kind]) for kind in sorted(kinds)])


def _kind_line(kind: str, rows: list[Row]) -> tuple[Any, ...]:
    outcomes = Counter(row["outcome"] for row in rows)
    alarms = sum(bool(row.get("false_alarms")) for row in rows)
    demands = [demand for row in rows if (demand := key_demand(row)) is not None]
    timed = [demand for demand in demands if demand["reaction_s"] is not None]
    median = f"{statistics.median(demand['reaction_s'] for demand in timed):.2f}" if timed else "–"
    worst = max(timed, key=share_used, default=None)
    text = f"{worst['reaction_s']:.2f} of {worst['deadline_s']:g} (`{worst['by']}`)" if worst else "–"
    counted = [outcomes[name] for name in ("in time", "quiet", "late", "missed")]
    return (f"`{kind}`", len(rows), *counted, alarms, median, text)


def _failures(rows: list[Row]) -> list[str]:
    bad = [row for row in rows if row["outcome"] not in ("in time", "quiet")]
    if not bad:
        return []
    lines = []
    for row in bad:
        late = [
            f"{' or '.join(demand['rows'])} after {demand['reaction_s']} s of {demand['deadline_s']} s"
            for demand in row.get("demands", ())
            if demand["outcome"] != "in time"
        ]
        what = "; ".join(
            text for text in (*late, *row.get("false_alarms", ()), row.get("problem", "")) if text
        )
        place = (row["number"], f"`{row['kind']}`", row.get("variant", ""), row.get("use", ""))
        lines.append((*place, row["outcome"], what))
    head = ("Draw", "Fault", "Variant", "State", "Outcome", "What")
    return ["What fell short:", "", *_table(head, lines)]


def _made(part: Row) -> str:
    made = f"commit {part.get('commit', '?')}, Python {part.get('python', '?')}"
    return f"Made on {part.get('date', '?')}, {made}."


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def page(result: dict[str, Any]) -> str:
    """Give the page of the result."""
    rates = {
        f"per_{what}_hour": _rate(result[f"false_alarm_rate_upper_95_per_{what}_hour"])
        for what in ("cell", "pack")
    }
    lines = [page_text.HEAD.format(**result, **rates)]
    for name, writer in (("pure", _pure), ("live", _live), ("healthy", _healthy), ("logs", _logs)):
        if name in result["parts"]:
            lines += writer(result["parts"][name])
    return "\n".join(lines).rstrip() + "\n"


def _pure(part: Row) -> list[str]:
    text = page_text.PURE.format(**part, made=_made(part))
    lines = [text, *_by_kind(part["cases"]), *_failures(part["cases"])]
    if part["not_in_fault_table"]:
        absent = ", ".join(f"{name} ({count}×)" for name, count in part["not_in_fault_table"].items())
        lines += [f"Not demanded, since the fault table has no such row: {absent}.", ""]
    return lines


def _live(part: Row) -> list[str]:
    text = page_text.LIVE.format(**part, made=_made(part))
    return [text, *_by_kind(part["cases"]), *_failures(part["cases"])]


def _healthy(part: Row) -> list[str]:
    rates = {f"per_{what}_hour": _rate(part[f"upper_95_per_{what}_hour"]) for what in ("cell", "pack")}
    packs: dict[str, list[Row]] = defaultdict(list)
    for row in part["cases"]:
        packs[row["pack"]].append(row)
    head = (
        "Pack", "Cells", "Scan [s]", "Sensors", "Packs", "Pack-hours", "Cell-hours", "Scans", "Cells [V]",
        "Temperatures [°C]", "False alarms",
    )  # fmt: skip
    lines = [
        page_text.HEALTHY.format(**rates, made=_made(part)),
        *_table(head, [_healthy_line(*item) for item in packs.items()]),
    ]
    alarms: Counter[str] = Counter()
    for row in part["cases"]:
        alarms.update(
            f"`{alarm['row']}` in {alarm['pack']} ({alarm['use']})" for alarm in row["false_alarms"]
        )
    if alarms:
        lines += [
            "False alarms: " + ", ".join(f"{name} {n}×" for name, n in sorted(alarms.items())) + ".",
            "",
        ]
    if part["warnings"]:
        told = ", ".join(f"`{name}` {count}×" for name, count in sorted(part["warnings"].items()))
        lines += [
            f"Rows that came up and neither latch nor open (they tell that a limit is near): {told}.",
            "",
        ]
    return lines


def _healthy_line(name: str, rows: list[Row]) -> tuple[Any, ...]:
    first = rows[0]
    volts, degrees = (
        [row["reached"][what] for row in rows] for what in ("cell_voltage_v", "temperature_degc")
    )
    return (
        name,
        first["cells"],
        f"{first['scan_period_s']:g}",
        "poor" if first["poor_sensors"] else "good",
        len(rows),
        f"{sum(row['pack_hours'] for row in rows):.1f}",
        f"{sum(row['cell_hours'] for row in rows):,.0f}",
        f"{sum(row['scans'] for row in rows):,}",
        f"{min(low for low, _ in volts):.2f} … {max(high for _, high in volts):.2f}",
        f"{min(low for low, _ in degrees):.0f} … {max(high for _, high in degrees):.0f}",
        sum(len(row["false_alarms"]) for row in rows),
    )


def _logs(part: Row) -> list[str]:
    head = ("Set", "Files", "Hours", "Limits from", "Rows that came up, and the numbers", "False alarms")
    rows = [
        (
            row["set"],
            row["files"],
            f"{row['hours']:,.1f}",
            row["limits_from"],
            row["explained"] or "–",
            row["false_alarms"],
        )
        for row in part["sets"]
    ]
    return [page_text.LOGS.format(**part, made=_made(part)), *_table(head, rows)]
