"""The voltage of a cell as a linear function of all its tables: one sparse row for each row of a test.

With the normalised resistances ``r`` (what the cell would have at 25 °C)::

    v = OCV(z, T) + (1 + h)/2·gap(z, T) + A(T)·[ r0·i + rk·ik·asinh(i/ik) + rf·if + r1·i1 + r2·i2 ]
    A(T) = exp(Ea/R·(1/T - 1/298.15 K))

OCV is the discharge branch, ``h`` the play operator of :mod:`openbms_core.models.ecm`; ``if``, ``i1`` and
``i2`` are the currents through the resistors of three RC pairs. Between the knots of charge and temperature
everything is interpolated linearly, so that the tables are the unknowns of a linear problem and only the
numbers in :class:`Nonlinear` are searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from openbms_core.compiled import compiled
from openbms_estimation.identification.records import Record, rc_current

__all__ = ["Blocks", "Knots", "Nonlinear", "design", "hysteresis", "warmth"]

FloatArray = NDArray[np.float64]
GAS_CONSTANT_J_PER_MOL_K = 8.314462618
KELVIN = 273.15
ACTIVATION_ENERGY_J_PER_MOL = 28_000.0
"""Carries resistances from one temperature to another where no test tells better: charge transfer on graphite
has 50-60 kJ/mol, electrolyte and contacts 10-20, and a whole cell between -10 and 25 °C 25-30 (the tables at
the tested temperatures take up the rest)."""


@dataclass(frozen=True)
class Knots:
    """Where the tables have their values.

    Attributes
    ----------
    temperature_degc : tuple of float
        Rising.
    ocv_soc, gap_soc, resistance_soc : tuple of float
        States of charge, 0 to 1, rising.
    """

    temperature_degc: tuple[float, ...]
    ocv_soc: tuple[float, ...] = (
        0.0, 0.01, 0.02, 0.035, 0.05, 0.075, *(k / 40 for k in range(4, 40)), 0.985, 0.9925, 1.0,
    )  # fmt: skip
    gap_soc: tuple[float, ...] = (0.0, 0.03, 0.06, *(k / 20 for k in range(2, 20)), 0.975, 1.0)
    resistance_soc: tuple[float, ...] = (
        0.0, 0.03, 0.06, 0.1, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Nonlinear:
    """What the voltage does not depend on linearly.

    Attributes
    ----------
    fast_s, tau1_s, tau2_s : float
        Time constants of the RC pairs; the last two at 25 °C.
    kinetic_current_a : float
        Current at which the charge transfer saturates, at 25 °C.
    tau1_k, tau2_k : float
        Slopes of the logarithms of the time constants over 1000/T [K].
    hysteresis_soc : float
        Width of the play operator.
    """

    fast_s: float = 2.5
    tau1_s: float = 30.0
    tau2_s: float = 600.0
    kinetic_current_a: float = 5.0
    tau1_k: float = 0.5
    tau2_k: float = 0.5
    hysteresis_soc: float = 0.05

    def at(self, temperature_degc: float | FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Both time constants [s] and the saturation current [A] at a temperature."""
        # current x resistance of a charge transfer is a constant voltage: the current follows 1/resistance
        kelvins = 1000.0 * (1.0 / (np.asarray(temperature_degc) + KELVIN) - 1.0 / 298.15)
        return (
            np.asarray(self.tau1_s * np.exp(self.tau1_k * kelvins)),
            np.asarray(self.tau2_s * np.exp(self.tau2_k * kelvins)),
            np.asarray(self.kinetic_current_a / warmth(temperature_degc)),
        )


@dataclass(frozen=True)
class Blocks:
    """Where which unknowns stand: every block has one row of knots for each temperature."""

    temperatures: int
    ocv: int
    gap: int
    resistance: int

    @classmethod
    def of(cls, knots: Knots) -> Blocks:
        """Give the blocks for knots."""
        return cls(
            len(knots.temperature_degc), len(knots.ocv_soc), len(knots.gap_soc), len(knots.resistance_soc)
        )

    @property
    def starts(self) -> tuple[int, ...]:
        """First unknown of OCV, gap, r0, rk, rf, r1, r2, and their number."""
        sizes = [self.ocv, self.gap] + [self.resistance] * 5
        return tuple(int(n) for n in np.cumsum([0, *(self.temperatures * size for size in sizes)]))

    def split(self, table: FloatArray) -> list[FloatArray]:
        """Give the seven tables, each of shape (temperatures, knots)."""
        return [part.reshape(self.temperatures, -1) for part in np.split(table, self.starts[1:-1])]


