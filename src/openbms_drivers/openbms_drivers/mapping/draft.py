"""A pack file that a person has not finished: what the loader demands, and what can be judged all the
same.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from openbms_core.cell import CellFile
from openbms_core.config_file import ConfigError, load_config, read_yaml
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.resources import find_config

__all__ = ["load_draft"]

_STAND_IN_CELL = "lg_hg2"
_LIMITS: dict[str, Any] = {
    "cell_voltage_max_v": {"operating": 4.15, "recommended": 4.2, "safety": 4.25},
    "cell_voltage_min_v": {"operating": 3.0, "recommended": 2.75, "safety": 2.5},
    "charge_current_max_a": {"operating": 1.0e4, "recommended": 1.0e4, "safety": 1.0e4},
    "discharge_current_max_a": {"operating": 1.0e4, "recommended": 1.0e4, "safety": 1.0e4},
    "charge_temperature_max_degc": {"operating": 45.0, "recommended": 50.0, "safety": 55.0},
    "charge_temperature_min_degc": {"operating": 5.0, "recommended": 0.0, "safety": -5.0},
    "discharge_temperature_max_degc": {"operating": 50.0, "recommended": 55.0, "safety": 60.0},
    "discharge_temperature_min_degc": {"operating": -15.0, "recommended": -20.0, "safety": -25.0},
    "current_deadband_a": 1.0,
    "limp_home": {"discharge_current_a": 1.0},
}
_CONTACTORS: dict[str, Any] = {"authority": "none", "break_current_a": 1.0, "opening_deadline_s": 2.0}


def _cells(data: dict[str, Any]) -> int:
    """Give how many cells the signal map fills."""
    signals = (data.get("device") or {}).get("signals") or []
    most = 1
    for entry in signals:
        if isinstance(entry, dict) and entry.get("to") == "cell_voltage_v":
            count = 1
            for ends in (entry.get("repeat") or {}).values():
                count *= ends[1] - ends[0] + 1
            most = max(most, int(entry.get("first_index", 0)) + count)
    return most


def _filled(data: Any) -> Any:
    """Put stand-ins where a key is missing that says nothing about signals."""
    if not isinstance(data, dict):
        return data
    data = deepcopy(data)
    data.setdefault("cell", _STAND_IN_CELL)
    for name, stand_in in (("limits", _LIMITS), ("contactors", _CONTACTORS)):
        part = data.get(name)
        if part is None or isinstance(part, dict):
            data[name] = {**stand_in, **(part or {})}
    topology = data.get("topology")
    if isinstance(topology, dict):
        try:
            topology.setdefault("cells_in_series", _cells(data))
        except (TypeError, IndexError, ValueError, AttributeError):
            pass
    return data


def load_draft(path: str | Path) -> tuple[LoadedPack, list[str]]:
    """Load a pack file, also one that lacks limits, contactors, the cell or the number of cells.

    Parameters
    ----------
    path : str or Path
        A path, or the name of a shipped pack.

    Returns
    -------
    pack : LoadedPack
        With stand-ins for what is missing: good for its signals only, never for a driver.
    demands : list of str
        What the loader refuses it for; empty where it loads.

    Raises
    ------
    ConfigError
        Something else is wrong with it.
    """
    try:
        return load_pack(path), []
    except ConfigError as error:
        demands = list(error.problems)
    found = find_config("packs", path)
    data, _ = read_yaml(found)
    if not isinstance(data, dict) or _filled(data) == data:
        raise ConfigError(demands)
    pack = load_config(found, PackFile, complete=_filled)
    cell = load_config(find_config("cells", pack.cell, beside=found), CellFile)
    return LoadedPack(found.resolve(), pack, cell), demands
