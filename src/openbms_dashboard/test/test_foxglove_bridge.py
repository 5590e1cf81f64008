"""The bridge against a client that shares no code with it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from openbms_dashboard.foxglove_bridge import BridgeError, BridgeTopic, FoxgloveBridge

PLAIN = BridgeTopic("/bms/number", "std_msgs/msg/UInt64", "uint64 data\n")
LATCHED = BridgeTopic("/bms/fixed", "std_msgs/msg/UInt64", "uint64 data\n", latched=True)


def number(value: int) -> bytes:
    return b"\x00\x01\x00\x00" + value.to_bytes(8, "little")


@pytest.fixture
def bridge() -> Iterator[FoxgloveBridge]:
    made = FoxgloveBridge([PLAIN, LATCHED], host="127.0.0.1", port=0)
    made.start()
    yield made
    made.stop()


def test_topics_are_advertised_with_their_definition(
    bridge: FoxgloveBridge, connect: Any, until: Any
) -> None:
    client = connect(bridge.port)
    until(lambda: len(client.channels) == 2, client)
    channel = client.channels["/bms/number"]
    assert channel["encoding"] == "cdr"
    assert (channel["schemaName"], channel["schemaEncoding"]) == ("std_msgs/msg/UInt64", "ros2msg")
    assert channel["schema"] == "uint64 data\n"


def test_it_is_read_only(bridge: FoxgloveBridge, connect: Any, until: Any) -> None:
    client = connect(bridge.port)
    until(lambda: bool(client.server_info), client)
    assert client.server_info["name"] == "OpenBMS"
    assert not {"clientPublish", "parameters", "parametersSubscribe", "services", "assets"} & set(
        client.server_info["capabilities"]
    )


def test_bytes_and_times_arrive_untouched(bridge: FoxgloveBridge, connect: Any, until: Any) -> None:
    client = connect(bridge.port)
    until(lambda: "/bms/number" in client.channels, client)
    client.subscribe("/bms/number")
    until(lambda: bridge.wanted() == {"/bms/number"}, client)
    for value in range(100):
        bridge.forward("/bms/number", number(value), 1_000 + value)
    until(lambda: len(client.received) == 100, client)
    assert client.received == [("/bms/number", 1_000 + value, number(value)) for value in range(100)]


def test_wanted_follows_subscribe_unsubscribe_and_a_lost_connection(
    bridge: FoxgloveBridge, connect: Any, until: Any
) -> None:
    first, second = connect(bridge.port), connect(bridge.port)
    until(lambda: len(first.channels) == len(second.channels) == 2, first, second)
    assert bridge.wanted() == frozenset()
    first.subscribe("/bms/number")
    second.subscribe("/bms/number")
    second.subscribe("/bms/fixed")
    until(lambda: bridge.status().clients == 2 and bridge.status().topics == 2, first, second)
    first.unsubscribe("/bms/number")
    until(lambda: bridge.status().clients == 1, first, second)
    assert bridge.wanted() == {"/bms/number", "/bms/fixed"}
    second.connection.socket.shutdown(socket.SHUT_RDWR)  # the cable is pulled
    until(lambda: bridge.wanted() == frozenset())
    assert bridge.status().clients == 0


def test_a_late_client_gets_the_last_message_of_a_latched_topic(
    bridge: FoxgloveBridge, connect: Any, until: Any
) -> None:
    early = connect(bridge.port)
    until(lambda: len(early.channels) == 2, early)
    early.subscribe("/bms/fixed")
    early.subscribe("/bms/number")
    until(lambda: len(bridge.wanted()) == 2, early)
    bridge.forward("/bms/fixed", number(5), 1)
    bridge.forward("/bms/number", number(6), 1)
    until(lambda: len(early.received) == 2, early)
    late = connect(bridge.port)
    until(lambda: len(late.channels) == 2, late)
    late.subscribe("/bms/fixed")
    late.subscribe("/bms/number")
    until(lambda: bridge.status().clients == 2, late)
    until(lambda: bool(late.received), late, spin=bridge.serve_newcomers)
    assert late.received == [("/bms/fixed", 1, number(5))]


def test_nothing_old_is_repeated_after_a_topic_was_left(
    bridge: FoxgloveBridge, connect: Any, until: Any
) -> None:
    bridge.forward("/bms/fixed", number(5), 1)
    bridge.forget("/bms/fixed")
    client = connect(bridge.port)
    until(lambda: len(client.channels) == 2, client)
    client.subscribe("/bms/fixed")
    client.subscribe("/bms/number")
    until(lambda: len(bridge.wanted()) == 2, client)
    bridge.serve_newcomers()
    bridge.forward("/bms/number", number(6), 2)
    until(lambda: bool(client.received), client)
    assert client.received == [("/bms/number", 2, number(6))]


def test_a_client_that_does_not_read_slows_nobody(bridge: FoxgloveBridge, connect: Any, until: Any) -> None:
    slow, quick = connect(bridge.port), connect(bridge.port)
    until(lambda: len(slow.channels) == len(quick.channels) == 2, slow, quick)
    slow.subscribe("/bms/number")
    quick.subscribe("/bms/fixed")
    until(lambda: bridge.status().clients == 2, quick)
    big = b"\x00\x01\x00\x00" + bytes(100_000)
    start = time.monotonic()
    for value in range(2000):  # 200 MB: more than any buffer between the two
        bridge.forward("/bms/number", big, value)
    elapsed_s = time.monotonic() - start
    bridge.forward("/bms/fixed", number(1), 1)
    until(lambda: quick.of("/bms/fixed") == [number(1)], quick)
    assert elapsed_s < 5.0


def test_a_port_that_is_taken_is_named_with_the_cure() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BridgeError, match=rf"port {port} of 127.0.0.1 is taken .* parameter port"):
            FoxgloveBridge([PLAIN], host="127.0.0.1", port=port).start()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BridgeError, match="Set the parameter host"):
        FoxgloveBridge([PLAIN], host="192.0.2.1", port=0).start()


def test_the_old_subprotocol_is_refused(bridge: FoxgloveBridge, connect: Any) -> None:
    with pytest.raises(InvalidStatus):
        connect(bridge.port, subprotocol="foxglove.websocket.v1")


def test_it_can_be_stopped_and_started_again(connect: Any, until: Any) -> None:
    bridge = FoxgloveBridge([PLAIN], host="127.0.0.1", port=0)
    for _ in range(2):
        bridge.start()
        client = connect(bridge.port)
        until(lambda: "/bms/number" in client.channels, client)  # noqa: B023
        bridge.stop()
    bridge.stop()
