"""Which cell and which temperature sensor of a pack is wired to which input of the device openbms_cmu.

The pack file says it: its signal map names the message and signal that each value comes from. So any pack of
1 to 96 cells can be simulated; inputs to which nothing is wired say *not available*, frames without any wired
cell are not sent, and neither are those of a cell-monitoring unit that the pack does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_core.pack import PackFile

__all__ = ["CELLS_EACH", "MODULES", "SENSORS_EACH", "SensorNames", "Wiring", "wiring_of"]

IntArray = NDArray[np.int_]

MODULES, CELLS_EACH, SENSORS_EACH = 8, 12, 4
"""Cell-monitoring units that a device can have; cells and temperature inputs of one."""

_CELL = re.compile(r"Cmu([0-7])_CellVoltages\.Cell(0\d|1[01])_Voltage")
_SENSOR = re.compile(r"Cmu([0-7])_Temperatures\.Sensor([0-3])_Temperature")
_DIE = re.compile(r"Cmu([0-7])_Status\.DieTemperature")
_PACK_SENSORS = ("AmbientTemperature", "CoolantInTemperature", "CoolantOutTemperature")


@dataclass(frozen=True)
class SensorNames:
    """Temperature sensors in the order of the pack file: name, location, nearest cells, front end of each."""

    names: list[str]
    locations: list[str]
    cells: list[range]
    modules: list[int]
    """Cell-monitoring unit that reads the sensor (whose own temperature it is, where ``location`` is
    ``afe``); -1: the pack controller."""


@dataclass(frozen=True)
class Wiring:
    """Inputs of the device and what of the pack is wired to them; -1: nothing.

    Attributes
    ----------
    cells : ndarray of int, shape (8, 12)
        Cell of the pack at each input of each cell-monitoring unit.
    sensors : ndarray of int, shape (8, 4)
        Temperature sensor of the pack at each temperature input of each unit.
    dies : ndarray of int, shape (8,)
        Temperature sensor of the pack that is the unit's own temperature.
    pack_sensors : dict of str to int
        Temperature sensor of the pack by signal of ``Pack_Thermal``.
    module_of : ndarray of int, shape (cells of the pack,)
        Unit that reads each cell.
    modules : tuple of int
        Units that the pack has.
    groups : dict of int to tuple of int
        By unit: multiplexer values of its cell voltages with at least one wired cell.
    """

    cells: IntArray
    sensors: IntArray
    dies: IntArray
    pack_sensors: dict[str, int]
    module_of: IntArray
    modules: tuple[int, ...]
    groups: dict[int, tuple[int, ...]]

    @property
    def cell_count(self) -> int:
        """Cells of the pack."""
        return int(self.module_of.size)

    def sent_each_scan(self, message: str) -> int:
        """Tell how many frames of a message of ``openbms_cmu.dbc`` a scan of this pack has."""
        unit = re.match(r"(?:Cmu|Bms_Balancing)([0-7])", message)
        if unit is None:
            return 1
        if int(unit[1]) not in self.modules:
            return 0
        return len(self.groups[int(unit[1])]) if message.endswith("_CellVoltages") else 1


def _rows(pack: PackFile, quantity: str) -> Iterator[tuple[int, str]]:
    for entry in pack.device.signals:
        if entry.to == quantity:
            yield from ((index, f"{message}.{signal}") for index, message, signal, _ in entry.expanded())


def _wire(pack: PackFile, table: IntArray, place: tuple[int, ...], quantity: str, index: int) -> None:
    if table[place] >= 0:
        raise ConfigError(
            f"{pack.name}: device.signals: {quantity}[{index}] and {quantity}[{table[place]}] come from the "
            "same input of the device: only one can be wired to it. Correct one of the two."
        )
    table[place] = index


def _foreign(pack: PackFile, quantity: str, index: int, place: str, known: str) -> ConfigError:
    return ConfigError(
        f"{pack.name}: device.signals: {quantity}[{index}] comes from {place}, which the twin's device "
        f"openbms_cmu does not have: {known}."
    )


def wiring_of(pack: PackFile) -> tuple[Wiring, SensorNames]:
    """Read the wiring of a pack off its signal map.

    Parameters
    ----------
    pack : PackFile
        A pack of one string on the device openbms_cmu.

    Returns
    -------
    Wiring, SensorNames

    Raises
    ------
    ConfigError
        A cell or sensor is wired to nothing, to an input that the device does not have, or to one that is
        taken.
    """
    cells = np.full((MODULES, CELLS_EACH), -1)
    sensors, dies = np.full((MODULES, SENSORS_EACH), -1), np.full(MODULES, -1)
    module_of = np.full(pack.topology.cell_count, -1)
    for index, place in _rows(pack, "cell_voltage_v"):
        found = _CELL.fullmatch(place)
        if found is None:
            raise _foreign(
                pack, "cell_voltage_v", index, place, "it has Cell00_Voltage to Cell11_Voltage of "
                "Cmu0_CellVoltages to Cmu7_CellVoltages"
            )  # fmt: skip
        _wire(pack, cells, (int(found[1]), int(found[2])), "cell_voltage_v", index)
        if module_of[index] >= 0:
            raise ConfigError(
                f"{pack.name}: device.signals: cell_voltage_v[{index}] comes from two inputs of the device. "
                "Remove one."
            )
        module_of[index] = int(found[1])
    if (module_of < 0).any():
        raise ConfigError(
            f"{pack.name}: device.signals: cell_voltage_v[{int(np.argmin(module_of))}] comes from nowhere: "
            "the twin needs an input of a cell-monitoring unit for each cell. Map it."
        )
    names = SensorNames([], [], [], [])
    for name, location, near in pack.topology.sensors:
        names.names.append(name)
        names.locations.append(location)
        names.cells.append(near)
        names.modules.append(-1)
    pack_sensors: dict[str, int] = {}
    for index, place in _rows(pack, "temperature_degc"):
        if found := _SENSOR.fullmatch(place):
            _wire(pack, sensors, (int(found[1]), int(found[2])), "temperature_degc", index)
            names.modules[index] = int(found[1])
        elif found := _DIE.fullmatch(place):
            _wire(pack, dies, (int(found[1]),), "temperature_degc", index)
            names.modules[index] = int(found[1])
        elif place in [f"Pack_Thermal.{signal}" for signal in _PACK_SENSORS]:
            pack_sensors[place.partition(".")[2]] = index
        else:
            raise _foreign(
                pack, "temperature_degc", index, place, "it has Sensor0_Temperature to Sensor3_Temperature "
                "of Cmu0_Temperatures to Cmu7_Temperatures, DieTemperature of Cmu0_Status to Cmu7_Status, "
                f"and {', '.join(_PACK_SENSORS)} of Pack_Thermal"
            )  # fmt: skip
    modules = tuple(sorted({int(module) for module in module_of}))
    groups = {
        module: tuple(group for group in range(4) if (cells[module, 3 * group : 3 * group + 3] >= 0).any())
        for module in modules
    }
    return Wiring(cells, sensors, dies, pack_sensors, module_of, modules, groups), names
