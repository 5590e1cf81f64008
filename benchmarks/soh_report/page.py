"""A page of docs/validation with what a benchmark prints."""

from __future__ import annotations

import contextlib
import io
import platform
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

__all__ = ["printed_to"]


class _Both(io.TextIOBase):
    def __init__(self, *places: TextIO) -> None:
        self._places = places

    def write(self, text: str) -> int:
        for place in self._places:
            place.write(text)
            place.flush()
        return len(text)


@contextlib.contextmanager
def printed_to(page: Path | None, command: str) -> Iterator[None]:
    """Print as usual, and write the same to a page once all is done.

    Parameters
    ----------
    page : Path or None
        None: print only.
    command : str
        What a reader runs for the same.
    """
    kept = io.StringIO()
    with contextlib.redirect_stdout(_Both(sys.stdout, kept)):  # type: ignore[type-var]
        yield
    if page is not None:
        heading = (
            f"# {page.stem}\n\nPrinted by `{command}` on {datetime.now(timezone.utc):%Y-%m-%d}, "
            f"{platform.machine()}, Python {platform.python_version()}.\n"
        )
        page.write_text(f"{heading}\n```text\n{kept.getvalue().strip()}\n```\n", encoding="utf-8")
