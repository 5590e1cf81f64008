"""The pack file: physical facts and limits of one pack, as an immutable, validated model.

One YAML file per pack (``config/packs/<pack>.yaml``). Every key carries its unit. Cells are numbered from 0
at pack negative, string after string. :func:`load_pack` reads the file, the cell file that it names, and
gives both. Limits, contactors and the device have modules of their own; their names are to be had from here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from openbms_core.cell import CellFile
from openbms_core.chemistry import usual_triple
from openbms_core.config_file import (
    ConfigError,
    NonNegative,
    Number,
    Positive,
    StrictModel,
    Unit,
    load_config,
    read_yaml,
)
from openbms_core.pack_contactors import Contactors, Precharge
from openbms_core.pack_device import (
    CommandMap,
    CommandQuantity,
    CommandSignal,
    Count,
    Device,
    Index,
    MessageIntegrity,
    Name,
    Quantity,
    SignalMap,
)
from openbms_core.pack_limits import Limits, LimitTriple, LimpHome
from openbms_core.protection import Protection, with_cell_defaults
from openbms_core.resources import find_config

__all__ = [
    "CommandMap",
    "CommandQuantity",
    "CommandSignal",
    "Contactors",
    "Device",
    "FaultTiming",
    "GatewayQuantity",
    "LimitTriple",
    "Limits",
    "LimpHome",
    "LoadedPack",
    "MessageIntegrity",
    "PackFile",
    "Precharge",
    "Quantity",
    "SignalMap",
    "TemperatureSensor",
    "load_pack",
]


GatewayQuantity = Literal[
    "ignition", "interlock", "emergency_stop", "charging_plug", "actuator_feedback", "auxiliary_power_w"
]
"""What a gateway can bring into the measurement."""


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

    def members(self, actuator: str) -> list[int]:
        """Give the places of an actuator in every per-actuator array: of ``fan`` also ``fan_1``."""
        return [i for i, name in enumerate(self.actuators) if name.lower().startswith(actuator)]

    @property
    def sensor_names(self) -> list[str]:
        """Name of each temperature sensor."""
        return [name for name, _, _ in self.sensors]


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
    """Own times of a fault row, in place of the table's."""

    debounce_s: NonNegative | None = None
    delay_s: NonNegative | None = None
    fault_tolerant_time_s: Positive | None = None
    opening_deadline_s: NonNegative | None = None
    """Deadline for zero current, in place of ``contactors.fault_opening_deadline_s``: an emergency stop may
    want a faster one."""


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
    estimation_method: Literal["auto", "ekf_2rc", "sigma_point", "coulomb_counting"] = "auto"
    """State of charge; ``auto``: the EKF, which is the more accurate on every chemistry measured."""
    gateway_inputs: tuple[GatewayQuantity, ...] = ()
    """What does not come over the pack's own bus, but from vehicle_gateway or actuator_driver (topics
    vehicle_inputs, actuator_feedback); the driver puts it into the measurement. Each needs a maximum age."""
    device: Device

    @model_validator(mode="after")
    def _complete(self) -> PackFile:
        sizes = self.sizes()
        for number, quantity in enumerate(self.gateway_inputs):
            if quantity not in self.measurement.max_age_s:
                raise ValueError(
                    f"gateway_inputs[{number}] is {quantity}, which has no maximum age: add it to "
                    "measurement.max_age_s"
                )
            if any(entry.to == quantity for entry in self.device.signals):
                raise ValueError(
                    f"gateway_inputs[{number}] is {quantity}, which device.signals maps as well: it has one "
                    "source, remove one of the two"
                )
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

    @property
    def longest_opening_s(self) -> float:
        """Time that an opening takes at most, from the request for zero current to open contactors [s]."""
        contactors = self.contactors
        waiting_s = contactors.opening_deadline_s + (contactors.fuse.wait_s if contactors.fuse else 0.0)
        check_s = contactors.opening_time_s + 2.0 * self.measurement.scan_period_s
        return waiting_s + max(check_s, contactors.weld_check_s) + contactors.opening_time_s

    def mapped(self, quantity: str) -> bool:
        """Tell whether the device, or a gateway, gives this quantity."""
        return quantity in self.gateway_inputs or any(entry.to == quantity for entry in self.device.signals)

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


def _usual_limit(path: Path, location: tuple[Hashable, ...]) -> str:
    """Offer the usual triple of the cell's chemistry for a limit that is missing; nothing where it is
    unknown.
    """
    if len(location) < 2 or location[0] != "limits":
        return ""
    try:
        cell = read_yaml(find_config("cells", str(read_yaml(path)[0]["cell"]), beside=path))[0]
        return usual_triple(str(cell["chemistry"]), str(location[1]))
    except (ConfigError, KeyError, TypeError):  # the cell file is wrong as well: that is said later
        return ""


def load_pack(path: str | Path) -> LoadedPack:
    """Load a pack file and the cell file that it names.

    Parameters
    ----------
    path : str or Path
        A path, or the name of a shipped pack (``demo_96s_nmc``). With ``#SERIAL`` behind it the pack has that
        serial number in place of the file's: several equal packs of a system need one file only.

    Returns
    -------
    LoadedPack

    Raises
    ------
    ConfigError
        Either file is absent or wrong; the message names file, line, key, value and cure.
    """
    name, mark, serial = str(path).rpartition("#")
    found = find_config("packs", name if mark else path)
    pack = load_config(found, PackFile, lambda location: _usual_limit(found, location))
    if mark:
        if not serial.strip():
            raise ConfigError(f"{path}: behind '#' stands the serial number of this pack. Give one.")
        pack = pack.model_copy(update={"serial": serial})
    try:
        cell_path = find_config("cells", pack.cell, beside=found)
    except ConfigError as error:
        line = read_yaml(found)[1].get(("cell",), 1)
        raise ConfigError(f"{found}:{line}: cell: {error}") from None
    cell = load_config(cell_path, CellFile)
    topology = pack.topology
    protection = with_cell_defaults(
        pack.protection,
        cell.chemistry,
        cell.capacity_ah * topology.cells_in_parallel,
        topology.cells_in_series,
    )
    return LoadedPack(found.resolve(), pack.model_copy(update={"protection": protection}), cell)
