"""One filterpy filter for one cell, with the states and equations of SocEkf (6 states, 1 voltage).

Written as somebody would who takes filterpy and the same cell file: matrices from the model's parameters,
looked up once a step. What acts on bad data only (missing values, restarts, a full cell) is left out, which
spares filterpy work.
"""

from __future__ import annotations

import math

import numpy as np
from filterpy.kalman import ExtendedKalmanFilter, MerweScaledSigmaPoints, UnscentedKalmanFilter

from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.ekf import EkfSettings, SocEkf

SETTINGS = EkfSettings(check_start=False)
"""The rival of a told start runs for seconds only and is no part of the comparison."""
SLOPE_SOC = 0.02


class _Cell:
    """The cell's equations; the state is that of one cell of a running :class:`SocEkf`."""

    def __init__(self, batch: SocEkf, cell: int) -> None:
        self.model: CellModel = batch.model
        self.capacity_ah = float(batch.capacity_ah[cell])
        self.direction = float(batch.direction[cell])
        self.doubt = float(batch.doubt[cell])

    def predict(self, x: np.ndarray, current_a: float, temperature_degc: float, dt_s: float) -> None:
        """Work out matrices, inputs and noise of the step."""
        s, model = SETTINGS, self.model
        hours = dt_s / 3600.0
        mean = current_a - x[3]
        efficiency = model.coulombic_efficiency if mean > 0.0 else 1.0
        moved = mean * hours * efficiency / self.capacity_ah
        z = min(max(x[0] + moved, -0.05), 1.05)
        p = self.p = model.parameters(z, temperature_degc)
        a1, a2 = math.exp(-dt_s / p.tau1_s), math.exp(-dt_s / p.tau2_s)
        self.direction = min(max(self.direction + moved / model.hysteresis_soc, -1.0), 1.0)
        self.up_v, self.down_v = up, down = model.ocv(
            (z + SLOPE_SOC, z - SLOPE_SOC), temperature_degc, self.direction
        )
        self.slope = (up - down) / (2.0 * SLOPE_SOC)
        distance = abs(moved)
        fe = math.exp(-abs(self.slope) * distance / model.correlation_v - dt_s / model.correlation_time_s)
        fs = math.exp(-distance / s.resistance_correlation_soc - dt_s / s.resistance_correlation_time_s)
        self.F = np.diag((1.0, a1, a2, 1.0, fs, fe))
        self.F[0, 3] = -efficiency * hours / self.capacity_ah
        self.constant = np.array((0.0, (1.0 - a1) * mean, (1.0 - a2) * mean, 0.0, 0.0, 0.0))
        self.moved_x = self.F.diagonal() * x + self.constant
        self.moved_x[0] = z
        load = (
            s.load_relative_std
            * p.resistance_relative_std
            * ((p.r0_ohm + p.r1_ohm) * abs(self.moved_x[1]) + p.r2_ohm * abs(self.moved_x[2]))
        )
        between = 0.4 * p.half_gap_v * (1.0 - self.direction**2)
        inflation = min(max(self.doubt, 1.0), s.most_doubt)
        swing = inflation * (p.pair_relative_std * mean) ** 2
        self.Q = np.diag(
            (
                s.charge_relative_std**2 * distance,
                swing * (1.0 - a1**2),
                swing * (1.0 - a2**2),
                (s.current_bias_std_c * self.capacity_ah) ** 2 * dt_s / s.current_bias_walk_s,
                p.resistance_relative_std**2 * (1.0 - fs**2),
                (inflation * (p.slow_std_v**2 + load**2) + between**2) * (1.0 - fe**2),
            )
        )
        self.current_a, self.temperature_degc = current_a, temperature_degc
        u = current_a - self.moved_x[3]
        # as in SocEkf: the voltage drop teaches nothing of the offset, each sigma point has the same
        self.instant_v = p.instant_v(u)
        self.fast_v = model.fast_overpotential_ratio * (
            abs(self.instant_v) + p.r0_ohm * abs(u - self.moved_x[1])
        )
        self.correlated = 1.0 + 2.0 * s.fast_correlation_s / dt_s
        self.open_circuit_v = p.ocv_v + p.half_gap_v * self.direction

    def voltage(self, x: np.ndarray) -> np.ndarray:
        """Expected voltage (Hx) at the predicted state."""
        x = x.ravel()
        p = self.p
        shared = 1.0 + self.model.shared_resistance_error * x[4]
        over = (1.0 + x[4]) * self.instant_v + shared * (p.r1_ohm * x[1] + p.r2_ohm * x[2])
        return np.array([[self.open_circuit_v + over + x[5]]])

    def noise(self, soc_var: float) -> None:
        """Variance of the voltage, with what the bend of the OCV makes of the doubt."""
        bend = (self.up_v + self.down_v - 2.0 * self.open_circuit_v) / SLOPE_SOC**2
        unsure = 0.5 * bend * min(soc_var, SETTINGS.bend_std**2)
        variance = self.correlated * (self.fast_v**2 + 2.0 * unsure**2)
        self.R = np.array([[SETTINGS.voltage_noise_std_v**2 + variance]])

    def weigh(self, squared: float, variance: float, dt_s: float) -> None:
        """Before the correction: an innovation beyond the gate loses weight; how well they fit is kept."""
        s = SETTINGS
        total = variance + float(self.R[0, 0])
        if squared > s.gate**2 * total:
            self.R = np.array([[squared / s.gate**2 - variance]])
        forget = 1.0 - math.exp(-dt_s / s.doubt_time_s)
        self.doubt += forget * (min(squared / total, 25.0) - self.doubt)

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Its slope over the states (HJacobian)."""
        x = x.ravel()
        r1, r2 = self.p.r1_ohm, self.p.r2_ohm
        part = self.model.shared_resistance_error
        lever = self.instant_v + part * (r1 * x[1] + r2 * x[2])
        more = 1.0 + part * x[4]
        return np.array([[self.slope, more * r1, more * r2, 0.0, lever, 1.0]])


class FilterpyEkf(_Cell):
    """filterpy's extended Kalman filter, going on from one cell of a batch."""

    def __init__(self, batch: SocEkf, cell: int) -> None:
        super().__init__(batch, cell)
        self.filter = ExtendedKalmanFilter(dim_x=6, dim_z=1)
        self.filter.x = batch.x[:, cell : cell + 1].copy()
        self.filter.P = batch.p[:, :, cell].copy()
        self.filter.predict_x = self._predict_x

    def _predict_x(self, u: float = 0.0) -> None:
        self.filter.x = self.moved_x[:, None]

    def step(self, current_a: float, voltage_v: float, temperature_degc: float, dt_s: float) -> None:
        """Predict and correct."""
        f = self.filter
        self.predict(f.x[:, 0], current_a, temperature_degc, dt_s)
        f.F, f.Q = self.F, self.Q
        f.predict()
        self.noise(f.P[0, 0])
        h = self.jacobian(f.x)
        expected = self.voltage(f.x)
        self.weigh((voltage_v - float(expected[0, 0])) ** 2, float((h @ f.P @ h.T)[0, 0]), dt_s)
        f.R = self.R
        f.update(np.array([[voltage_v]]), lambda _: h, lambda _: expected)

    def bare_step(self) -> None:
        """Do filterpy's own arithmetic alone, with the matrices of the last step."""
        h = np.ones((1, 6))
        expected = np.ones((1, 1))
        self.filter.predict()
        self.filter.update(np.ones((1, 1)), lambda _: h, lambda _: expected)

    @property
    def soc(self) -> float:
        """Present state of charge."""
        return float(self.filter.x[0, 0])


