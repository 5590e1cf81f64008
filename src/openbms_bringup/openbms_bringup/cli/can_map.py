"""`openbms can map`: proposes the pack file of a DBC; without ROS."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbms_bringup.cli.can_log_input import read_evidence
from openbms_core.config_file import ConfigError

if TYPE_CHECKING:
    from openbms_drivers.mapping.proposal import Item, Proposal

__all__ = ["map_dbc"]

EXIT_INPUT = 2


def _check_output(path: Path, *, force: bool) -> None:
    """Refuse before the work what could not be written after it, or would destroy work."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"-o {path}: a pack file ends in .yaml: name it so.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"-o {path}: there is no folder {path.parent}: make it, or name another.")
    if path.exists() and not force:
        raise ConfigError(f"-o {path}: is there already. Name another file, or give --force to replace it.")


def _reference(dbc: Path, output: Path | None) -> tuple[str, str]:
    """Give how the pack file names the DBC, and the device folder it belongs to."""
    import openbms_drivers

    package = Path(openbms_drivers.__file__).resolve().parent
    resolved = dbc.expanduser().resolve()
    if resolved.is_relative_to(package / "devices"):
        inside = resolved.relative_to(package)
        return f"package://openbms_drivers/{inside.as_posix()}", inside.parts[1]
    if output is None:
        return str(resolved), "generic"
    folder = output.absolute().parent.resolve()
    relative = os.path.relpath(resolved, folder)
    return (str(resolved) if relative.startswith(f"..{os.sep}..") else relative), "generic"


def _name(dbc: Path, name: str | None, output: Path | None) -> str:
    given = name or (output.stem if output is not None else dbc.stem)
    return re.sub(r"\W+", "_", given).strip("_").lower() or "pack"


def _cell(cell: str | None) -> tuple[str, str]:
    if cell is None:
        return "", ""
    from openbms_core.cell import CellFile
    from openbms_core.config_file import load_config
    from openbms_core.resources import find_config

    return cell, load_config(find_config("cells", cell), CellFile).chemistry


def map_dbc(
    dbc: Annotated[Path, typer.Option(help="DBC of the battery's bus (also .kcd, .sym, .arxml)")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the pack file here; absent: print it")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the pack; default: that of the file")] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="A recorded log of the bus, best with a drive and a charge, that weighs in"),
    ] = None,
    log_channel: Annotated[str | None, typer.Option(help="Bus of the log where it has several")] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="Cell file, or name of a shipped one: fills in what is usual for its chemistry"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file")] = False,
) -> None:
    """Propose the pack file of a DBC: what each signal most likely is, what is unsure and why."""
    try:
        from openbms_drivers.dbc_file import read_dbc
        from openbms_drivers.mapping.pack_text import Header
        from openbms_drivers.mapping.propose import propose
        from openbms_drivers.mapping.settle import settle

        if output is not None:
            _check_output(output, force=force)
        read = read_dbc(dbc)
        evidence = None
        log_notes: list[str] = []
        if log is not None:
            evidence, log_notes = read_evidence(log, log_channel, list(read.database.messages), read.path)
        proposal = propose(read, evidence)
        reference, device = _reference(dbc, output)
        cell_name, chemistry = _cell(cell)
        header = Header(
            name=_name(dbc, name, output),
            dbc=reference,
            device=device,
            log=log.name if log is not None else "",
            cell=cell_name,
            chemistry=chemistry,
        )
        text, demands = settle(proposal, header)
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        raise typer.Exit(EXIT_INPUT) from error
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    _print(proposal, demands, log_notes, output)


def _print(proposal: Proposal, demands: list[str], log_notes: list[str], output: Path | None) -> None:
    """Say what was found; on stderr where the file itself goes to stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=output is None)
    console.width = max(console.width, 100) if console.is_terminal else 160
    table = Table("Quantity", "From", "Values", "Scale", "", title=proposal.dbc.path.name)
    for item in proposal.items:
        table.add_row(
            item.quantity,
            item.source,
            str(len(item.members)),
            _scale(item),
            "sure" if item.sure else "unsure",
        )
    console.print(table)

    def say(title: str, lines: list[str]) -> None:
        if lines:
            console.print(f"{title}:", highlight=False, markup=False)
            for line in lines:
                console.print(f"  - {line}", highlight=False, markup=False)

    say(
        "Unsure",
        [f"{_short(item)}: {'; '.join(item.doubts)}{_else(item)}" for item in proposal.items if item.doubts],
    )
    say("Not found", list(proposal.missing.values()))
    say("Checksums and counters", _integrity(proposal))
    say("Look", [*proposal.notes, *proposal.dbc.repairs, *log_notes])
    say(
        "The loader demands before a driver may use the file (none of it is in a DBC)",
        [*(key for key in demands if not key.startswith("limits.")), *_limits(demands)],
    )
    if output is not None:
        console.print(
            f"Written: {output}. Next: edit it, then `openbms can check {output} --log LOG`.",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def _limits(demands: list[str]) -> list[str]:
    names = [key.removeprefix("limits.") for key in demands if key.startswith("limits.")]
    return [f"limits: {', '.join(names)}"] if names else []


def _short(item: Item) -> str:
    return item.quantity if not item.location else f"{item.quantity} ({item.location})"


def _else(item: Item) -> str:
    return f". Else: {', '.join(item.alternatives)}" if item.alternatives else ""


def _scale(item: Item) -> str:
    scale, offset = item.scaling.scale, item.scaling.offset
    return f"{scale:g}" + (f" {offset:+g}" if offset else "")


def _integrity(proposal: Any) -> list[str]:
    lines = []
    for row in proposal.integrity:
        if row.checksum:
            kind = (
                f"{row.kind.yaml}: {row.checksum_note}"
                if row.kind is not None
                else f"not checked: {row.checksum_note}"
            )
            lines.append(f"{row.message}.{row.checksum}: {kind}")
        if row.counter:
            doubt = f" (unsure: {row.counter_doubt})" if row.counter_doubt else ""
            lines.append(f"{row.message}.{row.counter}: counts to {row.modulo - 1}{doubt}")
        elif row.counter_doubt:
            lines.append(f"{row.message}: {row.counter_doubt}")
    return lines
