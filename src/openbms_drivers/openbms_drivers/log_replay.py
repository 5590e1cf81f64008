"""A log through the driver, by the log's own time: the same frames give the same scans, to the last bit.

No clock is read: a scan is closed by a frame, or at its deadline between two frames, as the loop on a bus
would have closed it with no delay at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from openbms_core.types import PackMeasurement
from openbms_drivers.frame import ERROR, REMOTE, Frame
from openbms_drivers.log.ledger import Ledger
from openbms_drivers.log.scan_digest import ScanDigest
from openbms_drivers.pack_driver import PackDriver

__all__ = ["LogReplay"]

OnScan = Callable[[PackMeasurement, float], None]


class LogReplay:
    """Feeds a driver from a log.

    Parameters
    ----------
    driver : PackDriver
        A fresh one.
    on_scan : callable, optional
        Gets each scan and the time at which it was closed [s, monotonic time of the log].

    Attributes
    ----------
    frames, decoded, refused, polls, other, foreign, errors, remote : int
        Frames; those of the pack that were taken and refused; those of polls; those that the DBC has and the
        pack file does not map; those that the DBC does not have; error frames; remote frames. The last seven
        add up to the first.
    answers, answers_refused : int
        Whole answers to polls, put together from their frames.
    scans : int
        Scans that were closed.
    digest : ScanDigest
        Over all scans.
    ledger : Ledger
        Of messages and signals.
    """

    def __init__(self, driver: PackDriver, on_scan: OnScan | None = None) -> None:
        self.driver = driver
        self.frames = self.decoded = self.refused = self.polls = 0
        self.other = self.foreign = self.errors = self.remote = 0
        self.answers = self.answers_refused = 0
        self.scans = 0
        self.digest = ScanDigest()
        self.ledger = Ledger(driver.decoder)
        self._on_scan = on_scan
        answered = {poll.message for poll in driver.pack.file.device.polls}
        self._answering = [plan for plan in driver.decoder.plans if plan.name in answered]
        self._first_s: float | None = None
        self._last = Frame(0, b"")
        self._heard = False

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last [s]."""
        return 0.0 if self._first_s is None else self._last.monotonic_s - self._first_s

    def run(self, frames: Iterable[Frame]) -> None:
        """Feed all frames; their ``monotonic_s`` does not go back."""
        for frame in frames:
            self.feed(frame)

    def feed(self, frame: Frame) -> None:
        """Feed one frame, after the scans that were due before it."""
        driver, at_s = self.driver, frame.monotonic_s
        if self._first_s is None:
            self._first_s = at_s
            driver.health.opened(at_s)
            driver.start(at_s)
        else:
            # a scan that is due at the very time of a frame takes it in, as a frame in the queue would be
            while (due_s := driver.scan.deadline_s) < at_s:
                self._scan(driver.tick(due_s, self._last.stamp_s + due_s - self._last.monotonic_s), due_s)
        self._last = frame
        self._take(frame)

    def feed_recorded(self, frames: list[Frame], closed_s: float, closed_stamp_s: float) -> None:
        """Feed the frames of one scan that was recorded, and close it when it was closed.

        Parameters
        ----------
        frames : list of Frame
            As they were received; none for a scan in which nothing came.
        closed_s, closed_stamp_s : float
            When it was closed: monotonic, and ROS time [s].
        """
        driver = self.driver
        if self._first_s is None:
            self._first_s = frames[0].monotonic_s if frames else closed_s
            driver.start(self._first_s)
        if frames and not self._heard:
            self._heard = True
            driver.health.opened(frames[0].monotonic_s)
        before = self.scans
        for frame in frames:
            self._last = frame
            self._take(frame, lambda: closed_s)
        if self.scans == before:  # by time: no frame of it asked for that
            self._scan(driver.scan.close(closed_s, closed_stamp_s, *driver.health.judge(closed_s)), closed_s)

    def _take(self, frame: Frame, now_s: Callable[[], float] | None = None) -> None:
        driver, at_s = self.driver, frame.monotonic_s
        closed_s = at_s if now_s is None else max(now_s(), at_s)
        self.frames += 1
        if frame.flags & (ERROR | REMOTE):
            if frame.flags & ERROR:
                self.errors += 1
            else:
                self.remote += 1
            self._scan(driver.receive(frame, now_s), closed_s)
            return
        if driver.polled is not None and frame.key in driver.polled.keys:
            self._take_poll(frame, now_s, closed_s)
            return
        plan = driver.decoder.plan(frame.key)
        if plan is None:
            self.foreign += 1
            self.ledger.foreign[frame.key] += 1
            self._scan(driver.receive(frame, now_s), closed_s)
        elif not plan.mapped:
            self.other += 1
            self.ledger.other(plan, at_s)
            self._scan(driver.receive(frame, now_s), closed_s)
        else:
            refused = plan.rejected
            scan = driver.receive(frame, now_s)
            accepted = plan.rejected == refused
            self.decoded += accepted
            self.refused += not accepted
            self.ledger.frame(plan, frame, accepted=accepted)
            self._scan(scan, closed_s)

    def _take_poll(self, frame: Frame, now_s: Callable[[], float] | None, closed_s: float) -> None:
        """Feed a frame of a question that somebody asked, or of its answer."""
        self.polls += 1
        before = [(plan.received, plan.rejected) for plan in self._answering]
        scan = self.driver.receive(frame, now_s)
        for plan, (received, rejected) in zip(self._answering, before, strict=True):
            if plan.received > received:
                accepted = plan.rejected == rejected
                self.answers += 1
                self.answers_refused += not accepted
                self.ledger.answer(plan, frame.monotonic_s, accepted=accepted)
        self._scan(scan, closed_s)

    def _scan(self, scan: PackMeasurement | None, closed_s: float) -> None:
        if scan is None:
            return
        self.scans += 1
        self.digest.add(scan)
        if self._on_scan is not None:
            self._on_scan(scan, closed_s)

    def summary(self) -> dict[str, Any]:
        """Give what happened, for JSON."""
        foreign = self.ledger.foreign
        return {
            "duration_s": round(self.duration_s, 6),
            "frames": self.frames,
            "decoded": self.decoded,
            "refused": self.refused,
            "of_polls": self.polls,
            "answers_to_polls": self.answers,
            "answers_refused": self.answers_refused,
            "not_mapped": self.other,
            "foreign": self.foreign,
            "error_frames": self.errors,
            "remote_frames": self.remote,
            "bad_values": self.ledger.bad_values(),
            "scans": self.scans,
            "messages": self.ledger.messages(),
            "messages_not_mapped": self.ledger.others(),
            "signals": self.ledger.signals(),
            "never_received": self.ledger.never(),
            "foreign_ids": {
                f"0x{key & 0x1FFF_FFFF:0{8 if key >> 31 else 3}X}": count
                for key, count in sorted(foreign.items())
            },
        }
