"""One healthy pack through its hours: physics, sensors, monitor, a user who obeys."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fault_campaign.healthy.packs import HealthyPack, loaded
from fault_campaign.healthy.physics import FastCells
from fault_campaign.healthy.sensors import GOOD, POOR, CellVoltages, Noise, Temperatures
from fault_campaign.healthy.usage import SUBSAMPLES, Segment, Usage
from openbms_control.safety.monitor import Decision, SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.types import (
    BalancingCommand,
    BusState,
    FaultState,
    PackMeasurement,
    PowerLimits,
    State,
    ThermalCommand,
    Validity,
)

__all__ = ["HealthyRun", "Tally"]

FloatArray = NDArray[np.float64]

_CLOSED = (State.DRIVE, State.CHARGE, State.CONNECTED)
_BLEED_OHM = 33.0
_FLOW_M3_PER_S = 1.7e-4


@dataclass
class Tally:
    """What came of the hours.

    Attributes
    ----------
    hours : float
        Of the pack.
    scans : int
    alarms : list of dict
        Rows that latch or open and became active: each a false alarm.
    warnings : dict of str to int
        Other rows by how often they became active.
    states : dict of str to float
        Hours in each state.
    """

    hours: float = 0.0
    scans: int = 0
    alarms: list[dict[str, Any]] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    states: dict[str, float] = field(default_factory=dict)
    lowest_v: float = math.inf
    highest_v: float = -math.inf
    hottest_degc: float = -math.inf
    coldest_degc: float = math.inf
    largest_a: float = 0.0


class HealthyRun:
    """A healthy pack in use.

    Parameters
    ----------
    pack : HealthyPack
    seed : int
    """

    def __init__(self, pack: HealthyPack, seed: int) -> None:
        self.pack, self._rng = pack, np.random.default_rng([seed, pack.cells, int(pack.pessimistic)])
        rng = self._rng
        self.file = loaded(pack)
        self._q = POOR if pack.pessimistic else GOOD
        noise = Noise(rng, pack.cells)
        capacity, resistance, soc, weak = self._q.spread
        self._usage = Usage(rng, pack.scan_period_s)
        self._cells = FastCells(
            pack.strings,
            pack.series,
            pack.parallel,
            rng,
            float(rng.uniform(0.2, 0.9)),
            self._usage.ambient_degc,
            {"capacity": capacity, "resistance": resistance, "soc": soc, "weak": weak},
        )
        self._front_ends = CellVoltages(pack, self._q, rng, noise)
        self._second = CellVoltages(pack, self._q, rng, noise)
        self._sensors = Temperatures(pack, self._q, rng, noise)
        limits = self.file.file.limits
        self._charge_a, self._discharge_a = (
            limits.charge_current_max_a.operating,
            limits.discharge_current_max_a.operating,
        )
        rating, strings = self._discharge_a, pack.strings
        self._current_offset = rng.uniform(-1, 1, strings) * self._q.current_offset * pack.deadband_a
        self._current_gain = 1.0 + np.clip(rng.standard_normal(strings), -2, 2) * self._q.current_gain / 2
        self._second_gain = 1.0 + np.clip(rng.standard_normal(strings), -2, 2) * self._q.current_gain / 2
        self._current_noise_a = self._q.current_noise * rating
        self._string_gain = 1.0 + np.clip(rng.standard_normal(strings), -2, 2) * self._q.string_gain / 2
        self._skews_s = rng.uniform(0.0, self._q.skew_s, (strings, pack.series // pack.module))
        self.monitor = SafetyMonitor(self.file, FaultRecord(self.file.file.serial))
        self.monitor.take_config_hash(self.file.config_hash)
        self._template = self._empty()
        self._decision: Decision | None = None
        self._commanded = np.zeros((strings, 3), np.uint8)
        self._contacts = np.zeros((strings, 3), np.uint8)
        self._link_v = 0.0
        self._t_s, self._number = 100.0, 0
        self._sub_a = np.zeros((strings, SUBSAMPLES))
        self._coolant_degc = self._usage.ambient_degc
        self._thermal = np.array([0.0, 1.0, 1.0, 0.0])
        self._actuators = np.array([0.0, 1.0, 1.0, 0.0])
        self._bleed: NDArray[np.bool_] | None = None
        self._bled: NDArray[np.bool_] | None = None
        self._segment = Segment("rest", 20.0)
        self._segment_left_s = 20.0
        self._asked = False
        self._thermal_at_s = -math.inf
        self._active: set[str] = set()
        self.tally = Tally()

    # ---- a scan -----------------------------------------------------------------------------------

    def _empty(self) -> PackMeasurement:
        pack, topology = self.pack, self.file.file.topology
        m = PackMeasurement.empty(
            pack.cells,
            len(topology.sensor_names),
            pack.strings,
            actuators=len(topology.actuators),
            link_voltage_v=0.0,
        )
        for name in ("cell_voltage", "temperature", "string_current", "string_voltage", "actuator_feedback"):
            getattr(m, f"{name}_validity")[:] = Validity.VALID
        if pack.redundant:
            m.redundant_cell_voltage_validity = np.zeros(pack.cells, np.uint8)
            m.redundant_string_current_validity = np.zeros(pack.strings, np.uint8)
        m.link_voltage_validity = m.insulation_resistance_validity = m.pressure_validity = Validity.VALID
        m.supply_voltage_validity = m.coolant_flow_validity = m.auxiliary_power_validity = Validity.VALID
        m.interlock, m.emergency_stop, m.smoke, m.gas, m.bus_state = 1, 0, 0, 0, BusState.OK
        m.auxiliary_power_w = 100.0
        return m

    def run(self, hours: float, progress: Callable[[float], None] | None = None) -> Tally:
        """Live through some hours; ``progress`` is told the hours of each step now and then."""
        begin = self.tally.hours
        told = begin
        while self.tally.hours - begin < hours:
            self.step()
            if progress is not None and self.tally.hours - told > 0.02:
                progress(self.tally.hours - told)
                told = self.tally.hours
        return self.tally

    def step(self) -> None:
        """Live through one scan."""
        pack, rng, q = self.pack, self._rng, self._q
        dt_s = pack.scan_period_s * (1.0 + float(rng.uniform(-q.jitter, q.jitter)))
        self._t_s += dt_s
        self._number += 1
        self._usage.step_ambient(dt_s)
        self._use(dt_s)
        closed = self._contacts[:, :2].all(axis=1)
        self._flow(closed, dt_s)
        mean_a = self._sub_a.mean(axis=1)
        bled_a = None if self._bled is None else self._bled * (3.9 / _BLEED_OHM)
        self._cool(dt_s)
        self._cells.step(mean_a, bled_a, dt_s, float(self._actuators[1]), self._coolant_degc)
        m = self._measure(closed, dt_s)
        self.monitor.take_power_limits(self._limits(), self._t_s)
        if self._t_s - self._thermal_at_s >= 1.0:
            self._command()
        decision = self.monitor.step(m, self._t_s, 1.7e9 + self._t_s)
        self._note(decision, m, dt_s)
        self._decision = decision
        # the contacts follow the command before the next scan
        self._commanded = decision.status.contactor_command.reshape(-1, 3)
        self._contacts = self._commanded.copy()
        self._bled = self._bleed if decision.status.balancing_allowed else None

    def _flow(self, closed: NDArray[np.bool_], dt_s: float) -> None:
        """Let the user take what it wants and may, in ten samples a scan; strings share it by their
        resistance.
        """
        pack, cells, decision = self.pack, self._cells, self._decision
        ohm = cells.r0_ohm * pack.series / pack.parallel + 0.002
        emf_v = cells.rest_v.sum(axis=1)
        total = np.zeros(SUBSAMPLES)
        if (
            decision is not None
            and decision.status.state in _CLOSED
            and not decision.status.zero_current_requested
        ):
            limits = decision.limits
            share = self._usage.wanted(self._segment.kind)
            strings = pack.strings
            full = np.where(share > 0, self._charge_a, self._discharge_a) * strings
            total = np.clip(share * full, -limits.discharge_current_a, limits.charge_current_a)
        if closed.any():
            siemens = closed / ohm
            link = ((emf_v * siemens).sum() + total) / siemens.sum()
            self._sub_a = siemens[:, None] * (link[None, :] - emf_v[:, None])
            self._link_v = float(link[-1])
        else:
            self._sub_a = np.zeros_like(self._sub_a)
            precharging = (self._contacts[:, 1] == 1) & (self._contacts[:, 2] == 1)
            goal = float(emf_v[precharging].mean()) if precharging.any() else 0.0
            self._link_v += (goal - self._link_v) * (
                1.0 - math.exp(-dt_s / (0.3 if precharging.any() else 1.0))
            )

    def _cool(self, dt_s: float) -> None:
        """Move coolant and actuators: what turns needs a second or two."""
        ambient = self._usage.ambient_degc
        goal = ambient + 25.0 * self._actuators[0] - 12.0 * self._actuators[3]
        self._coolant_degc += (goal - self._coolant_degc) * (1.0 - math.exp(-dt_s / 200.0))
        allowed = self._decision is not None and self._decision.status.heating_allowed
        wanted = self._thermal * np.array([1.0 if allowed else 0.0, 1.0, 1.0, 1.0])
        self._actuators += (wanted - self._actuators) * (1.0 - np.exp(-dt_s / np.array([0.1, 1.5, 2.0, 2.0])))

    def _measure(self, closed: NDArray[np.bool_], dt_s: float) -> PackMeasurement:
        pack, rng, q, cells = self.pack, self._rng, self._q, self._cells
        m = copy.copy(self._template)
        m.stamp_s, m.scan_number, m.scan_duration_s = 1.7e9 + self._t_s, self._number, dt_s
        last_a = self._sub_a[:, -1]
        true_v = cells.voltage_v(last_a)
        # what samples earlier sees another current
        slope = (self._sub_a[:, -1] - self._sub_a[:, -2]) * (SUBSAMPLES / dt_s)
        moving = bool(np.abs(slope).max() > 0.5 * self.pack.parallel)
        ohm = cells.r0_ohm / pack.parallel
        skewed = -(ohm * slope)[:, None] * self._skews_s if moving else None
        said = self._front_ends.read(true_v, skewed, self._bled)
        ages = np.empty(pack.cells)
        m.cell_voltages_v = self._front_ends.lose(said, ages, dt_s).ravel()
        m.cell_voltage_ages_s = ages
        m.cell_balancing = (
            np.zeros(pack.cells, np.uint8) if self._bled is None else self._bled.ravel().astype(np.uint8)
        )
        if pack.redundant:
            m.redundant_cell_voltages_v = self._second.read(true_v, None, None).ravel()
        at_cells = self._sensors.read(cells.degc, self._coolant_degc, self._usage.ambient_degc, dt_s)
        hottest = float(cells.degc.max())
        others = (
            hottest + 6.0,
            hottest + 5.0,
            hottest + 7.0,
            self._usage.ambient_degc,
            self._coolant_degc,
            self._coolant_degc + 1.0,
        )
        m.temperatures_degc = np.concatenate((at_cells, others))
        m.temperature_ages_s = np.full(len(m.temperatures_degc), 0.05)
        self._currents(m)
        noise = q.string_noise_v * rng.standard_normal(pack.strings)
        late_v = pack.series * ohm * slope * rng.uniform(0.0, q.skew_s, pack.strings)
        m.string_voltages_v = true_v.sum(axis=1) * self._string_gain + noise - late_v
        m.link_voltage_v = self._link_v
        m.contactor_feedback = self._contacts.ravel().copy()
        m.insulation_resistance_ohm = 2e6 * float(rng.uniform(0.5, 2.0))
        m.charging_plug, m.ignition = int(self._segment.charges), int(not self._segment.charges)
        m.pressure_pa = 101e3 + 150.0 * (hottest - 20.0) + 50.0 * float(rng.standard_normal())
        m.supply_voltage_v = 13.5 + 0.3 * float(rng.standard_normal())
        m.coolant_flow_m3_per_s = (
            _FLOW_M3_PER_S * float(self._actuators[1]) * (1.0 + 0.03 * float(rng.standard_normal()))
        )
        m.actuator_feedback = np.clip(self._actuators + 0.01 * rng.standard_normal(4), 0.0, 1.0)
        m.frames_received = 100
        m.frames_rejected = int(rng.random() < q.lost_frames)
        return m

    def _currents(self, m: PackMeasurement) -> None:
        pack, rng = self.pack, self._rng
        noise = self._current_noise_a * rng.standard_normal(self._sub_a.shape)
        sensed = self._sub_a * self._current_gain[:, None] + self._current_offset[:, None] + noise
        m.string_currents_a = sensed.mean(axis=1)
        m.string_current_minimum_a, m.string_current_maximum_a = sensed.min(axis=1), sensed.max(axis=1)
        m.string_charge_increments_ah = m.string_currents_a * (m.scan_duration_s / 3600.0)
        m.string_current_samples = np.full(pack.strings, SUBSAMPLES, np.uint32)
        if pack.redundant:
            second = self._sub_a.mean(axis=1) * self._second_gain
            m.redundant_string_currents_a = second + self._current_noise_a * rng.standard_normal(pack.strings)

    # ---- who uses it ------------------------------------------------------------------------------

    def _use(self, dt_s: float) -> None:
        """Ask for what the segment needs; go on to the next one when it is over, or can go on no more."""
        decision = self._decision
        if decision is None:
            return
        state = decision.status.state
        self._segment_left_s -= dt_s
        soc = float(self._cells.soc.min())
        empty = self._segment.target is State.DRIVE and soc < 0.06
        full = self._segment.charges and float(self._cells.soc.max()) > 0.995
        if self._segment_left_s <= 0.0 or empty or full:
            if state in _CLOSED:
                self.monitor.request(State.STANDBY, self._t_s)
                self._segment_left_s = 0.0
                return
            if state is State.STANDBY:
                self._segment = self._usage.next_segment(float(self._cells.soc.mean()))
                self._segment_left_s = self._segment.duration_s
                self._asked = False
                return
        if (
            state is State.STANDBY
            and self._segment.target is not State.STANDBY
            and self._segment_left_s > 0.0
        ):
            self.monitor.request(self._segment.target, self._t_s)

    def _command(self) -> None:
        """Cool what is warm, heat what is cold before charging, bleed what is high near the end of a
        charge.
        """
        pack, cells = self.pack, self._cells
        self._thermal_at_s = self._t_s
        hot, cold = float(cells.degc.max()), float(cells.degc.min())
        cooling = 1.0 if hot > 30.0 else 0.4
        heat = 1.0 if cold < 8.0 and self._segment.charges else 0.0
        chill = 1.0 if hot > 38.0 and self._coolant_degc > 15.0 else 0.0
        self._thermal = np.array([heat, cooling, cooling, chill])
        self.monitor.take_thermal_command(
            ThermalCommand(heat, cooling, cooling, chill, "campaign", 3.0), self._t_s
        )
        self._bleed = None
        if self._segment.kind in ("slow charge", "rest") and float(cells.soc.mean()) > 0.6:
            spread = cells.soc - cells.soc.min(axis=1, keepdims=True)
            self._bleed = spread > 0.006
            told = self._bleed.ravel().astype(np.uint8)
            self.monitor.take_balancing_command(BalancingCommand(told, "campaign", 3.0), self._t_s)
        elif self._decision is not None:
            none = np.zeros(pack.cells, np.uint8)
            self.monitor.take_balancing_command(BalancingCommand(none, "campaign", 3.0), self._t_s)

    def _limits(self) -> PowerLimits:
        """Give power limits that keep every cell within its recommended voltages for ten seconds.

        A stand-in for the estimator, from the plant's own resistances with 15 % to spare: as much as a
        healthy pack may give, and more than the real limiter would grant.
        """
        cells, pack, limits = self._cells, self.pack, self.file.file.limits
        ohm = 1.15 * float((cells.ten_seconds_ohm * cells.factor.max(axis=1)).max()) / pack.parallel
        low, high = float(cells.rest_v.min()), float(cells.rest_v.max())
        discharge = (
            min(max(low - limits.cell_voltage_min_v.recommended, 0.0) / ohm, self._discharge_a) * pack.strings
        )
        charge = (
            min(max(limits.cell_voltage_max_v.recommended - high, 0.0) / ohm, self._charge_a) * pack.strings
        )
        zeros = np.zeros(1)
        return PowerLimits(
            stamp_s=0.0,
            scan_number=self._number,
            horizons_s=np.array([10.0]),
            charge_current_a=np.array([charge]),
            charge_current_std_a=zeros,
            discharge_current_a=np.array([discharge]),
            discharge_current_std_a=zeros,
            charge_power_w=np.array([1e9]),
            discharge_power_w=np.array([1e9]),
            charge_reason=["cell_voltage"],
            charge_cell=np.zeros(1, np.int32),
            discharge_reason=["cell_voltage"],
            discharge_cell=np.zeros(1, np.int32),
            valid_for_s=1.5,
        )

    # ---- what came of it --------------------------------------------------------------------------

    def _note(self, decision: Decision, m: PackMeasurement, dt_s: float) -> None:
        tally = self.tally
        tally.hours += dt_s / 3600.0
        tally.scans += 1
        name = decision.status.state.name
        tally.states[name] = tally.states.get(name, 0.0) + dt_s / 3600.0
        if self._number % 8 == 0:
            tally.lowest_v = min(tally.lowest_v, float(m.cell_voltages_v.min()))
            tally.highest_v = max(tally.highest_v, float(m.cell_voltages_v.max()))
            at_cells = m.temperatures_degc[:-6]
            tally.hottest_degc = max(tally.hottest_degc, float(at_cells.max()))
            tally.coldest_degc = min(tally.coldest_degc, float(at_cells.min()))
            tally.largest_a = max(tally.largest_a, float(np.abs(m.string_currents_a).max()))
        if not decision.faults and not self._active:
            return
        active = {entry.row.id for entry in decision.faults if entry.state == FaultState.ACTIVE}
        for entry in decision.faults:
            row = entry.row
            if row.id not in active or row.id in self._active:
                continue
            if row.latched or row.opens:
                tally.alarms.append(
                    {
                        "row": row.id,
                        "pack": self.pack.name,
                        "at_s": round(self._t_s - 100.0, 2),
                        "value": entry.value,
                        "limit": entry.limit,
                        "index": entry.index,
                        "use": self._segment.kind,
                        "state": decision.status.state.name,
                        "ambient_degc": round(self._usage.ambient_degc, 1),
                        "current_a": round(float(m.string_currents_a[0]), 1),
                    }
                )
            else:
                tally.warnings[row.id] = tally.warnings.get(row.id, 0) + 1
        self._active = active
        latched = [entry.row.id for entry in decision.faults if entry.state == FaultState.LATCHED]
        if latched:
            self.monitor.clear([], self._t_s)
            for identifier in latched:
                self.monitor.clear([identifier], self._t_s)
