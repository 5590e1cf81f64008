"""The pack file: physical facts and limits of one pack, as an immutable, validated model.

One YAML file per pack (``config/packs/<pack>.yaml``). Every key carries its unit. Cells are numbered from 0
at pack
negative, string after string. :func:`load_pack` reads the file, the cell file that it names, and gives both.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from openbms_core.cell import CellFile
from openbms_core.config_file import (
    ConfigError,
    Integer,
    NonNegative,
    Number,
    Positive,
    StrictModel,
    Unit,
    load_config,
    read_yaml,
)
from openbms_core.protection import Protection, with_chemistry_defaults
from openbms_core.resources import find_config

__all__ = [
    "CommandMap",
    "CommandSignal",
    "Contactors",
    "Device",
    "LimitTriple",
    "Limits",
    "LoadedPack",
    "MessageIntegrity",
    "PackFile",
    "SignalMap",
    "TemperatureSensor",
    "load_pack",
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

ChecksumKind = Literal["crc8_sae_j1850", "crc8_sae_j1850_zero", "crc8_2f", "xor", "sum", "nibble_sum"]


class LimitTriple(StrictModel):
    """Three nested limits of one quantity (foxBMS: MOL, RSL, MSL)."""

    operating: Number
    """Beyond it power is derated."""
    recommended: Number
    """Beyond it power is zero in the direction that makes it worse."""
    safety: Number
    """Beyond it the contactors open."""


class LimpHome(StrictModel):
    """What is allowed when the estimator's power limits stay away, judged on raw measurements alone."""

    charge_current_a: NonNegative = 0.0
    discharge_current_a: NonNegative
    shutdown_after_s: Positive = 300.0
    """After this time in limp-home current must be zero and the contactors open."""


