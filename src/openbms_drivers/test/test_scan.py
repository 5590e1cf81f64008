"""Scans of the demonstration pack: when they close, what each value says."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from demo_device import DemoDevice
from generated_pack import write_pack
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.pack import LoadedPack
from openbms_core.types import UNKNOWN, BusState, PackMeasurement, Validity
from openbms_drivers.database import Database
from openbms_drivers.frame import ERROR, REMOTE, Frame
from openbms_drivers.pack_driver import PackDriver

VALUES_OF = {
    "cell_voltage_validity": ("cell_voltages_v",),
    "redundant_cell_voltage_validity": ("redundant_cell_voltages_v",),
    "temperature_validity": ("temperatures_degc",),
    "string_current_validity": (
        "string_currents_a", "string_current_minimum_a", "string_current_maximum_a",
        "string_charge_increments_ah",
    ),
    "string_charge_counter_validity": ("string_charge_counters_ah",),
    "redundant_string_current_validity": ("redundant_string_currents_a",),
    "string_voltage_validity": ("string_voltages_v",),
    "actuator_feedback_validity": ("actuator_feedback",),
    "link_voltage_validity": ("link_voltage_v",),
    "insulation_resistance_validity": ("insulation_resistance_ohm",),
    "pressure_validity": ("pressure_pa",),
    "supply_voltage_validity": ("supply_voltage_v",),
    "coolant_flow_validity": ("coolant_flow_m3_per_s",),
    "auxiliary_power_validity": ("auxiliary_power_w",),
    "reported_soc_validity": ("reported_soc",),
}  # fmt: skip


def check_invariants(scan: PackMeasurement, pack: LoadedPack) -> None:
    """A value is there exactly where it is valid; every array has its length."""
    for validity_name, names in VALUES_OF.items():
        validity = np.atleast_1d(getattr(scan, validity_name))
        for name in names:
            values = np.atleast_1d(getattr(scan, name))
            assert values.shape == validity.shape, name
            assert (np.isfinite(values) == (validity == Validity.VALID)).all(), name
    assert len(scan.cell_voltages_v) == len(scan.cell_balancing) == pack.file.topology.cell_count
    assert len(scan.temperatures_degc) == len(pack.file.topology.sensor_names)
    assert len(scan.contactor_feedback) == 3 * pack.file.topology.strings
    for name in ("cell_balancing", "contactor_feedback"):
        assert set(np.unique(getattr(scan, name))) <= {0, 1, UNKNOWN}
    for name in ("interlock", "emergency_stop", "ignition", "charging_plug", "smoke", "gas"):
        assert getattr(scan, name) in (0, 1, UNKNOWN)


def feed(driver: PackDriver, frames: list[Frame]) -> list[PackMeasurement]:
    return [scan for scan in map(driver.receive, frames) if scan is not None]


@pytest.fixture
def driver(demo_pack: LoadedPack, demo_database: Database) -> PackDriver:
    driver = PackDriver(demo_pack, database=demo_database)
    driver.health.opened(0.0)
    driver.start(0.0)
    return driver


def test_a_whole_scan(driver: PackDriver, device: DemoDevice, demo_pack: LoadedPack) -> None:
    feed(driver, device.scan(0.9))
    (scan,) = feed(driver, device.scan(1.0, voltage_v=3.6, current_a=-2.0, closed=1))
    check_invariants(scan, demo_pack)
    assert scan.scan_number == 1
    assert scan.scan_duration_s == pytest.approx(0.1)
    assert scan.stamp_s == 1.0
    assert scan.cell_voltages_v == pytest.approx(3.6 + 0.001 * np.arange(96))
    assert (scan.cell_voltage_validity == Validity.VALID).all()
    assert scan.cell_voltage_ages_s == pytest.approx(np.zeros(96))
    assert scan.cell_balancing.tolist() == [1 if index % 12 == 3 else 0 for index in range(96)]
    assert scan.temperatures_degc[:4] == pytest.approx([25, 26, 27, 28])
    assert scan.string_currents_a == pytest.approx([-2.0])
    assert scan.string_charge_increments_ah == pytest.approx([(1.0 - 2.0) / 2 * 0.1 / 3600])
    assert scan.string_charge_counters_ah == pytest.approx([-0.01])
    assert scan.string_voltages_v == pytest.approx([345.6])
    assert scan.link_voltage_v == pytest.approx(3.0)
    assert scan.insulation_resistance_ohm == pytest.approx(1.5e6)
    assert scan.contactor_feedback.tolist() == [1, 1, 0]
    assert (scan.interlock, scan.emergency_stop, scan.ignition) == (1, 0, 1)
    assert (scan.charging_plug, scan.smoke) == (UNKNOWN, UNKNOWN), "codes of error and not available"
    assert scan.coolant_flow_m3_per_s == pytest.approx(1e-4)
    assert scan.supply_voltage_v == pytest.approx(12.5)
    assert scan.gas == 0 and scan.pressure_pa == 101_320
    assert scan.reported_soc_validity == Validity.NOT_FITTED
    assert len(scan.redundant_cell_voltages_v) == 0
    assert (scan.bus_state, scan.bus_message) == (BusState.OK, "")
    assert (scan.frames_received, scan.frames_rejected) == (57, 0)


def test_positive_current_charges(driver: PackDriver, device: DemoDevice) -> None:
    feed(driver, device.scan(0.9, current_a=5.0))
    (scan,) = feed(driver, device.scan(1.0, current_a=5.0))
    assert scan.string_charge_increments_ah[0] > 0


def test_an_old_value_is_never_new(driver: PackDriver, device: DemoDevice, demo_pack: LoadedPack) -> None:
    feed(driver, device.scan(1.0))
    late = [frame for frame in device.scan(1.5) if frame.identifier != 0x100]  # unit 0 hangs
    (scan,) = feed(driver, late)
    check_invariants(scan, demo_pack)
    assert (scan.cell_voltage_validity[:12] == Validity.STALE).all()
    assert (scan.cell_voltage_validity[12:] == Validity.VALID).all()
    assert scan.cell_voltage_ages_s[:12] == pytest.approx(np.full(12, 0.5))


def test_before_the_first_frame_everything_is_missing(driver: PackDriver, demo_pack: LoadedPack) -> None:
    assert driver.tick(0.05, 0.05) is None
    scan = driver.tick(0.1, 0.1)
    assert scan is not None
    check_invariants(scan, demo_pack)
    assert scan.bus_state == BusState.CONNECTING
    assert (scan.cell_voltage_validity == Validity.BUS_LOST).all()
    assert np.isnan(scan.cell_voltage_ages_s).all()


def test_missing_where_only_some_frames_came(driver: PackDriver, device: DemoDevice) -> None:
    (scan,) = feed(driver, [device.current(1.0, 0.5), device.frame("Pack_Status", at_s=0.5)])
    assert (scan.cell_voltage_validity == Validity.MISSING).all()
    assert scan.string_current_validity.tolist() == [Validity.VALID]


def test_bus_lost_ends_every_value(driver: PackDriver, device: DemoDevice, demo_pack: LoadedPack) -> None:
    feed(driver, device.scan(1.0))
    driver.health.lost("the cable is off")
    scan = driver.tick(1.2, 1.2)
    assert scan is not None
    check_invariants(scan, demo_pack)
    assert (scan.bus_state, scan.bus_message) == (BusState.CONNECTING, "the cable is off")
    assert (scan.cell_voltage_validity == Validity.BUS_LOST).all()
    assert scan.reported_soc_validity == Validity.NOT_FITTED
    assert scan.interlock == UNKNOWN
    assert scan.contactor_feedback.tolist() == [UNKNOWN] * 3
    driver.health.opened(1.3)
    (scan,) = feed(driver, device.scan(1.4))
    assert (scan.cell_voltage_validity == Validity.VALID).all()


def test_without_trigger_a_scan_comes_by_time(driver: PackDriver, device: DemoDevice) -> None:
    feed(driver, device.scan(1.0))
    feed(driver, [device.current(1.0, 1.1)])
    assert driver.tick(1.149, 1.149) is None, "the trigger may be late by half a period"
    assert driver.tick(1.151, 1.151) is not None
    assert driver.tick(1.252, 1.252) is not None, "from then on in step with the period"
    (scan,) = feed(driver, device.scan(1.3))
    assert scan.scan_number == 3
    assert driver.tick(1.42, 1.42) is None, "and with the trigger again"


def test_a_device_that_triggers_too_fast_is_slowed_down(driver: PackDriver, device: DemoDevice) -> None:
    scans = feed(driver, [device.frame("Pack_Status", at_s=1.0 + 0.0005 * step) for step in range(200)])
    assert len(scans) <= 21


def test_every_current_frame_beyond_the_safety_limit_gives_a_scan(
    driver: PackDriver, device: DemoDevice
) -> None:
    feed(driver, device.scan(1.0))
    scans = [
        feed(driver, [device.current(a, 1.0 + 0.01 * n)])
        for n, a in enumerate((-21.9, -22.1, -30.0, -10.0), 1)
    ]
    assert [len(found) for found in scans] == [0, 1, 1, 0]
    assert scans[1][0].string_current_minimum_a == pytest.approx([-22.1])
    assert scans[2][0].string_current_samples.tolist() == [1]
    assert len(feed(driver, [device.current(7.1, 1.06)])) == 1, "and in the other direction by its own limit"


def test_current_frames_that_come_faster_than_scans_may_close_one_a_spacing(
    driver: PackDriver, device: DemoDevice
) -> None:
    feed(driver, device.scan(1.0))
    frames = [device.current(-30.0, 1.01 + 0.002 * n) for n in range(20)]
    scans = feed(driver, frames)
    assert len(scans) == 7, "at once, then not more often than every 5 ms"
    assert scans[0].string_current_samples.tolist() == [1]
    assert scans[1].string_current_samples.tolist() == [3], "no frame is left out"


def test_the_trigger_right_behind_an_urgent_scan_is_not_lost(driver: PackDriver, device: DemoDevice) -> None:
    feed(driver, device.scan(1.0))
    assert len(feed(driver, [device.current(-30.0, 1.099)])) == 1
    assert feed(driver, device.scan(1.1, voltage_v=3.0)) == [], "1 ms later: too early"
    assert driver.scan.deadline_s == pytest.approx(1.104)
    scan = driver.tick(1.104, 1.104)
    assert scan is not None
    assert scan.cell_voltages_v[0] == pytest.approx(3.0)
    assert driver.scan.deadline_s == pytest.approx(1.254), "it counts as triggered: 1.5 periods to the next"


def test_a_current_sensor_that_fails_is_said_at_once(driver: PackDriver, device: DemoDevice) -> None:
    feed(driver, device.scan(1.0))
    broken = device.frame("Pack_Current", {"SensorError": 1}, at_s=1.01)
    (scan,) = feed(driver, [broken])
    assert scan.string_current_validity.tolist() == [Validity.NOT_AVAILABLE]
    assert feed(driver, [device.frame("Pack_Current", {"SensorError": 1}, at_s=1.02)]) == []


def test_a_gap_in_the_current_is_said(driver: PackDriver, device: DemoDevice, demo_pack: LoadedPack) -> None:
    feed(driver, device.scan(1.0))
    (scan,) = feed(driver, device.scan(1.35))
    check_invariants(scan, demo_pack)
    assert scan.string_current_validity.tolist() == [Validity.STALE], (
        "0.35 s without current: charge is missing"
    )
    (scan,) = feed(driver, device.scan(1.45))
    assert scan.string_current_validity.tolist() == [Validity.VALID]


def test_a_step_of_the_system_clock_is_not_charge(driver: PackDriver, device: DemoDevice) -> None:
    feed(driver, device.scan(1.0, current_a=3.6))
    feed(driver, [device.current(3.6, 1.05, stamp_s=1e9)])
    frame = device.frame("Pack_Status", at_s=1.1, stamp_s=1e9 + 0.05)
    (scan,) = feed(driver, [frame])
    assert scan.string_charge_increments_ah == pytest.approx([3.6 * 0.1 / 3600])


def test_simulated_time_runs_faster(demo_pack: LoadedPack, device: DemoDevice) -> None:
    driver = PackDriver(demo_pack, simulated=True)
    driver.health.opened(0.0)
    driver.start(0.0)
    feed(
        driver,
        [device.current(3.6, 0.01, stamp_s=100.0), device.frame("Pack_Status", at_s=0.01, stamp_s=100.0)],
    )
    frames = [device.current(3.6, 0.01 + 0.001 * n, stamp_s=100.0 + 0.01 * n) for n in range(1, 11)]
    (scan,) = feed(driver, [*frames, device.frame("Pack_Status", at_s=0.02, stamp_s=100.1)])
    assert scan.string_charge_increments_ah == pytest.approx([3.6 * 0.1 / 3600])
    assert scan.scan_duration_s == pytest.approx(0.1)
    assert scan.stamp_s == pytest.approx(100.1)


def test_several_strings_and_reported_pairs(tmp_path: Path) -> None:
    dbc = """
