"""The filter: invariants, agreement with an independent filter, convergence, gaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filterpy.kalman import ExtendedKalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.ekf import EkfSettings, SocEkf, SocSigmaPoint
from openbms_estimation.soc.estimate import Quality, SocSample

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))
OPEN = EkfSettings(gate=1e9, restart_sigma=1e9, first_gate=1e9, most_doubt=1.0, check_start=False)


def drive(seconds: int, seed: int = 1) -> np.ndarray:
    """Some driving: steps of current of random height and length [A]."""
    rng = np.random.default_rng(seed)
    current = np.repeat(rng.normal(-1.5, 2.5, seconds // 5 + 1), 5)[:seconds]
    return np.asarray(np.clip(current, -10.0, 3.0))


def cell_voltage(
    current: np.ndarray, soc: float, temperature: float, dt: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Voltage and SoC of the model itself along a current."""
    i1 = i2 = direction = 0.0
    volts, socs = [], []
    for i in current:
        p = MODEL.parameters(soc, temperature)
        i1 = i + np.exp(-dt / p.tau1_s) * (i1 - i)
        i2 = i + np.exp(-dt / p.tau2_s) * (i2 - i)
        soc += i * dt / 3600 / MODEL.capacity_ah
        direction = float(
            np.clip(direction + i * dt / 3600 / MODEL.capacity_ah / MODEL.hysteresis_soc, -1, 1)
        )
        p = MODEL.parameters(soc, temperature)
        volts.append(p.ocv_v + p.half_gap_v * direction + p.instant_v(i) + p.r1_ohm * i1 + p.r2_ohm * i2)
        socs.append(soc)
    return np.array(volts), np.array(socs)


def run(ekf: SocEkf, current: np.ndarray, voltage: np.ndarray, temperature: float = 25.0) -> np.ndarray:
    return np.array(
        [ekf.step(SocSample(1.0, i, v, temperature)).soc for i, v in zip(current, voltage, strict=True)]
    )


class Oracle:
    """One filterpy filter for one cell, with the same model and noise written as matrices."""

    def __init__(self, soc: float, temperature: float) -> None:
        self.t = temperature
        self.direction = 0.0
        self.f = ExtendedKalmanFilter(dim_x=6, dim_z=1)
        p = MODEL.parameters(soc, temperature)
        s = OPEN
        self.f.x = np.array([[soc], [0], [0], [0], [0], [0]], float)
        bias = (s.current_bias_std_c * MODEL.capacity_ah) ** 2
        slow = p.slow_std_v**2 + s.rest_std_v**2 + p.half_gap_v**2
        self.f.P = np.diag(
            [s.initial_soc_std**2, 0, 0, bias, float(p.resistance_relative_std) ** 2, float(slow)]
        )

    def predict(self, i: float, dt: float) -> None:
        s, q = OPEN, MODEL.capacity_ah
        x = self.f.x[:, 0]
        mean = i - x[3]
        moved = mean * dt / 3600 / q
        p = MODEL.parameters(x[0] + moved, self.t)
        a1, a2 = np.exp(-dt / p.tau1_s), np.exp(-dt / p.tau2_s)
        self.direction = float(np.clip(self.direction + moved / MODEL.hysteresis_soc, -1, 1))
        slope = self.slope(x[0] + moved)
        fe = np.exp(-slope * abs(moved) / MODEL.correlation_v - dt / MODEL.correlation_time_s)
        fs = np.exp(-abs(moved) / s.resistance_correlation_soc - dt / s.resistance_correlation_time_s)
        self.f.F = np.diag([1, a1, a2, 1, fs, fe]).astype(float)
        self.f.F[0, 3] = -dt / 3600 / q
        swing = (p.pair_relative_std * mean) ** 2
        between = 0.4 * p.half_gap_v * (1 - self.direction**2)
        i1, i2 = a1 * x[1] + (1 - a1) * mean, a2 * x[2] + (1 - a2) * mean
        load = (
            s.load_relative_std
            * p.resistance_relative_std
            * ((p.r0_ohm + p.r1_ohm) * abs(i1) + p.r2_ohm * abs(i2))
        )
        self.f.Q = np.diag(
            [
                s.charge_relative_std**2 * abs(moved),
                swing * (1 - a1**2),
                swing * (1 - a2**2),
                (s.current_bias_std_c * q) ** 2 * dt / s.current_bias_walk_s,
                p.resistance_relative_std**2 * (1 - fs**2),
                (p.slow_std_v**2 + load**2 + between**2) * (1 - fe**2),
            ]
        ).astype(float)
        moved_x = self.f.F @ x
        moved_x[0] = x[0] + moved
        moved_x[1], moved_x[2] = i1, i2
        self.f.predict_x = lambda u=0: None
        self.f.predict()
        self.f.x = moved_x[:, None]

    def slope(self, soc: float) -> float:
        up, down = MODEL.ocv([soc + 0.02, soc - 0.02], self.t, self.direction)
        return float((up - down) / 0.04)

    def update(self, v: float, i: float, dt: float) -> None:
        def voltage(x: np.ndarray) -> np.ndarray:
            p = MODEL.parameters(x[0, 0], self.t)
            over = p.instant_v(i - x[3, 0]) + p.r1_ohm * x[1, 0] + p.r2_ohm * x[2, 0]
            return np.array([[p.ocv_v + p.half_gap_v * self.direction + (1 + x[4, 0]) * over + x[5, 0]]])

        def jacobian(x: np.ndarray) -> np.ndarray:
            p = MODEL.parameters(x[0, 0], self.t)
            slope, more = self.slope(x[0, 0]), 1 + x[4, 0]
            over = p.instant_v(i - x[3, 0]) + p.r1_ohm * x[1, 0] + p.r2_ohm * x[2, 0]
            return np.array([[slope, more * p.r1_ohm, more * p.r2_ohm, 0.0, over, 1.0]], float)

        p = MODEL.parameters(self.f.x[0, 0], self.t)
        u = i - self.f.x[3, 0]
        fast = MODEL.fast_overpotential_ratio * (abs(p.instant_v(u)) + p.r0_ohm * abs(u - self.f.x[1, 0]))
        seconds = 1 + 2 * OPEN.fast_correlation_s / dt
        soc = self.f.x[0, 0]
        up, middle, down = MODEL.ocv([soc + 0.02, soc, soc - 0.02], self.t, self.direction)
        unsure = 0.5 * (up + down - 2 * middle) / 0.02**2 * min(self.f.P[0, 0], OPEN.bend_std**2)
        noise = OPEN.voltage_noise_std_v**2 + seconds * (fast**2 + 2 * unsure**2)
        self.f.R = np.array([[float(noise)]])
        self.f.update(np.array([[v]]), jacobian, voltage)


