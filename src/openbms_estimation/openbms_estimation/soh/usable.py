"""Capacity that a pack can use now, with its cells as they stand, and after balancing.

A string is full with its first full cell and empty with its first empty one: it offers
``min(z·Q) + min((1 − z)·Q)``. Balanced from the top it offers ``min(Q)``; the difference can be won back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["UsableCapacity", "usable_capacity"]


@dataclass(frozen=True)
class UsableCapacity:
    """Sums over strings in parallel [Ah]; NaN where a cell is unknown.

    Attributes
    ----------
    now_ah, balanced_ah : float
        With the cells as they stand, and after balancing.
    empty_first, full_first, weakest : int
        Cells that end the discharge, the charge, and what balancing can reach; -1: unknown.
    """

    now_ah: float
    balanced_ah: float
    empty_first: int
    full_first: int
    weakest: int


def usable_capacity(soc: ArrayLike, capacity_ah: ArrayLike, strings: int = 1) -> UsableCapacity:
    """Compute both figures.

    Parameters
    ----------
    soc, capacity_ah : array_like, shape (n_cells,)
        String after string.
    strings : int
        Strings in parallel, of equal length.

    Returns
    -------
    UsableCapacity

    Raises
    ------
    ValueError
        The cells do not divide into the strings.
    """
    z, q = np.asarray(soc, float), np.asarray(capacity_ah, float)
    if z.shape != q.shape or z.ndim != 1 or strings < 1 or z.size == 0 or z.size % strings:
        raise ValueError(f"{z.shape} and {q.shape} cells do not divide into {strings} strings")
    known_q = bool(np.isfinite(q).all())
    per_string = q.reshape(strings, -1)
    balanced = float(per_string.min(axis=1).sum()) if known_q else float("nan")
    weakest = int(np.argmin(q)) if known_q else -1
    if not (known_q and np.isfinite(z).all()):
        return UsableCapacity(float("nan"), balanced, -1, -1, weakest)
    charge, room = z * q, (1.0 - z) * q
    now = charge.reshape(strings, -1).min(axis=1) + room.reshape(strings, -1).min(axis=1)
    return UsableCapacity(float(now.sum()), balanced, int(np.argmin(charge)), int(np.argmin(room)), weakest)
