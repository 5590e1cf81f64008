"""The loop that owns the bus: one thread receives, decodes, closes scans, and sends.

The heartbeat of the device is sent from here and nowhere else: by the loop itself, and, so that a command
is not kept waiting for it, by the thread that brings one, but only while the loop goes round. If it hangs, or
the process dies, nothing is sent any more and the device opens its contactors by itself. A frame whose period
matters to the millisecond is repeated by the kernel, which stops by itself when the loop winds it up no more.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from openbms_core.types import PackMeasurement
from openbms_drivers.bus import Bus, BusError, FrameClock
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver

__all__ = ["BusLoop"]

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0
_SEND_PAUSE_S = 0.05
_LONGEST_WAIT_S = 0.1
"""The loop looks after itself this often, also where nothing comes and nobody wakes it."""
_CLOSED_WAIT_S = 0.01
_ALIVE_S = 2.0 * _LONGEST_WAIT_S
"""A loop that has not gone round for this long may hang: nobody else sends for it."""
_BATCH = 256
_REOPEN_SILENT_S = 5.0
"""A TCP connection that brought nothing for this long may be half open: it is opened anew."""

ScanCallback = Callable[[PackMeasurement, list[Frame], list[Frame]], None]


class BusLoop:
    """Runs a :class:`~openbms_drivers.pack_driver.PackDriver` on a bus in its own thread.

    Parameters
    ----------
    driver : PackDriver
        What is run; used by this thread alone while it runs, but for the setters of its encoder.
    bus : Bus
        The bus.
    monotonic_s, stamp_s : callables
        The two clocks [s]; the first one goes on in suspend.
    awake_s : callable, optional
        Clock that stands still in suspend [s], for judging whether the loop hangs; default ``monotonic_s``.
    wall_s : callable or None
        System clock, where frames may be dated back to the kernel's time of reception.
    on_scan : callable
        Gets each scan, and the frames received and sent since the one before (empty unless ``record``).
    record : bool
        Keep the frames.
    """

    def __init__(
        self,
        driver: PackDriver,
        bus: Bus,
        *,
        monotonic_s: Callable[[], float],
        stamp_s: Callable[[], float],
        wall_s: Callable[[], float] | None,
        on_scan: ScanCallback,
        awake_s: Callable[[], float] | None = None,
        record: bool = False,
    ) -> None:
        self._driver = driver
        self._bus = bus
        self._monotonic_s, self._stamp_s = monotonic_s, stamp_s
        self._awake_s = awake_s or monotonic_s
        self._clock = FrameClock(monotonic_s, stamp_s, wall_s)
        self._on_scan = on_scan
        self._record = record
        self._received: list[Frame] = []
        self._sent: list[Frame] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._retry_at_s = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._send_again_s = 0.0
        self._waits_until_s = -math.inf
        self._sending = threading.Lock()
        self._broken: BusError | None = None
        self._keeps_up = True
        self.failure: BaseException | None = None
        """What ended the loop against its will."""
        self.turned_s = 0.0
        """When the loop last went round (by ``awake_s``)."""

    # ---- control, from the other thread

    def start(self) -> None:
        """Start the thread (RuntimeError if the last one still hangs: two would send against each other)."""
        if self.running:
            raise RuntimeError("the last bus thread still runs, so no second one is started")
        self._end.clear()
        self.failure = None
        self.turned_s = self._awake_s()
        self._thread = threading.Thread(target=self._run, name="can_bus", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread and close the bus: nothing is sent any more."""
        self._end.set()
        self._bus.wake()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if not self._thread.is_alive():
                self._thread = None

    def answer(self) -> None:
        """Send what a new command changed, now and in the thread of the caller, without another one's waking.

        Only while the loop goes round: if it hangs, nothing is sent any more, as in the loop itself.
        """
        if not self._bus.is_open or self._awake_s() - self.turned_s > _ALIVE_S:
            return
        if self._sending.acquire(blocking=False):
            try:
                self._send_due()
            except BusError as error:
                self._broken = error
            finally:
                self._sending.release()
        if self._broken is not None or self._due_s() < self._waits_until_s:
            self._bus.wake()

    @property
    def running(self) -> bool:
        """The thread runs."""
        return self._thread is not None and self._thread.is_alive()

    # ---- the loop

    def _run(self) -> None:
        try:
            self._retry_at_s = self._monotonic_s()
            self._driver.start(self._retry_at_s)
            while not self._end.is_set():
                self.turned_s = self._awake_s()
                if not self._bus.is_open and not self._try_to_open():
                    self._close_due_scan()
                    self._end.wait(_CLOSED_WAIT_S)
                    continue
                try:
                    self._turn()
                except BusError as error:
                    self._lost(str(error))
        except (
            BaseException
        ) as error:  # the node sees it and ends the process: a driver that half works is worse
            self.failure = error
        finally:
            self._bus.close()

    def _try_to_open(self) -> bool:
        now = self._monotonic_s()
        if now < self._retry_at_s:
            return False
        try:
            self._bus.open()
        except BusError as error:
            self._lost(str(error))
            return False
        self._driver.health.opened(self._monotonic_s())
        return True

    def _lost(self, reason: str) -> None:
        with self._sending:
            self._bus.close()
            self._broken = None
            self._driver.bus_lost(self._monotonic_s())
        self._driver.health.lost(reason)
        self._retry_at_s = self._monotonic_s() + self._retry_s
        self._retry_s = min(2.0 * self._retry_s, _LAST_RETRY_S)

    def _due_s(self) -> float:
        if self._driver.listen_only:  # what is never sent is not waited for either
            return math.inf
        return max(self._driver.encoder.next_due_s(), self._send_again_s)

    def _send_due(self) -> None:
        """Send what is due; the caller holds the lock."""
        now = self._monotonic_s()
        if now < self._send_again_s:
            return
        kept_s = self._driver.encoder.kept_s
        for frame in self._driver.frames_due(now, self._stamp_s()):
            try:
                period_s = kept_s.get(frame.key)
                if period_s is None:
                    self._bus.send(frame)
                else:
                    self._bus.keep_sending(frame, period_s)
            except BusError as error:
                if error.lost:
                    raise
                # a full queue: go on receiving, and try again in a moment
                self._driver.health.send_failed(str(error), self._monotonic_s())
                self._driver.encoder.resend()
                self._send_again_s = self._monotonic_s() + _SEND_PAUSE_S
                return
            if self._record:
                self._sent.append(frame)

    def _send_poll(self) -> None:
        """Send what a poll wants, at most one frame, behind everything else and without waiting for room."""
        frame = self._driver.poll_due(self._monotonic_s(), keeps_up=self._keeps_up)
        if frame is None:
            return
        try:
            self._bus.send(frame, wait=False)
        except BusError as error:
            if error.lost:
                raise
            self._driver.poll_not_sent(str(error), self._monotonic_s())
            return
        if self._record:
            self._sent.append(frame)

    def _turn(self) -> None:
        driver, bus = self._driver, self._bus
        # first what is due: a burst of frames must not hold the heartbeat back
        with self._sending:
            if self._broken is None:
                self._send_due()
                self._send_poll()
        if self._broken is not None:
            raise self._broken
        self._waits_until_s = math.inf  # whoever brings something from here on wakes the wait that begins now
        now = self._monotonic_s()
        due_s = min(driver.scan.deadline_s, self._due_s(), driver.next_send_s(now))
        wait_s = min(max(due_s - now, 0.0), _LONGEST_WAIT_S)
        self._waits_until_s = now + wait_s
        message = bus.receive(wait_s)
        self._waits_until_s = -math.inf
        count = 0
        while message is not None:
            self._retry_s = _FIRST_RETRY_S
            frame = self._clock.frame(message)
            if self._record:
                self._received.append(frame)
            scan = driver.receive(frame, self._monotonic_s)
            if scan is not None:
                self._publish(scan)
            count += 1
            if count >= _BATCH:
                break
            message = bus.receive(0.0)
        self._keeps_up = message is None
        if message is None:
            self._clock.nothing_waits()
        # after what waits has been read: where the loop was held up, the trigger is not late but in the queue
        self._close_due_scan()
        if (
            bus.interface == "socketcand"
            and driver.health.silent_for_s(self._monotonic_s()) > _REOPEN_SILENT_S
        ):
            raise BusError(driver.health.judge(self._monotonic_s())[1])

    def _close_due_scan(self) -> None:
        scan = self._driver.tick(self._monotonic_s(), self._stamp_s())
        if scan is not None:
            self._publish(scan)

    def _publish(self, scan: PackMeasurement) -> None:
        with self._sending:
            received, sent = self._received, self._sent
            self._received, self._sent = [], []
        self._on_scan(scan, received, sent)
