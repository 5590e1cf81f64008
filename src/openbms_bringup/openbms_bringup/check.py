"""Check configuration files: which kind a file is, and what is wrong with it."""

from __future__ import annotations

import importlib
from pathlib import Path

from pydantic import BaseModel

from openbms_bringup.system import SystemFile, load_system
from openbms_core.cell import CellFile
from openbms_core.config_file import ConfigError, load_config, read_yaml
from openbms_core.pack import PackFile, load_pack
from openbms_core.resources import config_folder, find_resource

__all__ = ["check_file", "models"]


def models() -> dict[str, type[BaseModel]]:
    """Give the model of each kind of configuration file."""
    return {"pack": PackFile, "cell": CellFile, "system": SystemFile}


def _kind_of(path: Path) -> str:
    data, _ = read_yaml(path)
    keys = set(data) if isinstance(data, dict) else set()
    if "processes" in keys:
        return "system"
    if keys & {"topology", "device", "contactors"}:
        return "pack"
    if keys & {"ocv", "chemistry", "provenance"}:
        return "cell"
    raise ConfigError(
        f"{path}:1: neither a pack file (with 'topology'), a cell file (with 'ocv') nor a system file "
        "(with 'processes')."
    )


def _find(name: str) -> Path:
    if Path(name).suffix or Path(name).exists():
        return Path(name)
    found = [
        path
        for kind in ("packs", "systems", "cells")
        for path in (config_folder() / kind).glob(f"{name}.yaml")
    ]
    if not found:
        shipped = sorted(path.stem for path in config_folder().glob("*/*.yaml"))
        raise ConfigError(
            f"{name}: no such file. Give the path of a .yaml file or one of: {', '.join(shipped)}."
        )
    return found[0]


def _check_pack(path: Path) -> str:
    loaded = load_pack(path)
    dbc = find_resource(loaded.file.device.dbc, path)
    topology = loaded.file.topology
    return (
        f"{path}: a good pack file: {topology.strings} string(s) of {topology.cells_in_series} cells, "
        f"{len(topology.sensor_names)} temperature sensors, device {loaded.file.device.type} ({dbc.name})"
    )


def _check_system(path: Path) -> str:
    _, system = load_system(path)
    problems = []
    for name, node in system.nodes.items():
        module = node.class_path.partition(":")[0]
        package = module.partition(".")[0]
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            problems.append(
                f"{path}: nodes.{name}.class: the package '{package}' is not installed. Run `make build`."
            )
    if problems:
        raise ConfigError(problems)
    return f"{path}: a good system file: {len(system.processes)} processes, {len(system.nodes)} nodes"


def check_file(name: str) -> str:
    """Load a file and everything it names; give a line that says what it is.

    Raises
    ------
    ConfigError
        What is wrong, one line per problem.
    """
    path = _find(name)
    kind = _kind_of(path)
    if kind == "pack":
        return _check_pack(path)
    if kind == "system":
        return _check_system(path)
    load_config(path, CellFile)
    return f"{path}: a good cell file"
