"""A Daly BMS: captures of real boards, and a simulated one behind a pseudo-terminal; UART and CAN alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial_driver import PATIENCE_S, SerialDriver, quick, whole
from smart_bms import DalyBoard, PortEnd

import openbms_drivers
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import BusState, Validity
from openbms_drivers.devices.daly_uart.device import DalyProtocol
from openbms_drivers.frame import EXTENDED, Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.signal_decoder import SignalDecoder

FOLDER = Path(openbms_drivers.__file__).parent / "devices" / "daly_uart"
# captures: diysolarforum.com/threads/decoding-the-daly-smartbms-protocol.21898 (a board of 14 or 15 cells)
PACK = "a5 01 90 08 02 10 00 00 75 30 01 f4 ea"
EXTREMES = "a5 01 91 08 0e c8 05 0e 9c 09 01 f4 c2"
TEMPERATURES = "a5 01 92 08 3d 01 3d 01 9c 09 01 f4 56"
MOSFETS = "a5 01 93 08 00 01 01 10 00 00 4e 20 c1"
CELLS = """a5 01 95 08 01 0e c0 0e c2 0e c7 20 d7  a5 01 95 08 02 0e c8 0e c8 0e c6 20 e5
a5 01 95 08 03 0e c2 0e c2 0e 9c 20 b0  a5 01 95 08 04 0e c4 0e c4 0e c4 20 dd
a5 01 95 08 05 0e c3 0e c0 0e c4 20 d9"""
SENSORS = "a5 01 96 08 01 3d 00 00 00 00 00 00 82  a5 01 96 08 02 00 00 00 00 00 00 00 46"
# a capture in which the BMS broke off one frame: github.com/Louisvdw/dbus-serialbattery issue 165
BROKEN_OFF = """a501950801 0d290d330d32 9089 a501950802 0d2f0d2e0d33 908c a501950803 0d330d330d33 9096
a501950804 0d330d320d2f 9092 a501950805 0d300d34 a501950806 0d320d340d31 9097 a501900802 1c000076560286b0"""
ALL = [bytes.fromhex(text) for text in (PACK, EXTREMES, TEMPERATURES, MOSFETS, CELLS, SENSORS)]


@pytest.fixture(scope="module")
def pack() -> LoadedPack:
    return load_pack(FOLDER / "pack.yaml")


def decoded(pack: LoadedPack, *lines: bytes) -> SignalDecoder:
    decoder, protocol = SignalDecoder(pack), DalyProtocol(14, 2)
    for line in lines:
        for answer in protocol.feed(line):
            for identifier, data, extended in answer.frames:
                assert extended
                assert decoder.feed(Frame(identifier, data, EXTENDED)) is not None
    return decoder


def values(decoder: SignalDecoder, quantity: str) -> tuple[list[float], list[int]]:
    snapshot, slots = decoder.table.snapshot(0.0), decoder.table.slots(quantity)
    return [round(value, 6) for value in snapshot.values[slots].tolist()], snapshot.validity[slots].tolist()


def test_the_pack_file_is_in_order(pack: LoadedPack) -> None:
    check_pack(pack)
    assert SignalDecoder(pack).warnings == []
    assert (pack.file.contactors.authority, pack.file.contactors.moved_by) == ("device", "none")


@pytest.mark.parametrize("command", range(0x90, 0x99))
def test_questions_are_those_of_the_capture(command: int) -> None:
    request = DalyProtocol(14, 2).request(0x18000140 | command << 16, bytes(8))
    assert request is not None
    # a5 40 90 08 00 … 7d to a5 40 98 08 00 … 85
    assert request.data == bytes([0xA5, 0x40, command, 8]) + bytes(8) + bytes([command - 0x90 + 0x7D])
    assert request.answers == {0x95: 5}.get(command, 1)


def test_nothing_else_is_asked() -> None:
    protocol = DalyProtocol(14, 2)
    assert protocol.request(0x18D90140, bytes(8)) is None, "0xD9 would switch a MOSFET"
    assert protocol.request(0x90, bytes(8)) is None


def test_capture(pack: LoadedPack) -> None:
    # the first burst says from where the frames are counted, so the second one is placed
    decoder = decoded(pack, *ALL, ALL[4], ALL[5])
    assert values(decoder, "string_voltage_v")[0] == [52.8]
    assert values(decoder, "string_current_a")[0] == [0.0]
    assert values(decoder, "reported_soc")[0] == [0.5]
    assert values(decoder, "reported_cell_voltage_maximum_v")[0] == [3.784]
    assert values(decoder, "reported_cell_voltage_minimum_v")[0] == [3.740]
    assert values(decoder, "reported_temperature_maximum_degc")[0] == [21.0]
    assert values(decoder, "contactor_positive")[0] == values(decoder, "contactor_negative")[0] == [1.0]
    expected = [3.776, 3.778, 3.783, 3.784, 3.784, 3.782, 3.778, 3.778, 3.74, 3.78, 3.78, 3.78, 3.779, 3.776]
    assert values(decoder, "cell_voltage_v")[0] == expected
    assert values(decoder, "temperature_degc")[1] == [Validity.VALID, Validity.NOT_AVAILABLE]


def test_charging_is_positive(pack: LoadedPack) -> None:
    """In a CAN capture a board that says that it charges (0x93: 01) has 0x7566 = 30054 in its current.

    Source: github.com/mr-manuel/venus-os_dbus-serialbattery issue 249.
    """
    decoder = SignalDecoder(pack)
    decoder.feed(Frame(0x18904001, bytes.fromhex("010d00007566032b"), EXTENDED))
    assert values(decoder, "string_current_a")[0] == [5.4]


def test_a_frame_that_was_broken_off_costs_that_frame_only(pack: LoadedPack) -> None:
    line = bytes.fromhex(BROKEN_OFF)
    decoder, protocol = SignalDecoder(pack), DalyProtocol(14, 2)
    protocol.feed(ALL[4])  # counted from 1
    answers = protocol.feed(line)
    assert [(answer.key, answer.part) for answer in answers] == [
        (0x95, 1), (0x95, 2), (0x95, 3), (0x95, 4), (0x95, 6), (0x90, 0)
    ]  # fmt: skip
    for answer in answers:
        for identifier, data, _ in answer.frames:
            decoder.feed(Frame(identifier, data, EXTENDED))
    cells, validity = values(decoder, "cell_voltage_v")
    assert min(cells[:12]) > 3.3
    assert validity[12:] == [Validity.MISSING] * 2
    assert protocol.broken == 1


@pytest.mark.parametrize("first", [0, 1])
def test_cells_are_in_their_place_wherever_frames_are_counted_from(pack: LoadedPack, first: int) -> None:
    board = DalyBoard([3600 + cell for cell in range(14)], [20, 30], first)
    burst = b"".join(board.frame(0x95, data) for data in board.payloads(0x95))
    expected = pytest.approx([3.6 + 0.001 * cell for cell in range(14)])
    assert values(decoded(pack, burst, burst), "cell_voltage_v")[0] == expected
    # a first burst that lost any one frame never puts a cell into another's place
    for lost in range(5):
        cells, validity = values(
            decoded(pack, burst[: 13 * lost] + burst[13 * lost + 13 :]), "cell_voltage_v"
        )
        placed = [cell for cell in range(14) if validity[cell] == Validity.VALID]
        assert all(abs(cells[cell] - 3.6 - 0.001 * cell) < 1e-9 for cell in placed)


def test_another_address_is_not_this_board(pack: LoadedPack) -> None:
    other = DalyBoard([3000] * 14, [0, 0], address=2)
    assert DalyProtocol(14, 2).feed(other.frame(0x90, bytes(8))) == []


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([*ALL, ALL[0][:7], ALL[4][5:]]))))
def test_whatever_is_on_the_line_it_goes_on(pieces: list[bytes]) -> None:
    protocol = DalyProtocol(14, 2)
    for piece in pieces:
        protocol.feed(piece)
    protocol.flush()
    assert [answer.key for answer in protocol.feed(ALL[0])] == [0x90]


# ---- the whole driver


@pytest.fixture
def board() -> DalyBoard:
    return DalyBoard([3700 + cell for cell in range(14)], [21, 25])


@pytest.fixture
def running(pack: LoadedPack, board: DalyBoard, tmp_path: Path) -> Iterator[SerialDriver]:
    running = SerialDriver(quick(pack), PortEnd(tmp_path / "port", board.answer))
    yield running
    running.stop()


def test_values_come(running: SerialDriver, board: DalyBoard) -> None:
    board.current_a = -7.5
    running.shows(-7.5)
    scan = running.until(whole)
    assert scan.cell_voltages_v.tolist() == pytest.approx([3.7 + 0.001 * cell for cell in range(14)])
    assert scan.temperatures_degc.tolist() == [21.0, 25.0]
    assert scan.bus_state == BusState.OK
    assert scan.reported_cell_voltage_maximum_v == pytest.approx(3.713)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: b"\xa5\x01\x90\x08" + answer,
        lambda answer: answer[:20] + answer,
        lambda answer: answer + b"\xa5",
    ],
    ids=["a beginning before", "half of it before", "a beginning behind"],
)
def test_noise_does_not_stop_it(
    running: SerialDriver, board: DalyBoard, spoil: Callable[[bytes], bytes]
) -> None:
    running.port.spoil = spoil
    board.current_a = 3.0
    running.shows(3.0)


def test_an_echo_is_not_taken_for_an_answer(running: SerialDriver, board: DalyBoard) -> None:
    running.port.spoil = lambda answer: running.port.received[-1] + answer
    board.current_a = 4.0
    running.shows(4.0)
    assert running.bus.exchange.protocol.echoed > 0


def test_a_second_board_of_the_same_address_ends_it(running: SerialDriver) -> None:
    running.until(whole)
    running.port.spoil = lambda answer: answer + answer
    scan = running.until(lambda scan: "Two devices answer" in scan.bus_message)
    assert (scan.cell_voltage_validity == Validity.BUS_LOST).all()


def test_a_dead_board_is_noticed_while_the_line_hisses(running: SerialDriver) -> None:
    """Noise without end: no question ever ends by silence, and none is held back by it."""
    running.until(whole)
    running.port.spoil = lambda answer: b""
    noisy = time.monotonic() + 0.9
    while time.monotonic() < noisy:
        running.port.write(b"\x00\x55")
        time.sleep(0.01)
    scan = running.until(lambda scan: scan.bus_state == BusState.SILENT)
    assert (scan.string_current_validity == Validity.BUS_LOST).all()
    running.port.spoil = lambda answer: answer
    running.until(whole)


def test_the_same_pack_file_over_can(pack: LoadedPack) -> None:
    """The board's CAN port: the same questions and answers, without the UART's frame around them."""
    driver = PackDriver(pack, "virtual:daly")
    driver.start(0.0)
    board = DalyBoard([3800 + cell for cell in range(14)], [19, 23])
    board.current_a = -20.0
    for question in driver.frames_due(0.0):
        message = can.Message(arbitration_id=question.identifier, data=question.data, is_extended_id=True)
        command = message.arbitration_id >> 16 & 0xFF
        for data in board.payloads(command):
            driver.receive(Frame(0x18004001 | command << 16, data.ljust(8, b"\0"), EXTENDED, 0.01, 0.01))
    scan = driver.tick(PATIENCE_S, PATIENCE_S)
    assert scan is not None
    table = driver.decoder.table
    snapshot = table.snapshot(0.02)
    assert snapshot.values[table.slots("string_current_a")].tolist() == [-20.0]
    assert snapshot.values[table.slots("cell_voltage_v")].tolist() == pytest.approx(
        [3.8 + 0.001 * cell for cell in range(14)]
    )
