"""Build a twin, and open its bus, from plain settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import can

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack
from openbms_core.resources import find_resource
from openbms_core.types import State
from openbms_sim.can_hub import CanHub
from openbms_sim.device import CELLS, Switches
from openbms_sim.frames import layouts
from openbms_sim.interface import Source
from openbms_sim.link import Link
from openbms_sim.plant.pack import PackPlant
from openbms_sim.record import DEFAULT_RECORD, load_record
from openbms_sim.replay import Replay
from openbms_sim.twin import DigitalTwin, check_pack
from openbms_sim.vehicle import Vehicle

__all__ = ["REQUESTS", "TwinNames", "TwinSettings", "build_twin", "open_bus"]

REQUESTS = {"none": None, "drive": State.DRIVE, "charge": State.CHARGE, "connected": State.CONNECTED}
"""What the key can ask for when the system is up."""


@dataclass(frozen=True)
class TwinSettings:
    """What can be set; the twin's ROS parameters of the same names say what each means."""

    source: str = "replay"
    replay_file: str = ""
    replay_soc0: float = -1.0
    replay_capacity_ah: float = -1.0
    time_scale: float = 1.0
    seed: int = 1
    initial_soc: float = 0.8
    ambient_degc: float = 25.0
    load_factor: float = 1.0
    request_on_start: str = "none"


@dataclass(frozen=True)
class TwinNames:
    """What injections may name."""

    cells: int
    sensors: list[str]
    messages: list[str]


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
    if not 0.01 <= settings.time_scale <= 1000.0:
        raise ConfigError(f"twin: time_scale is {settings.time_scale}: it must be between 0.01 and 1000.")
    if not 0.0 <= settings.initial_soc <= 1.0:
        raise ConfigError(f"twin: initial_soc is {settings.initial_soc}: it must be between 0 and 1.")
    for name, value, allowed in (
        ("source", settings.source, ("plant", "replay")),
        ("request_on_start", settings.request_on_start, tuple(REQUESTS)),
    ):
        if value not in allowed:
            raise ConfigError(f"twin: {name} is {value!r}: it must be one of {', '.join(allowed)}.")
    sensors = check_pack(pack.file)
    messages = layouts(str(find_resource(pack.file.device.dbc, pack.path)))
    record = load_record(
        settings.replay_file or DEFAULT_RECORD,
        soc0=settings.replay_soc0 if settings.replay_soc0 >= 0.0 else None,
        capacity_ah=settings.replay_capacity_ah if settings.replay_capacity_ah >= 0.0 else None,
        default_capacity_ah=pack.cell.capacity_ah,
    )
    source: Source
    load = None
    if settings.source == "replay":
        source = Replay(record, CELLS, seed=settings.seed)
    else:
        source = PackPlant(
            CELLS, soc=settings.initial_soc, ambient_degc=settings.ambient_degc, seed=settings.seed
        )
        load = Vehicle(record, settings.load_factor).current_a
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
    return twin, TwinNames(CELLS, sensors.names, list(messages))


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
    options: dict[str, Any] = {}
    try:
        if interface == "socketcand":
            # Its client warns of every frame that arrives in two parts, which is not a fault.
            logging.getLogger("can.interfaces.socketcand").setLevel(logging.ERROR)
            if start_hub:
                hub = CanHub(host, port)
                hub.start()
                port = hub.port
            options = {"host": host, "port": port, "tcp_tune": True}
        return hub, Link(lambda: can.Bus(interface=interface, channel=channel, **options), hub, channel)
    except (OSError, OverflowError, ValueError, can.CanError) as error:
        if hub is not None:
            hub.stop()
        at = f" at {host}:{port}" if interface == "socketcand" else ""
        raise ConfigError(
            f"twin: the bus {channel!r} on {interface}{at} cannot be opened ({error}). "
            "Check can_interface, can_channel, can_host and can_port."
        ) from error
