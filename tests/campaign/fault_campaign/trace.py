"""What happened in a run: what the device's sensors said, where the contacts were, what the monitor decided.

It is taken from the twin's side of the bus, before any frame, so that it judges driver and monitor and is
not judged by them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.monitor import Decision
from openbms_core.pack import LoadedPack
from openbms_core.types import FaultState, State
from openbms_sim.device import Switches
from openbms_sim.frames import Layout
from openbms_sim.interface import Readings
from openbms_sim.sensing import Sensed
from openbms_sim.twin import DigitalTwin

__all__ = ["FEEDBACK", "Tap", "Trace", "conducts"]

_STATUS = ("Pack_Status", "Pack_Environment")
_INPUTS = ("Interlock", "EmergencyStop", "Smoke", "Gas")
FEEDBACK = ("ContactorPositive", "ContactorNegative", "ContactorPrecharge")

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass
class _Scan:
    at_s: float
    sensed: Sensed
    readings: Readings
    switches: Switches
    reported: tuple[int, ...] | None
    """Contactor feedback as sent: 0 open, 1 closed, other: unknown; None: the frame was not sent."""
    input_unknown: bool
    """The frames say of a safety input that its state is unknown."""
    hottest_core_degc: float
    state: int


class Trace:
    """Everything of a run that is judged afterwards; times are monotonic [s].

    Parameters
    ----------
    pack : LoadedPack
    layouts : dict of str to Layout
        Messages of the device: what they cannot hold was not sent so.

    Attributes
    ----------
    contacts : list of (float, tuple of bool)
        Real contacts (positive, negative, precharge), at each change.
    coils : list of (float, tuple of bool)
        What the device puts on the coils, at each change.
    commands : list of (float, tuple of int)
        What the monitor commands each contactor to, at each change.
    frames : list of (float, int, bytes) or None
        Every frame that reached the host, where ``None`` was replaced by a list before the run.
    trips : list of (float, str)
        When the device opened by itself, and why.
    states : list of (float, State)
    zero_requests : list of (float, bool)
        Zero current requested or no longer, at each change.
    raised : dict of str to list of float
        When each row became active.
    latched, opening : set of str
        Rows that were active or latched, of those that latch, and of those that open contactors.
    decisions : int
    """

    def __init__(self, pack: LoadedPack, layouts: dict[str, Layout]) -> None:
        self.pack, self.layouts = pack, layouts
        self.scans: list[_Scan] = []
        self.ticks: list[tuple[float, float]] = []
        self.contacts: list[tuple[float, tuple[bool, ...]]] = []
        self.coils: list[tuple[float, tuple[bool, ...]]] = []
        self.commands: list[tuple[float, tuple[int, ...]]] = []
        self.frames: list[tuple[float, int, bytes]] | None = None
        self.trips: list[tuple[float, str]] = []
        self.states: list[tuple[float, State]] = []
        self.zero_requests: list[tuple[float, bool]] = []
        self.raised: dict[str, list[float]] = defaultdict(list)
        self.ended: dict[str, list[float]] = defaultdict(list)
        self.rows: dict[str, Any] = {}
        self.decisions = 0
        self._in_force: frozenset[tuple[str, int]] = frozenset()

    def forget(self) -> None:
        """Drop what the sensors said; what was decided stays."""
        self.scans.clear()
        self.ticks.clear()
        self.__dict__.pop("sensed", None)

    # ---- what the monitor says --------------------------------------------------------------------

    def decided(self, at_s: float, decision: Decision) -> None:
        """Note one decision."""
        self.decisions += 1
        status = decision.status
        if not self.states or self.states[-1][1] != status.state:
            self.states.append((at_s, status.state))
        if not self.zero_requests or self.zero_requests[-1][1] != status.zero_current_requested:
            self.zero_requests.append((at_s, status.zero_current_requested))
        command = tuple(status.contactor_command.tolist())
        if not self.commands or self.commands[-1][1] != command:
            self.commands.append((at_s, command))
        if not decision.faults and not self._in_force:
            return
        in_force = frozenset(
            (entry.row.id, entry.state) for entry in decision.faults if entry.state != FaultState.PENDING
        )
        if in_force == self._in_force:
            return
        before = {identifier for identifier, state in self._in_force if state == FaultState.ACTIVE}
        now = {identifier for identifier, state in in_force if state == FaultState.ACTIVE}
        for entry in decision.faults:
            self.rows.setdefault(entry.row.id, entry.row)
        for identifier in now - before:
            self.raised[identifier].append(at_s)
        for identifier in before - now:
            self.ended[identifier].append(at_s)
        self._in_force = in_force

    @property
    def in_force(self) -> set[str]:
        """Rows that are active or latched now."""
        return {identifier for identifier, _ in self._in_force}

    # ---- what the sensors said --------------------------------------------------------------------

    @cached_property
    def sensed(self) -> SensedArrays:
        """All scans as arrays; ask when the run is over."""
        return SensedArrays(self)

    def opened_after(self, at_s: float) -> float:
        """Give when the current's way was open for the first time at or after a moment, inf if never."""
        closed = False
        for when, contacts in self.contacts:
            if when <= at_s:
                closed = conducts(contacts)
            elif not conducts(contacts):
                return at_s if not closed else when
            else:
                if not closed:
                    return at_s
                closed = True
        return float("inf") if closed else at_s


def conducts(contacts: tuple[bool, ...]) -> bool:
    """Tell whether a string's way is closed: the negative contact and one of the two others."""
    positive, negative, precharge = contacts
    return negative and (positive or precharge)


