"""A CAN bus in bit times: who sends when several want to, what is late, what is lost, who goes bus-off.

The hub passes frames on at once. This is what a real bus adds: one frame at a time takes its bits, the lowest
identifier goes first, a full queue loses frames, and two nodes that send the same identifier destroy each
other's frames until one leaves the bus.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

from openbms_sim.bus_load import worst_case_bits

__all__ = ["ERROR_FLAG", "BitTimeBus", "Node"]

Frame = tuple[int, bytes]

ERROR_FLAG = 0x2000_0000
"""Marks an error frame in the identifier, as SocketCAN does; the lower bits are its class."""
PROTOCOL_ERROR = 0x08
BUS_OFF = 0x40
RESTARTED = 0x100
ERROR_BITS = 60
"""A destroyed frame: arbitration field and a few bits of data, error flags, delimiter, interframe space."""
RECOVERY_BITS = 128 * 11
"""Idle bits that a controller waits for after bus-off (ISO 11898-1)."""


@dataclass
class Node:
    """A node with one transmit queue, sent in order.

    Attributes
    ----------
    capacity : int
        Frames that wait at most; what comes while it is full is lost.
    restart_s : float
        After bus-off its software starts the controller again after this time [s].
    errors : int
        Transmit error counter of ISO 11898-1: plus 8 for an error, minus 1 for a success, bus-off from 256.
    lost : int
        Frames that found the queue full, or were thrown away at bus-off.
    """

    capacity: int = 64
    restart_s: float = 0.1
    errors: int = 0
    lost: int = 0
    queue: deque[tuple[float, Frame]] = field(default_factory=deque)
    off_until_s: float = -math.inf


class BitTimeBus:
    """Frames of several nodes on one bus.

    Parameters
    ----------
    bit_rate_bit_per_s : float
        Bit rate [bit/s].
    nodes : dict of str to Node
        Who is on it.
    seed : int
        Of disturbances.
    """

    def __init__(self, bit_rate_bit_per_s: float, nodes: dict[str, Node], seed: int = 1) -> None:
        self._rate = bit_rate_bit_per_s
        self.nodes = nodes
        self._free_s = -math.inf
        self._random = random.Random(seed)
        self.disturbances_per_s = 0.0
        """Rate at which frames are destroyed on the wire."""

    @property
    def idle(self) -> bool:
        """Nobody waits."""
        return not any(node.queue for node in self.nodes.values())

    def offer(self, name: str, frame: Frame, at_s: float) -> None:
        """Put a frame into a node's queue at this time [s]."""
        node = self.nodes[name]
        if len(node.queue) >= node.capacity or at_s < node.off_until_s:
            node.lost += 1
            return
        node.queue.append((at_s, frame))

    def run(self, until_s: float) -> list[tuple[str, Frame]]:
        """Let the bus work until this time [s]; gives who sent what, error frames under the name ``""``."""
        done: list[tuple[str, Frame]] = []
        while True:
            start_s = max(self._free_s, self._next_s())
            ready = {
                name: node.queue[0][1]
                for name, node in self.nodes.items()
                if node.queue and node.queue[0][0] <= start_s and start_s >= node.off_until_s
            }
            if not ready:
                return done
            least = min(identifier for identifier, _ in ready.values())
            senders = [name for name, (identifier, _) in ready.items() if identifier == least]
            frame = ready[senders[0]]
            # the same bits are no conflict: neither node can tell that there is another
            clash = any(ready[name][1] != frame[1] for name in senders)
            seconds = (ERROR_BITS if clash else worst_case_bits(len(frame[1]))) / self._rate
            disturbed = not clash and self._disturbed(seconds)
            if start_s + seconds > until_s:
                return done
            self._free_s = start_s + seconds
            if clash or disturbed:
                done.append(("", (ERROR_FLAG | PROTOCOL_ERROR, b"")))
                self._failed(senders)
                continue
            for name in senders:
                node = self.nodes[name]
                node.queue.popleft()
                node.errors = max(0, node.errors - 1)
            done.append((senders[0], frame))

    def _disturbed(self, seconds: float) -> bool:
        return self._random.random() < self.disturbances_per_s * seconds

    def _next_s(self) -> float:
        return min(
            (max(node.queue[0][0], node.off_until_s) for node in self.nodes.values() if node.queue),
            default=math.inf,
        )

    def _failed(self, names: list[str]) -> None:
        for name in names:
            node = self.nodes[name]
            node.errors += 8
            if node.errors >= 256:
                node.errors = 0
                node.off_until_s = self._free_s + max(node.restart_s, RECOVERY_BITS / self._rate)
                node.lost += len(node.queue)
                node.queue.clear()
