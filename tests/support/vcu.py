"""A simulated VCU: cantools and a checksum of its own, none of the gateway's code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cantools

from openbms_core.resources import find_resource
from openbms_drivers.frame import Frame

GATEWAY = "package://openbms_drivers/devices/vehicle_vcu/gateway.yaml"


def crc8_j1850(data: bytes) -> int:
    """CRC-8/SAE-J1850, bit by bit; the check value of the RevEng catalogue is 0x4B for 123456789."""
    register = 0xFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x1D if register & 0x80 else register << 1) & 0xFF
    return register ^ 0xFF


assert crc8_j1850(b"123456789") == 0x4B


def with_id(identifier: int) -> bytes:
    return bytes((identifier & 0xFF, identifier >> 8)) if identifier > 0xFF else bytes((identifier,))


class Vcu:
    """What it says next, and what it heard."""

    def __init__(self) -> None:
        path = find_resource("package://openbms_drivers/devices/vehicle_vcu/vehicle_vcu.dbc", Path("x"))
        self.database = cantools.database.load_file(path)
        self.request = {"Ignition": 1, "Request": 0, "Crash": 0, "Emergency_Stop": 0, "Interlock": 1}
        self.charging = {"Plug": 0, "Pilot_Duty": 0.0}
        self.counts: Counter[str] = Counter()
        self.heard: dict[str, dict[str, Any]] = {}
        self.last_counter: dict[str, int] = {}

    def frames(self, now_s: float = 0.0) -> list[Frame]:
        return [
            self._frame("Vcu_Request", self.request, now_s),
            self._frame("Vcu_Charging", self.charging, now_s),
        ]

    def _frame(self, name: str, values: dict[str, Any], now_s: float) -> Frame:
        message = self.database.get_message_by_name(name)
        self.counts[name] += 1
        content = {**values, "Counter": self.counts[name] % 16, "Checksum": 0}
        data = bytearray(message.encode(content, scaling=True, padding=False, strict=False))
        data[7] = crc8_j1850(bytes(data[:7]) + with_id(message.frame_id))
        return Frame(message.frame_id, bytes(data), 0, now_s, now_s)

    def hear(self, identifier: int, data: bytes) -> None:
        """Take a frame of the BMS; its checksum and its counter must be right."""
        message = self.database.get_message_by_frame_id(identifier)
        assert crc8_j1850(data[:7] + with_id(identifier)) == data[7], message.name
        values = message.decode(data, decode_choices=False)
        if message.name in self.last_counter:
            assert values["Counter"] == (self.last_counter[message.name] + 1) % 16, message.name
        self.last_counter[message.name] = values["Counter"]
        self.heard[message.name] = values
