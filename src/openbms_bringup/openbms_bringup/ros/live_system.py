"""A whole demonstration system to inject faults into: real nodes in real processes on a real bus."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    sim_time : bool
        Every process takes ROS time from the twin's ``/clock``.
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
        sim_time: bool = False,
        processes: Sequence[str] = _PROCESSES,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._mounted = _mount(folder)
        merged: dict[str, dict[str, Any]] = {
            "twin": {
                "source": "plant",
                "request_on_start": "none",
                "initial_soc": 0.6,
                "load_factor": 0.0,
                "publish_clock": sim_time,
            },
            "safety_monitor": {"record_file": str(folder / "faults.json")},
            "recorder": {"directory": str(folder / "bags")},
            "foxglove_server": {"port": 0},
        }
        for node, values in (parameters or {}).items():
            merged.setdefault(node, {}).update(values)
        self.plan = make_plan(Choices(system="demo", node_parameters=merged, use_sim_time=sim_time))
        files = self.plan.write_parameters(folder / "parameters")
        environment = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(folder / "log" / "ros")}
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
            if name in processes
        ]
        self.folder = folder
        self.said: list[str] = []
        self._supervisor = Supervisor(
            specs, folder / "log", self.plan.stop_deadline_s, lambda _, text: self.said.append(text)
        )
        self._end = threading.Event()
        self._supervisor.start()
        self._polling = threading.Thread(target=self._poll, daemon=True)
        self._polling.start()
        super().__init__("bms", domain)
        if not self.wait(lambda: self.state() == "standby", _UP_S):
            said = " ".join(self.said[-3:])
            text = f"the system did not come up within {_UP_S:g} s: {self.explanation}. {said}"
            self.close()
            raise ConfigError(text)

    def _poll(self) -> None:
        while not self._end.wait(_POLL_S):
            self._supervisor.poll()

    def close(self) -> None:
        """End everything."""
        self._end.set()
        self._polling.join()
        self._supervisor.stop()
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
