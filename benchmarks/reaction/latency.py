"""From the last frame of a scan to the first heartbeat that answers it, as the bus carried both."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reaction.matching import Latency, match
from reaction.system import Bench, busy
from reaction.witness import Carried, Witness

__all__ = ["measure"]

_CALM_S = 3.0


def _counted(
    witness: Witness, frames: list[Carried]
) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    status, command = witness.identifier("Pack_Status"), witness.identifier("Bms_Command")
    scans, answers = [], []
    for frame in frames:
        if frame.identifier == status:
            scans.append((frame.stamp_s, int(witness.values(frame)["ScanCounter"])))
        elif frame.identifier == command:
            answers.append((frame.stamp_s, int(witness.values(frame)["AnsweredScan"])))
    return scans, answers


def measure(
    folder: Path,
    pack: str,
    *,
    load: str,
    priority: bool,
    scans: int,
    progress: Callable[[int], None],
) -> Latency:
    """Measure under one condition, with closed contactors and a load that drives.

    Parameters
    ----------
    folder : Path
        For the system's files.
    pack : str
        Pack file.
    load : str
        ``idle`` or ``loaded``.
    priority : bool
        Driver and monitor have SCHED_FIFO.
    scans : int
        How many.
    progress : callable
        Gets the number of scans so far.
    """
    bench = Bench(folder, pack, priority=priority)
    try:
        witness = bench.bring_up()
        period_s = bench.loaded.file.measurement.scan_period_s
        result = Latency(load, "SCHED_FIFO" if priority else "ordinary", period_s)
        bench.leave_topics()
        wanted = {witness.identifier(name) for name in ("Pack_Status", "Bms_Command")}
        witness.take()
        kept: list[Carried] = []

        def note_for(seconds: float) -> None:
            time.sleep(seconds)
            kept.extend(frame for frame in witness.take() if frame.identifier in wanted)

        note_for(_CALM_S)
        with busy(load) as text:
            result.load_text = text
            note_for(0.5)
            since_s, counted = time.time(), 0
            until_s = time.monotonic() + 3.0 * scans * period_s + 30.0
            while counted < scans and time.monotonic() < until_s:
                note_for(0.25)
                counted = round((time.time() - since_s) / period_s)
                progress(min(counted, scans))
        note_for(1.0)
        match(*_counted(witness, kept), since_s, result)
        result.scans, result.seconds = min(result.scans, scans), result.seconds[:scans]
        return result
    finally:
        bench.close()
