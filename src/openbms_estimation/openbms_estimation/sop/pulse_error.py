"""How well a fitted model foretells the pulses of its own test, and what limits make of it.

From before a pulse to a moment in it the modelled overpotential changes by ``d_eta``, and what the model is
off by ``d_r``: near a limit ``1 + d_r / d_eta`` is the factor that counts, whatever offset the model had
before. It is kept apart for both directions and taken from the largest pulses, since the circuit that follows
ordinary loads well says too much (or too little) of currents many times as large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_core.cell import CellFile
from openbms_core.models.ecm import CellModel
from openbms_estimation.sop.tables import SocTemperatureTable

__all__ = ["Pulse", "PulseCorrection", "pulse_tables", "pulses_of"]

FloatArray = NDArray[np.float64]

LONGEST_S, SETTLED_S, SHORTEST_S, EARLY_S = 40.0, 1.5, 3.0, 12.0
LEAST_C, LEAST_V = 0.5, 0.02
LARGE_SHARE = 0.4
"""Pulses of at least so much of the largest one at that SoC count."""
COLLAPSE = 0.10
"""From this relative error on a pulse is no longer described (the electrolyte runs out of salt)."""
LEAST_STD, DEFAULT_STD = 0.02, 0.05
_NEAR_SOC, _SMOOTH_SOC = 0.03, 0.04


@dataclass(frozen=True)
class Pulse:
    """One pulse of a test; arrays over its rows.

    Attributes
    ----------
    soc : float
    current_a : float
        Mean [A], positive when charging.
    time_s : ndarray
        Since before the pulse [s].
    modelled_v, missing_v : ndarray
        Change of the modelled overpotential, and what is missing to the true one [V].
    total_v : ndarray
        Magnitude of the modelled overpotential [V].
    """

    soc: float
    current_a: float
    time_s: FloatArray
    modelled_v: FloatArray
    missing_v: FloatArray
    total_v: FloatArray

    @property
    def ratio(self) -> float:
        """True over modelled change in the first seconds."""
        rows = self.time_s <= EARLY_S
        x, y = self.modelled_v[rows], self.missing_v[rows]
        return 1.0 + float(x @ y / (x @ x)) if rows.any() else math.nan


def pulses_of(
    model: CellModel,
    time_s: FloatArray,
    voltage_v: FloatArray,
    current_a: FloatArray,
    temperature_degc: FloatArray,
    soc: FloatArray,
) -> list[Pulse]:
    """Find the pulses of a test and compare them with the model, as a limiter would have used it.

    Parameters
    ----------
    model : CellModel
        Of the cell file without the section ``pulses``.
    time_s, voltage_v, current_a, temperature_degc, soc : ndarray, shape (n,)
        The test [s, V, A, °C]. Pulses are currents above half the capacity an hour that last 8 to 40 s. How
        the cell warms itself within a pulse belongs to the factor: a limiter knows the temperature before.
    """
    side = np.where(np.abs(current_a) > LEAST_C * model.capacity_ah, np.sign(current_a), 0.0)
    edges = np.flatnonzero(np.diff(side, prepend=0.0, append=0.0))
    spans = [
        (int(begin), int(end))
        for begin, end in pairwise(edges)
        if begin > 0 and side[begin] != 0.0 and SHORTEST_S <= time_s[end - 1] - time_s[begin] <= LONGEST_S
    ]
    before = temperature_degc.copy()
    for begin, end in spans:
        before[begin:end] = temperature_degc[begin - 1]
    residual_v, overpotential_v = _simulate(model, time_s, voltage_v, current_a, before, soc)
    found = []
    for begin, end in spans:
        rows = slice(begin, end)
        d_eta = overpotential_v[rows] - overpotential_v[begin - 1]
        time = time_s[rows] - time_s[begin - 1]
        counts = (time > SETTLED_S) & (np.abs(d_eta) > LEAST_V)
        if counts.any():
            found.append(
                Pulse(
                    float(soc[begin]),
                    float(current_a[rows].mean()),
                    time[counts],
                    d_eta[counts],
                    (residual_v[rows] - residual_v[begin - 1])[counts],
                    np.abs(overpotential_v[rows][counts]),
                )
            )
    return found


def _simulate(
    model: CellModel,
    time_s: FloatArray,
    voltage_v: FloatArray,
    current_a: FloatArray,
    temperature_degc: FloatArray,
    soc: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Measured minus modelled voltage, and the modelled overpotential [V], along a test."""
    p = model.parameters(soc, temperature_degc)
    eta = p.instant_v(current_a)
    duration = np.diff(time_s, prepend=time_s[0])
    for r_ohm, tau_s in ((p.r1_ohm, p.tau1_s), (p.r2_ohm, p.tau2_s)):
        keep = np.exp(-duration / tau_s).tolist()
        through, state = np.empty(len(time_s)), 0.0
        for k, (a, i) in enumerate(zip(keep, current_a.tolist(), strict=True)):
            state = i + a * (state - i)
            through[k] = state
        eta = eta + r_ohm * through
    return voltage_v - p.ocv_v - eta, eta


