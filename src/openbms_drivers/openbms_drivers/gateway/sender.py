"""Values to a gateway's periodic frames, with counter and checksum; unknown ones as the peer says them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openbms_drivers.bit_field import BitField
from openbms_drivers.database import Database
from openbms_drivers.frame import BIT_RATE_SWITCH, EXTENDED, FD, Frame
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.gateway.gateway_file import LoadedGateway, OutputMessage, OutputSignal
from openbms_drivers.message_packer import MessagePacker
from openbms_drivers.units import units_each

__all__ = ["Sender", "Values"]

Values = Mapping[str, float]
"""Values by name; NaN where unknown."""

_SHORTEST_REPEAT_S = 0.05
_MAGNITUDES = ("_limit_a", "_limit_w", "_limit_v")
"""Values with these endings are never sent larger than they are: rounded towards zero."""
_ROUNDING = 1e-6
"""Part of a step by which a limit that falls on it may miss it, as floating-point numbers do."""

_Where = tuple[str | int, ...]


@dataclass
class _Item:
    source: str | None
    scale: float
    offset: float
    lowest: float
    highest: float
    unknown: float | None
    """Physical value that the unknown code stands for."""
    step: tuple[float, float] | None = None
    """Resolution and zero of a limit's signal, which is rounded towards the source's zero."""

    def physical(self, value: float) -> float:
        """Give what stands in the signal for a known value of the source."""
        physical = value * self.scale + self.offset
        if self.step is not None and math.isfinite(physical):
            resolution, zero = self.step
            raw = (physical - zero) / resolution
            # a larger source is a larger raw value, or a smaller one where one of the two scales is negative
            rising = self.scale * resolution >= 0.0
            raw = math.floor(raw + _ROUNDING) if rising else math.ceil(raw - _ROUNDING)
            physical = raw * resolution + zero
        return min(max(physical, self.lowest), self.highest)


@dataclass
class _Outgoing:
    message: Any
    period_s: float
    items: list[_Item]
    packer: MessagePacker
    flags: int
    modulo: int | None
    check: tuple[BitField, FrameChecksum] | None
    when_changed: bool
    next_s: float = -math.inf
    sent_s: float = -math.inf
    count: int = 0
    last: list[float] | None = None

    def is_urgent(self, physical: list[float] | None) -> bool:
        """Tell whether this must not wait for the period: anything that changed but a limit that rose."""
        if physical is None or self.last is None:
            return physical is not self.last
        return any(
            value != last and (item.step is None or abs(value - item.offset) < abs(last - item.offset))
            for item, value, last in zip(self.items, physical, self.last, strict=True)
        )


class Sender:
    """Makes the frames that are due from the present values.

    Parameters
    ----------
    gateway : LoadedGateway
        ``device.commands`` says what is sent.
    database : Database
        Its DBC.

    Attributes
    ----------
    withheld : dict of str to str
        Messages that are not sent now, by name, with the value that is unknown.

    Raises
    ------
    ConfigError
        A message or signal is not in the DBC, or cannot be encoded.
    """

    def __init__(self, gateway: LoadedGateway, database: Database) -> None:
        self._database, self._path = database, gateway.path
        self.withheld: dict[str, str] = {}
        self._look_s = -math.inf
        self._outgoing = [
            self._build(entry, ("device", "commands", number))
            for number, entry in enumerate(gateway.file.device.commands)
        ]

    @property
    def messages(self) -> list[Any]:
        """The cantools messages that are sent."""
        return [outgoing.message for outgoing in self._outgoing]

    @property
    def next_due_s(self) -> float:
        """When :meth:`frames_due` has something next (monotonic); infinite if nothing is ever sent."""
        due_s = min((outgoing.next_s for outgoing in self._outgoing), default=math.inf)
        return min(due_s, self._look_s) if any(item.when_changed for item in self._outgoing) else due_s

    def _build(self, entry: OutputMessage, location: _Where) -> _Outgoing:
        where = f"device.commands[{location[-1]}]"
        if entry.repeat:
            raise self._database.error(
                location, f"{where}: repeat is for the commands of a pack; write each message of a gateway."
            )
        message = self._database.message(entry.message, location, where)
        signals = {signal.name: signal for signal in message.signals}
        items, names = [], []
        for signal in entry.signals:
            found, bits = self._database.signal(message, signal.signal, location, where)
            try:
                items.append(self._item(signal, found, bits))
            except ValueError as error:
                raise self._database.error(
                    location, f"{where}: {message.name}.{signal.signal}: {error}."
                ) from None
            names.append(signal.signal)
        counter = check = None
        if entry.counter is not None:
            _, counter = self._database.signal(message, entry.counter.signal, location, where)
            names.append(entry.counter.signal)
            if entry.counter.modulo > counter.mask + 1:
                raise self._database.error(
                    location,
                    f"{where}.counter: modulo {entry.counter.modulo} does not fit in the {counter.length} "
                    f"bit of {message.name}.{entry.counter.signal}. Give {counter.mask + 1} or less.",
                )
        if entry.checksum is not None:
            _, bits = self._database.signal(message, entry.checksum.signal, location, where)
            try:
                identifier = int(message.frame_id)
                check = (bits, FrameChecksum(entry.checksum, bits, identifier, self._path, counter))
            except ValueError as error:
                raise self._database.error(
                    location, f"{where}.checksum: {message.name}.{entry.checksum.signal}: {error}."
                ) from None
        checked = [*names, *([] if entry.checksum is None else [entry.checksum.signal])]
        if twice := sorted({name for name in checked if checked.count(name) > 1}):
            raise self._database.error(
                location, f"{where}: {message.name}.{twice[0]} is filled twice. Remove one of the two."
            )
        self._database.refuse_overlap(
            message, dict.fromkeys(checked, location), dict.fromkeys(checked, where)
        )
        base = {
            name: float(signal.raw_initial or 0) * float(signal.conversion.scale)
            + float(signal.conversion.offset)
            for name, signal in signals.items()
        }
        try:
            packer = MessagePacker(message, names, base)
            lowest = [max(item.lowest, min(item.offset, item.highest)) for item in items]
            packer.pack_by_cantools([*lowest, *([0.0] if entry.counter is not None else [])])
        except Exception as error:
            raise self._database.error(
                location,
                f"{where}: message {message.name} cannot be encoded: {str(error).rstrip('.')}. Correct the "
                "DBC or the signals.",
            ) from error
        flags = (EXTENDED if message.is_extended_frame else 0) | (
            FD | BIT_RATE_SWITCH if message.is_fd else 0
        )
        modulo = None if entry.counter is None else entry.counter.modulo
        return _Outgoing(message, entry.period_s, items, packer, flags, modulo, check, entry.when_changed)

    @staticmethod
    def _item(signal: OutputSignal, found: Any, bits: BitField) -> _Item:
        scale, offset = float(found.conversion.scale), float(found.conversion.offset)
        first = -bits.sign
        last = first + bits.mask
        step = None
        if bits.is_float:
            ends = (-3e38, 3e38)
        else:
            if signal.unknown_raw is not None and not first <= signal.unknown_raw <= last:
                raise ValueError(f"unknown_raw {signal.unknown_raw} is not within {first} to {last}")
            # what means unknown must not be reached by a value that is too large
            if signal.unknown_raw == last:
                last -= 1
            elif signal.unknown_raw == first:
                first += 1
            ends = (first * scale + offset, last * scale + offset)
            if signal.source is not None and signal.source.endswith(_MAGNITUDES):
                step = (scale, offset)
        lowest, highest = min(ends), max(ends)
        if step is not None:
            _check_limit(signal, found.unit)
        if step is not None and not lowest <= signal.offset <= highest:
            raise ValueError(
                f"a limit of zero is {signal.offset:g} there, but the signal reaches from {lowest:g} to "
                f"{highest:g}: correct scale and offset, or the DBC"
            )
        low, high = found.minimum, found.maximum
        if signal.source is not None and low is not None and high is not None and low < high:
            # beyond what the DBC says there may be codes of other meaning; but a limit may always be zero
            if step is not None:
                low, high = min(low, signal.offset), max(high, signal.offset)
            lowest, highest = max(lowest, float(low)), min(highest, float(high))
        unknown = None if signal.unknown_raw is None else signal.unknown_raw * scale + offset
        return _Item(signal.source, signal.scale, signal.offset, lowest, highest, unknown, step)

    def frames_due(self, values: Values, now_s: float, stamp_s: float = 0.0) -> list[Frame]:
        """Give the frames whose period is over, or whose content changed where that counts.

        Parameters
        ----------
        values : mapping of str to float
            Every source; NaN where unknown.
        now_s, stamp_s : float
            Monotonic time; ROS time for the record [s].
        """
        frames = []
        self._look_s = now_s + _SHORTEST_REPEAT_S
        for outgoing in self._outgoing:
            due = now_s >= outgoing.next_s
            if not due and not (outgoing.when_changed and now_s >= outgoing.sent_s + _SHORTEST_REPEAT_S):
                continue
            physical = self._physical(outgoing, values)
            if not due and not outgoing.is_urgent(physical):
                continue
            following = outgoing.next_s + outgoing.period_s
            # in step with the period as long as the loop keeps up; no burst after a stall
            outgoing.next_s = following if due and following > now_s else now_s + outgoing.period_s
            outgoing.last = physical
            if physical is not None:
                outgoing.sent_s = now_s
                data = self._encode(outgoing, physical)
                frames.append(Frame(int(outgoing.message.frame_id), data, outgoing.flags, now_s, stamp_s))
        return frames

    def farewell(self, values: Values, now_s: float, stamp_s: float = 0.0) -> list[Frame]:
        """Give every frame once, whatever its period: the last ones of a gateway that ends."""
        for outgoing in self._outgoing:
            outgoing.next_s = -math.inf
        return self.frames_due(values, now_s, stamp_s)

    def _physical(self, outgoing: _Outgoing, values: Values) -> list[float] | None:
        """Give the values of a message's signals; None where one is unknown and has no code for it."""
        physical = []
        for item in outgoing.items:
            if item.source is None:
                physical.append(min(max(item.offset, item.lowest), item.highest))
            elif not math.isnan(value := values[item.source]):
                physical.append(item.physical(value))
            elif item.unknown is not None:
                physical.append(item.unknown)
            else:
                self.withheld[outgoing.message.name] = item.source
                return None
        self.withheld.pop(outgoing.message.name, None)
        return physical

    @staticmethod
    def _encode(outgoing: _Outgoing, physical: list[float]) -> bytes:
        if outgoing.modulo is not None:
            physical = [*physical, float(outgoing.count % outgoing.modulo)]
        outgoing.count += 1
        data = outgoing.packer.pack(physical)
        if outgoing.check is not None:
            bits, own = outgoing.check
            data = bits.insert(data, own.compute(data))
        return data


def _check_limit(signal: OutputSignal, unit: str | None) -> None:
    """Refuse what would say more than the limit (ValueError)."""
    if signal.offset:
        raise ValueError(
            f"offset is {signal.offset:g}, so a limit of zero would be sent as that: remove it (an offset of "
            "the DBC counts by itself)"
        )
    each = units_each(signal.source or "", unit)
    if each is not None and abs(signal.scale) > 1.001 * each:
        raise ValueError(
            f"scale is {signal.scale:g} for [{unit}], so more than the limit would be sent: give {each:g}, "
            "or less"
        )
