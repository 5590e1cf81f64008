"""The estimator of a whole pack: measurements in, state of charge of every cell, string and pack out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement, StateOfCharge
from openbms_estimation.soc.coulomb_counter import CoulombCounter
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import Quality, SocEstimate, SocEstimator, SocSample
from openbms_estimation.soc.pack import DisplayedSoc, aggregate

__all__ = ["CellLayout", "PackSocEstimator"]

FloatArray = NDArray[np.float64]

QUALITY_UNKNOWN, QUALITY_CONVERGING, QUALITY_GOOD, QUALITY_DEGRADED, QUALITY_LOST = range(5)
_CONVERGED_STD = 0.05
_NO_SENSOR = -1

_REASONS = {
    Quality.VOLTAGE_MISSING: "no valid voltage",
    Quality.CURRENT_MISSING: "no valid current",
    Quality.TEMPERATURE_ASSUMED: "no valid temperature",
    Quality.TIME_IRREGULAR: "a gap or a step in time",
    Quality.OUTSIDE_MODEL: "temperature outside the cell model",
}


class CellLayout:
    """Which string and which temperature sensor each cell has, and what one cell sees of a string's current.

    Parameters
    ----------
    pack : LoadedPack
    """

    def __init__(self, pack: LoadedPack) -> None:
        topology = pack.file.topology
        self.n_cells = topology.cell_count
        self.strings = topology.strings
        self.parallel = topology.cells_in_parallel
        self.string = np.repeat(np.arange(topology.strings), topology.cells_in_series)
        self.sensor = np.full(self.n_cells, _NO_SENSOR)
        at_cells = []
        for index, (_, location, cells) in enumerate(topology.sensors):
            if location == "cell":
                at_cells.append(index)
                self.sensor[cells.start : cells.stop] = index
        self._at_cells = np.array(at_cells, int)

    def temperature_degc(self, measurement: PackMeasurement) -> FloatArray:
        """Give the temperature of each cell [°C], shape (n_cells,).

        A cell without valid sensor of its own takes the mean of those that are valid; NaN if none is.
        """
        temperatures = measurement.temperatures_degc
        if not self._at_cells.size:
            return np.full(self.n_cells, np.nan)
        own = np.where(self.sensor >= 0, temperatures[self.sensor], np.nan)
        fine = np.isfinite(own)
        if fine.all():
            return own
        others = temperatures[self._at_cells]
        others = others[np.isfinite(others)]
        return np.where(fine, own, others.mean() if others.size else np.nan)

    def per_cell(self, per_string: FloatArray) -> FloatArray:
        """Spread a string quantity over one cell of each parallel group: shape (strings,) to (n_cells,)."""
        return np.asarray(per_string, float)[self.string] / self.parallel


class PackSocEstimator:
    """State of charge of a pack by the method that its pack file names.

    Parameters
    ----------
    pack : LoadedPack
        Pack and cell.
    """

    def __init__(self, pack: LoadedPack) -> None:
        self.model = CellModel.from_file(pack.cell)
        self.layout = CellLayout(pack)
        self.window = (pack.file.usable_soc.min, pack.file.usable_soc.max)
        self.method = pack.file.estimation_method
        kind = SocEkf if self.method == "ekf_2rc" else CoulombCounter
        self.cells: SocEstimator = kind(self.model, self.layout.n_cells)
        # group capacity: what the string's charge moves; the cell filter sees one cell of the group
        self.capacity_ah = np.full(self.layout.n_cells, self.model.capacity_ah * self.layout.parallel)
        self._displayed = DisplayedSoc()
        self._last_stamp_s = math.nan
        self._last_number = -1

    def step(self, measurement: PackMeasurement) -> StateOfCharge:
        """Take one scan and give the new estimate.

        Parameters
        ----------
        measurement : PackMeasurement

        Returns
        -------
        StateOfCharge
            Stamped with the scan's own time and number.
        """
        dt_s = measurement.stamp_s - self._last_stamp_s if math.isfinite(self._last_stamp_s) else 0.0
        # the increment of a scan covers that scan only: where one was lost, the current over the whole time
        # serves
        complete = measurement.scan_number == self._last_number + 1
        increments = measurement.string_charge_increments_ah
        temperature = self.layout.temperature_degc(measurement)
        estimate = self.cells.step(
            SocSample(
                dt_s=dt_s,
                current_a=self.layout.per_cell(measurement.string_currents_a),
                voltage_v=measurement.cell_voltages_v,
                temperature_degc=temperature,
                charge_increment_ah=self.layout.per_cell(increments) if complete else math.nan,
            )
        )
        self._last_stamp_s, self._last_number = measurement.stamp_s, measurement.scan_number
        return self._combine(measurement, estimate, temperature, dt_s)

    def _combine(
        self, measurement: PackMeasurement, estimate: SocEstimate, temperature: FloatArray, dt_s: float
    ) -> StateOfCharge:
        layout = self.layout
        quality, reason = self._quality(estimate)
        unknown = (estimate.quality & np.uint8(Quality.UNINITIALISED)) != 0
        cell_soc = np.where(unknown, np.nan, estimate.soc)
        cell_soc_std = np.where(unknown, np.nan, estimate.soc_std)
        pack = aggregate(
            self.model,
            cell_soc,
            cell_soc_std,
            self.capacity_ah,
            temperature,
            n_strings=layout.strings,
            usable_min=self.window[0],
            usable_max=self.window[1],
        )
        # each filter sees the offset of its string's one sensor, as a share of one cell of the group
        bias, bias_std = (
            np.array([np.median(values[layout.string == s]) for s in range(layout.strings)]) * layout.parallel
            for values in (estimate.current_bias_a, estimate.current_bias_std_a)
        )
        return StateOfCharge(
            stamp_s=measurement.stamp_s,
            scan_number=measurement.scan_number,
            soc=pack.soc,
            soc_std=pack.soc_std,
            displayed_soc=self._displayed.step(pack.soc, dt_s),
            cell_soc=cell_soc,
            cell_soc_std=cell_soc_std,
            string_soc=pack.string_soc,
            string_soc_std=pack.string_soc_std,
            remaining_charge_ah=pack.remaining_charge_ah,
            remaining_charge_std_ah=pack.remaining_charge_std_ah,
            remaining_energy_wh=pack.remaining_energy_wh,
            remaining_energy_std_wh=pack.remaining_energy_std_wh,
            current_bias_a=bias,
            current_bias_std_a=bias_std,
            voltage_innovation_v=estimate.innovation_v,
            method=self.method,
            quality=quality,
            quality_reason=reason,
        )

    @staticmethod
    def _quality(estimate: SocEstimate) -> tuple[int, str]:
        """Give the quality of the worst cell, and why."""
        bits = int(np.bitwise_or.reduce(estimate.quality))
        if bits & Quality.UNINITIALISED:
            count = int(np.count_nonzero(estimate.quality & np.uint8(Quality.UNINITIALISED)))
            return QUALITY_UNKNOWN, f"{count} cells have had no valid voltage yet"
        reasons = [text for bit, text in _REASONS.items() if bits & bit]
        if bits & Quality.CURRENT_MISSING:
            return QUALITY_LOST, ", ".join(reasons)
        if reasons:
            return QUALITY_DEGRADED, ", ".join(reasons)
        worst = float(estimate.soc_std.max())
        if worst > _CONVERGED_STD:
            return (
                QUALITY_CONVERGING,
                f"the least certain cell is known to {100 * worst:.0f} % (one standard deviation)",
            )
        return QUALITY_GOOD, ""
