"""Any pack of 1 to 96 cells on the device openbms_cmu: wiring, frames, sensors, bus load, injections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulated_host import DBC, PACKS, Host

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.pack_device import SignalMap
from openbms_sim.bus_load import bus_load
from openbms_sim.faults import InjectionError, parse_injections
from openbms_sim.plant.pack import PackPlant
from openbms_sim.twin import DigitalTwin, check_pack
from openbms_sim.twin_setup import TwinSettings, build_twin, names_of, pack_cell
from openbms_sim.wiring import wiring_of

SIMULATED = ("demo_96s_nmc", "home_16s_lfp", "robot_13s4p", "rack_string")


def shipped(name: str) -> LoadedPack:
    return load_pack(PACKS / f"{name}.yaml")


def host_of(pack: LoadedPack, **options: Any) -> Host:
    count = pack.file.topology.cell_count
    return Host(pack, PackPlant(count, soc=0.6, cell=pack_cell(pack)), **options)


@pytest.mark.parametrize("name", SIMULATED)
def test_every_cell_and_sensor_of_a_shipped_pack_says_its_own_value(name: str) -> None:
    pack = shipped(name)
    host = host_of(pack)
    plant = host.twin.source
    plant.cells.soc = np.linspace(0.3, 0.9, plant.cell_count)
    count = plant.cell_count
    plant.thermal.core_degc = plant.thermal.surface_degc = 20.0 + np.arange(count) * 10.0 / count
    host.run(0.3)
    for entry in pack.file.device.signals:
        if entry.to not in ("cell_voltage_v", "temperature_degc"):
            continue
        for index, message, signal, _ in entry.expanded():
            said = host.seen[message][signal]
            if entry.to == "cell_voltage_v":
                assert said == pytest.approx(host.twin.readings.cell_voltages_v[index], abs=0.003)
                continue
            _, location, near = pack.file.topology.sensors[index]
            if location == "cell":
                true = host.twin.readings.cell_surface_degc[near.start : near.stop].mean()
                assert said == pytest.approx(true, abs=0.2)
            elif location == "ambient":
                assert said == pytest.approx(25.0, abs=0.2)
    pack_v = host.seen["Pack_Voltages"]["StringVoltage"]
    assert pack_v == pytest.approx(host.twin.readings.cell_voltages_v.sum(), abs=0.2)


@pytest.mark.parametrize(
    ("name", "frames", "load"),
    [("demo_96s_nmc", 55, 0.181), ("home_16s_lfp", 17, 0.0776), ("robot_13s4p", 16, 0.0749)],
)
def test_a_scan_has_the_frames_of_its_cells_and_ends_with_the_status(
    name: str, frames: int, load: float, dbc: str
) -> None:
    pack = shipped(name)
    host = host_of(pack).run(0.1).run(0.1)  # the insulation comes with each tenth scan, from the first on
    scan = [identifier for identifier, _ in host.frames if identifier != 0x80]
    assert len(scan) == frames and scan[-1] == 0x90
    wiring, _ = wiring_of(pack.file)
    assert bus_load(dbc, 500_000, wiring.sent_each_scan) == pytest.approx(load, abs=5e-4)


def test_inputs_without_a_cell_say_not_available() -> None:
    host = host_of(shipped("robot_13s4p")).run(0.1)
    voltages = host.seen["Cmu1_CellVoltages"]
    assert voltages["Cell05_Voltage"] < 4.3 and "Cell06_Voltage" not in voltages
    assert host.seen["Cmu0_CellVoltages"]["Cell07_Voltage"] == pytest.approx(6.5535)
    assert host.seen["Cmu1_Temperatures"]["Sensor3_Temperature"] == pytest.approx(144.75)
    assert host.seen["Pack_Thermal"]["CoolantInTemperature"] == pytest.approx(144.75)
    assert "Cmu2_Status" not in host.seen
    sums = [host.seen[f"Cmu{m}_Status"]["ModuleVoltage"] for m in (0, 1)]
    assert sums[0] / sums[1] == pytest.approx(7 / 6, rel=0.01)


def test_each_cell_bleeds_by_its_own_bit() -> None:
    host = host_of(shipped("robot_13s4p"))
    host.send("Bms_Balancing1", Bleed00=1, Bleed05=1, Bleed06=1)  # the last one has no cell
    host.run(0.2)
    assert np.flatnonzero(host.twin.device.bleed).tolist() == [7, 12]
    assert host.seen["Cmu1_Status"]["Bleed05"] == 1 and host.seen["Cmu1_Status"]["Bleed06"] == 0


def one_cell() -> PackFile:
    file = shipped("home_16s_lfp").file
    topology = file.topology.model_copy(
        update={"cells_in_series": 1, "modules": (), "temperature_sensors": ()}
    )
    cell = SignalMap(to="cell_voltage_v", message="Cmu7_CellVoltages", signal="Cell11_Voltage")
    device = file.device.model_copy(update={"signals": (cell,)})
    return file.model_copy(update={"topology": topology, "device": device})


def test_a_single_cell_at_the_last_input(pack: LoadedPack) -> None:
    from openbms_sim.frames import layouts

    twin = DigitalTwin(one_cell(), layouts(str(DBC)), PackPlant(1, soc=0.5))
    frames = [
        frame
        for tick in range(10)
        for frame in twin.tick((), Host(pack, twin.source).permission, tick * 0.01)
    ]
    cells = [data for identifier, data in frames if identifier == 0x170]
    assert len(cells) == 1 and cells[0][0] >> 4 == 3
    assert {identifier for identifier, _ in frames if 0x100 <= identifier < 0x170} == set()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], r"cell_voltage_v\[0\] comes from nowhere"),
        ([("cell_voltage_v", "Cmu8_CellVoltages", "Cell00_Voltage", 0)], "Cmu8_CellVoltages.Cell00_Voltage"),
        ([("cell_voltage_v", "Pack_Voltages", "StringVoltage", 0)], "Pack_Voltages.StringVoltage, which"),
        (
            [("cell_voltage_v", "Cmu0_CellVoltages", "Cell00_Voltage", 0),
             ("cell_voltage_v", "Cmu0_CellVoltages", "Cell01_Voltage", 0)],
            "comes from two inputs",
        ),
    ],
)  # fmt: skip
def test_wrong_wiring_is_refused(entries: list[tuple[str, str, str, int]], said: str) -> None:
    file = one_cell()
    signals = tuple(SignalMap(to=t, message=m, signal=s, first_index=i) for t, m, s, i in entries)
    file = file.model_copy(update={"device": file.device.model_copy(update={"signals": signals})})
    with pytest.raises(ConfigError, match=said):
        check_pack(file)


def test_two_cells_at_one_input_are_refused() -> None:
    file = one_cell()
    signals = tuple(
        SignalMap(to="cell_voltage_v", message="Cmu0_CellVoltages", signal="Cell00_Voltage", first_index=i)
        for i in (0, 1)
    )
    topology = file.topology.model_copy(update={"cells_in_series": 2})
    file = file.model_copy(
        update={"topology": topology, "device": file.device.model_copy(update={"signals": signals})}
    )
    with pytest.raises(
        ConfigError, match=r"cell_voltage_v\[1\] and cell_voltage_v\[0\] come from the same input"
    ):
        check_pack(file)


def test_injections_name_what_the_pack_has() -> None:
    pack = shipped("robot_13s4p")
    _, names = build_twin(pack, TwinSettings())
    assert (names.cells, names.modules) == (13, [0, 1])
    options: dict[str, Any] = vars(names)
    assert len(parse_injections("[{fault: cell_voltage_offset, cell: 12, offset_v: 1}]", **options)) == 1
    for text, said in (
        ("[{fault: cell_voltage_offset, cell: 13, offset_v: 1}]", "the last cell is 12"),
        (
            "[{fault: module_voltage_gain, module: 2, gain: 1.1}]",
            "module: 2 does not exist; this pack has 0, 1",
        ),
        ("[{fault: temperature_open, sensor: cell_6}]", "nothing is called 'cell_6'"),
    ):
        with pytest.raises(InjectionError, match=said):
            parse_injections(text, **options)


def test_faults_of_a_module_stay_in_it() -> None:
    pack = shipped("robot_13s4p")
    host = host_of(pack)
    names = names_of(pack, host.twin.device._layouts)
    from openbms_sim.faults import Injections

    text = (
        "[{fault: module_voltage_gain, module: 1, gain: 0.5}, "
        "{fault: cell_open_wire, cell: 6, mode: mirrored, shift_v: 0.5, time_constant_s: 0.01}]"
    )
    host.twin.injections = Injections(parse_injections(text, **vars(names)), host.now_s)
    host.run(0.5)
    # the topmost wire of unit 0 has no neighbour there: cell 7 belongs to unit 1
    first, second = host.seen["Cmu0_CellVoltages"], host.seen["Cmu1_CellVoltages"]
    assert first["Cell06_Voltage"] == pytest.approx(first["Cell05_Voltage"] - 0.5, abs=0.02)
    assert second["Cell00_Voltage"] == pytest.approx(first["Cell00_Voltage"] / 2, abs=0.02)


def test_what_is_not_built_in_takes_no_power() -> None:
    pack = shipped("robot_13s4p")
    host = host_of(pack)
    host.close("Positive", "Negative")
    host.send("Bms_Command", ContactorPositive=1, ContactorNegative=1, HeaterDuty=1.0, PumpDuty=1.0)
    host.run(0.5)
    assert host.twin.readings.auxiliary_power_w == 0.0
    assert host.twin.readings.actuators == (0.0, 0.0, 0.0, 0.0)
