"""A proposal that the driver takes: what it refuses is left out, with its sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from openbms_core.config_file import ConfigError
from openbms_drivers.mapping.draft import load_draft
from openbms_drivers.mapping.pack_text import Header, pack_text
from openbms_drivers.mapping.proposal import Proposal
from openbms_drivers.mapping.propose import arrange
from openbms_drivers.signal_decoder import SignalDecoder

__all__ = ["demanded_keys", "settle"]

_ENTRY = re.compile(r"device\.signals\[(\d+)\]")
_PLACE = re.compile(r"^\S*?:\d+: ")


def settle(proposal: Proposal, header: Header) -> tuple[str, list[str]]:
    """Write the pack file and try it as the driver would.

    Parameters
    ----------
    proposal : Proposal
        Items that the driver refuses are taken out of it.
    header : Header
        Of the file.

    Returns
    -------
    text : str
        The pack file.
    demands : list of str
        Keys that a person must add before it loads.

    Raises
    ------
    ConfigError
        The driver refuses something that is no entry of the signal map.
    """
    trial = replace(header, dbc=str(proposal.dbc.path.resolve()))
    with TemporaryDirectory() as folder:
        path = Path(folder, "proposed.yaml")
        while proposal.items:
            path.write_text(pack_text(proposal, trial), encoding="utf-8")
            try:
                pack, demands = load_draft(path)
                SignalDecoder(pack)
            except ConfigError as error:
                _leave_out(proposal, error)
                continue
            return pack_text(proposal, header), demanded_keys(demands)
    raise ConfigError(nothing_found(proposal))


def nothing_found(proposal: Proposal) -> str:
    """Say that a DBC has nothing of a battery."""
    messages = proposal.dbc.database.messages
    count = sum(len(message.signals) for message in messages)
    refused = next((note for note in proposal.notes if note.startswith("left out")), "")
    return (
        f"{proposal.dbc.path}: none of its {count} signals in {len(messages)} messages looks like a value of "
        "a battery "
        "(voltages and temperatures of cells, pack current and voltage, state of charge), by name, unit or "
        "range"
        + (f"; {refused}" if refused else "")
        + ". Name the DBC of the battery's bus, or map by hand (docs/how-to/add-a-device.md)."
    )


def _leave_out(proposal: Proposal, error: ConfigError) -> None:
    for problem in error.problems:
        found = _ENTRY.search(problem)
        if found is None:
            continue
        number = int(found[1])
        for item in proposal.items:
            if number < len(item.entries):
                proposal.items.remove(item)
                text = _ENTRY.sub("", _PLACE.sub("", problem)).lstrip(": ").rstrip(".")
                proposal.notes.append(f"left out {item.quantity} from {item.source}: {text}")
                arrange(proposal)
                return
            number -= len(item.entries)
    raise error


def demanded_keys(demands: list[str]) -> list[str]:
    """Give the keys that the loader misses."""
    keys = []
    for text in demands:
        bare = _PLACE.sub("", text)
        keys.append(bare.split(": ", 1)[0] if "this key is missing" in bare else bare)
    return list(dict.fromkeys(keys))
