"""State of charge of strings and pack from that of the cells.

A string in series is empty with its first empty cell and full with its first full one: with the charge
``z·Q`` and the room ``(1-z)·Q`` of every cell, ``soc = min(z·Q) / (min(z·Q) + min((1-z)·Q))``. Strings in
parallel add charge and room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.models.ecm import DISCHARGE, CellModel

__all__ = ["DisplayedSoc", "PackSoc", "aggregate"]

FloatArray = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


@dataclass(frozen=True)
class PackSoc:
    """Figures of a pack; NaN where a cell's SoC is unknown.

    Attributes
    ----------
    soc, soc_std : float
        State of charge within the usable window, 0…1.
    string_soc, string_soc_std : ndarray, shape (n_strings,)
        The same for each string alone.
    remaining_charge_ah, remaining_charge_std_ah : float
        Charge until the usable window is empty [Ah].
    remaining_energy_wh, remaining_energy_std_wh : float
        Energy until then at open-circuit voltage [Wh].
    capacity_ah : float
        Charge of the whole usable window, with the present imbalance [Ah].
    """

    soc: float
    soc_std: float
    string_soc: FloatArray
    string_soc_std: FloatArray
    remaining_charge_ah: float
    remaining_charge_std_ah: float
    remaining_energy_wh: float
    remaining_energy_std_wh: float
    capacity_ah: float


def aggregate(
    model: CellModel,
    cell_soc: ArrayLike,
    cell_soc_std: ArrayLike,
    capacity_ah: ArrayLike,
    temperature_degc: ArrayLike,
    *,
    n_strings: int = 1,
    usable_min: float = 0.0,
    usable_max: float = 1.0,
) -> PackSoc:
    """Compute the figures of a pack.

    Parameters
    ----------
    model : CellModel
        The cell.
    cell_soc, cell_soc_std : array_like, shape (n_cells,)
        String after string, each from its negative end.
    capacity_ah : array_like, shape () or (n_cells,)
        Capacity of each cell of the series connection, that is of all its parallel elements together [Ah].
    temperature_degc : array_like, shape () or (n_cells,)
        Cell temperature [°C]; NaN counts as 25 °C (it hardly moves the OCV).
    n_strings : int
        Strings in parallel, of equal length.
    usable_min, usable_max : float
        Part of the charge that is offered as 0 to 100 %.

    Returns
    -------
    PackSoc

    Raises
    ------
    ValueError
        The cells do not divide into the strings, or the window is empty.
    """
    z = np.asarray(cell_soc, float)
    if z.ndim != 1 or len(z) == 0 or n_strings < 1 or len(z) % n_strings:
        raise ValueError(f"{z.shape} cells do not divide into {n_strings} strings")
    if not usable_min < usable_max:
        raise ValueError(f"usable window {usable_min}…{usable_max} is empty")
    shape = (n_strings, len(z) // n_strings)
    z = z.reshape(shape)
    std = np.broadcast_to(np.asarray(cell_soc_std, float), (z.size,)).reshape(shape)
    q = np.broadcast_to(np.asarray(capacity_ah, float), (z.size,)).reshape(shape)
    temperature = np.broadcast_to(np.asarray(temperature_degc, float), (z.size,)).reshape(shape)
    temperature = np.where(np.isfinite(temperature), temperature, 25.0)

    strings = np.arange(n_strings)
    if np.isfinite(z).all():
        empty_first = np.argmin(z * q, axis=1)
        full_first = np.argmin((1.0 - z) * q, axis=1)
    else:
        empty_first = full_first = np.zeros(n_strings, int)
        z = np.where(np.isfinite(z).all(axis=1, keepdims=True), z, np.nan)
    charge = (z * q)[strings, empty_first]
    room = ((1.0 - z) * q)[strings, full_first]
    charge_std = (std * q)[strings, empty_first]
    room_std = (std * q)[strings, full_first]

    span = usable_max - usable_min

    def within(
        charge_ah: FloatArray, room_ah: FloatArray, d_charge: FloatArray, d_room: FloatArray
    ) -> list[FloatArray]:
        # a string with an empty and a full cell at once can give and take nothing: it counts as empty
        total = np.maximum(charge_ah + room_ah, 1e-9)
        raw = charge_ah / total
        # errors of cells stem mostly from one current sensor and one model: they add up, they do not cancel
        raw_std = (room_ah * d_charge + charge_ah * d_room) / total**2
        return [np.clip((raw - usable_min) / span, 0.0, 1.0), raw_std / span, raw]

    string_soc, string_std, _ = within(charge, room, charge_std, room_std)
    soc, soc_std, raw = (
        float(v[0]) for v in within(*(np.array([v.sum()]) for v in (charge, room, charge_std, room_std)))
    )
    capacity = float((charge + room).sum())
    remaining = max((raw - usable_min) * capacity, 0.0) if np.isfinite(raw) else float("nan")

    # every string gives its part of the charge; each cell of it moves by that charge through its own OCV
    total_charge = max(float(charge.sum()), 1e-12)
    taken = (remaining * charge / total_charge)[:, None] / q
    points = z[..., None] - taken[..., None] * (0.5 + 0.5 * _NODES)
    ocv = model.ocv(np.nan_to_num(points, nan=0.5), temperature[..., None], DISCHARGE)
    energy_ah_v = (ocv * (0.5 * _WEIGHTS)).sum(axis=-1) * taken * q
    energy = float(energy_ah_v.sum()) if np.isfinite(remaining) else float("nan")
    low_v = float(model.ocv(np.nan_to_num(z, nan=0.5) - np.nan_to_num(taken), temperature, DISCHARGE).mean())
    charge_error = float(charge_std.sum())
    return PackSoc(
        soc=soc,
        soc_std=soc_std,
        string_soc=string_soc,
        string_soc_std=string_std,
        remaining_charge_ah=remaining,
        remaining_charge_std_ah=charge_error,
        remaining_energy_wh=energy,
        remaining_energy_std_wh=charge_error * low_v * shape[1],
        capacity_ah=capacity * span,
    )


class DisplayedSoc:
    """State of charge to show to people: follows the estimate, never steps, and is 0 before the pack is
    empty.

    Parameters
    ----------
    reserve : float
        Estimated SoC at which 0 is shown.
    slew_per_s : float
        Rate at which a difference to the estimate is worked off [1/s].
    fastest_per_s : float
        Rate that is never exceeded [1/s].
    """

    def __init__(
        self, reserve: float = 0.02, slew_per_s: float = 0.001, fastest_per_s: float = 0.005
    ) -> None:
        if not 0.0 <= reserve < 1.0:
            raise ValueError(f"reserve is {reserve}: it must be from 0 to below 1")
        self._reserve = reserve
        self._slew = slew_per_s
        self._fastest = fastest_per_s
        self._target = float("nan")
        self._shown = float("nan")

    def resume(self, shown: float) -> None:
        """Go on from what was shown before a restart, 0…1."""
        self._target = self._shown = shown

    def step(self, soc: float, dt_s: float) -> float:
        """Give the SoC to show, 0…1; NaN until the first estimate.

        Parameters
        ----------
        soc : float
            Estimated SoC of the pack; NaN keeps what is shown.
        dt_s : float
            Time since the last step [s].
        """
        if not np.isfinite(soc):
            return self._shown
        target = min(max((soc - self._reserve) / (1.0 - self._reserve), 0.0), 1.0)
        if not np.isfinite(self._shown):
            self._target = self._shown = target
            return target
        moved = target - self._target
        if moved < 0.0 and self._shown > self._target > 0.0:
            # too much is shown: fall faster by as much as makes both reach 0 together
            moved *= self._shown / self._target
        self._target = target
        wanted = self._shown + moved
        dt = max(dt_s, 0.0) if np.isfinite(dt_s) else 0.0
        wanted += min(max(target - wanted, -self._slew * dt), self._slew * dt)
        limit = self._fastest * dt
        self._shown = min(max(self._shown + min(max(wanted - self._shown, -limit), limit), 0.0), 1.0)
        return self._shown
