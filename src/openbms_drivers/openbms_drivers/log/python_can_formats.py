"""Logs that python-can reads: ASC, BLF, MF4, TRC, its CSV and its SQLite files.

Its readers say little of what is wrong with a file; here each failure gets its line, and what is only cut off
is told from what is broken.
"""

from __future__ import annotations

import gzip
import importlib.util
import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.light_can import can, mf4_reader
from openbms_drivers.frame import BIT_RATE_SWITCH, ERROR, EXTENDED, FD, REMOTE
from openbms_drivers.log.logged import LineError, Logged, checked
from openbms_drivers.log.source import LogLines, open_log_file

__all__ = ["TEXT_READERS", "BinaryLog", "text_log"]

# it warns at lines that are reported here with their number
logging.getLogger("can.io").setLevel(logging.CRITICAL)

_ASC_TIME = re.compile(r"\s*(\d+\.\d+)\s+")
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


class _Summed:
    """Lines of an ASC whose times count from the event before, with times that count from the first one."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines
        self._time_s = Decimal(0)
        self.close = lines.close

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            found = _ASC_TIME.match(line)
            if found is None:
                yield line
            else:
                self._time_s += Decimal(found[1])
                yield f"{self._time_s:f} {line[found.end() :]}"


class _AscReader(can.ASCReader):  # type: ignore[misc]
    """python-can's, which loses the first frame where nothing is said of internal events, and takes times
    that count from the event before for times that count from the beginning.
    """

    file: Any

    def _extract_header(self) -> None:
        super()._extract_header()
        self.file.give_again()
        if self.timestamps_format == "relative":
            self.file = _Summed(self.file)


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
    identifier = message.arbitration_id
    data = bytes(message.data)
    if not flags & ERROR:  # some kinds of file do not say it, and it can be nothing else
        flags |= (EXTENDED if identifier > 0x7FF else 0) | (FD if len(data) > 8 else 0)
    return checked(float(message.timestamp), name, identifier, data, flags)


def _announced(message: Any, kind: str) -> int:
    """Give how many bytes a line says that it has; of CAN FD a .trc gives the code of the length."""
    if message.is_fd:
        return int(can.util.dlc2len(message.dlc) if kind == "trc" else message.dlc)
    # a classical frame may have a length code of 9 to 15, with 8 bytes; one with more is of CAN FD after all
    return int(message.dlc) if len(message.data) > 8 else min(int(message.dlc), 8)


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
            announced = _announced(message, kind)
            if not message.is_remote_frame and announced != len(message.data):
                raise LineError(f"{announced} bytes are announced and {len(message.data)} are there")
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
        self._file: Any = None

    def __iter__(self) -> Iterator[Logged]:
        count = 0
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
            self.cut = f"the file is cut off or damaged behind frame {count}"
        except Exception as error:  # whatever the reader of a format raises at what is not one
            raise self._error(error, count) from error
        else:
            self.cut = self._missing(reader)
        finally:
            if reader is not None:
                reader.stop()
            if self._file is not None:
                self._file.close()

    def _missing(self, reader: Any) -> str:
        """Say what a BLF announces and does not have; one that is packed says by itself where it is cut."""
        announced, size = getattr(reader, "file_size", 0), self._path.stat().st_size
        packed = isinstance(self._file, gzip.GzipFile)
        if self._kind != "blf" or packed or announced <= size:
            return ""
        return f"the file announces {announced} bytes and has {size}"

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
            return mf4_reader()(BytesIO(file.read()))
