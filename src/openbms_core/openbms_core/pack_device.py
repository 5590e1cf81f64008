"""The device on the bus, in the pack file: where each quantity comes from, and what is sent."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from openbms_core.config_file import Integer, Number, Positive, StrictModel
from openbms_core.frame_integrity import CHECKSUM_KINDS
from openbms_core.pack_polls import Poll, check_polls

__all__ = [
    "Checksum",
    "CommandMap",
    "CommandQuantity",
    "CommandSignal",
    "Count",
    "Counter",
    "Device",
    "Index",
    "MessageIntegrity",
    "Name",
    "Poll",
    "Quantity",
    "SignalMap",
]

Count = Annotated[Integer, Field(ge=1)]
Index = Annotated[Integer, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
Repeat = dict[str, tuple[Integer, Integer]]

Quantity = Literal[
    "cell_voltage_v",
    "redundant_cell_voltage_v",
    "cell_balancing",
    "temperature_degc",
    "string_current_a",
    "redundant_string_current_a",
    "string_charge_counter_ah",
    "string_voltage_v",
    "link_voltage_v",
    "contactor_positive",
    "contactor_negative",
    "contactor_precharge",
    "insulation_resistance_ohm",
    "interlock",
    "emergency_stop",
    "ignition",
    "charging_plug",
    "smoke",
    "gas",
    "pressure_pa",
    "supply_voltage_v",
    "coolant_flow_m3_per_s",
    "actuator_feedback",
    "auxiliary_power_w",
    "reported_cell_voltage_minimum_v",
    "reported_cell_voltage_maximum_v",
    "reported_temperature_minimum_degc",
    "reported_temperature_maximum_degc",
    "reported_soc",
    "reported_charge_current_limit_a",
    "reported_discharge_current_limit_a",
]
"""What a signal of the device can be mapped to."""

CommandQuantity = Literal[
    "contactor_positive",
    "contactor_negative",
    "contactor_precharge",
    "requested_state",
    "answered_scan",
    "bleed",
    "heater",
    "pump",
    "fan",
    "chiller",
    "charge_enable",
    "charge_voltage_v",
    "charge_current_a",
]
"""What can be sent to a device."""

StateName = Literal["STANDBY", "DRIVE", "CHARGE", "CONNECTED"]
"""States that can be requested."""

_DataId = Annotated[Integer, Field(ge=0, le=0xFFFF)]
_Register = Annotated[Integer, Field(ge=0, le=0xFFFF_FFFF)]


def _expand(repeat: Repeat, first_index: int) -> Iterator[tuple[int, dict[str, int]]]:
    ranges = [range(first, last + 1) for first, last in repeat.values()]
    for count, values in enumerate(itertools.product(*ranges)):
        yield first_index + count, dict(zip(repeat, values, strict=True))


def _check_repeat(repeat: Repeat) -> None:
    for key, (first, last) in repeat.items():
        if last < first:
            raise ValueError(f"repeat.{key}: the last value {last} is below the first {first}")


class SignalMap(StrictModel):
    """Where a quantity comes from: signals of the DBC, one or a row of them.

    With ``repeat: {m: [0, 7], c: [0, 11]}`` the names may hold ``{m}`` and ``{c}`` (also ``{c:02d}``); the
    last key runs
    fastest and the index of the quantity counts up from ``first_index``.
    """

    to: Quantity
    message: Name
    signal: Name
    repeat: Repeat = Field(default_factory=dict)
    selected_by: dict[str, Name] = Field(default_factory=dict)
    """Where one signal carries the row in turn: key of ``repeat`` to the signal of the same message whose raw
    value says which member the frame holds. ``repeat: {c: [1, 96]}, selected_by: {c: CellId}``: the frame in
    which CellId is 1 holds the first one."""
    first_index: Index = 0
    scale: Number = 1.0
    """The DBC's physical value is multiplied by this (sign flips, unit conversion), after that ``offset`` is
    added."""
    offset: Number = 0.0
    minimum: Number | None = None
    """Plausible range of the quantity, after scale and offset."""
    maximum: Number | None = None
    not_available_raw: tuple[Integer, ...] = ()
    """Raw values by which the device says that it has no value."""
    valid_signal: str | None = None
    """Signal of the same message that tells whether the value is valid (repeat keys allowed)."""
    valid_when: Integer = 1
    true_when: tuple[Integer, ...] = (1,)
    """Raw values that mean on / closed / pressed, for on-off quantities."""
    max_age_s: Positive | None = None
    """Age at which a value is stale; absent: the pack's measurement.max_age_s of this quantity."""

    def expanded(self) -> Iterator[tuple[int, str, str, str | None]]:
        """Give index, message, signal and validity signal of each member of the row."""
        for index, keys in _expand(self.repeat, self.first_index):
            valid = self.valid_signal.format(**keys) if self.valid_signal else None
            yield index, self.message.format(**keys), self.signal.format(**keys), valid

    def selections(self) -> Iterator[tuple[tuple[str, int], ...]]:
        """Give for each member of the row which signals must have which raw value in its frame."""
        for _, keys in _expand(self.repeat, self.first_index):
            yield tuple((signal.format(**keys), keys[key]) for key, signal in self.selected_by.items())

    @model_validator(mode="after")
    def _expands(self) -> SignalMap:
        _check_repeat(self.repeat)
        if unknown := sorted(self.selected_by.keys() - self.repeat.keys()):
            raise ValueError(f"selected_by names the key '{unknown[0]}', which repeat does not define")
        try:
            next(self.expanded(), None)
            next(self.selections(), None)
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"the name holds {error}, which repeat does not define") from None
        return self


