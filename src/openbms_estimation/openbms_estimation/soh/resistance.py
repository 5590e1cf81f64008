"""Resistance of every cell from the voltage steps that the current makes in use, as R0 and as R_10s, at 25 °C
and half charge.

What is followed is the ratio of the measured resistance to that of the cell model at the present state of
charge and temperature, over two spans of time. The model carries the shape over state of charge and the
Arrhenius law over temperature; the ratio times the model at 25 °C and half charge is the normalised figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.models.ecm import CellModel

__all__ = ["REFERENCE_DEGC", "REFERENCE_SOC", "RatioFilter", "ResistanceTracker", "model_resistance"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

REFERENCE_SOC, REFERENCE_DEGC = 0.5, 25.0
LONG_S = 10.0
"""Span of the second resistance [s]; the first is instantaneous."""

_STEP_C = 0.2
"""A step of the current counts from this on, as a part of the capacity per hour."""
_SETTLED_C = 0.02
"""A current that differs less than this from one scan to the next is settled."""
_BLOCK_SAMPLES = 20
_NOISE_V = 0.002
_START_STD, _WALK_PER_DAY = 0.3, 0.002
_SHAPE_STD = 0.02
"""What the model's shape over state of charge and temperature leaves open, relative."""
_REFRESH_S, _LONG_EVERY_S = 5.0, 1.0
_LONGEST_SCAN_S = 1.5


def model_resistance(
    model: CellModel, soc: ArrayLike, temperature_degc: ArrayLike, span_s: float
) -> FloatArray:
    """Give the voltage that a small current of 1 A makes after ``span_s`` seconds, without the OCV [Ω]."""
    cell = model.parameters(soc, temperature_degc)
    return np.asarray(
        cell.r0_ohm
        + cell.r1_ohm * (1.0 - np.exp(-span_s / cell.tau1_s))
        + cell.r2_ohm * (1.0 - np.exp(-span_s / cell.tau2_s))
    )


class RatioFilter:
    """One ratio per cell: regression over blocks of steps, then a filter of a slow walk.

    Parameters
    ----------
    count : int
        Cells.
    """

    def __init__(self, count: int) -> None:
        self.ratio = np.ones(count)
        self.variance = np.full(count, _START_STD**2)
        self.blocks = np.zeros(count)
        self._uu, self._uv, self._vv, self._n = (np.zeros(count) for _ in range(4))

    def age(self, days: float) -> None:
        """Let time pass."""
        self.variance = np.minimum(self.variance + _WALK_PER_DAY**2 * days, _START_STD**2)

    def add(self, expected_v: FloatArray, measured_v: FloatArray, use: BoolArray) -> None:
        """Take one step of every cell of ``use``: what the model expects and what was measured [V]."""
        u, v = np.where(use, expected_v, 0.0), np.where(use, measured_v, 0.0)
        self._uu += u * u
        self._uv += u * v
        self._vv += v * v
        self._n += use
        full = self._n >= _BLOCK_SAMPLES
        if not full.any():
            return
        found = self._uv[full] / self._uu[full]
        rest = np.maximum(self._vv[full] - found * self._uv[full], 0.0) / (self._n[full] - 1.0)
        # neighbouring steps share their errors: a block counts as one tenth of its samples
        noise = 10.0 * np.maximum(rest, _NOISE_V**2) / self._uu[full]
        before = self.variance[full]
        gain = before / (before + noise)
        self.ratio[full] += gain * (found - self.ratio[full])
        self.variance[full] = (1.0 - gain) * before
        self.blocks[full] += 1.0
        for sums in (self._uu, self._uv, self._vv, self._n):
            sums[full] = 0.0

    def std(self) -> FloatArray:
        """Give the standard deviation of the ratio."""
        return np.sqrt(self.variance + (_SHAPE_STD * self.ratio) ** 2)


@dataclass
class _Sample:
    time_s: float
    voltage_v: FloatArray
    expected_v: FloatArray
    current_a: FloatArray
    moved_ah: FloatArray
    settled: BoolArray


