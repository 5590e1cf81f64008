"""Charge at the continuous limit, and energy to cut-off at constant power, against PyBaMM (DFN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import energy_lg
import numpy as np
from power_limits_house import CHARGE_A, DISCHARGE_A, HIGH_V, RESISTANCE_STD, scaled
from truth.environment import Truth

from openbms_core.cell import CellFile
from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample
from openbms_estimation.sop.cell_limiter import CellLimiter
from openbms_estimation.sop.energy import Cells, Load, energy_to_cutoff
from openbms_estimation.sop.settings import SopSettings
from openbms_estimation.sop.tracking import CellState

STEP_S = 30.0
TEMPERATURES_DEGC = (-10.0, 0.0, 10.0, 25.0)
BEGIN_SOC, WANTED_SOC = 0.1, 0.8
LONGEST_S = 9 * 3600.0
CUTOFF_V = 2.8
AGES = ("fresh", "active material and contact", "lithium and kinetics")


def charge(truth: Truth, cell: CellFile, progress: Callable[[int], None]) -> list[dict[str, Any]]:
    """Charge cells of every age from 10 to 80 % at each temperature at our continuous limit, held cool.

    Returns
    -------
    list of dict
        For each cell: lowest potential of the anode against lithium, highest voltage, time.
    """
    places = [(degc, age) for degc in TEMPERATURES_DEGC for age in range(3)]
    n = len(places)
    degc, age = (np.array(v) for v in zip(*places, strict=True))
    begun = truth.ask(
        do="charge_begin", model="DFN", degc=degc.tolist(), soc=[BEGIN_SOC] * n, age=[int(a) for a in age],
        isothermal=True,
    )  # fmt: skip
    capacity = np.array(begun["capacity_ah"])
    ratio = np.where(age > 0, 1.5, 1.0)
    filters = [
        (rows, SocEkf(CellModel.from_file(scaled(cell, factor)), len(rows), capacity_ah=capacity[rows]))
        for factor in (1.0, 1.5)
        if len(rows := np.flatnonzero(ratio == factor))
    ]
    limiter = CellLimiter(cell, n, SopSettings((10.0, 1800.0), CUTOFF_V, HIGH_V, CHARGE_A, DISCHARGE_A))
    rng = np.random.default_rng(7)
    voltage, current, temperature = np.array(begun["voltage_v"]), np.zeros(n), degc.astype(float)
    soc, std = np.empty(n), np.empty(n)
    true = np.full(n, BEGIN_SOC)
    lowest, highest, taken = np.full(n, np.inf), np.zeros(n), np.full(n, np.nan)
    clock = 0.0
    while clock < LONGEST_S and np.isnan(taken).any():
        seen_v = voltage + rng.normal(0.0, 0.001, n)
        for rows, one in filters:
            sample = SocSample(STEP_S if clock else 0.0, current[rows], seen_v[rows], temperature[rows])
            found = one.step(sample)
            soc[rows], std[rows] = found.soc, found.soc_std
        limiter.step(
            STEP_S if clock else 0.0,
            CellState(soc, std, temperature, capacity, current, seen_v, ratio, RESISTANCE_STD * ratio),
        )
        allowed = limiter.limits()[0].current_a[:, 1]
        current = np.where(np.isnan(taken), allowed, 0.0)
        answer = truth.ask(do="charge_on", current_a=current.tolist(), seconds=STEP_S)
        clock += STEP_S
        voltage, temperature = np.array(answer["voltage_v"]), np.array(answer["temperature_degc"])
        true = true + current * STEP_S / 3600.0 / capacity
        flowing = current > 0.0
        lowest = np.where(flowing, np.minimum(lowest, answer["anode_v"]), lowest)
        highest = np.maximum(highest, answer["highest_v"])
        taken = np.where(np.isnan(taken) & (true >= WANTED_SOC), clock, taken)
        progress(int(np.isfinite(taken).sum()))
    return [
        {
            "degc": float(degc[k]),
            "age": AGES[age[k]],
            "lowest_anode_mv": round(1e3 * float(lowest[k]), 1),
            "highest_v": round(float(highest[k]), 4),
            "soc": round(float(true[k]), 3),
            "minutes": round(float(taken[k]) / 60.0, 1) if np.isfinite(taken[k]) else None,
        }
        for k in range(n)
    ]


def energy(
    truth: Truth, cell: CellFile, seed: int, count: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Discharge cells at random constant powers to the cut-off and compare with what was foretold."""
    rng = np.random.default_rng(seed)
    degc, soc = rng.uniform(-10.0, 45.0, count), rng.uniform(0.3, 1.0, count)
    age, rate = rng.choice([0, 0, 1, 2], count), rng.uniform(0.2, 1.2, count)
    begun = truth.ask(
        do="charge_begin", model="DFN", degc=degc.tolist(), soc=soc.tolist(), age=[int(a) for a in age],
        isothermal=False,
    )  # fmt: skip
    capacity = np.array(begun["capacity_ah"])
    power = rate * 5.0 * 3.6
    true = truth.ask(progress, do="deplete", power_w=power.tolist(), low_v=CUTOFF_V)["energy_wh"]
    model = CellModel.from_file(cell)
    groups: dict[str, list[dict[str, float]]] = {}
    for k in range(count):
        old = age[k] > 0
        ratio = (1.5 if old else 1.0) * (1.0 + rng.normal(0.0, RESISTANCE_STD))
        q = capacity[k] * (1.0 + rng.normal(0.0, 0.01))
        z = float(np.clip(soc[k] + rng.normal(0.0, 0.01), 0.0, 1.0))

        def foretell(from_soc: float, ratio: float = ratio, q: float = q, k: int = k) -> Any:
            return energy_to_cutoff(
                model,
                Cells(
                    soc=np.array([from_soc]), soc_std=np.array([0.01]), capacity_ah=np.array([q]),
                    temperature_degc=degc[k : k + 1], resistance_ratio=ratio,
                    resistance_ratio_std=RESISTANCE_STD * ratio,
                ),
                Load(float(power[k])), CUTOFF_V, thermal=cell.thermal, depletion=cell.depletion,
            )  # fmt: skip

        said = foretell(z)
        ocv = float(np.mean(model.ocv(np.linspace(0.0, z, 60), 25.0))) * z * q
        row = {
            "true_wh": true[k], "said_wh": said.energy_wh, "std_wh": said.std_wh, "ocv_wh": ocv,
            "whole_wh": foretell(1.0).energy_wh,
        }  # fmt: skip
        cold = "below 10 degC" if degc[k] < 10.0 else "10 degC and above"
        groups.setdefault(f"{AGES[age[k]]}, {cold}", []).append(row)
        groups.setdefault("all", []).append(row)
    return {name: energy_lg.summary(rows) for name, rows in sorted(groups.items())}
