"""Build a twin, and open its bus, from plain settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.light_can import can
from openbms_core.pack import LoadedPack
from openbms_core.resources import find_resource
from openbms_core.types import State
from openbms_sim.can_hub import CanHub
from openbms_sim.device import Switches
from openbms_sim.frames import Layout, layouts
from openbms_sim.household import Household
from openbms_sim.interface import Source
from openbms_sim.link import Link
from openbms_sim.plant.cell_types import CellType, cell_type
from openbms_sim.plant.pack import PackPlant
from openbms_sim.record import DEFAULT_RECORD, Record, load_record
from openbms_sim.replay import Replay
from openbms_sim.twin import DigitalTwin, check_pack
from openbms_sim.vehicle import Permission, Vehicle
from openbms_sim.wiring import wiring_of

__all__ = [
    "LOADS",
    "REQUESTS",
    "TwinNames",
    "TwinSettings",
    "build_twin",
    "group_ah",
    "load_of",
    "messages_of",
    "names_of",
    "open_bus",
    "open_link",
    "pack_cell",
]

REQUESTS = {"none": None, "drive": State.DRIVE, "charge": State.CHARGE, "connected": State.CONNECTED}
"""What the key can ask for when the system is up."""
LOADS = ("drive", "storage", "none")
_DEFAULT_CHEMISTRY = "nmc"
"""Of the drive cycle that is shipped."""
_SAME_SIZE = (0.5, 1.5)
"""A record of a cell of this many times the capacity of the pack's own is one of such a cell, aged or not."""


@dataclass(frozen=True)
class TwinSettings:
    """What can be set; the twin's ROS parameters of the same names say what each means."""

    source: str = "auto"
    replay_file: str = ""
    replay_soc0: float = -1.0
    replay_capacity_ah: float = -1.0
    time_scale: float = 1.0
    seed: int = 1
    initial_soc: float = 0.8
    ambient_degc: float = 25.0
    load: str = "drive"
    load_factor: float = 1.0
    request_on_start: str = "none"


@dataclass(frozen=True)
class TwinNames:
    """What injections may name."""

    cells: int
    sensors: list[str]
    messages: list[str]
    modules: list[int]


def build_twin(pack: LoadedPack, settings: TwinSettings) -> tuple[DigitalTwin, TwinNames]:
    """Build the twin of a pack.

    Parameters
    ----------
    pack : LoadedPack
        A pack on the device openbms_cmu.
    settings : TwinSettings
        See there.

    Returns
    -------
    DigitalTwin, TwinNames

    Raises
    ------
    ConfigError
        A setting, the record or the pack cannot be used.
    """
    _check(settings)
    check_pack(pack.file)
    messages = messages_of(pack)
    default = not settings.replay_file
    record = load_record(
        settings.replay_file or DEFAULT_RECORD,
        soc0=settings.replay_soc0 if settings.replay_soc0 >= 0.0 else None,
        capacity_ah=settings.replay_capacity_ah if settings.replay_capacity_ah >= 0.0 else None,
        default_capacity_ah=pack.cell.capacity_ah,
    )
    fits = not default or pack.cell.chemistry == _DEFAULT_CHEMISTRY
    if settings.source == "replay" and not fits:
        raise ConfigError(
            f"twin: the recorded test that is shipped is of an {_DEFAULT_CHEMISTRY} cell, this pack has "
            f"{pack.cell.chemistry} cells. Give replay_file, or set source to plant."
        )
    source: Source
    load = None
    if settings.source == "replay" or (settings.source == "auto" and fits):
        source = Replay(
            record, pack.file.topology.cell_count, seed=settings.seed, scale=_replay_scale(pack, record)
        )
    else:
        source = PackPlant(
            pack.file.topology.cell_count,
            soc=settings.initial_soc,
            ambient_degc=settings.ambient_degc,
            seed=settings.seed,
            cell=pack_cell(pack),
        )
        load = load_of(settings.load, group_ah(pack), record, settings.load_factor, settings.seed)
    wanted = REQUESTS[settings.request_on_start]
    twin = DigitalTwin(
        pack.file,
        messages,
        source,
        load=load,
        time_scale=settings.time_scale,
        seed=settings.seed,
        # Plugged in blocks driving, so the plug follows what the key is going to ask for.
        switches=Switches(plugged=wanted is State.CHARGE, ignition=wanted is not State.CHARGE),
    )
    return twin, names_of(pack, messages)


