"""A whole demonstration system to inject faults into: real nodes in real processes on a real bus."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from openbms_bringup.inject.own_clock import OwnClock
from openbms_bringup.inject.processes import find_process
from openbms_bringup.plan import Choices, make_plan
from openbms_bringup.ros.remote_system import RemoteSystem
from openbms_bringup.supervisor import ProcessSpec, Supervisor, python_command
from openbms_core.config_file import ConfigError

__all__ = ["LiveSystem"]

_PROCESSES = ("sim", "driver", "safety", "bms")
_POLL_S = 0.05
_UP_S = 40.0


class LiveSystem(RemoteSystem):
    """Starts the processes of the demonstration, keeps them running, and ends them.

    Parameters
    ----------
    folder : Path
        For parameter files, the fault record, bags and logs. As root it is a small file system of its own
        (tmpfs), so that a full disk can be a real one.
    domain : int
        ROS domain.
    clock : str
        ``own``: the processes have a wall clock of their own, which ``own_clock`` sets; ``twin``: they take
        ROS time from the twin's ``/clock``.
    processes : sequence of str
        Of the system file.
    parameters : mapping, optional
        Further node parameters, by node.
    """

    def __init__(
        self,
        folder: Path,
        domain: int,
        *,
        clock: Literal["system", "own", "twin"] = "system",
        processes: Sequence[str] = _PROCESSES,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.folder = folder
        self.said: list[str] = []
        """What the supervisor had to say."""
        self._mounted = _mount(folder)
        self.clock, self._processes = clock, tuple(processes)
        self.own_clock = OwnClock(folder / "clock") if clock == "own" else None
        self._parameters: dict[str, dict[str, Any]] = {
            "twin": {
                "source": "plant",
                "request_on_start": "none",
                "initial_soc": 0.6,
                "ambient_degc": 25.0,
                "load_factor": 0.0,
                "publish_clock": clock == "twin",
            },
            "safety_monitor": {"record_file": str(folder / "faults.json")},
            "recorder": {"directory": str(folder / "bags")},
            "foxglove_server": {"port": 0},
        }
        for node, values in (parameters or {}).items():
            self._parameters.setdefault(node, {}).update(values)
        super().__init__("bms", domain)
        self._begin()

    def _begin(self) -> None:
        folder = self.folder
        self.plan = make_plan(
            Choices(system="demo", node_parameters=self._parameters, use_sim_time=self.clock == "twin")
        )
        files = self.plan.write_parameters(folder / "parameters")
        environment = {"ROS_DOMAIN_ID": str(self.domain), "ROS_LOG_DIR": str(folder / "log" / "ros")}
        if self.own_clock is not None:
            environment |= self.own_clock.environment
        specs = [
            ProcessSpec(
                name,
                python_command(
                    "openbms_bringup.ros.node_group",
                    [
                        *self.plan.arguments(name),
                        *("--parent", str(os.getpid())),
                        *("--ros-args", "-r", "__ns:=/bms", "--params-file", str(files[name])),
                    ],
                ),
                {**environment, **process.environment},
                critical=process.critical,
                restart=process.restart,
            )
            for name, process in self.plan.system.processes.items()
            if name in self._processes
        ]
        self._supervisor = Supervisor(
            specs, folder / "log", self.plan.stop_deadline_s, lambda _, text: self.said.append(text)
        )
        self._end = threading.Event()
        began_s = time.monotonic()
        self._supervisor.start()
        self._polling = threading.Thread(target=self._poll, daemon=True)
        self._polling.start()
        if not self.wait(lambda: self.state(began_s) in ("standby", "fault"), _UP_S):
            said = " ".join(self.said[-3:])
            self.close()
            raise ConfigError(f"the system did not come up within {_UP_S:g} s: {self.explanation}. {said}")

    def _poll(self) -> None:
        while not self._end.wait(_POLL_S):
            self._supervisor.poll()

    def _finish(self) -> None:
        self._end.set()
        self._polling.join()
        self._supervisor.stop()

    def begin_at(self, soc: float, temperature_degc: float) -> None:
        """Start everything anew with the cells at this state of charge and temperature, and no record."""
        self._parameters["twin"].update(initial_soc=soc, ambient_degc=temperature_degc)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Start everything anew, with another pack and no record."""
        self._finish()
        (self.folder / "faults.json").unlink(missing_ok=True)
        self.forget_faults()
        self._begin()

    def renew_monitor(self) -> None:
        """End the monitor in order; the supervisor starts it again, and it knows only what is on record."""
        process = find_process("safety", self.namespace, self.domain)
        process.send_signal(signal.SIGINT)
        moment = time.monotonic()
        process.wait(self.plan.stop_deadline_s)
        self.forget_faults()
        if not self.wait(lambda: self.state(moment + 0.5) in ("standby", "fault"), _UP_S):
            raise ConfigError(f"the monitor did not come back: {self.explanation}")

    def close(self) -> None:
        """End everything."""
        self._finish()
        super().close()
        if self._mounted:
            subprocess.run(["umount", str(self.folder)], check=False, stderr=subprocess.DEVNULL)

    def __enter__(self) -> LiveSystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _mount(folder: Path) -> bool:
    """Make the folder a small file system, where that is allowed; tell whether it is one."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode == 0
