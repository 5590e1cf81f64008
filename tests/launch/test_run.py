"""`openbms run` with the real processes of the demonstration: start, restart, orderly end, nobody left."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from processes import Process, free_domain, wait_until

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

SUMMARY_KEYS = ["soc_rmse", "scans", "scans_lost", "state", "faults", "bag"]
SUMMARY_KEYS += ["cpu_percent", "memory_mb", "startup_s"]
START_S = 40.0
"""Six Python processes on two loaded cores; the usual time is a tenth."""


class Run:
    """One `openbms run` with folders of its own."""

    def __init__(self, folder: Path, *arguments: str, key: str | None = None) -> None:
        self.folder = folder
        self.summary_file = folder / "summary.json"
        if key is not None:
            parameters = folder / "key.yaml"
            parameters.write_text(f"/**/twin:\n  ros__parameters:\n    request_on_start: {key}\n")
            arguments = (*arguments, "--params", str(parameters))
        command = ["python", "-m", "openbms_bringup.cli.main", "run", "--summary", str(self.summary_file)]
        self.domain = str(free_domain())
        self.process = Process(
            [*command, "--data-dir", str(folder / "data"), *arguments],
            {"ROS_DOMAIN_ID": self.domain, "XDG_STATE_HOME": str(folder / "state")},
        )

    def children(self) -> dict[str, psutil.Process]:
        """Give the processes of the system by name."""
        found = {}
        for child in psutil.Process(self.process.process.pid).children():
            command = child.cmdline()
            if "--process" in command:
                found[command[command.index("--process") + 1]] = child
        return found

    def summary(self) -> dict:
        return json.loads(self.summary_file.read_text())


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def test_standby_survives_a_killed_recorder_and_ends_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, key="none")
    with run.process as process:
        process.wait_for("] STANDBY (", START_S)
        children = run.children()
        assert list(children) == ["sim", "driver", "safety", "bms", "data", "ui"], "started in this order"
        process.wait_for("openbms: bag:", START_S)
        children["data"].kill()
        process.wait_for("data died (signal SIGKILL)")
        process.wait_for("data: started again")
        wait_until(lambda: process.output.count("openbms: bag:") == 2, START_S, "the second bag")
        after = run.children()
        assert after["data"].pid != children["data"].pid
        for name in ("sim", "driver", "safety", "bms", "ui"):
            assert after[name].pid == children[name].pid, "nobody else was touched"
        began = time.monotonic()
        assert process.interrupt() == 0, process.output
        assert time.monotonic() - began < 3.0, process.output
        assert gone(list(after.values()))
        assert "Traceback" not in process.output
    summary = run.summary()
    assert summary["state"] == "STANDBY"
    assert summary["forced"] == []
    assert summary["processes"]["data"]["starts"] == 2
    assert Path(summary["bag"]).is_dir()


def test_drive_opens_before_the_end_and_sums_up(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.process as process:
        process.wait_for("] DRIVE (", START_S)
        process.wait_for("openbms: running after", START_S)
        process.wait_for("] DRIVE (")
        children = list(run.children().values())
        assert process.interrupt() == 0, process.output
        assert gone(children)
        assert "Traceback" not in process.output
    summary = run.summary()
    assert list(summary)[:9] == [
        *(
            "soc_rmse",
            "scans",
            "scans_lost",
            "state",
            "faults",
            "bag",
            "cpu_percent",
            "memory_mb",
            "startup_s",
        )
    ]
    assert summary["state"] == "DRIVE"
    assert summary["states"][-1] in ("OPENING", "STANDBY"), "opened in order, not by expiry"
    assert summary["forced"] == []
    assert summary["scans"] > 10
    assert summary["scans_lost"] == 0
    assert 0.0 <= summary["soc_rmse"] < 0.1
    assert summary["memory_mb"] > 0
    assert summary["bag_mb"] > 0


def test_processes_that_come_and_go_do_not_disturb(tmp_path: Path) -> None:
    run = Run(tmp_path, key="none")
    with run.process as process:
        process.wait_for("openbms: running after", START_S)
        for state in ("drive", "standby"):
            command = ["python", "-m", "openbms_bringup.cli.main", "request", state]
            with Process(command, {"ROS_DOMAIN_ID": run.domain}) as request:
                request.wait_for("accepted: ", START_S)
                assert request.wait(START_S) == 0, request.output
            process.wait_for(f"] {state.upper()} (")
        assert process.interrupt() == 0, process.output
    summary = run.summary()
    assert summary["scans_lost"] == 0
    assert not {"DRIVER_LOST", "ESTIMATOR_LOST"} & set(summary["faults"])


def test_killed_supervisor_leaves_nobody(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.process as process:
        process.wait_for("] DRIVE (", START_S)
        children = list(run.children().values())
        assert len(children) == 6
        os.kill(process.process.pid, signal.SIGKILL)
        wait_until(lambda: gone(children), 15.0, "all nodes end after their supervisor")


def test_second_run_on_the_same_domain_is_refused(tmp_path: Path) -> None:
    first = Run(tmp_path, key="none")
    with first.process as process:
        process.wait_for("logs ", START_S)
        (tmp_path / "second").mkdir()
        second = Run(tmp_path / "second")
        with second.process as other:
            assert other.wait(START_S) == 2
            assert "is in use by another openbms run" in other.output
        assert process.interrupt() == 0


def test_duration_and_a_wrong_pack(tmp_path: Path) -> None:
    run = Run(tmp_path, "--duration", "1.5")
    with run.process as process:
        assert process.wait(START_S) == 0, process.output
    assert run.summary()["ended_by"] == "1.5 s are over"
    wrong = Run(tmp_path, "--pack", "nothing")
    with wrong.process as process:
        assert process.wait(START_S) == 2
        assert "nothing: no such file" in process.output
        assert "Traceback" not in process.output
