"""What power limits take from the state of health."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from openbms_core.models.ecm import CellModel
from openbms_core.types import StateOfHealth

__all__ = ["CellHealth"]

FloatArray = NDArray[np.float64]

_PULSE_S = 10.0
_REFERENCE_SOC, _REFERENCE_DEGC = 0.5, 25.0


@dataclass(frozen=True)
class CellHealth:
    """Of every cell (one of each parallel group), shape (n_cells,).

    Attributes
    ----------
    capacity_ah : ndarray
        [Ah].
    resistance_ratio, resistance_ratio_std : ndarray
        Resistance over that of the cell file; NaN where it is not known.
    """

    capacity_ah: FloatArray
    resistance_ratio: FloatArray
    resistance_ratio_std: FloatArray

    @classmethod
    def of(cls, soh: StateOfHealth, model: CellModel, parallel: int) -> Self:
        """Take it from the message.

        Parameters
        ----------
        soh : StateOfHealth
            Of whole groups; resistances at 25 °C and half charge.
        model : CellModel
        parallel : int
            Cells in each group.
        """
        measured = (soh.cell_capacity_pairs > 0) & np.isfinite(soh.cell_capacity_ah)
        capacity = np.where(measured, soh.cell_capacity_ah / parallel, model.capacity_ah)
        p = model.parameters(_REFERENCE_SOC, _REFERENCE_DEGC)
        new_ohm = float(
            p.r0_ohm - p.r1_ohm * np.expm1(-_PULSE_S / p.tau1_s) - p.r2_ohm * np.expm1(-_PULSE_S / p.tau2_s)
        )
        # what a limit meets is the resistance of seconds, not that of the first instant
        ratio = soh.cell_resistance_10s_ohm * parallel / new_ohm
        return cls(capacity, ratio, soh.cell_resistance_10s_std_ohm * parallel / new_ohm)
