"""Middle and spread are those of NumPy, faster."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_estimation.diagnosis.robust import middle, spread

NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=12)


@given(NUMBERS)
def test_middle_is_the_median_of_what_is_known(values: list[float]) -> None:
    known = [v for v in values if not math.isnan(v)]
    found = middle(np.array(values))
    assert math.isnan(found) if not known else found == pytest.approx(float(np.median(known)))


def test_spread_of_normal_numbers_is_their_deviation() -> None:
    values = 3.0 * np.random.default_rng(1).standard_normal(20_000)
    assert spread(values) == pytest.approx(3.0, rel=0.03)
