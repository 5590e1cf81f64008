"""Frames to values: any DBC, by the signal map of the pack file.

At load every mapped message and signal is looked up; what is mapped is compiled to shifts and masks, which is
several times faster than decoding whole messages. Each compiled message is compared with cantools once at
load; one that does not agree is decoded by cantools itself.
"""

from __future__ import annotations

import logging
import math
import random
import sys
from collections.abc import Hashable
from fnmatch import fnmatchcase
from typing import Any

from openbms_core.pack import LoadedPack, MessageIntegrity, SignalMap
from openbms_core.types import Validity
from openbms_drivers.bit_field import BitField
from openbms_drivers.database import Database
from openbms_drivers.frame import Frame
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.message_plan import MappedSignal, MessagePlan, Node
from openbms_drivers.message_table import MessageTable
from openbms_drivers.units import unit_warning
from openbms_drivers.value_table import ValueTable

__all__ = ["COUNTER_REPEATS", "ON_OFF", "MessagePlan", "SignalDecoder"]

_log = logging.getLogger(__name__)

COUNTER_REPEATS = 3
"""The counter counts as stuck when frames repeat it this many times in a row, and no new one has come for
half of the time in which a value is fresh: a gateway that sends frames twice repeats counters, but hides
nothing."""

ON_OFF = frozenset(
    {
        "cell_balancing", "contactor_positive", "contactor_negative", "contactor_precharge", "interlock",
        "emergency_stop", "ignition", "charging_plug", "smoke", "gas",
        # of a vehicle (openbms_drivers.vehicle)
        "crash", "wants_drive", "wants_charge", "wants_connected",
    }
)  # fmt: skip
"""Quantities that are on or off."""
_ON_OFF_OF_ACTUATORS = ("_fault", "_running")
"""Endings of the same, of actuators that their file names."""

