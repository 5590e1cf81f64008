"""Advisory power limits of a whole pack, over several horizons, from measurements and states of charge."""

from __future__ import annotations

import math

import numpy as np

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement, PowerLimits, StateOfCharge
from openbms_estimation.soc.pack_estimator import CellLayout
from openbms_estimation.sop.voltage_limited import HorizonLimits, LimiterState, SopSettings, VoltageLimiter

__all__ = ["HORIZONS_S", "PackPowerLimiter"]

HORIZONS_S = (2.0, 10.0, 30.0, 1800.0)
"""Default horizons [s]; the last one stands for continuous."""
_VALID_FOR_S = 1.0
_LONGEST_STEP_S = 60.0
_ASSUMED_TEMPERATURE_DEGC = 25.0


class PackPowerLimiter:
    """Power limits of a pack by its weakest cell.

    Parameters
    ----------
    pack : LoadedPack
    horizons_s : tuple of float
        Times for which each limit shall hold [s].
    """

    def __init__(self, pack: LoadedPack, horizons_s: tuple[float, ...] = HORIZONS_S) -> None:
        limits, topology = pack.file.limits, pack.file.topology
        self._model = CellModel.from_file(pack.cell)
        self._layout = CellLayout(pack)
        self._strings, self._series = topology.strings, topology.cells_in_series
        self._parallel = topology.cells_in_parallel
        self.horizons_s = horizons_s
        self._cells = VoltageLimiter(
            self._model,
            topology.cell_count,
            SopSettings(
                horizons_s=horizons_s,
                # where the monitor leaves nothing of the power: a load that obeys never gets there
                voltage_min_v=limits.cell_voltage_min_v.recommended,
                voltage_max_v=limits.cell_voltage_max_v.recommended,
                charge_current_max_a=limits.charge_current_max_a.operating / self._parallel,
                discharge_current_max_a=limits.discharge_current_max_a.operating / self._parallel,
                soc_min=pack.file.usable_soc.min,
                soc_max=pack.file.usable_soc.max,
            ),
        )
        self._last_stamp_s = math.nan

    def step(self, measurement: PackMeasurement, soc: StateOfCharge) -> PowerLimits | None:
        """Give the limits for one scan and its state of charge.

        Parameters
        ----------
        measurement : PackMeasurement
        soc : StateOfCharge
            Of the same scan.

        Returns
        -------
        PowerLimits or None
            None while a state of charge, or every temperature, or the current is unknown: without limits of
            ours the monitor falls back to its limp-home limits, which is right then.
        """
        current = self._layout.per_cell(measurement.string_currents_a)
        if not (np.isfinite(soc.cell_soc).all() and np.isfinite(current).all()):
            return None
        temperature = self._layout.temperature_degc(measurement)
        temperature = np.where(np.isfinite(temperature), temperature, _ASSUMED_TEMPERATURE_DEGC)
        dt_s = measurement.stamp_s - self._last_stamp_s
        if 0.0 < dt_s <= _LONGEST_STEP_S:
            self._cells.advance(dt_s, current, soc.cell_soc, temperature)
        self._last_stamp_s = measurement.stamp_s
        charge, discharge = self._cells.limits(
            LimiterState(
                soc=soc.cell_soc,
                soc_std=soc.cell_soc_std,
                temperature_degc=temperature,
                capacity_ah=np.full(self._layout.n_cells, self._model.capacity_ah),
                current_a=current,
                voltage_v=measurement.cell_voltages_v,
            )
        )
        charge_cell, discharge_cell = charge.current_a.argmin(axis=0), discharge.current_a.argmin(axis=0)
        each = np.arange(len(self.horizons_s))
        # strings in parallel share a current as their resistances will: reckon with the weakest for all
        scale = self._parallel * self._strings
        return PowerLimits(
            stamp_s=measurement.stamp_s,
            scan_number=measurement.scan_number,
            horizons_s=np.asarray(self.horizons_s, float),
            charge_current_a=scale * charge.current_a[charge_cell, each],
            charge_current_std_a=scale * charge.current_std_a[charge_cell, each],
            discharge_current_a=scale * discharge.current_a[discharge_cell, each],
            discharge_current_std_a=scale * discharge.current_std_a[discharge_cell, each],
            charge_power_w=scale * charge.current_a[charge_cell, each] * self._string_voltage_v(charge),
            discharge_power_w=scale
            * discharge.current_a[discharge_cell, each]
            * self._string_voltage_v(discharge),
            charge_reason=[str(r) for r in charge.reason[charge_cell, each]],
            charge_cell=_binding(charge, charge_cell),
            discharge_reason=[str(r) for r in discharge.reason[discharge_cell, each]],
            discharge_cell=_binding(discharge, discharge_cell),
            valid_for_s=_VALID_FOR_S,
        )

    def _string_voltage_v(self, limits: HorizonLimits) -> np.ndarray:
        """Give the lowest string voltage of each horizon [V], shape (horizons,), all cells at their limit."""
        per_string = limits.voltage_v.reshape(self._strings, self._series, -1).sum(axis=1)
        return np.asarray(per_string.min(axis=0))


def _binding(limits: HorizonLimits, cell: np.ndarray) -> np.ndarray:
    """Give the cell that binds each horizon; -1 where it is the rating, which is nobody's."""
    each = np.arange(limits.current_a.shape[1])
    return np.where(limits.reason[cell, each] == "current_rating", -1, cell).astype(np.int32)
