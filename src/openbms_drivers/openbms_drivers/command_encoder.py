"""What the device is told, as frames: periodic, with counter and checksum, and at once where something
changed.

Nothing here sends: the loop that receives and publishes asks :meth:`CommandEncoder.frames_due` and sends what
it gives (or winds up the kernel that repeats it), so the heartbeat stops when that loop dies or hangs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from openbms_core.pack import CommandMap, CommandSignal, LoadedPack
from openbms_core.types import State
from openbms_drivers.arbitration import Arbiter, Outputs
from openbms_drivers.bit_field import BitField
from openbms_drivers.database import Database, frame_key
from openbms_drivers.frame import BIT_RATE_SWITCH, EXTENDED, FD, Frame
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.message_packer import MessagePacker

__all__ = ["CommandEncoder"]

_SHORTEST_REPEAT_S = 0.005
"""A changed command is sent at once, but changes are not sent more often than this."""


@dataclass
class _Filled:
    """One signal of an outgoing message and what fills it."""

    name: str
    source: str | None
    index: int
    scale: float
    offset: float
    lowest: float
    highest: float
    states: dict[int, float] = field(default_factory=dict)
    """Value for each requested state, where the device has its own."""


@dataclass
class _Outgoing:
    """One outgoing message."""

    message: Any
    period_s: float
    signals: list[_Filled]
    flags: int
    packer: MessagePacker
    kept: bool = False
    """The kernel keeps its period, where it can."""
    modulo: int | None = None
    """Of its counter."""
    checksum: tuple[BitField, FrameChecksum] | None = None
    next_s: float = -math.inf
    changed_s: float = -math.inf
    count: int = 0
    sources: tuple[str, ...] = ()
    wanted: tuple[Any, ...] | None = None
    """What the sources said when the message was last looked at."""
    last: list[float] = field(default_factory=list)
    """Values of the last frame; empty: what was last sent does not count."""


class CommandEncoder:
    """Turns commands into the frames of a pack's device.

    Parameters
    ----------
    pack : LoadedPack
        The pack; ``device.commands`` says what is sent.
    database : Database
        Its DBC.

    Raises
    ------
    ConfigError
        A message or signal is not in the DBC, or a source has an index that the pack does not have.
    """

    def __init__(self, pack: LoadedPack, database: Database) -> None:
        self._pack = pack.file
        self._database = database
        self._strings = pack.file.topology.strings
        self._cells = pack.file.topology.cell_count
        self.arbiter = Arbiter(pack.file)
        self._outgoing = [
            message
            for number, entry in enumerate(pack.file.device.commands)
            for message in self._build(number, entry)
        ]
        self.kept_s: dict[int, float] = {
            frame_key(outgoing.message): outgoing.period_s for outgoing in self._outgoing if outgoing.kept
        }
        """Period [s] of the frames that the kernel repeats where it can, by their key."""
        self._expiry_s = math.inf
        self.opened_since_s: float | None = None
        """Since when frames that hold every contactor open have been handed over (monotonic); None while one
        is closed."""

    # ---- building

    def _size(self, source: str | None) -> float:
        if source == "bleed":
            return self._cells
        return self._strings if source is not None and source.startswith("contactor_") else math.inf

    def _build(self, number: int, entry: CommandMap) -> list[_Outgoing]:
        where, location = f"device.commands[{number}]", ("device", "commands", number)
        keys = [dict(zip(entry.repeat, values, strict=True)) for values in _product(entry.repeat)]
        built = []
        for turn, names in enumerate(keys):
            message = self._database.message(entry.message.format(**names), location, where)
            signals = [
                filled
                for item in entry.signals
                for filled in self._fill(message, item, turn, names, location, where)
            ]
            outgoing = _Outgoing(
                message=message,
                period_s=entry.period_s,
                kept=entry.timed_by == "kernel",
                signals=signals,
                sources=tuple(dict.fromkeys(filled.source for filled in signals if filled.source)),
                packer=self._packer(message, signals, entry, location, where),
                flags=(EXTENDED if message.is_extended_frame else 0)
                | (FD | BIT_RATE_SWITCH if message.is_fd else 0),
            )
            if entry.counter is not None:
                outgoing.modulo = entry.counter.modulo
            if entry.checksum is not None:
                outgoing.checksum = self._checksum(message, entry, location, where)
            built.append(outgoing)
        return built

    def _checksum(
        self, message: Any, entry: CommandMap, location: tuple[str | int, ...], where: str
    ) -> tuple[BitField, FrameChecksum]:
        assert entry.checksum is not None
        _, bits = self._database.signal(message, entry.checksum.signal, location, where)
        counter = None
        if entry.counter is not None:
            _, counter = self._database.signal(message, entry.counter.signal, location, where)
        try:
            return bits, FrameChecksum(
                entry.checksum, bits, int(message.frame_id), self._database.pack.path, counter
            )
        except ValueError as error:
            raise self._database.error(
                location, f"{where}.checksum: {message.name}.{entry.checksum.signal}: {error}."
            ) from None

    def _packer(
        self,
        message: Any,
        signals: list[_Filled],
        entry: CommandMap,
        location: tuple[str | int, ...],
        where: str,
    ) -> MessagePacker:
        base = {}
        for signal in message.signals:
            start = signal.raw_initial if signal.raw_initial is not None else 0
            scale, offset = float(signal.conversion.scale), float(signal.conversion.offset)
            base[signal.name] = float(start) * scale + offset
        names = [filled.name for filled in signals]
        values = [min(max(0.0, filled.lowest), filled.highest) for filled in signals]
        if entry.counter is not None:
            self._database.signal(message, entry.counter.signal, location, where)
            names.append(entry.counter.signal)
            values.append(float(entry.counter.modulo - 1))  # the largest that it will ever be
        try:
            packer = MessagePacker(message, names, base)
            packer.pack_by_cantools(values)
        except Exception as error:
            raise self._database.error(
                location,
                f"{where}: message {message.name} cannot be encoded: {str(error).rstrip('.')}. Correct "
                "the DBC, the signals or the counter's modulo.",
            ) from error
        return packer

    def _fill(
        self,
        message: Any,
        item: CommandSignal,
        turn: int,
        names: dict[str, int],
        location: tuple[str | int, ...],
        where: str,
    ) -> list[_Filled]:
        filled = []
        row = [dict(zip(item.repeat, values, strict=True)) for values in _product(item.repeat)]
        for position, own in enumerate(row):
            name = item.signal.format(**names, **own)
            signal, bits = self._database.signal(message, name, location, where)
            index = item.first_index + turn * len(row) + position
            if index >= self._size(item.source):
                raise self._database.error(
                    location,
                    f"{where}: {name} wants {item.source}[{index}], the pack has {self._size(item.source)}.",
                )
            scale, offset = float(signal.conversion.scale), float(signal.conversion.offset)
            if bits.is_float:
                lowest, highest = -3e38, 3e38
            else:
                first = -bits.sign
                ends = (first * scale + offset, (first + bits.mask) * scale + offset)
                lowest, highest = min(ends), max(ends)
            states = {int(State[state]): value for state, value in item.states.items()}
            filled.append(_Filled(name, item.source, index, item.scale, item.offset, lowest, highest, states))
        return filled

    @property
    def messages(self) -> list[Any]:
        """The cantools messages that are sent."""
        return [outgoing.message for outgoing in self._outgoing]

    # ---- frames

    def next_due_s(self) -> float:
        """When :meth:`frames_due` may have something: a period, an expiry, a new command (monotonic)."""
        if self.arbiter.changed:
            return -math.inf
        return min(self._expiry_s, min((message.next_s for message in self._outgoing), default=math.inf))

    def frames_due(self, now_s: float, stamp_s: float = 0.0) -> list[Frame]:
        """Give the frames to send now: those whose period is over and those whose content changed.

        Parameters
        ----------
        now_s : float
            Monotonic time [s].
        stamp_s : float
            ROS time for the record [s].
        """
        periodic_s = min((message.next_s for message in self._outgoing), default=math.inf)
        if not self.arbiter.changed and now_s < periodic_s and now_s <= self._expiry_s:
            return []
        # before the commands are read: one that comes now is seen in the next turn
        self.arbiter.changed = False
        outputs = self.arbiter.outputs(now_s)
        self._expiry_s = self.arbiter.expires_s(now_s)
        frames = []
        for message in self._outgoing:
            wanted = tuple([getattr(outputs, source) for source in message.sources])
            if wanted == message.wanted and now_s < message.next_s:
                continue
            values = self._values(message, outputs)
            changed = values != message.last
            if changed and now_s - message.changed_s < _SHORTEST_REPEAT_S:
                # once more, in a moment
                self._expiry_s = min(self._expiry_s, message.changed_s + _SHORTEST_REPEAT_S)
                continue
            message.wanted = wanted
            if now_s < message.next_s and not changed:
                continue
            data = self._encode(message, values)
            frames.append(Frame(int(message.message.frame_id), data, message.flags, now_s, stamp_s))
            message.last = values
            message.count += 1
            # a repeat that the period asked for does not hold back the answer that comes right behind it
            if changed:
                message.changed_s = now_s
            # in step with the period as long as the loop keeps up; no burst after a stall
            following = message.next_s + message.period_s
            message.next_s = following if not changed and following > now_s else now_s + message.period_s
        if outputs.any_closed:
            self.opened_since_s = None
        elif self.opened_since_s is None:
            self.opened_since_s = now_s
        return frames

    def resend(self) -> None:
        """Send everything again soon: some of the last frames did not get out."""
        for message in self._outgoing:
            message.wanted, message.last = None, []
        self.arbiter.changed = True

    @staticmethod
    def _values(message: _Outgoing, outputs: Outputs) -> list[float]:
        values = []
        for item in message.signals:
            value = item.offset
            if item.states:
                value = item.states.get(outputs.requested_state, value)
            elif item.source is not None:
                value += item.scale * outputs.value(item.source, item.index)
            values.append(min(max(value, item.lowest), item.highest) if value == value else 0.0)
        return values

    @staticmethod
    def _encode(message: _Outgoing, values: list[float]) -> bytes:
        if message.modulo is not None:
            values = [*values, message.count % message.modulo]
        data = message.packer.pack(values)
        if message.checksum is not None:
            bits, own = message.checksum
            data = bits.insert(data, own.compute(data))
        return data


def _product(repeat: dict[str, tuple[int, int]]) -> list[tuple[int, ...]]:
    combinations: list[tuple[int, ...]] = [()]
    for first, last in repeat.values():
        combinations = [(*start, value) for start in combinations for value in range(first, last + 1)]
    return combinations
