# ruff: noqa: E501 - a table has one row a line
"""The inverters' documents as tables, written from them and not from the profiles: what each byte means.

An entry is a name, the first byte, a ``struct`` format and the value of one count. Sources: PYLON CANBUS
Protocol V1.2; captures of Pylontech V1.3 at setfirelabs.com; SMA FSS-ConnectingBat-TI-en-10; Safiery's CAN Bus
BMS protocol after Victron's; Sol-Ark CAN Bus Protocol V1.3; SEPLOS CANBUS Protocol V1.0 (Goodwe V1.5);
LuxPower CAN Protocol V04; the protocol table of Open Solar Energy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

Entry = tuple[str, int, str, float]

LIMITS: list[Entry] = [
    ("cvl_v", 0, "<H", 0.1),
    ("ccl_a", 2, "<h", 0.1),
    ("dcl_a", 4, "<h", 0.1),
    ("dvl_v", 6, "<H", 0.1),
]
CHARGE: list[Entry] = [("soc_pct", 0, "<H", 1.0), ("soh_pct", 2, "<H", 1.0)]
FINE_CHARGE: list[Entry] = [*CHARGE, ("soc_fine_pct", 4, "<H", 0.01)]
MEASURED: list[Entry] = [
    ("voltage_v", 0, "<h", 0.01),
    ("current_a", 2, "<h", 0.1),
    ("temperature_degc", 4, "<h", 0.1),
]
CELLS: list[Entry] = [
    ("cell_min_v", 0, "<H", 0.001),
    ("cell_max_v", 2, "<H", 0.001),
    ("cold_k", 4, "<H", 1.0),
    ("hot_k", 6, "<H", 1.0),
]
MODULES: list[Entry] = [
    ("online", 0, "<H", 1.0),
    ("blocking_charge", 2, "<H", 1.0),
    ("blocking_discharge", 4, "<H", 1.0),
    ("offline", 6, "<H", 1.0),
]
CAPACITY: list[Entry] = [("capacity_ah", 0, "<H", 1.0)]
INFO: list[Entry] = [("capacity_ah", 4, "<H", 1.0)]

PROTECTION = {  # byte, bit: Pylontech's tables 1 to 4
    (0, 1): "over_voltage", (0, 2): "under_voltage", (0, 3): "over_temperature", (0, 4): "under_temperature",
    (0, 7): "discharge_over_current", (1, 0): "charge_over_current", (1, 3): "system_error",
    (2, 1): "high_voltage", (2, 2): "low_voltage", (2, 3): "high_temperature", (2, 4): "low_temperature",
    (2, 7): "discharge_high_current", (3, 0): "charge_high_current", (3, 3): "internal_communication_fail",
}  # fmt: skip
REQUEST = {
    (0, 3): "full_charge",
    (0, 4): "force_charge_2",
    (0, 5): "force_charge_1",
    (0, 6): "discharge",
    (0, 7): "charge",
}
PAIRS = [  # SMA: two bits each, from byte 0 (alarms) and from byte 4 (warnings)
    "general", "high_voltage", "low_voltage", "high_temperature", "low_temperature", "high_temperature_charge",
    "low_temperature_charge", "high_current", "high_current_charge", "contactor", "short_circuit", "bms_internal",
    "imbalance",
]  # fmt: skip


@dataclass
class Document:
    """What a maker's document says of the frames of a healthy cycle."""

    frames: dict[int, tuple[int, list[Entry]]]
    """Length and numbers, in the order of sending where the document or captures have one."""
    period_s: float = 1.0
    inhibit_s: float = 0.0
    names: dict[int, bytes] = field(default_factory=dict)
    voltage_range_v: tuple[float, float] = (0.1, 6553.5)
    current_range_a: tuple[float, float] = (0.0, 3276.7)


_PYLON = {
    0x351: (8, LIMITS),
    0x355: (4, CHARGE),
    0x356: (6, MEASURED),
    0x359: (7, [("modules", 4, "<B", 1.0)]),
    0x35C: (2, []),
    0x35E: (8, []),
}
_NAME = {0x35E: b"PYLON   "}
_IDS: dict[int, tuple[int, list[Entry]]] = {
    identifier: (8, []) for identifier in (0x374, 0x375, 0x376, 0x377)
}
_SMA_LIMITS = {"voltage_range_v": (41.0, 63.0), "current_range_a": (0.0, 1200.0)}

