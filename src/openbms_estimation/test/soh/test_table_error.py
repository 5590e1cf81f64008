"""The error of an open-circuit voltage table does not average out over pairs between the same levels."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_estimation.soh.capacity import TotalLeastSquares
from openbms_estimation.soh.table_error import TableError

CELLS = 400
CAPACITY_AH = 50.0
TABLE_STD, READ_STD, COUNT_STD_AH = 0.008, 0.002, 0.05
PAIR_STD = np.full(CELLS, np.hypot(np.sqrt(2.0) * np.hypot(TABLE_STD, READ_STD), COUNT_STD_AH / CAPACITY_AH))


def measured(pairs, levels_of, seed=0):
    """Give both estimators after pairs of cells whose tables are each wrong in their own way."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.0, TABLE_STD, (CELLS, 12))  # of each tenth of the charge
    least = TotalLeastSquares(np.full(CELLS, 45.0))
    table_error = TableError(CELLS, least.settings.forgetting, least.settings.prior_std)
    cells = np.arange(CELLS)
    for _ in range(pairs):
        low, high = levels_of(rng)
        ends = [low, high] if rng.random() < 0.5 else [high, low]
        charge = CAPACITY_AH * (ends[1] - ends[0]) + rng.normal(0.0, COUNT_STD_AH, CELLS)
        read = [z + table[cells, int((z + 0.1) / 0.1)] + rng.normal(0.0, READ_STD, CELLS) for z in ends]
        taken = least.add(read[1] - read[0], charge, PAIR_STD, np.full(CELLS, COUNT_STD_AH))
        at = [np.full(CELLS, z) for z in ends]
        table_error.add(taken, tuple(at), (np.full(CELLS, TABLE_STD),) * 2, PAIR_STD)
    return least, table_error


@pytest.mark.parametrize(
    "levels_of",
    [
        lambda rng: (0.45, 0.85),  # always the same
        lambda rng: (rng.uniform(0.1, 0.5), 0.95),
        lambda rng: (rng.uniform(0.1, 0.5), rng.uniform(0.8, 0.99)),
    ],
)
def test_the_interval_holds_however_many_pairs_there_are(levels_of):
    least, table_error = measured(80, levels_of)
    found = least.estimate()
    error = found.capacity_ah - CAPACITY_AH
    alike = table_error.relative_std() * found.capacity_ah
    assert np.abs(error).std() > 0.0
    whole = np.hypot(found.capacity_std_ah, alike)
    assert (np.abs(error) < 1.96 * whole).mean() > 0.92
    # and it is no wider than what is there: the table's part alone explains most of the errors
    assert 0.7 < error.std() / np.median(alike) < 1.3


def test_more_levels_leave_less_of_it():
    one = measured(80, lambda rng: (0.45, 0.85))[1].relative_std()
    many = measured(80, lambda rng: (rng.uniform(0.1, 0.5), rng.uniform(0.6, 0.99)))[1].relative_std()
    assert np.median(many) < 0.75 * np.median(one)


def test_without_pairs_there_is_none_and_a_state_goes_over_a_restart():
    fresh = TableError(CELLS, 0.98, 0.1)
    assert (fresh.relative_std() == 0.0).all()
    used = measured(5, lambda rng: (0.3, 0.9))[1]
    fresh.resume(used.state())
    np.testing.assert_array_equal(fresh.relative_std(), used.relative_std())


@pytest.mark.parametrize("rows", [np.zeros((13, 2)), np.full((13, CELLS), np.nan), np.zeros((13, CELLS))])
def test_a_state_that_cannot_be_is_refused(rows):
    with pytest.raises(ValueError, match="table_error"):
        TableError(CELLS, 0.98, 0.1).resume({"table_error": rows})
