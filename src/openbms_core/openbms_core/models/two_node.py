"""Core and surface temperature of a cell: two heat capacities in a row.

With the heat ``q`` made in the core, and the coolant at ``Tf``::

    Cc·dTc/dt = q - (Tc - Ts)/Rc
    Cs·dTs/dt = (Tc - Ts)/Rc - (Ts - Tf)/Ru        (Ru absent: nothing leaves the surface)

Source: X. Lin et al., *J. Power Sources* 257 (2014) 1 (two-state model of a cylindrical cell; of a 26650 cell
the core has 93 % of the heat capacity and follows the surface in about two minutes, 1.9 K/W); C. Forgez et
al., *J. Power Sources* 195 (2010) 2961 (3.2 K/W of a like cell: four minutes, which is the default here,
since a slower core is a hotter one).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.cell import ThermalProperties

__all__ = ["CORE_TIME_CONSTANT_S", "TwoNodeThermal"]

FloatArray = NDArray[np.float64]

CORE_SHARE = 0.93
CORE_TIME_CONSTANT_S = 250.0


@dataclass(frozen=True)
class TwoNodeThermal:
    """Constants of one cell.

    Attributes
    ----------
    core_j_per_k, surface_j_per_k : float
        Heat capacities [J/K].
    core_to_surface_k_per_w : float
    surface_to_coolant_k_per_w : float or None
        None: unknown, and nothing leaves the cell.
    """

    core_j_per_k: float
    surface_j_per_k: float
    core_to_surface_k_per_w: float
    surface_to_coolant_k_per_w: float | None = None

    @classmethod
    def from_file(cls, thermal: ThermalProperties) -> TwoNodeThermal:
        """Take the constants of a cell file, and the usual ones where it has none."""
        whole = thermal.mass_kg * thermal.heat_capacity_j_per_kg_k
        inside = thermal.core_to_surface_k_per_w
        return cls(
            core_j_per_k=CORE_SHARE * whole,
            surface_j_per_k=(1.0 - CORE_SHARE) * whole,
            core_to_surface_k_per_w=CORE_TIME_CONSTANT_S / (CORE_SHARE * whole) if inside is None else inside,
            surface_to_coolant_k_per_w=thermal.surface_to_coolant_k_per_w,
        )

    def core_step(
        self, dt_s: float, core_degc: FloatArray, surface_degc: FloatArray, heat_w: FloatArray
    ) -> FloatArray:
        """Move the core over a step with the measured surface [°C], shape (n_cells,)."""
        keep = np.exp(-dt_s / (self.core_j_per_k * self.core_to_surface_k_per_w))
        end = surface_degc + heat_w * self.core_to_surface_k_per_w
        return np.asarray(end + keep * (core_degc - end))

    def horizon(self, horizons_s: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Give how the core's temperature after a time depends on now.

        Parameters
        ----------
        horizons_s : array_like, shape (horizons,)
            [s].

        Returns
        -------
        state : ndarray, shape (horizons, 3)
            Weights of core, surface and coolant temperature now (they add up to 1).
        heat_k_per_w : ndarray, shape (horizons,)
            Rise for each watt that is made all the time [K/W].
        """
        t = np.atleast_1d(np.asarray(horizons_s, float))
        out = 0.0 if self.surface_to_coolant_k_per_w is None else 1.0 / self.surface_to_coolant_k_per_w
        inside = 1.0 / self.core_to_surface_k_per_w
        rates = np.array(
            [
                [-inside / self.core_j_per_k, inside / self.core_j_per_k],
                [inside / self.surface_j_per_k, -(inside + out) / self.surface_j_per_k],
            ]
        )
        values, vectors = np.linalg.eig(rates)
        back = np.linalg.inv(vectors)
        keep = np.exp(values * t[:, None])
        # (e^(λt) - 1)/λ, which is t where λ is 0
        small = np.abs(values) < 1e-12
        grown = np.where(small, t[:, None], np.expm1(values * t[:, None]) / np.where(small, 1.0, values))
        core = np.einsum("j,tj,jk->tk", vectors[0], keep, back)
        heat = np.einsum("j,tj,j->t", vectors[0], grown, back[:, 0]) / self.core_j_per_k
        return np.column_stack([core, 1.0 - core.sum(axis=1)]).real, np.asarray(heat.real)
