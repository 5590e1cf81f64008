"""Equations of the equivalent circuit, and how its tables are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_core.cell import load_cell
from openbms_core.models.ecm import AVERAGE, CHARGE, DISCHARGE, CellModel
from openbms_core.resources import find_config

FILE = load_cell(find_config("cells", "lg_hg2"))
MODEL = CellModel.from_file(FILE)
socs = st.floats(0.0, 1.0)
temperatures = st.floats(-40.0, 70.0)


@given(socs, temperatures)
def test_ocv_is_inverted(soc: float, temperature: float) -> None:
    voltage = MODEL.ocv(soc, temperature)
    assert MODEL.soc_from_ocv(voltage, temperature) == pytest.approx(soc, abs=1e-5)


@given(socs, temperatures)
def test_charge_branch_lies_above_the_average_and_that_above_the_discharge_branch(
    soc: float, temperature: float
) -> None:
    down, middle, up = (MODEL.ocv(soc, temperature, d) for d in (DISCHARGE, AVERAGE, CHARGE))
    assert down <= middle <= up


@given(st.floats(0.02, 0.97), temperatures)
def test_slope_is_the_derivative(soc: float, temperature: float) -> None:
    step = 0.005
    numeric = (MODEL.ocv(soc + step, temperature) - MODEL.ocv(soc - step, temperature)) / (2 * step)
    slopes = MODEL.docv_dsoc(np.linspace(soc - step, soc + step, 11), temperature)
    assert np.mean(slopes) == pytest.approx(float(numeric), rel=0.1, abs=0.03)


@given(st.floats(0.2, 1.0), st.floats(-40.0, 69.0))
def test_resistance_falls_with_temperature(soc: float, temperature: float) -> None:
    assert MODEL.resistance(soc, temperature) > MODEL.resistance(soc, temperature + 1.0)


def test_extrapolation_follows_the_activation_energy() -> None:
    impedance = FILE.impedance
    cold = impedance.temperature_breakpoints_degc[0]
    inverse = 1 / (cold - 10 + 273.15) - 1 / (cold + 273.15)
    expected = np.exp(impedance.activation_energy_cold_j_per_mol / 8.314462618 * inverse)
    assert MODEL.r0(0.5, cold - 10) / MODEL.r0(0.5, cold) == pytest.approx(expected, rel=0.01)


def test_beyond_the_grid_nothing_changes() -> None:
    assert MODEL.r0(0.5, -90.0) == MODEL.r0(0.5, -40.0)
    assert MODEL.ocv(2.0, 25.0) == MODEL.ocv(1.05, 25.0)


def test_table_values_come_back_at_the_breakpoints() -> None:
    ocv = FILE.ocv
    for row, temperature in enumerate(ocv.temperature_breakpoints_degc):
        found = MODEL.ocv(np.array(ocv.soc_breakpoints), temperature, DISCHARGE)
        assert found == pytest.approx(ocv.discharge_v[row], abs=0.004)


@given(st.floats(-50, 50), socs, temperatures)
def test_instantaneous_overpotential_is_odd_rises_and_saturates(
    current: float, soc: float, temperature: float
) -> None:
    p = MODEL.parameters(soc, temperature)
    assert p.instant_v(-current) == pytest.approx(-p.instant_v(current), abs=1e-12)
    assert abs(p.instant_v(current)) <= p.r0_ohm * abs(current) + 1e-12
    assert 0 < p.instant_slope_ohm(current) <= p.r0_ohm + 1e-15


def test_slope_of_the_instantaneous_overpotential() -> None:
    p = MODEL.parameters(0.5, -10.0)
    numeric = (p.instant_v(3.001) - p.instant_v(2.999)) / 0.002
    assert p.instant_slope_ohm(3.0) == pytest.approx(float(numeric), rel=1e-5)


def test_batch_equals_one_by_one() -> None:
    soc, temperature = np.linspace(0, 1, 7), np.linspace(-20, 40, 7)
    batch = MODEL.parameters(soc, temperature)
    for k in range(7):
        one = MODEL.parameters(soc[k], temperature[k])
        for name, values in vars(batch).items():
            assert values[k] == getattr(one, name), name


def test_nan_voltage_gives_nan_soc_and_no_other() -> None:
    found = MODEL.soc_from_ocv([3.7, np.nan, 3.9], 25.0)
    assert np.isnan(found).tolist() == [False, True, False]


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        MODEL._table[0, 0] = 1.0
