"""Frames to values: any DBC, by the signal map of the pack file.

What is mapped is compiled to shifts and masks at load (:mod:`openbms_drivers.plan_builder`), which is several
times faster than decoding whole messages.
"""

from __future__ import annotations

import math
from typing import Any

from openbms_core.pack import LoadedPack
from openbms_core.types import Validity
from openbms_drivers.database import Database
from openbms_drivers.frame import Frame
from openbms_drivers.message_plan import MappedSignal, MessagePlan, Node
from openbms_drivers.plan_builder import ON_OFF, PlanBuilder
from openbms_drivers.value_table import ValueTable

__all__ = ["COUNTER_REPEATS", "ON_OFF", "MessagePlan", "SignalDecoder"]

COUNTER_REPEATS = 3
"""The counter counts as stuck when frames repeat it this many times in a row, and no new one has come for
half of the time in which a value is fresh: a gateway that sends frames twice repeats counters, but hides
nothing."""

_VALID = int(Validity.VALID)
_NOT_AVAILABLE = int(Validity.NOT_AVAILABLE)
_IMPLAUSIBLE = int(Validity.IMPLAUSIBLE)
_CHECKSUM = int(Validity.CHECKSUM)
_COUNTER = int(Validity.COUNTER)


class SignalDecoder:
    """Decodes frames into a :class:`~openbms_drivers.value_table.ValueTable`.

    Parameters
    ----------
    pack : LoadedPack
        The pack.
    database : Database, optional
        Its DBC, where it is loaded already.
    by_cantools : bool
        Decode every message by cantools (slow; the reference for tests and benchmarks).

    Attributes
    ----------
    table : ValueTable
        What was decoded.
    touched : list of int
        Slots of string currents that frames brought since the list was cleared last; the scan integrates over
        them.
    warnings : list of str
        What looks wrong in the signal map without being an error.

    Raises
    ------
    ConfigError
        A message or signal is not in the DBC; the text names the closest one.
    """

    def __init__(
        self, pack: LoadedPack, database: Database | None = None, *, by_cantools: bool = False
    ) -> None:
        self.pack = pack
        self.database = database or Database(pack)
        self.table = ValueTable(pack.file)
        self.touched: list[int] = []
        built = PlanBuilder(pack, self.database, self.table, by_cantools=by_cantools)
        self.warnings = built.warnings
        self._mapped = tuple(built.plans.values())
        self.plan = built.messages.find
        """Gives how the message with a key is read; None if the DBC does not have it."""

    @property
    def plans(self) -> tuple[MessagePlan, ...]:
        """The messages from which something is taken."""
        return self._mapped

    @property
    def messages(self) -> list[Any]:
        """The cantools messages from which something is taken."""
        return [plan.message for plan in self._mapped]

    def totals(self) -> tuple[int, int]:
        """Give how many frames of the pack came, and how many of them were refused, since the start."""
        return sum(plan.received for plan in self._mapped), sum(plan.rejected for plan in self._mapped)

    # ---- decoding

    def feed(self, frame: Frame) -> MessagePlan | None:
        """Decode one frame.

        Parameters
        ----------
        frame : Frame
            A data frame; anything may be in it.

        Returns
        -------
        MessagePlan or None
            Its message; None if the DBC does not have its identifier.
        """
        plan = self.plan(frame.key)
        if plan is not None and plan.mapped:
            self.decode(plan, frame)
        return plan

    def decode(self, plan: MessagePlan, frame: Frame) -> bool:
        """Decode one frame of a mapped message; gives whether it was accepted."""
        data, now = frame.data, frame.monotonic_s
        plan.received += 1
        if len(data) != plan.length:
            if len(data) < plan.length:
                plan.rejected += 1
                self._refuse(plan, _CHECKSUM, now)
                return False
            data = data[: plan.length]
        if plan.check is not None and not plan.check(data):
            plan.rejected += 1
            self._refuse(plan, _CHECKSUM, now)
            return False
        counter = plan.counter
        if counter is not None:
            value = int(counter.extract(data))
            if value == plan.last_counter:
                # nothing new: the values keep their age; they end when the sender really hangs
                plan.repeats += 1
                plan.rejected += 1
                if plan.repeats >= COUNTER_REPEATS and now - plan.changed_s > plan.patience_s:
                    self._refuse(plan, _COUNTER, now)
                return False
            plan.last_counter, plan.changed_s = value, now
            plan.repeats = 0
        if plan.by_cantools:
            self._feed_by_cantools(plan, data, now)
        else:
            little = int.from_bytes(data, "little")
            self._run(plan.root, little, int.from_bytes(data, "big") if plan.big_endian else 0, data, now)
        return True

    def _refuse(self, plan: MessagePlan, reason: int, now: float) -> None:
        self.table.refuse(plan.slots, reason, now)
        if reason == _COUNTER:
            self.touched += plan.currents

    def _run(self, node: Node, little: int, big: int, data: bytes, now: float) -> None:
        table = self.table
        values, good_at, heard_at, outcome = table.values, table.good_at, table.heard_at, table.outcome
        for slot, is_big, shift, mask, sign, missing, on, scale, offset, low, high, rare in node.compiled:
            raw = ((big if is_big else little) >> shift) & mask
            if raw & sign:
                raw -= mask + 1
            heard_at[slot] = now
            if rare is not None:
                if rare.valid is not None and rare.valid.extract(data) != rare.valid_when:
                    outcome[slot] = _NOT_AVAILABLE
                    continue
                if rare.bits.is_float:
                    raw = rare.bits.as_float(raw)
            if raw in missing:
                outcome[slot] = _NOT_AVAILABLE
                continue
            value = raw * scale + offset if on is None else 1.0 if raw in on else 0.0
            if low <= value <= high:
                values[slot] = value
                good_at[slot] = now
                outcome[slot] = _VALID
            else:
                outcome[slot] = _IMPLAUSIBLE
        if node.currents:
            self.touched += node.currents
        for bits, selected in node.switches.values():
            below = selected.get(bits.extract(data))  # type: ignore[arg-type]
            if below is not None:
                self._run(below, little, big, data, now)

    def _feed_by_cantools(self, plan: MessagePlan, data: bytes, now: float) -> None:
        try:
            decoded = plan.message.decode(data, decode_choices=False, scaling=False)
        except Exception:  # a multiplexer value that the DBC does not have: nothing to take
            return
        for name, raw in decoded.items():
            for signal in plan.by_name.get(name, ()):
                if any(bits.extract(data) != value for bits, value in signal.selected):
                    continue
                self._store(signal, raw, decoded, data, now)

    def _store(
        self, signal: MappedSignal, raw: float, decoded: dict[str, Any], data: bytes, now: float
    ) -> None:
        table, slot = self.table, signal.slot
        table.heard_at[slot] = now
        if signal.is_current:
            self.touched.append(slot)
        unavailable = signal.valid is not None and signal.valid.extract(data) != signal.valid_when
        if unavailable or raw in signal.missing:
            table.outcome[slot] = _NOT_AVAILABLE
            return
        value = raw * signal.scale + signal.offset if signal.on is None else float(raw in signal.on)
        if math.isfinite(value) and signal.low <= value <= signal.high:
            table.values[slot] = value
            table.good_at[slot] = now
            table.outcome[slot] = _VALID
        else:
            table.outcome[slot] = _IMPLAUSIBLE
