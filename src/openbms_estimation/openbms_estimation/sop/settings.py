"""Limits of one cell and behaviour of the limiter."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Ramp", "SopSettings"]


@dataclass(frozen=True)
class Ramp:
    """Derating over temperature: all up to ``operating_degc``, nothing from ``recommended_degc`` on."""

    operating_degc: float
    recommended_degc: float


@dataclass(frozen=True)
class SopSettings:
    """Limits of one cell; currents are magnitudes.

    Attributes
    ----------
    horizons_s : tuple of float
        Times for which the current shall be possible [s].
    voltage_min_v, voltage_max_v : float
        Cell voltages not to pass [V].
    charge_current_max_a, discharge_current_max_a : float
        Ratings [A].
    soc_min, soc_max : float
        Window of state of charge.
    charge_hot, charge_cold, discharge_hot, discharge_cold : Ramp or None
        Derating of the rating over the cell's temperature; the core of a cell shall not reach the
        recommended temperature of the hot one either.
    margin_std : float
        Distance to every limit, in standard deviations of the estimate.
    recovery_s : float
        A limit takes this long to rise from zero to the rating [s]; it falls at once.
    """

    horizons_s: tuple[float, ...]
    voltage_min_v: float
    voltage_max_v: float
    charge_current_max_a: float
    discharge_current_max_a: float
    soc_min: float = 0.0
    soc_max: float = 1.0
    charge_hot: Ramp | None = None
    charge_cold: Ramp | None = None
    discharge_hot: Ramp | None = None
    discharge_cold: Ramp | None = None
    margin_std: float = 3.0
    recovery_s: float = 5.0
