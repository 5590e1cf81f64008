"""Cases of the fault library for packs of any size: cells, units and sensors that a pack really has."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from openbms_bringup.inject.case import Case, Twin
from openbms_core.pack import PackFile
from openbms_sim.wiring import wiring_of

__all__ = ["fit_to_pack"]


def fit_to_pack(case: Case, pack: PackFile) -> Case:
    """Give a case whose cells, cell-monitoring units and sensors exist in a pack.

    The library is written for 96 cells in eight units with 32 sensors; in a smaller pack numbers begin again
    after the last one. A case that names nothing the pack lacks comes back as it is.

    Parameters
    ----------
    case : Case
    pack : PackFile
        A pack on the twin's device.
    """
    wiring, sensors = wiring_of(pack)
    places: dict[str, list[Any]] = {"cell": list(range(wiring.cell_count)), "module": list(wiring.modules)}
    data = case.model_dump(exclude_unset=True)
    changed = False
    for action, entry in zip(case.inject, data["inject"], strict=True):
        if not isinstance(action, Twin):
            continue
        for key, there in places.items():
            if key in entry and entry[key] not in there:
                entry[key], changed = there[int(entry[key]) % len(there)], True
        if "sensor" in entry and not fnmatch.filter(sensors.names, str(entry["sensor"])):
            name = _like(str(entry["sensor"]), sensors.names)
            if name is not None:
                entry["sensor"], changed = name, True
    for key, there in places.items():
        if key in data.get("vary", {}) and data["vary"][key][1] > max(there):
            data["vary"][key], changed = (min(there), max(there)), True
    return Case.model_validate(data) if changed else case


def _like(wanted: str, names: list[str]) -> str | None:
    """Find the sensor of the same row, counted on from the beginning; None where the pack has no such row."""
    numbered = re.fullmatch(r"(\w+_)(\d+)", wanted)
    if numbered is None:
        return None
    row = [name for name in names if re.fullmatch(re.escape(numbered[1]) + r"\d+", name)]
    return row[int(numbered[2]) % len(row)] if row else None
