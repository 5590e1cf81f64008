"""Was the state of charge that the filter was told at its start right? A second filter that was told nothing.

A told value is believed closely, so that a start under load or on a plateau is no guess; if it is wrong, an
estimator that believes it explains the voltages by errors of its model instead. Both cannot be had in one
normal distribution. So a rival of the same kind starts from the first voltage alone and sees the same
samples; what it finds is independent of what was told. With the difference ``d`` of both and the sum ``v`` of
their variances, the voltages speak against the told value by ``d²/2v + ln √(2πv)`` (logarithm of the ratio of
"any SoC is as likely" to "the told one, within its deviation"). The rival ends as soon as both agree or one
has won.

Source: D. T. Magill, *Optimal adaptive estimation of sampled stochastic processes*, IEEE Trans. Automatic
Control 10 (1965) 434 (parallel filters weighted by their likelihoods).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rival", "StartCheck"]

FloatArray = NDArray[np.float64]

WON = 4.0
"""Logarithm of the odds against the told value: one told start in 50 is wrong."""
HELD_S = 30.0
"""So long the voltages must speak against it without a break [s]."""
AGREED_SIGMA, AGREED_STD = 2.0, 0.05


class Rival(Protocol):
    """What is needed of both filters; cells along the last axis."""

    x: FloatArray
    upper: FloatArray
    direction: FloatArray
    doubt: FloatArray


class StartCheck:
    """Compares a filter with its rival, cell by cell.

    Parameters
    ----------
    disputed : ndarray of bool, shape (n_cells,)
        Cells whose start was told.
    """

    def __init__(self, disputed: NDArray[np.bool_]) -> None:
        self.disputed = disputed.copy()
        self._against_s = np.zeros(len(disputed))

    def judge(self, told: Rival, rival: Rival, dt_s: float) -> NDArray[np.bool_]:
        """Take a step of both.

        Returns
        -------
        ndarray of bool, shape (n_cells,)
            Cells that the rival has won; ``told`` has got the rival's estimate there.
        """
        variance = told.upper[0] + rival.upper[0]
        squared = (told.x[0] - rival.x[0]) ** 2
        against = squared / (2.0 * variance) + 0.5 * np.log(2.0 * np.pi * variance) > WON
        self._against_s = np.where(against, self._against_s + dt_s, 0.0)
        won = self.disputed & (self._against_s > HELD_S)
        agreed = (squared < AGREED_SIGMA**2 * rival.upper[0]) & (rival.upper[0] < AGREED_STD**2)
        if won.any():
            told.x[:, won], told.upper[:, won] = rival.x[:, won], rival.upper[:, won]
            told.direction[won], told.doubt[won] = rival.direction[won], rival.doubt[won]
        self.disputed &= ~(won | agreed)
        return won
