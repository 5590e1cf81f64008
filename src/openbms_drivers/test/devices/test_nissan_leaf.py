"""The Leaf packs: frames and answers as cars send them, and real logs against what others decoded from them.

The real logs are not in the project: those tests run where ``OPENBMS_REFERENCE_DATA`` names a folder that has
``can/*.candump.log.gz``, by default the folder ``shared/data`` beside the checkout.
"""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest

from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import PackMeasurement, Validity
from openbms_drivers.frame import EXTENDED, Frame
from openbms_drivers.pack_driver import PackDriver

_BESIDE = Path(__file__).resolve().parents[5] / "shared" / "data"
DATA = Path(os.environ.get("OPENBMS_REFERENCE_DATA", _BESIDE)) / "can"
NAMES = ("nissan_leaf_24kwh", "nissan_leaf_40kwh", "nissan_leaf_62kwh")
VALID = int(Validity.VALID)


def answer_frames(answer: bytes, start_s: float, identifier: int = 0x7BB) -> list[Frame]:
    """Cut an answer into ISO-TP frames (ISO 15765-2), 10 ms apart, written without the driver's library."""
    parts = [bytes((0x10 | len(answer) >> 8, len(answer) & 0xFF)) + answer[:6]]
    rest = answer[6:]
    for number in range(math.ceil(len(rest) / 7)):
        part = rest[7 * number : 7 * number + 7]
        parts.append(bytes((0x20 | (number + 1) % 16,)) + part.ljust(7, b"\xff"))
    return [
        Frame(identifier, part, 0, start_s + 0.01 * n, start_s + 0.01 * n) for n, part in enumerate(parts)
    ]


def frame_1db(current_a: float, voltage_v: float, counter: int, time_s: float) -> Frame:
    """Build 0x1DB bit by bit, with its checksum."""
    raw_current, raw_voltage = round(2.0 * current_a) & 0x7FF, round(2.0 * voltage_v)
    data = bytearray(8)
    data[0], data[1] = raw_current >> 3, (raw_current & 7) << 5
    data[2], data[3] = raw_voltage >> 2, (raw_voltage & 3) << 6 | 0x2A
    data[6] = counter % 4
    register = 0
    for byte in data[:7]:
        for bit in range(7, -1, -1):
            top = register >> 7 ^ byte >> bit & 1
            register = register << 1 & 0xFF ^ 0x85 * top
    data[7] = register
    return Frame(0x1DB, bytes(data), 0, time_s, time_s)


def replay(driver: PackDriver, frames: list[Frame]) -> list[PackMeasurement]:
    """Feed frames; scans are closed by time as well."""
    scans = []
    driver.start(frames[0].monotonic_s)
    driver.health.opened(frames[0].monotonic_s)
    for frame in frames:
        scan = driver.receive(frame) or driver.tick(frame.monotonic_s, frame.stamp_s)
        if scan is not None:
            scans.append(scan)
    return scans


@pytest.fixture(scope="module", params=NAMES)
def pack(request: pytest.FixtureRequest) -> LoadedPack:
    return load_pack(request.param)


def test_pack_file_fits_together(pack: LoadedPack) -> None:
    check_pack(pack)
    driver = PackDriver(pack)
    assert not driver.uses_fd
    assert not driver.decoder.warnings
    assert not any(plan.by_cantools for plan in driver.decoder.plans)
    assert pack.file.contactors.authority == "none"


def test_every_cell_in_its_place(pack: LoadedPack) -> None:
    driver = PackDriver(pack)
    millivolts = [3000 + 7 * cell for cell in range(96)]
    answer = b"\x61\x02" + b"".join(v.to_bytes(2, "big") for v in millivolts) + bytes.fromhex("8C008BD8")
    assert len(answer) == 198
    frames = [frame_1db(-12.5, 358.0, n, 0.01 * n) for n in range(20)] + answer_frames(answer, 0.2)
    frames += [frame_1db(-12.5, 358.0, n, 0.6 + 0.01 * n) for n in range(25)]
    scan = replay(driver, frames)[-1]
    np.testing.assert_allclose(scan.cell_voltages_v, np.array(millivolts) / 1000.0)
    assert set(scan.cell_voltage_validity) == {VALID}
    assert scan.string_currents_a[0] == pytest.approx(-12.5)
    assert scan.string_voltages_v[0] == pytest.approx(358.0)


def test_discharging_is_negative(pack: LoadedPack) -> None:
    driver = PackDriver(pack)
    frames = [frame_1db(-200.0, 350.0, n, 0.01 * n) for n in range(15)]
    assert replay(driver, frames)[-1].string_currents_a[0] == -200.0


