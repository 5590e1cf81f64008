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
from openbms_bringup.system import Bus, NodeInstance, ProcessInstance, SystemFile, load_system
from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.resources import find_config

__all__ = ["Choices", "PackPlan", "Plan", "free_port", "make_plan", "simulated_records", "stop_deadline_s"]

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
        Further parameters, by node name; of one of several packs by ``<pack>/<node>``.
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
class PackPlan:
    """One pack of a system.

    Attributes
    ----------
    loaded : LoadedPack
    reference : str
        What its nodes load: the absolute path, with its serial number where the system gives one.
    bus : dict
        ``can_interface``, ``can_channel``, ``can_host``, ``can_port``.
    """

    loaded: LoadedPack
    reference: str
    bus: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Everything that a starter of processes needs.

    Attributes
    ----------
    system_path, pack_path : Path
        Absolute; of several packs the first one's.
    packs : dict
        Every pack by its name; a single one has an empty name.
    processes : mapping
        The processes as they run.
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
    packs: dict[str, PackPlan]
    processes: Mapping[str, ProcessInstance]

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


def _bus_parameters(bus: Bus, choices: Choices, *, simulated: bool) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "can_interface": choices.can_interface or bus.interface,
        "can_channel": choices.can_channel or bus.channel,
        "can_host": choices.can_host or bus.host,
        "can_port": bus.port if choices.can_port is None else choices.can_port,
    }
    if simulated and chosen["can_interface"] != bus.interface:
        raise ConfigError(
            f"The bus of this system is the twin's ({bus.interface}); can_interface "
            f"'{choices.can_interface}' belongs to a real one. Take the system 'vehicle', or leave "
            "can_interface out."
        )
    if chosen["can_interface"] == "socketcand" and chosen["can_port"] == 0 and not simulated:
        raise ConfigError("can_port: a socketcand server needs its port, such as 29536.")
    return chosen


_RECORDS = {
    "safety_monitor": ("record_file", "fault_record.json"),
    "soc_estimator": ("state_file", "soc.json"),
    "soh_estimator": ("state_file", "soh.json"),
    "power_manager": ("parked_file", "parked.json"),
    "inverter_gateway": ("state_file", "inverter.json"),
    "vehicle_gateway": ("crash_file", "crash"),
}
"""Nodes that keep something over a restart: parameter and name of the file."""


def simulated_records(system: SystemFile, folder: Path) -> dict[str, dict[str, Any]]:
    """Let the nodes of a simulated pack keep what they keep in ``folder``: each twin is a new pack."""
    if not system.bus.simulated:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for node, (parameter, file) in _RECORDS.items():
        if node not in system.nodes or parameter in system.nodes[node].parameters:
            continue
        per_pack = system.nodes[node].scope == "pack"
        for pack in system.pack_names if per_pack else ("",):
            key = f"{pack}/{node}" if pack else node
            found[key] = {parameter: str(folder / pack / file)}
    return found


def _key(instance: NodeInstance) -> str:
    """Give the key of a node in a parameter file: nodes of several packs differ by their namespace only."""
    return f"/**/{instance.pack}/{instance.node}" if instance.pack else f"/**/{instance.node}"


def _process_parameters(
    system: SystemFile,
    process: ProcessInstance,
    packs: Mapping[str, PackPlan],
    common: Mapping[str, Any],
    choices: Choices,
) -> dict[str, Any]:
    first = next(iter(packs.values()))
    of_all = {
        "packs": [pack.reference for pack in packs.values()],
        "names": list(packs),
        "channels": [str(pack.bus["can_channel"]) for pack in packs.values()],
    }
    found: dict[str, Any] = {}
    for instance in process.nodes:
        entry = system.nodes[instance.node]
        own = packs.get(instance.pack, first)
        values: dict[str, Any] = {"pack": own.reference, **common, **own.bus}
        if system.packs and not instance.pack:
            values |= of_all
        if instance.pack and instance.node == "battery_state_publisher":
            values["publish_global"] = False  # the global topics are the aggregator's
        values |= entry.parameters
        if instance.pack:
            values |= system.packs[instance.pack].parameters.get(instance.node, {})
        values |= choices.node_parameters.get(instance.node, {})
        values |= choices.node_parameters.get(_key(instance).removeprefix("/**/"), {})
        found[_key(instance)] = {"ros__parameters": values}
    return found


def _reference(name: str, serial: str = "", beside: Path | None = None) -> str:
    """Give a pack file as its nodes load it: the whole path, and its own serial number where it has one."""
    plain, mark, own = name.rpartition("#")
    path = find_config("packs", plain if mark else name, beside=beside).resolve()
    serial = serial or own if mark else serial
    return f"{path}#{serial}" if serial else str(path)


