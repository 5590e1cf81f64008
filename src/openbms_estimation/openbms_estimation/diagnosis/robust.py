"""Robust middle and spread of few numbers, without the overhead of the general functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["middle", "spread"]

FloatArray = NDArray[np.float64]

_NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median magnitude."""


def middle(values: FloatArray) -> float:
    """Give the median of the values that are not NaN; NaN if there is none."""
    ordered = np.sort(values)  # NaN last
    count = int(ordered.searchsorted(np.inf, side="right")) if np.isnan(ordered[-1]) else len(ordered)
    if count == 0:
        return math.nan
    return 0.5 * float(ordered[(count - 1) // 2] + ordered[count // 2])


def spread(values: FloatArray) -> float:
    """Give the standard deviation of the values about 0 from the median of their magnitudes."""
    return _NORMAL * middle(np.abs(values))
