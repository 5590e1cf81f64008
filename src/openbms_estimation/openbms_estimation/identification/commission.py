"""From whatever tests a user has of a cell to the fit of its model: placing, knots, search, solve, repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_estimation.identification.design import Knots, Nonlinear
from openbms_estimation.identification.placing import (
    Limits,
    Placement,
    is_slow,
    measured_capacity_ah,
    place,
    to_records,
)
from openbms_estimation.identification.read import CellTest
from openbms_estimation.identification.records import Record
from openbms_estimation.identification.solve import CellFit, Prior, search, solve

__all__ = ["CHEMISTRIES", "Chemistry", "Commissioned", "Kind", "PlacedTest", "commission"]

FloatArray = NDArray[np.float64]
Kind = Literal["ocv", "dynamic", "hppc", "discharge"]


@dataclass(frozen=True)
class Chemistry:
    """What is usual for a chemistry, where no test says better.

    Attributes
    ----------
    voltage_min_v, voltage_max_v, nominal_voltage_v, full_rest_v : float
    resistance_v : tuple of float
        r0, rf, r1, r2 at 25 °C as the voltage that one capacity per hour drops over them [V].
    resistance_relative_std : float
        How far cells of this chemistry differ from that.
    hysteresis_soc : float
    """

    voltage_min_v: float
    voltage_max_v: float
    nominal_voltage_v: float
    full_rest_v: float
    resistance_v: tuple[float, float, float, float]
    resistance_relative_std: float
    hysteresis_soc: float


CHEMISTRIES: dict[str, Chemistry] = {
    "nmc": Chemistry(2.5, 4.2, 3.6, 4.08, (0.055, 0.005, 0.025, 0.035), 0.5, 0.05),
    "nca": Chemistry(2.5, 4.2, 3.6, 4.08, (0.065, 0.005, 0.030, 0.040), 0.5, 0.05),
    "lco": Chemistry(2.7, 4.2, 3.7, 4.08, (0.075, 0.005, 0.030, 0.040), 0.5, 0.05),
    "lfp": Chemistry(2.0, 3.6, 3.2, 3.40, (0.022, 0.003, 0.012, 0.020), 0.5, 0.05),
}


@dataclass(frozen=True)
class PlacedTest:
    """A test with its place and its records."""

    test: CellTest
    kind: Kind
    placement: Placement
    records: tuple[Record, ...]

    @property
    def temperature_degc(self) -> float:
        """Median of its temperature [°C]."""
        return float(np.median(self.test.temperature_degc))


@dataclass(frozen=True)
class Commissioned:
    """Everything that a cell file is written from.

    ``discharges`` are whole discharges with a constant current that the circuit was kept from: they tell
    where a discharge ends, and the gradients that they build up in a cell no load that varies ever does.
    """

    fit: CellFit
    prior: Prior
    tests: tuple[PlacedTest, ...]
    discharges: tuple[PlacedTest, ...]
    left_out: tuple[str, ...]
    capacity_ah: float
    capacity_from: str
    limits: Limits
    chemistry: Chemistry
    has_dynamics: bool
    slow_nodes: tuple[bool, ...]
    load_nodes: tuple[bool, ...]


def _limits(tests: Sequence[tuple[Kind, CellTest]], chemistry: Chemistry, rated_ah: float) -> Limits:
    """Ends of the voltage as tested, where slow tests reached them; else those of the chemistry."""
    slow = [test for kind, test in tests if kind == "ocv" or is_slow(test, rated_ah)]
    high = max((float(test.voltage_v.max()) for test in slow), default=chemistry.voltage_max_v)
    low = min((float(test.voltage_v.min()) for test in slow), default=chemistry.voltage_min_v)
    if abs(high - chemistry.voltage_max_v) > 0.1:
        high = (
            max(high, chemistry.voltage_max_v) if high > chemistry.voltage_max_v else chemistry.voltage_max_v
        )
    if not chemistry.voltage_min_v - 0.6 < low < chemistry.voltage_min_v + 0.6:
        low = chemistry.voltage_min_v
    return Limits(low, high, chemistry.full_rest_v + high - chemistry.voltage_max_v)


def _temperature_knots(tests: Sequence[PlacedTest]) -> tuple[float, ...]:
    """Medians of the tests' temperatures, those nearer to each other than 6 K as one."""
    groups: list[list[float]] = []
    for temperature in sorted(test.temperature_degc for test in tests):
        if groups and temperature - groups[-1][0] < 6.0:
            groups[-1].append(temperature)
        else:
            groups.append([temperature])
    return tuple(round(float(np.median(group)), 1) for group in groups)


