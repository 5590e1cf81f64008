"""The hub over real TCP, with python-can's own client."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import can
import pytest

from openbms_sim.can_hub import CanHub

logging.getLogger("can.interfaces.socketcand").setLevel(logging.ERROR)


@pytest.fixture
def hub() -> Iterator[CanHub]:
    made = CanHub(port=0)
    made.start()
    yield made
    made.stop()


def join(hub: CanHub, channel: str = "can0") -> can.BusABC:
    return can.Bus(interface="socketcand", channel=channel, host=hub.host, port=hub.port)


def frame(number: int, identifier: int = 0x123) -> can.Message:
    return can.Message(arbitration_id=identifier, data=number.to_bytes(4, "big"), is_extended_id=False)


def raw_client(hub: CanHub, channel: str = "can0") -> socket.socket:
    client = socket.create_connection((hub.host, hub.port), timeout=5)
    assert client.recv(64) == b"< hi >"
    client.sendall(f"< open {channel} >".encode())
    assert client.recv(64) == b"< ok >"
    client.sendall(b"< rawmode >")
    assert client.recv(64) == b"< ok >"
    return client


def test_a_frame_arrives_unchanged_and_not_at_its_sender(hub: CanHub) -> None:
    with join(hub) as a, join(hub) as b:
        for sent in (
            can.Message(arbitration_id=0x7FF, data=bytes(range(8)), is_extended_id=False),
            can.Message(arbitration_id=0x000, data=b"", is_extended_id=False),
            can.Message(arbitration_id=0x1ABCDEF0, data=b"\xff\x00", is_extended_id=True),
        ):
            a.send(sent)
            got = b.recv(5)
            assert got is not None
            assert (got.arbitration_id, bytes(got.data), got.is_extended_id) == (
                sent.arbitration_id, bytes(sent.data), sent.is_extended_id,
            )  # fmt: skip
        b.send(frame(1))
        only = a.recv(5)
        assert only is not None and only.data[3] == 1  # the first that a hears: none of its own


def test_a_burst_of_30000_frames_arrives_whole_and_in_order_at_two_readers(hub: CanHub) -> None:
    count = 30_000
    with join(hub) as sender, join(hub) as first, join(hub) as second:
        got: dict[int, list[int]] = {0: [], 1: []}

        def read(index: int, bus: can.BusABC) -> None:
            while len(got[index]) < count:
                message = bus.recv(10)
                if message is None:
                    return
                got[index].append(int.from_bytes(message.data, "big"))

        readers = [threading.Thread(target=read, args=item) for item in enumerate((first, second))]
        for reader in readers:
            reader.start()
        for number in range(count):
            sender.send(frame(number))
        for reader in readers:
            reader.join()
        assert got[0] == got[1] == list(range(count))


def test_channels_are_separate(hub: CanHub) -> None:
    with join(hub, "can0") as a, join(hub, "can1") as other, join(hub, "can0") as b:
        a.send(frame(1))
        assert b.recv(5) is not None
        assert other.recv(0) is None


def test_unknown_channel_is_refused_where_channels_are_named() -> None:
    hub = CanHub(port=0, channels=["can0"])
    hub.start()
    try:
        with socket.create_connection((hub.host, hub.port), timeout=5) as client:
            assert client.recv(64) == b"< hi >"
            client.sendall(b"< open can7 >")
            assert client.recv(64) == b"< error no such channel >"
        join(hub, "can0").shutdown()
    finally:
        hub.stop()


def test_joining_while_frames_flow_never_spoils_the_handshake(hub: CanHub) -> None:
    with join(hub) as sender:
        end = threading.Event()

        def flood() -> None:
            number = 0
            while not end.is_set():
                sender.send(frame(number := number + 1))

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(50):
                with join(hub) as late:
                    assert late.recv(5) is not None
        finally:
            end.set()
            thread.join()


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(hub: CanHub) -> None:
    with join(hub) as sender, join(hub) as stays:
        leaves = raw_client(hub)
        assert hub.wait_for_clients("can0", 3, 5)
        for number in range(1000):
            if number == 500:
                leaves.sendall(b"< send 123 4 1 2")  # half an element
                leaves.close()
            sender.send(frame(number))
        got = [stays.recv(5) for _ in range(1000)]
        assert [int.from_bytes(message.data, "big") for message in got if message] == list(range(1000))
        assert hub.wait_for_clients("can0", 2, 5, at_most=2)


def test_a_slow_client_is_dropped_and_the_others_lose_nothing(caplog: pytest.LogCaptureFixture) -> None:
    hub = CanHub(port=0, queue_limit_bytes=100_000)
    hub.start()
    try:
        with join(hub) as sender, join(hub) as reads:
            slow = raw_client(hub)
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            assert hub.wait_for_clients("can0", 3, 5)
            sent = 0
            with caplog.at_level(logging.WARNING, "openbms.can_hub"):
                while hub.clients("can0") == 3 and sent < 1_000_000:
                    sender.send(frame(sent))
                    message = reads.recv(5)
                    assert message is not None and int.from_bytes(message.data, "big") == sent
                    sent += 1
            assert hub.clients("can0") == 2
            assert "reads too slowly" in caplog.text
            slow.close()
    finally:
        hub.stop()


@pytest.mark.parametrize(
    "garbage",
    [
        b"nonsense >",
        b"< send >",
        b"< send 123 1 1FF >",
        b"< send 123 2 1 >",
        b"< send 8FF 0 >",
        b"< send 12 0 >",
        b"< send 123 9 1 2 3 4 5 6 7 8 9 >",
        b"< send zzz 1 1 >",
        b"< send 123 -1 >",
        b"< open can1 >",
        b"< isotpmode >",
        b"< >",
        b"\xff\xfe\x00 >",
        b"x" * 5000,
    ],
)
def test_garbage_is_answered_with_an_error_and_the_client_goes_on(hub: CanHub, garbage: bytes) -> None:
    with join(hub) as other:
        client = raw_client(hub)
        client.sendall(garbage)
        assert client.recv(256).startswith(b"< error ")
        client.sendall(b"> < send 123 1 7 >" if garbage.startswith(b"x") else b"< send 123 1 7 >")
        got = other.recv(5)
        assert got is not None and bytes(got.data) == b"\x07"
        client.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_an_address_that_others_reach_is_refused_unless_told(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        CanHub(host)
    CanHub(host, allow_remote=True)


def test_stop_ends_clients_and_the_port_can_be_used_again() -> None:
    hub = CanHub(port=0)
    hub.start()
    client = raw_client(hub)
    hub.stop()
    hub.stop()
    assert client.recv(64) == b""
    client.close()
    again = CanHub(port=hub.port)
    again.start()
    with pytest.raises(OSError, match="in use"):
        CanHub(port=hub.port).start()
    again.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_standalone_says_when_it_is_ready_and_ends_on_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "openbms_sim.can_hub", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("can_hub ready on 127.0.0.1:")
        with can.Bus(
            interface="socketcand", channel="can0", host="127.0.0.1", port=int(line.rpartition(":")[2])
        ):
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in errors


def test_standalone_refuses_a_foreign_address_in_one_sentence() -> None:
    command = [sys.executable, "-m", "openbms_sim.can_hub", "--host", "0.0.0.0", "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert result.returncode == 2
    assert "loopback" in result.stderr and "Traceback" not in result.stderr