def _check(settings: TwinSettings) -> None:
    if not 0.01 <= settings.time_scale <= 1000.0:
        raise ConfigError(f"twin: time_scale is {settings.time_scale}: it must be between 0.01 and 1000.")
    if not 0.0 <= settings.initial_soc <= 1.0:
        raise ConfigError(f"twin: initial_soc is {settings.initial_soc}: it must be between 0 and 1.")
    for name, value, allowed in (
        ("source", settings.source, ("auto", "plant", "replay")),
        ("load", settings.load, LOADS),
        ("request_on_start", settings.request_on_start, tuple(REQUESTS)),
    ):
        if value not in allowed:
            raise ConfigError(f"twin: {name} is {value!r}: it must be one of {', '.join(allowed)}.")


def group_ah(pack: LoadedPack) -> float:
    """Give the capacity of a pack's parallel group [Ah]."""
    return pack.cell.capacity_ah * pack.file.topology.cells_in_parallel


def _replay_scale(pack: LoadedPack, record: Record) -> float:
    """Tell how many times the record's current flows in the pack.

    A record of a cell like the pack's own flows in each of those that are in parallel; one of a cell of
    another size is taken in C-rate.
    """
    ratio = record.capacity_ah / pack.cell.capacity_ah
    parallel = pack.file.topology.cells_in_parallel
    return float(parallel) if _SAME_SIZE[0] <= ratio <= _SAME_SIZE[1] else parallel / ratio


def pack_cell(pack: LoadedPack, *, capacity: float = 1.0, resistance: float = 1.0) -> CellType:
    """Give the twin's own physics of a pack's parallel groups.

    Parameters
    ----------
    pack : LoadedPack
        Only chemistry and capacity of its cell file are used.
    capacity, resistance : float
        Of an aged pack, as parts of those of a new one.

    Raises
    ------
    ConfigError
        The twin has no physics of the chemistry.
    """
    topology = pack.file.topology
    liquid = bool(topology.members("pump")) or any(
        location in ("coolant_in", "coolant_out") for _, location, _ in topology.sensors
    )
    cell = cell_type(pack.cell.chemistry).sized(
        pack.cell.capacity_ah, topology.cells_in_parallel, coolant=liquid
    )
    if capacity == 1.0 and resistance == 1.0:
        return cell
    p = cell.electrical
    aged = replace(
        p,
        capacity_ah=p.capacity_ah * capacity,
        r0_ohm=p.r0_ohm * resistance,
        r1_ohm=p.r1_ohm * resistance,
        r2_ohm=p.r2_ohm * resistance,
    )
    return replace(cell, electrical=aged)


def load_of(
    name: str, capacity_ah: float, record: Record, factor: float, seed: int
) -> Callable[[Permission, float], float] | None:
    """Give what draws current from a pack.

    Parameters
    ----------
    name : str
        One of ``LOADS``.
    capacity_ah : float
        Of the pack [Ah]: loads are in C-rate.
    record : Record
        The drive cycle.
    factor : float
        Of the load.
    seed : int
        Of what is random in it.
    """
    if name == "drive":
        return Vehicle(record, factor * capacity_ah / record.capacity_ah).current_a
    return Household(capacity_ah, factor, seed=seed).current_a if name == "storage" else None


