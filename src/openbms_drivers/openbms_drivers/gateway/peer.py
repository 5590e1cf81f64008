"""The peer of a gateway without bus and without ROS: frames to values, values to frames."""

from __future__ import annotations

import math
from collections.abc import Callable

from openbms_core.types import Validity
from openbms_drivers.bus_health import BusHealth
from openbms_drivers.database import Database
from openbms_drivers.frame import ERROR, REMOTE, Frame
from openbms_drivers.gateway.gateway_file import LoadedGateway
from openbms_drivers.gateway.sender import Sender, Values
from openbms_drivers.signal_decoder import SignalDecoder

__all__ = ["Peer", "Readings"]


class Readings:
    """What the peer says at one moment.

    Parameters
    ----------
    values : dict of str to list of float
        By quantity; NaN where unknown.
    reasons : dict of str to Validity
        Why the first value of a quantity is or is not there.
    """

    def __init__(self, values: dict[str, list[float]], reasons: dict[str, Validity]) -> None:
        self._values, self._reasons = values, reasons

    def value(self, quantity: str, index: int = 0) -> float:
        """Give a value; NaN if it is unknown or not mapped."""
        row = self._values.get(quantity, ())
        return row[index] if index < len(row) else math.nan

    def fitted(self, quantity: str) -> bool:
        """Tell whether the file maps it."""
        return quantity in self._values

    def all(self, quantity: str) -> list[float]:
        """Give every value of a quantity; empty if it is not mapped."""
        return self._values.get(quantity, [])

    def why_missing(self) -> list[str]:
        """Give the quantities that are mapped and unknown, each with its reason."""
        return [
            f"{name} {self._reasons[name].name}" for name, row in self._values.items() if math.isnan(row[0])
        ]


class Peer:
    """Reads and sends by a gateway's file.

    Parameters
    ----------
    gateway : LoadedGateway
    bus_name : str
        ``interface:channel``, for sentences about the bus.
    values : callable
        Gives the values to send at a monotonic time; asked by the thread that sends, at each turn, so that
        what expires is not sent any more whatever else hangs.
    caught : tuple of str
        On-off quantities of which also the shortest word counts: :meth:`caught_since` tells it.
    """

    def __init__(
        self,
        gateway: LoadedGateway,
        bus_name: str,
        values: Callable[[float], Values],
        caught: tuple[str, ...] = (),
    ) -> None:
        device = gateway.file.device
        self.database = Database(gateway.as_pack())
        self.decoder = SignalDecoder(gateway.as_pack(), self.database)
        self.sender = Sender(gateway, self.database)
        self.health = BusHealth(bus_name, device.bitrate_bit_per_s, device.silent_after_s)
        self._values = values
        table = self.decoder.table
        self._caught = {
            slot: name
            for name in caught
            if name in table.sizes
            for slot in range(table.slots(name).start, table.slots(name).stop)
        }
        self._seen: set[str] = set()

    @property
    def uses_fd(self) -> bool:
        """Some message that is read or sent is CAN FD."""
        return any(message.is_fd for message in (*self.decoder.messages, *self.sender.messages))

    def receive(self, frame: Frame) -> None:
        """Take one frame; anything may be in it."""
        if frame.flags & (ERROR | REMOTE):
            if frame.flags & ERROR:
                self.health.error_frame(frame.identifier, frame.monotonic_s)
            return
        plan = self.decoder.plan(frame.key)
        if plan is None:
            self.health.foreign_frame(frame.identifier, frame.monotonic_s)
        elif plan.mapped:
            self.health.pack_frame(frame.monotonic_s)
            if self.decoder.decode(plan, frame) and self._caught:
                self._catch(frame)

    def _catch(self, frame: Frame) -> None:
        """Keep what one frame says and the next one may take back before anybody has looked."""
        table = self.decoder.table
        for slot, name in self._caught.items():
            if table.good_at[slot] == frame.monotonic_s and table.values[slot] == 1.0:
                self._seen.add(name)

    def caught_since(self) -> set[str]:
        """Give the caught quantities that were on since this was asked last, if only for one frame."""
        seen, self._seen = self._seen, set()
        return seen

    def frames_due(self, now_s: float, stamp_s: float = 0.0) -> list[Frame]:
        """Give the frames to send now (monotonic time)."""
        if now_s < self.sender.next_due_s:
            return []
        return self.sender.frames_due(self._values(now_s), now_s, stamp_s)

    def readings(self, now_s: float) -> Readings:
        """Give what is known now; may be asked by another thread than the one that receives."""
        table = self.decoder.table
        snapshot = table.snapshot(now_s)
        values, reasons = {}, {}
        for quantity in table.sizes:
            slots = table.slots(quantity)
            values[quantity] = snapshot.values[slots].tolist()
            reasons[quantity] = Validity(int(snapshot.validity[slots.start]))
        return Readings(values, reasons)
