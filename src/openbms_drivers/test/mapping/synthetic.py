"""Synthetic DBCs of this folder and the frames of a pack that is driven and charged, encoded by cantools."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cantools

from openbms_drivers.dbc_file import DbcFile, read_dbc
from openbms_drivers.frame import EXTENDED, FD, Frame
from openbms_drivers.mapping.evidence import LogEvidence

DATA = Path(__file__).parent / "data"
RESISTANCE_OHM = 0.05
"""Of the pack."""


def dbc(name: str) -> DbcFile:
    """Read one of the DBCs."""
    return read_dbc(DATA / f"{name}.dbc")


def current_a(at_s: float) -> float:
    """Current of the drive, positive when charging: steps of 7 s between -120 and 60 A."""
    return (-120.0, 0.0, -40.0, 60.0, -80.0, 20.0)[int(at_s / 7.0) % 6]


Value = Callable[[str, float], float]


def frames(
    name: str,
    value: Value,
    duration_s: float = 90.0,
    step_s: float = 0.1,
    pages: dict[str, list[dict[str, int]]] | None = None,
) -> Iterator[Frame]:
    """Give frames of every message of a DBC at every step.

    Parameters
    ----------
    name : str
        DBC.
    value : callable
        Physical value of a signal at a time; NaN: all bits one.
    pages : dict
        Values of the multiplexers (or selectors) of a message, one page a step in turn.
    """
    database: Any = cantools.database.load_file(DATA / f"{name}.dbc")
    count = round(duration_s / step_s)
    for step in range(count):
        at_s = step * step_s
        for number, message in enumerate(database.messages):
            chosen = {}
            if pages is not None and message.name in pages:
                chosen = pages[message.name][step % len(pages[message.name])]
            data = _encoded(message, chosen, value, at_s, step)
            flags = (EXTENDED if message.is_extended_frame else 0) | (FD if message.is_fd else 0)
            stamp_s = round(at_s + 1e-4 * number, 6)
            yield Frame(message.frame_id, data, flags, stamp_s, stamp_s)


def _encoded(message: Any, chosen: dict[str, int], value: Value, at_s: float, step: int) -> bytes:
    bits: dict[str, float] = {}
    for signal in message.signals:
        raw_max = (1 << (signal.length - signal.is_signed)) - 1
        if signal.name in chosen:
            bits[signal.name] = chosen[signal.name]
        elif "ount" in signal.name or "zaehler" in signal.name:
            top = int(signal.maximum) if signal.maximum else raw_max
            bits[signal.name] = step % (top + 1)
        else:
            physical = value(signal.name, at_s)
            if math.isnan(physical):
                bits[signal.name] = raw_max
            else:
                scaled = (physical - float(signal.conversion.offset)) / float(signal.conversion.scale)
                low = -raw_max - 1 if signal.is_signed else 0
                bits[signal.name] = min(max(round(scaled), low), raw_max)
    return bytes(message.encode(bits, scaling=False, padding=True, strict=False))


def evidence(name: str, source: Iterator[Frame]) -> LogEvidence:
    """Give frames as evidence."""
    found = LogEvidence(dbc(name).database.messages)
    found.run(source)
    return found


def write_candump(path: Path, source: Iterator[Frame]) -> Path:
    """Write a log that every reader knows."""
    with path.open("w") as file:
        for frame in source:
            digits = 8 if frame.flags & EXTENDED else 3
            mark = "##0" if frame.flags & FD else "#"
            file.write(
                f"({1e9 + frame.stamp_s:.6f}) can0 "
                f"{frame.identifier:0{digits}X}{mark}{frame.data.hex().upper()}\n"
            )
    return path
