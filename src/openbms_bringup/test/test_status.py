"""The live view and the summary: nothing is invented."""

from __future__ import annotations

import json
import os
from pathlib import Path

from openbms_bringup.run import folder_mb, write_summary
from openbms_bringup.status import PackStatus, ProcessUse, one_line, rows, summary
from openbms_bringup.usage import UsageMeter

KEYS = ["soc_rmse", "scans", "scans_lost", "state", "faults", "bag", "cpu_percent", "memory_mb", "startup_s"]


def content_of(status: PackStatus, processes: list[ProcessUse]) -> dict:
    return summary(status, bag_mb=None, startup_s=None, elapsed_s=1.0, processes=processes, more={})


def test_unknown_is_a_dash_on_the_terminal_and_null_in_the_summary(tmp_path: Path) -> None:
    status = PackStatus()
    text = one_line(status, 1.0) + " ".join(value for _, value in rows(status))
    assert "nan" not in text
    write_summary(tmp_path / "s.json", content_of(status, []))
    written = json.loads((tmp_path / "s.json").read_text())
    assert list(written)[: len(KEYS)] == KEYS
    assert written["scans"] == 0
    assert written["faults"] == []
    unknown = ("soc_rmse", "state", "bag", "cpu_percent", "memory_mb", "startup_s", "soc")
    assert [written[key] for key in unknown] == [None] * len(unknown)
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_totals_are_over_what_was_measured() -> None:
    uses = [ProcessUse("a", 10.0, 50.0, 1), ProcessUse("b", None, 25.0, 2)]
    written = content_of(PackStatus(faults_seen={"B": "safety", "A": "operating"}), uses)
    assert written["cpu_percent"] == 10.0
    assert written["memory_mb"] == 75.0
    assert written["faults"] == ["A", "B"]
    assert written["processes"]["b"] == {"cpu_percent": None, "memory_mb": 25.0, "starts": 2}


def test_size_of_bags(tmp_path: Path) -> None:
    assert folder_mb([]) is None
    assert folder_mb([str(tmp_path / "gone")]) is None
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "x.mcap").write_bytes(bytes(2_000_000))
    (tmp_path / "y.mcap").write_bytes(bytes(1_000_000))
    assert folder_mb([str(tmp_path / "bag"), str(tmp_path / "y.mcap")]) == 3.0


def test_use_of_this_process() -> None:
    meter = UsageMeter()
    meter.sample(0.0, {"me": os.getpid(), "gone": None}, memory=True)
    assert meter.cpu_percent("me") is None, "nothing before begin()"
    meter.begin(0.0)
    meter.sample(10.0, {"me": os.getpid(), "gone": None}, memory=True)
    assert meter.cpu_percent("me") is not None
    assert meter.memory_mb("me") > 1.0
    assert meter.memory_mb("gone") is None
