"""A case is read strictly, says exactly what is wrong with it, and takes other values."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from openbms_bringup.inject.case import Ask, Case, Host, Message, Process, Record, Twin
from openbms_bringup.inject.library import drawn, find_case, load_library, load_library_file
from openbms_core.config_file import ConfigError
from openbms_core.faults import FAULT_BY_ID

GOOD = {
    "name": "over_voltage",
    "description": "One cell reads too high.",
    "given": {"state": "drive", "current_a": -3.0},
    "inject": [{"fault": "cell_voltage_offset", "cell": 17, "offset_v": 0.6}],
    "expect": {"faults": ["CELL_OVER_VOLTAGE_SAFETY"], "state": "fault", "contactors": "open"},
    "vary": {"cell": [0, 95], "soc": [0.3, 0.8]},
}


def written(folder: Path, *cases: dict, name: str = "a.yaml") -> Path:
    path = folder / name
    content = {"schema_version": 1, "description": "some", "cases": list(cases)}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_every_kind_of_action_is_read(tmp_path: Path) -> None:
    actions = [
        {"fault": "drop_message", "message": "Pack_Status", "at_s": 1.0, "for_s": 2.0},
        {"process": "safety", "do": "slow", "share": 0.1},
        {"host": "disk_full", "of": "data"},
        {"record": "corrupt"},
        {"message": "foreign_description"},
        {"ask": "standby", "at_s": 3.0},
    ]
    case = load_library_file(written(tmp_path, GOOD | {"inject": actions, "vary": {}})).cases[0]
    assert [type(action) for action in case.inject] == [Twin, Process, Host, Record, Message, Ask]
    assert case.inject[0].keys == {"fault": "drop_message", "message": "Pack_Status"}
    assert case.live_only and not load_library_file(written(tmp_path, GOOD)).cases[0].live_only


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inject": []}, r"a.yaml:\d+: cases\[0\].inject: value a list is not right: list should have"),
        ({"inject": [{"fault": "nonsense"}]}, "fault must be one of cell_open_wire"),
        ({"inject": [{"fault": "cell_voltage_offset", "cell": 1}]}, "offset_v: field required"),
        ({"inject": [{"fault": "smoke", "cell": 1}]}, "extra inputs are not permitted; smoke has the keys"),
        ({"inject": [{"process": "safety", "do": "tickle"}]}, r"inject\[0\].do: value 'tickle'"),
        ({"inject": [{"process": "driver", "do": "kill", "forr_s": 2}]}, "Did you mean 'for_s'"),
        ({"inject": [{"host": "cpu_hog", "processes": 0}]}, "greater than or equal to 1"),
        ({"expect": {"faults": ["CELL_OVER_VOLTAGE"]}}, "faults: the fault table has no row 'CELL_OVER_V"),
        ({"expect": {"may_also": ["NOTHING_*"]}}, "may_also: the fault table has no row"),
        (
            {"expect": {"faults": ["CELL_OVER_VOLTAGE_SAFETY"], "level": "operating"}},
            "the table says safety, not operating",
        ),
        ({"expect": {"deadline_s": 3.0}}, "where no fault is expected there is no deadline"),
        ({"expect": {"state": "flying"}}, "expect.state"),
        ({"onset": 1}, "onset: there are 1 actions"),
        ({"onset": "when it is hot"}, "onset"),
        ({"vary": {"cell": [5, 1]}}, "vary.cell: 5 is above 1"),
        ({"vary": {"offset": [0, 1]}}, "vary.offset: neither given nor an action has this key"),
        ({"name": "Not good"}, "name"),
        ({"given": {"soc": 1.5}}, "given.soc"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_library_file(written(tmp_path, GOOD | change))


def test_a_name_stands_once(tmp_path: Path) -> None:
    written(tmp_path, GOOD, name="a.yaml")
    written(tmp_path, GOOD, name="b.yaml")
    with pytest.raises(ConfigError, match=r"'over_voltage' is already in a.yaml"):
        load_library(tmp_path)


def test_other_values_are_put_in_where_they_belong() -> None:
    case = Case.model_validate(GOOD).with_values({"cell": 3, "soc": 0.4, "offset_v": 0.9})
    assert case.inject[0].keys == {"fault": "cell_voltage_offset", "cell": 3, "offset_v": 0.9}
    assert case.given.soc == 0.4
    with pytest.raises(ValueError, match="no key 'foo'; it has cell, clock"):
        case.with_values({"foo": 1})
    with pytest.raises(ValueError, match="offset_v"):
        case.with_values({"offset_v": "much"})
    twice = Case.model_validate(
        GOOD | {"inject": [GOOD["inject"][0], {"fault": "cell_open_wire", "cell": 2}], "onset": 1}
    ).with_values({"cell": 9})
    assert [action.keys["cell"] for action in twice.inject] == [9, 9]


def test_draws_lie_in_their_ranges_and_repeat_with_the_seed() -> None:
    case = Case.model_validate(GOOD)
    cells = set()
    for seed in range(50):
        one, values = drawn(case, random.Random(seed))
        assert one.inject[0].keys["cell"] == values["cell"] and isinstance(values["cell"], int)
        assert 0.3 <= one.given.soc <= 0.8 and one.given.soc == values["soc"]
        assert drawn(case, random.Random(seed))[0] == one
        cells.add(values["cell"])
    assert len(cells) > 20


def test_the_deadline_is_the_table_s_unless_it_is_given() -> None:
    case = Case.model_validate(GOOD)
    row = FAULT_BY_ID["CELL_OVER_VOLTAGE_SAFETY"]
    assert case.expect.limit_s() == row.timing.fault_tolerant_time_s
    given = Case.model_validate(GOOD | {"expect": {**GOOD["expect"], "deadline_s": 7.0}})
    assert given.expect.limit_s() == 7.0


def test_a_case_is_found_by_name_or_the_nearest_is_named() -> None:
    cases = {"over_voltage": Case.model_validate(GOOD)}
    assert find_case("over_voltage", cases).name == "over_voltage"
    with pytest.raises(ConfigError, match="Did you mean 'over_voltage'"):
        find_case("over_voltag", cases)
    with pytest.raises(ConfigError, match="--list"):
        find_case("zzz", cases)
