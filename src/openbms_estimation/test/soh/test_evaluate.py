"""The judgement of capacity on recorded cells: what it sees, what it finds, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from openbms_core.config_file import ConfigError
from openbms_estimation.soh.charge_curve import counted_ah, cut_off_voltage, first_crossings, partial
from openbms_estimation.soh.cycle_record import read_cell_record
from openbms_estimation.soh.evaluate import EvaluationOptions, evaluate

sys.path.insert(0, str(Path(__file__).parent))
import tester_cell as tester

sys.path.pop(0)

ONE = EvaluationOptions(draws=1)


def judged(files, options=ONE):
    return evaluate(read_cell_record(*files, tester.RATED_AH), tester.RATED_AH, options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tester.write(tmp_path_factory.mktemp("cell"))


@pytest.fixture(scope="module")
def result(files):
    return judged(files)


def test_a_cell_that_fades_is_followed_with_an_honest_interval(result) -> None:
    figures = result.figures
    assert figures["rmse_kept_percent"] > 6.0, "the case must be one in which standing still fails"
    assert figures["rmse_percent"] < 1.3
    assert figures["coverage_95"] > 0.9
    assert figures["mean_width_percent"] < 10.0
    assert figures["reference"] == "measured" and figures["scored"] == 37
    tester.as_json(figures)


def test_the_other_shape_gives_the_same_quality(tmp_path: Path) -> None:
    figures = judged(tester.write(tmp_path, whole_cycles=True)).figures
    assert figures["rmse_percent"] < 1.3 and figures["scored"] == 37


def test_no_estimate_sees_more_than_a_window(result) -> None:
    assert max(c.window_ah for c in result.cycles) <= 0.3 * tester.RATED_AH
    assert np.std([c.window_ah for c in result.cycles]) > 0.0


def test_the_reference_moves_no_estimate(files, result) -> None:
    capacities = tester.column(files[1], "capacity_ah")
    measured = [k for k, q in enumerate(capacities) if q is not None]
    wrong = list(capacities)
    wrong[measured[20]], wrong[measured[30]] = 1.0, 1.9
    other = judged((files[0], tester.changed(files[1], capacity_ah=wrong)))
    np.testing.assert_allclose(
        [c.estimate_ah for c in other.cycles], [c.estimate_ah for c in result.cycles], rtol=1e-12
    )
    assert other.figures["max_error_ah"] > 0.5


def test_what_comes_later_moves_no_estimate(files, result) -> None:
    op = np.array(tester.column(files[0], "op"))
    voltage = np.array(tester.column(files[0], "voltage_v"))
    # few enough that the voltage at which the tester ends counting is found as before
    later = tester.changed(files[0], voltage_v=np.where(op >= 2 * 36, voltage - 0.05, voltage))
    now, then = ([c.estimate_ah for c in r.cycles] for r in (judged((later, files[1])), result))
    np.testing.assert_allclose(now[:33], then[:33], rtol=1e-9)
    assert now[-1] != pytest.approx(then[-1], rel=1e-3)


def test_seeds_draw_other_windows_and_repeat(files, result) -> None:
    again, other = judged(files), judged(files, EvaluationOptions(draws=1, seed=1))
    assert [c.estimate_ah for c in again.cycles] == [c.estimate_ah for c in result.cycles]
    assert [c.window_ah for c in other.cycles] != [c.window_ah for c in result.cycles]


def test_without_charges_it_is_followed_too(files) -> None:
    figures = judged(files, EvaluationOptions(draws=2, use_charges=False)).figures
    assert figures["rmse_percent"] < 1.5 and figures["windows_of"] == "discharges"


def test_each_load_is_commissioned_for_itself(tmp_path: Path) -> None:
    figures = judged(tester.write(tmp_path, cycles=40, loads=(2.0, 4.0))).figures
    assert figures["commissioning_cycles"] == 6 and len(figures["conditions"]) == 2
    assert figures["rmse_percent"] < 1.3


def test_a_table_of_other_numbers_is_noticed(tmp_path: Path) -> None:
    curves, cycles = tester.write(tmp_path, whole_cycles=True, fade=0.01, cycles=60)
    capacities = tester.column(cycles, "capacity_ah")
    # as if each fifth row had been dropped, and the rest numbered again
    kept = [q for k, q in enumerate(capacities) if k % 5]
    moved = tester.changed(cycles, capacity_ah=kept + [None] * (60 - len(kept)))
    figures = judged((curves, moved)).figures
    assert figures["reference"] == "counted" and figures["rmse_percent"] < 2.0
    assert figures["scored"] == 57


def test_a_discharge_that_was_broken_off_is_no_reference(files) -> None:
    op, current = (np.array(tester.column(files[0], n)) for n in ("op", "current_a"))
    time = np.array(tester.column(files[0], "time_s"))
    stopped = (op == 41) & (time > 1500.0)
    result = judged((tester.changed(files[0], current_a=np.where(stopped, 0.0, current)), files[1]))
    assert result.figures["not_full_discharges"] == 1
    assert 21.0 not in [c.cycle for c in result.cycles]


def test_bad_samples_are_left_out_and_said(files) -> None:
    voltage = np.array(tester.column(files[0], "voltage_v"))
    voltage[[500, 9000]] = 8.4
    figures = judged((tester.changed(files[0], voltage_v=voltage), files[1])).figures
    assert figures["left_out"] == {"samples with no voltage of a cell": 2}
    assert figures["rmse_percent"] < 1.3


def test_the_cut_off_is_found(files) -> None:
    record = read_cell_record(*files, tester.RATED_AH)
    discharges = [o for o in record.operations if not o.charging]
    assert cut_off_voltage(discharges) == pytest.approx(2.7)
    assert counted_ah(discharges[5], 2.7) == pytest.approx(discharges[5].capacity_ah, abs=0.006)


def test_windows_are_cut_where_the_operation_is(files) -> None:
    record = read_cell_record(*files, tester.RATED_AH)
    charge, discharge = record.operations[10], record.operations[11]
    begin = partial(discharge, 2.7, -0.3, 0.6)
    assert begin.from_full and not begin.to_cut_off and begin.moved_ah[-1] <= 0.3
    middle = partial(discharge, 2.7, 0.4, 0.6)
    assert not (middle.from_full or middle.to_cut_off or middle.to_full)
    end = partial(discharge, 2.7, 1.6, 0.6)
    assert end.to_cut_off and end.voltage_v.min() > 2.4
    assert partial(charge, 2.7, 1.6, 0.6).to_full


def test_crossings_of_a_noisy_course() -> None:
    moved = np.arange(6.0)
    course = np.array([4.0, 3.9, 3.95, 3.7, 3.6, 3.6])
    nodes = np.array([4.1, 3.95, 3.8, 3.6, 3.5])
    found = first_crossings(moved, course, nodes)
    assert np.isnan(found[[0, 4]]).all()
    assert found[1] == pytest.approx(0.5) and found[2] == pytest.approx(2.6)
    assert np.isnan(first_crossings(moved[:1], course[:1], nodes)).all()


@pytest.mark.parametrize("change", ["glued", "text", "sign", "missing", "nan", "time", "empty"])
def test_curves_that_cannot_be_used_are_refused_in_one_sentence(files, tmp_path: Path, change: str) -> None:
    curves, cycles = files
    values = {n: np.array(tester.column(curves, n)) for n in ("op", "voltage_v", "current_a", "time_s")}
    table = {
        "glued": {"op": values["op"] % 2},
        "text": {"voltage_v": values["voltage_v"].astype(str)},
        "sign": {"current_a": -values["current_a"]},
        "missing": {"time_s": None},
        "nan": {"voltage_v": np.where(values["voltage_v"] > 4.19, np.nan, values["voltage_v"])},
        "time": {"time_s": -values["time_s"]},
        "empty": {"op": None},
    }[change]
    with pytest.raises(ConfigError) as error:
        judged((tester.changed(curves, **table), cycles))
    text = str(error.value)
    assert "changed-cell_curves.parquet" in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize("change", ["missing", "none", "twice", "short"])
def test_cycles_that_cannot_be_used_are_refused_in_one_sentence(files, change: str) -> None:
    curves, cycles = files
    op, q = tester.column(cycles, "op"), tester.column(cycles, "capacity_ah")
    table = {
        "missing": {"capacity_ah": None},
        "none": {"capacity_ah": [0.0] * len(q)},
        "twice": {"op": [0, *op[:-1]]},
        "short": {"op": None},
    }[change]
    with pytest.raises(ConfigError, match=r"cell_cycles\.parquet.*\.$"):
        judged((curves, tester.changed(cycles, **table)))


def test_too_few_cycles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too few under one load"):
        judged(tester.write(tmp_path, cycles=3))


@pytest.mark.parametrize("rated", [0.0, -1.0, float("nan")])
def test_a_rated_capacity_that_is_none_is_refused(files, rated: float) -> None:
    with pytest.raises(ConfigError, match="capacity-ah"):
        read_cell_record(*files, rated)


def test_files_that_are_none_are_refused(files, tmp_path: Path) -> None:
    broken = tmp_path / "x.parquet"
    broken.write_bytes(b"PAR1 but no more")
    with pytest.raises(ConfigError, match="no such file"):
        read_cell_record(tmp_path / "none.parquet", files[1], 2.0)
    with pytest.raises(ConfigError, match="not a readable parquet file"):
        read_cell_record(files[0], broken, 2.0)


@pytest.mark.parametrize("bad", [{"window": 0.0}, {"window": 1.5}, {"commissioning": 1}, {"draws": 0}])
def test_options_that_are_none_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        EvaluationOptions(**bad)
