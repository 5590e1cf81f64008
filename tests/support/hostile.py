"""What a bus, a serial line or a disk can bring at worst, for every pack: no exception, nothing invented.

Frames of any identifier, length and kind, good ones among them, garbage on the identifiers of polls, bytes on
a serial line, damaged DBCs and damaged logs. What a scan marks as valid must be a finite number within the
pack file's range that a frame of the last moments carried (by cantools). ``make hostile`` runs it long,
``src/openbms_drivers/test/test_hostile_*.py`` for seconds.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from openbms_core.pack import LoadedPack
from openbms_core.pack_polls import Poll
from openbms_core.types import PackMeasurement, Validity
from openbms_drivers.database import frame_key
from openbms_drivers.frame import BIT_RATE_SWITCH, ERROR, EXTENDED, FD, REMOTE, Frame
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.serial_exchange import Exchange, SerialProtocol

__all__ = ["HostileBus", "HostileLine", "Judge", "answer_frames", "damaged", "torment", "torment_line"]

_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "cell_voltage_validity": (("cell_voltages_v", "cell_voltage_v"),),
    "redundant_cell_voltage_validity": (("redundant_cell_voltages_v", "redundant_cell_voltage_v"),),
    "temperature_validity": (("temperatures_degc", "temperature_degc"),),
    "string_current_validity": (
        ("string_currents_a", ""), ("string_current_minimum_a", ""), ("string_current_maximum_a", ""),
        ("string_charge_increments_ah", ""),
    ),
    "redundant_string_current_validity": (("redundant_string_currents_a", "redundant_string_current_a"),),
    "string_charge_counter_validity": (("string_charge_counters_ah", "string_charge_counter_ah"),),
    "string_voltage_validity": (("string_voltages_v", "string_voltage_v"),),
    "link_voltage_validity": (("link_voltage_v", "link_voltage_v"),),
    "insulation_resistance_validity": (("insulation_resistance_ohm", "insulation_resistance_ohm"),),
    "pressure_validity": (("pressure_pa", "pressure_pa"),),
    "supply_voltage_validity": (("supply_voltage_v", "supply_voltage_v"),),
    "coolant_flow_validity": (("coolant_flow_m3_per_s", "coolant_flow_m3_per_s"),),
    "auxiliary_power_validity": (("auxiliary_power_w", "auxiliary_power_w"),),
    "actuator_feedback_validity": (("actuator_feedback", "actuator_feedback"),),
    "reported_soc_validity": (("reported_soc", "reported_soc"),),
    "reported_cell_voltage_validity": (
        ("reported_cell_voltage_minimum_v", "reported_cell_voltage_minimum_v"),
        ("reported_cell_voltage_maximum_v", "reported_cell_voltage_maximum_v"),
    ),
    "reported_temperature_validity": (
        ("reported_temperature_minimum_degc", "reported_temperature_minimum_degc"),
        ("reported_temperature_maximum_degc", "reported_temperature_maximum_degc"),
    ),
    "reported_limit_validity": (
        ("reported_charge_current_limit_a", "reported_charge_current_limit_a"),
        ("reported_discharge_current_limit_a", "reported_discharge_current_limit_a"),
    ),
}  # fmt: skip
"""Validity of a scan, what it is of, and the quantity of the pack file (none where no frame says it)."""
_LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)


class Judge:
    """What may be valid: by cantools, from every frame that came, whatever is wrong with it.

    Parameters
    ----------
    driver : PackDriver
        The one that is judged.
    """

    def __init__(self, driver: PackDriver) -> None:
        self.problems: list[str] = []
        self.valid = self.judged = 0
        self._answers = {poll.message for poll in driver.pack.file.device.polls}
        self._messages = {frame_key(message): message for message in driver.decoder.messages}
        self._wanted: dict[str, list[tuple[tuple[str, int], Any]]] = defaultdict(list)
        self._range: dict[tuple[str, int], tuple[float, float]] = {}
        self._age_s: dict[tuple[str, int], float] = {}
        self._free: set[tuple[str, int]] = set()
        self._said: dict[tuple[str, int], deque[tuple[float, float]]] = defaultdict(deque)
        for entry in driver.pack.file.device.signals:
            for index, message, _, _ in entry.expanded():
                key = (entry.to, index)
                self._wanted[message].append((key, entry))
                self._range[key] = (
                    -math.inf if entry.minimum is None else entry.minimum,
                    math.inf if entry.maximum is None else entry.maximum,
                )
                self._age_s[key] = driver.pack.file.max_age_s(entry)
                if message in self._answers:
                    self._free.add(key)
        self._signals = {
            (entry.to, index): signal
            for entry in driver.pack.file.device.signals
            for index, _, signal, _ in entry.expanded()
        }

    def take(self, frame: Frame) -> None:
        """Note what a frame says."""
        message = self._messages.get(frame.key)
        if message is None or frame.flags & (ERROR | REMOTE) or message.name in self._answers:
            return
        try:
            decoded = message.decode(frame.data[: message.length], decode_choices=False, allow_truncated=True)
        except Exception:  # a multiplexer value that the DBC does not know
            return
        for key, entry in self._wanted[message.name]:
            raw = decoded.get(self._signals[key])
            if raw is None:
                continue
            said = self._said[key]
            said.append((frame.monotonic_s, float(raw) * entry.scale + entry.offset))
            while said and frame.monotonic_s - said[0][0] > self._age_s[key] + 1.0:
                said.popleft()

    def judge(self, scan: PackMeasurement, now_s: float) -> None:
        """Note what is wrong with a scan that was closed then."""
        for field, of in _FIELDS.items():
            validity = np.atleast_1d(getattr(scan, field))
            for name, quantity in of:
                values = np.atleast_1d(getattr(scan, name))
                good = validity == Validity.VALID
                self.judged += len(values)
                self.valid += int(good.sum())
                if not np.isfinite(values[good]).all():
                    self.problems.append(f"scan {scan.scan_number}: {name} is valid and not finite: {values}")
                if not np.isnan(values[~good]).all():
                    self.problems.append(f"scan {scan.scan_number}: {name} is not valid and has {values}")
                for index in np.flatnonzero(good).tolist() if quantity else ():
                    self._judge_value((quantity, index), float(values[index]), now_s, scan.scan_number)

    def _judge_value(self, key: tuple[str, int], value: float, now_s: float, number: int) -> None:
        low, high = self._range.get(key, (-math.inf, math.inf))
        if not low <= value <= high:
            self.problems.append(f"scan {number}: {key} = {value} lies outside of {low} … {high}")
        if key in self._free or key not in self._signals:
            return
        oldest_s = now_s - self._age_s[key] - 1e-6
        if not any(
            at_s >= oldest_s and math.isclose(said, value, rel_tol=1e-6, abs_tol=1e-9)
            for at_s, said in self._said[key]
        ):
            self.problems.append(f"scan {number}: {key} = {value} was said by no frame")


def _covers() -> bool:
    """Tell whether every validity of a scan is judged."""
    ends = {item.name for item in fields(PackMeasurement) if item.name.endswith("_validity")}
    return ends == set(_FIELDS)


def answer_frames(poll: Poll, payload: bytes) -> list[bytes]:
    """Cut an answer into frames of ISO-TP (ISO 15765-2), by the standard's text and not by the library."""
    head = poll.prefixes[1]
    room = 8 - len(head)
    if len(payload) < room:
        return [head + bytes([len(payload)]) + payload]
    frames = [head + (0x1000 | len(payload)).to_bytes(2, "big") + payload[: room - 2]]
    rest, number = payload[room - 2 :], 1
    while rest:
        frames.append(head + bytes([0x20 | number & 0xF]) + rest[: room - 1])
        rest, number = rest[room - 1 :], number + 1
    return frames