class Limits(StrictModel):
    """Limit triples of the pack; magnitudes per string, temperatures in degrees Celsius."""

    cell_voltage_max_v: LimitTriple
    cell_voltage_min_v: LimitTriple
    charge_current_max_a: LimitTriple
    discharge_current_max_a: LimitTriple
    charge_temperature_max_degc: LimitTriple
    charge_temperature_min_degc: LimitTriple
    discharge_temperature_max_degc: LimitTriple
    discharge_temperature_min_degc: LimitTriple
    current_deadband_a: Positive
    """Below this magnitude no current flows, as far as the direction of temperature limits goes."""
    limp_home: LimpHome

    @model_validator(mode="after")
    def _nested(self) -> Limits:
        for name in type(self).model_fields:
            triple = getattr(self, name)
            if not isinstance(triple, LimitTriple):
                continue
            values = (triple.operating, triple.recommended, triple.safety)
            ordered = tuple(sorted(values, reverse="_min_" in name))
            if values != ordered:
                order = ">=" if "_min_" in name else "<="
                raise ValueError(
                    f"{name}: operating {order} recommended {order} safety must hold, but they are {values}"
                )
        if self.cell_voltage_min_v.operating >= self.cell_voltage_max_v.operating:
            raise ValueError("cell_voltage_min_v.operating must be below cell_voltage_max_v.operating")
        return self

    def triples(self) -> dict[str, LimitTriple]:
        """Give every limit triple by its name (with its unit as suffix)."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in named.items() if isinstance(value, LimitTriple)}


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


class Module(StrictModel):
    """One module: consecutive cells with a serial number."""

    serial: str = ""
    cells: Count


class TemperatureSensor(StrictModel):
    """A row of like temperature sensors."""

    name: Name
    """Name; ``{i}`` is replaced by the number in the row where ``count`` is above 1."""
    location: Literal["cell", "afe", "ambient", "coolant_in", "coolant_out", "other"]
    count: Count = 1
    first_cell: Index = 0
    cells_each: Index = 0
    """Sensor i is nearest to cells first_cell + i·cells_each … + cells_each - 1 (0: to none)."""

    @model_validator(mode="after")
    def _named(self) -> TemperatureSensor:
        if self.count > 1 and "{i}" not in self.name:
            raise ValueError("a row of several sensors needs '{i}' in its name")
        return self


class Topology(StrictModel):
    """How cells, strings, modules and sensors are arranged."""

    strings: Count = 1
    cells_in_series: Count
    cells_in_parallel: Count = 1
    modules: tuple[Module, ...] = ()
    """Empty: one module a string without serial number."""
    temperature_sensors: tuple[TemperatureSensor, ...] = ()
    actuators: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Topology:
        cells = self.strings * self.cells_in_series
        if self.modules and sum(module.cells for module in self.modules) != cells:
            raise ValueError(
                f"the modules hold {sum(module.cells for module in self.modules)} cells, "
                f"but {self.strings} string(s) of {self.cells_in_series} hold {cells}"
            )
        for row in self.temperature_sensors:
            last = row.first_cell + row.count * row.cells_each
            if last > cells:
                raise ValueError(
                    f"temperature sensors '{row.name}' reach cell {last - 1}, the last cell is {cells - 1}"
                )
        names = self.sensor_names
        if len(set(names)) != len(names):
            raise ValueError(f"two temperature sensors have the same name: {sorted(names)}")
        return self

    @property
    def cell_count(self) -> int:
        """Cells of the whole pack."""
        return self.strings * self.cells_in_series

    @property
    def sensors(self) -> list[tuple[str, str, range]]:
        """Name, location and cells of each temperature sensor, in the order of every per-sensor array."""
        return [
            (
                row.name.replace("{i}", str(i)),
                row.location,
                range(row.first_cell + i * row.cells_each, row.first_cell + (i + 1) * row.cells_each),
            )
            for row in self.temperature_sensors
            for i in range(row.count)
        ]

    @property
    def sensor_names(self) -> list[str]:
        """Name of each temperature sensor."""
        return [name for name, _, _ in self.sensors]


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

    @model_validator(mode="after")
    def _expands(self) -> SignalMap:
        _check_repeat(self.repeat)
        try:
            next(self.expanded(), None)
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"the name holds {error}, which repeat does not define") from None
        return self


class Checksum(StrictModel):
    """Checksum of a message, over its other bytes."""

    signal: Name
    kind: ChecksumKind
    data_id: Annotated[Integer, Field(ge=0, le=0xFFFF)] | None = None
    """Added behind the data before the checksum is computed, as AUTOSAR E2E does."""


class Counter(StrictModel):
    """Alive counter of a message."""

    signal: Name
    modulo: Annotated[Integer, Field(ge=2)] = 16


class MessageIntegrity(StrictModel):
    """What protects messages of the device; ``message`` may hold ``*``."""

    message: Name
    checksum: Checksum | None = None
    counter: Counter | None = None


class CommandSignal(StrictModel):
    """A signal of a command message and what fills it."""

    signal: Name
    source: CommandQuantity | None = None
    """Absent: the constant ``offset``."""
    repeat: Repeat = Field(default_factory=dict)
    first_index: Index = 0
    scale: Number = 1.0
    offset: Number = 0.0


class CommandMap(StrictModel):
    """A message that is sent to the device."""

    message: Name
    repeat: Repeat = Field(default_factory=dict)
    """One message each; the first index of its signals goes on from message to message."""
    period_s: Positive
    signals: tuple[CommandSignal, ...]
    counter: Counter | None = None
    checksum: Checksum | None = None

    @model_validator(mode="after")
    def _expands(self) -> CommandMap:
        _check_repeat(self.repeat)
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


class Measurement(StrictModel):
    """How the pack is measured."""

    scan_period_s: Annotated[Number, Field(ge=0.01, le=1.0)] = 0.1
    max_age_s: dict[Quantity, Positive]
    """Age at which each quantity is stale, by its own clock of reception. Every mapped quantity needs one."""


class UsableWindow(StrictModel):
    """Part of the charge that is offered as 0 to 100 %."""

    min: Unit = 0.0
    max: Unit = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> UsableWindow:
        if self.min >= self.max:
            raise ValueError("min must be below max")
        return self


class FaultTiming(StrictModel):
    """Own debounce and delay of a fault row, in place of the table's."""

    debounce_s: NonNegative | None = None
    delay_s: NonNegative | None = None
    fault_tolerant_time_s: Positive | None = None


class ThermalSafe(StrictModel):
    """Values of the thermal actuators without a fresh command (0…1 of full scale); the heater is always off
    then.
    """

    pump: Unit = 1.0
    fan: Unit = 1.0
    chiller: Unit = 0.0


