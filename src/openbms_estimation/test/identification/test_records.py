"""Test records as the fit wants them."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_estimation.identification.records import make_record


def test_counter_reset_ends_the_record() -> None:
    columns = {
        "time_s": np.arange(10.0),
        "voltage_v": np.full(10, 3.7),
        "current_a": np.full(10, -1.0),
        "temperature_c": np.full(10, 25.0),
        "ah": np.r_[-np.arange(6) / 3600, np.ones(4)],
    }
    assert len(make_record("made", columns, 2.0).time_s) == 6


def test_mean_current_of_a_long_interval_comes_from_the_counter() -> None:
    columns = {
        "time_s": np.array([0.0, 60.0, 120.0]),
        "voltage_v": np.full(3, 3.7),
        "current_a": np.array([0.0, -1.0, -1.0]),
        "temperature_c": np.full(3, 25.0),
        "ah": np.array([0.0, -0.5, -1.5]) / 60,
    }
    record = make_record("made", columns, 2.0)
    assert record.mean_current_a == pytest.approx([0.0, -0.5, -1.0])
    assert not record.judged[1]