class HostileBus:
    """Frames for one driver, good and bad ones.

    Parameters
    ----------
    driver : PackDriver
    rng : random.Random
    """

    def __init__(self, driver: PackDriver, rng: random.Random) -> None:
        self._rng, self._plans = rng, list(driver.decoder.plans)
        self._known = [frame_key(message) for message in driver.database.messages.values()]
        device = driver.pack.file.device
        self._polls = {poll.message: poll for poll in device.polls}
        self._checks: dict[str, tuple[FrameChecksum, Any]] = {}
        for plan in self._plans:
            for entry in device.integrity:
                if entry.checksum is not None and fnmatchcase(plan.name, entry.message):
                    _, bits = driver.database.signal(plan.message, entry.checksum.signal, (), "")
                    own = FrameChecksum(
                        entry.checksum, bits, int(plan.message.frame_id), driver.pack.path, plan.counter
                    )
                    self._checks.setdefault(plan.name, (own, bits))
        self._waiting: deque[tuple[int, bytes]] = deque()
        self.kinds: Counter[str] = Counter()

    def next(self, at_s: float) -> Frame:
        """Give the next frame, received then."""
        rng = self._rng
        kind = rng.choices(
            ("good", "known identifier", "any identifier", "poll", "remote", "error", "FD"),
            (10, 3, 2, 3 if self._polls else 0, 0.5, 0.5, 1),
        )[0]
        self.kinds[kind] += 1
        if kind == "good":
            key, data, flags = self._good()
        elif kind == "poll":
            key, data, flags = *self._poll(), 0
        else:
            key = rng.choice(self._known)
            if kind == "any identifier" or rng.random() < 0.1:
                key = rng.randrange(1 << 29) | 1 << 31 if rng.random() < 0.5 else rng.randrange(1 << 11)
            data = rng.randbytes(rng.choice(_LENGTHS) if kind == "FD" else rng.randint(0, 8))
            flags = {"FD": FD | BIT_RATE_SWITCH, "remote": REMOTE, "error": ERROR}.get(kind, 0)
            if kind == "error":
                key = rng.choice((0x20, 0x40, 0x100, rng.randrange(1 << 29)))
        return Frame(key & 0x1FFF_FFFF, data, flags | (EXTENDED if key >> 31 else 0), at_s, at_s + 1.7e9)

    def _good(self) -> tuple[int, bytes, int]:
        """A frame of the pack with random content and, mostly, a right checksum."""
        rng = self._rng
        plan = rng.choice([plan for plan in self._plans if plan.name not in self._polls] or self._plans)
        data = rng.randbytes(plan.length)
        if rng.random() < 0.3:  # extremes
            data = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * plan.length
        for bits, selected in plan.root.switches.values():
            if rng.random() < 0.9:
                data = bits.insert(data, rng.choice(list(selected)))
        if plan.name in self._checks and rng.random() < 0.9:
            own, bits = self._checks[plan.name]
            data = bits.insert(data, own.compute(data))
        return frame_key(plan.message), data, 0

    def _poll(self) -> tuple[int, bytes]:
        """A frame of an answer or a request: in order for a while, then anything."""
        rng = self._rng
        poll = rng.choice(list(self._polls.values()))
        wide = 1 << 31 if poll.extended_identifiers else 0
        if not self._waiting:
            message = next(plan for plan in self._plans if plan.name == poll.message)
            size = poll.length_bytes or message.length
            size = size if rng.random() < 0.8 else rng.randint(0, 300)
            payload = (poll.answer_bytes + rng.randbytes(max(size, 0)))[:size]
            if rng.random() < 0.1:
                payload = bytes([0x7F, poll.request_bytes[0], rng.choice((0x11, 0x21, 0x78))])
            self._waiting.extend((poll.response_id | wide, data) for data in answer_frames(poll, payload))
        key, data = self._waiting.popleft()
        luck = rng.random()
        if luck < 0.02:
            data = rng.randbytes(rng.randint(0, 8))
        elif luck < 0.03:
            self._waiting.clear()
        elif luck < 0.04:
            key = poll.request_id | wide
        elif luck < 0.05:
            key = rng.choice(sorted(p.response_id | wide for p in self._polls.values()))
        return key, data


