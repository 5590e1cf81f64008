"""Processor time and memory of processes that may be started again."""

from __future__ import annotations

import psutil

__all__ = ["UsageMeter"]

_MEBIBYTE = 1024.0**2


class _One:
    def __init__(self) -> None:
        self.pid: int | None = None
        self.process: psutil.Process | None = None
        self.seconds_before = 0.0
        self.seconds_now = 0.0
        self.baseline = 0.0
        self.memory_mb: float | None = None

    @property
    def seconds(self) -> float:
        return self.seconds_before + self.seconds_now


class UsageMeter:
    """Mean processor use since :meth:`begin` and the largest memory seen, by process name."""

    def __init__(self) -> None:
        self._all: dict[str, _One] = {}
        self._began_s: float | None = None
        self._last_s = 0.0

    def begin(self, now_s: float) -> None:
        """Count processor time from now: starting Python says nothing of the load of a running system."""
        self._began_s = now_s
        for one in self._all.values():
            one.baseline = one.seconds

    @property
    def begun(self) -> bool:
        """Tell whether processor time is being counted."""
        return self._began_s is not None

    def sample(self, now_s: float, pids: dict[str, int | None], *, memory: bool) -> None:
        """Look at the processes (None: does not run now); memory costs more and is looked at less often."""
        self._last_s = now_s
        for name, pid in pids.items():
            one = self._all.setdefault(name, _One())
            try:
                if pid != one.pid:
                    one.seconds_before, one.seconds_now = one.seconds, 0.0
                    one.pid = pid
                    one.process = psutil.Process(pid) if pid is not None else None
                if one.process is None:
                    continue
                times = one.process.cpu_times()
                one.seconds_now = times.user + times.system
                if memory:
                    one.memory_mb = max(one.memory_mb or 0.0, _memory_mb(one.process))
            except psutil.Error:
                continue  # it ended between two looks

    def cpu_percent(self, name: str) -> float | None:
        """Give the mean since :meth:`begin` [% of one core]; None where nothing was measured."""
        one = self._all.get(name)
        if one is None or self._began_s is None or self._last_s - self._began_s < 0.5:
            return None
        return round(100.0 * (one.seconds - one.baseline) / (self._last_s - self._began_s), 1)

    def memory_mb(self, name: str) -> float | None:
        """Give the largest proportional memory seen [MiB]; None where nothing was measured."""
        one = self._all.get(name)
        return None if one is None or one.memory_mb is None else round(one.memory_mb, 1)


def _memory_mb(process: psutil.Process) -> float:
    # Proportional set size: what is shared with others counts in part, so that the sum over processes is
    # true.
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return float(process.memory_info().rss) / _MEBIBYTE
    return float(getattr(full, "pss", full.rss)) / _MEBIBYTE
