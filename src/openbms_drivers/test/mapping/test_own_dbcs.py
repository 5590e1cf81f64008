"""The proposal for a shipped DBC is the signal map that was written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import openbms_drivers
from openbms_core.pack import load_pack
from openbms_drivers.database import Database
from openbms_drivers.mapping.draft import load_draft
from openbms_drivers.mapping.pack_text import Header
from openbms_drivers.mapping.propose import propose
from openbms_drivers.mapping.settle import settle

DEVICES = Path(openbms_drivers.__file__).parent / "devices"


@pytest.mark.parametrize(("device", "share"), [("orion2", 0.95), ("jbd_uart", 0.95), ("foxbms2", 0.8)])
def test_share_of_the_shipped_map(device: str, share: float, tmp_path: Path) -> None:
    """Values that come from the same signal at the same place of the row with the same scale."""
    pack = load_pack(DEVICES / device / "pack.yaml")
    file = Database(pack).file
    text, _ = settle(propose(file), Header(name="proposed", dbc=str(file.path)))
    (tmp_path / "proposed.yaml").write_text(text, encoding="utf-8")
    maps = [
        {
            (entry.to, index, message, signal, round(entry.scale, 9))
            for entry in file.device.signals
            for index, message, signal, _ in entry.expanded()
        }
        for file in (pack.file, load_draft(tmp_path / "proposed.yaml")[0].file)
    ]
    assert len(maps[0] & maps[1]) >= share * len(maps[0])
