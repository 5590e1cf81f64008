"""Stop and go on: the estimate that was, doubt for the time away, and what a rest voltage has to say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_config
from openbms_core.types import UNKNOWN, PackMeasurement, Validity
from openbms_estimation.soc.absence import Absence, contactors_open, judge_absence
from openbms_estimation.soc.estimate import SocSample
from openbms_estimation.soc.pack_estimator import PackSocEstimator
from openbms_estimation.soc.resumable import ResumableCounter, ResumableEkf
from openbms_estimation.soc.stored import StoredEstimate, load_estimate, save_estimate

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[1] / "data" / "cell.yaml"))
CELLS = 4
OPEN, CLOSED = (0, 0, 0), (1, 1, 0)
DAY_S = 86_400.0
METHODS = ("ekf_2rc", "sigma_point", "coulomb_counting")


def pack_of(folder: Path, method: str = "ekf_2rc", parallel: int = 1) -> LoadedPack:
    data = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    data["topology"] = {
        "cells_in_series": CELLS,
        "cells_in_parallel": parallel,
        "temperature_sensors": [{"name": "cell", "location": "cell", "cells_each": CELLS}],
    }
    data["contactors"]["authority"] = "none"
    maps = [("cell_voltage_v", "V"), ("contactor_positive", "P")]
    data["device"] |= {
        "commands": [],
        "signals": [{"to": to, "message": "M", "signal": signal} for to, signal in maps],
    }
    data["estimation_method"] = method
    path = folder / f"{method}.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_pack(path)


def scan(
    number: int,
    stamp_s: float,
    *,
    volts: Any = 3.7,
    current_a: float = 0.0,
    counter_ah: float = math.nan,
    contacts: tuple[int, int, int] = OPEN,
    period_s: float = 0.1,
) -> PackMeasurement:
    m = PackMeasurement.empty(CELLS, 1, 1, scan_number=number, stamp_s=stamp_s, scan_duration_s=period_s)
    m.cell_voltages_v[:] = volts
    m.temperatures_degc[:] = 25.0
    m.string_currents_a[:] = current_a
    m.string_charge_increments_ah[:] = current_a * period_s / 3600.0
    m.string_charge_counters_ah[:] = counter_ah
    m.string_charge_counter_validity[:] = Validity.MISSING if math.isnan(counter_ah) else Validity.VALID
    m.contactor_feedback[:] = contacts
    return m


def settled(pack: LoadedPack, *, volts: Any = 3.7, steps: int = 50, **values: Any) -> PackSocEstimator:
    """Give an estimator that has seen the pack at rest, then as ``values`` say."""
    estimator = PackSocEstimator(pack)
    for number in range(steps):
        now = values if number >= steps // 2 else {}
        estimator.step(scan(number, 0.1 * number, volts=volts, **now))
    return estimator


def resumed(pack: LoadedPack, stored: StoredEstimate, first: PackMeasurement) -> tuple[PackSocEstimator, Any]:
    estimator = PackSocEstimator(pack)
    done, text = estimator.resume(stored, first)
    assert done, text
    return estimator, estimator.step(first)


@pytest.mark.parametrize("method", METHODS)
def test_killed_for_a_moment_it_goes_on_as_if_nothing_had_been(tmp_path: Path, method: str) -> None:
    pack = pack_of(tmp_path, method)
    estimator = settled(pack, volts=[3.70, 3.71, 3.72, 3.73])
    stored = estimator.stored(orderly=False)
    assert stored is not None
    save_estimate(tmp_path / "soc.json", stored)
    read, problem = load_estimate(
        tmp_path / "soc.json", serial=pack.file.serial, config_hash=pack.config_hash, method=method
    )
    assert read is not None, problem
    following = scan(50, 5.0, volts=[3.70, 3.71, 3.72, 3.73])
    whole = estimator.step(following)
    _, part = resumed(pack, read, following)
    np.testing.assert_allclose(part.cell_soc, whole.cell_soc, atol=2e-5)
    np.testing.assert_allclose(part.cell_soc_std, whole.cell_soc_std, rtol=2e-2)
    assert part.soc == pytest.approx(whole.soc, abs=1e-4)
    # sigma points still settle, and what the display had left to work off is not kept
    shown = 5e-4 if method == "sigma_point" else 1e-6
    assert part.displayed_soc == pytest.approx(whole.displayed_soc, abs=shown)
    assert part.quality == whole.quality


@pytest.mark.parametrize("method", METHODS)
def test_a_parked_day_costs_no_more_certainty_than_self_discharge(tmp_path: Path, method: str) -> None:
    pack = pack_of(tmp_path, method)
    before = settled(pack)
    stored = before.stored(orderly=True)
    assert stored is not None and stored.contactors_open
    std_before = (
        np.sqrt(before.cells.p[0, 0]) if method != "coulomb_counting" else before.cells._variance() ** 0.5
    )
    estimator = PackSocEstimator(pack)
    first = scan(0, 5.0 + DAY_S, volts=math.nan)  # without a voltage: what the time away alone does
    done, text = estimator.resume(stored, first)
    assert done and "the contactors were open" in text
    after = estimator.step(first)
    expected = np.hypot(std_before, 0.001)
    np.testing.assert_allclose(after.cell_soc_std, expected, rtol=0.05)
    np.testing.assert_allclose(
        after.cell_soc,
        stored.arrays["soc" if method == "coulomb_counting" else "x"].reshape(-1, CELLS)[0],
        atol=1e-3,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("away_s", "least"), [(10.0, 0.001), (600.0, 0.08), (1e6, 0.29)])
def test_killed_while_a_current_flowed_the_doubt_grows_with_time_up_to_anything(
    tmp_path: Path, method: str, away_s: float, least: float
) -> None:
    pack = pack_of(tmp_path, method)
    stored = settled(pack, contacts=CLOSED, current_a=-1.0, volts=3.65).stored(orderly=False)
    assert stored is not None and not stored.contactors_open
    first = scan(0, 5.0 + away_s, volts=math.nan, contacts=OPEN)
    _, estimate = resumed(pack, stored, first)
    assert (estimate.cell_soc_std >= least).all()
    assert (estimate.cell_soc_std <= 0.31).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_charge_counter_of_a_device_that_ran_on_is_believed(tmp_path: Path, method: str) -> None:
    pack = pack_of(tmp_path, method, parallel=2)
    stored = settled(pack, contacts=CLOSED, current_a=-2.0, volts=3.65, counter_ah=-1.0).stored(orderly=False)
    assert stored is not None
    n = 49 + 100  # ten seconds at ten scans a second
    first = scan(
        n, 4.9 + 10.0, volts=math.nan, contacts=CLOSED, current_a=-2.0, counter_ah=-1.0 - 2 * 10 / 3600
    )
    estimator = PackSocEstimator(pack)
    done, text = estimator.resume(stored, first)
    assert done and "charge counter ran on" in text
    estimate = estimator.step(first)
    old = stored.arrays["soc" if method == "coulomb_counting" else "x"].reshape(-1, CELLS)[0]
    capacity_ah = MODEL.capacity_ah * 2
    np.testing.assert_allclose(old - estimate.cell_soc, 2 * 10 / 3600 / capacity_ah, rtol=0.02)


CAPACITY_AH = 3.0


def absence(stored: StoredEstimate, m: PackMeasurement) -> Absence | str:
    return judge_absence(stored, m, capacity_ah=CAPACITY_AH, current_limit_a=20.0, scan_period_s=0.1)


def kept(*, orderly: bool = True, is_open: bool = True, counter_ah: float = math.nan) -> StoredEstimate:
    return StoredEstimate(
        "S", "h", "ekf_2rc", 1000.0, 500, orderly, is_open, 0.5, np.array([counter_ah]), np.zeros(CELLS)
    )


@pytest.mark.parametrize(
    ("stored", "now", "std", "current_std"),
    [
        # open before and now, the whole system was away
        (kept(), scan(0, 1000.1 + 3600), 0.001 / 24, 0.0),
        # the same after a kill: it may have been closed for a moment
        (kept(orderly=False), scan(0, 1000.1 + 3600), 0.5 * 5 / 3600 + 0.001 / 24, 0.0),
        # only the estimator was away: others may have closed and opened again
        (kept(), scan(500 + 36_001, 1000.1 + 3600), 0.5 + 0.001 / 24, 0.5),
        # closed before, or closed now, or a current that flows
        (kept(is_open=False), scan(0, 1000.1 + 3600), 0.5 + 0.001 / 24, 0.5),
        (kept(), scan(0, 1000.1 + 3600, contacts=CLOSED), 0.5 + 0.001 / 24, 0.5),
        (kept(), scan(0, 1000.1 + 3600, current_a=1.0), 0.5 + 0.001 / 24, 0.5),
        # a counter that was reset (a jump that no current makes), and one of a device that was away
        (kept(counter_ah=-9.0), scan(500 + 101, 1010.1, counter_ah=0.0), 0.5 * 10 / 3600, 0.5),
        (kept(counter_ah=-9.0), scan(0, 1010.1, counter_ah=-9.0), 0.001 * 10 / DAY_S, 0.0),
    ],
)  # fmt: skip
def test_what_is_assumed_of_the_time_away(
    stored: StoredEstimate, now: PackMeasurement, std: float, current_std: float
) -> None:
    found = absence(stored, now)
    assert isinstance(found, Absence)
    assert found.soc_std == pytest.approx(std, rel=1e-3, abs=1e-8)
    assert found.current_std_c == current_std
    assert (found.moved_ah == 0.0).all()


def test_an_estimate_of_the_future_is_refused_in_a_sentence(tmp_path: Path) -> None:
    found = absence(kept(), scan(0, 900.0))
    assert isinstance(found, str) and "in the future" in found and found.endswith("starts anew.")
    pack = pack_of(tmp_path)
    stored = settled(pack).stored(orderly=True)
    assert stored is not None
    estimator = PackSocEstimator(pack)
    done, text = estimator.resume(stored, scan(0, -100.0))
    assert not done and "in the future" in text
    assert np.isfinite(estimator.step(scan(0, -100.0)).cell_soc).all(), "it starts anew from the voltage"


@pytest.mark.parametrize(
    ("contacts", "current_a", "expected"),
    [
        ((0, 0, 0), 0.0, True),
        ((1, 0, 0), 0.0, True),
        ((0, 1, 0), 0.0, True),
        ((0, 1, 1), 0.0, False),
        ((1, 1, 0), 0.0, False),
        ((UNKNOWN, 0, UNKNOWN), 0.0, True),
        ((0, UNKNOWN, UNKNOWN), 0.0, False),
        ((UNKNOWN,) * 3, 0.0, False),
        ((0, 0, 0), 1.0, False),
        ((0, 0, 0), math.nan, True),
    ],
)
def test_open_is_what_feedback_and_current_say(
    contacts: tuple[int, int, int], current_a: float, expected: bool
) -> None:
    assert contactors_open(scan(0, 0.0, contacts=contacts, current_a=current_a), CAPACITY_AH) is expected


@pytest.mark.parametrize("method", METHODS)
def test_a_rest_voltage_that_contradicts_starts_that_cell_anew(tmp_path: Path, method: str) -> None:
    pack = pack_of(tmp_path, method)
    stored = settled(pack).stored(orderly=True)
    assert stored is not None
    # cell 2 was replaced, or lost its charge: 3.4 V instead of 3.7 V after a day
    first = scan(0, 5.0 + DAY_S, volts=[3.7, 3.7, 3.4, 3.7])
    estimator, estimate = resumed(pack, stored, first)
    text = estimator.contradictions(stored, first)
    assert "1 cell(s) start anew" in text and "cell 2 has 3.400 V, it had 3.700 V" in text
    truth = float(MODEL.soc_from_ocv(3.4, 25.0))
    # after one sample sigma points over a curve that bends so much are not there yet, and say so
    allowed = 2.0 * estimate.cell_soc_std[2] if method == "sigma_point" else 0.02
    assert abs(estimate.cell_soc[2] - truth) < allowed
    assert abs(estimate.cell_soc[1] - float(MODEL.soc_from_ocv(3.7, 25.0))) < 0.02
    _, fine = resumed(pack, stored, scan(0, 5.0 + DAY_S))
    assert np.isfinite(fine.cell_soc).all()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_contradicts_without_rest_or_voltage(tmp_path: Path, method: str) -> None:
    pack = pack_of(tmp_path, method)
    stored = settled(pack, contacts=CLOSED, current_a=-1.0, volts=3.65).stored(orderly=False)
    assert stored is not None
    under_load = scan(0, 10.0, volts=3.45, current_a=-6.0, contacts=CLOSED)
    estimator, _ = resumed(pack, stored, under_load)
    assert estimator.contradictions(stored, under_load) == ""
    blind = scan(0, 10.0, volts=math.nan)
    estimator, _ = resumed(pack, stored, blind)
    assert estimator.contradictions(stored, blind) == ""


def test_it_waits_for_what_it_judges_by(tmp_path: Path) -> None:
    estimator = PackSocEstimator(pack_of(tmp_path))
    assert not estimator.waits_to_resume(scan(0, 0.0))
    assert estimator.waits_to_resume(scan(0, 0.0, volts=math.nan))
    assert estimator.waits_to_resume(scan(0, 0.0, current_a=math.nan))
    assert estimator.waits_to_resume(scan(0, 0.0, contacts=(UNKNOWN,) * 3))


def test_before_the_first_scan_there_is_nothing_to_keep(tmp_path: Path) -> None:
    assert PackSocEstimator(pack_of(tmp_path)).stored(orderly=True) is None


@pytest.mark.parametrize("kind", [ResumableEkf, ResumableCounter])
def test_a_state_that_does_not_fit_is_refused_whole(kind: Any) -> None:
    fresh = kind(MODEL, CELLS)
    state = kind(MODEL, CELLS, initial_soc=0.5).state()
    for name, array in state.items():
        for bad in (array[..., :-1], np.full_like(array, math.nan)):
            with pytest.raises(ValueError, match=name):
                fresh.resume({**state, name: bad})
        with pytest.raises(ValueError, match=name):
            fresh.resume({other: value for other, value in state.items() if other != name})
    wrong = (
        {"p": -state["p"], "x": state["x"] + 5}
        if kind is ResumableEkf
        else {"soc": state["soc"] + 5, "variance": -state["variance"]}
    )
    for name, bad in wrong.items():
        with pytest.raises(ValueError, match=name):
            fresh.resume({**state, name: bad})
    fresh.resume(state)


def test_a_stored_state_of_another_size_starts_anew(tmp_path: Path) -> None:
    pack = pack_of(tmp_path)
    stored = settled(pack).stored(orderly=True)
    assert stored is not None
    object.__setattr__(stored, "arrays", {})
    estimator = PackSocEstimator(pack)
    done, text = estimator.resume(stored, scan(0, 10.0))
    assert not done and "does not fit" in text


@settings(max_examples=60, deadline=None)
@given(
    away_s=st.floats(0.0, 1e8),
    moved_ah=st.floats(-5.0, 5.0),
    soc_std=st.floats(0.0, 2.0),
    current_std=st.floats(0.0, 1.0),
    kind=st.sampled_from([ResumableEkf, ResumableCounter]),
)
def test_time_away_never_makes_more_certain_nor_leaves_the_range(
    away_s: float, moved_ah: float, soc_std: float, current_std: float, kind: Any
) -> None:
    estimator = kind(MODEL, 2, initial_soc=0.5, initial_soc_std=0.02)
    estimator.step(SocSample(0.0, 0.0, np.array([3.7, 3.71]), 25.0))
    before = estimator.step(SocSample(1.0, 0.0, np.array([3.7, 3.71]), 25.0))
    estimator.resume(estimator.state())
    estimator.pass_time(away_s, moved_ah, soc_std, current_std)
    after = estimator.step(SocSample(1.0, 0.0, np.full(2, math.nan), 25.0))
    assert ((after.soc >= 0.0) & (after.soc <= 1.0)).all()
    assert (after.soc_std >= before.soc_std * (1.0 - 1e-9)).all()
    assert (after.soc_std <= 0.31).all()
    if kind is ResumableEkf:
        assert np.linalg.eigvalsh(estimator.p.transpose(2, 0, 1)).min() > -1e-9


def test_restarts_do_not_make_more_certain_than_running_on(tmp_path: Path) -> None:
    """The same rest voltage read in a hundred runs knows no more than read in one."""
    pack = pack_of(tmp_path)
    one = settled(pack, steps=200)
    many = settled(pack, steps=2)
    for start in range(99):
        stored = many.stored(orderly=True)
        assert stored is not None
        many, _ = resumed(pack, stored, scan(2 + 2 * start, 0.2 + 0.2 * start))
        last = many.step(scan(3 + 2 * start, 0.3 + 0.2 * start))
    np.testing.assert_allclose(last.cell_soc_std, one.step(scan(200, 20.0)).cell_soc_std, rtol=0.02)
