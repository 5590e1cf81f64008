"""Find all tables of a cell from its tests: least squares over charge and temperature at once.

For given :class:`~openbms_estimation.identification.design.Nonlinear` the tables are one linear least-squares
problem (variable projection: G. Golub, V. Pereyra, *Inverse Problems* 19 (2003) R1). Where no test says
anything a light penalty keeps tables smooth over charge, equal over temperature once the common activation
energy is taken out, and near what is usual for the chemistry: little data give a usable model with a wide
error, no temperature but one an extrapolation by Arrhenius. Residuals count by Cauchy's function, so that
the few regions that no circuit of two pairs explains do not bend the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize, nnls

from openbms_estimation.identification.design import Blocks, Knots, Nonlinear, design
from openbms_estimation.identification.records import Record

__all__ = ["CellFit", "Penalties", "Prior", "overpotential_v", "search", "solve"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """What is usual before any test: normalised resistances [Ω] of one cell of this capacity.

    Attributes
    ----------
    r0_ohm, rk_ohm, rf_ohm, r1_ohm, r2_ohm : float
    """

    r0_ohm: float
    rk_ohm: float
    rf_ohm: float
    r1_ohm: float
    r2_ohm: float


@dataclass(frozen=True)
class Penalties:
    """Weights against one second of test time at 1 V (OCV) and 1 A (resistances)."""

    ocv_curvature: float = 4.0
    gap_curvature: float = 6.0
    resistance_curvature: float = 20.0
    ocv_over_temperature: float = 2.0
    ocv_without_slow_test: float = 100.0
    """Where only driving tells, the open-circuit voltage stays that of the nearest slow test."""
    gap_over_temperature: float = 1.0
    resistance_over_temperature: float = 2.0
    gap_prior: float = 0.5
    resistance_prior: float = 1.0
    resistance_without_load: float = 300.0
    """Where no test has a load worth the name, resistances stay those of the nearest temperature with one;
    where there is none, the usual ones: a slow test cannot tell a resistance from an open-circuit voltage."""
    least_slope_v: float = 0.02
    """The OCV rises at least this much per unit SoC [V]."""
    scale_v: float = 0.03
    """Residuals well above this lose weight [V]."""
    robust_rounds: int = 3


@dataclass(frozen=True)
class CellFit:
    """Result: tables over the knots, resistances as they would be at 25 °C (:func:`design.warmth`).

    Attributes
    ----------
    knots : Knots
    nonlinear : Nonlinear
    ocv_v, gap_v, r0_ohm, rk_ohm, rf_ohm, r1_ohm, r2_ohm : ndarray, shape (temperatures, knots)
        ``r0_ohm`` without the part ``rk_ohm`` that saturates.
    cost : float
        Cauchy cost [V²·s].
    """

    knots: Knots
    nonlinear: Nonlinear
    ocv_v: FloatArray
    gap_v: FloatArray
    r0_ohm: FloatArray
    rk_ohm: FloatArray
    rf_ohm: FloatArray
    r1_ohm: FloatArray
    r2_ohm: FloatArray
    cost: float

    @property
    def table(self) -> FloatArray:
        """All linear unknowns in the order of the design."""
        tables = (self.ocv_v, self.gap_v, self.r0_ohm, self.rk_ohm, self.rf_ohm, self.r1_ohm, self.r2_ohm)
        return np.concatenate([table.ravel() for table in tables])

    def simulate(self, record: Record) -> tuple[FloatArray, FloatArray]:
        """Voltage of the model along a record [V] and the part of it that is overpotential [V]."""
        rows = np.arange(len(record.time_s))
        matrix = design(record, rows, self.knots, self.nonlinear)
        first = Blocks.of(self.knots).starts[2]
        overpotential = matrix[:, first:] @ self.table[first:]
        return np.asarray(matrix[:, :first] @ self.table[:first] + overpotential), np.asarray(overpotential)


def overpotential_v(fit: CellFit, record: Record) -> FloatArray:
    """Overpotential of the model along a record [V]."""
    return fit.simulate(record)[1]


def _curvature(axis: Sequence[float]) -> FloatArray:
    """Distance of every inner knot from the line through its neighbours, as a matrix."""
    knots = np.asarray(axis)
    matrix = np.zeros((len(knots) - 2, len(knots)))
    for row in range(len(knots) - 2):
        before, after = knots[row + 1] - knots[row], knots[row + 2] - knots[row + 1]
        matrix[row, row : row + 3] = -after / (before + after), 1.0, -before / (before + after)
    return matrix


_USUAL_SHAPE = (
    (0.0, 2.5),
    (0.03, 2.0),
    (0.06, 1.6),
    (0.1, 1.35),
    (0.15, 1.2),
    (0.25, 1.08),
    (0.35, 1.0),
    (1.0, 1.0),
)
"""State of charge, and resistance there as a multiple of that in the middle: an empty cell has more."""


def _penalty(
    knots: Knots, prior: Prior, weights: Penalties, slow_nodes: Sequence[bool], load_nodes: Sequence[bool]
) -> tuple[FloatArray, FloatArray]:
    """Normal matrix and right side of all penalties."""
    blocks = Blocks.of(knots)
    size = blocks.starts[-1]
    normal, right = 1e-9 * np.eye(size), np.zeros(size)
    axes = (knots.ocv_soc, knots.gap_soc, *([knots.resistance_soc] * 5))
    curvature = (weights.ocv_curvature, weights.gap_curvature, *([weights.resistance_curvature] * 5))
    over = (
        weights.ocv_over_temperature,
        weights.gap_over_temperature,
        *([weights.resistance_over_temperature] * 5),
    )
    pulls = (0.0, weights.gap_prior, *([weights.resistance_prior] * 5))
    wanted = (0.0, 0.0, prior.r0_ohm, prior.rk_ohm, prior.rf_ohm, prior.r1_ohm, prior.r2_ohm)
    shape = np.interp(knots.resistance_soc, *np.transpose(_USUAL_SHAPE))
    for block, axis in enumerate(axes):
        count, start = len(axis), blocks.starts[block]
        usual = wanted[block] * (shape if block > 1 else np.ones(count))
        bend = curvature[block] ** 2 * (_curvature(axis).T @ _curvature(axis))
        for row in range(blocks.temperatures):
            here = slice(start + row * count, start + (row + 1) * count)
            pull = pulls[block]
            if block > 1 and not load_nodes[row]:
                pull = 0.0 if any(load_nodes) else weights.resistance_without_load
            normal[here, here] += bend + pull**2 * np.eye(count)
            right[here] += pull**2 * usual
            if row:
                before = slice(here.start - count, here.start)
                both = (slow_nodes if block < 2 else load_nodes)[row - 1 : row + 1]
                alone = weights.ocv_without_slow_test if block < 2 else weights.resistance_without_load
                tie = (over[block] if all(both) else alone) ** 2 * np.eye(count)
                normal[here, here] += tie
                normal[before, before] += tie
                normal[here, before] -= tie
                normal[before, here] -= tie
    return normal, right


def _non_negative(knots: Knots, weights: Penalties) -> tuple[FloatArray, FloatArray]:
    """Change of unknowns that makes "OCV rises" and "nothing is negative" into "no unknown is negative"."""
    blocks = Blocks.of(knots)
    size = blocks.starts[-1]
    change, base = np.eye(size), np.zeros(size)
    for row in range(blocks.temperatures):
        here = slice(row * blocks.ocv, (row + 1) * blocks.ocv)
        change[here, here] = np.tril(np.ones((blocks.ocv, blocks.ocv)))
        base[here] = weights.least_slope_v * np.asarray(knots.ocv_soc)
    return change, base


def _solve_bounded(normal: FloatArray, right: FloatArray, knots: Knots, weights: Penalties) -> FloatArray:
    change, base = _non_negative(knots, weights)
    upper = np.linalg.cholesky(change.T @ normal @ change).T
    shifted = change.T @ (right - normal @ base)
    found, _ = nnls(upper, solve_triangular(upper, shifted, trans="T"), maxiter=30 * len(right))
    return np.asarray(change @ found + base)


def solve(
    records: Sequence[Record],
    knots: Knots,
    nonlinear: Nonlinear,
    prior: Prior,
    weights: Penalties | None = None,
    *,
    slow_nodes: Sequence[bool] = (),
    load_nodes: Sequence[bool] = (),
    bounded: bool = True,
    every: int = 1,
) -> CellFit:
    """Find the tables for given time constants.

    Parameters
    ----------
    records : sequence of Record
    knots : Knots
    nonlinear : Nonlinear
    prior : Prior
    weights : Penalties, optional
    slow_nodes : sequence of bool, optional
        At which temperatures there is a slow test; default: all.
    load_nodes : sequence of bool, optional
        At which temperatures there is a test with load; default: all.
    bounded : bool
        Rising OCV, nothing negative; without it several times faster.
    every : int
        Only every so-many-th judged row.

    Returns
    -------
    CellFit
    """
    weights = weights or Penalties()
    everywhere = [True] * len(knots.temperature_degc)
    normal0, right0 = _penalty(knots, prior, weights, slow_nodes or everywhere, load_nodes or everywhere)
    matrices, targets, scales = [], [], []
    for record in records:
        rows = np.flatnonzero(record.judged)[::every]
        matrices.append(design(record, rows, knots, nonlinear))
        targets.append(record.voltage_v[rows])
        scales.append(record.weight[rows] * np.sqrt(every))
    matrix = sparse.vstack(matrices).tocsr()
    target, scale = np.concatenate(targets), np.concatenate(scales)
    robust = np.ones(len(target))
    table = np.zeros(matrix.shape[1])
    for round_number in range(weights.robust_rounds):
        counts = scale * robust
        weighted = sparse.diags(counts) @ matrix
        normal = normal0 + (weighted.T @ weighted).toarray()
        right = right0 + weighted.T @ (counts * target)
        if bounded and round_number + 1 == weights.robust_rounds:
            table = _solve_bounded(normal, right, knots, weights)
        else:
            table = cho_solve(cho_factor(normal), right)
        residual = matrix @ table - target
        robust = 1.0 / np.sqrt(1.0 + (residual / weights.scale_v) ** 2)
    cost = float(np.sum(scale**2 * weights.scale_v**2 * np.log1p((residual / weights.scale_v) ** 2)))
    ocv, gap, r0, rk, rf, r1, r2 = Blocks.of(knots).split(table)
    return CellFit(knots, nonlinear, ocv, gap, r0, rk, rf, r1, r2, cost)


_LEAST = np.log([4.0, 60.0, 0.3])
_MOST = np.log([120.0, 2000.0, 30.0])
"""Bounds of both time constants [s] and of the saturation current as capacities per hour."""
_LEAST_SLOPE_K, _MOST_SLOPE_K = 0.0, 4.0
"""Cold makes no time constant shorter, and none by more than diffusion with 33 kJ/mol."""


def search(
    records: Sequence[Record],
    knots: Knots,
    prior: Prior,
    first: Nonlinear,
    capacity_ah: float,
    *,
    slow_nodes: Sequence[bool],
    load_nodes: Sequence[bool],
    over_temperature: bool,
    steps: int = 90,
    every: int = 3,
    progress: Callable[[], None] | None = None,
) -> Nonlinear:
    """Find time constants and the saturation current.

    Parameters
    ----------
    records, knots, prior
        As :func:`solve`.
    first : Nonlinear
        Where to start.
    capacity_ah : float
        Capacity of the cell.
    slow_nodes, load_nodes : sequence of bool
        As :func:`solve`.
    over_temperature : bool
        Search the slopes over temperature too (tests at 8 K or more of difference).
    steps : int
        Evaluations.
    every : int
        Rows, as :func:`solve`.
    progress : callable, optional
        Called after every evaluation.

    Returns
    -------
    Nonlinear
    """
    start = np.log([first.tau1_s, first.tau2_s, first.kinetic_current_a / capacity_ah])
    if over_temperature:
        start = np.r_[start, first.tau1_k, first.tau2_k]

    def at(point: FloatArray) -> Nonlinear:
        tau1, tau2, kinetic = np.exp(np.clip(point[:3], _LEAST, _MOST))
        found = replace(
            first, tau1_s=float(tau1), tau2_s=float(tau2), kinetic_current_a=float(kinetic * capacity_ah)
        )
        if over_temperature:
            k1, k2 = np.clip(point[3:5], _LEAST_SLOPE_K, _MOST_SLOPE_K)
            found = replace(found, tau1_k=float(k1), tau2_k=float(k2))
        return found

    def cost(point: FloatArray) -> float:
        if progress is not None:
            progress()
        nonlinear = at(point)
        outside = float(np.sum(np.maximum(point[:3] - _MOST, 0.0) + np.maximum(_LEAST - point[:3], 0.0)))
        if over_temperature:
            outside += float(
                np.sum(
                    np.maximum(point[3:] - _MOST_SLOPE_K, 0.0) + np.maximum(_LEAST_SLOPE_K - point[3:], 0.0)
                )
            )
        apart = max(0.0, 3.0 - nonlinear.tau2_s / nonlinear.tau1_s)
        part = solve(
            records,
            knots,
            nonlinear,
            prior,
            Penalties(robust_rounds=2),
            slow_nodes=slow_nodes,
            load_nodes=load_nodes,
            bounded=False,
            every=every,
        ).cost
        return part * (1.0 + apart + outside)

    steps_of = [0.7, 0.7, 0.7] + ([1.0, 1.0] if over_temperature else [])
    simplex = np.vstack([start, start + np.diag(steps_of)])
    options = {"xatol": 0.03, "fatol": 1e-6, "maxfev": steps, "initial_simplex": simplex}
    return at(np.asarray(minimize(cost, start, method="Nelder-Mead", options=options).x))
