"""Temperatures of many cells: core and surface of each, its neighbours, a coolant loop, the surroundings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["ThermalBank", "ThermalParameters"]

FloatArray = NDArray[np.float64]

_LONGEST_STEP_S = 1.0


@dataclass(frozen=True)
class ThermalParameters:
    """Thermal parameters of one 18650 cell in a liquid-cooled pack, and of its coolant loop.

    Notes
    -----
    Two-node model after Lin et al. 2014 (doi:10.1016/j.jpowsour.2014.01.097), whose values for a 26650 are
    scaled to an 18650 of 47 g and about 0.95 J/(g K); contacts and loop are assumptions for a pack of 1 kWh.
    """

    core_j_per_k: float = 40.0
    surface_j_per_k: float = 4.5
    core_to_surface_k_per_w: float = 2.8
    surface_to_neighbour_k_per_w: float = 12.0
    surface_to_ambient_w_per_k: float = 0.006
    surface_to_coolant_still_w_per_k: float = 0.01
    surface_to_coolant_pumped_w_per_k: float = 0.10
    coolant_j_per_k_per_cell: float = 75.0
    coolant_flow_max_l_per_min: float = 10.0
    radiator_w_per_k_per_cell: float = 0.02
    radiator_fan_w_per_k_per_cell: float = 0.20
    heater_w_per_cell: float = 4.0
    chiller_w_per_cell: float = 4.0
    pump_w: float = 20.0
    fan_w: float = 30.0
    chiller_efficiency: float = 2.0
    """Heat moved for electrical power."""
    surface_to_ambient_fan_w_per_k: float = 0.0
    """What a fan at full speed adds, in a pack that is cooled by air."""
    coolant: bool = True
    """False: no coolant; a heater warms the surfaces of the cells, a fan blows past them."""

    def scaled(self, capacity: float, parallel: float = 1.0) -> ThermalParameters:
        """Give these for larger cells, several of them in parallel.

        Parameters
        ----------
        capacity : float
            How many times the capacity, and so the mass, one cell has.
        parallel : float
            Such cells in parallel.

        Returns
        -------
        ThermalParameters
            Masses in proportion to the capacity; of a larger cell of the same shape surfaces grow with its
            2/3rd power and conduction to the core with its 1/3rd. Heater, chiller and flow likewise with
            the mass; pump and fan take what they take.
        """
        mass, area, length = (
            capacity * parallel,
            capacity ** (2 / 3) * parallel,
            capacity ** (1 / 3) * parallel,
        )
        return replace(
            self,
            core_j_per_k=self.core_j_per_k * mass,
            surface_j_per_k=self.surface_j_per_k * mass,
            coolant_j_per_k_per_cell=self.coolant_j_per_k_per_cell * mass,
            radiator_w_per_k_per_cell=self.radiator_w_per_k_per_cell * mass,
            radiator_fan_w_per_k_per_cell=self.radiator_fan_w_per_k_per_cell * mass,
            heater_w_per_cell=self.heater_w_per_cell * mass,
            chiller_w_per_cell=self.chiller_w_per_cell * mass,
            surface_to_ambient_w_per_k=self.surface_to_ambient_w_per_k * area,
            surface_to_ambient_fan_w_per_k=self.surface_to_ambient_fan_w_per_k * area,
            surface_to_coolant_still_w_per_k=self.surface_to_coolant_still_w_per_k * area,
            surface_to_coolant_pumped_w_per_k=self.surface_to_coolant_pumped_w_per_k * area,
            surface_to_neighbour_k_per_w=self.surface_to_neighbour_k_per_w / area,
            core_to_surface_k_per_w=self.core_to_surface_k_per_w / length,
        )


@dataclass
class ThermalBank:
    """Temperatures [°C] of ``count`` cells in a row and of their coolant.

    Parameters
    ----------
    count : int
        Number of cells; cell i touches i - 1 and i + 1.
    ambient_degc : float
        Temperature of the surroundings, and of everything at the start.
    """

    count: int
    ambient_degc: float = 25.0
    parameters: ThermalParameters = field(default_factory=ThermalParameters)
    core_degc: FloatArray = field(init=False)
    surface_degc: FloatArray = field(init=False)
    coolant_in_degc: float = field(init=False)
    coolant_out_degc: float = field(init=False)
    coolant_flow_l_per_min: float = field(init=False, default=0.0)
    auxiliary_power_w: float = field(init=False, default=0.0)
    heat_out_j: float = field(init=False, default=0.0)
    """Heat that has left cells and coolant since the start, less what heater put in [J]; for balances."""

    def __post_init__(self) -> None:
        self.core_degc = np.full(self.count, float(self.ambient_degc))
        self.surface_degc = self.core_degc.copy()
        self.coolant_in_degc = self.coolant_out_degc = float(self.ambient_degc)
        p = self.parameters
        away_w_per_k = (
            1.0 / p.core_to_surface_k_per_w
            + 2.0 / p.surface_to_neighbour_k_per_w
            + p.surface_to_coolant_still_w_per_k
            + p.surface_to_coolant_pumped_w_per_k
            + p.surface_to_ambient_w_per_k
            + p.surface_to_ambient_fan_w_per_k
        )
        self._longest_s = min(_LONGEST_STEP_S, 0.5 * p.surface_j_per_k / away_w_per_k)

    def stored_heat_j(self) -> float:
        """Heat in cells and coolant above 0 °C [J]."""
        p = self.parameters
        cells = p.core_j_per_k * self.core_degc.sum() + p.surface_j_per_k * self.surface_degc.sum()
        return float(cells + self.count * p.coolant_j_per_k_per_cell * self.coolant_in_degc)

    def step(
        self,
        heat_w: FloatArray,
        dt_s: float,
        *,
        heater: float = 0.0,
        pump: float = 0.0,
        fan: float = 0.0,
        chiller: float = 0.0,
        flow: float = 1.0,
        surface_heat_w: FloatArray | None = None,
    ) -> None:
        """Let heat flow for a time.

        Parameters
        ----------
        heat_w : ndarray, shape (count,)
            Heat made in the core of each cell [W].
        dt_s : float
            Duration [s]; cut into steps of at most 1 s and of half the fastest time constant.
        heater, pump, fan, chiller : float
            Actuators, 0 … 1 of full scale.
        flow : float
            Part of the coolant flow that the pump would make which really flows.
        surface_heat_w : ndarray, shape (count,), optional
            Heat made at the terminals of each cell [W].
        """
        p = self.parameters
        moved = pump * flow
        steps = max(1, int(np.ceil(dt_s / self._longest_s)))
        h = dt_s / steps
        heater_w = heater * p.heater_w_per_cell * self.count
        chiller_w = chiller * p.chiller_w_per_cell * self.count
        to_coolant = p.surface_to_coolant_still_w_per_k + p.surface_to_coolant_pumped_w_per_k * moved
        radiator = self.count * (p.radiator_w_per_k_per_cell + p.radiator_fan_w_per_k_per_cell * fan) * moved
        to_ambient = p.surface_to_ambient_w_per_k + p.surface_to_ambient_fan_w_per_k * fan
        mat_w = 0.0
        if not p.coolant:
            mat_w, chiller_w, to_coolant, radiator = heater_w / self.count, 0.0, 0.0, 0.0
        out_w = into_coolant_w = 0.0
        for _ in range(steps):
            core_w = (self.core_degc - self.surface_degc) / p.core_to_surface_k_per_w
            coolant_w = (self.surface_degc - self.coolant_in_degc) * to_coolant
            ambient_w = (self.surface_degc - self.ambient_degc) * to_ambient
            surface_w = core_w - coolant_w - ambient_w + mat_w
            if surface_heat_w is not None:
                surface_w += surface_heat_w
            between_w = np.diff(self.surface_degc) / p.surface_to_neighbour_k_per_w
            surface_w[:-1] += between_w
            surface_w[1:] -= between_w
            self.core_degc = self.core_degc + (heat_w - core_w) * (h / p.core_j_per_k)
            self.surface_degc = self.surface_degc + surface_w * (h / p.surface_j_per_k)
            into_coolant_w = float(coolant_w.sum())
            out_w = radiator * (self.coolant_in_degc - self.ambient_degc) + chiller_w - heater_w
            if p.coolant:
                per_k = self.count * p.coolant_j_per_k_per_cell
                self.coolant_in_degc += (into_coolant_w - out_w) * h / per_k
            self.heat_out_j += (out_w + float(ambient_w.sum())) * h
        self.coolant_flow_l_per_min = moved * p.coolant_flow_max_l_per_min
        # Water and glycol: about 3.6 kJ/(l K), so 60 W s a minute.
        per_kelvin_w = self.coolant_flow_l_per_min * 3600.0 / 60.0
        self.coolant_out_degc = self.coolant_in_degc + (
            into_coolant_w / per_kelvin_w if per_kelvin_w > 1.0 else 0.0
        )
        self.auxiliary_power_w = (
            heater_w + chiller_w / p.chiller_efficiency + pump**3 * p.pump_w + fan**3 * p.fan_w
        )
