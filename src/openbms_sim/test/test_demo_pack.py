"""The pack file and the DBC of the demonstration fit each other, and the bus carries them."""

from __future__ import annotations

import fnmatch

import cantools
import pytest

from openbms_core.pack import LoadedPack
from openbms_sim.bus_load import bus_load, worst_case_bits
from openbms_sim.record import load_record
from openbms_sim.twin import check_pack


@pytest.fixture(scope="module")
def database(dbc: str):
    return cantools.database.load_file(dbc, strict=True)


def test_every_mapped_signal_exists(pack: LoadedPack, database) -> None:
    used = set()
    for entry in pack.file.device.signals:
        for _, message, signal, valid in entry.expanded():
            names = {item.name for item in database.get_message_by_name(message).signals}
            assert signal in names and (valid is None or valid in names)
            used.add(message)
    for entry in pack.file.device.commands:
        message = database.get_message_by_name(entry.message)
        names = {item.name for item in message.signals}
        assert {entry.checksum.signal, entry.counter.signal} <= names
        for signal in entry.signals:
            numbers = range(12) if signal.repeat else (0,)
            assert {signal.signal.format(c=c) for c in numbers} <= names
        assert entry.checksum.data_id == message.frame_id
        assert entry.period_s == pytest.approx(message.cycle_time / 1000)
        used.add(entry.message)
    assert used == {message.name for message in database.messages}, "every message of the DBC is used"


def test_every_received_message_is_protected_with_its_own_identifier(pack: LoadedPack, database) -> None:
    received = {message for entry in pack.file.device.signals for _, message, _, _ in entry.expanded()}
    for name in received:
        found = [entry for entry in pack.file.device.integrity if fnmatch.fnmatchcase(name, entry.message)]
        assert len(found) == 1
        message = database.get_message_by_name(name)
        assert found[0].checksum is not None and found[0].counter is not None
        assert found[0].checksum.data_id == message.frame_id
        checksum = message.get_signal_by_name(found[0].checksum.signal)
        assert (checksum.start, checksum.length) == (8 * (message.length - 1), 8)
        assert message.get_signal_by_name(found[0].counter.signal).length == 4


def test_all_quantities_are_filled_once(pack: LoadedPack) -> None:
    seen = [(entry.to, index) for entry in pack.file.device.signals for index, *_ in entry.expanded()]
    assert len(seen) == len(set(seen))
    sizes = pack.file.sizes()
    for quantity in {quantity for quantity, _ in seen}:
        assert sum(name == quantity for name, _ in seen) == sizes[quantity]


def test_each_cell_and_its_sensor_come_from_the_same_module(pack: LoadedPack) -> None:
    sensors = check_pack(pack.file)
    for i in range(32):
        assert sensors.cells[i] == range(3 * i, 3 * i + 3)
    rows = [entry for entry in pack.file.device.signals if entry.to == "temperature_degc"]
    message = {index: name for entry in rows for index, name, _, _ in entry.expanded()}
    assert message[4] == "Cmu1_Temperatures" and message[31] == "Cmu7_Temperatures"
    assert message[32] == "Cmu0_Status"


def test_bus_load_is_below_half(dbc: str) -> None:
    load = bus_load(dbc, 500_000)
    assert 0.15 < load < 0.20, "the README states 17.7 %"
    # Davis et al. 2007: frames of 0 and 8 bytes have at worst 55 and 135 bit with interframe space.
    assert (worst_case_bits(0), worst_case_bits(8), worst_case_bits(8, extended=True)) == (55, 135, 160)


def test_the_shipped_drive_cycle_is_legal_use(pack: LoadedPack) -> None:
    record, limits = load_record(), pack.file.limits
    assert record.voltage_v.max() < limits.cell_voltage_max_v.safety
    assert record.voltage_v.min() > limits.cell_voltage_min_v.safety
    assert record.current_a.max() < limits.charge_current_max_a.safety
    assert record.current_a.min() > -limits.discharge_current_max_a.safety
