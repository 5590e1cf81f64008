"""Bring a running system to where a fault is to come, and back from where it went."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from openbms_bringup.inject.case import Given
from openbms_bringup.inject.outcome import IN_USE
from openbms_bringup.ros.live_system import LiveSystem
from openbms_bringup.ros.remote_system import RemoteSystem
from openbms_core.faults import FaultRow
from openbms_core.types import Level

__all__ = ["NotReadyError", "clear_latched", "prepare", "recover"]

_READY_S = 40.0
_RAMPED_K = 6.0
"""Another temperature than this far away is begun with anew: warming slowly enough would take longer."""
_KELVIN_PER_S = 0.7
_PATIENCE_S = 20.0
"""A system of one's own that has not recovered in this time begins anew."""


class NotReadyError(Exception):
    """The state in which the fault is to come was not reached; the text says why."""


def _surroundings(given: Given) -> list[dict[str, Any]]:
    """What the twin is told beside the fault, all the time."""
    entries: list[dict[str, Any]] = []
    if given.state != "standby":
        entries.append({"fault": "load", "current_a": given.current_a})
    if given.state == "charge":
        entries.append({"fault": "charging_plug", "plugged": True})
    return entries


def prepare(system: RemoteSystem, given: Given, timeout_s: float = _READY_S) -> list[dict[str, Any]]:
    """Bring the system to where the fault is to come; give what the twin is told for that.

    Raises
    ------
    NotReadyError
        It was not reached in time; the text says what stands in the way.
    """
    truth = system.truth()
    # what the twin chose itself is in what it publishes
    if (truth.source if truth is not None else system.parameter("twin", "source")) != "plant":
        raise NotReadyError("the twin replays a recorded test: an operating point needs source: plant")
    if given.clock not in ("system", system.clock):
        raise NotReadyError(f"the processes must take their time from another clock ({given.clock})")
    entries = _surroundings(given)
    if isinstance(system, LiveSystem) and _degc_off(system, given) > _RAMPED_K:
        system.begin_at(given.soc, given.temperature_degc)
    deadline = time.monotonic() + timeout_s
    if system.state() != given.state or not _is_there(system, given):
        if system.state() != "standby":
            system.request("standby")
            _until(system, "standby", deadline)
        _put(system, given)
    system.set_injections(entries)
    if given.state != "standby" and system.state() != given.state:
        while True:
            granted, answer = system.request(given.state)
            if granted:
                break
            if time.monotonic() > deadline:
                raise NotReadyError(f"{given.state} is refused: {answer}")
            clear_latched(system)
            system.wait_news(0.1)
        _until(system, given.state, deadline)
    if given.state != "standby":
        # limits may bind: then what flows is less than what is wanted
        system.wait(lambda: _flows(system, given.current_a), 3.0)
    return entries


def _degc_off(system: RemoteSystem, given: Given) -> float:
    truth = system.truth()
    cores = truth.cell_core_temperature if truth is not None else ()
    return abs(sum(cores) / len(cores) - given.temperature_degc) if len(cores) else 0.0


def _is_there(system: RemoteSystem, given: Given) -> bool:
    truth = system.truth()
    if truth is None or not len(truth.cell_soc):
        return False
    soc = sum(truth.cell_soc) / len(truth.cell_soc)
    degc = sum(truth.cell_core_temperature) / len(truth.cell_core_temperature)
    return abs(soc - given.soc) < 0.03 and abs(degc - given.temperature_degc) < 3.0


def _put(system: RemoteSystem, given: Given) -> None:
    """Bring cells to state of charge and temperature, slowly enough that no sensor looks broken."""
    truth = system.truth()
    if truth is None or _is_there(system, given):
        return
    now_soc = sum(truth.cell_soc) / len(truth.cell_soc)
    now_degc = sum(truth.cell_core_temperature) / len(truth.cell_core_temperature)
    ramp_s = round(
        max(1.0, abs(given.temperature_degc - now_degc) / _KELVIN_PER_S, abs(given.soc - now_soc) * 10.0), 1
    )
    system.set_injections(
        [
            {
                "fault": "condition",
                "soc": given.soc,
                "temperature_degc": given.temperature_degc,
                "ambient_degc": given.temperature_degc,
                "ramp_s": ramp_s,
            }
        ]
    )
    if not system.wait(lambda: _is_there(system, given), ramp_s + 5.0):
        raise NotReadyError("the twin did not reach the condition")
    end = time.monotonic() + 1.0  # the rest of the ramp, and what filters still hold of it
    system.wait(lambda: time.monotonic() > end, 2.0)


def _flows(system: RemoteSystem, current_a: float) -> bool:
    truth = system.truth()
    return truth is not None and abs(sum(truth.string_current) - current_a) < 0.7


def _until(system: RemoteSystem, state: str, deadline: float) -> None:
    if not system.wait(lambda: system.state() == state, deadline - time.monotonic()):
        raise NotReadyError(f"it stays in {system.state()}: {system.explanation}")


def recover(
    system: RemoteSystem, rows: Mapping[str, FaultRow], settle_s: float = 0.5, timeout_s: float = 60.0
) -> str:
    """Take everything back that was broken, and clear faults until the pack is ready again.

    Parameters
    ----------
    system : RemoteSystem
    rows : mapping of str to FaultRow
        Rows of the pack, by identifier.
    settle_s : float
        For this long it must stay ready: a sensor that jumps back to the truth is a jump as well.
    timeout_s : float
        Then it is given up [s].

    Returns
    -------
    str
        Empty: it stands by, or is in use without a fault. Otherwise what stands in the way.
    """
    deadline = time.monotonic() + timeout_s
    ready_s = system.set_injections([])
    while time.monotonic() < deadline:
        # heard anew: a monitor that has died says nothing
        ready = system.state(time.monotonic() - 1.0) in ("standby", *IN_USE)
        blocking = [
            name
            for name, state in system.fault_states().items()
            if state in (1, 2) and name in rows and rows[name].blocks_closing
        ]
        if not ready or blocking:
            ready_s = time.monotonic()
            clear_latched(system)
            if isinstance(system, LiveSystem) and ready_s > deadline - timeout_s + _PATIENCE_S:
                # evidence of a thermal runaway is held for minutes, and a burnt pack is not used again
                system.begin_anew()
        elif time.monotonic() - ready_s >= settle_s:
            clear_latched(system)
            if isinstance(system, LiveSystem) and _warned(system, rows):
                # what the monitor keeps in mind would count in the next case: evidence of a runaway does
                system.renew_monitor()
            return ""
        system.wait_news(0.2)
    return f"{system.state()}: {system.explanation}; faults {', '.join(system.fault_states()) or 'none'}"


def _warned(system: RemoteSystem, rows: Mapping[str, FaultRow]) -> bool:
    return any(
        state == 1 and name in rows and rows[name].level >= Level.RECOMMENDED
        for name, state in system.fault_states().items()
    )


def clear_latched(system: RemoteSystem) -> None:
    """Clear what is latched and can be cleared, and wait until that is heard."""
    latched = {name for name, state in system.fault_states().items() if state == 2}
    if latched:
        system.clear_faults(sorted(latched))
        system.wait(lambda: not latched <= set(system.fault_states()), 1.2)
