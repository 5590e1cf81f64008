"""Capacity of every cell from pairs of moved charge and change of state of charge: approximate weighted total
least squares with forgetting (Plett, J. Power Sources 196 (2011) 2319-2331), all cells in one step.

A pair is y = Q·x, where x is the change of the state of charge between two anchors and y the charge that
moved between them. Both are noisy: x because an anchor is read off the open-circuit voltage, y because the
current sensor has an offset and a gain. Ordinary least squares takes x for exact and gives too small a
capacity; the more so the shorter the pairs. Here each pair carries a standard deviation for each of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CapacityEstimate", "CapacitySettings", "TotalLeastSquares"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class CapacitySettings:
    """What the estimator assumes.

    Attributes
    ----------
    forgetting : float
        Weight that a pair keeps when the next one comes, above 0 to 1. Below 1 the capacity may walk: each
        new pair finds the variance grown by 1 / forgetting.
    least_soc : float
        Pairs with a smaller change of the state of charge are refused: they hold little but noise, and their
        noise is what biases an estimate.
    prior_std : float
        Standard deviation of the capacity a cell starts with, as a part of it.
    """

    forgetting: float = 0.98
    least_soc: float = 0.3
    prior_std: float = 0.1

    def __post_init__(self) -> None:
        if not (0.0 < self.forgetting <= 1.0 and 0.0 <= self.least_soc < 1.0 and self.prior_std > 0.0):
            raise ValueError("forgetting must lie in (0, 1], least_soc in [0, 1), prior_std above 0")


@dataclass(frozen=True)
class CapacityEstimate:
    """Capacity of every cell; arrays of shape (n_cells,).

    Attributes
    ----------
    capacity_ah, capacity_std_ah : ndarray
        Capacity and its standard deviation [Ah].
    pairs : ndarray of int
        Pairs that were taken so far.
    misfit : ndarray
        Weighted square of the residuals over the number of pairs that count; about 1 where the standard
        deviations of the pairs are right. Above what chance explains it widens ``capacity_std_ah``.
    """

    capacity_ah: FloatArray
    capacity_std_ah: FloatArray
    pairs: NDArray[np.int64]
    misfit: FloatArray


class TotalLeastSquares:
    """Recursive approximate weighted total least squares; memory and time do not grow with the pairs.

    Parameters
    ----------
    capacity_ah : array_like, shape (n_cells,)
        Capacity to start with [Ah], such as the rated one.
    settings : CapacitySettings, optional

    Raises
    ------
    ValueError
        A capacity is not positive and finite.
    """

    def __init__(self, capacity_ah: ArrayLike, settings: CapacitySettings | None = None) -> None:
        self.settings = settings or CapacitySettings()
        self._start = np.array(capacity_ah, float, ndmin=1)
        if not (np.isfinite(self._start) & (self._start > 0.0)).all():
            raise ValueError("capacity_ah must be positive and finite for every cell")
        n = self._start.size
        # the sums c1 … c6 of the paper, over y · scale; scale = σx / σy of a typical pair
        self._c = np.zeros((6, n))
        self._scale = np.full(n, np.nan)
        self._weight = np.zeros(n)
        self._pairs = np.zeros(n, np.int64)

    def add(
        self, delta_soc: ArrayLike, charge_ah: ArrayLike, soc_std: ArrayLike, charge_std_ah: ArrayLike
    ) -> BoolArray:
        """Take one pair for each cell.

        Parameters
        ----------
        delta_soc : array_like, shape () or (n_cells,)
            Change of the state of charge between two anchors; must not come from the integral of the same
            current.
        charge_ah : array_like
            Charge that moved meanwhile [Ah], positive when charged.
        soc_std, charge_std_ah : array_like
            Their standard deviations.

        Returns
        -------
        taken : ndarray of bool, shape (n_cells,)
            False where a value is unknown (NaN), a deviation is not positive, the change is below
            ``least_soc``, or charge and change have different signs.
        """
        n = self._start.size
        x, y, sx, sy = (
            np.broadcast_to(np.asarray(value, float), (n,))
            for value in (delta_soc, charge_ah, soc_std, charge_std_ah)
        )
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(sx) & np.isfinite(sy) & (sx > 0.0) & (sy > 0.0)
        taken = np.asarray(known & (np.abs(x) >= self.settings.least_soc) & (x * y > 0.0))
        if not taken.any():
            return taken
        first = taken & ~np.isfinite(self._scale)
        self._begin(first, sx, sy)
        gamma = self.settings.forgetting
        k = self._scale[taken]
        x, y, sx, sy = x[taken], k * y[taken], sx[taken], k * sy[taken]
        self._c[:, taken] = gamma * self._c[:, taken] + _sums(x, y, sx, sy)
        self._weight[taken] = gamma * self._weight[taken] + 1.0
        self._pairs[taken] += 1
        return taken

    def _begin(self, first: BoolArray, soc_std: FloatArray, charge_std_ah: FloatArray) -> None:
        """Fix a cell's scale with its first pair, and enter what it started with as a pair of its own."""
        k = soc_std[first] / charge_std_ah[first]
        self._scale[first] = k
        q = k * self._start[first]
        # a pair of x = 1: its share of doubt is split so that the capacity has the prior's deviation
        spread = self.settings.prior_std * q / np.sqrt(1.0 + q**2)
        self._c[:, first] = _sums(np.ones_like(q), q, spread, spread)

    def estimate(self) -> CapacityEstimate:
        """Give the capacities as they are known now."""
        n = self._start.size
        capacity, std = self._start.copy(), self.settings.prior_std * self._start
        misfit = np.ones(n)
        cells = np.flatnonzero(np.isfinite(self._scale))
        if cells.size:
            c, k = self._c[:, cells], self._scale[cells]
            q = _minimise(c, k * self._start[cells])
            counted = self._weight[cells] + 1.0
            chi = _cost(c, q) / counted
            expected = 1.0 + 2.0 * np.sqrt(2.0 / counted)
            widen = np.sqrt(np.maximum(chi / expected, 1.0))
            capacity[cells] = q / k
            std[cells] = widen * np.sqrt(2.0 / _curvature(c, q)) / k
            misfit[cells] = chi
        return CapacityEstimate(capacity, std, self._pairs.copy(), misfit)

    # ---- over a restart ----

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell; NaN: a cell without pairs."""
        return {
            "sums": self._c.copy(),
            "scale": self._scale.copy(),
            "weight": self._weight.copy(),
            "pairs": self._pairs.astype(float),
            "start_ah": self._start.copy(),
        }

    def resume(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of an estimator of this size, or holds values that do not exist.
        """
        n = self._start.size
        shapes = {"sums": (6, n), "scale": (n,), "weight": (n,), "pairs": (n,), "start_ah": (n,)}
        arrays = {}
        for name, shape in shapes.items():
            array = np.asarray(state.get(name, np.nan), float)
            if array.shape != shape:
                raise ValueError(f"{name} has the shape {array.shape}, not {shape}")
            arrays[name] = array
        scale, start = arrays["scale"], arrays["start_ah"]
        used = np.isfinite(scale)
        others = np.vstack([arrays["sums"], arrays["weight"], arrays["pairs"], start])
        if not np.isfinite(others).all() or (scale[used] <= 0.0).any() or (start <= 0.0).any():
            raise ValueError("a sum, scale or capacity holds a value that does not exist")
        if (arrays["sums"][:, used][[0, 2, 3, 5]] <= 0.0).any():
            raise ValueError("sums of squares that are not positive")
        self._c, self._scale, self._weight = arrays["sums"].copy(), scale.copy(), arrays["weight"].copy()
        self._pairs, self._start = arrays["pairs"].astype(np.int64), start.copy()


