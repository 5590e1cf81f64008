"""Answers to requests for a state: what is carried out, and why something is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openbms_control.safety.explain import closing_inhibits
from openbms_control.safety.fault_manager import FaultManager
from openbms_control.safety.readings import CLOSED_STATES
from openbms_control.safety.state_machine import CLOSING_TARGETS, StateMachine
from openbms_core.pack import PackFile
from openbms_core.types import PackMeasurement, State

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
        machine.request(target)  # also takes back what was granted, but not begun
        if state == State.OPENING or state not in (*CLOSED_STATES, State.PRECHARGE):
            return Answer(
                True, "The contactors are open." if state != State.OPENING else "They are being opened."
            )
        return Answer(True, "Zero current is requested, then the contactors open.")
    if target not in CLOSING_TARGETS:
        return Answer(False, "Only STANDBY, DRIVE, CHARGE and CONNECTED can be requested.")
    if state in (target, State.PRECHARGE) and machine.requested == target:
        return Answer(True, f"{target.name} is already being carried out.")
    if state in (*CLOSED_STATES, State.PRECHARGE, State.OPENING):
        text = f"{target.name} is entered from STANDBY only; now it is {state.name}: request STANDBY first."
        return Answer(False, text)
    wanted = ("close", "drive") if target == State.DRIVE else ("close",)
    refused = [
        inhibit.text
        for inhibit in closing_inhibits(machine, manager, pack, scan, waiting_for)
        if inhibit.code.partition(":")[0] in wanted
    ]
    if refused:
        return Answer(False, " ".join(refused))
    if state != State.STANDBY:
        return Answer(False, f"The state is {state.name}, not STANDBY.")
    machine.request(target)
    return Answer(True, f"Precharge begins, then {target.name}.")
