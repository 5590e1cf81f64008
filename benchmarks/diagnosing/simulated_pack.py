"""A pack in accelerated time: the twin's cells, days of driving, charging and rest, real sensors.

Cells are those of the digital twin (its own physics); temperatures, sensors, balancing and use are simple and
fast here, since a million cell-hours are wanted. Each step is given to the estimators as one scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_config
from openbms_core.types import UNKNOWN, PackMeasurement, Validity
from openbms_sim.plant.cell import NMC_18650, CellBank, Spread

__all__ = ["CELLS", "FAULTS", "PARALLEL", "Fault", "SimulatedPack", "pack_like_the_demo"]

FloatArray = NDArray[np.float64]

PARALLEL = 18
CELLS = 96
CELLS_EACH = 3
"""Cells of each temperature sensor."""
BLEED_OHM = 33.0
DRIVE_S, CHARGE_S, RELAX_S, REST_S = 20.0, 60.0, 120.0, 480.0
"""Steps while driving, charging, in the first half hour of a rest and later [s]."""
FAULTS = (
    "internal_short",
    "connection_resistance",
    "resistance_growth",
    "capacity_loss",
    "voltage_sensor",
    "current_sensor",
    "temperature_sensor",
    "open_wire",
)
_PLAUSIBLE_V = 0.1
_HEAT_J_PER_K = 44.5 * PARALLEL
_TO_COOLANT_W_PER_K = 0.04 * PARALLEL
_NEIGHBOUR_W_PER_K = 0.08 * PARALLEL


def pack_like_the_demo(cells: int, sensors: int, parallel: int = PARALLEL) -> LoadedPack:
    """Give the demonstration pack with another number of cells and sensors at them.

    Parameters
    ----------
    cells, sensors : int
        ``cells`` is a multiple of ``sensors``.
    parallel : int
        18 make 50 Ah.
    """
    pack = load_pack(find_config("packs", "demo_96s_nmc"))
    topology = pack.file.topology
    at_cells = topology.temperature_sensors[0].model_copy(
        update={"count": sensors, "cells_each": cells // sensors}
    )
    topology = topology.model_copy(
        update={
            "cells_in_series": cells,
            "cells_in_parallel": parallel,
            "modules": (),
            "temperature_sensors": (at_cells,),
        }
    )
    return replace(pack, file=pack.file.model_copy(update={"topology": topology}))


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where, how much, when.

    ``size`` is in Ω (short, connection), relative (growth, loss, gain), V (voltage sensor, wire), A (current
    offset) or K (temperature); ``kind`` tells variants apart (``gain``, ``stuck``).
    """

    name: str
    place: int
    size: float
    onset_s: float
    ramp_s: float = 0.0
    kind: str = ""

    def share(self, now_s: float) -> float:
        """Give how much of it is there, 0…1."""
        if now_s < self.onset_s:
            return 0.0
        return 1.0 if self.ramp_s <= 0.0 else min(1.0, (now_s - self.onset_s) / self.ramp_s)

    @classmethod
    def draw(cls, name: str, onset_s: float, rng: np.random.Generator) -> Fault:
        """Draw a fault of this name."""
        sign = float(rng.choice([-1.0, 1.0]))
        cell = int(rng.integers(CELLS))
        if name == "internal_short":
            return cls(name, cell, float(np.exp(rng.uniform(math.log(30), math.log(150)))), onset_s)
        if name == "connection_resistance":
            return cls(name, cell, rng.uniform(0.0002, 0.0006), onset_s, rng.uniform(0.0, 7200.0))
        if name == "resistance_growth":
            return cls(name, cell, rng.uniform(0.25, 0.8), onset_s, rng.uniform(0.0, 43200.0))
        if name == "capacity_loss":
            return cls(name, cell, rng.uniform(0.08, 0.2), onset_s, rng.uniform(0.0, 43200.0))
        if name == "voltage_sensor":
            return cls(name, cell, sign * rng.uniform(0.008, 0.04), onset_s)
        if name == "open_wire":
            return cls(name, int(rng.integers(CELLS - 1)), sign * rng.uniform(0.05, 0.6), onset_s)
        if name == "temperature_sensor":
            if rng.random() < 0.4:
                return cls(name, int(rng.integers(32)), 0.0, onset_s, kind="stuck")
            return cls(name, int(rng.integers(32)), sign * rng.uniform(6.0, 15.0), onset_s)
        if rng.random() < 0.4:
            return cls(name, 0, sign * rng.uniform(0.06, 0.15), onset_s, kind="gain")
        return cls(name, 0, sign * rng.uniform(0.4, 2.0), onset_s)


