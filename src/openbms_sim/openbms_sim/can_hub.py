"""A CAN bus over TCP: a hub that speaks the socketcand protocol, a bus for processes without a kernel CAN.

Any client of python-can's interface ``socketcand`` can join, such as the twin, the driver, or a person's
logger. Each frame that one client sends reaches all other clients of its channel, in order and without
loss; the sender does not hear itself, as on SocketCAN. A client that reads too slowly is dropped (and
said so) before it holds up the others.

Protocol: https://github.com/linux-can/socketcand/blob/master/doc/protocol.md, raw mode.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import cast

__all__ = ["CanHub", "main"]

_LOG = logging.getLogger("openbms.can_hub")
_LONGEST_ELEMENT = 256
_MAX_CLIENTS = 64


class _RefusedError(ValueError):
    """The client sent something that is not the protocol."""


def _frame_of(words: list[bytes]) -> bytes:
    """Turn the words of a ``send`` element into identifier and data as a ``frame`` element wants them.

    Raises
    ------
    _RefusedError
        The element is not a classical CAN data frame.
    """
    if len(words) < 3:
        raise _RefusedError("send needs an identifier and a length")
    try:
        identifier, length = int(words[1], 16), int(words[2], 16)
        data = [int(word, 16) for word in words[3:]]
    except ValueError:
        raise _RefusedError("send holds something that is not hexadecimal") from None
    if len(words[1]) not in (3, 8) or not 0 <= identifier <= (0x7FF if len(words[1]) == 3 else 0x1FFFFFFF):
        raise _RefusedError("the identifier must have three digits up to 7FF or eight digits up to 1FFFFFFF")
    if not 0 <= length <= 8 or len(data) != length or any(not 0 <= byte <= 255 for byte in data):
        raise _RefusedError("a frame has up to eight bytes, as many as its length says")
    return b"%b %%b %b" % (words[1].upper(), bytes(data).hex().upper().encode())


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, hub: CanHub) -> None:
        self._hub = hub
        self._received = b""
        self._mode = "greeting"
        self.channel = ""
        self.name = ""
        self.port = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet a new client."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self.transport.get_extra_info("peername") or ("?", 0)
        self.name, self.port = f"{peer[0]}:{peer[1]}", int(peer[1])
        if not self._hub.admit(self):
            self.transport.write(b"< error the hub is full >")
            self.transport.close()
            return
        self.transport.write(b"< hi >")

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a client that left."""
        self._hub.forget(self)

    def data_received(self, data: bytes) -> None:
        """Read the elements ``< … >`` that have arrived whole; keep the rest for the next call."""
        self._received += data
        frames: list[bytes] = []
        *elements, self._received = self._received.split(b">")
        for element in elements:
            head, found, body = element.rpartition(b"<")
            try:
                if not found or head.strip():
                    raise _RefusedError("an element is < … >")
                words = body.split()
                if self._mode == "raw" and words[:1] == [b"send"]:
                    frames.append(_frame_of(words))
                else:
                    self._command(words)
            except _RefusedError as error:
                self.transport.write(b"< error %b >" % str(error).encode())
                _LOG.warning("client %s: refused: %s", self.name, error)
        if len(self._received) > _LONGEST_ELEMENT:
            self._received = b""
            self.transport.write(b"< error the element is too long >")
            _LOG.warning("client %s: refused: the element is too long", self.name)
        if frames:
            self._hub.distribute(self, frames)

    def _command(self, words: list[bytes]) -> None:
        if len(words) == 2 and words[0] == b"open" and self._mode == "greeting":
            self.channel = words[1].decode("ascii", "replace")
            if not self._hub.serves(self.channel):
                self.channel = ""
                raise _RefusedError("no such channel")
            self._mode = "opened"
            self.transport.write(b"< ok >")
        elif words == [b"rawmode"] and self._mode == "opened":
            self.transport.write(b"< ok >")
            # python-can takes what it reads here as one answer and fails where a frame follows at once. A
            # reader stops in front of an urgent byte, so one is put between the answer and the first
            # frame; it is never seen.
            if self.transport.get_write_buffer_size() == 0:
                with socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno())) as same:
                    same.send(b"\n", socket.MSG_OOB)
            self._mode = "raw"
            self._hub.join(self)
        elif words == [b"echo"]:
            self.transport.write(b"< echo >")
        else:
            raise _RefusedError("unknown command here")


