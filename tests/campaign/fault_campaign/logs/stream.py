"""Recordings as scans."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fault_campaign.logs.sets import RecordedSet
from openbms_core.types import BusState, PackMeasurement, Validity
from openbms_drivers.frame import Frame

__all__ = ["Recording", "frames", "recordings"]

FloatArray = NDArray[np.float64]

LONGEST_GAP_S = 120.0
"""A longer gap ends a recording: what was between is unknown, and the next one begins."""


@dataclass
class Recording:
    """A stretch without gaps; arrays have one row a sample.

    Attributes
    ----------
    time_s : ndarray, shape (samples,)
    cells_v : ndarray, shape (samples, cells)
        NaN where cells are not recorded.
    sensors_degc : ndarray, shape (samples, sensors)
    current_a, string_v : ndarray, shape (samples,)
    """

    time_s: FloatArray
    cells_v: FloatArray
    sensors_degc: FloatArray
    current_a: FloatArray
    string_v: FloatArray

    @property
    def hours(self) -> float:
        """Length [h]."""
        return float(self.time_s[-1] - self.time_s[0]) / 3600.0

    def scans(self) -> Iterator[tuple[float, PackMeasurement]]:
        """Give time and scan of each sample."""
        cells, sensors = self.cells_v.shape[1], self.sensors_degc.shape[1]
        before_s = float(self.time_s[0])
        for number, time_s in enumerate(self.time_s.tolist()):
            m = PackMeasurement.empty(cells, sensors, 1, stamp_s=1.7e9 + time_s, scan_number=number)
            m.scan_duration_s, before_s = time_s - before_s, time_s
            _fill(m, "cell_voltage", self.cells_v[number])
            _fill(m, "temperature", self.sensors_degc[number])
            _fill(m, "string_current", self.current_a[number : number + 1])
            _fill(m, "string_voltage", self.string_v[number : number + 1])
            m.string_current_minimum_a, m.string_current_maximum_a = m.string_currents_a, m.string_currents_a
            m.string_charge_increments_ah = m.string_currents_a * (m.scan_duration_s / 3600.0)
            m.string_current_samples = np.ones(1, np.uint32)
            m.bus_state = BusState.OK
            yield time_s, m


def _fill(m: PackMeasurement, name: str, values: FloatArray) -> None:
    known = np.isfinite(values)
    unit = {"cell_voltage": "s_v", "temperature": "s_degc", "string_current": "s_a", "string_voltage": "s_v"}[
        name
    ]
    setattr(m, name + unit, values.astype(float))
    setattr(m, f"{name}_validity", np.where(known, Validity.VALID, Validity.NOT_FITTED).astype(np.uint8))
    if name in ("cell_voltage", "temperature"):
        setattr(m, f"{name}_ages_s", np.where(known, 0.05, np.nan))


def _columns(path: Path) -> dict[str, Any]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return {name: np.asarray(table[name].to_numpy(), float) for name in table.column_names}


def recordings(recorded: RecordedSet, path: Path) -> Iterator[Recording]:
    """Give the stretches of a file."""
    columns = _columns(path)
    none = np.full((len(columns["time_s"]), 1), np.nan)
    if recorded.kind == "cell":
        cells = columns["voltage_v"][:, None]
        whole = Recording(
            columns["time_s"], cells, columns["temperature_c"][:, None], columns["current_a"], none[:, 0]
        )
    elif recorded.kind == "leaf":
        cells = np.stack([columns[f"c{number:02d}_v"] for number in range(1, recorded.cells + 1)], axis=1)
        degrees = np.stack([columns[f"t{number}_c"] for number in (1, 2, 4)], axis=1)
        whole = Recording(
            columns["time_abs_s"], cells, degrees, columns["current_a"], columns["pack_voltage_v"]
        )
    else:
        cells = np.full((len(columns["time_s"]), recorded.cells), np.nan)
        degrees = columns["temperature_c"][:, None]
        whole = Recording(columns["time_s"], cells, degrees, columns["current_a"], columns["voltage_v"])
    steps = np.diff(whole.time_s)
    session = columns.get("session")
    ends = (steps > LONGEST_GAP_S) | (steps <= 0.0)
    if session is not None:
        ends |= np.diff(session) != 0
    edges = [0, *(np.flatnonzero(ends) + 1).tolist(), len(whole.time_s)]
    for begin, end in pairwise(edges):
        if end - begin > 1:
            part = slice(begin, end)
            yield Recording(
                whole.time_s[part] - whole.time_s[begin],
                whole.cells_v[part],
                whole.sensors_degc[part],
                whole.current_a[part],
                whole.string_v[part],
            )


def frames(path: Path) -> Iterator[Frame]:
    """Give the frames of a candump log."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            stamp, _, content = line.split()
            identifier, _, data = content.partition("#")
            at_s = float(stamp.strip("()"))
            yield Frame(int(identifier, 16), bytes.fromhex(data), int(len(identifier) > 3), at_s, at_s)
