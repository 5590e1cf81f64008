"""Values to the data of one outgoing message, without cantools where that is not needed.

cantools encodes a message in some 60 us, most of it for cases that a command does not have. What is sent
after each scan is compiled to shifts once, as on the way in.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from openbms_drivers.bit_field import BitField

__all__ = ["MessagePacker"]

_TRIALS = 8


class MessagePacker:
    """Packs one message.

    Parameters
    ----------
    message : cantools message
        What is packed.
    names : sequence of str
        Its signals that are given at each packing, in that order.
    base : mapping of str to float
        Physical values of all its signals, for those that are not given.

    Raises
    ------
    Exception
        Whatever cantools raises for a message that it cannot encode.
    """

    def __init__(self, message: Any, names: Sequence[str], base: Mapping[str, float]) -> None:
        self._message, self._names, self._base = message, tuple(names), dict(base)
        self._length = int(message.length)
        self._fixed = 0
        self._plan: tuple[tuple[bool, int, int, float, float], ...] | None = None
        plan = self._compiled()
        if plan is not None:
            self._plan = plan
            if not self._agrees():
                self._plan = None

    def pack(self, values: Sequence[float]) -> bytes:
        """Give the data for physical values within their signals' ranges, in the order of ``names``."""
        if self._plan is None:
            return self.pack_by_cantools(values)
        little, big = self._fixed, 0
        for (is_big, shift, mask, scale, offset), value in zip(self._plan, values, strict=True):
            raw = (round((value - offset) / scale) & mask) << shift
            if is_big:
                big |= raw
            else:
                little |= raw
        if big:
            little |= int.from_bytes(big.to_bytes(self._length, "big"), "little")
        return little.to_bytes(self._length, "little")

    def pack_by_cantools(self, values: Sequence[float]) -> bytes:
        """Do the same by cantools, which refuses a value that does not fit."""
        content = {**self._base, **dict(zip(self._names, values, strict=True))}
        return bytes(self._message.encode(content, scaling=True, padding=False, strict=False))

    def _compiled(self) -> tuple[tuple[bool, int, int, float, float], ...] | None:
        if self._message.is_multiplexed():
            return None
        signals = {signal.name: signal for signal in self._message.signals}
        zeros = self.pack_by_cantools([float(signals[name].conversion.offset) for name in self._names])
        plan, fixed = [], zeros
        for name in self._names:
            signal = signals[name]
            bits = BitField.of(signal, self._length)
            if bits.is_float:
                return None
            fixed = bits.insert(fixed, 0)
            scale, offset = float(signal.conversion.scale), float(signal.conversion.offset)
            plan.append((bits.big_endian, bits.shift, bits.mask, scale, offset))
        self._fixed = int.from_bytes(fixed, "little")
        return tuple(plan)

    def _agrees(self) -> bool:
        """Compare with cantools on a few random values."""
        source = random.Random(self._message.name)
        signals = {signal.name: signal for signal in self._message.signals}
        for _ in range(_TRIALS):
            values = []
            for name in self._names:
                signal = signals[name]
                bits = BitField.of(signal, self._length)
                raw = source.randint(-bits.sign, bits.mask - bits.sign)
                values.append(raw * float(signal.conversion.scale) + float(signal.conversion.offset))
            if self.pack(values) != self.pack_by_cantools(values):
                return False
        return True
