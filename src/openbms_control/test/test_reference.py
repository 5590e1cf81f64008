"""The committed reference pages are what the code says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from openbms_control import reference
from openbms_core.faults import FAULT_TABLE

FOLDER = next(
    (p / "docs" / "reference" for p in Path(__file__).parents if (p / "docs" / "reference").is_dir()), None
)


@pytest.mark.skipif(FOLDER is None, reason="outside a checkout")
@pytest.mark.parametrize(
    ("name", "page"), [("faults.md", reference.faults_page), ("limits.md", reference.limits_page)]
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