def warmth(temperature_degc: float | FloatArray) -> FloatArray:
    """Resistance at a temperature / resistance at 25 °C, as far as it is common to all cells."""
    exponent = ACTIVATION_ENERGY_J_PER_MOL / GAS_CONSTANT_J_PER_MOL_K
    return np.asarray(np.exp(exponent * (1.0 / (np.asarray(temperature_degc) + KELVIN) - 1.0 / 298.15)))


@compiled
def _play(step: FloatArray, first: float) -> FloatArray:
    found = np.empty(len(step))
    state = first
    for row in range(len(step)):
        state = min(1.0, max(-1.0, state + step[row]))
        found[row] = state
    return found


def hysteresis(record: Record, width_soc: float) -> FloatArray:
    """Play operator along a record: -1 discharge branch … +1 charge branch.

    It starts on the branch that the first charge moved leads along.
    """
    moved = np.diff(record.soc, prepend=record.soc[0]) / width_soc
    direction = np.flatnonzero(np.abs(record.soc - record.soc[0]) > 0.005)
    state = -1.0 if not len(direction) or record.soc[direction[0]] < record.soc[0] else 1.0
    return _play(moved, state)


def _hats(values: FloatArray, knots: Sequence[float]) -> tuple[NDArray[np.intp], FloatArray]:
    """Knot to the left of each value, and its distance from there as a part of the interval."""
    axis = np.asarray(knots)
    if len(axis) == 1:
        return np.zeros(len(values), np.intp), np.zeros(len(values))
    inside = np.clip(values, axis[0], axis[-1])
    left = np.clip(np.searchsorted(axis, inside, side="right") - 1, 0, len(axis) - 2)
    return left, (inside - axis[left]) / (axis[left + 1] - axis[left])


def design(
    record: Record,
    rows: NDArray[np.intp],
    knots: Knots,
    nonlinear: Nonlinear,
) -> sparse.csr_matrix:
    """Build the rows of the linear problem.

    Parameters
    ----------
    record : Record
    rows : ndarray of int
        Rows of the record that are wanted.
    knots : Knots
    nonlinear : Nonlinear

    Returns
    -------
    csr_matrix, shape (len(rows), unknowns)
    """
    blocks = Blocks.of(knots)
    temperature = record.temperature_degc[rows]
    tau1, tau2, _ = nonlinear.at(float(np.mean(record.temperature_degc)))
    _, _, saturation = nonlinear.at(temperature)
    current = record.current_a[rows]
    warm = warmth(temperature)
    charging = 0.5 * (1.0 + hysteresis(record, nonlinear.hysteresis_soc)[rows])
    ones = np.ones(len(rows))
    parts = [
        (blocks.ocv, knots.ocv_soc, ones),
        (blocks.gap, knots.gap_soc, charging),
        *(
            (blocks.resistance, knots.resistance_soc, warm * part)
            for part in (
                current,
                saturation * np.arcsinh(current / saturation),
                rc_current(record, nonlinear.fast_s)[rows],
                rc_current(record, float(tau1))[rows],
                rc_current(record, float(tau2))[rows],
            )
        ),
    ]
    low, above = _hats(temperature, knots.temperature_degc)
    upper = np.minimum(low + 1, blocks.temperatures - 1)
    columns, values = [], []
    for start, (count, axis, factor) in zip(blocks.starts, parts, strict=False):
        left, right = _hats(record.soc[rows], axis)
        for row, share in ((low, 1.0 - above), (upper, above)):
            columns += [start + row * count + left, start + row * count + left + 1]
            values += [factor * share * (1.0 - right), factor * share * right]
    pointers = np.arange(len(rows) + 1) * len(columns)
    return sparse.csr_matrix(
        (np.stack(values, axis=1).ravel(), np.stack(columns, axis=1).ravel(), pointers),
        shape=(len(rows), blocks.starts[-1]),
    )
