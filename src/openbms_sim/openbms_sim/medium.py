"""What lies between the device and the host: the cable, both controllers, and other nodes.

Without an injection every frame passes at once, as the hub passes it. A flood or disturbances need the bus in
bit times (:mod:`openbms_sim.arbitration`): then frames queue, come late, and get lost.
"""

from __future__ import annotations

from openbms_sim.arbitration import BUS_OFF, ERROR_FLAG, PROTOCOL_ERROR, RESTARTED, BitTimeBus, Node
from openbms_sim.bus_load import worst_case_bits
from openbms_sim.faults import Injections, bus

__all__ = ["Medium"]

Frame = tuple[int, bytes]

_HOST_QUEUE = 10
"""Transmit queue of a SocketCAN interface (``txqueuelen``)."""
_DEVICE_QUEUE = 64
_FLOOD_QUEUE = 4


class Medium:
    """The bus between device and host.

    Parameters
    ----------
    bit_rate_bit_per_s : float
        Bit rate [bit/s].
    seed : int
        Of disturbances.
    """

    def __init__(self, bit_rate_bit_per_s: float, seed: int = 1) -> None:
        self._rate = bit_rate_bit_per_s
        self._seed = seed
        self._bits: BitTimeBus | None = None
        self._before_s: float | None = None
        self._for_device: list[Frame] = []
        self._due_s: dict[int, float] = {}
        self._error_s = 0.0

    def to_device(self, received: list[Frame], now_s: float, injections: Injections) -> list[Frame]:
        """Give the host's frames that reach the device now.

        Parameters
        ----------
        received : list of (identifier, data)
            What the host has sent since the last call.
        now_s : float
            Monotonic time [s].
        injections : Injections
            What is wrong now.
        """
        before_s = now_s if self._before_s is None else self._before_s
        if injections.of(bus.BusFlood, bus.BusErrors) and self._bits is None:
            nodes = {
                "host": Node(_HOST_QUEUE),
                "device": Node(_DEVICE_QUEUE),
                "flood": Node(_FLOOD_QUEUE, 0.0),
            }
            self._bits = BitTimeBus(self._rate, nodes, self._seed)
        if self._bits is None:
            return [] if self._cut(injections) else received
        for frame in received:
            self._bits.offer("host", frame, before_s)
        arrived, self._for_device = self._for_device, []
        return [] if self._cut(injections) else arrived

    def to_host(self, frames: list[Frame], now_s: float, injections: Injections) -> list[Frame]:
        """Give the frames, error frames among them, that reach the host now; once a tick, after
        :meth:`to_device`.

        Parameters
        ----------
        frames : list of (identifier, data)
            What the device sends.
        now_s : float
            Monotonic time [s].
        injections : Injections
            What is wrong now.
        """
        before_s = now_s if self._before_s is None else self._before_s
        self._before_s = now_s
        out = self._controller(injections, before_s, now_s)
        if self._bits is not None:
            frames = self._arbitrated(frames, before_s, now_s, injections)
        return out + ([] if self._cut(injections) else frames)

    @staticmethod
    def _cut(injections: Injections) -> bool:
        return bool(injections.of(bus.SilentBus, bus.BusOff, bus.BitRateMismatch))

    def _controller(self, injections: Injections, before_s: float, now_s: float) -> list[Frame]:
        """What the host's controller says by itself."""
        out: list[Frame] = []
        out += [(ERROR_FLAG | BUS_OFF, b"") for item in injections.began(bus.BusOff) if item.side == "host"]
        out += [(ERROR_FLAG | RESTARTED, b"") for item in injections.ended(bus.BusOff) if item.side == "host"]
        for item in injections.of(bus.BitRateMismatch):
            self._error_s = max(self._error_s, before_s)
            while item.error_frames and self._error_s <= now_s:
                out.append((ERROR_FLAG | PROTOCOL_ERROR, b""))
                self._error_s += 1.0 / item.error_rate_per_s
        return out

    def _arbitrated(
        self, frames: list[Frame], before_s: float, now_s: float, injections: Injections
    ) -> list[Frame]:
        bits = self._bits
        assert bits is not None
        bits.disturbances_per_s = sum(item.rate_per_s for item in injections.of(bus.BusErrors))
        # what a tick makes counts as made at its beginning, so that an idle bus has carried it by the end
        for frame in frames:
            bits.offer("device", frame, before_s)
        done = self._flooded(bits, now_s, injections) if injections.acts(bus.BusFlood) else bits.run(now_s)
        self._for_device += [frame for name, frame in done if name == "host"]
        if bits.idle and not injections.of(bus.BusFlood, bus.BusErrors):
            self._bits = None
        return [frame for name, frame in done if name != "host"]

    def _flooded(self, bits: BitTimeBus, now_s: float, injections: Injections) -> list[tuple[str, Frame]]:
        done: list[tuple[str, Frame]] = []
        floods = injections.of(bus.BusFlood)
        self._due_s = {id(item): self._due_s.get(id(item), now_s) for item in floods}
        while True:
            item = min(floods, key=lambda each: self._due_s[id(each)])
            due_s = self._due_s[id(item)]
            if due_s > now_s:
                break
            done += bits.run(due_s)
            frame_s = worst_case_bits(item.length) / self._rate
            # who wants the whole bus has its next frame waiting before the last one ends
            bits.offer("flood", (item.identifier, bytes(item.length)), due_s - frame_s)
            self._due_s[id(item)] = due_s + frame_s / item.load
        return done + bits.run(now_s)
