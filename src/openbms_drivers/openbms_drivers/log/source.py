"""A log file as bytes: compressed or not, and how far it can be read."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from openbms_core.config_file import ConfigError

__all__ = ["LogLines", "open_log_file"]

_GZIP = b"\x1f\x8b"
_BLANK = b" \t\r\n\0"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


def open_log_file(path: Path) -> BinaryIO:
    """Open a log, unpacked where it is packed by gzip (whatever its name says).

    Raises
    ------
    ConfigError
        It is not there, is a folder, cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(2)
        if not magic:
            raise ConfigError(f"{path}: the file is empty: nothing was recorded. Name another log.")
        return cast(BinaryIO, gzip.open(path, "rb")) if magic == _GZIP else path.open("rb")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Give the path of a recorded log.") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: this is a folder without a bag's metadata.yaml. Name a log file, or the folder of "
            "a bag."
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}). It must be a readable file.") from error


class LogLines:
    """The lines of a text log, counted; looks to python-can's readers like an open text file.

    Parameters
    ----------
    path : Path
        The log.

    Attributes
    ----------
    number : int
        Line that was given last, from 1.
    text : str
        That line.
    cut : str
        Why the file ends before its end; empty where it does not.
    unended : bool
        The line that was given last has no end.
    left_out : int
        Lines that whoever reads them left out, since they are no part of the log.
    """

    def __init__(self, path: Path) -> None:
        self.number = 0
        self.text = ""
        self.cut = ""
        self.unended = False
        self.left_out = 0
        self._file = open_log_file(path)
        self._ahead: list[bytes] = []

    def _next(self) -> bytes:
        return self._ahead.pop(0) if self._ahead else self._read()

    def _read(self) -> bytes:
        try:
            return self._file.readline()
        except _DAMAGED as error:
            if not self.cut:
                what = "was cut off" if isinstance(error, EOFError) else f"is damaged ({error})"
                self.cut = f"the compressed file {what} behind line {self.number}"
            return b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._next()
        if not line:
            raise StopIteration
        self.number += 1
        self.unended = line[-1:] != b"\n"
        # names of channels and comments may hold anything; frames are ASCII
        self.text = line.decode("latin-1")
        return self.text

    def nothing_follows(self) -> bool:
        """Tell whether the line that was given last is the last one that is not blank."""
        for line in self._ahead:
            if line.strip(_BLANK):
                return False
        while line := self._read():
            if line.strip(_BLANK):
                self._ahead.append(line)
                return False
        return True

    def give_again(self) -> None:
        """Give the last line once more."""
        self._ahead.insert(0, self.text.encode("latin-1"))
        self.number -= 1

    def note_cut_line(self) -> None:
        """Note that the last line is only a part of one."""
        self.cut = self.cut or f"the last line ({self.number}) is cut off"

    # ---- what a file has, for python-can

    def read(self, *_: Any) -> str:
        """Python-can looks for it to recognise a file, and does not call it."""
        raise io.UnsupportedOperation("lines only")

    write = read

    def close(self) -> None:
        """Close the file."""
        self._file.close()
