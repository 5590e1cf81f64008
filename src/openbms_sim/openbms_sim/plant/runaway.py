"""Thermal runaway of one cell: a growing short, self-heating, vent, collapse of its voltage.

One lumped exothermic reaction after an internal short. Its two parameters are set by what accelerating-rate
calorimetry of NMC cells shows (Feng et al., Energy Storage Materials 10 (2018) 246,
doi:10.1016/j.ensm.2017.05.013): self-heating of 0.02 °C/s at 100 °C and of 1 °C/s at about 175 °C (the
trigger temperature T2 by its definition). The heat that stays in the cell warms it by about 670 K; the rest
leaves with the vented gas. Temperatures of vent and separator are typical values of 18650 cells, not measured
ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Housing", "Runaway", "RunawayParameters"]

_GAS_J_PER_MOL_K = 8.314462618
_KELVIN = 273.15


@dataclass(frozen=True)
class RunawayParameters:
    """Of one cell of 18650 size."""

    reaction_j: float = 30_000.0
    """Heat of the reaction that stays in the cell."""
    rate_per_s: float = 0.00148
    """Reacting share in a second at ``reference_degc``: 1 °C/s in a cell of 44.5 J/K."""
    reference_degc: float = 175.0
    activation_j_per_mol: float = 72_400.0
    separator_degc: float = 130.0
    """The separator shrinks: a hard short for ``dip_s``, until what conducts has burnt away."""
    dip_ohm: float = 0.010
    dip_s: float = 1.0
    vent_degc: float = 150.0
    collapse_degc: float = 190.0
    """The separator is gone."""
    collapse_ohm: float = 0.001
    growth: float = 100.0
    """The short begins with this multiple of its final resistance."""


class Runaway:
    """What one cell does, from the beginning of its short.

    Parameters
    ----------
    short_ohm : float
        The short when it has grown [Ω].
    ramp_s : float
        Time in which it grows [s].
    self_heating : bool
        The reaction takes part.
    parameters : RunawayParameters
    """

    def __init__(
        self,
        short_ohm: float,
        ramp_s: float,
        *,
        self_heating: bool = True,
        parameters: RunawayParameters | None = None,
    ) -> None:
        self._final_ohm, self._ramp_s, self._reacts = short_ohm, ramp_s, self_heating
        self._parameters = parameters or RunawayParameters()
        self._age_s = 0.0
        self._dip_left_s: float | None = None
        self.left = 1.0
        """Share of the reaction that has not happened yet."""
        self.vented = False
        self.collapsed = False
        self.short_ohm = short_ohm * self._parameters.growth
        """Its short now [Ω]."""
        self.heat_w = 0.0
        """Heat of its reaction now, without that of the short [W]."""

    def step(self, core_degc: float, dt_s: float) -> None:
        """Go on for a time at this core temperature.

        Parameters
        ----------
        core_degc : float
            Core temperature of the cell [°C].
        dt_s : float
            Duration [s].
        """
        p = self._parameters
        self._age_s += dt_s
        grown = min(1.0, self._age_s / self._ramp_s)
        self.short_ohm = self._final_ohm * p.growth ** (1.0 - grown)
        self.heat_w = 0.0
        if self._reacts:
            inverse = 1.0 / (core_degc + _KELVIN) - 1.0 / (p.reference_degc + _KELVIN)
            rate = p.rate_per_s * math.exp(-p.activation_j_per_mol / _GAS_J_PER_MOL_K * inverse)
            after = self.left * math.exp(-rate * dt_s)
            self.heat_w, self.left = p.reaction_j * (self.left - after) / dt_s, after
        if core_degc >= p.separator_degc and self._dip_left_s is None:
            self._dip_left_s = p.dip_s
        if self._dip_left_s is not None and self._dip_left_s > 0.0:
            self._dip_left_s -= dt_s
            self.short_ohm = min(self.short_ohm, p.dip_ohm)
        self.vented |= core_degc >= p.vent_degc
        self.collapsed |= core_degc >= p.collapse_degc
        if self.collapsed:
            self.short_ohm = min(self.short_ohm, p.collapse_ohm)


@dataclass
class Housing:
    """Pressure in the housing, and what its detectors make of a vent.

    A vent lets the pressure rise by ``peak_pa`` within about ``rise_s``; it leaves through the vent valve
    with ``fall_s``. The detectors hear of it after a delay. Plausible values, not measured ones.
    """

    ambient_pa: float = 101_325.0
    peak_pa: float = 15_000.0
    rise_s: float = 0.3
    fall_s: float = 10.0
    gas_after_s: float = 1.0
    smoke_after_s: float = 3.0
    _since_s: float = math.inf

    def step(self, vented: bool, dt_s: float) -> None:
        """Go on for a time; ``vented``: a cell has opened its vent."""
        if not vented:
            self._since_s = math.inf
        elif self._since_s == math.inf:
            self._since_s = 0.0
        else:
            self._since_s += dt_s

    @property
    def pressure_pa(self) -> float:
        """Absolute pressure [Pa]."""
        if self._since_s == math.inf:
            return self.ambient_pa
        rise = 1.0 - math.exp(-self._since_s / self.rise_s)
        return self.ambient_pa + self.peak_pa * rise * math.exp(-self._since_s / self.fall_s)

    @property
    def gas(self) -> bool:
        """The gas detector alarms."""
        return self.gas_after_s <= self._since_s < math.inf

    @property
    def smoke(self) -> bool:
        """The smoke detector alarms."""
        return self.smoke_after_s <= self._since_s < math.inf
