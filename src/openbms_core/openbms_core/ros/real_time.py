"""What a fail-safe process may ask of the computer, so that another program cannot hold it up.

Priority over all ordinary programs (SCHED_FIFO), fixed processors, memory that is never paged out, and a
garbage collector that works when nothing is waiting. What is asked for and not permitted is said in one
sentence with its cure; the process runs on without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import resource
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openbms_core.config_file import ConfigError

__all__ = ["HIGHEST_PRIORITY", "Granted", "RealTimeOptions", "apply", "parse_processors", "tidy"]

HIGHEST_PRIORITY = 49
"""Interrupt threads of the kernel have 50: a process above them would hold up the bus that it waits for."""
_SWITCH_INTERVAL_S = 0.0005
_COLLECT_EVERY = (10, 200, 5000)
"""After so many scans a collection of generation 0, 1 and 2: what was made at start is frozen, so even the
last one looks at little."""
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14
_LIMITS = (
    "in /etc/security/limits.d/openbms.conf '<user> - rtprio 49' and '<user> - memlock unlimited' (log in "
    "anew), in a systemd unit LimitRTPRIO=49 and LimitMEMLOCK=infinity, in a container --cap-add=SYS_NICE "
    "--cap-add=IPC_LOCK --ulimit rtprio=49 --ulimit memlock=-1"
)


@dataclass(frozen=True)
class RealTimeOptions:
    """What is asked for.

    Attributes
    ----------
    priority : int
        SCHED_FIFO priority of all threads, 1 … 49; 0: the ordinary scheduler.
    processors : frozenset of int
        Processors on which the threads may run; empty: all.
    lock_memory : bool
        Keep every page in memory once it was used.
    collect_in_idle : bool
        Garbage is collected only right after a scan was dealt with (:func:`tidy`).

    Raises
    ------
    ConfigError
        A priority that does not exist, or that would hold up the kernel's interrupt threads.
    """

    priority: int = 0
    processors: frozenset[int] = frozenset()
    lock_memory: bool = False
    collect_in_idle: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.priority <= HIGHEST_PRIORITY:
            raise ConfigError(
                f"real_time_priority is {self.priority}: it must be 1 … {HIGHEST_PRIORITY} (interrupt "
                "threads of the kernel have 50), or 0 for the ordinary scheduler."
            )

    def joined(self, other: RealTimeOptions) -> RealTimeOptions:
        """Give what serves both: nodes that share a process share its threads."""
        return RealTimeOptions(
            max(self.priority, other.priority),
            self.processors | other.processors if self.processors and other.processors else frozenset(),
            self.lock_memory or other.lock_memory,
            self.collect_in_idle and other.collect_in_idle,
        )


@dataclass(frozen=True)
class Granted:
    """What came of it: sentences for people.

    Attributes
    ----------
    in_force : tuple of str
        What is in force.
    refused : tuple of str
        What was asked for and is not in force, why, and the cure.
    """

    in_force: tuple[str, ...]
    refused: tuple[str, ...]


def parse_processors(text: str, where: str = "cpu_affinity") -> frozenset[int]:
    """Read a list of processors as ``taskset`` writes it, such as ``1`` or ``0,2-3``; empty: all.

    Raises
    ------
    ConfigError
        It is not such a list.
    """
    found: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        ends = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if ends is None or (ends[2] and int(ends[2]) < int(ends[1])):
            raise ConfigError(
                f"{where} is {text!r}: give processors such as '1' or '0,2-3', or leave it empty."
            )
        found.update(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return frozenset(found)


def apply(options: RealTimeOptions) -> Granted:
    """Ask the computer for it, for every thread that this process has now; later ones inherit it.

    Parameters
    ----------
    options : RealTimeOptions
        What is asked for.
    """
    in_force, refused = [], []
    if options.priority:
        _take(_priority(options.priority), in_force, refused)
    if options.processors:
        _take(_processors(options.processors), in_force, refused)
    if options.lock_memory:
        _take(_lock_memory(), in_force, refused)
    # two Python threads share an interpreter: the one that waits for it asks sooner
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    if options.collect_in_idle:
        gc.disable()
        in_force.append("garbage is collected when idle")
    return Granted(tuple(in_force), tuple(refused))


def tidy(turn: int) -> None:
    """Collect garbage where it disturbs nobody: right after a scan was dealt with.

    Parameters
    ----------
    turn : int
        Number of the scan, counted by the caller.
    """
    if gc.isenabled():
        return
    for generation in (2, 1, 0):
        if turn % _COLLECT_EVERY[generation] == 0:
            gc.collect(generation)
            return


def _take(outcome: tuple[str, str], in_force: list[str], refused: list[str]) -> None:
    done, not_done = outcome
    if done:
        in_force.append(done)
    if not_done:
        refused.append(not_done)


def _threads() -> Iterable[int]:
    return (int(entry.name) for entry in Path("/proc/self/task").iterdir())


def _priority(priority: int) -> tuple[str, str]:
    count = 0
    try:
        for thread in _threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
                count += 1
    except OSError as error:
        return "", (
            f"SCHED_FIFO priority {priority} is not permitted ({error.strerror}), so other programs can hold "
            f"this one up: allow it {_LIMITS}, or set real_time_priority to 0."
        )
    return f"SCHED_FIFO priority {priority} on all {count} threads", ""


def _processors(processors: frozenset[int]) -> tuple[str, str]:
    named = ", ".join(map(str, sorted(processors)))
    try:
        for thread in _threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, processors)
    except OSError as error:
        usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        return "", (
            f"processor {named} cannot be had ({error.strerror}): this process may use {usable}. Correct "
            "cpu_affinity, or leave it empty."
        )
    return f"processor {named}", ""


def _lock_memory() -> tuple[str, str]:
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock_all():
        # within a limit it would work now, and the first allocation beyond it would end the process later
        return "", (
            f"locking memory is not permitted (limit {limit // 1024} kB), so pages of this process may be "
            f"written to disk and be missing for milliseconds: allow it {_LIMITS}, or set lock_memory to "
            "false."
        )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        reason = os.strerror(ctypes.get_errno())
        return "", f"memory could not be locked ({reason}): allow it {_LIMITS}, or set lock_memory to false."
    return "memory locked", ""


def _may_lock_all() -> bool:
    """Tell whether the process has the capability that no limit binds."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_IPC_LOCK & 1)
