"""Kalman filters for the state of charge of many cells at once.

State of every cell (rows of ``x``; columns are cells)::

    z   state of charge
    i1  current through the resistor of the fast RC pair [A]
    i2  current through the resistor of the slow RC pair [A]
    b   offset of the current measurement [A]: true current = measured - b
    s   relative error of the resistances: another specimen, another temperature inside than outside
    e   slow voltage error of the model [V]

``s`` and ``e`` are Gauss-Markov processes that forget over charge moved and over time: the error of a cell
model is not noise that averages out over the samples, and a filter that takes it for noise becomes certain
of a wrong value. Their standard deviations come from the residuals in the cell file, so that voltage counts
less where the model is poor (cold, empty) or says little (flat OCV), whatever the sampling rate; and they
grow where the innovations of the last minutes are larger than expected. Circuit:
:mod:`openbms_core.models.ecm`; the arithmetic of a step: :mod:`openbms_estimation.soc.kernel`.

Only the open-circuit voltage bends over the spread of a state. :class:`SocEkf` takes its slope over ±2 % of
SoC; :class:`SocSigmaPoint` takes slope, mean and variance from sigma points in that one direction and stays
exact in the others (marginalised central-difference filter), so that a wide doubt, as on the plateau of LFP,
sees the curve at large and not its tangent.

Sources: G. L. Plett, *Battery Management Systems*, vol. II, Artech 2016, ch. 3 (EKF and SPKF for SoC,
current-sensor bias as a state); A. Gelb (ed.), *Applied Optimal Estimation*, MIT Press 1974, ch. 4
(correlated measurement error by state augmentation); R. van der Merwe, *Sigma-Point Kalman Filters*, OHSU
2004, ch. 3 (central differences, h = √3); R. K. Mehra, IEEE Trans. Automatic Control 17 (1972) 693
(noise adapted from the innovations).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_core.compiled import HAS_COMPILER
from openbms_core.models.ecm import CellModel, CellParameters
from openbms_estimation.soc.estimate import Quality, SocEstimate, SocSample, capacity_of_cells, of_cells
from openbms_estimation.soc.kernel import (
    LOAD_RELATIVE_STD,
    RESULTS,
    SOC_HIGH,
    SOC_LOW,
    STATES,
    UNUSUAL,
    UPPER,
    Bounds,
    Constants,
    advance,
    fill_results,
    predicted_soc,
    regular_step,
    run_compiled,
    spread_of,
)
from openbms_estimation.soc.start_check import StartCheck

__all__ = ["SOC_HIGH", "SOC_LOW", "EkfSettings", "SocEkf", "SocSigmaPoint"]

FloatArray = NDArray[np.float64]

Z, I1, I2, B, S, E = range(STATES)
_SMALL_V = 0.04
"""A slow model error below this contradicts nothing."""
SHORTEST_S = 1e-4
"""Steps shorter than this bring nothing [s]."""
_BEYOND_FIT_K = 10.0
_FULL_WITHIN_V = 0.01
_FULL_ABOVE_DEGC = 5.0
_LIMITED = np.uint8(Quality.INNOVATION_LIMITED)
_PLACE = np.zeros((STATES, STATES), int)
_PLACE[UPPER] = np.arange(len(UPPER[0]))
_PLACE = np.maximum(_PLACE, _PLACE.T)
"""Element of the kept triangle for every element of the covariance."""
_ZZ, _BB, _SS, _EE = (int(_PLACE[k, k]) for k in (Z, B, S, E))


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
    doubt_time_s : float
        Time over which innovations are compared with what was expected of them [s].
    most_doubt : float
        The variance of the model's errors grows by no more than this factor.
    load_relative_std : float
        Standard deviation of the slow voltage error as a part of the overpotential that lasts, for a relative
        error of the resistance of 1.
    bend_std : float
        The bend of the open-circuit voltage counts as noise over a spread of the SoC up to this: without it,
        a filter that slides down the steep end of a curve takes each new slope for new knowledge; with the
        whole spread, the ends of the curve would say nothing to a filter that knows nothing.
    restart_sigma, restart_after_s, restart_std : float
        Innovations, or a model error, beyond this many standard deviations for this long [s] add this
        standard deviation to the SoC.
    unknown_current_c : float
        Standard deviation of the current while it is not measured, as a part of the capacity per hour.
    long_step_s : float
        Steps longer than this without a measured charge count as unmeasured current [s].
    fast_correlation_s : float
        Time for which the fast error of the model keeps its value [s].
    first_gate : float
        A first voltage further than this many standard deviations from a given SoC overrules it.
    default_temperature_degc : float
        Used until the first temperature [°C].
    full_current_c, full_time_s, full_std : float
        At the charge limit with less current than this part of the capacity per hour for this long [s] the
        cell is full, by definition, within this standard deviation.
    resistance_correlation_soc, resistance_correlation_time_s : float
        Charge moved and time [s] over which the error of the resistance keeps its value.
    use_resistance_state : bool
    check_start : bool
        Compare a told SoC with a start from the first voltage (:mod:`openbms_estimation.soc.start_check`).
    compiled : bool
        Work the cells through in a compiled loop where Numba is installed; else with NumPy.
    """

    voltage_noise_std_v: float = 0.002
    current_bias_std_c: float = 0.003
    current_bias_walk_s: float = 36_000.0
    charge_relative_std: float = 0.005
    initial_soc_std: float = 0.02
    unknown_soc_std: float = 0.3
    rest_std_v: float = 0.005
    gate: float = 4.0
    doubt_time_s: float = 600.0
    most_doubt: float = 9.0
    load_relative_std: float = LOAD_RELATIVE_STD
    bend_std: float = 0.05
    restart_sigma: float = 5.0
    restart_after_s: float = 120.0
    restart_std: float = 0.1
    unknown_current_c: float = 0.5
    long_step_s: float = 60.0
    fast_correlation_s: float = 5.0
    first_gate: float = 1.5
    default_temperature_degc: float = 25.0
    full_current_c: float = 0.05
    full_time_s: float = 60.0
    full_std: float = 0.005
    resistance_correlation_soc: float = 0.3
    resistance_correlation_time_s: float = 14_400.0
    use_resistance_state: bool = True
    check_start: bool = True
    compiled: bool = True


