"""Estimators that can be stopped and go on later: their state as arrays, and time that passes unmeasured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_estimation.soc.coulomb_counter import CoulombCounter
from openbms_estimation.soc.ekf import I1, I2, SOC_HIGH, SOC_LOW, B, E, S, SocEkf, SocSigmaPoint, Z
from openbms_estimation.soc.estimate import SocEstimate, SocEstimator, SocSample, of_cells
from openbms_estimation.soc.kernel import UPPER

__all__ = ["Resumable", "ResumableCounter", "ResumableEkf", "ResumableSigmaPoint"]

FloatArray = NDArray[np.float64]

CONTRADICTION = 4.0
"""A first rest voltage further than this many standard deviations from what was stored overrules it."""
_REST_C = 0.02


@runtime_checkable
class Resumable(SocEstimator, Protocol):
    """An estimator of which the state can be kept."""

    contradicted: NDArray[np.intp]
    """Cells whose first rest voltage after a resumption contradicted what was stored."""

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell."""
        ...

    def resume(self, state: Mapping[str, FloatArray]) -> None:
        """Take over a state (ValueError: it is none of this estimator)."""
        ...

    def pass_time(self, dt_s: float, moved_ah: ArrayLike, soc_std: float, current_std_c: float) -> None:
        """Let time pass without samples."""
        ...


