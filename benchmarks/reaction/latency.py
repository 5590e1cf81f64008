"""From the last frame of a scan to the first heartbeat that answers it, as the bus carried both."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

from reaction.matching import Latency, Numbered, match
from reaction.system import Bench, busy

__all__ = ["measure"]

_CALM_S = 3.0


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
        taken = bench.listen_to_scans()
        status, command = (witness.identifier(name) for name in ("Pack_Status", "Bms_Command"))
        triggers: list[float] = []
        answers: Numbered = []

        def note_for(seconds: float) -> None:
            time.sleep(seconds)
            for frame in witness.take():
                if frame.identifier == status:
                    triggers.append(frame.stamp_s)
                elif frame.identifier == command:
                    answers.append((frame.stamp_s, int(witness.values(frame)["AnsweredScan"])))

        note_for(_CALM_S)
        with busy(load) as text:
            result.load_text = text
            note_for(0.5)
            since_s, until_s = time.time(), time.monotonic() + 3.0 * scans * period_s + 30.0
            while time.monotonic() < until_s:
                note_for(0.25)
                counted = len(triggers) - bisect_left(triggers, since_s)
                progress(min(counted, scans))
                if counted >= scans:
                    break
        note_for(2.0)
        chosen = triggers[bisect_left(triggers, since_s) :][:scans]
        match(chosen, list(taken), answers, result)
        return result
    finally:
        bench.close()
