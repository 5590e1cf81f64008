"""Counters and checksums of messages: which signals they are, and which kind a log proves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openbms_core.frame_integrity import CHECKSUM_KINDS, CHECKSUM_WIDTHS, CRC_KINDS
from openbms_core.pack_device import Checksum
from openbms_drivers.bit_field import BitField
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.mapping.words import concepts, words

__all__ = [
    "Found",
    "Kind",
    "checksum_signal",
    "counter_jumps",
    "counter_signal",
    "find_integrity",
    "proven_kind",
]

_LEAST_FRAMES = 20
_TRIED = 60
"""Frames on which each kind is tried; a kind of 8 bit that is wrong passes 20 different ones with 1e-48."""


@dataclass(frozen=True)
class Kind:
    """A checksum as the pack file writes it."""

    kind: str
    data_id: int | None = None
    data_id_first: bool = False

    @property
    def yaml(self) -> str:
        """What stands behind ``signal``."""
        text = f"kind: {self.kind}"
        if self.data_id is not None:
            text += f", data_id: {self.data_id:#x}"
        if self.data_id_first:
            text += ", data_id_first: true"
        return text


@dataclass(frozen=True)
class Found:
    """Counter and checksum of one message.

    Attributes
    ----------
    counter, modulo : str or None, int
        Signal that counts, and how far.
    counter_doubt : str
        Why it may be none; empty where the log shows it.
    checksum, kind : str or None, Kind or None
        Signal and its kind, where the log proves one.
    checksum_note : str
        What is known of the checksum otherwise.
    """

    message: str
    counter: str | None = None
    modulo: int = 16
    counter_doubt: str = ""
    checksum: str | None = None
    kind: Kind | None = None
    checksum_note: str = ""


def counter_signal(message: Any) -> Any | None:
    """Give the signal of a message that looks like an alive counter; None where there is none."""
    found = []
    for signal in message.signals:
        said = concepts(signal.name)
        if "counter" not in said or "checksum" in said or not 2 <= signal.length <= 8 or signal.is_signed:
            continue
        if (
            signal.multiplexer_ids
            or signal.is_multiplexer
            or signal.conversion.is_float
            or said & {"cell", "soc", "energy"}
        ):
            continue
        if float(signal.conversion.scale) != 1.0 or float(signal.conversion.offset) != 0.0:
            continue
        alive = set(words(signal.name)) & {
            "alive",
            "rolling",
            "bz",
            "rc",
            "livecounter",
            "rollingcounter",
            "msgcntr",
            "msgcnt",
            "msgcount",
            "alivecounter",
            "counter",
            "heartbeat",
            "seq",
        }
        found.append((not alive, -signal.start, signal))
    return min(found, key=lambda item: item[:2])[2] if found else None


def checksum_signal(message: Any) -> Any | None:
    """Give the signal of a message that looks like its checksum; None where there is none."""
    found = []
    for signal in message.signals:
        said = concepts(signal.name)
        if (
            "checksum" not in said
            or not 4 <= signal.length <= 32
            or signal.multiplexer_ids
            or signal.is_multiplexer
        ):
            continue
        if said & {"flag", "state", "index"} or signal.conversion.is_float:
            continue  # an error bit, or the checksum of software
        found.append(signal)
    return found[0] if len(found) == 1 else None


def counter_jumps(values: Sequence[int], modulo: int) -> tuple[int, int, int]:
    """Count what a counter does from frame to frame.

    Returns
    -------
    steps, jumps, repeats : int
        Times that it went on by one, by another number, or not at all.
    """
    steps = jumps = repeats = 0
    for before, value in itertools.pairwise(values):
        moved = (value - before) % modulo
        steps += moved == 1
        repeats += moved == 0
        jumps += moved > 1
    return steps, jumps, repeats


def find_integrity(message: Any, frames: Sequence[bytes] | None) -> Found | None:
    """Find counter and checksum of a message.

    Parameters
    ----------
    message : cantools message
        Of the DBC.
    frames : sequence of bytes, optional
        Frames of it in a row; None without a log.

    Returns
    -------
    Found or None
        None where it has neither.
    """
    counter, check = counter_signal(message), checksum_signal(message)
    if counter is None and check is None:
        return None
    whole = (
        None if frames is None else [data[: message.length] for data in frames if len(data) >= message.length]
    )
    name, modulo, counter_doubt = None, 16, ""
    counter_bits = None
    if counter is not None:
        name, modulo, counter_doubt = _counter(message, counter, whole)
        counter_bits = _bits(counter, message.length)
    kind, note = None, ""
    if check is not None:
        note = "its kind is not in the DBC (give --log: every known kind is tried)"
        if whole is not None:
            kind, note = _checksum(message, check, whole, counter_bits)
    return Found(
        message.name, name, modulo, counter_doubt, None if check is None else str(check.name), kind, note
    )


def _bits(signal: Any, length: int) -> BitField | None:
    try:
        return BitField.of(signal, length)
    except ValueError:
        return None


def _counter(message: Any, signal: Any, frames: list[bytes] | None) -> tuple[str | None, int, str]:
    bits = _bits(signal, message.length)
    if bits is None:
        return None, 16, ""
    modulo = bits.mask + 1
    if signal.maximum is not None and 1 < int(signal.maximum) < bits.mask:
        modulo = int(signal.maximum) + 1
    if frames is None:
        return str(signal.name), modulo, "not seen counting: if it stands still every frame is refused"
    values = [int(bits.extract(data)) for data in frames]
    if len(values) < 5:
        return str(signal.name), modulo, f"only {len(values)} frames in the log"
    highest = max(values) + 1
    if highest < modulo and len(values) > 4 * modulo:
        modulo = highest
    steps, jumps, repeats = counter_jumps(values, modulo)
    if steps < 0.8 * (len(values) - 1):
        return (
            None,
            modulo,
            (
                f"{signal.name} is named like a counter, but counts by one at {steps} of {len(values) - 1} "
                "frames only "
                f"({jumps} jumps, {repeats} repeats): left out"
            ),
        )
    return str(signal.name), modulo, ""


def _checksum(
    message: Any, signal: Any, frames: list[bytes], counter: BitField | None
) -> tuple[Kind | None, str]:
    bits = _bits(signal, message.length)
    if bits is None:
        return None, ""
    different = list(dict.fromkeys(frames))
    if len(different) < _LEAST_FRAMES:
        return (
            None,
            f"the log has {len(different)} different frames of it, {_LEAST_FRAMES} are needed to try kinds",
        )
    kind = proven_kind(different, bits, int(message.frame_id), counter)
    if kind is not None:
        return (
            kind,
            f"fits {min(len(different), _TRIED)} of {min(len(different), _TRIED)} different frames of the "
            "log",
        )
    values = {bits.extract(data) for data in different}
    if len(values) == 1:
        return None, f"it has the value {values.pop():#x} in every frame: not used by this device"
    return (
        None,
        "no known kind fits the log: it may need a data_id for each counter value, or a class of your own",
    )


def proven_kind(
    frames: Sequence[bytes], bits: BitField, identifier: int, counter: BitField | None = None
) -> Kind | None:
    """Find the kind of checksum that fits all of some frames.

    Parameters
    ----------
    frames : sequence of bytes
        Different ones, each of the length of the message.
    bits : BitField
        Where the checksum lies.
    identifier : int
        Of the message.
    counter : BitField, optional
        Unused by the kinds that are tried; frames of one counter value say nothing of the others.
    """
    step = max(1, len(frames) // _TRIED)
    tried = list(frames[::step])[:_TRIED]
    # a log may hold broken frames: two as starting points, and a tenth may be wrong
    for start in (tried[0], tried[len(tried) // 2]):
        for kind in _candidates(bits, identifier, start):
            entry = Checksum(
                signal="x", kind=kind.kind, data_id=kind.data_id, data_id_first=kind.data_id_first
            )
            try:
                check = FrameChecksum(entry, bits, identifier, Path()).quick_check
            except ValueError:
                continue
            if sum(check(data) for data in tried) >= 0.9 * len(tried):
                return kind
    return None


def _candidates(bits: BitField, identifier: int, frame: bytes) -> Iterator[Kind]:
    """Give kinds that fit one frame, the plain ones first."""
    plain = [kind for kind in CHECKSUM_KINDS if CHECKSUM_WIDTHS[kind] == bits.length]
    yield from (Kind(kind) for kind in plain)
    value = int(bits.extract(frame)) & bits.mask
    usual = [identifier & 0xFF, identifier >> 8 & 0xFF, identifier & 0xFFFF]
    everything = range(256) if bits.length == 8 else []
    for kind in plain:
        if kind not in CRC_KINDS and kind not in ("sum", "xor", "sum_inverted", "sum_negated", "sum16"):
            continue
        for first in (False, True) if kind in CRC_KINDS else (False,):
            for data_id in dict.fromkeys([*usual, *everything]):
                entry = Checksum(signal="x", kind=kind, data_id=data_id, data_id_first=first)
                try:
                    computed = FrameChecksum(entry, bits, identifier, Path()).compute(frame)
                except ValueError:
                    break
                if computed == value:
                    yield Kind(kind, data_id, first)
