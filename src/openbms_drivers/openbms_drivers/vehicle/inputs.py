"""What the vehicle's frames say, as inputs of the pack and as a request."""

from __future__ import annotations

import math
from typing import NamedTuple

from openbms_core.types import UNKNOWN, State, VehicleInputs
from openbms_drivers.gateway.peer import Readings
from openbms_drivers.vehicle.crash import CrashLatch
from openbms_drivers.vehicle.pilot import pilot_current_a

__all__ = ["INPUT_QUANTITIES", "Stop", "read_inputs", "stop_said", "wanted_state"]

INPUT_QUANTITIES = frozenset(
    {
        "ignition", "interlock", "emergency_stop", "crash", "charging_plug", "wants_drive", "wants_charge",
        "wants_connected", "pilot_current_a", "pilot_duty",
    }
)  # fmt: skip
"""What a vehicle's signal can be mapped to."""

_WANTS = {
    "wants_drive": State.DRIVE,
    "wants_charge": State.CHARGE,
    "wants_connected": State.CONNECTED,
}


def _switch(readings: Readings, quantity: str) -> int | None:
    value = readings.value(quantity)
    return None if math.isnan(value) else int(value)


def wanted_state(readings: Readings) -> tuple[State | None, str]:
    """Give what the vehicle asks for now, and why it is unknown.

    Returns
    -------
    State or None
        STANDBY where it asks for nothing; None where a request is unknown, or there are two.
    str
        One sentence; empty if it is known.
    """
    fitted = [name for name in _WANTS if readings.fitted(name)]
    said = {name: _switch(readings, name) for name in fitted}
    if not fitted or any(value is None for value in said.values()):
        return None, "The vehicle's request is unknown." if fitted else ""
    asked = [_WANTS[name] for name, value in said.items() if value == 1]
    if len(asked) > 1:
        return None, f"The vehicle asks for {' and '.join(state.name for state in asked)} at once."
    target = asked[0] if asked else State.STANDBY
    if target == State.DRIVE and readings.fitted("ignition") and _switch(readings, "ignition") == 0:
        return State.STANDBY, "The key is off: a request to drive does not count."
    return target, ""


class Stop(NamedTuple):
    """Whether the vehicle says stop, and whether what is held of a crash has changed."""

    now: bool
    latch_changed: bool


def stop_said(readings: Readings, latch: CrashLatch, *, crash_seen: bool = False) -> Stop:
    """Tell the latch of the crash and give whether everything must be open now.

    Parameters
    ----------
    readings : Readings
        What is known of the vehicle now.
    latch : CrashLatch
    crash_seen : bool
        A frame said it since this was asked last, whatever has been said since.
    """
    crash = 1 if crash_seen else _switch(readings, "crash")
    changed = latch.step(crash, _switch(readings, "ignition"))
    return Stop(latch.latched or _switch(readings, "emergency_stop") == 1, changed)


def read_inputs(readings: Readings, latch: CrashLatch, valid_for_s: float) -> VehicleInputs:
    """Give what is to be published.

    Parameters
    ----------
    readings : Readings
        What is known of the vehicle now.
    latch : CrashLatch
        Told of the crash first.
    valid_for_s : float
        Validity of the message [s].
    """
    said = [_switch(readings, name) for name in ("emergency_stop", "crash") if readings.fitted(name)]
    # pressed where one says so, released only where all do
    stop = 1 if latch.latched or 1 in said else None if None in said or not said else 0
    wanted, why = wanted_state(readings)
    pilot = readings.value("pilot_current_a")
    if not readings.fitted("pilot_current_a"):
        pilot = pilot_current_a(readings.value("pilot_duty"))
    reasons = [why] if why else []
    if latch.latched:
        reasons.append("A crash is held: it ends when it has gone and the key was switched off and on.")
    if missing := readings.why_missing():
        reasons.append(f"Unknown: {', '.join(missing)}.")

    def code(value: int | None) -> int:
        return UNKNOWN if value is None else value

    return VehicleInputs(
        valid_for_s=valid_for_s,
        ignition=code(_switch(readings, "ignition")),
        interlock=code(_switch(readings, "interlock")),
        emergency_stop=code(stop),
        charging_plug=code(_switch(readings, "charging_plug")),
        wanted_state=UNKNOWN if wanted is None else int(wanted),
        crash_latched=latch.latched,
        pilot_current_a=max(pilot, 0.0) if math.isfinite(pilot) else math.nan,
        reason=" ".join(reasons),
    )
