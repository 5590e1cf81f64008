"""Random and mutated CAN frames through driver and monitor, with an oracle of its own.

The oracle decodes every frame once more by cantools and checks its checksum bit by bit. What a scan marks
as valid must be what such a frame said, not longer ago than the pack file allows: anything else is an
invented or an old value that poses as a new one. Run it long with ``make fuzz``;
``tests/drivers/test_frame_fuzz.py`` is short.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import sys
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cantools
import numpy as np

from openbms_control.safety.monitor import SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.types import State, Validity
from openbms_drivers.frame import ERROR, EXTENDED, FD, REMOTE, Frame
from openbms_drivers.pack_driver import PackDriver

__all__ = ["FuzzResult", "fuzz"]

_FIELDS = {
    "cell_voltage_v": ("cell_voltages_v", "cell_voltage_validity"),
    "temperature_degc": ("temperatures_degc", "temperature_validity"),
    "string_voltage_v": ("string_voltages_v", "string_voltage_validity"),
    "link_voltage_v": ("link_voltage_v", "link_voltage_validity"),
    "insulation_resistance_ohm": ("insulation_resistance_ohm", "insulation_resistance_validity"),
    "supply_voltage_v": ("supply_voltage_v", "supply_voltage_validity"),
    "coolant_flow_m3_per_s": ("coolant_flow_m3_per_s", "coolant_flow_validity"),
    "pressure_pa": ("pressure_pa", "pressure_validity"),
}
_WAYS = (
    "bits flipped", "bits flipped, checksum right",
    "other data", "cut", "longer", "twice", "old one again", "29-bit identifier", "random identifier",
    "flags", "skipped", "signal at its end",
)  # fmt: skip


def crc8_sae_j1850(data: bytes) -> int:
    """Compute the checksum bit by bit, as the standard's text says it (not by the product's table)."""
    register = 0xFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1) ^ 0x1D if register & 0x80 else register << 1
            register &= 0xFF
    return register ^ 0xFF


@dataclass
class _Said:
    """What one good frame said of one value, and when."""

    at_s: float
    value: float


@dataclass
class FuzzResult:
    """Counts of one run."""

    frames: int = 0
    scans: int = 0
    values_checked: int = 0
    valid_values: int = 0
    false_valid: list[str] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    rows_seen: Counter[str] = field(default_factory=Counter)
    memory_growth_kib: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Give it as plain types."""
        return {
            name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()
        }


class _Oracle:
    """What may be valid now, by cantools and a checksum of its own."""

    def __init__(self, pack: LoadedPack, driver: PackDriver) -> None:
        self._protected = {
            item.message: item.checksum for item in pack.file.device.integrity if item.checksum is not None
        }
        self._messages = {
            (message.frame_id, bool(message.is_extended_frame)): message
            for message in driver.database.messages.values()
        }
        self._wanted: dict[str, list[tuple[str, int, str, float, float, float]]] = defaultdict(list)
        for entry in pack.file.device.signals:
            if entry.to in _FIELDS:
                for index, message, signal, _ in entry.expanded():
                    self._wanted[message].append(
                        (entry.to, index, signal, entry.scale, entry.offset, pack.file.max_age_s(entry))
                    )
        self._said: dict[tuple[str, int], deque[_Said]] = defaultdict(deque)
        self._age_s: dict[tuple[str, int], float] = {
            (to, index): age for rows in self._wanted.values() for to, index, *_, age in rows
        }

    @property
    def values(self) -> Any:
        """Every value that is judged: quantity and index."""
        return self._age_s.keys()

    def take(self, frame: Frame) -> None:
        """Note what a frame says, if it is good."""
        if frame.flags & (ERROR | REMOTE):
            return
        message = self._messages.get((frame.identifier, bool(frame.flags & EXTENDED)))
        if message is None or message.name not in self._wanted or len(frame.data) < message.length:
            return
        protection = self._protected.get(message.name)
        if protection is not None:
            assert protection.kind == "crc8_sae_j1850", protection.kind
            extra = b"" if protection.data_id is None else (
                bytes((protection.data_id,)) if protection.data_id < 256
                else protection.data_id.to_bytes(2, "little"))  # fmt: skip
            place = message.get_signal_by_name(protection.signal).start // 8
            data = frame.data[: message.length]
            if crc8_sae_j1850(data[:place] + data[place + 1 :] + extra) != data[place]:
                return
        try:
            decoded = message.decode(frame.data[: message.length], decode_choices=False)
        except cantools.database.DecodeError:  # a multiplexer with a value that the DBC does not know
            return
        for to, index, signal, scale, offset, age_s in self._wanted[message.name]:
            if signal not in decoded:
                continue
            said = self._said[to, index]
            said.append(_Said(frame.monotonic_s, float(decoded[signal]) * scale + offset))
            while said and frame.monotonic_s - said[0].at_s > age_s + 0.01:
                said.popleft()

    def allows(self, key: tuple[str, int], value: float, now_s: float) -> bool:
        """Tell whether a good frame, not too old, said this."""
        oldest = now_s - self._age_s[key] - 1e-6
        return any(
            item.at_s >= oldest and math.isclose(item.value, value, rel_tol=1e-6, abs_tol=1e-9)
            for item in self._said[key]
        )


