"""The clocks of a node's process.

Ages, expiry and deadlines need a clock that no one sets and that goes on while the computer sleeps: with
CLOCK_MONOTONIC, which stands still in suspend, a command from before would still be fresh after waking, for a
device that has opened its contactors hours ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["awake_s", "elapsed_s", "find_clock"]


def find_clock() -> Callable[[], float]:
    """Give what reads CLOCK_BOOTTIME [s], or CLOCK_MONOTONIC where this system has no such clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is not None:
        try:
            time.clock_gettime(clock)
        except OSError:
            return time.monotonic
        return partial(time.clock_gettime, clock)
    return time.monotonic


elapsed_s = find_clock()
"""Time that has passed, asleep or awake [s]: for ages, expiry and deadlines."""
awake_s = time.monotonic
"""Time that the computer was awake [s]: for judging whether a thread of this process hangs."""
