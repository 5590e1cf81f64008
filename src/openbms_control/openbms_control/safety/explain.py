"""Say why: what is inhibited, and the state in words for people."""

from __future__ import annotations

from collections.abc import Sequence

from openbms_control.safety.fault_manager import FaultManager
from openbms_control.safety.state_machine import StateMachine
from openbms_core.faults import FAULT_BY_ID, Action
from openbms_core.types import FinalLimits, State

__all__ = ["explain_state", "inhibits"]


def inhibits(
    manager: FaultManager, limits: FinalLimits, waiting_for: Sequence[str], *, fresh: bool
) -> list[str]:
    """Give codes of what is forbidden and why, as ``what:reason``.

    Parameters
    ----------
    manager : FaultManager
    limits : FinalLimits
    waiting_for : sequence of str
        What is not measured yet.
    fresh : bool
        There is a fresh scan.
    """
    in_force = manager.in_force()
    found = [f"close:{row.id}" for row in in_force if row.blocks_closing]
    about = manager.about_to_open()
    if about is not None:
        found.append(f"close:{about.id}")
    if limits.charge_current_a == 0.0:
        found.append(f"charge:{limits.charge_reason.removeprefix('fault:')}")
    if limits.discharge_current_a == 0.0:
        found.append(f"discharge:{limits.discharge_reason.removeprefix('fault:')}")
    for what, action in (("balancing", Action.NO_BALANCING), ("heating", Action.NO_HEATING)):
        found += [f"{what}:{row.id}" for row in in_force if action in row.action]
        if not fresh or waiting_for:
            found.append(f"{what}:measurement_incomplete")
    if not fresh or waiting_for:
        found.append("close:measurement_incomplete")
    return list(dict.fromkeys(found))


_STATES = {
    State.INIT: "Starting: the contactors are open.",
    State.STANDBY: "The contactors are open; the pack is ready.",
    State.PRECHARGE: "The link is being charged through the precharge resistor.",
    State.DRIVE: "The contactors are closed for driving; regeneration is allowed within the limits.",
    State.CHARGE: "The contactors are closed for charging.",
    State.CONNECTED: "The contactors are closed for storage: both directions are allowed within the limits.",
    State.OPENING: "Zero current is requested; the contactors open at zero current or at the deadline.",
    State.FAULT: "The contactors are open; a fault forbids closing.",
}

_REASONS = {
    "stopped": "The monitor was told to stop.",
    "limp_home_expired": "Power limits stayed away for longer than the pack file allows.",
    "charging_plug": "The charging plug is in.",
    "faults_cleared": "All faults that forbid closing are gone.",
}


def explain_state(machine: StateMachine, manager: FaultManager, waiting_for: Sequence[str]) -> str:
    """Give the state and its reason in words.

    Parameters
    ----------
    machine : StateMachine
    manager : FaultManager
    waiting_for : sequence of str
        What is not measured yet.
    """
    parts = [_STATES[machine.state]]
    code, _, fault = machine.reason.partition(":")
    if fault:
        parts.append(FAULT_BY_ID[fault].explanation)
    elif code in _REASONS:
        parts.append(_REASONS[code])
    about = manager.about_to_open()
    if about is not None:
        parts.append(f"Opening is about to begin: {about.means}")
    if machine.contactors.left_out:
        strings = ", ".join(str(string) for string in machine.contactors.left_out)
        parts.append(f"Left out, since the voltage did not fit to the others: string {strings}.")
    if waiting_for:
        parts.append(f"Waiting for {', '.join(waiting_for)}.")
    return " ".join(parts)
