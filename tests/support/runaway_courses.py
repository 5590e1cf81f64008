"""Courses of healthy packs and of thermal runaways, for tests and benchmarks of the watch over raw values.

Independent of the digital twin: one thermal node a cell with its neighbours and a cooling plate, a lagging
sensor, an
equivalent circuit with one RC pair, and for one cell a growing short and four decomposition reactions. The
kinetics are
those of Hatchard et al. (2001) as Kim et al. used them (J. Power Sources 170 (2007) 476): frequency factor,
activation
energy, heat and content of SEI, anode, cathode and electrolyte. Everything else (temperatures of separator
and collapse,
couplings, lags) is drawn from ranges that are written down here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.readings import Circumstances
from openbms_core.pack import PackFile, load_pack
from openbms_core.types import PackMeasurement, State

__all__ = [
    "CellKind",
    "HealthyDay",
    "PackCourse",
    "Runaway",
    "Sensors",
    "circumstances",
    "pack_file",
    "scan_of",
    "scans",
]

FloatArray = NDArray[np.float64]

GAS_J_PER_MOL_K, KELVIN = 8.314462618, 273.15
VOLUMETRIC_HEAT_J_PER_M3_K = 2.2e6
"""Of a jelly roll: 2200 kg/m³ and 1000 J/(kg K)."""
REACTIONS = np.array(
    # frequency [1/s], activation [J/mol], heat times content [J/m³], what is there at first
    [
        (1.667e15, 1.3508e5, 2.57e5 * 610.4, 0.15),  # SEI
        (2.5e13, 1.3508e5, 1.714e6 * 610.4, 0.75),  # anode
        (6.667e13, 1.396e5, 3.14e5 * 1221.0, 0.96),  # cathode: 1 - 0.04 that has reacted
        (5.14e25, 2.74e5, 1.55e5 * 406.9, 1.0),  # electrolyte
    ]
)
SEI_AT_FIRST = 0.033
"""Dimensionless thickness of the SEI, which slows the anode's reaction down as it grows."""


def pack_file(
    cells: int, cells_each: int, *, strings: int = 1, scan_period_s: float = 0.1, **protection: Any
) -> PackFile:
    """Give the demonstration pack with another topology: so many cells, one sensor at so many of each
    string."""
    data = load_pack("demo_96s_nmc").file.model_dump()
    sensors = cells // cells_each
    data["topology"] = {
        "strings": strings,
        "cells_in_series": cells // strings,
        "temperature_sensors": [
            {"name": "t{i}", "location": "cell", "count": sensors, "cells_each": cells_each}
        ]
        if sensors > 1
        else [{"name": "t", "location": "cell", "cells_each": cells_each}],
    }
    rows = {
        "cell_voltage_v": cells,
        "temperature_degc": sensors,
        "string_current_a": strings,
        "string_voltage_v": strings,
    }
    data["device"]["signals"] = [
        {"to": name, "message": "M", "signal": name + "{i}", "repeat": {"i": (0, count - 1)}}
        for name, count in rows.items()
    ]
    data["device"]["commands"] = []
    data["contactors"]["authority"] = "none"
    data["measurement"]["scan_period_s"] = scan_period_s
    data["protection"] = protection
    return PackFile.model_validate(data)


@dataclass(frozen=True)
class CellKind:
    """What the cells of a course are like."""

    name: str = "nmc"
    capacity_ah: float = 3.0
    heat_j_per_k: float = 45.0
    r0_ohm: float = 0.020
    r1_ohm: float = 0.015
    tau1_s: float = 20.0
    soc: tuple[float, ...] = (-0.05, 0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.1)
    ocv_v: tuple[float, ...] = (1.88, 2.88, 3.09, 3.23, 3.36, 3.50, 3.60, 3.74, 3.89, 4.09, 4.19, 4.6)
    neighbour_s: float = 540.0
    """Time constant to each neighbour."""
    plate_s: float = 450.0
    """Time constant to the cooling plate."""


