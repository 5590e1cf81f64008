"""Warning of a beginning thermal runaway: heat that neither current nor surroundings explain.

Each temperature sensor at a cell has a Kalman filter on the two-node model of its cell (core, surface) with a
third state, the heat ``w`` that is made beside that of the current. The heat of the current comes from the
cell model; how much leaves to the surroundings is learnt by nobody here: whatever is common to all sensors
(an unknown coolant, a wrong heat capacity) is taken out as the median of ``w``. A cumulative sum
over what is left warns.

Sources: two-node model as in :mod:`openbms_core.models.two_node`; R. Klink et al., *J. Power Sources* 515
(2021) (model-based detection by temperature residual); E. S. Page, *Biometrika* 41, 1954 (cumulative sum).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.two_node import TwoNodeThermal
from openbms_estimation.diagnosis.change_model import crowd_variance
from openbms_estimation.diagnosis.robust import middle

__all__ = ["RunawaySettings", "RunawayWatch"]

FloatArray = NDArray[np.float64]

CORE, SURFACE, HEAT = range(3)
_GAP_S = 120.0
_JUMP_K = 4.0
_MOST = 1000.0


@dataclass(frozen=True)
class RunawaySettings:
    """Behaviour of the watch.

    Attributes
    ----------
    sensor_k : float
        Error of a temperature [K], with its quantisation.
    walk_k_per_s : float
        How fast healthy sensors drift apart [K/√s].
    rise_k_per_min : float
        A sensor whose cell would be heated this fast by what is not explained [K/min] is worth a warning.
    heat_walk_s : float
        In this time an unexplained heat of that size may arise [s].
    alarm : float
        Sum at which it warns: standard deviations times minutes.
    """

    sensor_k: float = 0.3
    walk_k_per_s: float = 0.01
    rise_k_per_min: float = 0.4
    heat_walk_s: float = 60.0
    alarm: float = 8.0


class RunawayWatch:
    """Watches all temperature sensors at cells.

    Parameters
    ----------
    sensors : int
    thermal : TwoNodeThermal
        Of what one voltage stands for: a parallel group.
    settings : RunawaySettings, optional
    """

    def __init__(
        self, sensors: int, thermal: TwoNodeThermal, settings: RunawaySettings | None = None
    ) -> None:
        self.settings = s = settings or RunawaySettings()
        self.thermal = thermal
        self.heat_w = np.full(sensors, np.nan)
        """Heat beside that of the current, less what all sensors have [W]."""
        self.heat_std_w = np.full(sensors, np.nan)
        self.sum = np.zeros(sensors)
        """Cumulative sum [standard deviations · min]."""
        self._x = np.zeros((3, sensors))
        self._p = np.tile(np.diag([4.0, s.sensor_k**2, 0.0])[:, :, None], sensors)
        self._started = np.zeros(sensors, bool)
        self._jumped = np.zeros(sensors, bool)
        whole = thermal.core_j_per_k + thermal.surface_j_per_k
        self.worth_w = s.rise_k_per_min / 60.0 * whole
        """Heat that is worth a warning [W]."""

    @property
    def warning(self) -> NDArray[np.bool_]:
        """Sensors where it warns."""
        return np.asarray(self.sum >= self.settings.alarm)

    def step(self, temperatures_degc: FloatArray, current_heat_w: FloatArray, dt_s: float) -> None:
        """Take a block.

        Parameters
        ----------
        temperatures_degc : ndarray, shape (sensors,)
            NaN: not measured.
        current_heat_w : ndarray, shape (sensors,)
            Heat that the current makes in the hottest cell of each sensor [W].
        dt_s : float
            Time since the last block [s]; more than two minutes: everything starts anew.
        """
        if dt_s > _GAP_S:
            self._started[:] = False
            self.sum[:] = 0.0
        fresh = ~self._started & np.isfinite(temperatures_degc)
        if fresh.any():
            self._x[:, fresh] = 0.0
            self._x[: SURFACE + 1, fresh] = temperatures_degc[fresh]
            self._p[:, :, fresh] = np.diag([4.0, self.settings.sensor_k**2, self.worth_w**2])[:, :, None]
            self._started |= fresh
        if dt_s > _GAP_S:
            return
        self._predict(current_heat_w, dt_s)
        self._forget_jumps(temperatures_degc)
        self._update(temperatures_degc)
        known = self._started & np.isfinite(temperatures_degc)
        heat = np.where(known, self._x[HEAT], np.nan)
        self.heat_w = heat - middle(heat)
        self.heat_std_w = np.where(known, np.sqrt(self._p[HEAT, HEAT]), np.nan)
        score = np.where(known, self.heat_w, 0.0) / np.sqrt(self._p[HEAT, HEAT])
        usual = float(np.sqrt(crowd_variance(score[known]))) if known.any() else 1.0
        # half of what is worth a warning is no news
        least = 0.5 * self.worth_w / np.sqrt(self._p[HEAT, HEAT])
        self.sum = np.clip(self.sum + (score / usual - np.maximum(least, 1.0)) * (dt_s / 60.0), 0.0, _MOST)
        self.sum[~known] = 0.0

    def _forget_jumps(self, temperatures_degc: FloatArray) -> None:
        """Start a sensor anew that jumped once; what goes on rising at that rate is no jump."""
        with np.errstate(invalid="ignore"):
            jump = np.abs(temperatures_degc - self._x[SURFACE]) > _JUMP_K
        once = jump & ~self._jumped
        self._x[:, once] = 0.0
        self._x[: SURFACE + 1, once] = temperatures_degc[once]
        self._p[:, :, once] = np.diag([4.0, self.settings.sensor_k**2, self.worth_w**2])[:, :, None]
        self._jumped = jump

    def _predict(self, current_heat_w: FloatArray, dt_s: float) -> None:
        t, s = self.thermal, self.settings
        inside = 1.0 / t.core_to_surface_k_per_w
        between = inside * (1.0 / t.core_j_per_k + 1.0 / t.surface_j_per_k)
        # the difference of both decays exactly; their mean takes the heat up
        keep = float(np.exp(-between * dt_s))
        whole = t.core_j_per_k + t.surface_j_per_k
        core, surface = t.core_j_per_k / whole, t.surface_j_per_k / whole
        f = np.eye(3)
        f[CORE, :2] = core + surface * keep, surface - surface * keep
        f[SURFACE, :2] = core - core * keep, surface + core * keep
        lag = (1.0 - keep) / (between * t.core_j_per_k)
        heat = np.array([dt_s / whole + surface * lag, dt_s / whole - core * lag])
        f[:2, HEAT] = heat
        self._x = f @ self._x
        self._x[:2] += heat[:, None] * np.nan_to_num(current_heat_w)
        self._p = np.einsum("ij,jkn,lk->iln", f, self._p, f)
        self._p[CORE, CORE] += s.walk_k_per_s**2 * dt_s
        self._p[SURFACE, SURFACE] += s.walk_k_per_s**2 * dt_s
        self._p[HEAT, HEAT] += self.worth_w**2 * dt_s / s.heat_walk_s

    def _update(self, temperatures_degc: FloatArray) -> None:
        measured = np.isfinite(temperatures_degc)
        gain = self._p[:, SURFACE] / (self._p[SURFACE, SURFACE] + self.settings.sensor_k**2)
        gain = np.where(measured, gain, 0.0)
        self._x += gain * np.where(measured, temperatures_degc - self._x[SURFACE], 0.0)
        self._p -= gain[:, None] * self._p[SURFACE][None]
