"""Replay: reference, figures, injected errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import load_cell
from openbms_core.config_file import ConfigError
from openbms_core.models.ecm import CellModel
from openbms_estimation.log_file import CellLog
from openbms_estimation.replay import ReplayOptions, replay

MODEL = CellModel.from_file(load_cell(Path(__file__).parents[0] / "data" / "cell.yaml"))


def log(rows: int = 900, *, counter: bool = True, soc_at_start: float | None = None) -> CellLog:
    """A constant discharge from full after 10 s of rest, by the model itself at small overpotential."""
    current = np.where(np.arange(rows) < 10, 0.0, -1.0)
    moved = np.r_[0.0, np.cumsum(current[1:]) / 3600]
    soc = 1.0 + moved / MODEL.capacity_ah
    p = MODEL.parameters(soc, 25.0)
    held = -np.clip(np.arange(rows) - 10, 0, None).astype(float)
    pairs = -(p.r1_ohm * (1 - np.exp(held / p.tau1_s)) + p.r2_ohm * (1 - np.exp(held / p.tau2_s)))
    return CellLog(
        Path("made.parquet"),
        np.arange(rows, dtype=float),
        p.ocv_v + p.instant_v(current) + np.where(current < 0, pairs, 0.0),
        current,
        np.full(rows, 25.0),
        moved if counter else None,
        soc_at_start,
        None,
    )


def test_figures_are_complete() -> None:
    figures = replay(log(), MODEL).figures
    wanted = {"rmse", "mae", "max_error", "rmse_after_10min", "coverage95", "rows", "duration_s"}
    assert wanted <= set(figures)
    assert figures["rmse"] < 0.02 and figures["rows"] == 900 and figures["duration_s"] == 899.0


def test_without_counter_there_is_no_error_and_none_is_invented() -> None:
    result = replay(log(counter=False), MODEL)
    assert result.reference_soc is None
    for key in ("rmse", "mae", "max_error", "rmse_after_10min", "coverage95"):
        assert result.figures[key] is None


def test_wrong_start_does_not_move_the_reference() -> None:
    right, wrong = (replay(log(), MODEL, ReplayOptions(method="coulomb", initial_soc=z)) for z in (1.0, 0.8))
    assert np.array_equal(right.reference_soc, wrong.reference_soc)  # type: ignore[arg-type]
    assert right.figures["rmse"] < 0.001
    assert wrong.figures["max_error"] > 0.15


def test_start_of_the_reference_in_order_of_preference() -> None:
    given = replay(log(soc_at_start=0.9), MODEL, ReplayOptions(true_initial_soc=0.7))
    assert given.figures["true_initial_soc"] == 0.7
    assert replay(log(soc_at_start=0.9), MODEL).figures["true_initial_soc"] == 0.9
    assert replay(log(), MODEL).figures["true_initial_soc"] == 1.0


def test_current_offset_misleads_counting_more_than_the_filter() -> None:
    rows = 7000
    counted, filtered = (
        replay(log(rows), MODEL, ReplayOptions(method=method, initial_soc=1.0, current_bias_a=0.2)).figures[
            "rmse"
        ]
        for method in ("coulomb", "ekf")
    )
    assert counted > 1.25 * filtered  # thirteen times the offset that the filter reckons with


def test_capacity_of_the_reference() -> None:
    result = replay(log(), MODEL, ReplayOptions(capacity_ah=1.0))
    assert result.reference_soc is not None
    assert result.reference_soc[-1] == pytest.approx(1.0 - 890 / 3600)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (ReplayOptions(initial_soc=1.2), "--initial-soc"),
        (ReplayOptions(true_initial_soc=-0.1), "--true-initial-soc"),
        (ReplayOptions(capacity_ah=0.0), "--capacity-ah"),
        (ReplayOptions(current_bias_a=float("nan")), "--current-bias-a"),
        (ReplayOptions(method="magic"), "--method"),  # type: ignore[arg-type]
    ],
)
def test_bad_options_name_themselves(options: ReplayOptions, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        replay(log(), MODEL, options)
