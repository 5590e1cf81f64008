"""From scans to blocks: means over some seconds of what the diagnosis works on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.types import PackMeasurement
from openbms_estimation.soc.pack_estimator import CellLayout

__all__ = ["Block", "BlockBuilder"]

FloatArray = NDArray[np.float64]

_GAP_S = 600.0
"""After a longer time without scans the cells count as rested, and charge that moved is unknown."""
_TAIL_S = 1800.0
"""Time over which slow diffusion remembers the current [s]."""


@dataclass(frozen=True)
class Block:
    """Means over a block; per cell and string as in the pack, NaN where nothing valid was measured.

    Attributes
    ----------
    end_s, duration_s : float
        ROS time of the last scan [s]; observed time [s].
    gap_s : float
        Unobserved time before it [s].
    cell_voltages_v, string_voltages_v : ndarray
        [V]
    rate_c : ndarray, shape (strings,)
        String current as a part of the capacity per hour; positive: charging.
    pair_c : ndarray, shape (2, strings)
        Currents through the resistors of the RC pairs, likewise.
    tail_c : ndarray, shape (strings,)
        Magnitude of the current over the last half hour, likewise.
    flutter_c : ndarray, shape (strings,)
        Largest distance between the currents of two scans in it, likewise.
    counted : ndarray, shape (strings,)
        Charge since the first scan as measured, as a part of the capacity.
    temperatures_degc : ndarray, shape (sensors,)
        Every sensor.
    cell_temperatures_degc : ndarray, shape (cells,)
    bled_s : ndarray, shape (cells,)
        Time in which the bleed resistor was on [s].
    contactors_open : ndarray of bool, shape (strings,)
        By feedback; false where there is none.
    """

    end_s: float
    duration_s: float
    gap_s: float
    cell_voltages_v: FloatArray
    string_voltages_v: FloatArray
    rate_c: FloatArray
    pair_c: FloatArray
    tail_c: FloatArray
    flutter_c: FloatArray
    counted: FloatArray
    temperatures_degc: FloatArray
    cell_temperatures_degc: FloatArray
    bled_s: FloatArray
    contactors_open: NDArray[np.bool_]


class BlockBuilder:
    """Collects scans until a block is complete.

    Parameters
    ----------
    model : CellModel
    layout : CellLayout
    block_s : float
        Length of a block [s]; a scan that covers more is a block of its own.
    """

    def __init__(self, model: CellModel, layout: CellLayout, block_s: float = 10.0) -> None:
        self.model, self.layout, self.block_s = model, layout, block_s
        self.capacity_ah = model.capacity_ah * layout.parallel
        strings = layout.strings
        self.counted = np.zeros(strings)
        self.pair_c = np.zeros((2, strings))
        self.tail_c = np.zeros(strings)
        self._tau_s = np.array([10.0, 100.0])
        self._last_s = math.nan
        self._last_number = -1
        self._gap_s = 0.0
        self._empty()

    def _empty(self) -> None:
        n, strings = self.layout.n_cells, self.layout.strings
        self._time_s = 0.0
        self._voltage, self._voltage_s, self._bled_s = np.zeros((3, n))
        self._string, self._string_s, self._rate, self._rate_s = np.zeros((4, strings))
        self._pair = np.zeros((2, strings))
        self._least, self._most = np.full((2, strings), np.nan)

    def step(self, measurement: PackMeasurement) -> Block | None:
        """Take a scan; give the block that it completes.

        Parameters
        ----------
        measurement : PackMeasurement

        Returns
        -------
        Block or None
        """
        m = measurement
        dt_s = m.stamp_s - self._last_s
        consecutive = m.scan_number == self._last_number + 1
        self._last_s, self._last_number = m.stamp_s, m.scan_number
        if not 0.0 < dt_s <= _GAP_S:
            # the first scan, a clock that was set, or a long silence
            self._empty()
            self._gap_s += dt_s if dt_s > 0.0 else 0.0
            self.pair_c[:] = 0.0
            self.tail_c[:] = 0.0
            return None
        current_c = m.string_currents_a / self.capacity_ah
        moved_c = current_c
        if consecutive:
            increment = m.string_charge_increments_ah * (3600.0 / (dt_s * self.capacity_ah))
            moved_c = np.where(np.isfinite(increment), increment, current_c)
        known = np.isfinite(moved_c)
        rate = np.where(known, moved_c, 0.0)
        self.counted += rate * (dt_s / 3600.0)
        self._rate += rate * dt_s
        self._rate_s += np.where(known, dt_s, 0.0)
        fine = np.isfinite(m.cell_voltages_v)
        self._voltage += np.where(fine, m.cell_voltages_v, 0.0) * dt_s
        self._voltage_s += fine * dt_s
        fine = np.isfinite(m.string_voltages_v)
        self._string += np.where(fine, m.string_voltages_v, 0.0) * dt_s
        self._string_s += fine * dt_s
        self._bled_s += (m.cell_balancing == 1) * dt_s
        self._least, self._most = np.fmin(self._least, current_c), np.fmax(self._most, current_c)
        for k, tau_s in enumerate(self._tau_s):
            decay = math.exp(-dt_s / tau_s)
            share = (1.0 - decay) * tau_s / dt_s
            self._pair[k] += (rate + (self.pair_c[k] - rate) * share) * dt_s
            self.pair_c[k] = rate + (self.pair_c[k] - rate) * decay
        self.tail_c += (np.abs(rate) - self.tail_c) * (1.0 - math.exp(-dt_s / _TAIL_S))
        self._time_s += dt_s
        if self._time_s < self.block_s - 1e-6:
            return None
        return self._close(m)

    def _close(self, m: PackMeasurement) -> Block:
        with np.errstate(invalid="ignore", divide="ignore"):
            # less than half of the block says nothing of it
            half = 0.5 * self._time_s
            block = Block(
                end_s=m.stamp_s,
                duration_s=self._time_s,
                gap_s=self._gap_s,
                cell_voltages_v=np.where(self._voltage_s > half, self._voltage / self._voltage_s, np.nan),
                string_voltages_v=np.where(self._string_s > half, self._string / self._string_s, np.nan),
                rate_c=np.where(self._rate_s > half, self._rate / self._rate_s, np.nan),
                pair_c=self._pair / self._time_s,
                tail_c=self.tail_c.copy(),
                flutter_c=self._most - self._least,
                counted=self.counted.copy(),
                temperatures_degc=m.temperatures_degc.copy(),
                cell_temperatures_degc=self.layout.temperature_degc(m),
                bled_s=self._bled_s,
                contactors_open=self._open(m),
            )
        self._gap_s = 0.0
        self._empty()
        return block

    def _open(self, m: PackMeasurement) -> NDArray[np.bool_]:
        positive, negative, precharge = m.contactor_feedback.reshape(-1, 3).T
        return np.asarray((negative == 0) | ((positive == 0) & (precharge == 0)))

    @property
    def last_s(self) -> float:
        """ROS time of the last scan [s]; NaN: none."""
        return self._last_s

    def away_since(self, last_s: float) -> None:
        """Count the time since an earlier run's last scan as unobserved."""
        self._last_s = last_s

    def relaxes_in(self, tau1_s: float, tau2_s: float) -> None:
        """Set the time constants of the RC pairs [s]."""
        self._tau_s = np.array([tau1_s, tau2_s])
