"""Answers to requests for a state: what is carried out, and why something is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openbms_control.safety.fault_manager import FaultManager
from openbms_control.safety.readings import CLOSED_STATES
from openbms_control.safety.state_machine import CLOSING_TARGETS, StateMachine
from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN, PackMeasurement, State

__all__ = ["Answer", "answer_request"]


@dataclass(frozen=True)
class Answer:
    """Answer to a request for a state (RequestState.srv)."""

    accepted: bool
    reason: str


def answer_request(
    target: State,
    machine: StateMachine,
    manager: FaultManager,
    pack: PackFile,
    scan: PackMeasurement | None,
    waiting_for: Sequence[str],
) -> Answer:
    """Grant or refuse a request; a granted one is handed to the machine.

    Parameters
    ----------
    target : State
        STANDBY, DRIVE, CHARGE or CONNECTED.
    machine : StateMachine
    manager : FaultManager
    pack : PackFile
    scan : PackMeasurement or None
        The last fresh scan.
    waiting_for : sequence of str
        What is not measured yet.
    """
    state = machine.state
    if target == State.STANDBY:
        if state == State.OPENING or state not in (*CLOSED_STATES, State.PRECHARGE):
            return Answer(
                True, "The contactors are open." if state != State.OPENING else "They are being opened."
            )
        machine.request(target)
        return Answer(True, "Zero current is requested, then the contactors open.")
    if target not in CLOSING_TARGETS:
        return Answer(False, "Only STANDBY, DRIVE, CHARGE and CONNECTED can be requested.")
    if state in (target, State.PRECHARGE) and machine.requested == target:
        return Answer(True, f"{target.name} is already being carried out.")
    refusal = _refusal(target, machine, manager, pack, scan, waiting_for)
    if refusal:
        return Answer(False, refusal)
    machine.request(target)
    return Answer(True, f"Precharge begins, then {target.name}.")


def _refusal(
    target: State,
    machine: StateMachine,
    manager: FaultManager,
    pack: PackFile,
    scan: PackMeasurement | None,
    waiting_for: Sequence[str],
) -> str:
    """Give why contactors may not be closed for this state now; empty: they may."""
    state = machine.state
    if machine.stopping:
        return "The monitor is being stopped."
    if state in (*CLOSED_STATES, State.PRECHARGE, State.OPENING):
        return f"{target.name} is entered from STANDBY only; now it is {state.name}: request STANDBY first."
    holding = [row.id for row in manager.in_force() if row.blocks_closing]
    about = manager.about_to_open()
    if holding or about is not None:
        names = ", ".join(holding) or (about.id if about is not None else "")
        return f"Faults forbid closing: {names}. Remove the cause, then clear what is latched."
    if scan is None or waiting_for:
        return f"Not ready: waiting for {', '.join(waiting_for) or 'a fresh measurement'}."
    if state != State.STANDBY:
        return f"The state is {state.name}, not STANDBY."
    if target == State.DRIVE and pack.mapped("charging_plug") and scan.charging_plug in (1, UNKNOWN):
        known = "is plugged in" if scan.charging_plug == 1 else "has an unknown state"
        return f"The charging plug {known}: DRIVE is refused."
    return ""
