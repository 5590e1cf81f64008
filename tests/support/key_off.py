"""A system that drives and ends itself after key-off, for both starters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from openbms_core.resources import find_config

__all__ = ["assert_nothing_lost", "switch_key_off", "write_key_off_system"]


def write_key_off_system(folder: Path, *, marker: Path) -> Path:
    """Write a system file: the demonstration's plant drives and ends soon after key-off.

    Parameters
    ----------
    folder : Path
        Gets the file.
    marker : Path
        File that the command of the host makes after the power-down.
    """
    data: dict[str, Any] = yaml.safe_load(find_config("systems", "demo").read_text(encoding="utf-8"))
    data["processes"]["bms"]["nodes"].append("power_manager")
    data["processes"].pop("ui")
    data["nodes"].pop("foxglove_server")
    data["nodes"]["power_manager"] = {
        "class": "openbms_bringup.ros.power_manager_node:PowerManagerNode",
        "parameters": {
            "key_off_s": 5.0,
            "never_on_s": 5.0,
            "parked_file": str(folder / "parked.json"),
            "wake": f"touch {folder}/wake_in_{{seconds}}",
            "wake_after_s": 7200.0,
        },
    }
    data["nodes"]["twin"]["parameters"] = {
        "source": "plant",
        "initial_soc": 0.6,
        "request_on_start": "drive",
    }
    for node, parameter, name in (
        ("safety_monitor", "record_file", "faults.json"),
        ("soc_estimator", "state_file", "soc.json"),
        ("soh_estimator", "state_file", "soh.json"),
        ("recorder", "directory", "bags"),
    ):
        data["nodes"][node]["parameters"] = {parameter: str(folder / name)}
    data["after_power_down"] = ["touch", str(marker)]
    path = folder / "key_off.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def switch_key_off(domain: int) -> None:
    """Switch the key of the twin off."""
    import rclpy
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("key", namespace="bms", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = node.create_client(SetParameters, "twin/set_parameters")
        assert client.wait_for_service(10.0)
        key = Parameter("injections", value="[{fault: ignition, switched_on: false}]")
        future = client.call_async(SetParameters.Request(parameters=[key.to_parameter_msg()]))
        executor.spin_until_future_complete(future, timeout_sec=10.0)
        assert future.done() and future.result().results[0].successful
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def assert_nothing_lost(folder: Path) -> None:
    """Check what is on disk after the power-down: bag complete, fault record and estimate at rest."""
    from rosbags.highlevel import AnyReader

    from openbms_core.types import State

    record = json.loads((folder / "faults.json").read_text())
    assert record["closed"] is False, "the contactors were open when the record was written"
    estimate = json.loads((folder / "soc.json").read_text())
    assert estimate["orderly"] is True and estimate["contactors_open"] is True
    parked = json.loads((folder / "parked.json").read_text())["parking"]
    assert len(parked["cell_voltages_v"]) == 96 and None not in parked["cell_voltages_v"]
    assert parked["start_count"] == record["start_count"] and parked["rested_s"] > 0.0
    assert (folder / "wake_in_7200").exists(), "the first check is asked for"
    bags = [path.parent for path in (folder / "bags").rglob("metadata.yaml")]
    assert len(bags) == 1
    with AnyReader(bags) as reader:
        connections = [c for c in reader.connections if c.topic == "/bms/state"]
        states = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(connections)]
    assert State.DRIVE in {message.state for message in states}
    opening = [message for message in states if message.state == State.OPENING]
    assert all(message.zero_current_requested for message in opening)
    after = states[states.index(opening[-1]) + 1 :]
    assert after and all(message.state == State.STANDBY for message in after)
    assert not any(message.contactors_closed for message in after)
    assert opening[0].reason == "key_off", opening[0].reason
