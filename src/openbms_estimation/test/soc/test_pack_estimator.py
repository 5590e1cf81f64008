"""The estimator of a whole pack: which cell sees what, quality, lost scans."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_config
from openbms_core.types import PackMeasurement
from openbms_estimation.soc.pack_estimator import (
    QUALITY_CONVERGING,
    QUALITY_DEGRADED,
    QUALITY_GOOD,
    QUALITY_LOST,
    QUALITY_UNKNOWN,
    CellLayout,
    PackSocEstimator,
)

REST_V = 3.7


def small_pack(folder: Path, *, strings: int = 1, parallel: int = 1, **changes: Any) -> LoadedPack:
    """Load the demonstration pack cut down to four cells a string and two sensors."""
    pack = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    pack["topology"] = {
        "strings": strings,
        "cells_in_series": 4,
        "cells_in_parallel": parallel,
        "temperature_sensors": [
            {"name": "cell_{i}", "location": "cell", "count": 2, "cells_each": 2},
            {"name": "ambient", "location": "ambient"},
        ],
    }
    pack["contactors"]["authority"] = "none"
    pack["device"] |= {
        "commands": [],
        "signals": [{"to": "cell_voltage_v", "message": "M", "signal": "S"}],
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**pack, **changes}), encoding="utf-8")
    return load_pack(path)


def small_pack_without(folder: Path, key: str) -> LoadedPack:
    """Load the pack that was written last, without a key."""
    path = folder / "small.yaml"
    pack = yaml.safe_load(path.read_text(encoding="utf-8"))
    del pack[key]
    path.write_text(yaml.safe_dump(pack), encoding="utf-8")
    return load_pack(path)


def scan(
    number: int, stamp_s: float, *, strings: int = 1, current_a: float = 0.0, volts: float = REST_V
) -> Any:
    """Build a complete scan."""
    m = PackMeasurement.empty(4 * strings, 3, strings, scan_number=number, stamp_s=stamp_s)
    m.cell_voltages_v[:] = volts
    m.temperatures_degc[:] = (24.0, 26.0, 10.0)
    m.string_currents_a[:] = current_a
    m.string_charge_increments_ah[:] = current_a * 0.1 / 3600.0
    return m


def run(estimator: PackSocEstimator, steps: int, first: int = 0, **values: Any) -> Any:
    """Take scans at 10 Hz and give the last estimate."""
    for number in range(first, first + steps):
        result = estimator.step(scan(number, 0.1 * number, **values))
    return result


def test_each_cell_has_its_nearest_valid_sensor(tmp_path: Path) -> None:
    layout = CellLayout(small_pack(tmp_path))
    m = scan(0, 0.0)
    np.testing.assert_array_equal(layout.temperature_degc(m), [24, 24, 26, 26])
    m.temperatures_degc[0] = math.nan
    np.testing.assert_array_equal(layout.temperature_degc(m), [26, 26, 26, 26])
    m.temperatures_degc[1] = math.nan
    assert np.isnan(layout.temperature_degc(m)).all(), "the ambient sensor says nothing of a cell"


def test_a_parallel_cell_sees_its_share_of_its_own_strings_current(tmp_path: Path) -> None:
    layout = CellLayout(small_pack(tmp_path, strings=2, parallel=3))
    np.testing.assert_allclose(layout.per_cell(np.array([6.0, -3.0])), [2] * 4 + [-1] * 4)


def test_rested_pack_is_found_and_good(tmp_path: Path) -> None:
    estimator = PackSocEstimator(small_pack(tmp_path))
    result = run(estimator, 50)
    assert result.quality in (QUALITY_GOOD, QUALITY_CONVERGING)
    assert np.ptp(result.cell_soc) < 0.02, "equal voltages, nearly equal temperatures"
    assert 0.0 < result.soc < 1.0 and 0.0 < result.soc_std < 0.1
    assert result.remaining_charge_ah == pytest.approx(result.soc * estimator.model.capacity_ah, rel=0.02)
    assert result.scan_number == 49


def test_usable_window_is_what_is_shown(tmp_path: Path) -> None:
    whole = run(PackSocEstimator(small_pack(tmp_path)), 5)
    part = run(PackSocEstimator(small_pack(tmp_path, usable_soc={"min": 0.1, "max": 0.9})), 5)
    assert part.soc == pytest.approx((whole.soc - 0.1) / 0.8, abs=0.005)


@pytest.mark.parametrize("method", ["ekf_2rc", "sigma_point", "coulomb_counting"])
def test_charge_is_counted(tmp_path: Path, method: str) -> None:
    estimator = PackSocEstimator(small_pack(tmp_path, estimation_method=method))
    before = run(estimator, 20).cell_soc
    # one cell takes what three in parallel share; voltage is not given, so that only the count moves it
    for number in range(20, 620):
        result = estimator.step(scan(number, 0.1 * number, current_a=-2.0, volts=math.nan))
    moved = -2.0 * 60.0 / 3600.0 / estimator.model.capacity_ah
    np.testing.assert_allclose(result.cell_soc - before, moved, atol=2e-3)
    assert result.method == method


def lfp_cell(folder: Path) -> str:
    """Write the demonstration's cell under another chemistry."""
    cell = yaml.safe_load((Path(__file__).parents[1] / "data" / "cell.yaml").read_text(encoding="utf-8"))
    (folder / "lfp.yaml").write_text(yaml.safe_dump({**cell, "chemistry": "lfp"}), encoding="utf-8")
    return "./lfp.yaml"


