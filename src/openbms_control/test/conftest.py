"""A small pack with contactors that follow, to drive the monitor through time without ROS."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openbms_control.safety.monitor import Decision, SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.types import PackMeasurement, PowerLimits, State

SMALL: dict[str, Any] = {
    "schema_version": 1,
    "name": "small",
    "serial": "TEST-1",
    "cell": "lg_hg2",
    "topology": {
        "strings": 1,
        "cells_in_series": 4,
        "temperature_sensors": [
            {"name": "cell_{i}", "location": "cell", "count": 2, "first_cell": 0, "cells_each": 2},
            {"name": "pack", "location": "cell"},
            {"name": "ambient", "location": "ambient"},
        ],
        "actuators": ["heater", "pump", "fan", "chiller"],
    },
    # wide, so that a test can move one value alone; the tests of these rows take them back
    "protection": {
        "cell_voltage_spread_max_v": 5.0,
        "cell_voltage_step_max_v": 5.0,
        "cell_voltage_standstill_max_v": 5.0,
        "temperature_spread_max_k": 200.0,
        "temperature_step_max_k": 200.0,
        "temperature_standstill_max_k": 200.0,
        "supply_voltage_min_v": 9.0,
        "supply_voltage_max_v": 16.0,
        "pressure_max_pa": 120_000.0,
        "coolant_flow_min_m3_per_s": 5e-5,
    },
    "limits": {
        "cell_voltage_max_v": {"operating": 4.1, "recommended": 4.2, "safety": 4.25},
        "cell_voltage_min_v": {"operating": 3.0, "recommended": 2.75, "safety": 2.5},
        "charge_current_max_a": {"operating": 4.0, "recommended": 6.0, "safety": 7.0},
        "discharge_current_max_a": {"operating": 18.0, "recommended": 20.0, "safety": 22.0},
        "charge_temperature_max_degc": {"operating": 45.0, "recommended": 50.0, "safety": 55.0},
        "charge_temperature_min_degc": {"operating": 5.0, "recommended": 0.0, "safety": -5.0},
        "discharge_temperature_max_degc": {"operating": 55.0, "recommended": 60.0, "safety": 65.0},
        "discharge_temperature_min_degc": {"operating": -10.0, "recommended": -20.0, "safety": -25.0},
        "current_deadband_a": 0.2,
        "limp_home": {"charge_current_a": 1.0, "discharge_current_a": 3.0, "shutdown_after_s": 30.0},
    },
    "contactors": {
        "authority": "openbms",
        "precharge": {
            "voltage_difference_max_v": 1.0,
            "timeout_s": 2.0,
            "attempts": 2,
            "wait_between_attempts_s": 1.0,
        },
        "closing_time_s": 0.2,
        "opening_time_s": 0.1,
        "break_current_a": 5.0,
        "opening_deadline_s": 2.0,
        "fault_opening_deadline_s": 0.3,
        "command_valid_for_s": 0.5,
    },
    "measurement": {
        "scan_period_s": 0.1,
        "max_age_s": dict.fromkeys(
            (
                "cell_voltage_v",
                "temperature_degc",
                "string_voltage_v",
                "link_voltage_v",
                "contactor_positive",
                "contactor_negative",
                "contactor_precharge",
                "insulation_resistance_ohm",
                "interlock",
                "emergency_stop",
                "charging_plug",
                "smoke",
                "gas",
                "redundant_cell_voltage_v",
                "redundant_string_current_a",
                "cell_balancing",
                "pressure_pa",
                "supply_voltage_v",
                "coolant_flow_m3_per_s",
                "actuator_feedback",
            ),
            0.4,
        )
        | {"string_current_a": 0.2},
    },
    "device": {
        "type": "generic",
        "dbc": "small.dbc",
        "signals": [
            {"to": "cell_voltage_v", "message": "M", "signal": "C{i}", "repeat": {"i": [0, 3]}},
            {"to": "temperature_degc", "message": "M", "signal": "T{i}", "repeat": {"i": [0, 3]}},
            *(
                {"to": name, "message": "M", "signal": name + "{i}", "repeat": {"i": [0, 3]}}
                for name in ("redundant_cell_voltage_v", "cell_balancing", "actuator_feedback")
            ),
            *(
                {"to": name, "message": "M", "signal": name}
                for name in (
                    "string_current_a",
                    "string_voltage_v",
                    "link_voltage_v",
                    "contactor_positive",
                    "contactor_negative",
                    "contactor_precharge",
                    "insulation_resistance_ohm",
                    "interlock",
                    "emergency_stop",
                    "charging_plug",
                    "smoke",
                    "gas",
                    "redundant_string_current_a",
                    "pressure_pa",
                    "supply_voltage_v",
                    "coolant_flow_m3_per_s",
                )
            ),
        ],
        "commands": [
            {
                "message": "C",
                "period_s": 0.1,
                "signals": [
                    {"signal": "S", "source": "requested_state"},
                    *(
                        {"signal": f"{name}{{i}}", "source": name, "repeat": {"i": [0, 0]}}
                        for name in ("contactor_positive", "contactor_negative", "contactor_precharge")
                    ),
                    *({"signal": name, "source": name} for name in ("heater", "pump", "fan", "chiller")),
                    {"signal": "B{i}", "source": "bleed", "repeat": {"i": [0, 3]}},
                ],
            }
        ],
    },
}
"""A pack that measures everything that the fault table can judge."""


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value
    return base


class Rig:
    """One monitor, the time, and a pack whose feedback follows the commands.

    ``run`` and ``step`` take values of the scan (``cells_v``, ``current_a``, ``temperature_degc``,
    ``link_v`` and any field of PackMeasurement); they stay until they are set again. The second measurement
    of cells and current is the first one, unless it is set.
    """

    def __init__(
        self, pack: LoadedPack, record: FaultRecord | None = None, problem: Any = "", **values: Any
    ) -> None:
        self.pack = pack
        self.period_s = pack.file.measurement.scan_period_s
        self.strings = pack.file.topology.strings
        self.cells = pack.file.topology.cell_count
        self.monitor = SafetyMonitor(pack, record or FaultRecord(pack.file.serial), problem)
        self.t_s, self.stamp_s, self.scan = 100.0, 1.7e9, 0
        self.feedback: Any = None  # None: it follows
        self.estimates = True
        self.last: Decision | None = None
        self.history: list[tuple[float, Decision]] = []
        self.values: dict[str, Any] = {
            "cells_v": 3.7,
            "current_a": 0.0,
            "temperature_degc": 25.0,
            "link_v": 0.0,
            "insulation_resistance_ohm": 1e6,
            "insulation_resistance_validity": 0,
            "interlock": 1,
            "emergency_stop": 0,
            "charging_plug": 0,
            "smoke": 0,
            "gas": 0,
            "bus_state": 0,
            "cell_balancing": 0,
            "pressure_pa": 101_325.0,
            "pressure_validity": 0,
            "supply_voltage_v": 13.5,
            "supply_voltage_validity": 0,
            "coolant_flow_m3_per_s": 1e-4,
            "coolant_flow_validity": 0,
            "actuator_feedback": [0.0, 1.0, 1.0, 0.0],
            "actuator_feedback_validity": 0,
            "frames_received": 60,
        } | values
        file = pack.file
        self.second = {
            name: file.mapped(name) for name in ("redundant_cell_voltage_v", "redundant_string_current_a")
        }

    def measurement(self) -> PackMeasurement:
        values = dict(self.values)
        m = PackMeasurement.empty(
            self.cells,
            len(self.pack.file.topology.sensor_names),
            self.strings,
            actuators=len(self.pack.file.topology.actuators),
            stamp_s=self.stamp_s,
            scan_number=self.scan,
            scan_duration_s=self.period_s,
        )
        m.cell_voltages_v[:] = values.pop("cells_v")
        m.cell_voltage_validity[:] = np.where(np.isnan(m.cell_voltages_v), 1, 0)
        m.cell_voltage_ages_s[:] = 0.5 * self.period_s
        if self.second["redundant_cell_voltage_v"]:
            m.redundant_cell_voltages_v = m.cell_voltages_v.copy()
            m.redundant_cell_voltage_validity = m.cell_voltage_validity.copy()
        m.temperatures_degc[:] = values.pop("temperature_degc")
        m.temperature_validity[:] = np.where(np.isnan(m.temperatures_degc), 1, 0)
        m.temperature_ages_s[:] = 0.05
        current = values.pop("current_a")
        for array in (m.string_currents_a, m.string_current_minimum_a, m.string_current_maximum_a):
            array[:] = current
        m.string_current_validity[:] = np.where(np.isnan(m.string_currents_a), 1, 0)
        if self.second["redundant_string_current_a"]:
            m.redundant_string_currents_a = m.string_currents_a.copy()
            m.redundant_string_current_validity = m.string_current_validity.copy()
        m.string_voltages_v[:] = m.cell_voltages_v.reshape(self.strings, -1).sum(axis=1)
        m.string_voltage_validity[:] = np.where(np.isnan(m.string_voltages_v), 1, 0)
        m.link_voltage_v, m.link_voltage_validity = values.pop("link_v"), 0
        if self.feedback is not None:
            m.contactor_feedback[:] = self.feedback
        elif self.last is not None:
            m.contactor_feedback[:] = self.last.status.contactor_command
        else:
            m.contactor_feedback[:] = 0
        for name, value in values.items():
            if isinstance(getattr(m, name), np.ndarray):
                getattr(m, name)[:] = value
            else:
                setattr(m, name, value)
        return m

    def step(self, dt_s: float | None = None, **values: Any) -> Decision:
        """Go on by one scan."""
        dt_s = self.period_s if dt_s is None else dt_s
        self.values |= values
        self.t_s, self.stamp_s, self.scan = self.t_s + dt_s, self.stamp_s + dt_s, self.scan + 1
        if self.estimates:
            self.monitor.take_power_limits(power_limits(), self.t_s)
        return self._keep(self.monitor.step(self.measurement(), self.t_s, self.stamp_s))

    def tick(self, dt_s: float = 0.02) -> Decision:
        """Go on in time without a scan."""
        self.t_s, self.stamp_s = self.t_s + dt_s, self.stamp_s + dt_s
        return self._keep(self.monitor.tick(self.t_s, self.stamp_s))

    def _keep(self, decision: Decision) -> Decision:
        self.last = decision
        self.history.append((self.t_s, decision))
        return decision

    def run(self, seconds: float, **values: Any) -> Decision:
        """Go on by as many scans as fit."""
        decision = self.step(**values)
        for _ in range(round(seconds / self.period_s) - 1):
            decision = self.step()
        return decision

    def run_until(self, condition: Any, within_s: float, **values: Any) -> float:
        """Go on until the condition holds for the decision; give the time it took."""
        self.values |= values
        start_s = self.t_s
        while not condition(self.step()):
            assert self.t_s - start_s <= within_s, f"not within {within_s} s: {self.last}"
        return self.t_s - start_s

    def rest(self, within_s: float = 3.0, **values: Any) -> Decision:
        """Go on until the contactors are open again."""
        self.run_until(lambda d: d.status.state in (State.STANDBY, State.FAULT), within_s, **values)
        assert self.last is not None
        return self.last

    def close(self, target: State = State.DRIVE) -> Decision:
        """Bring the pack to a closed state, with a link that charges at once."""
        self.run(0.5)
        answer = self.monitor.request(target, self.t_s)
        assert answer.accepted, answer.reason
        link = float(self.measurement().string_voltages_v.max())
        self.run_until(lambda d: d.status.state == target, 5.0, link_v=link)
        assert self.last is not None
        return self.last

    def ids(self, state: int | None = None) -> set[str]:
        assert self.last is not None
        return {entry.row.id for entry in self.last.faults if state is None or entry.state == state}

    @property
    def state(self) -> State:
        assert self.last is not None
        return self.last.status.state


def power_limits(charge: float = 100.0, discharge: float = 100.0, power: float = 1e6) -> PowerLimits:
    """Power limits that do not bind, unless told otherwise."""
    return PowerLimits(
        stamp_s=0.0,
        scan_number=0,
        horizons_s=np.array([2.0, 10.0, 30.0, 1800.0]),
        charge_current_a=np.full(4, charge),
        charge_current_std_a=np.zeros(4),
        discharge_current_a=np.full(4, discharge),
        discharge_current_std_a=np.zeros(4),
        charge_power_w=np.full(4, power),
        discharge_power_w=np.full(4, power),
        charge_reason=["cell_voltage"] * 4,
        charge_cell=np.zeros(4, np.int32),
        discharge_reason=["soc_window"] * 4,
        discharge_cell=np.zeros(4, np.int32),
        valid_for_s=1.0,
    )


class Kit:
    """What the tests take from here (one fixture, since test files cannot import each other)."""

    Rig = Rig
    SMALL = SMALL
    power_limits = staticmethod(power_limits)
    nan = math.nan

    def __init__(self) -> None:
        self.cell = load_pack("demo_96s_nmc").cell
        self._packs: dict[str, LoadedPack] = {}

    def pack(self, **changes: Any) -> LoadedPack:
        key = repr(changes)
        if key not in self._packs:
            data = _merge(copy.deepcopy(SMALL), changes)
            self._packs[key] = LoadedPack(Path("small.yaml"), PackFile.model_validate(data), self.cell)
        return self._packs[key]

    def signals(self, *without: str) -> dict[str, Any]:
        """Give the device without some quantities."""
        kept = [entry for entry in SMALL["device"]["signals"] if entry["to"] not in without]
        return {"signals": kept}

    def rig(self, *, record: FaultRecord | None = None, problem: str = "", **changes: Any) -> Rig:
        return Rig(self.pack(**changes), record, problem)

    def strings(self, count: int, **changes: Any) -> Rig:
        """Give a pack of several strings of two cells."""
        last = count - 1
        rows = {
            "contactor_positive",
            "contactor_negative",
            "contactor_precharge",
            "string_current_a",
            "redundant_string_current_a",
            "string_voltage_v",
        }
        signals = []
        for entry in SMALL["device"]["signals"]:
            if entry["to"] in rows:
                entry = {**entry, "signal": entry["to"] + "{i}", "repeat": {"i": [0, last]}}
            elif entry["to"] in ("cell_voltage_v", "redundant_cell_voltage_v", "cell_balancing"):
                entry = {**entry, "repeat": {"i": [0, 2 * count - 1]}}
            signals.append(entry)
        commands = copy.deepcopy(SMALL["device"]["commands"])
        for signal in commands[0]["signals"]:
            if signal["source"].startswith("contactor_"):
                signal["repeat"] = {"i": [0, last]}
        topology = {"strings": count, "cells_in_series": 2}
        if count == 1:
            topology["temperature_sensors"] = [{"name": "t{i}", "location": "cell", "count": 4}]
        return self.rig(
            **_merge({"topology": topology, "device": {"signals": signals, "commands": commands}}, changes)
        )


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()
