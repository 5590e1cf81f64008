"""The twin on its bus, in a thread of its own: paced ticks that nothing else in the process delays."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from openbms_sim.arbitration import ERROR_FLAG
from openbms_sim.faults import Injections
from openbms_sim.link import Link
from openbms_sim.twin import TICK_S, DigitalTwin
from openbms_sim.vehicle import Permission

__all__ = ["BusThread", "PacedThread"]

_LOG = logging.getLogger("openbms.twin")
_LATEST_S = 0.5


class PacedThread(ABC):
    """Calls :meth:`_one` every 10 ms by the monotonic clock; says when it was late, and why it ended.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._permission: Callable[[], Permission] = Permission
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.error = ""
        """Why the thread ended by itself; empty while it has not."""
        self.late_ticks = 0
        """Ticks that came more than one period late."""
        self.frames_sent = 0

    def start(self, permission: Callable[[], Permission] = Permission) -> None:
        """Begin.

        Parameters
        ----------
        permission : callable
            Gives what the load has heard; called once a tick, in this thread.
        """
        self._permission = permission
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the end; does nothing where it never began."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def _one(self, now: float) -> None:
        """Do one tick at this monotonic time [s]."""

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._end.wait(max(0.0, due - time.monotonic())):
                now = time.monotonic()
                self._one(now)
                due += TICK_S
                if now - due > TICK_S:
                    self.late_ticks += 1
                if now - due > _LATEST_S:
                    # The process was held up for long: go on from here, and not with a burst of old ticks.
                    due = now
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            _LOG.exception("the twin has stopped: %s", self.error)


class BusThread(PacedThread):
    """Ticks a twin every 10 ms by the monotonic clock, and sends and receives its frames.

    Parameters
    ----------
    twin : DigitalTwin
        Touched by this thread alone while it runs.
    link : Link
        Its bus; the thread does not close it.
    after_tick : callable
        ``after_tick(twin)``, called in this thread behind each tick, once its frames are sent.
    """

    def __init__(self, twin: DigitalTwin, link: Link, after_tick: Callable[[DigitalTwin], None]) -> None:
        super().__init__("twin")
        self._twin = twin
        self._link = link
        self._after_tick = after_tick
        self._items: list[Any] | None = None

    def inject(self, items: list[Any]) -> None:
        """Replace what is broken, from the next tick on."""
        with self._lock:
            self._items = items

    def _one(self, now: float) -> None:
        with self._lock:
            if self._items is not None:
                self._twin.injections = Injections(self._items, now, self._twin.injections)
                self._items = None
        received = [frame for frame in self._link.receive() if not frame[0] & ERROR_FLAG]
        frames = self._twin.tick(received, self._permission(), now)
        self._link.follow(self._twin.injections)
        for identifier, data in frames:
            self._link.send(identifier, data)
            self.frames_sent += 1
        self._after_tick(self._twin)
