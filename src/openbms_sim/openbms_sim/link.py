"""The twin's own connection to its bus, and the hub where it runs one: what an injection does to them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from openbms_core.light_can import can
from openbms_sim.arbitration import ERROR_FLAG
from openbms_sim.can_hub import CanHub
from openbms_sim.faults import Injections, bus

__all__ = ["Link"]

_LOG = logging.getLogger("openbms.twin")
Frame = tuple[int, bytes]


class Link:
    """A bus of python-can with the hub behind it.

    Parameters
    ----------
    open_bus : callable
        Opens the bus; called again when the hub comes back.
    hub : CanHub, optional
        The hub that runs in this process.
    channel : str
        Name of the bus.
    """

    def __init__(self, open_bus: Callable[[], Any], hub: CanHub | None = None, channel: str = "can0") -> None:
        self._open_bus = open_bus
        self._hub = hub
        self._channel = channel
        self._bus: Any = open_bus()
        self._down = False

    @property
    def _port(self) -> int:
        """TCP port of this client of a hub; 0 on any other bus."""
        connection = getattr(self._bus, "_SocketCanDaemonBus__socket", None)
        return int(connection.getsockname()[1]) if connection is not None else 0

    @property
    def others(self) -> int:
        """Clients of the hub on this bus beside the twin; 0 without a hub."""
        if self._hub is None or self._down:
            return 0
        return max(0, self._hub.clients(self._channel) - 1)

    def receive(self) -> list[Frame]:
        """Give what has arrived since the last call; error frames carry ``ERROR_FLAG``."""
        frames: list[Frame] = []
        while self._bus is not None and (message := self._bus.recv(0)) is not None:
            if not (message.is_extended_id or message.is_error_frame or message.is_remote_frame):
                frames.append((message.arbitration_id, bytes(message.data)))
        return frames

    def send(self, identifier: int, data: bytes) -> None:
        """Send a frame, or tell of an error frame (``ERROR_FLAG`` in the identifier)."""
        if self._bus is None:
            return
        if not identifier & ERROR_FLAG:
            self._bus.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))
        elif self._hub is not None:
            self._hub.tell_error(self._channel, identifier & ~ERROR_FLAG, self._port)
        elif not self._port:  # socketcand's protocol has no word for it
            number = identifier & ~ERROR_FLAG
            self._bus.send(
                can.Message(arbitration_id=number, data=bytes(8), is_extended_id=True, is_error_frame=True)
            )

    def follow(self, injections: Injections) -> None:
        """Cut and mend as the injections say; does nothing where there is no hub of our own."""
        hub = self._hub
        if hub is None:
            return
        if injections.acts(bus.HubDown) and not self._down:
            self._down = True
            self.close()
            hub.stop()
            _LOG.warning("the hub is down, as injected")
        elif self._down and not injections.acts(bus.HubDown):
            hub.start()
            self._bus = self._open_bus()
            self._down = False
        if not self._down:
            hub.cut(self._channel, self._port if injections.acts(bus.LinkDropped) else None)

    def close(self) -> None:
        """Close the bus; the hub is its owner's."""
        bus_now, self._bus = self._bus, None
        if bus_now is not None:
            with contextlib.suppress(can.CanError, OSError):
                bus_now.shutdown()
