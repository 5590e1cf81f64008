"""Sensors of a healthy pack: noise, offsets, quantisation, skew between them, placement, lost frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fault_campaign.healthy.packs import HealthyPack

__all__ = ["GOOD", "POOR", "CellVoltages", "Noise", "Quality", "Temperatures"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """How well a pack measures; standard deviations unless said otherwise."""

    cell_noise_v: float
    cell_offset_v: float
    cell_step_v: float
    bleed_drop_v: float
    """What a bleeding cell reads too low, over its sense wire; its neighbours read half of it too high."""
    skew_s: float
    """Longest distance in time between the front ends' samples."""
    string_gain: float
    string_noise_v: float
    degc_noise: float
    degc_offset: float
    degc_step: float
    current_noise: float
    """Share of the rating."""
    current_offset: float
    """Largest, as a share of the deadband."""
    current_gain: float
    lost_frames: float
    """Probability of a front end's frames to be lost in a scan."""
    jitter: float
    """Largest deviation of a scan from its period, as a share."""
    spread: tuple[float, float, float, float]
    """Between cells: capacity, resistance, SoC; share of cells that are weaker than the rest."""


GOOD = Quality(
    0.0005,
    0.001,
    0.0001,
    0.002,
    0.002,
    0.001,
    0.05,
    0.05,
    0.5,
    0.1,
    0.0005,
    0.3,
    0.002,
    1e-4,
    0.05,
    (0.008, 0.03, 0.004, 0.0),
)
"""What good series hardware does: 16-bit front ends, simultaneous sampling, 1 ‰ string voltage."""
POOR = Quality(
    0.003,
    0.004,
    0.0015,
    0.025,
    0.01,
    0.003,
    0.4,
    0.3,
    1.0,
    1.0,
    0.003,
    0.6,
    0.01,
    1e-3,
    0.3,
    (0.03, 0.1, 0.012, 0.005),
)
"""The bad end of what is still healthy: 12 bits, NTCs of 5 %, aged cells; frames lost once in 1000 scans."""


class Noise:
    """Normally distributed numbers out of a long pool, much faster than drawing them.

    Parameters
    ----------
    rng : Generator
    longest : int
        Largest request.
    """

    def __init__(self, rng: np.random.Generator, longest: int) -> None:
        self._rng = rng
        # three quarters of a million numbers repeat in another order for every request
        self._pool = rng.standard_normal(longest + 786_433)
        self._starts = 786_433

    def of(self, shape: tuple[int, ...]) -> FloatArray:
        """Give numbers of this shape."""
        size = int(np.prod(shape))
        start = int(self._rng.integers(self._starts))
        return self._pool[start : start + size].reshape(shape)


class CellVoltages:
    """Front ends of all cells.

    Parameters
    ----------
    pack : HealthyPack
    quality : Quality
    rng : Generator
    noise : Noise
    """

    def __init__(self, pack: HealthyPack, quality: Quality, rng: np.random.Generator, noise: Noise) -> None:
        self._pack, self._q, self._rng, self._noise = pack, quality, rng, noise
        self._offset = (
            np.clip(rng.standard_normal((pack.strings, pack.series)), -3, 3) * quality.cell_offset_v
        )
        self._modules = pack.series // pack.module
        self._last: FloatArray | None = None

    def read(
        self, true_v: FloatArray, skewed_v: FloatArray | None, bleeding: NDArray[np.bool_] | None
    ) -> FloatArray:
        """Give what the front ends say [V], shape (strings, series).

        Parameters
        ----------
        true_v : ndarray, shape (strings, series)
        skewed_v : ndarray, shape (strings, modules), or None
            What each front end's cells are off since it samples at another moment [V].
        bleeding : ndarray of bool or None
        """
        q = self._q
        said = true_v + self._offset + q.cell_noise_v * self._noise.of(true_v.shape)
        if skewed_v is not None:
            said += np.repeat(skewed_v, self._pack.module, axis=1)
        if bleeding is not None and bleeding.any():
            drop = q.bleed_drop_v * bleeding
            said -= drop
            said[:, :-1] += 0.5 * drop[:, 1:]
            said[:, 1:] += 0.5 * drop[:, :-1]
        return np.round(said / q.cell_step_v) * q.cell_step_v

    def lose(self, said: FloatArray, ages_s: FloatArray, dt_s: float) -> FloatArray:
        """Repeat what a front end said before where its frames got lost; ages are filled in."""
        pack, last = self._pack, self._last
        lost = self._rng.random((pack.strings, self._modules)) < self._q.lost_frames
        ages_s[:] = 0.05 * dt_s
        if last is not None and lost.any():
            cells = np.repeat(lost, pack.module, axis=1)
            said = np.where(cells, last, said)
            ages_s.reshape(said.shape)[cells] = 1.05 * dt_s
        self._last = said
        return said


class Temperatures:
    """Sensors at cells: placed well or at the edge, near the plate or far from it.

    Parameters
    ----------
    pack : HealthyPack
    quality : Quality
    rng : Generator
    noise : Noise
    """

    def __init__(self, pack: HealthyPack, quality: Quality, rng: np.random.Generator, noise: Noise) -> None:
        self._q, self._noise = quality, noise
        count = pack.cells // pack.cells_per_sensor
        self._string = np.arange(count) * pack.cells_per_sensor // pack.series
        poor = quality is POOR
        # 0: like the cells; 1: like the coolant. Edge sensors feel the surroundings.
        self._plate = rng.uniform(0.0, 0.35 if poor else 0.15, count)
        self._edge = np.where(rng.random(count) < 0.1, rng.uniform(0.0, 0.3 if poor else 0.15, count), 0.0)
        self._offset = np.clip(rng.standard_normal(count), -2.5, 2.5) * quality.degc_offset
        self._edge_k = np.zeros(count)

    def read(
        self, cells_degc: FloatArray, coolant_degc: float, ambient_degc: float, dt_s: float
    ) -> FloatArray:
        """Give what the sensors say [°C], shape (sensors,)."""
        q, cells = self._q, cells_degc[self._string]
        self._edge_k += (self._edge * (ambient_degc - cells) - self._edge_k) * (1.0 - np.exp(-dt_s / 60.0))
        said = cells + self._plate * (coolant_degc - cells) + self._edge_k + self._offset
        said += q.degc_noise * self._noise.of(said.shape)
        return np.round(said / q.degc_step) * q.degc_step
