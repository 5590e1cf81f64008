"""Several packs as one battery: everything composed. Pure, no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from openbms_control.aggregation.charge import aggregate_soc, aggregate_soh
from openbms_control.aggregation.conductor import STOPS_ALL, Answer, Conductor, Order
from openbms_control.aggregation.joining import JoinSettings
from openbms_control.aggregation.limits import AggregateLimits
from openbms_control.aggregation.pack_view import PackFacts, PackView, SaidFault
from openbms_control.aggregation.scan import aggregate_scan
from openbms_control.aggregation.sharing import Division, ShareEstimator
from openbms_control.aggregation.state import (
    aggregate_faults,
    aggregate_state,
    aggregate_status,
    not_monitored,
)
from openbms_core.config_file import ConfigError
from openbms_core.types import (
    BmsStatus,
    FinalLimits,
    PackMeasurement,
    State,
    StateOfCharge,
    StateOfHealth,
)

__all__ = ["Aggregate", "AggregateSettings", "Aggregator", "check_packs"]


@dataclass(frozen=True)
class AggregateSettings:
    """How the packs are put together.

    Attributes
    ----------
    series : bool
        In series, not parallel.
    margin : float
        Part by which a pack's share of the current may be larger than it is thought to be.
    join : JoinSettings
    stops_all : sequence of str
        Faults of one pack that open all.
    """

    series: bool = False
    margin: float = 0.05
    join: JoinSettings = field(default_factory=JoinSettings)
    stops_all: Sequence[str] = STOPS_ALL


@dataclass(frozen=True)
class Aggregate:
    """What one step says.

    Attributes
    ----------
    orders : list of Order
        What the packs' safety monitors are to be asked for.
    division : Division
    out : dict of str to str
        Packs that are not connected, and why.
    """

    limits: FinalLimits
    status: BmsStatus
    orders: list[Order]
    division: Division
    out: dict[str, str]


def check_packs(facts: Sequence[PackFacts], *, series: bool) -> None:
    """Refuse packs that cannot be one battery (ConfigError)."""
    if len(facts) < 2:
        raise ConfigError(
            f"pack_aggregator: {len(facts)} pack(s): it puts two or more together. Name them under packs "
            "in the system "
            "file; a single pack needs no aggregator."
        )
    if series:
        with_precharge = [one.name for one in facts if one.has_precharge]
        if len(with_precharge) > 1:
            raise ConfigError(
                f"pack_aggregator: in series only one pack may have a precharge resistor, here have: "
                f"{', '.join(with_precharge)}. It is connected last and charges the link from the whole "
                "voltage."
            )
        return
    first = facts[0]
    for one in facts[1:]:
        if one.cells_in_series != first.cells_in_series or one.chemistry != first.chemistry:
            raise ConfigError(
                f"pack_aggregator: {first.name} has {first.cells_in_series} {first.chemistry} cells in "
                "series, "
                f"{one.name} {one.cells_in_series} {one.chemistry}: parallel packs need the same number of "
                "cells of "
                "one chemistry, or they have different voltages at every state of charge."
            )


class Aggregator:
    """Put packs together; its state is what it remembers of requests, shares and limits.

    Parameters
    ----------
    facts : sequence of PackFacts
        In the order of every view.
    settings : AggregateSettings

    Raises
    ------
    ConfigError
        The packs cannot be one battery.
    """

    def __init__(self, facts: Sequence[PackFacts], settings: AggregateSettings | None = None) -> None:
        self.facts, self._settings = tuple(facts), settings or AggregateSettings()
        check_packs(facts, series=self._settings.series)
        self._conductor = Conductor(
            facts,
            series=self._settings.series,
            settings=self._settings.join,
            stops_all=self._settings.stops_all,
        )
        self._shares = ShareEstimator(len(facts))
        self._limits = AggregateLimits(series=self._settings.series, margin=self._settings.margin)
        self._status: BmsStatus | None = None
        self._entered_s = 0.0
        self._scans = 0
        self._shown: tuple[float, float] | None = None

    @property
    def series(self) -> bool:
        """The packs are in series."""
        return self._settings.series

    def request(self, target: State, views: Sequence[PackView]) -> Answer:
        """Take a request for the whole."""
        return self._conductor.request(target, views)

    def answered(self, order: Order, accepted: bool, reason: str, t_s: float) -> None:
        """Take the answer of a pack's monitor."""
        self._conductor.answered(order, accepted, reason, t_s)

    def step(self, views: Sequence[PackView], t_s: float) -> Aggregate:
        """Decide.

        Parameters
        ----------
        views : sequence of PackView
            Every pack, in the order of ``facts``.
        t_s : float
            Monotonic time [s].
        """
        series, conductor = self._settings.series, self._conductor
        orders = conductor.step(views, t_s)
        state = aggregate_state(views, conductor.wanted, series=series)
        members = np.array([view.connected or view.opening for view in views], bool)
        division = self._shares.step(views, members, t_s)
        limits = self._limits.step(
            views, division, t_s, zero_current=state == State.OPENING, state_reason=f"state:{state.name}"
        )
        status = aggregate_status(
            views, limits, self._status, wanted=conductor.wanted, reason=conductor.reason, out=conductor.out,
            series=series, entered_s=self._entered_s, t_s=t_s,
        )  # fmt: skip
        if self._status is None or status.state != self._status.state:
            self._entered_s = t_s
        self._status = status
        return Aggregate(limits, status, orders, division, dict(conductor.out))

    def scan(self, views: Sequence[PackView], now_s: float) -> PackMeasurement:
        """Give the measurement of all (``now_s``: ROS time)."""
        self._scans += 1
        return aggregate_scan(views, series=self._settings.series, stamp_s=now_s, number=self._scans - 1)

    def soc(self, views: Sequence[PackView], t_s: float, now_s: float) -> StateOfCharge:
        """Give the state of charge of all."""
        shown, at_s = self._shown or (None, t_s)
        soc = aggregate_soc(
            views, series=self._settings.series, stamp_s=now_s, shown=shown, passed_s=t_s - at_s
        )
        self._shown = (soc.displayed_soc, t_s)
        return soc

    def soh(self, views: Sequence[PackView], now_s: float) -> StateOfHealth | None:
        """Give the state of health of all; None until one pack says something."""
        return aggregate_soh(views, series=self._settings.series, stamp_s=now_s)

    def faults(self, views: Sequence[PackView]) -> tuple[list[SaidFault], list[str]]:
        """Give the faults of all, and what is not monitored."""
        return aggregate_faults(views, self._settings.stops_all), not_monitored(views)
