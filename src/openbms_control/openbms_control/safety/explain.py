"""Say why: what is inhibited and for which reason, and the state in words for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from openbms_control.safety.contactors import ContactorSequencer, Sensed
from openbms_control.safety.fault_manager import FaultManager
from openbms_control.safety.limits import reason_text
from openbms_control.safety.opening import OpeningPhase
from openbms_control.safety.state_machine import StateMachine
from openbms_core.faults import Action
from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN, FinalLimits, PackMeasurement, State

__all__ = ["INHIBITS", "REASONS", "STATES", "Inhibit", "closing_inhibits", "explain_state", "inhibits"]


@dataclass(frozen=True)
class Inhibit:
    """Something that is forbidden.

    Attributes
    ----------
    code : str
        ``what:reason``; what is ``close``, ``drive``, ``charge``, ``discharge``, ``balancing``, ``heating``
        or ``string_<number>``.
    text : str
        The same for people, as a sentence.
    """

    code: str
    text: str


_MEASUREMENT = "measurement_incomplete"

INHIBITS: dict[str, str] = {
    "close:stopping": "The monitor is being stopped.",
    f"close:{_MEASUREMENT}": "Something that is needed is not measured, or there is no fresh scan; also for "
    "`balancing` and `heating`.",
    "close:no_string": "Every string is taken out by STRING_ISOLATED.",
    "close:precharge_resistor_hot": "The precharge resistor has no room for another attempt yet.",
    "drive:charging_plug": "The charging plug is in, or nobody knows.",
    "drive:ignition": "The ignition is off, or nobody knows.",
}
"""Codes of what is inhibited that are neither faults nor reasons of limits, and what they mean."""


def closing_inhibits(
    machine: StateMachine,
    manager: FaultManager,
    pack: PackFile,
    scan: PackMeasurement | None,
    waiting_for: Sequence[str],
) -> list[Inhibit]:
    """Give what forbids closing the contactors, at all (``close``) or for a load (``drive``).

    Parameters
    ----------
    machine : StateMachine
    manager : FaultManager
    pack : PackFile
    scan : PackMeasurement or None
        The last fresh scan.
    waiting_for : sequence of str
        What is not measured yet.
    """
    found = []
    if machine.stopping:
        found.append(Inhibit("close:stopping", "Closing is refused: the monitor is being stopped."))
    about = manager.about_to_open()
    rows = [row for row in manager.in_force() if row.blocks_closing]
    found += [
        Inhibit(f"close:{row.id}", f"Closing is refused by {row.id}: {row.means} {row.cure}")
        for row in (rows if about is None else [*rows, about])
    ]
    if scan is None or waiting_for:
        what = ", ".join(waiting_for) or "a fresh measurement"
        found.append(Inhibit(f"close:{_MEASUREMENT}", f"Closing is refused: waiting for {what}."))
    found += _contactor_inhibits(machine.contactors)
    if scan is not None:
        found += _driving_inhibits(pack, scan)
    return found


def _contactor_inhibits(contactors: ContactorSequencer) -> list[Inhibit]:
    found = []
    if len(contactors.isolation.isolated) == contactors.strings:
        text = "Closing is refused: every string is taken out. Have its contactors checked, then clear "
        found.append(Inhibit("close:no_string", f"{text}STRING_ISOLATED."))
    wait_s = min(contactors.heat.wait_s(string) for string in range(contactors.strings))
    if wait_s > 0.0:
        text = f"Closing is refused: the precharge resistor must cool for another {wait_s:.0f} s."
        found.append(Inhibit("close:precharge_resistor_hot", text))
    return found


def _driving_inhibits(pack: PackFile, scan: PackMeasurement) -> list[Inhibit]:
    found = []
    if pack.mapped("charging_plug") and scan.charging_plug in (1, UNKNOWN):
        known = "is plugged in" if scan.charging_plug == 1 else "has an unknown state"
        found.append(Inhibit("drive:charging_plug", f"The charging plug {known}: DRIVE is refused."))
    if pack.mapped("ignition") and scan.ignition in (0, UNKNOWN):
        known = "is off" if scan.ignition == 0 else "has an unknown state"
        found.append(Inhibit("drive:ignition", f"The ignition {known}: DRIVE is refused."))
    return found


def inhibits(
    closing: Sequence[Inhibit],
    machine: StateMachine,
    manager: FaultManager,
    limits: FinalLimits,
    waiting_for: Sequence[str],
    *,
    fresh: bool,
) -> list[Inhibit]:
    """Give everything that is forbidden, and why.

    Parameters
    ----------
    closing : sequence of Inhibit
        What :func:`closing_inhibits` gave.
    machine : StateMachine
    manager : FaultManager
    limits : FinalLimits
    waiting_for : sequence of str
        What is not measured yet.
    fresh : bool
        There is a fresh scan.
    """
    found = list(closing)
    for what, word, current, reason in (
        ("charge", "Charging", limits.charge_current_a, limits.charge_reason),
        ("discharge", "Discharging", limits.discharge_current_a, limits.discharge_reason),
    ):
        if current == 0.0:
            code, _, fault = reason.partition(":")
            why = f"{fault}: {manager.row(fault).means}" if code == "fault" else f"{reason_text(reason)}."
            found.append(Inhibit(f"{what}:{reason.removeprefix('fault:')}", f"{word} is refused: {why}"))
    for what, word, action in (
        ("balancing", "Balancing", Action.NO_BALANCING),
        ("heating", "Heating", Action.NO_HEATING),
    ):
        found += [
            Inhibit(f"{what}:{row.id}", f"{word} is refused by {row.id}: {row.means}")
            for row in manager.in_force()
            if action in row.action
        ]
        if not fresh or waiting_for:
            text = ", ".join(waiting_for) or "a fresh measurement"
            found.append(Inhibit(f"{what}:{_MEASUREMENT}", f"{word} is refused: waiting for {text}."))
    for string, left in sorted(machine.contactors.left_out.items()):
        text = f"String {string} is not connected: {left.text}."
        found.append(Inhibit(f"string_{string}:{left.code}", text))
    return list({inhibit.code: inhibit for inhibit in found}.values())


STATES: dict[State, str] = {
    State.INIT: "Starting: the contactors are open.",
    State.STANDBY: "The contactors are open; the pack is ready.",
    State.PRECHARGE: "The contactors are being closed.",
    State.DRIVE: "The contactors are closed for driving; regeneration is allowed within the limits.",
    State.CHARGE: "The contactors are closed for charging.",
    State.CONNECTED: "The contactors are closed for storage: both directions are allowed within the limits.",
    State.OPENING: "Zero current is requested; the contactors open at zero current or at the deadline.",
    State.FAULT: "The contactors are open; a fault forbids closing.",
}
"""What each state means."""

REASONS: dict[str, str] = {
    "start": "The monitor has started.",
    "ready": "Measurements are complete.",
    "requested": "It was requested.",
    "stopped": "The monitor was told to stop.",
    "limp_home_expired": "Power limits stayed away for longer than the pack file allows.",
    "charging_plug": "The charging plug is in.",
    "key_off": "The ignition was switched off.",
    "faults_cleared": "All faults that forbid closing are gone.",
}
"""Codes of ``reason`` beside ``fault:<ID>``, and what they mean."""

_UNSAID = ("start", "ready", "requested")
"""Reasons that the state itself says."""


def explain_state(
    machine: StateMachine,
    manager: FaultManager,
    pack: PackFile,
    sensed: Sensed | None,
    waiting_for: Sequence[str],
    t_s: float,
) -> str:
    """Give the state, its reason and how far it is, in words.

    Parameters
    ----------
    machine : StateMachine
    manager : FaultManager
    pack : PackFile
    sensed : Sensed or None
        The last fresh scan.
    waiting_for : sequence of str
        What is not measured yet.
    t_s : float
        Monotonic time [s].
    """
    contactors = machine.contactors
    parts = [STATES[machine.state]]
    code, _, fault = machine.reason.partition(":")
    if fault:
        parts.append(manager.row(fault).explanation)
    elif code not in _UNSAID:
        parts.append(REASONS.get(code, ""))
    if machine.state == State.PRECHARGE:
        parts.append(_precharge(contactors, pack, sensed))
    elif machine.state == State.OPENING:
        parts.append(_opening(contactors, pack, sensed, t_s))
    about = manager.about_to_open()
    if about is not None:
        parts.append(f"Opening is about to begin: {about.means}")
    for string, left in sorted(contactors.left_out.items()):
        if string != contactors.closing.string:
            parts.append(f"String {string} is not connected: {left.text}.")
    if waiting_for:
        parts.append(f"Waiting for {', '.join(waiting_for)}.")
    return " ".join(part for part in parts if part)


def _number(value: float, unit: str) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1f} {unit}"


def _precharge(contactors: ContactorSequencer, pack: PackFile, sensed: Sensed | None) -> str:
    closing, precharge = contactors.closing, pack.contactors.precharge
    if pack.contactors.moved_by == "device":
        closed = contactors.closed_strings(sensed)
        return f"The device was asked to close; {closed} of {contactors.strings} string(s) report closed."
    if closing.string < 0 or sensed is None:
        return ""
    if closing.first < 0:
        return f"String {closing.string} joins."
    if precharge is None:
        return f"String {closing.string} closes without precharge."
    link, string = sensed.link_voltage_v, float(sensed.string_voltages_v[closing.string])
    current = closing.precharge_state(sensed).current_a
    return (
        f"Precharge of string {closing.string}, attempt {max(closing.attempt, 1)} of {precharge.attempts}: "
        f"the link is at {_number(link, 'V')} of {_number(string, 'V')}, the current is "
        f"{_number(current, 'A')}."
    )


def _opening(contactors: ContactorSequencer, pack: PackFile, sensed: Sensed | None, t_s: float) -> str:
    opening = contactors.opening
    current = _number(sensed.largest_current_a if sensed is not None else math.nan, "A")
    if opening.deadline_s is None:
        if opening.phase == OpeningPhase.FIRST:
            return "One contactor of each string is open and is checked for a weld; the others follow."
        return "All contactors are told to open."
    left_s = max(0.0, opening.deadline_s - t_s)
    if opening.phase == OpeningPhase.FUSE:
        return f"The current ({current}) is the fuse's to break; the contactors wait another {left_s:.1f} s."
    return (
        f"The current is {current}; the contactors open below {pack.contactors.break_current_a:g} A, or in "
        f"{left_s:.1f} s whatever flows."
    )
