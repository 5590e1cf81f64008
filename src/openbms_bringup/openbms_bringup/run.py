"""``openbms run``: everything of a run but ROS: options, folders, what the supervisor gets, and the end."""

from __future__ import annotations

import difflib
import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbms_bringup.check import check_pack
from openbms_bringup.claim import DomainClaim, check_namespace, claim_domain, claim_port
from openbms_bringup.plan import Choices, Plan, make_plan, simulated_records
from openbms_bringup.supervisor import ProcessSpec, Supervisor, python_command
from openbms_core.config_file import ConfigError, read_yaml

__all__ = ["PreparedRun", "RunOptions", "folder_mb", "prepare", "write_summary"]

_RUNS_KEPT = 20
_LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
_SLOWEST, _FASTEST = 0.01, 1000.0
"""What the twin takes as its time scale."""
_FOXGLOVE_HOST, _FOXGLOVE_PORT = "127.0.0.1", 8765


@dataclass(frozen=True)
class RunOptions:
    """What ``openbms run`` was told.

    Attributes
    ----------
    duration_s : float or None
        End after this time since the start of the processes [s].
    speed : float
        Simulated seconds in one real second.
    replay : Path or None
        Recorded test for the twin, in place of the shipped one.
    data_folder : Path or None
        Holds ``bags``; None: ``$OPENBMS_DATA`` or ``$XDG_DATA_HOME/openbms``.
    only : tuple of str
        Only the processes that run one of these nodes; empty: all.
    node_parameters : mapping
        Further parameters, by node name.
    """

    system: str = "demo"
    pack: str | None = None
    can_interface: str | None = None
    can_channel: str | None = None
    namespace: str = "bms"
    duration_s: float | None = None
    summary: Path | None = None
    speed: float = 1.0
    replay: Path | None = None
    data_folder: Path | None = None
    params: Path | None = None
    log_level: str = "info"
    only: tuple[str, ...] = ()
    node_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class PreparedRun:
    """A plan with everything claimed and written that its processes need."""

    options: RunOptions
    plan: Plan
    claim: DomainClaim
    folder: Path
    data_folder: Path
    specs: list[ProcessSpec]
    notes: list[str]

    @property
    def log_folder(self) -> Path:
        """Where the logs are."""
        return self.folder / "log"


def _home(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or fallback).expanduser() / "openbms"


def _data_folder(options: RunOptions, environment: Mapping[str, str]) -> Path:
    if options.data_folder is not None:
        return options.data_folder.expanduser().resolve()
    if environment.get("OPENBMS_DATA"):
        return Path(environment["OPENBMS_DATA"]).expanduser().resolve()
    return _home("XDG_DATA_HOME", "~/.local/share")


