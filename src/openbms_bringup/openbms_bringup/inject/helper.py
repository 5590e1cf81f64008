"""Small programs that hold something down while their standard input is open, and let go when it closes.

Whoever injects may be killed at any moment: the pipe then closes by itself, a stopped process goes on and a
busy computer comes to rest.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time

__all__ = ["main"]


def _hog() -> None:
    threading.Thread(target=_wait_and_end, daemon=True).start()
    while True:
        pass


def _wait_and_end() -> None:
    _until_closed()
    os._exit(0)


def _until_closed() -> None:
    while os.read(0, 4096):
        pass


def _slow(pid: int, share: float, period_s: float) -> None:
    closed = threading.Event()

    def wait() -> None:
        _until_closed()
        closed.set()

    threading.Thread(target=wait, daemon=True).start()
    try:
        while not closed.is_set():
            os.kill(pid, signal.SIGSTOP)
            closed.wait((1.0 - share) * period_s)
            os.kill(pid, signal.SIGCONT)
            closed.wait(share * period_s)
    finally:
        os.kill(pid, signal.SIGCONT)


def main() -> int:
    """Run one of them: ``hog``, ``stop PID``, ``slow PID --share S --period T``."""
    parser = argparse.ArgumentParser(prog="openbms_bringup.inject.helper", description=__doc__)
    parser.add_argument("what", choices=["hog", "stop", "slow"])
    parser.add_argument("pid", type=int, nargs="?", default=0)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--period", type=float, default=0.1)
    given = parser.parse_args()
    # Ctrl-C at a terminal reaches this program too: it ends with its pipe, not before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if given.what == "hog":
            _hog()
        elif given.what == "stop":
            os.kill(given.pid, signal.SIGSTOP)
            sys.stdout.write(f"{time.monotonic()}\n")
            sys.stdout.flush()
            _until_closed()
            os.kill(given.pid, signal.SIGCONT)
        else:
            _slow(given.pid, given.share, given.period)
    except ProcessLookupError:
        pass  # it has ended meanwhile
    return 0


if __name__ == "__main__":
    sys.exit(main())
