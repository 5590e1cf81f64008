"""Page and plots of `make accuracy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from accuracy_report.groups import Group
from accuracy_report.runs import CONDITIONS, ESTIMATORS, Run

__all__ = ["figures", "page", "plot", "table"]

_ALL = "all"


def figures(runs: list[Run]) -> dict[str, Any]:
    """Give the figures of a group at a place.

    Returns
    -------
    dict
        ``runs``; for each condition and estimator mean and largest RMSE, the largest error, coverage and mean
        width [SoC]; for ``all`` conditions pooled coverage and width.
    """
    rmse, largest, covered, width = (
        np.array([getattr(run, name) for run in runs]) for name in ("rmse", "largest", "covered", "width")
    )
    found: dict[str, Any] = {"cycles": len(runs), "conditions": {}}
    for c, condition in enumerate(CONDITIONS):
        row = {}
        for e, estimator in enumerate(ESTIMATORS):
            scored = rmse[:, e, c][np.isfinite(rmse[:, e, c])]
            row[estimator] = {
                "scored": len(scored),
                "rmse": float(scored.mean()) if len(scored) else None,
                "worst_rmse": float(scored.max()) if len(scored) else None,
                "largest_error": float(np.nanmax(largest[:, e, c])) if len(scored) else None,
                "covered": float(covered[:, e, c].mean()),
                "width": float(width[:, e, c].mean()),
            }
        found["conditions"][condition] = row
    found[_ALL] = {
        "runs": len(runs) * len(CONDITIONS),
        "covered": float(covered[:, 0].mean()),
        "width": float(width[:, 0].mean()),
        "plain_ekf_covered": float(covered[:, 2].mean()),
    }
    return found


def _percent(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{100.0 * value:.{digits}f}"


def table(group: Group, places: dict[str, Any]) -> list[str]:
    """Give the table of a group as Markdown."""
    lines = [
        "| Place | Condition | Cycles | RMSE mean / worst [%] | Largest error [%] | Covered [%] | Width [%] "
        "| Coulomb counter [%] | 1RC EKF [%], covered | Target |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for place, found in places.items():
        target = group.targets.get(place)
        for condition, row in found["conditions"].items():
            ours, counter, plain = (row[name] for name in ESTIMATORS)
            met = ours["rmse"] is None or target is None or 100.0 * ours["rmse"] <= target
            lines.append(
                f"| {place} | {condition} | {ours['scored']} | {_percent(ours['rmse'])} / "
                f"{_percent(ours['worst_rmse'])} | {_percent(ours['largest_error'], 1)} | "
                f"{_percent(ours['covered'], 0)} | {_percent(ours['width'], 1)} | "
                f"{_percent(counter['rmse'])} | {_percent(plain['rmse'])}, {_percent(plain['covered'], 0)} | "
                f"{'' if target is None else f'{target:g}'}{'' if met else ' **missed**'} |"
            )
        total = found[_ALL]
        lines.append(
            f"| {place} | *all {total['runs']} runs* | | | | **{_percent(total['covered'], 1)}** | "
            f"{_percent(total['width'], 1)} | | {_percent(total['plain_ekf_covered'], 1)} covered | 90–98 |"
        )
    return lines


def plot(group: Group, runs: dict[str, list[Run]], folder: Path) -> Path:
    """Draw the errors of all cycles with the mean 95 % interval, a panel for each place.

    Returns
    -------
    Path
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = {"clean": "C0", "wrong start": "C3", "current +": "C1", "voltage -": "C2"}
    names = list(CONDITIONS)
    figure, panels = plt.subplots(
        1, len(runs), figsize=(3.4 * len(runs), 3.4), sharey=True, squeeze=False, constrained_layout=True
    )
    for panel, (place, found) in zip(panels[0], runs.items(), strict=True):
        grid = np.linspace(0.05, 1.0, 60)
        bands = []
        for run in found:
            order = np.argsort(run.reference)
            bands.append(np.interp(grid, run.reference[order], 1.96 * run.std[0][order], np.nan, np.nan))
            for condition, colour in shown.items():
                error = run.error[names.index(condition)]
                panel.plot(100 * run.reference, 100 * error, color=colour, linewidth=0.5, alpha=0.7)
        some = ~np.isnan(bands).all(axis=0)
        band = 100 * np.nanmean(np.array(bands)[:, some], axis=0)
        panel.fill_between(100 * grid[some], -band, band, color="0.85", zorder=0)
        panel.set(title=place, xlabel="State of charge [%]", ylim=(-8, 8), xlim=(105, 0))
        panel.grid(True, alpha=0.3)
    panels[0][0].set_ylabel("Error [% SoC]")
    for condition, colour in shown.items():
        panels[0][0].plot([], [], color=colour, label=condition)
    panels[0][0].legend(fontsize=7, loc="upper left")
    path = folder / f"accuracy-{group.key}.png"
    figure.savefig(path, dpi=75)
    plt.close(figure)
    return path


def page(groups: list[tuple[Group, dict[str, Any], str]], more: list[str], command: str) -> str:
    """Give the whole page.

    Parameters
    ----------
    groups : list
        Group, figures by place, and what its commissioning said.
    more : list of str
        Lines after the tables (the month of a twin).
    command : str
    """
    lines = [
        "# Accuracy of the state of charge",
        "",
        f"Written by `{command}`: every cell is commissioned in this run by what `openbms fit` does (the",
        "first group: the shipped file), then every cycle is run in seven conditions by the filter, by",
        "`openbms replay --method coulomb`, and by a plain 1RC EKF with the same cell file (constant noise).",
        "No cycle is judged that its cell was fitted to. The reference is the tester's own charge counter",
        "over the present capacity, from a full start.",
        "",
    ]
    lines += [f"- *{name}*: {condition.text}" for name, condition in CONDITIONS.items()]
    lines += [
        "",
        "A wrong start of LFP is scored from where the filter itself says 1.5 % (one deviation); its",
        "coverage always. *Covered*: share of all rows whose 95 % interval holds the reference; *width*: its",
        "mean full width. With the true start told and no error of the current, counting *is* the reference",
        "but for the tester's resolution: no estimator can do better there.",
        "",
    ]
    for group, places, said in groups:
        lines += [f"## {group.title}", "", said, "", *table(group, places), ""]
        lines += [f"![Errors of {group.key}](accuracy-{group.key}.png)", ""]
    return "\n".join([*lines, *more]).rstrip() + "\n"