def _run_folder(environment: Mapping[str, str]) -> Path:
    """Make the folder of this run; old ones beyond a number are removed."""
    runs = _home("XDG_STATE_HOME", "~/.local/state") / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    old = sorted((path for path in runs.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in old[:-_RUNS_KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    folder = runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir()
    return folder


def _check(options: RunOptions) -> None:
    if not _SLOWEST <= options.speed <= _FASTEST:
        raise ConfigError(
            f"--speed is {options.speed:g}; give a number from {_SLOWEST:g} to {_FASTEST:g}, such as 10."
        )
    if options.duration_s is not None and not 0 < options.duration_s < math.inf:
        raise ConfigError(f"--duration is {options.duration_s:g}; give seconds above 0.")
    if options.log_level.lower() not in _LOG_LEVELS:
        raise ConfigError(f"--log-level is '{options.log_level}'; give one of {', '.join(_LOG_LEVELS)}.")
    check_namespace(options.namespace)
    for name, path in (("--replay", options.replay), ("--params", options.params)):
        if path is not None and not path.is_file():
            kind = "this is a folder, a file is needed" if path.is_dir() else "no such file"
            raise ConfigError(f"{name} {path}: {kind}. Correct the path.")
    if options.params is not None:
        _check_params(options.params)
    if options.data_folder is not None:
        try:
            options.data_folder.expanduser().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--data-dir {options.data_folder}: cannot be made ({error.strerror}). Name a folder that "
                "can be written."
            ) from error
    if options.summary is not None:
        folder = options.summary.absolute().parent
        if options.summary.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ConfigError(
                f"--summary {options.summary}: cannot be written there. Name a file in a folder that exists."
            )


def _holds_parameters(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if "ros__parameters" in value:
        return isinstance(value["ros__parameters"], dict)
    return bool(value) and all(_holds_parameters(part) for part in value.values())


def _check_params(path: Path) -> None:
    """Refuse a parameter file on which every process would die."""
    data, lines = read_yaml(path)
    if not isinstance(data, dict) or not data:
        raise ConfigError(f"--params {path}:1: it must hold '/**/<node>:' with 'ros__parameters:' below.")
    for key, value in data.items():
        if not _holds_parameters(value):
            raise ConfigError(
                f"--params {path}:{lines.get((key,), 1)}: {key}: 'ros__parameters:' with the parameters is "
                "missing below it. Add it."
            )


def _strangers(path: Path | None, nodes: Mapping[str, Any]) -> list[str]:
    """Say which entries of a parameter file no node of the system will read."""
    if path is None:
        return []
    data, lines = read_yaml(path)
    found = []
    for key in data:
        name = str(key).rstrip("/").rsplit("/", 1)[-1]
        if "*" in name or name in nodes or "ros__parameters" not in data[key]:
            continue
        near = difflib.get_close_matches(name, nodes, n=1, cutoff=0.6)
        cure = f"Did you mean '{near[0]}'?" if near else f"It has: {', '.join(nodes)}."
        found.append(f"--params {path}:{lines.get((key,), 1)}: no node '{name}' in this system. {cure}")
    return found


def prepare(options: RunOptions) -> PreparedRun:
    """Check the options, load the files, claim domain and ports, write the parameter files.

    Raises
    ------
    ConfigError
        Anything that the user has to put right.
    """
    _check(options)
    data_folder = _data_folder(options, os.environ)
    notes: list[str] = []
    plan = make_plan(_choices(options, {}))
    for pack in plan.packs.values():
        check_pack(pack.loaded)
    nodes = plan.system.nodes
    notes += _strangers(options.params, nodes)
    try:
        folder = _run_folder(os.environ)
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: the folder for logs cannot be made ({error.strerror}). Set XDG_STATE_HOME to "
            "one that can be written."
        ) from error
    extra = simulated_records(plan.system, folder)
    if "recorder" in nodes and "directory" not in nodes["recorder"].parameters:
        extra["recorder"] = {"directory": str(data_folder / "bags")}
    if "foxglove_server" in nodes:
        given = nodes["foxglove_server"].parameters
        wanted = int(str(given.get("port", _FOXGLOVE_PORT)))
        port = claim_port(str(given.get("host", _FOXGLOVE_HOST)), wanted)
        extra["foxglove_server"] = {"port": port}
        if port != wanted:
            notes.append(
                f"Port {wanted} is taken (another run, or Foxglove itself): the live view is on port {port}."
            )
    if options.speed != 1.0 or options.replay is not None:
        twin = next((name for name in ("twin", "rack_twin") if name in nodes), None)
        if twin is None or (options.replay is not None and twin != "twin"):
            raise ConfigError(
                f"{plan.system_path}: --speed and --replay need the digital twin, and this system has none."
            )
        extra[twin] = {"time_scale": float(options.speed)}
        if options.replay is not None:
            extra[twin]["replay_file"] = str(options.replay.resolve())
    for node, values in options.node_parameters.items():
        extra[node] = {**extra.get(node, {}), **values}
    plan = make_plan(_choices(options, extra))
    claim = claim_domain(options.namespace, os.environ.get("ROS_DOMAIN_ID"))
    if claim.moved_from is not None:
        notes.append(
            f"ROS domain {claim.moved_from} is in use by another openbms run: this one takes domain "
            f"{claim.domain} (in other shells: export ROS_DOMAIN_ID={claim.domain})."
        )
    files = plan.write_parameters(folder / "parameters")
    environment = {"ROS_DOMAIN_ID": str(claim.domain), "ROS_LOG_DIR": str(folder / "log" / "ros")}
    specs = [
        ProcessSpec(
            name=name,
            command=python_command(
                "openbms_bringup.ros.node_group",
                [
                    *plan.arguments(name),
                    "--parent",
                    str(os.getpid()),
                    "--ros-args",
                    *_ros_arguments(options, files[name]),
                ],
            ),
            environment={**environment, **process.entry.environment},
            critical=process.entry.critical,
            restart=process.entry.restart,
        )
        for name, process in plan.processes.items()
        if not options.only or process.runs(*options.only)
    ]
    return PreparedRun(options, plan, claim, folder, data_folder, specs, notes)


def _choices(options: RunOptions, extra: Mapping[str, Mapping[str, Any]]) -> Choices:
    return Choices(
        system=options.system,
        pack=options.pack,
        can_interface=options.can_interface,
        can_channel=options.can_channel,
        use_sim_time=options.speed != 1.0,
        node_parameters=extra,
    )


def _ros_arguments(options: RunOptions, parameters: Path) -> list[str]:
    arguments = ["-r", f"__ns:=/{options.namespace.strip('/')}", "--params-file", str(parameters)]
    if options.params is not None:
        arguments += ["--params-file", str(options.params.resolve())]
    return [*arguments, "--log-level", options.log_level]


def supervisor_of(run: PreparedRun, say: Any) -> Supervisor:
    """Make the supervisor of a prepared run."""
    return Supervisor(run.specs, run.log_folder, run.plan.stop_deadline_s, say)


def folder_mb(bags: Sequence[str]) -> float | None:
    """Give the size of bags together [MB = 10^6 bytes]; None where there is none."""
    wholes = [Path(bag) for bag in bags if Path(bag).exists()]
    if not wholes:
        return None
    files = [item for whole in wholes for item in ([whole] if whole.is_file() else whole.rglob("*"))]
    return round(sum(item.stat().st_size for item in files if item.is_file()) / 1e6, 3)


def write_summary(path: Path, content: dict[str, Any]) -> None:
    """Write the summary whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
