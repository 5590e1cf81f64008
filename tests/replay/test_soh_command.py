"""`openbms soh evaluate` on the files of a tester: figures as JSON, and one sentence where it cannot be."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openbms_bringup.cli.main import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = ROOT / "src/openbms_estimation/test/soh/tester_cell.py"
    spec = importlib.util.spec_from_file_location("tester_cell", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write(tmp_path_factory.mktemp("cell"), cycles=20)


def run(*arguments: object):
    return CliRunner().invoke(app, ["soh", "evaluate", *map(str, arguments)])


def test_figures_as_json(files) -> None:
    ran = run("--curves", files[0], "--cycles", files[1], "--capacity-ah", 2, "--draws", 2, "--json")
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    assert figures["scored"] == 34 and figures["rmse_percent"] < 2.0
    assert {"rmse_ah", "mae_ah", "max_error_ah", "bias_ah", "coverage_95", "mean_width_ah"} <= set(figures)


def test_a_table_for_people(files) -> None:
    ran = run("--curves", files[0], "--cycles", files[1], "--capacity-ah", 2, "--draws", 1, "--no-charges")
    assert ran.exit_code == 0 and "RMSE" in ran.stdout and "95 % interval covers" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--capacity-ah", -1), "--capacity-ah"),
        (("--capacity-ah", 2, "--window", 3), "--window"),
        (("--capacity-ah", 2, "--draws", 0), "--draws"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(files, arguments: tuple, names: str) -> None:
    ran = run("--curves", files[0], "--cycles", files[1], *arguments)
    assert ran.exit_code == 2
    assert names in ran.stderr and ran.stderr.count("\n") == 1 and "Traceback" not in ran.output
