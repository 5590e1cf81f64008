"""The command line, without ROS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from openbms_bringup.cli.main import app
from openbms_core.resources import config_folder

runner = CliRunner()


@pytest.mark.parametrize("kind", ["pack", "cell", "system"])
def test_schema_accepts_the_shipped_files(kind: str) -> None:
    done = runner.invoke(app, ["schema", kind])
    assert done.exit_code == 0
    schema = json.loads(done.stdout)
    files = list((config_folder() / f"{kind}s").glob("*.yaml"))
    assert files
    for path in files:
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize("path", sorted(config_folder().glob("*/*.yaml")), ids=lambda path: path.stem)
def test_check_accepts_every_shipped_file(path: Path) -> None:
    done = runner.invoke(app, ["check", str(path)])
    assert done.exit_code == 0, done.output
    assert f"{path}: a good" in done.stdout


def test_check_names_file_line_key_and_cure(tmp_path: Path) -> None:
    text = (config_folder() / "systems" / "demo.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(
        text.replace("    critical: true\n    nodes: [afe", "    crtical: true\n    nodes: [afe", 1)
    )
    line = 1 + file.read_text().splitlines().index("    crtical: true")
    done = subprocess.run(
        [sys.executable, "-m", "openbms_bringup.cli.main", "check", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"{file}:{line}: processes.driver.crtical: unknown key" in done.stderr
    assert "Did you mean 'critical'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nothing"], "no such file"),
        (["schema", "car"], "give one of pack, cell, system"),
        (["run", "--system", "nothing"], "no such file"),
        (["run", "--speed", "0"], "--speed is 0"),
        (["run", "--duration", "-1"], "--duration is -1"),
        (["run", "--replay", "/nothing.csv"], "--replay /nothing.csv: no such file"),
        (["run", "--summary", "/nothing/here.json"], "cannot be written there"),
        (["run", "--system", "vehicle", "--speed", "2"], "real bus"),
        (["run", "--can-interface", "socketcan"], "Take the system 'vehicle'"),
        (["recover", "/nothing"], "no such folder"),
    ],
)
def test_refusals_are_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    done = runner.invoke(app, arguments, env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_topics_and_doctor() -> None:
    assert "/bms/measurement" in runner.invoke(app, ["topics"]).stdout
    done = runner.invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "Everything needed is here." in done.stdout


@pytest.mark.parametrize("command", ["topics", "doctor", "check demo", "schema system"])
def test_commands_without_ros_do_not_import_it(command: str) -> None:
    code = (
        "import sys\nfrom openbms_bringup.cli.main import app\n"
        f"try:\n    app({command.split()!r})\nexcept SystemExit:\n    pass\n"
        "sys.exit('rclpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
