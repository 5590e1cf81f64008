"""When a pack may be connected to a bus that others hold up, and which one comes first.

Two packs of different voltage exchange a current as soon as they are connected, which only their resistances
limit. So a pack joins where both hold: its voltage lies within a window of the bus (else the contactor
closes on an arc), and the current that would flow once the load is gone is small. The second is predicted
from what the packs would have without load, since a loaded bus lies below its packs' own voltage and a pack
that fits to it now would not later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openbms_control.aggregation.pack_view import PackView
from openbms_control.aggregation.scan import link_voltage_v, total_current_a
from openbms_core.types import State

__all__ = ["JoinSettings", "equalising_current_a", "first_pack", "misfit", "resistance_ohm"]

OWN_WINDOW_USE = 0.9
"""Part of the window of the pack's own monitor that is used: it must still fit when the contactor moves."""


@dataclass(frozen=True)
class JoinSettings:
    """When a pack may join.

    Attributes
    ----------
    voltage_difference_max_v : float
        Between pack and bus; NaN: 0.9 of what the pack's own safety monitor allows.
    current_max_a : float
        Predicted current between the joining pack and the others; NaN: 0.8 of its break current.
    settle_s : float
        Both must hold for this long.
    """

    voltage_difference_max_v: float = math.nan
    current_max_a: float = math.nan
    settle_s: float = 1.0

    def window_v(self, view: PackView) -> float:
        """Give the window of a pack [V]: never more than its own monitor's."""
        own = OWN_WINDOW_USE * view.facts.join_window_v
        known = [value for value in (own, self.voltage_difference_max_v) if math.isfinite(value)]
        # without any: two in a thousand of the nominal voltage (0.8 V of 400 V)
        return min(known, default=0.002 * view.facts.nominal_v)

    def current_a(self, view: PackView) -> float:
        """Give the largest equalising current of a pack [A]."""
        return self.current_max_a if math.isfinite(self.current_max_a) else 0.8 * view.facts.break_current_a


def resistance_ohm(view: PackView) -> float:
    """Give a pack's resistance [ohm]: estimated, else as its cell file has it."""
    return view.resistance_ohm if math.isfinite(view.resistance_ohm) else view.facts.model_resistance_ohm


def equalising_current_a(view: PackView, connected: Sequence[PackView], bus_v: float) -> float:
    """Predict the current that flows into a pack once it is connected and the load is gone [A].

    Parameters
    ----------
    view : PackView
        The pack that would join; it carries no current.
    connected : sequence of PackView
        Packs on the bus.
    bus_v : float
        Present voltage of the bus [V].
    """
    conductance = sum(1.0 / max(resistance_ohm(one), 1e-6) for one in connected)
    unloaded_v = bus_v - total_current_a(connected, series=False) / conductance
    return (unloaded_v - view.voltage_v) / (resistance_ohm(view) + 1.0 / conductance)


def misfit(view: PackView, connected: Sequence[PackView], settings: JoinSettings) -> str:
    """Give why a pack does not fit to the bus now, in words; empty: it fits."""
    bus_v, own_v = link_voltage_v(connected, series=False), view.voltage_v
    if not math.isfinite(bus_v) or not math.isfinite(own_v):
        return "its voltage, or that of the bus, is not known"
    if math.isfinite(view.link_v) and abs(view.link_v - bus_v) > max(
        2.0 * settings.window_v(view), 0.05 * bus_v
    ):
        return f"it measures {view.link_v:.1f} V on its side of the bus, the others {bus_v:.1f} V"
    window_v = settings.window_v(view)
    if abs(own_v - bus_v) > window_v:
        return (
            f"its {own_v:.1f} V are {abs(own_v - bus_v):.1f} V off the bus, at most {window_v:.2g} V may be"
        )
    current = equalising_current_a(view, connected, bus_v)
    if not abs(current) <= settings.current_a(view):
        return (
            f"about {abs(current):.0f} A would flow between it and the others, at most "
            f"{settings.current_a(view):.0f} A may"
        )
    return ""


def first_pack(candidates: Sequence[PackView], target: State, settings: JoinSettings) -> PackView | None:
    """Give the pack that charges the link and holds the bus up for the others.

    For a load the one with the highest voltage, for a charger the lowest: the current then brings the bus
    towards those that wait. For storage, where current goes both ways, one of the largest group that fits
    together (of equal ones the highest): a single pack that stands apart does not keep all others out.

    Parameters
    ----------
    candidates : sequence of PackView
        Packs whose monitors would close.
    target : State
    settings : JoinSettings
    """
    known = [view for view in candidates if math.isfinite(view.voltage_v)]
    if not known:
        return None
    volts = np.array([view.voltage_v for view in known])
    if target == State.CHARGE:
        return known[int(volts.argmin())]
    if target == State.DRIVE:
        return known[int(volts.argmax())]
    windows = np.array([settings.window_v(view) for view in known])
    # packs above one that lie within its window: then it can be left below, or the highest of them begins
    sizes = [int((np.abs(volts - own) <= windows).sum()) for own in volts]
    best = max(range(len(known)), key=lambda i: (sizes[i], volts[i]))
    return known[best]
