"""The estimate on disk: what the estimator knew, kept over a restart."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StoredEstimate", "load_estimate", "save_estimate"]

FloatArray = NDArray[np.float64]

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class StoredEstimate:
    """What the estimator keeps.

    Attributes
    ----------
    serial, config_hash, method : str
        Pack, configuration and method that it belongs to; with others it is not used.
    stamp_s : float
        Acquisition of the last scan in it [s, ROS time].
    scan_number : int
        Number of that scan.
    orderly : bool
        Written at an orderly end; otherwise while the system went on.
    contactors_open : bool
        No current could flow then, by feedback and current.
    displayed_soc : float
        What was shown to people, 0…1; NaN: nothing.
    charge_counters_ah : ndarray, shape (strings,)
        Charge counters of the current sensors [Ah]; NaN: unknown.
    cell_voltages_v : ndarray, shape (n_cells,)
        Cell voltages then [V]; NaN: unknown.
    arrays : mapping of str to ndarray
        State of the cells' estimator, by its own names; the last axis is the cell.
    """

    serial: str
    config_hash: str
    method: str
    stamp_s: float
    scan_number: int
    orderly: bool
    contactors_open: bool
    displayed_soc: float
    charge_counters_ah: FloatArray
    cell_voltages_v: FloatArray
    arrays: Mapping[str, FloatArray] = field(default_factory=dict)


def _numbers(array: FloatArray) -> Any:
    """Give an array as nested lists of numbers of nine digits; None where unknown."""
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [float(f"{value:.9g}") if math.isfinite(value) else None for value in array.tolist()]


def _array(data: Any) -> FloatArray:
    array = np.asarray(data, object)
    return np.asarray(np.where(array == None, np.nan, array), float)  # noqa: E711 - element by element


def _checksum(data: Mapping[str, Any]) -> str:
    """Give the SHA-256 of all but the checksum itself."""
    rest = {name: value for name, value in data.items() if name != "checksum"}
    text = json.dumps(rest, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(data: Any) -> StoredEstimate:
    if data["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another schema")
    if data["checksum"] != _checksum(data):
        raise ValueError("the checksum is wrong")
    stamp_s, displayed = float(data["stamp_s"]), data["displayed_soc"]
    if not math.isfinite(stamp_s):
        raise ValueError("no time")
    texts = {name: data[name] for name in ("serial", "config_hash", "method")}
    flags = {name: data[name] for name in ("orderly", "contactors_open")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("a text is none")
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise TypeError("a flag is none")
    return StoredEstimate(
        **texts,
        **flags,
        stamp_s=stamp_s,
        scan_number=int(data["scan_number"]),
        displayed_soc=math.nan if displayed is None else float(displayed),
        charge_counters_ah=_array(data["charge_counters_ah"]),
        cell_voltages_v=_array(data["cell_voltages_v"]),
        arrays={str(name): _array(rows) for name, rows in data["arrays"].items()},
    )


def load_estimate(
    path: Path, *, serial: str, config_hash: str, method: str
) -> tuple[StoredEstimate | None, str]:
    """Read what the last run kept.

    Parameters
    ----------
    path : Path
    serial, config_hash, method : str
        Of the pack as it is now.

    Returns
    -------
    stored : StoredEstimate or None
        None: there is nothing that may be used.
    problem : str
        Why not, in one sentence; empty where it may be used, or where there is no file. A file that cannot
        be read is kept beside as ``.unreadable``.
    """
    try:
        stored = _read(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        with contextlib.suppress(OSError):
            os.replace(path, path.with_name(path.name + ".unreadable"))
        return None, f"{path}: not readable ({error}), kept as .unreadable; the estimate starts anew."
    for name, mine in (("serial", serial), ("config_hash", config_hash), ("method", method)):
        theirs = getattr(stored, name)
        if theirs != mine:
            return (
                None,
                f"{path}: {name} is {theirs[:16]!r}, that of this pack is {mine[:16]!r}: it is not used, the "
                "estimate starts anew.",
            )
    return stored, ""


def save_estimate(path: Path, stored: StoredEstimate) -> None:
    """Write so that a loss of power leaves either the old file or the new one.

    Parameters
    ----------
    path : Path
        Its folder is made where it is absent.
    stored : StoredEstimate

    Raises
    ------
    OSError
        It cannot be written.
    """
    data = {
        "schema_version": SCHEMA_VERSION,
        "serial": stored.serial,
        "config_hash": stored.config_hash,
        "method": stored.method,
        "stamp_s": stored.stamp_s,
        "scan_number": stored.scan_number,
        "orderly": stored.orderly,
        "contactors_open": stored.contactors_open,
        "displayed_soc": stored.displayed_soc if math.isfinite(stored.displayed_soc) else None,
        "charge_counters_ah": _numbers(stored.charge_counters_ah),
        "cell_voltages_v": _numbers(stored.cell_voltages_v),
        "arrays": {name: _numbers(array) for name, array in stored.arrays.items()},
    }
    data["checksum"] = _checksum(data)
    text = json.dumps(data, allow_nan=False)
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
