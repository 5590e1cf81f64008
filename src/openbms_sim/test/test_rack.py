"""Packs in parallel on one bus: Kirchhoff, charge, energy, what unequal strings do to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_host import PACKS

from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_core.types import State
from openbms_sim.faults import InjectionError, Injections
from openbms_sim.frames import layouts
from openbms_sim.household import Household
from openbms_sim.interface import Inputs
from openbms_sim.plant.cell import Spread
from openbms_sim.plant.cell_types import cell_type
from openbms_sim.plant.pack import PackPlant
from openbms_sim.plant.rack import RackPlant
from openbms_sim.plant.switching import Link
from openbms_sim.rack import Rack
from openbms_sim.rack_setup import RackSettings, build_rack, open_rack_buses, parse_rack_injections
from openbms_sim.vehicle import Permission

EQUAL = Spread(0, 0, 0, 0)
CLOSED, OPEN = np.array([[True, True, False]]), np.zeros((1, 3), bool)
ALLOWED = Permission(State.CONNECTED, False, 200.0, 400.0)
PACK = PACKS / "rack_string.yaml"


def rack_of(*socs: float, **options: Any) -> RackPlant:
    kind = cell_type("lfp")
    packs = [PackPlant(16, soc=soc, spread=EQUAL, cell=kind, **options) for soc in socs]
    return RackPlant(packs)


def inputs(*closed: bool, bus_ohm: float = np.inf) -> list[Inputs]:
    return [Inputs(closed=CLOSED if one else OPEN, link_load_ohm=bus_ohm) for one in closed]


def current_of(readings: list[Any]) -> np.ndarray:
    return np.array([float(reading.string_currents_a[0]) for reading in readings])


@given(
    socs=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=5),
    data=st.data(),
    load_a=st.floats(-300.0, 300.0),
)
@settings(max_examples=40, deadline=None)
def test_currents_obey_kirchhoff_and_no_charge_is_lost(
    socs: list[float], data: st.DataObject, load_a: float
) -> None:
    closed = data.draw(st.lists(st.booleans(), min_size=len(socs), max_size=len(socs)))
    rack = rack_of(*socs)
    before = [float((pack.cells.soc * pack.cells.capacity_ah).sum()) for pack in rack.packs]
    lost = sum(float(pack.cells.lost_charge_ah.sum()) for pack in rack.packs)
    moved = np.zeros(len(socs))
    for _ in range(20):
        bus_v = rack.link.voltage_v
        readings = rack.step(inputs(*closed), load_a, 0.01)
        currents = current_of(readings)
        moved += currents * 0.01 / 3600.0
        assert (currents[~np.array(closed)] == 0.0).all()
        if bus_v > 0.0 and rack.link.voltage_v > 0.0:
            # into the capacitor and its resistor goes what the inverter brings and the packs do not take
            stored_a = rack.link.capacitance_f * (rack.link.voltage_v - bus_v) / 0.01
            rest_a = rack.load_a - currents.sum() - stored_a
            assert 0.0 <= rest_a * rack.link.discharge_ohm <= max(bus_v, rack.link.voltage_v) + 1.0
        for reading in readings:
            assert reading.link_voltage_v == rack.link.voltage_v
    for i, pack in enumerate(rack.packs):
        leak_ah = 16 * 3.6 / 1100.0 * 0.2 / 3600.0
        after = float((pack.cells.soc * pack.cells.capacity_ah).sum())
        assert after - before[i] == pytest.approx(16 * moved[i], abs=2 * leak_ah)
    assert sum(float(pack.cells.lost_charge_ah.sum()) for pack in rack.packs) == lost


@given(low=st.floats(0.05, 0.9), rise=st.floats(0.0, 0.1))
@settings(max_examples=30, deadline=None)
def test_what_circulates_is_the_difference_over_the_resistance(low: float, rise: float) -> None:
    rack = rack_of(low, low + rise)
    rack.link = Link(capacitance_f=1e-6, discharge_ohm=1e12)
    cells = [pack.cells for pack in rack.packs]
    difference_v = float(cells[1].emf_v().sum() - cells[0].emf_v().sum())
    total_ohm = sum(float(c.r0_ohm(np.full(16, 25.0)).sum()) for c in cells) + 2 * 0.002
    rack.link.voltage_v = float(cells[0].emf_v().sum())
    currents = current_of(rack.step(inputs(True, True), 0.0, 0.01))
    assert currents[0] == pytest.approx(difference_v / total_ohm, abs=0.02)
    assert currents[1] == pytest.approx(-currents[0], abs=0.02)


def test_one_after_another_the_strings_become_equal_and_energy_only_turns_to_heat() -> None:
    rack = rack_of(0.3, 0.9)
    rack.link = Link(discharge_ohm=1e12)
    rack.link.voltage_v = float(rack.packs[0].cells.emf_v().sum())

    def energy_j() -> float:
        stored = sum(pack.cells.stored_energy_j() + pack.thermal.stored_heat_j() for pack in rack.packs)
        return stored + 0.5 * rack.link.capacitance_f * rack.link.voltage_v**2

    before, heat_out = energy_j(), lambda: sum(pack.thermal.heat_out_j for pack in rack.packs)
    gap = 0.6
    for _ in range(3600):
        rack.step(inputs(True, True), 0.0, 1.0)
    socs = [float(pack.cells.soc.mean()) for pack in rack.packs]
    assert 0.3 < socs[0] < socs[1] < 0.9 and socs[1] - socs[0] < gap
    # both are as large, so they meet in the middle
    assert sum(socs) == pytest.approx(1.2, abs=2e-3)
    capacity_j = sum(float(p.cells.capacity_ah.sum()) for p in rack.packs) * 3600 * 3.3
    assert energy_j() + heat_out() - before == pytest.approx(0.0, abs=2e-4 * capacity_j)


def test_equal_strings_share_evenly_and_an_open_one_leaves_its_share_to_the_others() -> None:
    rack = rack_of(0.6, 0.6, 0.6, 0.6)
    rack.link.voltage_v = float(rack.packs[0].cells.emf_v().sum())
    for _ in range(50):
        currents = current_of(rack.step(inputs(True, True, True, True), -80.0, 0.01))
    np.testing.assert_allclose(currents, -20.0, atol=0.05)
    for _ in range(50):
        currents = current_of(rack.step(inputs(True, False, True, True), -80.0, 0.01))
    assert currents[1] == 0.0
    np.testing.assert_allclose(currents[[0, 2, 3]], -80.0 / 3, atol=0.05)


def test_the_stronger_string_carries_more() -> None:
    kind = cell_type("lfp")
    weak = kind.sized(100.0, 1)
    tired = PackPlant(16, soc=0.6, spread=EQUAL, cell=weak, ambient_degc=0.0)
    rack = RackPlant([PackPlant(16, soc=0.6, spread=EQUAL, cell=kind), tired])
    rack.link.voltage_v = float(tired.cells.emf_v().sum())
    for _ in range(50):
        currents = current_of(rack.step(inputs(True, True), -80.0, 0.01))
    assert currents.sum() == pytest.approx(-80.0, abs=0.1)
    assert -currents[0] > -currents[1] > 10.0, "the cold one has more resistance"


def test_nothing_flows_where_no_pack_feeds_the_bus() -> None:
    rack = rack_of(0.6, 0.6)
    readings = rack.step(inputs(False, False), -50.0, 0.01)
    assert (current_of(readings) == 0.0).all() and rack.link.voltage_v == 0.0 and rack.load_a == 0.0


def test_a_pack_has_one_string_here() -> None:
    with pytest.raises(ValueError, match="one string"):
        RackPlant([PackPlant(4, strings=2)])


# ---- twins on their buses -------------------------------------------------------------------------------


class Strings:
    """A rack of two of the shipped strings whose devices are told to close."""

    def __init__(self, dbc: str, load: float = -20.0, **options: Any) -> None:
        self.pack = load_pack(PACK)
        names = ("a", "b")
        self.rack, self.known = build_rack([self.pack] * 2, RackSettings(names=names, load="none", **options))
        self.rack = Rack(self.rack.twins, lambda permission, _: load if not permission.zero_current else 0.0)
        self.layout = layouts(dbc)["Bms_Command"]
        self.now_s, self.counter = 100.0, 0
        self.closed = {"a": (), "b": ()}

    def run(self, seconds: float, permission: Permission = ALLOWED) -> np.ndarray:
        for tick in range(round(seconds * 100)):
            received: dict[str, list[Any]] = {}
            if tick % 10 == 0:
                self.counter = (self.counter + 1) % 16
                for name, contactors in self.closed.items():
                    raw = {f"Contactor{each}": 1 for each in contactors}
                    received[name] = [(self.layout.identifier, self.layout.pack(raw, self.counter))]
            self.now_s += 0.01
            self.rack.tick(received, permission, self.now_s)
        return np.array([twin.readings.string_currents_a[0] for twin in self.rack.twins.values()])

    def inject(self, text: str) -> None:
        for name, items in parse_rack_injections(text, self.known).items():
            twin = self.rack.twins[name]
            twin.injections = Injections(items, self.now_s, twin.injections)


BOTH = ("Positive", "Negative")


def test_the_second_string_comes_to_a_live_bus_and_both_carry(dbc: str) -> None:
    strings = Strings(dbc)
    strings.closed["a"] = ("Negative", "Precharge")
    strings.run(2.0, Permission())
    assert strings.rack.plant.link.voltage_v == pytest.approx(
        strings.rack.twins["a"].readings.string_voltages_v[0], abs=0.5
    )
    strings.closed["a"] = BOTH
    assert strings.run(0.5)[0] == pytest.approx(-20.0, abs=0.1)
    # the other one sees the bus on its own link sensor before it closes
    other = strings.rack.twins["b"].readings
    assert other.string_currents_a[0] == 0.0 and other.link_voltage_v > 50.0
    strings.closed["b"] = BOTH
    assert strings.run(1.0).sum() == pytest.approx(-20.0, abs=0.1)
    assert not strings.rack.open
    # one is lost: the other carries all of it
    strings.inject("[{fault: contactor_drops_out, contactor: positive, pack: a}]")
    currents = strings.run(0.5)
    assert currents[0] == 0.0 and currents[1] == pytest.approx(-20.0, abs=0.1)


def test_the_inverter_stands_still_unless_it_may(dbc: str) -> None:
    strings = Strings(dbc)
    strings.closed = {"a": BOTH, "b": BOTH}
    assert strings.run(1.0, Permission()).sum() == pytest.approx(0.0, abs=0.05)
    strings.inject("[{fault: load, current_a: -500, obeys: true}]")
    assert strings.run(0.5).sum() == pytest.approx(-400.0, abs=1.0), "the limit of the whole rack"
    strings.inject("[{fault: load, current_a: -30, obeys: false}]")
    assert strings.run(0.5, Permission()).sum() == pytest.approx(-30.0, abs=0.5)


def test_unequal_strings_are_set_at_the_start_and_while_it_runs(dbc: str) -> None:
    strings = Strings(dbc, initial_soc=(0.9, 0.2), capacity_factor=(1.0, 0.8), ambient_degc=(25.0, 5.0))
    first, second = (twin.source.truth() for twin in strings.rack.twins.values())
    assert first.cell_soc.mean() == pytest.approx(0.9, abs=0.01)
    assert second.cell_soc.mean() == pytest.approx(0.2, abs=0.01)
    assert second.cell_capacity_ah.mean() == pytest.approx(0.8 * first.cell_capacity_ah.mean(), rel=0.01)
    assert second.cell_core_degc.mean() == pytest.approx(5.0)
    strings.inject("[{fault: condition, soc: 0.5, pack: b}]")
    strings.run(0.1)
    socs = [twin.source.truth().cell_soc.mean() for twin in strings.rack.twins.values()]
    assert socs == pytest.approx([0.9, 0.5], abs=0.01)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ("a", "a")}, "one name of its own"),
        ({"names": ("a",)}, "packs has 2 entries"),
        ({"initial_soc": (0.1, 0.2, 0.3)}, "initial_soc has 3 values for 2 packs"),
        ({"initial_soc": (1.1,)}, "initial_soc is 1.1"),
        ({"capacity_factor": (0.0,)}, "capacity_factor is 0"),
        ({"load": "sea"}, "load is 'sea'"),
        ({"request_on_start": "fly"}, "request_on_start is 'fly'"),
        ({"time_scale": 0.0}, "time_scale is 0.0"),
    ],
)
def test_wrong_settings_of_a_rack_are_refused(changes: dict[str, Any], said: str) -> None:
    settings = RackSettings(**({"names": ("a", "b")} | changes))
    with pytest.raises(ConfigError, match=said):
        build_rack([load_pack(PACK)] * 2, settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{fault: emergency_stop, pack: c}]", "there is no pack 'c'; there are a, b"),
        ("[{fault: hub_down}]", "hub_down concerns all packs"),
        ("{fault: emergency_stop}", "must be a list"),
        ("[emergency_stop]", "must be a mapping"),
        ("[{fault: cell_voltage_offset, cell: 16, offset_v: 1}]", "the last cell is 15"),
        ("[{", "not valid YAML"),
    ],
)
def test_wrong_injections_of_a_rack_are_refused(text: str, said: str) -> None:
    _, known = build_rack([load_pack(PACK)] * 2, RackSettings(names=("a", "b")))
    with pytest.raises(InjectionError, match=said):
        parse_rack_injections(text, known)


def test_one_hub_carries_the_channels_of_all_packs() -> None:
    hub, links = open_rack_buses("socketcand", {"a": "can0", "b": "can1"}, "127.0.0.1", 0, start_hub=True)
    assert hub is not None
    try:
        links["a"].send(0x123, b"\1")
        assert links["b"].receive() == []
        assert all(link.others == 0 for link in links.values())
    finally:
        for link in links.values():
            link.close()
        hub.stop()
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_rack_buses("nonsense", {"a": "can0"}, "", 0, start_hub=False)


def test_a_household_charges_by_day_and_empties_in_the_evening() -> None:
    home = Household(100.0)
    day = np.array([home.current_a(ALLOWED, 60.0) for _ in range(24 * 60)])  # from 9 o'clock
    assert day[120:300].mean() > 5.0 and day[8 * 60 : 13 * 60].mean() < -20.0
    assert day.max() <= 50.0 and day.min() >= -85.0
    again = Household(100.0)
    assert [again.current_a(ALLOWED, 60.0) for _ in range(60)] == day[:60].tolist()
    assert Household(100.0).current_a(Permission(State.CONNECTED, True, 50.0, 50.0), 60.0) == 0.0
    assert Household(100.0, 10.0).current_a(Permission(State.DRIVE, False, 2.0, 3.0), 60.0) in (2.0, -3.0)
