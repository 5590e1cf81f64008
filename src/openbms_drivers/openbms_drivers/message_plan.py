"""How one message is read: what the signal map says, compiled for the decoder's inner loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openbms_drivers.bit_field import BitField

__all__ = ["MappedSignal", "MessagePlan", "Node"]


@dataclass
class MappedSignal:
    """One mapped signal, as the configuration says it."""

    name: str
    slot: int
    bits: BitField
    scale: float
    offset: float
    low: float
    high: float
    missing: frozenset[int]
    on: frozenset[int] | None
    valid: BitField | None
    valid_when: int
    is_current: bool
    selected: tuple[tuple[BitField, int], ...] = ()
    """Signals of the frame that say which member of a row it holds, and the value at which it is this one."""

    def compiled(self) -> tuple[Any, ...]:
        """Flat for the inner loop; the last item is set where the signal needs more than a shift and a
        mask.
        """
        bits = self.bits
        rare = self if bits.is_float or self.valid is not None else None
        return (
            self.slot, bits.big_endian, bits.shift, bits.mask, bits.sign, self.missing, self.on, self.scale,
            self.offset, self.low, self.high, rare,
        )  # fmt: skip


@dataclass
class Node:
    """What one value of a multiplexer selects: signals, and further multiplexers."""

    signals: list[MappedSignal] = field(default_factory=list)
    compiled: tuple[tuple[Any, ...], ...] = ()
    currents: tuple[int, ...] = ()
    switches: dict[str, tuple[BitField, dict[int, Node]]] = field(default_factory=dict)

    def compile(self) -> None:
        """Flatten the signals for the inner loop, here and below."""
        self.compiled = tuple(signal.compiled() for signal in self.signals)
        self.currents = tuple(signal.slot for signal in self.signals if signal.is_current)
        for _, table in self.switches.values():
            for node in table.values():
                node.compile()


@dataclass
class MessagePlan:
    """How one message is read.

    Attributes
    ----------
    name : str
        Name in the DBC.
    mapped : bool
        The pack file takes something from it.
    received, rejected : int
        Frames since the start; frames of those that were refused.
    changed_s, patience_s : float
        When the counter changed last (monotonic), and how long it may stand before it counts as stuck [s].
    """

    message: Any
    name: str
    length: int
    mapped: bool
    big_endian: bool = False
    root: Node = field(default_factory=Node)
    slots: tuple[int, ...] = ()
    currents: tuple[int, ...] = ()
    check: Callable[[bytes], bool] | None = None
    counter: BitField | None = None
    last_counter: int = -1
    changed_s: float = 0.0
    patience_s: float = 0.0
    repeats: int = 0
    received: int = 0
    rejected: int = 0
    by_cantools: bool = False
    by_name: dict[str, list[MappedSignal]] = field(default_factory=dict)
