"""The thread that owns a gateway's bus: it receives, and sends what is due.

Nothing else sends: if it hangs or its process ends, the peer hears nothing any more and sees it by its own
timeout.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from openbms_drivers.bus import Bus, BusError, FrameClock
from openbms_drivers.frame import Frame
from openbms_drivers.gateway.peer import Peer

__all__ = ["GatewayLoop"]

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0
_CLOSED_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.1
_POLL_STEP_S = 0.001
"""Waiting for a frame rounds up to this; what is left of a period after it is slept exactly."""
_HANGS_S = 5.0
"""Opening a bus may take a second or two; a thread that stands for longer hangs."""
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

    farewell : callable, optional
        Gives what is sent last when the thread ends, at both clocks [s]: who obeys us need not wait for its
        own timeout.

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
        farewell: Callable[[float, float], Sequence[Frame]] | None = None,
    ) -> None:
        self._peer, self._bus = peer, bus
        self._farewell = farewell
        self._monotonic_s, self._stamp_s = monotonic_s, stamp_s
        self._clock = FrameClock(monotonic_s, stamp_s, wall_s)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._retry_s, self._retry_at_s = _FIRST_RETRY_S, 0.0
        self._turned_s = 0.0
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread."""
        self._end.clear()
        self.failure = None
        self._turned_s = self._monotonic_s()
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

    def check(self) -> None:
        """Raise where the thread failed or hangs; asked by the node, whose process then ends.

        Raises
        ------
        RuntimeError
            Half a gateway is worse than none: its process is started again.
        """
        if self.failure is not None:
            raise RuntimeError("the bus thread failed") from self.failure
        if self.running and self._monotonic_s() - self._turned_s > _HANGS_S:
            raise RuntimeError(f"the bus thread has been standing for {_HANGS_S:g} s")

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self._turned_s = self._monotonic_s()
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
            self._say_farewell()
            self._bus.close()

    def _say_farewell(self) -> None:
        if self._farewell is None or not self._bus.is_open:
            return
        with contextlib.suppress(Exception):  # a courtesy: that we are gone is seen by timeout as well
            for frame in self._farewell(self._monotonic_s(), self._stamp_s()):
                self._bus.send(frame)

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
        self._send(peer.frames_due(self._monotonic_s(), self._stamp_s()))
        left_s = min(peer.sender.next_due_s - self._monotonic_s(), _LONGEST_WAIT_S)
        if 0.0 < left_s < _POLL_STEP_S:
            time.sleep(left_s)
            left_s = 0.0
        message = bus.receive(max(left_s - _POLL_STEP_S, 0.0))
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

    def _send(self, frames: Sequence[Frame]) -> None:
        """Send; what cannot be sent must not keep from hearing what the peer says."""
        for frame in frames:
            try:
                self._bus.send(frame)
            except BusError as error:
                if error.lost:
                    raise
                self._peer.health.send_failed(str(error), self._monotonic_s())
                return
