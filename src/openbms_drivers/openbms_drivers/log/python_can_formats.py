"""Logs that python-can reads: ASC, BLF, MF4, TRC, its CSV and its SQLite files.

Its readers say little of what is wrong with a file; here each failure gets its line, and what is only cut off
is told from what is broken.
"""

from __future__ import annotations

import importlib.util
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import can

from openbms_core.config_file import ConfigError
from openbms_drivers.frame import BIT_RATE_SWITCH, ERROR, EXTENDED, FD, REMOTE
from openbms_drivers.log.logged import Logged
from openbms_drivers.log.source import LogLines, open_log_file
from openbms_drivers.log.text_formats import LineError

__all__ = ["TEXT_READERS", "BinaryLog", "text_log"]

# it warns at lines that are reported here with their number
logging.getLogger("can.io").setLevel(logging.CRITICAL)

_MF4_MISSING = (
    "an .mf4 file is read through the package asammdf, which is not installed: run "
    "`.venv/bin/pip install asammdf`, or export the log as .blf or .asc"
)


class _TrcReader(can.TRCReader):  # type: ignore[misc]
    """python-can's, which leaves out lines that are too short; here they are errors."""

    def _parse_line(self, line: str) -> Any:
        if not line or line.startswith(";"):
            return None
        try:
            return self._parse_cols(tuple(line.split(maxsplit=self._num_columns)))
        except IndexError:
            raise ValueError("the line has too few columns") from None


class _AscReader(can.ASCReader):  # type: ignore[misc]
    """python-can's, which loses the first frame where nothing is said of internal events."""

    def _extract_header(self) -> None:
        super()._extract_header()
        self.file.give_again()


TEXT_READERS: dict[str, tuple[Callable[[LogLines], Any], int]] = {
    "asc": (_AscReader, 1),
    "trc": (_TrcReader, 0),
    "csv": (can.CSVReader, 0),
}
"""Reader, and what is added to its channel number: in ASC and BLF the first bus is 1, python-can says 0."""


def _logged(message: Any, add: int) -> Logged:
    flags = (
        (EXTENDED if message.is_extended_id else 0)
        | (FD if message.is_fd else 0)
        | (BIT_RATE_SWITCH if message.bitrate_switch else 0)
        | (REMOTE if message.is_remote_frame else 0)
        | (ERROR if message.is_error_frame else 0)
    )
    channel = message.channel
    name = str(channel + add) if isinstance(channel, int) else str(channel or "")
    return Logged(message.timestamp, name, message.arbitration_id, bytes(message.data), flags)


def text_log(lines: LogLines, kind: str) -> Iterator[Logged]:
    """Read a text log through python-can.

    Raises
    ------
    LineError
        A line cannot be read; ``lines`` knows which.
    """
    make, add = TEXT_READERS[kind]
    try:
        for message in make(lines):
            if not message.is_fd and not message.is_remote_frame and message.dlc != len(message.data):
                raise LineError(f"{message.dlc} bytes are announced and {len(message.data)} are there")
            yield _logged(message, add)
    except LineError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, NotImplementedError) as error:
        raise LineError(" ".join(str(error).split()) or type(error).__name__) from error


class BinaryLog:
    """A BLF, MF4 or SQLite file.

    Parameters
    ----------
    path : Path
    kind : {"blf", "mf4", "db"}

    Attributes
    ----------
    cut : str
        Why it ended before its end; empty where it did not, or is not known yet.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.cut = ""
        self._path, self._kind = path, kind
        self._file: BinaryIO | None = None

    def __iter__(self) -> Iterator[Logged]:
        path, count = self._path, 0
        reader: Any = None
        try:
            reader = self._reader()
            for message in reader:
                count += 1
                yield _logged(message, 1 if self._kind == "blf" else 0)
        except ConfigError:
            raise
        except (EOFError, struct.error, zlib.error) as error:
            if not count:
                raise self._error(error) from error
            self.cut = f"the file is cut off behind frame {count}"
        except Exception as error:  # whatever the reader of a format raises at what is not one
            raise self._error(error, count) from error
        else:
            announced = getattr(reader, "file_size", 0)
            if isinstance(announced, int) and announced > path.stat().st_size and self._kind == "blf":
                self.cut = f"the file announces {announced} bytes and has {path.stat().st_size}"
        finally:
            if reader is not None:
                reader.stop()
            if self._file is not None:
                self._file.close()

    def _error(self, error: Exception, count: int = 0) -> ConfigError:
        text = " ".join(str(error).split()) or type(error).__name__
        where = f" behind frame {count}" if count else ""
        return ConfigError(
            f"{self._path}: cannot be read as {self._kind.upper()}{where} ({text}). Export the log again, or "
            "as another type."
        )

    def _reader(self) -> Any:
        if self._kind == "db":
            return can.SqliteReader(self._path)
        if self._kind == "blf":
            self._file = open_log_file(self._path)
            return can.BLFReader(self._file)
        if importlib.util.find_spec("asammdf") is None:
            raise ConfigError(f"{self._path}: {_MF4_MISSING}.")
        with open_log_file(self._path) as file:
            return can.MF4Reader(BytesIO(file.read()))
