"""The signal map of a pack file and its DBC to plans: how each message is read.

Every mapped message and signal is looked up; what is mapped is compiled to shifts and masks. Each compiled
message is compared with cantools once; one that does not agree is decoded by cantools itself.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Hashable
from fnmatch import fnmatchcase
from typing import Any

from openbms_core.pack import LoadedPack, MessageIntegrity, SignalMap
from openbms_drivers.bit_field import BitField
from openbms_drivers.database import Database
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.message_plan import MappedSignal, MessagePlan, Node
from openbms_drivers.message_table import MessageTable
from openbms_drivers.units import unit_warning
from openbms_drivers.value_table import ValueTable

__all__ = ["ON_OFF", "PlanBuilder"]

_log = logging.getLogger(__name__)

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


class PlanBuilder:
    """Builds the plans of a pack.

    Parameters
    ----------
    pack : LoadedPack
        The pack.
    database : Database
        Its DBC.
    table : ValueTable
        What is mapped gets its slots fitted in it.
    by_cantools : bool
        Every message is to be decoded by cantools.

    Attributes
    ----------
    plans : dict of str to MessagePlan
        The messages from which something is taken, by their names.
    messages : MessageTable
        All messages of the DBC.
    warnings : list of str
        What looks wrong without being an error.

    Raises
    ------
    ConfigError
        A message or signal is not in the DBC, or cannot be read as the pack file says.
    """

    def __init__(
        self, pack: LoadedPack, database: Database, table: ValueTable, *, by_cantools: bool = False
    ) -> None:
        self.pack, self.database, self.table = pack, database, table
        self.plans: dict[str, MessagePlan] = {}
        self.messages = MessageTable()
        self.warnings: list[str] = []
        self._mapped_at: dict[str, tuple[dict[str, tuple[Hashable, ...]], dict[str, str]]] = {}
        for number, entry in enumerate(pack.file.device.signals):
            self._map(number, entry)
        self._protect()
        self.warnings += [f"{database.path.name}: {text}" for text in database.file.repairs]
        for plan in self.plans.values():
            database.refuse_overlap(plan.message, *self._mapped_at[plan.name])
        for plan in self.plans.values():
            plan.root.compile()
            plan.by_cantools = by_cantools or not self._agrees_with_cantools(plan)
        for message in database.messages.values():
            known = self.plans.get(message.name)
            plan = known or MessagePlan(message, message.name, message.length, mapped=False)
            other = self.messages.add(message, plan)
            if other is not None and (plan.mapped or other.mapped):
                self._same_identifier(*((plan, other) if plan.mapped else (other, plan)))

    def _map(self, number: int, entry: SignalMap) -> None:
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
            plan = self.plans.setdefault(
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

    def _protect(self) -> None:
        for number, entry in enumerate(self.pack.file.device.integrity):
            where, location = f"device.integrity[{number}]", ("device", "integrity", number)
            names = [name for name in self.database.messages if fnmatchcase(name, entry.message)]
            if not names:
                self.database.message(entry.message, location, where)  # raises with the closest name
            for name in names:
                if name in self.plans:
                    self._protect_message(self.plans[name], entry, location, where)

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
