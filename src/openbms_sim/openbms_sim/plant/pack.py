"""The pack: strings of cells with contactors, link, bleed resistors, charger, coolant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_sim.interface import Inputs, Readings, RunawayOrder, Truth
from openbms_sim.plant.cell import CellBank, CellParameters, Spread
from openbms_sim.plant.cell_types import CellType, cell_type
from openbms_sim.plant.runaway import Housing, Runaway
from openbms_sim.plant.switching import Link, string_paths_ohm
from openbms_sim.plant.thermal import ThermalBank

__all__ = ["OpenCircuit", "PackPlant", "precharge_ohm"]

FloatArray = NDArray[np.float64]

BLEED_OHM = 33.0
"""Bleed resistor of each cell: 0.13 A at 4.2 V."""
PRECHARGE_OHM = 200.0
"""Precharge resistor of 96 cells and more: 0.2 s time constant with the link's 1 mF."""


def precharge_ohm(cells_in_series: int) -> float:
    """Give the precharge resistor of a string [Ω], in proportion to its voltage: the current is alike."""
    return PRECHARGE_OHM * min(1.0, cells_in_series / 96.0)


_STATE = {
    CellBank: ("soc", "rc1_v", "rc2_v", "hysteresis"),
    ThermalBank: ("core_degc", "surface_degc"),
}
"""Arrays that a thermal runaway spoils."""


