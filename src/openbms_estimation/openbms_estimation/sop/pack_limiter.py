"""Advisory power limits of a whole pack, over several horizons, from measurements and states of charge.

A string gives what its weakest cell gives. Which cell that is, is found without a search for every cell: all
are predicted at the last limit, the few worst are searched, and all are predicted again at the result, so
that a cell that had looked better than it is comes in. The second prediction gives the string's voltage too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LimitTriple, LoadedPack
from openbms_core.types import PackMeasurement, PowerLimits, StateOfCharge
from openbms_estimation.soc.pack_estimator import CellLayout
from openbms_estimation.sop.bounds import FuseLoad
from openbms_estimation.sop.cell_limiter import CELL_VOLTAGE, REASONS, CellLimiter
from openbms_estimation.sop.health import CellHealth
from openbms_estimation.sop.prediction import Path
from openbms_estimation.sop.recovery import Recovery
from openbms_estimation.sop.settings import Ramp, SopSettings
from openbms_estimation.sop.tracking import CellState
from openbms_estimation.sop.voltage_limited import CHARGE, DISCHARGE, excess_v, power_shape, solve

__all__ = ["HORIZONS_S", "PackPowerLimiter"]

FloatArray = NDArray[np.float64]

HORIZONS_S = (2.0, 10.0, 30.0, 1800.0)
"""Default horizons [s]; the last one stands for continuous."""
FUSE, RECOVERING = "fuse", "recovering"
_VALID_FOR_S = 1.0
_LONGEST_STEP_S = 60.0
_ASSUMED_TEMPERATURE_DEGC = 25.0
_CANDIDATES = 4
_OVERLOOKED_V = 1e-4
_NOBODY = -1


@dataclass
class _Direction:
    """Limits of one direction, in units of one cell, and what is kept from scan to scan."""

    sign: float
    limit_v: float
    current: Recovery
    power: Recovery
    last_a: FloatArray


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
        self._layout = CellLayout(pack)
        self._strings, self._series = topology.strings, topology.cells_in_series
        self._parallel = topology.cells_in_parallel
        self._model = CellModel.from_file(pack.cell)
        self.horizons_s = horizons_s

        def ramp(triple: LimitTriple) -> Ramp:
            return Ramp(triple.operating, triple.recommended)

        settings = SopSettings(
            horizons_s=horizons_s,
            # where the monitor leaves nothing of the power: a load that obeys never gets there
            voltage_min_v=limits.cell_voltage_min_v.recommended,
            voltage_max_v=limits.cell_voltage_max_v.recommended,
            charge_current_max_a=limits.charge_current_max_a.operating / self._parallel,
            discharge_current_max_a=limits.discharge_current_max_a.operating / self._parallel,
            soc_min=pack.file.usable_soc.min,
            soc_max=pack.file.usable_soc.max,
            charge_hot=ramp(limits.charge_temperature_max_degc),
            charge_cold=ramp(limits.charge_temperature_min_degc),
            discharge_hot=ramp(limits.discharge_temperature_max_degc),
            discharge_cold=ramp(limits.discharge_temperature_min_degc),
        )
        self.cells = CellLimiter(pack.cell, topology.cell_count, settings, model=self._model)
        self._fuse = FuseLoad(pack.file.contactors.fuse, self._strings)
        self._coolant = [
            index for index, (_, place, _) in enumerate(topology.sensors) if place == "coolant_in"
        ]
        count = len(horizons_s)
        self._directions = [
            _Direction(
                sign,
                settings.voltage_max_v if sign == CHARGE else settings.voltage_min_v,
                Recovery(rating, settings.recovery_s, count),
                Recovery(rating * self._model.voltage_max_v * self._series, settings.recovery_s, count),
                np.full(count, rating),
            )
            for sign, rating in (
                (CHARGE, settings.charge_current_max_a),
                (DISCHARGE, settings.discharge_current_max_a),
            )
        ]
        self._last_stamp_s = math.nan

    @property
    def model(self) -> CellModel:
        """Model of the cell."""
        return self._model

    def step(
        self, measurement: PackMeasurement, soc: StateOfCharge, health: CellHealth | None = None
    ) -> PowerLimits | None:
        """Give the limits for one scan and its state of charge.

        Parameters
        ----------
        measurement : PackMeasurement
        soc : StateOfCharge
            Of the same scan.
        health : CellHealth, optional
            Absent: cells as in the cell file.

        Returns
        -------
        PowerLimits or None
            None while a state of charge, or the current is unknown: without limits of ours the monitor falls
            back to its limp-home limits, which is right then.
        """
        current = self._layout.per_cell(measurement.string_currents_a)
        if not (np.isfinite(soc.cell_soc).all() and np.isfinite(current).all()):
            return None
        temperature = self._layout.temperature_degc(measurement)
        temperature = np.where(np.isfinite(temperature), temperature, _ASSUMED_TEMPERATURE_DEGC)
        dt_s = measurement.stamp_s - self._last_stamp_s
        dt_s = dt_s if 0.0 < dt_s <= _LONGEST_STEP_S else 0.0
        self._last_stamp_s = measurement.stamp_s
        self.cells.step(
            dt_s,
            CellState(
                soc=soc.cell_soc,
                soc_std=soc.cell_soc_std,
                temperature_degc=temperature,
                capacity_ah=np.full(self._layout.n_cells, self._model.capacity_ah)
                if health is None
                else health.capacity_ah,
                current_a=current,
                voltage_v=measurement.cell_voltages_v,
                resistance_ratio=None if health is None else health.resistance_ratio,
                resistance_ratio_std=None if health is None else health.resistance_ratio_std,
            ),
        )
        self._fuse.advance(dt_s, measurement.string_currents_a)
        coolant = [measurement.temperatures_degc[k] for k in self._coolant]
        coolant_degc = float(coolant[0]) if coolant else math.nan
        (charge_a, charge_std, charge_w, charge_why, charge_cell) = self._limit(0, dt_s, coolant_degc)
        (discharge_a, discharge_std, discharge_w, discharge_why, discharge_cell) = self._limit(
            1, dt_s, coolant_degc
        )
        return PowerLimits(
            stamp_s=measurement.stamp_s,
            scan_number=measurement.scan_number,
            horizons_s=np.asarray(self.horizons_s, float),
            charge_current_a=charge_a,
            charge_current_std_a=charge_std,
            discharge_current_a=discharge_a,
            discharge_current_std_a=discharge_std,
            charge_power_w=charge_w,
            discharge_power_w=discharge_w,
            charge_reason=charge_why,
            charge_cell=charge_cell,
            discharge_reason=discharge_why,
            discharge_cell=discharge_cell,
            valid_for_s=_VALID_FOR_S,
        )

    def _limit(
        self, which: int, dt_s: float, coolant_degc: float
    ) -> tuple[FloatArray, FloatArray, FloatArray, list[str], NDArray[np.int32]]:
        """Give current, its deviation, power [of the pack], reasons and binding cells of one direction."""
        d, s, t = self._directions[which], self.cells.settings, self.cells.horizons_s
        each = np.arange(len(t))
        bounds = self.cells.bounds(d.sign, coolant_degc)
        cell = bounds.current_a.argmin(axis=0)
        most = bounds.current_a[cell, each]
        reasons = [REASONS[k] for k in bounds.reason[cell, each]]
        fuse = self._fuse.limit_a(t).min(axis=0) / self._parallel
        for k in np.flatnonzero(fuse < most):
            most[k], reasons[k], cell[k] = fuse[k], FUSE, _NOBODY

        whole = self.cells.situation(d.sign)
        n = len(whole.soc)

        steady = whole.path(t)

        def all_at(magnitude: FloatArray, path: Path) -> tuple[FloatArray, FloatArray]:
            spread = np.broadcast_to(magnitude, (n, len(t)))
            beyond, found = excess_v(whole, path, d.sign, spread, d.limit_v, s.margin_std)
            return beyond, found.voltage_v

        beyond, _ = all_at(np.minimum(d.last_a, most), steady)
        candidates = np.unique(np.argpartition(-beyond, min(_CANDIDATES, n) - 1, axis=0)[:_CANDIDATES])
        while True:
            few = whole.take(candidates)
            ceiling = np.broadcast_to(most, (len(candidates), len(t)))
            found = solve(few, few.path(t), d.sign, ceiling, d.limit_v, s.margin_std)
            weakest = found.current_a.argmin(axis=0)
            limit = found.current_a[weakest, each]
            beyond, voltage = all_at(limit, steady)
            over = np.flatnonzero((beyond > _OVERLOOKED_V).any(axis=1) & (limit > 0.0).any())
            missed = np.setdiff1d(over, candidates)
            if not len(missed):
                break
            candidates = np.union1d(candidates, missed)
        d.last_a = limit
        std = found.current_std_a[weakest, each]
        for k in each[found.binds[weakest, each]]:
            reasons[k], cell[k] = CELL_VOLTAGE, candidates[weakest[k]]

        # at constant power every cell follows the voltage of the string, not its own
        shape = power_shape(self._strings_v(voltage))
        ceiling = ceiling / shape.max(axis=-1)
        end_a = solve(few, few.path(t, shape), d.sign, ceiling, d.limit_v, s.margin_std).current_a.min(axis=0)
        power = end_a * self._strings_v(all_at(end_a, whole.path(t, shape))[1])[..., -1]

        current, rising = d.current.step(dt_s, limit)
        power, _ = d.power.step(dt_s, np.maximum(power, 0.0))
        for k in np.flatnonzero(rising):
            reasons[k] = RECOVERING
        cell = np.where([why == "current_rating" for why in reasons], _NOBODY, cell).astype(np.int32)
        # strings in parallel share a current as their resistances will: reckon with the weakest for all
        scale = self._parallel * self._strings
        return scale * current, scale * std, scale * power, reasons, cell

    def _strings_v(self, voltage_v: FloatArray) -> FloatArray:
        """Give the lowest string voltage [V], (horizons, points), from (n_cells, horizons, points)."""
        per_string = voltage_v.reshape(self._strings, self._series, *voltage_v.shape[1:]).sum(axis=1)
        return np.asarray(per_string.min(axis=0))