@dataclass
class SimulatedPack:
    """One pack with its own spread, sensors, climate and user.

    Parameters
    ----------
    seed : int
    fault : Fault, optional
    balancing : bool
        Bleeds at rest, more than a healthy pack needs.
    count : int
        Cells in series.
    """

    seed: int
    fault: Fault | None = None
    balancing: bool = True
    count: int = CELLS
    now_s: float = field(default=1.0e9, init=False)
    scan: int = field(default=0, init=False)
    driven_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.rng = rng = np.random.default_rng([self.seed, 4])
        self.capacity_ah = NMC_18650.capacity_ah * PARALLEL
        scale = 1.0 / PARALLEL
        parameters = replace(
            NMC_18650,
            capacity_ah=self.capacity_ah,
            r0_ohm=NMC_18650.r0_ohm * scale,
            r1_ohm=NMC_18650.r1_ohm * scale,
            r2_ohm=NMC_18650.r2_ohm * scale,
            self_discharge_ohm=NMC_18650.self_discharge_ohm * scale,
        )
        spread = Spread(rng.uniform(0.01, 0.03), rng.uniform(0.10, 0.15), rng.uniform(0.002, 0.012), 0.3)
        self.cells = CellBank(self.count, rng.uniform(0.5, 0.95), self.seed, spread, parameters)
        self._capacity = self.cells.capacity_ah.copy()
        self._resistance = self.cells.resistance_factor.copy()
        self.joint_ohm = np.abs(rng.normal(0.0, 0.02e-3, self.count))
        # the surroundings
        self.climate_degc, self.day_k = rng.uniform(-5.0, 32.0), rng.uniform(2.0, 6.0)
        self.gradient_k = rng.uniform(0.0, 5.0)
        self.degc = np.full(self.count, max(self.climate_degc, 0.0))
        # the sensors
        self.noise_v, self.step_v = rng.uniform(0.0002, 0.001), rng.choice([1e-4, 1e-3, 1.5e-3])
        self.bias_v = rng.uniform(-0.001, 0.001, self.count)
        self.sensor_k, self.step_k = rng.uniform(-0.5, 0.5, self.sensors), rng.choice([0.1, 0.5, 1.0])
        self.offset_a = rng.normal(0.0, self.capacity_ah / 4000.0)
        self.gain = 1.0 + rng.normal(0.0, 0.003)
        self.sum_gain, self.sum_offset_v = 1.0 + rng.normal(0.0, 0.001), rng.normal(0.0, 0.1)
        self.feedback = bool(rng.random() < 0.5)
        self.has_sum = bool(rng.random() < 0.5)
        self.bleed_ohm = BLEED_OHM * rng.uniform(0.98, 1.02, self.count)
        self.bleeding = np.zeros(self.count, bool)
        self._stuck_degc = math.nan
        self._wire = np.zeros(2)
        self._scan = PackMeasurement.empty(
            self.count,
            self.sensors,
            1,
            cell_voltage_validity=np.zeros(self.count, np.uint8),
            string_current_validity=np.array([Validity.VALID], np.uint8),
        )

    @property
    def sensors(self) -> int:
        """Temperature sensors at cells."""
        return self.count // CELLS_EACH

    def go_on(self, other: int, fault: Fault | None) -> None:
        """Go on with other random numbers, and with a fault."""
        self.rng, self.fault = np.random.default_rng([self.seed, 4, other]), fault

    # ---- use ----

    def days(self, days: float) -> Iterator[PackMeasurement]:
        """Let days go by; give each scan."""
        end_s = self.now_s + days * 86400.0
        rng = self.rng
        while self.now_s < end_s:
            for _ in range(int(rng.integers(1, 4))):
                yield from self._rest(rng.uniform(0.3, 5.0) * 3600.0)
                yield from self._drive(rng.uniform(0.4, 1.5) * 3600.0)
            yield from self._rest(rng.uniform(0.2, 3.0) * 3600.0)
            if self._soc() < 0.45 or rng.random() < 0.6:
                yield from self._charge(rng.uniform(0.75, 1.0), rng.uniform(0.12, 0.5) * self.capacity_ah)
            hours = rng.uniform(3.0, 9.0)
            if rng.random() < 0.25:  # the system sleeps
                self._sleep(hours * 3600.0)
            else:
                yield from self._rest(hours * 3600.0)

    def _soc(self) -> float:
        return float(self.cells.soc.min())

    def _drive(self, duration_s: float) -> Iterator[PackMeasurement]:
        rng, level = self.rng, 0.0
        brisk = rng.uniform(0.5, 1.1) * self.capacity_ah
        for _ in range(int(duration_s / DRIVE_S)):
            if self._soc() < 0.12:
                return
            level = 0.75 * level + 0.66 * rng.standard_normal()
            wanted = -brisk * (0.45 + 0.75 * level) if rng.random() > 0.12 else 0.0
            if self._soc() > 0.93:
                wanted = min(wanted, 0.0)
            self.driven_s += DRIVE_S
            yield self._step(float(np.clip(wanted, -3.0 * self.capacity_ah, 0.8 * self.capacity_ah)), DRIVE_S)

    def _charge(self, target: float, current_a: float) -> Iterator[PackMeasurement]:
        for _ in range(2000):
            top_v = float((self.cells.emf_v() + current_a * self.cells.r0_ohm(self.degc)).max())
            if self.degc.min() < 0.0:
                current_a = min(current_a, 0.1 * self.capacity_ah)
            if top_v > 4.19:
                current_a *= 0.85
            if float(self.cells.soc.max()) >= target or current_a < 0.02 * self.capacity_ah:
                return
            yield self._step(current_a, CHARGE_S)

    def _rest(self, duration_s: float) -> Iterator[PackMeasurement]:
        for _ in range(int(min(duration_s, 1800.0) / RELAX_S)):
            yield self._step(0.0, RELAX_S, parked=True)
        if duration_s > 1800.0:
            self._choose_bleeds()
        for _ in range(int(max(duration_s - 1800.0, 0.0) / REST_S)):
            yield self._step(0.0, REST_S, parked=True)
            # as every balancer: until the cell has come down to the others
            self.bleeding &= self.shown_v > self._lowest_v() + 0.003
        self.bleeding[:] = False

    def _sleep(self, duration_s: float) -> None:
        self.bleeding[:] = False
        for _ in range(int(duration_s / 600.0)):
            self._physics(0.0, 600.0)
        self.scan += 1000

    def _choose_bleeds(self) -> None:
        # towards the top, as usual: further down unequal capacities look like unequal charge
        if self._soc() < 0.7:
            return
        plausible = np.abs(self.shown_v - np.median(self.shown_v)) < _PLAUSIBLE_V
        self.bleeding = (self.shown_v > self._lowest_v() + 0.010) & plausible & self.balancing

    def _lowest_v(self) -> float:
        """Lowest voltage that can be true: what cannot be is not balanced, nor towards."""
        plausible = np.abs(self.shown_v - np.median(self.shown_v)) < _PLAUSIBLE_V
        return float(self.shown_v[plausible].min())

    # ---- physics ----

    def _physics(self, current_a: float, dt_s: float) -> FloatArray:
        """Advance by a step; give the voltages between the sense wires."""
        self.now_s += dt_s
        fault, share = self.fault, self.fault.share(self.now_s) if self.fault else 0.0
        joint = self.joint_ohm
        drain = np.where(self.bleeding, 1.0 / self.bleed_ohm, 0.0)
        if fault and share:
            if fault.name == "internal_short":
                drain[fault.place] += share / fault.size
            elif fault.name == "connection_resistance":
                joint = joint.copy()
                joint[fault.place] += share * fault.size
            elif fault.name == "resistance_growth":
                self.cells.resistance_factor[fault.place] = self._resistance[fault.place] * (
                    1.0 + share * fault.size
                )
            elif fault.name == "capacity_loss":
                self.cells.capacity_ah[fault.place] = self._capacity[fault.place] * (1.0 - share * fault.size)
        before = self.cells.emf_v()
        self.cells.step(current_a - before * drain, self.degc, dt_s)
        r0 = self.cells.r0_ohm(self.degc)
        voltage = 0.5 * (before + self.cells.emf_v()) + (current_a - before * drain) * r0 + current_a * joint
        self._warm(dt_s)
        return voltage

    def _warm(self, dt_s: float) -> None:
        day = 2.0 * math.pi * self.now_s / 86400.0
        outside = self.climate_degc + self.day_k * math.sin(day)
        heat = float(self.cells.heat_w.mean())
        coolant = outside + self.gradient_k * np.linspace(-0.5, 0.5, self.count) * min(1.0, heat / 20.0)
        steps = max(1, math.ceil(dt_s / 120.0))
        h = dt_s / steps
        for _ in range(steps):
            between = np.diff(self.degc) * _NEIGHBOUR_W_PER_K
            flow = self.cells.heat_w - (self.degc - coolant) * _TO_COOLANT_W_PER_K
            flow[:-1] += between
            flow[1:] -= between
            self.degc = self.degc + flow * (h / _HEAT_J_PER_K)

    # ---- sensors ----

    def _step(self, current_a: float, dt_s: float, *, parked: bool = False) -> PackMeasurement:
        voltage = self._physics(current_a, dt_s)
        rng, fault = self.rng, self.fault
        share = fault.share(self.now_s) if fault else 0.0
        self.scan += 1
        shown = voltage + self.bias_v + rng.standard_normal(self.count) * self.noise_v
        offset_a, gain = self.offset_a, self.gain
        middle = self.degc.reshape(self.sensors, CELLS_EACH).mean(axis=1)
        felt = middle + self.sensor_k + rng.standard_normal(self.sensors) * 0.05
        if fault and share:
            if fault.name == "voltage_sensor":
                shown[fault.place] += share * fault.size
            elif fault.name == "open_wire":
                # the open input follows its neighbours, and wanders
                self._wire = 0.999 * self._wire + 0.02 * rng.standard_normal(2) * abs(fault.size)
                moved = fault.size + float(np.clip(self._wire[0], -0.3, 0.3)) * abs(fault.size)
                shown[fault.place] += moved
                shown[fault.place + 1] -= moved
            elif fault.name == "current_sensor":
                offset_a += 0.0 if fault.kind else share * fault.size
                gain += share * fault.size if fault.kind else 0.0
            elif fault.name == "temperature_sensor":
                if fault.kind == "stuck":
                    if math.isnan(self._stuck_degc):
                        self._stuck_degc = float(felt[fault.place])
                    felt[fault.place] = self._stuck_degc
                else:
                    felt[fault.place] += share * fault.size
        self.shown_v = shown
        measured_a = current_a * gain + offset_a + rng.standard_normal() * 0.02
        feedback = np.full(3, UNKNOWN, np.uint8)
        if self.feedback:
            feedback[:] = (0, 0, 0) if parked else (1, 1, 0)
        total = voltage.sum() * self.sum_gain + self.sum_offset_v + rng.standard_normal() * 0.02
        return replace(
            self._scan,
            stamp_s=self.now_s,
            scan_number=self.scan,
            scan_duration_s=dt_s,
            cell_voltages_v=np.round(shown / self.step_v) * self.step_v,
            cell_balancing=self.bleeding.astype(np.uint8),
            temperatures_degc=np.round(felt / self.step_k) * self.step_k,
            string_currents_a=np.array([measured_a]),
            string_charge_increments_ah=np.array([measured_a * dt_s / 3600.0]),
            string_voltages_v=np.array([total if self.has_sum else math.nan]),
            contactor_feedback=feedback,
        )
