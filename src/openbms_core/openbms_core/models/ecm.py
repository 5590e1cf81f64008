"""Equivalent circuit of a cell: OCV with hysteresis, saturating series resistance, two RC pairs.

With the current ``i`` positive when charging::

    dz/dt  = eta·i / Q                                   (eta below 1 only while charging)
    di1/dt = (i - i1)/tau1,   di2/dt = (i - i2)/tau2     (currents through the resistors of the RC pairs)
    dh     = dz / w, held within -1…1                    (-1: discharge branch, +1: charge branch)
    v = OCV(z, T, h) + (R0 - Rk)·i + Rk·ik·asinh(i/ik) + R1·i1 + R2·i2

Sources: G. L. Plett, *Battery Management Systems*, vol. I, Artech 2015, ch. 2 (RC pairs, SoC-dependent
tables, sampled with ``exp(-dt/tau)``); the hysteresis is the play operator (M. Brokate, J. Sprekels,
*Hysteresis and Phase Transitions*, Springer 1996, ch. 2), whose small loops stay small; asinh is the
inverted Butler-Volmer equation with equal transfer coefficients (J. Newman, K. Thomas-Alyea,
*Electrochemical Systems*, 3rd ed., Wiley 2004, eq. 8.24).

Between temperature rows resistances and time constants follow Arrhenius (logarithm linear in 1/T). Beyond
the rows resistances follow the activation energy of the file down to -40 °C and up to 70 °C and are
constant further out, OCV and time constants keep the outermost row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.cell import CellFile
from openbms_core.models.pchip import pchip

__all__ = ["AVERAGE", "CHARGE", "DISCHARGE", "CellModel", "CellParameters"]

FloatArray = NDArray[np.float64]

DISCHARGE, AVERAGE, CHARGE = -1.0, 0.0, 1.0
"""Values of the hysteresis state ``direction``."""

GAS_CONSTANT_J_PER_MOL_K = 8.314462618
KELVIN = 273.15
_SOC_FIRST, _SOC_LAST, _SOC_COUNT = -0.05, 1.05, 441
_TEMPERATURE_FIRST, _TEMPERATURE_LAST, _TEMPERATURE_COUNT = -40.0, 70.0, 89
_PER_SOC = (_SOC_COUNT - 1) / (_SOC_LAST - _SOC_FIRST)
_PER_KELVIN = (_TEMPERATURE_COUNT - 1) / (_TEMPERATURE_LAST - _TEMPERATURE_FIRST)
_CORNERS = np.array([0, 1, _SOC_COUNT, _SOC_COUNT + 1])
_NEGLIGIBLE_OHM = 1e-7
_CHORD_SOC = 0.02

_COLUMNS = (
    "ocv_v",
    "half_gap_v",
    "docv_dsoc_v",
    "dhalf_gap_dsoc_v",
    "r0_ohm",
    "kinetic_resistance_ohm",
    "kinetic_current_a",
    "r1_ohm",
    "tau1_s",
    "r2_ohm",
    "tau2_s",
    "slow_std_v",
    "resistance_relative_std",
    "pair_relative_std",
    "chord_v",
)


SPECIMEN_RELATIVE_STD = 0.15
"""Another specimen than the one that was tested, or the same one some years later: its resistance differs by
so much more than tests of one cell tell."""


@dataclass(frozen=True)
class CellParameters:
    """All parameters at given states of charge and temperatures; every array has the shape of the
    question.
    """

    ocv_v: FloatArray
    """Open-circuit voltage half-way between both branches [V]."""
    half_gap_v: FloatArray
    """Half the gap between the charge and discharge branch [V]."""
    docv_dsoc_v: FloatArray
    """Slope of ``ocv_v`` [V per unit SoC]."""
    dhalf_gap_dsoc_v: FloatArray
    r0_ohm: FloatArray
    """Instantaneous resistance at small current [Ω], the saturating part included."""
    kinetic_resistance_ohm: FloatArray
    kinetic_current_a: FloatArray
    r1_ohm: FloatArray
    tau1_s: FloatArray
    r2_ohm: FloatArray
    tau2_s: FloatArray
    slow_std_v: FloatArray
    """Standard deviation of the slow model error [V]."""
    resistance_relative_std: FloatArray
    """Standard deviation of the error of the instantaneous resistance of any specimen, relative."""
    pair_relative_std: FloatArray
    """Standard deviation of the error of the currents in the RC pairs, relative to the current."""
    chord_v: FloatArray
    """Slope of ``ocv_v`` over ±2 % SoC [V per unit SoC]: for estimators, which do not know the SoC better."""

    def instant_v(self, current_a: ArrayLike) -> FloatArray:
        """Overpotential that follows the current at once [V]."""
        i = np.asarray(current_a, float)
        saturating = self.kinetic_current_a * np.arcsinh(i / self.kinetic_current_a) - i
        return np.asarray(self.r0_ohm * i + self.kinetic_resistance_ohm * saturating)

    def instant_slope_ohm(self, current_a: ArrayLike) -> FloatArray:
        """Slope of :meth:`instant_v` over the current [Ω]."""
        x = np.asarray(current_a, float) / self.kinetic_current_a
        return np.asarray(self.r0_ohm + self.kinetic_resistance_ohm * (1.0 / np.sqrt(1.0 + x * x) - 1.0))


def _arrhenius(
    rows: FloatArray, temperatures: FloatArray, grid: FloatArray, cold: float, hot: float
) -> FloatArray:
    """Interpolate positive rows (k, …) over 1/T; beyond them follow the activation energies [J/mol]."""
    inverse, wanted = 1.0 / (temperatures + KELVIN), 1.0 / (grid + KELVIN)
    logs = np.log(np.maximum(rows, _NEGLIGIBLE_OHM))
    inside = np.clip(wanted, inverse[-1], inverse[0])
    upper = np.clip(np.searchsorted(-inverse, -inside, side="left"), 1, max(len(rows) - 1, 1))
    if len(rows) == 1:
        found = np.repeat(logs, len(grid), axis=0)
    else:
        share = (inside - inverse[upper - 1]) / (inverse[upper] - inverse[upper - 1])
        share = share.reshape(-1, *([1] * (rows.ndim - 1)))
        found = logs[upper - 1] * (1 - share) + logs[upper] * share
    beyond = cold * np.maximum(wanted - inverse[0], 0.0) + hot * np.minimum(wanted - inverse[-1], 0.0)
    return np.asarray(np.exp(found + beyond.reshape(-1, *([1] * (rows.ndim - 1))) / GAS_CONSTANT_J_PER_MOL_K))


def _linear(rows: FloatArray, temperatures: FloatArray, grid: FloatArray) -> FloatArray:
    """Interpolate rows (k, n) linearly over temperature, constant beyond them."""
    if len(rows) == 1:
        return np.repeat(rows, len(grid), axis=0)
    t = np.clip(grid, temperatures[0], temperatures[-1])
    upper = np.clip(np.searchsorted(temperatures, t), 1, len(rows) - 1)
    share = ((t - temperatures[upper - 1]) / (temperatures[upper] - temperatures[upper - 1]))[:, None]
    return np.asarray(rows[upper - 1] * (1 - share) + rows[upper] * share)


def _over_soc(breakpoints: FloatArray, table: FloatArray, grid: FloatArray) -> FloatArray:
    """Interpolate (k, m) rows linearly over SoC, constant beyond."""
    return np.stack([np.interp(grid, breakpoints, row) for row in table])


@dataclass(frozen=True)
class CellModel:
    """The equations of one type of cell over tables on a uniform grid (bilinear lookup, no search).

    Build with :meth:`from_file`. All methods are vectorised: SoC and temperature broadcast against each
    other. Temperatures are in °C; SoC outside -0.05…1.05 and temperatures outside -40…70 °C are clipped.
    """

    name: str
    chemistry: str
    capacity_ah: float
    coulombic_efficiency: float
    hysteresis_soc: float
    voltage_min_v: float
    voltage_max_v: float
    correlation_v: float
    correlation_time_s: float
    fast_overpotential_ratio: float
    shared_resistance_error: float
    fitted_temperature_range_degc: tuple[float, float]
    _table: FloatArray = field(repr=False)

    @classmethod
    def from_file(cls, cell: CellFile) -> CellModel:
        """Compute the lookup tables of a cell file."""
        soc = np.linspace(_SOC_FIRST, _SOC_LAST, _SOC_COUNT)
        grid = np.linspace(_TEMPERATURE_FIRST, _TEMPERATURE_LAST, _TEMPERATURE_COUNT)
        tables: dict[str, FloatArray] = {}

        axis = np.asarray(cell.ocv.soc_breakpoints)
        temperatures = np.asarray(cell.ocv.temperature_breakpoints_degc)
        down = np.asarray(cell.ocv.discharge_v)
        up = down if cell.ocv.charge_v is None else np.asarray(cell.ocv.charge_v)
        inside = np.clip(soc, 0.0, 1.0)
        for name, slope_name, rows in (
            ("ocv_v", "docv_dsoc_v", (up + down) / 2),
            ("half_gap_v", "dhalf_gap_dsoc_v", (up - down) / 2),
        ):
            values, slope = pchip(axis, rows, inside)
            # a straight line goes on beyond empty and full
            tables[name] = _linear(values + slope * (soc - inside), temperatures, grid)
            tables[slope_name] = _linear(slope, temperatures, grid)

        half = np.clip(inside + _CHORD_SOC, 0.0, 1.0), np.clip(inside - _CHORD_SOC, 0.0, 1.0)
        above, below = (pchip(axis, (up + down) / 2, at)[0] for at in half)
        tables["chord_v"] = _linear((above - below) / (half[0] - half[1]), temperatures, grid)

        impedance = cell.impedance
        axis = np.asarray(impedance.soc_breakpoints)
        temperatures = np.asarray(impedance.temperature_breakpoints_degc)
        cold, hot = impedance.activation_energy_cold_j_per_mol, impedance.activation_energy_hot_j_per_mol
        for name in ("r0_ohm", "r1_ohm", "r2_ohm", "tau1_s", "tau2_s"):
            rows = _over_soc(axis, np.asarray(getattr(impedance, name)), soc)
            resistance = name.endswith("_ohm")
            tables[name] = _arrhenius(
                rows, temperatures, grid, cold if resistance else 0, hot if resistance else 0
            )
        if impedance.kinetic_resistance_ohm is None or impedance.kinetic_current_a is None:
            tables["kinetic_resistance_ohm"] = np.zeros((len(grid), len(soc)))
            tables["kinetic_current_a"] = np.ones((len(grid), len(soc)))
        else:
            rows = _over_soc(axis, np.asarray(impedance.kinetic_resistance_ohm), soc)
            # the same grid rule as r0_ohm keeps the part below the whole; current x resistance is a constant
            # voltage (RT/F), so that the current follows the opposite activation energy
            whole = _over_soc(axis, np.asarray(impedance.r0_ohm), soc)
            share = _linear(rows / whole, temperatures, grid)
            tables["kinetic_resistance_ohm"] = share * tables["r0_ohm"]
            current = np.asarray(impedance.kinetic_current_a)[:, None]
            tables["kinetic_current_a"] = np.repeat(
                _arrhenius(current, temperatures, grid, -cold, -hot), len(soc), axis=1
            )

        error = cell.model_error
        temperatures = np.asarray(error.temperature_breakpoints_degc)
        rows = _over_soc(np.asarray(error.soc_breakpoints), np.asarray(error.slow_std_v), soc)
        tables["slow_std_v"] = _arrhenius(rows, temperatures, grid, cold, 0.0)
        outside = np.maximum(temperatures[0] - grid, 0) + np.maximum(grid - temperatures[-1], 0)
        for name in ("resistance_relative_std", "pair_relative_std"):
            relative = _linear(np.asarray(getattr(error, name))[:, None], temperatures, grid)
            if name == "resistance_relative_std":
                relative = np.hypot(relative, SPECIMEN_RELATIVE_STD)
            # extrapolation: 1 % more uncertainty for every kelvin beyond the fitted range
            tables[name] = np.repeat(relative + 0.01 * outside[:, None], len(soc), axis=1)

        stacked = np.stack([tables[name] for name in _COLUMNS], axis=-1)
        stacked.setflags(write=False)
        return cls(
            name=cell.name,
            chemistry=cell.chemistry,
            capacity_ah=cell.capacity_ah,
            coulombic_efficiency=cell.coulombic_efficiency,
            hysteresis_soc=cell.ocv.hysteresis_soc,
            voltage_min_v=cell.voltage_min_v,
            voltage_max_v=cell.voltage_max_v,
            correlation_v=error.correlation_v,
            correlation_time_s=error.correlation_time_s,
            fast_overpotential_ratio=error.fast_overpotential_ratio,
            shared_resistance_error=error.shared_resistance_error,
            fitted_temperature_range_degc=(
                impedance.temperature_breakpoints_degc[0],
                impedance.temperature_breakpoints_degc[-1],
            ),
            _table=stacked.reshape(-1, len(_COLUMNS)),
        )

    @property
    def table(self) -> FloatArray:
        """All parameters on the uniform grid, shape (temperatures x SoC, parameters), for compiled loops."""
        return self._table

    @property
    def axes(self) -> tuple[float, ...]:
        """Grid of :attr:`table`: first SoC, steps per unit, number; first temperature, per kelvin, number."""
        return (
            _SOC_FIRST,
            _PER_SOC,
            float(_SOC_COUNT),
            _TEMPERATURE_FIRST,
            _PER_KELVIN,
            float(_TEMPERATURE_COUNT),
        )

    def parameters(self, soc: ArrayLike, temperature_degc: ArrayLike) -> CellParameters:
        """Look all parameters up at once.

        Parameters
        ----------
        soc, temperature_degc : array_like
            State of charge (0…1) and cell temperature [°C]; broadcast against each other.

        Returns
        -------
        CellParameters
        """
        x = (np.asarray(soc, float) - _SOC_FIRST) * _PER_SOC
        y = (np.asarray(temperature_degc, float) - _TEMPERATURE_FIRST) * _PER_KELVIN
        x, y = np.broadcast_arrays(
            np.minimum(np.maximum(x, 0.0), _SOC_COUNT - 1.0),
            np.minimum(np.maximum(y, 0.0), _TEMPERATURE_COUNT - 1.0),
        )
        column = np.minimum(x.astype(np.intp), _SOC_COUNT - 2)
        row = np.minimum(y.astype(np.intp), _TEMPERATURE_COUNT - 2)
        right, above = x - column, y - row
        # the four corners around each point, (..., 4, columns), weighted in one product
        corners = self._table.take((row * _SOC_COUNT + column)[..., None] + _CORNERS, axis=0)
        weights = np.empty((*x.shape, 1, 4))
        weights[..., 0, 3] = both = right * above
        weights[..., 0, 2] = above - both
        weights[..., 0, 1] = right - both
        weights[..., 0, 0] = 1.0 - right - above + both
        values = np.matmul(weights, corners)[..., 0, :]
        return CellParameters(*(values.T if values.ndim <= 2 else np.moveaxis(values, -1, 0)))

    def ocv(self, soc: ArrayLike, temperature_degc: ArrayLike, direction: ArrayLike = AVERAGE) -> FloatArray:
        """Open-circuit voltage [V]; ``direction`` from -1 (discharge branch) to +1 (charge branch)."""
        found = self.parameters(soc, temperature_degc)
        return np.asarray(found.ocv_v + found.half_gap_v * np.asarray(direction, float))

    def docv_dsoc(
        self, soc: ArrayLike, temperature_degc: ArrayLike, direction: ArrayLike = AVERAGE
    ) -> FloatArray:
        """Slope of the open-circuit voltage [V per unit SoC]."""
        found = self.parameters(soc, temperature_degc)
        return np.asarray(found.docv_dsoc_v + found.dhalf_gap_dsoc_v * np.asarray(direction, float))

    def soc_from_ocv(
        self, voltage_v: ArrayLike, temperature_degc: ArrayLike, direction: ArrayLike = AVERAGE
    ) -> FloatArray:
        """Invert the open-circuit voltage by bisection.

        Parameters
        ----------
        voltage_v, temperature_degc, direction : array_like
            Rested voltage [V], temperature [°C], branch; broadcast. NaN gives NaN.

        Returns
        -------
        ndarray
            State of charge, within 0…1.
        """
        v, t, h = np.broadcast_arrays(
            np.asarray(voltage_v, float), np.asarray(temperature_degc, float), np.asarray(direction, float)
        )
        low, high = np.zeros(v.shape), np.ones(v.shape)
        for _ in range(24):
            middle = (low + high) / 2
            below = self.ocv(middle, t, h) < v
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(np.where(np.isfinite(v), (low + high) / 2, np.nan))

    def r0(self, soc: ArrayLike, temperature_degc: ArrayLike) -> FloatArray:
        """Instantaneous resistance at small current [Ω]."""
        return self.parameters(soc, temperature_degc).r0_ohm

    def resistance(self, soc: ArrayLike, temperature_degc: ArrayLike) -> FloatArray:
        """Total resistance at small, long-lasting current, R0 + R1 + R2 [Ω]."""
        found = self.parameters(soc, temperature_degc)
        return np.asarray(found.r0_ohm + found.r1_ohm + found.r2_ohm)
