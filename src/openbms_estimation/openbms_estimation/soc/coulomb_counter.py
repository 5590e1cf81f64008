"""Coulomb counting with anchors from rested voltage, and a standard deviation that grows as the error does.

The offset of a current sensor keeps its sign, so the deviation grows with the time since the anchor, not with
its square root; the same holds for gain and capacity over the charge moved. Source of the anchor's weight:
slope of the OCV and the model error of the cell file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.estimate import Quality, SocEstimate, SocSample, capacity_of_cells, of_cells

__all__ = ["CoulombCounter", "CoulombCounterSettings"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CoulombCounterSettings:
    """Behaviour of the counter.

    Attributes
    ----------
    current_bias_std_c : float
        Standard deviation of the current offset as a part of the capacity per hour.
    charge_relative_std : float
        Relative error of gain and capacity together.
    rest_current_c : float
        Currents below this part of the capacity per hour count as rest.
    rest_s : float
        Rest before a voltage is taken for an OCV [s].
    rest_std_v : float
        Distance from full relaxation then [V].
    initial_soc_std, unknown_soc_std : float
        Standard deviation of an SoC that is given, and where nothing is known.
    unknown_current_c : float
        Standard deviation of the current while it is not measured, as a part of the capacity per hour.
    default_temperature_degc : float
        Used until the first temperature [°C].
    """

    current_bias_std_c: float = 0.005
    charge_relative_std: float = 0.01
    rest_current_c: float = 0.02
    rest_s: float = 1800.0
    rest_std_v: float = 0.005
    initial_soc_std: float = 0.02
    unknown_soc_std: float = 0.3
    unknown_current_c: float = 0.5
    default_temperature_degc: float = 25.0


class CoulombCounter:
    """Coulomb counter of many cells.

    Parameters
    ----------
    model : CellModel
        The cell (for the OCV).
    n_cells : int
        Number of cells.
    capacity_ah : array_like, optional
        Present capacity of each cell [Ah]; default: the model's.
    initial_soc : array_like, optional
        State of charge at the start; NaN or absent: from the first voltage at little current.
    initial_soc_std : array_like, optional
        Its standard deviation.
    settings : CoulombCounterSettings, optional

    Raises
    ------
    ValueError
        ``n_cells`` below 1, or a capacity that is not positive.
    """

    method = "coulomb_counting"

    def __init__(
        self,
        model: CellModel,
        n_cells: int,
        *,
        capacity_ah: ArrayLike | None = None,
        initial_soc: ArrayLike | None = None,
        initial_soc_std: ArrayLike | None = None,
        settings: CoulombCounterSettings | None = None,
    ) -> None:
        if n_cells < 1:
            raise ValueError(f"n_cells is {n_cells}: at least one cell is needed")
        self.model = model
        self.n_cells = n_cells
        self.settings = settings or CoulombCounterSettings()
        self.set_capacity(model.capacity_ah if capacity_ah is None else capacity_ah)
        given = of_cells(np.nan if initial_soc is None else initial_soc, n_cells)
        std = of_cells(
            self.settings.initial_soc_std if initial_soc_std is None else initial_soc_std, self.n_cells
        )
        self._anchored = np.isfinite(given)
        self._soc = np.where(self._anchored, np.clip(given, 0.0, 1.0), 0.5)
        self._anchor_variance = np.where(self._anchored, std, self.settings.unknown_soc_std) ** 2
        self._since_s = np.zeros(n_cells)
        self._moved = np.zeros(n_cells)
        self._blind_s = np.zeros(n_cells)
        self._resting_s = np.zeros(n_cells)
        self._temperature = np.full(n_cells, self.settings.default_temperature_degc)

    def set_capacity(self, capacity_ah: ArrayLike) -> None:
        """Take over new capacities [Ah]."""
        self._capacity_ah = capacity_of_cells(capacity_ah, self.n_cells)

    def step(self, sample: SocSample) -> SocEstimate:
        """Count the charge of one step.

        Parameters
        ----------
        sample : SocSample

        Returns
        -------
        SocEstimate
        """
        settings = self.settings
        quality = np.zeros(self.n_cells, np.uint8)
        dt = float(sample.dt_s)
        if not (np.isfinite(dt) and dt > 0.0):
            quality |= np.uint8(Quality.TIME_IRREGULAR)
            dt = 0.0
        current = of_cells(sample.current_a, self.n_cells)
        voltage = of_cells(sample.voltage_v, self.n_cells)
        temperature = of_cells(sample.temperature_degc, self.n_cells)
        fine = np.isfinite(temperature)
        quality[~fine] |= np.uint8(Quality.TEMPERATURE_ASSUMED)
        self._temperature = np.where(fine, temperature, self._temperature)
        quality[~np.isfinite(voltage)] |= np.uint8(Quality.VOLTAGE_MISSING)

        increment = of_cells(sample.charge_increment_ah, self.n_cells)
        charge = np.where(np.isfinite(increment), increment, current * (dt / 3600.0))
        known = np.isfinite(charge)
        quality[~known] |= np.uint8(Quality.CURRENT_MISSING)
        efficiency = np.where(charge > 0.0, self.model.coulombic_efficiency, 1.0)
        moved = np.where(known & (dt > 0.0), charge * efficiency / self._capacity_ah, 0.0)
        self._soc = np.clip(self._soc + moved, 0.0, 1.0)
        self._moved += np.abs(moved)
        self._since_s += np.where(known, dt, 0.0)
        self._blind_s += np.where(known, 0.0, dt)

        quiet = np.isfinite(current) & (np.abs(current) < settings.rest_current_c * self._capacity_ah)
        self._resting_s = np.where(quiet, self._resting_s + dt, 0.0)
        usable = quiet & np.isfinite(voltage) & (voltage > 0.0)
        self._anchor(usable & ~self._anchored, voltage, 3.0)
        self._anchor(usable & (self._resting_s >= settings.rest_s), voltage, 1.0)
        quality[~self._anchored] |= np.uint8(Quality.UNINITIALISED)

        zeros = np.zeros(self.n_cells)
        return SocEstimate(
            soc=self._soc.copy(),
            soc_std=np.sqrt(self._variance()),
            current_bias_a=zeros,
            current_bias_std_a=settings.current_bias_std_c * self._capacity_ah,
            resistance_ratio=np.ones(self.n_cells),
            resistance_ratio_std=zeros + 1.0,
            innovation_v=np.full(self.n_cells, np.nan),
            quality=quality,
            method=self.method,
        )

    def _variance(self) -> FloatArray:
        settings = self.settings
        offset = settings.current_bias_std_c * self._since_s / 3600.0
        gain = settings.charge_relative_std * self._moved
        blind = settings.unknown_current_c * self._blind_s / 3600.0
        total = self._anchor_variance + offset**2 + gain**2 + blind**2
        return np.asarray(np.minimum(total, settings.unknown_soc_std**2))

    def _anchor(self, where: NDArray[np.bool_], voltage: FloatArray, doubt: float) -> None:
        """Combine with the OCV of ``where``, weighted by both variances; ``doubt`` widens the voltage's."""
        if not where.any():
            return
        found = self.model.soc_from_ocv(np.where(where, voltage, np.nan), self._temperature)
        p = self.model.parameters(np.where(where, found, 0.5), self._temperature)
        error = np.sqrt(p.slow_std_v**2 + p.half_gap_v**2 + self.settings.rest_std_v**2)
        variance = (doubt * error / np.maximum(p.docv_dsoc_v, 1e-3)) ** 2
        variance = np.minimum(variance, self.settings.unknown_soc_std**2)
        now = np.where(self._anchored, self._variance(), 1e6)  # nothing is known: the voltage takes all
        # the same rest seen again brings nothing new: only a voltage that knows more than the count is used
        better = where & (variance < now)
        share = now / (now + variance)
        self._soc = np.where(better, self._soc + share * (found - self._soc), self._soc)
        self._anchor_variance = np.where(better, variance * share, self._anchor_variance)
        for counter in (self._since_s, self._moved, self._blind_s, self._resting_s):
            counter[better] = 0.0
        self._anchored |= better
