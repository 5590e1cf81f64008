"""Judge the estimate of capacity on the cycles of a real cell: from each charge and discharge the estimator
sees one window of a part of the rated charge at a random place, and its estimate after each discharge is
compared with the capacity that the tester measured in it.

The first few full cycles of each load and ambient temperature commission the cell; they are not scored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_estimation.soh.charge_curve import (
    ChargeCurve,
    counted_ah,
    cut_off_voltage,
    partial,
    reaches,
)
from openbms_estimation.soh.curve_filter import CurveFilter, FilterSettings
from openbms_estimation.soh.cycle_record import CellRecord, Operation

__all__ = ["EvaluationOptions", "EvaluationResult", "ScoredCycle", "evaluate"]

FloatArray = NDArray[np.float64]

_SAME_LOAD = 0.25
_DISAGREES, _MOST_DISAGREE = 0.02, 0.1
_SAME_CHARGE = 0.8
_MORE_CHARGE = 1.3
_FEWEST_NODES = 5
_CAPACITY_NOISE = 0.01
_NORMAL_95 = 1.96
_SAMPLING = 0.3
_END_OF_LIFE = 0.7


@dataclass(frozen=True)
class EvaluationOptions:
    """What is to be judged.

    Attributes
    ----------
    window : float
        Length of a window as a part of the rated capacity.
    commissioning : int
        Full cycles that each load and ambient temperature begins with.
    use_charges : bool
        Windows of charges are shown too; otherwise of discharges only.
    draws, seed : int
        How often the whole life is judged with windows at other places, and the seed of the first.
    """

    window: float = 0.3
    commissioning: int = 3
    use_charges: bool = True
    draws: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.02 <= self.window <= 1.0:
            raise ConfigError(
                f"--window is {self.window:g}: give the length of a window as a part of the rated capacity, "
                "0.02 to 1."
            )
        if self.commissioning < 2:
            raise ConfigError(f"--commissioning is {self.commissioning}: at least 2 cycles are needed.")
        if self.draws < 1:
            raise ConfigError(f"--draws is {self.draws}: at least 1 is needed.")


@dataclass(frozen=True)
class ScoredCycle:
    """One estimate beside its reference [Ah]; ``kept_ah`` is what the commissioning found."""

    draw: int
    cycle: float
    load_a: float
    ambient_degc: float
    measured_ah: float
    estimate_ah: float
    std_ah: float
    window_ah: float
    kept_ah: float


@dataclass
class EvaluationResult:
    """Scores of one cell.

    Attributes
    ----------
    cycles : list of ScoredCycle
    figures : dict
        What the command prints.
    """

    cycles: list[ScoredCycle]
    figures: dict[str, object] = field(default_factory=dict)


@dataclass
class _Condition:
    """Operations under one load at one ambient temperature."""

    charging: bool
    load_a: float
    ambient_degc: float
    cut_off_v: float = np.nan
    members: list[Operation] = field(default_factory=list)

    def holds(self, o: Operation) -> bool:
        same = o.ambient_degc == self.ambient_degc or (
            np.isnan(o.ambient_degc) and np.isnan(self.ambient_degc)
        )
        return o.charging == self.charging and same and abs(o.load_a / self.load_a - 1.0) < _SAME_LOAD


def _conditions(operations: list[Operation]) -> dict[int, _Condition]:
    """Sort the operations by load and temperature; a discharge condition learns its cut-off voltage."""
    found: list[_Condition] = []
    of: dict[int, _Condition] = {}
    for o in operations:
        condition = next((c for c in found if c.holds(o)), None)
        if condition is None:
            condition = _Condition(o.charging, o.load_a, o.ambient_degc)
            found.append(condition)
        condition.members.append(o)
        of[id(o)] = condition
    for condition in found:
        if not condition.charging:
            condition.cut_off_v = cut_off_voltage(condition.members)
    return of


def _reference(record: CellRecord, rated_ah: float) -> tuple[list[Operation], str]:
    """Give the operations with the capacity to compare with, and where it comes from.

    The table of a tester and its curves can be numbered differently. Where they disagree throughout, the
    charge that the full curve itself counts is the reference.
    """
    of = _conditions(record.operations)
    wrong, judged = 0, 0
    for o in record.operations:
        if o.charging or not np.isfinite(o.capacity_ah) or not reaches(o, of[id(o)].cut_off_v):
            continue
        judged += 1
        wrong += abs(counted_ah(o, of[id(o)].cut_off_v) - o.capacity_ah) > _DISAGREES * rated_ah
    if judged and wrong <= _MOST_DISAGREE * judged:
        return record.operations, "measured"
    ends = [replace(o, capacity_ah=np.nan) for o in record.operations]
    of = _conditions(ends)
    counted = [
        o
        if o.charging or not reaches(o, of[id(o)].cut_off_v)
        else replace(o, capacity_ah=counted_ah(o, of[id(o)].cut_off_v))
        for o in ends
    ]
    return counted, "counted"


class _Commissioning:
    """Full operations of one condition until there are enough for its curve."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.seen: list[Operation] = []

    def take(self, o: Operation, capacity_ah: float) -> bool:
        """Take one; true once there are enough."""
        if o.charging:
            # a charge of a cell that was not empty is no full one
            largest = max((s.moved_ah[-1] for s in self.seen), default=0.0)
            if o.moved_ah[-1] < _SAME_CHARGE * max(largest, capacity_ah):
                return False
            self.seen = [s for s in self.seen if s.moved_ah[-1] >= _SAME_CHARGE * o.moved_ah[-1]]
        self.seen.append(o)
        return len(self.seen) >= self.needed

    def fade(self) -> tuple[float, float]:
        """Give the relative change of the capacity per cycle and its standard deviation."""
        number = np.array([o.number for o in self.seen])
        spread = float(np.sqrt(np.sum((number - number.mean()) ** 2)))
        if self.seen[0].charging or spread == 0.0:
            return 0.0, np.inf
        capacity = np.array([o.capacity_ah for o in self.seen])
        return float(np.polyfit(number, capacity, 1)[0] / capacity[-1]), _CAPACITY_NOISE / spread


