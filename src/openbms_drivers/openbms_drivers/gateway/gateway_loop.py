"""The thread that owns a gateway's bus: it receives, and sends what is due.

Nothing else sends: if it hangs or its process ends, the peer hears nothing any more and sees it by its own
timeout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from openbms_drivers.bus import Bus, BusError, FrameClock
from openbms_drivers.gateway.peer import Peer

__all__ = ["GatewayLoop"]

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0
_CLOSED_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.1
_BATCH = 64


class GatewayLoop:
    """Runs a peer on a bus.

    Parameters
    ----------
    peer : Peer
    bus : Bus
    monotonic_s, stamp_s : callables
        The clocks [s].
    wall_s : callable or None
        System clock, where frames may be dated back to the kernel's time of reception.

    Attributes
    ----------
    failure : BaseException or None
        What ended the thread against its will.
    """

    def __init__(
        self,
        peer: Peer,
        bus: Bus,
        *,
        monotonic_s: Callable[[], float],
        stamp_s: Callable[[], float],
        wall_s: Callable[[], float] | None = None,
    ) -> None:
        self._peer, self._bus = peer, bus
        self._monotonic_s, self._stamp_s = monotonic_s, stamp_s
        self._clock = FrameClock(monotonic_s, stamp_s, wall_s)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._retry_s, self._retry_at_s = _FIRST_RETRY_S, 0.0
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread."""
        self._end.clear()
        self.failure = None
        self._thread = threading.Thread(target=self._run, name="gateway_bus", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread and close the bus."""
        self._end.set()
        self._bus.wake()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    @property
    def running(self) -> bool:
        """The thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                try:
                    if self._bus.is_open or self._open():
                        self._turn()
                    else:
                        self._end.wait(_CLOSED_WAIT_S)
                except BusError as error:
                    self._lost(error)
        except BaseException as error:  # the node sees it and ends its process
            self.failure = error
        finally:
            self._bus.close()

    def _open(self) -> bool:
        if self._monotonic_s() < self._retry_at_s:
            return False
        self._bus.open()
        self._peer.health.opened(self._monotonic_s())
        return True

    def _lost(self, error: BusError) -> None:
        now = self._monotonic_s()
        if self._bus.is_open and not error.lost:
            self._peer.health.send_failed(str(error), now)
            return
        self._bus.close()
        self._peer.health.lost(str(error))
        self._retry_at_s = now + self._retry_s
        self._retry_s = min(2.0 * self._retry_s, _LAST_RETRY_S)

    def _turn(self) -> None:
        peer, bus = self._peer, self._bus
        for frame in peer.frames_due(self._monotonic_s(), self._stamp_s()):
            bus.send(frame)
        wait_s = min(max(peer.sender.next_due_s - self._monotonic_s(), 0.0), _LONGEST_WAIT_S)
        message = bus.receive(wait_s)
        for _ in range(_BATCH):
            if message is None:
                self._clock.nothing_waits()
                break
            self._retry_s = _FIRST_RETRY_S
            peer.receive(self._clock.frame(message))
            message = bus.receive(0.0)
        else:
            if message is not None:
                peer.receive(self._clock.frame(message))
