"""A small client of Foxglove's WebSocket protocol, from its specification; shares nothing with the SDK.

https://github.com/foxglove/ws-protocol/blob/main/docs/spec.md
"""

from __future__ import annotations

import contextlib
import json
import struct
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

_MESSAGE_DATA = 1


class FoxgloveClient:
    """Connects, knows what is advertised, subscribes and receives."""

    def __init__(self, port: int, subprotocol: str = "foxglove.sdk.v1") -> None:
        self._open = contextlib.ExitStack()
        self.connection: ClientConnection = self._open.enter_context(
            connect(
                f"ws://127.0.0.1:{port}",
                subprotocols=[Subprotocol(subprotocol)],
                max_size=None,
                close_timeout=0.5,
            )
        )
        self.server_info: dict[str, Any] = {}
        self.channels: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[int, str] = {}
        self.received: list[tuple[str, int, bytes]] = []

    def step(self, timeout_s: float) -> bool:
        """Take one frame; False if none came in time."""
        try:
            frame = self.connection.recv(timeout=timeout_s)
        except TimeoutError:
            return False
        if isinstance(frame, str):
            self._control(json.loads(frame))
        elif frame[0] == _MESSAGE_DATA:
            subscription, time_ns = struct.unpack_from("<IQ", frame, 1)
            if subscription in self.subscriptions:
                self.received.append((self.subscriptions[subscription], time_ns, frame[13:]))
        return True

    def _control(self, message: dict[str, Any]) -> None:
        if message["op"] == "serverInfo":
            self.server_info = message
        elif message["op"] == "advertise":
            self.channels.update({channel["topic"]: channel for channel in message["channels"]})

    def subscribe(self, topic: str) -> None:
        number = len(self.subscriptions) + 1
        self.subscriptions[number] = topic
        channel = self.channels[topic]["id"]
        self._send({"op": "subscribe", "subscriptions": [{"id": number, "channelId": channel}]})

    def unsubscribe(self, topic: str) -> None:
        numbers = [number for number, name in self.subscriptions.items() if name == topic]
        self._send({"op": "unsubscribe", "subscriptionIds": numbers})

    def _send(self, message: dict[str, Any]) -> None:
        self.connection.send(json.dumps(message))

    def of(self, topic: str) -> list[bytes]:
        """Give the data received on a topic."""
        return [data for name, _, data in self.received if name == topic]

    def close(self) -> None:
        self._open.close()
