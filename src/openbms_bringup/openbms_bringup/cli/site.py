"""`openbms site`: what stands behind an address of Modbus TCP, without ROS."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from openbms_drivers.devices.sunspec.survey import Found

__all__ = ["scan", "site"]

EXIT_NOTHING = 1
EXIT_INPUT = 2

site = typer.Typer(
    help="Site: meters and inverters over SunSpec Modbus TCP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@site.callback()
def _group() -> None:
    """Site: meters and inverters over SunSpec Modbus TCP."""


def _refuse(text: str) -> NoReturn:
    sys.stderr.write(f"openbms: {text}\n")
    raise typer.Exit(EXIT_INPUT)


def _place(text: str) -> tuple[str, int]:
    """Give host and port of HOST, HOST:PORT, [IPv6] or [IPv6]:PORT."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d+))?|([A-Za-z0-9._-]+)(?::(\d+))?", text)
    if match is None:
        _refuse(f"'{text}' is no address: give HOST or HOST:PORT, such as 192.168.1.50 or 192.168.1.50:1502.")
    host, port = match[1] or match[3], int(match[2] or match[4] or 502)
    if not 0 < port < 65536:
        _refuse(f"'{text}': the port must be 1 to 65535.")
    return host, port


def _plain(text: str) -> str:
    """Make a foreign text safe for a terminal and for a comment."""
    return "".join(letter for letter in text if letter.isprintable())


def _told(found: Found) -> dict[str, Any]:
    chain = found.chain
    blocks = [] if chain is None else chain.blocks
    return {
        "unit": found.unit,
        "base_address": None if chain is None else chain.base,
        "manufacturer": found.identity.manufacturer,
        "model": found.identity.model,
        "version": found.identity.version,
        "serial": found.identity.serial,
        "models": [
            {
                "model": block.number,
                "address": block.address,
                "length": block.length,
                "label": "" if block.definition is None else block.definition.label,
                "points": found.models[block.number].known() if block.number in found.models else None,
                "modules": list(found.models[block.number].modules()) if block.number in found.models else [],
            }
            for block in blocks
        ],
        "notes": found.notes,
        "problems": found.problems,
    }


def _clean(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def _print(units: list[dict[str, Any]], silent: list[dict[str, Any]], proposal: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for unit in units:
        who = " ".join(
            _plain(unit[key]) for key in ("manufacturer", "model", "version", "serial") if unit[key]
        )
        table = Table("Model", "Address", "Points")
        for model in unit["models"]:
            known = model["points"]
            shown = (
                "not known to OpenBMS"
                if known is None and not model["label"]
                else "not read"
                if known is None
                else ", ".join(f"{name} {_value(value)}" for name, value in known.items())
            )
            for index, module in enumerate(model["modules"]):
                inside = ", ".join(
                    f"{name} {_value(value)}" for name, value in module.items() if value == value
                )
                shown += f"\n[{index}] {inside}"
            table.add_row(f"{model['model']} {model['label']}".strip(), str(model["address"]), shown)
        console.print(
            f"unit {unit['unit']}: {who or 'does not say who it is'}", markup=False, highlight=False
        )
        console.print(table)
        for text in (*unit["notes"], *unit["problems"]):
            console.print(f"Note: {_plain(text)}.", markup=False, highlight=False)
    if silent:
        numbers = ", ".join(str(unit["unit"]) for unit in silent)
        reason = _plain(silent[0]["problems"][0]) if silent[0]["problems"] else "no answer"
        console.print(f"No SunSpec at unit {numbers}: {reason}.", markup=False, highlight=False)
    if proposal:
        console.print("\nA site.yaml for it:\n", markup=False)
        typer.echo(proposal)


def _value(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else _plain(str(value))


@site.command()
def scan(
    address: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Modbus TCP server; port 502")],
    unit: Annotated[
        list[int] | None, typer.Option(help="Unit id; may be repeated. None: the usual ones")
    ] = None,
    base: Annotated[int | None, typer.Option(help="Address of 'SunS', if not 40000, 50000 or 0")] = None,
    at_once: Annotated[int, typer.Option(help="Registers in one request, for gateways that give few")] = 125,
    timeout: Annotated[float, typer.Option(help="Longest wait for an answer [s]")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON")] = False,
) -> None:
    """Show the SunSpec models and points of a device, and propose a site file. Reads only."""
    from openbms_core.config_file import ConfigError
    from openbms_drivers.devices.sunspec.link import ModbusLink, need_pymodbus
    from openbms_drivers.devices.sunspec.survey import USUAL_UNITS, propose, survey_unit

    try:
        need_pymodbus()
    except ConfigError as error:
        _refuse(str(error))
    host, port = _place(address)
    units = tuple(dict.fromkeys(unit or USUAL_UNITS))
    if any(not 0 <= number <= 255 for number in units):
        _refuse(f"--unit is {', '.join(map(str, units))}: a unit id is 0 to 255.")
    if not 2 <= at_once <= 125:
        _refuse(f"--at-once is {at_once}: give 2 to 125.")
    if not 0.05 <= timeout <= 60.0:
        _refuse(f"--timeout is {timeout:g}: give 0.05 to 60 seconds.")
    if base is not None and not 0 <= base <= 65533:
        _refuse(f"--base is {base}: an address is 0 to 65533.")
    link = ModbusLink(host, port, timeout, time.monotonic)
    found: list[Found] = []
    try:
        for number in units:
            if sys.stderr.isatty():
                sys.stderr.write(f"\r\033[Kunit {number} of {host}:{port} …")
            found.append(survey_unit(link, number, base, at_once))
            if not link.connects:
                _refuse(f"{found[0].problems[0].removeprefix(f'unit {number}: ')}")
    finally:
        link.close()
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
    there = [item for item in found if item.chain is not None]
    # a server that does not look at the unit id answers the same at each of them
    different: list[Found] = []
    for item in there:
        first = next((other for other in different if _same(item, other)), None)
        if first is None:
            different.append(item)
        else:
            first.notes.append(f"unit {item.unit} says the same: taken for the same device")
    proposal = propose(host, port, different, quote=_plain)
    silent = [item for item in found if item.chain is None]
    if as_json:
        told = {
            "host": host,
            "port": port,
            "units": [_told(item) for item in different],
            "silent": [{"unit": item.unit, "problems": item.problems} for item in silent],
            "proposal": proposal,
        }
        typer.echo(json.dumps(_clean(told), indent=2, allow_nan=False))
    else:
        _print([_told(item) for item in different], [_told(item) for item in silent], proposal)
    if not there:
        raise typer.Exit(EXIT_NOTHING)


def _same(one: Found, other: Found) -> bool:
    return one.identity == other.identity and one.chain == other.chain
