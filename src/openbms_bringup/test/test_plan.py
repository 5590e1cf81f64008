"""From the files and the choices of the command line to parameter files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from openbms_bringup.plan import Choices, main, make_plan, stop_deadline_s
from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_core.resources import find_config


def parameters(plan, node: str) -> dict:
    content = {key: value for process in plan.parameters.values() for key, value in process.items()}
    return content[f"/**/{node}"]["ros__parameters"]


def test_every_node_gets_pack_bus_and_whether_it_is_simulated() -> None:
    plan = make_plan(Choices(system="demo"))
    ports = set()
    for node in plan.system.nodes:
        given = parameters(plan, node)
        assert given["pack"] == str(plan.pack_path)
        assert given["can_interface"] == "socketcand"
        assert given["bus_is_simulated"] is True
        assert given["use_sim_time"] is False
        ports.add(given["can_port"])
    assert len(ports) == 1
    assert ports.pop() > 0, "one free port for driver and twin"


def test_command_line_wins_over_node_parameters_over_the_file() -> None:
    plan = make_plan(
        Choices(system="demo", can_port=4321, node_parameters={"twin": {"source": "plant", "new": 3}})
    )
    assert parameters(plan, "twin")["source"] == "plant"
    assert parameters(plan, "twin")["new"] == 3
    assert parameters(plan, "twin")["request_on_start"] == "drive"
    assert parameters(plan, "afe_driver")["can_port"] == 4321


def test_vehicle_takes_interface_and_channel() -> None:
    plan = make_plan(Choices(system="vehicle", can_interface="slcan", can_channel="/dev/ttyUSB0"))
    given = parameters(plan, "afe_driver")
    assert (given["can_interface"], given["can_channel"]) == ("slcan", "/dev/ttyUSB0")
    assert given["bus_is_simulated"] is False
    assert "twin" not in plan.system.nodes


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (Choices(system="demo", can_interface="socketcan"), "Take the system 'vehicle'"),
        (Choices(system="vehicle", use_sim_time=True), "simulated time is refused on a real bus"),
        (Choices(system="vehicle", can_interface="socketcand"), "needs its port"),
        (Choices(system="demo", node_parameters={"nobody": {}}), "no node 'nobody'"),
        (Choices(system="nothing"), "no such file"),
        (Choices(system="demo", pack="nothing"), "no such file"),
    ],
)
def test_refused(choices: Choices, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_plan(choices)


def test_a_kill_comes_after_the_opening_deadline() -> None:
    pack = load_pack("demo_96s_nmc").file
    assert stop_deadline_s(pack) > pack.contactors.opening_deadline_s + pack.contactors.opening_time_s


def test_as_a_program_it_prints_json_and_writes_files(tmp_path: Path, capsys) -> None:
    assert main(["--system", "demo", "--parameters-to", str(tmp_path)]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert list(plan["processes"]) == ["sim", "driver", "safety", "bms", "data", "ui"]
    assert plan["after_power_down"] == [], "nothing is done to the host unasked"
    for name, process in plan["processes"].items():
        assert process["arguments"][2:4] == ["--process", name]
        assert all(key.startswith("/**/") for key in yaml.safe_load(Path(process["parameters"]).read_text()))
    safety = yaml.safe_load((tmp_path / "safety.yaml").read_text())["/**/safety_monitor"]["ros__parameters"]
    assert Path(safety["record_file"]).parent == tmp_path, "a simulated pack has a fault record of its own"
    estimators = yaml.safe_load((tmp_path / "bms.yaml").read_text())
    kept = estimators["/**/soc_estimator"]["ros__parameters"]["state_file"]
    assert Path(kept).parent == tmp_path, "and an estimate of its own"


def test_a_launch_refuses_a_pack_that_does_not_fit_together(tmp_path: Path, capsys) -> None:
    pack = tmp_path / "bad.yaml"
    text = find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8")
    pack.write_text(text.replace("command_valid_for_s: 0.5", "command_valid_for_s: 0.1"), encoding="utf-8")
    assert main(["--system", "demo", "--pack", str(pack), "--parameters-to", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{pack}:" in said and "contactors.command_valid_for_s: 0.1 s is shorter than two scan" in said


def test_as_a_program_it_refuses_in_a_sentence(tmp_path: Path, capsys) -> None:
    assert main(["--system", "demo", "--pack", "nothing", "--parameters-to", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "nothing: no such file" in said
    assert "Traceback" not in said
