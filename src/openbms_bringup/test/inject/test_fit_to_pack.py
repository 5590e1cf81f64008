"""The fault library on packs of other sizes than the one that it is written for."""

from __future__ import annotations

import pytest
import yaml

from openbms_bringup.inject.case import Twin
from openbms_bringup.inject.fit_to_pack import fit_to_pack
from openbms_bringup.inject.library import load_library
from openbms_core.pack import load_pack
from openbms_sim.faults import InjectionError, parse_injections
from openbms_sim.twin_setup import messages_of, names_of

CASES = load_library()


@pytest.mark.parametrize("name", ["robot_13s4p", "home_16s_lfp"])
def test_cells_units_and_sensors_of_every_case_exist_in_a_small_pack(name: str) -> None:
    pack = load_pack(name)
    names = names_of(pack, messages_of(pack))
    refused = []
    for case in CASES.values():
        fitted = fit_to_pack(case, pack.file)
        for action in fitted.inject:
            if isinstance(action, Twin):
                try:
                    parse_injections(yaml.safe_dump([action.keys]), **vars(names))
                except InjectionError as error:
                    refused.append(str(error))
        assert all(fitted.vary.get(key, (0, 0))[1] < names.cells for key in ("cell",))
    assert all("coolant" in text for text in refused), "only what the pack has none of is left"


def test_a_case_that_fits_is_left_alone() -> None:
    demo = load_pack("demo_96s_nmc").file
    for case in CASES.values():
        assert fit_to_pack(case, demo) is case


def test_numbers_begin_again_after_the_last() -> None:
    robot = load_pack("robot_13s4p").file
    case = fit_to_pack(CASES["cell_over_voltage"], robot)
    assert case.inject[0].keys["cell"] == 17 - 13 and case.vary["cell"] == (0, 12)
    case = fit_to_pack(CASES["cell_over_voltage"].with_values({"cell": 12}), robot)
    assert case.inject[0].keys["cell"] == 12
