"""The system file: which nodes run in which process, and with which parameters.

One YAML file per system (``config/systems/<system>.yaml``), read by ``launch/openbms.launch.py`` and by
``openbms run``. The order of the processes is the order in which they are started.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from openbms_core.config_file import Integer, Positive, StrictModel, load_config
from openbms_core.resources import find_config

__all__ = [
    "Bus",
    "NodeEntry",
    "NodeInstance",
    "PackBus",
    "PackEntry",
    "ProcessEntry",
    "ProcessInstance",
    "Restart",
    "SystemFile",
    "load_system",
]


def _ros_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", value):
        raise ValueError("a name of letters, digits and underscores is needed, as ROS demands")
    return value


def _class_path(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", value):
        raise ValueError(
            "'package.module:Class' is needed, such as openbms_drivers.ros.afe_driver_node:AfeDriverNode"
        )
    return value


def _ros_value(value: Any) -> Any:
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
            return [_ros_value(item) for item in value]
        raise ValueError(
            "a list parameter holds values of one kind: all true/false, whole numbers, numbers or texts"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("a ROS parameter is true/false, a number, a text, or a list of one of these")


RosName = Annotated[str, AfterValidator(_ros_name)]
ClassPath = Annotated[str, AfterValidator(_class_path)]
ParameterValue = Annotated[
    bool | int | float | str | list[bool] | list[int] | list[float] | list[str], BeforeValidator(_ros_value)
]


class Bus(StrictModel):
    """CAN bus of the pack; the nodes get it as can_interface, can_channel, can_host and can_port."""

    interface: Annotated[str, Field(min_length=1)]
    """Name of a python-can interface: ``socketcan`` on a vehicle, ``socketcand`` with the hub of the twin."""
    channel: Annotated[str, Field(min_length=1)] = "can0"
    host: str = "127.0.0.1"
    """Address of a socketcand server; without meaning elsewhere."""
    port: Annotated[Integer, Field(ge=0, le=65535)] = 0
    """Port of a socketcand server; 0: a free one is chosen at each start and told to driver and twin."""
    simulated: bool = False
    """The twin is on the bus: only then may nodes use simulated time."""


class PackBus(StrictModel):
    """What is different on the bus of one of several packs; what is left out is as in ``bus``."""

    interface: Annotated[str, Field(min_length=1)] | None = None
    channel: Annotated[str, Field(min_length=1)] | None = None
    host: str | None = None
    port: Annotated[Integer, Field(ge=0, le=65535)] | None = None

    def over(self, bus: Bus) -> Bus:
        """Give the whole bus of the pack."""
        own = {key: value for key, value in self.model_dump().items() if value is not None}
        return bus.model_copy(update=own)


class PackEntry(StrictModel):
    """One of several packs: its file, its bus, and what its nodes do differently."""

    pack: Annotated[str, Field(min_length=1)] | None = None
    """Pack file, as ``pack`` of the system; absent: that one."""
    serial: Annotated[str, Field(min_length=1)] | None = None
    """Serial number in place of the pack file's: several equal packs need one file only."""
    bus: PackBus = PackBus()
    parameters: dict[RosName, dict[str, ParameterValue]] = Field(default_factory=dict)
    """Further parameters of its nodes, by node."""


class Restart(StrictModel):
    """How a process that died is started again."""

    first_delay_s: Positive = 0.5
    """Waiting time before the first restart; doubled with each further one."""
    longest_delay_s: Positive = 30.0
    healthy_after_s: Positive = 30.0
    """Having run so long, the next waiting time is the first one again."""

    @model_validator(mode="after")
    def _ordered(self) -> Restart:
        if self.longest_delay_s < self.first_delay_s:
            raise ValueError("longest_delay_s must not be below first_delay_s")
        return self

    def delay_s(self, failures: int) -> float:
        """Give the waiting time after this many failures in a row (from 1) [s]."""
        return min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(max(failures, 1) - 1, 60))


class NodeEntry(StrictModel):
    """One node: its class and its parameters."""

    class_path: Annotated[ClassPath, Field(alias="class")]
    """Where its class is, as ``package.module:Class``."""
    scope: Literal["pack", "system"] = "pack"
    """Where there are several packs: one such node for each of them, or one for all (aggregator, recorder,
    live view, gateways)."""
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)


class ProcessEntry(StrictModel):
    """One process: its nodes and what happens when it dies."""

    nodes: Annotated[list[RosName], Field(min_length=1)]
    """Names of nodes that stand under ``nodes``."""
    per_pack: bool = False
    """Where there are several packs: one such process for each, named ``<process>_<pack>``, so that the death
    of one leaves the others alone; false: one process with the nodes of all packs."""
    critical: bool = False
    """An exception in a callback ends the process at once; its commands expire, the contactors open."""
    restart: Restart | None = Restart()
    """Null: it is not started again."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables of this process alone."""