_CURRENT = "string_current_a"
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
        self.warnings: list[str] = []
        self._messages = MessageTable()
        self.plan = self._messages.find
        """Gives how the message with a key is read; None if the DBC does not have it."""
        plans: dict[str, MessagePlan] = {}
        self._mapped_at: dict[str, tuple[dict[str, tuple[Hashable, ...]], dict[str, str]]] = {}
        for number, entry in enumerate(pack.file.device.signals):
            self._map(number, entry, plans)
        self._protect(plans)
        self._mapped = tuple(plans.values())
        self.warnings += [f"{self.database.path.name}: {text}" for text in self.database.file.repairs]
        for plan in self._mapped:
            self.database.refuse_overlap(plan.message, *self._mapped_at[plan.name])
        for plan in self._mapped:
            plan.root.compile()
            plan.by_cantools = by_cantools or not self._agrees_with_cantools(plan)
        for message in self.database.messages.values():
            plan = plans.get(message.name) or MessagePlan(message, message.name, message.length, mapped=False)
            other = self._messages.add(message, plan)
            if other is not None and (plan.mapped or other.mapped):
                self._same_identifier(*((plan, other) if plan.mapped else (other, plan)))

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

    # ---- building

    def _map(self, number: int, entry: SignalMap, plans: dict[str, MessagePlan]) -> None:
        where, location = f"device.signals[{number}]", ("device", "signals", number)
        database, table = self.database, self.table
        for (index, message_name, signal_name, valid_name), selection in zip(
            entry.expanded(), entry.selections(), strict=True
        ):
            message = database.message(message_name, location, where)
            signal, bits = database.signal(message, signal_name, location, where)
            levels = database.multiplexing(message, signal)
            chosen = [self._selector(message, name, value, location, where) for name, value in selection]
            for (name, value), selector in zip(selection, chosen, strict=True):
                levels = self._narrowed(levels, message_name, name, value, location, where)
                if selector == bits:
                    raise database.error(
                        location, f"{where}: {message_name}.{name} cannot select itself. Correct selected_by."
                    )
            valid = None
            if valid_name is not None:
                valid_signal, valid = database.signal(message, valid_name, location, where)
                if (
                    database.multiplexing(message, valid_signal)
                    != levels[: len(database.multiplexing(message, valid_signal))]
                ):
                    raise database.error(
                        location,
                        f"{where}: {message_name}.{valid_name} is not in the same multiplexed part as "
                        f"{signal_name}, so it "
                        "cannot tell whether that is valid.",
                    )
            on_off = entry.to in ON_OFF or entry.to.endswith(_ON_OFF_OF_ACTUATORS)
            largest = sys.float_info.max
            mapped = MappedSignal(
                name=signal_name,
                slot=table.slot(entry.to, index),
                bits=bits,
                scale=float(signal.conversion.scale) * entry.scale,
                offset=float(signal.conversion.offset) * entry.scale + entry.offset,
                low=-largest if entry.minimum is None else entry.minimum,
                high=largest if entry.maximum is None else entry.maximum,
                missing=frozenset(entry.not_available_raw),
                on=frozenset(entry.true_when) if on_off else None,
                valid=valid,
                valid_when=entry.valid_when,
                is_current=entry.to == _CURRENT,
                selected=tuple(
                    (selector, value) for selector, (_, value) in zip(chosen, selection, strict=True)
                ),
            )
            if table.fitted(mapped.slot):
                raise database.error(
                    location,
                    f"{where}: {entry.to}[{index}] is mapped a second time, to {message_name}.{signal_name}. "
                    "Remove one of the two, or correct first_index.",
                )
            table.fit(mapped.slot, self.pack.file.max_age_s(entry))
            plan = plans.setdefault(
                message_name, MessagePlan(message, message_name, message.length, mapped=True)
            )
            locations, wheres = self._mapped_at.setdefault(message_name, ({}, {}))
            for used in (signal_name, valid_name, *(name for name, _ in selection)):
                if used is not None and used not in locations:
                    locations[used], wheres[used] = location, where
            plan.slots += (mapped.slot,)
            plan.currents += (mapped.slot,) if mapped.is_current else ()
            plan.big_endian |= bits.big_endian
            plan.by_name.setdefault(signal_name, []).append(mapped)
            self._place(plan, levels, mapped, location, where)
        if (warning := unit_warning(entry.to, signal.unit, entry.scale)) is not None:
            self.warnings.append(f"{where}: {message_name}.{signal_name}: {warning}.")

    def _selector(
        self, message: Any, name: str, value: int, location: tuple[Hashable, ...], where: str
    ) -> BitField:
        """Give the bits of a signal that says which member of a row the frame holds."""
        _, bits = self.database.signal(message, name, location, where)
        low, high = (-bits.sign, bits.sign - 1) if bits.sign else (0, bits.mask)
        if bits.is_float or not low <= value <= high:
            raise self.database.error(
                location,
                f"{where}: {message.name}.{name} selects the member, but it "
                + ("is a float" if bits.is_float else f"holds {low} to {high}, never {value}")
                + ". Correct repeat or selected_by.",
            )
        return bits

    def _narrowed(
        self,
        levels: tuple[tuple[str, tuple[int, ...]], ...],
        message: str,
        name: str,
        value: int,
        location: tuple[Hashable, ...],
        where: str,
    ) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Add a selector to the multiplexers; of one that is a multiplexer only one value is left."""
        for at, (known, values) in enumerate(levels):
            if known == name:
                if value not in values:
                    raise self.database.error(
                        location,
                        f"{where}: in the DBC the signal is not in {message} where {name} is {value}, only "
                        f"where it is {', '.join(str(item) for item in values[:12])}. Correct repeat.",
                    )
                return (*levels[:at], (name, (value,)), *levels[at + 1 :])
        return (*levels, (name, (value,)))

    def _place(
        self,
        plan: MessagePlan,
        levels: tuple[tuple[str, tuple[int, ...]], ...],
        mapped: MappedSignal,
        location: tuple[str | int, ...],
        where: str,
    ) -> None:
        nodes = [plan.root]
        for name, values in levels:
            _, bits = self.database.signal(plan.message, name, location, where)
            below: list[Node] = []
            for node in nodes:
                _, table = node.switches.setdefault(name, (bits, {}))
                below += [table.setdefault(value, Node()) for value in values]
            nodes = below
        for node in nodes:
            node.signals.append(mapped)

    def _protect(self, plans: dict[str, MessagePlan]) -> None:
        for number, entry in enumerate(self.pack.file.device.integrity):
            where, location = f"device.integrity[{number}]", ("device", "integrity", number)
            names = [name for name in self.database.messages if fnmatchcase(name, entry.message)]
            if not names:
                self.database.message(entry.message, location, where)  # raises with the closest name
            for name in names:
                if name in plans:
                    self._protect_message(plans[name], entry, location, where)

    def _protect_message(
        self, plan: MessagePlan, entry: MessageIntegrity, location: tuple[str | int, ...], where: str
    ) -> None:
        counter = None
        if entry.counter is not None:
            _, counter = self.database.signal(plan.message, entry.counter.signal, location, where)
            if counter.is_float:
                raise self.database.error(
                    location,
                    f"{where}.counter: {plan.name}.{entry.counter.signal} is a floating-point number, so it "
                    "counts nothing. Name another signal, or correct the DBC.",
                )
        if entry.checksum is not None and plan.check is None:
            _, bits = self.database.signal(plan.message, entry.checksum.signal, location, where)
            try:
                plan.check = FrameChecksum(
                    entry.checksum, bits, int(plan.message.frame_id), self.pack.path, counter
                ).quick_check
            except ValueError as error:
                raise self.database.error(
                    location, f"{where}.checksum: {plan.name}.{entry.checksum.signal}: {error}."
                ) from None
        if counter is not None and plan.counter is None:
            plan.counter = counter
            plan.patience_s = 0.5 * min(self.table.max_age_s(slot) for slot in plan.slots)

    def _same_identifier(self, plan: MessagePlan, other: MessagePlan) -> None:
        """Refuse two mapped messages with one identifier; say it where only ``plan`` is mapped."""
        database = self.database
        text = (
            f"messages {plan.name} ({database.place(plan.message)}) and {other.name} "
            f"({database.place(other.message)}) have the same identifier {plan.message.frame_id:#x}"
        )
        if other.mapped:
            locations, wheres = self._mapped_at[other.name]
            name = next(iter(locations))
            raise database.error(
                locations[name],
                f"{wheres[name]}: {text}: nobody can tell which one a frame is. Correct the DBC, or map only "
                "one of them.",
            )
        self.warnings.append(f"{text}; each of its frames is read as {plan.name}, which is mapped")

    def _agrees_with_cantools(self, plan: MessagePlan) -> bool:
        """Compare the compiled bits with cantools on a few random frames."""
        source = random.Random(plan.name)
        for _ in range(4):
            data = source.randbytes(plan.length)
            try:
                expected = plan.message.decode(data, decode_choices=False, scaling=False)
            except Exception:  # a multiplexer value that the DBC does not have
                continue
            for name, signals in plan.by_name.items():
                for signal in signals:
                    mine = signal.bits.extract(data)
                    same = name not in expected or mine == expected[name] or mine != mine
                    if not same:
                        _log.warning(
                            "%s.%s is decoded by cantools: %r is not %r",
                            plan.name,
                            name,
                            mine,
                            expected[name],
                        )
                        return False
        return True

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
