"""The pack: strings of cells with contactors, link, bleed resistors, charger, coolant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openbms_sim.interface import Inputs, Readings, Truth
from openbms_sim.plant.cell import NMC_18650, CellBank, CellParameters, Spread
from openbms_sim.plant.switching import Link, string_paths_ohm
from openbms_sim.plant.thermal import ThermalBank

__all__ = ["PackPlant"]

FloatArray = NDArray[np.float64]

BLEED_OHM = 33.0
"""Bleed resistor of each cell: 0.13 A at 4.2 V."""
PRECHARGE_OHM = 200.0
"""Precharge resistor: 0.2 s time constant with the link's 1 mF."""


class PackPlant:
    """Physics of a pack.

    Parameters
    ----------
    cells_in_series, strings : int
        Topology; cells are numbered string after string.
    soc : float
        Mean state of charge at the start, 0 … 1.
    ambient_degc : float
        Temperature of everything at the start [°C].
    seed : int
        Of the spread between cells.
    spread : Spread
        How far cells differ.
    """

    name = "plant"

    def __init__(
        self,
        cells_in_series: int = 96,
        *,
        strings: int = 1,
        soc: float = 0.8,
        ambient_degc: float = 25.0,
        seed: int = 1,
        spread: Spread | None = None,
        parameters: CellParameters = NMC_18650,
    ) -> None:
        self.cell_count = cells_in_series * strings
        self.strings = strings
        self._shape = (strings, cells_in_series)
        self.cells = CellBank(self.cell_count, soc, seed, spread or Spread(), parameters)
        self.thermal = ThermalBank(self.cell_count, ambient_degc)
        self.link = Link()
        self.bled_charge_ah = np.zeros(self.cell_count)
        """Charge that bleed resistors and internal shorts have taken from each cell [Ah]."""

    def step(self, inputs: Inputs, dt_s: float) -> Readings:
        """Advance by ``dt_s`` seconds.

        Parameters
        ----------
        inputs : Inputs
            Contacts, load, charger, bleeding, actuators.
        dt_s : float
            Duration [s]; sources are taken as constant over it.

        Returns
        -------
        Readings
            Means over the step (voltages and currents), temperatures at its end.
        """
        emf = self.cells.emf_v()
        r0 = self.cells.r0_ohm(self.thermal.core_degc)
        drain_s = np.zeros(self.cell_count)
        if inputs.bleed is not None:
            drain_s += inputs.bleed / BLEED_OHM
        if inputs.short_ohm is not None:
            drain_s += 1.0 / inputs.short_ohm
        # A cell with a resistor across it looks to its string like a smaller emf behind a smaller resistance.
        divider = 1.0 / (1.0 + drain_s * r0)
        string_emf = (emf * divider).reshape(self._shape).sum(axis=1)
        string_r = (r0 * divider).reshape(self._shape).sum(axis=1)
        path_r = string_paths_ohm(inputs.closed, PRECHARGE_OHM, precharge_open=inputs.precharge_open)
        fed = bool((inputs.closed[:, 0] & inputs.closed[:, 1]).any())
        heater, chiller = (inputs.heater, inputs.chiller) if fed else (0.0, 0.0)
        load_a = self._load_a(inputs, string_emf, string_r + path_r) if fed else 0.0
        string_a = self.link.step(string_emf, string_r + path_r, load_a, dt_s)
        through_a = np.repeat(string_a, self._shape[1])
        voltage = (emf + through_a * r0) * divider
        drained_a = voltage * drain_s
        self.cells.step(through_a - drained_a, self.thermal.core_degc, dt_s)
        self.bled_charge_ah += drained_a * (dt_s / 3600.0)
        shorted_w = 0.0 if inputs.short_ohm is None else voltage * voltage / inputs.short_ohm
        self.thermal.step(
            self.cells.heat_w + shorted_w,
            dt_s,
            heater=heater,
            pump=inputs.pump,
            fan=inputs.fan,
            chiller=chiller,
        )
        return Readings(
            cell_voltages_v=voltage,
            cell_surface_degc=self.thermal.surface_degc,
            string_currents_a=string_a,
            string_voltages_v=voltage.reshape(self._shape).sum(axis=1),
            link_voltage_v=self.link.voltage_v,
            ambient_degc=self.thermal.ambient_degc,
            coolant_in_degc=self.thermal.coolant_in_degc,
            coolant_out_degc=self.thermal.coolant_out_degc,
            coolant_flow_l_per_min=self.thermal.coolant_flow_l_per_min,
            auxiliary_power_w=self.thermal.auxiliary_power_w,
            actuators=(heater, inputs.pump, inputs.fan, chiller),
        )

    def _load_a(self, inputs: Inputs, string_emf: FloatArray, resistance: FloatArray) -> float:
        """Current that load, charger and auxiliaries push into the link [A]."""
        conductance = 1.0 / resistance
        open_v = float((string_emf * conductance).sum() / conductance.sum())
        wanted = 0.0 if inputs.zero_current else inputs.load_current_a
        if inputs.charger_enable and not inputs.zero_current:
            # Constant current, then constant voltage.
            wanted += min(
                inputs.charger_current_a,
                max(0.0, (inputs.charger_voltage_v - open_v) * float(conductance.sum())),
            )
        return wanted - self.thermal.auxiliary_power_w / max(open_v, 1.0)

    def truth(self) -> Truth:
        """Give SoC, capacity and core temperature of each cell."""
        return Truth(self.cells.soc.copy(), self.cells.capacity_ah.copy(), self.thermal.core_degc.copy())
