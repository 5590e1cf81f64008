"""The committed reference pages are what the code says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from openbms_control import reference
from openbms_core.faults import FAULT_BY_ID, FAULT_TABLE
from openbms_core.foxbms_entries import FOXBMS_ENTRIES
from openbms_core.protection import Protection

FOLDER = next(
    (p / "docs" / "reference" for p in Path(__file__).parents if (p / "docs" / "reference").is_dir()), None
)


@pytest.mark.skipif(FOLDER is None, reason="outside a checkout")
@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("faults.md", reference.faults_page),
        ("limits.md", reference.limits_page),
        ("protection.md", reference.protection_page),
        ("foxbms.md", reference.foxbms_page),
        ("states.md", reference.states_page),
    ],
)
def test_the_committed_page_is_the_generated_one(name, page):
    cure = "run: python -m openbms_control.reference docs/reference"
    assert (FOLDER / name).read_text(encoding="utf-8") == page(), cure


def test_every_row_has_its_chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reference", str(tmp_path)])
    reference.main()
    text = (tmp_path / "faults.md").read_text(encoding="utf-8")
    for row in FAULT_TABLE:
        assert f"### {row.id}\n" in text and row.cure in text
    assert (tmp_path / "limits.md").is_file()


def test_every_threshold_is_explained():
    page = reference.protection_page()
    for key in Protection.model_fields:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{key}` |"))
        assert len(row.split("|")[3].strip()) > 10, row


def test_every_entry_of_foxbms_has_rows_that_exist_or_a_reason():
    assert len(FOXBMS_ENTRIES) == 85
    for entry, rows in FOXBMS_ENTRIES.items():
        assert re.fullmatch(r"[A-Z0-9_]+", entry)
        if isinstance(rows, str):
            assert rows.endswith(".")
        else:
            assert rows and set(rows) <= set(FAULT_BY_ID), entry
    applied = sum(not isinstance(rows, str) for rows in FOXBMS_ENTRIES.values())
    assert applied >= 70
