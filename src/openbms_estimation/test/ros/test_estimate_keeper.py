"""When the estimate is written, and what is said if it cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from openbms_core.pack import load_pack
from openbms_core.resources import find_config
from openbms_core.types import PackMeasurement
from openbms_estimation.ros.estimate_keeper import EstimateKeeper
from openbms_estimation.soc.pack_estimator import PackSocEstimator


class Bench:
    """An estimator, a keeper, and a clock that is set by hand."""

    def __init__(self, path: Path) -> None:
        self.estimator = PackSocEstimator(load_pack(find_config("packs", "demo_96s_nmc")))
        self.keeper = EstimateKeeper(path)
        self.path = path
        self.number = 0

    def take(self, now_s: float, *, current_a: float = 0.0, positive: int = 0) -> bool:
        """Take a scan; give whether it was written."""
        m = PackMeasurement.empty(96, 43, 1, scan_number=self.number, stamp_s=now_s, scan_duration_s=1.0)
        # the voltage that belongs to a current is of no interest here
        m.cell_voltages_v[:] = 3.7 if current_a == 0.0 else np.nan
        m.temperatures_degc[:], m.string_currents_a[:] = 25.0, current_a
        m.contactor_feedback[:] = (positive, positive, 0)
        self.number += 1
        before = self.keeper._writing
        self.keeper.take(self.estimator, self.estimator.step(m), now_s)
        written = self.keeper._writing is not before
        if self.keeper._writing is not None:
            self.keeper._writing.result(10.0)
        return written

    def file(self) -> Any:
        return json.loads(self.path.read_text())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    it = Bench(tmp_path / "state" / "soc.json")
    yield it
    it.keeper._thread.shutdown()


def test_written_when_something_changed_but_not_all_the_time(bench: Bench) -> None:
    assert bench.take(0.0), "the first estimate"
    assert not bench.take(1.0, positive=1), "a flash disk is spared"
    assert bench.take(2.5, positive=1), "the contactors have moved"
    assert not bench.take(5.0, positive=1)
    times = [5.0 + t for t in range(1, 30)]
    written = [t for t in times if bench.take(t, current_a=-10.0, positive=1)]
    assert len(written) >= 8, "10 A move 0.2 % in 2.2 s"
    assert np.diff(written).min() >= 2.0
    assert bench.file()["orderly"] is False


def test_at_rest_written_once_a_minute(bench: Bench) -> None:
    assert [t for t in range(130) if bench.take(float(t))] == [0, 60, 120]


def test_nothing_is_written_before_anything_is_known(bench: Bench) -> None:
    m = PackMeasurement.empty(96, 43, 1)
    bench.keeper.take(bench.estimator, bench.estimator.step(m), 0.0)
    bench.keeper.close(PackSocEstimator(load_pack(find_config("packs", "demo_96s_nmc"))), 1.0)
    assert not bench.path.exists()


def test_the_end_is_orderly_only_if_it_was_seen(bench: Bench) -> None:
    bench.take(0.0)
    bench.keeper.close(bench.estimator, 1.0)
    assert bench.file()["orderly"] is True and bench.file()["contactors_open"] is True
    late = Bench(bench.path)
    late.take(0.0)
    late.keeper.close(late.estimator, 100.0)
    assert late.file()["orderly"] is False, "inactive for long: nobody knows what happened meanwhile"


def test_a_folder_that_cannot_be_made_is_said_and_nothing_else_happens(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    bench = Bench(tmp_path / "state" / "soc.json")
    assert bench.take(0.0)
    assert "the estimate cannot be kept" in bench.keeper.problem
    bench.keeper.close(bench.estimator, 1.0)
