"""What several packs together may take and give.

Parallel packs: not the sum of their limits. The current divides by itself (:mod:`.sharing`), so that the pack
which would reach its own limit first binds all: I <= (L_k - c_k) / s_k for each connected pack k. The sum of
the limits is what this gives where they divide as they may; otherwise it is less. Series packs carry one
current: the smallest limit.

A pack that is gone or opens: the others carry the rest, and the limit follows in the same step. As long as
nobody knows that a lost pack is off the bus, the limit does not rise above what it was while the pack was
heard: whether it still carries its share or not, neither it nor the others then get more than they allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openbms_control.aggregation.pack_view import Connection, PackView
from openbms_control.aggregation.sharing import Division
from openbms_core.types import FinalLimits

__all__ = ["REASONS", "AggregateLimits", "Bound", "parallel_bound", "series_bound"]

RISE_TIME_S = 5.0
"""A limit needs this long to rise from zero to its full value, as that of a single pack: falling is at
once.
"""
OPENING_USE = 0.8
"""Part of its break current that a pack that opens may still carry."""
SHORTEST_VALID_S = 0.15
"""The limits of all expire with the first of the packs' own, but live long enough to be renewed."""

REASONS: dict[str, str] = {
    "between_packs": "current that flows between the packs uses up what this pack may take",
    "no_pack": "no pack is connected",
    "pack_lost": "a pack is not heard and may still be connected: nothing rises until it is",
    "series_open": "a pack of the series is not connected",
    "rising": "the limit rises slowly after it was smaller",
    "zero_current_requested": "the contactors are about to open",
}
"""Reason codes of the aggregate's own, before any colon; those of a single pack hold as well: where one binds
all, its reason is given with its name behind (``cell_voltage_high:string_2``)."""


@dataclass(frozen=True)
class Bound:
    """A limit of the whole, and what binds it."""

    current_a: float
    reason: str


def _own_limit(view: PackView, charge: bool) -> tuple[float, str]:
    """Give the current limit of one pack, its power limit taken as a current at its present voltage.

    A pack that is about to open gets what its contactors break without wear: so much less for all.
    """
    limits = view.limits
    if view.opening:
        return OPENING_USE * view.facts.break_current_a, "zero_current_requested"
    if limits is None:
        return 0.0, "measurement_lost"
    current = limits.charge_current_a if charge else limits.discharge_current_a
    power = limits.charge_power_w if charge else limits.discharge_power_w
    reason = limits.charge_reason if charge else limits.discharge_reason
    if not math.isfinite(current) or not math.isfinite(power):
        return 0.0, "measurement_lost"
    if view.voltage_v > 0.0:
        current = min(current, power / view.voltage_v)
    return max(current, 0.0), reason


def parallel_bound(
    views: Sequence[PackView], division: Division, *, charge: bool, margin: float = 0.0
) -> Bound:
    """Give the largest current of all at which no connected pack exceeds its own limit.

    Parameters
    ----------
    views : sequence of PackView
    division : Division
        Shares are above zero for exactly the connected packs.
    charge : bool
        Direction.
    margin : float
        Part by which a share may be larger than it is thought to be.
    """
    sign = 1.0 if charge else -1.0
    best: Bound | None = None
    for view, share, offset in zip(views, division.share, division.offset_a, strict=True):
        if share <= 0.0:
            continue
        limit, reason = _own_limit(view, charge)
        room = limit - (abs(float(offset)) if view.opening else sign * float(offset))
        if limit == 0.0 or room <= 0.0:
            why = f"{reason}:{view.name}" if limit == 0.0 else f"between_packs:{view.name}"
            bound = Bound(0.0, why)
        else:
            bound = Bound(room / (min(float(share) * (1.0 + margin), 1.0)), f"{reason}:{view.name}")
        if best is None or bound.current_a < best.current_a:
            best = bound
    return best or Bound(0.0, "no_pack")


def series_bound(views: Sequence[PackView], *, charge: bool) -> Bound:
    """Give the smallest limit; zero unless every pack is connected."""
    for view in views:
        if not view.connected:
            return Bound(0.0, f"series_open:{view.name}")
    own = [(*_own_limit(view, charge), view.name) for view in views]
    current, reason, name = min(own)
    return Bound(current, f"{reason}:{name}")


