"""Contactors and precharge, in the pack file."""

from __future__ import annotations

from typing import Literal

from openbms_core.config_file import Positive, StrictModel
from openbms_core.pack_device import Count

__all__ = ["Contactors", "Precharge"]


class Precharge(StrictModel):
    """Voltage-based precharge of the link."""

    voltage_difference_max_v: Positive
    """The main contactor closes when string and link voltage differ by less than this."""
    timeout_s: Positive = 5.0
    attempts: Count = 3
    wait_between_attempts_s: Positive = 3.0


class Contactors(StrictModel):
    """Contactors of each string and how they are moved."""

    authority: Literal["openbms", "device", "none"]
    precharge: Precharge | None = None
    """Absent where a string has no precharge contactor."""
    closing_time_s: Positive = 0.2
    """Within this time feedback must follow a command to close."""
    opening_time_s: Positive = 0.1
    """Within this time feedback must follow a command to open."""
    break_current_a: Positive
    """Contactors are opened above this current only at the deadline."""
    opening_deadline_s: Positive
    """They open whatever flows after this time (limited by what the fuse and the fault allow)."""
    fault_opening_deadline_s: Positive = 0.3
    """The deadline where a safety fault asks for the opening: part of each fault-tolerant time."""
    command_valid_for_s: Positive = 0.5
    """Expiry of the monitor's commands and state in the driver."""
