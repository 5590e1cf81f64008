"""Commands of the host that the user has configured: never through a shell, never waited for without end."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence

__all__ = ["run_on_host"]

LONGEST_S = 30.0


def run_on_host(
    command: Sequence[str], environment: Mapping[str, str] | None = None, timeout_s: float = LONGEST_S
) -> str:
    """Run a command of the host.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    environment : mapping, optional
        Added to that of this process.
    timeout_s : float
        It may go on after this time [s], but is no longer waited for.

    Returns
    -------
    str
        What went wrong, in one sentence; empty: nothing.
    """
    text = shlex.join(command)
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        return f"{text}: cannot be run ({error.strerror}). Correct the command."
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, name="host-command", daemon=True).start()  # no zombie
        return f"{text}: still running after {timeout_s:g} s; it is left alone."
    return f"{text}: ended with exit code {code}." if code else ""
