"""What the diagnosis has seen outlives the process, and what does not fit is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from openbms_core.pack import load_pack
from openbms_core.resources import find_config
from openbms_core.types import PackMeasurement
from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
from openbms_estimation.ros.diagnosis_keeper import PERIOD_S, DiagnosisKeeper
from openbms_estimation.soc.pack_estimator import PackSocEstimator

PACK = load_pack(find_config("packs", "demo_96s_nmc"))


def make() -> PackDiagnoser:
    return PackDiagnoser(PACK)


def seen(minutes: int = 20) -> PackDiagnoser:
    """Give a diagnosis that has seen a pack at rest."""
    diagnoser, estimator = PackDiagnoser(PACK), PackSocEstimator(PACK)
    for number in range(minutes):
        m = PackMeasurement.empty(
            96, 43, 1, scan_number=number, stamp_s=1e6 + 60.0 * number, scan_duration_s=60.0
        )
        m.cell_voltages_v[:], m.temperatures_degc[:], m.string_currents_a[:] = 3.7, 25.0, 0.0
        diagnoser.step(m, estimator.step(m))
    return diagnoser


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "diagnosis.json"


def test_goes_on_where_it_ended(path: Path) -> None:
    before = seen()
    DiagnosisKeeper(path, PACK).close(before)
    after, said = DiagnosisKeeper(path, PACK).resume(make)
    assert said.startswith("going on with 0.3 h")
    assert after.observed_s == before.observed_s
    theirs, mine = before.state(), after.state()
    assert theirs.keys() == mine.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(mine[name], array, rtol=1e-8, err_msg=name)


def test_nothing_was_kept(path: Path) -> None:
    assert DiagnosisKeeper(path, PACK).resume(make)[1] == "nothing was kept"


def test_what_does_not_fit_is_refused(path: Path) -> None:
    diagnoser = seen()
    diagnoser.cells[0].bled = np.zeros(5)
    DiagnosisKeeper(path, PACK).close(diagnoser)
    fresh, said = DiagnosisKeeper(path, PACK).resume(make)
    assert fresh.observed_s == 0.0
    assert not fresh.cells[0].changes.epochs
    assert "bled has the shape (5,)" in said
    assert said.endswith("the diagnosis starts anew.")


def test_written_now_and_then(path: Path) -> None:
    keeper, diagnoser = DiagnosisKeeper(path, PACK), seen()
    keeper.take(diagnoser, 10.0)
    keeper.take(diagnoser, 10.0 + 0.9 * PERIOD_S)
    assert keeper._writing is None, "a flash disk is spared"
    keeper.take(diagnoser, 10.0 + PERIOD_S)
    assert keeper._writing is not None
    keeper._writing.result(10.0)
    assert path.exists()
    keeper.close(diagnoser)


def test_a_disk_that_fails_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    keeper = DiagnosisKeeper(tmp_path / "file" / "diagnosis.json", PACK)
    keeper.close(seen())
    assert "cannot be kept" in keeper.problem
