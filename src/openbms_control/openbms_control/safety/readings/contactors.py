"""Readings of contactors: what follows its command, and current where none may flow."""

from __future__ import annotations

import numpy as np

from openbms_control.safety.readings.facts import (
    CLOSED_STATES,
    BoolArray,
    Circumstances,
    PackFacts,
    Reading,
    ScanReading,
    currents,
    extreme,
)
from openbms_core.types import UNKNOWN, PackMeasurement, State

__all__ = ["CONTACTOR_READINGS"]


def _commanded(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> tuple[BoolArray, BoolArray]:
    """Give which contactors should be closed and which open, long enough to have followed."""
    closed = (now.command == 1) & (now.command_age_s > facts.closing_s)
    opened = (now.command == 0) & (now.command_age_s > facts.opening_s)
    if facts.by_device:  # the device takes its own time and moves its own precharge contactor
        closed &= now.state in CLOSED_STATES
        opened &= now.state in (State.STANDBY, State.FAULT)
        closed[2::3] = opened[2::3] = False
    return closed, opened


def _not_followed(which: int) -> ScanReading:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        if (m.contactor_feedback == UNKNOWN).all():
            return Reading(present=None)
        bad = _commanded(m, facts, now)[which] & (m.contactor_feedback == which)
        return Reading(index=int(np.argmax(bad)) // 3) if bad.any() else Reading(present=False)

    return read


def _current_on_open_string(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    quiet = ((now.command == 0) & (now.command_age_s > facts.quiet_after_s)).reshape(-1, 3)
    positive, negative, precharge = quiet.T
    flows = np.where(negative | (positive & precharge), np.abs(currents(m)), np.nan)
    value, index = extreme(flows, 1.0, float("nan"), False)
    # no string is open: nothing to judge, which is not the same as unknown
    return Reading(value, index, index >= 0) if np.isfinite(currents(m)).all() else Reading(present=None)


CONTACTOR_READINGS: dict[str, ScanReading] = {
    "contactor_not_closed": _not_followed(0),
    "contactor_not_open": _not_followed(1),
    "current_on_open_string": _current_on_open_string,
}
