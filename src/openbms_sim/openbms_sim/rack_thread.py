"""The twins of a rack on their buses, in one paced thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openbms_sim.arbitration import ERROR_FLAG
from openbms_sim.bus_thread import PacedThread
from openbms_sim.faults import Injections
from openbms_sim.link import Link
from openbms_sim.rack import Rack

__all__ = ["RackThread"]


class RackThread(PacedThread):
    """Ticks a rack every 10 ms by the monotonic clock; each twin sends and receives on its own bus.

    Parameters
    ----------
    rack : Rack
        Touched by this thread alone while it runs.
    links : mapping of str to Link
        Bus of each pack; the thread does not close them.
    after_tick : callable
        ``after_tick(rack)``, called in this thread behind each tick, once its frames are sent.
    """

    def __init__(self, rack: Rack, links: Mapping[str, Link], after_tick: Callable[[Rack], None]) -> None:
        super().__init__("rack twin")
        self._rack = rack
        self._links = dict(links)
        self._after_tick = after_tick
        self._items: dict[str, list[Any]] | None = None

    def inject(self, items: Mapping[str, list[Any]]) -> None:
        """Replace what is broken in each pack, from the next tick on."""
        with self._lock:
            self._items = dict(items)

    def _one(self, now: float) -> None:
        twins = self._rack.twins
        with self._lock:
            if self._items is not None:
                for name, items in self._items.items():
                    twins[name].injections = Injections(items, now, twins[name].injections)
                self._items = None
        received = {
            name: [frame for frame in link.receive() if not frame[0] & ERROR_FLAG]
            for name, link in self._links.items()
        }
        frames = self._rack.tick(received, self._permission(), now)
        for name, link in self._links.items():
            link.follow(twins[name].injections)
            for identifier, data in frames[name]:
                link.send(identifier, data)
                self.frames_sent += 1
        self._after_tick(self._rack)