def _sums(x: FloatArray, y: FloatArray, sx: FloatArray, sy: FloatArray) -> FloatArray:
    """Give what one pair adds to c1 … c6, shape (6, n)."""
    return np.stack([x**2 / sy**2, x * y / sy**2, y**2 / sy**2, x**2 / sx**2, x * y / sx**2, y**2 / sx**2])


def _cost(c: FloatArray, q: FloatArray) -> FloatArray:
    """Weighted square of the residuals at the (scaled) capacity ``q``."""
    c1, c2, c3, c4, c5, c6 = c
    return np.asarray((((c4 * q - 2.0 * c5) * q + c1 + c6) * q - 2.0 * c2) * q + c3) / (q**2 + 1.0) ** 2


def _curvature(c: FloatArray, q: FloatArray) -> FloatArray:
    """Second derivative of the cost."""
    c1, c2, c3, c4, c5, c6 = c
    terms = -2.0 * c5
    for coefficient in (
        3.0 * c1 - 6.0 * c4 + 3.0 * c6,
        16.0 * c5 - 12.0 * c2,
        -8.0 * c1 + 10.0 * c3 + 6.0 * c4 - 8.0 * c6,
        12.0 * c2 - 6.0 * c5,
        c1 - 2.0 * c3 + c6,
    ):
        terms = terms * q + coefficient
    return np.maximum(2.0 * terms / (q**2 + 1.0) ** 4, 1e-30)


def _minimise(c: FloatArray, fallback: FloatArray) -> FloatArray:
    """Give the positive real root of the cost's derivative that costs least; ``fallback`` where none is."""
    c1, c2, c3, c4, c5, c6 = c
    n = c5.size
    lead = np.where(np.abs(c5) > 1e-300, c5, 1e-300)
    companion = np.zeros((n, 4, 4))
    companion[:, 1:, :3] = np.eye(3)
    for row, coefficient in enumerate((-c2, c1 - 2.0 * c3 + c6, 3.0 * (c2 - c5), 2.0 * c4 - c1 - c6)):
        companion[:, row, 3] = -coefficient / lead
    roots = np.linalg.eigvals(companion)
    fine = (np.abs(roots.imag) < 1e-6 * (1.0 + np.abs(roots.real))) & (roots.real > 0.0)
    real = np.where(fine, roots.real, np.nan)
    costs = np.where(fine, _cost(c[:, :, None], np.nan_to_num(real)), np.inf)
    best = real[np.arange(n), np.argmin(costs, axis=1)]
    return np.where(np.isfinite(best), best, fallback)