@pytest.mark.parametrize("compiled", [True, False])
def test_batch_equals_one_filterpy_filter_per_cell(compiled: bool) -> None:
    cells, steps, dt = 4, 200, 1.0
    start = np.array([0.85, 0.7, 0.55, 0.4])
    temperatures = np.array([25.0, 10.0, 0.0, -8.0])
    rng = np.random.default_rng(3)
    current = drive(steps)
    volts = np.stack(
        [cell_voltage(current, z + 0.01, t)[0] for z, t in zip(start, temperatures, strict=True)], 1
    )
    volts += rng.normal(0, 0.003, volts.shape)
    ekf = SocEkf(MODEL, cells, initial_soc=start, settings=replace(OPEN, compiled=compiled))
    # one sample at rest sets the start of both without a correction
    ekf.step(SocSample(0.0, np.nan, volts[0], temperatures))
    oracles = [Oracle(z, t) for z, t in zip(start, temperatures, strict=True)]
    for k in range(steps):
        ekf.step(SocSample(dt, current[k], volts[k], temperatures))
        for j, oracle in enumerate(oracles):
            oracle.predict(current[k], dt)
            oracle.update(volts[k, j], current[k], dt)
    for j, oracle in enumerate(oracles):
        assert ekf.x[:, j] == pytest.approx(oracle.f.x[:, 0], abs=1e-9)
        assert ekf.p[:, :, j] == pytest.approx(oracle.f.P, abs=1e-9)


def test_batch_equals_single() -> None:
    current = drive(300)
    starts = [0.9, 0.6, 0.3]
    volts = np.stack([cell_voltage(current, z, 10.0)[0] for z in starts], axis=1)
    batch = SocEkf(MODEL, 3)
    singles = [SocEkf(MODEL, 1) for _ in starts]
    for i, v in zip(current, volts, strict=True):
        together = batch.step(SocSample(1.0, i, v, 10.0))
        for j, single in enumerate(singles):
            alone = single.step(SocSample(1.0, i, v[j : j + 1], 10.0))
            assert alone.soc[0] == pytest.approx(together.soc[j], abs=1e-12)
            assert alone.soc_std[0] == pytest.approx(together.soc_std[j], abs=1e-12)


