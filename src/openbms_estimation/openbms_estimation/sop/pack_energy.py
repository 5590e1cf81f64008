"""Remaining energy of a pack at the load that it has lately had."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement
from openbms_estimation.sop.energy import Cells, Energy, Load, RecentLoad, energy_to_cutoff
from openbms_estimation.sop.health import CellHealth

__all__ = ["PackEnergy"]

FloatArray = NDArray[np.float64]

FIRST_RATE_C = 1.0 / 3.0
"""Load that is assumed until there was one."""
AGAIN_AFTER_S = 2.0
UNKNOWN_RATIO_STD = 0.05
"""Relative doubt of the resistance of a cell that the state of health says nothing of."""


class PackEnergy:
    """Follows the load, and foretells the energy every two seconds.

    Parameters
    ----------
    pack : LoadedPack
    model : CellModel
        Of its cell.
    power_w : float
        Constant power that the energy is stated at [W]; 0: the mean of the recent load.
    """

    def __init__(self, pack: LoadedPack, model: CellModel, power_w: float = 0.0) -> None:
        topology = pack.file.topology
        self._pack, self._model, self._stated_w = pack, model, power_w
        self._strings, self._series = topology.strings, topology.cells_in_series
        whole_ah = model.capacity_ah * topology.cells_in_parallel * topology.strings
        self._first_w = FIRST_RATE_C * whole_ah * float(model.ocv(0.5, 25.0)) * topology.cells_in_series
        self._recent = RecentLoad(Load(self._first_w))
        self.health: CellHealth | None = None
        """What the cells have lost, as far as it is known."""
        self._coolant = [
            index for index, (_, place, _) in enumerate(topology.sensors) if place == "coolant_in"
        ]
        self._wait_s = 0.0
        self._last = Energy(math.nan, math.nan, math.nan, math.nan, -1)

    @property
    def load(self) -> Load:
        """Load that the energy is stated at."""
        return Load(self._stated_w) if self._stated_w > 0.0 else self._recent.load

    def step(
        self,
        dt_s: float,
        measurement: PackMeasurement,
        soc: FloatArray,
        soc_std: FloatArray,
        capacity_ah: FloatArray,
        temperature_degc: FloatArray,
    ) -> Energy:
        """Give the energy that is left.

        Parameters
        ----------
        dt_s : float
            Since the last scan [s].
        measurement : PackMeasurement
        soc, soc_std, capacity_ah, temperature_degc : ndarray, shape (n_cells,)
            Of each parallel group; the temperature may be NaN.
        """
        sums = measurement.cell_voltages_v.reshape(self._strings, self._series).sum(axis=1)
        power = float(-np.sum(measurement.string_currents_a * sums))
        moves = np.abs(measurement.string_currents_a) > self._pack.file.limits.current_deadband_a
        self._recent.step(dt_s, power, counts=bool(moves.any()) and measurement.charging_plug != 1)
        self._wait_s -= dt_s if math.isfinite(dt_s) and dt_s > 0.0 else 0.0
        known = bool(np.isfinite(soc).all())
        if known and self._wait_s > 0.0 and math.isfinite(self._last.energy_wh):
            return self._last
        self._wait_s = AGAIN_AFTER_S
        cell = self._pack.cell
        self._last = energy_to_cutoff(
            self._model,
            Cells(
                soc=soc,
                soc_std=soc_std,
                capacity_ah=capacity_ah,
                temperature_degc=temperature_degc,
                **self._resistance(),
                parallel=self._pack.file.topology.cells_in_parallel,
                strings=self._strings,
            ),
            self.load,
            # beyond it the monitor leaves no power
            self._pack.file.limits.cell_voltage_min_v.recommended,
            soc_min=self._pack.file.usable_soc.min,
            thermal=cell.thermal,
            coolant_degc=float(measurement.temperatures_degc[self._coolant[0]])
            if self._coolant
            else math.nan,
            depletion=cell.depletion,
        )
        return self._last

    def _resistance(self) -> dict[str, FloatArray]:
        """Give the resistance over that of the cell file and its deviation, where they are known."""
        if self.health is None:
            return {}
        ratio, std = self.health.resistance_ratio, self.health.resistance_ratio_std
        known = np.isfinite(ratio) & np.isfinite(std)
        return {
            "resistance_ratio": np.where(known, ratio, 1.0),
            "resistance_ratio_std": np.where(known, std, UNKNOWN_RATIO_STD),
        }
