"""Read the cycles of one cell from a tester: the curves of every charge and discharge, and the capacities
that were measured; refuse what would give wrong figures.

Two shapes of the curves are known, by their columns: one charge or discharge per number (``op``,
``is_discharge``), as the NASA PCoE sets have it, or a whole cycle per number (``cycle``), as the CALCE sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError

__all__ = ["CellRecord", "Operation", "read_cell_record"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CURVES = ("time_s", "voltage_v", "current_a")
CAPACITIES = ("capacity_ah", "dis_ah")
_GLITCH_V = 5.0
"""No lithium-ion cell shows more [V]: such a sample is the tester's."""
_MOVING_C = 0.02
"""Currents below this are taken for rest, as a part of the capacity per hour."""
_MOST_MISSING = 0.2
_CHARGED_V, _TAPERED = 0.05, 0.3
"""A charge is complete that ends within this of the highest charge voltage [V], its current tapered to this
part of what it was."""


@dataclass(frozen=True)
class Operation:
    """One charge or discharge; arrays (n,).

    Attributes
    ----------
    number : float
        The number of its cycle.
    charging : bool
    ambient_degc : float
        As the tester noted it; NaN: not noted.
    voltage_v, current_a : ndarray
        Current positive when charging.
    moved_ah : ndarray
        Charge moved since the first sample, positive in either direction.
    loaded : ndarray of bool
        Samples under the load (not the rests between).
    load_a : float
        The usual current under load as a magnitude; the largest of a charge, which tapers.
    capacity_ah : float
        What the tester measured in this discharge; NaN: nothing, or a charge.
    """

    number: float
    charging: bool
    ambient_degc: float
    voltage_v: FloatArray
    current_a: FloatArray
    moved_ah: FloatArray
    loaded: BoolArray
    load_a: float
    capacity_ah: float


@dataclass(frozen=True)
class CellRecord:
    """All operations of one cell in their order, and what was left out.

    Attributes
    ----------
    curves_path, cycles_path : Path
    operations : list of Operation
    left_out : dict of str to int
        How many records were left out, by reason.
    """

    curves_path: Path
    cycles_path: Path
    operations: list[Operation]
    left_out: dict[str, int] = field(default_factory=dict)


def _table(path: Path, what: str) -> pa.Table:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file: give the .parquet file of the {what}.")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0].rstrip(".")
        raise ConfigError(f"{path}: not a readable parquet file ({first}): write it again.") from error


def _column(table: pa.Table, name: str, path: Path, *, gaps: bool = False) -> FloatArray:
    """Give a column as numbers; ``gaps``: values may be missing (NaN)."""
    if name not in table.column_names:
        found = ", ".join(table.column_names) or "none"
        raise ConfigError(f"{path}: column {name} is missing (found: {found}): add it.")
    kind = table[name].type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise ConfigError(f"{path}: column {name} holds {kind}, not numbers: store it as floating point.")
    values = np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), float)
    bad = np.flatnonzero(np.isinf(values) if gaps else ~np.isfinite(values))
    if bad.size:
        raise ConfigError(
            f"{path}: row {bad[0] + 1}, column {name}: the value is missing or not finite ({bad.size} such "
            f"row{'s' if bad.size > 1 else ''}): fill it or leave the row out."
        )
    return values


