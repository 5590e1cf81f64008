"""Values, items and texts to frames, as a profile says."""

from __future__ import annotations

import math
from collections.abc import Mapping

from openbms_drivers.devices.inverter_lv.profile import SIZES, FrameSpec, NumberField, Profile, TextField
from openbms_drivers.devices.inverter_lv.vocabulary import LIMITS

__all__ = ["FrameEncoder"]

_RANGES = {"u8": (0, 0xFF), "u16": (0, 0xFFFF), "s16": (-0x8000, 0x7FFF), "u32": (0, 0xFFFF_FFFF)}


class FrameEncoder:
    """Encodes the frames of a profile.

    Parameters
    ----------
    profile : Profile
    """

    def __init__(self, profile: Profile) -> None:
        self._big = profile.byte_order == "big"

    def encode(
        self,
        frame: FrameSpec,
        values: Mapping[str, float],
        items: Mapping[str, bool | None],
        texts: Mapping[str, str],
    ) -> bytes | None:
        """Give the data of a frame; None if it must be withheld: something in it is unknown and has no code.

        Parameters
        ----------
        frame : FrameSpec
        values, items, texts : mappings
            By the names of the vocabulary; NaN, None and empty text: unknown.
        """
        data = bytearray([frame.fill] * frame.length)
        for byte, raw in frame.constants.items():
            data[byte] = raw
        for number in frame.numbers:
            encoded = self._number(number, values[number.value])
            if encoded is None:
                return None
            data[number.byte : number.byte + len(encoded)] = encoded
        for bits in frame.bits:
            data[bits.byte] = sum(
                1 << bit for bit, names in bits.bits.items() if any(items.get(name) for name in names)
            )
        for pairs in frame.pairs:
            data[pairs.byte] = sum(
                self._pair([items.get(name) for name in names], pairs.cleared) << bit
                for bit, names in pairs.pairs.items()
            )
        for text in frame.texts:
            encoded = self._text(text, texts)
            if encoded is None:
                return None
            data[text.byte : text.byte + text.length] = encoded
        return bytes(data)

    @staticmethod
    def _pair(known: list[bool | None], cleared: int) -> int:
        if any(known):
            return 1
        return cleared if any(item is not None for item in known) else 0

    def _number(self, field: NumberField, value: float) -> bytes | None:
        size = SIZES[field.type]
        order = "big" if self._big else "little"
        if not math.isfinite(value):
            if field.unknown_raw is None:
                return None
            mask = (1 << (8 * size)) - 1
            return (field.unknown_raw & mask).to_bytes(size, "big" if self._big else "little")
        value *= field.sign
        if field.minimum is not None:
            value = max(value, field.minimum)
        if field.maximum is not None:
            value = min(value, field.maximum)
        low, high = _RANGES[field.type]
        count = value / field.resolution
        if math.isinf(count):
            count = high if count > 0 else low
        # a limit is rounded down: never more than was received (1e-6: 0.1 is no binary number)
        raw = math.floor(count + 1e-6) if field.value in LIMITS else round(count)
        raw = min(max(raw, low), high)
        if field.unknown_raw is not None and raw == _signed(field.unknown_raw, field.type):
            raw += -1 if raw > 0 else 1
        return raw.to_bytes(size, "little" if order == "little" else "big", signed=low < 0)

    @staticmethod
    def _text(field: TextField, texts: Mapping[str, str]) -> bytes | None:
        text = field.text if field.text is not None else texts[field.source or ""]
        if not text:
            return None
        plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
        return plain.encode("ascii")[: field.length].ljust(field.length, bytes((field.padding,)))


def _signed(raw: int, kind: str) -> int:
    return raw - 0x1_0000 if kind == "s16" and raw >= 0x8000 else raw
