"""Delay and false alarms of the thermal-runaway watch over random courses, against the bare GB rule and
foxBMS's limits.

Runaways: a growing short or heat from outside in one cell, cells of three kinds, a sensor at every first to
twelfth cell
with 5 to 30 s of lag, noise up to 0.5 K, resolution up to 1 K, lost frames. *Criterion*: the moment from
which GB
38031-2025 C.5.3.7 is met by what a sensor would show without noise and by the true voltage of a cell that
it lies at.
Healthy hours: hard driving, fast charging on a cold plate, an uneven heater, sun on one side, rest; the
same sensors.
Both physics are in ``tests/support/runaway_courses.py``. Run: ``openbms-env python
benchmarks/runaway_watch.py
[--courses 300] [--cell-hours 100000] [--processes 2]``.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import numpy as np
from numpy.typing import NDArray
from runaway_courses import (
    KINDS,
    HealthyDay,
    PackCourse,
    Runaway,
    Sensors,
    circumstances,
    pack_file,
    scans,
)

from openbms_control.safety.readings import PackFacts
from openbms_control.safety.watches.runaway import RunawayWatch
from openbms_core.pack import PackFile

FloatArray = NDArray[np.float64]

_LONGEST_S, _AFTER_S = 3600.0, 120.0
_DETECTORS = ("warning", "alarm", "emergency", "bare GB rule", "foxBMS opens", "foxBMS spread")


class BareRule:
    """The GB rule, as it is written, on values as they come: no window, no peers, no memory."""

    def __init__(self, pack: PackFile) -> None:
        self._maximum_degc = pack.limits.discharge_temperature_max_degc.recommended
        self._cells = [cells for _, _, cells in pack.topology.sensors]
        self._past: deque[tuple[float, FloatArray, FloatArray]] = deque()
        self._rising_s = np.zeros(len(self._cells))

    def step(self, t_s: float, volts: FloatArray, degc: FloatArray, dt_s: float) -> bool:
        """Take a scan; tell whether the rule is met."""
        self._past.append((t_s, volts, degc))
        while self._past[0][0] < t_s - 60.0 - 1e-6:
            self._past.popleft()
        second = next((old for old in reversed(self._past) if old[0] <= t_s - 1.0 + 1e-6), None)
        if second is None:
            return False
        rises = (degc - second[2]) / (t_s - second[0]) >= 1.0
        self._rising_s = np.where(rises, self._rising_s + dt_s, 0.0)
        risen = self._rising_s >= 3.0 - 1e-6
        if not risen.any():
            return False
        dropped = volts < 0.75 * self._past[0][1]
        return any(
            degc[i] >= self._maximum_degc or dropped[self._cells[i].start : self._cells[i].stop].any()
            for i in np.flatnonzero(risen)
        )


class FoxLimits:
    """foxBMS 2: over-temperature (its third limit; 500 events of 10 ms, then 1 s), spread of 10 K from the
    mean (likewise).
    """

    def __init__(self, pack: PackFile) -> None:
        self._limit_degc = pack.limits.discharge_temperature_max_degc.safety
        self._hot_s = self._spread_s = 0.0

    def step(self, degc: FloatArray, dt_s: float) -> tuple[bool, bool]:
        """Take a scan; tell whether either limit has tripped."""
        self._hot_s = self._hot_s + dt_s if (degc >= self._limit_degc).any() else 0.0
        apart = np.abs(degc - degc.mean()).max() > 10.0
        self._spread_s = self._spread_s + dt_s if apart else 0.0
        return self._hot_s >= 6.0, self._spread_s >= 5.0


class Criterion:
    """When a sensor without noise, or the cell itself, meets the GB rule."""

    def __init__(self, course: PackCourse, pack: PackFile) -> None:
        self._course, self._maximum_degc = course, pack.limits.discharge_temperature_max_degc.recommended
        cell = course.runaway.cell
        at = [i for i, (_, _, cells) in enumerate(pack.topology.sensors) if cell in cells]
        self.own = at[0] if at else -1
        self._before = self._degc()
        self._rising_s = np.zeros(len(self._before))
        self.sensor_s = self.cell_s = self.seen_s = math.nan
        self._full_v = 0.0

    def _degc(self) -> FloatArray:
        return np.append(self._course.true_sensors_degc, self._course.degc[self._course.runaway.cell])

    def step(self, dt_s: float) -> None:
        """Follow the course by one scan."""
        course, degc = self._course, self._degc()
        if course.t_s <= course.runaway.at_s:
            self._full_v = course.volts[course.runaway.cell]
        self._rising_s = np.where((degc - self._before) / dt_s >= 1.0, self._rising_s + dt_s, 0.0)
        self._before = degc
        dropped = np.zeros(len(degc), dtype=bool)
        if course.volts[course.runaway.cell] < 0.75 * self._full_v:
            dropped[[self.own, -1]] = True
        met = (self._rising_s >= 3.0 - 1e-6) & (dropped | (degc >= self._maximum_degc))
        if math.isnan(self.sensor_s) and met[:-1].any():
            self.sensor_s = course.t_s
        if math.isnan(self.cell_s) and met[-1]:
            self.cell_s = course.t_s
        peers = float(np.median(degc[:-1])) if len(degc) > 3 else float(np.min(course.degc))
        if math.isnan(self.seen_s) and (degc[:-1] - peers).max() >= 5.0:
            self.seen_s = course.t_s


@dataclass(frozen=True)
class Outcome:
    """Of one course; times in seconds since the beginning, NaN: never."""

    slow: bool
    heated: bool
    cells_each: int
    sensor_s: float
    cell_s: float
    seen_s: float
    collapse_s: float
    first_s: dict[str, float]
    before: dict[str, bool]
    """What had spoken before anything was wrong."""


def draw_sensors(rng: np.random.Generator) -> Sensors:
    """Draw what the sensors are like."""
    return Sensors(
        noise_k=float(rng.choice((0.05, 0.2, 0.5))),
        quantum_k=float(rng.choice((0.1, 0.5, 1.0))),
        refresh_s=float(rng.choice((0.0, 0.5, 1.0))),
        lost=float(rng.choice((0.0, 0.02, 0.1))),
        noise_v=float(rng.choice((0.0005, 0.002, 0.005))),
    )


def run_course(seed: int) -> Outcome | None:
    """Run one runaway; None: the cell did not run away."""
    rng = np.random.default_rng([1, seed])
    slow = bool(rng.random() < 0.5)
    cells_each = int(rng.choice((1, 2, 3, 6, 12)))
    pack = pack_file(48, cells_each, scan_period_s=float(rng.choice((0.1, 0.25, 0.5), p=(0.3, 0.3, 0.4))))
    rate = float(np.exp(rng.uniform(*np.log((0.05, 0.2) if slow else (0.2, 5.0)))))
    # it must lose its heat slowly enough to run away
    insulated = float(rng.uniform(3.0, 10.0)) * 130.0 / rate
    kind = KINDS[int(rng.integers(len(KINDS)))]
    kind = replace(
        kind, plate_s=max(float(rng.uniform(300.0, 1500.0)), insulated),
        neighbour_s=max(float(rng.uniform(300.0, 1500.0)), insulated),
    )  # fmt: skip
    runaway = Runaway(
        cell=int(rng.integers(48)), at_s=float(rng.uniform(120.0, 180.0)), short_k_per_s=rate,
        ramp_s=float(rng.uniform(1.0, 120.0)), heated=bool(rng.random() < 0.3),
        separator_degc=float(rng.uniform(120.0, 150.0)), dip_s=float(rng.choice((0.0, 0.5, 1.0, 5.0))),
        dip_share=float(rng.uniform(0.05, 0.5)), collapse_degc=float(rng.uniform(170.0, 220.0)),
    )  # fmt: skip
    course = PackCourse(
        pack, seed=seed, kind=kind, sensors=draw_sensors(rng), soc=float(rng.uniform(0.4, 0.9)),
        runaway=runaway,
        start_degc=float(rng.uniform(0.0, 35.0)),
    )  # fmt: skip
    day = HealthyDay(course, str(rng.choice(("rest", "drive", "cold_charge"))), c_rate=1.0)
    watch, now = RunawayWatch(PackFacts(pack)), circumstances()
    bare, fox, truth = BareRule(pack), FoxLimits(pack), Criterion(course, pack)
    first, before = dict.fromkeys(_DETECTORS, math.nan), dict.fromkeys(_DETECTORS, False)
    dt_s, collapse_s = pack.measurement.scan_period_s, math.nan
    for m in scans(course, _LONGEST_S, dt_s, day):
        read = watch.step(m, now, dt_s)
        truth.step(dt_s)
        count = read["runaway_indicators"].value
        hot, apart = fox.step(m.temperatures_degc, dt_s)
        rule = bare.step(course.t_s, m.cell_voltages_v, m.temperatures_degc, dt_s)
        for name, now_so in zip(
            _DETECTORS,
            (count > 0, count > 1, read["runaway_confirmed"].present, rule, hot, apart),
            strict=True,
        ):
            if now_so and math.isnan(first[name]):
                if course.t_s < runaway.at_s:
                    before[name] = True
                else:
                    first[name] = course.t_s
        if runaway.collapsed and math.isnan(collapse_s):
            collapse_s = course.t_s
        if course.t_s > collapse_s + _AFTER_S:
            break
    if math.isnan(truth.cell_s):
        return None
    return Outcome(
        slow,
        runaway.heated,
        cells_each,
        truth.sensor_s,
        truth.cell_s,
        truth.seen_s,
        collapse_s,
        first,
        before,
    )


def run_healthy(seed: int) -> tuple[float, dict[str, int]]:
    """Run healthy hours; give cell-hours and how often each detector spoke."""
    rng = np.random.default_rng([2, seed])
    scan_s, hours = (0.1, 0.25) if seed % 4 == 0 else (1.0, 2.0)
    cells, cells_each, strings = 960, int(rng.choice((2, 3, 6, 12))), 10
    pack = pack_file(cells, cells_each, strings=strings, scan_period_s=scan_s)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    kind = replace(kind, plate_s=float(rng.uniform(300.0, 3000.0)))
    course = PackCourse(
        pack, seed=seed, kind=kind, sensors=draw_sensors(rng), soc=0.8, start_degc=float(rng.uniform(-10.0,
        35.0)),
        spread=float(rng.uniform(0.02, 0.08)), weak=(int(rng.integers(cells)), float(rng.uniform(1.2, 1.8))),
    )  # fmt: skip
    if rng.random() < 0.3:
        course.sensors = replace(course.sensors, loose=int(rng.integers(cells // cells_each)))
    day = HealthyDay(course, "mixed", c_rate=float(rng.uniform(1.0, 4.0)))
    watch, now = RunawayWatch(PackFacts(pack)), circumstances(strings)
    bare, fox = BareRule(pack), FoxLimits(pack)
    spoke, was = dict.fromkeys(_DETECTORS, 0), dict.fromkeys(_DETECTORS, False)
    for m in scans(course, 3600.0 * hours, scan_s, day):
        read = watch.step(m, now, scan_s)
        count = read["runaway_indicators"].value
        rule = bare.step(course.t_s, m.cell_voltages_v, m.temperatures_degc, scan_s)
        present = (
            count > 0,
            count > 1,
            bool(read["runaway_confirmed"].present),
            rule,
            *fox.step(m.temperatures_degc, scan_s),
        )
        for name, now_so in zip(_DETECTORS, present, strict=True):
            spoke[name] += now_so and not was[name]
            was[name] = now_so
    return cells * hours, spoke


def percentiles(values: list[float]) -> str:
    """Give median, 99th percentile and maximum."""
    if not values:
        return "      –       –       –"
    return " ".join(f"{x:7.1f}" for x in (np.median(values), np.percentile(values, 99), max(values)))


def print_courses(outcomes: list[Outcome]) -> None:
    """Print delays after the criterion, and leads before it."""
    seen = [o for o in outcomes if not math.isnan(o.sensor_s)]
    print(f"{len(outcomes)} runaways; the criterion was met at a sensor in {len(seen)}, at the cell in all.")
    print("\nDelay after the criterion at the first sensor [s]; negative: before it")
    print(f"{'':16}{'p50':>8}{'p99':>8}{'max':>8}{'missed':>8}{'> 5 s':>8}")
    for name in _DETECTORS:
        delays = [o.first_s[name] - o.sensor_s for o in seen if not math.isnan(o.first_s[name])]
        late = sum(delay > 5.0 for delay in delays)
        print(f"{name:16} {percentiles(delays)} {len(seen) - len(delays):7d} {late:7d}")
    hidden = [o for o in outcomes if math.isnan(o.sensor_s)]
    print(f"\nDelay after the criterion at the cell [s], where no sensor met it ({len(hidden)})")
    for name in _DETECTORS:
        delays = [o.first_s[name] - o.cell_s for o in hidden if not math.isnan(o.first_s[name])]
        print(f"{name:16} {percentiles(delays)} {len(hidden) - len(delays):7d}")
    slow = [o for o in outcomes if o.slow and o.cell_s - o.seen_s >= 600.0]
    print(
        "\nSlow ramps that a sensor showed (5 K above its peers) 10 min before the criterion at the cell: "
        f"{len(slow)}"
    )
    print(f"{'':16}{'at 10 min before':>18}{'median lead [min]':>19}")
    for name in _DETECTORS:
        leads = [(o.cell_s - o.first_s[name]) / 60.0 for o in slow if not math.isnan(o.first_s[name])]
        early = sum(lead >= 10.0 for lead in leads)
        print(f"{name:16}{early:>12d} of {len(slow):<3d}{np.median(leads) if leads else math.nan:>15.1f}")
    wrong = {name: sum(o.before[name] for o in outcomes) for name in _DETECTORS}
    print(
        f"\nSpoke before anything was wrong: {', '.join(f'{name} {count}' for name, count in wrong.items())}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--courses", type=int, default=300)
    parser.add_argument("--cell-hours", type=float, default=100_000.0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    started = time.monotonic()
    with ProcessPoolExecutor(asked.processes) as pool:
        outcomes = [o for o in pool.map(run_course, range(asked.courses)) if o is not None]
        print_courses(outcomes)
        cell_hours, spoke, seed = 0.0, dict.fromkeys(_DETECTORS, 0), 0
        while cell_hours < asked.cell_hours:
            for hours, counts in pool.map(run_healthy, range(seed, seed + 16)):
                cell_hours += hours
                spoke = {name: spoke[name] + counts[name] for name in _DETECTORS}
            seed += 16
    print(f"\nHealthy: {cell_hours:.0f} cell-hours, three of ten packs with a loose sensor")
    print("Spoke: " + ", ".join(f"{name} {count}" for name, count in spoke.items()))
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
