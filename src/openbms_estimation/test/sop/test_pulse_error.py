"""What a pulse test says of large currents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import PulseTables, load_cell
from openbms_core.models.ecm import CellModel
from openbms_estimation.sop.pulse_error import Pulse, PulseCorrection, pulse_tables, pulses_of

CELL = load_cell(Path(__file__).parents[1] / "data" / "cell.yaml")
MODEL = CellModel.from_file(CELL)


def pulse_test(factor: float, collapse_after_s: float = 1e9) -> list[Pulse]:
    """Simulate pulses of a cell whose overpotential is a factor larger, from rest."""
    rows = []
    t, charge = 0.0, 0.0
    for soc in (0.9, 0.6, 0.3):
        charge = (soc - 1.0) * MODEL.capacity_ah
        for current in (-6.0, 4.0):
            i1 = i2 = 0.0
            for k in range(900):
                i = current if 0 < k <= 20 else 0.0
                p = MODEL.parameters(soc, 25.0)
                i1 = i + np.exp(-1 / p.tau1_s) * (i1 - i)
                i2 = i + np.exp(-1 / p.tau2_s) * (i2 - i)
                eta = p.instant_v(i) + p.r1_ohm * i1 + p.r2_ohm * i2
                extra = 0.3 * np.sign(i) if k > collapse_after_s and i else 0.0
                rows.append(
                    (t, float(p.ocv_v + factor * eta + extra), i, 25.0, 1 + charge / MODEL.capacity_ah)
                )
                t += 1.0
    return pulses_of(MODEL, *np.array(rows).T)


def test_the_factor_is_found_for_both_directions() -> None:
    found = pulse_test(1.2)
    assert len(found) == 6
    tables = pulse_tables({25.0: found})
    assert tables is not None
    assert np.allclose(tables["discharge_ratio"], 1.2, atol=0.01)
    assert np.allclose(tables["charge_ratio"], 1.2, atol=0.01)
    cell = CELL.model_copy(update={"pulses": PulseTables(**tables)})
    ratio, std, tested = PulseCorrection(cell)(-1.0, np.array([0.5]), np.array([25.0]))
    assert ratio[0] == pytest.approx(1.2, abs=0.01) and std[0] == pytest.approx(0.02, abs=0.01)
    assert 0.1 < tested[0] < 1.0


def test_what_collapses_was_not_tested() -> None:
    whole, short = (pulse_tables({25.0: pulse_test(1.0, after)}) for after in (1e9, 13.0))
    assert whole is not None and short is not None
    assert np.max(short["discharge_tested_v"]) < np.max(whole["discharge_tested_v"])
    assert np.allclose(short["discharge_ratio"], 1.0, atol=0.02)


def test_a_test_without_charge_pulses_gives_nothing() -> None:
    assert pulse_tables({25.0: [p for p in pulse_test(1.0) if p.current_a < 0]}) is None


def test_without_a_test_the_circuit_is_doubted_by_five_percent() -> None:
    ratio, std, tested = PulseCorrection(CELL)(-1.0, np.array([0.5]), np.array([25.0]))
    assert ratio[0] == 1.0 and std[0] >= 0.05 and np.isinf(tested[0])
