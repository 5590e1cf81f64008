"""End with the parent: a process whose starter is gone winds down by itself, so that nothing is left behind.

A supervisor that is killed with -9 cannot tell its children. A death signal of the kernel
(``PR_SET_PDEATHSIG``) hangs on the *thread* that forked and would have to be SIGKILL to be sure, which opens
contactors under load. Here a thread waits for the end of the parent, asks for an orderly end with SIGINT, and
leaves the deadline to a timer of the kernel.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

__all__ = ["stop_with_parent"]

_POLL_S = 0.5


def _wait_for_end_of(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):  # not Linux, Linux before 5.3, or the parent is gone already
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        return
    if os.getppid() == parent:
        select.select([descriptor], [], [])
    os.close(descriptor)


def stop_with_parent(deadline_s: float, parent: int | None = None) -> threading.Thread:
    """Ask this process to end (SIGINT) when its parent ends; end it by force ``deadline_s`` later.

    Parameters
    ----------
    deadline_s : float
        Time for the orderly end [s]. After it SIGALRM ends the process, without help of the interpreter.
    parent : int, optional
        Process to watch; default: the parent now. A starter that is killed while this process still starts
        has been replaced by init by then, so a starter should say its number.
    """
    watched = os.getppid() if parent is None else parent

    def watch() -> None:
        _wait_for_end_of(watched)
        signal.setitimer(signal.ITIMER_REAL, deadline_s)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch, name="parent-watch", daemon=True)
    thread.start()
    return thread
