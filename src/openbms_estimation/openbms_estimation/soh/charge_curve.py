"""The charge between full and each voltage of one cell under one load: the curve whose drift is followed.

A discharge is seen at its voltage under load. A charge is seen at the voltage less a fixed resistance times
the current, so that its constant-current and its constant-voltage part form one rising curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_estimation.soh.cycle_record import Operation

__all__ = [
    "ChargeCurve",
    "Window",
    "counted_ah",
    "cut_off_voltage",
    "first_crossings",
    "partial",
    "reaches",
    "whole",
]

FloatArray = NDArray[np.float64]

_NODES = 24
_CHARGE_V = 0.2
"""Voltage that a current of 1 C is taken to drop in a charge [V]; only the coordinate depends on it."""
_FASTEST_AH_PER_V = 10.0
"""Slopes of the curve above this, times the rated capacity, are noise [1/V]."""
_HIGHEST_CUT_OFF_V, _MOST_REACH, _AS_WELL = 3.4, 0.9, 0.002
_NEAR_CUT_OFF_V = 0.15
"""A discharge that ends within this of its cut-off has reached it between two samples [V]."""


@dataclass(frozen=True)
class Window:
    """A part of one operation, as an estimator may see it; arrays (n,) of samples under load.

    Attributes
    ----------
    charging : bool
    voltage_v, current_a, moved_ah : ndarray
        As in the operation; charge since an unknown state.
    from_full : bool
        It holds the beginning of a discharge, with the rested voltage of a full cell before it.
    to_full : bool
        It holds the end of a full charge.
    to_cut_off : bool
        It holds the end of a discharge at its cut-off voltage.
    """

    charging: bool
    voltage_v: FloatArray
    current_a: FloatArray
    moved_ah: FloatArray
    from_full: bool = False
    to_full: bool = False
    to_cut_off: bool = False


def first_crossings(moved_ah: FloatArray, falling: FloatArray, nodes: FloatArray) -> FloatArray:
    """Give the charge at which a noisy falling course first passes each node; NaN: not within it.

    Parameters
    ----------
    moved_ah, falling : ndarray, shape (n,)
    nodes : ndarray, shape (m,)
        Falling.

    Returns
    -------
    ndarray, shape (m,)
    """
    course = np.minimum.accumulate(falling)
    # the first sample below each node
    after = course.size - np.searchsorted(course[::-1], nodes, side="left")
    inside = (after > 0) & (after < course.size)
    k = np.where(inside, after, 1)
    if course.size < 2:
        return np.full(nodes.shape, np.nan)
    share = (falling[k - 1] - nodes) / np.maximum(falling[k - 1] - falling[k], 1e-6)
    at = moved_ah[k - 1] + np.clip(share, 0.0, 1.0) * (moved_ah[k] - moved_ah[k - 1])
    return np.where(inside, at, np.nan)


def whole(operation: Operation, cut_off_v: float) -> Window:
    """Give all of an operation, a discharge down to its cut-off."""
    return partial(operation, cut_off_v, -1.0, np.inf)


def partial(operation: Operation, cut_off_v: float, start_ah: float, length_ah: float) -> Window:
    """Give a window of an operation, cut where the operation begins or ends.

    Parameters
    ----------
    operation : Operation
    cut_off_v : float
        A discharge ends here [V].
    start_ah, length_ah : float
        Charge after the begin of the operation at which it starts (below 0: before), and its length [Ah].
    """
    end = _end(operation, cut_off_v)
    moved = operation.moved_ah
    keep = operation.loaded & (moved >= start_ah) & (moved <= start_ah + length_ah)
    keep &= np.arange(keep.size) <= end
    begins = start_ah <= 0.0 and not operation.charging and not operation.loaded[0]
    ends = bool(keep[end])
    return Window(
        operation.charging,
        operation.voltage_v[keep],
        operation.current_a[keep],
        moved[keep],
        from_full=begins,
        to_full=ends and operation.charging,
        to_cut_off=ends and not operation.charging,
    )


def _end(operation: Operation, cut_off_v: float) -> int:
    """Give the last sample: of the load, or the first below the cut-off."""
    loaded = np.flatnonzero(operation.loaded)
    if operation.charging:
        return int(loaded[-1])
    below = loaded[(operation.voltage_v[loaded] < cut_off_v) & (operation.moved_ah[loaded] > 0.0)]
    return int(below[0]) if below.size else int(loaded[-1])


def reaches(operation: Operation, cut_off_v: float) -> bool:
    """Tell whether a discharge went down to its cut-off."""
    last = operation.voltage_v[_end(operation, cut_off_v)]
    return bool(last < cut_off_v + _NEAR_CUT_OFF_V)


def counted_ah(operation: Operation, cut_off_v: float) -> float:
    """Give the charge of a discharge down to its cut-off [Ah]."""
    seen = whole(operation, cut_off_v)
    at = first_crossings(seen.moved_ah, seen.voltage_v, np.array([cut_off_v]))[0]
    return float(at if np.isfinite(at) else seen.moved_ah[-1])


def cut_off_voltage(discharges: Sequence[Operation]) -> float:
    """Give the voltage at which a tester ended counting [V].

    That is the lowest one, on a grid of 0.1 V, which nearly all discharges reach and down to which the
    counted charge agrees with the measured capacities as well as with any. Where none was measured: the
    voltage at which the discharges end.

    Parameters
    ----------
    discharges : sequence of Operation
        Under one load.
    """
    ends = [o.voltage_v[o.loaded][-1] for o in discharges]
    measured = [o for o in discharges if np.isfinite(o.capacity_ah)]
    if not measured:
        return float(np.median(ends))
    grid = np.arange(np.floor(10.0 * min(ends)), np.ceil(10.0 * _HIGHEST_CUT_OFF_V) + 1.0) / 10.0
    fine = [v for v in grid if np.mean([reaches(o, v) for o in measured]) >= _MOST_REACH]
    if not fine:
        return float(np.median(ends))
    misses = np.array([np.median([abs(counted_ah(o, v) - o.capacity_ah) for o in measured]) for v in fine])
    as_well = misses <= misses.min() + _AS_WELL * np.median([o.capacity_ah for o in measured])
    return float(fine[int(np.argmax(as_well))])


class ChargeCurve:
    """Nodes of one curve, and what a new cell's curve is by its first full operations.

    Parameters
    ----------
    operations : sequence of Operation
        Full ones under the same load.
    rated_ah : float
    cut_off_v : float
        End of a discharge [V]; no meaning in a charge.
    capacities_ah : sequence of float
        Measured capacity of each discharge; no meaning in a charge.

    Attributes
    ----------
    nodes : ndarray, shape (m,)
        Falling coordinate: voltage, or minus the compensated voltage of a charge [V].
    start_ah, start_std_ah : ndarray, shape (m,)
        Charge between full and each node [Ah].
    full_ah : float
        Charge of the whole curve at the start [Ah].
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        rated_ah: float,
        cut_off_v: float = np.nan,
        capacities_ah: Sequence[float] = (),
    ) -> None:
        self.charging = operations[0].charging
        self.load_a = float(np.median([o.load_a for o in operations]))
        self.rated_ah = rated_ah
        self._compensated_ohm = _CHARGE_V / rated_ah
        self._cut_off_v = cut_off_v
        seen = [whole(o, cut_off_v) for o in operations]
        self.nodes = self._place(seen[-1])
        rows = []
        for k, window in enumerate(seen):
            at = self.at_nodes(window)
            if self.charging:
                total = window.moved_ah[-1]
                below = self.nodes > self.coordinate(window)[0]
                rows.append(total - np.where(np.isnan(at), np.where(below, 0.0, total), at))
            else:
                # the tester's own counter is finer than the samples
                counted = at[-1] if np.isfinite(at[-1]) else window.moved_ah[-1]
                rows.append(np.nan_to_num(at) * capacities_ah[k] / counted)
        table = np.array(rows)
        self.start_ah = self.in_order(0.5 * (table[-1] + table.mean(axis=0)))
        self.full_ah = float(max(self.start_ah.max(), 1e-3 * rated_ah))
        self.start_std_ah = np.maximum(table.std(axis=0), 0.005 * self.full_ah)

    def _place(self, window: Window) -> FloatArray:
        """Place nodes evenly over charge and over voltage, in turn."""
        course = np.minimum.accumulate(self.coordinate(window))
        share = np.linspace(0.02, 0.995, _NODES) * window.moved_ah[-1]
        by_charge = np.interp(share, window.moved_ah, course)
        by_voltage = np.linspace(by_charge[0], course[-1], _NODES)
        nodes = np.unique(np.r_[by_charge[:-1:2], by_voltage[1:-1:2]])[::-1]
        if self.charging:
            return np.asarray(nodes)
        return np.asarray(np.r_[nodes[nodes > self._cut_off_v + 0.01], self._cut_off_v])

    def coordinate(self, window: Window) -> FloatArray:
        """Give the falling coordinate of a window's samples [V]."""
        if self.charging:
            return -(window.voltage_v - window.current_a * self._compensated_ohm)
        voltage = window.voltage_v
        if window.to_cut_off and voltage.size and voltage[-1] >= self._cut_off_v:
            voltage = np.r_[voltage[:-1], self._cut_off_v - 1e-4]  # passed between two samples
        return voltage

    def at_nodes(self, window: Window) -> FloatArray:
        """Give the charge moved when the window passes each node [Ah]; NaN: not within it."""
        return first_crossings(window.moved_ah, self.coordinate(window), self.nodes)

    def current_a(self) -> FloatArray:
        """Give the current at each node as a magnitude [A]: in the constant-voltage part it tapers."""
        if not self.charging:
            return np.full(self.nodes.size, self.load_a)
        top = float((-self.nodes).max())
        tapered = (top - -self.nodes) / self._compensated_ohm
        return np.asarray(np.clip(tapered, 0.01 * self.rated_ah, self.load_a))

    def in_order(self, charge_ah: FloatArray) -> FloatArray:
        """Give the charges made non-negative and monotone."""
        positive = np.maximum(charge_ah, 0.0)
        if self.charging:
            return np.maximum.accumulate(positive[::-1])[::-1]
        return np.maximum.accumulate(positive)

    def slope(self, charge_ah: FloatArray) -> FloatArray:
        """Give |d charge / d voltage| at each node [Ah/V]."""
        steep = np.abs(np.gradient(charge_ah, self.nodes))
        return np.asarray(np.minimum(steep, _FASTEST_AH_PER_V * self.rated_ah))