def _nodes_with(knots: Knots, tests: Sequence[PlacedTest], least_soc: float) -> tuple[bool, ...]:
    """Tell at which temperatures one of these tests spans this much of the SoC."""
    reach = [
        max(float(r.soc.max()) for r in t.records) - min(float(r.soc.min()) for r in t.records) for t in tests
    ]
    return tuple(
        any(
            abs(test.temperature_degc - node) < 6.0 and span > least_soc
            for test, span in zip(tests, reach, strict=True)
        )
        for node in knots.temperature_degc
    )


def _shares(fit: CellFit, temperature_degc: float) -> FloatArray:
    """Give the weight of each of the fit's temperatures at this one."""
    nodes = np.asarray(fit.knots.temperature_degc)
    return np.array([np.interp(temperature_degc, nodes, row) for row in np.eye(len(nodes))])


def _soc_of_rest(fit: CellFit) -> Callable[[float, float], float]:
    """Invert the open-circuit voltage half-way between both branches."""
    axis = np.asarray(fit.knots.ocv_soc)
    gap_axis = np.asarray(fit.knots.gap_soc)

    def soc(voltage_v: float, temperature_degc: float) -> float:
        weights = _shares(fit, temperature_degc)
        ocv = weights @ fit.ocv_v + 0.5 * np.interp(axis, gap_axis, weights @ fit.gap_v)
        return float(np.interp(voltage_v, ocv, axis))

    return soc


_REST_S = 180.0
_AGED = 0.04
"""A smaller difference of capacity is within what rests tell of a cell that is not yet modelled."""


def _rests(record: Record, capacity_ah: float) -> NDArray[np.intp]:
    """Last row of every rest of three minutes and more."""
    resting = np.abs(record.current_a) < 0.01 * capacity_ah
    began = np.maximum.accumulate(np.where(resting, -np.inf, record.time_s))
    last = resting & np.r_[~resting[1:], True]
    return np.flatnonzero(last & (record.time_s - np.maximum(began, record.time_s[0]) > _REST_S))


def _refine(placed: PlacedTest, fit: CellFit, unrelaxed_v: float) -> PlacedTest:
    """Move start and capacity of a test to where its rests lie on the fitted open-circuit voltage.

    A cell ages during a campaign, and the capacity of one test is not that of the next: without this its
    tests would bend what all others share.
    """
    slopes, distances, residuals, stds = [], [], [], []
    ocv_v = _shares(fit, placed.temperature_degc) @ fit.ocv_v
    for record in placed.records:
        rows = _rests(record, placed.placement.capacity_ah)
        if not len(rows):
            continue
        voltage, overpotential = fit.simulate(record)
        soc, middle = record.soc[rows], np.interp(record.soc[rows], fit.knots.ocv_soc, ocv_v)
        ahead = np.interp(record.soc[rows] + 0.02, fit.knots.ocv_soc, ocv_v)
        slopes += list(np.clip((ahead - middle) / 0.02, 0.02, 10.0))
        distances += list(placed.placement.soc_start - soc)
        residuals += list((record.voltage_v - voltage)[rows])
        stds += list(unrelaxed_v + 0.5 * np.abs(overpotential[rows]))
    if not residuals or max(distances) < 0.3:
        return placed
    slope, away = np.array(slopes), np.array(distances)
    std = np.sqrt(np.array(stds) ** 2 + (0.005 * slope) ** 2)
    # residual = slope x error of SoC; SoC = start - away x (1 + c), c: relative error of 1/capacity
    a = np.stack([slope, -slope * away], axis=1) / std[:, None]
    start_std = 0.005 if placed.placement.certain else 0.1
    information = a.T @ a + np.diag([1.0 / start_std**2, 1.0 / 0.05**2])
    shift, stretch = np.linalg.solve(information, a.T @ (np.array(residuals) / std))
    sure = np.sqrt(np.diag(np.linalg.inv(information)))
    if abs(stretch) < max(2.0 * sure[1], _AGED) and (placed.placement.certain or abs(shift) < 2.0 * sure[0]):
        return placed
    placement = replace(
        placed.placement,
        soc_start=placed.placement.soc_start + float(np.clip(shift, -0.15, 0.15)),
        capacity_ah=placed.placement.capacity_ah / (1.0 + float(np.clip(stretch, -0.15, 0.15))),
    )
    return replace(placed, placement=placement, records=tuple(to_records(placed.test, placement)))


def _all_records(tests: Sequence[PlacedTest]) -> list[Record]:
    return [record for test in tests for record in test.records]