def _raw_range(signal: Any) -> tuple[float, float]:
    """Give what a signal can carry at all."""
    bits = signal.length - signal.is_signed
    raw = (-(1 << bits) if signal.is_signed else 0, (1 << bits) - 1)
    low, high = sorted(value * signal.scale + signal.offset for value in raw)
    return low, high


def _members(message: Any) -> int:
    """Give how many frames carry the whole of a message: one for each value of its multiplexer."""
    return max(1, len({n for signal in message.signals for n in signal.multiplexer_ids or ()}))


_LONG_QUIET_ROUNDS, _LONG_QUIET_AFTER = 600, 30_000


class _Source:
    """Good frames of every mapped message, with right counters and checksums, and ways to spoil them."""

    def __init__(self, pack: LoadedPack, driver: PackDriver, seed: int) -> None:
        self.random = random.Random(seed)
        self._messages = list(driver.decoder.messages)
        self._integrity = {item.message: item for item in pack.file.device.integrity}
        self._counters: Counter[str] = Counter()
        self._values: dict[tuple[str, str], float] = {}
        self._old: deque[tuple[int, bytes, int]] = deque(maxlen=200)
        self._round: list[Any] = []
        self._ranges: dict[tuple[str, str], tuple[float, float, float]] = {}
        self._follows: dict[tuple[str, str], tuple[str, int]] = {}
        self._told: dict[tuple[str, int], float] = {}
        self._spoilt_share = 0.0
        self._quiet_rounds = self._frames = 0
        limits = pack.file.limits
        middle = (limits.cell_voltage_min_v.operating + limits.cell_voltage_max_v.operating) / 2
        healthy = {"cell_voltage_v": middle, "temperature_degc": 25.0, "insulation_resistance_ohm": 5e6,
                   "string_voltage_v": middle * pack.file.topology.cells_in_series, "interlock": 1.0,
                   "supply_voltage_v": 13.0, "ignition": 1.0}  # fmt: skip
        self._string_v = middle * pack.file.topology.cells_in_series
        for entry in pack.file.device.signals:
            for index, message, signal, valid in entry.expanded():
                if entry.to.startswith("contactor_") or entry.to == "link_voltage_v":
                    self._follows[message, signal] = (entry.to, index)
                usual = healthy.get(entry.to, 0.0)
                low = entry.minimum if entry.minimum is not None else 0.0
                high = entry.maximum if entry.maximum is not None else max(1.0, usual)
                self._ranges[message, signal] = tuple(
                    (value - entry.offset) / entry.scale for value in (low, usual, high)
                )
                if valid is not None:
                    self._ranges[message, valid] = (float(entry.valid_when),) * 3

    def _encoded(self, message: Any) -> bytes:
        values: dict[str, float] = {}
        integrity = self._integrity.get(message.name)
        for signal in message.signals:
            key = (message.name, signal.name)
            low, healthy, high = self._ranges.get(key) or (
                signal.minimum or 0.0, 0.0, signal.maximum if signal.maximum is not None else 1.0
            )  # fmt: skip
            low, high = max(low, _raw_range(signal)[0]), min(high, _raw_range(signal)[1])
            # a slow walk about what is healthy: most scans look like a pack, and the monitor gets to closing
            value = self._values.get(key, healthy)
            value += 0.2 * (healthy - value) + 1e-5 * (high - low) * self.random.uniform(-1, 1)
            if self.random.random() < 1e-3 * self._spoilt_share:
                value = self.random.uniform(low, high)
            self._values[key] = value = min(max(value, low), high)
            values[signal.name] = (
                min(max(healthy, low), high) if signal.length <= 2 and self.random.random() < 0.999 else value
            )
            if key in self._follows:
                values[signal.name] = self._told.get(self._follows[key], 0.0)
            if signal.is_multiplexer:
                known = {n for other in message.signals for n in other.multiplexer_ids or ()}
                self._counters[signal.name] = (self._counters[signal.name] + 1) % max(len(known), 1)
                values[signal.name] = sorted(known)[self._counters[signal.name]]
        if integrity is not None and integrity.counter is not None:
            self._counters[message.name] = (self._counters[message.name] + 1) % integrity.counter.modulo
            values[integrity.counter.signal] = self._counters[message.name]
        return self.protected(message, message.encode(values, strict=False, scaling=True))

    def follow(self, command: Any) -> None:
        """Let contactor feedback and link voltage follow a command, so that more states are reached."""
        for name in ("positive", "negative", "precharge"):
            for index, value in enumerate(getattr(command, name)):
                self._told[f"contactor_{name}", index] = float(value)
        negative = command.negative.any()
        self._told["link_voltage_v", 0] = self._string_v if negative and command.precharge.any() else (
            self._string_v if negative and command.positive.any() else 0.0)  # fmt: skip

    def protected(self, message: Any, data: bytes) -> bytes:
        """Put the right checksum in."""
        integrity = self._integrity.get(message.name)
        if integrity is None or integrity.checksum is None or len(data) < message.length:
            return data
        place = message.get_signal_by_name(integrity.checksum.signal).start // 8
        data_id = integrity.checksum.data_id
        extra = (
            b"" if data_id is None else bytes((data_id,)) if data_id < 256 else data_id.to_bytes(2, "little")
        )
        body = data[:place] + data[place + 1 :]
        return data[:place] + bytes((crc8_sae_j1850(body + extra),)) + data[place + 1 :]

    def frames(self) -> list[tuple[str, int, bytes, int]]:
        """Give the next frame, spoilt in some way: way, identifier, data, flags."""
        if not self._round:
            self._round = [message for message in self._messages for _ in range(_members(message))]
            self._quiet_rounds -= 1
            if self._frames > 3000 and self._quiet_rounds <= 0 and self.random.random() < 0.02:
                # quiet times and bad times; some quiet ones last until what was seen in the bad ones has aged
                self._spoilt_share = self.random.choice((0.0, 0.0, 0.01, 0.1, 0.5, 0.9))
                if not self._spoilt_share and self._frames > _LONG_QUIET_AFTER:
                    self._quiet_rounds = self.random.choice((0, _LONG_QUIET_ROUNDS))
            if self.random.random() < self._spoilt_share:
                self.random.shuffle(self._round)
        message, rng = self._round.pop(0), self.random
        self._frames += 1
        data = self._encoded(message)
        identifier = message.frame_id
        flags = EXTENDED if message.is_extended_frame else 0
        way = rng.choice(_WAYS) if rng.random() < self._spoilt_share else "as it is"
        if way.startswith("bits flipped"):
            spoilt = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
            data = self.protected(message, bytes(spoilt)) if way.endswith("right") else bytes(spoilt)
        elif way == "other data":
            data = rng.randbytes(len(data))
        elif way == "signal at its end":
            data = self.protected(message, bytes((rng.choice((0, 255)),)) * len(data))
        elif way == "cut":
            data = data[: rng.randrange(len(data))]
        elif way == "longer":
            data = data + rng.randbytes(rng.randint(1, 56))
        elif way == "29-bit identifier":
            flags ^= EXTENDED
        elif way == "random identifier":
            identifier, flags = rng.randrange(1 << 29), EXTENDED
            data = rng.randbytes(rng.randint(0, 8))
        elif way == "flags":
            flags |= rng.choice((FD, REMOTE, ERROR, ERROR | EXTENDED))
        if way == "skipped":
            return []
        if way == "old one again" and self._old:
            return [(way, *rng.choice(self._old))]
        self._old.append((identifier, data, flags))
        count = 2 if way == "twice" else 1
        return [(way, identifier, data, flags)] * count


