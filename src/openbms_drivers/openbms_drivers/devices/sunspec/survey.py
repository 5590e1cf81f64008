"""What stands behind an address: units, their models and points, and the site file that fits them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from openbms_drivers.devices.sunspec.chain import (
    Chain,
    MapChangedError,
    NotSunSpecError,
    RefusedError,
    find_base,
    read_block,
    walk,
)
from openbms_drivers.devices.sunspec.control import UnusableError, plan_der, plan_storage
from openbms_drivers.devices.sunspec.device import Identity
from openbms_drivers.devices.sunspec.link import LinkDownError, ModbusLink
from openbms_drivers.devices.sunspec.models import INVERTER_MODELS, METER_MODELS, Values
from openbms_drivers.devices.sunspec.ratings import ratings

__all__ = ["USUAL_UNITS", "Found", "propose", "survey_unit"]

USUAL_UNITS = (1, 2, 3, 126, 200, 201, 240, 247)
"""Unit ids that inverters and the meters behind them usually have."""


@dataclass
class Found:
    """What one unit id holds.

    Attributes
    ----------
    unit : int
    chain : Chain or None
        None where there is nothing of SunSpec.
    models : dict of int to Values
        First of each known model.
    problems : list of str
    notes : list of str
        What a person should know about controlling it.
    """

    unit: int
    chain: Chain | None = None
    identity: Identity = field(default_factory=Identity)
    models: dict[int, Values] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_meter(self) -> bool:
        """It has a model of a meter."""
        return any(number in self.models for number in METER_MODELS)

    @property
    def control_model(self) -> int | None:
        """Model by which a power can be given to it."""
        return next(
            (number for number in (704, 124) if number in self.models and not self._lacks(number)), None
        )

    def _lacks(self, number: int) -> str:
        values, known = self.models[number], ratings(self.models, None, None)
        try:
            if number == 704:
                plan_der(values, known, 0.0, revert_after_s=30.0)
            else:
                plan_storage(values, known, 0.0, revert_after_s=30.0)
        except UnusableError as error:
            return str(error)
        return ""

    def judge(self) -> None:
        """Note what can be done with it."""
        for number in (704, 124):
            if number in self.models:
                lacks = self._lacks(number)
                self.notes.append(
                    f"model {number} cannot be used to give it a power: {lacks}"
                    if lacks
                    else f"a power can be given to it by model {number}"
                )
        if self.control_model is not None:
            known = ratings(self.models, None, None)
            for name, value in (("charge", known.charge_w), ("discharge", known.discharge_w)):
                if math.isnan(value):
                    self.notes.append(f"it does not say its {name} power: give {name}_max_w in the site file")
        storage = self.models.get(124)
        if storage is not None and storage.choice("ChaGriSet") == 0:
            self.notes.append(
                "it charges from solar power only (ChaGriSet 0): see allow_grid_charging of the site file"
            )


def survey_unit(link: ModbusLink, unit: int, base_address: int | None = None, at_once: int = 125) -> Found:
    """Look at one unit id.

    Parameters
    ----------
    link : ModbusLink
    unit : int
    base_address : int, optional
        To look at first.
    at_once : int
        Registers in one request.

    Returns
    -------
    Found
        With ``problems`` where it does not answer or has nothing of SunSpec.
    """

    def ask(address: int, count: int) -> list[int]:
        return link.read(unit, address, count)

    found = Found(unit)
    try:
        found.chain = chain = walk(ask, find_base(ask, base_address))
        if chain.problem:
            found.problems.append(chain.problem)
        for block in chain.blocks:
            if block.definition is None or block.number in found.models:
                continue
            try:
                values = read_block(ask, block, at_once)
            except MapChangedError as error:
                found.problems.append(str(error))
                continue
            except RefusedError as error:
                found.problems.append(f"model {block.number}: {error}")
                continue
            found.models[block.number] = values
            standard = block.definition.length
            if block.definition.repeat is None and block.length != standard:
                found.problems.append(
                    f"model {block.number} is {block.length} registers long, in the standard {standard}: "
                    "points beyond it are not there"
                )
    except NotSunSpecError as error:
        found.problems.append(str(error))
    except (LinkDownError, RefusedError) as error:
        found.problems.append(f"unit {unit}: {error}")
    common = found.models.get(1)
    if common is not None:
        found.identity = Identity(*(common.text(name) for name in ("Mn", "Md", "Vr", "SN")))
    found.judge()
    return found


def propose(host: str, port: int, found: Iterable[Found], *, quote: Callable[[str], str]) -> str:
    """Write the site file that fits what was found.

    Parameters
    ----------
    host, port : str, int
        The server.
    found : iterable of Found
        Its units.
    quote : callable
        Makes a text safe for a comment of YAML.

    Returns
    -------
    str
        YAML; empty where there is neither an inverter nor a meter.
    """
    lines: list[str] = []
    inverter: Found | None = None
    meters: list[tuple[Found, str]] = []
    for item in found:
        if item.is_meter:
            role = "load" if any(used == "grid" for _, used in meters) else "grid"
            meters.append((item, role))
        if any(number in item.models for number in (*INVERTER_MODELS, 124, 704)):
            if inverter is None or (inverter.control_model is None and item.control_model is not None):
                if inverter is not None:
                    meters.append((inverter, "pv"))
                inverter = item
            else:
                meters.append((item, "pv"))
    # an inverter of solar panels alone is a generator that is read
    if inverter is not None and inverter.control_model is None and 124 not in inverter.models:
        meters.append((inverter, "pv"))
        inverter = None
    if inverter is None and not meters:
        return ""
    lines += ["schema_version: 1", "name: my_site"]

    def place(item: Found) -> str:
        base = item.chain.base if item.chain is not None else 40000
        other = "" if base in (40000, 50000, 0) else f", base_address: {base}"
        return f'host: "{host}", port: {port}, unit: {item.unit}{other}'

    if inverter is not None:
        known = ratings(inverter.models, None, None)
        lines += ["", f"# {quote(str(inverter.identity)) or 'does not say who it is'}", "inverter:"]
        lines += [f"  {part}" for part in place(inverter).split(", ")]
        if inverter.control_model is None:
            lines.append("  control: none             # a power cannot be given to it, see the notes")
        else:
            name = "der" if inverter.control_model == 704 else "storage"
            lines.append(f"  control: {name}             # model {inverter.control_model}")
            lines.append(
                "  revert_after_s: 30.0      # it falls back by itself this long after the last word"
            )
        for name, value in (("charge", known.charge_w), ("discharge", known.discharge_w)):
            if not math.isnan(value):
                lines.append(
                    f"  {name}_max_w: {value:.1f}    # its nameplate; smaller if the battery bears less"
                )
            elif inverter.control_model is not None:
                lines.append(f"  {name}_max_w: 0.0    # it does not say it: fill in")
    if meters:
        lines += ["", "# Check the roles: what is behind which meter is not written in it.", "meters:"]
        for item, role in meters:
            lines.append(f"  - {{role: {role}, {place(item)}}}  # {quote(str(item.identity))}")
    lines += [
        "",
        "# Limits of the connection, where there are any: import_max_w, export_max_w.",
        "connection: {}",
    ]
    return "\n".join(lines) + "\n"
