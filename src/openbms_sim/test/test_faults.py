"""Every injection changes what it says while it acts; bad text is refused in one sentence."""

from __future__ import annotations

import statistics
from itertools import pairwise
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
    ("{fault: cell_voltage_gain, cell: 17, gain: 1.1}", lambda h: cell(h, 17) / cell(h, 18), 1.1, 0.01),
    ("{fault: cell_voltage_drift, cell: 17, rate_v_per_s: -0.1}",
     lambda h: cell(h, 17) - cell(h, 18), -0.2, 0.06),
    ("{fault: cell_open_wire, cell: 17, mode: mirrored, shift_v: 0.8}",
     lambda h: cell(h, 17) - cell(h, 16), -0.76, 0.06),
    ("{fault: cell_open_wire, cell: 17, mode: mirrored, shift_v: 0.8}",
     lambda h: cell(h, 18) - cell(h, 19), 0.76, 0.06),
    ("{fault: cell_open_wire, cell: 17, mode: drifting, rate_v_per_s: 0.5}",
     lambda h: cell(h, 17) - cell(h, 18), -1.9, 0.25),
    ("{fault: module_voltage_gain, module: 2, gain: 0.9}", lambda h: cell(h, 30) / cell(h, 40), 0.9, 0.01),
    ("{fault: module_voltage_gain, module: 2, gain: 0.9}",
     lambda h: h.seen["Cmu2_Status"]["ModuleVoltage"] / h.seen["Cmu3_Status"]["ModuleVoltage"], 0.9, 0.01),
    ("{fault: temperature_gain, sensor: cell_9, gain: 2, reference_degc: 0}",
     lambda h: h.seen["Cmu2_Temperatures"]["Sensor1_Temperature"], 50.0, 0.6),
    ("{fault: temperature_drift, sensor: cell_9, rate_degc_per_s: 5}",
     lambda h: h.seen["Cmu2_Temperatures"]["Sensor1_Temperature"], 35.0, 3.0),
    ("{fault: current_drift, rate_a_per_s: 2}", current, 3.7, 0.5),
    ("{fault: current_unavailable}", lambda h: h.seen["Pack_Current"]["SensorError"], 1, 0),
    ("{fault: current_offset, offset_a: 1.5, which: redundant}",
     lambda h: h.seen["Pack_CurrentRedundant"]["StringCurrent"], 1.46, 0.1),
    ("{fault: current_offset, offset_a: 4, which: both}",
     lambda h: h.seen["Pack_CurrentRedundant"]["StringCurrent"] + current(h), 7.92, 0.1),
    ("{fault: string_voltage_gain, gain: 1.1}",
     lambda h: h.seen["Pack_Voltages"]["StringVoltage"] / h.seen["Pack_Voltages"]["LinkVoltage"], 1.1, 0.01),
    ("{fault: string_voltage_stuck, value_v: 300}",
     lambda h: h.seen["Pack_Voltages"]["StringVoltage"], 300, 0.001),
    ("{fault: link_voltage_offset, offset_v: -40}",
     lambda h: h.seen["Pack_Voltages"]["LinkVoltage"] - h.seen["Pack_Voltages"]["StringVoltage"], -40, 1),
    ("{fault: link_voltage_unavailable}",
     lambda h: h.seen["Pack_Voltages"]["LinkVoltage"], 0xFFFFFF * 0.001, 1e-6),
    ("{fault: chiller_dead}", lambda h: h.seen["Pack_Actuators"]["ChillerFeedback"], 0.0, 0),
    ("{fault: heater_dead}", lambda h: h.seen["Pack_Actuators"]["HeaterFeedback"], 0.0, 0),
    ("{fault: string_voltage_offset, offset_v: -40}",
     lambda h: h.seen["Pack_Voltages"]["StringVoltage"] - h.seen["Pack_Voltages"]["LinkVoltage"], -40, 1),
    ("{fault: link_voltage_gain, gain: 0.5}",
     lambda h: h.seen["Pack_Voltages"]["LinkVoltage"] / h.seen["Pack_Voltages"]["StringVoltage"], 0.5, 0.01),
    ("{fault: link_voltage_stuck, value_v: 12}", lambda h: h.seen["Pack_Voltages"]["LinkVoltage"], 12, 0.01),
    ("{fault: string_voltage_unavailable}",
     lambda h: h.seen["Pack_Voltages"]["StringVoltage"], 0xFFFFFF * 0.001, 1e-6),
    ("{fault: coolant_flow_stuck, value_l_per_min: 3}",
     lambda h: h.seen["Pack_Thermal"]["CoolantFlow"], 3.0, 0.01),
    ("{fault: coolant_blocked, remaining: 0.2}",
     lambda h: h.seen["Pack_Thermal"]["CoolantFlow"], 2.0, 0.01),
    ("{fault: pump_stopped}", lambda h: h.seen["Pack_Actuators"]["PumpFeedback"], 0.0, 0),
    ("{fault: pump_stopped, feedback_right: false}",
     lambda h: h.seen["Pack_Thermal"]["CoolantFlow"] + 10 * h.seen["Pack_Actuators"]["PumpFeedback"], 10, 0),
    ("{fault: fan_dead}", lambda h: h.seen["Pack_Actuators"]["FanFeedback"], 0.0, 0),
    ("{fault: input_unknown, input: interlock}", lambda h: h.status("Interlock"), 3, 0),
    ("{fault: input_unknown, input: gas}", lambda h: h.seen["Pack_Environment"]["Gas"], 3, 0),
    ("{fault: gas}", lambda h: h.seen["Pack_Environment"]["Gas"], 1, 0),
    ("{fault: pressure, value_pa: 120000}", lambda h: h.seen["Pack_Environment"]["Pressure"], 120_000, 10),
    ("{fault: pressure, value_pa: 120000, ramp_s: 4}",
     lambda h: h.seen["Pack_Environment"]["Pressure"], 110_600, 1500),
    ("{fault: pressure_unavailable}", lambda h: h.seen["Pack_Environment"]["Pressure"], 655_350, 0),
    ("{fault: load, current_a: -12}", current, -12.1, 0.1),
    ("{fault: load, current_a: -200}", current, -30.1, 0.1),
    ("{fault: load, current_a: -200, obeys: false}", current, -200.1, 0.1),
    ("{fault: connection_resistance, cell: 4, resistance_ohm: 0.1}, {fault: load, current_a: -10}",
     lambda h: cell(h, 4) - cell(h, 5), -1.0, 0.05),
    ("{fault: cell_self_discharge, cell: 7, current_a: 20}", lambda h: cell(h, 7) - cell(h, 8), -0.5, 0.15),
    ("{fault: duplicate_message, message: Pack_Voltages, copies: 2}",
     lambda h: h.count("Pack_Voltages"), 30, 0),
    ("{fault: wrong_length, message: Pack_Voltages, length: 3}",
     lambda h: {len(data) for number, data in h.frames if number == 0x91} == {3}, 1, 0),
    ("{fault: bus_off}", lambda h: len(h.frames), 0, 0),
    ("{fault: bit_rate_mismatch, error_frames: false}", lambda h: len(h.frames), 0, 0),
    ("{fault: bit_rate_mismatch}", lambda h: {number for number, _ in h.frames} == {0x2000_0008}, 1, 0),
    ("{fault: bus_errors, rate_per_s: 100}",
     lambda h: sum(number == 0x2000_0008 for number, _ in h.frames) > 3, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "look", "expected", "tolerance"), TABLE, ids=[row[0] for row in TABLE])
