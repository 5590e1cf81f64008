"""Test files as testers write them: sorted, signed and cleaned, with a word on it; else one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openbms_core.config_file import ConfigError
from openbms_estimation.identification.read import read_test


def columns(rows: int = 400) -> dict[str, np.ndarray]:
    current = np.where(np.arange(rows) // 20 % 2 == 0, -2.0, 0.5)
    moved = np.cumsum(current) / 3600.0
    return {
        "time_s": np.arange(rows, dtype=float),
        "voltage_v": 3.9 + 0.5 * moved + 0.03 * current,
        "current_a": current,
        "temperature_c": np.full(rows, 25.0),
        "ah": moved,
    }


def saved(path: Path, made: dict[str, np.ndarray]) -> Path:
    pq.write_table(pa.table(made), path)
    return path


def test_a_sound_file_is_taken_as_it_is(tmp_path: Path) -> None:
    made = columns()
    test = read_test(saved(tmp_path / "a.parquet", made))
    assert test.notes == ()
    assert test.current_a == pytest.approx(made["current_a"])
    assert test.ah == pytest.approx(made["ah"])


def test_rows_out_of_order_repeated_and_empty_are_put_right(tmp_path: Path) -> None:
    made = columns()
    made["voltage_v"][7] = np.nan
    made["time_s"][20] = made["time_s"][19]
    order = np.random.default_rng(1).permutation(len(made["time_s"]))
    test = read_test(saved(tmp_path / "a.parquet", {key: values[order] for key, values in made.items()}))
    assert np.all(np.diff(test.time_s) > 0)
    assert len(test.time_s) == 398
    assert [note.split(" ")[0:2] for note in test.notes] == [["1", "rows"], ["rows", "sorted"], ["1", "rows"]]


@pytest.mark.parametrize("slowly", [False, True])
def test_a_wrong_sign_is_found_and_said(tmp_path: Path, slowly: bool) -> None:
    made = columns()
    if slowly:
        made["current_a"] = np.full(400, -0.1)
        made["ah"] = np.cumsum(made["current_a"]) / 3600.0
        made["voltage_v"] = 4.0 + 5.0 * made["ah"]
    made["current_a"] = -made["current_a"]
    test = read_test(saved(tmp_path / "a.parquet", made))
    assert np.median(test.current_a[:20]) < 0
    assert any("sign of current_a changed" in note for note in test.notes)


def test_without_counter_and_temperature(tmp_path: Path) -> None:
    made = columns()
    del made["ah"], made["temperature_c"]
    test = read_test(saved(tmp_path / "a.parquet", made))
    assert test.ah[-1] - test.ah[0] == pytest.approx((np.sum(made["current_a"][1:])) / 3600.0)
    assert np.all(test.temperature_degc == 25.0)
    assert len(test.notes) == 2


def test_gaps_are_counted(tmp_path: Path) -> None:
    made = columns()
    made["time_s"][200:] += 5000.0
    assert "1 gaps in time" in read_test(saved(tmp_path / "a.parquet", made)).notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.pop("voltage_v"), "column voltage_v is missing"),
        (lambda m: m.update(voltage_v=1000.0 * m["voltage_v"]), "row 1, column voltage_v: .* is no voltage"),
        (lambda m: m.update(temperature_c=m["temperature_c"] + 273.15), "give degrees Celsius"),
        (lambda m: m.update(current_a=0.0 * m["current_a"]), "without current"),
        (lambda m: m.update(voltage_v=np.nan * m["voltage_v"]), "only 0 of 400 rows"),
        (lambda m: m.update(voltage_v=np.array(["x"] * 400)), "row 1, column voltage_v: 'x' is not a number"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, change: object, said: str) -> None:
    made = columns()
    change(made)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=said):
        read_test(saved(tmp_path / "a.parquet", made))
