"""Invariants of the plant: charge, energy, heat, bounds; nothing flows where a contact is open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_sim.interface import Inputs
from openbms_sim.plant.cell import NMC_18650, CellBank, Spread
from openbms_sim.plant.pack import BLEED_OHM, PackPlant
from openbms_sim.plant.switching import Contactors, Link, string_paths_ohm
from openbms_sim.plant.thermal import ThermalBank

EQUAL = Spread(0, 0, 0, 0)
CLOSED = np.array([[True, True, False]])
OPEN = np.array([[False, False, False]])
currents = st.lists(st.floats(-20, 6), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(currents, st.floats(0, 1), st.floats(-20, 50), st.sampled_from([0.01, 0.1, 1.0, 10.0]))
def test_charge_balance_and_bounds(steps: list[float], soc: float, degc: float, dt_s: float) -> None:
    bank = CellBank(3, soc, seed=2)
    core = np.full(3, degc)
    before, put_in, leaked = bank.soc * bank.capacity_ah, 0.0, np.zeros(3)
    for current in steps:
        leaked += bank.emf_v() / bank.leak_ohm * dt_s / 3600
        bank.step(np.full(3, current), core, dt_s)
        put_in += current * dt_s / 3600
        assert np.all((bank.soc >= -0.05) & (bank.soc <= 1.10))
        assert np.all(np.isfinite(bank.emf_v())) and np.all(np.isfinite(bank.heat_w))
    after = bank.soc * bank.capacity_ah + bank.lost_charge_ah
    assert after == pytest.approx(before + put_in - leaked, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(currents, st.floats(0.1, 0.9))
def test_energy_at_the_terminals_is_stored_or_becomes_heat(steps: list[float], soc: float) -> None:
    bank = CellBank(2, soc, spread=EQUAL)
    core = np.full(2, 25.0)
    stored = bank.stored_energy_j()
    terminal_j = heat_j = throughput_j = 0.0
    dt_s = 0.1
    for current in steps:
        for _ in range(5):
            before_v = bank.emf_v() + current * bank.r0_ohm(core)
            bank.step(np.full(2, current), core, dt_s)
            after_v = bank.emf_v() + current * bank.r0_ohm(core)
            terminal_j += float(((before_v + after_v) / 2 * current).sum()) * dt_s
            throughput_j += abs(float((after_v * current).sum())) * dt_s
            heat_j += float(bank.heat_w.sum()) * dt_s
    assert terminal_j == pytest.approx(
        bank.stored_energy_j() - stored + heat_j, abs=2e-3 * throughput_j + 0.01
    )


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 5), st.floats(-30, 50), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)
)
def test_heat_balance(
    watt: float, ambient: float, heater: float, pump: float, fan: float, chiller: float
) -> None:
    bank = ThermalBank(12, ambient)
    before = bank.stored_heat_j()
    heat = np.full(12, watt)
    for _ in range(50):
        bank.step(heat, 2.0, heater=heater, pump=pump, fan=fan, chiller=chiller)
    assert bank.stored_heat_j() - before == pytest.approx(heat.sum() * 100 - bank.heat_out_j, abs=1e-3)
    assert np.all(np.isfinite(bank.core_degc)) and np.all(np.isfinite(bank.surface_degc))


def test_a_loaded_cell_gets_warmer_inside_than_outside_and_cooling_helps() -> None:
    still, cooled = ThermalBank(12), ThermalBank(12)
    for _ in range(600):
        still.step(np.full(12, 2.0), 1.0)
        cooled.step(np.full(12, 2.0), 1.0, pump=1.0, fan=1.0)
    assert still.core_degc.mean() > still.surface_degc.mean() > still.ambient_degc
    assert cooled.core_degc.mean() < still.core_degc.mean() - 5
    assert cooled.coolant_out_degc > cooled.coolant_in_degc


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.floats(-20, 6),
    st.booleans(),
    st.floats(0.05, 0.95),
)
def test_no_current_while_open(contacts: list[bool], load: float, burnt: bool, soc: float) -> None:
    positive, negative, precharge = contacts
    plant = PackPlant(4, soc=soc)
    inputs = Inputs(
        closed=np.array([contacts]), zero_current=False, load_current_a=load, precharge_open=burnt
    )
    way = negative and (positive or (precharge and not burnt))
    for _ in range(5):
        readings = plant.step(inputs, 0.01)
        assert np.isfinite(readings.link_voltage_v) and readings.link_voltage_v >= 0
        if not way:
            assert readings.string_currents_a[0] == 0.0


def test_precharge_lifts_the_link_with_its_time_constant_and_the_inrush_is_small() -> None:
    plant = PackPlant(96, spread=EQUAL)
    inputs = Inputs(closed=np.array([[False, True, True]]))
    least = 0.0
    for _ in range(20):  # one time constant: 1 mF and 200 ohm and the pack's own
        readings = plant.step(inputs, 0.01)
        least = min(least, readings.string_currents_a[0])
    share = readings.link_voltage_v / readings.string_voltages_v[0]
    assert share == pytest.approx(1 - np.exp(-1), abs=0.03)
    assert -2.0 < least < -1.5
    for _ in range(100):
        readings = plant.step(inputs, 0.01)
    assert readings.string_voltages_v[0] - readings.link_voltage_v < 10.0


def test_the_load_current_flows_through_closed_contactors_and_the_link_drains_when_they_open() -> None:
    plant = PackPlant(96, spread=EQUAL)
    inputs = Inputs(closed=CLOSED, zero_current=False, load_current_a=-6.0)
    for _ in range(100):
        readings = plant.step(inputs, 0.01)
    assert readings.string_currents_a[0] == pytest.approx(-6.0, abs=0.1)
    assert readings.link_voltage_v == pytest.approx(readings.string_voltages_v[0], rel=1e-3)
    for _ in range(6000):
        readings = plant.step(Inputs(closed=OPEN), 0.01)
    assert readings.link_voltage_v < 2.0


def test_the_charger_goes_from_constant_current_to_constant_voltage() -> None:
    plant = PackPlant(4, soc=0.9, spread=EQUAL)
    inputs = Inputs(
        closed=CLOSED, zero_current=False, charger_enable=True, charger_voltage_v=16.7, charger_current_a=3.0
    )
    got = [float(plant.step(inputs, 1.0).string_currents_a[0]) for _ in range(1800)]
    assert got[5] == pytest.approx(3.0, abs=0.05)
    assert 0.0 <= got[-1] < 1.0
    assert plant.link.voltage_v <= 16.75


def test_parallel_strings_share_and_equalise() -> None:
    plant = PackPlant(8, strings=2, spread=EQUAL)
    plant.cells.soc[:8] += 0.05
    both = np.array([[True, True, False]] * 2)
    readings = plant.step(Inputs(closed=both), 0.1)
    assert readings.string_currents_a[0] < 0 < readings.string_currents_a[1]
    assert abs(readings.string_currents_a.sum()) < 1.0


def test_a_bled_cell_loses_what_its_resistor_takes() -> None:
    plant = PackPlant(4, spread=EQUAL)
    bleed = np.array([True, False, False, False])
    before = plant.cells.soc.copy()
    for _ in range(600):
        plant.step(Inputs(bleed=bleed), 1.0)
    lost = (before - plant.cells.soc) * plant.cells.capacity_ah
    assert lost[0] == pytest.approx(4.0 / BLEED_OHM / 6, rel=0.05)
    assert lost[0] == pytest.approx(plant.bled_charge_ah[0] + lost[1], rel=1e-3)
    assert np.all(lost[1:] < 1e-4)


def test_an_internal_short_drains_and_warms_its_cell() -> None:
    plant = PackPlant(4, spread=EQUAL)
    short = np.array([np.inf, 5.0, np.inf, np.inf])
    for _ in range(600):
        readings = plant.step(Inputs(short_ohm=short), 1.0)
    assert plant.cells.soc[1] < plant.cells.soc[0] - 0.03
    assert readings.cell_surface_degc[1] > readings.cell_surface_degc[3] + 1.0


def test_cold_makes_the_cell_weaker_as_measured() -> None:
    bank = CellBank(1, 0.6, spread=EQUAL)
    ratio = bank.r0_ohm(np.array([-10.0])) / bank.r0_ohm(np.array([25.0]))
    assert ratio[0] == pytest.approx(3.3, abs=0.4)  # measured: 60 and 17 mΩ
    assert bank.r0_ohm(np.array([25.0]))[0] == pytest.approx(0.017, abs=0.001)


def test_the_twin_can_be_told_from_the_record_by_a_few_millivolts_only() -> None:
    """The own physics, driven with a real current, stays near the real voltage."""
    from openbms_sim.record import load_record

    record = load_record()
    bank = CellBank(1, 1.0, spread=EQUAL)
    core = np.array([24.5])
    errors = []
    for start in np.arange(0.0, 5000.0, 1.0):
        measured, current = record.mean(start, start + 1.0)
        before = bank.emf_v()[0]
        bank.step(np.array([current]), core, 1.0)
        errors.append((before + bank.emf_v()[0]) / 2 + current * bank.r0_ohm(core)[0] - measured)
    assert np.sqrt(np.mean(np.square(errors))) < 0.030


def test_equal_seeds_give_equal_packs_and_cells_differ() -> None:
    a, b, c = (CellBank(96, 0.5, seed) for seed in (1, 1, 2))
    assert np.array_equal(a.soc, b.soc) and np.array_equal(a.capacity_ah, b.capacity_ah)
    assert not np.array_equal(a.soc, c.soc)
    assert 0.003 < a.capacity_ah.std() / NMC_18650.capacity_ah < 0.015


def test_contactors_move_after_their_travel_and_welded_ones_stay() -> None:
    contactors = Contactors(travel_s=0.02)
    on = np.array([[True, True, True]])
    contactors.step(on, 0.01)
    assert not contactors.closed.any()
    contactors.step(on, 0.01)
    assert contactors.closed.all()
    welded = np.array([[True, False, False]])
    for _ in range(3):
        contactors.step(~on, 0.01, welded=welded)
    assert contactors.closed.tolist() == [[True, False, False]]
    for _ in range(3):
        contactors.step(on, 0.01, dead=np.array([[False, False, True]]))
    assert contactors.closed.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        ((0, 0, 0), np.inf),
        ((1, 0, 0), np.inf),
        ((0, 1, 0), np.inf),
        ((1, 0, 1), np.inf),
        ((0, 1, 1), 200.0),
        ((1, 1, 0), 0.002),
        ((1, 1, 1), 1 / (1 / 0.002 + 1 / 200)),
    ],
)
def test_ways_to_the_link(contacts: tuple[int, int, int], expected: float) -> None:
    assert string_paths_ohm(np.array([contacts], bool), 200.0)[0] == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 800), st.floats(0.001, 1e4), st.floats(-30, 30), st.floats(1e-3, 100), st.floats(0, 800))
def test_the_link_conserves_charge(emf: float, ohm: float, load: float, dt_s: float, start: float) -> None:
    link = Link(discharge_ohm=1e15, voltage_v=start)
    string_a = link.step(np.array([emf]), np.array([ohm]), load, dt_s)[0]
    if link.voltage_v > 0:
        stored = link.capacitance_f * (link.voltage_v - start)
        assert stored == pytest.approx((load - string_a) * dt_s, abs=1e-6 * (1 + abs(load) * dt_s + stored))