def _packs(system_path: Path, system: SystemFile, choices: Choices) -> dict[str, PackPlan]:
    """Load every pack; a port that is free is chosen once for all buses of the twin."""
    simulated = system.bus.simulated
    if not system.packs:
        if choices.pack:
            reference = _reference(choices.pack)
        else:
            reference = _reference(str(system.pack), beside=system_path)
        bus = _bus_parameters(system.bus, choices, simulated=simulated)
        found = {"": PackPlan(load_pack(reference), reference, bus)}
    else:
        for name in ("pack", "can_channel"):
            if getattr(choices, name):
                raise ConfigError(
                    f"{system_path}: this system has several packs ({', '.join(system.packs)}): {name} "
                    "stands "
                    "with each of them in the system file. Make a copy of it and write it there."
                )
        found = {}
        for name, entry in system.packs.items():
            reference = _reference(str(entry.pack or system.pack), entry.serial or "", system_path)
            bus = _bus_parameters(entry.bus.over(system.bus), choices, simulated=simulated)
            found[name] = PackPlan(load_pack(reference), reference, bus)
    _check_apart(system_path, found, simulated=simulated)
    free = 0
    for pack in found.values():
        if pack.bus["can_interface"] == "socketcand" and pack.bus["can_port"] == 0:
            free = free or free_port(pack.bus["can_host"])
            pack.bus["can_port"] = free
    return found


def _check_apart(system_path: Path, packs: Mapping[str, PackPlan], *, simulated: bool) -> None:
    """Refuse packs that share what they must not: a serial number, or a bus."""
    serials: dict[str, str] = {}
    buses: dict[tuple[Any, ...], str] = {}
    for name, pack in packs.items():
        serial = pack.loaded.file.serial
        if serial in serials:
            raise ConfigError(
                f"{system_path}: packs.{name} and packs.{serials[serial]} have the serial number '{serial}': "
                "history and fault record are kept by it. Give each pack its own (serial: in packs)."
            )
        serials[serial] = name
        bus = tuple(pack.bus.values())
        if bus in buses:
            raise ConfigError(
                f"{system_path}: packs.{name} and packs.{buses[bus]} are on the same bus "
                f"({pack.bus['can_interface']} {pack.bus['can_channel']}): their frames would mix. Give each "
                "its own (bus: {channel: …} in packs)."
            )
        buses[bus] = name


def _bus_text(packs: Mapping[str, PackPlan]) -> str:
    texts = []
    for pack in packs.values():
        bus = pack.bus
        at = f" at {bus['can_host']}:{bus['can_port']}" if bus["can_interface"] == "socketcand" else ""
        texts.append(f"{bus['can_interface']} {bus['can_channel']}{at}")
    return ", ".join(texts)


def make_plan(choices: Choices) -> Plan:
    """Load system and pack file and put the choices in.

    Raises
    ------
    ConfigError
        A file is absent or wrong, or the choices do not fit them.
    """
    system_path, system = load_system(choices.system)
    packs = _packs(system_path, system, choices)
    first = next(iter(packs.values()))
    if choices.use_sim_time and not system.bus.simulated:
        raise ConfigError(
            f"{system_path}: simulated time is refused on a real bus: protection must not depend on /clock. "
            "Leave use_sim_time false."
        )
    known = set(system.nodes) | {f"{pack}/{node}" for pack in system.packs for node in system.nodes}
    unknown = sorted(set(choices.node_parameters) - known)
    if unknown:
        raise ConfigError(
            f"{system_path}: no node '{unknown[0]}' in this system; it has: {', '.join(system.nodes)}."
        )
    common = {"use_sim_time": choices.use_sim_time, "bus_is_simulated": system.bus.simulated}
    processes = system.instances()
    return Plan(
        system_path=system_path,
        pack_path=first.loaded.path,
        system=system,
        pack=first.loaded.file,
        stop_deadline_s=max(stop_deadline_s(pack.loaded.file) for pack in packs.values()),
        bus_text=_bus_text(packs),
        parameters={
            name: _process_parameters(system, process, packs, common, choices)
            for name, process in processes.items()
        },
        packs=packs,
        processes=processes,
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
        for one in plan.packs.values():
            check_pack(one.loaded)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    files = plan.write_parameters(given.parameters_to)
    json.dump(
        {
            "stop_deadline_s": plan.stop_deadline_s,
            "bus": plan.bus_text,
            "pack": ", ".join(one.reference for one in plan.packs.values()),
            "after_power_down": plan.system.after_power_down,
            "processes": {
                name: {
                    "arguments": plan.arguments(name),
                    "parameters": str(files[name]),
                    "critical": process.entry.critical,
                    "environment": process.entry.environment,
                    "respawn_delay_s": process.entry.restart.first_delay_s if process.entry.restart else None,
                }
                for name, process in plan.processes.items()
            },
        },
        sys.stdout,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
