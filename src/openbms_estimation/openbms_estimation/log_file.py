"""Read a recorded test or drive of one cell (Parquet or CSV), and refuse what would give wrong figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError

__all__ = ["CellLog", "at", "check_ranges", "read_cell_log", "read_table", "stated_values"]

FloatArray = NDArray[np.float64]

NEEDED = ("time_s", "voltage_v", "current_a", "temperature_c")
REFERENCE = "ah"


@dataclass(frozen=True)
class CellLog:
    """One cell over time; arrays (n,).

    Attributes
    ----------
    path : Path
    time_s, voltage_v, current_a, temperature_degc : ndarray
        Current positive when charging.
    ah : ndarray or None
        Charge counter of the tester, positive: charged.
    soc_at_start, capacity_ah : float or None
        From the metadata of a Parquet file (``bms_meta``: ``soc0``, ``capacity_ref_ah`` or ``cap_ref_ah``).
    """

    path: Path
    time_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    temperature_degc: FloatArray
    ah: FloatArray | None
    soc_at_start: float | None
    capacity_ah: float | None


def read_table(path: Path) -> pa.Table:
    """Read a Parquet or CSV file; one sentence (ConfigError) if that cannot be."""
    kind = path.suffix.lower()
    if kind not in {".parquet", ".csv"}:
        raise ConfigError(
            f"{path}: the type {kind or 'without ending'} is not known: give a .parquet or .csv file."
        )
    if not path.is_file():
        raise ConfigError(f"{path}: no such file: give the path of a recorded .parquet or .csv file.")
    if path.stat().st_size == 0:
        raise ConfigError(f"{path}: the file is empty: record it again.")
    try:
        return pq.read_table(path) if kind == ".parquet" else pyarrow.csv.read_csv(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"{path}: not a readable {kind[1:]} file ({first}): write it again.") from error


def at(path: Path, row: int) -> str:
    """Name a row (from 0) of a log for people: by its number from 1, in a text file by its line too."""
    line = f":{row + 2}" if path.suffix.lower() == ".csv" else ""
    return f"{path}{line}: row {row + 1}"


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _column(table: pa.Table, name: str, path: Path) -> FloatArray:
    column = table[name]
    if not (
        pa.types.is_floating(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_decimal(column.type)
    ):
        for row, value in enumerate(column.to_pylist()):
            if not _is_number(value):
                raise ConfigError(
                    f"{at(path, row)}, column {name}: {value!r} is not a number: every value must be one."
                )
        raise ConfigError(
            f"{path}: column {name} holds {column.type}, not numbers: store it as floating point."
        )
    values = np.asarray(column.to_numpy(zero_copy_only=False), float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ConfigError(
            f"{at(path, int(bad[0]))}, column {name}: the value is missing or not finite ({len(bad)} such "
            f"row{'s' if len(bad) > 1 else ''}): fill it or leave the row out."
        )
    return values


def _number_of(meta: dict[str, object], *names: str) -> float | None:
    """Give the first of these values that is a finite number."""
    for name in names:
        value = meta.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
            return float(value)
    return None


def stated_values(table: pa.Table) -> tuple[float | None, float | None]:
    """Give SoC at the start and capacity [Ah] that ``bms_meta`` of a file states, where they can be."""
    raw = (table.schema.metadata or {}).get(b"bms_meta")
    try:
        meta = json.loads(raw) if raw is not None else {}
    except ValueError:
        meta = {}
    meta = meta if isinstance(meta, dict) else {}
    start, capacity = _number_of(meta, "soc0"), _number_of(meta, "capacity_ref_ah", "cap_ref_ah")
    return (
        start if start is not None and 0.0 <= start <= 1.0 else None,
        capacity if capacity is not None and capacity > 0.0 else None,
    )


def check_ranges(path: Path, voltage: FloatArray, temperature: FloatArray, rows: NDArray[np.intp]) -> None:
    """Refuse volts and degrees that no cell has; ``rows``: number (from 0) of each value in the file."""
    wrong = np.flatnonzero((voltage <= 0.0) | (voltage > 6.0))
    if len(wrong):
        raise ConfigError(
            f"{at(path, int(rows[wrong[0]]))}, column voltage_v: {voltage[wrong[0]]:g} V is no voltage of "
            "one lithium-ion cell (above 0 to 6 V): give volts of one cell."
        )
    wrong = np.flatnonzero((temperature < -60.0) | (temperature > 120.0))
    if len(wrong):
        raise ConfigError(
            f"{at(path, int(rows[wrong[0]]))}, column temperature_c: {temperature[wrong[0]]:g} is outside "
            "-60 to 120 °C: give degrees Celsius."
        )


def _check_sign(
    path: Path, time: FloatArray, voltage: FloatArray, current: FloatArray, ah: FloatArray | None
) -> None:
    """Refuse a log in which charging has the wrong sign."""
    if ah is not None:
        counted = float(np.dot(np.diff(ah), current[1:]))
        if counted < 0.0:
            raise ConfigError(
                f"{path}: columns current_a and ah: the counter falls while the current is positive, but "
                "both must be positive when charging: change the sign of the one that is not."
            )
    quick = np.diff(time) < 2.5
    rise_i, rise_v = np.diff(current)[quick], np.diff(voltage)[quick]
    large = np.abs(rise_i) > 0.2 * max(float(np.abs(current).max()), 1e-9)
    if large.sum() >= 5 and np.mean(np.sign(rise_i[large]) * np.sign(rise_v[large])) < -0.5:
        raise ConfigError(
            f"{path}: columns current_a and voltage_v: the voltage falls when the current rises, but "
            "current must be positive when charging: change the sign of current_a."
        )


def read_cell_log(path: str | Path) -> CellLog:
    """Read and check one log.

    Parameters
    ----------
    path : str or Path
        Parquet or CSV with the columns ``time_s``, ``voltage_v``, ``current_a``, ``temperature_c`` and, for
        a reference, ``ah``.

    Returns
    -------
    CellLog

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
            f"the columns {', '.join(NEEDED)} are needed, {REFERENCE} is optional"
            f"{'; separate them by commas' if any(';' in name for name in table.column_names) else ''}."
        )
    if table.num_rows < 2:
        raise ConfigError(f"{path}: the number of rows is {table.num_rows}: at least 2 are needed.")
    time, voltage, current, temperature = (_column(table, name, path) for name in NEEDED)
    ah = _column(table, REFERENCE, path) if REFERENCE in table.column_names else None
    backwards = np.flatnonzero(np.diff(time) <= 0.0)
    if len(backwards):
        row = int(backwards[0]) + 1
        raise ConfigError(
            f"{at(path, row)}, column time_s: {time[row]:g} after {time[row - 1]:g}, but time must rise: "
            "sort the rows and leave repeated ones out."
        )
    check_ranges(path, voltage, temperature, np.arange(len(time)))
    _check_sign(path, time, voltage, current, ah)
    start, capacity = stated_values(table)
    return CellLog(
        path=path,
        time_s=time,
        voltage_v=voltage,
        current_a=current,
        temperature_degc=temperature,
        ah=ah,
        soc_at_start=start,
        capacity_ah=capacity,
    )
