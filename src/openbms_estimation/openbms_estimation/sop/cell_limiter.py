"""Limits of many cells from everything that can bind: the smallest bound of each horizon, and its name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.cell import CellFile
from openbms_core.models.ecm import CellModel, CellParameters
from openbms_core.models.two_node import TwoNodeThermal
from openbms_estimation.sop.bounds import (
    CoreTemperature,
    PlatingLimit,
    derating,
    window_a,
)
from openbms_estimation.sop.prediction import Situation
from openbms_estimation.sop.pulse_error import PulseCorrection
from openbms_estimation.sop.settings import SopSettings
from openbms_estimation.sop.tracking import CellState, ModelResidual, Polarisation, TrackingSettings
from openbms_estimation.sop.voltage_limited import CHARGE, DISCHARGE, power_shape, solve

__all__ = ["CELL_VOLTAGE", "REASONS", "Bounds", "CellLimiter", "HorizonLimits"]

FloatArray = NDArray[np.float64]

REASONS = ("current_rating", "temperature", "soc_window", "core_temperature", "lithium_plating")
CELL_VOLTAGE = "cell_voltage"
PLATING_SOC_STD = 1.0
"""Standard deviations of the SoC that the plating map is read higher by: the map itself has a reserve."""
ANODE_EXPONENT = 1.2
"""Of the resistance's growth: a part of it does not age, and the reaction's share grows slower than the
exchange current falls (it follows its logarithm)."""


@dataclass(frozen=True)
class Bounds:
    """What binds beside the voltage; arrays have the shape (n_cells, horizons).

    Attributes
    ----------
    current_a : ndarray
        The smallest [A], a magnitude.
    reason : ndarray of int
        Its place in ``REASONS``.
    """

    current_a: FloatArray
    reason: NDArray[np.intp]


@dataclass(frozen=True)
class HorizonLimits:
    """Limits in one direction; arrays have the shape (n_cells, horizons).

    Attributes
    ----------
    current_a : ndarray
        Magnitude of the largest constant current [A].
    current_std_a : ndarray
        Its standard deviation [A].
    power_w : ndarray
        Largest constant power of the cell [W].
    reason : ndarray of str
    """

    current_a: FloatArray
    current_std_a: FloatArray
    power_w: FloatArray
    reason: NDArray[np.str_]


class CellLimiter:
    """Follows every cell, and gives the limits.

    Parameters
    ----------
    cell : CellFile
    n_cells : int
    settings : SopSettings
    tracking : TrackingSettings, optional
    model : CellModel, optional
        Of ``cell``, where it has been computed already.
    """

    def __init__(
        self,
        cell: CellFile,
        n_cells: int,
        settings: SopSettings,
        tracking: TrackingSettings | None = None,
        *,
        model: CellModel | None = None,
    ) -> None:
        self.settings = settings
        self.model = CellModel.from_file(cell) if model is None else model
        self.horizons_s = np.asarray(settings.horizons_s, float)
        self._pulses = PulseCorrection(cell)
        self._polarisation = Polarisation(self.model, n_cells)
        self.residual = ModelResidual(self.model, n_cells, tracking or TrackingSettings())
        self._plating = PlatingLimit.of_cell(cell, n_cells)
        self.core = CoreTemperature(
            None if cell.thermal is None else TwoNodeThermal.from_file(cell.thermal), n_cells
        )
        self._state: CellState | None = None
        self._p: CellParameters | None = None

    def step(self, dt_s: float, state: CellState) -> None:
        """Follow the cells to the present moment.

        Parameters
        ----------
        dt_s : float
            Time since the last step [s]; 0 where it is unknown.
        state : CellState
            Now; its current flowed since the last step.
        """
        p = self.model.parameters(state.soc, state.temperature_degc)
        self._polarisation.advance(dt_s, p, state.current_a, state.capacity_ah)
        self.residual.step(dt_s, state, p, self._polarisation)
        self._plating.advance(dt_s, state.current_a)
        heat = np.abs(
            state.current_a * self.residual.ratio * self._polarisation.overpotential_v(p, state.current_a)
        )
        self.core.advance(dt_s, state.temperature_degc, heat)
        self._state, self._p = state, p

    @property
    def now(self) -> tuple[CellState, CellParameters]:
        """State and parameters of the last step; ValueError before the first."""
        if self._state is None or self._p is None:
            raise ValueError("there was no step yet")
        return self._state, self._p

    def situation(self, sign: float) -> Situation:
        """Give the situation of all cells for one direction, SoC off to the bad side by the margin."""
        state, p = self.now
        return Situation.of(
            state,
            p,
            self._polarisation,
            self.residual,
            sign * self.settings.margin_std * state.soc_std,
            *self._pulses(sign, state.soc, state.temperature_degc),
        )

    def bounds(self, sign: float, coolant_degc: float = float("nan")) -> Bounds:
        """Give the smallest bound of every cell beside its voltage.

        Parameters
        ----------
        sign : float
            ``CHARGE`` or ``DISCHARGE``.
        coolant_degc : float
            NaN: unknown.
        """
        s, (state, _) = self.settings, self.now
        charge = sign == CHARGE
        rating = s.charge_current_max_a if charge else s.discharge_current_max_a
        hot, cold = (s.charge_hot, s.charge_cold) if charge else (s.discharge_hot, s.discharge_cold)
        t = state.temperature_degc
        ramp = np.minimum(derating(t, hot, upper=True), derating(t, cold, upper=False)) * rating
        doubt = s.margin_std * state.soc_std
        # at the ends of the cell itself its voltage guards it; a window further inside knows only the SoC
        room = (
            s.soc_max - state.soc - (doubt if s.soc_max < 1.0 else 0.0)
            if charge
            else state.soc - s.soc_min - (doubt if s.soc_min > 0.0 else 0.0)
        )
        shape = (len(state.soc), len(self.horizons_s))
        everywhere = np.full(shape, np.inf)
        core = everywhere
        if hot is not None:
            # on the way to the limit the cell gets warmer and heats itself less
            half_way = self.model.parameters(state.soc, 0.5 * (t + np.maximum(t, hot.recommended_degc)))
            ohm = self.residual.ratio * (half_way.r0_ohm + half_way.r1_ohm + half_way.r2_ohm)
            core = self.core.limit_a(t, ohm, hot.recommended_degc, self.horizons_s, coolant_degc)
        plating = everywhere
        if charge:
            plating = self._plating.limit_a(
                state.soc + PLATING_SOC_STD * state.soc_std,
                t,
                state.capacity_ah,
                self.horizons_s,
                self._anode_share(state),
            )
        stacked = np.stack(
            [
                np.full(shape, rating),
                np.broadcast_to(ramp[:, None], shape),
                window_a(room, state.capacity_ah, self.horizons_s),
                core,
                plating,
            ]
        )
        reason = stacked.argmin(axis=0)
        return Bounds(np.take_along_axis(stacked, reason[None], axis=0)[0], reason)

    def _anode_share(self, state: CellState) -> FloatArray:
        """Give the part of the plating map's current that an aged anode bears, shape (n_cells,).

        Lost area and slower kinetics let the resistance grow about as much as they lower that current, a
        contact that has grown lets it grow alone, and from outside they look the same: the growth is taken
        for a loss of the anode. A contact shows less in the cold and more in the heat; so it is the growth
        that is seen now, and no more than what the state of health says of 25 degC, with its doubt.
        """
        ratio = self.residual.ratio
        if state.resistance_ratio is not None and state.resistance_ratio_std is not None:
            doubt = self.settings.margin_std * state.resistance_ratio_std
            ratio = np.fmin(ratio, state.resistance_ratio + doubt)
        return np.minimum(ratio**-ANODE_EXPONENT, 1.0)

    def limits(self, coolant_degc: float = float("nan")) -> tuple[HorizonLimits, HorizonLimits]:
        """Give the limits of every cell for itself, as if it were a pack of one.

        Returns
        -------
        charge, discharge : HorizonLimits
        """
        return self._each(CHARGE, coolant_degc), self._each(DISCHARGE, coolant_degc)

    def _each(self, sign: float, coolant_degc: float) -> HorizonLimits:
        s = self.settings
        situation, bounds = self.situation(sign), self.bounds(sign, coolant_degc)
        limit_v = s.voltage_max_v if sign == CHARGE else s.voltage_min_v
        path = situation.path(self.horizons_s)
        found = solve(situation, path, sign, bounds.current_a, limit_v, s.margin_std)
        shape = power_shape(found.voltage_v)
        most = bounds.current_a / shape.max(axis=-1)
        path = situation.path(self.horizons_s, shape)
        power = solve(situation, path, sign, most, limit_v, s.margin_std)
        return HorizonLimits(
            current_a=found.current_a,
            current_std_a=found.current_std_a,
            power_w=power.current_a * np.maximum(power.voltage_v[..., -1], 0.0),
            reason=np.where(found.binds, CELL_VOLTAGE, np.asarray(REASONS)[bounds.reason]),
        )