def test_values_that_are_not_there_are_not_numbers(pack: LoadedPack) -> None:
    driver = PackDriver(pack)
    cells = bytearray(b"\x61\x02" + b"\x0e\x94" * 96 + b"\xff" * 4)
    cells[2 + 2 * 40 : 4 + 2 * 40] = b"\xff\xff"
    frames = [frame_1db(511.5, 511.5, n, 0.01 * n) for n in range(20)]
    frames += answer_frames(bytes(cells), 0.2)
    # the third sensor of a pack that has only three
    frames += answer_frames(bytes.fromhex("610402510c024d0dffffff024dfd0c00"), 0.55)
    scan = replay(driver, [*frames, frame_1db(511.5, 511.5, 20, 0.7)])[-1]
    assert math.isnan(scan.string_currents_a[0]) and math.isnan(scan.string_voltages_v[0])
    assert math.isnan(scan.cell_voltages_v[40]) and np.isfinite(scan.cell_voltages_v).sum() == 95
    sensors = dict(zip(pack.file.topology.sensor_names, scan.temperatures_degc, strict=True))
    assert (sensors["pack_1"], sensors["pack_2"], sensors["pack_4"]) == (12.0, 13.0, -3.0)
    if "pack_3" in sensors:
        assert math.isnan(sensors["pack_3"])
        assert scan.temperature_validity[2] == Validity.NOT_AVAILABLE


def test_answer_of_another_generation_is_refused() -> None:
    driver = PackDriver(load_pack("nissan_leaf_24kwh"))
    long = bytes.fromhex(
        "6101fffffc9502affffffd15fffff92a1b582af88c0036f903ff00017000227a0008ea67001098bb002d05fffffd15fffffc1501ae"
    )
    frames = [frame_1db(0.0, 358.0, n, 0.01 * n) for n in range(20)] + answer_frames(long, 0.2)
    scan = replay(driver, [*frames, frame_1db(0.0, 358.0, 20, 0.5)])[-1]
    assert math.isnan(scan.supply_voltage_v)
    assert "53 bytes, not 41" in driver.poll_reports(0.5)[0]["poll_state"]


def test_published_answer_of_a_24_kwh_pack() -> None:
    """Group 1 as the OVMS project prints it in its documentation of the car (39 bytes behind 61 01)."""
    answer = bytes.fromhex(
        "6101" "0000020d0287" "00000363ffffffff001c" "2af89a892e4b03a4" "005c269a000ecf81" "0009d7b0800001"
    )  # fmt: skip
    driver = PackDriver(load_pack("nissan_leaf_24kwh"))
    frames = [frame_1db(0.0, 395.0, n, 0.01 * n) for n in range(20)] + answer_frames(answer, 0.2)
    scan = replay(driver, [*frames, frame_1db(0.0, 395.0, 20, 0.5)])[-1]
    assert scan.supply_voltage_v == pytest.approx(11.851)
    message = driver.database.messages["Answer_StateShort"]
    decoded = message.decode(answer)
    assert decoded["PackVoltage"] == pytest.approx(395.61)
    assert decoded["Capacity"] == pytest.approx(64.5040)
    assert decoded["StateOfCharge"] == pytest.approx(97.0625)


def test_a_frame_that_poses_as_an_answer_is_ignored() -> None:
    driver = PackDriver(load_pack("nissan_leaf_62kwh"))
    frames = [frame_1db(0.0, 395.0, n, 0.01 * n) for n in range(20)]
    frames.append(Frame(0x7BB2102, b"\x61\x02" + b"\x10" * 62, EXTENDED, 0.2, 0.2))
    scan = replay(driver, [*frames, frame_1db(0.0, 395.0, 20, 0.4)])[-1]
    assert set(scan.cell_voltage_validity) == {int(Validity.MISSING)}


# ---- real logs


def frames_of(log: str) -> list[Frame]:
    path = DATA / f"{log}.candump.log.gz"
    if not path.is_file():
        pytest.skip("the logs of the cars are not here")
    frames = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            stamp, _, content = line.split()
            identifier, _, data = content.partition("#")
            at_s = float(stamp.strip("()"))
            flags = EXTENDED if len(identifier) > 3 else 0
            frames.append(Frame(int(identifier, 16), bytes.fromhex(data), flags, at_s, at_s))
    return frames


def truth_of(log: str, kind: str) -> dict[str, np.ndarray]:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(DATA / f"{log}.{kind}.parquet")
    return {
        name: np.array([math.nan if v is None else v for v in table[name].to_pylist()])
        for name in table.column_names
    }


LOGS = [
    ("leaf62_eplus2", "nissan_leaf_62kwh"),
    ("leaf62_startup", "nissan_leaf_62kwh"),
    ("env200_40_charge", "nissan_leaf_40kwh"),
]


