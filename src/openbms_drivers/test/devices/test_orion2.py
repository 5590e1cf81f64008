"""Orion BMS 2: its cell broadcast, the thermistor module, checksums of a capture, and the custom frames."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import openbms_drivers
from openbms_core.frame_integrity import checksum
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import Validity
from openbms_drivers.frame import EXTENDED, Frame
from openbms_drivers.signal_decoder import SignalDecoder

FOLDER = Path(openbms_drivers.__file__).parent / "devices" / "orion2"


@pytest.fixture(scope="module")
def pack() -> LoadedPack:
    return load_pack(FOLDER / "pack.yaml")


@pytest.fixture
def decoder(pack: LoadedPack) -> SignalDecoder:
    return SignalDecoder(pack)


def values(decoder: SignalDecoder, quantity: str) -> tuple[list[float], list[int]]:
    snapshot, slots = decoder.table.snapshot(0.0), decoder.table.slots(quantity)
    return [round(value, 6) for value in snapshot.values[slots].tolist()], snapshot.validity[slots].tolist()


def frame(identifier: int, seven: bytes) -> Frame:
    """Give a frame of the BMS: seven bytes and their checksum."""
    seven = seven.ljust(7, b"\0")
    return Frame(identifier, seven + bytes([(identifier + 8 + sum(seven)) & 0xFF]))


def cell(number: int, volts: float, *, shunting: bool = False, milliohms: float = 1.5) -> Frame:
    word = shunting << 15 | round(100 * milliohms)
    return frame(0x36, struct.pack(">BHHH", number, round(1e4 * volts), word, round(1e4 * volts)))


def test_the_pack_file_is_in_order(pack: LoadedPack, decoder: SignalDecoder) -> None:
    check_pack(pack)
    assert decoder.warnings == []
    assert not any(plan.by_cantools for plan in decoder.plans)


@pytest.mark.parametrize(
    ("identifier", "data"),
    [
        (0x6B0, "00A100486E50005F"),
        (0x6B1, "0015FF929BF300ED"),
        (0x6B1, "00120000993A009E"),
    ],
)
def test_the_checksum_is_that_of_a_capture(identifier: int, data: str) -> None:
    """Frames of a car, github.com/erikhedb/WE-EV-CAN-Dashboard."""
    raw = bytes.fromhex(data)
    data_id = (identifier + 8) & 0xFF
    assert raw[7] == checksum("sum", raw[:7], data_id)


def test_every_cell_has_its_frame(decoder: SignalDecoder) -> None:
    for number in range(48):
        decoder.feed(cell(number, 3.6 + 0.001 * number, shunting=number == 7))
    found, validity = values(decoder, "cell_voltage_v")
    assert found == [round(3.6 + 0.001 * number, 6) for number in range(48)]
    assert validity == [Validity.VALID] * 48
    assert [number for number, on in enumerate(values(decoder, "cell_balancing")[0]) if on] == [7]


def test_a_cell_beyond_the_pack_is_left_alone(decoder: SignalDecoder) -> None:
    decoder.feed(cell(48, 4.9))
    decoder.feed(cell(200, 4.9))
    assert set(values(decoder, "cell_voltage_v")[1]) == {Validity.MISSING}


def test_a_wrong_checksum_is_refused(decoder: SignalDecoder) -> None:
    good = cell(3, 3.7)
    decoder.feed(good._replace(data=good.data[:2] + b"\0" + good.data[3:]))
    assert values(decoder, "cell_voltage_v")[1][3] == Validity.CHECKSUM


def test_discharging_is_negative(decoder: SignalDecoder) -> None:
    decoder.feed(frame(0x6B0, struct.pack(">hHH", 1234, 1765, 161)))
    assert values(decoder, "string_current_a")[0] == [-123.4]
    assert values(decoder, "string_voltage_v")[0] == [176.5]
    assert values(decoder, "reported_soc")[0] == [0.805]


def test_extremes_limits_and_relays(decoder: SignalDecoder) -> None:
    decoder.feed(frame(0x6B1, struct.pack(">HH", 41234, 35001)))
    decoder.feed(frame(0x6B2, struct.pack(">hh", 31, -12)))
    decoder.feed(frame(0x6B3, struct.pack(">HH", 40, 300)))
    decoder.feed(
        frame(0x6B4, struct.pack(">H", 0x0162))
    )  # of the capture: charge relay on, discharge relay off
    assert values(decoder, "reported_cell_voltage_maximum_v")[0] == [4.1234]
    assert values(decoder, "reported_cell_voltage_minimum_v")[0] == [3.5001]
    assert values(decoder, "reported_temperature_minimum_degc")[0] == [-12.0]
    assert values(decoder, "reported_charge_current_limit_a")[0] == [40.0]
    assert values(decoder, "contactor_negative")[0] == [1.0]
    assert values(decoder, "contactor_positive")[0] == [0.0]


@pytest.mark.parametrize("degc", [-40, -1, 0, 25, 80])
def test_sensors_of_the_thermistor_module(decoder: SignalDecoder, degc: int) -> None:
    data = struct.pack(">HbBbbBB", 5, degc, 5, degc, degc, 7, 0)
    assert decoder.feed(Frame(0x1838F380, data, EXTENDED)) is not None
    found, validity = values(decoder, "temperature_degc")
    assert found[5] == degc
    assert validity[5] == Validity.VALID
    assert validity[4] == Validity.MISSING