values = st.one_of(st.floats(-1e3, 1e3), st.just(float("nan")), st.just(float("inf")))
samples = st.tuples(
    st.one_of(st.floats(-5, 200), st.just(float("nan")), st.just(0.0)),
    hnp.arrays(float, 3, elements=values),
    hnp.arrays(float, 3, elements=st.one_of(st.floats(-1, 6), st.just(float("nan")))),
    hnp.arrays(float, 3, elements=st.one_of(st.floats(-60, 90), st.just(float("nan")))),
    st.one_of(st.floats(-0.1, 0.1), st.just(float("nan"))),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(samples, min_size=1, max_size=25))
def test_nothing_makes_it_leave_its_bounds(
    stream: list[tuple[float, np.ndarray, np.ndarray, np.ndarray, float]],
) -> None:
    ekf = SocEkf(MODEL, 3)
    for dt, current, voltage, temperature, charge in stream:
        estimate = ekf.step(SocSample(dt, current, voltage, temperature, charge))
        assert np.all((estimate.soc >= 0) & (estimate.soc <= 1))
        assert np.all(np.isfinite(estimate.soc_std)) and np.all(estimate.soc_std >= 0)
        assert np.all(np.isfinite(estimate.current_bias_a))
        assert np.all(np.isfinite(ekf.x)) and np.all(np.isfinite(ekf.p))
        for j in range(3):
            matrix = ekf.p[:, :, j]
            assert np.array_equal(matrix, matrix.T) or np.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-15)
            scale = np.sqrt(np.maximum(np.diag(matrix), 1e-30))
            assert np.linalg.eigvalsh(matrix / np.outer(scale, scale)).min() > -1e-6


@settings(deadline=None, max_examples=30)
@given(st.floats(-5, 5), st.floats(0.3, 0.7), st.integers(1, 30))
def test_charge_balance_without_voltage(current: float, soc: float, steps: int) -> None:
    ekf = SocEkf(MODEL, 2, initial_soc=soc)
    for _ in range(steps):
        estimate = ekf.step(SocSample(1.0, current, [np.nan, np.nan], 25.0))
    assert estimate.soc == pytest.approx(soc + current * steps / 3600 / MODEL.capacity_ah, abs=1e-12)


def test_charge_increment_counts_and_not_the_current() -> None:
    ekf = SocEkf(MODEL, 1, initial_soc=0.5)
    estimate = ekf.step(SocSample(1.0, 2.0, [np.nan], 25.0, charge_increment_ah=-0.01))
    assert estimate.soc[0] == pytest.approx(0.5 - 0.01 / MODEL.capacity_ah, abs=1e-12)


def test_positive_current_charges() -> None:
    ekf = SocEkf(MODEL, 1, initial_soc=0.5)
    assert ekf.step(SocSample(10.0, 2.0, [np.nan], 25.0)).soc[0] > 0.5


@pytest.mark.parametrize("wrong", [-0.2, 0.2])
@pytest.mark.parametrize("temperature", [25.0, 0.0])
def test_wrong_start_is_corrected_within_minutes(wrong: float, temperature: float) -> None:
    current = np.r_[np.zeros(5), drive(600)]
    voltage, soc = cell_voltage(current, 0.6, temperature)
    ekf = SocEkf(MODEL, 1, initial_soc=0.6 + wrong)
    found = run(ekf, current, voltage[:, None], temperature)[:, 0]
    assert np.abs(found[-60:] - soc[-60:]).max() < 0.03


def test_wrong_estimate_under_way_is_opened_again() -> None:
    current = drive(900)
    voltage, soc = cell_voltage(current, 0.8, 25.0)
    ekf = SocEkf(MODEL, 1, initial_soc=0.8)
    run(ekf, current[:100], voltage[:100, None])
    ekf.x[0] = 0.5
    found = [
        ekf.step(SocSample(1.0, i, [v], 25.0)) for i, v in zip(current[100:], voltage[100:], strict=True)
    ]
    assert any(e.quality[0] & (Quality.RESTARTED | Quality.INNOVATION_LIMITED) for e in found)
    assert abs(found[-1].soc[0] - soc[-1]) < 0.06


def test_single_outlier_hardly_moves_it() -> None:
    current = drive(300)
    voltage, _ = cell_voltage(current, 0.7, 25.0)
    ekf = SocEkf(MODEL, 1, initial_soc=0.7)
    before = run(ekf, current, voltage[:, None])[-1, 0]
    estimate = ekf.step(SocSample(1.0, current[-1], [voltage[-1] - 1.0], 25.0))
    assert estimate.quality[0] & Quality.INNOVATION_LIMITED
    assert abs(estimate.soc[0] - before) < 0.01