class Checksum(StrictModel):
    """Checksum of a message, over its other bytes."""

    signal: Name
    kind: Name
    """A kind of :mod:`openbms_core.frame_integrity`, ``crc`` with the parameters below, or a class of yours:
    ``module:Class`` of an installed module, ``file.py:Class`` of a file beside the pack file."""
    data_id: _DataId | None = None
    """Added behind the data before the checksum is computed, as AUTOSAR E2E does."""
    data_id_first: bool = False
    """Added before the data instead (E2E profile 1)."""
    data_ids: tuple[_DataId, ...] = ()
    """In place of ``data_id``: one for each value of the message's counter (E2E profile 2)."""
    width: Literal[8, 16, 32] | None = None
    """Of ``crc``: bits; the other parameters as the RevEng catalogue gives them."""
    polynomial: _Register | None = None
    initial: _Register | None = None
    final_xor: _Register | None = None
    reflected: bool | None = None

    @model_validator(mode="after")
    def _known(self) -> Checksum:
        own = {"width", "polynomial", "initial", "final_xor", "reflected"}
        given = sorted(name for name in own if getattr(self, name) is not None)
        if self.kind == "crc":
            if self.width is None or self.polynomial is None:
                raise ValueError("kind 'crc' needs width and polynomial (and initial, final_xor, reflected)")
            largest = (1 << self.width) - 1
            for name in ("polynomial", "initial", "final_xor"):
                value = getattr(self, name) or 0
                if value > largest:
                    raise ValueError(f"{name} {value:#x} does not fit in {self.width} bit")
        elif given:
            raise ValueError(f"{given[0]} belongs to kind 'crc', but kind is '{self.kind}'")
        elif ":" not in self.kind and self.kind not in CHECKSUM_KINDS:
            near = difflib.get_close_matches(self.kind, ("crc", *CHECKSUM_KINDS), n=1, cutoff=0.5)
            cure = (
                f"did you mean '{near[0]}'?" if near else f"known are {', '.join(('crc', *CHECKSUM_KINDS))}"
            )
            raise ValueError(
                f"kind '{self.kind}' is not known: {cure} (or 'file.py:Class' for a class of your own)"
            )
        if self.data_ids and self.data_id is not None:
            raise ValueError("give data_id or data_ids, not both")
        return self


class Counter(StrictModel):
    """Alive counter of a message."""

    signal: Name
    modulo: Annotated[Integer, Field(ge=2)] = 16


def _check_data_ids(checksum: Checksum | None, counter: Counter | None) -> None:
    if checksum is None or not checksum.data_ids:
        return
    if counter is None:
        raise ValueError("checksum.data_ids are chosen by the counter of the message: add counter")
    if len(checksum.data_ids) < counter.modulo:
        raise ValueError(
            f"checksum.data_ids holds {len(checksum.data_ids)} values, but the counter has {counter.modulo}"
        )


