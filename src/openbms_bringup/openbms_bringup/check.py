"""Check configuration files: which kind a file is, and what is wrong with it.

A pack is looked at with the pure cores of the nodes that will use it (fault timing, precharge, DBC and signal
map), so that one that a node would refuse is refused before anything runs.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from openbms_bringup.check_gateway import describe_gateway, is_gateway
from openbms_bringup.check_inverter import describe_profile, is_profile
from openbms_bringup.check_site import describe_site, is_site
from openbms_bringup.inject.case import FaultFile
from openbms_bringup.system import NodeEntry, SystemFile, load_system
from openbms_core.cell import CellFile
from openbms_core.config_file import ConfigError, load_config, read_yaml
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.resources import config_folder, find_config

__all__ = ["check_file", "check_pack", "models"]

_ABOVE_DATA_SHEET_V = 0.1
_BELOW_DATA_SHEET_V = 0.3


def models() -> dict[str, type[BaseModel]]:
    """Give the model of each kind of configuration file."""
    from openbms_drivers.devices.inverter_lv.profile import Profile
    from openbms_drivers.devices.sunspec.site_file import SiteFile

    own: dict[str, type[BaseModel]] = {
        "pack": PackFile,
        "cell": CellFile,
        "system": SystemFile,
        "faults": FaultFile,
    }
    return {**own, "site": SiteFile, "profile": Profile}


def _kind_of(path: Path) -> str:
    data, _ = read_yaml(path)
    keys = set(data) if isinstance(data, dict) else set()
    if "processes" in keys:
        return "system"
    if "cases" in keys:
        return "faults"
    if is_gateway(keys):
        return "gateway"
    if is_profile(keys):
        return "profile"
    if is_site(keys):
        return "site"
    if keys & {"topology", "device", "contactors"}:
        return "pack"
    if keys & {"ocv", "chemistry", "provenance"}:
        return "cell"
    raise ConfigError(
        f"{path}:1: neither a pack file (with 'topology'), a cell file (with 'ocv'), a system file (with "
        "'processes'), a gateway file (with 'device'), a site file (with 'meters'), an inverter profile "
        "(with 'frames') nor a file of the fault library (with 'cases'). Name one of these."
    )


def _find(name: str) -> Path:
    path = Path(name).expanduser()
    if path.suffix or len(path.parts) != 1 or path.exists():
        return path
    found = [
        path
        for kind in ("packs", "systems", "cells", "faults")
        for path in (config_folder() / kind).glob("*.yaml")
        if path.stem == name
    ]
    if not found:
        shipped = sorted(path.stem for path in config_folder().glob("*/*.yaml"))
        raise ConfigError(
            f"{name}: no such file. Give the path of a .yaml file or one of: {', '.join(shipped)}."
        )
    return found[0]


def check_pack(pack: LoadedPack) -> list[str]:
    """Look at a pack as the driver and the safety monitor will.

    Returns
    -------
    list of str
        What is not wrong, but worth a look.

    Raises
    ------
    ConfigError
        What driver or monitor would refuse: parts that do not fit together (see
        :func:`openbms_core.pack_checks.check_pack`); a device, DBC, message or signal that does not exist.
        One line per problem.
    """
    # imported here: cantools takes a while, and a cell or system file does not need it
    from openbms_core.faults import FAULT_BY_ID, not_monitored
    from openbms_core.pack_checks import check_pack as check_fit
    from openbms_drivers.pack_driver import PackDriver

    problems: list[str] = []
    try:
        check_fit(pack)
    except ConfigError as error:
        problems += error.problems
    notes: list[str] = []
    try:
        notes += PackDriver(pack).decoder.warnings
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    limits, cell = pack.file.limits, pack.cell
    if limits.cell_voltage_max_v.safety > cell.voltage_max_v + _ABOVE_DATA_SHEET_V:
        notes.append(
            f"limits.cell_voltage_max_v.safety is {limits.cell_voltage_max_v.safety:g} V, well above the "
            f"{cell.voltage_max_v:g} V of the data sheet of {cell.name}"
        )
    if limits.cell_voltage_min_v.safety < cell.voltage_min_v - _BELOW_DATA_SHEET_V:
        notes.append(
            f"limits.cell_voltage_min_v.safety is {limits.cell_voltage_min_v.safety:g} V, well below the "
            f"{cell.voltage_min_v:g} V of the data sheet of {cell.name}"
        )
    unseen = dict.fromkeys(FAULT_BY_ID[row].name for row in not_monitored(pack.file))
    if unseen:
        notes.append(f"not monitored, for want of a signal, a command or a threshold: {', '.join(unseen)}")
    return notes


def _describe_pack(pack: LoadedPack, name: Path) -> str:
    from openbms_core.faults import default_thresholds

    notes = check_pack(pack)
    file = pack.file
    topology, device = file.topology, file.device
    text = (
        f"{name}: a good pack file: {topology.strings} string(s) of {topology.cells_in_series} cells "
        f"({pack.cell.name}), {len(topology.sensor_names)} temperature sensors, device {device.type} "
        f"({Path(device.dbc).name})"
    )
    defaults = ", ".join(f"{key} {value:g}" for key, value in default_thresholds(pack).items())
    return "\n".join(
        [
            text,
            *(f"  look: {note}" for note in notes),
            f"  thresholds by default (docs/reference/protection.md): {defaults}",
        ]
    )


def _node_problem(node: NodeEntry) -> str:
    """Say why a node's class cannot be there, without importing it (that would need ROS); empty if it is."""
    module, _, class_name = node.class_path.partition(":")
    package = module.partition(".")[0]
    if find_spec(package) is None:
        return f"the package '{package}' is not installed. Run `make build`."
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return f"the package '{package}' has no module '{module}'. Correct the name."
    source = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    classes = [item.name for item in source.body if isinstance(item, ast.ClassDef)]
    if class_name not in classes:
        return f"the module {module} has no class '{class_name}'. It has: {', '.join(classes) or 'none'}."
    return ""