def test_start_from_rested_voltage() -> None:
    ekf = SocEkf(MODEL, 3)
    estimate = ekf.step(SocSample(0.0, 0.0, MODEL.ocv([0.9, 0.5, 0.2], 25.0), 25.0))
    assert estimate.soc == pytest.approx([0.9, 0.5, 0.2], abs=0.005)
    assert np.all(estimate.soc_std < 0.06)


def test_start_under_load_is_less_certain() -> None:
    rested, loaded = SocEkf(MODEL, 1), SocEkf(MODEL, 1)
    p = MODEL.parameters(0.5, 25.0)
    a = rested.step(SocSample(0.0, 0.0, [float(p.ocv_v)], 25.0))
    b = loaded.step(SocSample(0.0, -3.0, [float(p.ocv_v + p.instant_v(-3.0))], 25.0))
    assert b.soc_std[0] > a.soc_std[0]


def test_cell_without_voltage_says_that_it_is_a_guess() -> None:
    ekf = SocEkf(MODEL, 2)
    estimate = ekf.step(SocSample(0.1, 0.0, [3.7, np.nan], 25.0))
    assert (estimate.quality & Quality.UNINITIALISED).tolist() == [0, int(Quality.UNINITIALISED)]
    assert estimate.soc_std[1] == pytest.approx(0.3, abs=0.01)


def test_unmeasured_current_makes_it_less_certain_in_proportion_to_time() -> None:
    ekf = SocEkf(MODEL, 1, initial_soc=0.5, initial_soc_std=1e-6)
    stds = [ekf.step(SocSample(10.0, np.nan, [np.nan], 25.0)).soc_std[0] for _ in range(40)]
    assert stds[39] / stds[19] == pytest.approx(2.0, rel=0.02)


def test_long_gap_without_charge_is_unmeasured_and_with_charge_is_not() -> None:
    blind, counted = (SocEkf(MODEL, 1, initial_soc=0.5) for _ in range(2))
    a = blind.step(SocSample(600.0, 0.0, [np.nan], 25.0))
    b = counted.step(SocSample(600.0, 0.0, [np.nan], 25.0, charge_increment_ah=-0.1))
    assert a.soc_std[0] > 2 * b.soc_std[0]
    assert b.soc[0] == pytest.approx(0.5 - 0.1 / MODEL.capacity_ah)


@pytest.mark.parametrize("dt", [0.0, -1.0, float("nan")])
def test_irregular_time_changes_nothing(dt: float) -> None:
    ekf = SocEkf(MODEL, 1, initial_soc=0.5)
    before = ekf.step(SocSample(1.0, 0.0, [3.7], 25.0))
    after = ekf.step(SocSample(dt, -5.0, [3.5], 25.0))
    assert after.soc == before.soc and after.soc_std == before.soc_std
    assert after.quality[0] & Quality.TIME_IRREGULAR


def test_missing_temperature_keeps_the_last_one() -> None:
    ekf = SocEkf(MODEL, 1, initial_soc=0.5)
    ekf.step(SocSample(1.0, 0.0, [3.7], -10.0))
    estimate = ekf.step(SocSample(1.0, -2.0, [3.5], np.nan))
    assert estimate.quality[0] & Quality.TEMPERATURE_ASSUMED
    assert ekf._temperature[0] == -10.0


def test_information_does_not_depend_on_the_sampling_rate() -> None:
    current = drive(400)
    voltage, _ = cell_voltage(current, 0.8, 0.0)
    slow, fast = (SocEkf(MODEL, 1, initial_soc=0.8) for _ in range(2))
    for i, v in zip(current, voltage, strict=True):
        a = slow.step(SocSample(1.0, i, [v], 0.0))
        for _ in range(10):
            b = fast.step(SocSample(0.1, i, [v], 0.0))
    assert b.soc_std[0] == pytest.approx(a.soc_std[0], rel=0.25)


def test_capacity_can_be_taken_over_and_must_be_sound() -> None:
    ekf = SocEkf(MODEL, 2)
    ekf.set_capacity([2.0, 2.5])
    assert ekf.capacity_ah.tolist() == [2.0, 2.5]
    with pytest.raises(ValueError, match="capacity_ah"):
        ekf.set_capacity([0.0, 2.5])
    with pytest.raises(ValueError, match="n_cells"):
        SocEkf(MODEL, 0)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        EkfSettings().gate = 1.0  # type: ignore[misc]
    assert replace(EkfSettings(), gate=1.0).gate == 1.0


