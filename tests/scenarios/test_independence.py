"""What is not driver or monitor may die or hang: the protection does not notice."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from bms_system import BmsSystem, contactors_closed, contactors_open
from processes import Process, wait_until

from openbms_core.types import State

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

NEEDED = ("sim", "driver", "safety", "bms")
WINDOW_S = 3.0


@pytest.fixture(scope="module")
def driving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BmsSystem]:
    """Give one system that drives, with everything that a system file has."""
    system = BmsSystem(tmp_path_factory.mktemp("independence"))
    try:
        system.drive()
        system.start(*others(system))
        for node in ("recorder", "foxglove_server"):
            system.wait("/diagnostics", lambda m, node=node: m.status[0].name.endswith(node), 40, since=0.0)
        system.wait("soc", lambda message: message.quality in (1, 2), 30, since=0.0)
        system.wait("limits", lambda message: not message.limp_home, 30)
        yield system
    finally:
        for process in system.processes.values():
            process.signal(signal.SIGCONT)
        system.close()


def others(system: BmsSystem) -> list[str]:
    """Give the processes that protect nothing: recorder, live view, gateways."""
    return [name for name in system.plan.system.processes if name not in NEEDED]


def stamp_s(message: Any) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def since(system: BmsSystem, topic: str, moment_s: float) -> list[Any]:
    return [message for received, message in system.messages[topic] if received >= moment_s]


def watch(system: BmsSystem) -> None:
    """Watch the stream of decisions for a while: nothing in it may change."""
    moment_s = time.monotonic()
    system.wait("state", lambda _: time.monotonic() - moment_s >= WINDOW_S, WINDOW_S + 20)
    states = since(system, "state", moment_s)
    assert {message.state for message in states} == {State.DRIVE}
    assert all(message.contactors_closed and not message.zero_current_requested for message in states)
    assert all(message.charge_allowed == states[0].charge_allowed for message in states)
    limits = since(system, "limits", moment_s)
    assert all(not message.limp_home and message.discharge_current > 0.0 for message in limits)
    assert all(math.isnan(message.shutdown_in) for message in limits)
    commands = since(system, "contactor_command", moment_s)
    assert all(list(message.positive) == list(message.negative) == [1] for message in commands)
    ages = [stamp_s(after) - stamp_s(before) for before, after in pairwise(commands)]
    assert len(ages) >= 5 * WINDOW_S, "renewed ten times a second"
    # by the stamps of the monitor: what this listener misses on a busy computer says nothing
    assert max(ages) < system.plan.pack.contactors.command_valid_for_s
    truths = since(system, "twin_truth", moment_s)
    assert truths and all(contactors_closed(message) and not message.device_trip for message in truths)
    faults = system.last("faults")
    assert not [fault.id for fault in faults.faults if fault.level == 2], "no fault of the safety level"


def test_recorder_and_live_view_may_hang_and_die(driving: BmsSystem) -> None:
    """SIGSTOP, then kill -9, of each process that protects nothing: states, limits, contactors, ages of the
    commands stay as they are."""
    names = others(driving)
    assert {"data", "ui"} <= set(names)
    watch(driving)
    for name in names:
        driving.processes[name].signal(signal.SIGSTOP)
    watch(driving)
    for name in names:
        driving.kill(name)
    watch(driving)


def test_estimators_killed_come_back_with_what_they_knew(driving: BmsSystem) -> None:
    """kill -9 of the estimators while driving: afterwards the state of charge is what it was, and as certain;
    from the voltage under load alone it would be known to several percent."""
    before = driving.wait("soc")
    wait_until((driving.folder / "soc.json").exists, 10, "the estimate is on disk")
    moment_s = driving.kill("bms")
    driving.wait("limits", lambda message: message.limp_home, since=moment_s)
    assert contactors_closed(driving.wait("twin_truth"))
    driving.start("bms")
    after = driving.wait("soc", timeout_s=40, since=moment_s + 0.5)
    moved = [abs(a - b) for a, b in zip(after.cell_soc, before.cell_soc, strict=True)]
    assert max(moved) < 0.01
    assert max(after.cell_soc_std) < 1.3 * max(before.cell_soc_std) + 0.003
    truth = driving.last("twin_truth")
    wrong = [abs(a - b) for a, b in zip(after.cell_soc, truth.cell_soc, strict=True)]
    assert all(error < 4.0 * std for error, std in zip(wrong, after.cell_soc_std, strict=True))
    said = driving.wait(
        "/diagnostics", lambda m: m.status[0].name.endswith("soc_estimator") and m.status[0].values, 20
    )
    start = {item.key: item.value for item in said.status[0].values}["start"]
    assert "going on with the estimate" in start
    driving.wait("limits", lambda message: not message.limp_home, 15)
    assert contactors_closed(driving.wait("twin_truth")), "nobody has opened or closed anything"


def test_without_them_a_fault_is_answered_as_fast(driving: BmsSystem) -> None:
    """With recorder and live view dead an emergency stop opens at once, and `openbms why` says why."""
    assert not set(others(driving)) & set(driving.processes), "they are still dead"
    moment_s = driving.inject({"fault": "emergency_stop"})
    zero_s = driving.received_at("state", lambda message: message.zero_current_requested, moment_s)
    open_s = driving.received_at("twin_truth", contactors_open, moment_s)
    contactors = driving.plan.pack.contactors
    allowed_s = 0.15 + contactors.fault_opening_deadline_s + contactors.opening_time_s
    assert zero_s <= open_s
    assert open_s - moment_s < allowed_s + 1.0, "the rest is the way of the messages to this test"
    driving.wait("state", lambda message: message.state == State.FAULT, since=moment_s)
    command = ["python", "-m", "openbms_bringup.cli.main", "why", "--json"]
    with Process(command, {"ROS_DOMAIN_ID": str(driving.domain)}) as process:
        assert process.wait(40) == 0, process.output
        report = json.loads(process.output[process.output.index("{") :])
    assert report["state"] == "FAULT" and report["contactors"]["closed"] is False
    assert "EMERGENCY_STOP" in {why["code"] for why in report["contactors"]["why"]}
    fault = next(fault for fault in report["faults"] if fault["id"] == "EMERGENCY_STOP")
    assert fault["cure"] and fault["clears"]
