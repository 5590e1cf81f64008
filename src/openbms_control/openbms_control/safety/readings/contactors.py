"""Readings of contactors: what follows its command, and current where none may flow."""

from __future__ import annotations

import numpy as np

from openbms_control.safety.readings.facts import (
    CLOSED_STATES,
    BoolArray,
    Circumstances,
    ClockReading,
    PackFacts,
    Reading,
    ScanReading,
)
from openbms_control.safety.readings.values import extreme
from openbms_core.types import UNKNOWN, PackMeasurement, State, Validity

__all__ = ["CONTACTOR_CLOCK_READINGS", "CONTACTOR_READINGS"]


def _commanded(facts: PackFacts, now: Circumstances) -> tuple[BoolArray, BoolArray]:
    """Give which contactors should be closed and which open, long enough to have followed."""
    closed = (now.command == 1) & (now.command_age_s > facts.closing_s)
    opened = (now.command == 0) & (now.command_age_s > facts.opening_s)
    if facts.by_device:  # the device takes its own time and moves its own precharge contactor
        closed &= now.state in CLOSED_STATES
        opened &= now.state in (State.STANDBY, State.FAULT)
        closed[2::3] = opened[2::3] = False
    return closed, opened


def _not_closed(*, dropped: bool) -> ScanReading:
    """Make the reading of contactors that report open: they have been closed before, or never."""

    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        if (m.contactor_feedback == UNKNOWN).all():
            return Reading(present=None)
        bad = _commanded(facts, now)[0] & (m.contactor_feedback == 0) & ~now.covered
        return _first(bad & (now.seen_closed == dropped))

    return read


def _first(bad: BoolArray) -> Reading:
    return Reading(index=int(np.argmax(bad)) // 3) if bad.any() else Reading(present=False)


def _not_open(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    """Read welds from feedback, and from what the link voltage said while contactors moved."""
    told = now.news.get("contactor_not_open")
    if told is not None:
        return Reading(index=told[1])
    if (m.contactor_feedback == UNKNOWN).all():
        return Reading(present=None)
    return _first(_commanded(facts, now)[1] & (m.contactor_feedback == 1))


def _link_live(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    if m.link_voltage_validity != Validity.VALID:
        return Reading(present=None)
    resting = bool((now.command == 0).all()) and float(now.command_age_s.min()) > facts.link_discharge_s
    # a charger that is plugged in may hold the link up
    return Reading(m.link_voltage_v, present=resting and m.charging_plug != 1)


def _current_on_open_string(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    values = facts.values(m)
    if not values.currents_known:
        return Reading(present=None)
    quiet = ((now.command == 0) & (now.command_age_s > facts.quiet_after_s)).reshape(-1, 3)
    positive, negative, precharge = quiet.T
    flows = np.where(negative | (positive & precharge), np.abs(values.currents), np.nan)
    value, index = extreme(flows, 1.0, float("nan"), False)
    # no string is open: nothing to judge, which is not the same as unknown
    return Reading(value, index, index >= 0)


CONTACTOR_READINGS: dict[str, ScanReading] = {
    "contactor_failed_to_close": _not_closed(dropped=False),
    "contactor_dropped": _not_closed(dropped=True),
    "contactor_not_open": _not_open,
    "link_live": _link_live,
    "current_on_open_string": _current_on_open_string,
}


def _told(quantity: str) -> ClockReading:
    def read(now: Circumstances) -> Reading:
        told = now.news.get(quantity)
        return Reading(present=False) if told is None else Reading(*told)

    return read


CONTACTOR_CLOCK_READINGS: dict[str, ClockReading] = {
    "precharge_failed": lambda now: Reading(present=now.precharge_failed),
    **{
        quantity: _told(quantity)
        for quantity in (
            "opened_under_load",
            "string_isolated",
            "precharge_aborted_voltage",
            "precharge_aborted_current",
        )
    },
}
"""What happened to contactors between scans."""