class ResistanceTracker:
    """Both ratios of every cell.

    Parameters
    ----------
    model : CellModel
        One cell.
    count : int
        Cells.
    """

    def __init__(self, model: CellModel, count: int) -> None:
        self.model = model
        self.short, self.long = RatioFilter(count), RatioFilter(count)
        self._count = count
        self._i1, self._i2, self._moved = (np.zeros(count) for _ in range(3))
        self._kept: list[_Sample] = []
        self._time_s = 0.0
        self._refreshed_s = self._long_s = -np.inf
        self._cell = model.parameters(np.full(count, 0.5), np.full(count, 25.0))

    def step(
        self,
        dt_s: float,
        current_a: FloatArray,
        voltage_v: FloatArray,
        temperature_degc: FloatArray,
        soc: FloatArray,
    ) -> None:
        """Take one scan.

        Parameters
        ----------
        dt_s : float
            Time since the last one [s].
        current_a : ndarray, shape (n_cells,)
            Through one cell [A], positive when charging.
        voltage_v, temperature_degc, soc : ndarray, shape (n_cells,)
            NaN: unknown.
        """
        if not 0.0 < dt_s <= _LONGEST_SCAN_S:
            self._kept.clear()  # what lies before a gap is no neighbour
            self._i1, self._i2 = np.zeros(self._count), np.zeros(self._count)
            return
        self._time_s += dt_s
        for ratio in (self.short, self.long):
            ratio.age(dt_s / 86_400.0)
        if self._time_s - self._refreshed_s >= _REFRESH_S:
            self._refreshed_s = self._time_s
            warm = np.where(np.isfinite(temperature_degc), temperature_degc, REFERENCE_DEGC)
            self._cell = self.model.parameters(np.nan_to_num(soc, nan=0.5), warm)
        cell = self._cell
        current = np.nan_to_num(current_a)
        for state, tau in ((self._i1, cell.tau1_s), (self._i2, cell.tau2_s)):
            state += (1.0 - np.exp(-dt_s / tau)) * (current - state)
        self._moved = self._moved + current * dt_s / 3600.0
        expected = cell.instant_v(current) + cell.r1_ohm * self._i1 + cell.r2_ohm * self._i2
        usable = (
            np.isfinite(current_a) & np.isfinite(voltage_v) & np.isfinite(soc) & np.isfinite(temperature_degc)
        )
        last = self._kept[-1] if self._kept else None
        limit = _SETTLED_C * self.model.capacity_ah
        settled = usable & (last is not None and np.abs(current - last.current_a) < limit)
        now = _Sample(self._time_s, voltage_v, expected, current, self._moved, settled)
        self._kept.append(now)
        if len(self._kept) >= 3:
            # right after a step: the scan in which it happened lies between two settled ones
            before, during = self._kept[-3], self._kept[-2]
            if now.time_s - before.time_s <= 2.0 * _LONGEST_SCAN_S:
                self._compare(before, now, self.short, ~during.settled)
        if self._time_s - self._long_s >= _LONG_EVERY_S:
            self._long_s = self._time_s
            far = next((k for k in reversed(self._kept) if k.time_s <= self._time_s - LONG_S + 1e-6), None)
            if far is not None:
                self._compare(far, now, self.long)
        while self._kept and self._kept[0].time_s < self._time_s - LONG_S - _LONGEST_SCAN_S:
            self._kept.pop(0)

    def _compare(
        self, before: _Sample, now: _Sample, ratio: RatioFilter, where: BoolArray | bool = True
    ) -> None:
        step = np.abs(now.current_a - before.current_a)
        use = now.settled & before.settled & (step >= _STEP_C * self.model.capacity_ah) & where
        if not use.any():
            return
        shift = self._cell.chord_v * (now.moved_ah - before.moved_ah) / self.model.capacity_ah
        ratio.add(now.expected_v - before.expected_v, now.voltage_v - before.voltage_v - shift, use)

    def normalised(self, span_s: float) -> tuple[FloatArray, FloatArray]:
        """Give the resistance of each cell at 25 °C and half charge [Ω] and its standard deviation.

        Parameters
        ----------
        span_s : float
            0: R0; otherwise :data:`LONG_S`.

        Returns
        -------
        resistance_ohm, std_ohm : ndarray, shape (n_cells,)
            NaN where no step has been seen.
        """
        found = self.short if span_s == 0.0 else self.long
        new = float(model_resistance(self.model, REFERENCE_SOC, REFERENCE_DEGC, span_s))
        seen = found.blocks > 0.0
        return np.where(seen, new * found.ratio, np.nan), np.where(seen, new * found.std(), np.nan)

    # ---- over a restart ----

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell."""
        rows = [[f.ratio, f.variance, f.blocks] for f in (self.short, self.long)]
        return {"resistance": np.array(rows).reshape(6, self._count)}

    def resume(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of a tracker of this size.
        """
        rows = np.asarray(state.get("resistance", np.nan), float)
        if rows.shape != (6, self._count) or not np.isfinite(rows).all() or (rows[[0, 1, 3, 4]] <= 0.0).any():
            raise ValueError("resistance is not that of these cells")
        for found, part in ((self.short, rows[:3]), (self.long, rows[3:])):
            found.ratio, found.variance, found.blocks = (row.copy() for row in part)
