"""A pack file for each recorded set: only what the recording holds is mapped."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fault_campaign.logs.sets import RecordedSet
from openbms_core.fault_rows import FAULT_TABLE
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_config

__all__ = ["can_content", "loaded"]

_GAP_S = 130.0
"""The slowest recordings have a sample a minute; nobody can react faster than that."""


def _signals(recorded: RecordedSet) -> list[dict[str, Any]]:
    current = {"to": "string_current_a", "message": "P", "signal": "I"}
    sensors = {
        "to": "temperature_degc",
        "message": "P",
        "signal": "T{s}",
        "repeat": {"s": [0, max(recorded.sensors - 1, 0)]},
    }
    cells = {
        "to": "cell_voltage_v",
        "message": "P",
        "signal": "V{c}",
        "repeat": {"c": [0, recorded.cells - 1]},
    }
    volts = {"to": "string_voltage_v", "message": "P", "signal": "V"}
    return {
        "cell": [cells, current, sensors],
        "leaf": [cells, current, sensors, volts],
        "i3": [current, sensors, volts],
    }[recorded.kind]


def _content(recorded: RecordedSet) -> dict[str, Any]:
    signals = _signals(recorded)
    return {
        "schema_version": 1,
        "name": "recorded",
        "serial": "RECORDED-1",
        "topology": {
            "cells_in_series": recorded.cells,
            "temperature_sensors": [
                {
                    "name": "t{i}",
                    "location": "cell",
                    "count": recorded.sensors,
                    "cells_each": recorded.cells // recorded.sensors,
                }
            ],
        },
        "limits": {
            **recorded.limits.triples,
            "current_deadband_a": 0.008 * recorded.limits.discharge_a,
            "limp_home": {"discharge_current_a": 1.0},
        },
        "contactors": {
            "authority": "none",
            "break_current_a": 1.0,
            "opening_deadline_s": 2.0,
            "command_valid_for_s": _GAP_S,
        },
        "measurement": {"scan_period_s": 1.0, "max_age_s": {row["to"]: 4.0 for row in signals}},
        # a recording is as fast as it is: its gaps are no failure of the monitor to react
        "faults": {
            row.name: {"fault_tolerant_time_s": row.timing.fault_tolerant_time_s + _GAP_S + 10.0}
            for row in FAULT_TABLE
        },
        "device": {"type": "generic", "dbc": "none.dbc", "signals": signals},
    }


def _write(folder: Path, content: dict[str, Any], recorded: RecordedSet) -> LoadedPack:
    # the shipped cell file stands in for a cell that has none: only its chemistry and capacity count here
    cell = yaml.safe_load(find_config("cells", "lg_hg2").read_text(encoding="utf-8"))
    cell |= {"name": recorded.name, "chemistry": recorded.chemistry}
    cell |= {"capacity_ah": recorded.capacity_ah, "rated_capacity_ah": recorded.capacity_ah}
    (folder / "cell.yaml").write_text(yaml.safe_dump(cell), encoding="utf-8")
    path = folder / "pack.yaml"
    path.write_text(yaml.safe_dump({**content, "cell": "cell.yaml"}, sort_keys=False), encoding="utf-8")
    return load_pack(path)


@lru_cache(maxsize=8)
def loaded(recorded: RecordedSet) -> LoadedPack:
    """Give the pack of a set."""
    with tempfile.TemporaryDirectory() as folder:
        return _write(Path(folder), _content(recorded), recorded)


def can_content(recorded: RecordedSet, folder: Path, dbc: Path) -> LoadedPack:
    """Give the pack of a vehicle on the bus, read over the community's DBC."""
    (folder / "pack.dbc").write_bytes(dbc.read_bytes())
    signals = [
        {
            "to": "string_current_a",
            "message": "x1DB",
            "signal": "LB_Current",
            "not_available_raw": [1023],
            "minimum": -600.0,
            "maximum": 400.0,
        },
        {
            "to": "string_voltage_v",
            "message": "x1DB",
            "signal": "LB_Total_Voltage",
            "not_available_raw": [1023],
        },
        {"to": "interlock", "message": "x1DB", "signal": "LB_INTER_LOCK"},
        {
            "to": "reported_soc",
            "message": "x55B",
            "signal": "LB_SOC",
            "scale": 0.001,
            "not_available_raw": [1023],
        },
    ]
    content = _content(replace(recorded, kind="i3", sensors=1))
    content["topology"] = {"cells_in_series": recorded.cells}
    content["measurement"] = {"scan_period_s": 0.1, "max_age_s": {row["to"]: 0.3 for row in signals}}
    content["device"] = {
        "type": "generic",
        "dbc": "pack.dbc",
        "signals": signals,
        "integrity": [{"message": "x1DB", "counter": {"signal": "LB_PRUN_1DB", "modulo": 4}}],
    }
    return _write(folder, content, recorded)
