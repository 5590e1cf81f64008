"""Voltage of every cell along a horizon, if a current flows from now on.

The voltage after ``t`` seconds follows from the circuit of :mod:`openbms_core.models.ecm` (current positive
when charging)::

    v(t)   = OCV(z(t), T, h(t)) + o + r·(eta(0) + c·(eta(t) - eta(0)))
    eta(t) = u(i) + R1·i1(t) + R2·i2(t)

with ``u`` the instantaneous overpotential, ``o``, ``r`` the present error of the model
(:mod:`openbms_estimation.sop.tracking`), ``c`` what a pulse test says of large currents
(:mod:`openbms_estimation.sop.pulse_error`). State of charge, hysteresis, all resistances move along. Between
the points the current runs in straight lines, for which the RC pairs have an exact solution; so a constant
power, whose current rises as the voltage falls, is as easy as a constant current.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.models.ecm import CellModel, CellParameters
from openbms_estimation.sop.tracking import CellState, ModelResidual, Polarisation

__all__ = ["FRACTIONS", "Path", "Situation", "Voltages"]

FloatArray = NDArray[np.float64]

FRACTIONS = np.array([0.0, 0.25, 0.6, 1.0])
"""Points of each horizon that are looked at; 0 is the moment right after the current has begun."""

UNTESTED_STD = 0.5
"""Standard deviation for each volt of overpotential beyond the tested range."""
AGED_STD = 0.10
"""Relative standard deviation of the overpotential for each unit that the resistance ratio is away from 1."""


@dataclass(frozen=True)
class Voltages:
    """Prediction; arrays have the shape (n_cells, horizons, points).

    Attributes
    ----------
    voltage_v : ndarray
        [V].
    overpotential_v : ndarray
        Of the model without its error [V].
    slope_ohm : ndarray
        Change with the current [Ω], that of a small current.
    """

    voltage_v: FloatArray
    overpotential_v: FloatArray
    slope_ohm: FloatArray


@dataclass(frozen=True)
class Path:
    """What a current of 1 A at the end does on the way; arrays (n_cells, horizons, points).

    Attributes
    ----------
    relative : ndarray
        Current at each point.
    moved : ndarray
        State of charge that has moved [1/A].
    rest1_a, rest2_a : ndarray
        Currents in the RC pairs that are left of before [A].
    gain1, gain2 : ndarray
        Currents in the RC pairs for each ampere.
    """

    relative: FloatArray
    moved: FloatArray
    rest1_a: FloatArray
    gain1: FloatArray
    rest2_a: FloatArray
    gain2: FloatArray


@dataclass(frozen=True)
class Situation:
    """All that the future depends on, for a number of cells and one direction.

    Build with :meth:`of`; arrays have the shape (n_cells,).
    """

    model: CellModel
    soc: FloatArray
    temperature_degc: FloatArray
    capacity_ah: FloatArray
    p: CellParameters
    i1_a: FloatArray
    i2_a: FloatArray
    direction: FloatArray
    offset_v: FloatArray
    ratio: FloatArray
    now_v: FloatArray
    pulse_ratio: FloatArray
    offset_var: FloatArray
    cross_var: FloatArray
    ratio_var: FloatArray
    pulse_relative_std: FloatArray
    tested_v: FloatArray

    @classmethod
    def of(
        cls,
        state: CellState,
        p: CellParameters,
        polarisation: Polarisation,
        residual: ModelResidual,
        shift_soc: FloatArray,
        pulse_ratio: FloatArray,
        pulse_relative_std: FloatArray,
        tested_v: FloatArray,
    ) -> Situation:
        """Take the situation from what was tracked.

        Parameters
        ----------
        state : CellState
        p : CellParameters
            At ``state``.
        polarisation, residual
            After the step to this moment.
        shift_soc : ndarray, shape (n_cells,)
            How far the state of charge may be off in the bad direction. The model is hung up on the measured
            voltage again at the shifted place: what SoC would change right now is known, what it changes
            later is not. Without a measured voltage nothing is shifted: then its uncertainty is in that of
            the offset.
        pulse_ratio, pulse_relative_std : ndarray, shape (n_cells,)
            Overpotential of large currents over the modelled one, and its relative error beside what the
            residual knows.
        tested_v : ndarray, shape (n_cells,)
            Overpotential up to which both are known [V]; infinite: no test tells.
        """
        model = residual.model
        shift = np.where(residual.anchored, shift_soc, 0.0)
        offset = residual.offset_v
        soc = state.soc
        if shift.any():
            soc = np.clip(state.soc + shift, -0.04, 1.04)
            shifted = model.parameters(soc, state.temperature_degc)
            h = polarisation.direction

            def now(q: CellParameters) -> FloatArray:
                eta = polarisation.overpotential_v(q, state.current_a)
                return np.asarray(q.ocv_v + q.half_gap_v * h + residual.ratio * eta)

            offset = offset + now(p) - now(shifted)
            p = shifted
        eta_now = polarisation.overpotential_v(p, state.current_a)
        return cls(
            model=model, soc=soc, temperature_degc=state.temperature_degc, capacity_ah=state.capacity_ah, p=p,
            i1_a=polarisation.i1_a, i2_a=polarisation.i2_a, direction=polarisation.direction,
            offset_v=offset, ratio=residual.ratio, now_v=eta_now, pulse_ratio=pulse_ratio,
            offset_var=residual.offset_var,
            cross_var=residual.cross_var, ratio_var=residual.ratio_var,
            pulse_relative_std=pulse_relative_std, tested_v=tested_v,
        )  # fmt: skip

    def take(self, cells: NDArray[np.intp]) -> Situation:
        """Give the situation of some cells."""
        q = CellParameters(*(getattr(self.p, f.name)[cells] for f in fields(self.p)))
        arrays = {f.name: getattr(self, f.name)[cells] for f in fields(self) if f.name not in ("model", "p")}
        return replace(self, p=q, **arrays)

    def path(self, horizons_s: FloatArray, shape: ArrayLike = 1.0) -> Path:
        """Prepare the way along the horizons, which is linear in the current.

        Parameters
        ----------
        horizons_s : ndarray, shape (horizons,)
            [s].
        shape : array_like, broadcast to (n_cells, horizons, points)
            Current at each point over that at the end; 1: a constant current.
        """
        size = (len(self.soc), len(horizons_s), len(FRACTIONS))
        relative = np.broadcast_to(np.asarray(shape, float), size)
        gaps = horizons_s[:, None] * np.diff(FRACTIONS)
        moved = np.zeros(size)
        np.cumsum(0.5 * (relative[..., 1:] + relative[..., :-1]) * gaps, axis=-1, out=moved[..., 1:])
        moved /= 3600.0 * self.capacity_ah[:, None, None]
        pairs = []
        for tau_s, first_a in ((self.p.tau1_s, self.i1_a), (self.p.tau2_s, self.i2_a)):
            x = gaps / tau_s[:, None, None]
            keep = np.exp(-x)
            mean = (1.0 - keep) / x
            # exact for a current that runs straight from a to b: keep·i + a·(mean - keep) + b·(1 - mean)
            rest, gain = np.empty(size), np.zeros(size)
            rest[..., 0] = first_a[:, None]
            for k in range(len(FRACTIONS) - 1):
                rest[..., k + 1] = keep[..., k] * rest[..., k]
                gain[..., k + 1] = (
                    keep[..., k] * gain[..., k]
                    + relative[..., k] * (mean[..., k] - keep[..., k])
                    + relative[..., k + 1] * (1.0 - mean[..., k])
                )
            pairs.append((rest, gain))
        return Path(relative, moved, *pairs[0], *pairs[1])

    def predict(self, current_a: FloatArray, path: Path) -> Voltages:
        """Predict the voltages at all points of every horizon.

        Parameters
        ----------
        current_a : ndarray, shape (n_cells, horizons)
            Current at the end of each horizon [A], positive when charging.
        path : Path
            From :meth:`path`.
        """
        i = current_a[..., None]
        charging = i > 0.0
        moved = i * path.moved
        moved = np.where(charging, moved * self.model.coulombic_efficiency, moved)
        later = self.model.parameters(self.soc[:, None, None] + moved, self.temperature_degc[:, None, None])
        h = self.direction[:, None, None] + moved / self.model.hysteresis_soc
        h = np.minimum(np.maximum(h, -1.0), 1.0)
        eta = (
            later.instant_v(i * path.relative)
            + later.r1_ohm * (path.rest1_a + i * path.gain1)
            + later.r2_ohm * (path.rest2_a + i * path.gain2)
        )
        eta = eta + (self.pulse_ratio - 1.0)[:, None, None] * (eta - self.now_v[:, None, None])
        ratio = self.ratio[:, None, None]
        voltage = later.ocv_v + later.half_gap_v * h + self.offset_v[:, None, None] + ratio * eta
        slope = later.docv_dsoc_v * path.moved + ratio * self.pulse_ratio[:, None, None] * (
            later.r0_ohm * path.relative + later.r1_ohm * path.gain1 + later.r2_ohm * path.gain2
        )
        return Voltages(voltage, eta, slope)

    def std_v(self, found: Voltages) -> FloatArray:
        """Give the standard deviation of predicted voltages [V], same shape."""
        eta = found.overpotential_v
        o, c, r, ratio = (
            a[:, None, None] for a in (self.offset_var, self.cross_var, self.ratio_var, self.ratio)
        )
        # a cell that has aged is not the tested one with all resistances alike a little larger
        relative = np.hypot(self.pulse_relative_std, AGED_STD * np.abs(self.ratio - 1.0))
        variance = o + 2.0 * c * eta + r * eta**2 + (relative[:, None, None] * ratio * eta) ** 2
        # the tests began at rest: what is left of a load before counts as if it were on top
        slow_v = self.p.r1_ohm * self.i1_a + self.p.r2_ohm * self.i2_a
        before = np.maximum(slow_v[:, None, None] * np.sign(eta), 0.0)
        untested = np.maximum(ratio * (np.abs(eta) + before) - self.tested_v[:, None, None], 0.0)
        return np.asarray(np.sqrt(np.maximum(variance, 1e-12)) + UNTESTED_STD * untested)
