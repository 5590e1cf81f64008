"""What a pack went through, and what it can use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_estimation.soh.usable import usable_capacity
from openbms_estimation.soh.usage import Usage


def test_counters_add_up() -> None:
    usage = Usage(50.0)
    for _ in range(3600):
        usage.step(1.0, -25.0 / 3600.0, 350.0, 22.0, 0.55)
    for _ in range(1800):
        usage.step(1.0, 25.0 / 3600.0, 400.0, 31.0, 0.99)
    assert usage.discharged_ah == pytest.approx(25.0) and usage.charged_ah == pytest.approx(12.5)
    assert usage.discharged_wh == pytest.approx(25.0 * 350.0) and usage.charged_wh == pytest.approx(
        12.5 * 400.0
    )
    assert usage.equivalent_full_cycles == pytest.approx(37.5 / 100.0)
    assert usage.time_s[5, 5] == pytest.approx(3600.0) and usage.time_s[6, 9] == pytest.approx(1800.0)
    assert usage.time_s.sum() == pytest.approx(5400.0)


@pytest.mark.parametrize(
    ("degc", "soc", "row", "column"), [(-40, 0.0, 0, 0), (-20, 0.1, 1, 1), (90, 1.0, 9, 9)]
)
def test_outermost_bins_are_open(degc: float, soc: float, row: int, column: int) -> None:
    usage = Usage(50.0)
    usage.step(1.0, 0.0, 350.0, degc, soc)
    assert usage.time_s[row, column] == 1.0


def test_what_is_unknown_is_not_counted() -> None:
    usage = Usage(50.0)
    usage.step(1.0, np.nan, 350.0, np.nan, 0.5)
    usage.step(1.0, -1.0, np.nan, 25.0, np.nan)
    usage.step(3600.0, -1.0, 350.0, 25.0, 0.5)
    usage.step(-1.0, -1.0, 350.0, 25.0, 0.5)
    assert usage.discharged_ah == 1.0 and usage.discharged_wh == 0.0 and usage.time_s.sum() == 0.0


def test_counters_survive_and_wrong_ones_are_refused() -> None:
    first, second = Usage(50.0), Usage(50.0)
    first.step(1.0, 2.0, 350.0, 25.0, 0.5)
    second.resume(first.state())
    assert second.charged_wh == first.charged_wh and second.time_s.sum() == 1.0
    for wrong in ({}, {**first.state(), "usage": np.full(4, np.nan)}, {**first.state(), "usage": np.ones(3)}):
        with pytest.raises(ValueError, match="usage"):
            second.resume(wrong)


def test_balanced_cells_can_use_all_that_the_weakest_has() -> None:
    found = usable_capacity([0.5, 0.5, 0.5], [50.0, 45.0, 48.0])
    assert found.now_ah == pytest.approx(45.0) and found.balanced_ah == 45.0 and found.weakest == 1


def test_imbalance_is_told_from_lost_capacity() -> None:
    found = usable_capacity([0.6, 0.4], [50.0, 50.0])
    assert found.now_ah == pytest.approx(40.0) and found.balanced_ah == 50.0
    assert (found.empty_first, found.full_first) == (1, 0)


def test_strings_in_parallel_add() -> None:
    found = usable_capacity([0.5, 0.5, 0.9, 0.1], [50.0, 40.0, 30.0, 30.0], strings=2)
    assert found.balanced_ah == 70.0 and found.now_ah == pytest.approx(40.0 + 3.0 + 3.0)
    assert found.weakest == 2


def test_what_is_unknown_stays_unknown() -> None:
    found = usable_capacity([0.5, np.nan], [50.0, 40.0])
    assert np.isnan(found.now_ah) and found.balanced_ah == 40.0 and found.empty_first == -1
    assert usable_capacity([0.5, 0.5], [50.0, np.nan]).weakest == -1
    with pytest.raises(ValueError, match="strings"):
        usable_capacity([0.5, 0.5, 0.5], [1.0, 1.0, 1.0], strings=2)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 100)), min_size=1, max_size=12))
def test_balancing_never_takes_away(cells: list[tuple[float, float]]) -> None:
    z, q = np.array(cells).T
    found = usable_capacity(z, q)
    assert -1e-9 <= found.now_ah <= found.balanced_ah + 1e-9
