"""Fit the equivalent circuit to test records of one cell at several temperatures.

For given time constants and saturation current the voltage is linear in all tables (OCV, resistances),
which are then found by non-negative least squares with a light penalty on their curvature; only six numbers
for all temperatures are searched (variable projection: G. Golub, V. Pereyra, *Inverse Problems* 19 (2003)
R1). Residuals are weighted by Cauchy's function, so that the few regions that no two-pair circuit explains
(cold and empty) do not bend the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from openbms_estimation.identification.records import Record, rc_current

__all__ = ["FitSettings", "TemperatureFit", "activation_energy_j_per_mol", "fit_cell", "simulate"]

FloatArray = NDArray[np.float64]
GAS_CONSTANT_J_PER_MOL_K = 8.314462618
KELVIN = 273.15


@dataclass(frozen=True)
class FitSettings:
    """Knots and weights of the fit."""

    ocv_soc: tuple[float, ...] = (
        0.0,
        0.01,
        0.02,
        0.035,
        0.05,
        0.075,
        *(k / 40 for k in range(4, 40)),
        0.99,
        1.0,
    )
    resistance_soc: tuple[float, ...] = (
        0,
        0.03,
        0.06,
        0.1,
        0.15,
        0.25,
        0.35,
        0.45,
        0.55,
        0.65,
        0.75,
        0.85,
        0.95,
        1,
    )
    ocv_curvature: float = 4.0
    resistance_curvature: float = 20.0
    least_slope_v: float = 0.05
    """The OCV rises at least this much per unit SoC [V]."""
    scale_v: float = 0.03
    """Residuals well above this lose weight [V]."""
    reference_rows: float = 40.0
    """An OCV of another temperature counts as so many rows at each knot."""
    activation_energy_j_per_mol: float = 35_000.0
    """Carries resistances over the few kelvin of self-heating within a record."""
    search_steps: int = 200


@dataclass(frozen=True)
class TemperatureFit:
    """Tables of one temperature, over the knots of the settings."""

    temperature_degc: float
    ocv_v: FloatArray
    linear_ohm: FloatArray
    kinetic_ohm: FloatArray
    r1_ohm: FloatArray
    r2_ohm: FloatArray
    tau1_s: float
    tau2_s: float
    kinetic_current_a: float

    @property
    def table(self) -> FloatArray:
        """All linear unknowns in the order of the design matrix."""
        return np.concatenate([self.ocv_v, self.linear_ohm, self.kinetic_ohm, self.r1_ohm, self.r2_ohm])


def _hats(values: FloatArray, knots: FloatArray) -> FloatArray:
    """Linear interpolation as a matrix (rows, knots)."""
    values = np.clip(values, knots[0], knots[-1])
    left = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    share = (values - knots[left]) / (knots[left + 1] - knots[left])
    matrix = np.zeros((len(values), len(knots)))
    rows = np.arange(len(values))
    matrix[rows, left] = 1.0 - share
    matrix[rows, left + 1] = share
    return matrix


def _curvature(knots: FloatArray) -> FloatArray:
    """Distance of every inner knot from the line through its neighbours, as a matrix."""
    matrix = np.zeros((len(knots) - 2, len(knots)))
    for row in range(len(knots) - 2):
        before, after = knots[row + 1] - knots[row], knots[row + 2] - knots[row + 1]
        matrix[row, row : row + 3] = -after / (before + after), 1.0, -before / (before + after)
    return matrix


def _design(
    record: Record, rows: NDArray[np.bool_], temperature: float, nonlinear: FloatArray, settings: FitSettings
) -> FloatArray:
    tau1, tau2, kinetic = nonlinear
    heat = settings.activation_energy_j_per_mol / GAS_CONSTANT_J_PER_MOL_K
    warm = np.exp(heat * (1 / (record.temperature_degc[rows] + KELVIN) - 1 / (temperature + KELVIN)))
    ocv = _hats(record.soc[rows], np.array(settings.ocv_soc))
    hats = _hats(record.soc[rows], np.array(settings.resistance_soc)) * warm[:, None]
    current = record.current_a[rows]
    parts = [
        current,
        kinetic * np.arcsinh(current / kinetic),
        rc_current(record, float(tau1))[rows],
        rc_current(record, float(tau2))[rows],
    ]
    return np.hstack([ocv, *(hats * part[:, None] for part in parts)])


def simulate(fit: TemperatureFit, record: Record, settings: FitSettings) -> tuple[FloatArray, FloatArray]:
    """Voltage of the model along a record [V] and the part of it that is overpotential [V]."""
    rows = np.ones(len(record.time_s), bool)
    nonlinear = np.array([fit.tau1_s, fit.tau2_s, fit.kinetic_current_a])
    design = _design(record, rows, fit.temperature_degc, nonlinear, settings)
    count = len(settings.ocv_soc)
    overpotential = design[:, count:] @ fit.table[count:]
    return design[:, :count] @ fit.ocv_v + overpotential, overpotential


def _solve(
    records: Sequence[Record],
    temperature: float,
    nonlinear: FloatArray,
    settings: FitSettings,
    reference_ocv_v: FloatArray | None,
) -> tuple[FloatArray, float]:
    """Find the tables for given time constants; give them and the Cauchy cost."""
    ocv_soc, resistance_soc = np.array(settings.ocv_soc), np.array(settings.resistance_soc)
    n_ocv, n_resistance = len(ocv_soc), len(resistance_soc)
    size = n_ocv + 4 * n_resistance
    matrix = np.vstack([_design(r, r.judged, temperature, nonlinear, settings) for r in records])
    target = np.concatenate([r.voltage_v[r.judged] for r in records])
    weight = np.concatenate([r.weight[r.judged] for r in records])

    # unknowns: first OCV and its increments beyond the least slope; so that "rising" becomes "non-negative"
    change = np.eye(size)
    change[:n_ocv, :n_ocv] = np.tril(np.ones((n_ocv, n_ocv)))
    base = np.zeros(size)
    base[:n_ocv] = settings.least_slope_v * ocv_soc

    penalty = np.zeros((n_ocv - 2 + 4 * (n_resistance - 2), size))
    penalty[: n_ocv - 2, :n_ocv] = settings.ocv_curvature * _curvature(ocv_soc)
    for block in range(4):
        row, column = n_ocv - 2 + block * (n_resistance - 2), n_ocv + block * n_resistance
        penalty[row : row + n_resistance - 2, column : column + n_resistance] = (
            settings.resistance_curvature * _curvature(resistance_soc)
        )
    normal0 = penalty.T @ penalty + 1e-9 * np.eye(size)
    right0 = np.zeros(size)
    if reference_ocv_v is not None:
        normal0[np.arange(n_ocv), np.arange(n_ocv)] += settings.reference_rows
        right0[:n_ocv] += settings.reference_rows * reference_ocv_v

    robust = np.ones(len(target))
    table = base
    residual = target
    for _ in range(3):
        weighted = matrix * (weight * robust)[:, None]
        normal = normal0 + weighted.T @ weighted
        right = right0 + weighted.T @ (target * weight * robust)
        upper = np.linalg.cholesky(change.T @ normal @ change).T
        found, _ = nnls(
            upper, np.linalg.solve(upper.T, change.T @ (right - normal @ base)), maxiter=100 * size
        )
        table = change @ found + base
        residual = matrix @ table - target
        robust = 1.0 / np.sqrt(1.0 + (residual / settings.scale_v) ** 2)
    cost = float(np.sum(weight**2 * settings.scale_v**2 * np.log1p((residual / settings.scale_v) ** 2)))
    return table, cost


def _tables(
    records: Sequence[Record],
    temperature: float,
    nonlinear: FloatArray,
    settings: FitSettings,
    reference: FloatArray | None,
) -> TemperatureFit:
    table, _ = _solve(records, temperature, nonlinear, settings, reference)
    ends = np.cumsum([len(settings.ocv_soc)] + 3 * [len(settings.resistance_soc)])
    ocv, linear, kinetic, r1, r2 = np.split(table, ends)
    tau1, tau2, saturation = (float(value) for value in nonlinear)
    return TemperatureFit(temperature, ocv, linear, kinetic, r1, r2, tau1, tau2, saturation)


def _nonlinear(shared: FloatArray, temperature: float) -> FloatArray:
    """Time constants and saturation current of a temperature from the shared logarithms at 25 °C and
    slopes.
    """
    kelvins = 1000.0 * (1 / (temperature + KELVIN) - 1 / (25.0 + KELVIN))
    at_25, slope = shared[:3], shared[3:]
    return np.array(np.exp(at_25 + slope * kelvins))


def fit_cell(
    records: Mapping[float, Sequence[Record]],
    settings: FitSettings | None = None,
    *,
    progress: Callable[[], None] | None = None,
    search: FloatArray | None = None,
) -> tuple[list[TemperatureFit], FloatArray]:
    """Fit all tables of a cell.

    Parameters
    ----------
    records : mapping
        Temperature [°C] to the tests at that temperature; together they should cover all SoC and hold
        pulses with rests.
    settings : FitSettings, optional
    progress : callable, optional
        Called after every evaluation; there are ``settings.search_steps`` of them.
    search : ndarray, optional
        Result of an earlier search, to be used as it is.

    Returns
    -------
    fits : list of TemperatureFit
        From cold to hot.
    search : ndarray, shape (6,)
        Logarithms of tau1 [s], tau2 [s] and saturation current [A] at 25 °C, and their slopes over 1000/T
        [K].
    """
    settings = settings or FitSettings()
    order = sorted(records, key=lambda temperature: abs(temperature - 25.0))
    if search is None:

        def cost(shared: FloatArray) -> float:
            if progress is not None:
                progress()
            total, reference = 0.0, None
            for temperature in order:
                nonlinear = _nonlinear(shared, temperature)
                table, part = _solve(records[temperature], temperature, nonlinear, settings, reference)
                reference = table[: len(settings.ocv_soc)] if reference is None else reference
                total += part * (1.0 + max(0.0, 3.0 - nonlinear[1] / nonlinear[0]))
            return total

        first = np.array([np.log(15.0), np.log(150.0), np.log(5.0), 1.0, 1.0, -3.0])
        simplex = np.vstack([first, first + np.diag([0.7, 0.7, 0.7, 1.0, 1.0, 2.0])])
        options = {"xatol": 0.02, "fatol": 1e-6, "maxfev": settings.search_steps, "initial_simplex": simplex}
        search = np.asarray(minimize(cost, first, method="Nelder-Mead", options=options).x)
    fits: list[TemperatureFit] = []
    for temperature in order:
        reference = fits[0].ocv_v if fits else None
        fits.append(
            _tables(records[temperature], temperature, _nonlinear(search, temperature), settings, reference)
        )
    return sorted(fits, key=lambda fit: fit.temperature_degc), search


def activation_energy_j_per_mol(colder: TemperatureFit, warmer: TemperatureFit) -> float:
    """Activation energy [J/mol] of the total resistance between two temperatures, median over the knots."""
    ratio = np.log(
        (colder.linear_ohm + colder.kinetic_ohm + colder.r1_ohm + colder.r2_ohm)
        / (warmer.linear_ohm + warmer.kinetic_ohm + warmer.r1_ohm + warmer.r2_ohm)
    )
    inverse = 1 / (colder.temperature_degc + KELVIN) - 1 / (warmer.temperature_degc + KELVIN)
    return float(np.median(ratio) * GAS_CONSTANT_J_PER_MOL_K / inverse)
