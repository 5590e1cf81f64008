"""The choice that is written once for arrays and for compiled loops."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_core.compiled import HAS_COMPILER, choose, compiled


@compiled
def larger_than(values: np.ndarray, limit: float, found: np.ndarray) -> None:
    for n in range(len(values)):
        found[n] = choose(values[n] > limit, values[n], -1.0)


def test_numbers_in_a_loop_and_arrays_give_the_same() -> None:
    values = np.array([1.0, 3.0, np.nan, -np.inf, np.inf, 2.0])
    found = np.empty(6)
    larger_than(values, 2.0, found)
    assert (
        found.tolist() == choose(values > 2.0, values, -1.0).tolist() == [-1.0, 3.0, -1.0, -1.0, np.inf, -1.0]
    )


@pytest.mark.skipif(not HAS_COMPILER, reason="Numba is not installed")
def test_the_loop_is_compiled() -> None:
    larger_than(np.ones(3), 0.0, np.empty(3))
    assert larger_than.signatures  # type: ignore[attr-defined]
