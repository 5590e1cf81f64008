"""That a crash is held, kept over a restart: a file that exists while it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["CrashFile"]


class CrashFile:
    """Keeps one bit.

    Parameters
    ----------
    path : Path
        Exists while a crash is held.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def held(self) -> bool:
        """A crash is held."""
        return self._path.exists()

    def keep(self, *, held: bool) -> str:
        """Write it; gives a sentence if that failed."""
        try:
            if held:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch()
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._path.unlink()
        except OSError as error:
            return (
                f"{self._path}: the crash cannot be kept over a restart ({error.strerror}). Make the folder "
                "writable, or name another file by the parameter crash_file."
            )
        return ""