@dataclass
class OpenCircuit:
    """What a pack looks like from its link during a step: strings of an inner voltage behind a resistance."""

    emf_v: FloatArray
    """Inner voltage of each string [V]."""
    resistance_ohm: FloatArray
    """Inner resistance and way to the link of each string [Ω]; infinite where it is open."""
    fed: bool
    """Main contactors of at least one string are closed."""
    cells_v: FloatArray
    """Inner voltage of each cell [V]."""
    cells_ohm: FloatArray
    """Ohmic resistance of each cell [Ω]."""
    drain_s: FloatArray
    """Conductance of what lies across each cell [S]: bleed resistors, internal shorts."""
    divider: FloatArray
    """What of a cell's inner voltage is left by that: 1 where nothing lies across it."""
    inner_ohm: FloatArray | None
    """Internal short of each cell [Ω]."""


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
    parameters : CellParameters, optional
        Electrical parameters of a cell, in place of those of ``cell``.
    cell : CellType, optional
        What the cells are; by default the NMC cell of the demonstration.
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
        parameters: CellParameters | None = None,
        cell: CellType | None = None,
    ) -> None:
        cell = cell or cell_type("nmc")
        self.cell_count = cells_in_series * strings
        self.strings = strings
        self._shape = (strings, cells_in_series)
        self.cells = CellBank(self.cell_count, soc, seed, spread or Spread(), parameters or cell.electrical)
        self.thermal = ThermalBank(self.cell_count, ambient_degc, cell.thermal)
        self._runaway = cell.runaway
        self.link = Link()
        self.bled_charge_ah = np.zeros(self.cell_count)
        """Charge that bleed resistors and internal shorts have taken from each cell [Ah]."""
        self.housing = Housing()
        self._runaways: dict[RunawayOrder, Runaway] = {}
        self._before: dict[str, object] = {}

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
        circuit = self.open_circuit(inputs, dt_s)
        load_a = self._load_a(inputs, circuit) if circuit.fed else 0.0
        string_a = self.link.step(circuit.emf_v, circuit.resistance_ohm, load_a, dt_s, inputs.link_load_ohm)
        return self.carry(inputs, circuit, string_a, dt_s)

    def open_circuit(self, inputs: Inputs, dt_s: float) -> OpenCircuit:
        """Give what the link sees of the pack: the first half of a step.

        Parameters
        ----------
        inputs : Inputs
            What acts on the pack.
        dt_s : float
            Duration of the step [s]; only what a thermal runaway does in it is worked out here.
        """
        emf = self.cells.emf_v()
        r0 = self.cells.r0_ohm(self.thermal.core_degc)
        drain_s = np.zeros(self.cell_count)
        if inputs.bleed is not None:
            drain_s += inputs.bleed / BLEED_OHM
        inner_ohm = self._inner_ohm(inputs, dt_s)
        if inner_ohm is not None:
            drain_s += 1.0 / inner_ohm
        # A cell with a resistor across it looks to its string like a smaller emf behind a smaller resistance.
        divider = 1.0 / (1.0 + drain_s * r0)
        string_emf = (emf * divider).reshape(self._shape).sum(axis=1)
        string_r = (r0 * divider).reshape(self._shape).sum(axis=1)
        if inputs.connection_ohm is not None:
            string_r += inputs.connection_ohm.reshape(self._shape).sum(axis=1)
        path_r = string_paths_ohm(
            inputs.closed, precharge_ohm(self._shape[1]), precharge_open=inputs.precharge_open
        )
        fed = bool((inputs.closed[:, 0] & inputs.closed[:, 1]).any())
        return OpenCircuit(string_emf, string_r + path_r, fed, emf, r0, drain_s, divider, inner_ohm)

    def carry(
        self,
        inputs: Inputs,
        circuit: OpenCircuit,
        string_a: FloatArray,
        dt_s: float,
        link_v: float | None = None,
    ) -> Readings:
        """Let the strings carry a current: the second half of a step.

        Parameters
        ----------
        inputs, circuit, dt_s
            As for and from :meth:`open_circuit`.
        string_a : ndarray, shape (strings,)
            Current of each string, positive charging [A].
        link_v : float, optional
            Voltage of the link at the end of the step [V]; by default that of the pack's own.

        Returns
        -------
        Readings
        """
        emf, r0, drain_s, inner_ohm = circuit.cells_v, circuit.cells_ohm, circuit.drain_s, circuit.inner_ohm
        heater, chiller = (inputs.heater, inputs.chiller) if circuit.fed else (0.0, 0.0)
        through_a = np.repeat(string_a, self._shape[1])
        voltage = (emf + through_a * r0) * circuit.divider
        drained_a = voltage * drain_s
        self.cells.step(through_a - drained_a, self.thermal.core_degc, dt_s)
        self.bled_charge_ah += drained_a * (dt_s / 3600.0)
        heat_w = self.cells.heat_w
        if inner_ohm is not None:
            heat_w = heat_w + voltage * voltage / inner_ohm
        for order, runaway in self._runaways.items():
            heat_w[order.cell] += runaway.heat_w
        terminals_w = None
        if inputs.connection_ohm is not None:
            # its sense wires lie outside: the connection's drop counts as the cell's, its heat goes both ways
            voltage = voltage + through_a * inputs.connection_ohm
            half_w = 0.5 * through_a * through_a * inputs.connection_ohm
            terminals_w = half_w + np.roll(half_w, 1)
        self.thermal.step(
            heat_w,
            dt_s,
            heater=heater,
            pump=inputs.pump,
            fan=inputs.fan,
            chiller=chiller,
            flow=inputs.coolant,
            surface_heat_w=terminals_w,
        )
        self.housing.step(any(runaway.vented for runaway in self._runaways.values()), dt_s)
        return Readings(
            cell_voltages_v=voltage,
            cell_surface_degc=self.thermal.surface_degc,
            string_currents_a=string_a,
            string_voltages_v=voltage.reshape(self._shape).sum(axis=1),
            link_voltage_v=self.link.voltage_v if link_v is None else link_v,
            ambient_degc=self.thermal.ambient_degc,
            coolant_in_degc=self.thermal.coolant_in_degc,
            coolant_out_degc=self.thermal.coolant_out_degc,
            coolant_flow_l_per_min=self.thermal.coolant_flow_l_per_min,
            auxiliary_power_w=self.thermal.auxiliary_power_w,
            actuators=(heater, inputs.pump, inputs.fan, chiller),
            pressure_pa=self.housing.pressure_pa,
            gas=self.housing.gas,
            smoke=self.housing.smoke,
        )

    def _inner_ohm(self, inputs: Inputs, dt_s: float) -> FloatArray | None:
        """Resistance inside each cell [Ω]: shorts that were ordered, and those of cells in runaway."""
        if tuple(self._runaways) != inputs.runaways:
            self._change_runaways(inputs.runaways)
        if inputs.short_ohm is None and not self._runaways:
            return None
        ohm = np.full(self.cell_count, np.inf) if inputs.short_ohm is None else inputs.short_ohm.copy()
        for order, runaway in self._runaways.items():
            runaway.step(float(self.thermal.core_degc[order.cell]), dt_s)
            ohm[order.cell] = min(ohm[order.cell], runaway.short_ohm)
        return ohm

    def _change_runaways(self, orders: tuple[RunawayOrder, ...]) -> None:
        keep = {order: run for order, run in self._runaways.items() if order in orders}
        if not self._runaways:
            self._before = {
                name: getattr(bank, name).copy()
                for bank in (self.cells, self.thermal)
                for name in _STATE[type(bank)]
            }
        elif not keep:
            # the burnt cells are replaced, and what they heated has cooled down
            for bank in (self.cells, self.thermal):
                for name in _STATE[type(bank)]:
                    setattr(bank, name, self._before[name])
        self._runaways = {
            order: keep.get(order)
            or Runaway(
                order.short_ohm,
                order.ramp_s,
                self_heating=order.self_heating,
                parameters=self._runaway,
            )
            for order in orders
        }

    def condition(self, cell: int | None = None) -> dict[str, float]:
        """Give ``soc`` and ``temperature_degc`` (means, or of one cell), and ``ambient_degc``."""
        which = slice(None) if cell is None else cell
        return {
            "soc": float(self.cells.soc[which].mean()),
            "temperature_degc": float(self.thermal.core_degc[which].mean()),
            "ambient_degc": self.thermal.ambient_degc,
        }

    def put(
        self,
        *,
        soc: float | None = None,
        temperature_degc: float | None = None,
        ambient_degc: float | None = None,
        cell: int | None = None,
    ) -> None:
        """Put the pack, or one cell of it, into a condition, at rest.

        Parameters
        ----------
        soc : float, optional
            Mean state of charge of the cells, which keep their distances (or that of ``cell``), 0 … 1.
        temperature_degc : float, optional
            Temperature of cells (or of ``cell``) and coolant [°C].
        ambient_degc : float, optional
            Temperature of the surroundings [°C].
        cell : int, optional
            Only this cell.
        """
        cells, thermal, which = self.cells, self.thermal, slice(None) if cell is None else cell
        if soc is not None:
            shifted = cells.soc + (soc - float(cells.soc[which].mean()))
            cells.soc[which] = np.clip(shifted, 0.0, 1.0)[which]
            for state in (cells.rc1_v, cells.rc2_v, cells.hysteresis):
                state[which] = 0.0
        if temperature_degc is not None:
            thermal.core_degc[which] = thermal.surface_degc[which] = temperature_degc
            if cell is None:
                thermal.coolant_in_degc = thermal.coolant_out_degc = temperature_degc
        if ambient_degc is not None:
            thermal.ambient_degc = ambient_degc

    def _load_a(self, inputs: Inputs, circuit: OpenCircuit) -> float:
        """Current that load, charger and auxiliaries push into the link [A]."""
        conductance = 1.0 / circuit.resistance_ohm
        open_v = float((circuit.emf_v * conductance).sum() / conductance.sum())
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
