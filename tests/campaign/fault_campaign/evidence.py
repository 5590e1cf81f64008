"""What a row of the fault table should have seen: its condition, taken from the twin's side of the bus.

One line a row in :data:`HOLDS`: a condition over the scans, from what the device's sensors really said
(before any frame), and the number that the row compares with. From that follow the moments by which the row
*must* have acted, and whether it *may* have acted at all. Nothing here asks the monitor.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fault_campaign.trace import FEEDBACK, SensedArrays, Trace, conducts
from openbms_core.faults import FaultRow, limit_value
from openbms_core.pack import PackFile, SignalMap
from openbms_core.types import State
from openbms_sim.frames import Layout

__all__ = ["HOLDS", "Evidence", "Window"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SCANS_OF_DOUBT = 2
"""A condition that holds for this many scans more than the debounce must have tripped the row."""
DOUBT = {
    "CELL_VOLTAGE_SPREAD": (0.7, 2.0),
    "TEMPERATURE_SPREAD": (0.95, 1.1),
    "STRING_VOLTAGE_MISMATCH": (0.7, 2.0),
    "REDUNDANT_CURRENT_MISMATCH": (0.7, 2.5),
}
"""Rows that allow for what cells and sensors may legally differ: share of the limit from which on they
may, and must, act.
"""
NEVER_DEMANDED = {"OPENED_UNDER_LOAD"}
"""Rows that are explained by numbers, but not demanded by them."""
SLOW_S = {"LOW_INSULATION": 1.0, "INSULATION_MISSING": 1.0}
"""Rows of messages that come less often than every scan: their period [s]."""
_CLOSED = (State.DRIVE, State.CHARGE, State.CONNECTED)


@dataclass(frozen=True)
class Window:
    """A time in which a row's condition held without a break.

    Attributes
    ----------
    onset_s : float
        The latest moment at which it did not hold yet: deadlines count from here.
    first_s, last_s : float
        The first and the last moment at which it was there to be seen.
    by_frames : bool
        Frames stayed away; otherwise it is what sensors said.
    """

    onset_s: float
    first_s: float
    last_s: float
    by_frames: bool = False

    @property
    def seen_s(self) -> float:
        """For how long it was there to be seen."""
        return self.last_s - self.first_s


class Evidence:
    """Conditions of every row over a run.

    Parameters
    ----------
    trace : Trace
    layouts : dict of str to Layout
        Messages of the device, to judge its frames.
    bus : bool
        Rows of missing data are judged by the frames that arrived.
    """

    def __init__(self, trace: Trace, layouts: dict[str, Layout], *, bus: bool = False) -> None:
        self.trace, self._layouts, self._bus = trace, layouts, bus
        self.pack: PackFile = trace.pack.file
        self.period_s = self.pack.measurement.scan_period_s

    # ---- what rows are judged by ------------------------------------------------------------------

    @property
    def said(self) -> SensedArrays:
        """What the sensors said, scan by scan."""
        return self.trace.sensed

    @cached_property
    def charging(self) -> BoolArray:
        """Charge current flows."""
        return self.said.current_mean_a > self.pack.limits.current_deadband_a

    @cached_property
    def discharging(self) -> BoolArray:
        """Discharge current flows."""
        return self.said.current_mean_a < -self.pack.limits.current_deadband_a

    @cached_property
    def off_median_v(self) -> FloatArray:
        """Largest distance of a cell from the median of its string [V]."""
        cells = self.said.cells_v
        return np.nanmax(np.abs(cells - np.nanmedian(cells, axis=1, keepdims=True)), axis=1)

    @cached_property
    def spread_is_judged(self) -> BoolArray:
        """The string's median is within the operating limits: beyond them the curve is steep."""
        median, limits = np.nanmedian(self.said.cells_v, axis=1), self.pack.limits
        low, high = limits.cell_voltage_min_v.operating, limits.cell_voltage_max_v.operating
        return (median >= low) & (median <= high)

    @cached_property
    def off_median_k(self) -> FloatArray:
        """Largest distance of a cell sensor from the median of all [K]."""
        sensors = self.said.cell_sensors_degc
        return np.nanmax(np.abs(sensors - np.nanmedian(sensors, axis=1, keepdims=True)), axis=1)

    @cached_property
    def string_minus_cells_v(self) -> FloatArray:
        """Pack's own string voltage less the sum of its cells [V]."""
        return np.array([s.sensed.string_voltage_v for s in self.trace.scans]) - self.said.cells_v.sum(axis=1)

    @property
    def input_unknown(self) -> BoolArray:
        """The device does not know the state of a safety input."""
        return np.array([scan.input_unknown for scan in self.trace.scans])

    @cached_property
    def second_current_a(self) -> FloatArray:
        """What the second current sensor says [A]."""
        return np.array([scan.sensed.redundant_current_a for scan in self.trace.scans])

    def switch(self, name: str) -> NDArray[Any]:
        """Give an input of the device over the scans."""
        return self.said.switch(name)

    def in_state(self, *states: State) -> BoolArray:
        """Tell in which scans the monitor was in one of these states."""
        return np.isin(self.said.state, [int(state) for state in states])

    @cached_property
    def reported(self) -> NDArray[np.int64]:
        """Contactor feedback, shape (scans, 3); 3 where unknown or absent: as sent, with ``bus`` as it
        arrived.
        """
        unknown = (3, 3, 3)
        if not self._bus or self.trace.frames is None:
            return np.array(
                [unknown if scan.reported is None else scan.reported for scan in self.trace.scans]
            )
        layout = self._layouts["Pack_Status"]
        heard = [
            (at_s, layout.unpack(data))
            for at_s, identifier, data in self.trace.frames
            if identifier == layout.identifier
        ]
        times = np.array([at_s for at_s, _ in heard])
        rows = [
            unknown if values is None else tuple(values[name] for name in FEEDBACK) for _, values in heard
        ]
        # what arrived in the scan, and what is not too old to count
        index = np.searchsorted(times, self.said.at_s + self.period_s, side="right") - 1
        ages_s = np.where(index >= 0, self.said.at_s + self.period_s - times[index], np.inf)
        age_max_s = self.pack.measurement.max_age_s["contactor_positive"]
        return np.where((ages_s <= age_max_s)[:, None], np.array(rows)[index], 3)

    @property
    def feedback_missing(self) -> BoolArray:
        """The feedback of a contactor was sent as unknown, or not at all."""
        return np.asarray((self.reported > 1).any(axis=1))

    def _commanded(self, value: int, longer_than_s: float) -> BoolArray:
        """Tell which contactors have been commanded to this for longer than that, shape (scans, 3)."""
        at_s = self.said.at_s
        times = np.array([when for when, _ in self.trace.commands])
        values = np.array([command for _, command in self.trace.commands])
        index = np.searchsorted(times, at_s, side="right") - 1
        now = np.where(index[:, None] >= 0, values[index], 0)
        since = np.empty((len(at_s), values.shape[1]))
        for contactor in range(values.shape[1]):
            changes = np.flatnonzero(np.diff(values[:, contactor], prepend=-1))
            last = changes[np.maximum(np.searchsorted(changes, index, side="right") - 1, 0)]
            since[:, contactor] = at_s - times[last]
        return (now == value) & (since > longer_than_s)

    @cached_property
    def _has_closed(self) -> BoolArray:
        """Tell which contactors have reported closed since they were commanded to, shape (scans, 3)."""
        ordered, reported = self._commanded(1, 0.0), self.reported
        seen = np.zeros_like(ordered)
        for scan in range(1, len(seen)):
            seen[scan] = ordered[scan] & (seen[scan - 1] | (reported[scan - 1] == 1))
        return seen

    def not_closed(self, *, dropped: bool) -> BoolArray:
        """A contactor that is commanded closed reports open: it has been closed before, or never."""
        late = self._commanded(1, self.pack.contactors.closing_time_s) & (self.reported == 0)
        return np.asarray((late & (self._has_closed == dropped)).any(axis=1))

    @cached_property
    def opened_under_load_a(self) -> FloatArray:
        """Largest current that the sensor said while the string's way opened [A], NaN in other scans."""
        current = np.maximum(np.abs(self.said.current_maximum_a), np.abs(self.said.current_minimum_a))
        around = np.full(len(current), np.nan)
        ways = [(when, conducts(contacts)) for when, contacts in self.trace.contacts]
        for (_, before), (when, now) in pairwise(ways):
            if before and not now:
                near = np.abs(self.said.at_s - when) <= 5.0 * self.period_s
                if near.any():
                    around[near] = np.nanmax(current[near])
        return around

    @cached_property
    def not_open(self) -> BoolArray:
        """A contactor that is commanded open reports closed."""
        return (self._commanded(0, self.pack.contactors.opening_time_s) & (self.reported == 1)).any(axis=1)

    @cached_property
    def current_when_open_a(self) -> FloatArray:
        """Current in a string whose way is commanded open [A], NaN where it is closed."""
        quiet = self._commanded(0, self.pack.contactors.opening_time_s + 2.0 * self.period_s)
        is_open = quiet[:, 1] | (quiet[:, 0] & quiet[:, 2])
        return np.where(
            is_open, np.fmax(np.abs(self.said.current_mean_a), np.abs(self.second_current_a)), np.nan
        )

    @cached_property
    def insulation_ohm_per_v(self) -> FloatArray:
        """Insulation resistance by the voltage of the string."""
        volts = np.array([scan.sensed.string_voltage_v for scan in self.trace.scans])
        return self.switch("insulation_ohm") / np.maximum(volts, 1.0)

    # ---- what was heard on the bus ----------------------------------------------------------------

    @cached_property
    def good_frames(self) -> dict[tuple[str, int], FloatArray]:
        """Times of the frames that are right in length, checksum and counter, by message and multiplexer."""
        if self.trace.frames is None:
            return {}
        by_identifier = {layout.identifier: layout for layout in self._layouts.values()}
        counters: dict[int, int] = {}
        good: dict[tuple[str, int], list[float]] = {}
        for at_s, identifier, data in self.trace.frames:
            layout = by_identifier.get(identifier)
            values = layout.unpack(data) if layout is not None else None
            if layout is None or values is None or values["Counter"] == counters.get(identifier):
                continue
            counters[identifier] = values["Counter"]
            good.setdefault((layout.name, values.get("Multiplexer", 0)), []).append(at_s)
        return {key: np.array(times) for key, times in good.items()}

    def gaps(self, quantity: str) -> list[Window]:
        """Give the times in which a quantity's frames had stayed away for longer than its maximum age."""
        windows: list[Window] = []
        until_s = float(self.said.at_s[-1])
        for entry in self.pack.device.signals:
            messages = self._messages(entry, quantity)
            if not messages:
                continue
            age_s = self.pack.max_age_s(entry)
            for (message, _), times in self.good_frames.items():
                if message not in messages:
                    continue
                for start, end in zip(times, [*times[1:], until_s], strict=True):
                    if end - start > age_s:
                        windows.append(Window(float(start), float(start) + age_s, float(end), True))
        return windows

    def _messages(self, entry: SignalMap, quantity: str) -> set[str]:
        """Give the messages that bring a quantity; of temperatures only those of sensors at cells count."""
        if entry.to != quantity:
            return set()
        sensors = self.pack.topology.sensors
        return {
            message
            for index, message, _, _ in entry.expanded()
            if quantity != "temperature_degc" or sensors[index][1] == "cell"
        }

    def short_gaps(self, quantity: str) -> float:
        """Give for how long, in sum, a quantity may have been taken as not valid (counters that stand
        still).
        """
        most = 0.0
        for entry in self.pack.device.signals:
            messages = self._messages(entry, quantity)
            for (message, _), times in self.good_frames.items():
                if message in messages and len(times) > 1:
                    steps = np.diff([*times, float(self.said.at_s[-1])])
                    usual = float(np.median(steps))
                    most = max(most, float(steps[steps > 2.5 * usual].sum()))
        return most

    # ---- windows ----------------------------------------------------------------------------------

    def windows(self, row: FaultRow, *, surely: bool) -> list[Window] | None:
        """Give when a row's condition held, surely or perhaps; None: nobody has written down how to tell."""
        parts: list[Window] = []
        known = False
        if row.name in HOLDS:
            known = True
            share = DOUBT.get(row.name, (1.0, 1.0))[surely]
            with warnings.catch_warnings():
                # a scan without any value has no extreme
                warnings.simplefilter("ignore", RuntimeWarning)
                holds = np.asarray(HOLDS[row.name](self, share * limit_value(row, self.pack)), bool)
            parts += self._runs(holds)
        if row.name in MISSING and self._bus:
            known = True
            for quantity in MISSING[row.name]:
                parts += self.gaps(quantity)
        return sorted(parts, key=lambda window: window.onset_s) if known else None

    def _runs(self, holds: BoolArray) -> list[Window]:
        at_s = self.said.at_s
        edges = np.flatnonzero(np.diff(np.concatenate(([False], holds, [False])).astype(int)))
        runs = []
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            onset = at_s[first - 1] if first else at_s[0]
            runs.append(Window(float(onset), float(at_s[first]), float(at_s[end - 1])))
        return runs

    def must(self, row: FaultRow) -> list[Window]:
        """Give the windows in which a row must have become active."""
        if row.name in NEVER_DEMANDED:
            return []
        needed = row.timing.debounce_s + SCANS_OF_DOUBT * self.period_s + SLOW_S.get(row.name, 0.0)
        return [window for window in self.windows(row, surely=True) or [] if window.seen_s >= needed - 1e-6]

    def may(self, row: FaultRow) -> float | None:
        """Give the moment from which a row may have become active; inf: never; None: nobody knows."""
        windows = self.windows(row, surely=False)
        if windows is None:
            return None
        held = sum(window.seen_s for window in windows)
        if row.name in MISSING and self._bus:
            doubt = max(self.short_gaps(quantity) for quantity in MISSING[row.name])
            if doubt >= row.timing.debounce_s:
                return -math.inf
        # a peak within a scan, and the jitter of two scans, may count where the scans here do not show it
        if not windows or held + 2.0 * self.period_s + SLOW_S.get(row.name, 0.0) < row.timing.debounce_s:
            return math.inf
        return windows[0].onset_s


