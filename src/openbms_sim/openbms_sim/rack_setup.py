"""Build a rack of twins, and open its buses, from plain settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack
from openbms_core.types import State
from openbms_sim.can_hub import CanHub
from openbms_sim.device import Switches
from openbms_sim.faults import InjectionError, check_source, parse_injections
from openbms_sim.link import Link
from openbms_sim.plant.pack import PackPlant
from openbms_sim.rack import Rack
from openbms_sim.record import load_record
from openbms_sim.twin import DigitalTwin, check_pack
from openbms_sim.twin_setup import (
    LOADS,
    REQUESTS,
    TwinNames,
    group_ah,
    load_of,
    messages_of,
    names_of,
    open_bus,
    open_link,
    pack_cell,
)

__all__ = ["RackSettings", "build_rack", "open_rack_buses", "parse_rack_injections"]

_OF_THE_BUS = ("hub_down", "clock_step")


@dataclass(frozen=True)
class RackSettings:
    """What can be set; the rack twin's ROS parameters of the same names say what each means."""

    names: Sequence[str]
    initial_soc: Sequence[float] = (0.8,)
    capacity_factor: Sequence[float] = (1.0,)
    resistance_factor: Sequence[float] = (1.0,)
    ambient_degc: Sequence[float] = (25.0,)
    load: str = "storage"
    load_factor: float = 1.0
    time_scale: float = 1.0
    seed: int = 1
    request_on_start: str = "none"


def _each(settings: RackSettings, name: str, least: float, most: float) -> list[float]:
    values, packs = list(getattr(settings, name)), len(settings.names)
    if len(values) not in (1, packs):
        raise ConfigError(
            f"rack_twin: {name} has {len(values)} values for {packs} packs: give one for each, or one "
            "for all."
        )
    for value in values:
        if not least <= value <= most:
            raise ConfigError(f"rack_twin: {name} is {value:g}: it must be between {least:g} and {most:g}.")
    return [float(value) for value in values] * (packs if len(values) == 1 else 1)


def build_rack(packs: Sequence[LoadedPack], settings: RackSettings) -> tuple[Rack, dict[str, TwinNames]]:
    """Build the twins of packs that share one DC bus.

    Parameters
    ----------
    packs : sequence of LoadedPack
        In the order of ``settings.names``; each on the device openbms_cmu.
    settings : RackSettings
        See there.

    Returns
    -------
    Rack, dict of str to TwinNames
        The rack, and what injections may name in each pack.

    Raises
    ------
    ConfigError
        A setting or a pack cannot be used.
    """
    names = list(settings.names)
    if not names or len(names) != len(packs) or len(set(names)) != len(names):
        raise ConfigError(
            f"rack_twin: packs has {len(packs)} entries, names has {names}: give each pack one name of "
            "its own."
        )
    if not 0.01 <= settings.time_scale <= 1000.0:
        raise ConfigError(
            f"rack_twin: time_scale is {settings.time_scale}: it must be between 0.01 and 1000."
        )
    for name, value, allowed in (
        ("load", settings.load, LOADS),
        ("request_on_start", settings.request_on_start, tuple(REQUESTS)),
    ):
        if value not in allowed:
            raise ConfigError(f"rack_twin: {name} is {value!r}: it must be one of {', '.join(allowed)}.")
    soc = _each(settings, "initial_soc", 0.0, 1.0)
    capacity = _each(settings, "capacity_factor", 0.1, 1.5)
    resistance = _each(settings, "resistance_factor", 0.1, 20.0)
    ambient = _each(settings, "ambient_degc", -40.0, 80.0)
    wanted = REQUESTS[settings.request_on_start]
    twins: dict[str, DigitalTwin] = {}
    known: dict[str, TwinNames] = {}
    for i, (name, pack) in enumerate(zip(names, packs, strict=True)):
        check_pack(pack.file)
        messages = messages_of(pack)
        plant = PackPlant(
            pack.file.topology.cell_count,
            soc=soc[i],
            ambient_degc=ambient[i],
            seed=settings.seed + i,
            cell=pack_cell(pack, capacity=capacity[i], resistance=resistance[i]),
        )
        twins[name] = DigitalTwin(
            pack.file,
            messages,
            plant,
            time_scale=settings.time_scale,
            seed=settings.seed + i,
            switches=Switches(plugged=wanted is State.CHARGE, ignition=wanted is not State.CHARGE),
        )
        known[name] = names_of(pack, messages)
    rated_ah = math.fsum(group_ah(pack) for pack in packs)
    load = load_of(settings.load, rated_ah, load_record(), settings.load_factor, settings.seed)
    return Rack(twins, load, settings.time_scale), known


def parse_rack_injections(text: str, known: dict[str, TwinNames]) -> dict[str, list[Any]]:
    """Read what is broken in which pack of a rack.

    Parameters
    ----------
    text : str
        A YAML or JSON list as for a single twin; an entry with ``pack`` is for that one, without for all.
    known : dict of str to TwinNames
        Of each pack.

    Returns
    -------
    dict of str to list of Injection
        By pack.

    Raises
    ------
    InjectionError
        The text is no such list; one sentence says which entry, which key, and what would be right.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise InjectionError(f"injections: not valid YAML or JSON: {what}.") from None
    if not (data is None or isinstance(data, list)):
        raise InjectionError("injections: must be a list such as [{fault: emergency_stop}].")
    of_pack: dict[str, list[Any]] = {name: [] for name in known}
    for number, entry in enumerate(data or []):
        if not isinstance(entry, dict):
            raise InjectionError(f"injections[{number}]: must be a mapping with the key fault.")
        pack = entry.pop("pack", None)
        if pack is not None and pack not in known:
            raise InjectionError(
                f"injections[{number}].pack: there is no pack {pack!r}; there are {', '.join(known)}."
            )
        if entry.get("fault") in _OF_THE_BUS:
            raise InjectionError(
                f"injections[{number}]: {entry['fault']} concerns all packs at once, which the rack twin "
                "does not do: try it on a single pack."
            )
        for name in known if pack is None else (pack,):
            of_pack[name].append(entry)
    parsed = {}
    for name, entries in of_pack.items():
        names = known[name]
        parsed[name] = parse_injections(
            yaml.safe_dump(entries),
            cells=names.cells,
            sensors=names.sensors,
            messages=names.messages,
            modules=names.modules,
        )
        check_source(parsed[name], "plant")
    return parsed


def open_rack_buses(
    interface: str, channels: dict[str, str], host: str, port: int, *, start_hub: bool
) -> tuple[CanHub | None, dict[str, Link]]:
    """Open the bus of each pack, with the one hub of all where that is wanted.

    Parameters
    ----------
    interface, host, port, start_hub
        As for :func:`openbms_sim.twin_setup.open_bus`.
    channels : dict of str to str
        Channel of each pack.

    Returns
    -------
    CanHub or None, dict of str to Link
        All are closed by the caller, the links first.

    Raises
    ------
    ConfigError
        A bus or the hub cannot be opened.
    """
    hub: CanHub | None = None
    links: dict[str, Link] = {}
    try:
        for name, channel in channels.items():
            if links:
                links[name] = open_link(interface, channel, host, hub.port if hub else port, hub)
            else:
                hub, links[name] = open_bus(interface, channel, host, port, start_hub=start_hub)
    except ConfigError:
        for link in links.values():
            link.close()
        if hub is not None:
            hub.stop()
        raise
    return hub, links
