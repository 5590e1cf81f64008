"""A recorded test of one real cell: voltage, current, temperature and the cycler's charge counter."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError

__all__ = ["DEFAULT_RECORD", "Record", "load_record"]

FloatArray = NDArray[np.float64]

DEFAULT_RECORD = Path(__file__).parent / "data" / "lg_hg2_25degC_mixed.parquet"
"""The drive cycle that is shipped."""

_COLUMNS = ("time_s", "voltage_v", "current_a", "temperature_c", "ah")
_CAPACITY_KEYS = ("cap_block_ah", "capacity_ref_ah", "cap_ref_ah")


@dataclass(frozen=True)
class Record:
    """A recorded test; arrays have one entry a sample, current positive when charging.

    Between samples voltage, current, temperature and charge are taken as linear.
    """

    time_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    temperature_degc: FloatArray
    charge_ah: FloatArray
    soc0: float
    """State of charge at the first sample; NaN: unknown, so that there is no truth."""
    capacity_ah: float

    @property
    def duration_s(self) -> float:
        """Length of the test [s]."""
        return float(self.time_s[-1])

    @cached_property
    def _integrals(self) -> FloatArray:
        steps = np.diff(self.time_s)
        values = np.stack((self.voltage_v, self.current_a))
        sums = np.cumsum((values[:, 1:] + values[:, :-1]) * steps / 2.0, axis=1)
        return np.concatenate((np.zeros((2, 1)), sums), axis=1)

    def mean(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Give mean voltage [V] and current [A] between two times of the test [s].

        Means, and not samples, so that current and voltage fit each other and no charge is lost whatever the
        speed of the replay.
        """
        span = end_s - start_s
        if span <= 0.0:
            return self.voltage_at(end_s), float(np.interp(end_s, self.time_s, self.current_a))
        totals = [self._integral(row, end_s) - self._integral(row, start_s) for row in (0, 1)]
        return totals[0] / span, totals[1] / span

    def _integral(self, row: int, at_s: float) -> float:
        values = (self.voltage_v, self.current_a)[row]
        at_s = min(max(at_s, 0.0), self.duration_s)
        index = min(int(np.searchsorted(self.time_s, at_s, side="right")) - 1, len(self.time_s) - 2)
        past = at_s - self.time_s[index]
        slope = (values[index + 1] - values[index]) / (self.time_s[index + 1] - self.time_s[index])
        return float(self._integrals[row, index] + past * (values[index] + 0.5 * past * slope))

    def voltage_at(self, at_s: float) -> float:
        """Voltage at a time of the test [V]."""
        return float(np.interp(at_s, self.time_s, self.voltage_v))

    def temperature_at(self, at_s: float) -> float:
        """Temperature at a time of the test [°C]."""
        return float(np.interp(at_s, self.time_s, self.temperature_degc))

    def soc_at(self, at_s: float) -> float:
        """State of charge by the cycler's counter at a time of the test."""
        charge = float(np.interp(at_s, self.time_s, self.charge_ah)) - float(self.charge_ah[0])
        return self.soc0 + charge / self.capacity_ah

    @cached_property
    def ohmic_resistance_ohm(self) -> float:
        """Resistance that the record itself shows: median of voltage step by current step over 0.5 s [Ω].

        Not from sample to sample: a cycler reads voltage and current a part of a sample apart. 0.02 Ω where
        the record has fewer than ten steps of 1 A.
        """
        apart = max(1, round(0.5 / float(np.median(np.diff(self.time_s)))))
        step_a = self.current_a[apart:] - self.current_a[:-apart]
        step_v = self.voltage_v[apart:] - self.voltage_v[:-apart]
        large = np.abs(step_a) > 1.0
        if np.count_nonzero(large) < 10:
            return 0.02
        return float(np.clip(np.median(step_v[large] / step_a[large]), 0.0, 1.0))


def load_record(
    path: str | Path = DEFAULT_RECORD,
    *,
    soc0: float | None = None,
    capacity_ah: float | None = None,
    default_capacity_ah: float = math.nan,
) -> Record:
    """Read a recorded test from Parquet or CSV.

    Parameters
    ----------
    path : str or Path
        File with the columns time_s, voltage_v, current_a (positive: charging), temperature_c, ah.
    soc0, capacity_ah : float, optional
        State of charge at the start, and capacity [Ah]; else from the Parquet metadata key ``bms_meta``
        (``soc0``; ``cap_block_ah``, ``capacity_ref_ah`` or ``cap_ref_ah``). A start that nobody says is
        unknown.
    default_capacity_ah : float
        Capacity where nobody says one, such as that of the pack's cell file.

    Returns
    -------
    Record

    Raises
    ------
    ConfigError
        The file is absent, lacks a column or a number, or start or capacity are impossible.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(f"{path}: no such file. Give a Parquet or CSV file of a recorded test.")
    columns, meta = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    time_s = columns["time_s"]
    for name in _COLUMNS:
        bad = np.flatnonzero(~np.isfinite(columns[name]))
        if bad.size:
            raise ConfigError(
                f"{path}: row {bad[0] + 1}, column {name}: not a finite number. Remove the row."
            )
    if len(time_s) < 2:
        raise ConfigError(f"{path}: the number of rows is {len(time_s)}: at least two are needed.")
    backwards = np.flatnonzero(np.diff(time_s) <= 0)
    if backwards.size:
        row = int(backwards[0]) + 1
        raise ConfigError(
            f"{path}: row {row + 1}, column time_s: {time_s[row]:g} after {time_s[row - 1]:g}: time_s must "
            "rise from row to row. Sort the rows and leave repeated ones out."
        )
    soc0 = meta.get("soc0", math.nan) if soc0 is None else soc0
    if capacity_ah is None:
        said = (meta.get(key) for key in _CAPACITY_KEYS)
        capacity_ah = next((value for value in said if value is not None), default_capacity_ah)
    if not (math.isnan(soc0) or 0 <= soc0 <= 1) or not 0 < capacity_ah < math.inf:
        raise ConfigError(
            f"{path}: soc0 is {soc0} and capacity {capacity_ah} Ah: a start between 0 and 1 and a "
            "capacity above 0 are needed. Set replay_soc0 and replay_capacity_ah, or the metadata bms_meta."
        )
    return Record(
        time_s - time_s[0],
        columns["voltage_v"],
        columns["current_a"],
        columns["temperature_c"],
        columns["ah"],
        float(soc0),
        float(capacity_ah),
    )


def _read_parquet(path: Path) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not a readable Parquet file ({error}).") from error
    _all_there(path, table.column_names)
    meta = json.loads((table.schema.metadata or {}).get(b"bms_meta", b"{}"))
    return {name: np.asarray(table[name].to_numpy(), float) for name in _COLUMNS}, meta


def _read_csv(path: Path) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            _all_there(path, list(rows.fieldnames or ()))
            table = [[_number(path, rows.line_num, name, row[name]) for name in _COLUMNS] for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not a readable CSV file ({error}). Write it again.") from error
    values = np.asarray(table, float).reshape(-1, len(_COLUMNS))
    return {name: values[:, i].copy() for i, name in enumerate(_COLUMNS)}, {}


def _number(path: Path, line: int, name: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise ConfigError(
            f"{path}:{line}: column {name}: {text!r} is not a number. Put one there or remove the line."
        ) from None


def _all_there(path: Path, names: list[str]) -> None:
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise ConfigError(
            f"{path}: the column {missing[0]} is missing. It has: {', '.join(names)}; needed are "
            f"{', '.join(_COLUMNS)}."
        )
