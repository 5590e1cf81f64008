"""The safety monitor: raw measurements in, one decision out. It believes nobody's estimate.

On a fault the order is: limits zero and zero current requested in one decision, contactors open in a later
one (at zero current or at the deadline). Scans are integrated over the difference of their stamps (ROS
time); ages, deadlines and expiry follow the monotonic clock that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from openbms_control.safety.checks import Checks
from openbms_control.safety.clearing import unmet_conditions
from openbms_control.safety.contactors import Sensed
from openbms_control.safety.decision import Decision, Reporter, View
from openbms_control.safety.fault_manager import ClearAnswer, FaultManager
from openbms_control.safety.intake import CommandIntake, EstimateIntake, ScanIntake, TakenScan
from openbms_control.safety.key import KeySwitch
from openbms_control.safety.readings import (
    CLOSED_STATES,
    Circumstances,
)
from openbms_control.safety.record import FaultRecord, RecordProblem
from openbms_control.safety.requests import Answer, answer_request
from openbms_control.safety.state_machine import Inputs, StateMachine
from openbms_core.faults import Action, fault_rows, not_monitored, opening_deadline_s
from openbms_core.pack import LoadedPack
from openbms_core.pack_checks import check_pack
from openbms_core.types import (
    BalancingCommand,
    ContactorCommand,
    PackMeasurement,
    PowerLimits,
    State,
    ThermalCommand,
)

__all__ = ["START_UP_S", "TICK_PERIOD_S", "Answer", "Decision", "SafetyMonitor"]

START_UP_S = 10.0
"""Time from the first call within which missing data is not a fault yet."""
TICK_PERIOD_S = 0.1
"""Without scans a decision is made this often."""
MAX_LATE_S = 0.5
"""A scan is never taken to be older than this when contactor feedback is compared with commands."""

_NEEDED_TO_START = {
    "CELL_VOLTAGE_MISSING": "cell voltages",
    "TEMPERATURE_MISSING": "cell temperatures",
    "CURRENT_MISSING": "string currents",
    "SAFETY_INPUT_MISSING": "interlock, emergency stop, smoke or gas detector",
    "BUS_LOST": "the bus",
}


class SafetyMonitor:
    """Watch one pack.

    Parameters
    ----------
    pack : LoadedPack
    record : FaultRecord
        Of the last run, or a fresh one.
    problem : str
        What was wrong with the file of the record (empty, ``new``, ``corrupt``).
    simulated_time : bool
        ROS time is the twin's and goes at its own pace: no jump of the clock is looked for.

    Raises
    ------
    ConfigError
        The pack file does not fit together: see :func:`openbms_core.pack_checks.check_pack`.
    """

    def __init__(
        self,
        pack: LoadedPack,
        record: FaultRecord,
        problem: RecordProblem = "",
        *,
        simulated_time: bool = False,
    ) -> None:
        check_pack(pack)
        self._pack, self._hash = pack.file, pack.config_hash
        rows = fault_rows(pack.file)
        self._checks = Checks(pack.file, rows)
        self._manager = FaultManager(rows, self._checks.limit.tolist(), record.faults)
        self._machine = StateMachine(pack.file, record.contactors)
        self._key = KeySwitch(pack.file)
        self._reporter = Reporter(
            self._checks.facts,
            self._machine,
            self._manager,
            tuple(not_monitored(pack.file)),
            record.start_count,
        )
        self._scans = ScanIntake(pack.file, self._checks.facts)
        self._estimates = EstimateIntake(pack.file.limits.limp_home.shutdown_after_s)
        self._commands = CommandIntake(pack.file)
        self._needed = [
            (number, _NEEDED_TO_START[row.name])
            for number, row in enumerate(rows)
            if row.name in _NEEDED_TO_START
        ]
        self._start_count, self._problem, self._died = record.start_count, problem, record.closed
        self._written_s = record.contactors.written_s
        self._late_s = 0.0
        self._called_s = self._started_s = -math.inf
        self._clock_s, self._simulated_time = math.nan, simulated_time
        self._foreign_config = self._record_not_written = self._complete = False
        self._waiting_for: list[str] = ["a measurement"]
        self._last: Decision | None = None

    # ---- what comes in ----

    def take_power_limits(self, limits: PowerLimits, t_s: float) -> None:
        """Take power limits that were received now."""
        self._estimates.take(limits, t_s)

    def take_balancing_command(self, command: BalancingCommand, t_s: float) -> None:
        """Take a balancing command that was received now: a bleed that nobody asked for is a fault."""
        self._commands.take_balancing(command, t_s)

    def take_thermal_command(self, command: ThermalCommand, t_s: float) -> None:
        """Take a thermal command that was received now: an actuator that does not obey is a fault."""
        self._commands.take_thermal(command, t_s)

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
        return answer_request(
            target, self._machine, self._manager, self._pack, self._scans.fresh(t_s), self._waiting_for
        )

    def clear(self, identifiers: list[str], t_s: float) -> ClearAnswer:
        """Clear latched faults (empty list: all that anybody may clear). Nothing closes by it."""
        machine = self._machine
        unmet = unmet_conditions(machine.state, machine.contactors, self._pack, self._scans.fresh(t_s))
        answer = self._manager.clear(identifiers, unmet)
        for fault in answer.cleared:
            machine.contactors.cleared(fault)
        return answer

    def stop(self) -> None:
        """Begin to end: what is closed is opened at zero current."""
        self._machine.stop()

    @property
    def stopped(self) -> bool:
        """The contactors are open and stay so: the process may end."""
        return self._machine.stopped

    def record(self) -> FaultRecord:
        """Give what must be kept over a restart."""
        return FaultRecord(
            self._pack.serial, self._start_count, self._manager.stored(), self._reporter.closed,
            self._machine.contactors.record(self._clock_s),
        )  # fmt: skip

    # ---- the step ----

    def due(self, t_s: float) -> bool:
        """Tell whether a tick is worth its time now: something runs out, or the last call is long ago.

        Asked often (every 20 ms), so that deadlines are kept without deciding all the time.
        """
        return (
            self._machine.state in (State.PRECHARGE, State.OPENING)
            or self._manager.about_to_open() is not None
            or t_s - self._called_s >= TICK_PERIOD_S
            or t_s - self._scans.received_s > self._scans.lost_after_s
        )

    def tick(self, t_s: float, now_s: float) -> Decision:
        """Go on without a new scan: ages, deadlines and expiry run."""
        return self.step(None, t_s, now_s)

    def step(
        self,
        measurement: PackMeasurement | None,
        t_s: float,
        now_s: float,
        answer: Callable[[ContactorCommand], None] | None = None,
    ) -> Decision:
        """Take a scan (or only the time) and decide.

        Parameters
        ----------
        measurement : PackMeasurement or None
            The scan that has just been received.
        t_s : float
            Monotonic time [s].
        now_s : float
            ROS time [s], for the record where there is no scan.
        answer : callable, optional
            Gets the contactor command as soon as it stands, before limits and sentences are worked out.
        """
        if self._called_s == -math.inf:
            self._started_s = self._called_s = t_s
            self._clock_s = now_s
            # what was hot has cooled while nobody watched; a clock that was set back tells nothing
            self._machine.contactors.heat.cool(max(0.0, now_s - self._written_s))
        gap_s, self._called_s = t_s - self._called_s, t_s
        ran_away_s, self._clock_s = now_s - self._clock_s - gap_s, now_s
        clock_step_s = 0.0 if self._simulated_time else ran_away_s
        taken = self._scans.take(measurement, t_s)
        self._estimates.follow(t_s, closed=self._machine.state in CLOSED_STATES)
        # a scan that was held up on its way shows contactors as they were, not as they are
        if taken.scan is not None:
            self._late_s = min(max(now_s - taken.scan.stamp_s, 0.0), MAX_LATE_S)
        scan, sensed = self._scans.fresh(t_s), self._sensed(t_s)
        self._key.step(scan, t_s)
        self._machine.contactors.look(sensed, self._machine.state, t_s)
        now = self._circumstances(taken, t_s, now_s, gap_s, clock_step_s)
        faults_changed = self._judge(taken, now, gap_s, t_s, now_s)
        before = self._machine.state
        self._machine.step(self._inputs(sensed), t_s)
        view = View(
            scan, sensed, self._scans.number, self._estimates.fresh(t_s),
            self._estimates.shutdown_in_s(t_s), self._waiting_for,
        )  # fmt: skip
        command = self._reporter.command(view)
        if answer is not None:
            answer(command)
        self._last = self._reporter.decide(
            view, command, t_s, state_changed=self._machine.state != before, faults_changed=faults_changed
        )
        return self._last

    def _circumstances(
        self, taken: TakenScan, t_s: float, now_s: float, gap_s: float, clock_step_s: float
    ) -> Circumstances:
        machine, estimates = self._machine, self._estimates
        contactors, starting = machine.contactors, t_s - self._started_s < START_UP_S
        age_s = t_s - max(self._scans.received_s, self._started_s)
        if gap_s > 2.0 * TICK_PERIOD_S:
            age_s -= gap_s  # the monitor itself was held up: what waits in its queue is taken first
        said = self._last.status if self._last is not None else None
        wanted = self._commands.wanted(
            t_s,
            balancing_allowed=said is not None and said.balancing_allowed,
            heating_allowed=said is not None and said.heating_allowed,
            cooling_required=said is not None and said.cooling_required,
        )
        return Circumstances(
            state=machine.state,
            started=self._complete or not starting,
            command=contactors.command.ravel(),
            command_age_s=contactors.age_s(t_s).ravel() - (self._late_s if taken.scan is not None else 0.0),
            measurement_age_s=age_s,
            estimator_age_s=t_s - estimates.received_s,
            monitor_gap_s=gap_s,
            estimator_fresh=estimates.fresh(t_s) is not None or (estimates.given is None and starting),
            limp_home_expired=estimates.expired,
            driver_restarted=taken.restarted,
            precharge_failed=contactors.failed and machine.state == State.PRECHARGE,
            config_mismatch=self._foreign_config or self._scans.foreign,
            monitor_died=self._died,
            record_corrupt=self._problem == "corrupt",
            record_not_written=self._record_not_written,
            seen_closed=contactors.bank.seen_closed.ravel(),
            covered=np.repeat(contactors.isolation.covers, 3),
            news=contactors.news,
            scan_repeated=taken.repeated,
            clock_step_s=clock_step_s,
            balancing_wanted=wanted.bleed,
            heater_wanted=wanted.heater,
            pump_wanted=wanted.pump,
            fan_wanted=wanted.fan,
            chiller_wanted=wanted.chiller,
        )

    def _judge(self, taken: TakenScan, now: Circumstances, gap_s: float, t_s: float, now_s: float) -> bool:
        found = self._checks.evaluate(taken.scan, now, taken.step_s)
        if taken.scan is not None:
            self._waiting_for = [text for row, text in self._needed if found.condition[row]]
            self._complete = self._complete or not self._waiting_for
        if self._problem == "corrupt":
            self._problem = ""  # it is latched from here on, so that it can be cleared
        self._died = False  # likewise
        step_s = np.where(self._checks.by_clock, gap_s, taken.step_s)
        seen_s = taken.scan.stamp_s if taken.scan is not None else now_s
        changed = self._manager.step(found, step_s, t_s, seen_s)
        for row in self._manager.active():
            self._machine.contactors.told(row.quantity)
        return changed

    def _sensed(self, t_s: float) -> Sensed | None:
        m = self._scans.fresh(t_s)
        if m is None:
            return None
        values = self._checks.facts.values(m)
        voltages = values.string_voltages
        if not np.isfinite(voltages).all():
            # where a string's voltage is not measured, the sum of its cells is, if all are valid
            voltages = np.where(np.isfinite(voltages), voltages, values.cell_sums)
        return Sensed(
            feedback=m.contactor_feedback.reshape(-1, 3),
            string_voltages_v=voltages,
            string_currents_a=values.currents,
            link_voltage_v=m.link_voltage_v if m.link_voltage_validity == 0 else math.nan,
            largest_current_a=values.largest_current,
            scan_number=self._scans.count,
            measured_s=self._scans.received_s - self._late_s,
        )

    def _inputs(self, sensed: Sensed | None) -> Inputs:
        manager = self._manager
        blocking, charging = manager.has(Action.BLOCK_CLOSING), manager.has(Action.END_CHARGING)
        in_force = manager.in_force()
        plugged = any(row.name == "PLUGGED_IN_WHILE_DRIVING" for row in in_force)
        opens = [row for row in in_force if row.opens]
        deadlines = [opening_deadline_s(row, self._pack) for row in opens]
        small = sensed is not None and sensed.largest_current_a < self._pack.contactors.break_current_a
        return Inputs(
            sensed=sensed,
            ready=sensed is not None and not self._waiting_for,
            faults=tuple(row.id for row in opens),
            fault_deadline_s=min(deadlines, default=0.0),
            at_once=manager.has(Action.OPEN_AT_ONCE) is not None,
            blocked=blocking.id if blocking else "",
            about_to_open=manager.about_to_open() is not None,
            end_charging=charging.id if charging else "",
            shutdown=self._estimates.expired,
            plugged_in=plugged and small,
            key_off=self._key.off,
        )
