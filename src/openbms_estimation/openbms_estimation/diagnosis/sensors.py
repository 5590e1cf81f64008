"""Evidence for faults of sensors that are not a cell's: current of a string, temperatures, string voltage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_estimation.diagnosis.blocks import Block
from openbms_estimation.diagnosis.change_model import ChangeModel, crowd_variance
from openbms_estimation.diagnosis.robust import middle
from openbms_estimation.diagnosis.settings import DiagnosisSettings

__all__ = ["CurrentSensor", "SensorEvidence", "StringSum", "TemperatureSensors"]

FloatArray = NDArray[np.float64]

_HOUR_S = 3600.0
_REFERENCE_DEGC = 25.0
_ANCHOR_S, _ELSEWHERE, _FIRST_ANCHOR = 6 * 3600.0, 0.03, 0.7
_MOST_GAIN = 0.5
_MOST_STUCK = 1.5
_BELIEVED_K = 2.0
"""A temperature further from what a sensor usually shows is not believed."""


@dataclass(frozen=True)
class SensorEvidence:
    """What speaks for a fault of each sensor of a kind.

    Attributes
    ----------
    evidence : ndarray, shape (sensors,)
        Logarithm of the likelihood ratio against health; NaN: cannot be judged.
    kind : ndarray of int, shape (sensors,)
        Most likely kind of fault (see the class that gives it).
    size, size_std : ndarray, shape (sensors,)
        Its size and standard deviation, in the unit of the kind.
    onset_s : ndarray, shape (sensors,)
        Its onset [s].
    """

    evidence: FloatArray
    kind: NDArray[np.intp]
    size: FloatArray
    size_std: FloatArray
    onset_s: FloatArray

    @classmethod
    def unknown(cls, sensors: int) -> SensorEvidence:
        """Nothing can be said."""
        nan = np.full(sensors, np.nan)
        return cls(nan, np.zeros(sensors, np.intp), nan, nan, nan)


def _strongest(
    onset_s: FloatArray, evidence: FloatArray, delta: FloatArray, variance: FloatArray
) -> SensorEvidence:
    """Give the strongest of all (onset, kind) for each series."""
    _, kinds, series = evidence.shape
    flat = evidence.reshape(-1, series)
    best = flat.argmax(axis=0)
    every = np.arange(series)
    return SensorEvidence(
        evidence=flat[best, every],
        kind=best % kinds,
        size=delta.reshape(-1, series)[best, every],
        size_std=np.sqrt(variance.reshape(-1, series)[best, every]),
        onset_s=onset_s[best // kinds],
    )


class CurrentSensor:
    """Charge as counted against rested voltages of the string's middle cell; kinds: 0 offset, 1 gain.

    Offset in the unit part of the capacity per hour, positive: reads too much charge. An error of the
    capacity looks like a gain, so that only a gain that changes is one of the sensor.

    Parameters
    ----------
    model : CellModel
    settings : DiagnosisSettings
    """

    OFFSET, GAIN = 0, 1

    def __init__(self, model: CellModel, settings: DiagnosisSettings) -> None:
        self.settings = settings
        self.changes = ChangeModel(1, [1.0, 0.05, 5e-4], epoch_s=1800.0, per_level=8)
        self._grid = np.linspace(0.0, 1.0, 441)
        self._ocv = model.ocv(self._grid, _REFERENCE_DEGC)
        self._model = model
        self.origin_s = math.nan
        self._counted = 0.0
        self._anchored = math.nan
        self._branch = 0.0
        self._rest_s = 0.0

    def take(self, block: Block, string: int, cells: slice) -> None:
        """Take a block of the string."""
        s, rate = self.settings, float(block.rate_c[string])
        if not math.isfinite(self.origin_s):
            self.origin_s, self._counted = block.end_s, float(block.counted[string])
        if math.isfinite(rate):
            moved = rate * block.duration_s / _HOUR_S
            self._branch = min(1.0, max(-1.0, self._branch + moved / self._model.hysteresis_soc))
        quiet = math.isfinite(rate) and abs(rate) < 0.05 and float(block.flutter_c[string]) < 0.02
        # through a silence the current is not known: neither rest nor charge goes on
        self._rest_s = self._rest_s + block.duration_s if quiet and block.gap_s == 0.0 else 0.0
        if not quiet:
            return
        hours = (block.end_s - self.origin_s) / _HOUR_S
        if block.contactors_open[string]:
            self._add(np.array([0.0, 0.0, 1.0]), rate, 5e-4, block.duration_s / _HOUR_S, block)
        if self._rest_s < s.anchor_rest_s:
            return
        voltage = block.cell_voltages_v[cells]
        if np.isnan(voltage).all():
            return
        v = middle(voltage)
        z = float(np.interp(v, self._ocv, self._grid))
        temperature = block.cell_temperatures_degc[cells]
        degc = middle(temperature)
        degc = degc if math.isfinite(degc) else _REFERENCE_DEGC
        p = self._model.parameters(z, degc)
        slope = max(float(p.chord_v), 1e-3)
        # the branch of the OCV on which the cells are is known, how far small loops go is not
        gap_v = float(p.half_gap_v)
        z -= gap_v * self._branch / slope
        std = math.hypot(math.hypot(s.anchor_std_v, 0.4 * gap_v) / slope, s.anchor_std_soc)
        counted = float(block.counted[string])
        # elsewhere on the curve its error is another one: that counts at once, staying there hardly does
        moved = not abs(counted - self._anchored) <= _ELSEWHERE
        samples = block.duration_s / _ANCHOR_S + (_FIRST_ANCHOR if moved else 0.0)
        self._add(np.array([1.0, counted, hours]), counted - z, std, samples, block)
        self._counted = self._anchored = counted

    def _add(self, phi: FloatArray, y: float, std: float, samples: float, block: Block) -> None:
        self.changes.add(
            phi,
            np.array([y]),
            weight=samples / std**2,
            samples=samples,
            time_s=block.end_s,
            duration_s=block.duration_s,
            reference=self._counted,
        )

    def evidence(self) -> SensorEvidence:
        """Compare the hypotheses."""
        if not self.changes.epochs:
            return SensorEvidence.unknown(1)
        s = self.settings
        onset_s, counted = self.changes.onsets()
        directions = np.zeros((len(onset_s), 2, 3))
        directions[:, 0, 2], directions[:, 0, 0] = 1.0, -(onset_s - self.origin_s) / _HOUR_S
        directions[:, 1, 1], directions[:, 1, 0] = 1.0, -counted
        found = self.changes.evaluate(directions)
        information = found.information[..., None] / found.inflation
        least = np.array([s.least_offset_per_h, s.least_gain])[:, None]
        excess = np.maximum(np.abs(found.delta) - least, 0.0)
        evidence = 0.5 * excess**2 * information
        # what counts twice as much, or nothing, is no gain
        evidence[:, self.GAIN] *= np.abs(found.delta[:, self.GAIN]) <= _MOST_GAIN
        evidence[0, self.GAIN] = 0.0  # from the beginning it may be the capacity
        return _strongest(onset_s, evidence, found.delta, 1.0 / information)


class TemperatureSensors:
    """Temperature sensors at cells against their median; kinds: 0 offset [K], 1 does not follow (0…1).

    Regressors are what makes healthy sensors differ: the level of the temperature, and heat (I², over ten
    minutes and over an hour).

    Parameters
    ----------
    sensors : ndarray of int
        Places of the sensors at cells in the pack's list.
    settings : DiagnosisSettings
    """

    OFFSET, STUCK = 0, 1
    LEAST_SENSORS = 3

    def __init__(self, sensors: NDArray[np.intp], settings: DiagnosisSettings) -> None:
        self.sensors, self.settings = sensors, settings
        self.changes = ChangeModel(len(sensors), [2.0, 1.0, 3.0, 3.0])
        self._heat = np.zeros(2)
        self._theta: FloatArray | None = None

    def take(self, block: Block) -> None:
        """Take a block."""
        rate = float(np.nanmax(np.abs(block.rate_c))) if np.isfinite(block.rate_c).any() else 0.0
        for k, tau_s in enumerate((600.0, 3600.0)):
            share = 1.0 - math.exp(-(block.duration_s + block.gap_s) / tau_s)
            self._heat[k] += (rate * rate - self._heat[k]) * share
        values = block.temperatures_degc[self.sensors]
        if np.isfinite(values).sum() < self.LEAST_SENSORS:
            return
        center = middle(values)
        samples = block.duration_s / (3.0 * self.settings.correlation_s)
        self.changes.add(
            np.array([1.0, (center - _REFERENCE_DEGC) / 10.0, *self._heat]),
            values - center,
            weight=samples / self.settings.temperature_noise_k**2,
            samples=samples,
            time_s=block.end_s,
            duration_s=block.duration_s,
            reference=(center - _REFERENCE_DEGC) / 10.0,
        )

    def believed(self, temperatures_degc: FloatArray, suspicious: NDArray[np.bool_]) -> FloatArray:
        """Give the temperatures without what a faulty sensor would make of them.

        Parameters
        ----------
        temperatures_degc : ndarray
            Every sensor of the pack [°C].
        suspicious : ndarray of bool, shape (sensors at cells,)
            These count for nothing.
        """
        values = temperatures_degc[self.sensors]
        if np.isfinite(values).sum() < self.LEAST_SENSORS:
            return temperatures_degc
        center = middle(values)
        usual = np.full(len(values), center)
        if self._theta is not None:
            phi = np.array([1.0, (center - _REFERENCE_DEGC) / 10.0, *self._heat])
            usual = center + np.clip(phi @ self._theta, -10.0, 10.0)
        found = temperatures_degc.copy()
        found[self.sensors] = np.where(
            suspicious, center, np.clip(values, usual - _BELIEVED_K, usual + _BELIEVED_K)
        )
        return found

    def evidence(self) -> SensorEvidence:
        """Compare the hypotheses."""
        if not self.changes.epochs:
            return SensorEvidence.unknown(len(self.sensors))
        s = self.settings
        onset_s, level = self.changes.onsets()
        directions = np.zeros((len(onset_s), 2, 4))
        directions[:, 0, 0] = 1.0
        # a sensor that stays where it was falls behind by what the others move
        directions[:, 1, 1], directions[:, 1, 0] = -10.0, 10.0 * level
        found = self.changes.evaluate(directions)
        self._theta = found.theta
        information = found.information[..., None] / found.inflation
        information = information / crowd_variance(found.delta * np.sqrt(information))[..., None]
        least = np.full((len(onset_s), 2), s.least_temperature_k)
        least[0, 0] = 2.5 * s.least_temperature_k
        least[:, 1] = s.least_stuck
        signed = found.delta.copy()
        signed[:, 0] = np.abs(signed[:, 0])
        signed[:, 1] *= signed[:, 1] <= _MOST_STUCK
        excess = np.maximum(signed - least[..., None], 0.0)
        return _strongest(onset_s, 0.5 * excess**2 * information, found.delta, 1.0 / information)


class StringSum:
    """String voltage against the sum of its cells; kinds: 0 offset [V], 1 resistance outside [V at 1C].

    Parameters
    ----------
    cells : int
    settings : DiagnosisSettings
    drop_v : float
        Overpotential of one cell at 1C [V].
    """

    OFFSET, CONNECTION = 0, 1

    def __init__(self, cells: int, settings: DiagnosisSettings, drop_v: float) -> None:
        self.settings, self.drop_v = settings, drop_v
        self.changes = ChangeModel(1, [0.01 * 4.0 * cells, 0.005, 0.2 * drop_v * 3.0])
        self.noise_v = 0.0007 * math.sqrt(cells)
        self._nominal_v = 3.7 * cells

    def take(self, block: Block, string: int, cells: slice) -> None:
        """Take a block of the string."""
        total, rate = float(block.cell_voltages_v[cells].sum()), float(block.rate_c[string])
        difference = float(block.string_voltages_v[string]) - total
        if not (math.isfinite(difference) and math.isfinite(rate)):
            return
        samples = block.duration_s / self.settings.correlation_s
        self.changes.add(
            np.array([1.0, total - self._nominal_v, rate]),
            np.array([difference]),
            weight=samples / self.noise_v**2,
            samples=samples,
            time_s=block.end_s,
            duration_s=block.duration_s,
        )

    def _evaluate(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        onset_s, _ = self.changes.onsets()
        directions = np.zeros((len(onset_s), 2, 3))
        directions[:, 0, 0] = directions[:, 1, 2] = 1.0
        found = self.changes.evaluate(directions)
        return onset_s, found.delta[..., 0], found.information / found.inflation[0]

    def for_bias(self, onset_s: FloatArray, bias_v: FloatArray) -> FloatArray:
        """Say how much the sum speaks for a bias of a cell's sensor against another fault of the cell.

        Parameters
        ----------
        onset_s, bias_v : ndarray, shape (cells,)
            Onset and size of the bias.

        Returns
        -------
        ndarray, shape (cells,)
            Logarithm of the likelihood ratio; 0 where there is no string voltage.
        """
        if not self.changes.epochs:
            return np.zeros(len(bias_v))
        tried_s, delta, information = self._evaluate()
        at = np.abs(tried_s[:, None] - onset_s).argmin(axis=0)
        seen, weight = delta[at, self.OFFSET], information[at, self.OFFSET]
        return np.asarray(np.clip(0.5 * weight * (seen**2 - (seen + bias_v) ** 2), -30.0, 30.0))

    def evidence(self) -> SensorEvidence:
        """Judge a connection outside the sense wires of the cells."""
        if not self.changes.epochs:
            return SensorEvidence.unknown(1)
        onset_s, delta, information = self._evaluate()
        excess = np.maximum(delta[1:, self.CONNECTION] - self.settings.least_joint * self.drop_v * 2.0, 0.0)
        if not excess.size:
            return SensorEvidence(np.zeros(1), np.ones(1, np.intp), np.zeros(1), np.ones(1), onset_s[:1])
        part = information[1:, self.CONNECTION]
        found = _strongest(
            onset_s[1:],
            (0.5 * excess**2 * part)[:, None, None],
            delta[1:, self.CONNECTION, None, None],
            (1.0 / part)[:, None, None],
        )
        return SensorEvidence(found.evidence, np.ones(1, np.intp), found.size, found.size_std, found.onset_s)
