"""What the monitor says: limits, status, contactor command and faults of one step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openbms_control.safety.contactors import Sensed
from openbms_control.safety.explain import closing_inhibits, explain_state, inhibits
from openbms_control.safety.fault_manager import FaultEntry, FaultManager
from openbms_control.safety.limits import LimitCalculator, LimitInputs
from openbms_control.safety.readings import CLOSED_STATES, PackFacts
from openbms_control.safety.state_machine import StateMachine
from openbms_core.faults import Action
from openbms_core.types import (
    BmsStatus,
    ContactorCommand,
    FinalLimits,
    Level,
    PackMeasurement,
    PowerLimits,
    State,
)

__all__ = ["Decision", "Reporter", "View"]


@dataclass(frozen=True)
class Decision:
    """What the monitor says now.

    A command that opens a main contactor is published after limits and status, any other one before them: it
    answers the scan.

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


@dataclass(frozen=True)
class View:
    """What a step has seen, as far as it is said.

    Attributes
    ----------
    scan : PackMeasurement or None
        The last fresh scan.
    sensed : Sensed or None
        The same, for contactors.
    scan_number : int
        Of the last scan; NO_SCAN before the first.
    power_limits : PowerLimits or None
        Fresh ones.
    shutdown_in_s : float
        Time that is left in limp-home [s]; NaN if it does not run.
    waiting_for : sequence of str
        What is not measured yet.
    """

    scan: PackMeasurement | None
    sensed: Sensed | None
    scan_number: int
    power_limits: PowerLimits | None
    shutdown_in_s: float
    waiting_for: Sequence[str]


class Reporter:
    """Put a step into words and numbers.

    Parameters
    ----------
    facts : PackFacts
    machine : StateMachine
    manager : FaultManager
    not_monitored : tuple of str
    start_count : int
        Number of this start of the monitor.
    """

    def __init__(
        self,
        facts: PackFacts,
        machine: StateMachine,
        manager: FaultManager,
        not_monitored: tuple[str, ...],
        start_count: int,
    ) -> None:
        self._pack, self._machine, self._manager = facts.pack, machine, manager
        self._not_monitored, self._start_count = not_monitored, start_count
        self._limits = LimitCalculator(facts)
        self._sequence = 0
        # None: the number of this start is not on record yet
        self._kept: tuple[Any, ...] | None = None

    @property
    def closed(self) -> bool:
        """Contactors are closed, or on their way."""
        return self._machine.state in (State.PRECHARGE, *CLOSED_STATES, State.OPENING)

    def decide(
        self, view: View, command: ContactorCommand, t_s: float, *, state_changed: bool, faults_changed: bool
    ) -> Decision:
        """Give the decision of this step; ``command`` is what :meth:`command` has given for it."""
        machine, manager = self._machine, self._manager
        zero = machine.state == State.OPENING or (
            manager.about_to_open() is not None and machine.state in (State.PRECHARGE, *CLOSED_STATES)
        )
        limits = self._limits.step(
            LimitInputs(
                state=machine.state,
                zero_current_requested=zero,
                closed_strings=machine.contactors.closed_strings(view.sensed),
                measurement=view.scan,
                power_limits=view.power_limits,
                charge_fault=manager.factor(charge=True),
                discharge_fault=manager.factor(charge=False),
                shutdown_in_s=view.shutdown_in_s if machine.state in CLOSED_STATES else math.nan,
            ),
            t_s,
        )
        faults = [(name, fault.latched, fault.occurrences) for name, fault in manager.stored().items()]
        kept = (*faults, self.closed, machine.contactors.changes())
        record_changed, self._kept = kept != self._kept, kept
        return Decision(
            limits=limits,
            status=self._status(limits, view, zero, t_s),
            contactor_command=command,
            faults=tuple(manager.entries()),
            highest_level=manager.highest_level(),
            not_monitored=self._not_monitored,
            state_changed=state_changed,
            faults_changed=faults_changed,
            record_changed=record_changed,
        )

    def _status(self, limits: FinalLimits, view: View, zero: bool, t_s: float) -> BmsStatus:
        machine = self._machine
        manager, waiting_for = self._manager, view.waiting_for
        closing = closing_inhibits(machine, manager, self._pack, view.scan, waiting_for)
        forbidden = inhibits(closing, machine, manager, limits, waiting_for, fresh=view.sensed is not None)
        codes = [inhibit.code for inhibit in forbidden]
        return BmsStatus(
            state=machine.state,
            previous_state=machine.previous,
            time_in_state_s=machine.time_in_state_s(t_s),
            requested_state=machine.requested,
            reason=machine.reason,
            explanation=explain_state(machine, manager, self._pack, view.sensed, waiting_for, t_s),
            contactor_command=machine.contactors.command.ravel().copy(),
            contactors_closed=machine.contactors.closed(view.sensed),
            zero_current_requested=zero,
            opening_deadline_s=max(0.0, machine.deadline_s - t_s)
            if machine.deadline_s is not None
            else math.nan,
            charge_allowed=limits.charge_current_a > 0.0,
            discharge_allowed=limits.discharge_current_a > 0.0,
            balancing_allowed=not any(code.startswith("balancing:") for code in codes),
            heating_allowed=not any(code.startswith("heating:") for code in codes),
            cooling_required=self._manager.has(Action.COOL) is not None,
            inhibits=codes,
            inhibit_texts=[inhibit.text for inhibit in forbidden],
            start_count=self._start_count,
            valid_for_s=self._pack.contactors.command_valid_for_s,
        )

    def command(self, view: View) -> ContactorCommand:
        """Give the contactor command of this step: all that the driver needs to answer the scan."""
        machine = self._machine
        positive, negative, precharge = (column.copy() for column in machine.contactors.command.T)
        asked = State.STANDBY
        if machine.state in CLOSED_STATES:
            asked = machine.state
        elif machine.state == State.PRECHARGE:
            asked = machine.requested
        elif machine.state == State.OPENING and machine.contactors.opening.waiting:
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
            scan_number=view.scan_number,
        )
