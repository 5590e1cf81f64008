"""The interpolation is SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from openbms_core.models.pchip import pchip


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(2, 12),
    kind=st.sampled_from(["rising", "any", "steps", "flat"]),
)
def test_values_and_slopes_are_those_of_scipy(seed: int, count: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.uniform(0.01, 1.0, count))
    rows = rng.normal(0.0, 1.0, (3, count))
    if kind == "rising":
        rows = np.cumsum(np.abs(rows), axis=1)
    elif kind == "steps":
        rows = np.round(rows)
    elif kind == "flat":
        rows = np.ones((3, count))
    at = np.concatenate([points, rng.uniform(points[0] - 0.2, points[-1] + 0.2, 50)])
    values, slopes = pchip(points, rows, at)
    curve = PchipInterpolator(points, rows, axis=1)
    scale = 1.0 + np.abs(curve(at)).max()
    assert values == pytest.approx(curve(at), abs=1e-9 * scale)
    assert slopes == pytest.approx(
        curve.derivative()(at), abs=1e-8 * (1.0 + np.abs(curve.derivative()(at)).max())
    )
