"""The result of a campaign as a table for people."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
from scipy.stats import chi2

from diagnosing.episodes import Episode
from diagnosing.simulated_pack import FAULTS

__all__ = ["Campaign", "macro_f1", "write_report"]

SEVEN = tuple(name for name in FAULTS if name != "open_wire")


@dataclass
class Campaign:
    """Everything that was run."""

    held_out: bool
    planned: int = 0
    packs: int = 0
    """Packs that were to be run, and that were."""
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
            "packs_planned": self.planned,
            "packs": self.packs,
            "groups": {
                name: [asdict(e) for e in sorted(episodes, key=lambda e: e.seed)]
                for name, episodes in sorted(self.episodes.items())
            },
            "logs": self.logs,
        }

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Campaign:
        """Take over what :meth:`as_dict` gave."""
        return cls(
            held_out=kept["held_out_seeds"],
            planned=kept["packs_planned"],
            packs=kept["packs"],
            episodes={name: [Episode(**e) for e in group] for name, group in kept["groups"].items()},
            logs=kept["logs"],
            duration_s=kept["duration_s"],
        )


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


def _false_alarms(everything: list[Episode]) -> list[str]:
    hours = sum(e.cell_hours for e in everything)
    # what a pack said in its healthy time it may go on saying with each of its faults: that is one alarm
    false = {(e.seed, said) for e in everything for said in e.alarms_before}
    elsewhere = [e for e in everything if e.alarms_elsewhere]
    most = 0.5 * float(chi2.ppf(0.95, 2 * (len(false) + 1)))  # of a Poisson distribution
    lines = [
        "## False alarms",
        "",
        f"{hours:,.0f} healthy cell-hours (packs that stay healthy, and the time before a fault): "
        f"**{len(false)} false alarm{'s' if len(false) != 1 else ''}**"
        + (
            f"; with 95 % confidence below {most / hours * 1e6:.1f} in a million cell-hours."
            if hours
            else "."
        ),
        f"Beside a real fault, {len(elsewhere)} of {sum(e.fault != 'none' for e in everything)} packs also "
        "had an alarm at another place.",
        "",
    ]
    lines += [f"* seed {seed}, healthy: {said}" for seed, said in sorted(false)]
    for e in elsewhere:
        also = ", ".join(e.alarms_elsewhere)
        lines.append(f"* seed {e.seed}, {_short(e.fault)} at {e.fault_values['place']}: also {also}")
    return lines


def _logs(every: list[dict[str, Any]]) -> list[str]:
    logs = [log for log in every if not log["fault"]]
    hours = sum(log["hours"] * log["cells"] for log in logs)
    alarms = sum(len(log["alarms"]) for log in logs)
    lines = [
        "",
        "## Real logs of healthy cells",
        "",
        f"{sum(log['files'] for log in logs)} recordings, {hours:,.0f} cell-hours: **{alarms} false "
        f"alarm{'s' if alarms != 1 else ''}**. A cell alone is judged by its current sensor only: all other "
        "faults show by what one cell does unlike the others. Where a fault is named, it was put into the "
        "second half of the recording.",
        "",
        "| Log | put in | cells | hours | alarms | most likely finding |",
        "|---|---|---|---|---|---|",
    ]
    for log in every:
        said = "; ".join(log["alarms"]) or "none"
        lines.append(
            f"| {log['name']} | {log['fault']} | {log['cells']} | {log['hours']:.1f} | {said} | "
            f"{log['strongest']} |"
        )
    return lines


def write_report(campaign: Campaign) -> str:
    """Give the page."""
    everything = [e for episodes in campaign.episodes.values() for e in episodes]
    lines = [
        "# Diagnosis of cells and sensors",
        "",
        f"Written by `benchmarks/diagnosis.py` (`make diagnosis`) on {datetime.now(timezone.utc):%Y-%m-%d} "
        f"({platform.machine()}, Python {platform.python_version()}, {campaign.duration_s / 60:.0f} min); "
        f"seeds that were {'not' if campaign.held_out else 'also'} used to choose settings"
        + (
            f"; {campaign.packs} of {campaign.planned} packs, then the time was over"
            if campaign.packs < campaign.planned
            else ""
        )
        + ". Packs of the twin's cells, 50 Ah each, in series 96, or 384 where they stay healthy: capacity "
        "spread 1 to 3 %, resistance 10 to 15 %, a temperature gradient, noise, quantisation, sensors off by "
        "a little, balancing on; users who drive, charge and park. Half of the packs have no contactor "
        "feedback, half no string voltage. A scan every 20 s while driving, every 1 to 8 min else; the "
        "hypotheses are compared every 20 min (every 5 min where the time is measured, every 2 min in "
        "recordings; the node does so every 20 s). How it works: [Diagnosis](../concepts/diagnosis.md).",
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
    lines += _false_alarms(everything)
    if campaign.logs:
        lines += _logs(campaign.logs)
    return "\n".join(lines).rstrip() + "\n"
