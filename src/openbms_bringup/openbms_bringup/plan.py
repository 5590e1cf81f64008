"""What is to be started: system file and pack file, with the choices of the command line put in.

``openbms run`` calls :func:`make_plan`. ``openbms.launch.py`` runs this module as a program (``python3 -m
openbms_bringup.plan``) and reads its JSON: the Python of the ``ros2`` command need not have our libraries,
the one first in the PATH, which also runs the nodes, has them.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from openbms_bringup.check import check_pack
from openbms_bringup.system import ProcessEntry, SystemFile, load_system
from openbms_core.config_file import ConfigError
from openbms_core.pack import PackFile, load_pack
from openbms_core.resources import find_config

__all__ = ["Choices", "Plan", "free_port", "make_plan", "simulated_records", "stop_deadline_s"]

_STOP_MARGIN_S = 5.0
"""What a process may need besides opening: to hear of the stop, to complete a bag, to end its ROS context."""


@dataclass(frozen=True)
class Choices:
    """What the command line or the launch arguments say; None: as the files say.

    Attributes
    ----------
    system : str or Path
        Name of a shipped system, or path.
    pack, can_interface, can_channel, can_host, can_port
        In place of those of the system file.
    use_sim_time : bool
        Every node takes the time of ``/clock``.
    node_parameters : mapping
        Further parameters, by node name.
    """

    system: str | Path = "demo"
    pack: str | None = None
    can_interface: str | None = None
    can_channel: str | None = None
    can_host: str | None = None
    can_port: int | None = None
    use_sim_time: bool = False
    node_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything that a starter of processes needs.

    Attributes
    ----------
    system_path, pack_path : Path
        Absolute.
    stop_deadline_s : float
        After this time from the request to stop, a process may be ended by force.
    parameters : dict
        By process: a ROS parameter file, keyed ``/**/<node>``.
    """

    system_path: Path
    pack_path: Path
    system: SystemFile
    pack: PackFile
    stop_deadline_s: float
    bus_text: str
    parameters: dict[str, dict[str, Any]]

    def write_parameters(self, folder: Path) -> dict[str, Path]:
        """Write one parameter file a process into ``folder``; give their paths by process."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        for process, content in self.parameters.items():
            paths[process] = folder / f"{process}.yaml"
            paths[process].write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return paths

    def arguments(self, process: str) -> list[str]:
        """Give the command line of ``node_group`` for one process."""
        return [
            "--system",
            str(self.system_path),
            "--process",
            process,
            "--stop-with-parent",
            f"{self.stop_deadline_s}",
        ]


def stop_deadline_s(pack: PackFile) -> float:
    """Give the time after which a process that was asked to stop may be ended by force [s].

    It lies above the pack's own opening deadline, so that no contactor is opened under load by a kill.
    """
    return pack.longest_opening_s + _STOP_MARGIN_S


def free_port(host: str) -> int:
    """Give a TCP port of ``host`` that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _bus_parameters(system: SystemFile, choices: Choices) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "can_interface": choices.can_interface or system.bus.interface,
        "can_channel": choices.can_channel or system.bus.channel,
        "can_host": choices.can_host or system.bus.host,
        "can_port": system.bus.port if choices.can_port is None else choices.can_port,
    }
    if system.bus.simulated and chosen["can_interface"] != system.bus.interface:
        raise ConfigError(
            f"The bus of this system is the twin's ({system.bus.interface}); can_interface "
            f"'{choices.can_interface}' belongs to a real one. Take the system 'vehicle', or leave "
            "can_interface out."
        )
    if chosen["can_interface"] == "socketcand" and chosen["can_port"] == 0:
        if not system.bus.simulated:
            raise ConfigError("can_port: a socketcand server needs its port, such as 29536.")
        chosen["can_port"] = free_port(chosen["can_host"])
    return chosen


_RECORDS = {
    "safety_monitor": ("record_file", "fault_record.json"),
    "soc_estimator": ("state_file", "soc.json"),
    "soh_estimator": ("state_file", "soh.json"),
    "power_manager": ("parked_file", "parked.json"),
}
"""Nodes that keep something over a restart: parameter and name of the file."""


