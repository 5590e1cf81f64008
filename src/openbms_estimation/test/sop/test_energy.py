"""Energy to cut-off: against a fine simulation, against what must hold, and from tests of a cell."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.cell import DepletionTable, ThermalProperties, load_cell
from openbms_core.models.ecm import DISCHARGE, CellModel
from openbms_core.pack import load_pack
from openbms_core.types import PackMeasurement
from openbms_estimation.soc.pack_estimator import PackSocEstimator
from openbms_estimation.sop.depletion import FullDischarge, cooling_k_per_w, depletion_table
from openbms_estimation.sop.energy import Cells, Load, RecentLoad, energy_to_cutoff
from openbms_estimation.sop.from_tests import SectionTest, full_discharge, with_test_sections
from openbms_estimation.sop.health import CellHealth
from openbms_estimation.sop.pack_energy import PackEnergy

CELL = load_cell(Path(__file__).parents[1] / "data" / "cell.yaml")
MODEL = CellModel.from_file(CELL)
Q = MODEL.capacity_ah
LOW_V = 2.8


def cells(soc: float | list[float], degc: float = 25.0, std: float = 0.01, **more: object) -> Cells:
    z = np.atleast_1d(np.asarray(soc, float))
    return Cells(z, np.full(len(z), std), np.full(len(z), Q), np.full(len(z), degc), **more)


def fine(soc: float, degc: float, power_w: float) -> float:
    """Energy [Wh] by small steps of time."""
    i1 = i2 = seconds = 0.0
    voltage = float(MODEL.ocv(soc, degc, DISCHARGE))
    while True:
        current = power_w / voltage
        soc -= current / 3600.0 / Q
        p = MODEL.parameters(soc, degc)
        i1 = current + np.exp(-1 / p.tau1_s) * (i1 - current)
        i2 = current + np.exp(-1 / p.tau2_s) * (i2 - current)
        voltage = float(p.ocv_v - p.half_gap_v + p.instant_v(-current) - p.r1_ohm * i1 - p.r2_ohm * i2)
        if voltage < LOW_V:
            return power_w * seconds / 3600.0
        seconds += 1.0


@pytest.mark.parametrize(("soc", "degc", "power"), [(0.9, 25.0, 10.0), (0.5, 0.0, 8.0), (0.7, -10.0, 5.0)])
def test_coarse_steps_agree_with_fine_ones(soc: float, degc: float, power: float) -> None:
    found = energy_to_cutoff(MODEL, cells(soc, degc), Load(power), LOW_V)
    assert found.energy_wh == pytest.approx(fine(soc, degc, power), rel=0.01)
    assert found.duration_s == pytest.approx(found.energy_wh * 3600.0 / power)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 1.0), st.floats(-10.0, 40.0), st.floats(2.0, 15.0), st.floats(0.05, 0.3))
def test_less_soc_more_power_and_peaks_give_less(soc: float, degc: float, power: float, more: float) -> None:
    base = energy_to_cutoff(MODEL, cells(soc, degc), Load(power), LOW_V).energy_wh
    for worse in (
        energy_to_cutoff(MODEL, cells(soc - min(more, soc), degc), Load(power), LOW_V),
        energy_to_cutoff(MODEL, cells(soc, degc), Load(power, 5.0, 3.0 * power), LOW_V),
        energy_to_cutoff(MODEL, cells(soc, degc, resistance_ratio=1.0 + more), Load(power), LOW_V),
    ):
        assert worse.energy_wh <= base * 1.005 + 0.02
    assert 0.0 <= base <= 4.2 * Q * soc


def test_the_weakest_cell_ends_it_and_strings_add_up() -> None:
    weak = energy_to_cutoff(MODEL, cells([0.8, 0.4, 0.8]), Load(30.0), LOW_V)
    assert weak.cell == 1
    alike = energy_to_cutoff(MODEL, cells([0.4, 0.4, 0.4]), Load(30.0), LOW_V)
    assert weak.energy_wh < 1.2 * alike.energy_wh
    one = energy_to_cutoff(MODEL, cells([0.6, 0.6]), Load(15.0), LOW_V)
    two = energy_to_cutoff(MODEL, cells([0.6] * 4, strings=2), Load(30.0), LOW_V)
    assert two.energy_wh == pytest.approx(2.0 * one.energy_wh, rel=1e-6)


def test_parallel_cells_share_the_current() -> None:
    one = energy_to_cutoff(MODEL, cells(0.6), Load(8.0), LOW_V)
    group = Cells(np.array([0.6]), np.array([0.01]), np.array([3 * Q]), np.array([25.0]), parallel=3)
    assert energy_to_cutoff(MODEL, group, Load(24.0), LOW_V).energy_wh == pytest.approx(
        3 * one.energy_wh, rel=1e-6
    )


def test_the_window_ends_it_too() -> None:
    found = energy_to_cutoff(MODEL, cells(0.6), Load(5.0), LOW_V, soc_min=0.3)
    assert found.charge_ah == pytest.approx(0.3 * Q, rel=0.02)


def test_the_interval_grows_with_what_is_not_known() -> None:
    sure, unsure = (
        energy_to_cutoff(MODEL, cells(0.6, std=s), Load(8.0), LOW_V).std_wh for s in (0.002, 0.05)
    )
    assert unsure > 1.5 * sure > 0.0


def test_an_unknown_cell_gives_nothing() -> None:
    assert math.isnan(energy_to_cutoff(MODEL, cells([0.5, math.nan]), Load(8.0), LOW_V).energy_wh)


def test_an_earlier_end_takes_energy() -> None:
    table = DepletionTable(temperature_breakpoints_degc=[25.0], rates_c=[1.0], shift_soc=[[0.1]])
    plain, early = (
        energy_to_cutoff(MODEL, cells(0.8), Load(8.0), LOW_V, depletion=d).charge_ah for d in (None, table)
    )
    assert plain - early == pytest.approx(0.1 * Q, abs=0.02 * Q)


def test_warming_gives_energy_in_the_cold() -> None:
    warm = ThermalProperties(mass_kg=0.047, heat_capacity_j_per_kg_k=900.0, surface_to_coolant_k_per_w=10.0)
    held, free = (
        energy_to_cutoff(MODEL, cells(0.8, -10.0), Load(9.0), LOW_V, thermal=t).energy_wh
        for t in (None, warm)
    )
    assert free > 1.02 * held


def discharge(degc: float, rate: float, end: float) -> SectionTest:
    """A recorded constant-current discharge that ends at a state of charge."""
    soc = np.linspace(1.0, end, 400)
    seconds = (1.0 - soc) * 3600.0 / rate
    voltage = MODEL.ocv(soc, degc, DISCHARGE) - rate * Q * MODEL.resistance(soc, degc) * (
        1 - np.exp(-seconds / 60)
    )
    voltage[-1] = LOW_V
    return SectionTest(seconds, voltage, np.full(400, -rate * Q), np.full(400, degc), soc)


def test_a_cell_file_learns_from_full_discharges() -> None:
    tests = [discharge(25.0, 1.0, 0.03), discharge(0.0, 1.0, 0.2), discharge(0.0, 0.05, 0.1)]
    found = [full_discharge(t, Q) for t in tests]
    assert [f is not None for f in found] == [True] * 3
    cell = with_test_sections(CELL.model_copy(update={"depletion": None}), tests)
    assert cell.depletion is not None and cell.depletion.rates_c == pytest.approx([0.05, 1.0], rel=0.02)
    said = energy_to_cutoff(
        MODEL, cells(1.0, 0.0), Load(found[1].mean_power_w), LOW_V, depletion=cell.depletion,
        thermal=CELL.thermal,
    )  # fmt: skip
    assert 1.0 - said.charge_ah / Q == pytest.approx(0.2, abs=0.02)


def test_what_is_no_full_discharge_is_passed_over() -> None:
    part = discharge(25.0, 1.0, 0.6)
    assert full_discharge(part, Q) is None
    wild = discharge(25.0, 1.0, 0.03)
    wild.current_a[::2] *= 0.2
    assert full_discharge(wild, Q) is None
    assert depletion_table(MODEL, []) is None and with_test_sections(CELL, [part]).depletion == CELL.depletion


def test_cooling_is_the_rise_over_the_heat() -> None:
    test = FullDischarge(20.0, 1.0, 0.0, 9.0, 1.0, 2.8, temperature_end_degc=26.0)
    heat = float(np.mean(MODEL.ocv(np.linspace(0, 1, 60), 20.0, DISCHARGE))) * Q - 9.0
    assert cooling_k_per_w(MODEL, [test]) == pytest.approx(6.0 / heat, rel=1e-3)
    assert cooling_k_per_w(MODEL, []) is None


def test_recent_load_is_mean_variation_and_peak_of_use() -> None:
    recent = RecentLoad(Load(100.0))
    for second in range(3600):
        recent.step(1.0, 300.0 if second % 20 < 5 else 0.0, counts=True)
    load = recent.load
    assert load.power_w == pytest.approx(75.0, rel=0.15)
    assert load.std_w == pytest.approx(130.0, rel=0.15) and load.peak_w == pytest.approx(300.0, rel=0.05)
    recent.step(3600.0, 0.0, counts=False)
    recent.step(1.0, math.nan, counts=True)
    assert recent.load == load


def test_a_pack_states_its_energy_at_the_load_it_has() -> None:
    pack = load_pack("demo_96s_nmc")
    model = CellModel.from_file(pack.cell)
    n = pack.file.topology.cell_count
    states = np.full(n, 0.6), np.full(n, 0.01), np.full(n, model.capacity_ah), np.full(n, 5.0)

    def scan(current_a: float) -> PackMeasurement:
        m = PackMeasurement.empty(n, len(pack.file.topology.sensor_names), 1)
        m.cell_voltages_v[:] = 3.7
        m.string_currents_a[:] = current_a
        return m

    gentle, hard = PackEnergy(pack, model), PackEnergy(pack, model)
    for _ in range(40):
        soft = gentle.step(60.0, scan(-0.6), *states)
        rough = hard.step(60.0, scan(-6.0), *states)
    assert rough.energy_wh < 0.97 * soft.energy_wh
    stated = PackEnergy(pack, model, power_w=2000.0).step(0.1, scan(0.0), *states)
    assert stated.duration_s == pytest.approx(stated.energy_wh * 3600.0 / 2000.0)


@pytest.mark.parametrize("unknown", [False, True])
def test_an_aged_pack_states_what_an_aged_pack_gives(unknown: bool) -> None:
    pack = load_pack("demo_96s_nmc")
    n = pack.file.topology.cell_count
    new, aged = (PackSocEstimator(pack, energy_power_w=500.0) for _ in range(2))
    ratio = np.full(n, math.nan if unknown else 1.6)
    aged.take_health(CellHealth(np.full(n, 0.85 * aged.model.capacity_ah), ratio, 0.05 * ratio))
    m = PackMeasurement.empty(
        n, len(pack.file.topology.sensor_names), 1, scan_number=1, stamp_s=10.0, scan_duration_s=0.1
    )
    m.cell_voltages_v[:], m.string_currents_a[:], m.temperatures_degc[:] = 3.7, 0.0, 0.0
    fresh, old = new.step(m), aged.step(m)
    assert old.remaining_charge_ah == pytest.approx(0.85 * fresh.remaining_charge_ah, rel=1e-3)
    assert old.remaining_energy_wh < (0.87 if unknown else 0.84) * fresh.remaining_energy_wh
    assert old.cell_soc == pytest.approx(fresh.cell_soc)