def _describe_system(name: Path) -> str:
    path, system = load_system(name)
    lines = read_yaml(path)[1]
    problems = []
    for node_name, node in system.nodes.items():
        problem = _node_problem(node)
        if problem:
            line = lines.get(("nodes", node_name, "class"), 1)
            problems.append(f"{name}:{line}: nodes.{node_name}.class: {problem}")
    known: dict[str, LoadedPack] = {}
    for pack_name, reference in _pack_references(system):
        place = f"packs.{pack_name}.pack" if pack_name else "pack"
        line = lines.get(("packs", pack_name, "pack") if pack_name else ("pack",), 1)
        try:
            pack_path = find_config("packs", reference, beside=path)
        except ConfigError as error:
            problems.append(f"{name}:{line}: {place}: {error}")
            continue
        try:
            if str(pack_path) not in known:
                known[str(pack_path)] = load_pack(pack_path)
                check_pack(known[str(pack_path)])
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    if system.packs:
        from openbms_bringup.plan import Choices, make_plan

        make_plan(Choices(system=path))  # serial numbers and buses of the packs
        return (
            f"{name}: a good system file: {len(system.instances())} processes for {len(system.packs)} packs "
            f"({', '.join(system.packs)})"
        )
    return (
        f"{name}: a good system file: {len(system.processes)} processes, {len(system.nodes)} nodes, "
        f"pack {system.pack}"
    )


def _pack_references(system: SystemFile) -> list[tuple[str, str]]:
    """Give name and pack file of each pack; a single one has no name."""
    if not system.packs:
        return [("", str(system.pack))]
    return [(name, str(entry.pack or system.pack)) for name, entry in system.packs.items()]


def check_file(name: str) -> str:
    """Load a file and everything it names; give a line that says what it is, and what is worth a look.

    Raises
    ------
    ConfigError
        What is wrong, one line per problem.
    """
    path = _find(name)
    kind = _kind_of(path)
    if kind == "pack":
        return _describe_pack(load_pack(path), path)
    if kind == "system":
        return _describe_system(path)
    if kind == "gateway":
        return describe_gateway(path, set(read_yaml(path)[0]))
    if kind == "profile":
        return describe_profile(path)
    if kind == "site":
        return describe_site(path)
    if kind == "faults":
        cases = load_config(path, FaultFile).cases
        return f"{path}: a good file of the fault library: {len(cases)} cases"
    cell = load_config(path, CellFile)
    return f"{path}: a good cell file: {cell.name}, {cell.chemistry.upper()}, {cell.capacity_ah:g} Ah"
