"""A live view for Foxglove: topics as bytes to whoever asks for them, and nothing the other way.

The server is Foxglove's SDK; this module adds what it leaves open: which topics are wanted just now, the last
message of a latched topic for a client that comes late, and an error that says what to do when the port is
taken. Knows no ROS.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import foxglove
from foxglove import Channel, Context, Schema
from foxglove.websocket import ServerListener

__all__ = ["BridgeError", "BridgeStatus", "BridgeTopic", "FoxgloveBridge"]

# Of each client; beyond it the SDK drops that client's oldest messages and nobody else notices
_BACKLOG_MESSAGES = 256


class BridgeError(RuntimeError):
    """The server could not be started; the text says why and what to do."""


@dataclass(frozen=True)
class BridgeTopic:
    """One topic on offer: full name, ``package/msg/Name``, definition as ``ros2msg``, latched or not."""

    name: str
    type: str
    schema: str
    latched: bool = False


@dataclass(frozen=True)
class BridgeStatus:
    """Clients that watch something, topics that are watched, messages passed on so far."""

    clients: int
    topics: int
    forwarded: int


class _Listener(ServerListener):  # type: ignore[misc]
    """Hears from the SDK's threads who wants what."""

    def __init__(self, changed: Callable[[int, str, bool], None]) -> None:
        self._changed = changed

    def on_subscribe(self, client: Any, channel: Any) -> None:
        self._changed(client.id, channel.topic, True)

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        self._changed(client.id, channel.topic, False)


class FoxgloveBridge:
    """Offers topics to Foxglove clients.

    Parameters
    ----------
    topics : sequence of BridgeTopic
        What is offered.
    host : str
        Address to listen on.
    port : int
        Port to listen on; 0 takes a free one.
    name : str
        Name that clients show.
    """

    def __init__(self, topics: Sequence[BridgeTopic], *, host: str, port: int, name: str = "OpenBMS") -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._host = host
        self._port = port
        self._name = name
        self._lock = threading.Lock()
        self._watchers: dict[str, set[int]] = {topic: set() for topic in self._topics}
        self._newcomers: set[str] = set()
        self._last: dict[str, tuple[bytes, int]] = {}
        self._forwarded = 0
        self._server: Any = None
        # Its own context: what another part of the process logs by the SDK is not shown here
        self._context = Context()
        self._channels: dict[str, Channel] = {}

    def start(self) -> None:
        """Listen for clients.

        Raises
        ------
        BridgeError
            The port is taken, or the address is not this machine's.
        """
        logging.getLogger("foxglove").setLevel(logging.WARNING)
        try:
            self._server = foxglove.start_server(
                name=self._name,
                host=self._host,
                port=self._port,
                capabilities=[],  # read-only: no publishing, no services, no parameters
                server_listener=_Listener(self._changed),
                context=self._context,
                message_backlog_size=_BACKLOG_MESSAGES,
            )
        except (RuntimeError, OSError, OverflowError) as error:
            raise BridgeError(self._why(error)) from error
        for topic in self._topics.values():
            self._channels[topic.name] = Channel(
                topic.name,
                schema=Schema(name=topic.type, encoding="ros2msg", data=topic.schema.encode("utf-8")),
                message_encoding="cdr",
                context=self._context,
            )

    def _why(self, error: Exception) -> str:
        if "in use" in str(error):
            return (
                f"port {self._port} of {self._host} is taken by another program. "
                "Stop that program, or give this server another port with the parameter port."
            )
        return (
            f"the server cannot listen on {self._host}, port {self._port}: {error}. "
            "Set the parameter host to an address of this machine (127.0.0.1 for this machine only)."
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.port) if self._server is not None else self._port

    def stop(self) -> None:
        """Close all connections."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def _changed(self, client: int, topic: str, subscribed: bool) -> None:
        with self._lock:
            watchers = self._watchers.get(topic)
            if watchers is None:
                return
            if subscribed:
                watchers.add(client)
                self._newcomers.add(topic)
            else:
                watchers.discard(client)

    def wanted(self) -> frozenset[str]:
        """Give the topics that at least one client watches now."""
        with self._lock:
            return frozenset(topic for topic, watchers in self._watchers.items() if watchers)

    def serve_newcomers(self) -> None:
        """Send the last message of latched topics again where a client came since the last call."""
        with self._lock:
            newcomers, self._newcomers = self._newcomers, set()
            again = [(topic, *self._last[topic]) for topic in newcomers if topic in self._last]
        for topic, data, log_time_ns in again:
            self._send(topic, data, log_time_ns)

    def forget(self, topic: str) -> None:
        """Forget the last message of a topic that is not followed any more: it would grow old unnoticed."""
        with self._lock:
            self._last.pop(topic, None)

    def forward(self, topic: str, data: bytes, log_time_ns: int) -> None:
        """Pass one message on to the clients that watch its topic; never waits for them.

        Parameters
        ----------
        topic : str
            Full name.
        data : bytes
            CDR with its encapsulation header.
        log_time_ns : int
            Time of reception [ns since the epoch].
        """
        if self._topics[topic].latched:
            with self._lock:
                self._last[topic] = (data, log_time_ns)
        self._send(topic, data, log_time_ns)

    def _send(self, topic: str, data: bytes, log_time_ns: int) -> None:
        channel = self._channels.get(topic)
        if channel is not None:
            channel.log(data, log_time=log_time_ns)
            self._forwarded += 1

    def status(self) -> BridgeStatus:
        """Tell who watches what."""
        with self._lock:
            watching = set().union(*self._watchers.values()) if self._watchers else set()
            topics = sum(1 for watchers in self._watchers.values() if watchers)
        return BridgeStatus(len(watching), topics, self._forwarded)
