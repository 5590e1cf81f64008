"""What the safety monitor says of a log: scans in, verdicts out, by the log's own time.

A log cannot be commanded. So the monitor judges what was measured, as if the contactors belonged to somebody
else (``contactors.authority: none``), and with power limits that allow everything, since no estimator runs:
rows about contactors that do not obey and about estimators are not judged.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from openbms_control.safety.decision import Decision
from openbms_control.safety.monitor import SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.pack import LoadedPack
from openbms_core.types import FaultState, PackMeasurement, PowerLimits, State
from openbms_drivers.log.scan_digest import ScanDigest

__all__ = ["LogVerdicts"]

_ANYTHING = PowerLimits(
    stamp_s=0.0,
    scan_number=0,
    horizons_s=np.array([10.0]),
    charge_current_a=np.array([1e6]),
    charge_current_std_a=np.zeros(1),
    discharge_current_a=np.array([1e6]),
    discharge_current_std_a=np.zeros(1),
    charge_power_w=np.array([1e9]),
    discharge_power_w=np.array([1e9]),
    charge_reason=["no estimator in a replay"],
    charge_cell=np.zeros(1, np.int32),
    discharge_reason=["no estimator in a replay"],
    discharge_cell=np.zeros(1, np.int32),
    valid_for_s=1e6,
)


class LogVerdicts:
    """Runs the monitor over the scans of a log.

    Parameters
    ----------
    pack : LoadedPack
        The pack.

    Attributes
    ----------
    events : list of dict
        Each change of a fault or of the state: ``time_s``, ``what``, and what there is to say.
    digest : ScanDigest
        Over all decisions.
    decision : Decision or None
        The last one.
    """

    def __init__(self, pack: LoadedPack) -> None:
        contactors = pack.file.contactors.model_copy(update={"authority": "none", "takes_requests": True})
        watched = replace(pack, file=pack.file.model_copy(update={"contactors": contactors}))
        self._monitor = SafetyMonitor(watched, FaultRecord(pack.file.serial), simulated_time=True)
        self.events: list[dict[str, Any]] = []
        self.digest = ScanDigest()
        self.decision: Decision | None = None
        self._faults: dict[str, FaultState] = {}
        self._state: State | None = None

    def step(self, scan: PackMeasurement, at_s: float) -> Decision:
        """Judge one scan.

        Parameters
        ----------
        scan : PackMeasurement
        at_s : float
            When it was closed [s, monotonic time of the log].
        """
        monitor = self._monitor
        monitor.take_power_limits(_ANYTHING, at_s)
        decision = self.decision = monitor.step(scan, at_s, scan.stamp_s)
        if decision.status.state == State.STANDBY:
            monitor.request(State.CONNECTED, at_s)
        self._note(decision, at_s)
        self.digest.add(
            int(decision.status.state),
            decision.status.explanation,
            decision.limits,
            [(entry.row.id, int(entry.state), entry.index) for entry in decision.faults],
        )
        return decision

    def _note(self, decision: Decision, at_s: float) -> None:
        state = decision.status.state
        if state != self._state:
            self.events.append(
                {
                    "time_s": round(at_s, 6),
                    "what": "state",
                    "state": state.name,
                    "why": decision.status.reason,
                }
            )
            self._state = state
        now: dict[str, FaultState] = {
            entry.row.id: entry.state for entry in decision.faults if entry.state != FaultState.PENDING
        }
        for entry in decision.faults:
            row = entry.row
            if row.id in now and self._faults.get(row.id) != entry.state:
                self.events.append(
                    {
                        "time_s": round(at_s, 6),
                        "what": "fault",
                        "fault": row.id,
                        "state": entry.state.name,
                        "level": row.level.name,
                        "value": float(f"{entry.value:.9g}") if math.isfinite(entry.value) else None,
                        "unit": row.unit,
                        "index": entry.index,
                    }
                )
        self.events += [
            {"time_s": round(at_s, 6), "what": "fault", "fault": row, "state": "GONE"}
            for row in self._faults
            if row not in now
        ]
        self._faults = now

    def summary(self) -> dict[str, Any]:
        """Give the verdicts, for JSON."""
        decision = self.decision
        raised = [event for event in self.events if event["what"] == "fault" and event["state"] == "ACTIVE"]
        counts: dict[str, int] = {}
        for event in raised:
            counts[event["fault"]] = counts.get(event["fault"], 0) + 1
        return {
            "faults": dict(sorted(counts.items())),
            "last_state": None if decision is None else decision.status.state.name,
            "events": self.events,
            "not_monitored": [] if decision is None else list(decision.not_monitored),
        }
