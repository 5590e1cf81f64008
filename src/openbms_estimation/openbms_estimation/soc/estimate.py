"""What every SoC estimator takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Quality", "SocEstimate", "SocEstimator", "SocSample", "capacity_of_cells", "of_cells"]

FloatArray = NDArray[np.float64]


def of_cells(value: ArrayLike, count: int) -> FloatArray:
    """Give ``value`` as an array of shape (count,); not to be written to: it may be the caller's."""
    array = np.asarray(value, float)
    if array.ndim == 0:
        return np.full(count, float(array))
    return array if array.shape == (count,) else np.array(np.broadcast_to(array, (count,)))


def capacity_of_cells(capacity_ah: ArrayLike, count: int) -> FloatArray:
    """Give capacities [Ah] as an array of shape (count,); ValueError unless each is positive and finite."""
    capacity = of_cells(capacity_ah, count).copy()
    if not np.all(np.isfinite(capacity) & (capacity > 0)):
        raise ValueError("capacity_ah must be positive and finite for every cell")
    return capacity


class Quality(IntFlag):
    """What was not as it should be in a step, per cell; 0: nothing."""

    GOOD = 0
    VOLTAGE_MISSING = 1
    """No valid voltage: predicted only."""
    CURRENT_MISSING = 2
    """No valid current: state held, uncertainty grows with time."""
    TEMPERATURE_ASSUMED = 4
    """No valid temperature: the last one (or the default) is used with more model error."""
    TIME_IRREGULAR = 8
    """Step of zero, negative, non-finite or very long duration."""
    INNOVATION_LIMITED = 16
    """Voltage too far from the expected one: its weight was reduced."""
    RESTARTED = 32
    """Voltage contradicted the estimate for long: the SoC was opened again."""
    UNINITIALISED = 64
    """No voltage was ever received and no SoC was given: the value is a mere guess."""
    OUTSIDE_MODEL = 128
    """Temperature more than 10 K outside the range the cell model was fitted in."""


@dataclass(frozen=True)
class SocSample:
    """Measurements of one step, per cell; scalars hold for all cells.

    Attributes
    ----------
    dt_s : float
        Time since the previous sample [s].
    current_a : array_like, shape () or (n_cells,)
        Mean current through a cell over the step [A], positive when charging (string current / cells in
        parallel). NaN: unknown.
    voltage_v : array_like, shape (n_cells,)
        Cell voltage at the end of the step [V]; NaN: invalid.
    temperature_degc : array_like, shape () or (n_cells,)
        Cell temperature [°C]; NaN: unknown.
    charge_increment_ah : array_like, shape () or (n_cells,)
        Charge since the previous sample [Ah], the integral over every current frame; where NaN,
        current_a·dt_s.
    """

    dt_s: float
    current_a: ArrayLike
    voltage_v: ArrayLike
    temperature_degc: ArrayLike
    charge_increment_ah: ArrayLike = float("nan")


@dataclass(frozen=True)
class SocEstimate:
    """State of charge of every cell after a step; all arrays have the shape (n_cells,) and are never NaN
    (``innovation_v`` excepted).

    Attributes
    ----------
    soc, soc_std : ndarray
        State of charge, within 0…1, and its standard deviation.
    current_bias_a, current_bias_std_a : ndarray
        Offset of the current measurement as each cell's filter sees it [A] (0 and the assumed one if not
        estimated).
    resistance_ratio, resistance_ratio_std : ndarray
        Instantaneous resistance of the cell / that in the cell file.
    innovation_v : ndarray
        Measured minus expected voltage [V]; NaN where there was no measurement.
    quality : ndarray of uint8
        Bits of :class:`Quality`.
    method : str
    """

    soc: FloatArray
    soc_std: FloatArray
    current_bias_a: FloatArray
    current_bias_std_a: FloatArray
    resistance_ratio: FloatArray
    resistance_ratio_std: FloatArray
    innovation_v: FloatArray
    quality: NDArray[np.uint8]
    method: str


class SocEstimator(Protocol):
    """Any estimator of state of charge."""

    def step(self, sample: SocSample) -> SocEstimate:
        """Take one sample and give the new estimate."""
        ...

    def set_capacity(self, capacity_ah: ArrayLike) -> None:
        """Count from now on with another capacity of each cell [Ah], shape () or (n_cells,)."""
        ...
