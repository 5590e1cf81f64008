"""Error of the estimated state of charge against the twin's truth, at equal times."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["ScanCounter", "SocScore"]

FloatArray = NDArray[np.float64]
_WAITING = 400


class SocScore:
    """Root mean square, mean absolute and largest error over all cells and scans.

    An estimate is compared with the truth interpolated between the two truths around its stamp; where there
    is only one within ``tolerance_s``, with that one. Order of arrival does not matter.

    Parameters
    ----------
    tolerance_s : float
        Largest distance between an estimate and a truth, and half the largest gap to interpolate over [s].
    """

    def __init__(self, tolerance_s: float) -> None:
        self.tolerance_s = tolerance_s
        self.values = 0
        self.scans = 0
        self._squares = 0.0
        self._absolute = 0.0
        self._largest = 0.0
        self._truth: deque[tuple[float, FloatArray]] = deque(maxlen=_WAITING)
        self._waiting: deque[tuple[float, FloatArray]] = deque(maxlen=_WAITING)

    @property
    def rmse(self) -> float | None:
        """Root mean square error [1]; None without a comparison."""
        return math.sqrt(self._squares / self.values) if self.values else None

    @property
    def mae(self) -> float | None:
        """Mean absolute error [1]; None without a comparison."""
        return self._absolute / self.values if self.values else None

    @property
    def largest(self) -> float | None:
        """Largest absolute error of any cell at any time [1]; None without a comparison."""
        return self._largest if self.values else None

    def add_truth(self, stamp_s: float, cell_soc: FloatArray) -> None:
        """Note the true state of charge of the cells at a time (NaN: unknown)."""
        if self._truth and stamp_s < self._truth[-1][0]:  # time jumped back: a new run
            self._truth.clear()
            self._waiting.clear()
        self._truth.append((stamp_s, np.asarray(cell_soc, np.float64)))
        while self._waiting and self._waiting[0][0] <= stamp_s:
            self._compare(*self._waiting.popleft())

    def add_estimate(self, stamp_s: float, cell_soc: FloatArray) -> None:
        """Note an estimate; it is compared as soon as a truth at or after its stamp is there."""
        estimate = np.asarray(cell_soc, np.float64)
        if self._truth and self._truth[-1][0] >= stamp_s:
            self._compare(stamp_s, estimate)
        else:
            self._waiting.append((stamp_s, estimate))

    def _truth_at(self, stamp_s: float) -> FloatArray | None:
        before = next((item for item in reversed(self._truth) if item[0] <= stamp_s), None)
        behind = next((item for item in self._truth if item[0] >= stamp_s), None)
        if before is not None and behind is not None and behind[0] - before[0] <= 2.0 * self.tolerance_s:
            span = behind[0] - before[0]
            weight = (stamp_s - before[0]) / span if span > 0 else 0.0
            return (
                before[1] + weight * (behind[1] - before[1]) if before[1].shape == behind[1].shape else None
            )
        near = [
            item
            for item in (before, behind)
            if item is not None and abs(item[0] - stamp_s) <= self.tolerance_s
        ]
        return min(near, key=lambda item: abs(item[0] - stamp_s))[1] if near else None

    def _compare(self, stamp_s: float, estimate: FloatArray) -> None:
        truth = self._truth_at(stamp_s)
        if truth is None or truth.shape != estimate.shape:
            return
        error = estimate - truth
        error = error[np.isfinite(error)]
        if error.size == 0:
            return
        self.scans += 1
        self.values += int(error.size)
        self._squares += float(error @ error)
        self._absolute += float(np.abs(error).sum())
        self._largest = max(self._largest, float(np.abs(error).max()))


class ScanCounter:
    """Counts scans and the gaps in their numbers."""

    def __init__(self) -> None:
        self.scans = 0
        self.lost = 0
        self.starts = 0
        self._last: int | None = None

    def add(self, number: int) -> None:
        """Note the number of a scan; a smaller one than before means that the driver was started again."""
        if self._last is None or number < self._last:
            self.starts += 1
        elif number == self._last:
            return
        else:
            self.lost += number - self._last - 1
        self.scans += 1
        self._last = number
