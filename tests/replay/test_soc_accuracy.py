"""Estimators over real recordings: error against the tester's charge counter.

The shipped recording always runs. The larger set runs where it lies: in the folder that OPENBMS_TEST_DATA
names, or in `shared/data` beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_config, find_resource
from openbms_estimation.log_file import read_cell_log
from openbms_estimation.replay import ReplayOptions, replay

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OPENBMS_TEST_DATA", ROOT.parent / "shared" / "data")) / "soc" / "lg_hg2"
MODEL = CellModel.from_file(load_cell(find_config("cells", "lg_hg2")))
CAPACITY_AH = 2.778

# rmse with the start known: the aim of the project, which every one of these recordings meets with room
BOUND = {"25degC": 0.01, "10degC": 0.01, "0degC": 0.015, "n10degC": 0.03}
RECORDINGS = [
    (place, test)
    for place in BOUND
    for test in ("Mixed1", "Mixed5", "UDDS")
    if (place, test) not in {("10degC", "UDDS"), ("n10degC", "UDDS")}
]


def run(place: str, test: str, **options: float) -> dict[str, float]:
    path = DATA / f"lg_hg2__{place}__{test}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not on this machine")
    return replay(read_cell_log(path), MODEL, ReplayOptions(capacity_ah=CAPACITY_AH, **options)).figures


@pytest.mark.parametrize(("place", "test"), RECORDINGS)
def test_drive_cycle_with_known_start(place: str, test: str) -> None:
    figures = run(place, test, initial_soc=1.0)
    assert figures["rmse"] < BOUND[place]
    assert figures["coverage95"] > 0.85


@pytest.mark.parametrize("place", ["25degC", "10degC", "0degC"])
@pytest.mark.parametrize("wrong", [0.8, 0.5])
def test_wrong_start_is_forgotten_within_minutes(place: str, wrong: float) -> None:
    figures = run(place, "Mixed1", initial_soc=wrong)
    assert figures["first_within_3_percent_s"] < 300
    assert figures["rmse_after_10min"] < 0.02


def test_start_from_the_first_voltage() -> None:
    assert run("25degC", "Mixed2")["rmse"] < 0.01


def test_current_offset_is_found_where_counting_drifts_away() -> None:
    counted = run("25degC", "Mixed1", initial_soc=1.0, current_bias_a=0.1, method="coulomb")  # type: ignore[arg-type]
    filtered = run("25degC", "Mixed1", initial_soc=1.0, current_bias_a=0.1)
    # C/28 is a dozen times the offset that the filter reckons with
    assert filtered["rmse"] < 0.8 * counted["rmse"]
    assert filtered["final_current_bias_a"] > 0.01


def test_voltage_offset_does_little() -> None:
    assert run("25degC", "Mixed1", initial_soc=1.0, voltage_bias_v=0.01)["rmse"] < 0.02


@pytest.mark.slow
def test_shipped_recording() -> None:
    path = find_resource("package://openbms_sim/data/lg_hg2_25degC_mixed.parquet", ROOT)
    figures = replay(read_cell_log(path), MODEL, ReplayOptions(initial_soc=1.0)).figures
    assert figures["true_initial_soc_source"] == "file" and figures["capacity_ah"] == CAPACITY_AH
    assert figures["rmse"] < 0.01
    assert figures["coverage95"] > 0.9
