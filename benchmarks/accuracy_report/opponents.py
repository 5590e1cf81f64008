"""Plain extended Kalman filter with one RC pair, the textbook's: the opponent of `make accuracy`.

States: state of charge and voltage of the pair; the cell's own open-circuit voltage and resistances from the
same cell file, constant noise, no offset of the current, no error of the model, no recovery. G. L. Plett,
*Battery Management Systems*, vol. II, Artech 2016, ch. 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.estimate import SocSample

__all__ = ["PlainEkf"]

FloatArray = NDArray[np.float64]
_VOLTAGE_STD_V = 0.01
_CURRENT_RELATIVE_STD = 0.01
_STEP = 0.01


class PlainEkf:
    """A filter for each of several runs.

    Parameters
    ----------
    model : CellModel
    initial_soc : ndarray, shape (n,)
        NaN: from the first voltage.
    initial_std : float
    capacity_ah : float
    """

    def __init__(
        self, model: CellModel, initial_soc: FloatArray, capacity_ah: float, initial_std: float = 0.1
    ) -> None:
        n = len(initial_soc)
        self.model, self.capacity_ah = model, capacity_ah
        self.z, self.v1 = initial_soc.copy(), np.zeros(n)
        self.p = np.zeros((2, 2, n))
        self.p[0, 0] = initial_std**2

    def step(self, sample: SocSample) -> tuple[FloatArray, FloatArray]:
        """Give SoC and its standard deviation after a sample, shape (n,)."""
        n = len(self.z)
        current, voltage, temperature = (
            np.broadcast_to(np.asarray(value, float), n)
            for value in (sample.current_a, sample.voltage_v, sample.temperature_degc)
        )
        unknown = np.isnan(self.z)
        if unknown.any():
            self.z = np.where(unknown, self.model.soc_from_ocv(voltage, temperature), self.z)
        dt = max(float(sample.dt_s), 0.0)
        moved = current * dt / 3600.0 / self.capacity_ah
        self.z = np.clip(self.z + moved, 0.0, 1.0)
        q = self.model.parameters(self.z, temperature)
        resistance = q.r1_ohm + q.r2_ohm
        tau = (q.r1_ohm * q.tau1_s + q.r2_ohm * q.tau2_s) / resistance
        a = np.exp(-dt / tau)
        self.v1 = a * self.v1 + resistance * (1.0 - a) * current
        p = self.p
        p[0, 1] = p[1, 0] = a * p[0, 1]
        p[1, 1] = a * a * p[1, 1] + (resistance * (1.0 - a) * _CURRENT_RELATIVE_STD * current) ** 2
        p[0, 0] = p[0, 0] + (_CURRENT_RELATIVE_STD * moved) ** 2 + 1e-10 * dt
        slope = (
            self.model.ocv(self.z + _STEP, temperature) - self.model.ocv(self.z - _STEP, temperature)
        ) / (2.0 * _STEP)
        innovation = voltage - (q.ocv_v + q.instant_v(current) + self.v1)
        column = slope * p[:, 0] + p[:, 1]
        variance = slope * column[0] + column[1] + _VOLTAGE_STD_V**2
        gain = column / variance
        self.z = np.clip(self.z + gain[0] * innovation, 0.0, 1.0)
        self.v1 = self.v1 + gain[1] * innovation
        self.p = p - gain[:, None] * column[None, :]
        return self.z, np.sqrt(np.maximum(self.p[0, 0], 0.0))