@pytest.mark.parametrize("kind", [SocEkf, SocSigmaPoint])
def test_compiled_and_numpy_agree(kind: type[SocEkf]) -> None:
    rng = np.random.default_rng(4)
    filters = [kind(MODEL, 5, settings=EkfSettings(compiled=compiled)) for compiled in (True, False)]
    start = np.linspace(0.2, 0.95, 5)
    for i in drive(150):
        voltage = MODEL.ocv(start, 5.0) + 0.04 * i + rng.normal(0, 0.004, 5)
        voltage[rng.random(5) < 0.05] = np.nan
        current = np.where(rng.random(5) < 0.05, np.nan, i)
        found = [ekf.step(SocSample(1.0, current, voltage, 5.0)) for ekf in filters]
        assert found[0].soc == pytest.approx(found[1].soc, abs=1e-9)
        assert found[0].soc_std == pytest.approx(found[1].soc_std, abs=1e-9)
        assert np.array_equal(found[0].quality, found[1].quality)


def test_the_short_way_of_a_complete_sample_is_the_long_way() -> None:
    """Through a restart, limited innovations, a full cell, an odd temperature: compiled as with arrays."""
    top = MODEL.voltage_max_v
    rest = MODEL.ocv([0.3, 0.6, 0.9], 25.0)
    filters = [
        SocEkf(MODEL, 3, initial_soc=[0.3, 0.6, 0.9], settings=EkfSettings(compiled=compiled))
        for compiled in (True, False)
    ]
    seen = set()
    for step in range(500):
        voltage = np.array([rest[0], rest[1] + (0.25 if step > 60 else 0.0), top if step > 100 else rest[2]])
        if step % 40 == 0:
            voltage[0] += 0.3
        sample = SocSample(1.0, 0.01 * MODEL.capacity_ah, voltage, 60.0 if step == 30 else 25.0)
        ours, plain = (ekf.step(sample) for ekf in filters)
        for name in ("soc", "soc_std", "current_bias_a", "current_bias_std_a", "resistance_ratio"):
            assert getattr(ours, name) == pytest.approx(getattr(plain, name), abs=1e-9)
        assert ours.resistance_ratio_std == pytest.approx(plain.resistance_ratio_std, abs=1e-9)
        assert ours.innovation_v == pytest.approx(plain.innovation_v, abs=1e-9)
        assert np.array_equal(ours.quality, plain.quality)
        seen |= set(ours.quality.tolist())
    assert filters[0].x[0, 2] == pytest.approx(1.0, abs=0.03)
    bits = int(np.bitwise_or.reduce(list(seen)))
    assert bits & Quality.RESTARTED and bits & Quality.INNOVATION_LIMITED and bits & Quality.OUTSIDE_MODEL


def test_arrays_of_any_layout_are_taken_and_none_is_changed() -> None:
    voltage = np.repeat(MODEL.ocv([0.3, 0.6, 0.9], 25.0), 2)[::2]
    fixed = np.full(3, -1.0)
    fixed.setflags(write=False)
    strided, plain = SocEkf(MODEL, 3), SocEkf(MODEL, 3)
    before = voltage.copy()
    for _ in range(5):
        found = strided.step(SocSample(1.0, fixed, voltage, np.broadcast_to(25.0, 3)))
        expected = plain.step(SocSample(1.0, -1.0, before.copy(), 25.0))
    assert found.soc == pytest.approx(expected.soc, abs=1e-15)
    assert np.array_equal(voltage, before)


def test_sigma_points_of_a_straight_curve_are_the_ekf() -> None:
    """With a small doubt both take the same slope; the sigma points then add nothing."""
    current = drive(200)
    voltage, _ = cell_voltage(current, 0.8, 25.0)
    narrow, sigma = SocEkf(MODEL, 1, initial_soc=0.8), SocSigmaPoint(MODEL, 1, initial_soc=0.8)
    assert run(sigma, current, voltage[:, None])[-1] == pytest.approx(
        run(narrow, current, voltage[:, None])[-1], abs=0.004
    )


def test_full_is_full_by_definition() -> None:
    ekf = SocEkf(MODEL, 1, initial_soc=0.93)
    for _ in range(200):
        ekf.step(SocSample(1.0, 0.02 * MODEL.capacity_ah, [MODEL.voltage_max_v], 25.0))
    assert ekf.x[0, 0] == pytest.approx(1.0, abs=0.02)
    assert np.sqrt(ekf.p[0, 0, 0]) < 0.01
