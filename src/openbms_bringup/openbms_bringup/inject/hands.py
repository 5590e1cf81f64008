"""Do what an injection does outside of the twin: to processes, to the computer, to files, on topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from openbms_bringup.inject.case import Ask, Host, Message, Process, Record
from openbms_bringup.inject.disk import FullDisk
from openbms_bringup.inject.processes import find_process
from openbms_bringup.ros.remote_system import RemoteSystem
from openbms_core.config_file import ConfigError

__all__ = ["Hands"]

_FOLDERS = {"safety": ("safety_monitor", "record_file"), "data": ("recorder", "directory")}


class Hands:
    """Carries out actions and takes them back.

    Parameters
    ----------
    system : RemoteSystem
        The system that they are done to.
    say : callable
        Takes a sentence for people.
    """

    def __init__(self, system: RemoteSystem, say: Callable[[str], None] = lambda _: None) -> None:
        self._system = system
        self._say = say
        self._undo: list[Callable[[], None]] = []

    def do(self, action: Process | Host | Record | Message | Ask) -> Callable[[], None]:
        """Do it; give what takes it back (which may do nothing).

        Raises
        ------
        ConfigError
            It cannot be done here; one sentence says why.
        """
        undo: Callable[[], None]
        if isinstance(action, Process):
            undo = self._process(action)
        elif isinstance(action, Host):
            undo = self._host(action)
        elif isinstance(action, Record):
            undo = self._spoil_record()
        elif isinstance(action, Message):
            self._system.publish_foreign_description()
            self._say("published a pack description of another configuration")
            undo = self._system.publish_own_description
        else:
            granted, answer = self._system.request(action.ask)
            self._say(f"asked for {action.ask}: {'granted' if granted else 'refused'}: {answer}")
            return _nothing
        done = False

        def once() -> None:
            nonlocal done
            if not done:
                done = True
                undo()

        self._undo.append(once)
        return once

    def release(self) -> None:
        """Take back whatever still acts."""
        while self._undo:
            self._undo.pop()()

    # ---- processes and computer ----

    def _find(self, name: str) -> psutil.Process:
        return find_process(name, self._system.namespace, self._system.domain)

    def _process(self, action: Process) -> Callable[[], None]:
        process = self._find(action.process)
        if action.do == "kill":
            try:
                process.kill()
            except psutil.Error as error:
                raise ConfigError(
                    f"process {process.pid} ({action.process}) cannot be killed: {error}."
                ) from error
            self._say(f"killed process {process.pid} ({action.process}) with SIGKILL")
            return _nothing
        self._say(f"{action.do}: process {process.pid} ({action.process})")
        arguments = [
            action.do,
            str(process.pid),
            "--share",
            f"{action.share}",
            "--period",
            f"{action.period_s}",
        ]
        return _helper(arguments, wait=action.do == "stop")

    def _host(self, action: Host) -> Callable[[], None]:
        if action.host == "cpu_hog":
            count = action.processes or 2 * (os.cpu_count() or 1)
            ends = [_helper(["hog"]) for _ in range(count)]
            self._say(f"{count} processes take all the processor time that they get")

            def rest() -> None:
                for end in ends:
                    end()

            return rest
        if action.host == "clock_step":
            return self._step_clock(action.step_s)
        disk = FullDisk(self._find(action.of), self._folder(action.of))
        self._say(disk.how)
        return disk.close

    def _step_clock(self, step_s: float) -> Callable[[], None]:
        clock = getattr(self._system, "own_clock", None)
        if clock is None:
            raise ConfigError(
                "clock_step: the processes of this system read the clock of the computer, which is not set "
                "for a test. `make faults` starts a system with a clock of its own."
            )
        clock.step(step_s)
        self._say(f"the wall clock of all processes is set by {step_s:g} s")
        return lambda: clock.step(-step_s)

    def _folder(self, process: str) -> Path:
        node, name = _FOLDERS[process]
        value = self._system.parameter(node, name)
        if not value:
            raise ConfigError(
                f"the parameter {name} of {node} is empty or unknown, so it cannot be told where it writes. "
                "Start the system with openbms run, or set it."
            )
        path = Path(str(value)).expanduser()
        return path.parent if path.suffix else path

    def _spoil_record(self) -> Callable[[], None]:
        value = self._system.parameter("safety_monitor", "record_file")
        path = Path(str(value or "")).expanduser()
        if not value or not path.is_file():
            raise ConfigError(
                f"the fault record of this system is not found (record_file: {value!r}). Start the system "
                "with openbms run, or set the parameter."
            )
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\0\xff")
        self._say(f"spoilt the fault record {path}")
        return _nothing


def _nothing() -> None:
    """Nothing is to be taken back."""


def _helper(arguments: list[str], *, wait: bool = False) -> Callable[[], None]:
    """Start a program that holds something down until its standard input closes."""
    helper = subprocess.Popen(
        [sys.executable, "-m", "openbms_bringup.inject.helper", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if wait else subprocess.DEVNULL,
    )
    if wait and helper.stdout is not None:
        helper.stdout.readline()  # it says when it is done

    def end() -> None:
        if helper.stdin is not None:
            helper.stdin.close()
        try:
            helper.wait(5)
        except subprocess.TimeoutExpired:
            helper.send_signal(signal.SIGKILL)
        if helper.stdout is not None:
            helper.stdout.close()

    return end