def _place(
    o: Operation, cut_off_v: float, rated_ah: float, window: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw where a window lies: evenly over the rated charge; again where it holds nothing."""
    while True:
        start = float(rng.uniform(-window, max(1.0 - window, 0.0))) * rated_ah
        if partial(o, cut_off_v, start, window * rated_ah).moved_ah.size:
            return start, window * rated_ah


def _run(
    operations: list[Operation],
    rated_ah: float,
    options: EvaluationOptions,
    draw: int,
    settings: FilterSettings | None,
    tick: Callable[[], None],
) -> tuple[list[ScoredCycle], int]:
    rng = np.random.default_rng([options.seed, draw])
    conditions = _conditions(operations)
    cell = CurveFilter(rated_ah, settings)
    learning: dict[int, _Commissioning] = {}
    index: dict[int, int] = {}
    kept: dict[int, float] = {}
    scored: list[ScoredCycle] = []
    last, commissioned = np.nan, 0
    for o in operations:
        tick()
        condition = conditions[id(o)]
        key = id(condition)
        if o.charging and not options.use_charges:
            continue
        if not o.charging and (not np.isfinite(o.capacity_ah) or not reaches(o, condition.cut_off_v)):
            continue
        if key in index and o.charging and o.moved_ah[-1] > _MORE_CHARGE * cell.curves[index[key]].full_ah:
            del index[key], learning[key]  # the cell was not empty when this curve was learnt
        if key not in index:
            stage = learning.setdefault(key, _Commissioning(options.commissioning))
            commissioned += not o.charging
            if not stage.take(o, 0.0 if o.charging else o.capacity_ah):
                continue
            curve = ChargeCurve(
                stage.seen, rated_ah, condition.cut_off_v, [s.capacity_ah for s in stage.seen]
            )
            if curve.nodes.size < _FEWEST_NODES:
                stage.seen = []
                continue
            if np.isfinite(last):
                cell.pass_cycles(o.number - last)
            index[key] = cell.add(curve, *stage.fade())
            kept[key] = float(np.mean([s.capacity_ah for s in stage.seen])) if not o.charging else np.nan
            last = o.number
            continue
        cell.pass_cycles(max(o.number - last, 0.0))
        last = max(o.number, last)
        window = partial(
            o, condition.cut_off_v, *_place(o, condition.cut_off_v, rated_ah, options.window, rng)
        )
        cell.update(index[key], window)
        if o.charging:
            continue
        estimate, std = cell.capacity(index[key])
        # the reference itself is counted in whole samples
        std = float(np.hypot(std, _SAMPLING * np.median(np.diff(o.moved_ah[o.loaded]))))
        moved = float(np.ptp(window.moved_ah))
        scored.append(
            ScoredCycle(
                draw,
                o.number,
                condition.load_a,
                o.ambient_degc,
                o.capacity_ah,
                estimate,
                std,
                moved,
                kept[key],
            )
        )
    return scored, commissioned


def _figures(cycles: list[ScoredCycle], rated_ah: float) -> dict[str, object]:
    measured = np.array([c.measured_ah for c in cycles])
    error = np.array([c.estimate_ah for c in cycles]) - measured
    std = np.array([c.std_ah for c in cycles])
    kept = np.array([c.kept_ah for c in cycles]) - measured
    rms = float(np.sqrt(np.mean(error**2)))
    return {
        "scored": len(cycles),
        "rmse_ah": rms,
        "rmse_percent": 100.0 * rms / rated_ah,
        "mae_ah": float(np.mean(np.abs(error))),
        "mae_percent": 100.0 * float(np.mean(np.abs(error))) / rated_ah,
        "max_error_ah": float(np.max(np.abs(error))),
        "max_error_percent": 100.0 * float(np.max(np.abs(error))) / rated_ah,
        "bias_ah": float(np.mean(error)),
        "bias_percent": 100.0 * float(np.mean(error)) / rated_ah,
        "coverage_95": float(np.mean(np.abs(error) <= _NORMAL_95 * std)),
        "mean_width_ah": float(np.mean(2.0 * _NORMAL_95 * std)),
        "mean_width_percent": 100.0 * float(np.mean(2.0 * _NORMAL_95 * std)) / rated_ah,
        "rmse_kept_percent": 100.0 * float(np.sqrt(np.mean(kept**2))) / rated_ah,
    }


def evaluate(
    record: CellRecord,
    rated_ah: float,
    options: EvaluationOptions | None = None,
    *,
    settings: FilterSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Judge the estimate on one cell.

    Parameters
    ----------
    record : CellRecord
    rated_ah : float
        Rated capacity [Ah].
    options : EvaluationOptions, optional
    settings : FilterSettings, optional
        Of the estimator; the default is what the product uses.
    progress : callable, optional
        Called with the operations done and all of them.

    Returns
    -------
    EvaluationResult

    Raises
    ------
    openbms_core.config_file.ConfigError
        There are too few full cycles.
    """
    options = options or EvaluationOptions()
    operations, reference = _reference(record, rated_ah)
    scored: list[ScoredCycle] = []
    commissioned, done, total = 0, 0, options.draws * len(operations)

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for draw in range(options.draws):
        found, commissioned = _run(operations, rated_ah, options, draw, settings, tick)
        scored += found
    if not scored:
        full = sum(not o.charging and np.isfinite(o.capacity_ah) for o in operations)
        raise ConfigError(
            f"{record.curves_path}: {full} full discharges with a measured capacity are in it, too few under "
            f"one load: {options.commissioning} commission the cell, at least one more is needed to judge."
        )
    discharges = sum(not o.charging for o in operations)
    figures: dict[str, object] = {
        **_figures(scored, rated_ah),
        "discharges": discharges,
        "commissioning_cycles": commissioned,
        "not_full_discharges": discharges - commissioned - len(scored) // options.draws,
        "left_out": record.left_out,
        "reference": reference,
        "window": options.window,
        "mean_window_ah": float(np.mean([c.window_ah for c in scored])),
        "windows_of": "charges and discharges" if options.use_charges else "discharges",
        "draws": options.draws,
        "seed": options.seed,
        "rated_ah": rated_ah,
    }
    healthy = [c for c in scored if c.measured_ah >= _END_OF_LIFE * rated_ah]
    if healthy:
        of_life = _figures(healthy, rated_ah)
        figures["until_end_of_life"] = {
            k: of_life[k] for k in ("scored", "rmse_percent", "max_error_percent", "coverage_95")
        }
    groups: dict[tuple[float, float | None], list[ScoredCycle]] = {}
    for c in scored:
        ambient = None if np.isnan(c.ambient_degc) else c.ambient_degc
        groups.setdefault((c.load_a, ambient), []).append(c)
    figures["conditions"] = [
        {"load_a": load, "ambient_degc": ambient, **_figures(members, rated_ah)}
        for (load, ambient), members in groups.items()
    ]
    return EvaluationResult(scored, figures)
