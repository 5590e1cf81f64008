"""Real processes for tests: own session, own ROS domain, output awaited line by line, no orphan left."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache

__all__ = ["Process", "claimed_domain", "free_domain", "wait_until"]

_FIRST_DOMAIN, _DOMAINS = 10, 90


_claims: list[socket.socket] = []


def claimed_domain() -> int:
    """Give a ROS domain that no other process of these tests has, until this one ends.

    The claim is a socket's name, which the system frees even where the process is killed.
    """
    for number in range(_DOMAINS):
        domain = _FIRST_DOMAIN + (os.getpid() + number) % _DOMAINS
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0openbms-test-ros-domain-{domain}")
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return domain
    raise RuntimeError(f"all {_DOMAINS} ROS domains for tests are in use on this computer")


@cache
def free_domain() -> int:
    """Give the ROS domain of this test process: xdist workers and a developer's own nodes do not meet."""
    return claimed_domain()


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait for a condition that only another process can make true."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s: {what}")
        pause.wait(0.02)


class Process:
    """A process in a session of its own, whose output lines are collected.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; ``python`` stands for this interpreter.
    environment : dict, optional
        Added to this process's own.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        command = [sys.executable if part == "python" else part for part in command]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a shell's background job would ignore SIGINT
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._new.put(line)
        self._new.put(None)

    @property
    def output(self) -> str:
        """Everything that was printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str, timeout_s: float = 20.0) -> str:
        """Wait for a line that holds ``text`` and give it."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        while True:
            for line in self.lines[seen:]:
                seen += 1
                if text in line:
                    return line
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no line with {text!r} within {timeout_s} s:\n{self.output}")
            try:
                ended = self._new.get(timeout=left) is None
            except queue.Empty:
                continue
            if ended and not any(text in line for line in self.lines[seen:]):
                raise RuntimeError(
                    f"ended with {self.process.wait()} before a line with {text!r}:\n{self.output}"
                )

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the end and give the exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running after {timeout_s} s:\n{self.output}") from None

    def interrupt(self, timeout_s: float = 20.0) -> int:
        """Send SIGINT, as Ctrl-C does, and give the exit code."""
        self.signal(signal.SIGINT)
        return self.wait(timeout_s)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