class MessageIntegrity(StrictModel):
    """What protects messages of the device; ``message`` may hold ``*``."""

    message: Name
    checksum: Checksum | None = None
    counter: Counter | None = None

    @model_validator(mode="after")
    def _counted(self) -> MessageIntegrity:
        _check_data_ids(self.checksum, self.counter)
        return self


class CommandSignal(StrictModel):
    """A signal of a command message and what fills it."""

    signal: Name
    source: CommandQuantity | None = None
    """Absent: the constant ``offset``."""
    repeat: Repeat = Field(default_factory=dict)
    first_index: Index = 0
    scale: Number = 1.0
    offset: Number = 0.0
    states: dict[StateName, Number] = Field(default_factory=dict)
    """With source ``requested_state``: what the device calls each state. Those that are not named are
    ``offset``. Absent: the numbers of BmsState.msg."""

    @model_validator(mode="after")
    def _of_states(self) -> CommandSignal:
        if self.states and self.source != "requested_state":
            raise ValueError(
                f"states is for source requested_state, but source is '{self.source}': remove it, or correct "
                "the source"
            )
        return self


class CommandMap(StrictModel):
    """A message that is sent to the device."""

    message: Name
    repeat: Repeat = Field(default_factory=dict)
    """One message each; the first index of its signals goes on from message to message."""
    period_s: Positive
    timed_by: Literal["loop", "kernel"] = "loop"
    """``kernel``: for a device that counts the milliseconds between two frames. SocketCAN's broadcast manager
    repeats the frame, and stops by itself at most five periods after the driver's loop has wound it up last;
    other interfaces are served by the loop."""
    signals: tuple[CommandSignal, ...]
    counter: Counter | None = None
    checksum: Checksum | None = None

    @model_validator(mode="after")
    def _repeats(self) -> CommandMap:
        if self.timed_by == "kernel":
            if self.counter is not None:
                raise ValueError(
                    "timed_by: kernel repeats a frame as it is, so its counter would stand still: remove one"
                )
            if any(item.source == "answered_scan" for item in self.signals):
                raise ValueError(
                    "timed_by: kernel keeps a period, but answered_scan changes the frame with each scan: "
                    "remove one"
                )
        return self

    @model_validator(mode="after")
    def _expands(self) -> CommandMap:
        _check_repeat(self.repeat)
        _check_data_ids(self.checksum, self.counter)
        keys = {key: first for key, (first, _) in self.repeat.items()}
        for text, own in ((self.message, {}), *((item.signal, item.repeat) for item in self.signals)):
            _check_repeat(own)
            if both := sorted(keys.keys() & own.keys()):
                raise ValueError(f"repeat.{both[0]}: the message and its signal '{text}' both define it")
            try:
                text.format(**keys, **{key: first for key, (first, _) in own.items()})
            except (KeyError, ValueError, IndexError) as error:
                raise ValueError(f"the name '{text}' holds {error}, which repeat does not define") from None
        return self


class Device(StrictModel):
    """The device on the bus and how its messages are read and written."""

    type: Name
    """Folder in openbms_drivers/devices; ``generic`` for a DBC that needs no code of its own."""
    dbc: Name
    """Path relative to the pack file, or ``package://openbms_drivers/…`` for a shipped one."""
    more_dbc: tuple[Name, ...] = ()
    """DBCs of further devices on the same bus, such as a current sensor: their messages are mapped and sent
    as those of ``dbc``. No two may have a message of the same name or identifier."""
    bitrate_bit_per_s: Count = 500_000
    silent_after_s: Positive = 1.0
    """Without a frame of the pack for this long the bus counts as silent."""
    trigger_message: str | None = None
    """A scan is closed when this message arrives; absent: by time alone."""
    record_frames: bool = False
    """Publish can_rx and can_tx."""
    integrity: tuple[MessageIntegrity, ...] = ()
    signals: Annotated[tuple[SignalMap, ...], Field(min_length=1)]
    commands: tuple[CommandMap, ...] = ()
    polls: tuple[Poll, ...] = ()
    """What is asked for beside what the device sends by itself."""

    @model_validator(mode="after")
    def _polls_differ(self) -> Device:
        check_polls(self.polls)
        return self
