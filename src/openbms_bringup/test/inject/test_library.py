"""The shipped library: every file loads, fits the twin and the pack, and covers the fault table."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbms_bringup.inject.case import Case, Twin
from openbms_bringup.inject.library import load_library, rows_provoked
from openbms_bringup.inject.outcome import Outcome
from openbms_core.faults import FAULT_TABLE, fault_rows
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import config_folder, find_resource
from openbms_sim.faults import FAULTS, parse_injections
from openbms_sim.frames import layouts

CASES = load_library()

NOT_PROVOKED = {
    "REDUNDANT_CELL_VOLTAGE_MISSING": "the device of the demonstration measures each cell once",
    "REDUNDANT_CELL_VOLTAGE_MISMATCH": "the device of the demonstration measures each cell once",
    "REPORTED_CELL_VOLTAGE_MISMATCH": "the device of the demonstration reports no extremes of its own",
    "REPORTED_TEMPERATURE_MISMATCH": "the device of the demonstration reports no extremes of its own",
    "STRING_ISOLATED": "the demonstration has one string",
    "SCAN_NOT_ADVANCING": "only a broken driver repeats a scan; the driver is not broken for a test",
    "LIMP_HOME_EXPIRED": "300 s without estimators; tests/scenarios/test_limp_home.py shortens that time",
}
"""Rows of the fault table without a case, and why."""


@pytest.fixture(scope="module")
def pack() -> LoadedPack:
    return load_pack("demo_96s_nmc")


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_a_case_breaks_exists_on_the_demonstration_pack(case: Case, pack: LoadedPack) -> None:
    import yaml

    messages = list(layouts(str(find_resource(pack.file.device.dbc, pack.path))))
    entries = [action.keys for action in case.inject if isinstance(action, Twin)]
    parse_injections(
        yaml.safe_dump(entries), cells=96, sensors=pack.file.topology.sensor_names, messages=messages
    )


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_a_case_expects_is_monitored_and_says_what_ends(case: Case, pack: LoadedPack) -> None:
    rows = {row.id for row in fault_rows(pack.file)}
    assert set(case.expect.faults) <= rows
    assert case.description.endswith(".") and len(case.description) < 130
    if case.quiet:
        assert case.expect.contactors == "closed" and case.expect.states, "nothing happens: say what stays"


def test_every_row_of_the_table_is_provoked_or_it_is_said_why_not() -> None:
    rows = {row.id for row in FAULT_TABLE}
    provoked = rows_provoked(CASES.values())
    assert set(NOT_PROVOKED) <= rows and not set(NOT_PROVOKED) & provoked
    assert sorted(rows - provoked - set(NOT_PROVOKED)) == []


def test_the_library_breaks_everything_that_can_be_broken() -> None:
    used = {FAULTS[a.fault] for case in CASES.values() for a in case.inject if isinstance(a, Twin)}
    assert sorted(name for name, kind in FAULTS.items() if kind not in used and name not in UNUSED) == []


UNUSED = {
    "ignition": "a key that is off is an order, no fault",
    "frozen_scan": "nothing that is measured tells it from a pack at rest",
}


def test_tests_and_installation_see_the_same_files() -> None:
    here = Path(__file__).resolve().parents[4]
    linked = here / "tests" / "scenarios" / "faults"
    if not linked.exists():
        pytest.skip("only in a checkout")
    assert {p.name for p in linked.glob("*.yaml")} == {p.name for p in (config_folder() / "faults").glob("*")}


def test_random_draws_use_every_case_and_repeat_with_the_seed() -> None:
    from openbms_bringup.inject.run_library import outcome_page, random_draws

    draws = random_draws(CASES.values(), len(CASES) + 5, 3)
    assert {case.name for case in draws} == set(CASES) and len(draws) == len(CASES) + 5
    assert (
        draws
        == random_draws(CASES.values(), len(CASES) + 5, 3)
        != random_draws(CASES.values(), len(draws), 4)
    )
    outcomes = [Outcome(name, "in_time", expected=list(case.expect.faults)) for name, case in CASES.items()]
    page = outcome_page(outcomes, CASES, None)
    assert f"{len(CASES)} in time" in page and all(f"| {name} |" in page for name in CASES)
