"""What an error of the cell file's open-circuit voltage does to capacities: it is in every anchor at the same
state of charge alike, so that pairs between the same two levels do not average it out.

A capacity from pairs (x, y) is a weighted mean, of which pair k has the part w_k x_k / Σ w x². Where the
state of charge z is read with an error e(z), its relative error is Σ w_k x_k (e(z_k0) - e(z_k1)) / Σ w x².
Errors at levels a tenth of the charge apart are taken as independent, nearer ones as the same: one sum for
each tenth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SHARE", "TableError"]

FloatArray = NDArray[np.float64]

SHARE = 0.5
"""Part of the cell file's slow error, which is one under load, that is there at rest as well: assumed."""
_LEVELS = 12
_WIDTH = 0.1
_LOWEST = -0.1


class TableError:
    """Sums of what each tenth of the charge has in the capacity of every cell.

    Parameters
    ----------
    count : int
        Cells.
    forgetting, prior_std : float
        As in :class:`~openbms_estimation.soh.capacity.CapacitySettings`.
    """

    def __init__(self, count: int, forgetting: float, prior_std: float) -> None:
        self._forgetting = forgetting
        self._levels = np.zeros((_LEVELS, count))
        self._weight = np.full(count, prior_std**-2.0)

    def add(
        self,
        taken: NDArray[np.bool_],
        soc: tuple[FloatArray, FloatArray],
        std: tuple[FloatArray, FloatArray],
        pair_std: FloatArray,
    ) -> None:
        """Take the pairs that the capacities took.

        Parameters
        ----------
        taken : ndarray of bool, shape (n_cells,)
        soc, std : tuple of two ndarrays, each (n_cells,)
            State of charge of the earlier and the later anchor, and what the table's error is there [SoC].
        pair_std : ndarray
            Standard deviation of the pair, in state of charge.
        """
        cells = np.flatnonzero(taken)
        change = (soc[1] - soc[0])[cells]
        weight = pair_std[cells] ** -2.0
        self._levels[:, cells] *= self._forgetting
        self._weight[cells] = self._forgetting * self._weight[cells] + weight * change**2
        for end, sign in ((0, 1.0), (1, -1.0)):
            level = np.clip((soc[end][cells] - _LOWEST) / _WIDTH, 0, _LEVELS - 1).astype(int)
            np.add.at(self._levels, (level, cells), sign * weight * change * std[end][cells])

    def relative_std(self) -> FloatArray:
        """Give the standard deviation of each capacity for the table's error, as a part of it."""
        return np.asarray(np.sqrt((self._levels**2).sum(axis=0)) / self._weight)

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell."""
        return {"table_error": np.vstack([self._levels, self._weight])}

    def resume(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of these cells.
        """
        rows = np.asarray(state.get("table_error", np.nan), float)
        if rows.shape != (_LEVELS + 1, self._weight.size) or not np.isfinite(rows).all():
            raise ValueError("table_error is not that of these cells")
        if (rows[-1] <= 0.0).any():
            raise ValueError("table_error holds a weight that does not exist")
        self._levels, self._weight = rows[:-1].copy(), rows[-1].copy()
