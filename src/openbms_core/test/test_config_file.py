"""Errors of configuration files name file, line, key, value and cure."""

from pathlib import Path

import pytest
from pydantic import Field, model_validator

from openbms_core.config_file import (
    ConfigError,
    Integer,
    Number,
    Positive,
    StrictModel,
    _FastLoader,
    _Loader,
    _parse,
    load_config,
)


class Inner(StrictModel):
    cells_in_series: Integer
    resistance_ohm: Positive = 0.001


class Outer(StrictModel):
    name: str
    inner: Inner
    rows: tuple[Inner, ...] = ()
    table: dict[str, Number] = Field(default_factory=dict)


class Paired(StrictModel):
    low: Number
    high: Number
    rows: tuple[Inner, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "Paired":
        for number, row in enumerate(self.rows):
            if row.cells_in_series > 100:
                raise ValueError(f"rows[{number}] holds {row.cells_in_series} cells, more than 100")
        if self.low >= self.high:
            raise ValueError(f"high: it must be above low ({self.low}), but is {self.high}")
        return self


GOOD = "name: pack\ninner:\n  cells_in_series: 96\n  resistance_ohm: 1e-3\nrows:\n  - {cells_in_series: 2}\n"


def load(tmp_path: Path, text: str) -> Outer:
    path = tmp_path / "pack.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, Outer)


def test_loads_and_reads_exponent_without_point_as_number(tmp_path: Path) -> None:
    model = load(tmp_path, GOOD)
    assert model.inner.resistance_ohm == 1e-3
    assert model.rows[0].cells_in_series == 2


@pytest.mark.parametrize(
    ("change", "line", "parts"),
    [
        (
            ("cells_in_series: 96", "cells_in_serie: 96"),
            3,
            ["inner.cells_in_serie", "96", "'cells_in_series'"],
        ),
        (("  cells_in_series: 96\n", ""), 2, ["inner.cells_in_series", "missing"]),
        (("96", "'96'"), 3, ["inner.cells_in_series", "'96'", "integer"]),
        (("96", "true"), 3, ["inner.cells_in_series", "True"]),
        (("1e-3", "-1e-3"), 4, ["inner.resistance_ohm", "-0.001", "greater than 0"]),
        (("1e-3", ".nan"), 4, ["inner.resistance_ohm", "nan", "finite"]),
        (("1e-3", ".inf"), 4, ["inner.resistance_ohm", "inf", "finite"]),
        (("{cells_in_series: 2}", "{cells: 2}"), 6, ["rows[0].cells", "2"]),
        (("{cells_in_series: 2}", "7"), 6, ["rows[0]", "7"]),
        (("name: pack", "name: [1, 2]"), 1, ["name", "a list"]),
        (("name: pack", "name: pack\nname: other"), 2, ["name", "twice", "line 1"]),
    ],
)
def test_error_names_line_key_value_and_cure(
    tmp_path: Path, change: tuple[str, str], line: int, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(*change, 1))
    on_line = [text for text in caught.value.problems if f"pack.yaml:{line}: " in text]
    assert any(all(part in text for part in parts) for text in on_line), caught.value.problems


def test_every_problem_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "name: 3\ninner:\n  cells_in_series: x\n  color: red\n")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [1, 2\n", "not valid YAML"),
        ("- 1\n- 2\n", "must hold 'key: value' lines"),
        ("", "must hold 'key: value' lines"),
        ("name: \t- x: : y\n", "not valid YAML"),
    ],
)
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load(tmp_path, text)


def test_absent_file_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("{}")
    with pytest.raises(ConfigError, match=r"no such file.*other\.yaml"):
        load_config(tmp_path / "pack.yaml", Outer)


def test_unreadable_bytes_are_said(tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path, Outer)


def test_a_misspelt_key_is_not_reported_as_missing_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace("cells_in_series: 96", "cells_in_serie: 96"))
    (problem,) = caught.value.problems
    assert "Did you mean 'cells_in_series'?" in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("low: 2\nrows: []\nhigh: 1\n", "pack.yaml:3: high: it must be above low (2.0), but is 1.0."),
        (
            "low: 1\nhigh: 2\nrows:\n  - {cells_in_series: 1}\n  - {cells_in_series: 101}\n",
            "pack.yaml:5: rows[1] holds 101 cells, more than 100.",
        ),
    ],
)
def test_what_does_not_fit_together_is_said_on_the_line_it_is_about(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, Paired)
    assert str(caught.value) == f"{tmp_path}/{said}"


def test_a_file_of_another_kind_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text("processes: {}\nnodes: {}\nbus: {}\nname: x\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, Outer)
    (problem,) = caught.value.problems
    assert "not a outer file" in problem and "processes, nodes, bus" in problem


def test_a_folder_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("{}")
    with pytest.raises(ConfigError, match=r"this is a folder\. Name a file in it, such as .*one\.yaml"):
        load_config(tmp_path, Outer)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1e-3\nb: [1, 2.5, .5, -1e3, 0x10, yes]\n",
        "base: &base {x: 1, y: 2}\nmore:\n  <<: *base\n  y: 3\n",
        "# only a comment\n",
        "a: 'text: with colon' # and more\nb: |\n  two\n  lines\nc: 12:30\nd: 2026-01-01\n",
        "ä: °C\n",
    ],
)
def test_both_readers_give_the_same(text: str, tmp_path: Path) -> None:
    quick, slow = (_parse(text, tmp_path, kind) for kind in (_FastLoader, _Loader))
    assert quick == slow
