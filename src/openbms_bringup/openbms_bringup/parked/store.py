"""What is remembered of a parked pack, as a file that is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from openbms_control.safety.parked.snapshot import HistoryEntry, ParkedMemory, ParkedSnapshot

__all__ = ["FILE_NAME", "load_memory", "plain", "save_memory", "write_whole"]

FILE_NAME = "parked.json"
SCHEMA_VERSION = 1


def plain(value: Any) -> Any:
    """Give a value as JSON can hold it: arrays as lists, None where a number is not finite."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _numbers(values: Any) -> np.ndarray:
    return np.array([math.nan if value is None else float(value) for value in values])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _snapshot(data: Any) -> ParkedSnapshot:
    given = dict(data)
    for name in ("cell_voltages_v", "temperatures_degc"):
        given[name] = _numbers(given[name])
    given["balancing"] = np.array(given["balancing"], bool)
    for name in ("stamp_s", "rested_s", "insulation_ohm", "supply_v"):
        given[name] = _number(given[name])
    for name in ("start_count", "smoke", "gas"):
        given[name] = int(given[name])
    return ParkedSnapshot(**given)


def _entry(data: Any) -> HistoryEntry:
    codes = tuple(str(code) for code in data["codes"])
    texts = ("level", "codes")
    numbers = {item.name: _number(data[item.name]) for item in fields(HistoryEntry) if item.name not in texts}
    return HistoryEntry(level=str(data["level"]), codes=codes, **numbers)


def _read(data: Any) -> ParkedMemory:
    if data["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another schema")
    return ParkedMemory(
        serial=str(data["serial"]),
        config_hash=str(data["config_hash"]),
        parking=_snapshot(data["parking"]),
        reference=_snapshot(data["reference"]),
        last=_snapshot(data["last"]),
        bled=np.array(data["bled"], bool),
        history=tuple(_entry(item) for item in data["history"]),
        missed=int(data["missed"]),
    )


def load_memory(path: Path) -> tuple[ParkedMemory | None, str]:
    """Read what is remembered.

    Returns
    -------
    memory : ParkedMemory or None
        None: there is nothing that can be used.
    problem : str
        Why not, in one sentence; empty where there is no file. A file that cannot be read is kept beside as
        ``.unreadable``.
    """
    try:
        return _read(json.loads(path.read_text(encoding="utf-8"))), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        with contextlib.suppress(OSError):
            os.replace(path, path.with_name(path.name + ".unreadable"))
        return None, f"{path}: not readable ({error}), kept as .unreadable; the check begins anew."


def save_memory(path: Path, memory: ParkedMemory) -> None:
    """Write what is remembered (OSError: it cannot be written)."""
    write_whole(
        path, json.dumps({"schema_version": SCHEMA_VERSION, **plain(asdict(memory))}, allow_nan=False)
    )


def write_whole(path: Path, text: str) -> None:
    """Write a text so that a loss of power leaves either the old file or the new one (OSError: it cannot)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
