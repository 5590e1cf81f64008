"""Bounds of the current that are not the voltage: window, temperatures, lithium plating, fuse.

Each gives magnitudes [A] of shape (n_cells, horizons).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.cell import CellFile, PlatingMap
from openbms_core.models.two_node import TwoNodeThermal
from openbms_core.pack_contactors import Fuse
from openbms_core.plating import plating_map
from openbms_estimation.sop.settings import Ramp
from openbms_estimation.sop.tables import SocTemperatureTable

__all__ = ["CoreTemperature", "FuseLoad", "PlatingLimit", "derating", "window_a"]

FloatArray = NDArray[np.float64]

_COLDER_PER_10_K = 1.5
_PULSE_S = 10.0
_DISCHARGE_SHARE = 0.85
"""So much of a discharge is remembered as room for a charge."""


def derating(temperature_degc: FloatArray, ramp: Ramp | None, *, upper: bool) -> FloatArray:
    """Give what a temperature leaves of the rating, 0…1; as the safety monitor's own table does.

    Parameters
    ----------
    temperature_degc : ndarray
        [°C].
    ramp : Ramp or None
        None: no derating.
    upper : bool
        It limits from above.
    """
    if ramp is None:
        return np.ones_like(temperature_degc)
    sign = 1.0 if upper else -1.0
    beyond = sign * (temperature_degc - ramp.operating_degc)
    width = sign * (ramp.recommended_degc - ramp.operating_degc)
    if width <= 0.0:
        return np.where(beyond > 0.0, 0.0, 1.0)
    return np.clip(1.0 - beyond / width, 0.0, 1.0)


def window_a(room_soc: FloatArray, capacity_ah: FloatArray, horizons_s: FloatArray) -> FloatArray:
    """Give the current that uses up a part of the state of charge in each horizon."""
    return np.asarray((np.maximum(room_soc, 0.0) * capacity_ah * 3600.0)[:, None] / horizons_s)


class PlatingLimit:
    """Charge current that keeps the anode above lithium, with what was charged before.

    The current that may be held for ever is exceeded by a pulse: the anode follows a current in part at once
    (``held/pulse`` of the map) and in part over its memory. Both parts together must not exceed what may be
    held. A discharge is remembered too: it has drawn lithium out of the surface of the anode, which has room
    for it again; a part of that counts, since it comes back the slower the more the anode has aged.

    Parameters
    ----------
    plating : PlatingMap or None
        None: the anode does not plate.
    n_cells : int
    """

    def __init__(self, plating: PlatingMap | None, n_cells: int) -> None:
        self._remembered_a = np.zeros(n_cells)
        self._map = plating
        if plating is None:
            return
        self._coldest = plating.temperature_breakpoints_degc[0]
        held = np.asarray(plating.held_a)
        pulse = held if plating.pulse_a is None else np.asarray(plating.pulse_a)
        # of 10 s the memory has taken a part already: find the part that is there at once
        through = -math.expm1(-_PULSE_S / plating.memory_s)
        ratio = np.divide(held, pulse, out=np.ones_like(held), where=pulse > 0.0)
        axes = plating.soc_breakpoints, plating.temperature_breakpoints_degc
        self._at_once = SocTemperatureTable(*axes, np.clip((ratio - through) / (1.0 - through), 0.0, 1.0))
        self._held = SocTemperatureTable(*axes, held)

    @classmethod
    def of_cell(cls, cell: CellFile, n_cells: int) -> PlatingLimit:
        """Take the map of the cell file, or the default of its chemistry."""
        return cls(plating_map(cell), n_cells)

    def advance(self, dt_s: float, current_a: FloatArray) -> None:
        """Remember a step of current [A] (positive: charging; what is unknown counts as nothing)."""
        if self._map is not None and dt_s > 0.0:
            keep = math.exp(-dt_s / self._map.memory_s)
            felt = np.nan_to_num(np.where(current_a > 0.0, current_a, _DISCHARGE_SHARE * current_a))
            self._remembered_a = keep * self._remembered_a + (1.0 - keep) * felt

    def limit_a(
        self,
        soc: FloatArray,
        temperature_degc: FloatArray,
        capacity_ah: FloatArray,
        horizons_s: FloatArray,
        share: ArrayLike = 1.0,
    ) -> FloatArray:
        """Give the largest charge current.

        Parameters
        ----------
        soc : ndarray, shape (n_cells,)
            The highest that is likely.
        temperature_degc : ndarray, shape (n_cells,)
        capacity_ah : ndarray, shape (n_cells,)
        horizons_s : ndarray, shape (horizons,)
        share : array_like, shape () or (n_cells,)
            Part of the map's current that this cell bears: ageing takes area and slows the reaction.
        """
        if self._map is None:
            return np.full((len(soc), len(horizons_s)), np.inf)
        memory = np.exp(-horizons_s / self._map.memory_s)
        t = temperature_degc[:, None]
        colder = np.maximum(self._coldest - t, 0.0)
        factor = np.asarray(share, float).reshape(-1, 1) * _COLDER_PER_10_K ** (-colder / 10.0)

        def at(z: FloatArray) -> FloatArray:
            held = factor * self._held(z, t)
            at_once = self._at_once(z, t)
            felt = at_once + (1.0 - at_once) * (1.0 - memory)
            room = held - (1.0 - at_once) * memory * self._remembered_a[:, None]
            return np.asarray(np.maximum(room, 0.0) / felt)

        # the map falls with SoC, and the end of the horizon is where the current itself leads to: bisection
        # on "no more than is allowed where it leads to", from a value for which that holds
        here = soc[:, None]
        per_a = horizons_s / (3600.0 * capacity_ah[:, None])
        high = at(here + np.zeros_like(per_a))
        low = at(here + high * per_a)
        for _ in range(5):
            middle = 0.5 * (low + high)
            fits = middle <= at(here + middle * per_a)
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return low


class CoreTemperature:
    """Current that keeps the core of a cell below a temperature.

    Parameters
    ----------
    thermal : TwoNodeThermal or None
        None: unknown, and nothing is limited.
    n_cells : int
    """

    def __init__(self, thermal: TwoNodeThermal | None, n_cells: int) -> None:
        self._thermal = thermal
        self.core_degc = np.full(n_cells, np.nan)

    def advance(self, dt_s: float, surface_degc: FloatArray, heat_w: FloatArray) -> None:
        """Follow the measured surface [°C] with the heat that is made [W]; the first call begins there."""
        self.core_degc = np.where(np.isnan(self.core_degc), surface_degc, self.core_degc)
        if self._thermal is not None and dt_s > 0.0:
            self.core_degc = self._thermal.core_step(dt_s, self.core_degc, surface_degc, heat_w)

    def limit_a(
        self,
        surface_degc: FloatArray,
        resistance_ohm: FloatArray,
        most_degc: float,
        horizons_s: FloatArray,
        coolant_degc: float = math.nan,
    ) -> FloatArray:
        """Give the largest current whose heat leaves the core below a temperature.

        Parameters
        ----------
        surface_degc, resistance_ohm : ndarray, shape (n_cells,)
            Measured temperature [°C] and resistance of a long-lasting current [Ω].
        most_degc : float
            [°C].
        horizons_s : ndarray, shape (horizons,)
        coolant_degc : float
            NaN: as warm as the surface.
        """
        if self._thermal is None:
            return np.full((len(surface_degc), len(horizons_s)), np.inf)
        state, rise = self._thermal.horizon(horizons_s)
        coolant = surface_degc if math.isnan(coolant_degc) else np.full_like(surface_degc, coolant_degc)
        free = np.stack([self.core_degc, surface_degc, coolant], axis=-1) @ state.T
        heat = np.maximum(most_degc - free, 0.0) / rise
        return np.asarray(np.sqrt(heat / resistance_ohm[:, None]))


class FuseLoad:
    """How warm the fuse of each string is: the mean square of its current over its thermal time.

    Parameters
    ----------
    fuse : Fuse or None
        None, or without data: no limit.
    strings : int
    """

    def __init__(self, fuse: Fuse | None, strings: int) -> None:
        self._load_a2 = np.zeros(strings)
        self._held_a2 = self._time_s = math.nan
        if fuse is not None and fuse.rated_current_a is not None and fuse.melting_i2t_a2_s is not None:
            self._held_a2 = (fuse.continuous_use * fuse.rated_current_a) ** 2
            # a pulse from cold takes ``use`` of the melting integral when it reaches the continuous load
            self._time_s = fuse.use * fuse.melting_i2t_a2_s / self._held_a2

    def advance(self, dt_s: float, current_a: FloatArray) -> None:
        """Remember a step of string current [A]; what is unknown counts as nothing."""
        if math.isnan(self._time_s) or not dt_s > 0.0:
            return
        keep = math.exp(-dt_s / self._time_s)
        square = np.square(np.nan_to_num(current_a))
        self._load_a2 = keep * self._load_a2 + (1.0 - keep) * square

    def limit_a(self, horizons_s: FloatArray) -> FloatArray:
        """Give the largest current of each string [A], shape (strings, horizons)."""
        if math.isnan(self._time_s):
            return np.full((len(self._load_a2), len(horizons_s)), np.inf)
        keep = np.exp(-horizons_s / self._time_s)
        room = np.maximum(self._held_a2 - self._load_a2[:, None] * keep, 0.0)
        return np.asarray(np.sqrt(room / (1.0 - keep)))