NMC = CellKind()
LFP = CellKind(
    name="lfp", capacity_ah=2.5, heat_j_per_k=75.0, r0_ohm=0.010, r1_ohm=0.010,
    ocv_v=(1.0, 2.6, 2.95, 3.10, 3.20, 3.26, 3.29, 3.30, 3.33, 3.34, 3.50, 4.2),
)  # fmt: skip
LARGE = CellKind(
    name="large",
    capacity_ah=60.0,
    heat_j_per_k=950.0,
    r0_ohm=0.0009,
    r1_ohm=0.0007,
    neighbour_s=900.0,
    plate_s=900.0,
)
KINDS = (NMC, LFP, LARGE)


@dataclass(frozen=True)
class Sensors:
    """Temperature and voltage sensors of a course.

    ``refresh_s``: time between two new temperature values; 0: every scan. ``lost``: share of scans in which
    the values of
    the scan before are seen again (lost frames).
    """

    lag_s: tuple[float, float] = (5.0, 30.0)
    noise_k: float = 0.2
    quantum_k: float = 0.1
    refresh_s: float = 0.0
    lost: float = 0.0
    loose: int = -1
    """A sensor with a loose contact: it jumps by up to ``jump_k`` and back, on average once in ``jump_s``."""
    jump_k: float = 40.0
    jump_s: float = 5.0
    noise_v: float = 0.001
    quantum_v: float = 0.0001
    string_noise_v: float = 0.2


@dataclass
class Runaway:
    """What happens to one cell.

    ``short_w_per_heat`` is the power of the short, in K/s of its cell: 0.05 is a slow ramp, 1 a fast one.
    ``heated``: the
    heat comes from outside, no short.
    """

    cell: int
    at_s: float
    short_k_per_s: float
    ramp_s: float = 20.0
    heated: bool = False
    separator_degc: float = 130.0
    dip_s: float = 1.0
    dip_share: float = 0.3
    collapse_degc: float = 190.0
    left: FloatArray = field(default_factory=lambda: REACTIONS[:, 3].copy())
    sei: float = SEI_AT_FIRST
    dip_since_s: float | None = None
    collapsed: bool = False

    def power_k_per_s(self, t_s: float) -> float:
        """Heat of the short or heater now, in K/s of the cell."""
        if t_s < self.at_s or (self.collapsed and self.heated):
            return 0.0
        return self.short_k_per_s * min(1.0, (t_s - self.at_s) / self.ramp_s)

    def react(self, degc: float, dt_s: float) -> float:
        """Let the reactions go on at about this temperature; gives the rise by their heat [K]."""
        rise, parts = 0.0, max(1, math.ceil(dt_s / 0.02))
        step = dt_s / parts
        for _ in range(parts):
            kelvin = degc + rise + KELVIN
            rates = REACTIONS[:, 0] * np.exp(-REACTIONS[:, 1] / (GAS_J_PER_MOL_K * kelvin))
            rates[1] *= math.exp(-self.sei / SEI_AT_FIRST)
            rates[2] *= 1.0 - self.left[2]
            before = self.left
            self.left = before * np.exp(-rates * step)
            gone = before - self.left
            self.sei += gone[1]
            rise += float((gone * REACTIONS[:, 2]).sum()) / VOLUMETRIC_HEAT_J_PER_M3_K
        return rise

    def share(self, degc: float, t_s: float) -> float:
        """What is left of the cell's voltage: the separator shrinks, then it is gone."""
        if t_s >= self.at_s and degc >= self.separator_degc and self.dip_since_s is None:
            self.dip_since_s = t_s
        self.collapsed |= degc >= self.collapse_degc
        if self.collapsed:
            return 0.02
        if self.dip_since_s is not None and t_s - self.dip_since_s < self.dip_s:
            return 1.0 - self.dip_share
        return 1.0


