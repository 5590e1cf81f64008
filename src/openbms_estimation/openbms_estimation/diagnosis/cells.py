"""Evidence for each fault of each cell of a string, from the differences between its cells.

With ``c = v - u(I, T)`` (measured voltage less the overpotential of an average cell) and the median over the
cells, a healthy cell i differs by::

    c_i - median = s·[dz_i + q_i·(z - 1/2) - l_i·t - bled_i/Q] + r_i·I/Q + g_i·u + b_i

with the slope ``s`` of the OCV: a difference of charge ``dz``, of capacity (``q``: what is lost of it), of
self-discharge ``l``, of connection ``r``, of resistance ``g`` and of the sensor ``b``. Regressors are the
same for all cells of a string, so that one matrix serves all. A fault is a change of one of them that begins
at some onset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_estimation.diagnosis.blocks import Block
from openbms_estimation.diagnosis.change_model import ChangeModel, crowd_variance
from openbms_estimation.diagnosis.robust import middle, spread
from openbms_estimation.diagnosis.settings import CELL_CLASSES, DiagnosisSettings

__all__ = ["CellEvidence", "StringCells"]

FloatArray = NDArray[np.float64]

DZ, LOSS, LEAK, JOINT, GROWTH, BIAS = range(6)
_KINDS = 5  # of CELL_CLASSES; the open wire is a pair of biases
_OPEN_WIRE = CELL_CLASSES.index("open_wire")
_VOLTAGE_SENSOR = CELL_CLASSES.index("voltage_sensor")
_REFERENCE_DEGC = 25.0
_HOUR_S = 3600.0
_STILL_C, _RELAXED = 0.05, 0.02
_SLOPE_STD, _OVERPOTENTIAL_STD, _CURVATURE_STD_V = 0.3, 0.3, 5.0
"""Errors that the model may have for all cells alike: relative of the slope of the OCV and of the
overpotential, curvature of the OCV [V]."""
_SCALE_KEPT = 0.9997
_LOOP_SOC, _LOOP_KEPT_SOC = 0.003, 0.03
"""Charge by which balancing may take a cell on a way of its own before it is not compared, and the charge
that flows through all cells alike until 1/e of that is forgotten."""
_CROWD = np.array([[4.0], [4.0], [10.0], [2.5]])
"""Beyond so many deviations a cell has no more weight among the others: difference of charge, overpotential,
squared difference of charge, what is left."""


@dataclass(frozen=True)
class CellEvidence:
    """What speaks for each fault of each cell; axes: cell, fault (:data:`CELL_CLASSES`).

    Attributes
    ----------
    evidence : ndarray
        Logarithm of the likelihood ratio against health, for a fault that is larger than the least size.
    fit : ndarray
        The same for a fault of the most likely size: tells which fault it is.
    size, size_std : ndarray
        Most likely size and its standard deviation, in the unit of the fault: part of the capacity per hour,
        V at 1C, relative, relative, V, V.
    onset_s : ndarray
        Most likely onset [s].
    """

    evidence: FloatArray
    fit: FloatArray
    size: FloatArray
    size_std: FloatArray
    onset_s: FloatArray


class StringCells:
    """Memory of the cells of one string.

    Parameters
    ----------
    model : CellModel
    cells : int
        Cells of the string.
    settings : DiagnosisSettings
    bleed_resistance_ohm : float
        Bleed resistors [Ω]; NaN: unknown.
    capacity_ah : float
        Of the string [Ah].
    """

    def __init__(
        self,
        model: CellModel,
        cells: int,
        settings: DiagnosisSettings,
        *,
        capacity_ah: float,
        bleed_resistance_ohm: float = float("nan"),
    ) -> None:
        s = settings
        self.settings, self.cells = s, cells
        self.bleed_ohm, self.capacity_ah = bleed_resistance_ohm, capacity_ah
        self._cell_model = model
        at_rest = model.parameters(0.5, _REFERENCE_DEGC)
        resistance = float(at_rest.r0_ohm + at_rest.r1_ohm + at_rest.r2_ohm)
        self.drop_v = resistance * model.capacity_ah
        """Overpotential of an average cell at 1C and 25 °C [V]."""
        joint_v = max(s.joint_spread_v, 0.05 * self.drop_v)
        self.changes = ChangeModel(
            cells,
            [
                s.soc_spread,
                s.capacity_spread,
                s.leak_spread_per_h,
                joint_v,
                s.resistance_spread,
                s.bias_spread_v,
            ],
        )
        self.drop_now_v = np.zeros(cells)
        """Overpotential of a cell of this type in the last block, by each cell's temperature [V]."""
        self.direction = np.zeros(cells)
        """Branch of the OCV on which each cell is, -1 (discharge) to 1 (charge)."""
        self.apart = np.zeros(cells)
        """Charge that balancing lately took from each cell: the hysteresis of its OCV has not been through
        what the others' has."""
        self.bled = np.zeros(cells)
        """Charge that balancing took from each cell, as a part of the capacity."""
        self.bled_unknown_s = np.full(cells, -np.inf)
        """When each cell was last bled by an unknown current [s]."""
        self._theta: FloatArray | None = None
        self._scale = np.array([[0.0, 0.0], [100.0, 1.0]])
        self.origin_s = float("nan")

    def take(self, block: Block, string: int, cells: slice, soc: FloatArray) -> None:
        """Take a block.

        Parameters
        ----------
        block : Block
        string : int
        cells : slice
            The string's cells in the pack.
        soc : ndarray, shape (cells,)
            Estimated state of charge; NaN: unknown.
        """
        voltage, rate = block.cell_voltages_v[cells], float(block.rate_c[string])
        drained = self._bleed(block.bled_s[cells], voltage, block.end_s)
        moved = (0.0 if not np.isfinite(rate) else rate) * block.duration_s / _HOUR_S - drained
        self.direction = np.clip(self.direction + moved / self._cell_model.hysteresis_soc, -1.0, 1.0)
        through = 0.0 if not np.isfinite(rate) else abs(rate) * block.duration_s / _HOUR_S
        self.apart = self.apart * np.exp(-through / _LOOP_KEPT_SOC) + drained
        known = np.isfinite(soc)
        if not np.isfinite(rate) or not known.any() or np.isnan(voltage).all():
            return
        if not np.isfinite(self.origin_s):
            self.origin_s = block.end_s
        s = self.settings
        z = middle(soc)
        slope, u, drop, half_gap = self._overpotential(block, string, cells, z)
        self.drop_now_v = drop
        branch = half_gap * (self.direction - middle(self.direction))
        # small loops of the hysteresis are not known well enough: wait until use has taken all cells along
        alone = np.abs(self.apart - middle(self.apart)) > _LOOP_SOC
        voltage = np.where((np.abs(branch) > s.branch_v) | alone, np.nan, voltage)
        # what each cell would show had it never been bled
        rest = voltage - drop - branch + slope * self.bled
        y = rest - middle(rest)
        hours = (block.end_s - self.origin_s) / _HOUR_S
        phi = np.array([slope, slope * (z - 0.5), -slope * hours, rate, u, 1.0])
        tail_v = self.drop_v * float(block.tail_c[string])
        stress_v = abs(u) + 0.5 * abs(rate) * self.drop_v + 0.3 * tail_v
        y, phi = self._as_the_crowd_says(y, phi, self.bled - middle(self.bled), stress_v)
        unlike = spread(np.where(known, soc - z, 0.0))
        variance = (
            s.noise_v**2
            + (s.overpotential_error * u) ** 2
            + (s.tail_error * tail_v) ** 2
            + (s.slope_error * slope * unlike) ** 2
        )
        # while it relaxes after use, rest tells as much as use; later the error of the model stays the same
        still = abs(rate) < _STILL_C and abs(u) < _RELAXED * self.drop_v
        samples = block.duration_s / (s.rest_correlation_s if still else s.correlation_s)
        self.changes.add(
            phi,
            y,
            weight=samples / variance,
            samples=samples,
            time_s=block.end_s,
            duration_s=block.duration_s,
            reference=z,
        )

    def _as_the_crowd_says(
        self, y: FloatArray, phi: FloatArray, bled: FloatArray, stress_v: float
    ) -> tuple[FloatArray, FloatArray]:
        """Correct what the model gets wrong of all cells alike: slope and bend of the OCV, overpotential.

        Cells differ in charge in proportion to the slope (and, as the OCV is curved, to the square), and in
        resistance in proportion to the overpotential: the crowd of the cells shows how large both really are
        now, and a single faulty one has little weight in it.

        Parameters
        ----------
        y : ndarray, shape (cells,)
        phi : ndarray, shape (6,)
        bled : ndarray, shape (cells,)
            What balancing took from each cell more than from the middle one; ``y`` holds it times the slope.
        stress_v : float
            Size of the overpotential that may be wrong [V].

        Returns
        -------
        y, phi : ndarray
            With the slope and the overpotential as they are, and without curvature.
        """
        if self._theta is None:
            return y, phi
        theta = self._theta
        had_charge, resistance = phi[:JOINT] @ theta[:JOINT], theta[GROWTH]
        # cells of high resistance do not have bad connections too: what looks so is the overpotential's shape
        heavy = np.abs(resistance) > 2.5 * spread(resistance)
        known = np.where(heavy, 0.0, resistance)
        alike = float(known @ theta[JOINT]) / (float(known @ known) + 1e-9)
        joint = theta[JOINT] - alike * resistance
        left = y - had_charge - phi[JOINT] * joint - phi[GROWTH:] @ theta[GROWTH:]
        # slope and bend matter for how far apart the cells are now, not for how far they would be without
        # balancing
        slope = phi[DZ]
        of_charge = had_charge - slope * bled
        apart = of_charge / slope
        apart = apart - middle(apart)
        of_charge = of_charge - middle(of_charge)
        rows = np.stack((of_charge, resistance, apart * apart, np.where(np.isnan(left), 0.0, left)))
        scale = np.array([[spread(row)] for row in rows]) + 1e-6
        limits = scale * _CROWD
        x, x_left = np.split(np.clip(rows, -limits, limits), [3])  # also below: nothing may feed itself
        noise = float((x_left @ x_left.T)[0, 0]) / self.cells + 1e-8
        std = np.array([_SLOPE_STD, _OVERPOTENTIAL_STD * stress_v + 1e-5, _CURVATURE_STD_V])
        share = np.linalg.solve(x @ x.T / noise + np.diag(std**-2.0), x @ x_left[0] / noise)
        share = np.clip(share, -2.5 * std, 2.5 * std)
        # larger regressors with smaller differences would fit as well: on average the model's size holds
        size, wrong = np.array([1.0, phi[GROWTH]]), share[:2]
        self._scale = _SCALE_KEPT * self._scale + np.array([size * wrong, size * size])
        share[:2] -= self._scale[0] / self._scale[1] * (1.0, phi[GROWTH])
        phi = phi.copy()
        phi[:JOINT] *= 1.0 + share[0]
        phi[GROWTH] += share[1]
        return y + share[0] * slope * bled - share[2] * x[2], phi

    def _bleed(self, bled_s: FloatArray, voltage: FloatArray, now_s: float) -> FloatArray:
        """Book what balancing took from each cell; give it as a part of the capacity."""
        if not bled_s.any():
            return np.zeros(self.cells)
        if np.isfinite(self.bleed_ohm):
            charge = np.nan_to_num(voltage) / self.bleed_ohm * bled_s / _HOUR_S / self.capacity_ah
            self.bled += charge
            return np.asarray(charge)
        self.bled_unknown_s = np.where(bled_s > 0.0, now_s, self.bled_unknown_s)
        return np.zeros(self.cells)

    def _overpotential(
        self, block: Block, string: int, cells: slice, z: float
    ) -> tuple[float, float, FloatArray, float]:
        """Give the OCV's slope, an average cell's overpotential, each cell's by its own temperature, and half
        the gap between the branches of the OCV.
        """
        model = self._cell_model
        temperature = block.cell_temperatures_degc[cells]
        temperature = np.where(np.isfinite(temperature), temperature, _REFERENCE_DEGC)
        # cells that share a sensor share the lookup
        distinct, of_cell = np.unique(temperature, return_inverse=True)
        center = middle(temperature)
        p = model.parameters(z, np.append(distinct, center))
        current = float(block.rate_c[string]) * model.capacity_ah
        pair1, pair2 = block.pair_c[:, string] * model.capacity_ah
        u = p.instant_v(current) + p.r1_ohm * pair1 + p.r2_ohm * pair2
        return float(p.chord_v[-1]), float(u[-1]), u[:-1][of_cell], float(p.half_gap_v[-1])

    def evidence(self) -> CellEvidence | None:
        """Compare the hypotheses; None before anything was seen."""
        if not self.changes.epochs:
            return None
        s = self.settings
        onset_s, z = self.changes.onsets()
        count = len(onset_s)
        hours = (onset_s - self.origin_s) / _HOUR_S
        directions = np.zeros((count, _KINDS, 6))
        directions[:, 0, LEAK], directions[:, 0, DZ] = 1.0, hours
        directions[:, 1, JOINT] = 1.0
        directions[:, 2, GROWTH] = 1.0
        directions[:, 3, LOSS], directions[:, 3, DZ] = 1.0, 0.5 - z
        directions[:, 4, BIAS] = 1.0
        found = self.changes.evaluate(directions)
        self._theta = found.theta
        least = np.array(
            [s.least_leak_per_h, s.least_joint * self.drop_v, s.least_growth, s.least_loss, s.least_bias_v]
        )
        level = np.array(
            [s.least_leak_per_h, s.level_joint * self.drop_v, s.level_growth, s.level_loss, s.level_bias_v]
        )
        threshold = np.broadcast_to(least, (count, _KINDS)).copy()
        threshold[0] = level
        most = np.array([s.most_leak_per_h, 4.0 * self.drop_v, 4.0, 0.6, np.inf])
        delta, information = found.delta, found.information[..., None] / found.inflation
        # what many cells seem to have at once is an error of the model
        crowd = crowd_variance(delta * np.sqrt(information))
        likelihood = 0.5 * delta**2 * information
        # of one cell the faults are compared on equal terms: with the crowd of the most striking one
        striking = (likelihood / crowd[..., None]).reshape(-1, self.cells).argmax(axis=0)
        likelihood = likelihood / crowd.reshape(-1)[striking]
        information = information / crowd[..., None]
        signed = delta.copy()
        signed[:, _VOLTAGE_SENSOR] = np.abs(delta[:, _VOLTAGE_SENSOR])  # the others have one direction
        excess = np.maximum(signed - threshold[..., None], 0.0) * (signed <= most[:, None])
        evidence = np.zeros((count, len(CELL_CLASSES), self.cells))
        fit, size = np.zeros_like(evidence), np.zeros_like(evidence)
        evidence[:, :_KINDS] = 0.5 * excess**2 * information
        fit[:, :_KINDS] = np.where(excess > 0.0, likelihood, 0.0)
        size[:, :_KINDS] = delta
        # an open input wanders: its noise is no excuse, that of its neighbours is
        pairs = information[:, _VOLTAGE_SENSOR] * found.inflation / float(np.median(found.inflation))
        self._open_wires(delta[:, _VOLTAGE_SENSOR], pairs, evidence, fit, size)
        evidence[:, 0, self.bled_unknown_s > self.origin_s] = 0.0
        best = fit.argmax(axis=0)
        best_evidence = evidence.max(axis=0)
        at = np.take_along_axis
        std = np.sqrt(1.0 / np.concatenate((information, information[:, -1:]), axis=1))
        return CellEvidence(
            evidence=best_evidence.T,
            fit=at(fit, best[None], axis=0)[0].T,
            size=at(size, best[None], axis=0)[0].T,
            size_std=at(std, best[None], axis=0)[0].T,
            onset_s=onset_s[best].T,
        )

    def _open_wires(
        self,
        delta: FloatArray,
        information: FloatArray,
        evidence: FloatArray,
        fit: FloatArray,
        size: FloatArray,
    ) -> None:
        """A lost wire between two cells moves what they show apart by the same amount."""
        s = self.settings
        up, down = delta[:, :-1], delta[:, 1:]
        half = 0.5 * (up - down)
        both = np.minimum(information[:, :-1], information[:, 1:])
        balanced = np.abs(up + down) <= s.pair_imbalance * np.abs(up - down) + 2.0 * s.least_bias_v
        excess = np.maximum(np.abs(half) - s.least_bias_v, 0.0) * balanced
        # the two deviations are one fault: the evidence of both counts for it
        pair_evidence, pair_fit = excess**2 * both, np.where(excess > 0.0, half**2 * both, 0.0)
        for shift, sign in ((slice(None, -1), 1.0), (slice(1, None), -1.0)):
            better = pair_fit > fit[:, _OPEN_WIRE, shift]
            for whole, part in ((evidence, pair_evidence), (fit, pair_fit), (size, sign * half)):
                whole[:, _OPEN_WIRE, shift] = np.where(better, part, whole[:, _OPEN_WIRE, shift])
