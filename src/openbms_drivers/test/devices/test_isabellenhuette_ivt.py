"""Isabellenhuette IVT: results in both byte orders, errors, counter, and a second device on a pack's bus."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import openbms_drivers
from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import Validity
from openbms_drivers.database import Database
from openbms_drivers.frame import Frame
from openbms_drivers.signal_decoder import SignalDecoder

DEVICES = Path(openbms_drivers.__file__).parent / "devices"
FOLDER = DEVICES / "isabellenhuette_ivt"


@pytest.fixture(scope="module")
def pack() -> LoadedPack:
    return load_pack(FOLDER / "pack.yaml")


def result(channel: int, value: int, counter: int = 0, state: int = 0, order: str = ">") -> Frame:
    """Give a result as the data sheet has it: channel, state and counter, a signed long."""
    data = bytes([channel, state << 4 | counter]) + struct.pack(order + "i", value)
    return Frame(0x521 + channel, data, 0, 0.01 * counter, 0.01 * counter)


def value(decoder: SignalDecoder, quantity: str, now_s: float = 0.0) -> tuple[float, int]:
    snapshot, slot = decoder.table.snapshot(now_s), decoder.table.slot(quantity, 0)
    return float(snapshot.values[slot]), int(snapshot.validity[slot])


def changed(folder: Path, *changes: tuple[str, str]) -> LoadedPack:
    text = (FOLDER / "pack.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "pack.yaml").write_text(text, encoding="utf-8")
    return load_pack(folder / "pack.yaml")


def test_the_pack_file_is_in_order(pack: LoadedPack) -> None:
    check_pack(pack)
    assert SignalDecoder(pack).warnings == []


def test_a_second_dbc_joins_the_packs_bus(pack: LoadedPack) -> None:
    decoder = SignalDecoder(pack)
    assert decoder.feed(result(0, -123_456)) is not None
    assert decoder.plan(0x243) is not None, "the pack's own messages are still there"


def test_discharging_is_negative(pack: LoadedPack) -> None:
    decoder = SignalDecoder(pack)
    decoder.feed(result(0, 123_456))
    assert value(decoder, "redundant_string_current_a") == (pytest.approx(-123.456), Validity.VALID)
    decoder.feed(result(6, -7200))
    assert value(decoder, "string_charge_counter_ah") == (pytest.approx(2.0), Validity.VALID)


@pytest.mark.parametrize("milliamperes", [-2_500_000, -1, 0, 1, 255, 65_536, 2_500_000])
def test_little_endian(tmp_path: Path, milliamperes: int) -> None:
    little = changed(tmp_path, ("isabellenhuette_ivt.dbc]", "isabellenhuette_ivt_little_endian.dbc]"))
    decoder = SignalDecoder(little)
    decoder.feed(result(0, milliamperes, order="<"))
    assert value(decoder, "redundant_string_current_a")[0] == pytest.approx(-0.001 * milliamperes)


@pytest.mark.parametrize(
    ("state", "valid"),
    [
        (0b0000, Validity.VALID),
        (0b0001, Validity.VALID),  # the over-current signal is no error
        (0b0010, Validity.NOT_AVAILABLE),  # this result
        (0b0100, Validity.NOT_AVAILABLE),  # any result
        (0b1000, Validity.NOT_AVAILABLE),  # system
    ],
)
def test_errors(pack: LoadedPack, state: int, valid: Validity) -> None:
    decoder = SignalDecoder(pack)
    decoder.feed(result(0, 1000, state=state))
    assert value(decoder, "redundant_string_current_a")[1] == valid


def test_a_counter_that_stands_still_is_noticed(pack: LoadedPack) -> None:
    decoder = SignalDecoder(pack)
    decoder.feed(result(0, 1000))
    for step in range(1, 8):
        decoder.feed(result(0, 1000)._replace(monotonic_s=0.02 * step))
    assert value(decoder, "redundant_string_current_a", 0.14)[1] == Validity.COUNTER


def test_counters_are_of_each_channel(pack: LoadedPack) -> None:
    decoder = SignalDecoder(pack)
    assert decoder.feed(result(0, 1, counter=3)) is not None
    decoder.feed(result(6, 3600, counter=3))
    assert value(decoder, "string_charge_counter_ah")[1] == Validity.VALID


def test_messages_of_the_same_name_are_refused(tmp_path: Path) -> None:
    twice = "isabellenhuette_ivt.dbc, package://openbms_drivers/devices/isabellenhuette_ivt/"
    pack = changed(tmp_path, ("isabellenhuette_ivt.dbc]", twice + "isabellenhuette_ivt_little_endian.dbc]"))
    with pytest.raises(
        ConfigError, match=r"pack\.yaml:\d+: device\.more_dbc\[1\]: .* both have a message 'Ivt_"
    ):
        Database(pack)


def test_identifiers_that_collide_are_refused(tmp_path: Path) -> None:
    text = (FOLDER / "isabellenhuette_ivt.dbc").read_text(encoding="utf-8")
    (tmp_path / "other.dbc").write_text(text.replace("BO_ 1313 ", "BO_ 579 "), encoding="utf-8")
    folder = "package://openbms_drivers/devices/isabellenhuette_ivt/isabellenhuette_ivt.dbc"
    with pytest.raises(
        ConfigError, match=r"'Ivt_Current' of other\.dbc has the identifier 0x243 of 'String_Values'"
    ):
        Database(changed(tmp_path, (folder, "other.dbc")))


def test_a_second_dbc_that_is_not_there_is_said(tmp_path: Path) -> None:
    folder = "package://openbms_drivers/devices/isabellenhuette_ivt/isabellenhuette_ivt.dbc"
    with pytest.raises(ConfigError, match=r"pack\.yaml:\d+: device\.more_dbc\[0\]: .*absent\.dbc"):
        Database(changed(tmp_path, (folder, "absent.dbc")))


def test_an_unknown_message_names_both(tmp_path: Path) -> None:
    pack = changed(tmp_path, ("message: Ivt_Current", "message: Ivt_Curent"))
    with pytest.raises(ConfigError, match=r"foxbms2\.dbc and .* has no message 'Ivt_Curent'.*'Ivt_Current'"):
        SignalDecoder(pack)
