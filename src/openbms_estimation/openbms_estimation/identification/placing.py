"""Put tests on the axis of the state of charge: where each began, what is missing between its rows.

A test whose file says where it began (``soc0``) is believed. Else it is placed by what can be seen: it begins
or ends full (at the charge limit), or ends empty (slowly, warm, at the discharge limit), or begins at rest at
a voltage that a slow test of the same cell tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_estimation.identification.read import CellTest
from openbms_estimation.identification.records import Record, make_record

__all__ = ["Limits", "Placement", "is_slow", "measured_capacity_ah", "place", "to_records"]

FloatArray = NDArray[np.float64]

SLOW_C = 1.0 / 8.0
"""A test that never flows faster than this for long tells the open-circuit voltage."""
_REST_C = 1.0 / 12.0
_GAP_S = 120.0


@dataclass(frozen=True)
class Limits:
    """Ends of the voltage in the tests.

    Attributes
    ----------
    voltage_min_v, voltage_max_v : float
    full_rest_v : float
        At rest above this the cell has just been charged full.
    """

    voltage_min_v: float
    voltage_max_v: float
    full_rest_v: float


@dataclass(frozen=True)
class Placement:
    """Where a test lies: ``soc = soc_start + charge moved / capacity``.

    Attributes
    ----------
    soc_start, capacity_ah : float
    charge_factor : float
        Part of the charge put in that counts (slow charges that end full).
    why : str
        How the start is known, for people.
    certain : bool
        By an anchor, not by voltage.
    """

    soc_start: float
    capacity_ah: float
    charge_factor: float
    why: str
    certain: bool


def is_slow(test: CellTest, capacity_ah: float) -> bool:
    """Tell whether a test is slow enough for the open-circuit voltage."""
    moving = np.abs(test.current_a) > 0.005 * capacity_ah
    return bool(moving.any()) and bool(
        np.percentile(np.abs(test.current_a[moving]), 80) < SLOW_C * capacity_ah
    )


def charge_moved_ah(test: CellTest, capacity_ah: float) -> tuple[FloatArray, NDArray[np.intp], int]:
    """Charge since the first row [Ah], rows that begin after a gap in which charge moved unseen, and the
    number of rows before the counter is first reset: what follows is on an axis of its own.
    """
    elapsed, step = np.diff(test.time_s), np.diff(test.ah)
    strongest = np.maximum(np.abs(test.current_a[1:]), np.abs(test.current_a[:-1]))
    unexplained = np.abs(step) > 1.2 * strongest * elapsed / 3600.0 + 0.005 * capacity_ah
    zeroed = unexplained & (np.abs(test.ah[1:]) < 1e-3 * capacity_ah)
    possible = np.abs(step) < 3.0 * capacity_ah * elapsed / 3600.0
    reset = unexplained & (zeroed | ~possible | (elapsed < _GAP_S))
    step = np.where(reset, test.current_a[1:] * np.minimum(elapsed, 10.0) / 3600.0, step)
    rows = int(np.flatnonzero(reset)[0]) + 1 if reset.any() else len(test.time_s)
    return np.r_[0.0, np.cumsum(step)], np.flatnonzero(unexplained & ~reset) + 1, rows


def _ends_full(test: CellTest, moved: FloatArray, capacity_ah: float, limits: Limits) -> bool:
    charged = moved[-1] - moved.min() > 0.005 * capacity_ah
    voltage = test.voltage_v[: len(moved)]
    top = np.flatnonzero(voltage > limits.voltage_max_v - 0.03)
    if not charged or not len(top) or voltage[-1] < limits.full_rest_v:
        return False
    return bool(moved[-1] > moved[top[-1]] - 0.01 * capacity_ah)


def _ends_empty(test: CellTest, capacity_ah: float, limits: Limits) -> bool:
    last = test.time_s > test.time_s[-1] - 1800.0
    low = last & (test.voltage_v < limits.voltage_min_v + 0.1)
    slow = np.abs(test.current_a) < 0.3 * capacity_ah
    return bool(np.any(low & slow)) and float(np.median(test.temperature_degc[last])) > 15.0


def place(
    test: CellTest,
    capacity_ah: float,
    limits: Limits,
    soc_of_rest: Callable[[float, float], float] | None = None,
) -> Placement | None:
    """Place a test.

    Parameters
    ----------
    test : CellTest
    capacity_ah : float
        Charge between empty and full where the test's file does not say it.
    limits : Limits
    soc_of_rest : callable, optional
        State of charge of a rest voltage [V] at a temperature [°C].

    Returns
    -------
    Placement or None
        None: not to be placed (yet).
    """
    slow = is_slow(test, capacity_ah)
    capacity = capacity_ah if slow else test.capacity_ah or capacity_ah
    moved, _, rows = charge_moved_ah(test, capacity)
    moved = moved[:rows]
    resting = abs(test.current_a[0]) < _REST_C * capacity
    if test.soc_at_start is not None:
        return Placement(test.soc_at_start, capacity, 1.0, "its file says so", True)
    if resting and test.voltage_v[0] > limits.full_rest_v and moved.min() < -0.02 * capacity:
        start, why = 1.0, "begins full"
    elif resting and test.voltage_v[0] < limits.voltage_min_v + 0.35 and moved.max() > 0.5 * capacity:
        start, why = 0.0, "begins empty"
    elif _ends_full(test, moved, capacity, limits):
        start, why = 1.0 - moved[-1] / capacity, "ends full"
        if start < 0.05 and resting and slow:
            start = max(start, 0.0)
    elif _ends_empty(test, capacity, limits):
        start, why = -moved[-1] / capacity, "ends empty"
    elif resting and soc_of_rest is not None:
        soc = soc_of_rest(float(test.voltage_v[0]), float(test.temperature_degc[0]))
        return Placement(soc, capacity, 1.0, "voltage of its first rest", False)
    else:
        return None
    factor = 1.0
    if slow:
        # testers' small offsets add up over the tens of hours of a slow charge: it ends full, not above
        put_in = np.maximum(np.diff(moved, prepend=0.0), 0.0)
        lowest = int(np.argmin(moved))
        after = float(put_in[lowest:].sum()) / capacity
        room = 1.0 - (start + moved[lowest] / capacity)
        full = _ends_full(test, moved, capacity, limits)
        warm = float(np.median(test.temperature_degc)) > 15.0
        if after > 0.3 and 0.9 < room / after < 1.1 and (room < after or (full and warm)):
            factor = room / after
    return Placement(float(start), capacity, float(factor), why, True)


def measured_capacity_ah(
    tests: Sequence[CellTest], rated_ah: float, limits: Limits
) -> tuple[float, str] | None:
    """Capacity of the cell from its slow discharges from full to empty, nearest to 25 °C.

    Returns
    -------
    (float, str) or None
        Capacity [Ah] and the file it is from.
    """
    found = []
    for test in tests:
        if not is_slow(test, rated_ah):
            continue
        moved, _, rows = charge_moved_ah(test, rated_ah)
        moved = moved[:rows]
        low = int(np.argmin(moved))
        high = int(np.argmax(moved[: low + 1]))
        taken = moved[high] - moved[low]
        at_top = test.voltage_v[high] > limits.full_rest_v
        at_bottom = test.voltage_v[: low + 1].min() < limits.voltage_min_v + 0.35
        if at_top and at_bottom and taken > 0.2 * rated_ah:
            temperature = float(np.median(test.temperature_degc[high : low + 1]))
            found.append((abs(temperature - 25.0), float(taken), test.path.name))
    if not found:
        return None
    _, capacity, name = min(found)
    return capacity, name


def to_records(test: CellTest, placement: Placement) -> list[Record]:
    """Give the records of a test: one, and one more after every gap in which charge moved unseen."""
    moved, gaps, rows = charge_moved_ah(test, placement.capacity_ah)
    moved, gaps = moved[:rows], gaps[gaps < rows]
    step = np.diff(moved, prepend=0.0)
    step = np.where(step > 0.0, step * placement.charge_factor, step)
    counter = np.cumsum(step)
    slow = is_slow(test, placement.capacity_ah)
    records = []
    for first, last in zip([0, *gaps], [*gaps, len(moved)], strict=True):
        if last - first < 10:
            continue
        here = slice(int(first), int(last))
        columns = {
            "time_s": test.time_s[here],
            "voltage_v": test.voltage_v[here],
            "current_a": test.current_a[here],
            "temperature_c": test.temperature_degc[here],
            "ah": counter[here],
        }
        start = placement.soc_start + counter[first] / placement.capacity_ah
        records.append(make_record(test.path.stem, columns, placement.capacity_ah, start, slow=slow))
    return records
