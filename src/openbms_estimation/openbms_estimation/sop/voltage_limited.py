"""Advisory power limits: the largest constant current that no cell's voltage forbids within a horizon.

The voltage of each cell after ``T`` seconds of a constant current ``i`` follows from the circuit of
:mod:`openbms_core.models.ecm` (current positive when charging, ``aj = exp(-T/tauj)``)::

    v(T, i) = OCV(z + eta·i·T/Q) + u(i) + R1·(a1·i1 + (1 - a1)·i) + R2·(a2·i2 + (1 - a2)·i) + e

with ``u`` the instantaneous overpotential and ``e`` the present difference between measured and modelled
voltage, which is taken to last. It rises with ``i``, so that the limit is found by false position, for all
cells, horizons at once.

Source: G. L. Plett, *Battery Management Systems*, vol. II, Artech 2016, ch. 6 (power limits by voltage with
an equivalent circuit; a search on the full model instead of its linearisation, which is wrong at the knee).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel, CellParameters

__all__ = ["HorizonLimits", "LimiterState", "SopSettings", "VoltageLimiter"]

FloatArray = NDArray[np.float64]

CELL_VOLTAGE, CURRENT_RATING, SOC_WINDOW = "cell_voltage", "current_rating", "soc_window"
_ITERATIONS = 7
_LARGEST_OFFSET_V = 0.1


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
    margin_std : float
        Distance to the voltage limits, in standard deviations of the predicted voltage.
    """

    horizons_s: tuple[float, ...]
    voltage_min_v: float
    voltage_max_v: float
    charge_current_max_a: float
    discharge_current_max_a: float
    soc_min: float = 0.0
    soc_max: float = 1.0
    margin_std: float = 2.0


@dataclass(frozen=True)
class LimiterState:
    """Present state of every cell; all arrays have the shape (n_cells,).

    Attributes
    ----------
    soc, soc_std : ndarray
    temperature_degc : ndarray
        [°C].
    capacity_ah : ndarray
        [Ah].
    current_a : float or ndarray
        Present current [A].
    voltage_v : ndarray
        Measured voltage [V]; NaN where there is none.
    """

    soc: FloatArray
    soc_std: FloatArray
    temperature_degc: FloatArray
    capacity_ah: FloatArray
    current_a: FloatArray
    voltage_v: FloatArray


@dataclass(frozen=True)
class HorizonLimits:
    """Limits in one direction; arrays have the shape (n_cells, horizons) unless said otherwise.

    Attributes
    ----------
    current_a : ndarray
        Magnitude of the largest current [A].
    current_std_a : ndarray
        Its standard deviation [A].
    voltage_v : ndarray
        Voltage to reckon power with at that current [V]: the lower one of start and end of the horizon.
    reason : ndarray of str
        ``cell_voltage``, ``current_rating`` or ``soc_window``.
    """

    current_a: FloatArray
    current_std_a: FloatArray
    voltage_v: FloatArray
    reason: NDArray[np.str_]


