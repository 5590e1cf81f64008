"""State of health of a pack: which cell has lost what, also over a restart, and what it does not believe."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from openbms_core.pack import load_pack
from openbms_core.resources import find_config
from openbms_core.types import PackMeasurement, StateOfCharge, Validity
from openbms_estimation.soh.pack_estimator import METHOD, QUALITY_GOOD, QUALITY_RATED, PackSohEstimator

SHARE = np.array([0.95, 0.85, 0.90, 0.92])
DT_S = 60.0


def pack_of_four(folder: Path, parallel: int = 18):
    pack = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    pack["topology"] = {
        "strings": 1,
        "cells_in_series": 4,
        "cells_in_parallel": parallel,
        "temperature_sensors": [{"name": "cell_{i}", "location": "cell", "count": 2, "cells_each": 2}],
    }
    pack["device"] |= {"commands": [], "signals": [{"to": "cell_voltage_v", "message": "M", "signal": "S"}]}
    pack["contactors"]["authority"] = "none"
    path = folder / "four.yaml"
    path.write_text(yaml.safe_dump(pack), encoding="utf-8")
    return load_pack(path)


class Life:
    """Four cells of the estimator's own model (the benchmark has the twin's), and sensors with errors."""

    def __init__(self, estimator: PackSohEstimator, *, offset_a: float = 0.0, seed: int = 0) -> None:
        self.model, self.rated = estimator.model, estimator.rated_cell_ah
        self.capacity = SHARE * self.rated
        self.z, self.branch = np.full(4, 0.9), np.ones(4)
        self.offset_a, self.rng = offset_a, np.random.default_rng(seed)
        self.now_s, self.number = 1.0e6, 0

    def scan(self, current_a: float) -> tuple[PackMeasurement, StateOfCharge]:
        self.now_s += DT_S
        self.number += 1
        moved = current_a * DT_S / 3600.0 / self.capacity
        self.z = self.z + moved
        self.branch = np.clip(self.branch + moved / self.model.hysteresis_soc, -1.0, 1.0)
        drop = current_a / 18.0 * self.model.resistance(0.5, 25.0)
        m = PackMeasurement.empty(4, 2, 1, scan_number=self.number, stamp_s=self.now_s)
        m.cell_voltages_v[:] = (
            self.model.ocv(self.z, 25.0, self.branch) + drop + 0.001 * self.rng.normal(size=4)
        )
        m.temperatures_degc[:] = 25.0
        m.string_currents_a[:] = current_a + self.offset_a
        m.string_charge_increments_ah[:] = (current_a + self.offset_a) * DT_S / 3600.0
        m.string_charge_counter_validity[:] = Validity.NOT_FITTED
        m.contactor_feedback[:] = (0, 0, 0) if current_a == 0.0 else (1, 1, 0)
        unknown = dict.fromkeys((f.name for f in fields(StateOfCharge)), math.nan)
        soc = {"stamp_s": self.now_s, "scan_number": self.number, "soc": float(self.z.min())}
        return m, StateOfCharge(
            **unknown | soc | {"cell_soc": self.z + 0.02, "cell_soc_std": np.full(4, 0.03)}
        )

    def day(self, estimator: PackSohEstimator, low: float = 0.3) -> None:
        def run(current_a: float, until) -> None:
            while not until():
                estimator.step(*self.scan(current_a))

        def rest(hours: float) -> None:
            for _ in range(int(hours * 3600.0 / DT_S)):
                estimator.step(*self.scan(0.0))

        rest(1.0)
        run(-0.4 * self.rated, lambda: self.z.min() < low)
        rest(1.0)
        run(0.3 * self.rated, lambda: self.z.max() > 0.9)


@pytest.fixture
def pack(tmp_path: Path):
    return pack_of_four(tmp_path)


def test_each_cell_has_its_capacity_after_some_days(pack) -> None:
    estimator = PackSohEstimator(pack)
    life = Life(estimator, offset_a=0.1)
    for _ in range(8):
        life.day(estimator)
    found = estimator.result()
    assert found is not None and found.quality == QUALITY_GOOD and found.quality_reason == ""
    error = found.cell_capacity_ah / life.capacity - 1.0
    assert np.abs(error).max() < 0.02
    assert (np.abs(error) * life.capacity < 2.6 * found.cell_capacity_std_ah).all()
    assert found.weakest_cell == 1 and found.weakest_probability > 0.8
    assert found.soh == pytest.approx(0.85, abs=0.02) and (found.cell_capacity_pairs >= 10).all()
    usable = (life.z * life.capacity).min() + ((1 - life.z) * life.capacity).min()
    assert found.usable_capacity_now_ah == pytest.approx(usable, rel=0.04)
    assert found.usable_capacity_now_ah <= found.usable_capacity_balanced_ah + 1e-9
    assert found.equivalent_full_cycles == pytest.approx(8 * 0.55, rel=0.15)


def test_before_a_pair_the_capacity_is_the_rated_one_and_says_so(pack) -> None:
    estimator = PackSohEstimator(pack)
    assert estimator.result() is None
    life = Life(estimator)
    for _ in range(5):
        estimator.step(*life.scan(0.0))
    found = estimator.result()
    assert found is not None and found.quality == QUALITY_RATED and "rated" in found.quality_reason
    np.testing.assert_allclose(found.cell_capacity_ah, estimator.rated_cell_ah)
    assert (found.cell_capacity_std_ah > 0.04 * estimator.rated_cell_ah).all()
    assert np.isnan(found.cell_resistance_ohm).all()
    assert found.weakest_cell == -1 and math.isnan(found.weakest_probability)


def test_small_changes_teach_nothing(pack) -> None:
    estimator = PackSohEstimator(pack)
    life = Life(estimator)
    for _ in range(3):
        life.day(estimator, low=0.75)
    assert estimator.pairs_taken == 0


def test_an_anchor_that_the_filter_contradicts_is_none(pack) -> None:
    estimator = PackSohEstimator(pack)
    life = Life(estimator)
    for hours, current in ((1.0, 0.0), (1.5, -0.35 * life.rated), (1.0, 0.0)):
        for _ in range(int(hours * 3600 / DT_S)):
            m, soc = life.scan(current)
            soc.cell_soc = np.where(np.arange(4) == 2, soc.cell_soc - 0.5, soc.cell_soc)
            estimator.step(m, soc)
    found = estimator.result()
    assert found is not None and found.cell_capacity_pairs[2] == 0 and found.cell_capacity_pairs[0] >= 1


def test_charge_that_was_not_measured_makes_no_pair(pack) -> None:
    estimator = PackSohEstimator(pack)
    life = Life(estimator)
    for hours, current in ((1.0, 0.0), (1.5, -0.35 * life.rated), (1.0, 0.0)):
        for k in range(int(hours * 3600 / DT_S)):
            m, soc = life.scan(current)
            if current and k == 20:
                m.string_currents_a[:] = m.string_charge_increments_ah[:] = np.nan
            estimator.step(m, soc)
    assert estimator.pairs_taken == 0


def test_a_restart_goes_on_and_the_night_was_a_rest(pack) -> None:
    whole, first = PackSohEstimator(pack), PackSohEstimator(pack)
    life = Life(first)
    for _ in range(3):
        life.day(first)
    for _ in range(60):
        first.step(*life.scan(0.0))
    while life.z.min() > 0.35:
        first.step(*life.scan(-0.4 * life.rated))
    for _ in range(3):
        first.step(*life.scan(0.0))
    before = first.result()
    stored = first.stored(orderly=True)
    assert before is not None and stored is not None and stored.method == METHOD and stored.contactors_open
    life.now_s += 6 * 3600.0
    life.number = 0
    m, soc = life.scan(0.0)
    resumed, text = whole.resume(stored, m)
    assert resumed and "contactors were open" in text
    whole.step(m, soc)
    after = whole.result()
    assert after is not None
    assert after.cell_capacity_pairs.tolist() == [n + 1 for n in before.cell_capacity_pairs.tolist()]
    assert after.charge_out_ah == pytest.approx(before.charge_out_ah)
    assert np.abs(after.cell_capacity_ah / life.capacity - 1.0).max() < 0.03


def test_a_stored_estimate_that_does_not_fit_is_refused_and_changes_nothing(pack) -> None:
    first = PackSohEstimator(pack)
    life = Life(first)
    life.day(first)
    stored = first.stored(orderly=True)
    assert stored is not None
    stored.arrays["sums"] = stored.arrays["sums"][:, :2]
    second = PackSohEstimator(pack)
    m, _ = life.scan(0.0)
    resumed, text = second.resume(stored, m)
    assert not resumed and "does not fit" in text
    assert second.usage.discharged_ah == 0.0
