"""The system file: what is accepted, what is refused and how it is said."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from openbms_bringup.system import Restart, load_system
from openbms_core.config_file import ConfigError
from openbms_core.resources import config_folder

SHIPPED = sorted(path.stem for path in (config_folder() / "systems").glob("*.yaml"))

GOOD = {
    "schema_version": 1,
    "pack": "demo_96s_nmc",
    "bus": {"interface": "socketcan"},
    "processes": {"driver": {"critical": True, "nodes": ["afe_driver"]}},
    "nodes": {"afe_driver": {"class": "a.b:C", "parameters": {"x": 1, "y": [1.0, 2.0], "z": "t"}}},
}


def changed(path: str, value: object) -> dict:
    """Give GOOD with one value changed; the path is dotted."""
    content = yaml.safe_load(yaml.safe_dump(GOOD))
    *parents, last = path.split(".")
    part = content
    for name in parents:
        part = part.setdefault(name, {})
    part[last] = value
    return content


def write(folder: Path, content: dict) -> Path:
    path = folder / "system.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_good_file(tmp_path: Path) -> None:
    path, system = load_system(write(tmp_path, GOOD))
    assert path == tmp_path / "system.yaml"
    assert system.nodes["afe_driver"].class_path == "a.b:C"
    assert system.nodes["afe_driver"].parameters == {"x": 1, "y": [1.0, 2.0], "z": "t"}
    assert system.processes["driver"].critical
    assert system.processes["driver"].restart == Restart()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_load_and_name_real_node_classes(name: str) -> None:
    pytest.importorskip("rclpy")
    from openbms_core.ros.node_base import BmsNode

    _, system = load_system(name)
    for node_name, node in system.nodes.items():
        module, _, class_name = node.class_path.partition(":")
        found = getattr(importlib.import_module(module), class_name)
        assert issubclass(found, BmsNode), node_name


@pytest.mark.parametrize("name", SHIPPED)
def test_driver_and_monitor_stand_alone_in_critical_processes(name: str) -> None:
    _, system = load_system(name)
    for node in ("afe_driver", "safety_monitor"):
        alone = [process for process in system.processes.values() if node in process.nodes]
        assert [process.nodes for process in alone] == [[node]]
        assert alone[0].critical
        assert alone[0].restart is not None


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("processes.driver.nodes", ["nobody"], "'nobody', which does not stand under nodes"),
        ("processes.second", {"nodes": ["afe_driver"]}, "runs in two processes: driver and second"),
        ("nodes.lonely", {"class": "a.b:C"}, "'lonely' runs in no process"),
        ("nodes.afe_driver.class", "a.b.C", "'package.module:Class' is needed"),
        ("nodes.afe_driver.klass", "a.b:C", "unknown key (value 'a.b:C'). Did you mean 'class'?"),
        ("nodes.afe_driver.parameters.x", {"a": 1}, "a ROS parameter is true/false"),
        ("nodes.afe_driver.parameters.x", [1, "a"], "values of one kind"),
        ("nodes.afe_driver.parameters.x", float("nan"), "finite"),
        ("processes.driver.restart", {"first_delay_s": 9.0, "longest_delay_s": 1.0}, "must not be below"),
        ("processes.1bad", {"nodes": ["afe_driver"]}, "letters, digits"),
        ("bus.port", 70000, "less than or equal to 65535"),
        ("schema_version", 2, "schema_version"),
    ],
)
def test_refused(tmp_path: Path, path: str, value: object, said: str) -> None:
    file = write(tmp_path, changed(path, value))
    with pytest.raises(ConfigError) as error:
        load_system(file)
    assert said in str(error.value)
    assert f"{file}:" in str(error.value), "the message names file and line"


def test_delays_double_up_to_the_longest() -> None:
    restart = Restart(first_delay_s=0.5, longest_delay_s=3.0)
    assert [restart.delay_s(n) for n in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert restart.delay_s(10_000) == 3.0
