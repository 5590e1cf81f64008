"""Power limits against PyBaMM: violations, utilisation, lithium plating; ``--help``.

A PyBaMM cell (DFN, OKane2022) is commissioned by simulated laboratory tests through the house's own fit. Then
it is put, fresh and aged, at random temperatures and states of charge, rests, drives or charges for eight
minutes with noisy sensors, and gives at the end what the limiter says: does a voltage go beyond its limit,
and how much more would the cell have borne? Opponents in the same run: the closed form of the pulse test and
a fixed table. Writes ``docs/validation/power-limits.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import energy_lg
import numpy as np
import power_limits_charge
import power_limits_report
from power_limits_house import CHARGE_A, DISCHARGE_A, HIGH_V, HORIZONS_S, LOW_V, judge
from truth.environment import FOLDER, ROOT, Truth, run

from openbms_core.cell import CellFile, load_cell

CHUNK = 100
"""Episodes that are kept together, so that a run that is broken off loses no more."""
METHODS = ("openbms", "hppc", "table")


def progress(what: str, count: int) -> Any:
    """Give a function that shows how far a part is."""
    start = time.monotonic()

    def show(done: int) -> None:
        left = (time.monotonic() - start) * (count - done) / max(done, 1)
        sys.stderr.write(f"\r  {what}: {done}/{count}, {left:4.0f} s left ")
        sys.stderr.write("\n" if done >= count else "")
        sys.stderr.flush()

    return show


def commission(again: bool) -> CellFile:
    """Give the cell file of the truth, from its tests; they are kept in ``.build/truth``."""
    path = FOLDER / "cell.yaml"
    if again or not path.exists():
        tests, plating = FOLDER / "commission.npz", FOLDER / "plating.npz"
        if again or not tests.exists():
            run("commission.py", str(tests))
        if again or not plating.exists():
            run("plating.py", str(plating))
        from truth.fit_truth import write

        write(tests, plating, path)
    return load_cell(path)


def episodes(
    truth: Truth, cell: CellFile, count: int, seed: int, model: str, margin_std: float
) -> list[dict[str, Any]]:
    """Run the episodes; give one row for each episode and horizon."""
    folder = FOLDER
    names = truth.ask(
        progress("histories", count), do="history", episodes=count, seed=seed, model=model,
        file=str(folder / "histories.npz"),
    )["ages"]  # fmt: skip
    h = np.load(folder / "histories.npz")
    kept = ~h["failed"]
    fill = np.where(kept[:, None], 1.0, np.nan)
    said = judge(
        cell, np.nan_to_num(h["v"], nan=3.7), np.nan_to_num(h["i"]), np.nan_to_num(h["t"], nan=25.0),
        h["age"] > 0, h["capacities"][h["age"]], seed + 1, margin_std,
    )  # fmt: skip
    rng = np.random.default_rng(seed + 2)
    signs = rng.choice([-1.0, 1.0], count)
    powers = rng.random(count) < 0.5
    charging, by_power = signs[:, None] > 0, powers[:, None]

    def chosen(charge: tuple[Any, Any], discharge: tuple[Any, Any]) -> Any:
        return fill * np.where(
            charging, np.where(by_power, charge[1], charge[0]), np.where(by_power, discharge[1], discharge[0])
        )

    commands = np.stack(
        [
            chosen(
                (said.charge.current_a, said.charge.power_w),
                (said.discharge.current_a, said.discharge.power_w),
            ),
            chosen(said.hppc[1.0], said.hppc[-1.0]),
            chosen(said.table[1.0], said.table[-1.0]),
        ]
    )
    np.savez(
        folder / "commands.npz", commands=commands, kinds=powers, signs=signs, low_v=LOW_V, high_v=HIGH_V,
        rating_a=[CHARGE_A, DISCHARGE_A], seconds=HORIZONS_S,
    )  # fmt: skip
    truth.ask(
        progress("pulses", count), do="pulses", file=str(folder / "commands.npz"),
        out=str(folder / "pulses.npz"),
    )  # fmt: skip
    found = np.load(folder / "pulses.npz")
    reasons = np.where(charging, said.charge.reason, said.discharge.reason)
    rows = []
    for e in np.flatnonzero(kept):
        for k, seconds in enumerate(HORIZONS_S):
            rows.append(
                {
                    "model": model, "episode": int(e), "horizon_s": seconds, "charge": bool(signs[e] > 0),
                    "power": bool(powers[e]), "degc": float(h["t"][e, -1]), "soc": float(said.soc[e]),
                    "soc_std": float(said.soc_std[e]), "age": names[h["age"][e]], "before": str(h["kind"][e]),
                    "reason": str(reasons[e, k]), "peak": float(found["peak"][e, k]),
                    "anode_v": float(found["anode"][e, k]),
                    **{f"command_{m}": float(commands[j, e, k]) for j, m in enumerate(METHODS)},
                    **{f"beyond_{m}_v": float(found["worst"][j, e, k]) for j, m in enumerate(METHODS)},
                }
            )  # fmt: skip
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Power limits against PyBaMM.")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20000, help="seeds below 9000 were used in development")
    parser.add_argument("--model", choices=("DFN", "SPMe"), default="DFN")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the episodes of a run of the same code that was broken off",
    )
    parser.add_argument("--discharges", type=int, default=60, help="constant powers to the cut-off")
    parser.add_argument("--lg-data", type=Path, help="folder with the records of the LG HG2, for the energy")
    parser.add_argument("--margin-std", type=float, default=3.0)
    parser.add_argument(
        "--commission", action="store_true", help="make the laboratory tests and the fit again"
    )
    parser.add_argument("--parts", default="episodes,charge,energy")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "validation" / "power-limits.json")
    parser.add_argument("--rows", type=Path, help="keep every episode here (JSON)")
    arguments = parser.parse_args()
    parts = set(arguments.parts.split(","))
    cell = commission(arguments.commission)
    result = json.loads(arguments.output.read_text("utf-8")) if arguments.output.exists() else {}
    with Truth() as truth:
        if "episodes" in parts:
            rows = []
            for first in range(0, arguments.episodes, CHUNK):
                count = min(CHUNK, arguments.episodes - first)
                name = f"{arguments.model}-{arguments.seed}-{first}-{count}-{arguments.margin_std:g}"
                part = FOLDER / f"episodes-{name}.json"
                if not (arguments.resume and part.exists()):
                    found = episodes(
                        truth, cell, count, arguments.seed + first, arguments.model, arguments.margin_std
                    )
                    part.write_text(json.dumps(found), encoding="utf-8")
                kept = json.loads(part.read_text("utf-8"))
                rows += [{**row, "episode": first + row["episode"]} for row in kept]
            if arguments.rows:
                arguments.rows.write_text(json.dumps(rows), encoding="utf-8")
            result["episodes"] = power_limits_report.summary(rows)
        if "charge" in parts:
            result["charge"] = power_limits_charge.charge(truth, cell, progress("charges", 12))
        if "energy" in parts:
            count = arguments.discharges
            result["energy"] = power_limits_charge.energy(
                truth, cell, arguments.seed, count, progress("discharges", count)
            )
    if arguments.lg_data:
        result["energy_lg"] = energy_lg.energy_lg(arguments.lg_data)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = power_limits_report.page(result)
    arguments.output.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
