"""A profile: what one brand of inverter wants to hear, as data.

Frames, order, cycle, units, byte order and name strings, what the maker's limits are, what is sent in which
situation, and how the inverter is supervised. A new brand is a new YAML file; the code knows no brand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from openbms_core.config_file import (
    ConfigError,
    Integer,
    NonNegative,
    Number,
    Positive,
    StrictModel,
    load_config,
)
from openbms_drivers.devices.inverter_lv.vocabulary import Item, TextName, Value

__all__ = [
    "Bits",
    "FrameSpec",
    "NumberField",
    "Pairs",
    "Profile",
    "SituationRow",
    "TextField",
    "find_profile",
    "load_profile",
    "shipped_profiles",
]

_FOLDER = Path(__file__).parent / "profiles"
Byte = Annotated[Integer, Field(ge=0, le=7)]
Octet = Annotated[Integer, Field(ge=0, le=255)]
NumberType = Literal["u8", "u16", "s16", "u32"]
SIZES = {"u8": 1, "u16": 2, "s16": 2, "u32": 4}


class NumberField(StrictModel):
    """A number in a frame."""

    value: Value
    byte: Byte
    type: NumberType = "u16"
    resolution: Positive = 1.0
    """Value of one count, in the unit of the value (``soc`` and ``soh`` are 0 … 1: 0.01 is one percent)."""
    sign: Literal[1, -1] = 1
    """-1 where the maker counts discharging as positive (``battery_current_a``)."""
    minimum: Number | None = None
    maximum: Number | None = None
    """Range that the maker allows [unit of the value]; what lies outside is sent as its nearest end."""
    unknown_raw: Integer | None = None
    """The maker's code for an unknown value; without one the whole frame is withheld."""


class Bits(StrictModel):
    """Yes-or-no items, one bit each."""

    byte: Byte
    bits: dict[Annotated[int, Field(ge=0, le=7)], tuple[Item, ...]]
    """Items of a bit: it is set where one of them holds."""


class Pairs(StrictModel):
    """Items of two bits: 1 raised, 2 cleared; 0 (ignored) for what is not monitored."""

    byte: Byte
    pairs: dict[Literal[0, 2, 4, 6], tuple[Item, ...]]
    cleared: Literal[0, 2] = 2
    """What is sent for an item that does not hold: 0 where the maker was seen to send that."""


class TextField(StrictModel):
    """ASCII text, cut or padded to its length."""

    byte: Byte = 0
    length: Annotated[Integer, Field(ge=1, le=8)] = 8
    text: str | None = None
    """The text itself …"""
    source: TextName | None = None
    """… or where it comes from."""
    padding: Octet = 0x20

    @model_validator(mode="after")
    def _one(self) -> TextField:
        if (self.text is None) == (self.source is None):
            raise ValueError("give either 'text' or 'source'")
        if self.text is not None and (not self.text.isascii() or len(self.text) > self.length):
            raise ValueError(f"text {self.text!r} must be ASCII and not longer than {self.length}")
        return self


class FrameSpec(StrictModel):
    """One frame."""

    id: Annotated[Integer, Field(ge=0, le=0x7FF)]
    length: Annotated[Integer, Field(ge=1, le=8)] = 8
    fill: Octet = 0
    """Bytes that nothing else fills."""
    every: Annotated[Integer, Field(ge=1)] = 1
    """Sent in each so many-th cycle."""
    numbers: tuple[NumberField, ...] = ()
    bits: tuple[Bits, ...] = ()
    pairs: tuple[Pairs, ...] = ()
    texts: tuple[TextField, ...] = ()
    constants: dict[Annotated[int, Field(ge=0, le=7)], Octet] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> FrameSpec:
        taken: dict[int, str] = {}
        spans = [
            *((field.value, field.byte, SIZES[field.type]) for field in self.numbers),
            *((f"bits of byte {field.byte}", field.byte, 1) for field in self.bits),
            *((f"pairs of byte {field.byte}", field.byte, 1) for field in self.pairs),
            *((field.text or field.source or "", field.byte, field.length) for field in self.texts),
            *((f"constant {byte}", byte, 1) for byte in self.constants),
        ]
        for name, first, size in spans:
            if first + size > self.length:
                raise ValueError(
                    f"{name} ends with byte {first + size - 1}, the frame has {self.length} bytes"
                )
            for byte in range(first, first + size):
                if byte in taken:
                    raise ValueError(f"byte {byte} holds both {taken[byte]} and {name}")
                taken[byte] = name
        return self

    @property
    def tells_limits(self) -> bool:
        """The inverter must hear at once when this gets smaller: limits, enables, alarms."""
        limits = any(field.value.endswith("_current_limit_a") for field in self.numbers)
        return limits or bool(self.bits or self.pairs)


