"""Real trips: from the frame that shows a fault to the request, the command and the open contactors."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from bms_system import contactors_closed, contactors_open

from openbms_core.types import State
from reaction.fault_classes import FaultClass
from reaction.system import Bench
from reaction.witness import Carried

__all__ = ["ClassResult", "Stand", "Trip", "run_class"]

_PATIENCE_S = 20.0
_DEADLINE_TOLERANCE_S = 0.03
"""The monitor looks every 20 ms, and its topic is heard a moment later."""
_MAIN = ("ContactorPositive", "ContactorNegative")


@dataclass
class Trip:
    """One trip; times from the frame that shows the fault, or from the moment of the kill [s].

    Attributes
    ----------
    zero_s : float or None
        Zero current was asked for (heard on ``state``); None where nobody is left to ask.
    command_s : float or None
        The bus carried the command to open; None where nobody is left to send it.
    open_s : float
        The real contactors were open (as the twin says once a scan).
    current_a : float
        Magnitude of the real current, the last time that it was told with closed contactors.
    in_order : bool
        Zero current was asked for before the command to open.
    allowed : bool
        The current was below the break current, or the deadline was reached.
    reason : str
        What the monitor opened for; empty where it did not.
    """

    zero_s: float | None
    command_s: float | None
    open_s: float
    current_a: float
    in_order: bool
    allowed: bool
    reason: str


@dataclass
class ClassResult:
    """All trips of a class under one condition."""

    name: str
    timing: str
    load: str
    scheduling: str
    foxbms_ms: float | None
    trips: list[Trip] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    restarts: int = 0


class _Trial:
    """Trips of one class on one running system."""

    def __init__(self, bench: Bench, entry: FaultClass) -> None:
        self.bench, self.entry = bench, entry
        assert bench.witness is not None
        self.witness = bench.witness
        self.limits = bench.loaded.file.limits
        self.contactors = bench.loaded.file.contactors

    def once(self) -> Trip:
        """Cause the fault, wait for the open contactors, and read what happened when."""
        bench, entry = self.bench, self.entry
        # somewhere in the scan
        time.sleep(random.uniform(0.2, 0.2 + 2.0 * bench.loaded.file.measurement.scan_period_s))
        bench.forget()
        bench.wait("twin_truth", contactors_closed, 5.0)
        to_system_s = time.time() - time.monotonic()
        if entry.kills:
            moment = bench.kill(entry.kills)
        else:
            assert entry.inject is not None
            moment = time.monotonic()
            bench.inject(entry.inject)
        # closed contactors may still be told in a message that was on its way
        bench.wait("twin_truth", contactors_open, _PATIENCE_S, since=moment)
        begin_s = moment + to_system_s
        # where the device opened by itself, the command follows
        patience_s = time.monotonic() + (0.1 if entry.kills == "driver" else 3.0)
        while (command_s := self._open_command_s(begin_s)) is None and time.monotonic() < patience_s:
            time.sleep(0.02)
        onset_s = begin_s if entry.kills else self._onset_s(begin_s)
        truths = [(t + to_system_s, m) for t, m in self._heard("twin_truth")]
        states = [(t + to_system_s, m) for t, m in self._heard("state")]
        opened_s = next(t for t, m in truths if t >= begin_s and contactors_open(m))
        before = [m for t, m in truths if t < opened_s and contactors_closed(m)]
        current_a = abs(float(before[-1].string_current[0])) if before else float("nan")
        asked_s = next((t for t, m in states if t >= begin_s and m.zero_current_requested), None)
        waited_s = (command_s if command_s is not None else opened_s) - (asked_s or opened_s)
        reached = waited_s >= self.contactors.fault_opening_deadline_s - _DEADLINE_TOLERANCE_S
        return Trip(
            None if asked_s is None or entry.kills == "safety" else asked_s - onset_s,
            None if command_s is None else command_s - onset_s,
            opened_s - onset_s,
            current_a,
            asked_s is not None and (command_s is None or asked_s <= command_s),
            current_a < self.contactors.break_current_a or reached,
            self._reason(begin_s - to_system_s),
        )

    def _reason(self, begin_s: float) -> str:
        """Give what the monitor opened for."""
        if self.entry.kills == "safety":
            return "commands expired"
        opening = (State.OPENING, State.FAULT)
        with contextlib.suppress(AssertionError):
            message = self.bench.wait("state", lambda m: m.state in opening, 3.0, since=begin_s)
            return str(message.reason).removeprefix("fault:")
        return ""

    def _heard(self, topic: str) -> list[tuple[float, Any]]:
        with self.bench._new:
            return list(self.bench.messages[topic])

    def _onset_s(self, begin_s: float) -> float:
        """Give when the bus carried the frame that shows the fault first, or the last one that came."""
        entry, identifier = self.entry, self.witness.identifier(self.entry.message)
        frames = self.witness.since(begin_s - 2.0, identifier)
        if entry.shows is None:
            gaps = [b.stamp_s - a.stamp_s for a, b in pairwise(frames)]
            usual_s = sorted(gaps)[len(gaps) // 2] if gaps else 0.1
            # the last one before they stayed away; they may be back by now
            for frame, following in zip_longest(frames, frames[1:]):
                if frame.stamp_s < begin_s - usual_s - 0.2:
                    continue
                if following is None or following.stamp_s - frame.stamp_s > max(5.0 * usual_s, 0.15):
                    return frame.stamp_s
            raise LookupError(f"{entry.message} did not stay away")
        for frame in frames:
            if frame.stamp_s >= begin_s - 0.01 and entry.shows(self.witness.values(frame), self.limits):
                return frame.stamp_s
        raise LookupError(f"no frame of {entry.message} showed the fault")

    def _open_command_s(self, begin_s: float) -> float | None:
        def closed(frame: Carried) -> bool:
            values = self.witness.values(frame)
            return all(values[name] == 1 for name in _MAIN)

        commands = self.witness.since(begin_s - 1.0, self.witness.identifier("Bms_Command"))
        was_closed = False
        for frame in commands:
            if closed(frame):
                was_closed = True
            elif was_closed and frame.stamp_s >= begin_s:
                return frame.stamp_s
        return None

    def recover(self) -> None:
        """Take the cause away and close the contactors again."""
        if self.entry.kills:
            self.bench.start(self.entry.kills)
        else:
            self.bench.inject()
        self.bench.close_contactors(40.0)
        self.bench.wait("twin_truth", contactors_closed, 5.0)
        self.bench.wait("state", lambda m: m.state == State.DRIVE, 5.0)


def _in_short(error: Exception) -> str:
    """Give what an error says first, and the state that it tells of."""
    lines = str(error).strip().splitlines()
    told = next((line for line in lines if line.startswith("state: ")), "")
    return " ".join(filter(None, (f"{type(error).__name__}:", lines[0] if lines else "", told)))[:400]


class Stand:
    """One running system for many trips, started anew where it does not recover.

    Parameters
    ----------
    folder : Path
        For the system's files.
    pack : str
        Pack file.
    priority : bool
        Driver and monitor have SCHED_FIFO.
    """

    def __init__(self, folder: Path, pack: str, *, priority: bool) -> None:
        self._folder, self._pack, self.priority = folder, pack, priority
        self._bench: Bench | None = None
        self._starts = 0

    def bench(self) -> Bench:
        """Give the system with closed contactors; start it where none runs."""
        if self._bench is None:
            self._starts += 1
            self._bench = Bench(self._folder / f"run_{self._starts}", self._pack, priority=self.priority)
            self._bench.bring_up()
        return self._bench

    def drop(self) -> None:
        """End the system."""
        bench, self._bench = self._bench, None
        if bench is not None:
            with contextlib.suppress(Exception):
                bench.close()


def run_class(
    stand: Stand, entry: FaultClass, result: ClassResult, count: int, progress: Callable[[int, int], None]
) -> None:
    """Have one class trip so many times; what goes wrong with a trip is counted, and the next one follows.

    Parameters
    ----------
    stand : Stand
        The system.
    entry : FaultClass
        What is tried.
    result : ClassResult
        Filled.
    count : int
        How many trips.
    progress : callable
        Gets the trips done and those lost so far.
    """
    for _ in range(count):
        try:
            result.trips.append(_Trial(stand.bench(), entry).once())
        except Exception as error:
            result.lost.append(_in_short(error))
        progress(len(result.trips), len(result.lost))
        try:
            _Trial(stand.bench(), entry).recover()
        except Exception as error:
            result.notes.append(f"system started anew, since not recovered: {_in_short(error)}")
            result.restarts += 1
            stand.drop()
