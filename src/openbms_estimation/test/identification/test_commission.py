"""The core of `openbms fit`: a made cell comes back from its tests, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openbms_core.cell import CellFile
from openbms_core.config_file import ConfigError
from openbms_core.models.ecm import CellModel
from openbms_estimation.identification.cell_file import cell_file
from openbms_estimation.identification.commission import CHEMISTRIES, Commissioned, _refine, commission
from openbms_estimation.identification.error_model import model_error
from openbms_estimation.identification.read import read_test

CAPACITY_AH = 2.0
OHM, PAIR_OHM, PAIR_S = 0.03, 0.02, 40.0


def ocv(soc: np.ndarray) -> np.ndarray:
    return np.asarray(3.0 + 1.2 * soc - 0.2 * np.sin(5 * soc) * soc)


def write(
    path: Path, current: np.ndarray, dt: float, soc: float, *, warm: float = 1.0, degc: float = 25.0
) -> Path:
    """Write a test of the made cell: open-circuit voltage, one resistance, one RC pair."""
    moved = np.cumsum(current) * dt / 3600.0
    pair = np.zeros(len(current))
    keep = np.exp(-dt / PAIR_S)
    for row in range(1, len(current)):
        pair[row] = current[row] + keep * (pair[row - 1] - current[row])
    voltage = ocv(soc + moved / CAPACITY_AH) + warm * (OHM * current + PAIR_OHM * pair)
    columns = {
        "time_s": dt * np.arange(len(current)),
        "voltage_v": voltage,
        "current_a": current,
        "temperature_c": np.full(len(current), degc),
        "ah": moved,
    }
    pq.write_table(pa.table(columns), path)
    return path


def slow(path: Path) -> Path:
    steps = int(20 * 60 / 0.5)
    down, up = np.full(steps, -CAPACITY_AH / 20), np.full(steps, CAPACITY_AH / 20)
    return write(path, np.r_[0.0, down, np.zeros(20), up], 30.0, 1.0)


def drive(path: Path, degc: float = 25.0, warm: float = 1.0) -> Path:
    rng = np.random.default_rng(5)
    current = np.repeat(np.clip(rng.normal(-1.4, 2.0, 440), -6.0, 2.0), 10)
    current[:5] = 0.0
    return write(path, current, 1.0, 1.0, warm=warm, degc=degc)


def fitted(tests: list[tuple[str, Path]]) -> Commissioned:
    return commission([(kind, read_test(path)) for kind, path in tests], "nmc", CAPACITY_AH, steps=16)  # type: ignore[misc]


def content_of(found: Commissioned, mass_kg: float | None = None) -> dict[str, Any]:
    return cell_file(
        found,
        model_error(found),
        name="made",
        chemistry="nmc",
        rated_ah=CAPACITY_AH,
        source="made",
        citation="made",
        licence="none",
        mass_kg=mass_kg,
    )


def written(found: Commissioned) -> CellModel:
    return CellModel.from_file(CellFile.model_validate(content_of(found)))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Commissioned:
    folder = tmp_path_factory.mktemp("tests")
    return fitted([("ocv", slow(folder / "slow.parquet")), ("dynamic", drive(folder / "drive.parquet"))])


def test_known_tables_come_back(both: Commissioned) -> None:
    assert both.capacity_ah == pytest.approx(CAPACITY_AH, rel=0.01)
    model = written(both)
    z = np.linspace(0.2, 0.9, 8)
    assert model.ocv(z, 25.0) == pytest.approx(ocv(z), abs=0.005)
    # over minutes; how the search splits it among the pairs is its own affair
    assert model.resistance(z, 25.0) == pytest.approx(OHM + PAIR_OHM, rel=0.15)


def test_one_temperature_goes_on_by_arrhenius_and_doubts_more(both: Commissioned) -> None:
    model = written(both)
    warm, cold = model.parameters(0.5, 25.0), model.parameters(0.5, -10.0)
    assert 4.0 < cold.r0_ohm / warm.r0_ohm < 9.0
    assert cold.resistance_relative_std > warm.resistance_relative_std + 0.2


def test_only_the_open_circuit_voltage_gives_a_wide_model(tmp_path: Path, both: Commissioned) -> None:
    found = fitted([("ocv", slow(tmp_path / "slow.parquet"))])
    assert not found.has_dynamics
    p, q = written(found).parameters(0.5, 25.0), written(both).parameters(0.5, 25.0)
    assert p.resistance_relative_std > 0.4 > q.resistance_relative_std
    assert written(found).shared_resistance_error == 0.0 and written(both).shared_resistance_error == 1.0
    assert found.tests[0].placement.why == "begins full"


def one_c(path: Path) -> Path:
    """Give a whole discharge with one capacity per hour, and the rest after it."""
    return write(path, np.r_[np.zeros(5), np.full(3580, -CAPACITY_AH), np.zeros(900)], 1.0, 1.0)


def pulsed(path: Path) -> Path:
    """Give pulses in both directions, a tenth of the capacity apart."""
    step = np.r_[np.zeros(300), np.full(10, -4.0), np.zeros(60), np.full(10, 3.0), np.zeros(60)]
    return write(path, np.r_[np.tile(np.r_[step, np.full(360, -CAPACITY_AH)], 9)], 1.0, 1.0)


def test_pulses_and_full_discharges_give_their_sections(tmp_path: Path) -> None:
    tests = [("ocv", slow(tmp_path / "slow.parquet"))]
    without = content_of(fitted(tests))
    assert "pulses" not in without and "thermal" not in without
    assert len(without["depletion"]["rates_c"]) == 1
    tests += [("hppc", pulsed(tmp_path / "pulses.parquet"))]
    circuit = fitted(tests)
    found = fitted([*tests, ("discharge", one_c(tmp_path / "one.parquet"))])
    assert found.fit.nonlinear == circuit.fit.nonlinear and np.array_equal(
        found.fit.r1_ohm, circuit.fit.r1_ohm
    )
    content = content_of(found, mass_kg=0.05)
    assert [row["record"] for row in content["provenance"]["residuals"]][-1] == "one.parquet"
    assert content["thermal"]["mass_kg"] == 0.05
    assert content["depletion"]["rates_c"] == pytest.approx([0.05, 1.0], rel=0.02)
    assert content["depletion"]["shift_soc"][0] == pytest.approx([0.0, 0.0], abs=0.04)
    # the made cell is a circuit as the fit has it: nothing to correct
    assert np.ravel(content["pulses"]["discharge_ratio"]) == pytest.approx(1.0, abs=0.15)


def test_a_rest_is_judged_by_the_slope_at_its_own_temperature(tmp_path: Path) -> None:
    """A steep curve turns 150 mV into 3 %, within what rests tell; averaged with a flat one it would be 6."""
    cold = write(tmp_path / "cold.parquet", np.full(2000, -CAPACITY_AH / 20), 30.0, 1.0, degc=0.0)
    tests = [("ocv", slow(tmp_path / "slow.parquet")), ("ocv", cold)]
    tests += [("dynamic", one_c(tmp_path / "one.parquet"))]
    found = fitted(tests)
    test = found.tests[-1]
    steep = 5.0 * np.asarray(found.fit.knots.ocv_soc)
    fit = replace(found.fit, ocv_v=np.stack([np.ones_like(steep), steep]))
    record = replace(test.records[0], current_a=np.zeros_like(test.records[0].current_a))
    voltage, _ = fit.simulate(record)
    seen = replace(test.records[0], voltage_v=voltage + 0.15)
    assert _refine(replace(test, records=(seen,)), fit, 0.006).placement == test.placement


def test_a_slow_test_alone_bends_no_resistance(tmp_path: Path) -> None:
    """It cannot tell a resistance from an open-circuit voltage: the usual one of the chemistry stays."""
    fit = fitted([("ocv", slow(tmp_path / "slow.parquet"))]).fit
    soc = np.asarray(fit.knots.resistance_soc)
    usual = np.array(CHEMISTRIES["nmc"].resistance_v)[[0, 2, 3]] / CAPACITY_AH
    for table, ohm in zip((fit.r0_ohm, fit.r1_ohm, fit.r2_ohm), usual, strict=True):
        assert table[0][soc > 0.3] == pytest.approx(ohm, rel=0.05)
        assert table[0][0] > 1.5 * ohm  # an empty cell has more


def test_a_temperature_without_load_takes_the_resistances_of_the_nearest(tmp_path: Path) -> None:
    cold = write(tmp_path / "cold.parquet", np.full(2400, -CAPACITY_AH / 20), 30.0, 1.0, degc=0.0)
    tests = [
        ("ocv", slow(tmp_path / "slow.parquet")),
        ("ocv", cold),
        ("dynamic", drive(tmp_path / "d.parquet")),
    ]
    fit = fitted(tests).fit
    assert len(fit.knots.temperature_degc) == 2
    middle = (np.asarray(fit.knots.resistance_soc) > 0.2) & (np.asarray(fit.knots.resistance_soc) < 0.9)
    # normalised to 25 °C: Arrhenius carries them to the cold one
    assert fit.r0_ohm[0][middle] == pytest.approx(fit.r0_ohm[1][middle], rel=0.1)


def test_two_temperatures_are_told_apart(tmp_path: Path) -> None:
    found = fitted(
        [
            ("ocv", slow(tmp_path / "slow.parquet")),
            ("dynamic", drive(tmp_path / "warm.parquet")),
            ("dynamic", drive(tmp_path / "cold.parquet", 0.0, 3.0)),
        ]
    )
    model = written(found)
    ratio = model.resistance(0.5, 0.0) / model.resistance(0.5, 25.0)
    assert ratio == pytest.approx(3.0, rel=0.2)


def test_without_a_slow_test_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no slow test from full or to empty"):
        fitted([("ocv", drive(tmp_path / "drive.parquet"))])


def test_another_capacity_is_not_the_same_cell(tmp_path: Path) -> None:
    tests = [("ocv", read_test(slow(tmp_path / "slow.parquet")))]
    with pytest.raises(ConfigError, match=r"slow\.parquet: from full to empty it gives 2 Ah"):
        commission(tests, "nmc", 5.0)  # type: ignore[arg-type]
