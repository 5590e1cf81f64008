"""The safety monitor: raw measurements in, one decision out. It believes nobody's estimate.

On a fault the order is: limits zero and zero current requested in one decision, contactors open in a later
one (at zero current or at the deadline). Scans are integrated over the difference of their stamps (ROS
time); ages, deadlines and expiry follow the monotonic clock that is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from openbms_control.safety.checks import Checks
from openbms_control.safety.contactors import Sensed, check_contactors
from openbms_control.safety.explain import explain_state, inhibits
from openbms_control.safety.fault_manager import ClearAnswer, FaultEntry, FaultManager
from openbms_control.safety.limits import LimitCalculator, LimitInputs, usable
from openbms_control.safety.readings import (
    CLOSED_STATES,
    SCAN_READINGS,
    Circumstances,
    currents,
    largest_current,
    valid,
)
from openbms_control.safety.record import FaultRecord, RecordProblem
from openbms_control.safety.state_machine import CLOSING_TARGETS, Inputs, StateMachine
from openbms_core.faults import Action, check_timing, driver_lost_after_s, fault_rows, not_monitored
from openbms_core.pack import LoadedPack
from openbms_core.topics import TOPIC_BY_NAME
from openbms_core.types import (
    UNKNOWN,
    BmsStatus,
    ContactorCommand,
    FinalLimits,
    Level,
    PackMeasurement,
    PowerLimits,
    State,
)

__all__ = ["LOCKOUT_S", "START_UP_S", "TICK_PERIOD_S", "Answer", "Decision", "SafetyMonitor"]

START_UP_S = 10.0
"""Time from the first call within which missing data is not a fault yet."""
TICK_PERIOD_S = 0.1
"""Without scans a decision is made this often."""
LOCKOUT_S = 10.0
"""After a failed precharge it cannot be cleared for this long: the resistor must cool (foxBMS: re-precharge
lock-out)."""
MAX_STAMP_STEP_S = 1.0
"""A larger step of the stamps, or one backwards, is a clock that was set: the time of reception counts
instead."""
MAX_LATE_S = 0.5
"""A scan is never taken to be older than this when contactor feedback is compared with commands."""
_ESTIMATE_MAX_AGE_S = TOPIC_BY_NAME["power_limits"].stale_after_s

_NEEDED_TO_START = {
    "CELL_VOLTAGE_MISSING": "cell voltages",
    "TEMPERATURE_MISSING": "cell temperatures",
    "CURRENT_MISSING": "string currents",
    "SAFETY_INPUT_MISSING": "interlock, emergency stop, smoke or gas detector",
    "BUS_LOST": "the bus",
}


@dataclass(frozen=True)
class Answer:
    """Answer to a request for a state (RequestState.srv)."""

    accepted: bool
    reason: str


@dataclass(frozen=True)
class Decision:
    """What the monitor says now. To be published in this order: limits, status, contactor command, faults.

    Attributes
    ----------
    limits : FinalLimits
    status : BmsStatus
    contactor_command : ContactorCommand
    faults : tuple of FaultEntry
        Pending, active and latched, worst first.
    highest_level : Level or None
        Among the active and latched ones.
    not_monitored : tuple of str
    state_changed, faults_changed, record_changed : bool
        Since the decision before.
    """

    limits: FinalLimits
    status: BmsStatus
    contactor_command: ContactorCommand
    faults: tuple[FaultEntry, ...]
    highest_level: Level | None
    not_monitored: tuple[str, ...]
    state_changed: bool
    faults_changed: bool
    record_changed: bool


class SafetyMonitor:
    """Watch one pack.

    Parameters
    ----------
    pack : LoadedPack
    record : FaultRecord
        Of the last run, or a fresh one.
    problem : str
        What was wrong with the file of the record (empty, ``new``, ``corrupt``).

    Raises
    ------
    ConfigError
        A reaction would take longer than its fault-tolerant time, a fault's name is unknown, or precharge or
        the fit of several strings cannot be judged.
    """

    def __init__(self, pack: LoadedPack, record: FaultRecord, problem: RecordProblem = "") -> None:
        check_timing(pack)
        check_contactors(pack)
        self._pack, self._hash = pack.file, pack.config_hash
        rows = fault_rows(pack.file)
        self._checks = Checks(pack.file, rows)
        self._manager = FaultManager(rows, self._checks.limit.tolist(), record.faults)
        self._machine = StateMachine(pack.file)
        self._limits = LimitCalculator(pack.file)
        self._not_monitored = tuple(not_monitored(pack.file))
        self._needed = {
            row.quantity: _NEEDED_TO_START[row.name] for row in rows if row.name in _NEEDED_TO_START
        }
        self._lost_after_s = driver_lost_after_s(pack.file)
        self._start_count, self._problem, self._died = record.start_count, problem, record.closed
        self._measurement: PackMeasurement | None = None
        self._received_s = self._called_s = self._started_s = -math.inf
        self._estimate: PowerLimits | None = None
        self._estimate_s = self._limp_since_s = -math.inf
        self._limp_expired = self._foreign_config = self._foreign_scan = self._record_not_written = False
        self._complete = False
        self._waiting_for: list[str] = ["a measurement"]
        self._sequence = 0
        self._kept: dict[str, tuple[bool, int]] | None = (
            None  # None: the number of this start is not on record yet
        )

    # ---- what comes in ----

    def take_power_limits(self, limits: PowerLimits, t_s: float) -> None:
        """Take power limits that were received now."""
        self._estimate, self._estimate_s = limits, t_s

    def take_config_hash(self, config_hash: str) -> None:
        """Compare the driver's configuration with the own one."""
        self._foreign_config = config_hash != self._hash

    def record_written(self, done: bool) -> None:
        """Say whether the record could be written."""
        self._record_not_written = not done

    def request(self, target: State, t_s: float) -> Answer:
        """Ask for a state; a granted request is carried out in the next step.

        Parameters
        ----------
        target : State
            STANDBY, DRIVE, CHARGE or CONNECTED.
        t_s : float
            Monotonic time [s].
        """
        state = self._machine.state
        if target == State.STANDBY:
            if state == State.OPENING or state not in (*CLOSED_STATES, State.PRECHARGE):
                return Answer(
                    True, "The contactors are open." if state != State.OPENING else "They are being opened."
                )
            self._machine.request(target)
            return Answer(True, "Zero current is requested, then the contactors open.")
        if target not in CLOSING_TARGETS:
            return Answer(False, "Only STANDBY, DRIVE, CHARGE and CONNECTED can be requested.")
        if state in (target, State.PRECHARGE) and self._machine.requested == target:
            return Answer(True, f"{target.name} is already being carried out.")
        refusal = self._refusal(target, t_s)
        if refusal:
            return Answer(False, refusal)
        self._machine.request(target)
        return Answer(True, f"Precharge begins, then {target.name}.")

    def clear(self, identifiers: list[str], t_s: float) -> ClearAnswer:
        """Clear latched faults (empty list: all that can be cleared). Nothing closes by it."""
        return self._manager.clear(identifiers, t_s)

    def stop(self) -> None:
        """Begin to end: what is closed is opened at zero current."""
        self._machine.stop()

    @property
    def stopped(self) -> bool:
        """The contactors are open and stay so: the process may end."""
        return self._machine.stopped

    def record(self) -> FaultRecord:
        """Give what must be kept over a restart."""
        return FaultRecord(self._pack.serial, self._start_count, self._manager.stored(), self._closed)

    @property
    def _closed(self) -> bool:
        return self._machine.state in (State.PRECHARGE, *CLOSED_STATES, State.OPENING)

    # ---- the step ----

    def due(self, t_s: float) -> bool:
        """Tell whether a tick is worth its time now: something runs out, or the last call is long ago.

        Asked often (every 20 ms), so that deadlines are kept without deciding all the time.
        """
        machine = self._machine
        return (
            machine.state in (State.PRECHARGE, State.OPENING)
            or self._manager.about_to_open() is not None
            or t_s - self._called_s >= TICK_PERIOD_S
            or t_s - self._received_s > self._lost_after_s
        )

    def tick(self, t_s: float, now_s: float) -> Decision:
        """Go on without a new scan: ages, deadlines and expiry run."""
        return self.step(None, t_s, now_s)

    def step(self, measurement: PackMeasurement | None, t_s: float, now_s: float) -> Decision:
        """Take a scan (or only the time) and decide.

        Parameters
        ----------
        measurement : PackMeasurement or None
            The scan that has just been received.
        t_s : float
            Monotonic time [s].
        now_s : float
            ROS time [s], for the record where there is no scan.
        """
        if self._called_s == -math.inf:
            self._started_s = self._called_s = t_s
        gap_s, self._called_s = t_s - self._called_s, t_s
        scan, scan_step_s, restarted = self._take(measurement, t_s)
        self._follow_estimator(t_s)
        # a scan that was held up on its way shows contactors as they were, not as they are
        late_s = min(max(now_s - scan.stamp_s, 0.0), MAX_LATE_S) if scan is not None else 0.0
        now = self._circumstances(t_s, gap_s, restarted, late_s)
        self._note_missing(scan, now)
        faults_changed = self._judge(scan, now, scan_step_s, gap_s, t_s, now_s)
        before = self._machine.state
        self._machine.step(self._inputs(t_s), t_s)
        if before == State.PRECHARGE and self._machine.contactors.failed:
            self._manager.hold("PRECHARGE_TIMEOUT", t_s + LOCKOUT_S)
        return self._decide(t_s, self._machine.state != before, faults_changed)

    def _take(self, m: PackMeasurement | None, t_s: float) -> tuple[PackMeasurement | None, float, bool]:
        """Keep the scan; give it with its time step and whether the driver has started anew."""
        if m is None:
            return None, 0.0, False
        self._foreign_scan = not self._checks.facts.fits(m)
        if self._foreign_scan:
            return None, 0.0, False
        old, received_s = self._measurement, self._received_s
        self._measurement, self._received_s = m, t_s
        if old is None:
            return m, 0.0, False
        step_s = m.stamp_s - old.stamp_s
        if not 0.0 <= step_s <= MAX_STAMP_STEP_S:
            step_s = t_s - received_s
        return m, max(step_s, 0.0), m.scan_number < old.scan_number

    def _fresh_scan(self, t_s: float) -> PackMeasurement | None:
        return self._measurement if t_s - self._received_s <= self._lost_after_s else None

    def _fresh_estimate(self, t_s: float) -> PowerLimits | None:
        given = self._estimate
        if given is None or not usable(given):
            return None
        # an estimator that claims more than the topic's own time is not believed
        return given if t_s - self._estimate_s <= min(_ESTIMATE_MAX_AGE_S, given.valid_for_s) else None

    def _follow_estimator(self, t_s: float) -> None:
        """Run the time that is left in limp-home; it counts only while contactors are closed."""
        if self._fresh_estimate(t_s) is not None:
            self._limp_since_s, self._limp_expired = -math.inf, False
        elif self._machine.state not in CLOSED_STATES:
            self._limp_since_s = -math.inf
        elif self._limp_since_s == -math.inf:
            self._limp_since_s = t_s
        elif t_s - self._limp_since_s >= self._pack.limits.limp_home.shutdown_after_s:
            self._limp_expired = True

    def _circumstances(self, t_s: float, gap_s: float, restarted: bool, late_s: float) -> Circumstances:
        contactors, starting = self._machine.contactors, t_s - self._started_s < START_UP_S
        age_s = t_s - max(self._received_s, self._started_s)
        if gap_s > 2.0 * TICK_PERIOD_S:
            age_s -= gap_s  # the monitor itself was held up: what waits in its queue is taken first
        return Circumstances(
            state=self._machine.state,
            started=self._complete or not starting,
            command=contactors.command.ravel(),
            command_age_s=contactors.age_s(t_s).ravel() - late_s,
            measurement_age_s=age_s,
            estimator_age_s=t_s - self._estimate_s,
            monitor_gap_s=gap_s,
            estimator_fresh=self._fresh_estimate(t_s) is not None or (self._estimate is None and starting),
            limp_home_expired=self._limp_expired,
            driver_restarted=restarted,
            precharge_failed=contactors.failed and self._machine.state == State.PRECHARGE,
            config_mismatch=self._foreign_config or self._foreign_scan,
            monitor_died=self._died,
            record_corrupt=self._problem == "corrupt",
            record_not_written=self._record_not_written,
        )

    def _note_missing(self, scan: PackMeasurement | None, now: Circumstances) -> None:
        if scan is not None:
            facts = self._checks.facts
            self._waiting_for = [
                text
                for quantity, text in self._needed.items()
                if SCAN_READINGS[quantity](scan, facts, now).present
            ]
            self._complete = self._complete or not self._waiting_for

    def _judge(
        self,
        scan: PackMeasurement | None,
        now: Circumstances,
        scan_step_s: float,
        gap_s: float,
        t_s: float,
        now_s: float,
    ) -> bool:
        found = self._checks.evaluate(scan, now)
        if self._problem == "corrupt":
            self._problem = ""  # it is latched from here on, so that it can be cleared
        self._died = False  # likewise
        step_s = np.where(self._checks.by_clock, gap_s, scan_step_s)
        return self._manager.step(found, step_s, t_s, scan.stamp_s if scan is not None else now_s)

    def _sensed(self, t_s: float) -> Sensed | None:
        m = self._fresh_scan(t_s)
        if m is None:
            return None
        voltages = valid(m.string_voltages_v, m.string_voltage_validity)
        # where a string's voltage is not measured, the sum of its cells is, if all are valid
        sums = (
            valid(m.cell_voltages_v, m.cell_voltage_validity)
            .reshape(self._pack.topology.strings, -1)
            .sum(axis=1)
        )
        return Sensed(
            feedback=m.contactor_feedback.reshape(-1, 3),
            string_voltages_v=np.where(np.isfinite(voltages), voltages, sums),
            string_currents_a=currents(m),
            link_voltage_v=m.link_voltage_v if m.link_voltage_validity == 0 else math.nan,
            largest_current_a=largest_current(m),
        )

    def _inputs(self, t_s: float) -> Inputs:
        manager, sensed = self._manager, self._sensed(t_s)
        opening, blocking = manager.has(Action.OPEN), manager.has(Action.BLOCK_CLOSING)
        charging = manager.has(Action.END_CHARGING)
        plugged = any(row.name == "PLUGGED_IN_WHILE_DRIVING" for row in manager.in_force())
        small = sensed is not None and sensed.largest_current_a < self._pack.contactors.break_current_a
        return Inputs(
            sensed=sensed,
            ready=sensed is not None and not self._waiting_for,
            fault=opening.id if opening else "",
            at_once=manager.has(Action.OPEN_AT_ONCE) is not None,
            blocked=blocking.id if blocking else "",
            end_charging=charging.id if charging else "",
            shutdown=self._limp_expired,
            plugged_in=plugged and small,
        )

    def _refusal(self, target: State, t_s: float) -> str:
        """Give why contactors may not be closed for this state now; empty: they may."""
        state = self._machine.state
        if self._machine.stopping:
            return "The monitor is being stopped."
        if state in (*CLOSED_STATES, State.PRECHARGE, State.OPENING):
            return (
                f"{target.name} is entered from STANDBY only; now it is {state.name}: request STANDBY first."
            )
        holding = [row.id for row in self._manager.in_force() if row.blocks_closing]
        about = self._manager.about_to_open()
        if holding or about is not None:
            names = ", ".join(holding) or (about.id if about is not None else "")
            return f"Faults forbid closing: {names}. Remove the cause, then clear what is latched."
        m = self._fresh_scan(t_s)
        if m is None or self._waiting_for:
            return f"Not ready: waiting for {', '.join(self._waiting_for) or 'a fresh measurement'}."
        if state != State.STANDBY:
            return f"The state is {state.name}, not STANDBY."
        if target == State.DRIVE and self._pack.mapped("charging_plug") and m.charging_plug in (1, UNKNOWN):
            known = "is plugged in" if m.charging_plug == 1 else "has an unknown state"
            return f"The charging plug {known}: DRIVE is refused."
        return ""

    # ---- what goes out ----

    def _decide(self, t_s: float, state_changed: bool, faults_changed: bool) -> Decision:
        machine, manager = self._machine, self._manager
        about = manager.about_to_open()
        zero = machine.state == State.OPENING or (
            about is not None and machine.state in (State.PRECHARGE, *CLOSED_STATES)
        )
        shutdown_in_s = (
            max(0.0, self._limp_since_s + self._pack.limits.limp_home.shutdown_after_s - t_s)
            if self._limp_since_s > -math.inf and machine.state in CLOSED_STATES
            else math.nan
        )
        limits = self._limits.step(
            LimitInputs(
                state=machine.state,
                zero_current_requested=zero,
                closed_strings=machine.contactors.closed_strings(),
                measurement=self._fresh_scan(t_s),
                power_limits=self._fresh_estimate(t_s),
                charge_fault=manager.factor(charge=True),
                discharge_fault=manager.factor(charge=False),
                shutdown_in_s=shutdown_in_s,
            ),
            t_s,
        )
        kept = {name: (fault.latched, fault.occurrences) for name, fault in manager.stored().items()}
        kept["closed"] = (self._closed, 0)
        record_changed, self._kept = kept != self._kept, kept
        return Decision(
            limits=limits,
            status=self._status(limits, zero, t_s),
            contactor_command=self._command(),
            faults=tuple(manager.entries()),
            highest_level=manager.highest_level(),
            not_monitored=self._not_monitored,
            state_changed=state_changed,
            faults_changed=faults_changed,
            record_changed=record_changed,
        )

    def _status(self, limits: FinalLimits, zero: bool, t_s: float) -> BmsStatus:
        machine, sensed = self._machine, self._sensed(t_s)
        forbidden = inhibits(self._manager, limits, self._waiting_for, fresh=sensed is not None)
        return BmsStatus(
            state=machine.state,
            previous_state=machine.previous,
            time_in_state_s=machine.time_in_state_s(t_s),
            requested_state=machine.requested,
            reason=machine.reason,
            explanation=explain_state(machine, self._manager, self._waiting_for),
            contactor_command=machine.contactors.command.ravel().copy(),
            contactors_closed=machine.contactors.closed(sensed),
            zero_current_requested=zero,
            opening_deadline_s=max(0.0, machine.deadline_s - t_s)
            if machine.deadline_s is not None
            else math.nan,
            charge_allowed=limits.charge_current_a > 0.0,
            discharge_allowed=limits.discharge_current_a > 0.0,
            balancing_allowed=not any(text.startswith("balancing:") for text in forbidden),
            heating_allowed=not any(text.startswith("heating:") for text in forbidden),
            inhibits=forbidden,
            start_count=self._start_count,
            valid_for_s=self._pack.contactors.command_valid_for_s,
        )

    def _command(self) -> ContactorCommand:
        machine = self._machine
        positive, negative, precharge = (column.copy() for column in machine.contactors.command.T)
        asked = State.STANDBY
        if machine.state in CLOSED_STATES:
            asked = machine.state
        elif machine.state == State.PRECHARGE:
            asked = machine.requested
        elif machine.state == State.OPENING and machine.deadline_s is not None:
            asked = machine.previous if machine.previous in CLOSED_STATES else State.STANDBY
        self._sequence += 1
        return ContactorCommand(
            sequence=self._sequence - 1,
            positive=positive,
            negative=negative,
            precharge=precharge,
            requested_state=asked,
            reason=machine.reason,
            valid_for_s=self._pack.contactors.command_valid_for_s,
        )
