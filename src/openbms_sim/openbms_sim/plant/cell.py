"""Electrical behaviour of many cells at once: two RC elements, hysteresis, self-discharge.

All arrays have one entry a cell; current is positive when charging.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["NMC_18650", "CellBank", "CellParameters", "Spread"]

FloatArray = NDArray[np.float64]

_GAS_J_PER_MOL_K = 8.314462618
_KELVIN = 273.15
_SOC_LEAST, _SOC_MOST = -0.05, 1.10


@dataclass(frozen=True)
class CellParameters:
    """Parameters of one type of cell at 25 °C.

    Notes
    -----
    The default values describe the LG 18650HG2 (NMC, 3.0 Ah). Read off the open measurements of Kollmeyer
    et al. (2020, doi:10.17632/cp3473x7xv.3, CC BY 4.0) by other means than the estimators' fit: the OCV is
    the mean of the C/20 discharge and charge curve at the same charge (25 °C); R0 is the voltage step 0.2 s
    after the edge of an HPPC pulse, R1 what follows within 10 s, R2 an assumption for what follows within
    minutes. Resistances follow Arrhenius; the activation energies are those between the HPPC tests at
    25 °C (17 and 10 mΩ in the middle of the SoC range) and -10 °C (60 and 22 mΩ).
    """

    capacity_ah: float = 2.778
    ocv_soc: tuple[float, ...] = (
        0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6,
        0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 1.0,
    )  # fmt: skip
    ocv_v: tuple[float, ...] = (
        2.879, 3.012, 3.093, 3.153, 3.233, 3.299, 3.359, 3.439, 3.502, 3.545, 3.596, 3.631, 3.661, 3.697,
        3.740, 3.789, 3.844, 3.893, 3.933, 3.978, 4.030, 4.072, 4.091, 4.115, 4.141, 4.188,
    )  # fmt: skip
    hysteresis_v: float = 0.009
    """Half of the gap between the branches [V]; the C/20 gap less its ohmic part."""
    hysteresis_soc: float = 0.03
    """Charge, as a part of the capacity, that carries the cell 63 % of the way to the other branch."""
    r0_ohm: float = 0.0165
    r1_ohm: float = 0.0090
    tau1_s: float = 3.0
    r2_ohm: float = 0.0110
    tau2_s: float = 60.0
    shape_soc: tuple[float, ...] = (0.0, 0.03, 0.07, 0.13, 0.24, 0.5, 0.7, 0.9, 1.0)
    r0_shape: tuple[float, ...] = (1.65, 1.45, 1.28, 1.15, 1.07, 1.03, 1.0, 1.02, 1.12)
    """R0 over SoC, as a multiple of ``r0_ohm``."""
    rc_shape: tuple[float, ...] = (3.2, 2.4, 1.9, 1.4, 1.0, 1.0, 1.0, 1.05, 1.2)
    """R1 and R2 over SoC, as a multiple."""
    activation_r0_j_per_mol: float = 22_500.0
    activation_rc_j_per_mol: float = 15_000.0
    self_discharge_ohm: float = 40_000.0
    """About 2 % of the charge a month."""

    def scaled(self, capacity_ah: float) -> CellParameters:
        """Give these for another capacity: more of the same electrodes side by side.

        Parameters
        ----------
        capacity_ah : float
            Capacity, of a larger cell or of several cells in parallel [Ah].

        Returns
        -------
        CellParameters
            Resistances (and the leak) in inverse proportion to the capacity, all else as it is.
        """
        smaller = self.capacity_ah / capacity_ah
        return replace(
            self,
            capacity_ah=capacity_ah,
            r0_ohm=self.r0_ohm * smaller,
            r1_ohm=self.r1_ohm * smaller,
            r2_ohm=self.r2_ohm * smaller,
            self_discharge_ohm=self.self_discharge_ohm * smaller,
        )


NMC_18650 = CellParameters()
"""The cell of the demonstration pack."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation between the cells of a pack (of their mean, or of SoC)."""

    capacity: float = 0.008
    resistance: float = 0.03
    soc: float = 0.004
    self_discharge: float = 0.3


