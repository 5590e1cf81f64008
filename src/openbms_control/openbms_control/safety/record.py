"""The fault record on disk: latched faults, counts and the number of starts, kept over restarts."""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from openbms_control.safety.fault_manager import StoredFault
from openbms_control.safety.wear import ContactorRecord, read_contactor_record

__all__ = ["FaultRecord", "RecordProblem", "load_record", "save_record"]

SCHEMA_VERSION = 1

RecordProblem = Literal["", "new", "corrupt"]
"""What was wrong with the file at start."""


@dataclass(frozen=True)
class FaultRecord:
    """What the monitor remembers.

    Attributes
    ----------
    serial : str
        Serial number of the pack.
    start_count : int
        Number of this start, from 1.
    faults : dict of str to StoredFault
        By identifier of the row.
    closed : bool
        Contactors were closed, or on their way, when it was written: if it is read so, the last run died.
    contactors : ContactorRecord
        Wear, heat and strings that are out.
    """

    serial: str
    start_count: int = 1
    faults: dict[str, StoredFault] = field(default_factory=dict)
    closed: bool = False
    contactors: ContactorRecord = field(default_factory=ContactorRecord)


_KINDS: dict[str, type | tuple[type, ...]] = {
    "latched": bool,
    "occurrences": int,
    "first_active_s": (int, float),
    "last_seen_s": (int, float),
    "value": (int, float),
    "index": int,
}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _read(data: Any, serial: str) -> FaultRecord:
    if data["schema_version"] != SCHEMA_VERSION or data["serial"] != serial:
        raise ValueError("other schema or other pack")
    faults = {}
    for identifier, item in data["faults"].items():
        if item["value"] is None:
            item = {**item, "value": math.nan}
        wrong = [name for name, kind in _KINDS.items() if not isinstance(item[name], kind)]
        if wrong:
            raise TypeError(f"{identifier}: wrong type of {', '.join(wrong)}")
        stored = StoredFault(**item)
        faults[str(identifier)] = stored
    # a record that was written before wear was kept has none
    contactors = read_contactor_record(data["contactors"]) if "contactors" in data else ContactorRecord()
    return FaultRecord(
        serial, int(data["start_count"]) + 1, faults, bool(data.get("closed", False)), contactors
    )


def load_record(path: Path, serial: str) -> tuple[FaultRecord, RecordProblem]:
    """Read the record of the last run; one that cannot be used is kept beside and a fresh one begun.

    Parameters
    ----------
    path : Path
    serial : str
        Serial number of the pack; a record of another pack is not used.

    Returns
    -------
    record : FaultRecord
        With the number of this start.
    problem : str
        Empty, ``new`` (no such file) or ``corrupt``.
    """
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")), serial), ""
    except FileNotFoundError:
        return FaultRecord(serial), "new"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        with contextlib.suppress(OSError):
            os.replace(path, path.with_name(path.name + ".unreadable"))
        return FaultRecord(serial), "corrupt"


def save_record(path: Path, record: FaultRecord) -> None:
    """Write the record so that a loss of power leaves either the old or the new one.

    Parameters
    ----------
    path : Path
        Its folder is made where it is absent.
    record : FaultRecord

    Raises
    ------
    OSError
        It cannot be written.
    """
    data = {
        "schema_version": SCHEMA_VERSION,
        "serial": record.serial,
        "start_count": record.start_count,
        "closed": record.closed,
        "contactors": asdict(record.contactors),
    }
    faults = {name: asdict(fault) | {"value": _finite(fault.value)} for name, fault in record.faults.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(data | {"faults": faults}, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
