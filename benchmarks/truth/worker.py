"""The truth process: keeps PyBaMM cells in the state that a random history left them in, and loads them.

Reads one JSON object a line from standard input and answers each with one line:

* ``{"do": "history", "episodes": n, "seed": s, "model": "DFN", "file": f}``: random cells and what happened
  to them before;
* ``{"do": "pulses", "file": f, "out": g}``: what a commanded power or current does to each of them, and the
  largest that would have been allowed;
* ``{"do": "charge", …}``: see :func:`charge_begin` and :func:`charge_on`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pybamm
from truth_cell import AIR, CURRENT, FRESH, ISOTHERMAL, POWER, REST, Ageing, Cursor, TruthCell

NOMINAL_AH = 5.0
SEGMENT_S = 20.0
SEGMENTS = 24
REST_SEGMENTS = 3
HISTORY_LOW_V, HISTORY_HIGH_V = 2.9, 4.2
COLLAPSED_V = 1.0
"""Stands for a cell that cannot give it at all."""


def resistance_10s(cell: TruthCell, age: Ageing) -> float:
    """Resistance of 10 s at 1C, 25 degC, half full [ohm]."""
    start = cell.start(0.5, 25.0, age)
    rest = start.hold(REST, 0.0, 1.0, 1).voltage_v[-1]
    return float((rest - start.hold(CURRENT, -NOMINAL_AH, 10.0, 5).voltage_v[-1]) / NOMINAL_AH)


def aged(cell: TruthCell) -> list[Ageing]:
    """Give the fresh cell and two that have lost 15 % of capacity and gained 50 % of resistance: one of
    active material and contact, one of lithium and kinetics.
    """
    wanted = 1.5 * resistance_10s(cell, FRESH)
    material = Ageing("active material and contact", width=0.85)
    film = wanted - resistance_10s(cell, material)
    material = replace(material, film_ohm=film)
    low, high = 0.5, 1.0
    target = 0.85 * cell.window(FRESH)[4]
    for _ in range(20):
        middle = 0.5 * (low + high)
        enough = cell.window(Ageing("", lithium=middle))[4] > target
        low, high = (low, middle) if enough else (middle, high)
    lithium = Ageing("lithium and kinetics", lithium=0.5 * (low + high))
    slow, fast = 0.2, 1.0
    for _ in range(12):
        middle = 0.5 * (slow + fast)
        more = resistance_10s(cell, replace(lithium, kinetics=middle)) > wanted
        slow, fast = (middle, fast) if more else (slow, middle)
    return [FRESH, material, replace(lithium, kinetics=0.5 * (slow + fast))]


def _load(
    cursor: Cursor, kind: str, sign: float, seconds: float, low_v: float, high_v: float, value: float
) -> tuple[float, float, float]:
    """Give excess of voltage [V], lowest anode potential [V] and largest current [A] of a pulse."""
    try:
        trace = cursor.hold(kind if value else REST, sign * value, seconds, 12)
    except pybamm.SolverError:
        return COLLAPSED_V, -1.0, np.inf
    v = trace.voltage_v
    beyond = float(v.max() - high_v) if sign > 0 else float(low_v - v.min())
    return beyond, float(trace.anode_v.min()), float(np.abs(trace.current_a).max())


@dataclass
class Worker:
    """Cells and where they stand."""

    cells: dict[str, TruthCell]
    cursors: list[Cursor]
    ages: list[Ageing]

    def cell(self, kind: str) -> TruthCell:
        """Build a model once."""
        if kind not in self.cells:
            self.cells[kind] = TruthCell(kind)
        return self.cells[kind]

    def history(self, order: dict[str, Any]) -> dict[str, Any]:
        """Draw cells and let them rest, drive or charge."""
        cell = self.cell(order["model"])
        self.ages = self.ages or aged(cell)
        rng = np.random.default_rng(order["seed"])
        seconds = int(SEGMENT_S * SEGMENTS)
        found: dict[str, list[Any]] = {
            key: [] for key in ("v", "i", "t", "soc", "age", "kind", "ambient", "failed")
        }
        self.cursors = []
        for episode in range(order["episodes"]):
            age = int(rng.choice([0, 0, 1, 2]))
            degc, soc = rng.uniform(-10.0, 45.0), rng.uniform(0.06, 0.97)
            kind = str(rng.choice(["rest", "drive", "drive", "charge"]))
            trace = self._one(cell, rng, age, degc, soc, kind)
            found["failed"].append(trace is None)
            if trace is None:
                trace = np.full((3, seconds), np.nan)
                self.cursors.append(cell.start(soc, degc, self.ages[age]))
            for key, row in zip("vit", trace, strict=True):
                found[key].append(row)
            for key, value in (("soc", soc), ("age", age), ("kind", kind), ("ambient", degc)):
                found[key].append(value)
            if episode % 20 == 19:
                say({"progress": episode + 1})
        capacities = [cell.window(age)[4] for age in self.ages]
        np.savez(order["file"], capacities=capacities, **found)
        return {"ages": [age.name for age in self.ages]}

    def _one(
        self, cell: TruthCell, rng: np.random.Generator, age: int, degc: float, soc: float, kind: str
    ) -> np.ndarray | None:
        cursor = cell.start(soc, degc, self.ages[age], rng.choice([AIR, 5 * AIR]))
        # nobody charges fast in the cold
        warm = float(np.clip((degc + 15.0) / 40.0, 0.1, 1.0))
        steady = rng.uniform(0.1, 0.7) * warm * NOMINAL_AH
        rows = []
        try:
            for segment in range(SEGMENTS):
                wanted = 0.0
                if segment >= REST_SEGMENTS:
                    if kind == "charge":
                        wanted = steady
                    elif kind == "drive":
                        wanted = NOMINAL_AH * float(np.clip(rng.normal(-0.5, 0.8), -2.0, 0.6 * warm))
                for value in (wanted, 0.3 * wanted, 0.0):
                    trace = cursor.hold(CURRENT if value else REST, value, SEGMENT_S, int(SEGMENT_S))
                    v = trace.voltage_v
                    if value == 0.0 or (v.min() > HISTORY_LOW_V and v.max() < HISTORY_HIGH_V):
                        break
                rows.append(np.stack([v, trace.current_a, trace.temperature_degc]))
                cursor = trace.end
        except pybamm.SolverError:
            return None
        self.cursors.append(cursor)
        return np.concatenate(rows, axis=1)

    def pulses(self, order: dict[str, Any]) -> dict[str, Any]:
        """Load every cell as commanded, and find what it could have borne."""
        asked = np.load(order["file"])
        low, high, rating, seconds = (asked[k] for k in ("low_v", "high_v", "rating_a", "seconds"))
        commands, kinds, signs = asked["commands"], asked["kinds"], asked["signs"]
        count = len(seconds)
        worst = np.full((len(commands), len(signs), count), np.nan)
        anode = np.full((len(signs), count), np.nan)
        peak = np.full((len(signs), count), np.nan)
        for episode, cursor in enumerate(self.cursors):
            sign = float(signs[episode])
            if not np.isfinite(commands[0, episode]).all():
                continue
            kind = POWER if kinds[episode] else CURRENT
            for k in range(count):
                load = partial(_load, cursor, kind, sign, float(seconds[k]), float(low), float(high))
                for which in range(len(commands)):
                    value = float(commands[which, episode, k])
                    found = load(value)
                    worst[which, episode, k] = found[0]
                    if which == 0:
                        anode[episode, k] = found[1]
                peak[episode, k] = self._peak(
                    load, sign, float(commands[0, episode, k]), float(rating[int(sign < 0)]), kind
                )
            if episode % 20 == 19:
                say({"progress": episode + 1})
        np.savez(order["out"], worst=worst, anode=anode, peak=peak)
        return {}

    @staticmethod
    def _peak(load: Any, sign: float, first: float, rating: float, kind: str) -> float:
        """Largest value within voltage, rating and, on charge, an anode above 0 V."""

        def excess(value: float) -> float:
            beyond, anode, current = load(value)
            most = [beyond, 0.02 * (current - rating)]
            if sign > 0:
                most.append(-anode)
            return max(most)

        top = rating * (4.2 if kind == POWER else 1.0)
        low, at_low = 0.0, excess(0.0)
        if at_low >= 0.0:
            return 0.0
        high = min(max(1.12 * first, 0.02 * top), top)
        at_high = excess(high)
        while at_high <= 0.0:
            if high >= top:
                return top
            low, at_low = high, at_high
            high = min(1.5 * high, top)
            at_high = excess(high)
        for _ in range(9):
            if high - low < 2e-3 * high:
                break
            # false position, and halves where the far end is a cliff
            share = at_low / (at_low - at_high) if at_high < COLLAPSED_V else 0.5
            middle = low + float(np.clip(share, 0.05, 0.95)) * (high - low)
            value = excess(middle)
            if value > 0.0:
                high, at_high, at_low = middle, value, 0.5 * at_low
            else:
                low, at_low, at_high = middle, value, 0.5 * at_high
        return low

    def charge_begin(self, order: dict[str, Any]) -> dict[str, Any]:
        """Put cells at given temperatures [degC], SoC and heat transfer, for :meth:`charge_on`."""
        cell = self.cell(order["model"])
        self.ages = self.ages or aged(cell)
        self.cursors = [
            cell.start(soc, degc, self.ages[age], ISOTHERMAL if order["isothermal"] else AIR)
            for degc, soc, age in zip(order["degc"], order["soc"], order["age"], strict=True)
        ]
        first = [c.hold(REST, 0.0, 10.0, 1) for c in self.cursors]
        return {
            "voltage_v": [float(t.voltage_v[-1]) for t in first],
            "capacity_ah": [cell.window(self.ages[a])[4] for a in order["age"]],
        }

    def charge_on(self, order: dict[str, Any]) -> dict[str, Any]:
        """Hold a current of each cell [A] for some seconds."""
        answer: dict[str, list[float]] = {
            k: [] for k in ("voltage_v", "temperature_degc", "anode_v", "highest_v")
        }
        for k, (cursor, current) in enumerate(zip(self.cursors, order["current_a"], strict=True)):
            trace = cursor.hold(CURRENT if current else REST, current, order["seconds"], 4)
            self.cursors[k] = trace.end
            answer["voltage_v"].append(float(trace.voltage_v[-1]))
            answer["highest_v"].append(float(trace.voltage_v.max()))
            answer["temperature_degc"].append(float(trace.temperature_degc[-1]))
            answer["anode_v"].append(float(trace.anode_v.min()))
        return answer

    def deplete(self, order: dict[str, Any]) -> dict[str, Any]:
        """Take a constant power out of each cell until its voltage limit; give the energy [Wh]."""
        found = []
        for k, cursor in enumerate(self.cursors):
            power, low_v = float(order["power_w"][k]), float(order["low_v"])
            taken_wh, step_s = 0.0, 40.0
            while step_s > 0.5:
                try:
                    trace = cursor.hold(POWER, -power, step_s, 4)
                    fine = trace.voltage_v.min() > low_v
                except pybamm.SolverError:
                    fine = False
                if fine:
                    cursor, taken_wh = trace.end, taken_wh + power * step_s / 3600.0
                else:
                    step_s /= 3.0
            found.append(taken_wh)
            say({"progress": k + 1})
        return {"energy_wh": found}


def say(answer: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the input ends."""
    worker = Worker({}, [], [])
    for line in sys.stdin:
        order = json.loads(line)
        say({"done": True, **getattr(worker, order["do"])(order)})


if __name__ == "__main__":
    main()