class HostileLine:
    """Bytes on a serial line: good answers, damaged ones, and noise.

    Parameters
    ----------
    good : list of bytes
        Whole answers of the device.
    rng : random.Random
    """

    def __init__(self, good: list[bytes], rng: random.Random) -> None:
        self._good, self._rng = good, rng

    def next(self) -> bytes:
        """Give what comes next."""
        rng = self._rng
        data = rng.choice(self._good)
        kind = rng.randrange(6)
        if kind == 0:
            return rng.randbytes(rng.randint(0, 80))
        if kind == 1:
            return data[: rng.randint(0, len(data))]
        if kind == 2:
            spoilt = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            return bytes(spoilt)
        return data + (rng.choice(self._good) if kind == 3 else b"")


def torment(pack: LoadedPack, frames: int, seed: int) -> tuple[Judge, PackDriver]:
    """Send frames through a driver that polls, sends, loses its bus, and scans by time.

    Raises
    ------
    Exception
        Whatever the driver raises: it must not.
    """
    assert _covers()
    rng = random.Random(seed)
    driver = PackDriver(pack)
    judge, bus = Judge(driver), HostileBus(driver, rng)
    now_s = 1000.0
    step_s = pack.file.measurement.scan_period_s / 12
    driver.start(now_s)
    driver.health.opened(now_s)
    for _ in range(frames):
        now_s += rng.choice((0.0, step_s, step_s, 2 * step_s)) if rng.random() > 2e-3 else rng.uniform(0, 20)
        frame = bus.next(now_s)
        judge.take(frame)
        for scan in (driver.receive(frame), driver.tick(now_s, now_s + 1.7e9)):
            if scan is not None:
                judge.judge(scan, now_s)
        driver.frames_due(now_s)
        if driver.poll_due(now_s, keeps_up=rng.random() < 0.9) is not None and rng.random() < 0.05:
            driver.poll_not_sent("the queue is full", now_s)
        if rng.random() < 1e-3:
            driver.bus_lost(now_s)
            driver.health.opened(now_s)
        driver.poll_reports(now_s)
        driver.next_send_s(now_s)
    return judge, driver


