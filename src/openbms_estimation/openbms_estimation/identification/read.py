"""Read the test files that a cell is fitted from: tolerant of what testers do, with a word on all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_estimation.log_file import at, check_ranges, read_table, stated_values

__all__ = ["CellTest", "read_test"]

FloatArray = NDArray[np.float64]
NEEDED = ("time_s", "voltage_v", "current_a")


@dataclass(frozen=True)
class CellTest:
    """One test of one cell, sorted and without gaps in its columns; arrays (n,).

    Attributes
    ----------
    path : Path
    time_s, voltage_v, current_a, temperature_degc : ndarray
        Current positive when charging.
    ah : ndarray
        Charge counter of the tester, or the integral of the current.
    soc_at_start, capacity_ah : float or None
        From the metadata of a Parquet file (``bms_meta``).
    notes : tuple of str
        What was done to the file, for people.
    """

    path: Path
    time_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    temperature_degc: FloatArray
    ah: FloatArray
    soc_at_start: float | None
    capacity_ah: float | None
    notes: tuple[str, ...] = ()


def _numbers(table: pa.Table, name: str, path: Path) -> FloatArray:
    """Give a column with NaN where there is no value; text is refused."""
    column = table[name]
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), float)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _numbers_one_by_one(column, name, path)


def _numbers_one_by_one(column: pa.ChunkedArray, name: str, path: Path) -> FloatArray:
    """Convert what Arrow does not; name the row that is no number."""
    found = np.full(len(column), np.nan)
    for row, value in enumerate(column.to_pylist()):
        try:
            found[row] = float("nan" if value is None else value)
        except (TypeError, ValueError):
            raise ConfigError(
                f"{at(path, row)}, column {name}: {value!r} is not a number: every value must be one."
            ) from None
    return found


def _wrong_sign(time: FloatArray, voltage: FloatArray, current: FloatArray) -> bool:
    """Tell whether the voltage answers the current the wrong way round."""
    rise_i, rise_v = np.diff(current), np.diff(voltage)
    largest = max(float(np.abs(current).max()), 1e-9)
    steps = (np.diff(time) < 65.0) & (np.abs(rise_i) > 0.2 * largest) & (np.abs(rise_v) > 1e-3)
    if steps.sum() >= 5:
        return bool(np.mean(np.sign(rise_i[steps]) * np.sign(rise_v[steps])) < -0.3)
    # hardly a step, as in a slow test: where it charges for hours the voltage must go up
    moved = np.cumsum(current * np.diff(time, prepend=time[0]))
    if np.ptp(moved) < 1e-6:
        return False
    return bool(np.corrcoef(moved, voltage)[0, 1] < -0.3)


def read_test(path: str | Path) -> CellTest:
    """Read one test.

    Parameters
    ----------
    path : str or Path
        Parquet or CSV with the columns ``time_s``, ``voltage_v``, ``current_a`` and, where there are,
        ``temperature_c`` (else 25 °C is assumed) and ``ah``.

    Returns
    -------
    CellTest
        Sorted by time, rows without a value or at a repeated time left out, current positive when charging;
        its notes say what had to be done.

    Raises
    ------
    openbms_core.config_file.ConfigError
        One sentence that names file, row or column, rule and cure.
    """
    path = Path(path)
    table = read_table(path)
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise ConfigError(
            f"{path}: column {missing[0]} is missing (found: {', '.join(table.column_names) or 'none'}): "
            f"the columns {', '.join(NEEDED)} are needed, temperature_c and ah are welcome."
        )
    columns = {name: _numbers(table, name, path) for name in NEEDED}
    notes = []
    if "temperature_c" in table.column_names:
        columns["temperature_c"] = _numbers(table, "temperature_c", path)
    else:
        notes.append("has no temperature_c: 25 °C assumed")
    counter = _numbers(table, "ah", path) if "ah" in table.column_names else None
    if counter is not None and np.isfinite(counter).mean() > 0.5:
        columns["ah"] = counter
    good = np.all([np.isfinite(values) for values in columns.values()], axis=0)
    if not good.all():
        notes.append(f"{np.count_nonzero(~good)} rows without a value left out")
    order = np.flatnonzero(good)
    order = order[np.argsort(columns["time_s"][order], kind="stable")]
    if np.any(np.diff(order) < 0):
        notes.append("rows sorted by time")
    time = columns["time_s"][order]
    keep = np.r_[True, np.diff(time) > 0.0][: len(time)]
    if not keep.all():
        notes.append(f"{np.count_nonzero(~keep)} rows at a repeated time left out")
    order = order[keep]
    if len(order) < 10:
        raise ConfigError(
            f"{path}: only {len(order)} of {table.num_rows} rows can be used: at least 10 with a number in "
            f"{', '.join(columns)} at rising times are needed."
        )
    time, voltage, current = (columns[name][order] for name in NEEDED)
    temperature = columns["temperature_c"][order] if "temperature_c" in columns else np.full(len(time), 25.0)
    check_ranges(path, voltage, temperature, order)
    if not np.any(current):
        raise ConfigError(f"{path}: column current_a is 0 in every row: a test without current says nothing.")
    if _wrong_sign(time, voltage, current):
        current = -current
        notes.append("sign of current_a changed: the voltage fell when it rose, so discharging was positive")
    elapsed = np.diff(time, prepend=time[0])
    if "ah" in columns:
        ah = columns["ah"][order]
        if float(np.dot(np.diff(ah), current[1:] * np.minimum(elapsed[1:], 120.0))) < 0.0:
            ah = -ah
            notes.append("sign of ah changed: it fell while charging")
    else:
        ah = np.cumsum(current * np.minimum(elapsed, 300.0)) / 3600.0
        notes.append("has no ah: the current was integrated")
    gaps = np.count_nonzero(elapsed > max(120.0, 20.0 * float(np.median(elapsed[1:]))))
    if gaps:
        notes.append(f"{gaps} gaps in time")
    start, capacity = stated_values(table)
    return CellTest(
        path=path,
        time_s=time,
        voltage_v=voltage,
        current_a=current,
        temperature_degc=temperature,
        ah=ah,
        soc_at_start=start,
        capacity_ah=capacity,
        notes=tuple(notes),
    )