def _groups(numbers: FloatArray, path: Path, name: str) -> list[slice]:
    """Give the rows of each number; they must lie together."""
    edges = np.flatnonzero(np.diff(numbers)) + 1
    starts, ends = np.r_[0, edges], np.r_[edges, numbers.size]
    seen = numbers[starts]
    if np.unique(seen).size != seen.size:
        values, counts = np.unique(seen, return_counts=True)
        raise ConfigError(
            f"{path}: column {name}: the rows of number {values[counts > 1][0]:g} do not lie together: sort "
            f"the rows by {name}, then by time_s."
        )
    return [slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _operation(
    number: float,
    charging: bool,
    ambient_degc: float,
    capacity_ah: float,
    curve: tuple[FloatArray, FloatArray, FloatArray],
    rated_ah: float,
) -> Operation | None:
    """Make one operation of its samples; None where no load flows."""
    time, voltage, current = curve
    sign = 1.0 if charging else -1.0
    flowing = sign * current > _MOVING_C * rated_ah
    if flowing.sum() < 3:
        return None
    if charging:
        loaded, load = flowing, float(np.max(current[flowing]))
    else:
        usual = float(np.median(-current[-current > 0.5 * np.max(-current)]))
        loaded = -current > 0.5 * usual
        load = float(np.median(-current[loaded]))
        # from the sample before the load on: the one at rest shows what was full
        first = max(int(np.argmax(loaded)) - 1, 0)
        time, voltage, current = (a[first:] for a in (time, voltage, current))
        loaded = loaded[first:]
    step = 0.5 * (current[1:] + current[:-1]) * np.diff(time) / 3600.0
    moved = sign * np.r_[0.0, np.cumsum(step)]
    return Operation(number, charging, ambient_degc, voltage, current, moved, loaded, load, capacity_ah)


def _split(
    curve: tuple[FloatArray, FloatArray, FloatArray], rated_ah: float
) -> list[tuple[bool, tuple[FloatArray, FloatArray, FloatArray]]]:
    """Split a whole cycle into its charge and its discharge."""
    time, voltage, current = curve
    parts = []
    down = np.flatnonzero(-current > _MOVING_C * rated_ah)
    up = np.flatnonzero(current > _MOVING_C * rated_ah)
    for charging, where in ((True, up), (False, down)):
        if not where.size:
            continue
        other = down if charging else up
        # the longest stretch that the other direction does not interrupt
        cuts = np.searchsorted(other, where)
        begins = np.flatnonzero(np.r_[True, np.diff(cuts) > 0])
        ends = np.r_[begins[1:], where.size] - 1
        longest = int(np.argmax(ends - begins))
        a, b = int(where[begins[longest]]), int(where[ends[longest]])
        a = a if charging else max(a - 1, 0)
        parts.append((a, charging, tuple(x[a : b + 1] for x in (time, voltage, current))))
    return [(charging, (p[0], p[1], p[2])) for _, charging, p in sorted(parts, key=lambda part: part[0])]


def read_cell_record(curves: str | Path, cycles: str | Path, rated_ah: float) -> CellRecord:
    """Read the curves and the measured capacities of one cell.

    Parameters
    ----------
    curves : str or Path
        Parquet with ``time_s``, ``voltage_v``, ``current_a`` (positive: charging) and ``op`` (one charge or
        discharge each) or ``cycle`` (both in one).
    cycles : str or Path
        Parquet with ``capacity_ah`` or ``dis_ah`` for each ``op`` or ``cycle``; ``ambient_c`` is optional.
    rated_ah : float
        Rated capacity [Ah].

    Returns
    -------
    CellRecord

    Raises
    ------
    openbms_core.config_file.ConfigError
        One sentence that names file, row or column, rule and cure.
    """
    if not (np.isfinite(rated_ah) and rated_ah > 0.0):
        raise ConfigError(
            f"--capacity-ah is {rated_ah:g}: give the rated capacity of the cell in Ah, above 0."
        )
    curves, cycles = Path(curves), Path(cycles)
    table, measured = _table(curves, "curves"), _table(cycles, "cycles")
    key = next((name for name in ("op", "cycle") if name in table.column_names), None)
    if key is None:
        raise ConfigError(
            f"{curves}: neither a column op (one charge or discharge each) nor a column cycle is there "
            f"(found: {', '.join(table.column_names) or 'none'}): number the curves."
        )
    numbers = _column(table, key, curves)
    time, voltage, current = (_column(table, name, curves) for name in CURVES)
    if not numbers.size:
        raise ConfigError(f"{curves}: the file has no rows: at least 4 full cycles are needed.")
    if np.median(voltage) <= 0.5 or np.median(voltage) > _GLITCH_V:
        raise ConfigError(
            f"{curves}, column voltage_v: the median is {np.median(voltage):g}, which is no voltage of one "
            "lithium-ion cell: give volts of one cell."
        )
    rows = _rows(measured, key, cycles)
    operations: list[Operation] = []
    left_out: dict[str, int] = {}
    for rows_of_one in _groups(numbers, curves, key):
        number = float(numbers[rows_of_one.start])
        t, v, i = (a[rows_of_one] for a in (time, voltage, current))
        keep = (v > 0.0) & (v < _GLITCH_V)
        _count(left_out, "samples with no voltage of a cell", ~keep)
        back = t < np.maximum.accumulate(t)
        if back.mean() > _MOST_MISSING:
            raise ConfigError(
                f"{curves}: row {rows_of_one.start + int(np.argmax(back)) + 1}, column time_s: the time "
                f"falls within {key} {number:g}: sort the rows."
            )
        _count(left_out, "samples whose time falls", back)
        t, v, i = (a[keep & ~back] for a in (t, v, i))
        if t.size < 3:
            _count(left_out, "records without a load", np.array([True]))
            continue
        cycle, ambient, capacity = rows.get(number, (number, np.nan, np.nan))
        if key == "op":
            parts = [(bool(np.sum(i) > 0.0), (t, v, i))]
        else:
            parts = _split((t, v, i), rated_ah)
        for charging, curve in parts:
            made = _operation(cycle, charging, ambient, np.nan if charging else capacity, curve, rated_ah)
            if made is None:
                _count(left_out, "records without a load", np.array([True]))
                continue
            operations.append(made)
    operations = _full_charges(operations, left_out)
    if not any(not o.charging for o in operations):
        raise ConfigError(
            f"{curves}, column current_a: no discharge is in it, but current must be negative when "
            "discharging: give complete cycles, with charging positive."
        )
    _check_sign(curves, operations)
    return CellRecord(curves, cycles, operations, left_out)


def _count(left_out: dict[str, int], reason: str, where: BoolArray) -> None:
    if where.any():
        left_out[reason] = left_out.get(reason, 0) + int(where.sum())


def _full_charges(operations: list[Operation], left_out: dict[str, int]) -> list[Operation]:
    """Leave out charges that did not reach full: their end is no anchor."""
    last = {id(o): int(np.flatnonzero(o.loaded)[-1]) for o in operations}
    ends = [o.voltage_v[last[id(o)]] for o in operations if o.charging]
    full_v = float(np.median(ends)) if ends else np.nan

    def kept(o: Operation) -> bool:
        end = last[id(o)]
        full = o.voltage_v[end] > full_v - _CHARGED_V and o.current_a[end] < _TAPERED * o.load_a
        return not o.charging or bool(full)

    fine = [o for o in operations if kept(o)]
    if len(fine) < len(operations):
        left_out["charges that did not reach full"] = len(operations) - len(fine)
    return fine


def _rows(measured: pa.Table, key: str, path: Path) -> dict[float, tuple[float, float, float]]:
    """Give cycle, ambient temperature [°C] and measured capacity [Ah] for each number."""
    name = next((n for n in CAPACITIES if n in measured.column_names), None)
    if name is None:
        raise ConfigError(
            f"{path}: neither {' nor '.join(CAPACITIES)} is among its columns "
            f"({', '.join(measured.column_names) or 'none'}): give the capacity measured in each cycle."
        )
    numbers = _column(measured, key, path)
    capacity = _column(measured, name, path, gaps=True)
    cycle = _column(measured, "cycle", path) if "cycle" in measured.column_names else numbers
    ambient = (
        _column(measured, "ambient_c", path, gaps=True)
        if "ambient_c" in measured.column_names
        else np.full(numbers.size, np.nan)
    )
    if np.unique(numbers).size != numbers.size:
        raise ConfigError(f"{path}: column {key}: a number comes twice, but each must have one row.")
    if not (capacity > 0.0).any():
        raise ConfigError(
            f"{path}: column {name}: no capacity above 0 is in it: give those that were measured."
        )
    return {
        float(n): (float(c), float(a), float(q) if q > 0.0 else np.nan)
        for n, c, a, q in zip(numbers, cycle, ambient, capacity, strict=True)
    }


def _check_sign(path: Path, operations: list[Operation]) -> None:
    """Refuse curves in which charging has the wrong sign: the voltage then falls while it charges."""
    rises = [
        float(np.median(o.voltage_v[o.loaded][-3:]) - np.median(o.voltage_v[o.loaded][:3]))
        * (1.0 if o.charging else -1.0)
        for o in operations
    ]
    if np.mean(np.asarray(rises) > 0.0) < 0.5:
        raise ConfigError(
            f"{path}: columns current_a and voltage_v: the voltage falls while the current is positive, but "
            "current must be positive when charging: change the sign of current_a."
        )
