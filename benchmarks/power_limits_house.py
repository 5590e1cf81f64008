"""The house's side of the power-limit benchmark: filter, limiter, opponents, over recorded histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.cell import CellFile, ImpedanceTables
from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample
from openbms_estimation.sop.cell_limiter import CellLimiter, HorizonLimits
from openbms_estimation.sop.settings import SopSettings
from openbms_estimation.sop.tracking import CellState

FloatArray = NDArray[np.float64]

HORIZONS_S = (10.0, 30.0)
LOW_V, HIGH_V = 3.0, 4.2
DISCHARGE_A, CHARGE_A = 15.0, 10.0
VOLTAGE_NOISE_V, VOLTAGE_BIAS_V = 0.001, 0.001
CURRENT_GAIN, CURRENT_BIAS_C = 0.003, 0.001
TEMPERATURE_BIAS_K = 0.5
CAPACITY_STD, RESISTANCE_STD = 0.01, 0.03


@dataclass(frozen=True)
class Result:
    """What each method says at the end of the histories; arrays (episodes, horizons)."""

    charge: HorizonLimits
    discharge: HorizonLimits
    hppc: dict[float, tuple[FloatArray, FloatArray]]
    table: dict[float, tuple[FloatArray, FloatArray]]
    soc: FloatArray
    soc_std: FloatArray


def scaled(cell: CellFile, ratio: float) -> CellFile:
    """Give the cell file with all resistances multiplied, as the state of health knows an aged cell."""
    data = cell.impedance.model_dump()
    for name in ("r0_ohm", "kinetic_resistance_ohm", "r1_ohm", "r2_ohm"):
        if data[name] is not None:
            data[name] = [[ratio * v for v in row] for row in data[name]]
    return cell.model_copy(update={"impedance": ImpedanceTables(**data)})


def judge(
    cell: CellFile,
    voltage: FloatArray,
    current: FloatArray,
    temperature: FloatArray,
    aged: NDArray[np.bool_],
    capacity_ah: FloatArray,
    seed: int,
    margin_std: float,
) -> Result:
    """Run the filter and the limiter over all histories at once, one cell each.

    Parameters
    ----------
    cell : CellFile
        As commissioned.
    voltage, current, temperature : ndarray, shape (episodes, seconds)
        Truth, every second; the sensors' errors are added here.
    aged : ndarray of bool
        The resistance is 1.5 times that of the file.
    capacity_ah : ndarray, shape (episodes,)
        True capacity.
    seed : int
    margin_std : float
    """
    rng = np.random.default_rng(seed)
    n, seconds = voltage.shape
    v = voltage + rng.normal(0, VOLTAGE_BIAS_V, (n, 1)) + rng.normal(0, VOLTAGE_NOISE_V, voltage.shape)
    i = current * (1 + rng.normal(0, CURRENT_GAIN, (n, 1)))
    i = i + rng.normal(0, CURRENT_BIAS_C * cell.capacity_ah, (n, 1))
    t = temperature + rng.normal(0, TEMPERATURE_BIAS_K, (n, 1))
    ratio = np.where(aged, 1.5, 1.0) * (1 + rng.normal(0, RESISTANCE_STD, n))
    capacity = capacity_ah * (1 + rng.normal(0, CAPACITY_STD, n))

    soc, soc_std = np.empty((n, seconds)), np.empty((n, seconds))
    for old in (False, True):
        rows = np.flatnonzero(aged == old)
        if not len(rows):
            continue
        model = CellModel.from_file(scaled(cell, 1.5) if old else cell)
        filter_ = SocEkf(model, len(rows), capacity_ah=capacity[rows])
        for k in range(seconds):
            found = filter_.step(SocSample(1.0 if k else 0.0, i[rows, k], v[rows, k], t[rows, k]))
            soc[rows, k], soc_std[rows, k] = found.soc, found.soc_std

    limiter = CellLimiter(
        cell,
        n,
        SopSettings(
            horizons_s=HORIZONS_S,
            voltage_min_v=LOW_V,
            voltage_max_v=HIGH_V,
            charge_current_max_a=CHARGE_A,
            discharge_current_max_a=DISCHARGE_A,
            margin_std=margin_std,
        ),
    )
    for k in range(seconds):
        limiter.step(
            1.0 if k else 0.0,
            CellState(
                soc=soc[:, k],
                soc_std=soc_std[:, k],
                temperature_degc=t[:, k],
                capacity_ah=capacity,
                current_a=i[:, k],
                voltage_v=v[:, k],
                resistance_ratio=ratio,
                resistance_ratio_std=RESISTANCE_STD * ratio,
            ),
        )
    charge, discharge = limiter.limits()
    return Result(
        charge,
        discharge,
        _hppc(limiter.model, soc[:, -1], t[:, -1]),
        _table(v[:, -1], t[:, -1], soc[:, -1]),
        soc[:, -1],
        soc_std[:, -1],
    )


def _hppc(model: CellModel, soc: FloatArray, degc: FloatArray) -> dict[float, tuple[FloatArray, FloatArray]]:
    """Closed form of the pulse test: (OCV - limit) over the resistance of that horizon, of the file."""
    found = {}
    p = model.parameters(soc, degc)
    t = np.asarray(HORIZONS_S)
    ohm = p.r0_ohm[:, None] + p.docv_dsoc_v[:, None] * t / (3600.0 * model.capacity_ah)
    for r, tau in ((p.r1_ohm, p.tau1_s), (p.r2_ohm, p.tau2_s)):
        ohm = ohm + r[:, None] * (1.0 - np.exp(-t / tau[:, None]))
    for sign, limit, rating in ((1.0, HIGH_V, CHARGE_A), (-1.0, LOW_V, DISCHARGE_A)):
        current = np.clip(sign * (limit - p.ocv_v[:, None]) / ohm, 0.0, rating)
        found[sign] = (current, current * np.clip(p.ocv_v[:, None] + sign * current * ohm, LOW_V, HIGH_V))
    return found


def _table(
    voltage: FloatArray, degc: FloatArray, soc: FloatArray
) -> dict[float, tuple[FloatArray, FloatArray]]:
    """A fixed table of voltage, temperature and SoC as simple systems have it (JEITA's steps for charge)."""
    found = {}
    warm = np.interp(degc, [-10.0, 10.0], [0.3, 1.0])
    share = warm * np.interp(soc, [0.05, 0.25], [0.0, 1.0])
    current = np.repeat((DISCHARGE_A * share)[:, None], len(HORIZONS_S), axis=1)
    found[-1.0] = (current, current * voltage[:, None])
    warm = np.where(degc < 0.0, 0.0, np.where(degc < 10.0, 0.5, 1.0))
    share = warm * np.interp(soc, [0.7, 0.95], [1.0, 0.1])
    current = np.repeat((0.5 * CHARGE_A * share)[:, None], len(HORIZONS_S), axis=1)
    found[1.0] = (current, current * voltage[:, None])
    return found
