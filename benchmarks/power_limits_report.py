"""Tables of the power-limit benchmark and the page that they stand on."""

from __future__ import annotations

from typing import Any

import numpy as np

METHODS = {
    "openbms": "OpenBMS",
    "hppc": "closed form of the pulse test",
    "table": "fixed table",
}
VIOLATION_V = 0.010

HEADING = """\
# Power limits and energy against PyBaMM

Written by `make power-limits` (`benchmarks/power_limits.py`); PyBaMM 26.10 runs in an environment of its
own. The truth is a DFN of the LG M50 (parameter set OKane2022) with lumped heat. It is commissioned by
simulated C/20, 1C and pulse tests at -10, 0, 10, 25 and 45 degC through the house's own fit, and by a
simulated three-electrode test; the random drives below are not among them.
"""

EPISODES = """\
## Pulses

{episodes} cells at -10 to 45 degC and 6 to 97 % SoC, half of them fresh, half aged (capacity -15 %, 10 s
resistance +50 %: active material and contact, or lithium and kinetics), rest, drive or charge for eight
minutes; the filter and the limiter see voltages with 1 mV of bias and of noise, currents with 0.3 % and
C/1000, temperatures with 0.5 K, capacity with 1 % and resistance with 3 % of error (standard deviations).
Then each gives what the limiter says for 10 s and for 30 s, one half as power, the other as current, within
3.0 to 4.2 V, 3C of discharge and 2C of charge. *Used* is the commanded over the largest that the truth
bears within voltage, rating and, on charge, an anode above 0 V: all together (sum over sum), the median,
and the lowest 5 %. A *violation* is more than 10 mV beyond the voltage; where the cell cannot give it at
all, 1000 mV are written. The settings were chosen on other episodes (seeds below 9000) of the same kind.
"""

CHARGES = """\
## Charge at the continuous limit

From 10 to 80 % with the charge current that may be held for 30 minutes, renewed every 30 s, filter and
limiter as above, the cell held at its temperature. The anode's potential against lithium at the separator
is the lowest of the whole charge.
"""

ENERGY = """\
## Energy to cut-off

Errors as part of what the whole discharge from full gives (and of what was left), for the simulation of the
cells at the stated load, against SoC x capacity x mean open-circuit voltage. *Covered*: truth within two
standard deviations; beside it the mean width of that interval, one-sided.

The aged cells' capacity is known to 1 %, their resistance of 10 s at 25 degC to 3 %, as the state of health
has them; no load has been seen before. In *lithium and kinetics* the transport in the electrolyte is less
than half of that of the tested cell: from about 1C in the cold its salt runs out within minutes, and the cell
ends with most of its charge. No circuit and no test of a new cell knows that; the interval does.
"""