@pytest.mark.parametrize(("log", "name"), LOGS)
def test_every_broadcast_value_of_a_real_log(log: str, name: str) -> None:
    frames, truth = frames_of(log), truth_of(log, "decoded")
    driver = PackDriver(load_pack(name))
    driver.start(0.0)
    table = driver.decoder.table
    current, voltage = table.slot("string_current_a", 0), table.slot("string_voltage_v", 0)
    soc = table.slot("reported_soc", 0)
    got = []
    for frame in frames:
        driver.receive(frame)
        if frame.identifier == 0x1DB:
            got.append(
                [
                    table.values[slot] if table.outcome[slot] == VALID else math.nan
                    for slot in (current, voltage, soc)
                ]
            )
    values = np.array(got)
    assert len(values) == len(truth["time_s"])
    # the truth leaves both out while the battery wakes and only one is not available
    np.testing.assert_array_equal(values[:, 1], truth["pack_voltage_v"])
    there = np.isfinite(truth["current_a"])
    assert there.sum() > 0.97 * len(values)
    np.testing.assert_array_equal(values[there, 0], truth["current_a"][there])
    known = np.isfinite(values[:, 2]) & np.isfinite(truth["soc_bms_pct"])
    assert known.sum() > 0.8 * len(values)
    np.testing.assert_allclose(100.0 * values[known, 2], truth["soc_bms_pct"][known], atol=1e-9)
    _, rejected = driver.decoder.totals()
    assert rejected <= 0.005 * len(values)  # repeated counters where the log itself has gaps


@pytest.mark.parametrize(("log", "name"), [LOGS[0], LOGS[2]])
def test_every_polled_cell_of_a_real_log(log: str, name: str) -> None:
    """The answers to whoever made the log are taken; nothing is asked."""
    frames, truth = frames_of(log), truth_of(log, "cells")
    driver = PackDriver(load_pack(name))
    driver.start(0.0)
    table = driver.decoder.table
    cells = table.slots("cell_voltage_v")
    got = []
    newest = -math.inf
    for frame in frames:
        driver.receive(frame)
        if table.good_at[cells.start] > newest:
            newest = table.good_at[cells.start]
            got.append(list(table.values[cells]))
    expected = np.stack([truth[f"c{cell + 1:02d}_v"] for cell in range(96)], axis=1)
    np.testing.assert_allclose(np.array(got), expected, atol=1e-6)


def test_polled_and_broadcast_values_of_a_real_log_agree() -> None:
    """Group 1 against 0x1DB and 0x1DC; bled cells are the higher ones, and never neighbours."""
    frames = frames_of("leaf62_eplus2")
    driver = PackDriver(load_pack("nissan_leaf_62kwh"))
    driver.start(0.0)
    messages = driver.database.messages
    table, cells = driver.decoder.table, driver.decoder.table.slots("cell_voltage_v")
    states = bled = 0
    current = limits = None
    for frame in frames:
        if frame.identifier == 0x1DB:
            current = messages["LBC_PackState"].decode(frame.data)
        elif frame.identifier == 0x1DC:
            limits = messages["LBC_PowerLimits"].decode(frame.data)
        whole = None
        if frame.identifier in (0x79B, 0x7BB):
            whole = driver.polled.take(frame)  # type: ignore[union-attr]
        if whole is None:
            continue
        driver.decoder.feed(whole)
        if whole.identifier == 0x7BB2111:
            state = messages["Answer_StateLong"].decode(whole.data)
            assert state["PackVoltage"] == pytest.approx(current["PackVoltage"], abs=2.0)
            assert state["SensorCurrent"] == pytest.approx(current["PackCurrent"], abs=25.0)
            assert state["DischargePowerLimit"] == pytest.approx(limits["DischargePowerLimit"], abs=1.0)
            assert state["ChargePowerLimit"] == pytest.approx(limits["ChargePowerLimit"], abs=1.0)
            assert 12.0 < state["SupplyVoltage"] < 15.0
            assert state["Capacity"] == pytest.approx(162.2, abs=0.1)
            states += 1
        elif whole.identifier == 0x7BB2102:
            answer = messages["Answer_CellVoltages"].decode(whole.data)
            assert sum(table.values[cells]) == pytest.approx(answer["PackVoltage"], abs=1.0)
            bleeding = np.array(table.values[table.slots("cell_balancing")])
            volts = np.array(table.values[cells])
            assert not (bleeding[1:] * bleeding[:-1]).any()
            assert volts[bleeding == 1.0].mean() > volts[bleeding == 0.0].mean()
            bled += 1
    assert (states, bled) == (5, 4)