DOCUMENTS = {
    "pylontech_v1_2": Document(_PYLON, names=_NAME),
    "pylontech_v1_3": Document(
        {0x351: (8, LIMITS), 0x355: (6, CHARGE), 0x356: (6, MEASURED), 0x35A: (8, []), 0x35E: (8, []), 0x35F: (8, INFO)},
        names=_NAME,
    ),
    "sma": Document(
        {0x351: (8, LIMITS), 0x355: (6, FINE_CHARGE), 0x356: (6, MEASURED), 0x35A: (8, []), 0x35E: (8, []), 0x35F: (8, INFO)},
        period_s=0.5, inhibit_s=0.2, **_SMA_LIMITS,
    ),
    "victron": Document(
        {0x351: (8, LIMITS), 0x355: (6, FINE_CHARGE), 0x356: (6, MEASURED), 0x35A: (8, []), 0x35E: (8, []),
         0x35F: (8, INFO), 0x370: (8, []), 0x371: (8, []), 0x372: (8, MODULES), 0x373: (8, CELLS), **_IDS,
         0x378: (8, [("charged_wh", 0, "<I", 100.0), ("discharged_wh", 4, "<I", 100.0)]), 0x379: (2, CAPACITY),
         0x380: (8, []), 0x381: (8, []), 0x382: (8, [])},
        names={0x382: b"OpenBMS\0"},
    ),
    "goodwe": Document(
        {0x359: (7, [("modules", 4, "<B", 1.0)]), 0x351: (8, LIMITS), 0x355: (6, FINE_CHARGE), 0x356: (6, MEASURED),
         0x35C: (2, []), 0x35E: (8, []), 0x35A: (8, []), 0x372: (8, MODULES), 0x373: (8, CELLS), **_IDS, 0x379: (2, CAPACITY)},
        names=_NAME,
    ),
    "deye": Document(_PYLON, names=_NAME),
    "sofar": Document(
        {0x359: (7, [("modules", 4, "<B", 1.0)]), 0x351: (8, LIMITS), 0x355: (6, FINE_CHARGE), 0x356: (6, MEASURED),
         0x35A: (8, []), 0x35E: (8, []), 0x35F: (8, INFO)},
        names=_NAME, **_SMA_LIMITS,
    ),
    "sol_ark": Document(
        {0x359: (8, [("modules", 4, "<B", 1.0)]), 0x351: (8, LIMITS), 0x355: (8, CHARGE),
         0x356: (8, [("voltage_v", 0, "<h", 0.1), *MEASURED[1:]]), 0x35C: (8, []), 0x35E: (8, []), 0x379: (8, CAPACITY)},
        names=_NAME, voltage_range_v=(0.1, 63.0),
    ),
    "luxpower": Document(
        {0x359: (7, [("modules", 4, "<B", 1.0), ("capacity_ah", 5, "<H", 1.0)]), 0x351: (8, LIMITS),
         0x355: (8, [*CHARGE, ("cell_max_v", 4, "<H", 0.001), ("cell_min_v", 6, "<H", 0.001)]),
         0x356: (8, [*MEASURED[:2], ("hot_degc", 4, "<h", 0.1), ("cold_degc", 6, "<h", 0.1)]), 0x35C: (2, []), 0x35E: (8, [])},
        names=_NAME,
    ),
}  # fmt: skip


def decode(document: Document, identifier: int, data: bytes) -> dict[str, Any]:
    """Decode one frame by the document alone."""
    length, entries = document.frames[identifier]
    assert len(data) == length, f"0x{identifier:03X} has {len(data)} bytes, the document says {length}"
    found: dict[str, Any] = {}
    for name, byte, form, count in entries:
        found[name] = struct.unpack_from(form, data, byte)[0] * count
    if identifier == 0x359:
        found |= {name: bool(data[byte] >> bit & 1) for (byte, bit), name in PROTECTION.items()}
        found["undocumented"] = any(
            data[byte] & ~sum(1 << bit for b, bit in PROTECTION if b == byte) for byte in range(4)
        )
    if identifier == 0x35C:
        found |= {name: bool(data[byte] >> bit & 1) for (byte, bit), name in REQUEST.items()}
        found["undocumented"] = bool(data[0] & 0x07 or any(data[1:]))
    if identifier == 0x35A:
        for base, kind in ((0, "alarm"), (32, "warning")):
            whole = int.from_bytes(data, "little")
            for place, name in enumerate(PAIRS):
                found[f"{kind}_{name}"] = whole >> (base + 2 * place) & 3
    return found
