"""The device openbms_cmu: up to eight cell-monitoring units and a pack controller, as they behave on the bus.

Commands come in by :meth:`Device.receive`; :meth:`Device.control` applies the device's own protection; the
frames of a tick and of a scan come out of :meth:`Device.current_frame` and :meth:`Device.scan_frames`. What
the frames hold says ``openbms_cmu.dbc``, what the device does on its own the README beside it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_sim.faults import Injections, bus
from openbms_sim.faults import device as broken
from openbms_sim.faults import sensors as sensor
from openbms_sim.faults.plant import HeaterStuckOn
from openbms_sim.frames import Layout, raw_of
from openbms_sim.interface import Readings
from openbms_sim.plant.switching import CONTACTORS
from openbms_sim.sensing import Sensed
from openbms_sim.sensor_faults import spoil_coolant_flow
from openbms_sim.wiring import CELLS_EACH, MODULES, Wiring

__all__ = ["CELLS", "CELLS_EACH", "MODULES", "Device", "Frame", "Switches"]

BoolArray = NDArray[np.bool_]
Frame = tuple[int, bytes]

CELLS = MODULES * CELLS_EACH
"""Cells that the device can have at most."""
HEARTBEAT_S = 0.5
HEATER_S = 1.0
CHARGER_S = 1.0
BLEED_S = 3.0
HARDWARE_OPENING_S = 0.5
_FEEDBACK = {"open": 0, "closed": 1, "unknown": 3}
_TRIPS = {
    "": 0,
    "heartbeat lost: no valid Bms_Command for 0.5 s": 1,
    "emergency stop pressed": 2,
    "interlock broken": 3,
    "restarted": 4,
}
_HEARTBEAT_LOST, _EMERGENCY_STOP, _INTERLOCK, _RESTARTED = list(_TRIPS)[1:]
_UNKNOWN = 3
_INPUTS = {
    "interlock": "Interlock",
    "emergency_stop": "EmergencyStop",
    "ignition": "Ignition",
    "charging_plug": "ChargingPlug",
    "smoke": "Smoke",
}
_COUNTS = ("SampleCount", "ScanCounter")


@dataclass
class Switches:
    """On-off inputs and small readings of the pack controller."""

    interlock_whole: bool = True
    emergency_stop: bool = False
    ignition: bool = True
    plugged: bool = False
    smoke: bool = False
    gas: bool = False
    supply_v: float = 13.5
    insulation_ohm: float = 5e6
    pressure_pa: float = 101_325.0


@dataclass
class _Heard:
    """Last valid frame of one command message."""

    values: dict[str, int]
    counter: int = -1
    at_s: float = -1e9

    def fresh(self, now_s: float, limit_s: float) -> bool:
        return now_s - self.at_s <= limit_s


class Device:
    """State of the device's electronics.

    Parameters
    ----------
    layouts : mapping of str to Layout
        Messages of ``openbms_cmu.dbc`` (:func:`openbms_sim.frames.layouts`).
    wiring : Wiring
        What of the pack is wired to which of its inputs.
    seed : int
        Of what is random.
    """

    def __init__(self, layouts: Mapping[str, Layout], wiring: Wiring, seed: int = 1) -> None:
        self._layouts = layouts
        self._wiring = wiring
        self._by_identifier = {layout.identifier: layout for layout in layouts.values()}
        names = ["Bms_Command", "Bms_Charger", *(f"Bms_Balancing{m}" for m in wiring.modules)]
        self._heard = {name: _Heard(dict.fromkeys(layouts[name].fields, 0)) for name in names}
        self._counters = dict.fromkeys(layouts, -1)
        self._random = random.Random(seed)
        self._unsafe_since_s: float | None = None
        self._scan = -1
        self._sample = -1
        self._sent: dict[tuple[str, int], dict[str, int]] = {}
        self._silent_until_s = self._refuses_until_s = -1e9
        self.trip = ""
        """Why the device opened its contactors by itself; empty while it has not."""
        self.coils: BoolArray = np.zeros((1, 3), bool)
        self.bleed: BoolArray = np.zeros(wiring.cell_count, bool)
        """Bleed resistors that are on, shape (cells of the pack,)."""
        self._bleed_told: BoolArray = self.bleed.copy()
        self._bleeds = {
            f"Bms_Balancing{m}": [(f"Bleed{c:02d}", cell) for c, cell in enumerate(row) if cell >= 0]
            for m, row in enumerate(wiring.cells.tolist())
            if m in wiring.modules
        }
        self.heater, self.pump, self.fan, self.chiller = 0.0, 1.0, 1.0, 0.0
        self.charger_enable, self.charger_voltage_v, self.charger_current_a = False, 0.0, 0.0
        self.charge_counter_as = 0.0
        self.rejected = 0
        """Command frames that were refused (length, checksum, counter)."""

    # ---- commands ---------------------------------------------------------------------------------

    def receive(self, identifier: int, data: bytes, now_s: float) -> None:
        """Take in a frame from the bus; frames that are no command are ignored.

        Parameters
        ----------
        identifier : int
            CAN identifier.
        data : bytes
            Its data.
        now_s : float
            Monotonic time [s].
        """
        layout = self._by_identifier.get(identifier)
        heard = self._heard.get(layout.name) if layout is not None else None
        if layout is None or heard is None or now_s < self._silent_until_s:
            return
        if now_s < self._refuses_until_s:
            self.rejected += 1
            return
        values = layout.unpack(data)
        if values is None or values["Counter"] == heard.counter:
            self.rejected += 1
            return
        heard.values, heard.counter, heard.at_s = values, values["Counter"], now_s

    def restart(self, now_s: float, silence_s: float, refuse_s: float) -> None:
        """Begin anew: everything off, counters from zero, silent and then deaf to commands for a time.

        Parameters
        ----------
        now_s : float
            Monotonic time [s].
        silence_s : float
            Nothing is sent for this long [s].
        refuse_s : float
            Commands are refused for this long after that [s].
        """
        self._silent_until_s = now_s + silence_s
        self._refuses_until_s = self._silent_until_s + refuse_s
        for name, heard in self._heard.items():
            self._heard[name] = _Heard(dict.fromkeys(heard.values, 0))
        self._counters = dict.fromkeys(self._counters, -1)
        self._scan = self._sample = -1
        self.charge_counter_as = 0.0
        self._unsafe_since_s = None
        self.trip = _RESTARTED

    def silent(self, now_s: float) -> bool:
        """Tell whether it has restarted and sends nothing yet."""
        return now_s < self._silent_until_s

    def control(self, now_s: float, switches: Switches, injections: Injections) -> None:
        """Work out what coils, bleed resistors, actuators and charger get now.

        Parameters
        ----------
        now_s : float
            Monotonic time [s].
        switches : Switches
            Interlock, emergency stop.
        injections : Injections
            What is wrong now.
        """
        command = self._heard["Bms_Command"]
        wanted = np.array([[command.values[f"Contactor{name.capitalize()}"] for name in CONTACTORS]], bool)
        alive = command.fresh(now_s, HEARTBEAT_S)
        unsafe = switches.emergency_stop or not switches.interlock_whole
        if not unsafe:
            self._unsafe_since_s = None
        elif self._unsafe_since_s is None:
            self._unsafe_since_s = now_s
        if self.trip and alive and not wanted.any() and not unsafe:
            self.trip = ""
        if self.coils.any() and not self.trip:
            if not alive:
                self.trip = _HEARTBEAT_LOST
            elif self._unsafe_since_s is not None and now_s - self._unsafe_since_s > HARDWARE_OPENING_S:
                self.trip = _EMERGENCY_STOP if switches.emergency_stop else _INTERLOCK
        held = self._unsafe_since_s is not None and now_s - self._unsafe_since_s > HARDWARE_OPENING_S
        self.coils = wanted if alive and not self.trip and not held else np.zeros_like(wanted)
        if command.fresh(now_s, HEATER_S):
            fields = self._layouts["Bms_Command"].fields
            duties = [
                min(1.0, command.values[f"{name}Duty"] * fields[f"{name}Duty"].scale)
                for name in ("Heater", "Pump", "Fan", "Chiller")
            ]
            self.heater, self.pump, self.fan, self.chiller = duties
        else:
            self.heater, self.pump, self.fan, self.chiller = 0.0, 1.0, 1.0, 0.0
        if injections.acts(HeaterStuckOn):
            self.heater = 1.0
        charger = self._heard["Bms_Charger"]
        self.charger_enable = bool(charger.values["ChargeEnable"]) and charger.fresh(now_s, CHARGER_S)
        self.charger_voltage_v = 0.01 * charger.values["ChargeVoltage"]
        self.charger_current_a = 0.01 * charger.values["ChargeCurrent"]
        self.bleed[:] = False
        for name, bits in self._bleeds.items():
            balancing = self._heard[name]
            if balancing.fresh(now_s, BLEED_S):
                for bit, cell in bits:
                    self.bleed[cell] = balancing.values[bit]
        self._bleed_told = self.bleed.copy()
        for item in injections.of(broken.BleedStuckOn):
            self.bleed[item.cell] = True
            self._bleed_told[item.cell] |= item.reported

    # ---- frames -----------------------------------------------------------------------------------

    def current_frame(self, current_a: float, dt_s: float, injections: Injections) -> list[Frame]:
        """Give the frame of the current sensor and count its charge.

        Parameters
        ----------
        current_a : float
            Mean current since the last call, as the sensor says [A], positive charging; NaN: no value.
        dt_s : float
            Simulated time since the last call [s].
        injections : Injections
            What is wrong now.

        Returns
        -------
        list of (identifier, data)
            One frame.
        """
        broken_off = current_a != current_a  # NaN
        self.charge_counter_as += 0.0 if broken_off else current_a * dt_s
        self._sample += 1
        layout = self._layouts["Pack_Current"]
        values = {"StringCurrent": layout.fields["StringCurrent"].raw(current_a)}
        values["SensorError"] = int(broken_off)
        values["SampleCount"] = self._sample & 0xFFFF
        return self._send("Pack_Current", values, injections)

    def scan_frames(
        self,
        sensed: Sensed,
        readings: Readings,
        closed: BoolArray,
        switches: Switches,
        injections: Injections,
    ) -> list[Frame]:
        """Give the frames of one scan, ``Pack_Status`` last.

        Parameters
        ----------
        sensed : Sensed
            Cell voltages, temperatures.
        readings : Readings
            The rest of what the pack controller measures.
        closed : ndarray of bool, shape (1, 3)
            Real contacts.
        switches : Switches
            On-off inputs.
        injections : Injections
            What is wrong now.

        Returns
        -------
        list of (identifier, data)
            In the order in which they are sent.
        """
        self._scan += 1
        frames: list[Frame] = []
        # An input to which nothing is wired has the index -1: the value behind the last one, not available.
        voltages = np.append(sensed.cell_voltages_v, np.nan)[self._wiring.cells].tolist()
        near = np.append(sensed.temperatures_degc, np.nan)
        sensors, dies = near[self._wiring.sensors].tolist(), near[self._wiring.dies].tolist()
        bleeds = np.append(self._bleed_told, False)[self._wiring.cells].tolist()
        sums = sensed.module_voltages_v.tolist()
        for m in self._wiring.modules:
            broken_wire = sensed.open_wires is not None and bool(sensed.open_wires[m])
            frames += self._module_frames(
                m, voltages[m], sensors[m], bleeds[m], dies[m], sums[m], broken_wire, injections
            )
        heater, pump, fan, chiller = readings.actuators
        thermal = {
            signal: float(near[self._wiring.pack_sensors.get(signal, -1)])
            for signal in ("CoolantInTemperature", "CoolantOutTemperature", "AmbientTemperature")
        }
        thermal["CoolantFlow"] = spoil_coolant_flow(readings.coolant_flow_l_per_min, injections)
        actuators = {
            "HeaterFeedback": heater,
            "PumpFeedback": pump,
            "FanFeedback": fan,
            "ChillerFeedback": chiller,
            "AuxiliaryPower": readings.auxiliary_power_w,
        }
        sides = {"StringVoltage": sensed.string_voltage_v, "LinkVoltage": sensed.link_voltage_v}
        for name, values in (
            ("Pack_Thermal", thermal),
            ("Pack_Actuators", actuators),
            ("Pack_Voltages", sides),
            ("Pack_ChargeCounter", {"ChargeCounter": self.charge_counter_as}),
        ):
            frames += self._send(name, raw_of(self._layouts[name], values), injections)
        if self._scan % 10 == 0:
            frames += self._insulation_frame(switches, injections)
        frames += self._redundant_current_frame(sensed, injections)
        frames += self._environment_frame(switches, injections)
        return frames + self._status_frame(closed, switches, injections)

    def _module_frames(
        self,
        module: int,
        voltages_v: list[float],
        temperatures_degc: list[float],
        bleeds: list[bool],
        die_degc: float,
        sum_v: float,
        open_wire: bool,
        injections: Injections,
    ) -> list[Frame]:
        name = f"Cmu{module}_CellVoltages"
        fields = self._layouts[name].fields
        raws = [fields[f"Cell{c:02d}_Voltage"].raw(v) for c, v in enumerate(voltages_v)]
        frames: list[Frame] = []
        for group in self._wiring.groups[module]:
            values = {f"Cell{c:02d}_Voltage": raws[c] for c in range(3 * group, 3 * group + 3)}
            values["Multiplexer"] = group
            frames += self._send(name, values, injections)
        name = f"Cmu{module}_Temperatures"
        near = {f"Sensor{s}_Temperature": value for s, value in enumerate(temperatures_degc)}
        frames += self._send(name, raw_of(self._layouts[name], near), injections)
        name = f"Cmu{module}_Status"
        fields = self._layouts[name].fields
        values = {f"Bleed{c:02d}": int(bleed) for c, bleed in enumerate(bleeds)}
        values["OpenWire"] = int(open_wire)
        values["DieTemperature"] = fields["DieTemperature"].raw(die_degc)
        values["ModuleVoltage"] = fields["ModuleVoltage"].raw(sum_v)
        return frames + self._send(name, values, injections)

    def _insulation_frame(self, switches: Switches, injections: Injections) -> list[Frame]:
        field = self._layouts["Pack_Insulation"].fields["InsulationResistance"]
        if injections.acts(broken.InsulationUnknown):
            values = {"MeasurementState": 1, "InsulationResistance": field.not_available}
        else:
            values = {"InsulationResistance": field.raw(switches.insulation_ohm / 1000.0)}
        return self._send("Pack_Insulation", values, injections)

    def _redundant_current_frame(self, sensed: Sensed, injections: Injections) -> list[Frame]:
        current_a = sensed.redundant_current_a
        raw = self._layouts["Pack_CurrentRedundant"].fields["StringCurrent"].raw(current_a)
        values = {"StringCurrent": raw, "SensorError": int(current_a != current_a)}
        return self._send("Pack_CurrentRedundant", values, injections)

    def _environment_frame(self, switches: Switches, injections: Injections) -> list[Frame]:
        pressure = self._layouts["Pack_Environment"].fields["Pressure"]
        known = not injections.acts(broken.PressureUnavailable)
        values = {
            "Gas": _UNKNOWN if self._unknown("gas", injections) else int(switches.gas),
            "Pressure": pressure.raw(switches.pressure_pa) if known else pressure.not_available,
        }
        return self._send("Pack_Environment", values, injections)

    @staticmethod
    def _unknown(name: str, injections: Injections) -> bool:
        return any(item.input == name for item in injections.of(broken.InputUnknown))

    def _status_frame(self, closed: BoolArray, switches: Switches, injections: Injections) -> list[Frame]:
        layout = self._layouts["Pack_Status"]
        values = {
            "TripReason": _TRIPS[self.trip],
            "Interlock": int(switches.interlock_whole),
            "EmergencyStop": int(switches.emergency_stop),
            "Ignition": int(switches.ignition),
            "ChargingPlug": int(switches.plugged),
            "Smoke": int(switches.smoke),
            "ScanCounter": self._scan & 0xFFFF,
            "SupplyVoltage": layout.fields["SupplyVoltage"].raw(switches.supply_v),
        }
        for i, name in enumerate(CONTACTORS):
            values[f"Contactor{name.capitalize()}"] = int(closed[0, i])
        for item in injections.of(broken.ContactorFeedback):
            values[f"Contactor{item.contactor.capitalize()}"] = _FEEDBACK[item.value]
        for name, signal in _INPUTS.items():
            if self._unknown(name, injections):
                values[signal] = _UNKNOWN
        return self._send("Pack_Status", values, injections)

    def _send(self, name: str, values: dict[str, int], injections: Injections) -> list[Frame]:
        layout = self._layouts[name]
        if injections.acts(sensor.FrozenScan) and name != "Pack_Status":
            kept = self._sent.get((name, values.get("Multiplexer", 0)), values)
            values = kept | {key: values[key] for key in _COUNTS if key in values}
        else:
            self._sent[name, values.get("Multiplexer", 0)] = values
        if self._counters[name] < 0 or injections.message(bus.FrozenCounter, name) is None:
            self._counters[name] = (self._counters[name] + 1 + self._jump(name, injections)) & 0xF
        spoil = injections.message(bus.WrongChecksum, name) is not None
        return [(layout.identifier, layout.pack(values, self._counters[name], spoil_checksum=spoil))]

    def _jump(self, name: str, injections: Injections) -> int:
        jump = injections.message(bus.CounterJump, name)
        return jump.jump if jump is not None and self._random.random() < jump.probability else 0