def test_an_injection_acts_for_its_time_and_leaves_no_trace(
    plant_host, text: str, look, expected: float, tolerance: float
) -> None:
    host = plant_host
    host.close(*MAINS)
    for word in ("Pump", "Fan", "Heater", "Chiller"):
        needed = word.lower() in text.replace("coolant", "pump")
        host.command[f"{word}Duty"] = 1.0 if needed and "stuck" not in text.replace("flow_stuck", "") else 0.0
    host.run(1.5)
    rows = yaml.safe_load(text if text[0] == "[" else f"[{text}]")
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


def spread(host, look, scans: int = 100) -> float:
    values = [look(host.run(0.1)) for _ in range(scans)]
    return statistics.pstdev(values)


@pytest.mark.parametrize(
    ("text", "look", "sigma"),
    [
        ("{fault: cell_voltage_noise, cell: 17, sigma_v: 0.05}", lambda h: cell(h, 17), 0.05),
        ("{fault: temperature_noise, sensor: ambient, sigma_degc: 3}",
         lambda h: h.seen["Pack_Thermal"]["AmbientTemperature"], 3.0),
        ("{fault: current_noise, sigma_a: 0.5}", current, 0.5),
        ("{fault: string_voltage_noise, sigma_v: 4}",
         lambda h: h.seen["Pack_Voltages"]["StringVoltage"], 4.0),
        ("{fault: link_voltage_noise, sigma_v: 2}",
         lambda h: h.seen["Pack_Voltages"]["LinkVoltage"] - h.seen["Pack_Voltages"]["StringVoltage"], 2.0),
    ],
)  # fmt: skip
def test_noise_has_its_size_and_healthy_sensors_have_little(plant_host, text, look, sigma) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(5.0)
    healthy = spread(host, look, 30)
    assert 0 < healthy < 0.15 * sigma
    host.inject(f"[{text}]")
    host.run(0.1)
    assert spread(host, look) == pytest.approx(sigma, rel=0.25)


