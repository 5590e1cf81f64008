"""The host's part of looking after a parked pack: memory on disk, being woken, the words."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from openbms_bringup.cli.main import app
from openbms_bringup.parked.report import as_data, as_text, summary_line
from openbms_bringup.parked.store import load_memory, save_memory
from openbms_bringup.parked.wake import Wake, parse_duration, parse_wake
from openbms_control.safety.parked.checks import Finding
from openbms_control.safety.parked.judge import Verdict
from openbms_control.safety.parked.snapshot import HistoryEntry, ParkedMemory, ParkedSnapshot
from openbms_core.config_file import ConfigError

SNAPSHOT = ParkedSnapshot(
    stamp_s=1.8e9,
    start_count=3,
    rested_s=60.0,
    cell_voltages_v=np.array([3.7, math.nan, 3.69]),
    temperatures_degc=np.array([20.0, math.nan]),
    balancing=np.array([True, False, False]),
    insulation_ohm=5e6,
    supply_v=math.nan,
    smoke=0,
)
MEMORY = ParkedMemory.begin("S", "hash", SNAPSHOT).with_history(
    (HistoryEntry(1.8e9, "warn", ("HOT_CELL",), 3.69, 20.0, 5e6, math.nan, math.inf),)
)


def same(one: ParkedSnapshot, two: ParkedSnapshot) -> bool:
    return all(
        np.array_equal(np.asarray(value, float), np.asarray(getattr(two, name), float), equal_nan=True)
        for name, value in vars(one).items()
    )


def test_the_memory_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "parked.json"
    save_memory(path, MEMORY)
    assert os.listdir(path.parent) == ["parked.json"]
    found, problem = load_memory(path)
    assert problem == "" and found is not None
    assert (found.serial, found.config_hash) == ("S", "hash")
    for name in ("parking", "reference", "last"):
        assert same(getattr(found, name), SNAPSHOT), name
    assert found.bled.tolist() == [True, False, False]
    entry = found.history[0]
    assert (entry.level, entry.codes, entry.cell_voltage_min_v) == ("warn", ("HOT_CELL",), 3.69)
    assert math.isnan(entry.supply_v)


def test_its_size_is_bounded(tmp_path: Path) -> None:
    whole = replace(
        SNAPSHOT, cell_voltages_v=np.full(216, 3.7123456), temperatures_degc=np.full(180, 20.123456),
        balancing=np.zeros(216, bool),
    )  # fmt: skip
    memory = ParkedMemory.begin("S", "hash", whole)
    entry = HistoryEntry(1.8e9, "alarm", ("A" * 20,) * 5, 3.7, 20.0, 5e6, 12.6, 100.0)
    for _ in range(500):
        memory = memory.follow(whole, entry, 7200.0)
    save_memory(tmp_path / "parked.json", memory)
    assert (tmp_path / "parked.json").stat().st_size < 120_000


def good(folder: Path) -> dict[str, Any]:
    save_memory(folder / "good.json", MEMORY)
    return json.loads((folder / "good.json").read_text())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: "",
        lambda data: "{",
        lambda data: "null",
        lambda data: json.dumps({**data, "schema_version": 9}),
        lambda data: json.dumps({key: value for key, value in data.items() if key != "last"}),
        lambda data: json.dumps({**data, "last": {**data["last"], "cell_voltages_v": ["x"]}}),
        lambda data: json.dumps({**data, "last": {**data["last"], "stranger": 1}}),
        lambda data: json.dumps({**data, "last": {**data["last"], "start_count": None}}),
        lambda data: json.dumps({**data, "history": [{}]}),
    ],
)
def test_a_memory_that_cannot_be_read_is_one_sentence_and_kept_beside(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / "parked.json"
    path.write_text(spoil(good(tmp_path)))
    found, problem = load_memory(path)
    assert found is None
    assert problem.startswith(f"{path}: not readable") and problem.endswith("the check begins anew.")
    assert path.with_name("parked.json.unreadable").is_file() and not path.exists()


def test_no_memory_is_no_problem(tmp_path: Path) -> None:
    assert load_memory(tmp_path / "parked.json") == (None, "")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("15min", 900.0), ("6h", 21_600.0), ("1.5 d", 129_600.0), ("2s", 2.0)]
)
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text, "--every") == seconds


@pytest.mark.parametrize("text", ["", "h", "0", "-5", "6 weeks", "1e9"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--every is"):
        parse_duration(text, "--every")


def test_ways_to_be_woken() -> None:
    assert parse_wake("none", "--wake") == parse_wake("", "--wake") == Wake()
    assert parse_wake("rtc", "--wake").rtc == Path("/sys/class/rtc/rtc0")
    assert parse_wake("rtc:/x/rtc1", "--wake").rtc == Path("/x/rtc1")
    assert parse_wake("rtcwake -m no -s {seconds}", "--wake").command
    with pytest.raises(ConfigError, match=r"--wake is 'later': give none, rtc, .*\{seconds\}"):
        parse_wake("later", "--wake")


def test_no_wake_says_nothing() -> None:
    assert Wake().arm(60.0) == (False, "")


def test_the_clock_gets_a_time_from_now(tmp_path: Path) -> None:
    (tmp_path / "wakealarm").write_text("1234\n")
    armed, text = Wake(rtc=tmp_path).arm(900.4)
    assert armed and "900 s" in text
    assert (tmp_path / "wakealarm").read_text() == "+900\n"


def test_a_clock_that_is_not_there_is_said(tmp_path: Path) -> None:
    armed, text = Wake(rtc=tmp_path / "rtc7").arm(60.0)
    assert not armed and "No such file" in text and "Name another clock." in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_clock_that_may_not_be_set_is_said_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "wakealarm").write_text("")
    (tmp_path / "wakealarm").chmod(0o444)
    armed, text = Wake(rtc=tmp_path).arm(60.0)
    assert not armed and "not permitted" in text and "WakeSystem=true" in text


def test_a_command_wakes_with_its_seconds(tmp_path: Path) -> None:
    armed, text = Wake(command=f"touch {tmp_path}/in_{{seconds}}").arm(61.6)
    assert armed and "62 s" in text and (tmp_path / "in_62").exists()
    armed, text = Wake(command="false {seconds}").arm(60.0)
    assert not armed and "exit code 1" in text


FINDINGS = (
    *(Finding("OVER_TEMPERATURE", "alarm", f"Sensor {n} is hot.", n, 70.0, 65.0, "°C") for n in range(5)),
    Finding("SUPPLY_LOW", "warn", "The supply is low."),
)


def verdict(**values: Any) -> Verdict:
    given = {
        "level": "alarm", "findings": FINDINGS, "not_judged": ("gas: none",), "remaining_days": 20.4,
        "remaining_days_at_least": 10.2, "memory": MEMORY, **values,
    }  # fmt: skip
    return Verdict(**given)


def test_the_words_name_what_was_found_and_fold_what_is_alike() -> None:
    text = as_text(verdict(), next_wake_s=900.0, notes=["a note"])
    assert text.startswith("Parked pack S: alarm\n")
    assert "alarm: Sensor 2 is hot. [OVER_TEMPERATURE]" in text and "Sensor 3" not in text
    assert "and 2 more [OVER_TEMPERATURE]" in text
    assert "warn: The supply is low. [SUPPLY_LOW]" in text
    assert "not judged: gas: none" in text
    assert "the first cell is empty: 20 (at least 10)" in text and "Next check in 0.25 h" in text
    assert text.endswith("a note")
    assert "not known yet" in as_text(verdict(remaining_days=math.nan), next_wake_s=1.0, notes=[])
    assert "no cell loses" in as_text(verdict(remaining_days=math.inf), next_wake_s=1.0, notes=[])
    assert summary_line(verdict()).startswith("parked pack S: alarm: Sensor 0 is hot.; Sensor 1")
    assert summary_line(verdict(level="ok", findings=())) == "parked pack S: ok"


def test_the_data_hold_everything_and_are_json() -> None:
    data = as_data(verdict(remaining_days=math.inf), next_wake_s=900.0, notes=[])
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["level"] == "alarm" and len(again["findings"]) == 6
    assert again["remaining_days"] is None and again["remaining_days_at_least"] == 10.2
    assert again["findings"][5]["value"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--every", "soon"], "--every is 'soon'"),
        (["--wake", "later"], "--wake is 'later'"),
        (["--pack", "nothing"], "nothing: no such file"),
        (["--scans", "0"], "greater than or equal to 1"),
        (["--on-alarm", "'unfinished"], "quotation"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    pytest.importorskip("rclpy")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = CliRunner().invoke(app, ["parked-check", *options])
    assert done.exit_code == 2, done.output
    assert said.lower() in done.output.lower().replace("\n", " ")
