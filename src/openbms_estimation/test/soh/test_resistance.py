"""Resistance from the steps of a drive: found whatever the temperature and charge, never out of nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.soh.resistance import LONG_S, ResistanceTracker, model_resistance

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))
RATIO = np.array([1.0, 1.3, 1.8])


def drive(tracker, *, degc=25.0, soc=0.5, seconds=900.0, dt_s=0.5, noise_v=0.001, ratio=RATIO, seed=0):
    """Cells of ``ratio`` times the model's resistances through random steps, integrated here."""
    rng = np.random.default_rng(seed)
    n = ratio.size
    cell = MODEL.parameters(np.full(n, soc), np.full(n, degc))
    i1 = i2 = np.zeros(n)
    z = np.full(n, soc)
    current, until = 0.0, 0.0
    for k in range(int(seconds / dt_s)):
        if k * dt_s >= until:
            current = float(rng.uniform(-1.5, 0.8)) * MODEL.capacity_ah * (rng.random() > 0.2)
            until = k * dt_s + rng.uniform(2.0, 20.0)
        i1 = i1 + (1 - np.exp(-dt_s / cell.tau1_s)) * (current - i1)
        i2 = i2 + (1 - np.exp(-dt_s / cell.tau2_s)) * (current - i2)
        z = z + current * dt_s / 3600 / MODEL.capacity_ah
        over = ratio * (cell.instant_v(np.full(n, current)) + cell.r1_ohm * i1 + cell.r2_ohm * i2)
        v = MODEL.ocv(z, degc) + over + noise_v * rng.normal(size=n)
        tracker.step(dt_s, np.full(n, current), v, np.full(n, degc), z)


@pytest.mark.parametrize(("degc", "soc"), [(25.0, 0.5), (5.0, 0.8), (35.0, 0.3)])
def test_the_resistance_at_the_reference_is_found_from_anywhere(degc: float, soc: float) -> None:
    tracker = ResistanceTracker(MODEL, 3)
    drive(tracker, degc=degc, soc=soc)
    for span_s in (0.0, LONG_S):
        found, std = tracker.normalised(span_s)
        expected = RATIO * float(model_resistance(MODEL, 0.5, 25.0, span_s))
        np.testing.assert_allclose(found, expected, rtol=0.05)
        assert (np.abs(found - expected) < 3.0 * std).all() and (std < 0.1 * expected).all()


def test_nothing_is_said_before_a_step() -> None:
    tracker = ResistanceTracker(MODEL, 2)
    for _ in range(200):
        tracker.step(0.5, np.full(2, -1.0), np.full(2, 3.7), np.full(2, 25.0), np.full(2, 0.5))
    assert np.isnan(tracker.normalised(0.0)[0]).all()


def test_unknown_values_and_gaps_teach_nothing() -> None:
    tracker, steady = ResistanceTracker(MODEL, 1), ResistanceTracker(MODEL, 1)
    drive(tracker, ratio=np.ones(1))
    before = tracker.normalised(0.0)[0]
    for k in range(100):
        volts = np.array([np.nan if k % 2 else 3.0])
        tracker.step(0.5, np.array([float(k % 3)]), volts, np.array([np.nan]), np.array([0.5]))
        steady.step(
            60.0, np.array([3.0 * (k % 2)]), np.array([3.0 + k % 2]), np.full(1, 25.0), np.full(1, 0.5)
        )
    np.testing.assert_allclose(tracker.normalised(0.0)[0], before)
    assert np.isnan(steady.normalised(0.0)[0]).all()


def test_state_survives_and_a_wrong_one_is_refused() -> None:
    first, second = ResistanceTracker(MODEL, 3), ResistanceTracker(MODEL, 3)
    drive(first)
    second.resume(first.state())
    np.testing.assert_array_equal(first.normalised(0.0), second.normalised(0.0))
    for wrong in ({}, {"resistance": np.zeros((6, 3))}, {"resistance": np.ones((6, 2))}):
        with pytest.raises(ValueError, match="resistance"):
            second.resume(wrong)
