"""The DBC of a pack: loading, looking up names with the closest match, identifiers of all kinds.

Every problem becomes a :class:`~openbms_core.config_file.ConfigError` that names the pack file, the line of
the entry, what it asks for and the closest name that the DBC has.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from openbms_core.config_file import ConfigError, read_yaml
from openbms_core.pack import LoadedPack
from openbms_core.resources import find_resource
from openbms_drivers.bit_field import BitField
from openbms_drivers.dbc_file import DbcFile, read_dbc

__all__ = ["Database", "frame_key", "identifier_mask", "multiplexing"]

_EXTENDED_KEY = 1 << 31
_J1939_ANY_SOURCE = 0xFE
_J1939_ANY_DESTINATION = (0xFE, 0xFF)


def frame_key(message: Any) -> int:
    """Give identifier and kind of a cantools message in one number (bit 31: 29-bit identifier)."""
    return int(message.frame_id) | (_EXTENDED_KEY if message.is_extended_frame else 0)


def identifier_mask(message: Any) -> int:
    """Give the bits of the identifier by which a message is known.

    Parameters
    ----------
    message : cantools.database.can.Message
        The message.

    Returns
    -------
    int
        All bits; for J1939 (attribute ``VFrameFormat`` in the DBC) without the priority, without the source
        where the DBC says 0xFE (none), and for addressed parameter groups without the destination where it
        says 0xFE or 0xFF.

    Notes
    -----
    Source: SAE J1939-21, identifier: priority 26…28, parameter group 8…25 (PF below 240: byte 8…15 is the
    destination), source address 0…7.
    """
    if not message.is_extended_frame or message.protocol != "j1939":
        return 0xFFFF_FFFF
    mask = 0x03FF_FFFF
    if message.frame_id & 0xFF == _J1939_ANY_SOURCE:
        mask &= ~0xFF
    if (message.frame_id >> 16) & 0xFF < 240 and (message.frame_id >> 8) & 0xFF in _J1939_ANY_DESTINATION:
        mask &= ~0xFF00
    return mask | _EXTENDED_KEY


def multiplexing(message: Any, signal: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Give what selects a signal, outermost first: multiplexer and its values, one pair each level."""
    by_name = {other.name: other for other in message.signals}
    levels: list[tuple[str, tuple[int, ...]]] = []
    seen = {signal.name}
    while signal.multiplexer_ids:
        name = signal.multiplexer_signal or next(
            (other.name for other in message.signals if other.is_multiplexer), None
        )
        if name is None or name in seen or name not in by_name:
            break
        seen.add(name)
        levels.append((name, tuple(int(value) for value in signal.multiplexer_ids)))
        signal = by_name[name]
    return tuple(reversed(levels))


