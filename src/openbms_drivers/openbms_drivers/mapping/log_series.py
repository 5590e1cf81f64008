"""Scans of a log as series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openbms_core.types import PackMeasurement

__all__ = ["ScanSeries"]

_KEPT = 20_000


class ScanSeries:
    """A part of the scans, evenly over the log, as series."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._count, self._stride = 0, 1
        self.cells_low = self.cells_high = math.nan
        self.lowest_cell = self.highest_cell = -1

    def take(self, scan: PackMeasurement, at_s: float) -> None:
        """Take a scan."""
        if self._count % self._stride == 0:
            cells = scan.cell_voltages_v
            whole = len(cells) > 0 and bool(np.isfinite(cells).all())
            strings = max(1, len(scan.string_voltages_v))
            temperatures = scan.temperatures_degc[np.isfinite(scan.temperatures_degc)]
            if len(cells) and np.isfinite(cells).any():
                low, high = int(np.nanargmin(cells)), int(np.nanargmax(cells))
                if not cells[low] >= self.cells_low:
                    self.cells_low, self.lowest_cell = float(cells[low]), low
                if not cells[high] <= self.cells_high:
                    self.cells_high, self.highest_cell = float(cells[high]), high
            self._rows.append(
                (
                    at_s,
                    _first(scan.string_currents_a),
                    _first(scan.string_voltages_v),
                    float(cells[: len(cells) // strings].sum()) if whole else math.nan,
                    scan.reported_soc,
                    float(temperatures.min()) if len(temperatures) else math.nan,
                    float(temperatures.max()) if len(temperatures) else math.nan,
                )
            )
            if len(self._rows) > _KEPT:
                self._stride *= 2
                self._rows = self._rows[::2]
        self._count += 1

    def column(self, number: int) -> tuple[Any, Any]:
        """Give times and finite values of a column: 1 current, 2 voltage, 3 sum of cells, 4 state of charge,
        5 and 6
        lowest and highest temperature.
        """
        if not self._rows:
            return np.empty(0), np.empty(0)
        table = np.array(self._rows)
        good = np.isfinite(table[:, number])
        return table[good, 0], table[good, number]

    def both(self, one: int, two: int) -> tuple[Any, Any]:
        """Give the values of two columns where both are finite."""
        if not self._rows:
            return np.empty(0), np.empty(0)
        table = np.array(self._rows)
        good = np.isfinite(table[:, one]) & np.isfinite(table[:, two])
        return table[good, one], table[good, two]


def _first(values: Any) -> float:
    return float(values[0]) if len(values) else math.nan
