"""The command line, without ROS."""

from __future__ import annotations

import json
import re
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
        (["run", "--speed", "nan"], "--speed is nan"),
        (["run", "--duration", "-1"], "--duration is -1"),
        (["run", "--log-level", "loud"], "--log-level is 'loud'"),
        (["run", "--namespace", "my pack"], "--namespace 'my pack'"),
        (["run", "--data-dir", "/proc/nothing"], "--data-dir /proc/nothing: cannot be made"),
        (["run", "--params", "/tmp"], "--params /tmp: this is a folder"),
        (["request", "drive", "--namespace", "1st"], "--namespace '1st'"),
        (["request", "fly"], "give one of standby, drive"),
        (["run", "--replay", "/nothing.csv"], "--replay /nothing.csv: no such file"),
        (["run", "--summary", "/nothing/here.json"], "cannot be written there"),
        (["run", "--system", "vehicle", "--speed", "2"], "real bus"),
        (["run", "--can-interface", "socketcan"], "Take the system 'vehicle'"),
        (["recover", "/nothing"], "no such folder"),
        (["recover", "/etc/hostname"], "this is a file"),
        (["check", "/tmp"], "this is a folder"),
        (["check", "/nowhere/demo"], "no such file"),
        (["replay", "x.csv", "--plot", "x.xyz"], "--plot x.xyz: the type is not known"),
        (["replay", "x.csv", "--plot", "/nothing/x.png"], "there is no folder /nothing"),
    ],
)
def test_refusals_are_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    done = runner.invoke(app, arguments, env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def edited(folder: Path, kind: str, name: str, old: str, new: str) -> Path:
    """Give a copy of a shipped file with one change."""
    text = (config_folder() / kind / f"{name}.yaml").read_text()
    assert old in text
    file = folder / f"{kind}.yaml"
    file.write_text(text.replace(old, new))
    return file


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cells_in_series: 96", "cells_in_serie: 96", "topology.cells_in_serie: unknown key (value 96)"),
        (
            "openbms_cmu.dbc",
            "nothing.dbc",
            "device.dbc: package://openbms_drivers/devices/openbms_cmu/nothing",
        ),
        ("  type: openbms_cmu", "  type: openbms_cmx", "device.type: there is no device 'openbms_cmx'"),
        (
            "message: Pack_Thermal, signal: Amb",
            "message: Pack_Therml, signal: Amb",
            "device.signals[4]: openbms_cmu.dbc has no message 'Pack_Therml'. Did you mean 'Pack_Thermal'?",
        ),
        (
            "signal: AmbientTemperature",
            "signal: AmbientTemp",
            "has no signal 'AmbientTemp'. Did you mean 'AmbientTemperature'?",
        ),
        ("CONTACTOR_WELDED", "CONTACTOR_WELD", "faults.CONTACTOR_WELD: the fault table has no such row"),
        ("scan_period_s: 0.1", "scan_period_s: 1.0", "the worst reaction is scans 2 s"),
        ("cell: lg_hg2", "cell: lg_hg3", "cell: lg_hg3: no such file. Did you mean 'lg_hg2'?"),
        (
            "to: link_voltage_v",
            "to: supply_voltage_v",
            "contactors.precharge: precharge is judged by voltage",
        ),
        ("break_current_a: 5.0", "break_current_a: 30.0", "zero current would never be waited for"),
    ],
)
def test_a_pack_that_driver_or_monitor_would_refuse_is_refused_before_it_runs(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    pytest.importorskip("rclpy")
    file = edited(tmp_path, "packs", "demo_96s_nmc", old, new)
    for arguments in (["check", str(file)], ["run", "--pack", str(file)]):
        done = runner.invoke(app, arguments, env={"XDG_STATE_HOME": str(tmp_path / "state")})
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert re.search(rf"{re.escape(str(file))}:\d+: ", done.output), "file and line are named"
        assert "Traceback" not in done.output
    assert not (tmp_path / "state").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pack: demo_96s_nmc", "pack: nothing", "pack: nothing: no such file"),
        (":TwinNode", ":TwinNod", "nodes.twin.class: the module openbms_sim.ros.twin_node has no class"),
        ("twin_node:", "twin_nod:", "nodes.twin.class: the package 'openbms_sim' has no module"),
        (
            "openbms_sim.ros",
            "openbms_smi.ros",
            "nodes.twin.class: the package 'openbms_smi' is not installed",
        ),
    ],
)
def test_check_of_a_system_file(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = edited(tmp_path, "systems", "demo", old, new)
    done = runner.invoke(app, ["check", str(file)])
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert re.search(rf"{re.escape(str(file))}:\d+: ", done.output), "file and line are named"


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME", "XDG_RUNTIME_DIR"])
def test_a_folder_that_cannot_be_made_is_named_with_its_cure(tmp_path: Path, variable: str) -> None:
    pytest.importorskip("rclpy")
    environment = {"XDG_STATE_HOME": str(tmp_path), "ROS_DOMAIN_ID": ""} | {variable: "/proc/nothing"}
    done = runner.invoke(app, ["run"], env=environment)
    assert done.exit_code == 2, done.output
    assert "/proc/nothing" in done.output and f"Set {variable}" in done.output
    assert "Traceback" not in done.output


def test_check_says_what_is_worth_a_look(tmp_path: Path) -> None:
    file = edited(tmp_path, "packs", "demo_96s_nmc", "safety: 4.25", "safety: 4.6")
    file.write_text(re.sub(r"    - \{to: gas, .*\n", "", file.read_text()))
    done = runner.invoke(app, ["check", str(file)])
    assert done.exit_code == 0, done.output
    assert "limits.cell_voltage_max_v.safety is 4.6 V, well above the 4.2 V" in done.output
    assert re.search(
        "not monitored, for want of a signal, a command or a threshold: .*GAS_ALARM", done.output
    )
    (defaults,) = (line for line in done.output.splitlines() if "thresholds by default" in line)
    assert "cell_voltage_spread_max_v 0.3," in defaults and "deep_discharge_voltage_v 1.5" in defaults
    assert "supply_voltage_min_v" not in defaults  # it stands in the pack file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just text", "it must hold '/**/<node>:'"),
        ("a: [", "not valid YAML"),
        ("/**/twin:\n  load_factor: 1.0\n", "'ros__parameters:' with the parameters is missing"),
        ("/**/twin:\n  ros__parameters: 3\n", "'ros__parameters:' with the parameters is missing"),
    ],
)
def test_a_parameter_file_on_which_every_process_would_die(tmp_path: Path, text: str, said: str) -> None:
    pytest.importorskip("rclpy")
    file = tmp_path / "params.yaml"
    file.write_text(text)
    done = runner.invoke(app, ["run", "--params", str(file)], env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.exit_code == 2, done.output
    assert f"{file}:" in done.output
    assert said in done.output


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
