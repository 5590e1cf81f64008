"""One unit id: its models are found once and read again and again; what it held, with the time of reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openbms_drivers.devices.sunspec.chain import (
    LARGEST_READ,
    Block,
    Chain,
    MapChangedError,
    NotSunSpecError,
    RefusedError,
    find_base,
    read_block,
    walk,
)
from openbms_drivers.devices.sunspec.link import LinkDownError, ModbusLink
from openbms_drivers.devices.sunspec.models import INVERTER_MODELS, METER_MODELS, Values

__all__ = ["INVERTER_FAST", "INVERTER_SLOW", "Identity", "Reading", "Snapshot", "SunspecDevice"]

INVERTER_FAST = (123, 124, 704)
INVERTER_SLOW = (120, 121, 122, 160, 702, 713, 802)

_SLOW_PERIOD_S = 30.0
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 10.0
_REDISCOVER_AFTER = 3
"""Failures in a row after which it may be another device: it is looked at from the beginning."""


@dataclass(frozen=True)
class Reading:
    """One model as it was read.

    Attributes
    ----------
    values : Values
    at_s, stamp_s : float
        Monotonic and ROS time before the question was sent: the age is never understated [s].
    """

    values: Values
    at_s: float
    stamp_s: float


@dataclass(frozen=True)
class Identity:
    """Who it says it is (model 1)."""

    manufacturer: str = ""
    model: str = ""
    version: str = ""
    serial: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.manufacturer, self.model, self.serial) if part)


@dataclass(frozen=True)
class Snapshot:
    """What is known of a device; never changed, always replaced whole.

    Attributes
    ----------
    chain : Chain or None
    readings : mapping of int to Reading
        Newest of each model, however old.
    problem : str
        Why something is missing.
    """

    chain: Chain | None = None
    identity: Identity = field(default_factory=Identity)
    readings: Mapping[int, Reading] = field(default_factory=dict)
    problem: str = "not read yet"

    def fresh(self, numbers: Sequence[int], now_s: float, max_age_s: float) -> Reading | None:
        """Give the first of these models that was read within ``max_age_s``."""
        for number in numbers:
            reading = self.readings.get(number)
            if reading is not None and now_s - reading.at_s <= max_age_s:
                return reading
        return None


class SunspecDevice:
    """Reads one unit; used by the thread that owns the link.

    Parameters
    ----------
    link : ModbusLink
    unit : int
    base_address : int or None
        To look at before the addresses of the standard.
    fast, slow : sequence of int
        Models that are read at every poll and every 30 s; of those that measure AC power, the first there is.
    registers_at_once : int
    monotonic_s, stamp_s : callable
        The clocks [s].
    """

    def __init__(
        self,
        link: ModbusLink,
        unit: int,
        base_address: int | None,
        fast: Sequence[int],
        slow: Sequence[int],
        registers_at_once: int = LARGEST_READ,
        *,
        monotonic_s: Callable[[], float],
        stamp_s: Callable[[], float],
    ) -> None:
        self.link, self.unit = link, unit
        self._base = base_address
        self._fast, self._slow = tuple(fast), tuple(slow)
        self._at_once = registers_at_once
        self._monotonic_s, self._stamp_s = monotonic_s, stamp_s
        self._failures = 0
        self._retry_s, self._retry_at_s = _FIRST_RETRY_S, -math.inf
        self._slow_at_s = -math.inf
        self.snapshot = Snapshot()

    @property
    def name(self) -> str:
        """Host, port and unit, for people."""
        return f"{self.link.name} unit {self.unit}"

    def poll(self) -> bool:
        """Read what is due; give whether the device answered. Waits between attempts while it does not."""
        now_s = self._monotonic_s()
        if now_s < self._retry_at_s:
            return False
        try:
            if self.snapshot.chain is None:
                self._discover()
            slow = now_s - self._slow_at_s >= _SLOW_PERIOD_S
            self._read_all(slow)
            if slow:
                self._slow_at_s = now_s
        except (LinkDownError, NotSunSpecError, RefusedError) as error:
            self._failed(str(error))
            return False
        self._failures, self._retry_s = 0, _FIRST_RETRY_S
        return True

    def forget(self) -> None:
        """Look at the device from the beginning next time; its readings are of another one."""
        self.snapshot = Snapshot(problem=self.snapshot.problem)
        self._slow_at_s = -math.inf

    def read_now(self, number: int) -> Values:
        """Read one model at once, to see what became of a write.

        Raises
        ------
        RefusedError, LinkDownError
            It could not be read.
        """
        chain = self.snapshot.chain
        block = None if chain is None else chain.block(number)
        if block is None:
            raise RefusedError(f"model {number} is not there")
        return self._read([block])[number].values

    def write(self, number: int, register: int, words: Sequence[int]) -> None:
        """Write registers of a model, counted from its register ID.

        Raises
        ------
        RefusedError, LinkDownError
            It was refused, or it is not known whether it was written.
        """
        chain = self.snapshot.chain
        block = None if chain is None else chain.block(number)
        if block is None or register + len(words) > block.length + 2:
            raise RefusedError(f"model {number} has no register {register}")
        self.link.write(self.unit, block.address + register, words)

    def _ask(self, address: int, count: int) -> list[int]:
        return self.link.read(self.unit, address, count)

    def _discover(self) -> None:
        chain = walk(self._ask, find_base(self._ask, self._base))
        identity = Identity()
        common = chain.block(1)
        if common is not None:
            values = read_block(self._ask, common, self._at_once)
            identity = Identity(*(values.text(name) for name in ("Mn", "Md", "Vr", "SN")))
        self.snapshot = Snapshot(chain, identity, {}, chain.problem)

    def _wanted(self, slow: bool) -> list[Block]:
        chain = self.snapshot.chain
        if chain is None:
            return []
        power = chain.first(number for number in self._fast if number in (*METER_MODELS, *INVERTER_MODELS))
        wanted = [] if power is None else [power]
        others = [number for number in self._fast if number not in (*METER_MODELS, *INVERTER_MODELS)]
        for number in (*others, *(self._slow if slow else ())):
            block = chain.block(number)
            if block is not None and block.definition is not None:
                wanted.append(block)
        return wanted

    def _read(self, blocks: Sequence[Block]) -> dict[int, Reading]:
        readings = dict(self.snapshot.readings)
        problems = [self.snapshot.chain.problem] if self.snapshot.chain is not None else []
        for block in blocks:
            at_s, stamp_s = self._monotonic_s(), self._stamp_s()
            try:
                values = read_block(self._ask, block, self._at_once)
            except MapChangedError:
                self.forget()
                raise
            except RefusedError as error:
                # the other models may be read all the same; this one grows old
                problems.append(f"model {block.number}: {error}")
                continue
            readings[block.number] = Reading(values, at_s, stamp_s)
        self.snapshot = Snapshot(
            self.snapshot.chain, self.snapshot.identity, readings, "; ".join(filter(None, problems))
        )
        return readings

    def _read_all(self, slow: bool) -> None:
        self._read(self._wanted(slow))

    def _failed(self, text: str) -> None:
        self._failures += 1
        self._retry_at_s = self._monotonic_s() + self._retry_s
        self._retry_s = min(2.0 * self._retry_s, _LAST_RETRY_S)
        old = self.snapshot
        self.snapshot = Snapshot(old.chain, old.identity, old.readings, text)
        if self._failures >= _REDISCOVER_AFTER:
            self.forget()
