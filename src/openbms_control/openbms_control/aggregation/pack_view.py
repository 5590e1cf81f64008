"""What is known of one of several packs now: what it said, as far as it is fresh, and where its contactors
are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

import numpy as np

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import (
    BmsStatus,
    BusState,
    FinalLimits,
    Level,
    PackMeasurement,
    State,
    StateOfCharge,
    StateOfHealth,
    Validity,
)

__all__ = ["CLOSED_STATES", "Connection", "PackFacts", "PackView", "SaidFault"]

CLOSED_STATES = (State.DRIVE, State.CHARGE, State.CONNECTED)
_AT_REST = (State.INIT, State.STANDBY, State.FAULT)


class Connection(Enum):
    """Where the contactors of a pack are."""

    OPEN = auto()
    MOVING = auto()
    """Closing, or opening."""
    CLOSED = auto()
    UNKNOWN = auto()
    """Neither its driver nor its safety monitor says so freshly: it may be connected."""


@dataclass(frozen=True)
class PackFacts:
    """Static facts of one pack, from its file.

    Attributes
    ----------
    name : str
        Last part of its namespace.
    capacity_ah, nominal_v : float
        Rated, of the whole pack.
    model_resistance_ohm : float
        Resistance of the whole pack by its cell file at half charge and 25 °C [ohm].
    join_window_v : float
        Largest difference of voltage at which its own monitor lets it join; NaN where it judges none.
    """

    name: str
    serial: str
    strings: int
    cells_in_series: int
    cells: int
    sensors: int
    actuators: int
    capacity_ah: float
    nominal_v: float
    chemistry: str
    break_current_a: float
    join_window_v: float
    has_precharge: bool
    takes_requests: bool
    link_measured: bool
    model_resistance_ohm: float

    @classmethod
    def of(cls, name: str, pack: LoadedPack) -> PackFacts:
        """Take them from a pack file."""
        file, cell = pack.file, pack.cell
        topology, contactors = file.topology, file.contactors
        window_v = contactors.joining.voltage_difference_max_v
        cell_ohm = float(CellModel.from_file(cell).resistance(0.5, 25.0))
        if contactors.precharge is not None:
            own_v = contactors.precharge.voltage_difference_max_v
            window_v = own_v if window_v is None else min(own_v, window_v)
        return cls(
            name=name,
            serial=file.serial,
            strings=topology.strings,
            cells_in_series=topology.cells_in_series,
            cells=topology.cell_count,
            sensors=len(topology.sensor_names),
            actuators=len(topology.actuators),
            capacity_ah=cell.rated_capacity_ah * topology.cells_in_parallel * topology.strings,
            nominal_v=cell.nominal_voltage_v * topology.cells_in_series,
            chemistry=cell.chemistry,
            break_current_a=contactors.break_current_a,
            join_window_v=math.nan if window_v is None else window_v,
            has_precharge=contactors.precharge is not None,
            takes_requests=contactors.moved_by != "none",
            link_measured=file.mapped("link_voltage_v"),
            model_resistance_ohm=cell_ohm
            * topology.cells_in_series
            / (topology.cells_in_parallel * topology.strings),
        )


@dataclass(frozen=True)
class SaidFault:
    """A fault as a pack's safety monitor says it (Fault.msg)."""

    id: str
    level: int
    state: int
    first_active_s: float
    last_seen_s: float
    occurrences: int
    value: float
    limit: float
    unit: str
    index: int
    from_record: bool
    explanation: str


