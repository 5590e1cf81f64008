"""The fault record survives what a file must survive."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_control.safety.fault_manager import StoredFault
from openbms_control.safety.record import FaultRecord, load_record, save_record


def test_round_trip_counts_the_start(tmp_path):
    path = tmp_path / "deep" / "faults.json"
    faults = {"A": StoredFault(True, 2, 1.5, 2.5, 4.3, 7), "B": StoredFault(False, 1, 1.0, 2.0)}
    save_record(path, FaultRecord("S", 4, faults, closed=True))
    record, problem = load_record(path, "S")
    assert problem == "" and record.start_count == 5
    assert record.faults["A"] == faults["A"] and record.closed
    assert math.isnan(record.faults["B"].value)
    assert os.listdir(path.parent) == ["faults.json"]


def test_no_file_is_a_first_start(tmp_path):
    record, problem = load_record(tmp_path / "faults.json", "S")
    assert (record.start_count, record.faults, problem) == (1, {}, "new")


GOOD = {
    "latched": True,
    "occurrences": 1,
    "first_active_s": 1.0,
    "last_seen_s": 1.0,
    "value": None,
    "index": 0,
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00\x00",
        "{}",
        json.dumps({"schema_version": 99, "serial": "S", "start_count": 1, "faults": {}}),
        json.dumps({"schema_version": 1, "serial": "other", "start_count": 1, "faults": {}}),
        json.dumps({"schema_version": 1, "serial": "S", "start_count": "x", "faults": {}}),
        json.dumps({"schema_version": 1, "serial": "S", "start_count": 1, "faults": []}),
        json.dumps({"schema_version": 1, "serial": "S", "start_count": 1, "faults": {"A": {}}}),
        *(
            json.dumps(
                {"schema_version": 1, "serial": "S", "start_count": 1, "faults": {"A": {**GOOD, key: "x"}}}
            )
            for key in GOOD
        ),
        json.dumps(
            {"schema_version": 1, "serial": "S", "start_count": 1, "faults": {"A": {**GOOD, "more": 1}}}
        ),
    ],
)
def test_an_unusable_file_is_kept_beside_and_said(tmp_path, content):
    path = tmp_path / "faults.json"
    path.write_text(content)
    record, problem = load_record(path, "S")
    assert (record.start_count, record.faults, problem) == (1, {}, "corrupt")
    assert (tmp_path / "faults.json.unreadable").read_text() == content
    save_record(path, record)
    assert load_record(path, "S")[1] == ""


def test_a_folder_in_its_place_is_said_as_well(tmp_path):
    (tmp_path / "faults.json").mkdir()
    assert load_record(tmp_path / "faults.json", "S")[1] == "corrupt"


def test_a_failed_write_leaves_the_old_record(tmp_path, monkeypatch):
    path = tmp_path / "faults.json"
    save_record(path, FaultRecord("S", 1))

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        save_record(path, FaultRecord("S", 2))
    assert load_record(path, "S")[0].start_count == 2  # start 1, read again


@given(st.binary(max_size=200))
def test_no_content_raises(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("record") / "faults.json"
    path.write_bytes(content)
    assert load_record(path, "S")[1] == "corrupt"
