"""Somebody on a CAN bus in a thread of its own: says its frames at their period, hears everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import can

from openbms_drivers.frame import EXTENDED, Frame

__all__ = ["OnBus"]

Hear = Callable[[int, bytes, float, bool], None]


class OnBus:
    """A member of a socketcand bus.

    Parameters
    ----------
    port : int
        Of the hub on this computer.
    channel : str
        Name of the bus.
    frames : callable
        Gives what it says, at a monotonic time [s].
    hear : callable
        Takes identifier, data, monotonic time [s] and whether the identifier has 29 bits.
    period_s : float
        It says its frames this often.
    """

    def __init__(
        self,
        port: int,
        channel: str,
        frames: Callable[[float], Iterable[Frame]],
        hear: Hear,
        period_s: float = 0.02,
    ) -> None:
        self._port, self._channel = port, channel
        self._frames, self._hear, self._period_s = frames, hear, period_s
        self._end = threading.Event()
        self.talks = True
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            bus = can.Bus(
                interface="socketcand",
                channel=self._channel,
                host="127.0.0.1",
                port=self._port,
                tcp_tune=True,
            )
            due_s = 0.0
            while not self._end.is_set():
                now_s = time.monotonic()
                if self.talks and now_s >= due_s:
                    due_s = now_s + self._period_s
                    for frame in self._frames(now_s):
                        bus.send(
                            can.Message(
                                arbitration_id=frame.identifier,
                                data=frame.data,
                                is_extended_id=bool(frame.flags & EXTENDED),
                            )
                        )
                message = bus.recv(0.005)
                if message is not None:
                    self._hear(
                        message.arbitration_id,
                        bytes(message.data),
                        time.monotonic(),
                        bool(message.is_extended_id),
                    )
            bus.shutdown()
        except BaseException as error:  # said by whoever stops it
            self.failure = error

    def stop(self) -> None:
        """Leave the bus; raises what went wrong in the thread."""
        self._end.set()
        self._thread.join(10)
        if self.failure is not None:
            raise self.failure
