"""A host on the other end of the twin's bus, with time counted by hand."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import cantools

from openbms_core.frame_integrity import checksum
from openbms_core.pack import LoadedPack
from openbms_core.types import State
from openbms_sim.faults import Injections, parse_injections
from openbms_sim.frames import Layout, layouts
from openbms_sim.interface import Source
from openbms_sim.twin import TICK_S, DigitalTwin
from openbms_sim.vehicle import Permission

__all__ = ["DBC", "PACKS", "REPOSITORY", "Host"]

REPOSITORY = Path(__file__).resolve().parents[3]
DBC = REPOSITORY / "src/openbms_drivers/openbms_drivers/devices/openbms_cmu/openbms_cmu.dbc"
PACKS = REPOSITORY / "src/openbms_bringup/config/packs"


@functools.lru_cache
def _database() -> tuple[Any, dict[str, Layout]]:
    return cantools.database.load_file(str(DBC), strict=True), layouts(str(DBC))


class Host:
    """A host on the other end of the bus: cantools decodes and encodes, time is counted by hand."""

    def __init__(self, pack: LoadedPack, source: Source, **options: Any) -> None:
        self.database, messages = _database()
        self.known = {message.frame_id for message in self.database.messages}
        self.twin = DigitalTwin(pack.file, messages, source, **options)
        self.now_s = 1000.0
        self.permission = Permission(State.DRIVE, False, 10.0, 30.0)
        self.counters: dict[str, int] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.frames: list[tuple[int, bytes]] = []
        self.pending: list[tuple[int, bytes]] = []
        self.command: dict[str, float] | None = None

    def frame(self, name: str, **values: float) -> tuple[int, bytes]:
        message = self.database.get_message_by_name(name)
        counter = self.counters[name] = (self.counters.get(name, -1) + 1) % 16
        full = {signal.name: 0 for signal in message.signals} | {"Counter": counter} | values
        data = bytearray(message.encode(full))
        data[-1] = checksum("crc8_sae_j1850", bytes(data[:-1]), message.frame_id)
        return message.frame_id, bytes(data)

    def send(self, name: str, **values: float) -> None:
        self.pending.append(self.frame(name, **values))

    def close(self, *contactors: str) -> None:
        """From now on command these contactors every 100 ms; none: all open."""
        self.command = {f"Contactor{name}": 1.0 for name in contactors}

    def inject(self, text: str) -> None:
        names = [message.name for message in self.database.messages]
        sensors = self.twin._sensors.names
        self.twin.injections = Injections(
            parse_injections(text, cells=96, sensors=sensors, messages=names),
            self.now_s,
            self.twin.injections,
        )

    def run(self, seconds: float) -> Host:
        """Let time pass; ``seen`` has the last value of each signal, ``frames`` all frames of this run."""
        self.frames = []
        last: dict[tuple[int, int], bytes] = {}
        for tick in range(round(seconds / TICK_S)):
            if self.command is not None and tick % 10 == 0:
                self.send("Bms_Command", **self.command)
            received, self.pending = self.pending, []
            self.now_s += TICK_S
            for identifier, data in self.twin.tick(received, self.permission, self.now_s):
                self.frames.append((identifier, data))
                if identifier not in self.known:
                    continue
                voltages = identifier >= 0x100 and identifier & 0xF == 0
                last[identifier, data[0] >> 4 if voltages else 0] = data
        for (identifier, _), data in last.items():
            message = self.database.get_message_by_frame_id(identifier)
            self.seen.setdefault(message.name, {}).update(
                message.decode(data, decode_choices=False, allow_truncated=True)
            )
        return self

    def count(self, name: str) -> int:
        identifier = self.database.get_message_by_name(name).frame_id
        return sum(number == identifier for number, _ in self.frames)

    def status(self, signal: str) -> int:
        return int(self.seen["Pack_Status"][signal])
