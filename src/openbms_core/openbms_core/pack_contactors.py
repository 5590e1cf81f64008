"""Contactors, precharge, joining of strings and the fuse, in the pack file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from openbms_core.config_file import NonNegative, Number, Positive, StrictModel
from openbms_core.pack_device import Count

__all__ = ["Contactors", "Fuse", "Joining", "Precharge"]


class Precharge(StrictModel):
    """Precharge of the link through a resistor, judged by voltage and current."""

    voltage_difference_max_v: Positive
    """The main contactor closes when string and link voltage differ by less than this (foxBMS v1.11: 1 V)."""
    current_max_a: Positive | None = None
    """… and the string's current is below this (foxBMS v1.11: 50 mA); absent: ``limits.current_deadband_a``.
    Judged where the string's current is measured."""
    timeout_s: Positive = 5.0
    """An attempt is given up after this time."""
    attempts: Count = 3
    """Attempts of one closing, and at the same time what a cold resistor bears in a row."""
    wait_between_attempts_s: Positive = 3.0
    cooling_time_s: Positive = 30.0
    """Time in which the resistor sheds the heat of one full attempt (``timeout_s`` at the full voltage).
    While it has no room for another one nothing is closed."""


class Joining(StrictModel):
    """When a further string may be connected to those that are closed already."""

    voltage_difference_max_v: Positive | None = None
    """Largest difference to the link and to every closed string (foxBMS v1.11: 3 V); absent: that of
    ``precharge``."""
    current_max_a: Positive | None = None
    """Largest current of any string meanwhile (foxBMS v1.11: 20 A); absent: ``break_current_a``."""
    settle_s: Positive = 1.0
    """Both must hold for this long."""


class Fuse(StrictModel):
    """A fuse that breaks what the contactors cannot."""

    current_min_a: Positive
    """From this current on contactors must not break: the fuse melts."""
    wait_s: Positive
    """After the deadline the contactors wait at most so long for the fuse, then they open anyway."""
    rated_current_a: Positive | None = None
    """Rated current of the string's fuse [A]; with ``melting_i2t_a2_s`` the power limits spare it."""
    melting_i2t_a2_s: Positive | None = None
    """Melting integral of its data sheet [A² s]."""
    use: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Part of the melting integral that a pulse may take: a fuse that is loaded often ages."""
    continuous_use: Annotated[Number, Field(gt=0, le=1)] = 0.8
    """Part of the rated current that may flow for ever."""

    @model_validator(mode="after")
    def _both(self) -> Fuse:
        if (self.rated_current_a is None) != (self.melting_i2t_a2_s is None):
            raise ValueError("rated_current_a and melting_i2t_a2_s belong together: give both or neither")
        return self


class Contactors(StrictModel):
    """Contactors of each string and how they are moved."""

    authority: Literal["openbms", "device", "none"]
    takes_requests: bool = True
    """With authority ``device``: it closes and opens when it is asked (``requested_state``). False: it moves
    its switches by its own rules alone, as most smart BMS do; OpenBMS neither asks nor judges them."""
    precharge: Precharge | None = None
    """Absent where a string has no precharge contactor."""
    joining: Joining = Joining()
    closing_time_s: Positive = 0.2
    """Within this time feedback must follow a command to close."""
    opening_time_s: Positive = 0.1
    """Within this time feedback must follow a command to open."""
    break_current_a: Positive
    """Contactors are opened above this current only at the deadline."""
    opening_deadline_s: Positive
    """They open whatever flows after this time (limited by what the fuse and the fault allow)."""
    fault_opening_deadline_s: Positive = 0.3
    """The deadline where a safety fault asks for the opening: part of each fault-tolerant time. A row of the
    fault table may have its own (``faults.<name>.opening_deadline_s``)."""
    fuse: Fuse | None = None
    """Absent: contactors may break whatever flows."""
    weld_check_s: NonNegative = 0.0
    """At an ordinary opening (not by a fault, not out of CHARGE) one contactor of each string opens first;
    the link must fall within this time, else that contactor is welded: only where nothing else feeds the
    link. 0: judged by feedback and current only."""
    link_discharge_time_s: Positive | None = None
    """Within this time after opening the link falls below ``link_safe_voltage_v``, since nothing else feeds
    it; absent: not monitored."""
    link_safe_voltage_v: Positive | None = None
    """Absent: 60 V (UN R100: safe to touch), at most half of an empty string's voltage."""
    key_off_debounce_s: Positive = 1.0
    """Ignition that is off for this long ends DRIVE."""
    command_valid_for_s: Positive = 0.5
    """Expiry of the monitor's commands and state in the driver."""

    @model_validator(mode="after")
    def _asked(self) -> Contactors:
        if not self.takes_requests and self.authority != "device":
            raise ValueError(
                "takes_requests: false is for authority 'device', but authority is "
                f"'{self.authority}': remove it"
            )
        return self

    @property
    def moved_by(self) -> Literal["openbms", "device", "none"]:
        """Who moves them on OpenBMS's behalf: ``none`` too where a device takes no requests."""
        return self.authority if self.takes_requests else "none"