class AggregateLimits:
    """Compute the limits of all; its state is what a limit was before.

    Parameters
    ----------
    series : bool
        The packs are in series, not parallel.
    margin : float
        See :func:`parallel_bound`.
    """

    def __init__(self, *, series: bool, margin: float) -> None:
        self._series, self._margin = series, margin
        self._before: dict[bool, float | None] = {True: None, False: None}
        self._before_s = -math.inf
        self._heard: set[str] = set()
        """Packs that were connected when they were last heard."""

    def step(
        self,
        views: Sequence[PackView],
        division: Division,
        t_s: float,
        *,
        zero_current: bool,
        state_reason: str,
    ) -> FinalLimits:
        """Compute the limits now.

        Parameters
        ----------
        views : sequence of PackView
        division : Division
        t_s : float
            Monotonic time [s].
        zero_current : bool
            The whole is about to open.
        state_reason : str
            ``state:<NAME>``: why nothing is allowed while nobody is connected.
        """
        held = self._held(views)
        values: dict[bool, tuple[float, float, str]] = {}
        for charge in (True, False):
            bound = self._bound(views, division, charge, zero_current, state_reason)
            values[charge] = self._with_power(views, self._follow(bound, views, charge, held, t_s), charge)
        self._before_s = t_s
        texts = [f"{'Charge' if charge else 'Discharge'}: {values[charge][2]}." for charge in (True, False)]
        if held:
            texts.append(f"Not heard, and perhaps connected: {', '.join(held)}.")
        left_s = [view.limits_left_s for view in views if view.connected]
        own_s = [view.limits.valid_for_s for view in views if view.connected and view.limits is not None]
        shutdowns = [
            view.limits.shutdown_in_s for view in views if view.connected and view.limits is not None
        ]
        known = [value for value in shutdowns if math.isfinite(value)]
        return FinalLimits(
            charge_current_a=values[True][0], discharge_current_a=values[False][0],
            charge_power_w=values[True][1], discharge_power_w=values[False][1],
            charge_reason=values[True][2], discharge_reason=values[False][2],
            explanation=" ".join(texts),
            limp_home=any(view.limits.limp_home for view in views if view.connected and view.limits),
            shutdown_in_s=min(known, default=math.nan),
            valid_for_s=max(SHORTEST_VALID_S, min([*left_s, *own_s], default=0.5)),
        )  # fmt: skip

    def _held(self, views: Sequence[PackView]) -> list[str]:
        """Give the packs that were connected and are not known to be off the bus."""
        for view in views:
            if view.connected:
                self._heard.add(view.name)
            elif view.connection is Connection.OPEN:
                self._heard.discard(view.name)
        return [view.name for view in views if not view.connected and view.name in self._heard and view.lost]

    def _bound(
        self,
        views: Sequence[PackView],
        division: Division,
        charge: bool,
        zero_current: bool,
        state_reason: str,
    ) -> Bound:
        if not any(view.connected for view in views):
            return Bound(0.0, state_reason)
        if zero_current:
            return Bound(0.0, "zero_current_requested")
        if self._series:
            return series_bound(views, charge=charge)
        margin = self._margin if division.measured else 2.0 * self._margin
        return parallel_bound(views, division, charge=charge, margin=margin)

    def _follow(
        self, bound: Bound, views: Sequence[PackView], charge: bool, held: Sequence[str], t_s: float
    ) -> Bound:
        """Let a limit rise slowly, and not at all while a pack may be connected that is not heard."""
        before = self._before[charge]
        if before is not None and bound.current_a > before:
            full = sum(_own_limit(view, charge)[0] for view in views if view.connected)
            risen = before + full * max(0.0, t_s - self._before_s) / RISE_TIME_S
            if held:
                bound = Bound(before, f"pack_lost:{held[0]}")
            elif bound.current_a > risen:
                bound = Bound(risen, "rising")
        nobody = not any(view.connected for view in views) and not held
        self._before[charge] = None if nobody else bound.current_a
        return bound

    def _with_power(self, views: Sequence[PackView], bound: Bound, charge: bool) -> tuple[float, float, str]:
        connected = [view for view in views if view.connected]
        voltages = np.array([view.voltage_v for view in connected], np.float64)
        if not voltages.size or not np.isfinite(voltages).any():
            return bound.current_a, 0.0, bound.reason
        voltage = float(np.nansum(voltages)) if self._series else float(np.nanmin(voltages))
        if self._series and not np.isfinite(voltages).all():
            return bound.current_a, 0.0, bound.reason
        watts = sum(
            max(0.0, view.limits.charge_power_w if charge else view.limits.discharge_power_w)
            for view in connected
            if view.limits is not None
        )
        return bound.current_a, min(bound.current_a * max(voltage, 0.0), watts), bound.reason