def pulse_tables(rows: Mapping[float, Sequence[Pulse]]) -> dict[str, Any] | None:
    """Give the section ``pulses`` of a cell file.

    Parameters
    ----------
    rows : mapping
        Temperature [°C] to the pulses of the test at it.

    Returns
    -------
    dict or None
        None unless every temperature has pulses in both directions at two SoC.
    """
    breakpoints = np.round(np.linspace(0.0, 1.0, 21), 3)
    ratios: dict[float, list[list[float]]] = {-1.0: [], 1.0: []}
    tested: dict[float, list[list[float]]] = {-1.0: [], 1.0: []}
    spreads = []
    for degc in sorted(rows):
        squares: list[FloatArray] = []
        for sign in ratios:
            of_sign = [p for p in rows[degc] if p.current_a * sign > 0.0 and math.isfinite(p.ratio)]
            large = [
                p
                for p in of_sign
                if abs(p.current_a)
                >= LARGE_SHARE * max(abs(q.current_a) for q in of_sign if abs(q.soc - p.soc) < _NEAR_SOC)
            ]
            if len({round(p.soc, 1) for p in large}) < 2:
                return None
            at, value = np.array([p.soc for p in large]), np.array([p.ratio for p in large])
            apart = np.abs(breakpoints[:, None] - at)
            # beyond the test's own SoC the outermost pulses hold
            apart = np.maximum(apart - apart.min(axis=1, keepdims=True), 0.0)
            window = np.exp(-0.5 * (apart / _SMOOTH_SOC) ** 2)
            smooth = (window @ value) / window.sum(axis=1)
            reached = np.empty(len(large))
            for k, pulse in enumerate(large):
                factor = float(np.interp(pulse.soc, breakpoints, smooth))
                error = pulse.missing_v / pulse.modelled_v - (factor - 1.0)
                wrong = np.abs(error) > COLLAPSE
                good = slice(0, int(np.argmax(wrong)) if wrong.any() else len(wrong))
                squares.append(error[good] ** 2)
                reached[k] = factor * pulse.total_v[good].max(initial=0.0)
            near = apart <= 2.0 * _NEAR_SOC
            most = np.where(near, reached, 0.0).max(axis=1)
            ratios[sign].append([round(float(v), 4) for v in smooth])
            tested[sign].append([round(max(float(v), LEAST_V), 4) for v in most])
        spreads.append(round(max(math.sqrt(float(np.concatenate(squares).mean())), LEAST_STD), 4))
    return {
        "soc_breakpoints": [float(z) for z in breakpoints],
        "temperature_breakpoints_degc": sorted(rows),
        "discharge_ratio": ratios[-1.0],
        "charge_ratio": ratios[1.0],
        "discharge_tested_v": tested[-1.0],
        "charge_tested_v": tested[1.0],
        "relative_std": spreads,
    }


class PulseCorrection:
    """Factor, relative error and tested range of the overpotential of large currents, from a cell file.

    Parameters
    ----------
    cell : CellFile
    """

    def __init__(self, cell: CellFile) -> None:
        pulses, error = cell.pulses, cell.model_error
        self._tables: dict[float, tuple[SocTemperatureTable, SocTemperatureTable]] = {}
        self._temperatures = error.temperature_breakpoints_degc
        self._std = [math.hypot(DEFAULT_STD, v) for v in error.resistance_relative_std]
        if pulses is not None:
            axes = pulses.soc_breakpoints, pulses.temperature_breakpoints_degc
            self._tables = {
                sign: (SocTemperatureTable(*axes, ratio), SocTemperatureTable(*axes, tested))
                for sign, ratio, tested in (
                    (1.0, pulses.charge_ratio, pulses.charge_tested_v),
                    (-1.0, pulses.discharge_ratio, pulses.discharge_tested_v),
                )
            }
            self._temperatures, self._std = pulses.temperature_breakpoints_degc, pulses.relative_std

    def __call__(
        self, sign: float, soc: FloatArray, temperature_degc: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give factor, relative standard deviation and tested overpotential [V], each of shape (n_cells,).

        ``sign`` is +1 for charging; the tested overpotential is infinite where no test is known.
        """
        std = np.interp(temperature_degc, self._temperatures, self._std)
        if not self._tables:
            return np.ones_like(std), std, np.full_like(std, np.inf)
        ratio, tested = self._tables[sign]
        return ratio(soc, temperature_degc), std, tested(soc, temperature_degc)
