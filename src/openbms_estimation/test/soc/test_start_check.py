"""A start that was told wrongly is found out, a right one is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.soc.ekf import EkfSettings, SocEkf
from openbms_estimation.soc.estimate import Quality, SocSample

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))


def drive(
    soc: float, temperature: float, resistance: float, told: float, **settings: bool
) -> tuple[float, int]:
    """Ten minutes from standing under load at once; error of the SoC at the end, and qualities seen."""
    ekf = SocEkf(MODEL, 1, initial_soc=told, settings=EkfSettings(**settings))
    current = np.repeat(np.random.default_rng(5).normal(-1.5, 1.5, 121), 5)[:600]
    i1 = i2 = 0.0
    seen = 0
    for i in current:
        p = MODEL.parameters(soc, temperature)
        i1 = i + np.exp(-1.0 / p.tau1_s) * (i1 - i)
        i2 = i + np.exp(-1.0 / p.tau2_s) * (i2 - i)
        soc += i / 3600.0 / MODEL.capacity_ah
        over = resistance * (p.instant_v(i) + p.r1_ohm * i1 + p.r2_ohm * i2)
        estimate = ekf.step(SocSample(1.0, i, float(p.ocv_v - p.half_gap_v + over), temperature))
        seen |= int(estimate.quality[0])
    return float(estimate.soc[0] - soc), seen


@pytest.mark.parametrize(("temperature", "resistance"), [(25.0, 0.8), (25.0, 1.2), (0.0, 1.2)])
@pytest.mark.parametrize("wrong_by", [-0.3, 0.3])
def test_a_wrong_start_under_load_is_found_out(
    temperature: float, resistance: float, wrong_by: float
) -> None:
    soc = 0.95 if wrong_by < 0.0 else 0.5
    error, seen = drive(soc, temperature, resistance, soc + wrong_by)
    assert abs(error) < 0.05
    assert seen & Quality.RESTARTED


@pytest.mark.parametrize("resistance", [0.85, 1.0, 1.3])
def test_a_right_start_is_kept_whatever_the_resistance(resistance: float) -> None:
    error, seen = drive(0.8, -10.0, resistance, 0.8)
    assert abs(error) < 0.02
    assert not seen & Quality.RESTARTED


def test_without_the_check_the_wrong_start_stays() -> None:
    """The check is what the first test shows, not the filter around it."""
    errors = [drive(0.95, 0.0, 1.2, 0.65, check_start=check)[0] for check in (True, False)]
    assert abs(errors[0]) < 0.05 < abs(errors[1])


def test_the_rival_ends_when_both_agree() -> None:
    ekf = SocEkf(MODEL, 2, initial_soc=[0.6, 0.5])
    voltage = MODEL.ocv([0.6, 0.5], 25.0)
    for _ in range(120):
        ekf.step(SocSample(1.0, 0.0, voltage, 25.0))
    assert ekf._start_check is None
