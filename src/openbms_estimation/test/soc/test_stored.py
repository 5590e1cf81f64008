"""The stored estimate survives what a file must survive, and is refused where it does not belong."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_estimation.soc.stored import StoredEstimate, load_estimate, save_estimate

MINE = {"serial": "S", "config_hash": "abc", "method": "ekf_2rc"}
STORED = StoredEstimate(
    **MINE,
    stamp_s=1234.5,
    scan_number=7,
    orderly=True,
    contactors_open=False,
    displayed_soc=0.5,
    charge_counters_ah=np.array([1.25, math.nan]),
    cell_voltages_v=np.array([3.7, math.nan, 3.6]),
    arrays={"x": np.array([[0.1, 0.2, 0.3], [1e-9, -4.0, 0.0]]), "started": np.array([1.0, 1.0, 0.0])},
)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "soc.json"
    save_estimate(path, STORED)
    assert os.listdir(path.parent) == ["soc.json"], "no temporary file is left"
    found, problem = load_estimate(path, **MINE)
    assert problem == "" and found is not None
    for name in ("serial", "stamp_s", "scan_number", "orderly", "contactors_open", "displayed_soc"):
        assert getattr(found, name) == getattr(STORED, name)
    np.testing.assert_array_equal(found.charge_counters_ah, STORED.charge_counters_ah)
    np.testing.assert_array_equal(found.cell_voltages_v, STORED.cell_voltages_v)
    for name, array in STORED.arrays.items():
        np.testing.assert_allclose(found.arrays[name], array, rtol=1e-8)


def test_nothing_shown_stays_unknown(tmp_path: Path) -> None:
    path = tmp_path / "soc.json"
    save_estimate(path, replace(STORED, displayed_soc=math.nan))
    found, _ = load_estimate(path, **MINE)
    assert found is not None and math.isnan(found.displayed_soc)


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert load_estimate(tmp_path / "soc.json", **MINE) == (None, "")


@pytest.mark.parametrize("name", list(MINE))
def test_of_another_pack_configuration_or_method_it_is_refused_and_left(tmp_path: Path, name: str) -> None:
    path = tmp_path / "soc.json"
    save_estimate(path, STORED)
    found, problem = load_estimate(path, **{**MINE, name: "other"})
    assert found is None and name in problem and "'other'" in problem
    assert path.is_file()


def good() -> dict[str, Any]:
    return {
        "schema_version": 2, **MINE, "stamp_s": 1.0, "scan_number": 1, "orderly": True,
        "contactors_open": True, "displayed_soc": None, "charge_counters_ah": [], "cell_voltages_v": [],
        "arrays": {},
    }  # fmt: skip


def written(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return json.dumps(data | {"checksum": hashlib.sha256(text.encode()).hexdigest()})


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "null", "[]", "{}", "\x00\x00",
        written(good() | {"schema_version": 1}),
        written(good() | {"stamp_s": None}),
        written(good() | {"stamp_s": math.nan}),
        written(good() | {"orderly": "yes"}),
        written(good() | {"serial": 5}),
        written(good() | {"scan_number": "x"}),
        written(good() | {"scan_number": math.inf}),
        written(good() | {"arrays": {"x": ["a"]}}),
        written(good() | {"arrays": {"x": [[1.0], [1.0, 2.0]]}}),
        json.dumps(good()),
        written(good()).replace("1.0", "1.5"),
        written({key: value for key, value in good().items() if key != "arrays"}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence_and_kept_beside(tmp_path: Path, content: str) -> None:
    path = tmp_path / "soc.json"
    path.write_text(content)
    found, problem = load_estimate(path, **MINE)
    assert found is None
    assert problem.startswith(f"{path}: not readable") and problem.endswith("the estimate starts anew.")
    assert os.listdir(tmp_path) == ["soc.json.unreadable"]


def test_the_good_one_of_the_list_above_is_read(tmp_path: Path) -> None:
    path = tmp_path / "soc.json"
    path.write_text(written(good()))
    assert load_estimate(path, **MINE)[1] == ""


@given(place=st.integers(0, 10_000), digit=st.sampled_from("0123456789"))
@settings(deadline=None)
def test_a_digit_that_has_changed_is_noticed(tmp_path_factory: Any, place: int, digit: str) -> None:
    path = tmp_path_factory.mktemp("flip") / "soc.json"
    save_estimate(path, STORED)
    text = path.read_text()
    digits = [k for k, letter in enumerate(text) if letter.isdigit()]
    k = digits[place % len(digits)]
    other = text[:k] + digit + text[k + 1 :]
    path.write_text(other)
    found, problem = load_estimate(path, **MINE)
    try:
        same = json.loads(other) == json.loads(text)  # 1.0 for 1.00
    except ValueError:
        same = False
    assert same or (found is None and problem)


@settings(deadline=None, max_examples=30)
@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_is_never_half_used(tmp_path_factory: Any, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "soc.json"
    save_estimate(path, STORED)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 2)])
    found, problem = load_estimate(path, **MINE)
    assert found is None and problem
