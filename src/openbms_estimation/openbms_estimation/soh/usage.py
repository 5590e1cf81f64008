"""What a pack has been through: charge and energy in and out, equivalent full cycles, and the time it has
spent at each temperature and state of charge.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SOC_EDGES", "TEMPERATURE_EDGES_DEGC", "Usage"]

FloatArray = NDArray[np.float64]

TEMPERATURE_EDGES_DEGC = (-20.0, -10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
"""Between the bins; the first and the last bin are open."""
SOC_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

_LONGEST_STEP_S = 60.0


class Usage:
    """Counters of one pack.

    Parameters
    ----------
    rated_ah : float
        Rated capacity of the pack [Ah].

    Attributes
    ----------
    charged_ah, discharged_ah, charged_wh, discharged_wh : float
    time_s : ndarray, shape (10, 10)
        Time at each temperature (rows) and state of charge (columns) [s].
    """

    def __init__(self, rated_ah: float) -> None:
        self.rated_ah = rated_ah
        self.charged_ah = self.discharged_ah = self.charged_wh = self.discharged_wh = 0.0
        self.time_s = np.zeros((len(TEMPERATURE_EDGES_DEGC) + 1, len(SOC_EDGES) + 1))

    def step(
        self, dt_s: float, charge_ah: float, voltage_v: float, temperature_degc: float, soc: float
    ) -> None:
        """Take one scan.

        Parameters
        ----------
        dt_s : float
            Time since the last one [s]; one of more than a minute is a gap, in which nothing is counted.
        charge_ah : float
            Charge since the last one [Ah], positive when charged; NaN: unknown, not counted.
        voltage_v : float
            Of the pack [V]; NaN: the energy of this scan is not counted.
        temperature_degc, soc : float
            Of the pack; NaN: the time is not counted.
        """
        if not 0.0 < dt_s <= _LONGEST_STEP_S:
            return
        if np.isfinite(charge_ah):
            energy = charge_ah * voltage_v if np.isfinite(voltage_v) else 0.0
            if charge_ah > 0.0:
                self.charged_ah += charge_ah
                self.charged_wh += energy
            else:
                self.discharged_ah -= charge_ah
                self.discharged_wh -= energy
        if np.isfinite(temperature_degc) and np.isfinite(soc):
            row = int(np.searchsorted(TEMPERATURE_EDGES_DEGC, temperature_degc, side="right"))
            column = int(np.searchsorted(SOC_EDGES, soc, side="right"))
            self.time_s[row, column] += dt_s

    @property
    def equivalent_full_cycles(self) -> float:
        """Charge moved either way over twice the rated capacity."""
        return (self.charged_ah + self.discharged_ah) / (2.0 * self.rated_ah)

    def state(self) -> dict[str, FloatArray]:
        """Give the counters as arrays."""
        counters = [self.charged_ah, self.discharged_ah, self.charged_wh, self.discharged_wh]
        return {"usage": np.array(counters), "usage_time_s": self.time_s.copy()}

    def resume(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over counters.

        Raises
        ------
        ValueError
            They are not those of a pack.
        """
        counters = np.asarray(state.get("usage", np.nan), float)
        time_s = np.asarray(state.get("usage_time_s", np.nan), float)
        if counters.shape != (4,) or time_s.shape != self.time_s.shape:
            raise ValueError("usage is not that of a pack")
        if not (np.isfinite(counters).all() and np.isfinite(time_s).all() and (time_s >= 0.0).all()):
            raise ValueError("usage holds values that do not exist")
        self.charged_ah, self.discharged_ah, self.charged_wh, self.discharged_wh = map(float, counters)
        self.time_s = time_s.copy()