BO_ 1 Currents: 4 DEV
 SG_ I0 : 0|16@1- (0.1,0) [0|0] "A" BMS
 SG_ I1 : 16|16@1- (0.1,0) [0|0] "A" BMS

BO_ 2 Extremes: 4 DEV
 SG_ Low : 0|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ High : 16|16@1+ (0.001,0) [0|0] "V" BMS

BO_ 3 Hottest: 1 DEV
 SG_ Tmax : 0|8@1- (1,0) [0|0] "degC" BMS
"""
    signals = [
        {
            "to": "string_current_a",
            "message": "Currents",
            "signal": "I{s}",
            "repeat": {"s": [0, 1]},
            "scale": -1.0,
        },
        {
            "to": "redundant_string_current_a",
            "message": "Currents",
            "signal": "I1",
            "first_index": 1,
            "scale": -1.0,
        },
        {"to": "reported_cell_voltage_minimum_v", "message": "Extremes", "signal": "Low"},
        {"to": "reported_cell_voltage_maximum_v", "message": "Extremes", "signal": "High", "maximum": 5.0},
        {"to": "reported_temperature_maximum_degc", "message": "Hottest", "signal": "Tmax"},
    ]
    pack = write_pack(tmp_path, dbc, signals, strings=2, cells=3, trigger_message="Hottest")
    driver = PackDriver(pack)
    driver.health.opened(0.0)
    driver.start(0.0)

    def turn(at_s: float, low: int, high: int) -> PackMeasurement:
        frames = [
            Frame(1, (100).to_bytes(2, "little") + (-200).to_bytes(2, "little", signed=True), 0, at_s, at_s),
            Frame(2, low.to_bytes(2, "little") + high.to_bytes(2, "little"), 0, at_s, at_s),
            Frame(3, b"\xf6", 0, at_s, at_s),
        ]
        (scan,) = feed(driver, frames)
        check_invariants(scan, pack)
        return scan

    turn(0.05, 3500, 3600)
    scan = turn(0.1, 3500, 3600)
    assert scan.string_currents_a == pytest.approx([-10.0, 20.0]), (
        "the sign of a device that counts discharge is flipped"
    )
    assert scan.string_charge_increments_ah == pytest.approx([-10 * 0.05 / 3600, 20 * 0.05 / 3600])
    assert scan.redundant_string_current_validity.tolist() == [Validity.NOT_FITTED, Validity.VALID]
    assert (scan.reported_cell_voltage_minimum_v, scan.reported_cell_voltage_maximum_v) == pytest.approx(
        (3.5, 3.6)
    )
    assert scan.reported_temperature_maximum_degc == -10.0
    assert math.isnan(scan.reported_temperature_minimum_degc)
    assert scan.reported_temperature_validity == Validity.VALID
    scan = turn(0.15, 3500, 6000)
    assert scan.reported_cell_voltage_validity == Validity.IMPLAUSIBLE
    assert math.isnan(scan.reported_cell_voltage_minimum_v), "both go where one is not valid"


identifiers = st.sampled_from(
    [0x80, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x100, 0x101, 0x102, 0x170, 0x50, 0x7FF, 5]
)
arbitrary = st.tuples(
    identifiers,
    st.binary(max_size=10),
    st.sampled_from([0, 0, 0, 1, 2, ERROR, REMOTE]),
    st.floats(0, 0.3),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(frames=st.lists(arbitrary, max_size=60), real=st.lists(st.booleans(), max_size=4))
def test_whatever_comes_a_scan_holds(
    demo_pack: LoadedPack,
    demo_database: Database,
    frames: list[tuple[int, bytes, int, float, bool]],
    real: list[bool],
) -> None:
    driver, device = PackDriver(demo_pack, database=demo_database), DemoDevice(demo_pack, demo_database)
    now = 0.0
    driver.health.opened(0.0)
    driver.start(0.0)
    scans = []
    for send in real:
        now += 0.1
        scans += feed(driver, device.scan(now)) if send else []
    for identifier, data, flags, wait, tick in frames:
        now += wait
        scans.append(driver.receive(Frame(identifier, data, flags, now, now)))
        if tick:
            scans.append(driver.tick(now, now))
    scans.append(driver.scan.close(now, now, *driver.health.judge(now)))
    found = [scan for scan in scans if scan is not None]
    for scan in found:
        check_invariants(scan, demo_pack)
    assert [scan.scan_number for scan in found] == list(range(len(found)))
    assert {item.name for item in fields(PackMeasurement)} >= set(VALUES_OF)
