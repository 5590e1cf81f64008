"""Follow a log file and give the lines that belong on the terminal: warnings, errors, tracebacks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["LogFilter", "is_problem"]

_PROBLEM = re.compile(r"^(\[(WARN|ERROR|FATAL)\]|openbms: |(Fatal|Segmentation) )")
_TRACEBACK = "Traceback (most recent call last):"
_QUIET_S = 30.0
_REMEMBERED = 200
_TIME = re.compile(r"^\[(\w+)\] \[[0-9.]+\] ")


def is_problem(line: str) -> bool:
    """Tell whether a line is a warning or an error by itself."""
    return bool(_PROBLEM.match(line))


class LogFilter:
    """Reads what was added to a file since the last call.

    Parameters
    ----------
    path : Path
        The file; it must exist.
    clock : callable
        Monotonic time [s]: the same line is given once in half a minute.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown: dict[str, float] = {}
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._rest = b""
        self._in_traceback = False

    def new_lines(self) -> list[str]:
        """Give the new complete lines that matter, without the time stamp of ROS."""
        lines = (self._rest + self._file.read()).split(b"\n")
        self._rest = lines.pop()
        given = []
        for raw in lines:
            line = _TIME.sub(r"[\1] ", raw.decode(errors="replace"))
            if self._matters(line) and self._is_new(line):
                given.append(line)
        return given

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_new(self, line: str) -> bool:
        now_s = self._clock()
        if now_s - self._shown.get(line, -_QUIET_S) < _QUIET_S:
            return False
        if len(self._shown) >= _REMEMBERED:
            self._shown.clear()
        self._shown[line] = now_s
        return True

    def _matters(self, line: str) -> bool:
        if line.startswith(_TRACEBACK):
            self._in_traceback = True
            return True
        if self._in_traceback:
            self._in_traceback = line.startswith(" ") or not line
            return True
        return is_problem(line)
