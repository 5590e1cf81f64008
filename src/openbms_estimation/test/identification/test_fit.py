"""The fit finds the parameters of a cell that is made from known ones."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_core.cell import CellFile
from openbms_core.models.ecm import CellModel
from openbms_estimation.identification.cell_file import to_yaml
from openbms_estimation.identification.cell_tables import impedance_tables, ocv_tables, residual_rows
from openbms_estimation.identification.fit import FitSettings, fit_cell, simulate
from openbms_estimation.identification.records import Record, discharge_part, make_record, rc_current

CAPACITY_AH = 2.0
TAU1_S, TAU2_S, SATURATION_A = 8.0, 120.0, 3.0
SEARCH = np.array([np.log(TAU1_S), np.log(TAU2_S), np.log(SATURATION_A), 0.0, 0.0, 0.0])
SETTINGS = FitSettings()


def ocv(soc: np.ndarray) -> np.ndarray:
    return np.asarray(3.0 + 1.2 * soc - 0.2 * np.sin(5 * soc) * soc)


def pulses() -> Record:
    """Pulses with rests from full to empty, sampled at 0.5 s; voltage of a circuit with known parameters."""
    one = np.r_[
        np.full(20, -4.0), np.zeros(80), np.full(20, 2.0), np.zeros(80), np.full(260, -1.5), np.zeros(140)
    ]
    current = np.tile(one, 45)
    time = 0.5 * np.arange(len(current))
    ah = np.r_[0.0, np.cumsum(current[1:]) * 0.5 / 3600]
    rows = 1 + ah / CAPACITY_AH > 0.01
    columns = {
        "time_s": time[rows],
        "current_a": current[rows],
        "ah": ah[rows],
        "temperature_c": np.full(rows.sum(), 25.0),
        "voltage_v": np.full(rows.sum(), 3.7),
    }
    record = make_record("made", columns, CAPACITY_AH)
    i = record.current_a
    columns["voltage_v"] = (
        ocv(record.soc)
        + 0.02 * i
        + 0.01 * SATURATION_A * np.arcsinh(i / SATURATION_A)
        + 0.015 * rc_current(record, TAU1_S)
        + 0.025 * rc_current(record, TAU2_S)
    )
    return make_record("made", columns, CAPACITY_AH)


@pytest.fixture(scope="module")
def record() -> Record:
    return pulses()


def test_known_parameters_come_back(record: Record) -> None:
    fits, _ = fit_cell({25.0: [record]}, SETTINGS, search=SEARCH)
    fit = fits[0]
    knots = np.array(SETTINGS.resistance_soc)
    middle = (knots > 0.1) & (knots < 0.95)
    assert fit.linear_ohm[middle] + fit.kinetic_ohm[middle] == pytest.approx(0.03, rel=0.02)
    assert fit.r1_ohm[middle] == pytest.approx(0.015, rel=0.05)
    assert fit.r2_ohm[middle] == pytest.approx(0.025, rel=0.1)
    voltage, _ = simulate(fit, record, SETTINGS)
    assert np.sqrt(np.mean((voltage - record.voltage_v)[record.soc > 0.05] ** 2)) < 0.002


def test_search_improves_a_wrong_guess(record: Record) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    few = FitSettings(search_steps=25)
    fits, search = fit_cell({25.0: [record]}, few, progress=count)
    assert steps <= 27
    voltage, _ = simulate(fits[0], record, few)
    assert np.sqrt(np.mean((voltage - record.voltage_v) ** 2)) < 0.004
    assert search.shape == (6,)


def test_ocv_of_the_fit_rises(record: Record) -> None:
    fits, _ = fit_cell({25.0: [record]}, SETTINGS, search=SEARCH)
    assert np.all(np.diff(fits[0].ocv_v) > 0)


def test_tables_make_a_cell_file(record: Record) -> None:
    fits, _ = fit_cell({25.0: [record]}, SETTINGS, search=SEARCH)
    content = {
        "schema_version": 1,
        "name": "made",
        "chemistry": "nmc",
        "capacity_ah": CAPACITY_AH,
        "rated_capacity_ah": 2.0,
        "nominal_voltage_v": 3.6,
        "voltage_min_v": 2.8,
        "voltage_max_v": 4.5,
        "ocv": ocv_tables(fits, None, fits[0], SETTINGS),
        "impedance": impedance_tables(fits, SETTINGS),
        "model_error": {
            "soc_breakpoints": [0.0, 1.0],
            "temperature_breakpoints_degc": [25.0],
            "slow_std_v": [[0.01, 0.01]],
            "resistance_relative_std": [0.05],
            "pair_relative_std": [0.3],
        },
        "provenance": {
            "source": "made",
            "citation": "none",
            "licence": "CC0",
            "method": "test",
            "residuals": residual_rows(fits, {25.0: [record]}, SETTINGS),
        },
    }
    model = CellModel.from_file(CellFile.model_validate(content))
    assert model.ocv(0.5, 25.0) == pytest.approx(float(ocv(np.array(0.5))), abs=0.005)
    assert to_yaml(content, "heading").startswith("# heading\n")


def test_counter_reset_ends_the_record() -> None:
    columns = {
        "time_s": np.arange(10.0),
        "voltage_v": np.full(10, 3.7),
        "current_a": np.full(10, -1.0),
        "temperature_c": np.full(10, 25.0),
        "ah": np.r_[-np.arange(6) / 3600, np.ones(4)],
    }
    assert len(make_record("made", columns, 2.0).time_s) == 6


def test_mean_current_of_a_long_interval_comes_from_the_counter() -> None:
    columns = {
        "time_s": np.array([0.0, 60.0, 120.0]),
        "voltage_v": np.full(3, 3.7),
        "current_a": np.array([0.0, -1.0, -1.0]),
        "temperature_c": np.full(3, 25.0),
        "ah": np.array([0.0, -0.5, -1.5]) / 60,
    }
    record = make_record("made", columns, 2.0)
    assert record.mean_current_a == pytest.approx([0.0, -0.5, -1.0])
    assert not record.judged[1]


def test_discharge_part_ends_at_the_lowest_charge(record: Record) -> None:
    part = discharge_part(record)
    assert part.soc[-1] == record.soc.min()
