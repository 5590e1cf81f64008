"""Evidence of one string: what its crowd says of the model, and what one faulty cell must not do to it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from openbms_core.models.ecm import CellModel
from openbms_estimation.diagnosis.cells import DZ, StringCells
from openbms_estimation.diagnosis.settings import DiagnosisSettings

sys.path.insert(0, str(Path(__file__).parent))
from diagnosed_cells import pack

CELLS, SLOPE_V, BEND_V = 24, 0.8, 2.0
APART = np.linspace(-0.03, 0.03, CELLS)


def corrected(theta_of_one: float, shown_by_one: float) -> np.ndarray:
    """Give what is left of differences that a bent OCV makes, with one cell that is far from the others."""
    string = StringCells(CellModel.from_file(pack().cell), CELLS, DiagnosisSettings(), capacity_ah=50.0)
    theta = np.zeros((6, CELLS))
    theta[DZ] = APART
    theta[DZ, 5] = theta_of_one
    string._theta = theta
    y = SLOPE_V * APART + BEND_V * APART**2
    y[5] = shown_by_one
    found, _ = string._as_the_crowd_says(
        y, np.array([SLOPE_V, 0.0, 0.0, 0.0, 0.0, 1.0]), np.zeros(CELLS), 0.0
    )
    return found


def test_bend_of_the_ocv_is_read_off_the_crowd() -> None:
    found = np.delete(corrected(APART[5], SLOPE_V * APART[5] + BEND_V * APART[5] ** 2), 5)
    straight = SLOPE_V * np.delete(APART, 5)
    bent = BEND_V * np.delete(APART, 5) ** 2
    assert np.ptp(found - straight) < 0.5 * np.ptp(bent)


@pytest.mark.parametrize("theta", [0.7, -3.0, 1e3, -1e6])
def test_what_one_cell_is_believed_to_be_does_not_feed_itself(theta: float) -> None:
    found = corrected(theta, 0.55)
    assert found[5] == pytest.approx(0.55, abs=0.05)
    assert np.abs(np.delete(found, 5)).max() < 0.05


def test_slope_of_the_ocv_counts_for_what_the_cells_differ_by_now() -> None:
    string = StringCells(CellModel.from_file(pack().cell), CELLS, DiagnosisSettings(), capacity_ah=50.0)
    bled = np.roll(APART, 7)  # balancing took this much from each, after which they differ by APART
    theta = np.zeros((6, CELLS))
    theta[DZ] = APART + bled
    string._theta = theta
    y = 1.2 * SLOPE_V * APART + SLOPE_V * bled  # the OCV is steeper than the model believes
    phi = np.array([SLOPE_V, 0.0, 0.0, 0.0, 0.0, 1.0])
    found, phi = string._as_the_crowd_says(y, phi, bled, 0.0)
    assert np.abs(found - phi[DZ] * theta[DZ]).max() < 0.2 * np.abs(y - SLOPE_V * theta[DZ]).max()
