"""A wall clock that can be set, for the processes of one system only.

A small library, loaded before all others, adds a difference to the wall clock that a process reads; the
difference lies in a file that all of them share. The monotonic clocks and everybody else stay as they are. It
is built with the C compiler that also builds the messages.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from openbms_core.config_file import ConfigError

__all__ = ["OwnClock"]

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("OPENBMS_OWN_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file >= 0) {
        void *at = mmap(0, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        if (at != MAP_FAILED) shift = at;
        close(file);
    }
}

int clock_gettime(clockid_t which, struct timespec *now) {
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(which, now);
    if (!code && shift && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        int64_t ns = now->tv_nsec + *shift % 1000000000;
        now->tv_sec += *shift / 1000000000 + (ns < 0 ? -1 : ns >= 1000000000 ? 1 : 0);
        now->tv_nsec = ns < 0 ? ns + 1000000000 : ns >= 1000000000 ? ns - 1000000000 : ns;
    }
    return code;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec at;
    int code = clock_gettime(CLOCK_REALTIME, &at);
    (void)zone;
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return code;
}

time_t time(time_t *where) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (where) *where = at.tv_sec;
    return at.tv_sec;
}
"""


class OwnClock:
    """A wall clock for processes that are started with its environment.

    Parameters
    ----------
    folder : Path
        For the library and the file with the difference.

    Raises
    ------
    ConfigError
        This is not Linux, there is no C compiler, or it fails.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")
        if compiler is None or not sys.platform.startswith("linux"):
            raise ConfigError(
                "a wall clock of its own needs Linux and a C compiler (cc, gcc). Install build-essential."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._library, self._file = folder / "own_clock.so", folder / "own_clock"
        source = folder / "own_clock.c"
        source.write_text(_SOURCE, encoding="utf-8")
        done = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(source), "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigError(f"a wall clock of its own could not be built: {done.stderr.strip()[:300]}")
        self._shift_ns = 0
        self._write()

    @property
    def environment(self) -> dict[str, str]:
        """What a process must be started with to have this clock."""
        before = os.environ.get("LD_PRELOAD", "")
        return {
            "LD_PRELOAD": f"{self._library}{':' + before if before else ''}",
            "OPENBMS_OWN_CLOCK": str(self._file),
        }

    def step(self, step_s: float) -> None:
        """Set the clock forward (or back) by this much [s]."""
        self._shift_ns += round(step_s * 1e9)
        self._write()

    def _write(self) -> None:
        # eight bytes in one write into the page that is mapped: nobody reads half of it
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", self._shift_ns))
