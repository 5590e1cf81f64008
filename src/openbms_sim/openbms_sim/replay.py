"""A recorded test as source of the pack's behaviour: real voltage, current, temperature, known charge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openbms_sim.interface import Inputs, Readings, Truth
from openbms_sim.plant.pack import precharge_ohm
from openbms_sim.plant.switching import Link, string_paths_ohm
from openbms_sim.record import Record

__all__ = ["Replay"]

FloatArray = NDArray[np.float64]


class Replay:
    """Every cell of the pack lives through the recorded test.

    Cell 0 is the recorded cell. The others are copies with a seeded offset (standard deviation ``offset_v``,
    at most 2.5 of it) and noise (``noise_v`` a tick, a third of it in a scan); nobody knows their charge, so
    it is NaN. Voltage and current of a tick are means over it, the record being linear between samples.

    The test runs while the positive and the negative contactor are closed and no zero current is requested.
    Before, during a pause and after its end the current is zero and the voltage that of the last sample
    without its ohmic part (current times the resistance that the record itself shows): a real cell would
    relax further. The record does not hear what the pack asks: power limits and heaters change nothing in it.

    Parameters
    ----------
    record : Record
        The test.
    cells : int
        Cells in series.
    seed : int
        Of offsets and noise.
    ambient_degc : float, optional
        Temperature of the surroundings and of the coolant; the record's first temperature by default.
    scale : float
        Current and capacity of a cell of the pack (a parallel group) are so many times those of the record.
    """

    name = "replay"

    def __init__(
        self,
        record: Record,
        cells: int = 96,
        *,
        seed: int = 1,
        ambient_degc: float | None = None,
        offset_v: float = 0.003,
        noise_v: float = 0.003,
        scale: float = 1.0,
    ) -> None:
        self.cell_count = cells
        self._scale = scale
        self.record = record
        self.test_time_s = 0.0
        self.link = Link()
        self._rng = np.random.default_rng(seed)
        self._noise_v = noise_v
        self._offset_v = np.clip(self._rng.standard_normal(cells), -2.5, 2.5) * offset_v
        self._offset_v[0] = 0.0
        self._ambient_degc = record.temperature_at(0.0) if ambient_degc is None else ambient_degc

    @property
    def finished(self) -> bool:
        """The test has ended."""
        return self.test_time_s >= self.record.duration_s

    def step(self, inputs: Inputs, dt_s: float) -> Readings:
        """Advance the test by ``dt_s`` seconds, or rest.

        Parameters
        ----------
        inputs : Inputs
            Contacts and whether zero current is requested; the load is the record's.
        dt_s : float
            Duration in time of the test [s].

        Returns
        -------
        Readings
        """
        connected = bool(inputs.closed[0, 0] and inputs.closed[0, 1])
        before = self.test_time_s
        if connected and not inputs.zero_current and not self.finished:
            self.test_time_s = min(before + dt_s, self.record.duration_s)
            voltage, mean_a = self.record.mean(before, self.test_time_s)
            current = self._scale * mean_a * (self.test_time_s - before) / dt_s
        else:
            voltage, mean_a = self.record.mean(before, before)
            voltage, current = voltage - mean_a * self.record.ohmic_resistance_ohm, 0.0
        voltages = voltage + self._offset_v
        if self._noise_v:
            voltages[1:] += self._rng.standard_normal(self.cell_count - 1) * self._noise_v
        string_v = float(voltages.sum())
        if connected:
            self.link.voltage_v = string_v
        else:
            # Only the link moves: the precharge is too small to see in a 3 Ah cell, and not part of the test.
            resistor_ohm = precharge_ohm(self.cell_count)
            path = string_paths_ohm(inputs.closed, resistor_ohm, precharge_open=inputs.precharge_open)
            self.link.step(np.array([string_v]), path, 0.0, dt_s)
        temperature = self.record.temperature_at(self.test_time_s)
        return Readings(
            cell_voltages_v=voltages,
            cell_surface_degc=np.full(self.cell_count, temperature),
            string_currents_a=np.array([current]),
            string_voltages_v=np.array([string_v]),
            link_voltage_v=self.link.voltage_v,
            ambient_degc=self._ambient_degc,
            coolant_in_degc=self._ambient_degc,
            coolant_out_degc=self._ambient_degc,
            coolant_flow_l_per_min=10.0 * inputs.pump,
            auxiliary_power_w=0.0,
            actuators=(inputs.heater if connected else 0.0, inputs.pump, inputs.fan, inputs.chiller),
        )

    def condition(self, cell: int | None = None) -> dict[str, float]:
        """Give what the record says of cell 0, and its temperatures."""
        return {
            "soc": self.record.soc_at(self.test_time_s),
            "temperature_degc": self.record.temperature_at(self.test_time_s),
            "ambient_degc": self._ambient_degc,
        }

    def put(
        self,
        *,
        soc: float | None = None,
        temperature_degc: float | None = None,
        ambient_degc: float | None = None,
        cell: int | None = None,
    ) -> None:
        """Do nothing: a recorded test is what it is."""

    def truth(self) -> Truth:
        """Give what the cycler's own counter says of cell 0."""
        nothing = np.full(self.cell_count, np.nan)
        soc, capacity = nothing.copy(), nothing.copy()
        soc[0] = self.record.soc_at(self.test_time_s)
        capacity[0] = self.record.capacity_ah * self._scale
        return Truth(soc, capacity, nothing, self.test_time_s, self.record.duration_s, self.finished)