class FilterpyUkf(_Cell):
    """filterpy's unscented Kalman filter (13 points) with the same states, model and noise."""

    def __init__(self, batch: SocEkf, cell: int) -> None:
        super().__init__(batch, cell)
        points = MerweScaledSigmaPoints(6, alpha=1.0, beta=0.0, kappa=0.0)  # every weight positive
        self.filter = UnscentedKalmanFilter(6, 1, 1.0, self._hx, self._fx, points)
        self.filter.x = batch.x[:, cell].copy()
        # its Cholesky factor needs a positive matrix, also where nothing is doubted
        self.filter.P = batch.p[:, :, cell] + 1e-10 * np.eye(6)

    def _fx(self, x: np.ndarray, dt: float) -> np.ndarray:
        moved: np.ndarray = self.F @ (x - self.start) + self.moved_x
        return moved

    def _hx(self, x: np.ndarray) -> np.ndarray:
        self.open_circuit_v = self.model.ocv(x[0], self.temperature_degc, self.direction)
        return self.voltage(x)[0]

    def step(self, current_a: float, voltage_v: float, temperature_degc: float, dt_s: float) -> None:
        """Predict and correct."""
        f = self.filter
        self.start = f.x.copy()
        self.predict(f.x, current_a, temperature_degc, dt_s)
        f.Q = self.Q
        f.predict()
        self.noise(f.P[0, 0])
        f.R = self.R
        f.update(np.array([voltage_v]))
        squared, total = float(f.y[0]) ** 2, float(f.S[0, 0])
        self.weigh(squared, total - float(self.R[0, 0]), dt_s)

    @property
    def soc(self) -> float:
        """Present state of charge."""
        return float(self.filter.x[0])