def torment_line(
    pack: LoadedPack, protocol: SerialProtocol, good: list[bytes], turns: int, seed: int
) -> Judge:
    """Put bytes on the line of a smart BMS, asked as its pack file asks."""
    rng = random.Random(seed)
    driver, exchange, line = PackDriver(pack), Exchange(protocol), HostileLine(good, rng)
    judge, now_s = Judge(driver), 1000.0
    driver.start(now_s)
    driver.health.opened(now_s)
    for _ in range(turns):
        now_s += rng.choice((0.005, 0.02, 0.05, 0.4))
        for frame in driver.frames_due(now_s):
            exchange.ask(frame.identifier, frame.data)
        found = exchange.look(now_s)
        exchange.to_send(now_s)
        data = line.next()
        cut = rng.randint(0, len(data))
        for part in (data[:cut], data[cut:]):
            found += exchange.take(part, now_s)
        exchange.next_s()
        exchange.two_answer(now_s)
        for identifier, content, wide in found:
            frame = Frame(identifier, content, EXTENDED if wide else 0, now_s, now_s)
            judge.take(frame)
            if (scan := driver.receive(frame)) is not None:
                judge.judge(scan, now_s)
        if (scan := driver.tick(now_s, now_s)) is not None:
            judge.judge(scan, now_s)
    return judge


def damaged(data: bytes, rng: random.Random, most: int = 4) -> Iterator[bytes]:
    """Give the same bytes damaged in one way after the other (up to ``most`` at once), without end."""
    words = (
        b"nan",
        b"-1",
        b"1e999",
        b"99999999999999999999",
        b"\xff\xfe",
        b"\0",
        b"",
        b"(",
        b";",
        b'"',
        b":",
    )
    while True:
        spoilt = bytearray(data)
        for _ in range(rng.randint(1, most)):
            at = rng.randrange(len(spoilt) + 1)
            end = min(at + rng.choice((1, 1, 2, 8, 60, 400)), len(spoilt))
            kind = rng.randrange(7)
            if kind == 0:
                del spoilt[at:end]
            elif kind == 1:
                spoilt[at:at] = spoilt[at:end]
            elif kind == 2:
                spoilt[at:end] = rng.randbytes(end - at)
            elif kind == 3:
                spoilt[at:at] = rng.choice(words)
            elif kind == 4:
                del spoilt[at:]
            elif kind == 5:  # a number becomes another one
                digits = [i for i, byte in enumerate(spoilt[at : at + 200], at) if 48 <= byte <= 57]
                if digits:
                    spoilt[digits[0]] = rng.choice(b"0123456789-.")
            else:  # two lines change places
                lines = bytes(spoilt).split(b"\n")
                one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
                spoilt = bytearray(b"\n".join(lines))
            if not spoilt:
                break
        yield bytes(spoilt)
