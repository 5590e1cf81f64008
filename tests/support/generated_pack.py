"""Pack files with a DBC of their own, written for one test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from openbms_core.pack import LoadedPack, load_pack
from openbms_core.pack import Quantity as _Quantity

__all__ = ["write_pack"]

_HEAD = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: BMS DEV\n\n'


def write_pack(
    folder: Path,
    dbc: str,
    signals: list[dict[str, Any]],
    *,
    cells: int = 4,
    strings: int = 1,
    sensors: int = 0,
    actuators: tuple[str, ...] = (),
    max_age_s: float = 0.5,
    scan_period_s: float = 0.1,
    authority: str = "none",
    **device: Any,
) -> LoadedPack:
    """Write ``pack.yaml`` and ``pack.dbc`` and load them.

    Parameters
    ----------
    folder : Path
        Where to.
    dbc : str
        Messages of the DBC; its head is added.
    signals : list of dict
        ``device.signals``.
    max_age_s : float
        Of every quantity.
    **device
        Further keys of ``device``.
    """
    (folder / "pack.dbc").write_text(_HEAD + dbc, encoding="cp1252")
    topology: dict[str, Any] = {"strings": strings, "cells_in_series": cells, "actuators": list(actuators)}
    if sensors:
        topology["temperature_sensors"] = [
            {"name": "t{i}" if sensors > 1 else "t", "location": "other", "count": sensors}
        ]
    triple = {"operating": 100.0, "recommended": 150.0, "safety": 200.0}
    content = {
        "schema_version": 1,
        "name": "generated",
        "serial": "TEST-1",
        "cell": "lg_hg2",
        "topology": topology,
        "limits": {
            "cell_voltage_max_v": {"operating": 4.1, "recommended": 4.2, "safety": 4.3},
            "cell_voltage_min_v": {"operating": 3.0, "recommended": 2.8, "safety": 2.5},
            "charge_current_max_a": triple,
            "discharge_current_max_a": triple,
            "charge_temperature_max_degc": {"operating": 45.0, "recommended": 50.0, "safety": 55.0},
            "charge_temperature_min_degc": {"operating": 5.0, "recommended": 0.0, "safety": -5.0},
            "discharge_temperature_max_degc": {"operating": 50.0, "recommended": 55.0, "safety": 60.0},
            "discharge_temperature_min_degc": {"operating": -10.0, "recommended": -20.0, "safety": -30.0},
            "current_deadband_a": 0.1,
            "limp_home": {"discharge_current_a": 10.0},
        },
        "contactors": {"authority": authority, "break_current_a": 5.0, "opening_deadline_s": 2.0},
        "measurement": {
            "scan_period_s": scan_period_s,
            "max_age_s": dict.fromkeys(_Quantity.__args__, max_age_s),  # type: ignore[attr-defined]
        },
        "device": {"type": "generic", "dbc": "pack.dbc", "signals": signals, **device},
    }
    path = folder / "pack.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_pack(path)