def messages_of(pack: LoadedPack) -> dict[str, Layout]:
    """Read the DBC of a pack on the device openbms_cmu.

    Raises
    ------
    ConfigError
        A message that the device needs for this pack is not in it.
    """
    path = find_resource(pack.file.device.dbc, pack.path)
    try:
        messages = layouts(str(path))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}. The twin needs openbms_cmu.dbc, or a part of it.") from None
    needed = [*_ALWAYS] + [
        name
        for m in wiring_of(pack.file)[0].modules
        for name in (f"Cmu{m}_CellVoltages", f"Cmu{m}_Temperatures", f"Cmu{m}_Status", f"Bms_Balancing{m}")
    ]
    missing = [name for name in needed if name not in messages]
    if missing:
        raise ConfigError(
            f"{path}: the message {missing[0]} is missing, which the device openbms_cmu has. Take the whole "
            "of package://openbms_drivers/devices/openbms_cmu/openbms_cmu.dbc."
        )
    return messages


_ALWAYS = (
    "Bms_Command",
    "Bms_Charger",
    "Pack_Current",
    "Pack_CurrentRedundant",
    "Pack_Status",
    "Pack_Voltages",
    "Pack_ChargeCounter",
    "Pack_Insulation",
    "Pack_Thermal",
    "Pack_Actuators",
    "Pack_Environment",
)


def names_of(pack: LoadedPack, messages: Mapping[str, Layout]) -> TwinNames:
    """Give what injections may name in a pack."""
    wiring, sensors = wiring_of(pack.file)
    return TwinNames(wiring.cell_count, sensors.names, list(messages), list(wiring.modules))


def open_bus(
    interface: str, channel: str, host: str, port: int, *, start_hub: bool
) -> tuple[CanHub | None, Link]:
    """Open the bus of the twin, with its hub where that is wanted.

    Parameters
    ----------
    interface, channel : str
        As python-can names them.
    host, port : str, int
        Of the hub, for ``socketcand``; port 0 with ``start_hub``: any free one (``hub.port`` tells).
    start_hub : bool
        Run the hub here, for ``socketcand``.

    Returns
    -------
    CanHub or None, Link
        Both are closed by the caller, the link first.

    Raises
    ------
    ConfigError
        The bus or the hub cannot be opened.
    """
    hub: CanHub | None = None
    try:
        if interface == "socketcand" and start_hub:
            hub = CanHub(host, port)
            hub.start()
            port = hub.port
        return hub, open_link(interface, channel, host, port, hub)
    except (OSError, OverflowError, ValueError) as error:
        raise _not_opened(interface, channel, host, port, error) from error
    except ConfigError:
        if hub is not None:
            hub.stop()
        raise


def open_link(interface: str, channel: str, host: str, port: int, hub: CanHub | None) -> Link:
    """Open one bus; with ``socketcand`` that of a hub which runs already.

    Parameters
    ----------
    interface, channel, host, port
        As for :func:`open_bus`.
    hub : CanHub, optional
        The hub, where it runs in this process.

    Raises
    ------
    ConfigError
        The bus cannot be opened.
    """
    options: dict[str, Any] = {}
    if interface == "socketcand":
        # Its client warns of every frame that arrives in two parts, which is not a fault.
        logging.getLogger("can.interfaces.socketcand").setLevel(logging.ERROR)
        options = {"host": host, "port": port, "tcp_tune": True}
    try:
        return Link(lambda: can.Bus(interface=interface, channel=channel, **options), hub, channel)
    except (OSError, OverflowError, ValueError, can.CanError) as error:
        raise _not_opened(interface, channel, host, port, error) from error


def _not_opened(interface: str, channel: str, host: str, port: int, error: Exception) -> ConfigError:
    at = f" at {host}:{port}" if interface == "socketcand" else ""
    return ConfigError(
        f"twin: the bus {channel!r} on {interface}{at} cannot be opened ({error}). "
        "Check can_interface, can_channel, can_host and can_port."
    )
