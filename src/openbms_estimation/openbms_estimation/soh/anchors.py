"""Anchors of the state of charge that do not come from counting: what the rested voltage of a cell says, and
what its voltage says at the end of a full charge; and the pairs of charge and change between two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.models.ecm import CellModel

__all__ = ["Anchor", "AnchorSettings", "Anchors", "Pairs", "RestWatch", "soc_of_rest", "soc_of_taper"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


_BEYOND = 0.03
"""A reading this far beyond empty or full is no reading of a cell."""


@dataclass(frozen=True)
class AnchorSettings:
    """When a voltage is an anchor, and what is doubted.

    Attributes
    ----------
    rest_s : float
        Time without current after which a voltage counts as rested [s].
    rest_c, taper_c : float
        Currents below which a cell rests, and below which a charge has tapered, as a part of the capacity
        per hour.
    drift_v_per_h : float
        A rested voltage moves less than this [V/h].
    taper_s : float
        Time for which a charge must have tapered [s].
    full_v : float
        Distance of the highest cell from its charge voltage at which a charge is full [V].
    sensor_std_v : float
        Of the voltage of one cell, an offset in the main [V].
    drop_share : float
        Part of the voltage drop of a tapered current that is doubted.
    gain_std : float
        Of the current sensor, relative; it is common to all pairs and does not average out.
    offset_std_c : float
        Of the current sensor where the filter does not know it, as a part of the capacity per hour.
    bleed_a : float
        Current of a bleed, of which nothing is known but its size [A].
    """

    rest_s: float = 1800.0
    rest_c: float = 0.01
    taper_c: float = 0.07
    drift_v_per_h: float = 0.006
    taper_s: float = 30.0
    full_v: float = 0.015
    sensor_std_v: float = 0.002
    drop_share: float = 0.3
    gain_std: float = 0.003
    offset_std_c: float = 0.005
    bleed_a: float = 0.1


@dataclass(frozen=True)
class Anchor:
    """State of charge of every cell by its voltage; NaN where it says nothing. Arrays (n_cells,)."""

    soc: FloatArray
    std: FloatArray


def soc_of_rest(
    model: CellModel,
    voltage_v: ArrayLike,
    temperature_degc: ArrayLike,
    direction: ArrayLike,
    settings: AnchorSettings,
) -> Anchor:
    """Read the state of charge off rested voltages.

    Parameters
    ----------
    model : CellModel
    voltage_v, temperature_degc : array_like, shape (n_cells,)
    direction : array_like
        Branch of the hysteresis, -1 … 1; 0 where it is not known.
    settings : AnchorSettings

    Returns
    -------
    Anchor
    """
    voltage, warm = np.asarray(voltage_v, float), np.asarray(temperature_degc, float)
    warm = np.where(np.isfinite(warm), warm, 25.0)
    branch = np.broadcast_to(np.asarray(direction, float), voltage.shape)
    soc = model.soc_from_ocv(voltage, warm, branch)
    cell = model.parameters(np.nan_to_num(soc, nan=0.5), warm)
    # straight on beyond the ends: to leave out what reads above full would bias what is left
    beyond = (voltage - model.ocv(np.nan_to_num(soc, nan=0.5), warm, branch)) / np.maximum(cell.chord_v, 1e-3)
    soc = np.where((soc < 1e-3) | (soc > 1.0 - 1e-3), soc + beyond, soc)
    # how far the branch is known: the more the less it has been driven to one end
    branch_v = 0.3 * cell.half_gap_v * (1.0 + 2.0 * (1.0 - np.abs(branch)))
    variance_v = settings.sensor_std_v**2 + cell.slow_std_v**2 + branch_v**2
    std = np.sqrt(variance_v) / np.maximum(cell.chord_v, 1e-3)
    outside = (soc < -_BEYOND) | (soc > 1.0 + _BEYOND)
    return Anchor(np.where(outside, np.nan, soc), np.where(outside, np.nan, std))


def soc_of_taper(
    model: CellModel,
    voltage_v: ArrayLike,
    current_a: ArrayLike,
    temperature_degc: ArrayLike,
    settings: AnchorSettings,
    resistance_ratio: ArrayLike = 1.0,
) -> Anchor:
    """Read the state of charge off voltages under the small steady current of a full charge.

    Parameters
    ----------
    model, voltage_v, temperature_degc, settings
        As in :func:`soc_of_rest`.
    current_a : array_like
        Through one cell [A].
    resistance_ratio : array_like
        Resistance of the cell over that of the model.

    Returns
    -------
    Anchor
    """
    voltage, current = np.asarray(voltage_v, float), np.asarray(current_a, float)
    warm = np.asarray(temperature_degc, float)
    warm = np.where(np.isfinite(warm), warm, 25.0)
    drop = current * model.resistance(0.95, warm) * np.asarray(resistance_ratio, float)
    rested = soc_of_rest(model, voltage - drop, warm, 1.0, settings)
    slope = np.maximum(model.parameters(np.nan_to_num(rested.soc, nan=0.9), warm).chord_v, 1e-3)
    return Anchor(rested.soc, np.hypot(rested.std, settings.drop_share * np.abs(drop) / slope))


class RestWatch:
    """Verifies rests and full charges, for cells that share the current of their string.

    Parameters
    ----------
    string : ndarray of int, shape (n_cells,)
        String of each cell.
    capacity_ah : float
        Of a string [Ah].
    settings : AnchorSettings
    """

    def __init__(self, string: NDArray[np.intp], capacity_ah: float, settings: AnchorSettings) -> None:
        self.settings, self._string, self._capacity = settings, string, capacity_ah
        strings = int(string.max()) + 1
        self.resting_s, self.tapered_s = np.zeros(strings), np.zeros(strings)
        self.voltage_v = np.full(string.size, np.nan)
        self._slow_v = np.full(string.size, np.nan)
        self.drift_v_per_h = np.full(string.size, np.inf)

    def step(
        self, dt_s: float, string_current_a: FloatArray, voltage_v: FloatArray, *, charge_v: float
    ) -> None:
        """Take one scan.

        Parameters
        ----------
        dt_s : float
            Time since the last one [s].
        string_current_a : ndarray, shape (strings,)
            NaN breaks a rest.
        voltage_v : ndarray, shape (n_cells,)
        charge_v : float
            Voltage at which the highest cell ends a charge [V].
        """
        s = self.settings
        dt = dt_s if 0.0 < dt_s < 3600.0 else 0.0
        rate = string_current_a / self._capacity
        rests = np.abs(rate) < s.rest_c
        self.resting_s = np.where(rests, self.resting_s + dt, 0.0)
        top = np.array([np.nanmax(voltage_v[self._string == k], initial=-np.inf) for k in range(rests.size)])
        tapers = (rate > 0.0) & (rate < s.taper_c) & (top > charge_v - s.full_v)
        self.tapered_s = np.where(tapers, self.tapered_s + dt, 0.0)
        fresh = (self.resting_s <= dt)[self._string] & ~tapers[self._string]
        known = np.isfinite(voltage_v)
        start = known & (fresh | ~np.isfinite(self.voltage_v))
        self.voltage_v = np.where(start, voltage_v, self.voltage_v)
        self._slow_v = np.where(start, voltage_v, self._slow_v)
        fast, slow = 60.0, 600.0
        move = known & ~start
        self.voltage_v += np.where(move, (1.0 - np.exp(-dt / fast)) * (voltage_v - self.voltage_v), 0.0)
        self._slow_v += np.where(move, (1.0 - np.exp(-dt / slow)) * (voltage_v - self._slow_v), 0.0)
        # two averages of different age differ by the drift times the difference of their ages
        self.drift_v_per_h = np.abs(self.voltage_v - self._slow_v) * 3600.0 / (slow - fast)

    def rested(self) -> BoolArray:
        """Tell which cells have a verified rest."""
        long = (self.resting_s >= self.settings.rest_s)[self._string]
        return np.asarray(
            long & (self.drift_v_per_h < self.settings.drift_v_per_h) & np.isfinite(self.voltage_v)
        )

    def full(self) -> BoolArray:
        """Tell which cells are in a string whose charge has tapered out at its end."""
        return np.asarray(
            (self.tapered_s >= self.settings.taper_s)[self._string] & np.isfinite(self.voltage_v)
        )


@dataclass(frozen=True)
class Pairs:
    """Change of the state of charge and charge between two anchors; arrays (n_cells,), NaN: no pair."""

    delta_soc: FloatArray
    charge_ah: FloatArray
    soc_std: FloatArray
    charge_std_ah: FloatArray


class Anchors:
    """The last anchor of every cell, and the charge counted since.

    Parameters
    ----------
    count : int
        Cells.
    capacity_ah : float
        Of each [Ah].
    least_soc : float
        Pairs over less change are not made: the older anchor is kept until there is one.
    settings : AnchorSettings
    """

    def __init__(self, count: int, capacity_ah: float, least_soc: float, settings: AnchorSettings) -> None:
        self.settings, self._capacity, self._least = settings, capacity_ah, least_soc
        self.soc, self.std = np.full(count, np.nan), np.full(count, np.nan)
        self.charge_ah = np.zeros(count)
        self._offset_ah = np.zeros(count)

    def count(
        self, charge_ah: FloatArray, dt_s: float, offset_std_a: FloatArray, bleeding: BoolArray | None = None
    ) -> None:
        """Count the charge of one scan.

        Parameters
        ----------
        charge_ah : ndarray, shape (n_cells,)
            What went into each cell [Ah], the known offset taken off.
        dt_s : float
            Time [s].
        offset_std_a : ndarray, shape (n_cells,)
            Standard deviation of what offset is left [A].
        bleeding : ndarray of bool, optional
            Cells that are being balanced.
        """
        self.charge_ah += charge_ah
        # an offset lasts: its charge adds up in proportion to time
        self._offset_ah += offset_std_a * dt_s / 3600.0
        if bleeding is not None:
            self._offset_ah += np.where(bleeding, self.settings.bleed_a * dt_s / 3600.0, 0.0)

    def drift(self, std_ah: float) -> None:
        """Add a doubt of the counted charge, from a time in which it was not counted [Ah]."""
        self._offset_ah = np.hypot(self._offset_ah, std_ah)

    def forget(self, where: BoolArray) -> None:
        """Drop anchors after which charge went uncounted."""
        self.soc[where] = self.std[where] = np.nan

    def charge_std_ah(self) -> FloatArray:
        """Give the standard deviation of the counted charge, without the sensor's gain [Ah]."""
        return np.hypot(self._offset_ah, 1e-3 * self._capacity)

    def take(self, anchor: Anchor, where: BoolArray) -> Pairs:
        """Take an anchor of some cells; give the pairs it ends.

        A cell whose change is too small for a pair keeps the better of both anchors.
        """
        usable = where & np.isfinite(anchor.soc) & np.isfinite(anchor.std)
        delta = anchor.soc - self.soc
        paired = usable & np.isfinite(self.soc) & (np.abs(delta) >= self._least)
        doubt = np.hypot(np.nan_to_num(self.std, nan=np.inf), self.charge_std_ah() / self._capacity)
        replace = usable & (paired | ~(doubt < anchor.std))
        nothing = np.full(self.soc.shape, np.nan)
        pairs = Pairs(
            np.where(paired, delta, nothing),
            np.where(paired, self.charge_ah, nothing),
            np.where(paired, np.hypot(anchor.std, np.nan_to_num(self.std)), nothing),
            np.where(paired, self.charge_std_ah(), nothing),
        )
        self.soc, self.std = np.where(replace, anchor.soc, self.soc), np.where(replace, anchor.std, self.std)
        self.charge_ah = np.where(replace, 0.0, self.charge_ah)
        self._offset_ah = np.where(replace, 0.0, self._offset_ah)
        return pairs

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays of which the last axis is the cell."""
        return {"anchors": np.array([self.soc, self.std, self.charge_ah, self._offset_ah])}

    def resume(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over a state.

        Raises
        ------
        ValueError
            It is not that of these cells.
        """
        rows = np.asarray(state.get("anchors", np.nan), float)
        if rows.shape != (4, self.soc.size) or not np.isfinite(rows[2:]).all():
            raise ValueError("anchors are not those of these cells")
        self.soc, self.std, self.charge_ah, self._offset_ah = (row.copy() for row in rows)