def _beyond(peak: Callable[[Evidence], FloatArray], above: bool) -> Callable[[Evidence, float], BoolArray]:
    return lambda e, limit: peak(e) > limit if above else peak(e) < limit


HOLDS: dict[str, Callable[[Evidence, float], BoolArray]] = {
    "CELL_OVER_VOLTAGE": lambda e, limit: np.nanmax(e.said.cells_v, axis=1) > limit,
    "CELL_UNDER_VOLTAGE": lambda e, limit: np.nanmin(e.said.cells_v, axis=1) < limit,
    "DEEP_DISCHARGE": lambda e, limit: np.nanmin(e.said.cells_v, axis=1) < limit,
    # of two sensors the worse one counts
    "OVER_CURRENT_CHARGE": lambda e, limit: np.fmax(e.said.current_maximum_a, e.second_current_a) > limit,
    "OVER_CURRENT_DISCHARGE": lambda e, limit: (
        np.fmax(-e.said.current_minimum_a, -e.second_current_a) > limit
    ),
    "OVER_TEMPERATURE_CHARGE": lambda e, limit: (
        e.charging & (np.nanmax(e.said.cell_sensors_degc, axis=1) > limit)
    ),
    # at rest heat is judged by the discharge limit
    "OVER_TEMPERATURE_DISCHARGE": lambda e, limit: (
        ~e.charging & (np.nanmax(e.said.cell_sensors_degc, axis=1) > limit)
    ),
    "UNDER_TEMPERATURE_CHARGE": lambda e, limit: (
        e.charging & (np.nanmin(e.said.cell_sensors_degc, axis=1) < limit)
    ),
    "UNDER_TEMPERATURE_DISCHARGE": lambda e, limit: (
        e.discharging & (np.nanmin(e.said.cell_sensors_degc, axis=1) < limit)
    ),
    "CELL_VOLTAGE_MISSING": lambda e, _: np.isnan(e.said.cells_v).any(axis=1),
    "TEMPERATURE_MISSING": lambda e, _: np.isnan(e.said.cell_sensors_degc).any(axis=1),
    "CONTACTOR_FEEDBACK_MISSING": lambda e, _: e.feedback_missing,
    "CONTACTOR_FEEDBACK_MISMATCH": lambda e, _: e.not_closed(dropped=True),
    "CONTACTOR_FAILED_TO_CLOSE": lambda e, _: e.not_closed(dropped=False),
    "OPENED_UNDER_LOAD": lambda e, limit: e.opened_under_load_a > limit,
    "CONTACTOR_WELDED": lambda e, _: e.not_open,
    "CURRENT_ON_OPEN_STRING": lambda e, limit: e.current_when_open_a > limit,
    "PLUGGED_IN_WHILE_DRIVING": lambda e, _: e.switch("plugged") & e.in_state(State.DRIVE),
    "INTERLOCK_OPEN": lambda e, _: ~e.switch("interlock_whole"),
    "EMERGENCY_STOP": lambda e, _: e.switch("emergency_stop"),
    "GAS_ALARM": lambda e, _: e.switch("gas"),
    "PRESSURE_ALARM": lambda e, limit: e.switch("pressure_pa") > limit,
    "SAFETY_INPUT_MISSING": lambda e, _: e.input_unknown,
    "CURRENT_MISSING": lambda e, _: np.isnan(e.said.current_mean_a),
    "REDUNDANT_CURRENT_MISMATCH": lambda e, limit: np.abs(e.second_current_a - e.said.current_mean_a) > limit,
    "SMOKE_ALARM": lambda e, _: e.switch("smoke"),
    "LOW_INSULATION": lambda e, limit: e.insulation_ohm_per_v < limit,
    "CELL_VOLTAGE_SPREAD": lambda e, limit: e.spread_is_judged & (e.off_median_v > limit),
    "TEMPERATURE_SPREAD": lambda e, limit: e.off_median_k > limit,
    "STRING_VOLTAGE_MISMATCH": lambda e, limit: np.abs(e.string_minus_cells_v) > limit,
    "SUPPLY_VOLTAGE_LOW": lambda e, limit: e.switch("supply_v") < limit,
    "SUPPLY_VOLTAGE_HIGH": lambda e, limit: e.switch("supply_v") > limit,
}
"""Condition of each row over the scans; rows of several levels share one line."""

MISSING: dict[str, tuple[str, ...]] = {
    "CELL_VOLTAGE_MISSING": ("cell_voltage_v",),
    "TEMPERATURE_MISSING": ("temperature_degc",),
    "CURRENT_MISSING": ("string_current_a",),
    "SAFETY_INPUT_MISSING": ("interlock", "gas"),
    "CONTACTOR_FEEDBACK_MISSING": ("contactor_positive",),
    "INSULATION_MISSING": ("insulation_resistance_ohm",),
}
"""Quantities whose frames must not stay away for longer than their maximum age."""
