"""State and faults of several packs together, in the words of a single one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from openbms_control.aggregation.conductor import STOPS_ALL
from openbms_control.aggregation.pack_view import CLOSED_STATES, Connection, PackView, SaidFault
from openbms_core.types import BmsStatus, FinalLimits, Level, State

__all__ = ["aggregate_faults", "aggregate_state", "aggregate_status", "not_monitored"]

_VALID_S = 0.5


def aggregate_state(views: Sequence[PackView], wanted: State, *, series: bool) -> State:
    """Give the one state that the packs' states amount to.

    The whole works as long as it was asked to and one pack is connected (series: all). It is in FAULT when no
    pack could be connected any more.
    """
    connected = [view for view in views if view.connected]
    moving = any(view.status is not None and view.status.state == State.OPENING for view in views)
    whole = len(connected) == len(views) if series else bool(connected)
    if wanted in CLOSED_STATES:
        if whole:
            return wanted
        if all(view.status is None for view in views):
            return State.FAULT
        return State.OPENING if series and moving else State.PRECHARGE
    if connected or moving:
        return State.OPENING
    known = [view.status.state for view in views if view.status is not None]
    if not known:
        return State.INIT
    usable = [state for state in known if state in (State.STANDBY, State.PRECHARGE)]
    if len(usable) == len(views) or (usable and not series):
        return State.STANDBY
    if State.INIT in known and State.FAULT not in known:
        return State.INIT
    return State.FAULT


def _explain(views: Sequence[PackView], state: State, out: dict[str, str]) -> str:
    connected = [view.name for view in views if view.connected]
    text = f"{len(connected)} of {len(views)} packs are connected"
    if state in (State.DRIVE, State.CHARGE, State.CONNECTED, State.PRECHARGE) and out:
        why = " ".join(f"{name}: {words.rstrip('.')}." for name, words in out.items())
        return f"{text}. {why}"
    return f"{text}."


def aggregate_status(
    views: Sequence[PackView],
    limits: FinalLimits,
    before: BmsStatus | None,
    *,
    wanted: State,
    reason: str,
    out: dict[str, str],
    series: bool,
    entered_s: float,
    t_s: float,
) -> BmsStatus:
    """Say how the whole is.

    Parameters
    ----------
    views : sequence of PackView
    limits : FinalLimits
        Of the whole, now.
    before : BmsStatus or None
        What was said before.
    wanted : State
        What the whole was asked for.
    reason : str
        Why it is so.
    out : dict of str to str
        Packs that are not connected, and why, in words.
    series : bool
    entered_s, t_s : float
        Monotonic time at which the state was entered, and now [s].
    """
    state = aggregate_state(views, wanted, series=series)
    said = [view.status for view in views if view.status is not None]
    connected = [view for view in views if view.connected]
    zero = (state == State.OPENING) or (bool(connected) and all(view.opening for view in connected))
    codes, texts = _inhibits(views, limits, out)
    deadlines = [s.opening_deadline_s for s in said if math.isfinite(s.opening_deadline_s)]
    commands = [
        view.status.contactor_command
        if view.status is not None and len(view.status.contactor_command) == 3 * view.facts.strings
        else np.zeros(3 * view.facts.strings, np.uint8)
        for view in views
    ]
    command = np.concatenate(commands)
    if series:
        command = command.reshape(-1, 3).min(axis=0)
    whole = len(connected) == len(views) if series else bool(connected)
    changed = before is None or before.state != state
    return BmsStatus(
        state=state,
        previous_state=state if before is None else before.state if changed else before.previous_state,
        time_in_state_s=0.0 if changed else t_s - entered_s,
        requested_state=wanted,
        reason=reason,
        explanation=_explain(views, state, out),
        contactor_command=command,
        contactors_closed=whole,
        zero_current_requested=zero,
        opening_deadline_s=min(deadlines, default=math.nan) if zero else math.nan,
        charge_allowed=limits.charge_current_a > 0.0,
        discharge_allowed=limits.discharge_current_a > 0.0,
        balancing_allowed=any(s.balancing_allowed for s in said),
        heating_allowed=any(s.heating_allowed for s in said),
        cooling_required=any(s.cooling_required for s in said),
        inhibits=codes,
        inhibit_texts=texts,
        start_count=max((s.start_count for s in said), default=1),
        valid_for_s=_VALID_S,
    )


def _inhibits(
    views: Sequence[PackView], limits: FinalLimits, out: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Give what is forbidden: for the whole by its limits, and why each pack that is out is out."""
    codes, texts = [], []
    for what, current, reason in (
        ("charge", limits.charge_current_a, limits.charge_reason),
        ("discharge", limits.discharge_current_a, limits.discharge_reason),
    ):
        if current <= 0.0:
            codes.append(f"{what}:{reason}")
            texts.append(f"{what.capitalize()} is forbidden: {reason}.")
    for name, why in out.items():
        codes.append(f"pack_{name}:left_out")
        texts.append(f"{name} is not connected: {why}")
    for view in views:
        if view.status is None:
            continue
        for code, text in zip(view.status.inhibits, view.status.inhibit_texts, strict=False):
            if not code.startswith(("charge:", "discharge:")):
                kind, _, detail = code.partition(":")
                codes.append(f"pack_{view.name}:{kind}:{detail}")
                texts.append(f"{view.name}: {text}")
    return codes, texts


def aggregate_faults(views: Sequence[PackView], stops_all: Sequence[str] = STOPS_ALL) -> list[SaidFault]:
    """Give the faults of all packs, worst first; each says its pack, and keeps that pack's own cell number.

    A safety fault of a pack that is off the bus, or on its way, opens that pack, not the whole: while another
    one is connected it is said as a warning, so that nobody who reads the faults of the whole trips for it.
    What endangers all (``stops_all``) is not lowered.
    """
    works = any(view.connected for view in views)
    found = []
    for view in views:
        off = view.connection in (Connection.OPEN, Connection.MOVING)
        for fault in view.faults or ():
            lowered = works and off and fault.id not in stops_all
            found.append(
                replace(
                    fault,
                    level=int(min(fault.level, Level.RECOMMENDED) if lowered else fault.level),
                    explanation=f"{view.name} ({view.facts.serial}): {fault.explanation}",
                )
            )
    return sorted(found, key=lambda fault: (-fault.level, fault.state == 0, fault.id))


def not_monitored(views: Sequence[PackView]) -> list[str]:
    """Give the rows of the fault table that some pack cannot monitor."""
    return sorted({row for view in views for row in view.not_monitored})
