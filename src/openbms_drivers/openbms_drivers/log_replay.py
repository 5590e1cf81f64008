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
    frames, decoded, refused, other, foreign, errors, remote : int
        Frames; those of the pack that were taken and refused; those that the DBC has and the pack file does
        not map; those that the DBC does not have; error frames; remote frames. The last six add up to the
        first.
    scans : int
        Scans that were closed.
    digest : ScanDigest
        Over all scans.
    ledger : Ledger
        Of messages and signals.
    """

    def __init__(self, driver: PackDriver, on_scan: OnScan | None = None) -> None:
        self.driver = driver
        self.frames = self.other = self.foreign = self.errors = self.remote = 0
        self.scans = 0
        self.digest = ScanDigest()
        self.ledger = Ledger(driver.decoder)
        self._on_scan = on_scan
        self._first_s: float | None = None
        self._last = Frame(0, b"")

    @property
    def decoded(self) -> int:
        """Frames of the pack that were taken."""
        received, refused = self.driver.decoder.totals()
        return received - refused

    @property
    def refused(self) -> int:
        """Frames of the pack that were refused: length, checksum or counter."""
        return self.driver.decoder.totals()[1]

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
        self.frames += 1
        if frame.flags & (ERROR | REMOTE):
            if frame.flags & ERROR:
                self.errors += 1
            else:
                self.remote += 1
            self._scan(driver.receive(frame), at_s)
            return
        plan = driver.decoder.plan(frame.key)
        if plan is None:
            self.foreign += 1
            self.ledger.foreign[frame.key] += 1
            self._scan(driver.receive(frame), at_s)
        elif not plan.mapped:
            self.other += 1
            self.ledger.other(plan, at_s)
            self._scan(driver.receive(frame), at_s)
        else:
            refused = plan.rejected
            scan = driver.receive(frame)
            self.ledger.frame(plan, frame, accepted=plan.rejected == refused)
            self._scan(scan, at_s)

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
