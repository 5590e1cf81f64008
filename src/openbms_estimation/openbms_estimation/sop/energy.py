"""State of energy: what a pack still gives at a stated power until its first cell is empty.

The cell model is discharged step by step, as the load would do it: at constant power the current rises as the
voltage falls, the resistances take their part, the cells warm up, and the end is where the weakest cell
reaches its lowest voltage (or the end of the usable window), not where the charge ends. ``SoC x capacity x
nominal voltage`` knows none of this; in the cold and at high power it promises what is not there.

A load that varies costs more than its mean, by the losses of its variance, and ends earlier, by the voltage
of its peaks. Both are part of the load. The interval comes from the same simulation with everything that is
uncertain moved by one standard deviation, one after the other.

Source: G. L. Plett, *Battery Management Systems*, vol. II, Artech 2016, ch. 1 (energy as an integral over a
future load rather than a property of the cell).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.cell import DepletionTable, ThermalProperties
from openbms_core.models.ecm import DISCHARGE, CellModel
from openbms_core.models.two_node import CORE_TIME_CONSTANT_S

__all__ = ["Cells", "Energy", "Load", "RecentLoad", "energy_to_cutoff"]

FloatArray = NDArray[np.float64]

COARSE_SOC, FINER = 0.025, 8
MOST_STEPS = 200
LEAST_POWER_C = 0.02
"""Smaller loads are taken as this part of the capacity per hour: nothing lasts for ever."""
COOLING_TIME_S = 2000.0
"""Time constant of a cell towards its surroundings, where the cell file does not say; doubted by as much."""

DEPLETION_FROM_SOC, DEPLETION_WHOLE_SOC = 0.45, 0.15
"""The knee moves; above the first nothing does."""
DEPLETION_STD = 0.25
PEAK_S = 2.0
"""So long a peak of the load lasts."""
EMPTY_SOC = 0.05
"""Where the error of the voltage decides about the end."""


@dataclass(frozen=True)
class Load:
    """A load of the pack.

    Attributes
    ----------
    power_w : float
        Mean, positive when discharging [W].
    std_w : float
        Standard deviation of what varies within a minute or so [W].
    peak_w : float
        Largest power that must be possible until the end [W]; at least the mean.
    """

    power_w: float
    std_w: float = 0.0
    peak_w: float = 0.0


@dataclass(frozen=True)
class Cells:
    """The cells of a pack, in series within each string; every array has the shape (n_cells,), in units of
    the string (a cell is a whole parallel group).

    Attributes
    ----------
    soc, soc_std : ndarray
    capacity_ah : ndarray
        Of the group [Ah].
    temperature_degc : ndarray
    resistance_ratio, resistance_ratio_std : array_like
        Over the cell file's.
    parallel : int
        Cells of the file in each group.
    strings : int
        Equal strings in parallel.
    """

    soc: FloatArray
    soc_std: FloatArray
    capacity_ah: FloatArray
    temperature_degc: FloatArray
    resistance_ratio: ArrayLike = 1.0
    resistance_ratio_std: ArrayLike = 0.05
    parallel: int = 1
    strings: int = 1


@dataclass(frozen=True)
class Energy:
    """What is left.

    Attributes
    ----------
    energy_wh, std_wh : float
        [Wh].
    duration_s : float
        Until then [s].
    charge_ah : float
        Given until then, of the weakest string [Ah].
    cell : int
        The one that ends it.
    """

    energy_wh: float
    std_wh: float
    duration_s: float
    charge_ah: float
    cell: int


@dataclass(frozen=True)
class _Variant:
    """State of the simulation; arrays (variants, strings, series)."""

    soc: FloatArray
    i1_a: FloatArray
    i2_a: FloatArray
    temperature_degc: FloatArray


def energy_to_cutoff(
    model: CellModel,
    cells: Cells,
    load: Load,
    voltage_min_v: float,
    *,
    soc_min: float = 0.0,
    thermal: ThermalProperties | None = None,
    coolant_degc: float = math.nan,
    depletion: DepletionTable | None = None,
) -> Energy:
    """Discharge the model until it is empty.

    Parameters
    ----------
    model : CellModel
    cells : Cells
    load : Load
        Of the whole pack; shared equally by the strings.
    voltage_min_v : float
        No cell shall go below [V].
    soc_min : float
        End of the usable window.
    thermal : ThermalProperties, optional
        Absent: the temperature stays.
    coolant_degc : float
        What the cells are cooled by [°C]; NaN: as warm as they are now.
    depletion : DepletionTable, optional
        How much earlier than the circuit says the end comes.

    Returns
    -------
    Energy
        NaN where a state of charge is unknown.
    """
    if not np.isfinite(cells.soc).all():
        return Energy(math.nan, math.nan, math.nan, math.nan, -1)
    shape = (cells.strings, len(cells.soc) // cells.strings)

    def spread(value: ArrayLike) -> FloatArray:
        return np.broadcast_to(np.asarray(value, float), cells.soc.shape).reshape(shape)

    temperature = np.where(np.isfinite(spread(cells.temperature_degc)), spread(cells.temperature_degc), 25.0)
    slow_std_v = model.parameters(EMPTY_SOC, temperature).slow_std_v
    soc, ratio = spread(cells.soc), spread(cells.resistance_ratio)
    # nominal; SoC lower; resistance higher; voltage lower; other cooling; the end earlier
    socs = np.stack([soc, np.maximum(soc - spread(cells.soc_std), 0.0), soc, soc, soc, soc])
    ratios = np.stack([ratio] * len(socs))
    ratios[2] += spread(cells.resistance_ratio_std)
    lower_v = np.zeros_like(socs)
    lower_v[3] = slow_std_v
    # how a cell is cooled is mostly unknown: then it counts as held, and what warming would bring is doubt
    other = (np.arange(len(socs)) == 4)[:, None, None]
    known = thermal is not None and thermal.surface_to_coolant_k_per_w is not None
    isothermal = other if known else ~other
    depleted = np.where(np.arange(len(socs)) == 5, 1.0 + DEPLETION_STD, 1.0)[:, None, None]

    simulation = _Simulation(
        model=model,
        capacity_ah=spread(cells.capacity_ah),
        ratio=ratios,
        lower_v=lower_v,
        parallel=cells.parallel,
        load=_per_string(load, cells, model),
        voltage_min_v=voltage_min_v,
        soc_min=soc_min,
        thermal=thermal,
        coolant_degc=temperature if math.isnan(coolant_degc) else np.full(shape, coolant_degc),
        isothermal=isothermal,
        depletion=None if depletion is None else _Depletion(depletion, depleted, temperature),
    )
    start = _Variant(socs, np.zeros_like(socs), np.zeros_like(socs), np.broadcast_to(temperature, socs.shape))
    energy, seconds, charge, cell = simulation.run(start)
    total = energy.sum(axis=1)
    weakest = int(energy[0].argmin())
    return Energy(
        energy_wh=float(total[0]),
        std_wh=float(np.sqrt(np.sum((total[1:] - total[0]) ** 2))),
        duration_s=float(seconds[0].min()),
        charge_ah=float(charge[0].min()),
        cell=weakest * shape[1] + int(cell[0, weakest]),
    )


def _per_string(load: Load, cells: Cells, model: CellModel) -> Load:
    series = len(cells.soc) // cells.strings
    nominal_v = float(model.ocv(0.5, 25.0)) * series
    least = LEAST_POWER_C * float(np.min(cells.capacity_ah)) * nominal_v
    mean = max(load.power_w / cells.strings, least)
    return Load(mean, load.std_w / cells.strings, max(load.peak_w / cells.strings, mean))


@dataclass(frozen=True)
class _Simulation:
    """The load, the limits and the cells; see :func:`energy_to_cutoff`."""

    model: CellModel
    capacity_ah: FloatArray
    ratio: FloatArray
    lower_v: FloatArray
    parallel: int
    load: Load
    voltage_min_v: float
    soc_min: float
    thermal: ThermalProperties | None
    coolant_degc: FloatArray
    isothermal: NDArray[np.bool_]
    depletion: _Depletion | None

    def run(self, state: _Variant) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.intp]]:
        """Give energy [Wh], time [s], charge [Ah] and the weakest cell, each (variants, strings)."""
        shape = state.soc.shape[:2]
        seconds, charge = np.zeros(shape), np.zeros(shape)
        step_soc = np.full(shape, COARSE_SOC)
        done = np.zeros(shape, bool)
        voltage_sum = self.model.ocv(state.soc, state.temperature_degc, DISCHARGE).sum(axis=-1)
        room_before = np.full(shape, np.nan)
        weakest = np.zeros(shape, np.intp)
        for _ in range(MOST_STEPS):
            dt, current, after, string_v, room = self._step(state, voltage_sum, step_soc)
            worst = room.min(axis=-1)
            weakest = np.where(done, weakest, room.argmin(axis=-1))
            fine = (worst > 0.0) & ~done
            # past the end: back, in small steps; past it in a small step: the end lies on the line between
            last = ~fine & ~done & (step_soc < COARSE_SOC)
            known = np.isfinite(room_before) & (room_before > worst)
            share = np.where(known, room_before / np.where(known, room_before - worst, 1.0), 0.0)
            part = np.where(fine, 1.0, np.where(last, np.clip(share, 0.0, 1.0), 0.0))
            seconds += part * dt
            charge += part * dt * current / 3600.0
            step_soc = np.where(fine | done, step_soc, COARSE_SOC / FINER)
            done |= last
            if done.all():
                break
            keep = fine[..., None]
            state = _Variant(
                *(
                    np.where(keep, getattr(after, name), getattr(state, name))
                    for name in ("soc", "i1_a", "i2_a", "temperature_degc")
                )
            )
            voltage_sum = np.where(fine, string_v, voltage_sum)
            room_before = np.where(fine, worst, room_before)
        return self.load.power_w * seconds / 3600.0, seconds, charge, weakest

    def _step(
        self, state: _Variant, voltage_sum: FloatArray, step_soc: FloatArray
    ) -> tuple[FloatArray, FloatArray, _Variant, FloatArray, FloatArray]:
        """Discharge by a part of the smallest capacity; give time, current of the string, the new state, its
        voltage and how far each cell is above its end [V].
        """
        load = self.load
        smallest_ah = self.capacity_ah.min(axis=-1)
        current = load.power_w / np.maximum(voltage_sum, 0.1)
        for _ in range(2):
            dt = step_soc * smallest_ah * 3600.0 / current
            each = current[..., None] / self.parallel
            soc = state.soc - (step_soc * smallest_ah)[..., None] / self.capacity_ah
            at = soc
            if self.depletion is not None:
                rate_c = current[..., None] / self.capacity_ah
                at = soc - self.depletion.shift(soc, rate_c)
            p = self.model.parameters(at, state.temperature_degc)
            after = []
            for i_a, tau_s in ((state.i1_a, p.tau1_s), (state.i2_a, p.tau2_s)):
                keep = np.exp(-dt[..., None] / tau_s)
                after.append(keep * i_a + (1.0 - keep) * each)
            fast_ohm = self.ratio * (p.instant_slope_ohm(each))
            eta = self.ratio * (-p.instant_v(-each) + p.r1_ohm * after[0] + p.r2_ohm * after[1])
            ocv = p.ocv_v - p.half_gap_v - self.lower_v
            voltage = ocv - eta
            string_v = voltage.sum(axis=-1)
            # a load that varies loses more than its mean: R·var(i), which the mean current must bring
            varying = load.std_w / np.maximum(string_v, 0.1)
            lost_w = (fast_ohm / self.parallel).sum(axis=-1) * varying**2
            current = (load.power_w + lost_w) / np.maximum(0.5 * (string_v + voltage_sum), 0.1)
        peak = load.peak_w / np.maximum(string_v, 0.1) / self.parallel
        beyond = np.maximum(peak[..., None] - each, 0.0)
        # a peak lasts for seconds, and the pairs feel it as well
        peak_ohm = fast_ohm + self.ratio * (
            p.r1_ohm * -np.expm1(-PEAK_S / p.tau1_s) + p.r2_ohm * -np.expm1(-PEAK_S / p.tau2_s)
        )
        room = np.minimum(voltage - peak_ohm * beyond - self.voltage_min_v, self._window_v(soc))
        heat = each * eta + fast_ohm * (varying[..., None] / self.parallel) ** 2
        return dt, current, _Variant(soc, after[0], after[1], self._warm(state, dt, heat)), string_v, room

    def _window_v(self, soc: FloatArray) -> FloatArray:
        """Distance to the end of the usable window, in volts of no meaning but their sign."""
        if self.soc_min <= 0.0:
            return np.full(soc.shape, np.inf)
        return np.asarray(soc - self.soc_min)

    def _warm(self, state: _Variant, dt_s: FloatArray, heat_w: FloatArray) -> FloatArray:
        if self.thermal is None:
            return state.temperature_degc
        whole = self.thermal.mass_kg * self.thermal.heat_capacity_j_per_kg_k
        out, inside = self.thermal.surface_to_coolant_k_per_w, self.thermal.core_to_surface_k_per_w
        time_s = COOLING_TIME_S if out is None else out * whole
        # the resistances are those of the core, which is warmer than the surface as long as heat flows
        rise_k_per_w = time_s / whole + (CORE_TIME_CONSTANT_S / whole if inside is None else inside)
        end = self.coolant_degc + heat_w * rise_k_per_w
        keep = np.where(self.isothermal, 1.0, np.exp(-dt_s[..., None] / time_s))
        return np.asarray(end * (1.0 - keep) + keep * state.temperature_degc)


class _Depletion:
    """Shift of the knee over temperature and rate; see :class:`openbms_core.cell.DepletionTable`."""

    def __init__(self, table: DepletionTable, factor: FloatArray, first_degc: FloatArray) -> None:
        self._rates = np.log(np.asarray(table.rates_c))
        # as in the tests it comes from, the temperature at the beginning counts
        inverse = -1.0 / (np.asarray(table.temperature_breakpoints_degc) + 273.15)
        self._by_rate = [
            np.interp(-1.0 / (first_degc + 273.15), inverse, column)
            for column in np.asarray(table.shift_soc).T
        ]
        self._factor = factor

    def shift(self, soc: FloatArray, rate_c: FloatArray) -> FloatArray:
        """Give how much lower the SoC is to be looked up; the upper part of the curve stays."""
        by_rate = self._by_rate
        x = np.clip(np.log(rate_c), self._rates[0], self._rates[-1])
        whole = by_rate[0]
        for k in range(1, len(by_rate)):
            share = np.clip((x - self._rates[k - 1]) / (self._rates[k] - self._rates[k - 1]), 0.0, 1.0)
            whole = whole + share * (by_rate[k] - by_rate[k - 1])
        ramp = np.clip((DEPLETION_FROM_SOC - soc) / (DEPLETION_FROM_SOC - DEPLETION_WHOLE_SOC), 0.0, 1.0)
        return np.asarray(self._factor * whole * ramp)


class RecentLoad:
    """Mean, variation and peak of the power that was taken lately.

    Parameters
    ----------
    first : Load
        What is assumed until there was a load.
    memory_s : float
        Time in which what was is forgotten [s].
    minute_s : float
        What varies faster than this is variation, not the mean [s].
    """

    def __init__(self, first: Load, memory_s: float = 900.0, minute_s: float = 60.0) -> None:
        self._memory_s, self._minute_s = memory_s, minute_s
        self._mean_w, self._variance_w2, self._peak_w = first.power_w, first.std_w**2, first.peak_w
        self._slow_w = first.power_w

    @property
    def load(self) -> Load:
        """What is to be expected if it goes on like this."""
        return Load(self._mean_w, math.sqrt(self._variance_w2), max(self._peak_w, self._mean_w))

    def step(self, dt_s: float, power_w: float, *, counts: bool) -> None:
        """Take a power [W, positive when discharging].

        Parameters
        ----------
        dt_s : float
            For which it held [s].
        power_w : float
            NaN: unknown, and nothing is learnt.
        counts : bool
            The pack is in use; while it stands or charges, what was before is kept.
        """
        if not (counts and dt_s > 0.0 and math.isfinite(power_w)):
            return
        slow = math.exp(-dt_s / self._minute_s)
        self._slow_w = slow * self._slow_w + (1.0 - slow) * power_w
        keep = math.exp(-dt_s / self._memory_s)
        self._mean_w = keep * self._mean_w + (1.0 - keep) * power_w
        self._variance_w2 = keep * self._variance_w2 + (1.0 - keep) * (power_w - self._slow_w) ** 2
        self._peak_w = max(power_w, self._mean_w + keep * (self._peak_w - self._mean_w))
