"""The estimator of a whole pack: measurements in, state of charge of every cell, string and pack out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import UNKNOWN, PackMeasurement, StateOfCharge
from openbms_estimation.soc.absence import contactors_open, judge_absence
from openbms_estimation.soc.estimate import Quality, SocEstimate, SocEstimator, SocSample
from openbms_estimation.soc.pack import DisplayedSoc, aggregate
from openbms_estimation.soc.resumable import Resumable, ResumableCounter, ResumableEkf, ResumableSigmaPoint
from openbms_estimation.soc.stored import StoredEstimate
from openbms_estimation.sop.health import CellHealth
from openbms_estimation.sop.pack_energy import PackEnergy

__all__ = ["CellLayout", "PackSocEstimator"]

FloatArray = NDArray[np.float64]

QUALITY_UNKNOWN, QUALITY_CONVERGING, QUALITY_GOOD, QUALITY_DEGRADED, QUALITY_LOST = range(5)
_CONVERGED_STD = 0.05
_NO_SENSOR = -1

_KINDS: dict[str, type[ResumableEkf] | type[ResumableCounter]] = {
    "ekf_2rc": ResumableEkf,
    "sigma_point": ResumableSigmaPoint,
    "coulomb_counting": ResumableCounter,
}

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
    energy_power_w : float
        Power that the remaining energy is stated at [W]; 0: the mean of the recent load.
    """

    def __init__(self, pack: LoadedPack, energy_power_w: float = 0.0) -> None:
        self.model = CellModel.from_file(pack.cell)
        self.layout = CellLayout(pack)
        self.window = (pack.file.usable_soc.min, pack.file.usable_soc.max)
        self.method = pack.file.estimation_method
        if self.method == "auto":
            self.method = "ekf_2rc"
        self.cells: SocEstimator = _KINDS[self.method](self.model, self.layout.n_cells)
        # group capacity: what the string's charge moves; the cell filter sees one cell of the group
        self.capacity_ah = np.full(self.layout.n_cells, self.model.capacity_ah * self.layout.parallel)
        self._pack = pack
        self._energy = PackEnergy(pack, self.model, energy_power_w)
        self._displayed = DisplayedSoc()
        self._shown = math.nan
        self._last: PackMeasurement | None = None
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
        self._last = measurement
        return self._combine(measurement, estimate, temperature, dt_s)

    def take_health(self, health: CellHealth) -> None:
        """Go on with what the state of health knows of capacity and resistance.

        The capacity comes from open-circuit voltages alone, so that no estimate feeds itself.

        Parameters
        ----------
        health : CellHealth
            Of one cell of each parallel group.
        """
        self.cells.set_capacity(health.capacity_ah)
        self.capacity_ah = health.capacity_ah * self.layout.parallel
        self._energy.health = health

    # ---- over a restart ----

    @property
    def contactors_open(self) -> bool:
        """No current could flow in the last scan."""
        return self._last is not None and contactors_open(self._last, float(self.capacity_ah.min()))

    def stored(self, *, orderly: bool) -> StoredEstimate | None:
        """Give what is to be kept; None while there is nothing, or where the method cannot be resumed.

        Parameters
        ----------
        orderly : bool
            The estimator ends now in order.
        """
        m = self._last
        if m is None or not isinstance(self.cells, Resumable):
            return None
        counters = m.string_charge_counters_ah
        return StoredEstimate(
            serial=self._pack.file.serial,
            config_hash=self._pack.config_hash,
            method=self.method,
            stamp_s=m.stamp_s,
            scan_number=m.scan_number,
            orderly=orderly,
            contactors_open=self.contactors_open,
            displayed_soc=self._shown,
            charge_counters_ah=np.where(m.string_charge_counter_validity == 0, counters, np.nan),
            cell_voltages_v=m.cell_voltages_v.copy(),
            arrays=self.cells.state(),
        )

    def waits_to_resume(self, measurement: PackMeasurement) -> bool:
        """Tell whether a scan lacks what :meth:`resume` judges by: a voltage, the currents, the feedback."""
        feedback = self._pack.file.mapped("contactor_positive")
        return not (
            np.isfinite(measurement.cell_voltages_v).any()
            and np.isfinite(measurement.string_currents_a).all()
            and not (feedback and (measurement.contactor_feedback == UNKNOWN).all())
        )

    def resume(self, stored: StoredEstimate, measurement: PackMeasurement) -> tuple[bool, str]:
        """Go on from a stored estimate; to be called with the first scan, before its :meth:`step`.

        Parameters
        ----------
        stored : StoredEstimate
            Of this pack, configuration and method.
        measurement : PackMeasurement
            The first scan.

        Returns
        -------
        resumed : bool
        text : str
            What was done, or why it is not used, in one sentence.
        """
        if not isinstance(self.cells, Resumable):
            return False, f"the method {self.method} cannot be resumed: the estimate starts anew."
        absence = judge_absence(
            stored,
            measurement,
            capacity_ah=float(self.capacity_ah.min()),
            current_limit_a=max(
                self._pack.file.limits.charge_current_max_a.safety,
                self._pack.file.limits.discharge_current_max_a.safety,
            ),
            scan_period_s=self._pack.file.measurement.scan_period_s,
        )
        if isinstance(absence, str):
            return False, absence
        try:
            self.cells.resume(stored.arrays)
        except ValueError as error:
            return False, f"the stored estimate does not fit ({error}): the estimate starts anew."
        self.cells.pass_time(
            absence.away_s, self.layout.per_cell(absence.moved_ah), absence.soc_std, absence.current_std_c
        )
        if math.isfinite(stored.displayed_soc):
            self._displayed.resume(stored.displayed_soc)
        # the charge of the first scan itself is measured: it follows the time away without a gap
        self._last_stamp_s = measurement.stamp_s - measurement.scan_duration_s
        self._last_number = measurement.scan_number - 1
        return True, (
            f"going on with the estimate of {absence.away_s:.1f} s ago ({absence.means}); "
            f"this adds {100.0 * absence.soc_std:.2f} % to its standard deviation."
        )

    def contradictions(self, stored: StoredEstimate, measurement: PackMeasurement) -> str:
        """Say which cells' rest voltage overruled what was stored (after the first step); empty: none."""
        if not isinstance(self.cells, Resumable) or not self.cells.contradicted.size:
            return ""
        cells = self.cells.contradicted
        worst = int(cells[0])
        return (
            f"{len(cells)} cell(s) start anew, since their rest voltage contradicts what was stored: cell "
            f"{worst} has {measurement.cell_voltages_v[worst]:.3f} V, it had "
            f"{stored.cell_voltages_v[worst]:.3f} V."
        )

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
        self._shown = self._displayed.step(pack.soc, dt_s)
        energy = self._energy.step(dt_s, measurement, cell_soc, cell_soc_std, self.capacity_ah, temperature)
        return StateOfCharge(
            stamp_s=measurement.stamp_s,
            scan_number=measurement.scan_number,
            soc=pack.soc,
            soc_std=pack.soc_std,
            displayed_soc=self._shown,
            cell_soc=cell_soc,
            cell_soc_std=cell_soc_std,
            string_soc=pack.string_soc,
            string_soc_std=pack.string_soc_std,
            remaining_charge_ah=pack.remaining_charge_ah,
            remaining_charge_std_ah=pack.remaining_charge_std_ah,
            remaining_energy_wh=energy.energy_wh,
            remaining_energy_std_wh=energy.std_wh,
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
