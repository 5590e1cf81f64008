"""Decoded values to coherent scans.

A scan is closed by the device's trigger message, or by time where it has none or it stays away. Every value
in it carries why it is or is not there; an old value is never given as a new one.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN, BusState, PackMeasurement, Validity
from openbms_drivers.current_window import CurrentWindow
from openbms_drivers.frame import Frame
from openbms_drivers.signal_decoder import MessagePlan, SignalDecoder
from openbms_drivers.value_table import Snapshot

__all__ = ["ScanAssembler"]

_VALID = int(Validity.VALID)
_CONTACTORS = ("positive", "negative", "precharge")
_SWITCHES = ("interlock", "emergency_stop", "ignition", "charging_plug", "smoke", "gas")
_SCALARS = (
    ("link_voltage_v", "link_voltage_validity"),
    ("insulation_resistance_ohm", "insulation_resistance_validity"),
    ("pressure_pa", "pressure_validity"),
    ("supply_voltage_v", "supply_voltage_validity"),
    ("coolant_flow_m3_per_s", "coolant_flow_validity"),
    ("auxiliary_power_w", "auxiliary_power_validity"),
    ("reported_soc", "reported_soc_validity"),
)
_PAIRS = (
    (
        ("reported_cell_voltage_minimum_v", "reported_cell_voltage_maximum_v"),
        "reported_cell_voltage_validity",
    ),
    (
        ("reported_temperature_minimum_degc", "reported_temperature_maximum_degc"),
        "reported_temperature_validity",
    ),
    (
        ("reported_charge_current_limit_a", "reported_discharge_current_limit_a"),
        "reported_limit_validity",
    ),
)
_MISSED_TRIGGER_PERIODS = 1.5
_SHORTEST_SCAN_S = 0.005
"""Scans are not closed more often than this, whatever asks for them; what comes too early waits for it."""


class ScanAssembler:
    """Builds :class:`~openbms_core.types.PackMeasurement` from what the decoder took out of the frames.

    Parameters
    ----------
    pack : PackFile
        The pack.
    decoder : SignalDecoder
        Decodes the frames; its table is read here.
    integrate_by : {"monotonic", "stamp"}
        Clock of charge integration: the monotonic one on a real bus (a step of the system clock must not
        become charge), the stamps where the bus is the twin's, whose time may run faster.
    """

    def __init__(
        self,
        pack: PackFile,
        decoder: SignalDecoder,
        integrate_by: Literal["monotonic", "stamp"] = "monotonic",
    ) -> None:
        self._pack = pack
        self._decoder = decoder
        self._table = decoder.table
        self._by_stamp = integrate_by == "stamp"
        self._period_s = pack.measurement.scan_period_s
        self._shortest_s = min(_SHORTEST_SCAN_S, 0.5 * self._period_s)
        trigger = pack.device.trigger_message
        if trigger is not None:
            decoder.database.message(trigger, ("device", "trigger_message"), "device.trigger_message")
        self._trigger = trigger
        first = self._table.offsets["string_current_a"]
        self._first_current = first
        self._windows = [
            CurrentWindow(self._table.max_age_s(first + string)) for string in range(pack.topology.strings)
        ]
        self._charge_max_a = pack.limits.charge_current_max_a.safety
        self._discharge_max_a = pack.limits.discharge_current_max_a.safety
        self._current_was_valid = [False] * pack.topology.strings
        self._wanted = False
        """The trigger came since the last scan, or a current that nobody may wait for."""
        self.closed_stamp_s = math.nan
        """When the last scan was closed (ROS time; NaN before the first)."""
        self._closed_at: float | None = None
        self._closed_time: float | None = None
        self._closed_by_trigger = self._triggered = False
        self._newest_stamp: float | None = None
        self._number = 0
        self._received = 0
        self._rejected = 0
        self._mapped = {quantity: pack.mapped(quantity) for quantity in self._table.sizes}
        self._slots = {quantity: self._table.slots(quantity) for quantity in self._table.sizes}
        self._flag_slots, self._flags = self._plan_flags(pack.topology.strings)

    def _plan_flags(self, strings: int) -> tuple[NDArray[np.intp], dict[str, slice]]:
        """Give the slots of all on-off values, and where each scan field finds its own among them."""
        slots = {
            name: list(range(self._slots[name].start, self._slots[name].stop))
            for name in ("cell_balancing", *_SWITCHES)
        }
        contactors = [self._slots[f"contactor_{name}"].start for name in _CONTACTORS]
        slots["contactor_feedback"] = [first + s for s in range(strings) for first in contactors]
        order: list[int] = []
        places: dict[str, slice] = {}
        for name, own in slots.items():
            places[name] = slice(len(order), len(order) + len(own))
            order += own
        return np.array(order, np.intp), places

    # ---- time

    def start(self, now_s: float) -> None:
        """Begin: the first scan is due one period from now (monotonic)."""
        self._closed_at = now_s

    @property
    def deadline_s(self) -> float:
        """When a scan is closed by time, at the latest (monotonic)."""
        if self._closed_at is None:
            return math.inf
        return self._closed_at + self._shortest_s if self._wanted else self._missed_s(self._closed_at)

    @property
    def closed_s(self) -> float:
        """When the last scan was closed (monotonic; NaN before the first)."""
        return math.nan if self._closed_at is None else self._closed_at

    @property
    def counted_by_stamp(self) -> bool:
        """Charge is counted over ROS time."""
        return self._by_stamp

    def _missed_s(self, closed_at: float) -> float:
        """When the trigger counts as missed."""
        return closed_at + (_MISSED_TRIGGER_PERIODS if self._closed_by_trigger else 1.0) * self._period_s

    # ---- frames

    def note(self, plan: MessagePlan, frame: Frame, *, rejected: bool) -> bool:
        """Take one decoded frame into the scan.

        Parameters
        ----------
        plan : MessagePlan
            Its message, as the decoder gave it.
        frame : Frame
            The frame.
        rejected : bool
            It was refused.

        Returns
        -------
        bool
            The scan is to be closed now: the trigger came, or a current beyond the safety limit or newly
            invalid, which nobody may wait for. What comes right behind the last scan is closed by time
            instead (``deadline_s``).
        """
        if plan.mapped:
            self._received += 1
            self._rejected += rejected
            self._newest_stamp = frame.stamp_s
        touched = self._decoder.touched
        if touched:
            self._take_currents(touched, frame)
            touched.clear()
        if plan.name == self._trigger:
            self._triggered = self._wanted = True
        if not self._wanted:
            return False
        return self._closed_at is None or frame.monotonic_s - self._closed_at >= self._shortest_s

    def _take_currents(self, slots: list[int], frame: Frame) -> None:
        values, outcome = self._table.values, self._table.outcome
        time_s = frame.stamp_s if self._by_stamp else frame.monotonic_s
        for slot in slots:
            string = slot - self._first_current
            if outcome[slot] == _VALID:
                current_a = values[slot]
                self._windows[string].add(current_a, time_s, frame.monotonic_s)
                self._current_was_valid[string] = True
                if current_a > self._charge_max_a or -current_a > self._discharge_max_a:
                    self._wanted = True
            elif self._current_was_valid[string]:
                self._current_was_valid[string] = False
                self._wanted = True

    # ---- the scan

    def close(
        self, now_s: float, stamp_s: float, bus_state: BusState = BusState.OK, bus_message: str = ""
    ) -> PackMeasurement:
        """Close the scan.

        Parameters
        ----------
        now_s : float
            Monotonic time [s].
        stamp_s : float
            ROS time [s].
        bus_state : BusState
            State of the bus; anything but OK makes every value BUS_LOST.
        bus_message : str
            What is wrong with the bus and its cure.
        """
        snapshot = self._table.snapshot(now_s, bus_lost=bus_state != BusState.OK)
        flags = snapshot.values[self._flag_slots]
        flags[snapshot.validity[self._flag_slots] != _VALID] = UNKNOWN
        on_off = flags.astype(np.uint8)
        time_s = stamp_s if self._by_stamp else now_s
        duration_s = 0.0 if self._closed_time is None else max(time_s - self._closed_time, 0.0)
        # after a deadline that passed without trigger: by plain time, until the trigger comes back
        missed = self._closed_at is not None and now_s >= self._missed_s(self._closed_at)
        self._closed_by_trigger = self._triggered or (self._closed_by_trigger and not missed)
        self._triggered = self._wanted = False
        scan = PackMeasurement(
            stamp_s=stamp_s if self._newest_stamp is None else self._newest_stamp,
            scan_number=self._number,
            scan_duration_s=duration_s,
            bus_state=bus_state,
            bus_message=bus_message,
            frames_received=self._received,
            frames_rejected=self._rejected,
            cell_balancing=on_off[self._flags["cell_balancing"]],
            contactor_feedback=on_off[self._flags["contactor_feedback"]],
            **self._switches(on_off),
            **self._cells(snapshot),
            **self._strings(snapshot, time_s, now_s),
            **self._scalars(snapshot),
        )
        self._closed_at, self._closed_time, self.closed_stamp_s = now_s, time_s, stamp_s
        self._number += 1
        self._received = self._rejected = 0
        self._newest_stamp = None
        return scan

    def _switches(self, on_off: NDArray[np.uint8]) -> dict[str, Any]:
        return {name: int(on_off[self._flags[name]][0]) for name in _SWITCHES}

    def _array(self, snapshot: Snapshot, quantity: str, value: str, validity: str) -> dict[str, Any]:
        slots = self._slots[quantity]
        if not self._mapped[quantity] and quantity.startswith("redundant_"):
            return {value: np.empty(0), validity: np.empty(0, np.uint8)}
        return {value: snapshot.values[slots], validity: snapshot.validity[slots]}

    def _cells(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            **self._array(snapshot, "cell_voltage_v", "cell_voltages_v", "cell_voltage_validity"),
            "cell_voltage_ages_s": snapshot.ages_s[self._slots["cell_voltage_v"]],
            **self._array(
                snapshot,
                "redundant_cell_voltage_v",
                "redundant_cell_voltages_v",
                "redundant_cell_voltage_validity",
            ),
            **self._array(snapshot, "temperature_degc", "temperatures_degc", "temperature_validity"),
            "temperature_ages_s": snapshot.ages_s[self._slots["temperature_degc"]],
            **self._array(snapshot, "actuator_feedback", "actuator_feedback", "actuator_feedback_validity"),
        }

    def _strings(self, snapshot: Snapshot, time_s: float, now_s: float) -> dict[str, Any]:
        summaries = [window.close(time_s, now_s) for window in self._windows]
        validity = snapshot.validity[self._slots["string_current_a"]].copy()
        for string, summary in enumerate(summaries):
            # charge is missing from a scan with a gap: that scan says so
            if summary.gap and validity[string] == _VALID:
                validity[string] = Validity.STALE
        good = validity == _VALID

        def valid(values: list[float]) -> NDArray[np.float64]:
            return np.where(good, np.array(values), math.nan)

        return {
            "string_currents_a": valid([summary.mean_a for summary in summaries]),
            "string_current_minimum_a": valid([summary.minimum_a for summary in summaries]),
            "string_current_maximum_a": valid([summary.maximum_a for summary in summaries]),
            "string_charge_increments_ah": valid([summary.charge_ah for summary in summaries]),
            "string_current_samples": np.array([summary.samples for summary in summaries], np.uint32),
            "string_current_validity": validity,
            **self._array(
                snapshot,
                "string_charge_counter_ah",
                "string_charge_counters_ah",
                "string_charge_counter_validity",
            ),
            **self._array(
                snapshot,
                "redundant_string_current_a",
                "redundant_string_currents_a",
                "redundant_string_current_validity",
            ),
            **self._array(snapshot, "string_voltage_v", "string_voltages_v", "string_voltage_validity"),
        }

    def _scalars(self, snapshot: Snapshot) -> dict[str, Any]:
        scan: dict[str, Any] = {}
        values, validities, offsets = snapshot.values, snapshot.validity, self._table.offsets
        for quantity, validity in _SCALARS:
            slot = offsets[quantity]
            scan[quantity] = float(values[slot])
            scan[validity] = int(validities[slot])
        for pair, validity in _PAIRS:
            # two values, one validity: it is that of the worse one, and both go where one is not valid
            fitted = [offsets[name] for name in pair if self._mapped[name]]
            worst = next((int(validities[s]) for s in fitted if validities[s] != _VALID), _VALID)
            scan[validity] = worst if fitted else int(Validity.NOT_FITTED)
            for name in pair:
                good = bool(fitted) and worst == _VALID
                scan[name] = float(values[offsets[name]]) if good else math.nan
        return scan
