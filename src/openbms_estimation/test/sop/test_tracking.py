"""What the limiter learns of a cell while it is used."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.types import StateOfHealth
from openbms_estimation.sop.health import CellHealth
from openbms_estimation.sop.tracking import CellState, ModelResidual, Polarisation, TrackingSettings

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))
ONE = np.ones(1)


def learn(
    ratio: float, offset_v: float, *, amplitude: float = 3.0, told: float | None = None
) -> ModelResidual:
    """Drive a cell whose resistance and voltage differ from the model for ten minutes."""
    polarisation, residual = Polarisation(MODEL, 1), ModelResidual(MODEL, 1, TrackingSettings())
    rng = np.random.default_rng(1)
    for _ in range(60):
        current = amplitude * rng.normal() * ONE
        for _ in range(10):
            p = MODEL.parameters(0.5 * ONE, 25.0 * ONE)
            polarisation.advance(1.0, p, current, MODEL.capacity_ah * ONE)
            eta = polarisation.overpotential_v(p, current)
            voltage = p.ocv_v + p.half_gap_v * polarisation.direction + offset_v + ratio * eta
            state = CellState(
                0.5 * ONE, 0.01 * ONE, 25.0 * ONE, MODEL.capacity_ah * ONE, current, voltage,
                None if told is None else told * ONE, None if told is None else 0.1 * ONE,
            )  # fmt: skip
            residual.step(1.0, state, p, polarisation)
    return residual


def test_offset_and_resistance_are_told_apart() -> None:
    found = learn(1.3, 0.012, told=1.0)
    assert found.ratio[0] == pytest.approx(1.3, abs=0.05)
    assert found.offset_v[0] == pytest.approx(0.012, abs=0.003)


def test_the_state_of_health_is_believed_until_the_voltage_speaks() -> None:
    resting = learn(1.5, 0.0, amplitude=0.0, told=1.5)
    assert resting.ratio[0] == pytest.approx(1.5) and resting.ratio_var[0] == pytest.approx(0.01, rel=0.05)


def test_learning_makes_certain_and_missing_voltage_does_not() -> None:
    found = learn(1.0, 0.0, told=1.0)
    assert found.ratio_var[0] < 0.002 and found.anchored.all()
    before = found.ratio_var.copy()
    p = MODEL.parameters(0.5 * ONE, 25.0 * ONE)
    blind = CellState(
        0.5 * ONE, 0.01 * ONE, 25.0 * ONE, MODEL.capacity_ah * ONE, 2.0 * ONE, np.nan * ONE, ONE, 0.1 * ONE
    )
    found.step(600.0, blind, p, Polarisation(MODEL, 1))
    assert found.ratio_var[0] > before[0] and not found.anchored.any()


def test_state_of_health_gives_capacity_and_the_resistance_of_ten_seconds() -> None:
    soh = StateOfHealth(**{f.name: np.full(2, np.nan) for f in fields(StateOfHealth)})
    soh.cell_capacity_ah = np.array([5.0, 6.0])
    soh.cell_capacity_pairs = np.array([3, 0], np.uint32)
    p = MODEL.parameters(0.5, 25.0)
    new = float(p.r0_ohm + p.r1_ohm * (1 - np.exp(-10 / p.tau1_s)) + p.r2_ohm * (1 - np.exp(-10 / p.tau2_s)))
    soh.cell_resistance_10s_ohm = np.array([0.7 * new, np.nan])
    soh.cell_resistance_10s_std_ohm = np.array([0.05 * new, np.nan])
    found = CellHealth.of(soh, MODEL, parallel=2)
    assert found.capacity_ah == pytest.approx([2.5, MODEL.capacity_ah])
    assert found.resistance_ratio[0] == pytest.approx(1.4) and np.isnan(found.resistance_ratio[1])
    assert found.resistance_ratio_std[0] == pytest.approx(0.1)
    # what is not known counts as new, as uncertain as the cell file says
    two = np.ones(2)
    q = MODEL.parameters(0.5 * two, 25.0 * two)
    residual = ModelResidual(MODEL, 2, TrackingSettings())
    state = CellState(
        0.5 * two, 0.01 * two, 25.0 * two, found.capacity_ah, 0.0 * two, np.nan * two,
        found.resistance_ratio, found.resistance_ratio_std,
    )  # fmt: skip
    residual.step(1.0, state, q, Polarisation(MODEL, 2))
    assert residual.ratio == pytest.approx([1.4, 1.0], abs=1e-3)
    assert residual.ratio_var[1] == pytest.approx(float(q.resistance_relative_std[1]) ** 2, rel=0.01)