class VoltageLimiter:
    """Keeps the RC currents of every cell and gives the limits.

    Parameters
    ----------
    model : CellModel
    n_cells : int
    settings : SopSettings
    """

    def __init__(self, model: CellModel, n_cells: int, settings: SopSettings) -> None:
        self.model = model
        self.settings = settings
        self._horizons = np.asarray(settings.horizons_s, float)
        self._i1 = np.zeros(n_cells)
        self._i2 = np.zeros(n_cells)

    def advance(
        self, dt_s: float, current_a: FloatArray, soc: FloatArray, temperature_degc: FloatArray
    ) -> None:
        """Move the RC currents over a step of constant current.

        Parameters
        ----------
        dt_s : float
            Duration of the step [s]; nothing happens unless it is positive.
        current_a, soc, temperature_degc : ndarray, shape (n_cells,)
            Mean current [A], state of charge and temperature [°C].
        """
        if not dt_s > 0.0:
            return
        p = self.model.parameters(soc, temperature_degc)
        for currents, tau_s in ((self._i1, p.tau1_s), (self._i2, p.tau2_s)):
            keep = np.exp(-dt_s / tau_s)
            currents *= keep
            currents += (1.0 - keep) * current_a

    def limits(self, state: LimiterState) -> tuple[HorizonLimits, HorizonLimits]:
        """Give the limits of every cell for every horizon.

        Parameters
        ----------
        state : LimiterState

        Returns
        -------
        charge, discharge : HorizonLimits
        """
        p = self.model.parameters(state.soc, state.temperature_degc)
        now = p.ocv_v + p.instant_v(state.current_a) + p.r1_ohm * self._i1 + p.r2_ohm * self._i2
        offset = np.where(np.isfinite(state.voltage_v), state.voltage_v - now, 0.0)
        # beyond this the measurement, not the model, is in doubt
        offset = np.clip(offset, -_LARGEST_OFFSET_V, _LARGEST_OFFSET_V)
        std_v = np.hypot(p.docv_dsoc_v * state.soc_std, p.slow_std_v)
        return self._direction(state, p, offset, std_v, +1.0), self._direction(state, p, offset, std_v, -1.0)

    def voltage(
        self, state: LimiterState, p: CellParameters, offset: FloatArray, current_a: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Predict the voltage at start and end of each horizon.

        Parameters
        ----------
        state : LimiterState
        p : CellParameters
            Parameters at the present state, (n_cells,).
        offset : ndarray, shape (n_cells,)
            Present error of the model [V].
        current_a : ndarray, shape (n_cells, horizons)
            Constant current [A], positive when charging.

        Returns
        -------
        start, end : ndarray, shape (n_cells, horizons)
            Voltages [V]; ``start`` right after the current begins.
        """
        t = self._horizons
        moved = current_a * t / (3600.0 * state.capacity_ah[:, None])
        moved = np.where(current_a > 0.0, moved * self.model.coulombic_efficiency, moved)
        later = self.model.parameters(state.soc[:, None] + moved, state.temperature_degc[:, None])
        instant = _instant(p, current_a)
        start = (p.ocv_v + p.r1_ohm * self._i1 + p.r2_ohm * self._i2 + offset)[:, None] + instant
        # resistances move with the state of charge: of both ends of the horizon the worse one counts
        charging = current_a > 0.0

        def worse(a: FloatArray, b: FloatArray) -> FloatArray:
            return np.where(charging, np.maximum(a, b), np.minimum(a, b))

        end = later.ocv_v + worse(instant, later.instant_v(current_a)) + offset[:, None]
        for r, r_later, tau_s, i in (
            (p.r1_ohm, later.r1_ohm, p.tau1_s, self._i1),
            (p.r2_ohm, later.r2_ohm, p.tau2_s, self._i2),
        ):
            keep = np.exp(-t / tau_s[:, None])
            through = keep * i[:, None] + (1.0 - keep) * current_a
            end = end + worse(r[:, None] * through, r_later * through)
        return start, end

    def _direction(
        self, state: LimiterState, p: CellParameters, offset: FloatArray, std_v: FloatArray, sign: float
    ) -> HorizonLimits:
        s = self.settings
        charge = sign > 0.0
        rating = s.charge_current_max_a if charge else s.discharge_current_max_a
        bound = s.voltage_max_v - s.margin_std * std_v if charge else s.voltage_min_v + s.margin_std * std_v
        room = (s.soc_max - state.soc if charge else state.soc - s.soc_min) * state.capacity_ah * 3600.0
        window = np.maximum(room, 0.0)[:, None] / self._horizons
        high = np.minimum(window, rating)
        reason = np.where(window < rating, SOC_WINDOW, CURRENT_RATING)

        def excess(magnitude: FloatArray) -> FloatArray:
            start, end = self.voltage(state, p, offset, sign * magnitude)
            worst = np.maximum(start, end) if charge else np.minimum(start, end)
            return np.asarray(sign * (worst - bound[:, None]))

        low, top = np.zeros_like(high), high
        at_low, at_top = excess(low), excess(top)
        bound_by_voltage = at_top > 0.0
        hopeless = at_low >= 0.0
        # false position with halving (Illinois) keeps the root between low, which is allowed, and top,
        # which is not
        for _ in range(_ITERATIONS):
            middle = np.where(
                at_top > at_low,
                low - at_low * (top - low) / np.where(at_top > at_low, at_top - at_low, 1.0),
                low,
            )
            found = excess(middle)
            over = found > 0.0
            at_low = np.where(over, 0.5 * at_low, found)
            at_top = np.where(over, found, 0.5 * at_top)
            low, top = np.where(over, low, middle), np.where(over, middle, top)
        current = np.where(bound_by_voltage, np.where(hopeless, 0.0, low), high)
        start, end = self.voltage(state, p, offset, sign * current)
        return HorizonLimits(
            current_a=current,
            current_std_a=np.where(
                bound_by_voltage, std_v[:, None] / self._slope_ohm(state, p, sign * current), 0.0
            ),
            voltage_v=np.minimum(start, end),
            reason=np.where(bound_by_voltage, CELL_VOLTAGE, reason),
        )

    def _slope_ohm(self, state: LimiterState, p: CellParameters, current_a: FloatArray) -> FloatArray:
        """Give dv/di at the end of each horizon [Ω], shape (n_cells, horizons)."""
        t = self._horizons
        x = current_a / p.kinetic_current_a[:, None]
        slope = p.r0_ohm[:, None] + p.kinetic_resistance_ohm[:, None] * (1.0 / np.sqrt(1.0 + x * x) - 1.0)
        for r, tau_s in ((p.r1_ohm, p.tau1_s), (p.r2_ohm, p.tau2_s)):
            slope = slope + r[:, None] * (1.0 - np.exp(-t / tau_s[:, None]))
        return np.asarray(slope + p.docv_dsoc_v[:, None] * t / (3600.0 * state.capacity_ah[:, None]))


def _instant(p: CellParameters, current_a: FloatArray) -> FloatArray:
    """Instantaneous overpotential [V] of (n_cells, horizons) currents with (n_cells,) parameters."""
    kinetic = p.kinetic_current_a[:, None]
    saturating = kinetic * np.arcsinh(current_a / kinetic) - current_a
    return np.asarray(p.r0_ohm[:, None] * current_a + p.kinetic_resistance_ohm[:, None] * saturating)
