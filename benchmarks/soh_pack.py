"""State of health of a 96-cell pack through 60 days of driving: capacity of every cell from estimated SoC.

The cells are those of the digital twin (its own physics, its own tables), aged and spread; the sensors have
noise, steps, offsets and a wrong gain; estimators see scans only and begin with the rated capacity. Time is
not real: steps are 1 s while driving, 20 s while charging, 60 s at rest, each given as one scan.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from soh_report.page import printed_to

from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_config
from openbms_core.types import PackMeasurement, StateOfCharge, Validity
from openbms_estimation.soc.estimate import SocSample
from openbms_estimation.soc.pack_estimator import PackSocEstimator
from openbms_estimation.soh.pack_estimator import PackSohEstimator
from openbms_estimation.soh.resistance import REFERENCE_DEGC
from openbms_sim.plant.cell import NMC_18650, CellBank, Spread

FloatArray = NDArray[np.float64]

COMMAND = ".venv/bin/openbms-env python benchmarks/soh_pack.py"

CELLS, PARALLEL = 96, 18
RATED_AH = NMC_18650.capacity_ah * PARALLEL
DRIVE_S, CHARGE_S, REST_S = 1.0, 20.0, 60.0
_HEAT_J_PER_K, _LOSS_W_PER_K = 44.5 * PARALLEL, 0.05 * PARALLEL


def pack_50_ah() -> LoadedPack:
    """Give the demonstration pack with 18 cells in parallel."""
    pack = load_pack(find_config("packs", "demo_96s_nmc"))
    topology = pack.file.topology.model_copy(update={"cells_in_parallel": PARALLEL})
    return replace(pack, file=pack.file.model_copy(update={"topology": topology}))


class DrivenPack:
    """An aged pack, its sensors and its driver."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 61])
        scale = 1.0 / PARALLEL
        parameters = replace(
            NMC_18650,
            capacity_ah=RATED_AH * rng.uniform(0.82, 0.98),
            r0_ohm=NMC_18650.r0_ohm * scale * rng.uniform(1.0, 1.6),
            r1_ohm=NMC_18650.r1_ohm * scale,
            r2_ohm=NMC_18650.r2_ohm * scale,
            self_discharge_ohm=NMC_18650.self_discharge_ohm * scale,
        )
        self.cells = CellBank(CELLS, 0.8, seed, Spread(0.025, 0.08, 0.006, 0.2), parameters)
        weak = int(rng.integers(CELLS))
        self.cells.capacity_ah[weak] = 0.97 * self.cells.capacity_ah.min()
        self.now_s, self.scan, self.degc = 1.0e9, 0, np.full(CELLS, 20.0)
        self.fade_per_day = rng.uniform(0.5e-4, 3e-4)
        self.noise_v, self.bias_v = 0.0015, rng.normal(0.0, 0.0015, CELLS)
        self.offset_a = float(rng.choice([-1.0, 1.0])) * RATED_AH / 500.0
        self.gain, self.noise_a = 1.0 + rng.normal(0.0, 0.003), 0.1
        self.outside_degc = rng.uniform(5.0, 25.0)

    def reference_resistance_ohm(self) -> FloatArray:
        """R0 of each cell at 25 °C and half charge [Ω]."""
        p = self.cells.parameters
        return p.r0_ohm * self.cells.resistance_factor * float(np.interp(0.5, p.shape_soc, p.r0_shape))

    def ten_second_resistance_ohm(self) -> FloatArray:
        """Voltage over current after 10 s of each cell at 25 °C and half charge [Ω]."""
        p = self.cells.parameters
        pairs = sum(
            r * (1.0 - math.exp(-10.0 / tau)) for r, tau in ((p.r1_ohm, p.tau1_s), (p.r2_ohm, p.tau2_s))
        )
        shape = float(np.interp(0.5, p.shape_soc, p.rc_shape))
        return self.reference_resistance_ohm() + pairs * shape * self.cells.resistance_factor

    def days(self, days: int) -> Iterator[PackMeasurement]:
        """Drive to work and home, rest, charge at night on most days."""
        rng = self.rng
        for _ in range(days):
            yield from self._rest(rng.uniform(0.2, 1.0) * 3600.0)
            for _ in range(2):
                yield from self._drive(rng.uniform(0.3, 0.9) * 3600.0)
                yield from self._rest(rng.uniform(1.0, 6.0) * 3600.0)
            low = float(self.cells.soc.min())
            if low < 0.5 or rng.random() < 0.5:
                target = 0.999 if rng.random() < 0.4 else rng.uniform(0.75, 0.95)
                yield from self._charge(target, rng.uniform(0.12, 0.3) * RATED_AH)
            yield from self._rest(rng.uniform(3.0, 6.0) * 3600.0)
            self.cells.capacity_ah *= 1.0 - self.fade_per_day

    def _drive(self, duration_s: float) -> Iterator[PackMeasurement]:
        level, held = 0.0, 0
        wanted = 0.0
        for _ in range(int(duration_s / DRIVE_S)):
            if float(self.cells.soc.min()) < 0.10:
                return
            if held == 0:
                level = 0.7 * level + 0.7 * self.rng.standard_normal()
                wanted = float(np.clip(-RATED_AH * (0.4 + 0.6 * level), -2.5 * RATED_AH, 0.6 * RATED_AH))
                if self.rng.random() < 0.15 or (wanted > 0.0 and float(self.cells.soc.max()) > 0.93):
                    wanted = 0.0
                held = int(self.rng.integers(2, 15))
            held -= 1
            yield self._step(wanted, DRIVE_S, closed=True)

    def _charge(self, target: float, current_a: float) -> Iterator[PackMeasurement]:
        while float(self.cells.soc.max()) < target and current_a > 0.03 * RATED_AH:
            top = self.cells.emf_v() + current_a * self.cells.r0_ohm(self.degc)
            if float(top.max()) > 4.195:
                current_a *= 0.9
            yield self._step(current_a, CHARGE_S, closed=True)

    def _rest(self, duration_s: float) -> Iterator[PackMeasurement]:
        for _ in range(int(duration_s / REST_S)):
            yield self._step(0.0, REST_S, closed=False)

    def _step(self, current_a: float, dt_s: float, *, closed: bool) -> PackMeasurement:
        rng = self.rng
        self.now_s += dt_s
        self.scan += 1
        self.cells.step(np.full(CELLS, current_a), self.degc, dt_s)
        voltage = self.cells.emf_v() + current_a * self.cells.r0_ohm(self.degc)
        loss = self.cells.heat_w - (self.degc - self.outside_degc) * _LOSS_W_PER_K
        self.degc = self.degc + loss * dt_s / _HEAT_J_PER_K
        shown = voltage + self.bias_v + rng.normal(0.0, self.noise_v, CELLS)
        measured = current_a * self.gain + self.offset_a + rng.normal(0.0, self.noise_a)
        m = PackMeasurement.empty(
            CELLS, 43, 1, scan_number=self.scan, stamp_s=self.now_s, scan_duration_s=dt_s
        )
        m.cell_voltages_v[:] = np.round(shown, 3)
        m.cell_voltage_validity[:] = Validity.VALID
        m.temperatures_degc[:32] = self.degc.reshape(32, 3).mean(axis=1) + rng.normal(0.0, 0.3, 32)
        m.string_currents_a[:] = measured
        m.string_charge_increments_ah[:] = measured * dt_s / 3600.0
        m.contactor_feedback[:] = (1, 1, 0) if closed else (0, 0, 0)
        return m