class PackCourse:
    """A pack from scan to scan.

    Parameters
    ----------
    pack : PackFile
        With one row of temperature sensors; sensor i lies at one of its cells.
    seed : int
    kind : CellKind
    sensors : Sensors
    soc, start_degc : float
    runaway : Runaway, optional
    spread : float
        Standard deviation of resistances; a tenth of it that of SoC.
    weak : tuple of int and float
        A cell, and what its resistance is multiplied with.

    Attributes
    ----------
    degc, volts, true_sensors_degc : ndarray
        Cells and sensors as they are.
    plate_degc, extra_k_per_s : ndarray, shape (cells,)
        The plate under each cell, and heat from outside (sun, heater); to be set from outside.
    """

    def __init__(
        self,
        pack: PackFile,
        seed: int = 0,
        *,
        kind: CellKind = NMC,
        sensors: Sensors | None = None,
        soc: float = 0.7,
        start_degc: float = 25.0,
        runaway: Runaway | None = None,
        spread: float = 0.05,
        weak: tuple[int, float] | None = None,
    ) -> None:
        rng = self.rng = np.random.default_rng(seed)
        self.kind, self.sensors, self.runaway = kind, sensors or Sensors(), runaway
        cells = pack.topology.cell_count
        self.strings = pack.topology.strings
        self._shape = (pack.topology.strings, pack.topology.cells_in_series)
        self.factor = np.clip(1.0 + spread * rng.standard_normal(cells), 0.5, 2.0)
        if weak is not None:
            self.factor[weak[0]] *= weak[1]
        self.soc = np.clip(soc + 0.1 * spread * rng.standard_normal(cells), 0.0, 1.0)
        self.degc = np.full(cells, float(start_degc))
        self.plate_degc, self.extra_k_per_s = np.full(cells, float(start_degc)), np.zeros(cells)
        self.rc_v = np.zeros(cells)
        self.coupling = np.exp(0.2 * rng.standard_normal(cells)) / kind.plate_s
        self.places = np.array(
            [cells[rng.integers(len(cells))] for _, _, cells in pack.topology.sensors if len(cells)]
        )
        self.lag_s = rng.uniform(*self.sensors.lag_s, len(self.places))
        self.true_sensors_degc = self.degc[self.places].copy()
        self.t_s = 0.0
        self._shown_degc, self._shown_v = np.full(len(self.places), np.nan), np.zeros(cells)
        self._refreshed_s = -math.inf
        self._jump_k = self._jump_until_s = 0.0
        self.volts = np.interp(self.soc, kind.soc, kind.ocv_v)

    def step(self, current_a: FloatArray | float, dt_s: float) -> None:
        """Let a current flow through every string for a time."""
        kind, runaway = self.kind, self.runaway
        self.t_s += dt_s
        through = np.zeros(self._shape) + np.reshape(current_a, (-1, 1))
        inner = through.ravel().copy()
        # Arrhenius, as a power of the distance from 25 °C: twice the resistance 25 K below
        cold = np.exp2(np.clip((25.0 - self.degc) / 25.0, -2.0, 3.0)) * self.factor
        knee = 1.0 + 2.0 * np.clip(0.1 - self.soc, 0.0, 0.1) / 0.1
        r0, r1 = kind.r0_ohm * cold * knee, kind.r1_ohm * cold * knee
        heat = np.zeros_like(self.degc)
        share = 1.0
        if runaway is not None:
            cell = runaway.cell
            power = runaway.power_k_per_s(self.t_s)
            heat[cell] += power
            if not runaway.heated and self.volts[cell] > 0.5:
                inner[cell] -= power * kind.heat_j_per_k / self.volts[cell]
            share = runaway.share(float(self.degc[cell]), self.t_s)
        self.rc_v += (inner * r1 - self.rc_v) * (1.0 - math.exp(-dt_s / kind.tau1_s))
        ocv = np.interp(self.soc, kind.soc, kind.ocv_v)
        self.volts = ocv + inner * r0 + self.rc_v
        self.soc = self.soc + inner * dt_s / 3600.0 / kind.capacity_ah
        heat += np.maximum((self.volts - ocv) * through.ravel(), 0.0) / kind.heat_j_per_k
        if runaway is not None:
            self.volts[runaway.cell] *= share
        flow = np.diff(self.degc) / kind.neighbour_s
        heat[:-1] += flow
        heat[1:] -= flow
        heat += (self.plate_degc - self.degc) * self.coupling + self.extra_k_per_s
        self.degc = self.degc + heat * dt_s
        if runaway is not None and self.t_s >= runaway.at_s:
            self.degc[runaway.cell] += runaway.react(float(self.degc[runaway.cell]), dt_s)
        lag = 1.0 - np.exp(-dt_s / self.lag_s)
        self.true_sensors_degc = self.true_sensors_degc + lag * (
            self.degc[self.places] - self.true_sensors_degc
        )

    def seen_strings_v(self) -> FloatArray:
        """Give the voltage of each string as its own sensor measures it [V]."""
        strings = self.volts.reshape(self._shape).sum(axis=1)
        return np.asarray(strings + self.sensors.string_noise_v * self.rng.standard_normal(len(strings)))

    def seen(self) -> tuple[FloatArray, FloatArray, float]:
        """Give cell voltages [V], sensor temperatures [°C] as they are measured, and the age of the latter
        [s]."""
        s, rng = self.sensors, self.rng
        if s.lost and rng.random() < s.lost:
            return self._shown_v, self._shown_degc, self.t_s - self._refreshed_s
        volts = self.volts + s.noise_v * rng.standard_normal(len(self.volts))
        self._shown_v = np.round(volts / s.quantum_v) * s.quantum_v
        if self.t_s - self._refreshed_s >= s.refresh_s - 1e-6:
            degc = self.true_sensors_degc + s.noise_k * rng.standard_normal(len(self.places))
            if s.loose >= 0:
                if self.t_s >= self._jump_until_s:
                    self._jump_k = 0.0 if self._jump_k else float(rng.uniform(-1.0, 1.0)) * s.jump_k
                    self._jump_until_s = self.t_s + rng.exponential(s.jump_s)
                degc[s.loose] += self._jump_k
            self._shown_degc = np.round(degc / s.quantum_k) * s.quantum_k
            self._refreshed_s = self.t_s
        return self._shown_v, self._shown_degc, self.t_s - self._refreshed_s