def _checked(state: Mapping[str, FloatArray], shapes: Mapping[str, tuple[int, ...]]) -> list[FloatArray]:
    found = []
    for name, shape in shapes.items():
        array = np.asarray(state.get(name, np.nan), float)
        if array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape}, not {shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
        found.append(array)
    return found


class ResumableEkf(SocEkf):
    """The Kalman filter, with its state to be kept; parameters as :class:`SocEkf`."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.contradicted: NDArray[np.intp] = np.empty(0, np.intp)
        self._unchecked = False

    def expected_voltage(self, current_a: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Voltage that the present state stands for [V], and its variance [V²]; shape (n_cells,)."""
        cell = self.model.parameters(self.x[Z], self._temperature)
        instant = cell.instant_v(current_a - self.x[B])
        expected = cell.ocv_v + cell.half_gap_v * self.direction + (1.0 + self.x[S]) * instant
        expected = expected + cell.r1_ohm * self.x[I1] + cell.r2_ohm * self.x[I2] + self.x[E]
        h = np.stack(
            [cell.chord_v, cell.r1_ohm, cell.r2_ohm, np.zeros(self.n_cells), instant, np.ones(self.n_cells)]
        )
        variance = (h * (self.p * h).sum(axis=1)).sum(axis=0) + self.settings.voltage_noise_std_v**2
        return np.asarray(expected), np.asarray(variance)

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell (covariance: its upper triangle)."""
        return {
            "x": self.x.copy(),
            "p": self.upper.copy(),
            "direction": self.direction.copy(),
            "temperature_degc": self._temperature.copy(),
            "started": (self._started | self._known).astype(float),
        }

    def resume(self, state: Mapping[str, FloatArray]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of a filter of this size, or no covariance.
        """
        n = self.n_cells
        x, upper, direction, temperature, started = _checked(
            state,
            {"x": (6, n), "p": (21, n), "direction": (n,), "temperature_degc": (n,), "started": (n,)},
        )
        p = np.zeros((6, 6, n))
        p[UPPER] = upper
        p = p + p.transpose(1, 0, 2)
        p[np.arange(6), np.arange(6)] /= 2.0
        least = np.linalg.eigvalsh(p.transpose(2, 0, 1)).min()
        if least < -1e-9 * np.abs(p).max() or not (p[Z, Z] > 0.0).all():
            raise ValueError("p is no covariance")
        if x[Z].min() < SOC_LOW or x[Z].max() > SOC_HIGH:
            raise ValueError("x holds states of charge that do not exist")
        self.x, self.upper = x.copy(), upper.copy()
        self.doubt = np.ones(n)
        self._all_started = False
        self.direction, self._temperature = np.clip(direction, -1.0, 1.0), temperature.copy()
        self._started = started > 0.5
        self._known = self._started.copy()
        self._unchecked = True

    def pass_time(self, dt_s: float, moved_ah: ArrayLike, soc_std: float, current_std_c: float) -> None:
        """Let time pass without samples: pairs relax, errors of the model forget, doubt grows.

        Parameters
        ----------
        dt_s : float
            Time [s].
        moved_ah : array_like, shape () or (n_cells,)
            Charge that went into each cell meanwhile [Ah].
        soc_std : float
            Standard deviation that this adds to the state of charge.
        current_std_c : float
            Standard deviation of the current at its end, as a part of the capacity per hour.
        """
        settings, capacity = self.settings, self.capacity_ah
        cell = self.model.parameters(self.x[Z], self._temperature)
        moved = of_cells(moved_ah, self.n_cells) / capacity
        f = np.ones((6, self.n_cells))
        f[I1], f[I2] = np.exp(-dt_s / cell.tau1_s), np.exp(-dt_s / cell.tau2_s)
        f[S] = np.exp(
            -np.abs(moved) / settings.resistance_correlation_soc
            - dt_s / settings.resistance_correlation_time_s
        )
        f[E] = np.exp(
            -cell.chord_v * np.abs(moved) / self.model.correlation_v - dt_s / self.model.correlation_time_s
        )
        mean_a = 3600.0 * moved * capacity / max(dt_s, 1.0)
        self.x *= f
        for row in (I1, I2):
            self.x[row] += (1.0 - f[row]) * mean_a
        self.x[Z] = np.clip(self.x[Z] + moved, SOC_LOW, SOC_HIGH)
        self.direction = np.clip(self.direction + moved / self.model.hysteresis_soc, -1.0, 1.0)
        p = f[:, None] * self.p * f
        p[Z, Z] += soc_std**2 + (settings.charge_relative_std * moved) ** 2
        spread = (current_std_c * capacity) ** 2
        for row in (I1, I2):
            p[row, row] += spread * (1.0 - f[row] ** 2)
        p[E, E] += cell.slow_std_v**2 * (1.0 - f[E] ** 2)
        if settings.use_resistance_state:
            p[S, S] += cell.resistance_relative_std**2 * (1.0 - f[S] ** 2)
        # the sensor's offset may wander, but never beyond what an unknown sensor may have
        prior = (settings.current_bias_std_c * capacity) ** 2
        p[B, B] += np.minimum(prior * dt_s / settings.current_bias_walk_s, np.maximum(prior - p[B, B], 0.0))
        # nor is a cell ever less certain than anywhere; scaling row and column keeps the matrix positive
        limit = settings.unknown_soc_std**2
        scale = np.sqrt(limit / np.maximum(p[Z, Z], limit))
        p[Z] *= scale
        p[:, Z] *= scale
        self.upper = p[UPPER]
        self.doubt = 1.0 + (self.doubt - 1.0) * math.exp(-dt_s / settings.doubt_time_s)

    def step(self, sample: SocSample) -> SocEstimate:
        """Take a sample; the first one after a resumption is compared with what was stored."""
        if self._unchecked:
            self._compare(sample)
        return super().step(sample)

    def _compare(self, sample: SocSample) -> None:
        n = self.n_cells
        voltage, current = of_cells(sample.voltage_v, n), of_cells(sample.current_a, n)
        if not np.isfinite(voltage).any():
            return  # nothing to compare with yet
        self._unchecked = False
        expected, variance = self.expected_voltage(np.where(np.isfinite(current), current, 0.0))
        at_rest = np.abs(current) < _REST_C * self.capacity_ah
        wrong = at_rest & self._started & ((voltage - expected) ** 2 > CONTRADICTION**2 * variance)
        self.contradicted = np.flatnonzero(wrong)
        self._forget(wrong)

    def _forget(self, where: NDArray[np.bool_]) -> None:
        """Know of these cells as little as before the first sample."""
        self._started &= ~where
        self._known &= ~where
        self.x[:, where] = 0.0
        self.x[Z, where] = 0.5
        p = self.p
        p[:, :, where] = 0.0
        p[Z, Z, where] = self.settings.unknown_soc_std**2
        p[B, B, where] = (self.settings.current_bias_std_c * self.capacity_ah[where]) ** 2
        self.upper = p[UPPER]
        self.direction[where], self.doubt[where] = 0.0, 1.0
        self._all_started = False


class ResumableSigmaPoint(ResumableEkf, SocSigmaPoint):
    """The sigma-point filter, with its state to be kept; parameters as :class:`SocEkf`."""


class ResumableCounter(CoulombCounter):
    """The coulomb counter, with its state to be kept; parameters as :class:`CoulombCounter`."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.contradicted: NDArray[np.intp] = np.empty(0, np.intp)
        self._unchecked = False

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell."""
        return {
            "soc": self._soc.copy(),
            "variance": self._variance(),
            "temperature_degc": self._temperature.copy(),
            "started": self._anchored.astype(float),
        }

    def resume(self, state: Mapping[str, FloatArray]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of a counter of this size.
        """
        names = ("soc", "variance", "temperature_degc", "started")
        soc, variance, temperature, started = _checked(state, dict.fromkeys(names, (self.n_cells,)))
        if soc.min() < 0.0 or soc.max() > 1.0 or not (variance > 0.0).all():
            raise ValueError("soc or variance holds values that do not exist")
        self._soc, self._anchor_variance = soc.copy(), variance.copy()
        self._temperature, self._anchored = temperature.copy(), started > 0.5
        for counter in (self._since_s, self._moved, self._blind_s, self._resting_s):
            counter[:] = 0.0
        self._unchecked = True

    def pass_time(self, dt_s: float, moved_ah: ArrayLike, soc_std: float, current_std_c: float) -> None:
        """Let time pass without samples; parameters as of :meth:`ResumableEkf.pass_time`."""
        moved = of_cells(moved_ah, self.n_cells) / self._capacity_ah
        self._soc = np.clip(self._soc + moved, 0.0, 1.0)
        gain = self.settings.charge_relative_std * moved
        limit = self.settings.unknown_soc_std**2
        self._anchor_variance = np.minimum(self._anchor_variance + soc_std**2 + gain**2, limit)
        if current_std_c == 0.0:
            self._resting_s += dt_s

    def step(self, sample: SocSample) -> SocEstimate:
        """Take a sample; the first one after a resumption is compared with what was stored."""
        if self._unchecked:
            self._compare(sample)
        return super().step(sample)

    def _compare(self, sample: SocSample) -> None:
        voltage = of_cells(sample.voltage_v, self.n_cells)
        current = of_cells(sample.current_a, self.n_cells)
        if not np.isfinite(voltage).any():
            return
        self._unchecked = False
        cell = self.model.parameters(self._soc, self._temperature)
        doubt = cell.chord_v**2 * self._variance() + cell.slow_std_v**2 + cell.half_gap_v**2
        doubt = doubt + self.settings.rest_std_v**2
        at_rest = np.abs(current) < self.settings.rest_current_c * self._capacity_ah
        at_rest &= self._resting_s >= self.settings.rest_s  # a voltage that still relaxes contradicts nothing
        wrong = at_rest & self._anchored & ((voltage - cell.ocv_v) ** 2 > CONTRADICTION**2 * doubt)
        self.contradicted = np.flatnonzero(wrong)
        self._anchored &= ~wrong
