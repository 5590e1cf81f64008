"""A JBD board: the maker's examples, a capture, and a simulated board behind a real pseudo-terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial_driver import PATIENCE_S, SerialDriver, quick, whole
from smart_bms import JbdBoard, PortEnd

import openbms_drivers
from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import BusState, Validity
from openbms_drivers.bus import BusError
from openbms_drivers.devices.jbd_uart.device import JbdProtocol
from openbms_drivers.frame import Frame
from openbms_drivers.serial_bus import make_bus
from openbms_drivers.signal_decoder import SignalDecoder

FOLDER = Path(openbms_drivers.__file__).parent / "devices" / "jbd_uart"
# "Software board general protocol" V4 (registers 3) and V13 (4 and 5)
BASIC = bytes.fromhex("DD03001B17000000 02D003E800002078 0000000000001048 030F020B760B82 FBFF77")
CELLS = bytes.fromhex("DD04001E0F660F630F630F640F3E0F630F370F5B0F650F3B0F630F630F3C0F660F3DF9F977")
NAME = bytes.fromhex("DD05000A30313233343536373839FDE977")
# capture of a four-cell board, github.com/syssi/esphome-jbd-bms issue 14
CAPTURE = bytes.fromhex("DD03001D04FCFF130000021C00052B9200000000000020000304030BCA0BC10BBFFA5C77")


@pytest.fixture(scope="module")
def pack() -> LoadedPack:
    return load_pack(FOLDER / "pack.yaml")


def values(decoder: SignalDecoder, quantity: str) -> tuple[list[float], list[int]]:
    snapshot, slots = decoder.table.snapshot(0.0), decoder.table.slots(quantity)
    return [round(value, 6) for value in snapshot.values[slots].tolist()], snapshot.validity[slots].tolist()


def decoded(pack: LoadedPack, *answers: bytes) -> SignalDecoder:
    decoder, protocol = SignalDecoder(pack), JbdProtocol()
    for answer in protocol.feed(b"".join(answers)):
        for identifier, data, _ in answer.frames:
            assert decoder.feed(Frame(identifier, data)) is not None
    assert protocol.skipped == protocol.broken == 0
    return decoder


def test_the_pack_file_is_in_order(pack: LoadedPack) -> None:
    check_pack(pack)
    assert SignalDecoder(pack).warnings == []
    assert pack.file.contactors.authority == "device"
    assert pack.file.contactors.moved_by == "none", "it cannot be asked, so nothing is judged by it"


@pytest.mark.parametrize(
    ("identifier", "question"),
    [(0x103, "DDA50300FFFD77"), (0x104, "DDA50400FFFC77"), (0x105, "DDA50500FFFB77")],
)
def test_questions_are_those_of_the_maker(identifier: int, question: str) -> None:
    request = JbdProtocol().request(identifier, b"")
    assert request is not None
    assert request.data == bytes.fromhex(question)


def test_mosfets_are_written_only_where_a_pack_file_sends_that_frame(pack: LoadedPack) -> None:
    assert "Jbd_SetMosfets" not in {command.message for command in pack.file.device.commands}
    request = JbdProtocol().request(0x1E1, bytes([0b10]))
    assert request is not None
    assert request.data == bytes.fromhex("DD5AE1020002FF1B77")


def test_example_of_the_maker(pack: LoadedPack) -> None:
    decoder = decoded(pack, BASIC, CELLS, NAME)
    assert values(decoder, "string_voltage_v")[0] == [58.88]
    assert values(decoder, "string_current_a")[0] == [0.0]
    assert values(decoder, "reported_soc")[0] == [0.72]
    assert values(decoder, "temperature_degc")[0] == [20.3, 21.5]
    assert values(decoder, "contactor_positive")[0] == values(decoder, "contactor_negative")[0] == [1.0]
    assert values(decoder, "cell_voltage_v")[0][:5] == [3.942, 3.939, 3.939, 3.94, 3.902]


def test_charging_is_positive_and_what_is_not_there_is_not_available(pack: LoadedPack) -> None:
    """The capture is of a board that discharged; it has four cells, the pack file wants thirteen."""
    four = JbdBoard([3193, 3193, 3188, 3194], [])
    decoder = decoded(pack, CAPTURE, four.frame(4, bytes.fromhex("0C790C790C740C7A")))
    assert values(decoder, "string_current_a")[0] == [-2.37]
    assert values(decoder, "string_voltage_v")[0] == [12.76]
    assert values(decoder, "temperature_degc")[0] == [28.7, 27.8]
    cells, validity = values(decoder, "cell_voltage_v")
    assert cells[:4] == [3.193, 3.193, 3.188, 3.194]
    assert validity[4:] == [Validity.NOT_AVAILABLE] * 9


@pytest.mark.parametrize("cell", [0, 7, 8, 12])
def test_balancing_of_each_cell(pack: LoadedPack, cell: int) -> None:
    board = JbdBoard([3700] * 13, [25.0, 25.0])
    board.balancing = 1 << cell
    found, _ = values(decoded(pack, board.frame(3, board.basic())), "cell_balancing")
    assert [index for index, on in enumerate(found) if on == 1.0] == [cell]


def test_an_error_of_the_board_is_an_answer_without_values() -> None:
    protocol = JbdProtocol()
    (answer,) = protocol.feed(JbdBoard([], []).frame(4, b"", status=0x80))
    assert (answer.key, answer.frames) == (4, ())


@pytest.mark.parametrize("data", [b"", bytes(22), BASIC[4:-3][:-1], bytes(22) + b"\x09"], ids=len)
def test_a_short_basic_information_is_refused(data: bytes) -> None:
    assert JbdProtocol().feed(JbdBoard([], []).frame(3, data)) == []


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([BASIC, CELLS, NAME, BASIC[:11], CELLS[:-2]])))
)
def test_whatever_is_on_the_line_only_intact_answers_come_out(pieces: list[bytes]) -> None:
    protocol = JbdProtocol()
    answers = [answer for piece in pieces for answer in protocol.feed(piece)] + protocol.flush()
    intact = {
        data for piece in (BASIC, CELLS, NAME) for a in JbdProtocol().feed(piece) for _, data, _ in a.frames
    }
    for answer in answers:
        for register, data, _ in answer.frames:
            assert data in intact or register == 0x05, "but for a name, which may be empty"
    (last,) = protocol.feed(BASIC)[-1:] or protocol.flush()[-1:]
    assert last.key == 3, "after the line has been quiet the next answer is read, whatever came before"


# ---- the whole driver on a pseudo-terminal


@pytest.fixture
def board() -> JbdBoard:
    return JbdBoard([3700 + cell for cell in range(13)], [21.0, 24.5])


@pytest.fixture
def running(pack: LoadedPack, board: JbdBoard, tmp_path: Path) -> Iterator[SerialDriver]:
    running = SerialDriver(quick(pack), PortEnd(tmp_path / "port", board.answer))
    yield running
    running.stop()


def test_values_come_and_are_recorded_as_frames(running: SerialDriver, board: JbdBoard) -> None:
    board.current_a = -12.34
    scan = running.until(lambda scan: whole(scan) and abs(scan.string_currents_a[0] + 12.34) < 0.005)
    assert scan.cell_voltages_v.tolist() == pytest.approx([3.7 + 0.001 * cell for cell in range(13)])
    assert scan.temperatures_degc.tolist() == pytest.approx([21.0, 24.5])
    assert scan.bus_state == BusState.OK
    assert scan.contactor_feedback.tolist()[:2] == [1, 1]
    received: set[int] = set()
    asked: set[int] = set()
    while not {3, 4} <= received:
        _, rx, tx = running.scans.get(timeout=PATIENCE_S)
        received |= {frame.identifier for frame in rx}
        asked |= {frame.identifier for frame in tx}
    assert {0x103, 0x104} <= asked
    assert board.written == [], "nothing is ever written to the board"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: b"\xdd\x03\x00\x40" + answer,
        lambda answer: answer[:9] + answer,
        lambda answer: bytes(range(256)) + answer + b"\xdd",
    ],
    ids=["a beginning before", "half of it before", "noise around"],
)
def test_noise_does_not_stop_it(
    running: SerialDriver, board: JbdBoard, spoil: Callable[[bytes], bytes]
) -> None:
    running.port.spoil = spoil
    board.current_a = 3.0
    running.until(lambda scan: whole(scan) and abs(scan.string_currents_a[0] - 3.0) < 0.005)


def test_an_echo_is_not_taken_for_an_answer(running: SerialDriver, board: JbdBoard) -> None:
    running.until(whole)
    running.port.spoil = lambda answer: running.port.received[-1] + answer
    board.current_a = 4.0
    running.shows(4.0)
    assert running.bus.exchange.protocol.echoed > 0
    assert running.bus.exchange.unasked == 0


def test_wrong_checksums_make_values_old_not_wrong(running: SerialDriver, board: JbdBoard) -> None:
    running.until(whole)
    board.current_a = 99.0
    running.port.spoil = lambda answer: answer[:-2] + bytes([answer[-2] ^ 1]) + answer[-1:]
    scan = running.until(lambda scan: scan.string_current_validity[0] != Validity.VALID)
    assert not abs(scan.string_currents_a[0] - 99.0) < 1.0
    running.until(lambda scan: scan.bus_state == BusState.SILENT)
    running.port.spoil = lambda answer: answer
    running.shows(99.0)


def test_a_second_board_that_answers_ends_it(running: SerialDriver) -> None:
    other = JbdBoard([3300] * 13, [30.0, 30.0])
    running.until(whole)
    running.port.spoil = lambda answer: answer + other.frame(4, bytes(26)) + other.frame(3, other.basic())
    scan = running.until(lambda scan: "Two devices answer" in scan.bus_message)
    assert (scan.cell_voltage_validity == Validity.BUS_LOST).all()


def test_the_plug_is_pulled_and_put_back(running: SerialDriver) -> None:
    running.until(whole)
    pulled_s = time.monotonic()
    running.port.pull()
    scan = running.until(lambda scan: scan.bus_state == BusState.CONNECTING)
    assert time.monotonic() - pulled_s < 1.0
    assert (scan.string_current_validity == Validity.BUS_LOST).all()
    running.until(lambda scan: "There is no serial port" in scan.bus_message)
    running.port.plug()
    running.until(whole)


def test_a_port_belongs_to_one(running: SerialDriver, pack: LoadedPack) -> None:
    running.until(whole)
    with pytest.raises(BusError, match="in use by another program"):
        make_bus(pack, "serial", str(running.port.path)).open()


def test_what_is_no_port_is_said(pack: LoadedPack, tmp_path: Path) -> None:
    with pytest.raises(BusError, match="There is no serial port"):
        make_bus(pack, "serial", str(tmp_path / "absent")).open()
    (tmp_path / "file").touch()
    with pytest.raises(BusError, match="is not a serial port"):
        make_bus(pack, "serial", str(tmp_path / "file")).open()


def test_a_device_without_serial_protocol_is_refused(demo_pack: LoadedPack) -> None:
    with pytest.raises(ConfigError, match="'openbms_cmu' has no serial protocol"):
        make_bus(demo_pack, "serial", "/dev/null")
