"""What a log brought: how often each signal came, how regularly, and what of it was bad."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from openbms_core.types import Validity
from openbms_drivers.frame import Frame
from openbms_drivers.message_plan import MessagePlan, Node
from openbms_drivers.signal_decoder import SignalDecoder

__all__ = ["Course", "Ledger"]

_VALID = int(Validity.VALID)
_NOT_AVAILABLE = int(Validity.NOT_AVAILABLE)


class Course:
    """When something came, and how regularly."""

    __slots__ = ("count", "first_s", "last_s", "longest_gap_at_s", "longest_gap_s")

    def __init__(self) -> None:
        self.count = 0
        self.first_s = self.last_s = math.nan
        self.longest_gap_s = 0.0
        self.longest_gap_at_s = math.nan

    def came(self, at_s: float) -> None:
        """Note that it came [s]."""
        if self.count:
            gap_s = at_s - self.last_s
            if gap_s > self.longest_gap_s:
                self.longest_gap_s, self.longest_gap_at_s = gap_s, self.last_s
        else:
            self.first_s = at_s
        self.count += 1
        self.last_s = at_s

    @property
    def rate_hz(self) -> float | None:
        """Mean rate [Hz]; None where it came less than twice."""
        span_s = self.last_s - self.first_s
        return (self.count - 1) / span_s if self.count > 1 and span_s > 0 else None

    def told(self) -> dict[str, Any]:
        """Give it for JSON: rounded, None for what is not known."""
        gap = self.count > 1
        return {
            "count": self.count,
            "rate_hz": None if self.rate_hz is None else round(self.rate_hz, 3),
            "longest_gap_s": round(self.longest_gap_s, 6) if gap else None,
            "longest_gap_at_s": round(self.longest_gap_at_s, 6) if gap and self.longest_gap_s else None,
        }


class _Signal(Course):
    __slots__ = ("first", "high", "implausible", "last", "low", "message", "name", "not_available", "signal")

    def __init__(self, name: str, message: str, signal: str) -> None:
        super().__init__()
        self.name, self.message, self.signal = name, message, signal
        self.not_available = self.implausible = 0
        self.first = self.last = math.nan
        self.low, self.high = math.inf, -math.inf

    def told(self) -> dict[str, Any]:
        def number(value: float) -> float | None:
            return float(f"{value:.9g}") if math.isfinite(value) else None

        return {
            "name": self.name,
            "message": self.message,
            "signal": self.signal,
            **super().told(),
            "not_available": self.not_available,
            "implausible": self.implausible,
            "first": number(self.first),
            "last": number(self.last),
            "minimum": number(self.low),
            "maximum": number(self.high),
        }


class Ledger:
    """Counts frames and values; asked to do so behind the driver, whose decoding it does not touch.

    Parameters
    ----------
    decoder : SignalDecoder
        Of the driver.

    Attributes
    ----------
    foreign : Counter
        Frames that the DBC does not have, by their ``key``.
    """

    def __init__(self, decoder: SignalDecoder) -> None:
        self._table = decoder.table
        self._plans = decoder.plans
        self.foreign: Counter[int] = Counter()
        self._messages: dict[str, Course] = {}
        self._other: dict[str, Course] = {}
        self._signals: dict[int, _Signal] = {}
        names = {
            offset + index: f"{quantity}[{index}]" if decoder.table.sizes[quantity] > 1 else quantity
            for quantity, offset in decoder.table.offsets.items()
            for index in range(decoder.table.sizes[quantity])
        }
        for plan in decoder.plans:
            self._messages[plan.name] = Course()
            for signals in plan.by_name.values():
                for signal in signals:
                    self._signals[signal.slot] = _Signal(names[signal.slot], plan.name, signal.name)

    def other(self, plan: MessagePlan, at_s: float) -> None:
        """Take a frame that the DBC has and the pack file does not map."""
        self._other.setdefault(plan.name, Course()).came(at_s)

    def frame(self, plan: MessagePlan, frame: Frame, *, accepted: bool) -> None:
        """Take a frame of the pack that the driver has just decoded or refused."""
        if plan.by_cantools:
            self.answer(plan, frame.monotonic_s, accepted=accepted)
            return
        slots: list[int] = []
        if accepted:
            _slots(plan.root, frame.data[: plan.length], slots)
        self._take(plan, frame.monotonic_s, slots)

    def answer(self, plan: MessagePlan, at_s: float, *, accepted: bool) -> None:
        """Take a message that the driver has just put together and decoded or refused."""
        heard_at = self._table.heard_at
        self._take(plan, at_s, [slot for slot in plan.slots if accepted and heard_at[slot] == at_s])

    def _take(self, plan: MessagePlan, at_s: float, slots: list[int]) -> None:
        self._messages[plan.name].came(at_s)
        table, signals = self._table, self._signals
        for slot in slots:
            signal = signals[slot]
            signal.came(at_s)
            outcome = table.outcome[slot]
            if outcome == _VALID:
                value = table.values[slot]
                if signal.first != signal.first:
                    signal.first = value
                signal.last = value
                signal.low, signal.high = min(signal.low, value), max(signal.high, value)
            elif outcome == _NOT_AVAILABLE:
                signal.not_available += 1
            else:
                signal.implausible += 1

    # ---- what it says

    def messages(self) -> list[dict[str, Any]]:
        """Give a row for each message of the pack, in the order of the pack file."""
        by_name = {plan.name: plan for plan in self._plans}
        rows = []
        for name, course in self._messages.items():
            plan = by_name[name]
            rows.append(
                {
                    "name": name,
                    "id": f"0x{plan.message.frame_id:X}",
                    **course.told(),
                    "refused": plan.rejected,
                }
            )
        return rows

    def others(self) -> list[dict[str, Any]]:
        """Give a row for each message that the DBC has and the pack file does not map."""
        return [{"name": name, **course.told()} for name, course in sorted(self._other.items())]

    def signals(self) -> list[dict[str, Any]]:
        """Give a row for each mapped signal that came."""
        return [signal.told() for _, signal in sorted(self._signals.items()) if signal.count]

    def never(self) -> list[str]:
        """Name the mapped signals that never came."""
        return [signal.name for _, signal in sorted(self._signals.items()) if not signal.count]

    def bad_values(self) -> int:
        """Give how many values were not available or not plausible."""
        return sum(signal.not_available + signal.implausible for signal in self._signals.values())


def _slots(node: Node, data: bytes, found: list[int]) -> None:
    """Collect the slots that a frame fills."""
    found += [entry[0] for entry in node.compiled]
    for bits, selected in node.switches.values():
        below = selected.get(bits.extract(data))  # type: ignore[arg-type]
        if below is not None:
            _slots(below, data, found)
