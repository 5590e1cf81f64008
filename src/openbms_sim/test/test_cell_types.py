"""The twin's own physics of each chemistry: plausible, scaled as it should be, and no other is made up."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_host import PACKS

from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_sim.interface import Inputs
from openbms_sim.plant.cell import CellBank, Spread
from openbms_sim.plant.cell_types import CHEMISTRIES, cell_type
from openbms_sim.plant.pack import PackPlant
from openbms_sim.plant.thermal import ThermalBank
from openbms_sim.record import load_record
from openbms_sim.replay import Replay
from openbms_sim.twin_setup import TwinSettings, build_twin, group_ah, pack_cell

EQUAL = Spread(0, 0, 0, 0)
WINDOW_V = {
    "nmc": (2.7, 3.0, 3.6, 3.8, 4.1, 4.2),
    "nca": (2.6, 3.2, 3.5, 3.8, 4.05, 4.2),
    "lfp": (2.4, 2.8, 3.24, 3.34, 3.36, 3.5),
    "lco": (2.9, 3.6, 3.7, 4.0, 4.1, 4.25),
    "lmo": (2.7, 3.2, 3.8, 4.0, 4.05, 4.2),
}
"""Open-circuit voltage between these when empty, half full, full."""


@pytest.mark.parametrize("chemistry", CHEMISTRIES)
def test_open_circuit_voltage_rises_through_the_window_of_the_chemistry(chemistry: str) -> None:
    p = cell_type(chemistry).electrical
    soc, volts = np.asarray(p.ocv_soc), np.asarray(p.ocv_v)
    assert soc[0] == 0.0 and soc[-1] == 1.0 and (np.diff(soc) > 0).all()
    assert (np.diff(volts) > 0).all()
    empty, half, full = np.interp([0.0, 0.5, 1.0], soc, volts)
    window = WINDOW_V[chemistry]
    assert window[0] < empty < window[1] and window[2] < half < window[3] and window[4] < full < window[5]


def test_iron_phosphate_has_two_plateaus_and_hysteresis() -> None:
    bank = CellBank(1, 0.0, spread=EQUAL, parameters=cell_type("lfp").electrical)

    def ocv(soc: float) -> float:
        bank.soc[:] = soc
        return float(bank.ocv_v()[0])

    for low, high in ((0.45, 0.65), (0.80, 0.93)):
        assert ocv(high) - ocv(low) < 0.012, "flat"
    assert ocv(0.80) - ocv(0.65) > 0.03, "a step between them"
    for sign in (1.0, -1.0):
        bank.soc[:] = 0.5 - sign * 0.15
        for _ in range(1800):  # 0.15 of the charge
            bank.step(np.array([sign * 30.0]), np.array([25.0]), 1.0)
        bank.rc1_v[:] = bank.rc2_v[:] = 0.0
        assert bank.soc[0] == pytest.approx(0.5, abs=0.001)
        gap = float(bank.emf_v()[0]) - ocv(0.5)
        assert 0.008 < sign * gap < 0.012


@pytest.mark.parametrize("chemistry", CHEMISTRIES)
def test_more_cells_in_parallel_share_current_and_heat(chemistry: str) -> None:
    one = cell_type(chemistry)
    four = one.sized(one.electrical.capacity_ah, 4)
    plants = [PackPlant(5, soc=0.6, spread=EQUAL, cell=cell) for cell in (one, four)]
    rate_a = one.electrical.capacity_ah
    readings = None
    for _ in range(600):
        readings = [
            plant.step(
                Inputs(
                    closed=np.array([[True, True, False]]), zero_current=False, load_current_a=-n * rate_a
                ),
                1.0,
            )
            for plant, n in zip(plants, (1, 4), strict=True)
        ]
    assert readings is not None
    for ours, theirs in (
        (readings[0].cell_voltages_v, readings[1].cell_voltages_v),
        (plants[0].thermal.core_degc, plants[1].thermal.core_degc),
        (plants[0].cells.soc, plants[1].cells.soc),
    ):
        # auxiliaries of the pack are not four times as large, so nearly
        np.testing.assert_allclose(ours, theirs, rtol=5e-4)


@pytest.mark.parametrize("chemistry", CHEMISTRIES)
def test_at_one_c_it_warms_and_sags_by_what_is_usual(chemistry: str) -> None:
    cell = cell_type(chemistry)
    plant = PackPlant(
        3, soc=0.8, spread=EQUAL, cell=cell.sized(cell.electrical.capacity_ah, 1, coolant=False)
    )
    rest_v = float(plant.cells.ocv_v()[0])
    inputs = Inputs(
        closed=np.array([[True, True, False]]),
        zero_current=False,
        load_current_a=-cell.electrical.capacity_ah,
    )
    reading = plant.step(inputs, 1.0)
    assert 0.02 < rest_v - float(reading.cell_voltages_v[1]) < 0.2
    for _ in range(1799):
        plant.step(inputs, 1.0)
    assert plant.cells.soc[1] == pytest.approx(0.3, abs=0.001)
    assert 1.0 < plant.thermal.core_degc[1] - 25.0 < 15.0


def test_what_has_no_physics_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"cell is lto, of which the twin has no physics .*replay"):
        cell_type("lto")


def test_a_pack_without_coolant_is_cooled_by_air_and_keeps_its_energy_balance() -> None:
    thermal = cell_type("lfp").sized(100.0, 1, coolant=False).thermal
    bank = ThermalBank(4, 20.0, thermal)
    before, made = bank.stored_heat_j(), 0.0
    for step in range(3000):
        heater = float(step < 600)
        bank.step(np.full(4, 5.0), 1.0, heater=heater, fan=float(step > 2000))
        made += 4 * 5.0
    # what the heater put in is counted as heat that came in
    assert bank.stored_heat_j() - before == pytest.approx(made - bank.heat_out_j, rel=1e-9)
    assert bank.coolant_in_degc == 20.0 and bank.surface_degc.min() > 21.0


@pytest.mark.parametrize(("capacity", "parallel"), [(0.05, 1), (300.0, 8)])
def test_small_and_large_cells_stay_stable_in_long_steps(capacity: float, parallel: int) -> None:
    bank = ThermalBank(6, 20.0, cell_type("nmc").sized(capacity, parallel).thermal)
    bank.core_degc[2] = 60.0
    for _ in range(50):
        bank.step(np.zeros(6), 10.0, pump=1.0, fan=1.0)
        assert bank.surface_degc.min() > 19.9 and bank.core_degc.max() < 60.1


def test_a_record_flows_in_each_parallel_cell_and_another_size_in_c_rate() -> None:
    robot = load_pack(PACKS / "robot_13s4p.yaml")
    record = load_record()
    twin, _ = build_twin(robot, TwinSettings())
    assert twin.source.name == "replay" and twin.source.cell_count == 13
    assert twin.source._scale == 4.0
    assert twin.source.truth().cell_capacity_ah[0] == pytest.approx(4 * record.capacity_ah)
    twin, _ = build_twin(robot, TwinSettings(replay_capacity_ah=record.capacity_ah * 10))
    assert twin.source._scale * record.capacity_ah * 10 == pytest.approx(group_ah(robot))


def test_a_scaled_record_moves_the_scaled_charge() -> None:
    record = load_record()
    replay = Replay(record, 2, scale=4.0, noise_v=0.0)
    inputs = Inputs(closed=np.array([[True, True, False]]), zero_current=False)
    charge_ah = 0.0
    while not replay.finished:
        charge_ah += float(replay.step(inputs, 10.0).string_currents_a[0]) * 10.0 / 3600.0
    moved = 4.0 * float(record.charge_ah[-1] - record.charge_ah[0])
    assert charge_ah == pytest.approx(moved, rel=0.01)


def test_without_a_fitting_record_the_twin_takes_its_own_physics() -> None:
    home = load_pack(PACKS / "home_16s_lfp.yaml")
    twin, _ = build_twin(home, TwinSettings())
    assert twin.source.name == "plant"
    assert twin.source.truth().cell_capacity_ah.mean() == pytest.approx(group_ah(home), rel=0.01)
    with pytest.raises(ConfigError, match="shipped is of an nmc cell, this pack has lfp"):
        build_twin(home, TwinSettings(source="replay"))
    with pytest.raises(ConfigError, match="load is 'sea': it must be one of drive, storage, none"):
        build_twin(home, TwinSettings(load="sea"))


def test_an_aged_pack_has_less_capacity_and_more_resistance() -> None:
    home = load_pack(PACKS / "home_16s_lfp.yaml")
    new, old = pack_cell(home).electrical, pack_cell(home, capacity=0.8, resistance=1.5).electrical
    assert old.capacity_ah == pytest.approx(0.8 * new.capacity_ah)
    assert old.r0_ohm == pytest.approx(1.5 * new.r0_ohm)