@dataclass
class SensedArrays:
    """What the device's sensors said, as arrays over the scans; NaN where a sensor had no value."""

    trace: Trace
    at_s: FloatArray = field(init=False)
    cells_v: FloatArray = field(init=False)
    temperatures_degc: FloatArray = field(init=False)
    current_mean_a: FloatArray = field(init=False)
    current_maximum_a: FloatArray = field(init=False)
    current_minimum_a: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        scans = self.trace.scans
        self.at_s = np.array([scan.at_s for scan in scans])
        cells_v = np.array([scan.sensed.cell_voltages_v for scan in scans])
        temperatures_degc = np.array([scan.sensed.temperatures_degc for scan in scans])
        self.cells_v = self._plausible("cell_voltage_v", cells_v)
        self.temperatures_degc = self._plausible("temperature_degc", temperatures_degc)
        ticks = np.array(self.trace.ticks)
        ticks[:, 1] = self._plausible("string_current_a", ticks[:, 1])
        ends = np.searchsorted(ticks[:, 0], self.at_s, side="right")
        starts = np.concatenate(([0], ends[:-1]))
        pieces = [ticks[a:b, 1] if b > a else np.array([np.nan]) for a, b in zip(starts, ends, strict=True)]
        self.current_mean_a = np.array([piece.mean() for piece in pieces])
        self.current_maximum_a = np.array([piece.max() for piece in pieces])
        self.current_minimum_a = np.array([piece.min() for piece in pieces])

    def _plausible(self, quantity: str, values: FloatArray) -> FloatArray:
        """Give the values as the frames can hold them; NaN where the pack file takes them for impossible."""
        shape, trace = values.shape[1:], self.trace
        low, high, least, most = (np.full(shape, np.nan) for _ in range(4))
        for entry in trace.pack.file.device.signals:
            if entry.to != quantity:
                continue
            for index, message, signal, _ in entry.expanded():
                at = index if shape else ()
                field = trace.layouts[message].fields[signal]
                ends = [-(1 << (field.length - 1)) + 1, (1 << (field.length - 1)) - 1]
                if not field.signed:
                    ends = [0, (1 << field.length) - 2]
                least[at], most[at] = (end * field.scale + field.offset for end in ends)
                low[at] = -np.inf if entry.minimum is None else entry.minimum
                high[at] = np.inf if entry.maximum is None else entry.maximum
        held = np.clip(values, least, most)
        return np.where((held >= low) & (held <= high), held, np.nan)

    @cached_property
    def cell_sensors_degc(self) -> FloatArray:
        """Temperature sensors at cells, shape (scans, sensors)."""
        at_cells = [where == "cell" for _, where, _ in self.trace.pack.file.topology.sensors]
        return self.temperatures_degc[:, np.array(at_cells)]

    def switch(self, name: str) -> NDArray[Any]:
        """Give one of the device's inputs over the scans."""
        return np.array([getattr(scan.switches, name) for scan in self.trace.scans])

    @cached_property
    def state(self) -> NDArray[Any]:
        """State that the monitor had said when the scan was sent."""
        return np.array([scan.state for scan in self.trace.scans])


class Tap:
    """Listens inside the twin's device.

    Parameters
    ----------
    twin : DigitalTwin
    trace : Trace
        Where it is written.
    layouts : dict of str to Layout
        Messages of the device.
    """

    def __init__(self, twin: DigitalTwin, trace: Trace, layouts: dict[str, Layout]) -> None:
        self._twin, self._trace = twin, trace
        self._layouts = {layout.identifier: layout for layout in layouts.values() if layout.name in _STATUS}
        self._now_s = 0.0
        device = twin.device
        scan_frames, current_frame = device.scan_frames, device.current_frame

        def tapped_scan(
            sensed: Sensed, readings: Readings, closed: Any, switches: Switches, *rest: Any
        ) -> Any:
            frames = scan_frames(sensed, readings, closed, switches, *rest)
            state = trace.states[-1][1] if trace.states else State.INIT
            hottest = float(np.nanmax(twin.source.truth().cell_core_degc, initial=-np.inf))
            trace.scans.append(
                _Scan(self._now_s, sensed, readings, switches, *self._reported(frames), hottest, int(state))
            )
            return frames

        def tapped_current(current_a: float, *rest: Any) -> Any:
            trace.ticks.append((self._now_s, current_a))
            return current_frame(current_a, *rest)

        device.scan_frames = tapped_scan  # type: ignore[method-assign]
        device.current_frame = tapped_current  # type: ignore[method-assign]

    def _reported(self, frames: list[tuple[int, bytes]]) -> tuple[tuple[int, ...] | None, bool]:
        feedback, unknown = None, False
        for identifier, data in frames:
            layout = self._layouts.get(identifier)
            values = layout.unpack(data) if layout is not None else None
            if values is None:
                continue
            unknown |= any(values.get(name, 0) > 1 for name in _INPUTS)
            if FEEDBACK[0] in values:
                feedback = tuple(values[name] for name in FEEDBACK)
        return feedback, unknown

    def before_tick(self, now_s: float) -> None:
        """Note the time of the tick that comes."""
        self._now_s = now_s

    def after_tick(self) -> None:
        """Note what has changed in a tick."""
        trace, device = self._trace, self._twin.device
        contacts, coils = _flat(self._twin.contactors.closed), _flat(device.coils)
        if not trace.contacts or trace.contacts[-1][1] != contacts:
            trace.contacts.append((self._now_s, contacts))
        if not trace.coils or trace.coils[-1][1] != coils:
            trace.coils.append((self._now_s, coils))
        if device.trip and (not trace.trips or trace.trips[-1][1] != device.trip):
            trace.trips.append((self._now_s, device.trip))
        elif not device.trip and trace.trips and trace.trips[-1][1]:
            trace.trips.append((self._now_s, ""))


def _flat(values: BoolArray) -> tuple[bool, ...]:
    return tuple(values.ravel().tolist())
