"""The cell file: what is accepted, and what every refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from openbms_core.cell import CellFile, load_cell
from openbms_core.config_file import ConfigError
from openbms_core.resources import config_folder

SHIPPED = sorted((config_folder() / "cells").glob("*.yaml"))


@pytest.fixture
def content() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((config_folder() / "cells" / "lg_hg2.yaml").read_text())
    return data


def refused(tmp_path: Path, content: dict[str, Any]) -> str:
    path = tmp_path / "cell.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ConfigError) as error:
        load_cell(path)
    return str(error.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_cell_loads_and_says_where_it_comes_from(path: Path) -> None:
    cell = load_cell(path)
    assert isinstance(cell, CellFile)
    assert cell.provenance.licence and cell.provenance.citation


def test_error_names_file_line_key_and_value(tmp_path: Path, content: dict[str, Any]) -> None:
    content["capacity_ah"] = -1.0
    text = refused(tmp_path, content)
    assert "cell.yaml:4" in text and "capacity_ah" in text and "-1.0" in text


def test_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path, content: dict[str, Any]) -> None:
    content["impedance"]["r0_ohms"] = content["impedance"]["r0_ohm"]
    assert "r0_ohm" in refused(tmp_path, content)


def test_ocv_must_rise(tmp_path: Path, content: dict[str, Any]) -> None:
    content["ocv"]["discharge_v"][0][5] = 2.0
    assert "must rise strictly" in refused(tmp_path, content)


def test_branches_must_not_be_swapped(tmp_path: Path, content: dict[str, Any]) -> None:
    ocv = content["ocv"]
    ocv["charge_v"], ocv["discharge_v"] = ocv["discharge_v"], ocv["charge_v"]
    assert "swapped" in refused(tmp_path, content)


def test_soc_breakpoints_must_rise(tmp_path: Path, content: dict[str, Any]) -> None:
    content["impedance"]["soc_breakpoints"][2] = 0.9
    assert "sort the breakpoints" in refused(tmp_path, content)


def test_ocv_must_cover_empty_to_full(tmp_path: Path, content: dict[str, Any]) -> None:
    content["ocv"]["soc_breakpoints"][0] = 0.001
    assert "from 0 to 1" in refused(tmp_path, content)


@pytest.mark.parametrize("table", ["r0_ohm", "r1_ohm", "tau1_s", "r2_ohm", "tau2_s"])
def test_resistances_and_time_constants_are_positive(
    tmp_path: Path, content: dict[str, Any], table: str
) -> None:
    content["impedance"][table][1][3] = 0.0
    text = refused(tmp_path, content)
    assert f"{table} row 1 value 3" in text


def test_rows_must_fit_the_temperatures(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["impedance"]["r1_ohm"][0]
    assert "give one row for each" in refused(tmp_path, content)


def test_columns_must_fit_the_soc(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["impedance"]["r1_ohm"][2][0]
    assert "row 2" in refused(tmp_path, content)


def test_saturating_part_is_not_above_the_whole(tmp_path: Path, content: dict[str, Any]) -> None:
    content["impedance"]["kinetic_resistance_ohm"][0][0] = 9.0
    assert "above r0_ohm" in refused(tmp_path, content)


def test_saturation_needs_both_keys(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["impedance"]["kinetic_current_a"]
    assert "belong together" in refused(tmp_path, content)


def test_voltages_in_order(tmp_path: Path, content: dict[str, Any]) -> None:
    content["voltage_max_v"] = 2.0
    assert "voltage_min_v < nominal_voltage_v < voltage_max_v" in refused(tmp_path, content)


def test_capacity_in_wrong_unit_is_noticed(tmp_path: Path, content: dict[str, Any]) -> None:
    content["capacity_ah"] = 2778.0
    assert "are both in Ah" in refused(tmp_path, content)


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_cell(tmp_path / "nothing.yaml")
