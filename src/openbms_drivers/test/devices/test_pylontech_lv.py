"""Batteries of the low-voltage protocol as inputs, by frames that others have published."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import openbms_drivers
from openbms_core.faults import not_monitored
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import PackMeasurement, Validity
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver

FOLDER = Path(openbms_drivers.__file__).parent / "devices" / "pylontech_lv"

# setfirelabs.com, "Pylontech Battery CAN comms V1.2 vs V1.3": two piles of US5000
OLD = """351 1402C012C012C201
355 58005E00
356 7A13F2FE6B01
359 0000000006504E
35C C000
35E 50594C4F4E202020"""
NEW = """351 1002C012C012C201
355 540060000000
356 7B13E9FE6B01
35A 0000000000000000
35E 50594C4F4E202020
35F 4C4901033C02AA00"""
# github.com/syssi/esphome-virtual-can-bms issue 3: a battery at a Victron GX device; 0x355, 0x356 are longer
CELLS = """351 4302E8039E07D001
355 3C00640084170000
356 6114D3FEEB001A00
35A AAAAAA02AAAAAA02
35E 5348456E65726779
35F 0000100430010000
372 0100000000000000
373 B90CC20C27012801
374 5061636B2D303123"""


def frames(text: str, now_s: float) -> list[Frame]:
    lines = [line.split() for line in text.splitlines()]
    return [Frame(int(i, 16), bytes.fromhex(data), 0, now_s, 1e9 + now_s) for i, data in lines]


def scan(pack: LoadedPack, text: str, seconds: int = 3) -> PackMeasurement:
    """Bring the frames once a second; give the last scan."""
    driver = PackDriver(pack)
    driver.health.opened(100.0)
    driver.start(100.0)
    found = None
    for second in range(seconds):
        for frame in frames(text, 100.0 + second):
            found = driver.receive(frame) or found
    assert found is not None
    return found


@pytest.fixture(scope="module")
def base() -> LoadedPack:
    return load_pack(FOLDER / "pack_v1_2.yaml")


@pytest.fixture(scope="module")
def with_cells() -> LoadedPack:
    return load_pack(FOLDER / "pack.yaml")


def test_the_pack_files_are_in_order_and_found_by_name(base: LoadedPack, with_cells: LoadedPack) -> None:
    for pack in (base, with_cells):
        check_pack(pack)
        driver = PackDriver(pack)
        assert driver.decoder.warnings == []
        assert load_pack(pack.file.name).path == pack.path


@pytest.mark.parametrize(
    ("text", "volts", "amps", "degc", "soc"),
    [(OLD, 49.86, -27.0, 36.3, 0.88), (NEW, 49.87, -27.9, 36.3, 0.84), (CELLS, 52.17, -30.1, 23.5, 0.60)],
)
def test_captures_of_every_version_are_read(
    base: LoadedPack, text: str, volts: float, amps: float, degc: float, soc: float
) -> None:
    m = scan(base, text)
    assert m.string_voltages_v[0] == pytest.approx(volts)
    assert m.string_currents_a[0] == pytest.approx(amps), "discharging is negative"
    assert m.temperatures_degc[0] == pytest.approx(degc)
    assert m.reported_soc == pytest.approx(soc)
    assert m.reported_limit_validity == Validity.VALID
    assert set(m.cell_voltage_validity.tolist()) == {int(Validity.NOT_FITTED)}, "no cell is invented"


def test_limits_of_the_battery(base: LoadedPack) -> None:
    for text, charge_a, discharge_a in ((OLD, 480.0, 480.0), (CELLS, 100.0, 195.0)):
        m = scan(base, text)
        assert m.reported_charge_current_limit_a == pytest.approx(charge_a)
        assert m.reported_discharge_current_limit_a == pytest.approx(discharge_a)


def test_charging_is_positive(base: LoadedPack) -> None:
    text = OLD.replace("7A13F2FE6B01", "7A13F2006B01")
    assert scan(base, text).string_currents_a[0] == pytest.approx(24.2)


def test_cell_extremes_and_kelvin(with_cells: LoadedPack) -> None:
    m = scan(with_cells, CELLS)
    assert m.reported_cell_voltage_validity == m.reported_temperature_validity == Validity.VALID
    assert (m.reported_cell_voltage_minimum_v, m.reported_cell_voltage_maximum_v) == (3.257, 3.266)
    assert m.reported_temperature_minimum_degc == pytest.approx(295 - 273.15)
    assert m.reported_temperature_maximum_degc == pytest.approx(296 - 273.15)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("0000000000000000", Validity.IMPLAUSIBLE),  # a battery that leaves the frame empty
        ("FFFFFFFFFFFFFFFF", Validity.IMPLAUSIBLE),
        ("B90CC20C", Validity.CHECKSUM),  # half of it
        (None, Validity.MISSING),  # V1.2: none at all
    ],
)
def test_without_cell_extremes_there_are_none(
    with_cells: LoadedPack, data: str | None, why: Validity
) -> None:
    text = "\n".join(
        line if not line.startswith("373") else f"373 {data}"
        for line in CELLS.splitlines()
        if data is not None or not line.startswith("373")
    )
    assert scan(with_cells, text).reported_cell_voltage_validity == why


def test_a_negative_discharge_limit_is_not_a_limit(base: LoadedPack) -> None:
    """Some batteries send it negative; it is refused and not taken for 0 or for its magnitude."""
    text = OLD.replace("1402C012C012C201", "440264009CFF3F02")
    assert scan(base, text).reported_limit_validity == Validity.IMPLAUSIBLE


def test_what_is_not_sent_any_more_is_stale(base: LoadedPack) -> None:
    driver = PackDriver(base)
    driver.health.opened(100.0)
    driver.start(100.0)
    for frame in frames(OLD, 100.0):
        driver.receive(frame)
    measured = f"356 {OLD.split('356 ')[1].split()[0]}"
    last = [driver.receive(frame) for second in range(1, 6) for frame in frames(measured, 100.0 + second)][-1]
    assert last is not None
    assert last.reported_limit_validity == last.reported_soc_validity == Validity.STALE
    assert last.string_voltage_validity[0] == Validity.VALID


def test_it_answers_as_an_inverter_does(base: LoadedPack) -> None:
    driver = PackDriver(base)
    driver.start(0.0)
    sent = [frame for tenth in range(31) for frame in driver.frames_due(0.1 * tenth)]
    assert {(frame.identifier, frame.data) for frame in sent} == {(0x305, bytes(8))}
    assert len(sent) in (3, 4)
    quiet = PackDriver(base, listen_only=True)
    assert quiet.frames_due(0.0) == []


def test_what_is_not_monitored_is_said(base: LoadedPack, with_cells: LoadedPack) -> None:
    without, extremes = not_monitored(base.file), not_monitored(with_cells.file)
    for row in ("CELL_OVER_VOLTAGE_SAFETY", "CELL_UNDER_VOLTAGE_SAFETY", "CELL_VOLTAGE_SPREAD"):
        assert any(name.startswith(row) for name in without), row
    assert "CELL_OVER_VOLTAGE_SAFETY" not in extremes and "CELL_UNDER_VOLTAGE_SAFETY" not in extremes
    assert "OVER_CURRENT_DISCHARGE_SAFETY" not in without


def test_the_battery_of_our_own_gateway_is_read_back(with_cells: LoadedPack) -> None:
    """What the gateway tells an inverter is what this device reads: two ends of one protocol."""
    from lv_battery import FACTS, measurement, newest, run

    from openbms_drivers.devices.inverter_lv.gateway import GatewaySettings, InverterGateway
    from openbms_drivers.devices.inverter_lv.limits import Shaping
    from openbms_drivers.devices.inverter_lv.profile import load_profile

    settings = GatewaySettings(shaping=Shaping(0.001, 0.0))
    told = newest(run(InverterGateway(load_profile("victron"), FACTS, settings), 0.0, 3.0, 0.05))
    m = scan(with_cells, "\n".join(f"{identifier:X} {data.hex()}" for identifier, data in told.items()))
    sent = measurement()
    assert m.string_voltages_v[0] == pytest.approx(53.12) and m.string_currents_a[0] == pytest.approx(-27.0)
    assert m.reported_cell_voltage_minimum_v == pytest.approx(sent.cell_voltages_v.min(), abs=6e-4)
    assert m.reported_cell_voltage_maximum_v == pytest.approx(sent.cell_voltages_v.max(), abs=6e-4)
    assert (m.reported_charge_current_limit_a, m.reported_discharge_current_limit_a) == (100.0, 150.0)
    assert struct.unpack_from("<H", told[0x355])[0] == round(100 * m.reported_soc)