def scan_of(
    volts: FloatArray,
    degc: FloatArray,
    *,
    number: int = 0,
    stamp_s: float = 0.0,
    current_a: float = 0.0,
    age_s: float = 0.0,
    strings: int = 1,
    **values: Any,
) -> PackMeasurement:
    """Give a scan; NaN is stale."""
    m = PackMeasurement.empty(len(volts), len(degc), strings, scan_number=number, stamp_s=stamp_s, **values)
    m.cell_voltages_v, m.temperatures_degc = volts, degc
    m.cell_voltage_validity = np.isnan(volts).astype(np.uint8)
    m.temperature_validity = np.isnan(degc).astype(np.uint8)
    m.cell_voltage_ages_s[:] = 0.0
    m.temperature_ages_s[:] = age_s
    m.string_currents_a[:] = current_a
    m.string_current_validity[:] = m.string_voltage_validity[:] = 0
    m.string_voltages_v = volts.reshape(strings, -1).sum(axis=1)
    return m


def circumstances(strings: int = 1, since_switching_s: float = 1e3) -> Circumstances:
    """Give circumstances in which nothing is remarkable."""
    return Circumstances(
        state=State.DRIVE, started=True, command=np.ones(3 * strings, np.uint8),
        command_age_s=np.full(3 * strings, since_switching_s), measurement_age_s=0.0, estimator_age_s=0.0,
        monitor_gap_s=0.0, estimator_fresh=True,
    )  # fmt: skip