def _group(rows: list[dict[str, Any]], method: str) -> dict[str, float]:
    beyond = np.array([r[f"beyond_{method}_v"] for r in rows])
    command = np.array([r[f"command_{method}"] for r in rows])
    peak = np.array([r["peak"] for r in rows])
    # a current and a power cannot be added up: in units of the rating they can
    unit = np.array([(10.0 if r["charge"] else 15.0) * (3.6 if r["power"] else 1.0) for r in rows])
    some = peak > 0.0
    used = np.minimum(command[some] / peak[some], 9.0)
    return {
        "count": len(rows),
        "violations": int((beyond > VIOLATION_V).sum()),
        "worst_mv": round(1e3 * float(beyond.max()), 1),
        "used": round(float((command / unit).sum() / max((peak / unit).sum(), 1e-9)), 3),
        "used_median": round(float(np.median(used)), 3) if some.any() else 0.0,
        "used_5_percent": round(float(np.quantile(used, 0.05)), 3) if some.any() else 0.0,
        "share_above_peak": round(float((used > 1.002).mean()), 3) if some.any() else 0.0,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Group the episodes every way the page shows."""
    ways: dict[str, list[dict[str, Any]]] = {"all": rows}
    for charge, name in ((False, "discharge"), (True, "charge")):
        one = [r for r in rows if r["charge"] == charge]
        for seconds in (10.0, 30.0):
            ways[f"{name}, {seconds:.0f} s"] = [r for r in one if r["horizon_s"] == seconds]
        for reason in sorted({r["reason"] for r in one}):
            ways[f"{name}, bound by {reason}"] = [r for r in one if r["reason"] == reason]
    for low, high in ((-15, 0), (0, 10), (10, 25), (25, 70)):
        ways[f"{low} to {high} degC"] = [r for r in rows if low <= r["degc"] < high]
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.01)):
        ways[f"SoC {100 * low:.0f} to {min(100 * high, 100):.0f} %"] = [
            r for r in rows if low <= r["soc"] < high
        ]
    for key, text in (("age", ""), ("before", "after a "), ("model", "")):
        for value in sorted({r[key] for r in rows}):
            ways[f"{text}{value}"] = [r for r in rows if r[key] == value]
    ways["given as power"] = [r for r in rows if r["power"]]
    ways["given as current"] = [r for r in rows if not r["power"]]
    anodes = np.array([r["anode_v"] for r in rows if r["charge"]])
    return {
        "episodes": len({(r["model"], r["episode"]) for r in rows}),
        "groups": {name: {m: _group(group, m) for m in METHODS} for name, group in ways.items() if group},
        "lowest_anode_mv": round(1e3 * float(anodes.min()), 1),
        "anode_below_zero": int((anodes < 0.0).sum()),
        "charge_pulses": len(anodes),
    }


def _episodes(e: dict[str, Any]) -> list[str]:
    columns = "violations, worst [mV]; used, median, 5 %"
    lines = [EPISODES.format(episodes=e["episodes"])]
    lines.append("| Group | Pulses | " + " | ".join(f"{name}: {columns}" for name in METHODS.values()) + " |")
    lines.append("|---|---|" + "---|" * len(METHODS))
    for name, group in e["groups"].items():
        cells = [
            f"{g['violations']}, {g['worst_mv']:.0f}; {g['used']:.2f}, {g['used_median']:.2f}, "
            f"{g['used_5_percent']:.2f}"
            for g in group.values()
        ]
        lines.append(f"| {name} | {group['openbms']['count']} | " + " | ".join(cells) + " |")
    below, count = e["anode_below_zero"], e["charge_pulses"]
    lines += [
        "",
        f"In {below} of {count} charge pulses the anode came below 0 V; the lowest is "
        f"{e['lowest_anode_mv']} mV.",
    ]
    return lines


def _charges(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        CHARGES,
        "| Temperature [degC] | Cell | Lowest anode [mV] | Highest voltage [V] | To 80 % [min] |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        minutes = "not reached" if r["minutes"] is None else f"{r['minutes']:.0f}"
        values = f"{r['lowest_anode_mv']:.1f} | {r['highest_v']:.3f} | {minutes}"
        lines.append(f"| {r['degc']:.0f} | {r['age']} | {values} |")
    return lines


def _energy(parts: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        ENERGY,
        "| Truth | Group | Discharges | RMS of whole | bias | RMS of left | covered, half-width "
        "| OCV x SoC: RMS |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for truth, groups in parts.items():
        for name, g in groups.items():
            lines.append(
                f"| {truth} | {name} | {g['count']} | {100 * g['rms_of_whole']:.1f} % | "
                f"{100 * g['bias_of_whole']:+.1f} % | {100 * g['rms_of_left']:.1f} % | "
                f"{100 * g['covered']:.0f} %, {100 * g['mean_2_std_of_whole']:.0f} % | "
                f"{100 * g['ocv_rms_of_whole']:.0f} % |"
            )
    return lines


def page(result: dict[str, Any]) -> str:
    """Write the page of all parts that have been run."""
    lines = [HEADING]
    if "episodes" in result:
        lines += [*_episodes(result["episodes"]), ""]
    if "charge" in result:
        lines += [*_charges(result["charge"]), ""]
    names = {"energy": "PyBaMM, constant power", "energy_lg": "LG HG2, recorded"}
    parts = {text: result[key] for key, text in names.items() if key in result}
    if parts:
        lines += _energy(parts)
    return "\n".join(lines).rstrip() + "\n"
