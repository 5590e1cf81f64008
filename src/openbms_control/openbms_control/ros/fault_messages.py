"""Faults to and from their message."""

from __future__ import annotations

from std_msgs.msg import Header

from openbms_control.safety.monitor import Decision
from openbms_core.ros.convert import time_to_msg
from openbms_core.types import FaultState
from openbms_msgs.msg import Fault, FaultArray

__all__ = ["faults_from_msg", "faults_to_msg"]


def faults_to_msg(decision: Decision, header: Header) -> FaultArray:
    """Convert the faults of a decision, worst first."""
    message = FaultArray(header=header, not_monitored=list(decision.not_monitored))
    message.highest_level = -1 if decision.highest_level is None else int(decision.highest_level)
    message.faults = [
        Fault(
            id=entry.row.id,
            level=int(entry.row.level),
            state=int(entry.state),
            first_active=time_to_msg(entry.first_active_s),
            last_seen=time_to_msg(entry.last_seen_s),
            occurrences=entry.occurrences,
            value=entry.value,
            limit=entry.limit,
            unit=entry.row.unit,
            index=entry.index,
            from_record=entry.from_record,
            explanation=entry.row.explanation,
        )
        for entry in decision.faults
    ]
    return message


def faults_from_msg(message: FaultArray) -> list[tuple[str, int]]:
    """Give identifier and level of each active or latched fault."""
    return [(fault.id, fault.level) for fault in message.faults if fault.state != FaultState.PENDING]
