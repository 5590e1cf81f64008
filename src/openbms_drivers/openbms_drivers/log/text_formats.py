"""Text logs that are read here: candump in both of its forms, and the CSV of SavvyCAN.

python-can reads ``candump -L`` too, at a fifth of the speed and without naming the line that it does not
understand; a test holds the two against each other. The form for people (``candump -ta``) and SavvyCAN's
have no reader in python-can. Sources: can-utils, lib.h (``fprint_canframe``, ``fprint_long_canframe``);
SavvyCAN, framefileio.cpp (column names).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import datetime, timezone

from openbms_drivers.frame import BIT_RATE_SWITCH, ERROR, EXTENDED, FD, REMOTE
from openbms_drivers.log.logged import LineError, Logged, checked
from openbms_drivers.log.source import LogLines

__all__ = ["candump", "looks_like_candump", "looks_like_savvycan", "savvycan"]

_BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf"
"""Of UTF-8, read byte by byte."""
_ERROR_FLAG = 0x2000_0000
_EXTENDED_MASK = 0x1FFF_FFFF

# (1436509052.249713)  vcan0  RX - -  044   [8]  2A 36 6C 2B   '*6l+'
_FOR_PEOPLE = re.compile(
    r"\s*\((?P<time>[0-9][0-9 :.-]*)\)\s+(?P<channel>\S+)\s+(?:[RT]X(?:\s+[-BX]\s+[-EX])?\s+)?"
    r"(?P<id>[0-9A-Fa-f]{1,8})\s+\[(?P<length>\d{1,2})\]\s*(?P<data>[^']*?)\s*(?:'.*|ERRORFRAME.*)?$"
)
# the same as Battery-Emulator writes it: (12.345) RX0 1DB [8] 00 11
_WITHOUT_TIME = re.compile(r"\s*\S+\s+[0-9A-Fa-f]{3,8}\s+\[\d{1,2}\]")


def looks_like_candump(lines: list[str]) -> bool:
    """Tell whether one of the first lines is of candump."""
    return any(
        _FOR_PEOPLE.match(line)
        or _WITHOUT_TIME.match(line)
        or re.match(r"\(\d+\.\d+\) \S+ [0-9A-Fa-f]+#", line)
        for line in lines
    )


def candump(lines: LogLines) -> Iterator[Logged]:
    """Read ``candump -L`` (also ``-l``) and ``candump -ta``, line by line of either kind.

    What a terminal wrote before the first frame is left out, and counted (``lines.left_out``).

    Raises
    ------
    LineError
        A line is neither.
    """
    begun = False
    for line in lines:
        parts = line.split()
        if not begun and parts and not looks_like_candump([line]):
            lines.left_out += 1
        elif len(parts) >= 3 and "#" in parts[2]:
            begun = True
            yield _compact(parts)
        elif parts and not line.startswith(("#", ";", "//")):
            begun = True
            yield _for_people(line)


def _compact(parts: list[str]) -> Logged:
    stamp, channel, content = parts[:3]
    name, _, payload = content.partition("#")
    flags = 0
    try:
        time_s, identifier = float(stamp[1:-1]), int(name, 16)
        if len(name) > 3:
            flags = EXTENDED
        if payload.startswith("#"):
            flags |= FD | (BIT_RATE_SWITCH if int(payload[1], 16) & 1 else 0)
            payload = payload[2:]
        elif payload[:1] in ("R", "r"):
            flags |= REMOTE
            payload = ""
        payload = payload.partition("_")[0]  # -8 adds the raw length code of a classical frame
        data = bytes.fromhex(payload)
    except (ValueError, IndexError):
        raise LineError("'(time) channel id#data' is expected, identifier and data in hexadecimal") from None
    return _checked(time_s, channel, identifier, data, flags, len(name))


def _for_people(line: str) -> Logged:
    found = _FOR_PEOPLE.match(line)
    if found is None:
        if _WITHOUT_TIME.match(line):
            raise LineError("the frame has no time: record with `candump -L` or `candump -ta`")
        raise LineError("this is not a line of candump")
    length, text, name = int(found["length"]), found["data"], found["id"]
    flags = EXTENDED if len(name) > 3 else 0
    if text.startswith("remote"):
        flags, text = flags | REMOTE, ""
    elif length > 8 or len(found["length"]) == 2:  # of CAN FD it writes two digits
        flags |= FD
    try:
        data = bytes.fromhex(text)
        time_s = _time(found["time"])
    except ValueError:
        raise LineError("time or data cannot be read") from None
    if not flags & REMOTE and len(data) != length:
        raise LineError(f"[{length}] bytes are announced and {len(data)} are there")
    return _checked(time_s, found["channel"], int(name, 16), data, flags, len(name))


def _time(text: str) -> float:
    if " " not in text:
        return float(text)
    kind = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    return datetime.strptime(text, kind).replace(tzinfo=timezone.utc).timestamp()


def _checked(time_s: float, channel: str, identifier: int, data: bytes, flags: int, digits: int) -> Logged:
    if digits > 3 and identifier & _ERROR_FLAG:
        return Logged(time_s, channel, identifier & _EXTENDED_MASK, data, ERROR)
    return checked(time_s, channel, identifier, data, flags)


# ---- SavvyCAN

_NAMES = ("time stamp", "id", "extended", "bus", "len")


def _columns(header: str) -> list[str]:
    """Give the names of the columns; a length code is a length up to 8, and beyond it nobody writes one."""
    names = [name.strip().lower() for name in header.removeprefix(_BYTE_ORDER_MARK).split(",")]
    return ["len" if name == "dlc" else name for name in names]


def looks_like_savvycan(header: str) -> bool:
    """Tell whether a first line is that of SavvyCAN's CSV (also as older ones and others write it)."""
    return set(_NAMES) <= set(_columns(header))


def savvycan(lines: LogLines) -> Iterator[Logged]:
    """Read SavvyCAN's native CSV: time in microseconds, data in columns from D1 on.

    Raises
    ------
    LineError
        A line does not fit its header.
    """
    header = _columns(next(lines))
    at = {name: header.index(name) for name in _NAMES}
    first = header.index("d1") if "d1" in header else len(header)
    for line in lines:
        try:
            cells = next(csv.reader([line]), [])
            if not cells:
                continue
            length = int(cells[at["len"]])
            data = bytes(int(cell, 16) for cell in cells[first : first + length])
            identifier = int(cells[at["id"]], 16)
            time_s = int(cells[at["time stamp"]]) * 1e-6
            extended = cells[at["extended"]].strip().lower() in ("true", "1")
            channel = cells[at["bus"]].strip()
        except (ValueError, IndexError, csv.Error):
            raise LineError("a cell is missing or is no number") from None
        if len(data) != length:
            raise LineError(f"{length} bytes are announced and {len(data)} are there")
        flags = (EXTENDED if extended else 0) | (FD if length > 8 else 0)
        yield _checked(time_s, channel, identifier, data, flags, 8 if extended else 3)