@pytest.mark.parametrize(
    ("lfp", "wanted", "method"),
    [
        (False, None, "ekf_2rc"),
        (False, "auto", "ekf_2rc"),
        (False, "sigma_point", "sigma_point"),
        (True, None, "ekf_2rc"),
        (True, "auto", "ekf_2rc"),
        (True, "sigma_point", "sigma_point"),
        (True, "coulomb_counting", "coulomb_counting"),
    ],
)
def test_the_method_is_the_ekf_unless_another_is_named(
    tmp_path: Path, lfp: bool, wanted: str | None, method: str
) -> None:
    changes = {"cell": lfp_cell(tmp_path)} if lfp else {}
    pack = small_pack(tmp_path, **changes, **({} if wanted is None else {"estimation_method": wanted}))
    if wanted is None:
        pack = small_pack_without(tmp_path, "estimation_method")
    estimator = PackSocEstimator(pack)
    assert run(estimator, 3).method == estimator.cells.method == method


def test_an_unknown_method_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"estimation_method.*sigma_point"):
        small_pack(tmp_path, estimation_method="ukf")


def test_lost_scans_are_bridged_by_the_current(tmp_path: Path) -> None:
    every, some = (PackSocEstimator(small_pack(tmp_path)) for _ in range(2))
    for number in range(200):
        all_seen = every.step(
            scan(number, 0.1 * number, current_a=-3.0, volts=math.nan if number else REST_V)
        )
        if number % 5 == 0:
            part_seen = some.step(
                scan(number, 0.1 * number, current_a=-3.0, volts=math.nan if number else REST_V)
            )
    np.testing.assert_allclose(part_seen.cell_soc, all_seen.cell_soc, atol=1e-3)


def test_nothing_is_invented_before_the_first_voltage(tmp_path: Path) -> None:
    estimator = PackSocEstimator(small_pack(tmp_path))
    m = scan(0, 0.0)
    m.cell_voltages_v[2] = math.nan
    result = estimator.step(m)
    assert result.quality == QUALITY_UNKNOWN and "1 cells" in result.quality_reason
    assert math.isnan(result.soc) and math.isnan(result.displayed_soc) and math.isnan(result.cell_soc[2])
    assert np.isfinite(result.cell_soc[[0, 1, 3]]).all()


@pytest.mark.parametrize(
    ("field", "expected", "said"),
    [
        ("cell_voltages_v", QUALITY_DEGRADED, "voltage"),
        ("temperatures_degc", QUALITY_DEGRADED, "temperature"),
        ("string_currents_a", QUALITY_LOST, "current"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, field: str, expected: int, said: str) -> None:
    estimator = PackSocEstimator(small_pack(tmp_path))
    good = run(estimator, 50)
    for number in range(50, 80):
        m = scan(number, 0.1 * number)
        getattr(m, field)[:] = math.nan
        if field == "string_currents_a":
            m.string_charge_increments_ah[:] = math.nan
        result = estimator.step(m)
    assert result.quality == expected and said in result.quality_reason
    assert np.isfinite(result.cell_soc).all()
    if expected == QUALITY_LOST:
        assert result.soc_std > good.soc_std