@dataclass
class HealthyDay:
    """Load, plate and heat from outside of a healthy pack, from minute to minute.

    ``mode``: drive (accelerates and brakes hard), cold_charge (fast, on a cold plate), heater (uneven), sun
    (on one side),
    rest, mixed (one after the other).
    """

    course: PackCourse
    mode: str = "mixed"
    c_rate: float = 4.0
    current_a: float = 0.0
    _target_a: float = 0.0
    _until_s: float = 0.0
    _phase: str = ""
    _phase_until_s: float = 0.0
    _side: FloatArray = field(default_factory=lambda: np.zeros(0))

    def step(self, dt_s: float) -> float:
        """Go on by one scan; gives the current [A] of each string."""
        course, rng = self.course, self.course.rng
        if course.t_s >= self._phase_until_s:
            modes = (
                ("drive", "cold_charge", "heater", "sun", "rest") if self.mode == "mixed" else (self.mode,)
            )
            self._phase = str(rng.choice(modes))
            self._phase_until_s = course.t_s + rng.uniform(300.0, 1800.0)
            self._enter(self._phase)
        if course.t_s >= self._until_s:
            self._target_a = self._next_target_a()
            self._until_s = course.t_s + (rng.exponential(6.0) if self._phase == "drive" else 60.0)
        # as fast as a drive: the full range in half a second
        most = 2.0 * self.c_rate * course.kind.capacity_ah * dt_s / 0.5
        self.current_a += float(np.clip(self._target_a - self.current_a, -most, most))
        lowest, highest = course.soc.min(), course.soc.max()
        if (self.current_a < 0.0 and lowest < 0.06) or (self.current_a > 0.0 and highest > 0.97):
            self.current_a = 0.0  # a load that obeys
        if lowest < 0.06:
            course.soc += 0.5  # it was charged in the meantime; nobody watched
        course.step(self.current_a, dt_s)
        return self.current_a

    def _enter(self, phase: str) -> None:
        course, rng = self.course, self.course.rng
        cells = len(course.degc)
        course.extra_k_per_s[:] = 0.0
        base = float(np.median(course.degc))
        if phase == "cold_charge":
            # inlet colder than outlet
            course.plate_degc = base - np.linspace(rng.uniform(15.0, 25.0), rng.uniform(3.0, 8.0), cells)
        elif phase == "heater":
            self._side = np.clip(1.0 + 0.3 * rng.standard_normal(cells), 0.2, 2.0)
            course.extra_k_per_s[:] = rng.uniform(0.02, 0.06) * self._side
            course.plate_degc = np.full(cells, min(base, 15.0))
        elif phase == "sun":
            course.extra_k_per_s[: cells // rng.integers(2, 5)] = rng.uniform(0.003, 0.01)
            course.plate_degc = np.full(cells, base)
        else:
            course.plate_degc = np.full(cells, min(base, 30.0))

    def _next_target_a(self) -> float:
        rng, full_a = self.course.rng, self.c_rate * self.course.kind.capacity_ah
        if self._phase == "drive":
            return float(rng.choice((-1.0, -0.6, -0.3, 0.0, 0.4)) * full_a * rng.uniform(0.5, 1.0))
        if self._phase == "cold_charge":
            return 0.5 * full_a
        return float(rng.uniform(-0.3, 0.1) * full_a) if self._phase in ("heater", "sun") else 0.0


def scans(
    course: PackCourse, seconds: float, period_s: float, load: HealthyDay | None = None
) -> Iterator[PackMeasurement]:
    """Give the scans of a course; without ``load`` no current flows."""
    first: PackMeasurement | None = None
    for number in range(round(seconds / period_s)):
        current_a = 0.0
        if load is not None:
            current_a = load.step(period_s)
        else:
            course.step(0.0, period_s)
        volts, degc, age_s = course.seen()
        if first is None:
            first = scan_of(volts, degc, strings=course.strings)
        m = copy.copy(first)
        m.scan_number, m.stamp_s = number, course.t_s
        m.cell_voltages_v, m.temperatures_degc = volts, degc
        m.temperature_ages_s = np.full(len(degc), age_s)
        m.string_currents_a = np.full(course.strings, current_a)
        m.string_voltages_v = course.seen_strings_v()
        yield m