def simulated_records(system: SystemFile, folder: Path) -> dict[str, dict[str, Any]]:
    """Let the nodes of a simulated pack keep what they keep in ``folder``: each twin is a new pack."""
    if not system.bus.simulated:
        return {}
    return {
        node: {parameter: str(folder / file)}
        for node, (parameter, file) in _RECORDS.items()
        if node in system.nodes and parameter not in system.nodes[node].parameters
    }


def _process_parameters(
    system: SystemFile, process: ProcessEntry, common: Mapping[str, Any], choices: Choices
) -> dict[str, Any]:
    return {
        f"/**/{node}": {
            "ros__parameters": {
                **common,
                **system.nodes[node].parameters,
                **choices.node_parameters.get(node, {}),
            }
        }
        for node in process.nodes
    }


def make_plan(choices: Choices) -> Plan:
    """Load system and pack file and put the choices in.

    Raises
    ------
    ConfigError
        A file is absent or wrong, or the choices do not fit them.
    """
    system_path, system = load_system(choices.system)
    pack_path = (
        find_config("packs", choices.pack)
        if choices.pack
        else find_config("packs", system.pack, beside=system_path)
    ).resolve()
    loaded = load_pack(pack_path)
    if choices.use_sim_time and not system.bus.simulated:
        raise ConfigError(
            f"{system_path}: simulated time is refused on a real bus: protection must not depend on /clock. "
            "Leave use_sim_time false."
        )
    unknown = sorted(set(choices.node_parameters) - set(system.nodes))
    if unknown:
        raise ConfigError(
            f"{system_path}: no node '{unknown[0]}' in this system; it has: {', '.join(system.nodes)}."
        )
    bus = _bus_parameters(system, choices)
    common = {
        "pack": str(pack_path),
        "use_sim_time": choices.use_sim_time,
        "bus_is_simulated": system.bus.simulated,
        **bus,
    }
    at = f" at {bus['can_host']}:{bus['can_port']}" if bus["can_interface"] == "socketcand" else ""
    return Plan(
        system_path=system_path,
        pack_path=pack_path,
        system=system,
        pack=loaded.file,
        stop_deadline_s=stop_deadline_s(loaded.file),
        bus_text=f"{bus['can_interface']} {bus['can_channel']}{at}",
        parameters={
            name: _process_parameters(system, process, common, choices)
            for name, process in system.processes.items()
        },
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the plan as JSON and write the parameter files; for the launch file."""
    parser = argparse.ArgumentParser(prog="openbms_bringup.plan", description=main.__doc__)
    parser.add_argument("--system", required=True)
    parser.add_argument("--parameters-to", required=True, type=Path)
    for name in ("--pack", "--can-interface", "--can-channel", "--can-host"):
        parser.add_argument(name, default=None)
    parser.add_argument("--can-port", type=int, default=None)
    parser.add_argument("--use-sim-time", action="store_true")
    given = parser.parse_args(argv)
    try:
        _, system = load_system(given.system)
        plan = make_plan(
            Choices(
                system=given.system,
                pack=given.pack or None,
                can_interface=given.can_interface or None,
                can_channel=given.can_channel or None,
                can_host=given.can_host or None,
                can_port=given.can_port,
                use_sim_time=given.use_sim_time,
                node_parameters=simulated_records(system, given.parameters_to.absolute()),
            )
        )
        check_pack(load_pack(plan.pack_path))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    files = plan.write_parameters(given.parameters_to)
    json.dump(
        {
            "stop_deadline_s": plan.stop_deadline_s,
            "bus": plan.bus_text,
            "pack": str(plan.pack_path),
            "after_power_down": plan.system.after_power_down,
            "processes": {
                name: {
                    "arguments": plan.arguments(name),
                    "parameters": str(files[name]),
                    "critical": process.critical,
                    "environment": process.environment,
                    "respawn_delay_s": process.restart.first_delay_s if process.restart else None,
                }
                for name, process in plan.system.processes.items()
            },
        },
        sys.stdout,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
