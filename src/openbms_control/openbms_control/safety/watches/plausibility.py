"""Measurements that cannot be true, over several scans: one watch, whose parts share the string's median.

The parts: :mod:`departure <openbms_control.safety.watches.departure>` (a cell against its string),
:mod:`standstill <openbms_control.safety.watches.standstill>`,
:mod:`temperatures <openbms_control.safety.watches.temperatures>`,
:mod:`agreement <openbms_control.safety.watches.agreement>` (two measurements of one thing), and the share of
refused frames.
"""

from __future__ import annotations

import math

from openbms_control.safety.readings.facts import Circumstances, PackFacts, Reading
from openbms_control.safety.watches.agreement import Agreement
from openbms_control.safety.watches.departure import Departure
from openbms_control.safety.watches.standstill import CellStandstill, CurrentStandstill
from openbms_control.safety.watches.strings import Strings
from openbms_control.safety.watches.temperatures import Temperatures
from openbms_control.safety.watches.watch import Watch
from openbms_core.types import PackMeasurement

__all__ = ["FrameWatch", "PlausibilityWatch"]

GAP_S = 1.0
GAP_SCANS = 5.0
"""After a gap of a second and five scans nobody knows what happened in between: all begin anew."""
FRAMES_MEAN_S = 2.0


class PlausibilityWatch(Watch):
    """Cells, cell sensors and currents against each other and against themselves."""

    quantities = (
        "cell_voltage_spread",
        "cell_voltage_step",
        "cell_open_wire",
        "cell_voltage_stuck",
        "current_stuck",
        "temperature_spread",
        "temperature_step",
        "temperature_stuck",
        "string_voltage_difference",
        "redundant_cell_voltage_difference",
        "redundant_current_difference",
        "reported_cell_voltage_difference",
        "reported_temperature_difference",
    )

    def __init__(self, facts: PackFacts) -> None:
        super().__init__(facts)
        self._gap_s = GAP_S + GAP_SCANS * facts.pack.measurement.scan_period_s
        self._strings = Strings(facts)
        self._departure = Departure(facts)
        self._cells = CellStandstill(facts)
        self._currents = CurrentStandstill(facts)
        self._temperatures = Temperatures(facts)
        self._agreement = Agreement(facts)
        self._parts = (
            self._strings,
            self._departure,
            self._cells,
            self._currents,
            self._temperatures,
            self._agreement,
        )
        self._given = {quantity: Reading(present=None) for quantity in self.quantities}

    def step(self, m: PackMeasurement, now: Circumstances, step_s: float) -> dict[str, Reading]:
        """Take a scan; one that is repeated, or comes in no time, says nothing new."""
        if now.scan_repeated:
            return self._given
        if step_s > self._gap_s:
            for part in self._parts:
                part.forget()
        strings = self._strings
        strings.take(m, step_s)
        given = self._given
        given.update(self._departure.step(strings, m))
        given["cell_voltage_stuck"] = self._cells.step(strings, m)
        given["current_stuck"] = self._currents.step(strings, m)
        if self.facts.sensors_mapped:
            given.update(self._temperatures.step(m, step_s))
        given.update(self._agreement.step(strings, m))
        return given


class FrameWatch(Watch):
    """Share of refused frames, as a mean over some scans: one scan has too few frames for a share."""

    quantities = ("frame_error_ratio",)

    def __init__(self, facts: PackFacts) -> None:
        super().__init__(facts)
        self._received = self._rejected = 0.0

    def step(self, m: PackMeasurement, now: Circumstances, step_s: float) -> dict[str, Reading]:
        """Take a scan."""
        if not now.scan_repeated:
            keeps = math.exp(-step_s / FRAMES_MEAN_S)
            self._received = keeps * self._received + m.frames_received
            self._rejected = keeps * self._rejected + m.frames_rejected
        known = self._received >= 1.0
        return {"frame_error_ratio": Reading(self._rejected / self._received) if known else Reading()}