def _check(m: Any, oracle: _Oracle, now_s: float, result: FuzzResult) -> None:
    for key in oracle.values:
        values, validity = (getattr(m, name) for name in _FIELDS[key[0]])
        value = float(values[key[1]]) if isinstance(values, np.ndarray) else float(values)
        state = int(validity[key[1]]) if isinstance(validity, np.ndarray) else int(validity)
        result.values_checked += 1
        if state != Validity.VALID:
            if not math.isnan(value):
                result.false_valid.append(f"scan {m.scan_number}: {key} is not valid, but has {value}")
            continue
        result.valid_values += 1
        if not oracle.allows(key, value, now_s):
            result.false_valid.append(f"scan {m.scan_number}: {key} = {value} was said by no good frame")


def _rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def fuzz(
    pack: LoadedPack,
    frames: int,
    seed: int = 1,
    progress: Any = None,
    *,
    judged_by: LoadedPack | None = None,
) -> FuzzResult:
    """Send frames through a driver and a monitor.

    Parameters
    ----------
    pack : LoadedPack
    frames : int
        How many.
    seed : int
    progress : callable, optional
        Called with the number of frames so far.
    judged_by : LoadedPack, optional
        The pack by which the oracle judges, where driver and monitor run another one.

    Raises
    ------
    Exception
        Whatever driver or monitor raise: they must not.
    """
    result, started = FuzzResult(), time.monotonic()
    driver = PackDriver(pack)
    monitor = SafetyMonitor(pack, FaultRecord(pack.file.serial))
    judge = judged_by or pack
    oracle, source = _Oracle(judge, driver), _Source(judge, driver, seed)
    rng, now_s, wall_s = random.Random(seed + 1), 1000.0, 1.7e9
    driver.start(now_s)
    driver.health.opened(now_s)
    spacing_s = pack.file.measurement.scan_period_s / sum(map(_members, driver.decoder.messages))
    rss, named = 0, list[str]()
    while result.frames < frames:
        for way, identifier, data, flags in source.frames():
            now_s += spacing_s * rng.uniform(0.2, 1.8)
            wall_s += spacing_s
            if rng.random() < 2e-5:  # silence; and a clock that is set
                now_s += rng.choice((0.05, 0.3, 2.0, 20.0))
                wall_s += rng.choice((-3600.0, -1.0, 0.0, 1.0, 3600.0))
            frame = Frame(identifier, data, flags, now_s, wall_s)
            result.frames += 1
            result.ways[way] += 1
            oracle.take(frame)
            for scan in (driver.receive(frame), driver.tick(now_s, wall_s)):
                if scan is None:
                    continue
                result.scans += 1
                _check(scan, oracle, now_s, result)
                if rng.random() < 0.05:
                    monitor.request(rng.choice((State.DRIVE, State.CHARGE, State.STANDBY)), now_s)
                if rng.random() < 0.05:  # service: by name, whatever there is
                    monitor.clear(list(named), now_s)
                decision = monitor.step(scan, now_s, wall_s)
                source.follow(decision.contactor_command)
                result.states[decision.status.state.name] += 1
                named = [entry.row.id for entry in decision.faults]
                result.rows_seen.update(named)
                limits = decision.limits
                for value in (limits.charge_current_a, limits.discharge_current_a):
                    assert math.isfinite(value) and value >= 0.0, limits
                assert decision.status.explanation
            driver.frames_due(now_s, wall_s)
            if not rss and result.frames >= frames // 3:
                rss = _rss_kib()
        if progress is not None and result.frames % 1000 < 2:
            progress(result.frames)
    result.memory_growth_kib = _rss_kib() - rss
    result.seconds = time.monotonic() - started
    return result


def main() -> None:
    """Fuzz long, print the result and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pack", default="demo_96s_nmc")
    parser.add_argument("--output", type=Path, help="write the result to this JSON file")
    arguments = parser.parse_args()
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("frames", total=arguments.frames)
        result = fuzz(
            load_pack(arguments.pack),
            arguments.frames,
            arguments.seed,
            lambda n: bar.update(task, completed=n),
        )
    print(
        f"{result.frames} frames, {result.scans} scans, {result.values_checked} values judged, "
        f"{result.valid_values} of them valid: {len(result.false_valid)} falsely valid, no exception, "
        f"memory grew by {result.memory_growth_kib} KiB in the last two thirds, {result.seconds:.0f} s"
    )
    print("states:", dict(result.states))
    for text in result.false_valid[:10]:
        print(" ", text)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if result.false_valid else 0)


if __name__ == "__main__":
    main()
