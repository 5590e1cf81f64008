"""A dozen cases of the fault library over real nodes, processes and bus; `make faults` runs them all.

One system bears them one after the other: each case brings it to where the fault comes, breaks something, and
brings it back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import claimed_domain

pytest.importorskip("rclpy")

from openbms_bringup.inject.library import load_library
from openbms_bringup.inject.run_case import prepare, recover, run_case
from openbms_bringup.ros.live_system import LiveSystem

CASES = load_library()

REPRESENTATIVE = [
    "cell_over_voltage",
    "over_current_discharge",
    "emergency_stop",
    "contactor_drops_out",
    "bus_flood_highest_priority",
    "frames_corrupt",
    "adapter_unplugged",
    "monitor_stopped",
    "interlock_bounces",
    "some_frames_lost",
]
"""One of each kind: sensor, frame, load, input, contactor, bus, process, and two that must do nothing.

Killed drivers and estimators are in ``test_main_job.py``."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    with LiveSystem(tmp_path_factory.mktemp("faults"), claimed_domain()) as running:
        yield running


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_it_does_what_the_case_expects(system: LiveSystem, name: str) -> None:
    outcome = run_case(system, CASES[name])
    assert outcome.as_expected, (outcome, system.said[-3:])


def command(system: LiveSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openbms_bringup.cli.main", "inject", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(system.domain)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_says_what_is_injected_what_happens_and_whether_it_ought_to(system: LiveSystem) -> None:
    prepare(system, CASES["interlock_open"].given)
    done = command(system, "interlock_open", "--for", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "expect  INTERLOCK_OPEN within 1 s",
        "zero current is requested",
        "INTERLOCK_OPEN (safety) is active",
        "the contactors are open",
        "as expected",
    ):
        assert text in done.stdout
    again = command(system, "interlock_open")
    assert again.returncode == 2 and "begins in DRIVE" in again.stderr
    raw = command(system, "supply_voltage", "value_v=11", "--watch", "0.5")
    assert raw.returncode == 0 and "still injected: supply_voltage" in raw.stdout
    cleared = command(system, "--clear")
    assert cleared.returncode == 0 and "supply_voltage" in cleared.stdout and system.injections() == []


def test_the_command_ends_with_1_where_something_else_happens(system: LiveSystem) -> None:
    assert recover(system, {}) == ""
    prepare(system, CASES["interlock_bounces"].given)
    wrong = command(system, "interlock_bounces", "for_s=1", "--watch", "0.5")
    assert wrong.returncode == 1 and "FALSE ALARM: INTERLOCK_OPEN was not to come" in wrong.stdout


def test_without_a_system_the_command_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "openbms_bringup.cli.main", "inject", "smoke"],
        env={**os.environ, "ROS_DOMAIN_ID": str(claimed_domain())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and "no system is heard" in done.stderr and "Traceback" not in done.stderr
