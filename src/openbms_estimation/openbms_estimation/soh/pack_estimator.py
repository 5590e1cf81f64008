"""State of health of a whole pack: scans and states of charge in, capacity, resistance and use out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement, StateOfCharge, StateOfHealth, Validity
from openbms_estimation.soc.absence import contactors_open, judge_absence
from openbms_estimation.soc.pack_estimator import CellLayout
from openbms_estimation.soc.stored import StoredEstimate
from openbms_estimation.soh.anchors import (
    Anchor,
    Anchors,
    AnchorSettings,
    RestWatch,
    soc_of_rest,
    soc_of_taper,
)
from openbms_estimation.soh.capacity import CapacitySettings, TotalLeastSquares
from openbms_estimation.soh.incremental import SlowCharge
from openbms_estimation.soh.resistance import LONG_S, ResistanceTracker
from openbms_estimation.soh.sensor_zero import SensorZero
from openbms_estimation.soh.table_error import SHARE, TableError
from openbms_estimation.soh.usable import usable_capacity
from openbms_estimation.soh.usage import SOC_EDGES, TEMPERATURE_EDGES_DEGC, Usage

__all__ = ["METHOD", "PackSohEstimator"]

FloatArray = NDArray[np.float64]

METHOD = "total_least_squares"
QUALITY_UNKNOWN, QUALITY_RATED, QUALITY_GOOD = range(3)
_CONTRADICTS, _CONTRADICTS_SOC = 5.0, 0.2
"""An anchor so many standard deviations and so much SoC from the filter's estimate is none: the filter itself
counts with a capacity that may have been lost long ago."""
_ANCHOR_EVERY_S = 300.0
_PARTS = ("capacity", "anchors", "table_error", "resistance", "usage", "zero")
"""What is kept over a restart as a whole."""


class PackSohEstimator:
    """State of health of a pack.

    Parameters
    ----------
    pack : LoadedPack
        Pack and cell.
    anchor_settings : AnchorSettings, optional
    capacity_settings : CapacitySettings, optional

    Notes
    -----
    Changes of the state of charge are taken between voltages of verified rests and of tapered full charges
    only, each read off the open-circuit voltage: never from an integral of the current that the charge
    comes from. The SoC filter's estimate checks an anchor, and places resistance, use and usable capacity.
    """

    def __init__(
        self,
        pack: LoadedPack,
        anchor_settings: AnchorSettings | None = None,
        capacity_settings: CapacitySettings | None = None,
    ) -> None:
        self.model = CellModel.from_file(pack.cell)
        self.layout = CellLayout(pack)
        self.settings = anchor_settings or AnchorSettings()
        n = self.layout.n_cells
        self.rated_cell_ah = self.model.capacity_ah * self.layout.parallel
        self.capacity = TotalLeastSquares(np.full(n, self.rated_cell_ah), capacity_settings)
        least = self.capacity.settings.least_soc
        self.anchors = Anchors(n, self.rated_cell_ah, least, self.settings)
        settings = self.capacity.settings
        self.table_error = TableError(n, settings.forgetting, settings.prior_std)
        self.rest = RestWatch(self.layout.string, self.rated_cell_ah, self.settings)
        self.zero = SensorZero(self.layout.strings, self.settings.offset_std_c * self.rated_cell_ah)
        self.resistance = ResistanceTracker(self.model, n)
        self.usage = Usage(self.rated_cell_ah * self.layout.strings)
        per_string = n // self.layout.strings
        self._slow = [SlowCharge(per_string, self.rated_cell_ah) for _ in range(self.layout.strings)]
        self._drop_ohm = float(self.model.resistance(0.5, 25.0)) / self.layout.parallel
        self.peak_v, self.peak_ah_per_v = np.full(n, np.nan), np.full(n, np.nan)
        self.direction = np.zeros(n)
        self.pairs_taken = 0
        """Scans in which at least one cell gained a pair."""
        self._pack = pack
        self._last: PackMeasurement | None = None
        self._soc: StateOfCharge | None = None
        self._anchored_s = -math.inf
        self._charge_v = min(self.model.voltage_max_v, pack.file.limits.cell_voltage_max_v.operating)

    # ---- scans ----

    def step(self, measurement: PackMeasurement, soc: StateOfCharge) -> None:
        """Take one scan with the state of charge that was computed from it.

        Parameters
        ----------
        measurement : PackMeasurement
        soc : StateOfCharge
        """
        m = measurement
        dt_s = 0.0 if self._last is None else max(m.stamp_s - self._last.stamp_s, 0.0)
        in_order = self._last is not None and m.scan_number == self._last.scan_number + 1
        temperature = self.layout.temperature_degc(m)
        still = contactors_open(m, self.rated_cell_ah)
        self.zero.step(dt_s, m.string_currents_a, still)
        moved, known = self._moved(m, dt_s, in_order, still)
        self._count(moved, known, dt_s, still, m)
        cell_current = self.layout.per_cell(m.string_currents_a)
        self.resistance.step(dt_s, cell_current, m.cell_voltages_v, temperature, soc.cell_soc)
        self.rest.step(
            dt_s, m.string_currents_a - self.zero.offset_a, m.cell_voltages_v, charge_v=self._charge_v
        )
        self._anchor(m, soc, temperature)
        self._use(m, soc, temperature, moved, dt_s)
        self._slow_charges(m, moved, dt_s)
        self._last, self._soc = m, soc

    def _moved(
        self, m: PackMeasurement, dt_s: float, in_order: bool, still: bool
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Give the charge into each string since the last scan [Ah], and whether it is known."""
        increments = m.string_charge_increments_ah
        whole = m.string_currents_a * dt_s / 3600.0
        moved = np.where(np.isfinite(increments) & in_order, increments, whole)
        moved = moved - self.zero.offset_a * dt_s / 3600.0
        moved = np.where(still, 0.0, moved)
        return np.nan_to_num(moved), np.isfinite(moved)

    def _count(
        self, moved: FloatArray, known: NDArray[np.bool_], dt_s: float, still: bool, m: PackMeasurement
    ) -> None:
        string = self.layout.string
        offset = np.zeros(self.layout.strings) if still else self.zero.std_a()
        bleeding = m.cell_balancing == 1
        self.anchors.count(moved[string], dt_s, offset[string], bleeding)
        self.anchors.forget(~known[string])
        share = moved[string] / self.rated_cell_ah / self.model.hysteresis_soc
        self.direction = np.clip(self.direction + share, -1.0, 1.0)

    def _anchor(self, m: PackMeasurement, soc: StateOfCharge, temperature: FloatArray) -> None:
        rested, full = self.rest.rested(), self.rest.full()
        if not (rested.any() or full.any()) or m.stamp_s - self._anchored_s < _ANCHOR_EVERY_S:
            return
        self._anchored_s = m.stamp_s
        taken = np.zeros(self.layout.n_cells, bool)
        if rested.any():
            anchor = soc_of_rest(self.model, self.rest.voltage_v, temperature, self.direction, self.settings)
            taken |= self._pair(anchor, rested, soc, temperature)
        full &= ~rested
        if full.any():
            current = self.layout.per_cell(m.string_currents_a)
            ratio = np.where(self.resistance.long.blocks > 0, self.resistance.long.ratio, 1.0)
            anchor = soc_of_taper(self.model, m.cell_voltages_v, current, temperature, self.settings, ratio)
            taken |= self._pair(anchor, full, soc, temperature)
        self.pairs_taken += bool(taken.any())

    def _pair(
        self, anchor: Anchor, where: NDArray[np.bool_], soc: StateOfCharge, temperature: FloatArray
    ) -> NDArray[np.bool_]:
        z, std = anchor.soc, anchor.std
        doubt = _CONTRADICTS * np.hypot(std, np.nan_to_num(soc.cell_soc_std, nan=1.0))
        apart = np.abs(z - soc.cell_soc) > np.maximum(doubt, _CONTRADICTS_SOC)
        before = self.anchors.soc.copy()
        pairs = self.anchors.take(Anchor(z, std), where & ~apart)
        taken = self.capacity.add(pairs.delta_soc, pairs.charge_ah, pairs.soc_std, pairs.charge_std_ah)
        if taken.any():
            whole = np.hypot(pairs.soc_std, pairs.charge_std_ah / self.rated_cell_ah)
            errors = self._table_std(before, temperature), self._table_std(z, temperature)
            self.table_error.add(taken, (before, z), errors, whole)
        return taken

    def _table_std(self, soc: FloatArray, temperature: FloatArray) -> FloatArray:
        """Give what the error of the open-circuit voltage is worth where a cell rested [SoC]."""
        warm = np.where(np.isfinite(temperature), temperature, 25.0)
        cell = self.model.parameters(np.nan_to_num(soc, nan=0.5), warm)
        return SHARE * cell.slow_std_v / np.maximum(cell.chord_v, 1e-3)

    def _use(
        self, m: PackMeasurement, soc: StateOfCharge, temperature: FloatArray, moved: FloatArray, dt_s: float
    ) -> None:
        known = m.cell_voltages_v.reshape(self.layout.strings, -1).sum(axis=1)
        voltage = float(np.mean(known[np.isfinite(known)])) if np.isfinite(known).any() else math.nan
        warm = (
            float(np.mean(temperature[np.isfinite(temperature)]))
            if np.isfinite(temperature).any()
            else math.nan
        )
        self.usage.step(dt_s, float(moved.sum()), voltage, warm, soc.soc)

    def _slow_charges(self, m: PackMeasurement, moved: FloatArray, dt_s: float) -> None:
        for k, watch in enumerate(self._slow):
            cells = self.layout.string == k
            current = float(m.string_currents_a[k])
            ohm = np.full(watch.count, self._drop_ohm)
            found = watch.step(dt_s, current, float(moved[k]), m.cell_voltages_v[cells], ohm)
            if found is None:
                continue
            index = np.flatnonzero(cells)
            for cell, curve in zip(index, found, strict=True):
                self.peak_v[cell] = math.nan if curve is None else curve.peak_v
                self.peak_ah_per_v[cell] = math.nan if curve is None else curve.peak_ah_per_v

    # ---- what is known ----

    def result(self) -> StateOfHealth | None:
        """Give the state of health as it is known now; None before the first scan."""
        m, soc = self._last, self._soc
        if m is None or soc is None:
            return None
        found = self.capacity.estimate()
        # the sensor's gain is in every pair alike
        measured = found.pairs > 0
        # and so is the error of the open-circuit voltage in those between the same levels
        alike = np.hypot(self.settings.gain_std, self.table_error.relative_std())
        std = np.hypot(found.capacity_std_ah, np.where(measured, alike * found.capacity_ah, 0.0))
        usable = usable_capacity(soc.cell_soc, found.capacity_ah, self.layout.strings)
        weakest = usable.weakest if usable.weakest >= 0 and measured[usable.weakest] else -1
        rated = self.rated_cell_ah * self.layout.strings
        lowest = found.capacity_ah.reshape(self.layout.strings, -1).argmin(axis=1)
        of_lowest = std.reshape(self.layout.strings, -1)[np.arange(self.layout.strings), lowest]
        r0, r0_std = self.resistance.normalised(0.0)
        r10, r10_std = self.resistance.normalised(LONG_S)
        group = 1.0 / self.layout.parallel
        short = self.resistance.short
        quality, reason = self._quality(soc, int(np.count_nonzero(~measured)))
        return StateOfHealth(
            stamp_s=m.stamp_s,
            scan_number=m.scan_number,
            soh=usable.balanced_ah / rated,
            soh_std=float(np.sqrt(np.sum(of_lowest**2))) / rated,
            rated_capacity_ah=rated,
            usable_capacity_now_ah=usable.now_ah,
            usable_capacity_balanced_ah=usable.balanced_ah,
            weakest_cell=weakest,
            weakest_probability=_least_probability(found.capacity_ah, found.capacity_std_ah, weakest),
            cell_capacity_ah=found.capacity_ah,
            cell_capacity_std_ah=std,
            cell_capacity_pairs=found.pairs.astype(np.uint32),
            cell_resistance_ohm=r0 * group,
            cell_resistance_std_ohm=r0_std * group,
            cell_resistance_10s_ohm=r10 * group,
            cell_resistance_10s_std_ohm=r10_std * group,
            cell_resistance_ratio=np.where(short.blocks > 0, short.ratio, np.nan),
            incremental_peak_voltage_v=self.peak_v.copy(),
            incremental_peak=self.peak_ah_per_v.copy(),
            charge_in_ah=self.usage.charged_ah,
            charge_out_ah=self.usage.discharged_ah,
            energy_in_wh=self.usage.charged_wh,
            energy_out_wh=self.usage.discharged_wh,
            equivalent_full_cycles=self.usage.equivalent_full_cycles,
            temperature_edges_degc=np.array(TEMPERATURE_EDGES_DEGC),
            soc_edges=np.array(SOC_EDGES),
            time_at_s=self.usage.time_s.ravel(),
            quality=quality,
            quality_reason=reason,
        )

    def _quality(self, soc: StateOfCharge, rated: int) -> tuple[int, str]:
        if not np.isfinite(soc.cell_soc).all():
            return QUALITY_UNKNOWN, "the state of charge of some cells is not known yet"
        if rated:
            return QUALITY_RATED, (
                f"{rated} cells have the rated capacity: none was measured, since it takes two rests (or a "
                f"full charge) with at least {100 * self.capacity.settings.least_soc:.0f} % of charge between"
            )
        return QUALITY_GOOD, ""

    # ---- over a restart ----

    @property
    def contactors_open(self) -> bool:
        """No current could flow in the last scan."""
        return self._last is not None and contactors_open(self._last, self.rated_cell_ah)

    def stored(self, *, orderly: bool) -> StoredEstimate | None:
        """Give what is to be kept; None before the first scan.

        Parameters
        ----------
        orderly : bool
            The estimator ends now in order.
        """
        m = self._last
        if m is None:
            return None
        counters = np.where(
            m.string_charge_counter_validity == Validity.VALID, m.string_charge_counters_ah, np.nan
        )
        return StoredEstimate(
            serial=self._pack.file.serial,
            config_hash=self._pack.config_hash,
            method=METHOD,
            stamp_s=m.stamp_s,
            scan_number=m.scan_number,
            orderly=orderly,
            contactors_open=self.contactors_open,
            displayed_soc=math.nan,
            charge_counters_ah=counters,
            cell_voltages_v=m.cell_voltages_v.copy(),
            arrays={
                **self.capacity.state(),
                **self.anchors.state(),
                **self.table_error.state(),
                **self.resistance.state(),
                **self.usage.state(),
                **self.zero.state(),
                "peaks": np.array([self.peak_v, self.peak_ah_per_v]),
                "direction": self.direction.copy(),
                "resting_s": self.rest.resting_s.copy(),
            },
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
        limits = self._pack.file.limits
        absence = judge_absence(
            stored,
            measurement,
            capacity_ah=self.rated_cell_ah,
            current_limit_a=max(limits.charge_current_max_a.safety, limits.discharge_current_max_a.safety),
            scan_period_s=self._pack.file.measurement.scan_period_s,
        )
        if isinstance(absence, str):
            return False, absence
        arrays = stored.arrays
        fresh = PackSohEstimator(self._pack, self.settings, self.capacity.settings)
        n = self.layout.n_cells
        try:
            for name in _PARTS:
                getattr(fresh, name).resume(arrays)
            shapes = {"peaks": (2, n), "direction": (n,), "resting_s": (self.layout.strings,)}
            for name, shape in shapes.items():
                if name not in arrays or arrays[name].shape != shape:
                    raise ValueError(f"{name} is not that of this pack")
        except ValueError as error:
            return False, f"the stored state of health does not fit ({error}): it starts anew."
        for name in _PARTS:
            setattr(self, name, getattr(fresh, name))
        self.peak_v, self.peak_ah_per_v = (row.copy() for row in arrays["peaks"])
        self.direction = np.clip(arrays["direction"], -1.0, 1.0)
        counted = bool(np.any(absence.moved_ah != 0.0))
        if not counted and absence.soc_std < 0.01 and stored.contactors_open:
            # nothing could flow: the whole time away is a rest
            self.rest.resting_s = arrays["resting_s"] + absence.away_s
        self.anchors.count(absence.moved_ah[self.layout.string], 0.0, np.zeros(n))
        self.anchors.drift(absence.soc_std * self.rated_cell_ah)
        return True, f"going on with the state of health of {absence.away_s:.1f} s ago ({absence.means})."


def _least_probability(capacity: FloatArray, std: FloatArray, cell: int) -> float:
    """Give the probability that no other cell has less, neighbours taken one by one."""
    if cell < 0:
        return math.nan
    spread = np.hypot(std, std[cell])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (capacity - capacity[cell]) / spread
    others = np.delete(apart, cell)
    return float(math.prod(0.5 * math.erfc(-other / math.sqrt(2.0)) for other in others.tolist()))
