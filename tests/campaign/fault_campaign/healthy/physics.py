"""Many cells at a second's step in a millisecond: what they are does not differ within a string but by
factors.

Equations of its own, on the parameters of the twin's cell: the voltage of cell k is OCV(zₖ) + fₖ·(R0·i + u1
+ u2), with the RC elements one a string. Enough to move all values as a pack does; it is no estimator's
model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openbms_sim.plant.cell import NMC_18650

__all__ = ["FastCells"]

FloatArray = NDArray[np.float64]

_STEPS = 4096
_HEAT_J_PER_K = 45.0
"""Of one 18650 cell, as in the twin."""
_COOLING_W_PER_K = (0.016, 0.11)
"""Of one cell to the coolant, pump off and at full duty."""


class FastCells:
    """Cells of a pack.

    Parameters
    ----------
    strings, series, parallel : int
    rng : Generator
    soc, degc : float
        At the start.
    spread : dict of str to float
        Standard deviation of capacity, resistance and soc; share of weak cells.
    """

    def __init__(
        self,
        strings: int,
        series: int,
        parallel: int,
        rng: np.random.Generator,
        soc: float,
        degc: float,
        spread: dict[str, float],
    ) -> None:
        p, shape = NMC_18650, (strings, series)

        def differ(sigma: float) -> FloatArray:
            return np.clip(rng.standard_normal(shape), -3.0, 3.0) * sigma

        self._p, self._parallel = p, parallel
        # a few cells are worse than the rest, and still healthy
        weak = rng.random(shape) < spread["weak"]
        self._per_ah = 1.0 / (p.capacity_ah * (1.0 + differ(spread["capacity"])) * np.where(weak, 0.94, 1.0))
        self.factor = (1.0 + differ(spread["resistance"])) * np.where(weak, 1.25, 1.0)
        self.soc = np.clip(soc + differ(spread["soc"]), 0.0, 1.0)
        grid = np.linspace(-0.05, 1.10, _STEPS)
        axis = np.concatenate(([-0.05], p.ocv_soc, [1.10]))
        volts = np.concatenate(([p.ocv_v[0] - 1.0], p.ocv_v, [p.ocv_v[-1] + 0.4]))
        self._table = np.interp(grid, axis, volts)
        self._slope = np.diff(self._table, append=self._table[-1])
        self._u1, self._u2, self._way = np.zeros((3, strings))
        self.r0_ohm = np.full(strings, p.r0_ohm)
        self.degc = np.full(strings, degc)
        self.rest_v = self._ocv()

    def _ocv(self) -> FloatArray:
        at = (self.soc + 0.05) * ((_STEPS - 1) / 1.15)
        index = np.clip(at.astype(np.int32), 0, _STEPS - 2)
        return self._table[index] + (at - index) * self._slope[index]

    @property
    def ten_seconds_ohm(self) -> FloatArray:
        """Resistance of a mean cell over ten seconds [Ω], shape (strings,)."""
        p = self._p
        slow = p.r1_ohm * (1.0 - np.exp(-10.0 / p.tau1_s)) + p.r2_ohm * (1.0 - np.exp(-10.0 / p.tau2_s))
        return self.r0_ohm * (1.0 + slow / p.r0_ohm)

    def step(
        self,
        current_a: FloatArray,
        bled_a: FloatArray | None,
        dt_s: float,
        cooling: float,
        coolant_degc: float,
    ) -> None:
        """Let the mean current of a time step flow.

        Parameters
        ----------
        current_a : ndarray, shape (strings,)
            Through one string [A].
        bled_a : ndarray, shape (strings, series), or None
            Through the bleed resistors [A].
        dt_s : float
        cooling : float
            Duty of the pump.
        coolant_degc : float
        """
        p, each = self._p, current_a / self._parallel
        warm = 1.0 / (np.clip(self.degc, -40.0, 90.0) + 273.15) - 1.0 / 298.15
        mean_soc = self.soc.mean(axis=1)
        rc = np.exp(p.activation_rc_j_per_mol / 8.314 * warm) * np.interp(mean_soc, p.shape_soc, p.rc_shape)
        self.r0_ohm = (
            p.r0_ohm
            * np.exp(p.activation_r0_j_per_mol / 8.314 * warm)
            * np.interp(mean_soc, p.shape_soc, p.r0_shape)
        )
        for name, ohm, tau in (("_u1", p.r1_ohm, p.tau1_s), ("_u2", p.r2_ohm, p.tau2_s)):
            decay = np.exp(-dt_s / tau)
            setattr(self, name, getattr(self, name) * decay + each * ohm * rc * (1.0 - decay))
        share = each * (dt_s / 3600.0)
        self._way += (np.sign(share) - self._way) * (
            1.0 - np.exp(-np.abs(share) / p.capacity_ah / p.hysteresis_soc)
        )
        self.soc += share[:, None] * self._per_ah
        if bled_a is not None:
            self.soc -= bled_a * (dt_s / 3600.0 / self._parallel) * self._per_ah
        heat_w = each * each * self.r0_ohm * 1.6
        to_coolant = _COOLING_W_PER_K[0] + (_COOLING_W_PER_K[1] - _COOLING_W_PER_K[0]) * cooling
        self.degc += (heat_w - to_coolant * (self.degc - coolant_degc)) * (dt_s / _HEAT_J_PER_K)
        self.rest_v = (
            self._ocv() + self.factor * (self._u1 + self._u2)[:, None] + (p.hysteresis_v * self._way)[:, None]
        )

    def voltage_v(self, current_a: FloatArray) -> FloatArray:
        """Voltage of each cell while this current flows now [V], shape (strings, series)."""
        return self.rest_v + self.factor * (self.r0_ohm * current_a / self._parallel)[:, None]
