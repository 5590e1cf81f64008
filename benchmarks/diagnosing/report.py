"""The result of a campaign as a table for people."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np

from diagnosing.episodes import Episode
from diagnosing.simulated_pack import FAULTS

__all__ = ["Campaign", "macro_f1", "write_report"]

SEVEN = tuple(name for name in FAULTS if name != "open_wire")


@dataclass
class Campaign:
    """Everything that was run."""

    held_out: bool
    episodes: dict[str, list[Episode]] = field(default_factory=dict)
    logs: list[dict[str, Any]] = field(default_factory=list)
    duration_s: float = 0.0

    def add(self, group: str, episode: Episode) -> None:
        """Book an episode."""
        self.episodes.setdefault(group, []).append(episode)

    def as_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        return {
            "held_out_seeds": self.held_out,
            "duration_s": round(self.duration_s, 1),
            "groups": {
                name: [asdict(e) for e in sorted(episodes, key=lambda e: e.seed)]
                for name, episodes in sorted(self.episodes.items())
            },
            "logs": self.logs,
        }


def macro_f1(episodes: list[Episode], classes: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    """Give the mean F1 over the classes, and each one's; what is named healthy or misplaced is missed."""
    scores = {}
    for name in classes:
        hit = sum(e.fault == name and e.named == name for e in episodes)
        missed = sum(e.fault == name and e.named != name for e in episodes)
        wrong = sum(e.fault != name and e.named == name for e in episodes)
        scores[name] = 2 * hit / max(2 * hit + missed + wrong, 1)
    return float(np.mean(list(scores.values()))), scores


def _short(name: str) -> str:
    return name.replace("_", " ")


def _confusion(episodes: list[Episode]) -> list[str]:
    columns = (*FAULTS, "misplaced", "none")
    lines = [
        "| really \\ named | " + " | ".join(_short(c) for c in columns) + " | F1 | hours to the right alarm, "
        "median (largest) |",
        "|---" * (len(columns) + 3) + "|",
    ]
    _, scores = macro_f1(episodes, FAULTS)
    for name in (*FAULTS, "none"):
        mine = [e for e in episodes if e.fault == name]
        counts = [sum(e.named == c for e in mine) for c in columns]
        hours = [e.detected_h for e in mine if e.detected_h is not None]
        spent = f"{np.median(hours):.1f} ({max(hours):.1f})" if hours else ""
        score = f"{scores[name]:.3f}" if name in scores else ""
        lines.append(
            f"| {_short(name)} | "
            + " | ".join(str(c) if c else "·" for c in counts)
            + f" | {score} | {spent} |"
        )
    return lines


def _timed(episodes: list[Episode], text: str, *, driving: bool, limit_h: float) -> str:
    times = [e.detected_driving_h if driving else e.detected_h for e in episodes]
    found = sorted(t for t in times if t is not None)
    within = sum(t <= limit_h for t in found)
    figures = (
        f"median {np.median(found):.2f} h, 90 % {np.quantile(found, 0.9):.2f} h, largest {found[-1]:.2f} h"
        if found
        else "never"
    )
    return f"| {text} | {len(found)} of {len(times)} | {figures} | {within} of {len(times)} |"


def write_report(campaign: Campaign) -> str:
    """Give the page."""
    everything = [e for episodes in campaign.episodes.values() for e in episodes]
    lines = [
        "# Diagnosis of cells and sensors",
        "",
        f"Written by `benchmarks/diagnosis.py` on {datetime.now(timezone.utc):%Y-%m-%d} "
        f"({platform.machine()}, Python {platform.python_version()}, {campaign.duration_s / 60:.0f} min); "
        f"seeds {'that were not' if campaign.held_out else 'that were also'} used to choose settings. "
        "Packs of 96 cells of 50 Ah (the twin's cells, capacity spread 1 to "
        "3 %, resistance 10 to 15 %, temperature gradient, noise, quantisation, sensors off by a little, "
        "balancing on); users who drive, charge and park. Half of the packs have no contactor feedback, half "
        "no string voltage.",
        "",
    ]
    confusion = campaign.episodes.get("confusion", [])
    if confusion:
        seven, _ = macro_f1(confusion, SEVEN)
        eight, _ = macro_f1(confusion, FAULTS)
        first = sum(e.fault == e.first_named for e in confusion if e.fault != "none")
        faulty = sum(e.fault != "none" for e in confusion)
        lines += [
            "## Which fault it is",
            "",
            f"Macro-F1 over the seven classes **{seven:.3f}**, with the open wire {eight:.3f}; {faulty} "
            "faulty packs. A fault counts as named when it is "
            "the most likely alarm at the end of the episode, at the "
            f"right cell or sensor; at the first alarm of the place {first} of {faulty} were already right.",
            "",
            *_confusion(confusion),
            "",
        ]
    timed = [
        _timed(campaign.episodes[group], text, driving=driving, limit_h=limit_h)
        for group, text, driving, limit_h in (
            ("timed internal_short", "100 Ω short, hours since onset (target 12 h)", False, 12.0),
            ("timed connection_resistance", "+0.2 mΩ joint, hours of driving (target 1 h)", True, 1.0),
        )
        if group in campaign.episodes
    ]
    if timed:
        lines += ["## How soon", "", "| Fault | named | time | within the target |", "|---|---|---|---|"]
        lines += [*timed, ""]
    hours = sum(e.cell_hours for e in everything)
    false = [e for e in everything if e.alarms_before]
    elsewhere = [e for e in everything if e.alarms_elsewhere]
    lines += [
        "## False alarms",
        "",
        f"{hours:,.0f} healthy cell-hours (packs that stay healthy, and the time before a fault): "
        f"**{sum(len(e.alarms_before) for e in false)} false alarms** in {len(false)} packs"
        + (f"; with 95 % confidence below {3e6 / hours:.1f} in a million cell-hours." if not false else "."),
        f"Beside a real fault, {len(elsewhere)} of {sum(e.fault != 'none' for e in everything)} packs also "
        "had an alarm at another place.",
        "",
    ]
    for e in (*false, *elsewhere):
        said = ", ".join(e.alarms_before + e.alarms_elsewhere)
        lines.append(f"* seed {e.seed}, {_short(e.fault)}: {said}")
    if campaign.logs:
        lines += [
            "",
            "## Real logs of healthy cells",
            "",
            "| Log | cells | hours | alarms | strongest finding |",
        ]
        lines += ["|---|---|---|---|---|"]
        for log in campaign.logs:
            lines.append(
                f"| {log['name']} | {log['cells']} | {log['hours']:.1f} | {log['alarms'] or 'none'} | "
                f"{log['strongest']} |"
            )
    return "\n".join(lines).rstrip() + "\n"
