"""Readings of the processes themselves, most of them judged on every call and not from a scan."""

from __future__ import annotations

from openbms_control.safety.readings.facts import Circumstances, ClockReading, PackFacts, Reading, ScanReading
from openbms_core.types import PackMeasurement, State

__all__ = ["SYSTEM_CLOCK_READINGS", "SYSTEM_READINGS"]


def _driver_restarted(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=now.driver_restarted and now.state not in (State.INIT, State.STANDBY, State.FAULT))


SYSTEM_READINGS: dict[str, ScanReading] = {
    "driver_restarted": _driver_restarted,
}

SYSTEM_CLOCK_READINGS: dict[str, ClockReading] = {
    "measurement_age": lambda now: Reading(now.measurement_age_s),
    "estimator_age": lambda now: Reading(now.estimator_age_s, present=not now.estimator_fresh),
    "monitor_gap": lambda now: Reading(
        now.monitor_gap_s, present=now.state not in (State.INIT, State.STANDBY, State.FAULT)
    ),
    "limp_home_expired": lambda now: Reading(present=now.limp_home_expired),
    "config_mismatch": lambda now: Reading(present=now.config_mismatch),
    "scan_repeated": lambda now: Reading(present=now.scan_repeated),
    "clock_step": lambda now: Reading(abs(now.clock_step_s)),
    "monitor_died": lambda now: Reading(present=now.monitor_died),
    "record_corrupt": lambda now: Reading(present=now.record_corrupt),
    "record_not_written": lambda now: Reading(present=now.record_not_written),
}
"""How each quantity that is judged on every call is read from what the monitor knows."""
