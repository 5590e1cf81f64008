"""Run the processes of a plan: start in order, start again what died, end all and leave nothing behind.

Why not a library: docs/adr/0003-process-supervisor.md. No ROS here; :meth:`Supervisor.poll` is called from a
loop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from openbms_bringup.log_filter import LogFilter
from openbms_bringup.power_down import EXIT_POWER_DOWN
from openbms_bringup.system import Restart

__all__ = ["EXIT_CONFIGURATION", "ProcessSpec", "Supervised", "Supervisor"]

EXIT_CONFIGURATION = 2
"""Exit code of a process that refuses its configuration: starting it again would change nothing."""
_KILL_AFTER_TERM_S = 1.0


@dataclass(frozen=True)
class ProcessSpec:
    """One process to run.

    Attributes
    ----------
    command : sequence of str
    environment : mapping
        Added to the environment of the supervisor.
    restart : Restart or None
        None: not started again.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    critical: bool = False
    restart: Restart | None = field(default_factory=Restart)


class Supervised:
    """One process, its log, and how often it died."""

    def __init__(self, spec: ProcessSpec, log_path: Path) -> None:
        self.spec = spec
        self.log_path = log_path
        self.log: BinaryIO = log_path.open("ab")
        self.filter = LogFilter(log_path)
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.starts = 0
        self.failures_in_a_row = 0
        self.deaths: list[int] = []
        self.restart_at_s: float | None = None
        self.given_up = False
        self.forced = ""

    @property
    def pid(self) -> int | None:
        """Process number while it runs."""
        return self.process.pid if self.running and self.process else None

    @property
    def running(self) -> bool:
        """Tell whether it runs."""
        return self.process is not None and self.process.returncode is None

    def start(self, now_s: float) -> None:
        """Start it in a session of its own, so that the terminal's Ctrl-C does not reach it."""
        self.restart_at_s = None
        self.started_s = now_s
        self.starts += 1
        # The log goes straight into its file: a supervisor that is killed takes no pipe with it, on which an
        # opening sequence that writes a line would break.
        self.process = subprocess.Popen(
            self.spec.command,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "RCUTILS_COLORIZED_OUTPUT": "0",
                **self.spec.environment,
            },
        )

    def signal(self, number: int) -> None:
        """Signal the process itself for an orderly end, its whole group for a kill."""
        if self.process is None or self.process.returncode is not None:
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except ProcessLookupError:
            pass


class Supervisor:
    """Runs processes; one instance, one run.

    Parameters
    ----------
    specs : sequence of ProcessSpec
        In the order of their start.
    log_folder : Path
        Gets one ``<process>.log`` each.
    stop_deadline_s : float
        Time from the request to stop until SIGTERM.
    say : callable
        Takes (is it a problem, text for people).
    clock : callable
        Monotonic time [s].
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        log_folder: Path,
        stop_deadline_s: float,
        say: Callable[[bool, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self.processes = [Supervised(spec, log_folder / f"{spec.name}.log") for spec in specs]
        self.stop_deadline_s = stop_deadline_s
        self._say = say
        self._clock = clock
        self._stop_at_s: float | None = None
        self._stop_stage = 0
        self.refused: str = ""
        """Name of the critical process that refused its configuration; empty: none."""
        self.power_down: str = ""
        """Name of the process that ended to ask for the end of the whole system; empty: none did."""

    @property
    def stopping(self) -> bool:
        """Tell whether the end was asked for."""
        return self._stop_at_s is not None

    @property
    def all_ended(self) -> bool:
        """Tell whether nothing runs any more."""
        return not any(one.running for one in self.processes)

    @property
    def forced(self) -> list[str]:
        """Processes that did not end by themselves, with the signal that ended them."""
        return [f"{one.spec.name} ({one.forced})" for one in self.processes if one.forced]

    def start(self) -> None:
        """Start every process in order."""
        for one in self.processes:
            one.start(self._clock())

    def poll(self) -> None:
        """Look after the processes; call it a few times a second."""
        now_s = self._clock()
        for one in self.processes:
            self._relay(one)
            if one.running and one.process is not None and one.process.poll() is not None:
                self._relay(one)
                self._ended(one, one.process.returncode, now_s)
            elif not self.stopping and one.restart_at_s is not None and now_s >= one.restart_at_s:
                one.start(now_s)
                self._say(False, f"{one.spec.name}: started again")
        if self._stop_at_s is not None:
            self._escalate(now_s - self._stop_at_s)

    def request_stop(self) -> None:
        """Ask all to end (SIGINT, all at once); asked again: SIGTERM, then SIGKILL, without waiting."""
        if self._stop_at_s is None:
            self._stop_at_s = self._clock()
            for one in self.processes:
                one.signal(signal.SIGINT)
        else:
            self._force(self._stop_stage + 1)

    def stop(self) -> None:
        """Ask for the end and wait for it."""
        if not self.stopping:
            self.request_stop()
        while not self.all_ended:
            self.poll()
            time.sleep(0.02)
        self.close()

    def close(self) -> None:
        """Relay the last lines and close the logs."""
        for one in self.processes:
            if not one.log.closed:
                self._relay(one)
                one.filter.close()
                one.log.close()

    # ---- inside --------------------------------------------------------------------------------------------

    def _relay(self, one: Supervised) -> None:
        for line in one.filter.new_lines():
            self._say(True, f"{one.spec.name}: {line}")

    def _ended(self, one: Supervised, code: int, now_s: float) -> None:
        if self.stopping:
            if code not in (0, EXIT_POWER_DOWN, -signal.SIGINT, -signal.SIGTERM) and not one.forced:
                self._say(True, f"{one.spec.name} ended with {describe_exit(code)}; see {one.log_path}")
            return
        if code == EXIT_POWER_DOWN:
            one.given_up, self.power_down = True, one.spec.name
            return
        one.deaths.append(code)
        if code == EXIT_CONFIGURATION:
            one.given_up = True
            if one.spec.critical:
                self.refused = self.refused or one.spec.name
            self._say(
                True,
                f"{one.spec.name} refuses its configuration and is not started again; see {one.log_path}",
            )
            return
        if one.spec.restart is None:
            one.given_up = True
            self._say(True, f"{one.spec.name} ended with {describe_exit(code)} and is not started again")
            return
        healthy = now_s - one.started_s >= one.spec.restart.healthy_after_s
        one.failures_in_a_row = 1 if healthy else one.failures_in_a_row + 1
        delay_s = one.spec.restart.delay_s(one.failures_in_a_row)
        one.restart_at_s = now_s + delay_s
        self._say(
            True,
            f"{one.spec.name} died ({describe_exit(code)}); started again in {delay_s:g} s; "
            f"see {one.log_path}",
        )

    def _escalate(self, elapsed_s: float) -> None:
        if elapsed_s > self.stop_deadline_s + _KILL_AFTER_TERM_S:
            self._force(2)
        elif elapsed_s > self.stop_deadline_s:
            self._force(1)

    def _force(self, stage: int) -> None:
        if stage <= self._stop_stage:
            return
        self._stop_stage = stage
        number, name = (signal.SIGTERM, "SIGTERM") if stage == 1 else (signal.SIGKILL, "SIGKILL")
        for one in self.processes:
            if one.running:
                one.forced = name
                self._say(True, f"{one.spec.name} did not end in time: {name}")
                one.signal(number)


def describe_exit(code: int) -> str:
    """Say what an exit code of subprocess means."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def python_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Give the command line that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]