class SocEkf:
    """One filter for every cell, all in one step.

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
    sigma_points = False

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
        self._constants = self._constants_of(model, self.settings)
        self._compiled = self.settings.compiled and HAS_COMPILER
        self._start_check: StartCheck | None = None
        self.set_capacity(model.capacity_ah if capacity_ah is None else capacity_ah)
        given = of_cells(np.nan if initial_soc is None else initial_soc, n_cells)
        known = np.isfinite(given)
        std = of_cells(self.settings.initial_soc_std if initial_soc_std is None else initial_soc_std, n_cells)
        self.x = np.zeros((STATES, n_cells))
        self.x[Z] = np.where(known, np.clip(given, 0.0, 1.0), 0.5)
        self.upper = np.zeros((len(UPPER[0]), n_cells))
        self.upper[_ZZ] = np.where(known, std, self.settings.unknown_soc_std) ** 2
        self.upper[_BB] = (self.settings.current_bias_std_c * self._capacity_ah) ** 2
        self.direction = np.zeros(n_cells)
        self.doubt = np.ones(n_cells)
        self._known = known.copy()
        self._started = np.zeros(n_cells, bool)
        self._all_started = False
        self._temperature = np.full(n_cells, self.settings.default_temperature_degc)
        self._temperature_seen = np.zeros(n_cells, bool)
        self._ones = np.ones(n_cells)
        self._zeros = np.zeros(n_cells)
        self._blind_s = np.zeros(n_cells)
        self._contradicted_s = np.zeros(n_cells)
        self._full_s = np.zeros(n_cells)
        self._innovation, self._variance, self._limited, self._scratch = np.zeros((4, n_cells))
        if known.any() and self.settings.check_start:
            self._start_check = StartCheck(known)
            alone = replace(self.settings, check_start=False)
            self._rival = type(self)(model, n_cells, capacity_ah=self._capacity_ah, settings=alone)
        self._axes = model.axes
        low, high = model.fitted_temperature_range_degc
        self._bounds = Bounds(
            coldest_degc=low - _BEYOND_FIT_K,
            hottest_degc=high + _BEYOND_FIT_K,
            restart_sigma=self.settings.restart_sigma,
            restart_after_s=self.settings.restart_after_s,
            full_time_s=self.settings.full_time_s,
            small_v=_SMALL_V,
            full_v=model.voltage_max_v - _FULL_WITHIN_V,
            full_current_c=self.settings.full_current_c,
            full_above_degc=_FULL_ABOVE_DEGC,
        )

    def _constants_of(self, model: CellModel, s: EkfSettings) -> Constants:
        return Constants(
            voltage_noise_v2=s.voltage_noise_std_v**2,
            bias_std_c=s.current_bias_std_c,
            bias_walk_s=s.current_bias_walk_s,
            charge_relative_std=s.charge_relative_std,
            unknown_soc_var=s.unknown_soc_std**2,
            unknown_current_c=s.unknown_current_c,
            gate2=s.gate**2,
            resistance_correlation_soc=s.resistance_correlation_soc,
            resistance_correlation_s=s.resistance_correlation_time_s,
            resistance_state=1.0 if s.use_resistance_state else 0.0,
            fast_correlation_s=s.fast_correlation_s,
            sigma_points=1.0 if self.sigma_points else 0.0,
            doubt_time_s=s.doubt_time_s,
            most_doubt=s.most_doubt,
            load_relative_std=s.load_relative_std,
            bend_var=s.bend_std**2,
            correlation_v=model.correlation_v,
            correlation_s=model.correlation_time_s,
            fast_overpotential_ratio=model.fast_overpotential_ratio,
            shared_resistance_error=model.shared_resistance_error,
            coulombic_efficiency=model.coulombic_efficiency,
            hysteresis_soc=model.hysteresis_soc,
        )

    def set_capacity(self, capacity_ah: ArrayLike) -> None:
        """Take over new capacities [Ah], shape () or (n_cells,), for example from the SoH estimator."""
        self._capacity_ah = capacity_of_cells(capacity_ah, self.n_cells)
        if self._start_check is not None:
            self._rival.set_capacity(self._capacity_ah)

    @property
    def capacity_ah(self) -> FloatArray:
        """Capacity of each cell [Ah]."""
        return self._capacity_ah

    @property
    def p(self) -> FloatArray:
        """Covariance, shape (6, 6, n_cells); a copy of the triangle that is kept in ``upper``."""
        return self.upper[_PLACE]

    def step(self, sample: SocSample) -> SocEstimate:
        """Predict over the step, then correct with the voltages.

        Parameters
        ----------
        sample : SocSample

        Returns
        -------
        SocEstimate
        """
        estimate = self._step(sample)
        if self._start_check is not None:
            self._rival._step(sample)
            won = self._start_check.judge(self, self._rival, max(float(sample.dt_s), 0.0))
            if won.any():
                estimate = self._estimate(estimate.innovation_v, estimate.quality)
                estimate.quality[won] |= np.uint8(Quality.RESTARTED)
            if not self._start_check.disputed.any():
                self._start_check = None
        return estimate

    def _estimate(self, innovation: FloatArray, quality: NDArray[np.uint8]) -> SocEstimate:
        return SocEstimate(
            soc=np.minimum(np.maximum(self.x[Z], 0.0), 1.0),
            soc_std=np.sqrt(np.maximum(self.upper[_ZZ], 0.0)),
            current_bias_a=self.x[B].copy(),
            current_bias_std_a=np.sqrt(np.maximum(self.upper[_BB], 0.0)),
            resistance_ratio=1.0 + self.x[S],
            resistance_ratio_std=np.sqrt(np.maximum(self.upper[_SS], 0.0)),
            innovation_v=innovation,
            quality=quality,
            method=self.method,
        )

    def _step(self, sample: SocSample) -> SocEstimate:
        n = self.n_cells
        dt = float(sample.dt_s)
        voltage = _ready(sample.voltage_v, n)
        current = _ready(sample.current_a, n)
        if self._compiled and self._all_started and SHORTEST_S < dt <= self.settings.long_step_s:
            estimate = self._regular_step(dt, current, voltage, sample)
            if estimate is not None:
                return estimate
        quality = np.zeros(n, np.uint8)
        regular = bool(np.isfinite(dt) and dt > SHORTEST_S)
        if not regular or dt > self.settings.long_step_s:
            quality |= np.uint8(Quality.TIME_IRREGULAR)
        more_error = self._take_temperature(_ready(sample.temperature_degc, n), quality)
        has_current, has_voltage = np.isfinite(current), np.isfinite(voltage) & (voltage > 0.0)
        all_current, all_voltage = bool(has_current.all()), bool(has_voltage.all())
        if not all_voltage:
            quality[~has_voltage] |= np.uint8(Quality.VOLTAGE_MISSING)
        if not all_current:
            quality[~has_current] |= np.uint8(Quality.CURRENT_MISSING)
        fresh = None
        if not self._all_started:
            fresh = has_voltage & ~self._started
            if fresh.any():
                self._start(fresh, voltage, np.where(has_current, current, 0.0), more_error, quality)
                self._all_started = bool(self._started.all())
        use = self._ones if all_current and all_voltage else (has_voltage & has_current).astype(float)
        if regular:
            charge, known, blind = self._charge(dt, current, of_cells(sample.charge_increment_ah, n), quality)
            self._advance(
                dt, current, voltage, use, charge, known, blind, more_error, all_current, all_voltage
            )
        elif fresh is not None and fresh.any():
            nothing = self._zeros
            self._advance(
                0.0, current, voltage, use * fresh, nothing, self._ones, nothing, more_error, False, False
            )
        else:
            self._innovation = np.zeros(n)
            use = self._zeros
        if regular:
            self._judge(dt, use, voltage, current, quality)
        if not (self._all_started or self._known.all()):
            quality[~(self._started | self._known)] |= np.uint8(Quality.UNINITIALISED)
        innovation = (
            self._innovation.copy() if use is self._ones else np.where(use > 0.5, self._innovation, np.nan)
        )
        return self._estimate(innovation, quality)

    def _regular_step(
        self, dt: float, current: FloatArray, voltage: FloatArray, sample: SocSample
    ) -> SocEstimate | None:
        """Work a step with a complete sample; None, and nothing done, if it is not complete."""
        n = self.n_cells
        temperature = _ready(sample.temperature_degc, n)
        increment = _ready(sample.charge_increment_ah, n)
        results, quality = np.empty((RESULTS, n)), np.zeros(n, np.uint8)
        found = regular_step(
            self.model.table, self._axes, self.x, self.upper, self.direction, self.doubt, increment, current,
            voltage, temperature, dt, self._capacity_ah, self._constants, self._bounds, self._contradicted_s,
            self._full_s, self._ones, self._zeros, self._scratch, self._innovation, self._variance,
            self._limited, quality, _LIMITED, results,
        )  # fmt: skip
        if found == UNUSUAL:
            return None
        self._temperature = temperature
        self._temperature_seen[:] = True
        self._blind_s[:] = 0.0
        if found:
            self._act_upon_counters(quality)
            fill_results(self.x, self.upper, self._innovation, results)
        soc, soc_std, bias, bias_std, ratio, ratio_std, innovation = results
        return SocEstimate(soc, soc_std, bias, bias_std, ratio, ratio_std, innovation, quality, self.method)

    def _advance(
        self,
        dt: float,
        current: FloatArray,
        voltage: FloatArray,
        use: FloatArray,
        charge: FloatArray,
        known: FloatArray,
        blind: FloatArray,
        more_error: FloatArray,
        all_current: bool,
        all_voltage: bool,
    ) -> None:
        """Work one step of the kernel; compiled, or with arrays."""
        if not all_current:
            current = np.where(np.isfinite(current), current, self.x[B])
        if not all_voltage:
            voltage = np.where(np.isfinite(voltage), voltage, 0.0)
        k, capacity = self._constants, self._capacity_ah
        if self._compiled:
            run_compiled(
                self.model.table, self._axes, self.x, self.upper, self.direction, self.doubt, charge,
                known, blind, current, voltage, use, more_error, self._temperature, dt, capacity, k,
                self._innovation, self._variance, self._limited,
            )  # fmt: skip
            return
        efficiency = k.coulombic_efficiency
        z, moved = predicted_soc(self.x[Z], self.x[B], charge, known, dt, capacity, efficiency)
        q = self.model.parameters(z, self._temperature)
        turn = moved * np.where(moved > 0.0, efficiency, 1.0) / capacity / k.hysteresis_soc
        turned = np.minimum(np.maximum(self.direction + turn, -1.0), 1.0)
        spread = spread_of(self.upper[_ZZ], k.sigma_points)
        up = self.model.ocv(z + spread, self._temperature, turned)
        down = self.model.ocv(z - spread, self._temperature, turned)
        found = advance(
            tuple(self.x), tuple(self.upper), self.direction, self.doubt, z, moved, known, blind, current,
            voltage, use, more_error, dt, capacity, tuple(getattr(q, name) for name in _FIELDS), up, down,
            spread, k,
        )  # fmt: skip
        last = STATES + len(self.upper)
        self.x, self.upper = np.stack(found[:STATES]), np.stack(found[STATES:last])
        self.direction, self.doubt, self._innovation, self._variance, self._limited = found[last:]

    def _take_temperature(self, temperature: FloatArray, quality: NDArray[np.uint8]) -> FloatArray:
        """Keep the last temperature where there is none; give the factor on the model error."""
        fine = np.isfinite(temperature)
        low, high = self.model.fitted_temperature_range_degc
        if fine.all():
            self._temperature = temperature
            self._temperature_seen[:] = True
            factor = self._ones
        else:
            self._temperature = np.where(fine, temperature, self._temperature)
            self._temperature_seen |= fine
            quality[~fine] |= np.uint8(Quality.TEMPERATURE_ASSUMED)
            factor = np.where(fine, 1.0, np.where(self._temperature_seen, 2.0, 4.0))
        outside = (self._temperature < low - _BEYOND_FIT_K) | (self._temperature > high + _BEYOND_FIT_K)
        if outside.any():
            quality[outside] |= np.uint8(Quality.OUTSIDE_MODEL)
        return factor

    def _charge(
        self, dt: float, current: FloatArray, increment_ah: FloatArray, quality: NDArray[np.uint8]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Charge of the step [Ah], 1 where it is known, and the variance of SoC where it is not."""
        measured = np.isfinite(increment_ah)
        charge = np.where(measured, increment_ah, current * (dt / 3600.0))
        known = np.isfinite(charge) if dt <= self.settings.long_step_s else measured
        if known.all():
            self._blind_s[:] = 0.0
            return charge, self._ones, self._zeros
        quality[~known] |= np.uint8(Quality.CURRENT_MISSING)
        # an unmeasured current keeps its sign for long: the deviation, not the variance, grows with time
        since, now = self._blind_s, np.where(known, 0.0, self._blind_s + dt)
        rate = self.settings.unknown_current_c / 3600.0
        blind = np.where(known, 0.0, rate * rate * (now * now - since * since))
        self._blind_s = now
        return np.where(known, charge, 0.0), known.astype(float), blind

    def _start(
        self,
        fresh: NDArray[np.bool_],
        voltage: FloatArray,
        current: FloatArray,
        more_error: FloatArray,
        quality: NDArray[np.uint8],
    ) -> None:
        """Set the state of cells whose first voltage is here; the correction then gives it its weight."""
        settings = self.settings
        p = self.model.parameters(self.x[Z], self._temperature)

        def error_std(q: CellParameters) -> FloatArray:
            slow = q.slow_std_v * more_error
            return np.asarray(np.sqrt(slow**2 + settings.rest_std_v**2 + q.half_gap_v**2))

        open_circuit = voltage - p.instant_v(current)
        # under load nobody knows for how long: the pairs may hold anything up to the present current
        polarised = (p.r1_ohm + p.r2_ohm) * np.abs(current)
        unsure = p.resistance_relative_std * np.abs(p.instant_v(current))
        doubt = np.sqrt(p.chord_v**2 * self.upper[_ZZ] + error_std(p) ** 2 + polarised**2 + unsure**2)
        wrong = fresh & self._known & (np.abs(open_circuit - p.ocv_v) > settings.first_gate * doubt)
        if wrong.any():
            quality[wrong] |= np.uint8(Quality.RESTARTED)
            self.upper[_ZZ] = np.where(wrong, settings.unknown_soc_std**2, self.upper[_ZZ])
        guess = fresh & (wrong | ~self._known)
        if guess.any():
            found = self.model.soc_from_ocv(np.where(guess, open_circuit, np.nan), self._temperature)
            self.x[Z] = np.where(guess, found, self.x[Z])
            p = self.model.parameters(self.x[Z], self._temperature)
        resting = np.abs(current) < self._capacity_ah / 50.0
        pairs = np.where(resting, 0.0, np.abs(current))
        for row in (I1, I2):
            place = _PLACE[row, row]
            self.x[row] = np.where(fresh, 0.5 * np.where(resting, 0.0, current), self.x[row])
            self.upper[place] = np.where(fresh, (0.5 * pairs) ** 2, self.upper[place])
        self.upper[_EE] = np.where(fresh, error_std(p) ** 2, self.upper[_EE])
        if settings.use_resistance_state:
            self.upper[_SS] = np.where(fresh, p.resistance_relative_std**2, self.upper[_SS])
        self._started = self._started | fresh

    def _judge(
        self,
        dt: float,
        use: FloatArray,
        voltage: FloatArray,
        current: FloatArray,
        quality: NDArray[np.uint8],
    ) -> None:
        """After a step: what lost weight, what contradicts the estimate for long, what is full."""
        settings = self.settings
        limited = self._limited > 0.5
        if limited.any():
            quality[limited] |= np.uint8(Quality.INNOVATION_LIMITED)
        squared = self._innovation * self._innovation
        against = squared > settings.restart_sigma**2 * self._variance
        large = np.abs(self.x[E]) > _SMALL_V
        if large.any():
            against |= large & (np.abs(self.x[E]) > settings.restart_sigma * self._slow_std())
        if against.any() or self._contradicted_s.any():
            counted = np.where(against, self._contradicted_s + dt, 0.0)
            self._contradicted_s = np.where(use > 0.5, counted, self._contradicted_s)
        full = (
            (voltage > self.model.voltage_max_v - _FULL_WITHIN_V)
            & (current >= 0.0)
            & (current < settings.full_current_c * self._capacity_ah)
            & (self._temperature > _FULL_ABOVE_DEGC)
        )
        if full.any() or self._full_s.any():
            self._full_s = np.where(full, self._full_s + dt, 0.0)
        self._act_upon_counters(quality)

    def _act_upon_counters(self, quality: NDArray[np.uint8]) -> None:
        """Open again what was contradicted for long; anchor what has been full for long."""
        settings = self.settings
        restart = self._contradicted_s > settings.restart_after_s
        if restart.any():
            quality[restart] |= np.uint8(Quality.RESTARTED)
            self._reopen(restart)
        full = self._full_s > settings.full_time_s
        if full.any():
            self._anchor(full, 1.0, settings.full_std)

    def _slow_std(self) -> FloatArray:
        """Standard deviation that the slow model error may have now [V]."""
        p = self.model.parameters(self.x[Z], self._temperature)
        load = (p.r0_ohm + p.r1_ohm) * np.abs(self.x[I1]) + p.r2_ohm * np.abs(self.x[I2])
        return np.asarray(
            np.hypot(p.slow_std_v, self.settings.load_relative_std * p.resistance_relative_std * load)
        )

    def _anchor(self, where: NDArray[np.bool_], soc: float, std: float) -> None:
        """Correct cells with a state of charge that is known by definition; no repetition makes it surer."""
        self._full_s = np.where(where, -1e9, self._full_s)  # once for each time that it fills
        row = _PLACE[Z]
        column = self.upper[row]
        gain = np.where(where, column / (column[0] + std**2), 0.0)
        self.x += gain * (soc - self.x[Z])
        for place, (first, second) in enumerate(zip(*UPPER, strict=True)):
            self.upper[place] -= gain[first] * column[second]
        self.x[Z] = np.clip(self.x[Z], SOC_LOW, SOC_HIGH)

    def _reopen(self, where: NDArray[np.bool_]) -> None:
        """Doubt the SoC again and forget the model error: what they explained together was not so."""
        self._contradicted_s = np.where(where, 0.0, self._contradicted_s)
        self.doubt = np.where(where, 1.0, self.doubt)
        self.x[E] = np.where(where, 0.0, self.x[E])
        slow_std = self._slow_std()
        soc_var = self.settings.restart_std**2 + self.upper[_ZZ]
        for row, variance in ((Z, soc_var), (E, slow_std**2)):
            places = _PLACE[row]
            self.upper[places] = np.where(where, 0.0, self.upper[places])
            self.upper[_PLACE[row, row]] = np.where(where, variance, self.upper[_PLACE[row, row]])


def _ready(value: ArrayLike, count: int) -> FloatArray:
    """Give ``value`` as an array as the compiled step takes it; for any other it would be compiled anew."""
    array = of_cells(value, count)
    return array if array.flags.carray else array.copy()


class SocSigmaPoint(SocEkf):
    """The same filter with sigma points over the open-circuit voltage; parameters as :class:`SocEkf`."""

    method = "sigma_point"
    sigma_points = True


_FIELDS = (
    "ocv_v", "half_gap_v", "docv_dsoc_v", "dhalf_gap_dsoc_v", "r0_ohm", "kinetic_resistance_ohm",
    "kinetic_current_a", "r1_ohm", "tau1_s", "r2_ohm", "tau2_s", "slow_std_v", "resistance_relative_std",
    "pair_relative_std", "chord_v",
)  # fmt: skip
