"""A cell in thermal runaway: order and rates as calorimetry shows, seen where a sensor is near."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_sim.interface import Inputs, RunawayOrder
from openbms_sim.plant.cell import Spread
from openbms_sim.plant.pack import PackPlant
from openbms_sim.plant.runaway import Housing, Runaway

DT = 0.05
CELL = 40


@pytest.mark.parametrize(("degc", "rate"), [(100.0, 0.02), (175.0, 1.0), (250.0, 17.0)])
def test_self_heating_is_that_of_calorimetry(degc: float, rate: float) -> None:
    cell = Runaway(1.0, 1.0)
    cell.step(degc, 0.001)
    assert cell.heat_w / 44.5 == pytest.approx(rate, rel=0.15)


def test_the_reaction_gives_its_heat_once() -> None:
    cell, heat_j = Runaway(1.0, 1.0), 0.0
    for _ in range(2000):
        cell.step(500.0, 0.01)
        heat_j += cell.heat_w * 0.01
    assert heat_j == pytest.approx(30_000.0, rel=1e-6) and cell.left < 1e-6


def test_the_short_grows_evenly_on_a_logarithmic_scale() -> None:
    cell = Runaway(0.5, 10.0)
    ohms = []
    for _ in range(12):
        cell.step(25.0, 1.0)
        ohms.append(cell.short_ohm)
    assert ohms[4] == pytest.approx(5.0) and ohms[-1] == 0.5
    assert np.allclose(np.diff(np.log(ohms[:10])), np.log(ohms[1] / ohms[0]))


def test_the_housing_hears_of_a_vent() -> None:
    housing = Housing()
    housing.step(False, 1.0)
    assert (housing.pressure_pa, housing.gas, housing.smoke) == (101_325.0, False, False)
    peak, gas_s, smoke_s = 0.0, None, None
    for number in range(1000):
        housing.step(True, 0.01)
        peak = max(peak, housing.pressure_pa)
        gas_s = number * 0.01 if gas_s is None and housing.gas else gas_s
        smoke_s = number * 0.01 if smoke_s is None and housing.smoke else smoke_s
    assert 12_000 < peak - 101_325.0 < 15_000
    assert (gas_s, smoke_s) == (pytest.approx(1.0, abs=0.02), pytest.approx(3.0, abs=0.02))


@pytest.fixture(scope="module")
def history() -> dict[str, np.ndarray]:
    """Ten minutes of a pack at rest with one cell in runaway."""
    plant = PackPlant(96, soc=0.7, seed=1, spread=Spread(0, 0, 0, 0))
    order = (RunawayOrder(CELL, 0.3, 20.0),)
    rows = {name: [] for name in ("v", "core", "surface", "next", "far", "pressure", "gas", "smoke")}
    for _ in range(round(400 / DT)):
        r = plant.step(Inputs(pump=1.0, runaways=order), DT)
        rows["v"].append(r.cell_voltages_v[CELL])
        rows["core"].append(plant.thermal.core_degc[CELL])
        rows["surface"].append(r.cell_surface_degc[CELL])
        rows["next"].append(r.cell_surface_degc[CELL + 1])
        rows["far"].append(r.cell_surface_degc[CELL + 6])
        rows["pressure"].append(r.pressure_pa)
        rows["gas"].append(r.gas)
        rows["smoke"].append(r.smoke)
    return {name: np.array(values) for name, values in rows.items()}


def first(condition: np.ndarray) -> float:
    assert condition.any()
    return float(np.argmax(condition)) * DT


def test_the_order_of_a_runaway(history) -> None:
    h = history
    warm = first(h["core"] > 60)
    separator, vent = first(h["core"] > 130), first(h["core"] > 150)
    steep = first(np.gradient(h["core"], DT) > 5.0)
    start_v = h["v"][0]
    dip = first(h["v"] < 0.85 * start_v)
    assert 5 < warm < separator <= dip < vent, "slow heating, separator and dip, vent"
    assert steep > warm
    between = h["v"][round((dip + 1.0) / DT) : round((dip + 6.0) / DT)]
    assert between.max() > 0.85 * start_v, "the voltage recovers in part"
    gone = first((h["v"] < 0.75 * start_v) & (np.arange(h["v"].size) * DT > dip + 2.0))
    assert gone > dip + 2.0 and h["v"][-1] < 0.75 * start_v, "then it collapses by more than a quarter"
    assert h["core"].max() > 400
    assert first(h["gas"]) == pytest.approx(vent + 1.0, abs=0.2) and first(h["smoke"]) > first(h["gas"])
    assert h["pressure"].max() > 110_000


def test_the_surface_of_the_cell_meets_the_rule_of_gb_38031(history) -> None:
    rate = np.gradient(history["surface"], DT)
    above = np.convolve(rate >= 1.0, np.ones(round(3.0 / DT)), "valid") >= round(3.0 / DT)
    assert above.any(), "1 °C/s for 3 s"


def test_neighbours_are_heated_later_and_others_hardly(history) -> None:
    assert first(history["next"] > 40) > first(history["surface"] > 40) + 1.0
    assert history["next"].max() > 60
    assert history["far"].max() < 35, "only a sensor near the cell sees it"


def test_without_self_heating_a_short_only_warms() -> None:
    plant = PackPlant(96, soc=0.7, seed=1)
    order = (RunawayOrder(CELL, 1.0, 5.0, self_heating=False),)
    for _ in range(4000):
        plant.step(Inputs(pump=1.0, runaways=order), DT)
    assert 35 < plant.thermal.core_degc[CELL] < 130


def test_when_it_ends_the_pack_is_as_before() -> None:
    plant = PackPlant(96, soc=0.7, seed=1)
    plant.step(Inputs(), DT)
    soc, core = plant.cells.soc.copy(), plant.thermal.core_degc.copy()
    for _ in range(2000):
        plant.step(Inputs(runaways=(RunawayOrder(CELL, 0.1, 1.0),)), DT)
    assert plant.thermal.core_degc[CELL] > 200
    readings = plant.step(Inputs(), DT)
    assert np.allclose(plant.cells.soc, soc, atol=1e-4)
    assert np.allclose(plant.thermal.core_degc, core, atol=0.1)
    assert not readings.gas and readings.pressure_pa == 101_325.0
