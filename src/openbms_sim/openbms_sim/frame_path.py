"""What happens to a device's frames on their way: lost, late, twice, out of order, spoilt.

A frame that the wire itself spoils never arrives: the controllers' own checksum refuses it. What arrives
spoilt was spoilt in the sender's memory or in a gateway.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from openbms_sim.faults import Injections, bus
from openbms_sim.frames import Layout

__all__ = ["Frame", "FramePath"]

Frame = tuple[int, bytes]


class FramePath:
    """Frames of the device as they leave it.

    Parameters
    ----------
    layouts : mapping of str to Layout
        Messages by name.
    seed : int
        Of what is random.
    """

    def __init__(self, layouts: Mapping[str, Layout], seed: int = 1) -> None:
        self._by_identifier = {layout.identifier: layout for layout in layouts.values()}
        self._random = random.Random(seed)
        self._late: dict[int, list[tuple[float, Frame]]] = {}
        self._held: dict[int, Frame] = {}

    def through(self, frames: list[Frame], now_s: float, injections: Injections) -> list[Frame]:
        """Give the frames that leave the device now.

        Parameters
        ----------
        frames : list of (identifier, data)
            What the device sends.
        now_s : float
            Monotonic time [s].
        injections : Injections
            What is wrong now.
        """
        if not (self._late or self._held) and not injections.of(bus.OfMessage):
            return frames
        out = self._due(now_s)
        for frame in frames:
            out += self._one(frame, now_s, injections)
        if self._held and not injections.of(bus.ReorderMessage):
            out += self._held.values()
            self._held.clear()
        return out

    def _due(self, now_s: float) -> list[Frame]:
        out = []
        for identifier, waiting in list(self._late.items()):
            while waiting and waiting[0][0] <= now_s + 1e-9:
                out.append(waiting.pop(0)[1])
            if not waiting:
                del self._late[identifier]
        return out

    def _happens(self, item: bus.DropMessage | bus.DuplicateMessage | bus.ReorderMessage | None) -> bool:
        return item is not None and self._random.random() < item.probability

    def _one(self, frame: Frame, now_s: float, injections: Injections) -> list[Frame]:
        layout = self._by_identifier[frame[0]]
        name = layout.name
        if self._happens(injections.message(bus.DropMessage, name)):
            return []
        frame = self._spoilt(frame, layout, injections)
        frames = [frame]
        twice = injections.message(bus.DuplicateMessage, name)
        if twice is not None and self._happens(twice):
            frames *= 1 + twice.copies
        if frame[0] in self._held:
            frames.append(self._held.pop(frame[0]))
        elif self._happens(injections.message(bus.ReorderMessage, name)):
            self._held[frame[0]] = frame
            frames = []
        late = injections.message(bus.LateMessage, name)
        if late is not None or frame[0] in self._late:
            waiting = self._late.setdefault(frame[0], [])
            # what comes behind a late frame waits for it: a queue keeps its order
            due_s = max(now_s + (late.delay_s if late else 0.0), waiting[-1][0] if waiting else now_s)
            waiting += [(due_s, each) for each in frames]
            return []
        return frames

    def _spoilt(self, frame: Frame, layout: Layout, injections: Injections) -> Frame:
        identifier, data = frame
        corrupt = injections.message(bus.CorruptMessage, layout.name)
        if corrupt is not None and self._random.random() < corrupt.probability:
            whole = int.from_bytes(data, "little")
            bits = 8 * (len(data) - 1 if corrupt.valid_checksum else len(data))
            for bit in self._random.sample(range(bits), min(corrupt.flips, bits)):
                whole ^= 1 << bit
            data = (
                layout.seal(whole & ((1 << bits) - 1))
                if corrupt.valid_checksum
                else whole.to_bytes(len(data), "little")
            )
        length = injections.message(bus.WrongLength, layout.name)
        if length is not None:
            data = data[: length.length].ljust(length.length, b"\0")
        return identifier, data
