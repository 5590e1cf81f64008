"""State of charge and of health of several packs together.

Parallel: what they hold is added, and the state of charge is weighted with capacity. Series: what goes
through one goes through all, so the pack with the least charge ends the discharge and the one with the least
room the charge (the rule of cells in a pack, DESIGN of :class:`~openbms_core.types.StateOfCharge`). Errors
of the packs are partly the same (one cell model, one kind of sensor): their standard deviations are added
with a correlation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from openbms_control.aggregation.pack_view import PackView
from openbms_core.types import NO_SCAN, StateOfCharge, StateOfHealth

__all__ = ["CORRELATION", "aggregate_soc", "aggregate_soh", "combined_std"]

CORRELATION = 0.5
"""Of the errors of two packs: model and kind of sensor are shared, noise and offset of each sensor are
not.
"""
_QUALITY_UNKNOWN, _QUALITY_DEGRADED, _QUALITY_GOOD = 0, 3, 2
_METHOD = "aggregate"
_SLEW_PER_S = 0.01
"""Displayed state of charge moves by no more than this [1/s]: a pack that drops out or joins is no step."""


def combined_std(weights: NDArray[np.float64], stds: NDArray[np.float64]) -> float:
    """Give the standard deviation of a weighted sum of values whose errors are partly the same."""
    terms = weights * stds
    return float(
        math.sqrt(CORRELATION * float(terms.sum()) ** 2 + (1.0 - CORRELATION) * float((terms**2).sum()))
    )


def _joined(views: Sequence[PackView], name: str, size: str) -> NDArray[np.float64]:
    """Put the arrays of all packs behind one another; NaN for a pack that says nothing."""
    parts = []
    for view in views:
        length = getattr(view.facts, size)
        value = getattr(view.soc, name) if view.soc is not None else None
        parts.append(value if value is not None and len(value) == length else np.full(length, np.nan))
    return np.concatenate(parts) if parts else np.zeros(0)


def slewed(shown: float | None, value: float, passed_s: float) -> float:
    """Let what is shown follow a value slowly; NaN or nothing before: take it as it is."""
    if shown is None or not math.isfinite(shown) or not math.isfinite(value):
        return value
    step = _SLEW_PER_S * max(passed_s, 0.0)
    return min(max(value, shown - step), shown + step)


def aggregate_soc(
    views: Sequence[PackView],
    *,
    series: bool,
    stamp_s: float,
    shown: float | None = None,
    passed_s: float = 0.0,
) -> StateOfCharge:
    """Put the packs' states of charge together.

    Parameters
    ----------
    views : sequence of PackView
    series : bool
    stamp_s : float
        ROS time where no pack says one [s].
    shown : float, optional
        Displayed value before.
    passed_s : float
        Time since then [s].
    """
    counted = [view for view in views if view.in_service]
    missing = [view.name for view in views if not view.in_service]
    socs = [view.soc for view in counted if view.soc is not None]
    value = _series(counted) if series else _parallel(counted)
    if series and missing:
        value = (math.nan,) * 6
    soc, std, charge, charge_std, energy, energy_std = value
    displays = np.array([s.displayed_soc for s in socs], np.float64)
    weights = np.array([view.capacity_ah for view in counted], np.float64)
    display = math.nan
    if displays.size and not (series and missing) and weights.sum() > 0.0:
        display = float(displays.min()) if series else float((weights * displays).sum() / weights.sum())
    qualities = [s.quality for s in socs]
    reasons = [f"{view.name}: {view.soc.quality_reason}" for view in counted
               if view.soc is not None and view.soc.quality_reason]  # fmt: skip
    quality = max(qualities, default=_QUALITY_UNKNOWN)
    if not math.isfinite(soc) or _QUALITY_UNKNOWN in qualities:
        quality = _QUALITY_UNKNOWN
    if missing:
        reasons.insert(0, f"not counted: {', '.join(missing)}")
        quality = max(quality, _QUALITY_DEGRADED) if math.isfinite(soc) else quality
    return StateOfCharge(
        stamp_s=max((s.stamp_s for s in socs), default=stamp_s),
        scan_number=NO_SCAN,
        soc=soc,
        soc_std=std,
        displayed_soc=slewed(shown, display, passed_s),
        cell_soc=_joined(views, "cell_soc", "cells"),
        cell_soc_std=_joined(views, "cell_soc_std", "cells"),
        string_soc=_joined(views, "string_soc", "strings"),
        string_soc_std=_joined(views, "string_soc_std", "strings"),
        remaining_charge_ah=charge,
        remaining_charge_std_ah=charge_std,
        remaining_energy_wh=energy,
        remaining_energy_std_wh=energy_std,
        current_bias_a=_joined(views, "current_bias_a", "strings"),
        current_bias_std_a=_joined(views, "current_bias_std_a", "strings"),
        voltage_innovation_v=_joined(views, "voltage_innovation_v", "cells"),
        method=_METHOD,
        quality=quality,
        quality_reason="; ".join(reasons),
    )


_Six = tuple[float, float, float, float, float, float]


def _parallel(counted: Sequence[PackView]) -> _Six:
    socs = [view.soc for view in counted if view.soc is not None]
    capacity = np.array([view.capacity_ah for view in counted], np.float64)
    if not socs or capacity.sum() <= 0.0:
        return (math.nan,) * 6
    weights, ones = capacity / capacity.sum(), np.ones(len(socs))
    soc = float((weights * np.array([s.soc for s in socs])).sum())
    return (
        soc,
        combined_std(weights, np.array([s.soc_std for s in socs])),
        float(sum(s.remaining_charge_ah for s in socs)),
        combined_std(ones, np.array([s.remaining_charge_std_ah for s in socs])),
        float(sum(s.remaining_energy_wh for s in socs)),
        combined_std(ones, np.array([s.remaining_energy_std_wh for s in socs])),
    )


def _series(counted: Sequence[PackView]) -> _Six:
    socs = [view.soc for view in counted if view.soc is not None]
    if not socs:
        return (math.nan,) * 6
    capacity = np.array([view.capacity_ah for view in counted], np.float64)
    z = np.array([s.soc for s in socs], np.float64)
    held, room = z * capacity, (1.0 - z) * capacity
    if not np.isfinite(held).all() or held.min() + room.min() <= 0.0:
        return (math.nan,) * 6
    total = float(held.min() + room.min())
    low, high = int(held.argmin()), int(room.argmin())
    std_ah = np.array([s.soc_std for s in socs], np.float64) * capacity
    # what is over in one pack when the weakest is empty cannot be taken out: energy at the pack's own mean
    # voltage
    charge = np.array([s.remaining_charge_ah for s in socs], np.float64)
    energy = np.array([s.remaining_energy_wh for s in socs], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        usable = np.where(charge > 0.0, energy * charge.min() / charge, 0.0)
    return (
        float(held.min()) / total,
        float(max(std_ah[low], std_ah[high])) / total,
        float(charge.min()),
        float(socs[int(charge.argmin())].remaining_charge_std_ah),
        float(usable.sum()),
        combined_std(np.ones(len(socs)), np.array([s.remaining_energy_std_wh for s in socs])),
    )


def _joined_soh(views: Sequence[PackView], name: str, kind: type = np.float64) -> NDArray[np.float64]:
    parts = []
    for view in views:
        value = getattr(view.soh, name) if view.soh is not None else None
        missing = (
            np.full(view.facts.cells, np.nan) if kind is np.float64 else np.zeros(view.facts.cells, kind)
        )
        parts.append(value if value is not None and len(value) == view.facts.cells else missing)
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def aggregate_soh(views: Sequence[PackView], *, series: bool, stamp_s: float) -> StateOfHealth | None:
    """Put the packs' states of health together; None until one says something.

    Capacity of parallel packs is added; of packs in series the smallest counts. What has flown is added where
    packs are parallel, and is the mean where one current flows through all.
    """
    known = [(view, view.soh) for view in views if view.soh is not None]
    if not known:
        return None
    rated = np.array([view.facts.capacity_ah for view in views], np.float64)
    whole = len(known) == len(views)
    sohs = [soh for _, soh in known]
    balanced = np.array([s.usable_capacity_balanced_ah for s in sohs], np.float64)
    now = np.array([s.usable_capacity_now_ah for s in sohs], np.float64)
    stds = np.array([s.soh_std * s.rated_capacity_ah for s in sohs], np.float64)
    total = float(rated.min() if series else rated.sum())
    worst = min(known, key=lambda item: item[1].soh if math.isfinite(item[1].soh) else math.inf)
    before = sum(view.facts.cells for view in views[: views.index(worst[0])])
    share = 1.0 / len(sohs) if series else 1.0
    quality = min(s.quality for s in sohs) if whole else 0
    reasons = [f"{view.name}: {soh.quality_reason}" for view, soh in known if soh.quality_reason]
    if not whole:
        reasons.insert(0, f"not heard: {', '.join(view.name for view in views if view.soh is None)}")

    def add(values: NDArray[np.float64]) -> float:
        return float(values.min() if series else values.sum())

    std = float(stds[balanced.argmin()]) if series else combined_std(np.ones(len(stds)), stds)
    return StateOfHealth(
        stamp_s=max(s.stamp_s for s in sohs),
        scan_number=NO_SCAN,
        soh=add(balanced) / total if whole else math.nan,
        soh_std=std / total if whole else math.nan,
        rated_capacity_ah=total,
        usable_capacity_now_ah=add(now) if whole else math.nan,
        usable_capacity_balanced_ah=add(balanced) if whole else math.nan,
        weakest_cell=before + worst[1].weakest_cell if worst[1].weakest_cell >= 0 else -1,
        weakest_probability=math.nan,
        cell_capacity_ah=_joined_soh(views, "cell_capacity_ah"),
        cell_capacity_std_ah=_joined_soh(views, "cell_capacity_std_ah"),
        cell_capacity_pairs=_joined_soh(views, "cell_capacity_pairs", np.uint32),  # type: ignore[arg-type]
        cell_resistance_ohm=_joined_soh(views, "cell_resistance_ohm"),
        cell_resistance_std_ohm=_joined_soh(views, "cell_resistance_std_ohm"),
        cell_resistance_10s_ohm=_joined_soh(views, "cell_resistance_10s_ohm"),
        cell_resistance_10s_std_ohm=_joined_soh(views, "cell_resistance_10s_std_ohm"),
        cell_resistance_ratio=_joined_soh(views, "cell_resistance_ratio"),
        incremental_peak_voltage_v=_joined_soh(views, "incremental_peak_voltage_v"),
        incremental_peak=_joined_soh(views, "incremental_peak"),
        charge_in_ah=share * sum(s.charge_in_ah for s in sohs),
        charge_out_ah=share * sum(s.charge_out_ah for s in sohs),
        energy_in_wh=sum(s.energy_in_wh for s in sohs),
        energy_out_wh=sum(s.energy_out_wh for s in sohs),
        equivalent_full_cycles=float(np.mean([s.equivalent_full_cycles for s in sohs])),
        temperature_edges_degc=np.zeros(0),
        soc_edges=np.zeros(0),
        time_at_s=np.zeros(0),
        quality=quality,
        quality_reason="; ".join(reasons),
    )