def test_the_open_wire_at_the_top_of_a_module_has_no_neighbour(plant_host) -> None:
    host = plant_host.run(0.3)
    host.inject("[{fault: cell_open_wire, cell: 23, mode: drifting, rate_v_per_s: 5}]")
    host.run(2.0)
    assert cell(host, 23) == 0.0, "the converter clips"
    assert cell(host, 24) == pytest.approx(cell(host, 25), abs=0.03)
    assert host.seen["Cmu1_Status"]["OpenWire"] == 0, "the front end has not looked"


def test_a_frozen_front_end_and_a_frozen_controller_repeat_but_count(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(1.0)
    for text, fixed, moves in (
        ("[{fault: module_voltage_stuck, module: 1}]", range(12, 24), range(24, 36)),
        ("[{fault: frozen_scan}]", range(12, 36), range(0)),
    ):
        host.inject("")
        host.twin._load = lambda permission, dt_s: 0.0
        host.run(2.0)
        host.inject(text)
        host.run(0.2)
        before = {c: cell(host, c) for c in range(36)}
        scans = host.status("ScanCounter")
        host.twin._load = lambda permission, dt_s: -15.0
        host.run(1.0)
        assert all(cell(host, c) == before[c] for c in fixed)
        assert all(cell(host, c) < before[c] - 0.1 for c in moves)
        assert host.status("ScanCounter") == scans + 10 and host.count("Cmu1_CellVoltages") == 40


def test_a_counter_that_jumps_leaves_numbers_out(plant_host) -> None:
    host = plant_host.run(0.2)
    host.inject("[{fault: counter_jump, message: Pack_Voltages, jump: 4}]")
    host.run(1.0)
    counters = [data[0] & 0xF for number, data in host.frames if number == 0x91]
    assert [(b - a) % 16 for a, b in pairwise(counters)] == [5] * 9


def test_a_restarted_device_is_silent_then_deaf_and_closes_only_after_an_order_to_open(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(1.0)
    host.inject("[{fault: device_reboot, silence_s: 0.5, refuse_s: 1.0}]")
    host.run(0.4)
    assert host.frames == [] and host.twin.open
    host.run(0.3)
    assert host.status("ScanCounter") <= 2 and host.status("TripReason") == 4
    rejected = host.twin.device.rejected
    host.run(2.0)
    assert host.twin.device.rejected > rejected and host.twin.open, "what was commanded before does not count"
    host.close()
    host.run(0.5)
    host.close(*MAINS)
    host.run(0.5)
    assert not host.twin.open and host.status("TripReason") == 0


def test_a_contactor_drops_out_by_itself(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(0.5)
    host.inject("[{fault: contactor_drops_out, contactor: negative}]")
    host.run(0.3)
    assert (host.status("ContactorPositive"), host.status("ContactorNegative")) == (1, 0)


def test_a_load_on_the_link_keeps_the_precharge_from_ending(plant_host) -> None:
    host = plant_host
    host.inject("[{fault: link_load, resistance_ohm: 200}]")
    host.close("Negative", "Precharge")
    host.run(3.0)
    string_v, link_v = (host.seen["Pack_Voltages"][f"{name}Voltage"] for name in ("String", "Link"))
    assert link_v == pytest.approx(0.5 * string_v, rel=0.05)


def test_a_bleed_resistor_may_lie(plant_host) -> None:
    host = plant_host
    host.inject("[{fault: bleed_stuck_on, cell: 40, reported: false}]")
    host.run(0.5)
    assert host.seen["Cmu3_Status"]["Bleed04"] == 0 and host.twin.device.bleed[40]
    assert host.twin.source.bled_charge_ah[40] > 0.0


@pytest.mark.parametrize("ambient", [-10.0, 40.0])
def test_a_condition_is_put_once(plant_host, ambient: float) -> None:
    host = plant_host
    host.inject(f"[{{fault: condition, soc: 0.3, temperature_degc: {ambient}, ambient_degc: {ambient}}}]")
    host.run(0.2)
    truth = host.twin.source.truth()
    assert truth.cell_soc.mean() == pytest.approx(0.3, abs=1e-3) and truth.cell_soc.std() > 0.001
    assert host.seen["Cmu2_Temperatures"]["Sensor1_Temperature"] == pytest.approx(ambient, abs=0.5)
    assert host.seen["Pack_Thermal"]["AmbientTemperature"] == pytest.approx(ambient, abs=0.3)
    host.inject("[{fault: condition, cell: 9, soc: 0.05}]")
    host.run(0.2)
    soc = host.twin.source.truth().cell_soc
    assert soc[9] == pytest.approx(0.05, abs=1e-3) and soc[8] > 0.28


def test_a_condition_may_be_reached_evenly(plant_host) -> None:
    host = plant_host.run(0.2)
    host.inject("[{fault: condition, soc: 0.2, temperature_degc: 45, ambient_degc: 45, ramp_s: 10}]")
    for passed in (2.5, 5.0, 7.5, 10.0):
        host.run(2.5)
        truth = host.twin.source.truth()
        assert truth.cell_soc.mean() == pytest.approx(0.6 - 0.04 * passed, abs=0.002)
        assert truth.cell_core_degc.mean() == pytest.approx(25 + 2 * passed, abs=0.3)
    host.run(1.0)
    assert host.twin.source.truth().cell_soc.mean() == pytest.approx(0.2, abs=0.002)


def test_insulation_falls_evenly_on_a_logarithmic_scale(plant_host) -> None:
    host = plant_host.run(1.05)
    host.inject("[{fault: insulation, resistance_ohm: 5000, ramp_s: 6}]")
    seen = [host.run(2.0).seen["Pack_Insulation"]["InsulationResistance"] for _ in range(4)]
    assert seen[0] == pytest.approx(5000 / 10 ** (3 * 1.0 / 6), rel=0.5)
    assert seen == sorted(seen, reverse=True) and seen[-1] == 5


def test_the_clock_steps_and_comes_back(plant_host) -> None:
    host = plant_host
    host.inject("[{fault: clock_step, step_s: -3600, duration_s: 0.5}]")
    host.run(0.2)
    assert host.twin.clock_step_s == -3600.0
    host.run(0.5)
    assert host.twin.clock_step_s == 0.0


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
    text = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name in FAULTS if f"fault: {name}" not in text] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not valid YAML"),
        ("emergency_stop", "must be a list"),
        ("{fault: emergency_stop}", "must be a list"),
        ("[emergency_stop]", r"injections\[0\]: fault must be one of"),
        ("[{fault: nonsense}]", "one of cell_open_wire"),
        (
            "[{fault: cell_open_wires}]",
            r"injections\[0\]: .*'cell_open_wires'. Did you mean 'cell_open_wire'",
        ),
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
