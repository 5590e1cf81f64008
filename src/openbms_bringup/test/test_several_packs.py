"""A system file with several packs: processes, parameters, buses, serial numbers, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from openbms_bringup.check import check_file
from openbms_bringup.plan import Choices, make_plan, simulated_records
from openbms_bringup.ros.node_group import group_namespace
from openbms_bringup.system import load_system
from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack

RACK = {
    "schema_version": 1,
    "pack": "demo_96s_nmc",
    "bus": {"interface": "socketcan"},
    "packs": {
        "a": {"serial": "A-1", "bus": {"channel": "can0"}},
        "b": {
            "serial": "B-1",
            "bus": {"channel": "can1", "interface": "slcan"},
            "parameters": {"safety_monitor": {"may_close": False}},
        },
    },
    "processes": {
        "driver": {"critical": True, "per_pack": True, "nodes": ["afe_driver"]},
        "safety": {"critical": True, "per_pack": True, "nodes": ["safety_monitor"]},
        "bms": {"nodes": ["battery_state_publisher", "pack_aggregator"]},
    },
    "nodes": {
        "afe_driver": {"class": "openbms_drivers.ros.afe_driver_node:AfeDriverNode"},
        "safety_monitor": {"class": "openbms_control.ros.safety_monitor_node:SafetyMonitorNode"},
        "battery_state_publisher": {"class": "openbms_control.ros.battery_state_node:BatteryStateNode"},
        "pack_aggregator": {
            "class": "openbms_control.ros.pack_aggregator_node:PackAggregatorNode",
            "scope": "system",
        },
    },
}


def write(folder: Path, **changes: object) -> Path:
    content = copy.deepcopy(RACK) | changes
    path = folder / "rack.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_processes_of_each_pack_and_one_for_all(tmp_path: Path) -> None:
    _, system = load_system(write(tmp_path))
    instances = system.instances()
    assert list(instances) == ["driver_a", "driver_b", "safety_a", "safety_b", "bms"]
    assert [(one.node, one.pack) for one in instances["bms"].nodes] == [
        ("battery_state_publisher", "a"),
        ("battery_state_publisher", "b"),
        ("pack_aggregator", ""),
    ]
    assert instances["driver_b"].runs("afe_driver") and not instances["driver_b"].runs("twin")


def test_parameters_are_keyed_by_the_packs_namespace(tmp_path: Path) -> None:
    plan = make_plan(Choices(system=write(tmp_path), node_parameters={"a/afe_driver": {"x": 1}}))
    driver = plan.parameters["driver_a"]["/**/a/afe_driver"]["ros__parameters"]
    assert (driver["can_interface"], driver["can_channel"], driver["x"]) == ("socketcan", "can0", 1)
    other = plan.parameters["driver_b"]["/**/b/afe_driver"]["ros__parameters"]
    assert (other["can_interface"], other["can_channel"]) == ("slcan", "can1") and "x" not in other
    assert driver["pack"].endswith("#A-1") and load_pack(driver["pack"]).file.serial == "A-1"
    assert plan.parameters["safety_b"]["/**/b/safety_monitor"]["ros__parameters"]["may_close"] is False
    bms = plan.parameters["bms"]
    assert bms["/**/a/battery_state_publisher"]["ros__parameters"]["publish_global"] is False
    whole = bms["/**/pack_aggregator"]["ros__parameters"]
    assert whole["names"] == ["a", "b"] and whole["channels"] == ["can0", "can1"]
    assert [load_pack(one).file.serial for one in whole["packs"]] == ["A-1", "B-1"]


def test_equal_packs_with_own_serial_numbers_have_own_configurations() -> None:
    one, other = load_pack("demo_96s_nmc#X"), load_pack("demo_96s_nmc#Y")
    assert one.config_hash != other.config_hash and one.path == other.path
    with pytest.raises(ConfigError, match="serial number"):
        load_pack("demo_96s_nmc#")


def test_simulated_packs_keep_their_records_apart(tmp_path: Path) -> None:
    bus = {"interface": "socketcand", "simulated": True}
    packs = copy.deepcopy(RACK["packs"])
    del packs["b"]["bus"]["interface"]
    path = write(tmp_path, bus=bus, packs=packs)
    found = simulated_records(load_system(path)[1], tmp_path)
    files = {found[f"{pack}/safety_monitor"]["record_file"] for pack in "ab"}
    assert len(files) == 2
    plan = make_plan(Choices(system=path, node_parameters=found))
    ports = {pack.bus["can_port"] for pack in plan.packs.values()}
    assert len(ports) == 1 and ports.pop() > 0, "one hub, a channel for each"
    given = plan.parameters["safety_a"]["/**/a/safety_monitor"]["ros__parameters"]
    assert given["record_file"] in files


def test_check_says_how_many(tmp_path: Path) -> None:
    assert "5 processes for 2 packs (a, b)" in check_file(str(write(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"packs": {"a": {"serial": "X"}, "b": {"serial": "X", "bus": {"channel": "can1"}}}},
            "serial number 'X'",
        ),
        ({"packs": {"a": {"serial": "X"}, "b": {"serial": "Y"}}}, "are on the same bus"),
        ({"pack": None}, "packs.a.pack: the pack file is missing"),
        ({"packs": {"a": {"pack": "demo_96s_nmc", "parameters": {"x": {}}}}}, "a pack has no such node"),
        ({"packs": {"1a": {}}}, "letters, digits"),
        ({"packs": {"a": {"bus": {"channels": "can0"}}}}, "Did you mean 'channel'"),
        ({"packs": {"a": {"pack": "nothing"}}}, "nothing: no such file"),
        (
            {"processes": {"all": {"per_pack": True, "nodes": list(RACK["nodes"])}}},
            "its node 'pack_aggregator' is one for the whole system",
        ),
    ],
)
def test_refused(tmp_path: Path, changes: dict, said: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        make_plan(Choices(system=path))
    assert said in str(error.value)


@pytest.mark.parametrize("choice", [{"pack": "demo_96s_nmc"}, {"can_channel": "can7"}])
def test_what_belongs_to_one_pack_is_no_choice_for_all(tmp_path: Path, choice: dict) -> None:
    with pytest.raises(ConfigError, match="several packs"):
        make_plan(Choices(system=write(tmp_path), **choice))


@pytest.mark.parametrize(
    ("arguments", "namespace"),
    [
        (["--ros-args", "-r", "__ns:=/bms"], "/bms"),
        (["--ros-args", "-r", "__ns:=/car/bms/"], "/car/bms"),
        (["--ros-args", "-r", "__ns:=/"], ""),
        ([], ""),
    ],
)
def test_the_namespace_of_the_group(arguments: list[str], namespace: str) -> None:
    assert group_namespace(arguments) == namespace