@dataclass(frozen=True)
class NodeInstance:
    """A node as it runs: which one, and for which pack (empty: for the whole system)."""

    node: str
    pack: str = ""


@dataclass(frozen=True)
class ProcessInstance:
    """A process as it runs.

    Attributes
    ----------
    entry : ProcessEntry
        What the file says of it.
    nodes : tuple of NodeInstance
    """

    entry: ProcessEntry
    nodes: tuple[NodeInstance, ...]

    def runs(self, *names: str) -> bool:
        """Tell whether one of these nodes is among its own."""
        return any(instance.node in names for instance in self.nodes)


class SystemFile(StrictModel):
    """Model of ``config/systems/<system>.yaml``."""

    schema_version: Literal[1]
    description: str = ""
    pack: Annotated[str, Field(min_length=1)] | None = None
    """Name of a shipped pack file, or a path relative to this file; with ``packs``: of each that names
    none."""
    packs: dict[RosName, PackEntry] = Field(default_factory=dict)
    """Several packs, by the last part of their namespace: ``/bms/<name>``. Empty: one pack, in ``/bms``."""
    bus: Bus
    after_power_down: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Command of the host, with its arguments, that is run when everything has ended after the key went off
    (node power_manager), such as ``[systemctl, poweroff]``; empty: none."""
    processes: Annotated[dict[RosName, ProcessEntry], Field(min_length=1)]
    nodes: Annotated[dict[RosName, NodeEntry], Field(min_length=1)]

    @model_validator(mode="after")
    def _complete(self) -> SystemFile:
        placed: dict[str, str] = {}
        for name, process in self.processes.items():
            for node in process.nodes:
                if node not in self.nodes:
                    raise ValueError(
                        f"processes.{name} runs the node '{node}', which does not stand under nodes; "
                        f"there are: {', '.join(self.nodes)}"
                    )
                if node in placed:
                    raise ValueError(f"the node '{node}' runs in two processes: {placed[node]} and {name}")
                if self.packs and process.per_pack and self.nodes[node].scope == "system":
                    raise ValueError(
                        f"processes.{name} is there once for each pack (per_pack), but its node '{node}' "
                        "is one "
                        "for the whole system (scope: system); take one of the two back"
                    )
                placed[node] = name
        for node in self.nodes:
            if node not in placed:
                raise ValueError(
                    f"the node '{node}' runs in no process; name it in one of: {', '.join(self.processes)}"
                )
        self._check_packs()
        return self

    def _check_packs(self) -> None:
        if not self.packs:
            if self.pack is None:
                raise ValueError("pack: the pack file is missing (or packs, where there are several)")
            return
        for name, pack in self.packs.items():
            if pack.pack is None and self.pack is None:
                raise ValueError(
                    f"packs.{name}.pack: the pack file is missing, and the system names none either"
                )
            for node in pack.parameters:
                if node not in self.nodes or self.nodes[node].scope == "system":
                    own = [key for key, entry in self.nodes.items() if entry.scope == "pack"]
                    raise ValueError(
                        f"packs.{name}.parameters.{node}: a pack has no such node; it has: {', '.join(own)}"
                    )
        instances = [
            f"{name}_{pack}"
            for name, process in self.processes.items()
            if process.per_pack
            for pack in self.packs
        ]
        for name in instances:
            if name in self.processes or instances.count(name) > 1:
                raise ValueError(f"two processes would have the name '{name}'; rename one of them, or a pack")

    @property
    def pack_names(self) -> tuple[str, ...]:
        """Names of the packs; one empty name where there is only one, in the namespace of the system."""
        return tuple(self.packs) or ("",)

    def instances(self) -> Mapping[str, ProcessInstance]:
        """Give the processes as they run, by name, in the order of their start."""
        found: dict[str, ProcessInstance] = {}
        for name, process in self.processes.items():
            if not self.packs:
                found[name] = ProcessInstance(process, tuple(NodeInstance(node) for node in process.nodes))
            elif process.per_pack:
                for pack in self.packs:
                    nodes = tuple(NodeInstance(node, pack) for node in process.nodes)
                    found[f"{name}_{pack}"] = ProcessInstance(process, nodes)
            else:
                shared = tuple(
                    NodeInstance(node, pack)
                    for node in process.nodes
                    for pack in (self.packs if self.nodes[node].scope == "pack" else ("",))
                )
                found[name] = ProcessInstance(process, shared)
        return found


def load_system(name: str | Path) -> tuple[Path, SystemFile]:
    """Load a system file by path or shipped name.

    Returns
    -------
    path : Path
        The file.
    system : SystemFile
        What it holds.

    Raises
    ------
    ConfigError
        There is no such file, or it cannot be used; one line per problem with file, line, key and cure.
    """
    path = find_config("systems", name)
    return path.resolve(), load_config(path, SystemFile)
