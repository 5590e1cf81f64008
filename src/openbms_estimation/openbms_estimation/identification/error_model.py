"""How far the model is from the cell: from the residuals of tests, each left out of the fit once.

The tables bend to the tests that they are fitted to, so that only a test that the fit has not seen tells how
far off the model is in the next one; and because few tests are seen, what happened at one state of charge
may happen at any: the mean over all of them is added. What no test shows is taken wide: a cell of which only
the open-circuit voltage is known has whatever resistance its chemistry may have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_core.compiled import compiled
from openbms_estimation.identification.commission import Commissioned, PlacedTest
from openbms_estimation.identification.placing import is_slow
from openbms_estimation.identification.records import Record
from openbms_estimation.identification.solve import CellFit, solve
from openbms_estimation.soc.kernel import LOAD_RELATIVE_STD

__all__ = ["model_error"]

FloatArray = NDArray[np.float64]
ERROR_SOC = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FOLDS = 4
LEAST_SLOW_V = 0.003
"""No open-circuit voltage is known better: another specimen, another day."""
LEAST_WITHOUT_LOAD_V = 0.008
"""Nor where no test with load confirms it."""
CORRELATION_TIME_S = 1200.0
"""Time for which the slow error keeps its value at the same charge: what is left of a relaxation."""
SEEN_FACTOR = 2.0
"""A test that the tables were bent to shows about half of what the next one will."""
_WINDOW_S = 60.0


@compiled
def _relax_to(keep: FloatArray, values: FloatArray) -> FloatArray:
    found = np.empty(len(keep))
    state = values[0]
    for row in range(len(keep)):
        state = values[row] + keep[row] * (state - values[row])
        found[row] = state
    return found


class _Residuals:
    """Residuals of one record under one fit."""

    def __init__(self, record: Record, fit: CellFit, capacity_ah: float) -> None:
        voltage, self.overpotential = fit.simulate(record)
        self.record, self.soc = record, record.soc
        self.residual = record.voltage_v - voltage
        keep = np.exp(-record.duration_s / _WINDOW_S)
        self.slow = _relax_to(keep, self.residual)
        self.slow_overpotential = _relax_to(keep, self.overpotential)
        self.ocv = voltage - self.overpotential
        self.judged = record.judged & (record.soc > -0.02) & (record.soc < 1.02)
        self.seconds = record.weight**2
        self.resting = np.abs(record.current_a) < 0.01 * capacity_ah
        self.node = int(
            np.argmin(np.abs(np.asarray(fit.knots.temperature_degc) - np.median(record.temperature_degc)))
        )


def _left_out(
    found: Commissioned, dynamic: Sequence[PlacedTest], say: Callable[[str], None]
) -> list[_Residuals]:
    """Residuals of every dynamic test under a fit that has not seen it, a quarter of them at a time.

    Where no other load is left at a temperature, that fit has the resistances of its slow test, which tells
    them badly. A resistance guessed from the neighbours would come nearer; but from a pulse test to a drive
    the resistance of a cold cell differs by more than either shows, and filters with the smaller doubt went
    5 % wrong at 0 °C, those with this one 2 %.
    """
    if len(dynamic) < 2:
        return []
    slow = [test for test in found.tests if test not in dynamic]
    folds = min(FOLDS, len(dynamic))
    residuals = []
    for fold in range(folds):
        say(f"model error, part {fold + 1} of {folds}")
        out = list(dynamic[fold::folds])
        kept = [*slow, *(test for test in dynamic if test not in out)]
        records = [record for test in kept for record in test.records]
        judged = sum(int(np.count_nonzero(record.judged)) for record in records)
        fit = solve(
            records,
            found.fit.knots,
            found.fit.nonlinear,
            found.prior,
            slow_nodes=found.slow_nodes,
            load_nodes=found.load_nodes,
            bounded=False,
            every=max(1, judged // 30_000),
        )
        residuals += [_Residuals(record, fit, found.capacity_ah) for test in out for record in test.records]
    return residuals


def _wide_rms(at: FloatArray, values: FloatArray, weights: FloatArray, centres: FloatArray) -> FloatArray:
    """Weighted root mean square around every centre; far from any row: that of all."""
    window = np.exp(-0.5 * ((at[:, None] - centres) / 0.05) ** 2) * weights[:, None]
    total = window.sum(axis=0)
    whole = float(np.sum(weights * values**2) / max(float(weights.sum()), 1e-9))
    share = 60.0  # seconds of test that count as much as what is known of all other places
    return np.asarray(
        np.sqrt(((window * values[:, None] ** 2).sum(axis=0) + share * whole) / (total + share))
    )


def _correlation_v(residuals: Sequence[_Residuals]) -> float:
    """Change of the open-circuit voltage over which the slow error keeps its value (fall to 1/e)."""
    lags = np.array([0.02, 0.03, 0.05, 0.08, 0.12])
    products, squares = np.zeros(len(lags)), 0.0
    for part in residuals:
        rows = np.flatnonzero(part.judged)[::30]
        if len(rows) < 20:
            continue
        swept = np.r_[0.0, np.cumsum(np.abs(np.diff(part.ocv[rows])))]
        values = part.slow[rows] - np.mean(part.slow[rows])
        squares += float(np.mean(values**2))
        for index, lag in enumerate(lags):
            later = np.interp(swept + lag, swept, values, right=np.nan)
            products[index] += float(np.nanmean(values * later)) if np.isfinite(later).any() else 0.0
    if squares == 0.0:
        return 0.05
    below = np.flatnonzero(products / squares < np.exp(-1.0))
    return float(lags[below[0]]) if len(below) else float(lags[-1])


def _judged(parts: Sequence[_Residuals], *names: str) -> tuple[FloatArray, ...]:
    """Give these columns of the judged rows of all parts."""
    return tuple(np.concatenate([getattr(part, name)[part.judged] for part in parts]) for name in names)


def _at(residuals: Sequence[_Residuals], node: int) -> list[_Residuals]:
    return [part for part in residuals if part.node == node and part.judged.any()]


def _without_load(parts: Sequence[_Residuals], centres: FloatArray) -> FloatArray | None:
    """Slow error at a temperature without a test with load: of the open-circuit voltage alone; the rest of it
    comes with the load, by the deviation of the resistances.
    """
    if not parts:
        return None
    soc, slow, seconds = _judged(parts, "soc", "slow", "seconds")
    return np.maximum(_wide_rms(soc, slow, seconds, centres), LEAST_WITHOUT_LOAD_V)


def model_error(found: Commissioned, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Section ``model_error`` of a cell file.

    Parameters
    ----------
    found : Commissioned
    progress : callable, optional
        Called with what is done now.

    Returns
    -------
    dict
    """
    dynamic = [test for test in found.tests if not is_slow(test.test, found.capacity_ah)]

    def under_the_fit(tests: Sequence[PlacedTest]) -> list[_Residuals]:
        return [_Residuals(record, found.fit, found.capacity_ah) for test in tests for record in test.records]

    seen = under_the_fit(dynamic or found.tests)
    slow_tests = under_the_fit([test for test in found.tests if test not in dynamic]) if dynamic else []
    unseen = _left_out(found, dynamic, progress or (lambda _: None))
    residuals = unseen or seen
    centres = np.asarray(ERROR_SOC)
    nodes = found.fit.knots.temperature_degc
    usual = found.chemistry.resistance_relative_std
    slow_rows: list[FloatArray | None] = []
    resistance: list[float] = []
    pairs: list[float] = []
    fast_square, over_square = 0.0, 0.0
    for node in range(len(nodes)):
        here = _at(residuals, node)
        if not here:
            slow_rows.append(_without_load(_at(slow_tests, node), centres))
            resistance.append(usual)
            pairs.append(1.0)
            continue
        soc, slow, seconds, load = _judged(here, "soc", "slow", "seconds", "slow_overpotential")
        slopes, rest_square, rest_over = [], 0.0, 0.0
        for part in here:
            loaded = part.judged & ~part.resting & (np.abs(part.overpotential) > 0.02)
            quick = part.residual - part.slow
            fast_square += float(np.sum((quick**2 * part.seconds)[loaded]))
            over_square += float(np.sum((part.overpotential**2 * part.seconds)[loaded]))
            change = part.overpotential - part.slow_overpotential
            for low in np.arange(0.0, 1.0, 0.1):
                block = loaded & (part.record.soc >= low) & (part.record.soc < low + 0.1)
                power = float(np.sum((change**2 * part.seconds)[block]))
                if power > 60.0 * 0.01**2:
                    slopes.append(float(np.sum((change * quick * part.seconds)[block])) / power)
            rest = part.judged & part.resting & (np.abs(part.overpotential) > 0.005) & (part.record.soc > 0.1)
            rest_square += float(np.sum((part.residual**2 * part.seconds)[rest]))
            rest_over += float(np.sum((part.overpotential**2 * part.seconds)[rest]))
        least = 0.03 if unseen else 0.5 * usual
        resistance.append(
            float(np.clip(np.sqrt(np.mean(np.square(slopes))), least, 1.0)) if slopes else usual
        )
        # what a wrong resistance of this deviation explains is left to the load
        explained = (LOAD_RELATIVE_STD * resistance[-1] * load) ** 2
        rms = _wide_rms(soc, np.sqrt(np.maximum(slow**2 - explained, 0.0)), seconds, centres)
        typical = float(np.mean(rms[centres >= 0.2] ** 2))
        factor = 1.0 if unseen else SEEN_FACTOR
        slow_rows.append(np.maximum(factor * np.sqrt(rms**2 + typical), LEAST_SLOW_V))
        pairs.append(
            float(np.clip(np.sqrt(2.0 * rest_square / rest_over), 0.1, 1.5)) if rest_over > 0 else 1.0
        )
    known = [row for row in slow_rows if row is not None]
    typical = np.max(known, axis=0)
    rows = [typical if row is None else row for row in slow_rows]
    ratio = np.sqrt(fast_square / over_square) if over_square > 0.0 else 0.1
    if not found.has_dynamics:
        rows = [np.maximum(row, LEAST_WITHOUT_LOAD_V) for row in rows]
    return {
        "soc_breakpoints": list(ERROR_SOC),
        "temperature_breakpoints_degc": list(nodes),
        "slow_std_v": [[round(float(value), 4) for value in row] for row in rows],
        "correlation_v": round(_correlation_v(unseen or seen), 3) if found.has_dynamics else 0.05,
        "correlation_time_s": CORRELATION_TIME_S,
        "fast_overpotential_ratio": round(float(np.clip(ratio, 0.02, 0.5)), 3),
        "shared_resistance_error": 1.0 if found.has_dynamics else 0.0,
        "resistance_relative_std": [round(value, 3) for value in resistance],
        "pair_relative_std": [round(value, 2) for value in pairs],
    }
