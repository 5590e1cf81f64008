"""What happens to frames between the device and the host."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from openbms_core.config_file import Integer, Number, Positive
from openbms_sim.faults.base import Injection, Probability

__all__ = [
    "BitRateMismatch",
    "BusErrors",
    "BusFlood",
    "BusOff",
    "ClockStep",
    "CorruptMessage",
    "CounterJump",
    "DropMessage",
    "DuplicateMessage",
    "FrozenCounter",
    "HubDown",
    "Jitter",
    "LateMessage",
    "LinkDropped",
    "OfMessage",
    "ReorderMessage",
    "SilentBus",
    "WrongChecksum",
    "WrongLength",
]


class OfMessage(Injection):
    """Something is wrong with the frames of a message."""

    message: str
    """Name in the DBC; may hold ``*``."""


class DropMessage(OfMessage):
    """Frames of a message get lost."""

    fault: Literal["drop_message"]
    probability: Probability = 1.0


class LateMessage(OfMessage):
    """Frames of a message come late; their order among themselves stays."""

    fault: Literal["late_message"]
    delay_s: Annotated[Number, Field(gt=0, le=60)]


class DuplicateMessage(OfMessage):
    """Frames of a message come more than once, as from a gateway that repeats."""

    fault: Literal["duplicate_message"]
    copies: Annotated[Integer, Field(ge=1, le=20)] = 1
    probability: Probability = 1.0


class ReorderMessage(OfMessage):
    """Two frames of a message, one after the other, change places."""

    fault: Literal["reorder_message"]
    probability: Probability = 0.5


class CorruptMessage(OfMessage):
    """Bits of a frame flip inside the sender or a gateway, where the bus's own checksum does not see it."""

    fault: Literal["corrupt_message"]
    flips: Annotated[Integer, Field(ge=1, le=64)] = 1
    valid_checksum: bool = False
    """The bits flip before the sender computes the checksum of the frame: nobody can tell."""
    probability: Probability = 1.0


class WrongChecksum(OfMessage):
    """A message has a wrong checksum."""

    fault: Literal["wrong_checksum"]


class WrongLength(OfMessage):
    """Frames of a message have another length; what is missing is cut off, what is more is zero."""

    fault: Literal["wrong_length"]
    length: Annotated[Integer, Field(ge=0, le=8)]


class FrozenCounter(OfMessage):
    """The alive counter of a message stands still."""

    fault: Literal["frozen_counter"]


class CounterJump(OfMessage):
    """The alive counter of a message leaves numbers out, as when frames got lost on the way."""

    fault: Literal["counter_jump"]
    jump: Annotated[Integer, Field(ge=1, le=15)] = 5
    """How many numbers are left out."""
    probability: Probability = 1.0


class SilentBus(Injection):
    """The cable is cut: the device is not heard, and hears nothing."""

    fault: Literal["silent_bus"]


class Jitter(Injection):
    """The frames of a scan come late by a random time up to this one."""

    fault: Literal["jitter"]
    maximum_s: Annotated[Number, Field(gt=0, le=10)]


class BusFlood(Injection):
    """Another node sends without end: frames then share the bus by arbitration at its bit rate.

    With an identifier below all others and ``load`` 1 nothing else gets through any more. With an identifier
    of the device both collide in their data field, which ends in error frames and bus-off.
    """

    fault: Literal["bus_flood"]
    identifier: Annotated[Integer, Field(ge=0, le=0x7FF)] = 0
    load: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Share of the bus that it wants."""
    length: Annotated[Integer, Field(ge=0, le=8)] = 8


class BusOff(Injection):
    """A controller has left the bus after too many errors, until this ends."""

    fault: Literal["bus_off"]
    side: Literal["device", "host"] = "device"


class BitRateMismatch(Injection):
    """The device has another bit rate: no frame can be decoded by the other side."""

    fault: Literal["bit_rate_mismatch"]
    error_frames: bool = True
    """The host's controller reports error frames; many do not, then nothing arrives at all."""
    error_rate_per_s: Positive = 50.0


class BusErrors(Injection):
    """Disturbances: error frames between the others; each also destroys a frame, which is sent again."""

    fault: Literal["bus_errors"]
    rate_per_s: Annotated[Number, Field(gt=0, le=1000)] = 20.0


class LinkDropped(Injection):
    """The host's CAN adapter is unplugged: the hub drops the other clients of the bus and takes none."""

    fault: Literal["link_dropped"]


class HubDown(Injection):
    """The hub is gone: all connections end, nobody listens at its port."""

    fault: Literal["hub_down"]


class ClockStep(Injection):
    """The time of ``/clock`` steps (only where the twin publishes it)."""

    fault: Literal["clock_step"]
    step_s: Number