class PackFile(StrictModel):
    """Model of ``config/packs/<pack>.yaml``."""

    schema_version: Literal[1]
    name: Name
    serial: Name
    manufacturer: str = ""
    cell: Name
    """Name of a shipped cell file, or a path relative to the pack file."""
    topology: Topology
    usable_soc: UsableWindow = UsableWindow()
    limits: Limits
    contactors: Contactors
    measurement: Measurement
    thermal_safe: ThermalSafe = ThermalSafe()
    protection: Protection = Protection()
    faults: dict[str, FaultTiming] = Field(default_factory=dict)
    """Own timing of rows of the fault table, by identifier without the level."""
    estimation_method: Literal["ekf_2rc", "coulomb_counting"] = "ekf_2rc"
    device: Device

    @model_validator(mode="after")
    def _complete(self) -> PackFile:
        sizes = self.sizes()
        for number, entry in enumerate(self.device.signals):
            if entry.to not in self.measurement.max_age_s and entry.max_age_s is None:
                raise ValueError(
                    f"device.signals[{number}] maps {entry.to}, which has no maximum age: "
                    f"add it to measurement.max_age_s"
                )
            last = max(index for index, *_ in entry.expanded())
            if last >= sizes[entry.to]:
                raise ValueError(
                    f"device.signals[{number}] fills {entry.to}[{last}], "
                    f"but this pack has {sizes[entry.to]} of them"
                )
        if self.contactors.authority == "openbms" and not any(
            signal.source == "contactor_positive"
            for command in self.device.commands
            for signal in command.signals
        ):
            raise ValueError(
                "contactors.authority is 'openbms', but no device.commands entry sends contactor_positive; "
                "add one, or set authority to 'device' or 'none'"
            )
        return self

    def sizes(self) -> dict[str, int]:
        """Give the length of each quantity's array in this pack (1 for a scalar)."""
        per_cell = ("cell_voltage_v", "redundant_cell_voltage_v", "cell_balancing")
        per_string = (
            "string_current_a",
            "redundant_string_current_a",
            "string_charge_counter_ah",
            "string_voltage_v",
            "contactor_positive",
            "contactor_negative",
            "contactor_precharge",
        )
        sizes = dict.fromkeys(Quantity.__args__, 1)  # type: ignore[attr-defined]
        sizes |= dict.fromkeys(per_cell, self.topology.cell_count)
        sizes |= dict.fromkeys(per_string, self.topology.strings)
        sizes["temperature_degc"] = len(self.topology.sensor_names)
        sizes["actuator_feedback"] = len(self.topology.actuators)
        return sizes

    def mapped(self, quantity: str) -> bool:
        """Tell whether the device gives this quantity."""
        return any(entry.to == quantity for entry in self.device.signals)

    def max_age_s(self, entry: SignalMap) -> float:
        """Give the age at which a value of this entry is stale."""
        return entry.max_age_s if entry.max_age_s is not None else self.measurement.max_age_s[entry.to]


@dataclass(frozen=True)
class LoadedPack:
    """A pack file and the cell file that it names.

    Attributes
    ----------
    path : Path
        Where the pack file lies (its DBC is relative to it).
    file : PackFile
        The pack.
    cell : CellFile
        Its cell.
    """

    path: Path
    file: PackFile
    cell: CellFile

    @cached_property
    def config_hash(self) -> str:
        """SHA-256 over the content of both files, independent of their layout."""
        content: dict[str, Any] = {
            "pack": self.file.model_dump(mode="json"),
            "cell": self.cell.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_pack(path: str | Path) -> LoadedPack:
    """Load a pack file and the cell file that it names.

    Parameters
    ----------
    path : str or Path
        A path, or the name of a shipped pack (``demo_96s_nmc``).

    Returns
    -------
    LoadedPack

    Raises
    ------
    ConfigError
        Either file is absent or wrong; the message names file, line, key, value and cure.
    """
    found = find_config("packs", path)
    pack = load_config(found, PackFile)
    try:
        cell_path = find_config("cells", pack.cell, beside=found)
    except ConfigError as error:
        line = read_yaml(found)[1].get(("cell",), 1)
        raise ConfigError(f"{found}:{line}: cell: {error}") from None
    cell = load_config(cell_path, CellFile)
    protection = with_chemistry_defaults(pack.protection, cell.chemistry)
    return LoadedPack(found.resolve(), pack.model_copy(update={"protection": protection}), cell)
