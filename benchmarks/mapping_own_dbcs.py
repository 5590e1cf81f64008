"""How much of the shipped signal maps `openbms can map` proposes from their DBCs alone.

For each shipped pack whose device sends by itself or by polls: every value that its signal map fills, and
whether the proposal fills the same quantity from the same signal, at the same place of the row, with the same
scale.

    python benchmarks/mapping_own_dbcs.py            # table, and docs/validation/mapping-own-dbcs.md
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, SignalMap, load_pack
from openbms_core.resources import config_folder
from openbms_drivers.database import Database
from openbms_drivers.mapping.draft import load_draft
from openbms_drivers.mapping.pack_text import Header
from openbms_drivers.mapping.propose import propose
from openbms_drivers.mapping.settle import settle

PAGE = Path(__file__).parents[1] / "docs" / "validation" / "mapping-own-dbcs.md"
Place = tuple[str, str, str]


@dataclass
class Share:
    """Values of one pack."""

    pack: str
    dbc: str
    mapped: int
    same: int
    other: int
    """The quantity is proposed, but from another signal or with another scale."""
    missing: list[str]


def _values(signals: tuple[SignalMap, ...]) -> dict[tuple[str, int], tuple[str, str, float]]:
    return {
        (entry.to, index): (message, signal, round(entry.scale, 9))
        for entry in signals
        for index, message, signal, _ in entry.expanded()
    }


def compare(pack: LoadedPack, folder: Path) -> Share | None:
    """Propose a map for the DBC of a pack and count; None where there is no DBC of a battery."""
    file = Database(pack).file
    proposal = propose(file)
    try:
        text, _ = settle(proposal, Header(name="proposed", dbc=str(file.path)))
    except ConfigError:
        return None
    path = folder / f"{pack.file.name}.yaml"
    path.write_text(text, encoding="utf-8")
    offered = _values(load_draft(path)[0].file.device.signals)
    shipped = {
        key: value
        for key, value in _values(pack.file.device.signals).items()
        if value[0] in {message.name for message in file.database.messages}
    }
    same = {key for key, value in shipped.items() if offered.get(key) == value}
    other = {key for key in shipped if key in offered} - same
    missing = sorted({quantity for quantity, index in shipped.keys() - same - other})
    return Share(pack.file.name, file.path.name, len(shipped), len(same), len(other), missing)


def shares(folder: Path) -> list[Share]:
    """Compare every shipped pack."""
    packs = [load_pack(path) for path in sorted((config_folder() / "packs").glob("*.yaml"))]
    return [share for pack in packs if (share := compare(pack, folder)) is not None]


def page(rows: list[Share]) -> str:
    """Write the result page."""
    lines = [
        "# Proposals for the project's own DBCs",
        "",
        "Written by `python benchmarks/mapping_own_dbcs.py`. Each value of a shipped signal map, and whether",
        "`openbms can map` proposes it from the DBC alone (no log, no pack file): same quantity, same place",
        "in the row, same signal, same scale. *Other*: the quantity is proposed from another signal, or with",
        "another scale.",
        "",
        "| Pack | DBC | Values | Same | Other | Not found |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        absent = row.mapped - row.same - row.other
        names = f" ({', '.join(row.missing)})" if row.missing else ""
        lines.append(
            f"| {row.pack} | {row.dbc} | {row.mapped} | {row.same} | {row.other} | {absent}{names} |"
        )
    total, same = sum(row.mapped for row in rows), sum(row.same for row in rows)
    lines += [
        "",
        f"{same} of {total} values ({same / total:.1%}) are proposed as they were mapped by hand.",
        "",
    ]
    lines += [
        "These DBCs were written by the same people as the rules, so the share says that the rules hold",
        "together, not how well they do on a stranger's DBC.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Compare, print and write."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        text = page(shares(Path(folder)))
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