def commission(
    tests: Sequence[tuple[Kind, CellTest]],
    chemistry: str,
    rated_ah: float,
    *,
    steps: int = 90,
    progress: Callable[[str], None] | None = None,
) -> Commissioned:
    """Fit a cell.

    Parameters
    ----------
    tests : sequence of (kind, CellTest)
        At least one slow test of the open-circuit voltage.
    chemistry : str
        Key of :data:`CHEMISTRIES`.
    rated_ah : float
        Capacity on the data sheet [Ah].
    steps : int
        Evaluations of the search.
    progress : callable, optional
        Called with what is done now.

    Returns
    -------
    Commissioned

    Raises
    ------
    openbms_core.config_file.ConfigError
        The tests cannot give a model.
    """
    say = progress or (lambda _: None)
    usual = CHEMISTRIES[chemistry]
    limits = _limits(tests, usual, rated_ah)
    measured = measured_capacity_ah([test for _, test in tests], rated_ah, limits)
    capacity, source = measured or (rated_ah, "--capacity-ah")
    if not 0.6 < capacity / rated_ah < 1.5:
        raise ConfigError(
            f"{source}: from full to empty it gives {capacity:.3g} Ah, but --capacity-ah is {rated_ah:g}: "
            "is it the same cell, and current_a in ampere?"
        )
    prior = Prior(*(part / capacity for part in (usual.resistance_v[0], 0.0, *usual.resistance_v[1:])))
    nonlinear = Nonlinear(kinetic_current_a=2.0 * capacity, hysteresis_soc=usual.hysteresis_soc)

    placed: list[PlacedTest] = []
    waiting: list[tuple[Kind, CellTest]] = []
    for kind, test in tests:
        found = place(test, capacity, limits)
        if found is None:
            waiting.append((kind, test))
        else:
            placed.append(PlacedTest(test, kind, found, tuple(to_records(test, found))))
    slow = [test for test in placed if is_slow(test.test, capacity)]
    if not slow:
        names = ", ".join(str(test.path) for kind, test in tests if kind == "ocv")
        raise ConfigError(
            f"{names}: no slow test from full or to empty is among the --ocv files: give a discharge or "
            f"charge slower than C/8 between {limits.voltage_max_v:.2f} and {limits.voltage_min_v:.2f} V."
        )
    say("open-circuit voltage")
    slow_knots = Knots(_temperature_knots(slow))
    unloaded = [False] * len(slow_knots.temperature_degc)
    first = solve(_all_records(slow), slow_knots, nonlinear, prior, load_nodes=unloaded)
    left_out = []
    for kind, test in waiting:
        found = place(test, capacity, limits, _soc_of_rest(first))
        if found is None:
            left_out.append(f"{test.path.name}: begins under load at an unknown state of charge")
            continue
        placed.append(PlacedTest(test, kind, found, tuple(to_records(test, found))))
    discharges = [test for test in placed if test.kind == "discharge"]
    placed = [test for test in placed if test.kind != "discharge"]
    has_dynamics = any(not is_slow(test.test, capacity) for test in placed)
    knots = Knots(_temperature_knots(placed))
    slow_nodes = _nodes_with(knots, [test for test in placed if is_slow(test.test, capacity)], 0.5)
    load_nodes = _nodes_with(knots, [test for test in placed if not is_slow(test.test, capacity)], 0.05)
    fit = first
    if has_dynamics:
        # before any driving has bent the open-circuit voltage
        placed = [test if is_slow(test.test, capacity) else _refine(test, first, 0.012) for test in placed]
        spread = max(knots.temperature_degc) - min(knots.temperature_degc)
        for round_number in (1, 2):
            say(f"time constants, round {round_number}")
            records = _all_records(placed)
            judged = sum(int(np.count_nonzero(record.judged)) for record in records)
            nonlinear = search(
                records,
                knots,
                prior,
                nonlinear,
                capacity,
                slow_nodes=slow_nodes,
                load_nodes=load_nodes,
                over_temperature=spread > 8.0,
                steps=steps if round_number == 1 else steps // 2,
                every=max(1, judged // 8_000),
                progress=lambda: say(""),
            )
            say("tables")
            fit = solve(
                records,
                knots,
                nonlinear,
                prior,
                slow_nodes=slow_nodes,
                load_nodes=load_nodes,
                bounded=False,
                every=max(1, judged // 60_000),
            )
            placed = [test if is_slow(test.test, capacity) else _refine(test, fit, 0.006) for test in placed]
        say("tables")
    fit = solve(_all_records(placed), knots, nonlinear, prior, slow_nodes=slow_nodes, load_nodes=load_nodes)
    return Commissioned(
        fit=fit,
        prior=prior,
        tests=tuple(placed),
        discharges=tuple(discharges),
        left_out=tuple(left_out),
        capacity_ah=capacity,
        capacity_from=source,
        limits=limits,
        chemistry=usual,
        has_dynamics=has_dynamics,
        slow_nodes=slow_nodes,
        load_nodes=load_nodes,
    )
