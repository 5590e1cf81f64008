"""The measurement of several packs together, in one set of arrays.

Parallel: each string of each pack is a string of the whole; pack after pack, in the order of the system
file. Only what is on the bus has its string voltage here (a pack that is off the bus has another one, and
would spoil the mean), and it carries zero current. A pack that is not heard: everything is MISSING. Series:
all strings are one; its current is that of the pack measured best, its voltage the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from openbms_control.aggregation.pack_view import Connection, PackView
from openbms_core.types import UNKNOWN, BusState, PackMeasurement, Validity

__all__ = ["aggregate_scan", "link_voltage_v", "total_current_a"]

_WORST_HIGH = ("emergency_stop", "smoke", "gas", "ignition", "charging_plug")


def link_voltage_v(views: Sequence[PackView], *, series: bool) -> float:
    """Give the voltage of the bus [V]; NaN where nobody knows it.

    The median of what connected packs measure (link, else their own voltage), so that one bad sensor does not
    decide; where none is connected that of the links.
    """
    connected = [view for view in views if view.connected]
    if series:
        own = [view.voltage_v for view in views]
        return float(sum(own)) if len(connected) == len(views) else math.nan
    seen = [view.link_v if math.isfinite(view.link_v) else view.voltage_v for view in connected]
    if not seen:
        seen = [view.link_v for view in views]
    known = [value for value in seen if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def total_current_a(views: Sequence[PackView], *, series: bool) -> float:
    """Give the current of all [A], positive when charging; NaN where that of a pack on the bus is not
    known.
    """
    if series:
        known = [view.current_a for view in views if math.isfinite(view.current_a)]
        return float(np.median(known)) if known else math.nan
    return float(sum(0.0 if view.connection is Connection.OPEN else view.current_a for view in views))


def _empty(view: PackView) -> PackMeasurement:
    facts = view.facts
    scan = PackMeasurement.empty(facts.cells, facts.sensors, facts.strings, actuators=facts.actuators)
    if view.connection is Connection.OPEN:
        scan.string_currents_a[:] = 0.0
        scan.string_current_validity[:] = Validity.VALID
    return scan


def _part(view: PackView) -> PackMeasurement:
    """Give a pack's scan as it counts in the whole."""
    scan, facts = view.scan, view.facts
    if scan is None or (
        len(scan.cell_voltages_v),
        len(scan.string_currents_a),
        len(scan.temperatures_degc),
    ) != (
        facts.cells,
        facts.strings,
        facts.sensors,
    ):
        return _empty(view)
    if view.connection is not Connection.OPEN:
        return scan
    values = {item.name: getattr(scan, item.name) for item in fields(scan)}
    off = np.full(facts.strings, Validity.NOT_AVAILABLE, np.uint8)
    values |= {"string_voltages_v": np.full(facts.strings, np.nan), "string_voltage_validity": off}
    values |= {
        "string_currents_a": np.zeros(facts.strings),
        "string_current_validity": np.zeros(facts.strings, np.uint8),
    }
    return PackMeasurement(**values)


def _worst(values: Sequence[int], high: bool) -> int:
    """Give the value that matters of on-off inputs; unknown where none is known."""
    known = [value for value in values if value != UNKNOWN]
    if not known:
        return UNKNOWN
    return max(known) if high else min(known)


def aggregate_scan(
    views: Sequence[PackView], *, series: bool, stamp_s: float, number: int
) -> PackMeasurement:
    """Put the newest scans together.

    Parameters
    ----------
    views : sequence of PackView
    series : bool
    stamp_s : float
        ROS time [s]; the scans are up to one scan period older.
    number : int
        Number of this scan of the whole.
    """
    parts = [_part(view) for view in views]
    values: dict[str, Any] = {}
    for item in fields(PackMeasurement):
        if "Array" in str(item.type):
            values[item.name] = np.concatenate([getattr(part, item.name) for part in parts])
    # a pack that has no second sensors would shift those of the others
    for name in [name for name in values if name.startswith("redundant_")]:
        size = "cells" if "cell" in name else "strings"
        if len(values[name]) != sum(getattr(view.facts, size) for view in views):
            values[name] = values[name][:0]
    scan = PackMeasurement(**values, stamp_s=stamp_s, scan_number=number, scan_duration_s=_longest(parts))
    if series:
        _to_one_string(scan, views)
    scan.link_voltage_v = link_voltage_v(views, series=series)
    scan.link_voltage_validity = (
        Validity.VALID if math.isfinite(scan.link_voltage_v) else Validity.NOT_AVAILABLE
    )
    for name in (*_WORST_HIGH, "interlock"):
        setattr(scan, name, _worst([getattr(part, name) for part in parts], name in _WORST_HIGH))
    insulation = [
        p.insulation_resistance_ohm for p in parts if p.insulation_resistance_validity == Validity.VALID
    ]
    if insulation:  # they lie on one bus: the smallest is the truest
        scan.insulation_resistance_ohm = min(insulation)
        scan.insulation_resistance_validity = Validity.VALID
    power = [p.auxiliary_power_w for p in parts if p.auxiliary_power_validity == Validity.VALID]
    if power:
        scan.auxiliary_power_w, scan.auxiliary_power_validity = float(sum(power)), Validity.VALID
    scan.bus_state = max((part.bus_state for part in parts), default=BusState.CONNECTING)
    scan.bus_message = "; ".join(
        f"{view.name}: {'not heard' if view.scan is None else view.scan.bus_message}"
        for view in views
        if view.scan is None or view.scan.bus_message
    )
    if any(view.scan is not None and view.scan.bus_state == BusState.OK for view in views):
        scan.bus_state = BusState.OK  # of the rest; who is missing stands in the text and in the validities
    scan.frames_received = sum(part.frames_received for part in parts)
    scan.frames_rejected = sum(part.frames_rejected for part in parts)
    return scan


def _longest(parts: Sequence[PackMeasurement]) -> float:
    known = [part.scan_duration_s for part in parts if math.isfinite(part.scan_duration_s)]
    return max(known, default=math.nan)


def _to_one_string(scan: PackMeasurement, views: Sequence[PackView]) -> None:
    """Make one string of all: they carry one current."""
    current = total_current_a(views, series=True)
    valid = Validity.VALID if math.isfinite(current) else Validity.MISSING
    first = next((v.scan for v in views if v.scan is not None and math.isfinite(v.current_a)), None)
    voltage = float(sum(view.voltage_v for view in views))
    for item in fields(PackMeasurement):
        if item.name.startswith(("string_", "redundant_string_")):
            whole = getattr(scan, item.name)
            own = getattr(first, item.name)[:1] if first is not None else whole[:1]
            setattr(scan, item.name, own.copy() if len(whole) else whole)
    scan.string_currents_a[:1], scan.string_current_validity[:1] = current, valid
    known = math.isfinite(voltage)
    scan.string_voltages_v = np.array([voltage])
    scan.string_voltage_validity = np.array([0 if known else Validity.MISSING], np.uint8)
    feedback = scan.contactor_feedback.reshape(-1, 3)
    # the string is closed when every pack is
    joined = [UNKNOWN if (column == UNKNOWN).any() else int(column.min()) for column in feedback.T]
    scan.contactor_feedback = np.array(joined, np.uint8)
