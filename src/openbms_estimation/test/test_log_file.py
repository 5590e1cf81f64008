"""Reading logs: what is wrong with a file is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openbms_core.config_file import ConfigError
from openbms_estimation.log_file import read_cell_log


def columns(rows: int = 60) -> dict[str, Any]:
    current = np.where(np.arange(rows) % 6 < 3, -2.0, 0.0)
    return {
        "time_s": np.arange(rows, dtype=float),
        "voltage_v": 3.7 + 0.03 * current,
        "current_a": current,
        "temperature_c": np.full(rows, 25.0),
        "ah": np.r_[0.0, np.cumsum(current[1:]) / 3600],
    }


def write(path: Path, data: dict[str, Any], meta: dict[str, Any] | None = None) -> Path:
    table = pa.table(data)
    if meta is not None:
        table = table.replace_schema_metadata({"bms_meta": json.dumps(meta)})
    pq.write_table(table, path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        read_cell_log(path)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


def test_parquet_and_csv_read_the_same(tmp_path: Path) -> None:
    data = columns()
    a = read_cell_log(write(tmp_path / "a.parquet", data, {"soc0": 0.9, "cap_ref_ah": 2.7}))
    names = list(data)
    lines = [",".join(names), *(",".join(str(data[n][k]) for n in names) for k in range(60))]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    b = read_cell_log(tmp_path / "a.csv")
    assert np.array_equal(a.voltage_v, b.voltage_v) and np.array_equal(a.current_a, b.current_a)
    assert (a.soc_at_start, a.capacity_ah) == (0.9, 2.7)
    assert (b.soc_at_start, b.capacity_ah) == (None, None)


def test_counter_is_optional(tmp_path: Path) -> None:
    data = columns()
    del data["ah"]
    assert read_cell_log(write(tmp_path / "a.parquet", data)).ah is None


@pytest.mark.parametrize("name", ["time_s", "voltage_v", "current_a", "temperature_c"])
def test_missing_column(tmp_path: Path, name: str) -> None:
    data = columns()
    del data[name]
    assert f"column {name} is missing" in refused(write(tmp_path / "a.parquet", data))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_value_names_the_row(tmp_path: Path, value: float) -> None:
    data = columns()
    data["voltage_v"][7] = value
    assert "row 8, column voltage_v" in refused(write(tmp_path / "a.parquet", data))


def test_unsorted_and_repeated_time(tmp_path: Path) -> None:
    data = columns()
    data["time_s"][10] = data["time_s"][9]
    assert "row 11, column time_s" in refused(write(tmp_path / "a.parquet", data))


def test_text_in_a_number_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,voltage_v,current_a,temperature_c\n0,3.7,0,25\n1,high,0,25\n")
    text = refused(path)
    assert "a.csv:3: row 2, column voltage_v" in text and "'high'" in text


def test_wrong_sign_against_the_counter(tmp_path: Path) -> None:
    data = columns()
    data["current_a"] = -data["current_a"]
    data["voltage_v"] = np.full(60, 3.7)
    assert "positive when charging" in refused(write(tmp_path / "a.parquet", data))


def test_wrong_sign_against_the_voltage(tmp_path: Path) -> None:
    data = columns()
    del data["ah"]
    data["current_a"] = -data["current_a"]
    assert "positive when charging" in refused(write(tmp_path / "a.parquet", data))


def test_pack_voltage_and_fahrenheit(tmp_path: Path) -> None:
    data = columns()
    data["voltage_v"] = data["voltage_v"] * 96
    assert "one lithium-ion cell" in refused(write(tmp_path / "a.parquet", data))
    data = columns()
    data["temperature_c"] = np.full(60, 300.0)
    assert "degrees Celsius" in refused(write(tmp_path / "b.parquet", data))


def test_not_a_log_at_all(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nothing.parquet")
    (tmp_path / "a.txt").write_text("x")
    assert ".parquet or .csv" in refused(tmp_path / "a.txt")
    (tmp_path / "a.csv").write_text("")
    assert "empty" in refused(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"not parquet at all")
    assert "not a readable parquet" in refused(tmp_path / "a.parquet")
    assert "at least 2" in refused(write(tmp_path / "b.parquet", columns(1)))