class CanHub:
    """The hub, running in a thread of its own.

    Parameters
    ----------
    host : str
        Address to listen on. Anything but this machine's loopback is refused unless ``allow_remote``: the bus
        has neither passwords nor encryption, and whoever reaches it commands the contactors.
    port : int
        TCP port; 0 lets the system choose (see ``port`` after :meth:`start`).
    channels : sequence of str, optional
        Names of the buses; by default any name is a bus of its own.
    allow_remote : bool
        Listen on an address that other machines reach.
    queue_limit_bytes : int
        A client with more than this waiting for it is dropped (a frame takes about 45 bytes).

    Raises
    ------
    ValueError
        ``host`` is not loopback and ``allow_remote`` is false.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 29536,
        *,
        channels: Sequence[str] | None = None,
        allow_remote: bool = False,
        queue_limit_bytes: int = 4_000_000,
    ) -> None:
        if not allow_remote and not _is_loopback(host):
            raise ValueError(
                f"host {host!r} is not this machine's loopback: whoever reaches the hub commands the "
                "contactors. Use 127.0.0.1, or allow it (--allow-remote) on a network of your own."
            )
        self.host, self.port = host, port
        self._channels = None if channels is None else frozenset(channels)
        self._queue_limit_bytes = queue_limit_bytes
        self._connected: set[_Client] = set()
        self._members: dict[str, dict[_Client, None]] = {}
        self._cut: dict[str, int] = {}
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self.frames = 0
        """Frames that passed through the hub."""

    # ---- called by the clients, in the hub's thread -----------------------------------------------

    def admit(self, client: _Client) -> bool:
        """Take up a connection, unless there are too many."""
        if len(self._connected) >= _MAX_CLIENTS:
            _LOG.warning("client %s: refused: %d clients are connected", client.name, _MAX_CLIENTS)
            return False
        self._connected.add(client)
        return True

    def serves(self, channel: str) -> bool:
        """Tell whether a bus of this name exists."""
        return channel.isprintable() and (self._channels is None or channel in self._channels)

    def join(self, client: _Client) -> None:
        """Put a client on its bus."""
        with self._changed:
            members = self._members.setdefault(client.channel, {})
            if self._cut.get(client.channel, client.port) != client.port:
                _LOG.warning("client %s: refused: %s is cut", client.name, client.channel)
                client.transport.abort()
                return
            members[client] = None
            self._changed.notify_all()
        _LOG.info("client %s joined %s", client.name, client.channel)

    def forget(self, client: _Client) -> None:
        """Take a client off its bus."""
        self._connected.discard(client)
        with self._changed:
            if self._members.get(client.channel, {}).pop(client, self) is not self:
                _LOG.info("client %s left %s", client.name, client.channel)
            self._changed.notify_all()

    def distribute(self, sender: _Client, frames: list[bytes]) -> None:
        """Give frames to every other client of the sender's bus."""
        self.frames += len(frames)
        stamp = b"%.6f" % time.time()
        data = b"".join(b"< frame " + frame % stamp + b" >" for frame in frames)
        for client in list(self._members.get(sender.channel, ())):
            if client is sender or client.transport.is_closing():
                continue
            client.transport.write(data)
            waiting = client.transport.get_write_buffer_size()
            if waiting > self._queue_limit_bytes:
                _LOG.warning(
                    "client %s on %s reads too slowly (%d bytes wait for it) and is dropped",
                    client.name, client.channel, waiting,
                )  # fmt: skip
                client.transport.abort()

    # ---- for its owner ----------------------------------------------------------------------------

    def cut(self, channel: str, keep_port: int | None) -> None:
        """Unplug every client of a bus but one, and take no other; None: all may come back.

        Parameters
        ----------
        channel : str
            Name of the bus.
        keep_port : int or None
            TCP port of the client that stays.
        """
        if self._loop is None or self._cut.get(channel) == keep_port:
            return
        if keep_port is None:
            del self._cut[channel]
            return
        self._cut[channel] = keep_port

        def drop() -> None:
            for client in [each for each in self._members.get(channel, ()) if each.port != keep_port]:
                _LOG.warning("client %s is unplugged from %s", client.name, channel)
                client.transport.abort()

        self._loop.call_soon_threadsafe(drop)

    def tell_error(self, channel: str, error_class: int, but_port: int) -> None:
        """Tell every client of a bus but one of an error frame.

        Parameters
        ----------
        channel : str
            Name of the bus.
        error_class : int
            Class as in ``linux/can/error.h``.
        but_port : int
            TCP port of the client that is not told.
        """
        if self._loop is None:
            return

        def tell() -> None:
            data = b"< error %03X %.6f >" % (error_class, time.time())
            for client in self._members.get(channel, ()):
                if client.port != but_port:
                    client.transport.write(data)

        self._loop.call_soon_threadsafe(tell)

    def clients(self, channel: str) -> int:
        """Give the number of clients on a bus."""
        with self._changed:
            return len(self._members.get(channel, ()))

    def wait_for_clients(
        self, channel: str, at_least: int, timeout_s: float, *, at_most: int = 1 << 30
    ) -> bool:
        """Wait until a bus has this many clients; False when the time is over first."""

        def there() -> bool:
            return at_least <= len(self._members.get(channel, ())) <= at_most

        with self._changed:
            return self._changed.wait_for(there, timeout_s)

    def start(self) -> None:
        """Listen, in a thread of its own; returns when clients can connect.

        Raises
        ------
        OSError
            The address cannot be used (another hub has the port).
        """
        self._connected.clear()
        self._members.clear()
        self._cut.clear()
        listener = socket.create_server(
            (self.host, self.port), family=_family(self.host), backlog=_MAX_CLIENTS
        )
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(listener, ready)), name="can_hub", daemon=True
        )
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Drop all clients and end; does nothing where the hub is not running."""
        thread, loop, stop = self._thread, self._loop, self._stop
        if thread is None or loop is None or stop is None:
            return
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        self._thread = self._loop = self._stop = None

    async def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: _Client(self), sock=listener)
        ready.set()
        await self._stop.wait()
        server.close()
        for client in list(self._connected):
            client.transport.close()
        # One turn of the loop hands what still waits to the kernel; a reader that sleeps is not waited for.
        await asyncio.sleep(0)
        for client in list(self._connected):
            client.transport.abort()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the hub until SIGINT or SIGTERM; prints one line when clients can connect."""
    parser = argparse.ArgumentParser(prog="can_hub", description="A CAN bus over TCP (socketcand protocol)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=29536, help="0: any free port")
    parser.add_argument(
        "--channel", action="append", help="name of a bus; repeat for several (default: any name)"
    )
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond this machine, unprotected")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    try:
        hub = CanHub(options.host, options.port, channels=options.channel, allow_remote=options.allow_remote)
        hub.start()
    except (OSError, OverflowError, ValueError) as error:
        sys.stderr.write(f"can_hub: {options.host}:{options.port}: {error}\n")
        return 2
    sys.stdout.write(f"can_hub ready on {hub.host}:{hub.port}\n")
    sys.stdout.flush()
    end.wait()
    hub.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
