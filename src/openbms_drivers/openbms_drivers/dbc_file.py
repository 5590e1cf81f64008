"""Reads a DBC, also one with the small faults that real ones have.

cantools refuses a whole file for a comment without signal, a 29-bit identifier without its flag, or a name
that begins with a digit. Such a file is put right where there is only one way to do it, and what was put
right is said; anything else is refused with file, line and the line's text.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openbms_core.light_can  # noqa: F401  # cantools imports python-can as well

# isort: split
import cantools

from openbms_core.config_file import ConfigError

__all__ = ["DbcFile", "read_dbc"]

logging.getLogger("cantools").setLevel(logging.ERROR)  # what it warns of is said here, once

_EXTENDED = 1 << 31
_ROUNDS = 40
_NEEDED = ("BO_", "SG_", "BU_", "BS_", "NS_", "SIG_VALTYPE_", "SG_MUL_VAL_")
"""Statements that decide where values lie and how they are read: without one, others would come out."""
_STATEMENT = (
    r'(?:BO_|CM_\s+BO_|CM_\s+SG_|VAL_|SIG_VALTYPE_|SG_MUL_VAL_|SIG_GROUP_|BO_TX_BU_|BA_\s+"[^"\n]*"\s+BO_'
    r'|BA_\s+"[^"\n]*"\s+SG_)'
)
_WITH_ID = re.compile(rf"^([ \t]*{_STATEMENT}\s+)(\d+)\b", re.MULTILINE)
_BLOCK = r"^[ \t]*BO_[ \t]+{}[ \t]+.*\n(?:[ \t]*SG_[ \t].*\n|[ \t]*\n(?=[ \t]*SG_))*"
_DIGIT = r"(\d\w*[A-Za-z_]\w*)"
_DIGIT_NAMES = (
    re.compile(rf"^([ \t]*SG_[ \t]+){_DIGIT}", re.MULTILINE),
    re.compile(rf"^([ \t]*BO_[ \t]+\d+[ \t]+){_DIGIT}(?=[ \t]*:)", re.MULTILINE),
    re.compile(
        r'^([ \t]*(?:CM_\s+SG_|VAL_|SIG_VALTYPE_|SG_MUL_VAL_|BA_\s+"[^"\n]*"\s+SG_)\s+\d+[ \t]+)' + _DIGIT,
        re.MULTILINE,
    ),
)
_BARE_POINT = re.compile(r"(?<=[(\[,|])([-+]?)\.(?=\d)")


@dataclass(frozen=True)
class DbcFile:
    """A DBC as read.

    Attributes
    ----------
    path : Path
        The file.
    database : cantools.database.can.Database
        Its messages.
    repairs : tuple of str
        What had to be put right to read it, one clause each.
    text : str
        The file as it is (for lines).
    """

    path: Path
    database: Any
    repairs: tuple[str, ...]
    text: str

    def line_of(self, message: Any, signal: str | None = None) -> int | None:
        """Give the line (from 1) of a message, or of one of its signals; None where it is not found."""
        inside = False
        identifier = int(message.frame_id)
        for number, line in enumerate(self.text.splitlines(), start=1):
            words = line.split(None, 2)
            if words[:1] == ["BO_"] and len(words) > 2 and words[1].isdigit():
                name = words[2].partition(":")[0].strip()
                same = message.name in (name, f"_{name}")
                inside = same and int(words[1]) & ~_EXTENDED == identifier
                if inside and signal is None:
                    return number
            elif inside and words[:1] == ["SG_"] and len(words) > 1:
                name = words[1].rstrip(":")
                if name == signal or f"_{name}" == signal:
                    return number
        return None

    def place(self, message: Any, signal: str | None = None) -> str:
        """Give ``file:line`` of a message or a signal."""
        line = self.line_of(message, signal)
        return f"{self.path.name}:{line}" if line else self.path.name


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Give the path of a DBC.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder. Give the path of a .dbc file.") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). It must be a readable file."
        ) from error
    if b"\0" in data[:4096]:
        raise ConfigError(f"{path}: is not a DBC that can be read (it is not a text file). Name a .dbc file.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def read_dbc(path: str | Path) -> DbcFile:
    """Read a DBC.

    Parameters
    ----------
    path : str or Path
        The file; KCD, SYM, ARXML and CDD are read as cantools reads them.

    Returns
    -------
    DbcFile

    Raises
    ------
    ConfigError
        It is not there or cannot be read: with file, line, the line's text and the cure.
    """
    path = Path(path).expanduser()
    text = _text(path)
    if path.suffix.lower() in (".kcd", ".sym", ".arxml", ".cdd"):
        return DbcFile(path, _load(path, text, path.suffix[1:].lower()), (), text)
    fixed = text if text.endswith("\n") else text + "\n"
    repairs: list[str] = []
    for _ in range(_ROUNDS):
        try:
            database = cantools.database.load_string(fixed, "dbc", strict=False)
        except Exception as error:
            better = _repaired(fixed, error, repairs)
            if better is None or better == fixed:
                raise _refused(path, fixed, error) from error
            fixed = better
        else:
            break
    else:
        raise ConfigError(f"{path}: is not a DBC that can be read (too many faults: {repairs[-1]}).")
    if not database.messages:
        raise ConfigError(f"{path}: is not a DBC that can be read (it has no message). Name another file.")
    return DbcFile(path, database, tuple(dict.fromkeys(repairs)), text)


def _load(path: Path, text: str, kind: str) -> Any:
    try:
        return cantools.database.load_string(text, kind, strict=False)
    except Exception as error:
        raise _refused(path, text, error) from error


def _line(error: Exception) -> int | None:
    found = re.search(r"\bline (\d+)", str(error))
    return int(found[1]) if found else None


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r'^(?:DBC|KCD|SYM|ARXML|CDD|None): "(.*)"$', r"\1", text)


def _refused(path: Path, text: str, error: Exception) -> ConfigError:
    line = _line(error)
    lines = text.splitlines()
    if line is not None and 0 < line <= len(lines):
        shown = lines[line - 1].strip()
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return ConfigError(
            f"{path}:{line}: is not a DBC that can be read from here on: {shown!r}. Correct this line or the "
            "end of the one before it (compare it with its neighbours, or open the file in a DBC editor)."
        )
    return ConfigError(
        f"{path}: is not a DBC that can be read ({_said(error)[:300]}). Open it in a DBC editor and save it "
        "anew."
    )


def _repaired(text: str, error: Exception, repairs: list[str]) -> str | None:
    said = _said(error)
    if "is more than 11 bits" in said or "is more than 29 bits" in said:
        return _with_flags(text, repairs)
    unused = re.search(r"unused (VAL_|SIG_VALTYPE_)", said)
    if unused is not None:
        names = re.findall(rf"\b{unused[1]} (\d+) (\w+)", said)
        what = "value tables" if unused[1] == "VAL_" else "float types"
        repairs.append(
            f"{what} of signals that do not exist were left out ({_some([name for _, name in names])})"
        )
        for identifier, name in names:
            ids = f"(?:{identifier}|{int(identifier) | _EXTENDED}|{int(identifier) & ~_EXTENDED})"
            text = re.sub(
                rf"^[ \t]*{unused[1]}\s+{ids}\s+{name}\b[^;]*;[^\n]*\n", "", text, flags=re.MULTILINE
            )
        return text
    number = _line(error)
    if number is None:
        return None
    renamed = text
    for pattern in _DIGIT_NAMES:
        renamed = pattern.sub(r"\1_\2", renamed)
    if renamed != text:
        repairs.append("names that begin with a digit got an underscore before it")
        return renamed
    pointed = "".join(
        _BARE_POINT.sub(r"\g<1>0.", line) if line.lstrip().startswith("SG_") else line
        for line in text.splitlines(keepends=True)
    )
    if pointed != text:
        repairs.append("numbers without a digit before their point got a 0")
        return pointed
    return _without_statement(text, number, repairs)


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _with_flags(text: str, repairs: list[str]) -> str:
    """Set the flag of 29-bit identifiers that lack it; leave out what fits in neither."""
    dropped: list[str] = []
    for match in re.finditer(r"^[ \t]*BO_[ \t]+(\d+)[ \t]+(\w+)", text, re.MULTILINE):
        identifier = int(match[1])
        if identifier & ~_EXTENDED > 0x1FFF_FFFF and match[2] != "VECTOR__INDEPENDENT_SIG_MSG":
            dropped.append(match[2])
            text = re.sub(_BLOCK.format(identifier), "", text, flags=re.MULTILINE)
            text = re.sub(
                rf"^[ \t]*{_STATEMENT}\s+{identifier}\b[^;]*;[^\n]*\n", "", text, flags=re.MULTILINE
            )

    if dropped:
        repairs.append(f"messages whose identifier has more than 29 bits were left out: {_some(dropped)}")

    def flagged(match: re.Match[str]) -> str:
        identifier = int(match[2])
        return match[1] + str(identifier | _EXTENDED if 0x7FF < identifier <= 0x1FFF_FFFF else identifier)

    flags = _WITH_ID.sub(flagged, text)
    if flags != text:
        repairs.append("identifiers above 0x7FF without the flag of 29-bit identifiers (bit 31) got it")
    return flags


def _without_statement(text: str, number: int, repairs: list[str]) -> str | None:
    """Leave out a comment, value table or attribute that cannot be read; a message or signal is needed."""
    lines = text.splitlines(keepends=True)
    first = min(number, len(lines)) - 1
    while first > 0 and not re.match(r"[ \t]*[A-Z][A-Z_]*_\b", lines[first]):
        first -= 1
    keyword = re.match(r"[ \t]*([A-Z][A-Z_]*_)\b", lines[first])
    if keyword is None or keyword[1] in _NEEDED:
        return None
    last = first
    while last < len(lines) - 1 and not lines[last].rstrip().endswith(";"):
        last += 1
    repairs.append(f"{keyword[1]} in line {first + 1} cannot be read and was left out")
    # empty lines in its place: the lines of later errors stay true
    return "".join([*lines[:first], *["\n"] * (last - first + 1), *lines[last + 1 :]])