@dataclass(frozen=True)
class PackView:
    """One pack now; None is what was not said, or is not fresh any more.

    Attributes
    ----------
    facts : PackFacts
    limits_left_s : float
        Time until ``limits`` expire [s].
    faults : tuple of SaidFault or None
    not_monitored : tuple of str
    """

    facts: PackFacts
    status: BmsStatus | None = None
    limits: FinalLimits | None = None
    limits_left_s: float = 0.0
    scan: PackMeasurement | None = None
    soc: StateOfCharge | None = None
    soh: StateOfHealth | None = None
    faults: tuple[SaidFault, ...] | None = None
    not_monitored: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Last part of its namespace."""
        return self.facts.name

    @cached_property
    def connection(self) -> Connection:
        """Where its contactors are: by feedback where it is fresh and known, else by what its monitor
        commands.

        A monitor that has lost its driver commands open, and a device that hears no driver opens; a monitor
        that is gone itself leaves only the feedback.
        """
        fed_back = self._by_feedback()
        if self.status is None:
            return Connection.UNKNOWN if fed_back is None else fed_back
        state = self.status.state
        if state in (State.PRECHARGE, State.OPENING):
            return Connection.MOVING
        if fed_back is Connection.CLOSED and state in _AT_REST:
            return Connection.CLOSED  # whatever was commanded: it is on the bus
        if state in CLOSED_STATES:
            return Connection.CLOSED if self.status.contactors_closed else Connection.MOVING
        return Connection.OPEN

    def _by_feedback(self) -> Connection | None:
        if self.scan is None or self.scan.bus_state != BusState.OK:
            return None
        known = self.scan.contactor_feedback.reshape(-1, 3)[:, :2]
        if not known.size or (known > 1).any():
            return None
        return Connection.CLOSED if (known == 1).all(axis=1).any() else Connection.OPEN

    @property
    def connected(self) -> bool:
        """It is on the bus, and its safety monitor says what it may take."""
        said = self.limits is not None and self.status is not None
        return said and self.connection is Connection.CLOSED

    @property
    def opening(self) -> bool:
        """It asks for zero current and is not off the bus yet."""
        asks = self.status is not None and self.status.zero_current_requested
        return asks and self.connection is not Connection.OPEN

    @property
    def lost(self) -> bool:
        """Its safety monitor or its driver says nothing fresh."""
        return self.status is None or self.limits is None or self.scan is None

    @cached_property
    def current_a(self) -> float:
        """Current of all its strings [A], positive when charging; NaN where one is not known."""
        scan = self.scan
        if scan is None or not scan.string_currents_a.size:
            return math.nan
        if (scan.string_current_validity != Validity.VALID).any():
            return math.nan
        return float(scan.string_currents_a.sum())

    @cached_property
    def voltage_v(self) -> float:
        """Voltage on the battery side of its contactors, mean of its strings [V]; NaN where it is not
        known.
        """
        scan = self.scan
        if scan is None:
            return math.nan
        valid = scan.string_voltage_validity == Validity.VALID
        if valid.any():
            return float(scan.string_voltages_v[valid].mean())
        if self.facts.cells and (scan.cell_voltage_validity == Validity.VALID).all():
            return float(scan.cell_voltages_v.reshape(self.facts.strings, -1).sum(axis=1).mean())
        return math.nan

    @cached_property
    def link_v(self) -> float:
        """Voltage of the link as this pack measures it [V]; NaN where it does not."""
        scan = self.scan
        known = scan is not None and scan.link_voltage_validity == Validity.VALID
        return float(scan.link_voltage_v) if scan is not None and known else math.nan

    @cached_property
    def resistance_ohm(self) -> float:
        """Resistance of the pack over 10 s, as estimated [ohm]; NaN until every cell's is known."""
        if self.soh is None or self.soh.cell_resistance_10s_ohm.size != self.facts.cells:
            return math.nan
        strings = self.soh.cell_resistance_10s_ohm.reshape(self.facts.strings, -1).sum(axis=1)
        if not np.isfinite(strings).all() or (strings <= 0.0).any():
            return math.nan
        return float(1.0 / (1.0 / strings).sum())

    @property
    def capacity_ah(self) -> float:
        """Capacity with its cells as they stand, as estimated, else the rated one [Ah]."""
        if self.soh is not None and math.isfinite(self.soh.usable_capacity_now_ah):
            return max(float(self.soh.usable_capacity_now_ah), 0.0)
        return self.facts.capacity_ah

    @property
    def forbids_closing(self) -> str:
        """Give why its monitor would refuse to close, in words; empty: it would not, as far as it says."""
        if self.status is None:
            return "its safety monitor is not heard"
        if self.status.state != State.STANDBY:
            return f"its state is {self.status.state.name}"
        texts = dict(zip(self.status.inhibits, self.status.inhibit_texts, strict=False))
        return next((text or code for code, text in texts.items() if code.startswith("close:")), "")

    @property
    def highest_level(self) -> int:
        """Highest level among its active and latched faults; -1: none, or unknown."""
        levels = [fault.level for fault in self.faults or () if fault.state > 0]
        return max(levels, default=-1)

    @property
    def in_service(self) -> bool:
        """Its charge counts: it is estimated freshly, and no safety fault keeps it out."""
        return (
            self.soc is not None
            and math.isfinite(self.soc.soc)
            and (self.status is None or self.status.state != State.FAULT)
            and self.highest_level < Level.SAFETY
        )
