"""Thermal-runaway watch: what raw values show of a cell that heats itself.

Channels of evidence (:mod:`runaway_temperature`, :mod:`runaway_voltage`, :mod:`runaway_string`,
:mod:`runaway_surroundings`), none of which believes an estimate. Evidence counts for
``protection.runaway_evidence_hold_s``, so that indicators
that follow each other count together; that of a value that is lost does not age.

- *Warning*: one indicator. *Alarm*: two independent ones, that is through different measuring chains: a
  temperature sensor, a second one that began to rise apart from the first, the cell voltages (one however
  many
  cells), the string's own voltage where it agrees to a cell's drop, gas, smoke, pressure, insulation. A
  cell voltage that has fallen, though not enough to be an indicator,
  counts beside a rising sensor that lies at the same cell.
- *Emergency*: GB 38031-2025 C.5.3.7, "(a or b) and c": a) the voltage of a cell fell by more than 25 %, b)
  the
  maker's highest operating temperature is reached, c) the temperature rises by 1 °C/s or more for 3 s;
  where b)
  and c) are met by one sensor, and a) by a cell that this sensor lies at.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from openbms_control.safety.readings.facts import BoolArray, Circumstances, PackFacts, Reading
from openbms_control.safety.watches.runaway_string import StringAgreement
from openbms_control.safety.watches.runaway_surroundings import Surroundings
from openbms_control.safety.watches.runaway_temperature import TemperatureCourses
from openbms_control.safety.watches.runaway_voltage import VoltageCourses
from openbms_control.safety.watches.watch import Watch
from openbms_core.faults import driver_lost_after_s
from openbms_core.types import PackMeasurement

__all__ = ["RunawayWatch"]

_NO_INDICATOR, _NOT_CONFIRMED = Reading(0.0), Reading(present=False)


class RunawayWatch(Watch):
    """Judge the last minute of a pack.

    Attributes
    ----------
    temperatures : TemperatureCourses
    voltages : VoltageCourses
    strings : StringAgreement
    surroundings : Surroundings
    """

    quantities: ClassVar[tuple[str, ...]] = ("runaway_indicators", "runaway_confirmed")

    def __init__(self, facts: PackFacts) -> None:
        super().__init__(facts)
        chosen = facts.pack.protection
        self._hold_s = hold_s = chosen.runaway_evidence_hold_s
        self.temperatures = TemperatureCourses(facts, hold_s)
        self.voltages = VoltageCourses(facts, hold_s)
        self.strings = StringAgreement(facts, hold_s)
        self.surroundings = Surroundings(facts, hold_s)
        highest = chosen.runaway_temperature_max_degc
        limits = facts.pack.limits.discharge_temperature_max_degc
        self._maximum_degc = limits.recommended if highest is None else highest
        self._gap_s = driver_lost_after_s(facts.pack)
        self._begun = False

    def step(self, m: PackMeasurement, now: Circumstances, step_s: float) -> dict[str, Reading]:
        """Take a scan."""
        if step_s > self._gap_s:
            for channel in (self.temperatures, self.voltages, self.strings, self.surroundings):
                channel.restart()
        if step_s > 0.0 or not self._begun:  # a scan that is repeated says nothing new
            self._begun = True
            self.temperatures.step(m, step_s)
            self.voltages.step(m, step_s)
            self.strings.step(m, self.voltages, step_s)
            self.surroundings.step(m, now, step_s)
        latest = (self.temperatures, self.voltages, self.surroundings)
        if not any(channel.evidence_age_s.min(initial=np.inf) <= self._hold_s for channel in latest):
            return {"runaway_indicators": _NO_INDICATOR, "runaway_confirmed": _NOT_CONFIRMED}
        confirmed = self._confirmed()
        return {"runaway_indicators": self._indicators(confirmed), "runaway_confirmed": confirmed}

    def _confirmed(self) -> Reading:
        """Judge GB 38031-2025 C.5.3.7; the value is the rate of the sensor [K/s]."""
        temperatures = self.temperatures
        rising = temperatures.confirmed()
        met = rising & (
            (temperatures.latest_degc >= self._maximum_degc) | self._lies_at(self.voltages.dropped())
        )
        if not met.any():
            return _NOT_CONFIRMED
        sensor = int(np.argmax(met))
        return Reading(float(temperatures.rate_k_per_s[sensor]), self._place(sensor))

    def _indicators(self, confirmed: Reading) -> Reading:
        """Count independent indicators; the place is that of the newest temperature, else voltage."""
        temperatures, voltages = self.temperatures, self.voltages
        count, place = self.surroundings.active(), -1
        volts, hot = voltages.active(), temperatures.active()
        if volts.any():
            count += 1 + self.strings.active()
            place = int(np.argmin(voltages.evidence_age_s))
        if hot.any():
            count += temperatures.independent()
            count += not volts.any() and bool((hot & self._lies_at(voltages.fell())).any())
            place = self._place(int(np.argmin(temperatures.evidence_age_s)))
        if confirmed.present:
            count, place = max(count, 2), confirmed.index
        return Reading(float(count), place)

    def _lies_at(self, cells: BoolArray) -> BoolArray:
        """Tell which temperature columns lie at one of these cells."""
        if not cells.any():
            return np.zeros(len(self.temperatures.first_cell), dtype=np.bool_)
        before = np.concatenate(([0], np.cumsum(cells)))
        columns = self.temperatures
        return np.asarray(before[columns.after_last_cell] > before[columns.first_cell])

    def _place(self, column: int) -> int:
        """Give the first cell that a column lies at; -1 where it stands for the whole pack."""
        first, last = self.temperatures.first_cell[column], self.temperatures.after_last_cell[column]
        return -1 if last - first == self.facts.strings * self.facts.cells_in_series else int(first)
