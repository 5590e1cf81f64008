"""How much of a CAN bus the messages of a DBC take, at worst."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openbms_core.light_can  # noqa: F401  # cantools imports python-can as well

# isort: split
import cantools.database

__all__ = ["bus_load", "worst_case_bits"]


def worst_case_bits(data_bytes: int, *, extended: bool = False) -> int:
    """Give the longest that a data frame can be on the wire, with bit stuffing and interframe space [bit].

    Source: Davis et al., Controller Area Network (CAN) schedulability analysis: refuted, revisited and
    revised, Real-Time Systems 35 (2007), equation 1: (g + 8 s + 13) + floor((g + 8 s - 1) / 4), g = 34 for
    11-bit and 54 for 29-bit identifiers.

    Parameters
    ----------
    data_bytes : int
        0 … 8.
    extended : bool
        The identifier has 29 bits.
    """
    stuffed = (54 if extended else 34) + 8 * data_bytes
    return stuffed + 13 + (stuffed - 1) // 4


def bus_load(dbc_path: str, bitrate_bit_per_s: float, frames: Callable[[str], int] | None = None) -> float:
    """Give the part of the bus, 0 … 1, that all messages with a ``GenMsgCycleTime`` take at worst.

    Parameters
    ----------
    dbc_path : str
        The DBC; a multiplexed message is sent once for each multiplexer value in its cycle.
    bitrate_bit_per_s : float
        Bit rate [bit/s].
    frames : callable, optional
        Gives the frames of a message in its cycle, by name, where a pack has less than the DBC
        (:meth:`openbms_sim.wiring.Wiring.sent_each_scan`); a message of which it says 0 is not sent.
    """
    database: Any = cantools.database.load_file(dbc_path, strict=True)
    bits_per_s = 0.0
    for message in database.messages:
        if message.cycle_time:
            values = {number for signal in message.signals for number in signal.multiplexer_ids or ()}
            bits = worst_case_bits(message.length, extended=message.is_extended_frame)
            count = max(1, len(values)) if frames is None else frames(message.name)
            bits_per_s += count * bits * 1000.0 / message.cycle_time
    return bits_per_s / bitrate_bit_per_s
