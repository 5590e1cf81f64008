"""One connection, against servers that are slow, refuse, lie, cut off, or send what nobody asked for."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from pymodbus.constants import ExcCodes
from sunspec_site import Bank, House, SunspecServer

from openbms_drivers.devices.sunspec.chain import RefusedError, find_base, walk
from openbms_drivers.devices.sunspec.link import LinkDownError, ModbusLink

Answer = Callable[[bytes], list[bytes] | None]


@contextmanager
def hostile(answer: Answer) -> Iterator[int]:
    """Serve a socket that answers each request with pieces; None cuts the connection with a reset."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1.0)
                while not over.is_set():
                    try:
                        request = connection.recv(260)
                    except OSError:
                        break
                    if not request:
                        break
                    pieces = answer(request)
                    if pieces is None:
                        reset = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                        break
                    try:
                        for piece in pieces:
                            connection.sendall(piece)
                    except OSError:
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(6.0)


def link_to(port: int, timeout_s: float = 0.15) -> ModbusLink:
    return ModbusLink("127.0.0.1", port, timeout_s, time.monotonic)


def frame(request: bytes, pdu: bytes, transaction: int | None = None, unit: int | None = None) -> bytes:
    number = int.from_bytes(request[:2], "big") if transaction is None else transaction
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, request[6] if unit is None else unit) + pdu


def registers(count: int, value: int = 7) -> bytes:
    return bytes([3, 2 * count]) + value.to_bytes(2, "big") * count


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: None,
        lambda request: [],
        lambda request: [b"\0"],
        lambda request: [b"garbage that is no frame of modbus at all" * 3],
        lambda request: [frame(request, registers(1))],
        lambda request: [frame(request, registers(9))],
        lambda request: [frame(request, bytes([3, 40]) + b"\0" * 8)],
        lambda request: [frame(request, bytes([3, 3]) + b"\0" * 3)],
        lambda request: [frame(request, bytes([3]))],
        lambda request: [frame(request, bytes([16, 0, 0, 0, 4]))],
        lambda request: [frame(request, registers(4), transaction=999)],
        lambda request: [frame(request, registers(4), unit=77)],
        lambda request: [frame(request, registers(4))[:-1]],
        lambda request: [struct.pack(">HHHB", int.from_bytes(request[:2], "big"), 0, 0xFFFF, 1)],
        lambda request: [frame(request, bytes([0x2B, 0x0E, 1]))],
    ],
    ids=[
        "reset", "silence", "a byte", "garbage", "too few", "too many", "count too large", "odd count",
        "no data", "another function", "another transaction", "another unit", "cut short", "endless length",
        "unknown function",
    ],
)  # fmt: skip
def test_anything_but_the_answer_is_no_answer(answer: Answer) -> None:
    with hostile(answer) as port:
        link = link_to(port)
        began = time.monotonic()
        with pytest.raises((LinkDownError, RefusedError)):
            link.read(1, 40000, 4)
        assert time.monotonic() - began < 2.0
        link.close()


def test_a_late_answer_is_never_taken_for_the_next_question() -> None:
    """The first answer comes after its timeout, just when the second question is there."""
    held: list[bytes] = []

    def answer(request: bytes) -> list[bytes]:
        address = int.from_bytes(request[8:10], "big")
        held.append(frame(request, registers(1, address)))
        return [held.pop(0)] if len(held) > 1 else []

    with hostile(answer) as port:
        link = link_to(port)
        for address in range(100, 108):
            try:
                assert link.read(1, address, 1) == [address]
            except LinkDownError:
                pass
        link.close()


def test_an_answer_in_single_bytes_is_put_together() -> None:
    with hostile(lambda request: [bytes([byte]) for byte in frame(request, registers(4))]) as port:
        link = link_to(port, 1.0)
        assert link.read(1, 0, 4) == [7, 7, 7, 7]
        link.close()


@pytest.mark.parametrize("code", [1, 2, 4, 6, 11, 0x55])
def test_an_exception_is_an_answer_and_the_connection_stays(code: int) -> None:
    with hostile(lambda request: [frame(request, bytes([0x83, code]))]) as port:
        link = link_to(port, 1.0)
        for _ in range(3):
            with pytest.raises(RefusedError) as caught:
                link.read(1, 0, 4)
            assert caught.value.code == code
        assert (link.connects, link.losses) == (1, 0)
        link.close()


def test_a_write_that_is_confirmed_otherwise_is_not_confirmed() -> None:
    def answer(request: bytes) -> list[bytes]:
        return [frame(request, struct.pack(">BHH", 16, 1234, 1))]

    with hostile(answer) as port:
        link = link_to(port, 1.0)
        with pytest.raises(LinkDownError, match="another write"):
            link.write(1, 40000, [1, 2])
        link.close()


def test_no_server_is_waited_for_longer_and_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    now = [0.0]
    link = ModbusLink("127.0.0.1", port, 0.2, lambda: now[0])
    attempts = []
    for step in range(600):
        now[0] = step * 0.1
        losses = link.losses
        with pytest.raises(LinkDownError, match="no connection"):
            link.read(1, 0, 1)
        if link.losses > losses:
            attempts.append(now[0])
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert gaps[0] == pytest.approx(0.5) and max(gaps) == pytest.approx(10.0, abs=0.2)
    assert gaps == sorted(gaps)


def test_registers_that_cannot_be_are_not_asked_for() -> None:
    link = link_to(1)
    for address, count in ((65535, 2), (-1, 1), (0, 0), (0, 126)):
        with pytest.raises(RefusedError):
            link.read(1, address, count)
    assert link.losses == 0


def test_the_real_server_gives_a_chain_and_takes_a_write() -> None:
    with House() as house:
        link = link_to(house.port, 2.0)
        chain = walk(lambda address, count: link.read(1, address, count), 40000)
        assert [block.number for block in chain.blocks] == [1, 103, 120, 121, 123, 124]
        at = house.units[1].address(124, "MinRsvPct")
        link.write(1, at, [33])
        assert link.read(1, at, 1) == [33]
        house.refuse[at] = ExcCodes.DEVICE_BUSY
        with pytest.raises(RefusedError, match="busy"):
            link.read(1, at, 1)
        link.close()


def test_a_server_without_the_unit_is_an_answer_or_none() -> None:
    with SunspecServer({5: Bank().end()}) as server:
        link = link_to(server.port, 0.3)
        with pytest.raises((RefusedError, LinkDownError)):
            link.read(9, 40000, 2)
        assert find_base(lambda address, count: link.read(5, address, count)) == 40000
        link.close()