class SituationRow(StrictModel):
    """What is sent in one situation. Limits are zero in all but ``connected``; that is not for a profile."""

    send: bool = True
    alarms: tuple[Item, ...] = ()
    """Items that are raised whatever the faults say."""
    silent_after_s: NonNegative | None = None
    """Frames stop when the situation has lasted this long: for inverters that go on using a battery whose
    limits are zero, but stop where it is silent. Absent: never."""


class Situations(StrictModel):
    """The table of situations; see :mod:`openbms_drivers.devices.inverter_lv.situation` for what each is."""

    starting: SituationRow = SituationRow(send=False)
    standby: SituationRow = SituationRow()
    opening: SituationRow = SituationRow()
    fault: SituationRow = SituationRow(alarms=("alarm_bms_internal",))
    lost: SituationRow = SituationRow(alarms=("alarm_bms_internal",))


class ChargeVoltage(StrictModel):
    """How the charge-voltage limit is made."""

    minimum_v: Positive
    maximum_v: Positive
    """What the maker accepts; a pack that charges to something else is refused."""
    not_below_battery: bool = False
    """Never below the battery's voltage: the inverter would discharge, whatever the discharge limit says."""
    stops_charging: bool = False
    """Where charging is not allowed the limit goes down to the battery's voltage (never below, never 0): for
    inverters that do not take a current limit of zero for an end."""

    @model_validator(mode="after")
    def _ordered(self) -> ChargeVoltage:
        if self.minimum_v >= self.maximum_v:
            raise ValueError("minimum_v must be below maximum_v")
        return self


class InverterSide(StrictModel):
    """What the inverter sends, and how long it may be away."""

    identifiers: tuple[Annotated[Integer, Field(ge=0, le=0x7FF)], ...] = (0x305,)
    period_s: Positive = 1.0
    lost_after_s: Positive
    note: str = ""


class Profile(StrictModel):
    """Model of a profile file."""

    schema_version: Literal[1]
    name: Annotated[str, Field(min_length=1)]
    description: str
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    bitrate_bit_per_s: Annotated[Integer, Field(ge=1)] = 500_000
    byte_order: Literal["little", "big"] = "little"
    period_s: Positive = 1.0
    gap_s: NonNegative = 0.01
    """Between the frames of a cycle."""
    inhibit_s: NonNegative = 0.1
    """Least time between two frames with the same identifier."""
    smallest_current_a: NonNegative = 0.0
    """Sent in place of a smaller current limit, beside a cleared enable bit: for inverters that do not take a
    zero. With 0 the zero is sent."""
    charge_voltage: ChargeVoltage
    inverter: InverterSide
    situations: Situations = Situations()
    frames: Annotated[tuple[FrameSpec, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> Profile:
        seen: set[int] = set()
        for frame in self.frames:
            if frame.id in seen:
                raise ValueError(f"frame 0x{frame.id:03X} stands twice")
            seen.add(frame.id)
        told = {field.value for frame in self.frames for field in frame.numbers}
        for needed in ("charge_voltage_limit_v", "charge_current_limit_a", "discharge_current_limit_a"):
            if needed not in told:
                raise ValueError(f"no frame tells {needed}: an inverter would take its own")
        if both := seen & set(self.inverter.identifiers):
            raise ValueError(f"0x{min(both):03X} is sent by both the battery and the inverter")
        if self.inhibit_s > self.period_s:
            raise ValueError("inhibit_s must not be longer than period_s")
        return self


def shipped_profiles() -> dict[str, Path]:
    """Give the shipped profiles by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def find_profile(name: str | Path) -> Path:
    """Find a profile by path or by shipped name.

    Raises
    ------
    ConfigError
        There is none; the message lists the shipped names.
    """
    shipped = shipped_profiles()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise ConfigError(
        f"profile {str(name)!r}: there is none. Give the path of a .yaml file, or one of the shipped: "
        f"{', '.join(shipped)}."
    )


def load_profile(name: str | Path) -> Profile:
    """Load a profile by path or by shipped name.

    Raises
    ------
    ConfigError
        The file is absent or wrong; the message names file, line, key, value and cure.
    """
    return load_config(find_profile(name), Profile)
