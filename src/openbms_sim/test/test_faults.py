"""Every injection changes what it says while it acts; bad text is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from openbms_sim.faults import FAULTS, InjectionError, parse_injections

MAINS = ("Positive", "Negative")


def cell(host, number: int) -> float:
    return host.seen[f"Cmu{number // 12}_CellVoltages"][f"Cell{number % 12:02d}_Voltage"]


def current(host) -> float:
    return host.seen["Pack_Current"]["StringCurrent"]


# Each row: the injection, what is looked at (of a host that has run), its value with it, tolerance.
TABLE = [
    ("{fault: cell_voltage_offset, cell: 17, offset_v: 0.5}", lambda h: cell(h, 17) - cell(h, 18), 0.5, 0.03),
    ("{fault: cell_voltage_stuck, cell: 17, value_v: 3.3}", lambda h: cell(h, 17), 3.3, 1e-6),
    ("{fault: cell_open_wire, cell: 95}", lambda h: cell(h, 95), 6.5535, 1e-6),
    ("{fault: cell_open_wire, cell: 95}", lambda h: h.seen["Cmu7_Status"]["OpenWire"], 1, 0),
    ("{fault: cell_internal_short, cell: 3, resistance_ohm: 0.1}",
     lambda h: cell(h, 3) - cell(h, 4), -0.6, 0.2),
    ("{fault: temperature_offset, sensor: cell_9, offset_degc: 20}",
     lambda h: h.seen["Cmu2_Temperatures"]["Sensor1_Temperature"], 45.0, 0.5),
    ("{fault: temperature_offset, sensor: 'afe_*', offset_degc: -9}",
     lambda h: h.seen["Cmu7_Status"]["DieTemperature"], 20.0, 0.5),
    ("{fault: temperature_stuck, sensor: ambient, value_degc: -30}",
     lambda h: h.seen["Pack_Thermal"]["AmbientTemperature"], -30.0, 0.03),
    ("{fault: temperature_open, sensor: coolant_in}",
     lambda h: h.seen["Pack_Thermal"]["CoolantInTemperature"], 4095 * 0.05 - 60, 1e-6),
    ("{fault: current_offset, offset_a: 1.5}", current, 1.46, 0.1),
    ("{fault: current_stuck, value_a: -7}", current, -7.0, 1e-6),
    ("[{fault: current_offset, offset_a: 2}, {fault: current_gain, gain: 3}]", current, 5.9, 0.3),
    ("{fault: drop_message, message: 'Cmu4_*'}", lambda h: h.count("Cmu4_Status"), 0, 0),
    ("{fault: drop_message, message: Pack_Current, probability: 0.5}",
     lambda h: h.count("Pack_Current"), 50, 8),
    ("{fault: silent_bus}", lambda h: len(h.frames), 0, 0),
    ("{fault: contactor_feedback, contactor: negative, value: open}",
     lambda h: h.status("ContactorNegative"), 0, 0),
    ("{fault: contactor_feedback, contactor: negative, value: unknown}",
     lambda h: h.status("ContactorNegative"), 3, 0),
    ("{fault: insulation, resistance_ohm: 90000}",
     lambda h: h.seen["Pack_Insulation"]["InsulationResistance"], 90, 0),
    ("{fault: insulation_unknown}", lambda h: h.seen["Pack_Insulation"]["InsulationResistance"], 65535, 0),
    ("{fault: insulation_unknown}", lambda h: h.seen["Pack_Insulation"]["MeasurementState"], 1, 0),
    ("{fault: interlock_open}", lambda h: h.status("Interlock"), 0, 0),
    ("{fault: emergency_stop}", lambda h: h.status("EmergencyStop"), 1, 0),
    ("{fault: smoke}", lambda h: h.status("Smoke"), 1, 0),
    ("{fault: charging_plug, plugged: true}", lambda h: h.status("ChargingPlug"), 1, 0),
    ("{fault: ignition, switched_on: false}", lambda h: h.status("Ignition"), 0, 0),
    ("{fault: supply_voltage, value_v: 8.5}", lambda h: h.seen["Pack_Status"]["SupplyVoltage"], 8.5, 1e-6),
    ("{fault: bleed_stuck_on, cell: 40}", lambda h: h.seen["Cmu3_Status"]["Bleed04"], 1, 0),
    ("{fault: heater_stuck_on}", lambda h: h.seen["Pack_Actuators"]["HeaterFeedback"], 1.0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "look", "expected", "tolerance"), TABLE, ids=[row[0] for row in TABLE])
def test_an_injection_acts_for_its_time_and_leaves_no_trace(
    plant_host, text: str, look, expected: float, tolerance: float
) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(1.5)
    rows = yaml.safe_load(text)
    rows = rows if isinstance(rows, list) else [rows]
    for row in rows:
        row |= {"start_s": 0.5, "duration_s": 2.0}
    host.inject(yaml.safe_dump(rows))
    assert look(host.run(0.4)) != pytest.approx(expected, abs=tolerance)
    host.run(1.0)
    assert look(host.run(1.0)) == pytest.approx(expected, abs=tolerance)
    if not host.twin.device.trip:
        host.run(1.0)
        assert look(host.run(1.0)) != pytest.approx(expected, abs=tolerance)


def test_stuck_without_a_value_keeps_the_value_of_the_moment(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(0.5)
    held = (cell(host, 5), current(host))
    host.inject("[{fault: cell_voltage_stuck, cell: 5}, {fault: current_stuck}]")
    host.run(0.2)
    host.twin._load = lambda permission, dt_s: -15.0
    host.run(1.0)
    assert cell(host, 5) == pytest.approx(held[0], abs=0.01) and cell(host, 6) < cell(host, 5) - 0.1
    assert current(host) == pytest.approx(held[1], abs=0.02)


def test_wrong_checksum_and_frozen_counter(plant_host) -> None:
    host = plant_host.run(0.2)
    host.inject(
        "[{fault: wrong_checksum, message: Pack_Voltages}, {fault: frozen_counter, message: 'Pack_S*'}]"
    )
    host.run(1.0)
    from openbms_core.frame_integrity import checksum

    good = {0x91: 0, 0x90: 0, 0x92: 0}
    counters: dict[int, set[int]] = {0x90: set(), 0x92: set()}
    for identifier, data in host.frames:
        if identifier in good:
            good[identifier] += checksum("crc8_sae_j1850", data[:-1], identifier) == data[-1]
        if identifier in counters:
            counters[identifier].add(data[0] & 0xF)
    assert good == {0x91: 0, 0x90: 10, 0x92: 10}
    assert len(counters[0x90]) == 1 and len(counters[0x92]) == 10


def test_a_welded_contactor_stays_and_the_link_stays_charged_by_it(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(0.5)
    host.inject("[{fault: contactor_welded, contactor: positive}]")
    host.close()
    host.run(0.5)
    assert (host.status("ContactorPositive"), host.status("ContactorNegative")) == (1, 0)
    assert not host.twin.open


def test_a_contactor_that_fails_to_close(plant_host) -> None:
    host = plant_host
    host.inject("[{fault: contactor_fails_to_close, contactor: positive}]")
    host.close(*MAINS)
    host.run(0.5)
    assert (host.status("ContactorPositive"), host.status("ContactorNegative")) == (0, 1)
    host.inject("[]")
    host.run(0.3)
    assert host.status("ContactorPositive") == 1


def test_a_burnt_precharge_resistor_leaves_the_link_flat(plant_host) -> None:
    host = plant_host
    host.inject("[{fault: precharge_resistor_open}]")
    host.close("Negative", "Precharge")
    host.run(2.0)
    assert host.status("ContactorPrecharge") == 1
    assert host.seen["Pack_Voltages"]["LinkVoltage"] < 1.0


def test_a_silent_device_hears_nothing_and_opens(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(0.5)
    host.inject("[{fault: silent_bus}]")
    host.run(0.8)
    assert host.twin.open


def test_jitter_delays_scans_and_loses_none(plant_host) -> None:
    host = plant_host
    host.inject("[{fault: jitter, maximum_s: 0.3}]")
    host.run(5.0)
    scans = host.count("Pack_Status")
    assert 46 <= scans <= 50
    host.inject("")
    host.run(0.5)
    assert scans + host.count("Pack_Status") == 55


def test_the_table_and_the_tests_cover_every_kind() -> None:
    text = " ".join(row[0] for row in TABLE) + Path(__file__).read_text()
    assert [name for name in FAULTS if f"fault: {name}" not in text] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not valid YAML"),
        ("emergency_stop", "must be a list"),
        ("{fault: emergency_stop}", "must be a list"),
        ("[emergency_stop]", r"injections\[0\]: fault must be one of"),
        ("[{fault: nonsense}]", "one of cell_voltage_offset"),
        ("[{fault: cell_open_wire}]", "cell: field required"),
        ("[{fault: cell_open_wire, cell: 96}]", "the last cell is 95"),
        ("[{fault: cell_open_wire, cell: -1}]", "greater than or equal to 0"),
        ("[{fault: cell_open_wire, cell: 1, cells: 2}]", "cells: extra inputs"),
        (
            "[{fault: emergency_stop}, {fault: insulation, resistance_ohm: '5'}]",
            r"injections\[1\].resistance",
        ),
        ("[{fault: temperature_open, sensor: cell_99}]", "nothing is called 'cell_99'"),
        ("[{fault: drop_message, message: Cmu9_*}]", "nothing is called"),
        ("[{fault: drop_message, message: Pack_Status, probability: 2}]", "less than or equal to 1"),
        ("[{fault: current_offset, offset_a: .nan}]", "finite number"),
        ("[{fault: emergency_stop, start_s: -1}]", "start_s"),
        ("[{fault: [1]}]", "fault must be one of"),
    ],
)
def test_bad_text_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InjectionError, match=said) as caught:
        parse_injections(text, cells=96, sensors=["cell_0", "ambient"], messages=["Pack_Status"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "  ", "# nothing", '[{"fault": "smoke", "start_s": 1}]'])
def test_yaml_and_json_and_nothing_are_read(text: str) -> None:
    assert len(parse_injections(text, cells=1, sensors=[], messages=[])) == ("smoke" in text)
