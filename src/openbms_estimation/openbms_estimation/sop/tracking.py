"""What limits need to know of the past: RC currents, hysteresis, how the model errs on this very cell.

The difference between measured and modelled voltage has two causes that extrapolate differently: an offset
(OCV, SoC, voltage sensor), which a larger current leaves as it is, and a wrong resistance, which it
multiplies. Both are estimated by a Kalman filter of two states per cell::

    v - OCV(z, T, h) - eta = o + r·eta + noise          eta: overpotential of the model at this moment

``o`` and ``r`` forget over time and over the charge moved, towards zero and towards what the state of health
says. Without that split a limit oscillates when it is obeyed: what the error of the resistance takes away at
the limit it gives back as soon as the load falls.

Sources: G. L. Plett, *Battery Management Systems*, vol. II, Artech 2016, ch. 3 (Kalman filter), ch. 6
(limits); A. Gelb (ed.), *Applied Optimal Estimation*, MIT Press 1974, ch. 4 (correlated errors).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel, CellParameters

__all__ = ["CellState", "ModelResidual", "Polarisation", "TrackingSettings"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CellState:
    """Present estimate of every cell; all arrays have the shape (n_cells,).

    Attributes
    ----------
    soc, soc_std : ndarray
    temperature_degc : ndarray
        [°C].
    capacity_ah : ndarray
        Present capacity [Ah].
    current_a : ndarray
        Present current [A], positive when charging.
    voltage_v : ndarray
        Measured voltage [V]; NaN where there is none.
    resistance_ratio, resistance_ratio_std : ndarray or None
        Resistance over that of the cell file, as the state of health has it; None or NaN: 1, as uncertain as
        the cell file says.
    """

    soc: FloatArray
    soc_std: FloatArray
    temperature_degc: FloatArray
    capacity_ah: FloatArray
    current_a: FloatArray
    voltage_v: FloatArray
    resistance_ratio: FloatArray | None = None
    resistance_ratio_std: FloatArray | None = None


@dataclass(frozen=True)
class TrackingSettings:
    """Noise of the measurement and memory of the residual.

    Attributes
    ----------
    voltage_noise_std_v : float
        White noise of a cell voltage [V].
    fast_correlation_s : float
        The model's error at one instant says the same as a moment later: so long [s].
    resistance_correlation_s : float
        Time in which an error of the resistance is forgotten [s].
    resistance_correlation_soc : float
        Charge, as a part of the capacity, in which it is.
    """

    voltage_noise_std_v: float = 0.002
    fast_correlation_s: float = 10.0
    resistance_correlation_s: float = 14_400.0
    resistance_correlation_soc: float = 0.3


class Polarisation:
    """RC currents and hysteresis of every cell.

    Parameters
    ----------
    model : CellModel
    n_cells : int
    """

    def __init__(self, model: CellModel, n_cells: int) -> None:
        self.model = model
        self.i1_a = np.zeros(n_cells)
        self.i2_a = np.zeros(n_cells)
        self.direction = np.zeros(n_cells)
        """Hysteresis: -1 discharge branch, +1 charge branch."""

    def advance(self, dt_s: float, p: CellParameters, current_a: FloatArray, capacity_ah: FloatArray) -> None:
        """Move over a step of constant current.

        Parameters
        ----------
        dt_s : float
            Duration [s]; nothing happens unless it is positive.
        p : CellParameters
            At the present state.
        current_a, capacity_ah : ndarray, shape (n_cells,)
            Mean current [A] and capacity [Ah].
        """
        if not dt_s > 0.0:
            return
        for currents, tau_s in ((self.i1_a, p.tau1_s), (self.i2_a, p.tau2_s)):
            keep = np.exp(-dt_s / tau_s)
            currents *= keep
            currents += (1.0 - keep) * current_a
        moved = current_a * dt_s / (3600.0 * capacity_ah)
        self.direction = np.clip(self.direction + moved / self.model.hysteresis_soc, -1.0, 1.0)

    def overpotential_v(self, p: CellParameters, current_a: FloatArray) -> FloatArray:
        """Give the overpotential now [V], shape (n_cells,)."""
        return np.asarray(p.instant_v(current_a) + p.r1_ohm * self.i1_a + p.r2_ohm * self.i2_a)


class ModelResidual:
    """Offset and relative resistance error of every cell, with their covariance.

    Parameters
    ----------
    model : CellModel
    n_cells : int
    settings : TrackingSettings
    """

    def __init__(self, model: CellModel, n_cells: int, settings: TrackingSettings) -> None:
        self.model, self.settings = model, settings
        self.offset_v = np.zeros(n_cells)
        self.ratio = np.full(n_cells, np.nan)
        """Resistance over that of the cell file; NaN before the first step."""
        self.offset_var = np.full(n_cells, np.nan)
        self.cross_var = np.zeros(n_cells)
        self.ratio_var = np.full(n_cells, np.nan)
        self.anchored = np.zeros(n_cells, bool)
        """The last step had a voltage."""
        self._ocv_v = np.full(n_cells, np.nan)

    def step(self, dt_s: float, state: CellState, p: CellParameters, polarisation: Polarisation) -> None:
        """Forget what is old and learn from the measured voltage.

        Parameters
        ----------
        dt_s : float
            Time since the last step [s].
        state : CellState
        p : CellParameters
            At the present state.
        polarisation : Polarisation
            Of the same moment.
        """
        s = self.settings
        own_ratio = np.nan if state.resistance_ratio is None else state.resistance_ratio
        own = np.nan if state.resistance_ratio_std is None else state.resistance_ratio_std
        known = np.isfinite(own_ratio) & np.isfinite(own)
        prior_ratio = np.where(known, own_ratio, 1.0)
        # what the state of health has learnt from this very cell is better than what a fit says of its kind
        prior_ratio_var = np.where(known, own, p.resistance_relative_std) ** 2
        prior_offset_var = p.slow_std_v**2 + (p.docv_dsoc_v * state.soc_std) ** 2
        first = np.isnan(self.ratio)
        if first.any():
            self.ratio = np.where(first, prior_ratio, self.ratio)
            self.ratio_var = np.where(first, prior_ratio_var, self.ratio_var)
            self.offset_var = np.where(first, prior_offset_var, self.offset_var)
            self._ocv_v = np.where(first, p.ocv_v, self._ocv_v)
        dt = max(dt_s, 0.0) if math.isfinite(dt_s) else 0.0
        moved_v = np.abs(p.ocv_v - self._ocv_v)
        moved_soc = np.abs(state.current_a) * dt / (3600.0 * state.capacity_ah)
        self._ocv_v = p.ocv_v.copy()
        keep_o = np.exp(-dt / self.model.correlation_time_s - moved_v / self.model.correlation_v)
        keep_r = np.exp(-dt / s.resistance_correlation_s - moved_soc / s.resistance_correlation_soc)
        self.offset_v = keep_o * self.offset_v
        self.ratio = prior_ratio + keep_r * (self.ratio - prior_ratio)
        self.offset_var = prior_offset_var + keep_o**2 * (self.offset_var - prior_offset_var)
        self.ratio_var = prior_ratio_var + keep_r**2 * (self.ratio_var - prior_ratio_var)
        self.cross_var = keep_o * keep_r * self.cross_var

        eta = polarisation.overpotential_v(p, state.current_a)
        branch = p.half_gap_v * polarisation.direction
        error = state.voltage_v - (p.ocv_v + branch + self.offset_v + self.ratio * eta)
        self.anchored = np.isfinite(error)
        # an error of the model that lasts is one piece of knowledge, however often it is sampled
        repeats = max(1.0, s.fast_correlation_s / dt) if dt > 0.0 else 1.0
        noise = s.voltage_noise_std_v**2 + (self.model.fast_overpotential_ratio * eta) ** 2 * repeats
        seen_o = self.offset_var + self.cross_var * eta
        seen_r = self.cross_var + self.ratio_var * eta
        total = seen_o + seen_r * eta + noise
        gain_o, gain_r = (np.where(self.anchored, seen / total, 0.0) for seen in (seen_o, seen_r))
        error = np.where(self.anchored, error, 0.0)
        self.offset_v = self.offset_v + gain_o * error
        self.ratio = np.maximum(self.ratio + gain_r * error, 0.2)
        self.offset_var = self.offset_var - gain_o * seen_o
        self.ratio_var = self.ratio_var - gain_r * seen_r
        self.cross_var = self.cross_var - gain_o * seen_r
