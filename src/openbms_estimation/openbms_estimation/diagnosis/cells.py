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
from openbms_estimation.diagnosis.settings import CELL_CLASSES, DiagnosisSettings

__all__ = ["CellEvidence", "StringCells"]

FloatArray = NDArray[np.float64]

DZ, LOSS, LEAK, JOINT, GROWTH, BIAS = range(6)
_KINDS = 5  # of CELL_CLASSES; the open wire is a pair of biases
_OPEN_WIRE = CELL_CLASSES.index("open_wire")
_VOLTAGE_SENSOR = CELL_CLASSES.index("voltage_sensor")
_REFERENCE_DEGC = 25.0
_HOUR_S = 3600.0
_STILL_C = 0.05
_COMMON_STD = np.array([0.3, 0.2, 5.0])
"""Error that may be common to all cells: relative of the OCV's slope and of the overpotential, curvature of the
OCV [V]."""
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
        self.direction = np.zeros(cells)
        """Branch of the OCV on which each cell is, -1 (discharge) to 1 (charge)."""
        self.bled = np.zeros(cells)
        """Charge that balancing took from each cell, as a part of the capacity."""
        self.bled_unknown_s = np.full(cells, -np.inf)
        """When each cell was last bled by an unknown current [s]."""
        self._theta: FloatArray | None = None
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
        known = np.isfinite(soc)
        if not np.isfinite(rate) or not known.any() or np.isnan(voltage).all():
            return
        if not np.isfinite(self.origin_s):
            self.origin_s = block.end_s
        s = self.settings
        z = float(np.median(soc[known]))
        slope, u, drop, half_gap = self._overpotential(block, string, cells, z)
        branch = half_gap * (self.direction - np.median(self.direction))
        # small loops of the hysteresis are not known well enough: wait until use has taken all cells along
        voltage = np.where(np.abs(branch) > s.branch_v, np.nan, voltage)
        # what each cell would show had it never been bled
        rest = voltage - drop - branch + slope * self.bled
        y = rest - np.nanmedian(rest)
        hours = (block.end_s - self.origin_s) / _HOUR_S
        phi = np.array([slope, slope * (z - 0.5), -slope * hours, rate, u, 1.0])
        y = self._without_common_errors(y, phi)
        unlike = 1.4826 * float(np.median(np.abs(np.where(known, soc, z) - z)))
        variance = (
            s.noise_v**2
            + (s.overpotential_error * u) ** 2
            + (s.tail_error * self.drop_v * float(block.tail_c[string])) ** 2
            + (s.slope_error * slope * unlike) ** 2
        )
        still = abs(rate) < _STILL_C  # the error of the model stays the same as long as the charge does
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

    def _without_common_errors(self, y: FloatArray, phi: FloatArray) -> FloatArray:
        """Take out what the model gets wrong of all cells alike: the slope of the OCV, the overpotential.

        Such an error moves every cell in proportion to how far it differs in charge (and its square, as the
        OCV is curved), or in resistance; the crowd of the cells tells how much, and a single faulty one has
        little weight in it.
        """
        if self._theta is None:
            return y
        of_charge = phi[:JOINT] @ self._theta[:JOINT]
        of_current = phi[JOINT:BIAS] @ self._theta[JOINT:BIAS]
        left = y - of_charge - of_current - phi[BIAS] * self._theta[BIAS]
        apart = of_charge / phi[DZ]
        apart = apart - np.median(apart)
        parts = np.stack((of_charge - np.median(of_charge), of_current, apart * apart))
        rows = np.vstack((parts, np.where(np.isnan(left), 0.0, left)))
        scale = 1.4826 * np.median(np.abs(rows), axis=1)[:, None] + 1e-6
        limits = scale * _CROWD
        x, x_left = np.split(np.clip(rows, -limits, limits), [3])
        noise = float(np.mean(x_left**2)) + 1e-8
        normal = x @ x.T / noise + np.diag(_COMMON_STD**-2.0)
        share = np.linalg.solve(normal, x @ x_left[0] / noise)
        return np.asarray(y - np.clip(share, -2.5 * _COMMON_STD, 2.5 * _COMMON_STD) @ parts)

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
        middle = float(np.median(temperature))
        p = model.parameters(z, np.append(distinct, middle))
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
        information = information / crowd_variance(delta * np.sqrt(information))[..., None]
        signed = delta.copy()
        signed[:, _VOLTAGE_SENSOR] = np.abs(delta[:, _VOLTAGE_SENSOR])  # the others have one direction
        excess = np.maximum(signed - threshold[..., None], 0.0) * (signed <= most[:, None])
        evidence = np.zeros((count, len(CELL_CLASSES), self.cells))
        fit, size = np.zeros_like(evidence), np.zeros_like(evidence)
        evidence[:, :_KINDS] = 0.5 * excess**2 * information
        fit[:, :_KINDS] = np.where(excess > 0.0, 0.5 * delta**2 * information, 0.0)
        size[:, :_KINDS] = delta
        self._open_wires(delta[:, _VOLTAGE_SENSOR], information[:, _VOLTAGE_SENSOR], evidence, fit, size)
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
