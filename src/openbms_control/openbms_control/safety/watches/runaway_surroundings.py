"""Thermal runaway, seen around the cells: gas, smoke, pressure in the housing, insulation."""

from __future__ import annotations

import math

import numpy as np

from openbms_control.safety.readings.facts import Circumstances, FloatArray, PackFacts
from openbms_core.types import UNKNOWN, PackMeasurement, Validity

__all__ = ["Surroundings"]

LEVEL_S = 60.0
"""Time constant of the levels of pressure and insulation."""
INSULATION_SHARE = 0.25
"""Insulation has fallen fast where it is below this share of its level, and below the first limit."""
AFTER_SWITCHING_S = 30.0
"""Contactors that moved connect or disconnect what else is insulated: so long the level follows."""

GAS, SMOKE, PRESSURE, INSULATION = range(4)


class Surroundings:
    """Evidence that belongs to no cell.

    Parameters
    ----------
    facts : PackFacts
    hold_s : float
        Time for which evidence counts [s].

    Attributes
    ----------
    evidence_age_s : array, shape (4,)
        Time since gas, smoke, pressure, insulation last were evidence; infinite: never. It stands still while
        the value is lost.
    """

    def __init__(self, facts: PackFacts, hold_s: float) -> None:
        self._facts, self._hold_s = facts, hold_s
        chosen = facts.pack.protection
        self._pressure_max_pa = math.inf if chosen.pressure_max_pa is None else chosen.pressure_max_pa
        self._pressure_rise_pa = chosen.runaway_pressure_rise_pa
        self._insulation_limit = chosen.insulation_warning_ohm_per_v
        self._measured = any(
            map(facts.pack.mapped, ("gas", "smoke", "pressure_pa", "insulation_resistance_ohm"))
        )
        self.evidence_age_s = np.full(4, np.inf)
        self._before: FloatArray = np.zeros(4)
        self.restart()

    def restart(self) -> None:
        """Forget the levels, not the evidence."""
        self._pressure_pa = self._insulation = math.nan
        self._before[:] = 0.0

    def step(self, m: PackMeasurement, now: Circumstances, step_s: float) -> None:
        """Take a scan.

        Parameters
        ----------
        m : PackMeasurement
        now : Circumstances
        step_s : float
            Time since the scan before [s].
        """
        if not self._measured:
            return
        share = 1.0 - math.exp(-step_s / LEVEL_S)
        seen = np.array(
            [_switch(m.gas), _switch(m.smoke), self._pressure(m, share), self._fallen(m, now, share)]
        )
        self.evidence_age_s += np.where(np.isnan(seen), 0.0, step_s)
        # twice: of a value that is not protected by a checksum a single one may be wrong
        self.evidence_age_s[(seen == 1.0) & (self._before == 1.0)] = 0.0
        self._before = seen

    def _pressure(self, m: PackMeasurement, share: float) -> float:
        """Tell whether the pressure is too high or rose: 1, 0, or NaN where it is not known."""
        if m.pressure_validity != Validity.VALID:
            return math.nan
        pressure_pa = m.pressure_pa
        if math.isnan(self._pressure_pa):
            self._pressure_pa = pressure_pa
        rose = pressure_pa - self._pressure_pa >= self._pressure_rise_pa
        self._pressure_pa += share * (pressure_pa - self._pressure_pa)
        return float(rose or pressure_pa >= self._pressure_max_pa)

    def _fallen(self, m: PackMeasurement, now: Circumstances, share: float) -> float:
        """Tell whether the insulation fell fast: 1, 0, or NaN where it is not known."""
        value = self._facts.values(m).insulation_ohm_per_v
        if math.isnan(value):
            return math.nan
        if math.isnan(self._insulation) or (now.command_age_s < AFTER_SWITCHING_S).any():
            self._insulation = value
        fell = value <= min(INSULATION_SHARE * self._insulation, self._insulation_limit)
        self._insulation += share * (value - self._insulation)
        return float(fell)

    def active(self) -> int:
        """Give how many of them are evidence within the time that it counts."""
        return int((self.evidence_age_s <= self._hold_s).sum())


def _switch(state: int) -> float:
    return math.nan if state == UNKNOWN else float(state == 1)
