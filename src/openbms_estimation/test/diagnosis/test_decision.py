"""Probabilities from evidence, and alarms from probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from openbms_estimation.diagnosis.decision import Alarms, posterior
from openbms_estimation.diagnosis.settings import DiagnosisSettings

PRIOR = -16.0


@given(arrays(float, (4, 6), elements=st.floats(0.0, 1e6)))
def test_probabilities_are_probabilities(evidence: np.ndarray) -> None:
    found = posterior(evidence, evidence * 1.5, PRIOR)
    assert (found >= 0.0).all()
    assert (found.sum(axis=1) <= 1.0 + 1e-9).all()


def test_nothing_is_likely_without_evidence() -> None:
    assert posterior(np.zeros((1, 6)), np.zeros((1, 6)), PRIOR).sum() < 1e-6


def test_faults_that_fit_alike_share() -> None:
    found = posterior(np.array([[60.0, 60.0, 0.0]]), np.array([[80.0, 80.0, 500.0]]), PRIOR)
    np.testing.assert_allclose(found, [[0.5, 0.5, 0.0]], atol=1e-6)


def test_what_cannot_be_judged_is_unknown() -> None:
    found = posterior(
        np.array([[np.nan, np.nan], [np.nan, 50.0]]), np.array([[np.nan] * 2, [0.0, 50.0]]), PRIOR
    )
    assert np.isnan(found[0]).all()
    assert found[1, 1] == pytest.approx(1.0)


def steps(alarms: Alarms, row: list[float], hours: float) -> list[int]:
    """Give a probability for some hours; give the alarms that this raised."""
    raised = []
    for _ in range(int(hours * 60)):
        raised += alarms.step(np.array([row]), 60.0).tolist()
    return raised


def test_alarm_needs_time() -> None:
    alarms = Alarms(1, DiagnosisSettings(alarm_s=600.0))
    assert not steps(alarms, [0.99, 0.0], 0.1)
    assert not steps(alarms, [0.1, 0.0], 0.1), "the time starts anew"
    assert not steps(alarms, [0.99, 0.0], 0.15)
    assert steps(alarms, [0.99, 0.0], 0.05) == [0]


@pytest.mark.parametrize(("fault", "needed_s"), [(0, 600.0), (1, 3600.0)])
def test_each_fault_may_have_a_time_of_its_own(fault: int, needed_s: float) -> None:
    alarms = Alarms(1, DiagnosisSettings(), [600.0, 3600.0])
    likely = np.zeros((1, 2))
    likely[0, fault] = 0.999
    assert not alarms.step(likely, needed_s - 10.0).size
    assert alarms.step(likely, 10.0).tolist() == [0]


def test_alarm_without_a_name_needs_more_time() -> None:
    alarms = Alarms(1, DiagnosisSettings(unclear_s=7200.0))
    assert not steps(alarms, [0.5, 0.49], 1.9)
    assert steps(alarms, [0.5, 0.49], 0.2) == [0]


def test_alarm_ends_only_after_long() -> None:
    alarms = Alarms(1, DiagnosisSettings(alarm_s=60.0, clear_s=7200.0))
    steps(alarms, [1.0, 0.0], 0.1)
    steps(alarms, [0.0, 0.0], 1.9)
    assert alarms.active[0]
    steps(alarms, [0.0, 0.0], 0.2)
    assert not alarms.active[0]


def test_unknown_changes_nothing() -> None:
    alarms = Alarms(1, DiagnosisSettings(alarm_s=60.0, clear_s=60.0))
    steps(alarms, [1.0, 0.0], 0.1)
    assert not steps(alarms, [np.nan, np.nan], 5.0)
    assert alarms.active[0]


def test_state_is_kept() -> None:
    alarms = Alarms(1, DiagnosisSettings(alarm_s=60.0))
    steps(alarms, [1.0, 0.0], 0.1)
    other = Alarms(1, DiagnosisSettings())
    other.resume(alarms.state())
    assert other.active[0]
    with pytest.raises(ValueError, match="alarms of 1 places, not of 2"):
        Alarms(2, DiagnosisSettings()).resume(alarms.state())
