"""The command `openbms fit`: options that take several files, and what it refuses in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from openbms_bringup.cli.fit import spread
from openbms_bringup.cli.main import app


def test_an_option_takes_several_files() -> None:
    given = [
        "--name",
        "a b",
        "--ocv",
        "1.csv",
        "2.csv",
        "--hppc",
        "3.csv",
        "--dynamic",
        "4",
        "5",
        "-o",
        "c.yaml",
    ]
    assert spread(given) == [
        *("--name", "a b", "--ocv", "1.csv", "--ocv", "2.csv", "--hppc", "3.csv"),
        *("--dynamic", "4", "--dynamic", "5", "-o", "c.yaml"),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--chemistry": "gold"}, "--chemistry is 'gold': it must be one of nmc, nca, lco, lfp."),
        ({"--capacity-ah": "-1"}, "--capacity-ah is -1.0: it must be the ampere-hours of one cell"),
        ({"--mass-kg": "0"}, "--mass-kg is 0.0: it must be the kilograms of one cell"),
        ({"--ocv": "absent.parquet"}, "absent.parquet: no such file"),
        ({"-o": "no/such/folder/c.yaml"}, "there is no folder no/such/folder"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {
        "--name": "x",
        "--chemistry": "nmc",
        "--capacity-ah": "3",
        "--ocv": "a.parquet",
        "-o": "c.yaml",
    }
    arguments = [part for pair in (options | change).items() for part in pair]
    result = CliRunner().invoke(app, ["fit", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert not (tmp_path / "c.yaml").exists()
