"""A small pack and scans of it, for the tests of the diagnosis; its cells follow the cell model exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_config
from openbms_core.types import PackMeasurement, StateOfCharge

CELLS, SENSORS = 96, 43


def pack() -> LoadedPack:
    """Load the demonstration pack."""
    return load_pack(find_config("packs", "demo_96s_nmc"))


@dataclass
class Scans:
    """Cells with unequal charge and resistance, driven by hand.

    Faults are plain attributes: set them at any time.
    """

    seed: int = 1
    now_s: float = 1e6
    number: int = 0
    z: float = 0.7
    degc: float = 25.0
    noise_v: float = 0.0003
    bias_v: np.ndarray = field(default_factory=lambda: np.zeros(CELLS))
    joint_ohm: np.ndarray = field(default_factory=lambda: np.zeros(CELLS))
    leak_a: np.ndarray = field(default_factory=lambda: np.zeros(CELLS))
    felt_k: np.ndarray = field(default_factory=lambda: np.zeros(SENSORS))
    offset_a: float = 0.0
    bleeding: np.ndarray = field(default_factory=lambda: np.zeros(CELLS, bool))

    def __post_init__(self) -> None:
        self.model = CellModel.from_file(pack().cell)
        self.rng = np.random.default_rng(self.seed)
        self.apart = 0.004 * self.rng.standard_normal(CELLS)
        self.resistance = 1.0 + 0.05 * self.rng.standard_normal(CELLS)
        self._pairs = np.zeros(2)

    def step(self, current_a: float, dt_s: float = 10.0) -> tuple[PackMeasurement, StateOfCharge]:
        """Let a current flow; give the scan and the state of charge."""
        q = self.model.capacity_ah
        self.now_s, self.number = self.now_s + dt_s, self.number + 1
        before = self.z
        self.z += current_a * dt_s / 3600.0 / q
        drained_a = self.leak_a + np.where(self.bleeding, 3.8 / 33.0, 0.0)
        self.apart -= drained_a * dt_s / 3600.0 / q
        p = self.model.parameters(self.z, self.degc)
        for k, tau in enumerate((float(p.tau1_s), float(p.tau2_s))):
            self._pairs[k] = current_a + (self._pairs[k] - current_a) * math.exp(-dt_s / tau)
        u = float(p.instant_v(current_a)) + p.r1_ohm * self._pairs[0] + p.r2_ohm * self._pairs[1]
        voltage = self.model.ocv(0.5 * (before + self.z) + self.apart, self.degc)
        voltage = voltage + u * self.resistance + self.joint_ohm * current_a
        shown = voltage + self.bias_v + self.noise_v * self.rng.standard_normal(CELLS)
        temperatures = np.full(SENSORS, self.degc) + self.felt_k + 0.05 * self.rng.standard_normal(SENSORS)
        measured_a = current_a + self.offset_a
        scan = PackMeasurement.empty(
            CELLS,
            SENSORS,
            1,
            stamp_s=self.now_s,
            scan_number=self.number,
            scan_duration_s=dt_s,
            cell_voltages_v=shown,
            temperatures_degc=temperatures,
            cell_balancing=self.bleeding.astype(np.uint8),
            string_currents_a=np.array([measured_a]),
            string_charge_increments_ah=np.array([measured_a * dt_s / 3600.0]),
            string_voltages_v=np.array([float(voltage.sum())]),
            contactor_feedback=np.full(3, 255, np.uint8),
        )
        return scan, soc_of(self.z + self.apart, scan)

    def drive(self, hours: float, level_a: float = 3.0) -> list[tuple[PackMeasurement, StateOfCharge]]:
        """Drive and brake about an equal charge."""
        out, a = [], 0.0
        for _ in range(int(hours * 360.0)):
            a = 0.7 * a + 0.7 * self.rng.standard_normal()
            pull = 2.0 * (self.z - 0.6)
            out.append(self.step(level_a * (a - pull)))
        return out

    def rest(self, hours: float) -> list[tuple[PackMeasurement, StateOfCharge]]:
        """Rest."""
        return [self.step(0.0, 120.0) for _ in range(int(hours * 30.0))]


def soc_of(cell_soc: np.ndarray, scan: PackMeasurement, **changes: Any) -> StateOfCharge:
    """Give a state of charge of which only the cells matter."""
    nan = math.nan
    found = StateOfCharge(
        stamp_s=scan.stamp_s,
        scan_number=scan.scan_number,
        soc=float(cell_soc.mean()),
        soc_std=0.01,
        displayed_soc=nan,
        cell_soc=cell_soc,
        cell_soc_std=np.full(len(cell_soc), 0.01),
        string_soc=np.array([nan]),
        string_soc_std=np.array([nan]),
        remaining_charge_ah=nan,
        remaining_charge_std_ah=nan,
        remaining_energy_wh=nan,
        remaining_energy_std_wh=nan,
        current_bias_a=np.array([nan]),
        current_bias_std_a=np.array([nan]),
        voltage_innovation_v=np.full(len(cell_soc), nan),
        method="test",
        quality=2,
        quality_reason="",
    )
    return replace(found, **changes)
