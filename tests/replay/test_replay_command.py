"""`openbms replay` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from openbms_bringup.cli.replay import replay
from openbms_core.resources import find_resource

app = typer.Typer()
app.command()(replay)
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 15 minutes of the shipped recording at 1 Hz."""
    table = pq.read_table(find_resource("package://openbms_sim/data/lg_hg2_25degC_mixed.parquet", Path()))
    path = tmp_path_factory.mktemp("log") / "drive.parquet"
    pq.write_table(table.take(pa.array(np.arange(0, 9000, 10))), path)
    return path


def test_json(recording: Path) -> None:
    done = RUNNER.invoke(app, [str(recording), "--cell", "lg_hg2", "--json"])
    assert done.exit_code == 0
    figures = json.loads(done.stdout)
    for key in ("rmse", "mae", "max_error", "rmse_after_10min", "coverage95", "rows", "duration_s", "wall_s"):
        assert key in figures
    assert figures["rows"] == 900 and figures["rmse"] < 0.01


def test_table_and_plot(recording: Path, tmp_path: Path) -> None:
    plot = tmp_path / "out.png"
    done = RUNNER.invoke(app, [str(recording), "--plot", str(plot)])
    assert done.exit_code == 0 and "rmse" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_no_counter_gives_null(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pq.read_table(recording).drop_columns(["ah"]), path)
    figures = json.loads(RUNNER.invoke(app, [str(path), "--json"]).stdout)
    assert figures["rmse"] is None and figures["final_soc"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.parquet"], "no such file"),
        (["{log}", "--cell", "no_such_cell"], "lg_hg2"),
        (["{log}", "--method", "magic"], "--method"),
        (["{log}", "--initial-soc", "80"], "--initial-soc"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_code_2(
    recording: Path, arguments: list[str], words: str
) -> None:
    done = RUNNER.invoke(app, [a.format(log=recording) for a in arguments])
    assert done.exit_code == 2
    assert words in done.output and "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1