class Database:
    """The DBC that a pack file names.

    Parameters
    ----------
    pack : LoadedPack
        The pack.

    Raises
    ------
    ConfigError
        The file is absent or not a DBC.
    """

    def __init__(self, pack: LoadedPack) -> None:
        self.pack = pack
        device = pack.file.device
        self.path, self.file = self._read(device.dbc, ("device", "dbc"), "device.dbc")
        self.messages: dict[str, Any] = {message.name: message for message in self.file.database.messages}
        self._files = dict.fromkeys(self.messages, self.file)
        names = Counter(message.name for message in self.file.database.messages)
        self._twice = {name for name, count in names.items() if count > 1}
        for number, reference in enumerate(device.more_dbc):
            self._join(reference, ("device", "more_dbc", number), f"device.more_dbc[{number}]")

    def _read(self, reference: str, location: tuple[Hashable, ...], where: str) -> tuple[Path, DbcFile]:
        try:
            path = find_resource(reference, beside=self.pack.path)
        except ConfigError as error:
            raise self.error(location, f"{where}: {error}") from None
        try:
            # not strict: real DBCs have signals that overlap or reach beyond their message; only mapped ones
            # must be right
            return path, read_dbc(path)
        except ConfigError as error:
            raise self.error(location, f"{where}: {error}") from error

    def _join(self, reference: str, location: tuple[Hashable, ...], where: str) -> None:
        """Add the messages of a further device on the bus."""
        path, file = self._read(reference, location, where)
        taken = {frame_key(message): message.name for message in self.messages.values()}
        for message in file.database.messages:
            if message.name in self.messages:
                raise self.error(
                    location,
                    f"{where}: {path.name} and {self._files[message.name].path.name} both have a message "
                    f"'{message.name}'. Rename it in one of them.",
                )
            other = taken.get(frame_key(message))
            if other is not None:
                raise self.error(
                    location,
                    f"{where}: message '{message.name}' of {path.name} has the identifier "
                    f"{message.frame_id:#x} of '{other}' of {self._files[other].path.name}: on one bus "
                    "nobody can tell them apart. Give one device another identifier, or a bus of its own.",
                )
            self.messages[message.name] = message
            self._files[message.name] = file

    def place(self, message: Any, name: str | None = None) -> str:
        """Say where a message, or a signal of it, stands: file and line."""
        return self._files[message.name].place(message, name)

    @cached_property
    def _lines(self) -> dict[tuple[Hashable, ...], int]:
        try:
            return read_yaml(self.pack.path)[1]
        except ConfigError:  # the pack came from elsewhere: no line to name
            return {}

    def error(self, location: tuple[Hashable, ...], text: str) -> ConfigError:
        """Build the error for the value at ``location`` of the pack file."""
        line = next(
            (self._lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in self._lines),
            None,
        )
        return ConfigError(f"{self.pack.path}{f':{line}' if line else ''}: {text}")

    @staticmethod
    def _closest(name: str, names: Iterable[str]) -> str:
        known = sorted(names)
        folded = {candidate.lower(): candidate for candidate in known}
        near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
        if near:
            return f"Did you mean '{folded[near[0]]}'?"
        shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        return f"It has: {shown or 'none'}."

    def message(self, name: str, location: tuple[Hashable, ...], where: str) -> Any:
        """Give a message by name (ConfigError with the closest name where there is none)."""
        found = self.messages.get(name)
        if found is None:
            raise self.error(
                location,
                f"{where}: {' and '.join(dict.fromkeys(file.path.name for file in self._files.values()))} "
                f"has no message '{name}'. {self._closest(name, self.messages)}",
            )
        if name in self._twice:
            places = " and ".join(
                self._files[name].place(message)
                for message in self._files[name].database.messages
                if message.name == name
            )
            raise self.error(
                location,
                f"{where}: the DBC has several messages '{name}' ({places}), so it cannot be told which one "
                "is meant. Rename all but one of them.",
            )
        if found.is_container:
            raise self.error(location, f"{where}: message '{name}' is a container, which is not supported.")
        return found

    def signal(
        self, message: Any, name: str, location: tuple[Hashable, ...], where: str
    ) -> tuple[Any, BitField]:
        """Give a signal of a message and its bits (ConfigError where it is absent or lies outside)."""
        found = [signal for signal in message.signals if signal.name == name]
        if len(found) > 1:
            raise self.error(
                location,
                f"{where}: message {message.name} of {self._files[message.name].path.name} has "
                f"{len(found)} signals '{name}', so it cannot be told which one is meant. Rename all but "
                "one.",
            )
        for signal in found:
            try:
                return signal, BitField.of(signal, message.length)
            except ValueError as error:
                raise self.error(
                    location,
                    f"{where}: {message.name}.{name} ({self.place(message, name)}) is broken: "
                    f"{error}. Correct the DBC.",
                ) from None
        names = [signal.name for signal in message.signals]
        raise self.error(
            location,
            f"{where}: message {message.name} of {self._files[message.name].path.name} has no signal "
            f"'{name}'. {self._closest(name, names)}",
        )

    multiplexing = staticmethod(multiplexing)

    def refuse_overlap(
        self, message: Any, mapped: Mapping[str, tuple[Hashable, ...]], wheres: Mapping[str, str]
    ) -> None:
        """Refuse two mapped signals of a message that share bits.

        Parameters
        ----------
        message : cantools.database.can.Message
            The message.
        mapped : mapping of str to location
            Its signals that are mapped, and where the pack file maps each.
        wheres : mapping of str to str
            The same in words.

        Raises
        ------
        ConfigError
            With both signals, their lines in the DBC and the bits.
        """
        signals = [signal for signal in message.signals if signal.name in mapped]
        pages = [
            {name: frozenset(values) for name, values in self.multiplexing(message, signal)}
            for signal in signals
        ]
        bits = [_bits(signal) for signal in signals]
        for number, signal in enumerate(signals):
            for before, other in enumerate(signals[:number]):
                shared = bits[number] & bits[before]
                if shared and _together(pages[number], pages[before]):
                    later = max(
                        (signal, other), key=lambda item: tuple(str(step) for step in mapped[item.name])
                    )
                    raise self.error(
                        mapped[later.name],
                        f"{wheres[later.name]}: {message.name}.{signal.name} "
                        f"({self.place(message, signal.name)}) and {other.name} "
                        f"({self.place(message, other.name)}) share bit {min(shared)}"
                        + (f" to {max(shared)}" if len(shared) > 1 else "")
                        + ", so one of them is wrong. Correct its start bit or length in the DBC, or map "
                        "only one of them.",
                    )


def _together(levels: dict[str, frozenset[int]], others: dict[str, frozenset[int]]) -> bool:
    """Tell whether two signals are in one frame at times, by their multiplexers."""
    return all(levels[name] & others[name] for name in levels.keys() & others.keys())


def _bits(signal: Any) -> set[int]:
    bits, bit = set(), int(signal.start)
    for _ in range(signal.length):
        bits.add(bit)
        if signal.byte_order == "big_endian":
            bit = bit - 1 if bit % 8 else bit + 15
        else:
            bit += 1
    return bits