@dataclass
class CellBank:
    """State and parameters of ``count`` cells.

    Parameters
    ----------
    count : int
        Number of cells.
    soc : float
        Mean state of charge at the start, 0 … 1.
    seed : int
        Of the spread between cells; equal seeds give equal packs.
    spread : Spread
        How far the cells differ; ``Spread(0, 0, 0, 0)`` for equal cells.
    parameters : CellParameters
        Type of the cell.
    """

    count: int
    soc_mean: float
    seed: int = 0
    spread: Spread = field(default_factory=Spread)
    parameters: CellParameters = NMC_18650
    soc: FloatArray = field(init=False)
    capacity_ah: FloatArray = field(init=False)
    resistance_factor: FloatArray = field(init=False)
    leak_ohm: FloatArray = field(init=False)
    rc1_v: FloatArray = field(init=False)
    rc2_v: FloatArray = field(init=False)
    hysteresis: FloatArray = field(init=False)
    heat_w: FloatArray = field(init=False)
    lost_charge_ah: FloatArray = field(init=False)
    """Charge that a full or empty cell could not take or give (side reactions)."""

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)

        def spread(deviation: float) -> FloatArray:
            return np.asarray(np.clip(rng.standard_normal(self.count), -2.5, 2.5) * deviation, float)

        p = self.parameters
        self.capacity_ah = p.capacity_ah * (1.0 + spread(self.spread.capacity))
        self.resistance_factor = 1.0 + spread(self.spread.resistance)
        self.soc = np.clip(self.soc_mean + spread(self.spread.soc), 0.0, 1.0)
        self.leak_ohm = p.self_discharge_ohm * np.exp(spread(self.spread.self_discharge))
        self.rc1_v, self.rc2_v, self.hysteresis, self.heat_w, self.lost_charge_ah = np.zeros((5, self.count))
        inner_soc, inner_v = np.asarray(p.ocv_soc), np.asarray(p.ocv_v)
        # Beyond empty and full the voltage runs away: 20 V and 4 V for a change of SoC by one.
        self._soc_axis = np.concatenate(([_SOC_LEAST], inner_soc, [_SOC_MOST]))
        self._ocv_axis = np.concatenate(
            ([inner_v[0] + 20.0 * _SOC_LEAST], inner_v, [inner_v[-1] + 4.0 * (_SOC_MOST - 1.0)])
        )
        steps = np.diff(self._soc_axis) * (self._ocv_axis[1:] + self._ocv_axis[:-1]) / 2.0
        self._energy_axis = np.concatenate(([0.0], np.cumsum(steps)))
        self._shape_soc = np.asarray(p.shape_soc)
        self._r0_shape, self._rc_shape = np.asarray(p.r0_shape), np.asarray(p.rc_shape)

    def ocv_v(self) -> FloatArray:
        """Open-circuit voltage without hysteresis [V], shape (count,)."""
        return np.interp(self.soc, self._soc_axis, self._ocv_axis)

    def emf_v(self) -> FloatArray:
        """Voltage behind R0 [V]: what stands at the terminals the moment no current flows, shape (count,)."""
        return self.ocv_v() + self.parameters.hysteresis_v * self.hysteresis + self.rc1_v + self.rc2_v

    def r0_ohm(self, core_degc: FloatArray) -> FloatArray:
        """Ohmic resistance [Ω] at this core temperature [°C], shape (count,)."""
        p = self.parameters
        cold = self._arrhenius(core_degc, p.activation_r0_j_per_mol)
        return p.r0_ohm * self.resistance_factor * cold * np.interp(self.soc, self._shape_soc, self._r0_shape)

    @staticmethod
    def _arrhenius(core_degc: FloatArray, activation_j_per_mol: float) -> FloatArray:
        kelvin = np.clip(core_degc, -40.0, 90.0) + _KELVIN
        return np.asarray(np.exp(activation_j_per_mol / _GAS_J_PER_MOL_K * (1.0 / kelvin - 1.0 / 298.15)))

    def stored_energy_j(self) -> float:
        """Energy in the cells' chemistry [J], counted from SoC -0.05; for energy balances."""
        index = np.searchsorted(self._soc_axis, self.soc, side="right") - 1
        rest = (self.soc - self._soc_axis[index]) * (self._ocv_axis[index] + self.ocv_v()) / 2.0
        return float(np.sum(3600.0 * self.capacity_ah * (self._energy_axis[index] + rest)))

    def step(self, current_a: FloatArray, core_degc: FloatArray, dt_s: float) -> None:
        """Let a constant current flow for a time.

        Parameters
        ----------
        current_a : ndarray, shape (count,)
            Current through the terminals of each cell, without its own self-discharge [A].
        core_degc : ndarray, shape (count,)
            Core temperature of each cell [°C].
        dt_s : float
            Duration [s]; the RC elements are solved exactly for it.
        """
        p = self.parameters
        emf = self.emf_v()
        inner_a = current_a - emf / self.leak_ohm
        factor = self.resistance_factor * self._arrhenius(core_degc, p.activation_rc_j_per_mol)
        factor = factor * np.interp(self.soc, self._shape_soc, self._rc_shape)
        r0 = self.r0_ohm(core_degc)
        decay1, decay2 = np.exp(-dt_s / p.tau1_s), np.exp(-dt_s / p.tau2_s)
        rc1_before, rc2_before = self.rc1_v, self.rc2_v
        self.rc1_v = rc1_before * decay1 + inner_a * p.r1_ohm * factor * (1.0 - decay1)
        self.rc2_v = rc2_before * decay2 + inner_a * p.r2_ohm * factor * (1.0 - decay2)
        share = inner_a * (dt_s / 3600.0) / self.capacity_ah
        way = np.exp(-np.abs(share) / p.hysteresis_soc)
        self.hysteresis = self.hysteresis * way + np.sign(inner_a) * (1.0 - way)
        wanted = self.soc + share
        self.soc = np.clip(wanted, _SOC_LEAST, _SOC_MOST)
        self.lost_charge_ah = self.lost_charge_ah + (wanted - self.soc) * self.capacity_ah
        # What goes in and is not stored in the chemistry leaves as heat (the RC elements stand for slow
        # diffusion and charge transfer: their energy is tiny and counted as heat when it is put in).
        polarisation = 0.5 * (rc1_before + self.rc1_v + rc2_before + self.rc2_v)
        polarisation = polarisation + p.hysteresis_v * self.hysteresis
        self.heat_w = inner_a * polarisation + current_a * current_a * r0 + emf * emf / self.leak_ohm
