"""Extended Kalman filter for the state of charge of many cells at once.

State of every cell (rows of all arrays below; columns are cells)::

    z   state of charge
    i1  current through the resistor of the fast RC pair [A]
    i2  current through the resistor of the slow RC pair [A]
    b   offset of the current measurement [A]: true current = measured - b
    s   relative error of the instantaneous resistance
    e   slow voltage error of the model [V]

``s`` and ``e`` are Gauss-Markov processes that forget over charge moved and over time: the error of a cell
model is not noise that averages out over the samples, and a filter that takes it for noise becomes certain
of a wrong value. The standard deviations come from the residuals in the cell file, so that voltage counts
less where the model is poor (cold, empty) or says little (flat OCV), whatever the sampling rate. Circuit:
:mod:`openbms_core.models.ecm`.

Sources: G. L. Plett, *Battery Management Systems*, vol. II, Artech 2016, ch. 3 (EKF for SoC, current-sensor
bias as a state); A. Gelb (ed.), *Applied Optimal Estimation*, MIT Press 1974, ch. 4 (correlated measurement
error by state augmentation, Joseph form).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.models.ecm import CellModel, CellParameters
from openbms_estimation.soc.estimate import Quality, SocEstimate, SocSample, capacity_of_cells, of_cells

__all__ = ["EkfSettings", "SocEkf"]

FloatArray = NDArray[np.float64]

Z, I1, I2, B, S, E = range(6)
SOC_LOW, SOC_HIGH = -0.05, 1.05
SHORTEST_S = 1e-4
"""Steps shorter than this bring nothing [s]."""
MOST_C = 200.0
"""Mean currents beyond this many capacities per hour are not believed in the RC pairs."""


@dataclass(frozen=True)
class EkfSettings:
    """Noise of the sensors and behaviour of the filter; what depends on the cell is in the cell file.

    Attributes
    ----------
    voltage_noise_std_v : float
        White noise of a cell voltage [V].
    current_bias_std_c : float
        Standard deviation of the current offset before the first sample, as a part of the capacity per hour.
    current_bias_walk_s : float
        Time in which the offset may wander by another ``current_bias_std_c`` [s].
    charge_relative_std : float
        Relative error of gain of the current sensor and of the capacity together.
    initial_soc_std : float
        Standard deviation of an SoC given at the start.
    unknown_soc_std : float
        Standard deviation where nothing is known.
    rest_std_v : float
        Distance of the first voltage from full relaxation, if no current flows then [V].
    gate : float
        Innovations beyond this many standard deviations lose weight.
    restart_sigma, restart_after_s, restart_std : float
        Innovations, or a model error, beyond this many standard deviations for this long [s] add this
        standard deviation to the SoC.
    unknown_current_c : float
        Standard deviation of the current while it is not measured, as a part of the capacity per hour.
    long_step_s : float
        Steps longer than this without a measured charge count as unmeasured current [s].
    relinearise_soc : float
        Corrections of more SoC than this are iterated.
    fast_correlation_s : float
        Time for which the fast error of the model keeps its value [s].
    first_gate : float
        A first voltage further than this many standard deviations from a given SoC overrules it.
    default_temperature_degc : float
        Used until the first temperature [°C].
    """

    voltage_noise_std_v: float = 0.002
    current_bias_std_c: float = 0.005
    current_bias_walk_s: float = 36_000.0
    charge_relative_std: float = 0.01
    initial_soc_std: float = 0.02
    unknown_soc_std: float = 0.3
    rest_std_v: float = 0.005
    gate: float = 4.0
    restart_sigma: float = 5.0
    restart_after_s: float = 120.0
    restart_std: float = 0.1
    unknown_current_c: float = 0.5
    long_step_s: float = 60.0
    relinearise_soc: float = 0.01
    fast_correlation_s: float = 5.0
    first_gate: float = 2.0
    default_temperature_degc: float = 25.0
    resistance_correlation_soc: float = 0.3
    resistance_correlation_time_s: float = 14_400.0
    use_resistance_state: bool = True


class SocEkf:
    """One filter for every cell, all in one step (NumPy, no loop over cells).

    Parameters
    ----------
    model : CellModel
        The cell.
    n_cells : int
        Number of cells.
    capacity_ah : array_like, shape () or (n_cells,), optional
        Present capacity of each cell as the model counts it (one cell of a parallel group) [Ah]; default: the
        model's.
    initial_soc : array_like, shape () or (n_cells,), optional
        State of charge at the start; NaN or absent: from the first voltage.
    initial_soc_std : array_like, optional
        Its standard deviation; default ``settings.initial_soc_std``.
    settings : EkfSettings, optional

    Raises
    ------
    ValueError
        ``n_cells`` below 1, or a capacity that is not positive.
    """

    method = "ekf_2rc"

    def __init__(
        self,
        model: CellModel,
        n_cells: int,
        *,
        capacity_ah: ArrayLike | None = None,
        initial_soc: ArrayLike | None = None,
        initial_soc_std: ArrayLike | None = None,
        settings: EkfSettings | None = None,
    ) -> None:
        if n_cells < 1:
            raise ValueError(f"n_cells is {n_cells}: at least one cell is needed")
        self.model = model
        self.n_cells = n_cells
        self.settings = settings or EkfSettings()
        self.set_capacity(model.capacity_ah if capacity_ah is None else capacity_ah)
        given = of_cells(np.nan if initial_soc is None else initial_soc, n_cells)
        known = np.isfinite(given)
        std = of_cells(self.settings.initial_soc_std if initial_soc_std is None else initial_soc_std, n_cells)
        self.x = np.zeros((6, n_cells))
        self.x[Z] = np.where(known, np.clip(given, 0.0, 1.0), 0.5)
        self.p = np.zeros((6, 6, n_cells))
        self.p[Z, Z] = np.where(known, std, self.settings.unknown_soc_std) ** 2
        self.p[B, B] = (self.settings.current_bias_std_c * self._capacity_ah) ** 2
        self.direction = np.zeros(n_cells)
        self._known = known.copy()
        self._started = np.zeros(n_cells, bool)
        self._temperature = np.full(n_cells, self.settings.default_temperature_degc)
        self._temperature_seen = np.zeros(n_cells, bool)
        self._current = np.zeros(n_cells)
        self._blind_s = np.zeros(n_cells)
        self._contradicted_s = np.zeros(n_cells)
        self._correlated = 1.0
        self._slow_std = np.zeros(n_cells)

    def set_capacity(self, capacity_ah: ArrayLike) -> None:
        """Take over new capacities [Ah], shape () or (n_cells,), for example from the SoH estimator."""
        self._capacity_ah = capacity_of_cells(capacity_ah, self.n_cells)

    @property
    def capacity_ah(self) -> FloatArray:
        """Capacity of each cell [Ah]."""
        return self._capacity_ah

    def step(self, sample: SocSample) -> SocEstimate:
        """Predict over the step, then correct with the voltages.

        Parameters
        ----------
        sample : SocSample

        Returns
        -------
        SocEstimate
        """
        n = self.n_cells
        dt = float(sample.dt_s)
        voltage = of_cells(sample.voltage_v, n)
        current = of_cells(sample.current_a, n)
        quality = np.zeros(n, np.uint8)
        regular = np.isfinite(dt) and dt > SHORTEST_S
        if not regular or dt > self.settings.long_step_s:
            quality |= np.uint8(Quality.TIME_IRREGULAR)
        has_temperature = self._take_temperature(of_cells(sample.temperature_degc, n), quality)
        has_current = np.isfinite(current)
        parameters = self.model.parameters(self.x[Z], self._temperature)
        slow_std = (
            parameters.slow_std_v if has_temperature is None else parameters.slow_std_v * has_temperature
        )
        self._slow_std = slow_std
        has_voltage = np.isfinite(voltage) & (voltage > 0.0)
        fresh = has_voltage & ~self._started
        if fresh.any():
            self._start(fresh, voltage, np.where(has_current, current, 0.0), slow_std, parameters, quality)
            parameters = self.model.parameters(self.x[Z], self._temperature)
        if regular:
            # an error that lasts seconds counts once, however often it is sampled
            self._correlated = 1.0 + 2.0 * self.settings.fast_correlation_s / dt
            has_charge = self._predict(
                dt, current, of_cells(sample.charge_increment_ah, n), parameters, slow_std
            )
            if not has_charge.all():
                quality[~has_charge] |= np.uint8(Quality.CURRENT_MISSING)
        self._current = np.where(has_current, current, self._current)
        innovation = np.full(n, np.nan)
        if regular or fresh.any():
            use = has_voltage & has_current if regular else fresh & has_current
            if use.any():
                innovation = self._correct(voltage, use, dt if regular else 0.0, quality)
        if not has_voltage.all():
            quality[~has_voltage] |= np.uint8(Quality.VOLTAGE_MISSING)
        if not has_current.all():
            quality[~has_current] |= np.uint8(Quality.CURRENT_MISSING)
        guess = ~(self._started | self._known)
        if guess.any():
            quality[guess] |= np.uint8(Quality.UNINITIALISED)
        return SocEstimate(
            soc=np.minimum(np.maximum(self.x[Z], 0.0), 1.0),
            soc_std=np.sqrt(self.p[Z, Z]),
            current_bias_a=self.x[B].copy(),
            current_bias_std_a=np.sqrt(self.p[B, B]),
            resistance_ratio=1.0 + self.x[S],
            resistance_ratio_std=np.sqrt(self.p[S, S]),
            innovation_v=innovation,
            quality=quality,
            method=self.method,
        )

    def _take_temperature(self, temperature: FloatArray, quality: NDArray[np.uint8]) -> FloatArray | None:
        """Keep the last temperature where there is none; give the factor on the model error (None: 1)."""
        fine = np.isfinite(temperature)
        low, high = self.model.fitted_temperature_range_degc
        if fine.all():
            self._temperature = temperature
            self._temperature_seen[:] = True
            factor = None
        else:
            self._temperature = np.where(fine, temperature, self._temperature)
            self._temperature_seen |= fine
            quality[~fine] |= np.uint8(Quality.TEMPERATURE_ASSUMED)
            factor = np.where(fine, 1.0, np.where(self._temperature_seen, 2.0, 4.0))
        outside = (self._temperature < low - 10.0) | (self._temperature > high + 10.0)
        if outside.any():
            quality[outside] |= np.uint8(Quality.OUTSIDE_MODEL)
        return factor

    def _start(
        self,
        fresh: NDArray[np.bool_],
        voltage: FloatArray,
        current: FloatArray,
        slow_std: FloatArray,
        p: CellParameters,
        quality: NDArray[np.uint8],
    ) -> None:
        """Set the state of cells whose first voltage is here; the correction then gives it its weight."""
        settings = self.settings
        start_std = np.sqrt(slow_std**2 + settings.rest_std_v**2 + p.half_gap_v**2)
        open_circuit = voltage - p.instant_v(current)
        # under load nobody knows for how long: the pairs may hold anything up to the present current
        polarised = (p.r1_ohm + p.r2_ohm) * np.abs(current)
        doubt = np.sqrt(p.chord_v**2 * self.p[Z, Z] + start_std**2 + polarised**2)
        wrong = fresh & self._known & (np.abs(open_circuit - p.ocv_v) > settings.first_gate * doubt)
        if wrong.any():
            quality[wrong] |= np.uint8(Quality.RESTARTED)
            self.p[Z, Z] = np.where(wrong, settings.unknown_soc_std**2, self.p[Z, Z])
        guess = fresh & (wrong | ~self._known)
        if guess.any():
            found = self.model.soc_from_ocv(np.where(guess, open_circuit, np.nan), self._temperature)
            self.x[Z] = np.where(guess, found, self.x[Z])
        resting = np.abs(current) < self._capacity_ah / 50.0
        pairs = np.where(resting, 0.0, np.abs(current))
        for row in (I1, I2):
            self.x[row] = np.where(fresh, 0.5 * np.where(resting, 0.0, current), self.x[row])
            self.p[row, row] = np.where(fresh, (0.5 * pairs) ** 2, self.p[row, row])
        self.p[E, E] = np.where(fresh, start_std**2, self.p[E, E])
        if settings.use_resistance_state:
            self.p[S, S] = np.where(fresh, p.resistance_relative_std**2, self.p[S, S])
        self._started |= fresh

    def _predict(
        self,
        dt: float,
        current: FloatArray,
        increment_ah: FloatArray,
        p: CellParameters,
        slow_std: FloatArray,
    ) -> NDArray[np.bool_]:
        """Move state and covariance over ``dt`` seconds; give where the charge of the step is known."""
        settings, capacity = self.settings, self._capacity_ah
        measured = np.isfinite(increment_ah)
        fallback = current * (dt / 3600.0)
        charge = np.where(measured, increment_ah, fallback)
        known = np.isfinite(charge) if dt <= settings.long_step_s else measured
        x = self.x
        bias = x[B]
        if known.all():
            self._blind_s[:] = 0.0
            blind_variance: FloatArray | float = 0.0
            charge_true = charge - bias * (dt / 3600.0)
            on: FloatArray | float = 1.0
        else:
            # an unmeasured current keeps its sign for long: the deviation, not the variance, grows with time
            since, now = self._blind_s, np.where(known, 0.0, self._blind_s + dt)
            rate = settings.unknown_current_c / 3600.0
            blind_variance = np.where(known, 0.0, rate * rate * (now * now - since * since))
            self._blind_s = now
            charge_true = np.where(known, charge - bias * (dt / 3600.0), 0.0)
            on = known.astype(float)
        most = MOST_C * capacity
        mean_current = np.minimum(np.maximum(charge_true * (3600.0 / dt), -most), most)
        efficiency = np.where(charge_true > 0.0, self.model.coulombic_efficiency, 1.0)
        per_ah = efficiency / capacity
        moved = charge_true * per_ah
        a1 = np.exp(-dt / p.tau1_s)
        a2 = np.exp(-dt / p.tau2_s)
        distance = np.abs(moved)
        swept = p.chord_v * distance
        forget_e = np.exp(-swept / self.model.correlation_v - dt / self.model.correlation_time_s)
        forget_s = np.exp(
            -distance / settings.resistance_correlation_soc - dt / settings.resistance_correlation_time_s
        )
        x[Z] += moved
        x[I1] = a1 * x[I1] + (1.0 - a1) * mean_current
        x[I2] = a2 * x[I2] + (1.0 - a2) * mean_current
        x[S] *= forget_s
        x[E] *= forget_e
        self.direction = np.minimum(np.maximum(self.direction + moved / self.model.hysteresis_soc, -1.0), 1.0)
        # F = diag(f) but for dz+/db: covariance by outer scaling instead of matrix products
        f = np.ones((6, self.n_cells))
        f[I1], f[I2], f[S], f[E] = a1, a2, forget_s, forget_e
        fp = f[:, None] * self.p
        drift = -per_ah * (dt / 3600.0) * on
        fp[Z] += drift * self.p[B]
        new = fp * f
        new[:, Z] += fp[:, B] * drift
        new[Z, Z] += settings.charge_relative_std**2 * distance + blind_variance
        new[B, B] += (settings.current_bias_std_c * capacity) ** 2 * (dt / settings.current_bias_walk_s)
        swing = (p.pair_relative_std * mean_current) ** 2
        new[I1, I1] += swing * (1.0 - a1 * a1)
        new[I2, I2] += swing * (1.0 - a2 * a2)
        if not known.all():
            spread = np.where(known, 0.0, settings.unknown_current_c * capacity) ** 2
            new[I1, I1] += spread * (1.0 - a1 * a1)
            new[I2, I2] += spread * (1.0 - a2 * a2)
        new[E, E] += slow_std**2 * (1.0 - forget_e * forget_e)
        if settings.use_resistance_state:
            new[S, S] += p.resistance_relative_std**2 * (1.0 - forget_s * forget_s)
        self.p = new
        x[Z] = np.minimum(np.maximum(x[Z], SOC_LOW), SOC_HIGH)
        # nobody can be less certain than "anywhere": bounds what an endless gap does
        self._limit_variance()
        return np.asarray(known)

    def _limit_variance(self) -> None:
        limit = self.settings.unknown_soc_std**2
        over = self.p[Z, Z] > limit
        if over.any():
            # scaling row and column keeps the matrix positive semidefinite
            scale = np.where(over, np.sqrt(limit / np.maximum(self.p[Z, Z], limit)), 1.0)
            self.p[Z] *= scale
            self.p[:, Z] *= scale

    def _expected(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give for a state its voltage (n,), the Jacobian (6, n) and the variance of the white noise (n,)."""
        p = self.model.parameters(x[Z], self._temperature)
        u = self._current - x[B]
        instant = p.instant_v(u)
        ratio = 1.0 + x[S]
        pairs = p.r1_ohm * x[I1] + p.r2_ohm * x[I2]
        expected = p.ocv_v + p.half_gap_v * self.direction + ratio * instant + pairs + x[E]
        h = np.empty((6, self.n_cells))
        # the tangent would change with every correction, and each change look like new knowledge
        h[Z] = p.chord_v + p.dhalf_gap_dsoc_v * self.direction
        h[I1] = p.r1_ohm
        h[I2] = p.r2_ohm
        # an offset is seen by the charge it moves; its voltage drop is lost in the error of the model
        h[B] = 0.0
        h[S] = instant
        h[E] = 1.0
        noise = (
            self.settings.voltage_noise_std_v**2
            + self._correlated * (self.model.fast_overpotential_ratio * instant) ** 2
        )
        return expected, h, noise

    def _correct(
        self,
        voltage: FloatArray,
        use: NDArray[np.bool_],
        dt: float,
        quality: NDArray[np.uint8],
    ) -> FloatArray:
        """Correct where ``use``; give the innovation [V]."""
        settings = self.settings
        expected, h, noise = self._expected(self.x)
        innovation = np.where(use, voltage - expected, 0.0)
        ph = (self.p * h).sum(axis=1)
        variance = (h * ph).sum(axis=0)
        squared = innovation * innovation
        # contradiction that lasts: the SoC itself must be wrong
        against = squared > settings.restart_sigma**2 * (variance + noise)
        against |= np.abs(self.x[E]) > settings.restart_sigma * self._slow_std
        self._contradicted_s = np.where(
            use, np.where(against, self._contradicted_s + dt, 0.0), self._contradicted_s
        )
        restart = self._contradicted_s > settings.restart_after_s
        if restart.any():
            quality[restart] |= np.uint8(Quality.RESTARTED)
            innovation = innovation + np.where(restart, self.x[E], 0.0)
            squared = innovation * innovation
            self._reopen(restart)
            ph = (self.p * h).sum(axis=1)
            variance = (h * ph).sum(axis=0)
        limited = squared > settings.gate**2 * (variance + noise)
        if limited.any():
            quality[limited] |= np.uint8(Quality.INNOVATION_LIMITED)
            noise = np.where(limited, squared / settings.gate**2 - variance, noise)
        gain = np.where(use, ph / (variance + noise), 0.0)
        change = gain * innovation
        if np.abs(change[Z]).max() > settings.relinearise_soc:
            change, gain, h = self._iterate(voltage, use, noise, change)
        self.x += change
        # Joseph form, (I - K h') P (I - K h')' + K R K', with rank-one products only
        ap = self.p - gain[:, None] * (self.p * h).sum(axis=1)
        aph = (ap * h).sum(axis=1)
        new = ap - aph[:, None] * gain + (gain * noise)[:, None] * gain
        self.p = 0.5 * (new + new.transpose(1, 0, 2))
        self.x[Z] = np.minimum(np.maximum(self.x[Z], SOC_LOW), SOC_HIGH)
        self.x[S] = np.minimum(np.maximum(self.x[S], -0.6), 3.0)
        return np.where(use, innovation, np.nan)

    def _reopen(self, where: NDArray[np.bool_]) -> None:
        """Doubt the SoC again and forget the model error: what they explained together was not so."""
        self._contradicted_s = np.where(where, 0.0, self._contradicted_s)
        self.x[E] = np.where(where, 0.0, self.x[E])
        soc_std = np.hypot(self.settings.restart_std, np.sqrt(self.p[Z, Z]))
        for row, std in ((Z, soc_std), (E, self._slow_std)):
            self.p[row] = np.where(where, 0.0, self.p[row])
            self.p[:, row] = np.where(where, 0.0, self.p[:, row])
            self.p[row, row] = np.where(where, std**2, self.p[row, row])

    def _iterate(
        self, voltage: FloatArray, use: NDArray[np.bool_], noise: FloatArray, change: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Relinearise a correction that moves the SoC far (iterated EKF: Gelb, ch. 6; Gauss-Newton with
        halved steps).

        The slope of the OCV differs several times between states of charge; a covariance computed with the
        slope of the wrong place would be trusted for an hour.
        """
        gain = h = np.zeros_like(change)
        for _ in range(12):
            point = self.x + change
            point[Z] = np.minimum(np.maximum(point[Z], SOC_LOW), SOC_HIGH)
            moved = point - self.x
            expected, h, _ = self._expected(point)
            ph = (self.p * h).sum(axis=1)
            gain = np.where(use, ph / ((h * ph).sum(axis=0) + noise), 0.0)
            wanted = gain * np.where(use, voltage - expected + (h * moved).sum(axis=0), 0.0)
            step = wanted - moved
            change = moved + np.where(np.abs(step[Z]) > 0.02, 0.5, 1.0) * step
            if np.abs(step[Z]).max() < 1e-3:
                break
        return change, gain, h
