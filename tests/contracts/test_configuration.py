"""Every file of the shipped configuration loads, and every DBC message is used."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import cantools
import pytest

from openbms_bringup.check import check_file, check_pack
from openbms_bringup.plan import Choices, make_plan
from openbms_bringup.system import load_system
from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_resource
from openbms_drivers.actuators.actuator_file import load_actuators
from openbms_drivers.vehicle.vehicle_file import load_vehicle

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "src" / "openbms_bringup" / "config"
PACKS = sorted((CONFIG / "packs").glob("*.yaml"))
CELLS = sorted((CONFIG / "cells").glob("*.yaml"))
SYSTEMS = sorted((CONFIG / "systems").glob("*.yaml"))
FAULTS = sorted((CONFIG / "faults").glob("*.yaml"))
DEVICES = ROOT / "src" / "openbms_drivers" / "openbms_drivers" / "devices"


def _name(path: Path) -> str:
    return path.stem


def test_there_is_one_of_each_and_nothing_else() -> None:
    assert PACKS and CELLS and SYSTEMS and FAULTS
    assert {path.name for path in CONFIG.iterdir()} == {"packs", "cells", "systems", "faults"}
    assert sorted(CONFIG.rglob("*.yaml")) == sorted([*PACKS, *CELLS, *SYSTEMS, *FAULTS])


@pytest.mark.parametrize("path", [*PACKS, *CELLS, *SYSTEMS, *FAULTS], ids=_name)
def test_it_is_what_openbms_check_calls_good(path: Path) -> None:
    assert ": a good " in check_file(str(path))


@pytest.mark.parametrize("path", CELLS, ids=_name)
def test_every_cell_gives_a_model(path: Path) -> None:
    cell = load_cell(path)
    model = CellModel.from_file(cell)
    empty, full = model.ocv([0.0, 1.0], 25.0)
    assert cell.voltage_min_v - 0.1 <= empty < full <= cell.voltage_max_v + 0.1


@pytest.mark.parametrize("path", PACKS, ids=_name)
def test_every_pack_is_what_driver_and_monitor_take(path: Path) -> None:
    pack = load_pack(path)
    assert pack.file.name == path.stem, "a pack has the name of its file"
    check_pack(pack)


@pytest.mark.parametrize("path", SYSTEMS, ids=_name)
def test_every_system_can_be_planned(path: Path) -> None:
    _, system = load_system(path)
    plan = make_plan(Choices(system=path))
    assert list(plan.parameters) == list(system.instances())


def _messages(pack: LoadedPack) -> set[str]:
    """Give the names of the DBC messages that a pack file asks for, from the file itself."""
    device = pack.file.device
    names = {message for entry in device.signals for _, message, _, _ in entry.expanded()}
    for command in device.commands:
        keys = [{}]
        for key, (first, last) in command.repeat.items():
            keys = [known | {key: value} for known in keys for value in range(first, last + 1)]
        names |= {command.message.format(**known) for known in keys}
    names |= {poll.message for poll in device.polls}
    return names | ({device.trigger_message} if device.trigger_message else set())


def _databases(pack: LoadedPack) -> list[Path]:
    device = pack.file.device
    return [find_resource(name, pack.path).resolve() for name in (device.dbc, *device.more_dbc)]


@pytest.mark.parametrize("path", PACKS, ids=_name)
def test_every_message_that_a_pack_asks_for_is_in_its_dbc(path: Path) -> None:
    pack = load_pack(path)
    known = {
        message.name for file in _databases(pack) for message in cantools.database.load_file(file).messages
    }
    assert _messages(pack) <= known
    for entry in pack.file.device.integrity:
        assert any(fnmatchcase(name, entry.message) for name in known), entry.message


@pytest.mark.parametrize("path", sorted(DEVICES.glob("*/*.dbc")), ids=_name)
def test_every_message_of_a_shipped_dbc_is_used_or_its_readme_says_why_not(path: Path) -> None:
    """A DBC describes a device that others built, of which a pack file may need a part; that part is said."""
    used: set[str] = set()
    if (path.parent / "gateway.yaml").is_file():
        device = load_vehicle(str(path.parent / "gateway.yaml")).file.device
        used |= {entry.message for entry in (*device.signals, *device.commands)}
    if (path.parent / "actuators.yaml").is_file():
        device = load_actuators(str(path.parent / "actuators.yaml")).file.device
        used |= {entry.message for entry in (*device.signals, *device.commands)}
    for file in PACKS:
        pack = load_pack(file)
        if path.resolve() in _databases(pack):
            used |= _messages(pack)
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    known = {message.name for message in cantools.database.load_file(path).messages}
    said = {name for name in known if f"`{name}`" in readme}
    assert known - used - said == set(), "nobody reads or sends these, and the README does not say why"


@pytest.mark.parametrize("folder", sorted(path.parent for path in DEVICES.glob("*/pack.yaml")), ids=_name)
def test_every_device_folder_has_the_same_file_names(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "pack.yaml", f"{folder.name}.dbc"} <= names
    headings = set((folder / "README.md").read_text(encoding="utf-8").splitlines())
    assert {"## Wiring", "## What it gives", "## How it was tested"} <= headings