class CellFilter:
    """The product's filter of the cells, without the figures of the pack, which cost more than it."""

    def __init__(self, pack: LoadedPack) -> None:
        whole = PackSocEstimator(pack)
        self._filter, self._layout, self._last_s = whole.cells, whole.layout, math.nan

    def step(self, m: PackMeasurement) -> StateOfCharge:
        """Give the state of charge of every cell."""
        dt_s = m.stamp_s - self._last_s if math.isfinite(self._last_s) else 0.0
        self._last_s = m.stamp_s
        found = self._filter.step(
            SocSample(
                dt_s=dt_s,
                current_a=self._layout.per_cell(m.string_currents_a),
                voltage_v=m.cell_voltages_v,
                temperature_degc=self._layout.temperature_degc(m),
                charge_increment_ah=self._layout.per_cell(m.string_charge_increments_ah),
            )
        )
        unknown = dict.fromkeys((f.name for f in fields(StateOfCharge)), math.nan)
        return StateOfCharge(
            **unknown
            | {
                "stamp_s": m.stamp_s,
                "scan_number": m.scan_number,
                "soc": float(found.soc.mean()),
                "cell_soc": found.soc,
                "cell_soc_std": found.soc_std,
            }
        )


def main() -> None:
    """Drive packs and print the errors of their state of health."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packs", type=int, default=1)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write what is printed to this page too")
    options = parser.parse_args()
    with printed_to(options.output, COMMAND):
        judge(options)


def judge(options: argparse.Namespace) -> None:
    """Run and print."""
    pack = pack_50_ah()
    errors, covered, named = [], [], 0
    for seed in range(options.seed, options.seed + options.packs):
        began = time.process_time()
        driven, soc, soh = DrivenPack(seed), CellFilter(pack), PackSohEstimator(pack)
        spent = scans = 0
        estimate: StateOfCharge | None = None
        for m in driven.days(options.days):
            estimate = soc.step(m)
            before = time.process_time_ns()
            soh.step(m, estimate)
            spent += time.process_time_ns() - before
            scans += 1
        found = soh.result()
        assert found is not None and estimate is not None
        true = driven.cells.capacity_ah
        error = found.cell_capacity_ah / true - 1.0
        rated_error = RATED_AH / true - 1.0
        inside = np.abs(found.cell_capacity_ah - true) <= 1.96 * found.cell_capacity_std_ah
        weakest = int(np.argmin(true))
        r0 = found.cell_resistance_ohm / driven.reference_resistance_ohm() - 1.0
        r10 = found.cell_resistance_10s_ohm / driven.ten_second_resistance_ohm() - 1.0
        errors.append(error)
        covered.append(inside)
        named += found.weakest_cell == weakest
        print(
            f"pack {seed}: {options.days} days, {scans} scans, {found.equivalent_full_cycles:.1f} full cycles"
        )
        print(
            f"  capacity, {CELLS} cells: true {true.min():.2f} to {true.max():.2f} Ah (rated "
            f"{RATED_AH:.2f}); RMSE {rms(error):.2f} %, largest {100 * np.abs(error).max():.2f} %, "
            f"mean {100 * error.mean():+.2f} % (rated kept: RMSE {rms(rated_error):.2f} %)"
        )
        print(
            f"  95 % interval covers {100 * inside.mean():.0f} % of the cells, mean width "
            f"{100 * np.mean(3.92 * found.cell_capacity_std_ah / true):.2f} %; pairs per cell "
            f"{found.cell_capacity_pairs.mean():.1f}"
        )
        print(
            f"  weakest cell {weakest}, named {found.weakest_cell} "
            f"(probability {found.weakest_probability:.2f}); SoH {found.soh:.3f} ± "
            f"{1.96 * found.soh_std:.3f}, true {true.min() / RATED_AH:.3f}"
        )
        z = driven.cells.soc
        now = float((z * true).min() + ((1 - z) * true).min())
        print(
            f"  usable now {found.usable_capacity_now_ah:.2f} Ah (true {now:.2f}), after balancing "
            f"{found.usable_capacity_balanced_ah:.2f} Ah (true {true.min():.2f})"
        )
        print(
            f"  R0 at {REFERENCE_DEGC:.0f} °C and 50 %: RMSE {rms(r0):.1f} %, "
            f"mean {100 * np.nanmean(r0):+.1f} %, over 10 s: RMSE {rms(r10):.1f} %, "
            f"mean {100 * np.nanmean(r10):+.1f} %; "
            f"SoC error at the end {100 * rms_of(estimate.cell_soc - np.clip(z, 0, 1)):.2f} %; "
            f"{spent / scans / 1000:.0f} us per scan, {time.process_time() - began:.0f} s in all"
        )
    every = np.concatenate(errors)
    print(
        f"all: RMSE {rms(every):.2f} %, largest {100 * np.abs(every).max():.2f} %, interval covers "
        f"{100 * np.concatenate(covered).mean():.1f} %, weakest cell named in {named} of {options.packs}"
    )


def rms_of(values: FloatArray) -> float:
    """Root of the mean square."""
    return math.sqrt(float(np.nanmean(values**2)))


def rms(values: FloatArray) -> float:
    """Root of the mean square, in per cent."""
    return 100.0 * rms_of(values)


if __name__ == "__main__":
    main()
