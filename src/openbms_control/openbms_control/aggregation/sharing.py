"""How the current divides between parallel packs: shares, and what flows between them.

Packs on one bus have one voltage: V = E_k + R_k I_k (charging positive). So with conductances g_k = 1 / R_k

    I_k = s_k I + c_k,   s_k = g_k / sum(g),   c_k = g_k (E_mean - E_k),   sum(c) = 0

where I is the current of all. The share s_k decides how a change of the load divides; the offset c_k flows
between the packs even without any load. The offset is *measured*: c_k = I_k - s_k I, whatever the
open-circuit voltages are and however far the voltage sensors are off. The shares begin as the estimated
resistances say (where these are not known, as the capacities do) and then follow what is seen: the part of
each change of the total current that a pack takes (recursive least squares with forgetting).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_control.aggregation.pack_view import PackView

__all__ = ["Division", "ShareEstimator", "divide", "prior_conductances"]

FloatArray = NDArray[np.float64]

STEP_PERIOD_S = 1.0
"""Changes of current are compared over this time: scans of the packs lie up to one scan period apart."""
FORGETTING = 0.98
"""Weight that a change keeps with each further one."""
PRIOR_RATE = 0.1
"""The prior weighs as much as one change of this rate [1/h]."""
SEEN_RATE = 0.02
"""A change below this rate tells nothing [1/h]."""
SMOOTHING_S = 0.5
"""Time constant of the measured offset: scans that are a tenth of a second apart would make a step of the
load look like a current between packs."""


@dataclass(frozen=True)
class Division:
    """Division of the total current.

    Attributes
    ----------
    share : array, shape (packs,)
        Part of each change of the total; sums to one over the packs that are connected, 0 for others.
    offset_a : array, shape (packs,)
        Current of each pack while the total is zero [A].
    measured : bool
        The offsets rest on measured currents of all.
    """

    share: FloatArray
    offset_a: FloatArray
    measured: bool

    def currents_a(self, total_a: float) -> FloatArray:
        """Give the current of each pack at a total current [A]."""
        return self.share * total_a + self.offset_a


def prior_conductances(views: Sequence[PackView]) -> FloatArray:
    """Give relative conductances from estimated resistances; where these are not known, from capacities.

    Cells of one kind have a resistance that is inverse to their capacity: a pack whose resistance is not
    known gets the median of what the others have at their capacity.

    Returns
    -------
    array, shape (packs,)
        Relative; all above zero.
    """
    resistance = np.array([view.resistance_ohm for view in views], np.float64)
    capacity = np.array([max(view.facts.capacity_ah, 1e-6) for view in views], np.float64)
    known = np.isfinite(resistance)
    product = float(np.median((resistance * capacity)[known])) if known.any() else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, 1.0 / resistance, capacity / product)


def divide(conductance: FloatArray, current_a: FloatArray, members: NDArray[np.bool_]) -> Division:
    """Divide between the packs that are connected.

    Parameters
    ----------
    conductance : array, shape (packs,)
        Relative, above zero.
    current_a : array, shape (packs,)
        Measured; NaN where it is not known: then no offset is known either.
    members : array of bool, shape (packs,)
        Connected packs.
    """
    share = np.zeros(len(conductance))
    offset = np.zeros(len(conductance))
    if not members.any():
        return Division(share, offset, False)
    share[members] = conductance[members] / conductance[members].sum()
    measured = bool(np.isfinite(current_a[members]).all())
    if measured:
        offset[members] = current_a[members] - share[members] * current_a[members].sum()
    return Division(share, offset, measured)


class ShareEstimator:
    """Follow the division of the current between packs.

    Parameters
    ----------
    packs : int
    """

    def __init__(self, packs: int) -> None:
        self._members = np.zeros(packs, bool)
        self._current_a = np.zeros(packs)
        self._before_a: FloatArray | None = None
        self._before_s = 0.0
        self._called_s = 0.0
        self._squares = 0.0
        self._products = np.zeros(packs)

    def step(self, views: Sequence[PackView], members: NDArray[np.bool_], t_s: float) -> Division:
        """Take the currents of now.

        Parameters
        ----------
        views : sequence of PackView
        members : array of bool, shape (packs,)
            Connected packs.
        t_s : float
            Monotonic time [s].
        """
        raw = np.array([view.current_a for view in views], np.float64)
        prior = prior_conductances(views)
        if not np.array_equal(members, self._members) or not np.isfinite(raw[members]).all():
            # whoever comes or goes changes all currents at once
            self._members = members.copy()
            self._current_a, self._before_a = raw.copy(), None
            self._squares, self._products = 0.0, np.zeros(len(views))
        else:
            weight = 1.0 - np.exp(-max(t_s - self._called_s, 0.0) / SMOOTHING_S)
            self._current_a = np.where(members, self._current_a + weight * (raw - self._current_a), raw)
            self._learn(raw, members, views, t_s)
        self._called_s = t_s
        return divide(self._conductance(prior, members, views), self._current_a, members)

    def _learn(
        self, raw: FloatArray, members: NDArray[np.bool_], views: Sequence[PackView], t_s: float
    ) -> None:
        if self._before_a is None:
            self._before_a, self._before_s = raw.copy(), t_s
            return
        if t_s - self._before_s < STEP_PERIOD_S:
            return
        change = raw - self._before_a
        self._before_a, self._before_s = raw.copy(), t_s
        total = float(change[members].sum())
        capacity = sum(view.facts.capacity_ah for view, member in zip(views, members, strict=True) if member)
        if abs(total) < SEEN_RATE * capacity:
            return
        self._squares = FORGETTING * self._squares + total * total
        self._products = FORGETTING * self._products + np.where(members, change * total, 0.0)

    def _conductance(
        self, prior: FloatArray, members: NDArray[np.bool_], views: Sequence[PackView]
    ) -> FloatArray:
        if self._squares == 0.0 or not members.any():
            return prior
        expected = np.where(members, prior, 0.0) / prior[members].sum()
        capacity = sum(view.facts.capacity_ah for view, member in zip(views, members, strict=True) if member)
        weight = (PRIOR_RATE * capacity) ** 2
        seen = (self._products + weight * expected) / (self._squares + weight)
        # a pack that seems to take nothing, or all of it, has a sensor that stands still
        seen = np.clip(seen, 0.2 * expected, 5.0 * expected)
        return np.where(members, seen / seen[members].sum(), prior)
