"""Pack files of healthy packs, from a single string to a container, that measure all that the table can
judge.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from openbms_core.fault_rows import FAULT_TABLE
from openbms_core.pack import LoadedPack, load_pack

__all__ = ["FLEET", "HealthyPack", "loaded"]


@dataclass(frozen=True)
class HealthyPack:
    """One kind of healthy pack.

    Attributes
    ----------
    name : str
    strings, series, parallel : int
    module : int
        Cells of a front end.
    cells_per_sensor : int
    scan_period_s : float
    share : float
        Of all cell-hours.
    pessimistic : bool
        Sensors, spread and losses at the bad end of what is still healthy.
    redundant : bool
        Every cell and current is measured twice.
    """

    name: str
    strings: int
    series: int
    parallel: int
    module: int
    cells_per_sensor: int
    scan_period_s: float
    share: float
    pessimistic: bool
    redundant: bool = False

    @property
    def cells(self) -> int:
        """Cells of the pack."""
        return self.strings * self.series

    @property
    def deadband_a(self) -> float:
        """Below this no current flows, as far as limits go [A]: 0.8 % of the rating."""
        return 0.15 * self.parallel


FLEET: tuple[HealthyPack, ...] = (
    HealthyPack("car, 10 Hz", 1, 96, 40, 12, 3, 0.1, 0.0002, False, True),
    HealthyPack("car, poor sensors, 10 Hz", 1, 108, 40, 12, 6, 0.1, 0.00025, True, True),
    HealthyPack("robot, 10 Hz", 1, 14, 4, 14, 2, 0.1, 0.00003, True),
    HealthyPack("bus, 10 Hz", 6, 200, 30, 20, 5, 0.1, 0.001, True),
    HealthyPack("truck", 8, 240, 30, 20, 5, 1.0, 0.03, False),
    HealthyPack("truck, poor sensors", 8, 240, 30, 20, 10, 1.0, 0.03, True),
    HealthyPack("storage rack", 1, 400, 60, 20, 4, 1.0, 0.00552, True, True),
    HealthyPack("container", 30, 400, 60, 20, 10, 1.0, 0.4665, False),
    HealthyPack("container, poor sensors", 30, 400, 60, 20, 20, 1.0, 0.4665, True),
)
"""The packs that live through the healthy hours; shares of cell-hours add up to 1."""

_ACTUATORS = ("heater", "pump", "fan", "chiller")
_SLOW_SCAN_S = 10.0
"""At one scan a second even a debounce of tenths lasts two scans, so the fault-tolerant times must be
longer.
"""


def _slow_scan() -> dict[str, dict[str, float]]:
    return {
        row.name: {"fault_tolerant_time_s": row.timing.fault_tolerant_time_s + _SLOW_SCAN_S}
        for row in FAULT_TABLE
    }


def _signals(pack: HealthyPack) -> list[dict[str, Any]]:
    strings, cells, last = pack.strings - 1, pack.cells - 1, pack.cells // pack.cells_per_sensor + 5
    rows: list[dict[str, Any]] = [
        {"to": "cell_voltage_v", "message": "C", "signal": "V{c}", "repeat": {"c": [0, cells]}},
        {"to": "cell_balancing", "message": "C", "signal": "B{c}", "repeat": {"c": [0, cells]}},
        {"to": "temperature_degc", "message": "T", "signal": "T{s}", "repeat": {"s": [0, last]}},
        {
            "to": "actuator_feedback",
            "message": "P",
            "signal": "A{a}",
            "repeat": {"a": [0, len(_ACTUATORS) - 1]},
        },
    ]
    per_string = [
        "string_current_a",
        "string_voltage_v",
        "contactor_positive",
        "contactor_negative",
        "contactor_precharge",
    ]
    if pack.redundant:
        per_string.append("redundant_string_current_a")
        rows.append(
            {"to": "redundant_cell_voltage_v", "message": "R", "signal": "V{c}", "repeat": {"c": [0, cells]}}
        )
    rows += [
        {"to": name, "message": "S", "signal": name + "{s}", "repeat": {"s": [0, strings]}}
        for name in per_string
    ]
    scalars = (
        "link_voltage_v",
        "insulation_resistance_ohm",
        "interlock",
        "emergency_stop",
        "ignition",
        "charging_plug",
        "smoke",
        "gas",
        "pressure_pa",
        "supply_voltage_v",
        "coolant_flow_m3_per_s",
        "auxiliary_power_w",
    )
    return rows + [{"to": name, "message": "P", "signal": name} for name in scalars]


def _content(pack: HealthyPack) -> dict[str, Any]:
    p, slow = pack.parallel, pack.scan_period_s > 0.5
    signals = _signals(pack)
    sources = ("contactor_positive", "contactor_negative", "contactor_precharge")
    return {
        "schema_version": 1,
        "name": "healthy",
        "serial": "HEALTHY-1",
        "cell": "lg_hg2",
        "topology": {
            "strings": pack.strings,
            "cells_in_series": pack.series,
            "cells_in_parallel": p,
            "temperature_sensors": [
                {
                    "name": "cell_{i}",
                    "location": "cell",
                    "count": pack.cells // pack.cells_per_sensor,
                    "first_cell": 0,
                    "cells_each": pack.cells_per_sensor,
                },
                {"name": "afe_{i}", "location": "afe", "count": 3},
                {"name": "ambient", "location": "ambient"},
                {"name": "coolant_in", "location": "coolant_in"},
                {"name": "coolant_out", "location": "coolant_out"},
            ],
            "actuators": list(_ACTUATORS),
        },
        # of the demonstration pack, by the number of parallel cells
        "limits": {
            "cell_voltage_max_v": {"operating": 4.15, "recommended": 4.2, "safety": 4.25},
            "cell_voltage_min_v": {"operating": 3.0, "recommended": 2.75, "safety": 2.5},
            "charge_current_max_a": {"operating": 4.0 * p, "recommended": 4.5 * p, "safety": 5.0 * p},
            "discharge_current_max_a": {"operating": 18.0 * p, "recommended": 20.0 * p, "safety": 22.0 * p},
            "charge_temperature_max_degc": {"operating": 45.0, "recommended": 50.0, "safety": 55.0},
            "charge_temperature_min_degc": {"operating": 5.0, "recommended": 0.0, "safety": -20.0},
            "discharge_temperature_max_degc": {"operating": 55.0, "recommended": 60.0, "safety": 65.0},
            "discharge_temperature_min_degc": {"operating": -10.0, "recommended": -20.0, "safety": -30.0},
            "current_deadband_a": pack.deadband_a,
            "limp_home": {"discharge_current_a": 3.0 * p},
        },
        "contactors": {
            "authority": "openbms",
            "precharge": {
                "voltage_difference_max_v": 0.03 * 3.7 * pack.series,
                "timeout_s": 20.0 if slow else 5.0,
            },
            "closing_time_s": 2.5 if slow else 0.3,
            "opening_time_s": 2.5 if slow else 0.2,
            "break_current_a": 5.0 * p,
            "opening_deadline_s": 5.0 if slow else 2.0,
            "fault_opening_deadline_s": 2.0 if slow else 0.3,
            "command_valid_for_s": 2.5 if slow else 0.5,
            "weld_check_s": 2.5 if slow else 1.0,
            "link_discharge_time_s": 12.0,
        },
        "measurement": {
            "scan_period_s": pack.scan_period_s,
            "max_age_s": {row["to"]: 4.0 if slow else 0.4 for row in signals},
        },
        "protection": {
            "supply_voltage_min_v": 9.0,
            "supply_voltage_max_v": 16.0,
            "pressure_max_pa": 150e3,
            "coolant_flow_min_m3_per_s": 5e-5,
        },
        "faults": _slow_scan() if slow else {},
        "device": {
            "type": "generic",
            "dbc": "none.dbc",
            "signals": signals,
            "commands": [
                {
                    "message": "X",
                    "period_s": 0.1,
                    "signals": [
                        *(
                            {
                                "signal": source + "{s}",
                                "source": source,
                                "repeat": {"s": [0, pack.strings - 1]},
                            }
                            for source in sources
                        ),
                        *(
                            {"signal": source, "source": source}
                            for source in ("heater", "pump", "fan", "chiller")
                        ),
                        {"signal": "B{c}", "source": "bleed", "repeat": {"c": [0, pack.cells - 1]}},
                    ],
                },
            ],
        },
    }


@lru_cache(maxsize=16)
def loaded(pack: HealthyPack) -> LoadedPack:
    """Write the pack file and load it like any other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pack.yaml")
        path.write_text(yaml.safe_dump(_content(pack), sort_keys=False), encoding="utf-8")
        return load_pack(path)
