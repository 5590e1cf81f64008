"""Twin, driver, monitor and load in one process and in simulated time; no ROS, no real clock.

Frames, scans and decisions travel with the delays of a bus and of two process borders. Everything is drawn
from one seed, so that a run can be repeated exactly.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from fault_campaign.loads import Load, NoLoad
from fault_campaign.system_faults import (
    ClockSteps,
    DriverDies,
    DriverHangs,
    EstimatorSilent,
    ForeignConfiguration,
    LoadDefies,
    MonitorDies,
    MonitorHangs,
    ScanRepeats,
    SystemFault,
    acting,
)
from fault_campaign.trace import Tap, Trace
from openbms_control.safety.monitor import Decision, SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.resources import find_resource
from openbms_core.types import (
    ChargeCommand,
    PackMeasurement,
    PowerLimits,
    State,
    StateOfCharge,
    ThermalCommand,
)
from openbms_drivers.database import Database
from openbms_drivers.frame import ERROR, Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_estimation.soc.pack_estimator import PackSocEstimator
from openbms_estimation.sop.pack_limiter import PackPowerLimiter
from openbms_sim.arbitration import ERROR_FLAG
from openbms_sim.device import Switches
from openbms_sim.faults import Injections
from openbms_sim.frames import Layout, layouts
from openbms_sim.interface import Source
from openbms_sim.plant.cell import Spread
from openbms_sim.plant.pack import PackPlant
from openbms_sim.twin import TICK_S, DigitalTwin
from openbms_sim.twin_setup import pack_cell
from openbms_sim.vehicle import Permission

__all__ = ["ClosedLoop", "LoopSettings", "demo_pack"]

FRAME_S = 0.00024
"""Time of one frame of eight bytes on a bus of 500 kbit/s."""
POLL_S = 0.02
"""The monitor's node asks this often whether a tick is due."""
PUBLISH_S = 0.09
"""Without news the monitor's node publishes a tick's decision when the last is this old."""
HELD_MESSAGES = 10
"""What a process that stands still finds in its queue when it goes on (reliable, depth 10)."""


@lru_cache(maxsize=4)
def demo_pack(name: str = "demo_96s_nmc") -> tuple[LoadedPack, Database, dict[str, Layout]]:
    """Give a pack on the twin's device with its DBC read for both ends of the bus."""
    pack = load_pack(name)
    return pack, Database(pack), layouts(str(find_resource(pack.file.device.dbc, pack.path)))


@dataclass(frozen=True)
class LoopSettings:
    """Where and how the pack is when a run begins.

    Attributes
    ----------
    soc, ambient_degc : float
    target : State
        What the key asks for as soon as the monitor grants it; STANDBY: nothing.
    seed : int
    estimator : bool
        The real estimator and power limiter run; otherwise power limits never bind.
    spread : Spread
        How far the cells differ.
    hop_s : tuple of float
        Shortest and longest time of a message between two processes.
    pack : str
        Pack file, by name or path; on the device of the twin.
    """

    soc: float = 0.6
    ambient_degc: float = 25.0
    target: State = State.STANDBY
    seed: int = 1
    estimator: bool = True
    spread: Spread = field(default_factory=Spread)
    hop_s: tuple[float, float] = (0.0003, 0.004)
    pack: str = "demo_96s_nmc"


class ClosedLoop:
    """A whole system in simulated time.

    Parameters
    ----------
    settings : LoopSettings
    load : Load, optional
    source : Source, optional
        The physics; the plant by default.
    record : FaultRecord, optional
        What the monitor has on record at its start.

    Attributes
    ----------
    now_s : float
        Monotonic time [s]; simulated.
    trace : Trace
        What has happened so far.
    decision : Decision or None
        The last one.
    soc : StateOfCharge or None
        The last estimate, where the estimator runs.
    """

    def __init__(
        self,
        settings: LoopSettings,
        *,
        load: Load | None = None,
        source: Source | None = None,
        record: FaultRecord | None = None,
    ) -> None:
        self.settings = settings
        self.pack, self._database, messages = demo_pack(settings.pack)
        self._random = random.Random(settings.seed)
        self._load = load or NoLoad()
        plugged = settings.target is State.CHARGE
        self.twin = DigitalTwin(
            self.pack.file,
            messages,
            source
            or PackPlant(
                self.pack.file.topology.cell_count,
                soc=settings.soc,
                ambient_degc=settings.ambient_degc,
                seed=settings.seed,
                spread=settings.spread,
                cell=pack_cell(self.pack),
            ),
            load=self._load_a,
            seed=settings.seed,
            switches=Switches(plugged=plugged, ignition=not plugged),
        )
        self.now_s = 1000.0 + self._random.random()
        self._wall_s = 1.7e9
        self.trace = Trace(self.pack, messages)
        self._tap = Tap(self.twin, self.trace, messages)
        self.faults: tuple[SystemFault, ...] = ()
        self._set_s = self.now_s
        self._stepped: set[int] = set()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._bus_free_s = self.now_s
        self._to_device: list[tuple[int, bytes]] = []
        self._monitor_waits: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._driver_waits: list[tuple[int, bytes]] = []
        self._monitor_runs = self._driver_runs = True
        self._poll_at_s = self.now_s
        self._published_s = -1.0
        self._wanted: State | None = None if settings.target is State.STANDBY else settings.target
        self._asked_s = -1.0
        self._last_scan: PackMeasurement | None = None
        self._heard: tuple[float, Decision] | None = None
        self._thermal_at_s = -1.0
        self._thermal = ThermalCommand(
            heater=float(settings.ambient_degc < 5.0),
            pump=self._random.uniform(0.4, 1.0),
            fan=self._random.uniform(0.4, 1.0),
            chiller=0.0,
            reason="campaign",
            valid_for_s=3.0,
        )
        self._estimators: tuple[PackSocEstimator, PackPowerLimiter] | None = None
        self.soc: StateOfCharge | None = None
        self.decision: Decision | None = None
        self.monitor: SafetyMonitor
        self.driver: PackDriver
        self._start_driver()
        self._start_monitor(record or FaultRecord(self.pack.file.serial))
        self._start_estimators()

    # ---- processes --------------------------------------------------------------------------------

    def _start_driver(self) -> None:
        self.driver = PackDriver(self.pack, "pure", database=self._database)
        self.driver.health.opened(self.now_s)
        self.driver.start(self.now_s)

    def _start_monitor(self, record: FaultRecord) -> None:
        self.monitor = SafetyMonitor(self.pack, record)
        self.monitor.take_config_hash(self.pack.config_hash)

    def _start_estimators(self) -> None:
        self._estimators = (
            (PackSocEstimator(self.pack), PackPowerLimiter(self.pack)) if self.settings.estimator else None
        )

    # ---- steering ---------------------------------------------------------------------------------

    def set_faults(self, injections: Sequence[Any] = (), faults: Sequence[SystemFault] = ()) -> None:
        """Replace all that is broken, from now on; each item's ``start_s`` counts from now."""
        self._set_s, self.faults = self.now_s, tuple(faults)
        self._stepped.clear()
        self.twin.injections = Injections(list(injections), self.now_s)

    def request(self, target: State) -> str:
        """Ask the monitor for a state; gives why it was refused (empty: granted)."""
        self._wanted = None
        answer = self.monitor.request(target, self.now_s)
        return "" if answer.accepted else answer.reason

    def run(self, seconds: float) -> None:
        """Let time go on."""
        until = self.now_s + seconds - 1e-9
        while self.now_s < until:
            self.step()

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Let time go on until a condition holds; tell whether it did."""
        until = self.now_s + within_s
        while self.now_s < until:
            if condition():
                return True
            self.step()
        return condition()

    @property
    def state(self) -> State:
        """State that the monitor said last."""
        return State.INIT if self.decision is None else self.decision.status.state

    # ---- time -------------------------------------------------------------------------------------

    def _stamp(self, at_s: float) -> float:
        return self._wall_s + at_s

    def _after(self, at_s: float, what: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), what, arguments))

    def _hop(self) -> float:
        return self._random.uniform(*self.settings.hop_s)

    def _acts(self, kind: type[SystemFault]) -> SystemFault | None:
        return acting(self.faults, kind, self.now_s - self._set_s) if self.faults else None

    def step(self) -> None:
        """Go on by one tick of the twin (10 ms)."""
        now = self.now_s
        if self.faults:
            self._break_processes(now)
        self._tap.before_tick(now)
        received, self._to_device = self._to_device, []
        frames = self.twin.tick(received, self._permission(now), now)
        at_s = max(now, self._bus_free_s)
        for identifier, data in frames:
            at_s += FRAME_S
            self._after(at_s, self._frame, identifier, data)
        self._bus_free_s = at_s
        self._driver_turn(now)
        if now >= self._poll_at_s:
            self._poll_at_s += POLL_S
            self._to_monitor(now, self._poll)
        self.now_s = now + TICK_S
        while self._events and self._events[0][0] < self.now_s:
            at_s, _, what, arguments = heapq.heappop(self._events)
            what(at_s, *arguments)
        self._tap.after_tick()

    # ---- the driver's process ---------------------------------------------------------------------

    def _frame(self, at_s: float, identifier: int, data: bytes) -> None:
        if self.trace.frames is not None:
            self.trace.frames.append((at_s, identifier, data))
        if not self._driver_runs:
            self._driver_waits.append((identifier, data))
            return
        flags = ERROR if identifier & ERROR_FLAG else 0
        scan = self.driver.receive(Frame(identifier & ~ERROR_FLAG, data, flags, at_s, self._stamp(at_s)))
        if scan is not None:
            self._publish(scan, at_s)
        self._send(at_s)

    def _driver_turn(self, at_s: float) -> None:
        if not self._driver_runs:
            return
        self._send(at_s)
        scan = self.driver.tick(at_s, self._stamp(at_s))
        if scan is not None:
            self._publish(scan, at_s)

    def _send(self, at_s: float) -> None:
        for frame in self.driver.frames_due(at_s, self._stamp(at_s)):
            self._to_device.append((frame.identifier, frame.data))

    def _publish(self, scan: PackMeasurement, at_s: float) -> None:
        if self._acts(ScanRepeats) and self._last_scan is not None:
            scan = self._last_scan
        self._last_scan = scan
        self._after(at_s + self._hop(), self._scan_arrives, scan)
        if not self._acts(EstimatorSilent):
            self._after(at_s + self._hop(), self._estimate, scan)

    # ---- the process of estimators and controllers -------------------------------------------------

    def _estimate(self, at_s: float, scan: PackMeasurement) -> None:
        limits: PowerLimits | None = _GENEROUS
        if self._estimators is not None:
            soc, limiter = self._estimators
            self.soc = soc.step(scan)
            limits = limiter.step(scan, self.soc)
        if limits is not None:
            self._after(at_s + 0.002 + self._hop(), self._limits_arrive, limits)
        if at_s - self._thermal_at_s >= 1.0:
            self._thermal_at_s = at_s
            self._after(at_s + self._hop(), self._thermal_arrives)
            self._after(at_s + self._hop(), self._to_monitor, self._take_thermal)
        if self.settings.target is State.CHARGE and self.decision is not None:
            charge_a = self.decision.limits.charge_current_a
            cells = self.pack.file.topology.cells_in_series
            maximum_v = cells * self.pack.file.limits.cell_voltage_max_v.operating
            command = ChargeCommand(charge_a > 0.0, maximum_v, charge_a, "campaign", 1.0)
            self._after(at_s + 0.003, lambda due_s: self.driver.encoder.arbiter.set_charge(command, due_s))

    def _thermal_arrives(self, at_s: float) -> None:
        if self._driver_runs:
            self.driver.encoder.arbiter.set_thermal(self._thermal, at_s)

    def _take_thermal(self, at_s: float) -> None:
        self.monitor.take_thermal_command(self._thermal, at_s)

    # ---- the monitor's process ---------------------------------------------------------------------

    def _to_monitor(self, at_s: float, what: Callable[..., None], *arguments: Any) -> None:
        """Let the monitor do something, or keep it until its process goes on."""
        if self._monitor_runs:
            what(at_s, *arguments)
        elif what != self._poll and self._acts(MonitorHangs):
            self._monitor_waits = [*self._monitor_waits[1 - HELD_MESSAGES :], (what, arguments)]

    def _scan_arrives(self, at_s: float, scan: PackMeasurement) -> None:
        self._to_monitor(at_s, self._decide, scan)

    def _limits_arrive(self, at_s: float, limits: PowerLimits) -> None:
        self._to_monitor(at_s, self._take_limits, limits)

    def _take_limits(self, at_s: float, limits: PowerLimits) -> None:
        self.monitor.take_power_limits(limits, at_s)

    def _poll(self, at_s: float) -> None:
        if self.monitor.due(at_s):
            self._decide(at_s, None)

    def _decide(self, at_s: float, scan: PackMeasurement | None) -> None:
        decision = self.monitor.step(scan, at_s, self._stamp(at_s))
        self.decision = decision
        self.trace.decided(at_s, decision)
        urgent = scan is not None or decision.state_changed or decision.faults_changed
        if not urgent and at_s - self._published_s < PUBLISH_S:
            return
        self._published_s = at_s
        self._after(at_s + self._hop(), self._decision_arrives, decision)
        if (
            self._wanted is not None
            and decision.status.state is State.STANDBY
            and at_s - self._asked_s >= 0.2
        ):
            self._asked_s = at_s
            if self.monitor.request(self._wanted, at_s).accepted:
                self._wanted = None

    def _decision_arrives(self, at_s: float, decision: Decision) -> None:
        self._heard = (at_s, decision)
        if not self._driver_runs:
            return  # of what waits for it only the newest would count, and that comes with the next decision
        arbiter = self.driver.encoder.arbiter
        arbiter.set_state(decision.status, at_s)
        arbiter.set_contactors(decision.contactor_command, at_s)

    # ---- the vehicle -------------------------------------------------------------------------------

    def _permission(self, now_s: float) -> Permission:
        heard = Permission()
        if self._heard is not None and now_s - self._heard[0] <= self._heard[1].status.valid_for_s:
            decision = self._heard[1]
            heard = Permission(
                decision.status.state,
                decision.status.zero_current_requested,
                decision.limits.charge_current_a,
                decision.limits.discharge_current_a,
            )
        if self._acts(LoadDefies) is None:
            return heard
        return replace(heard, zero_current=False, charge_limit_a=1e3, discharge_limit_a=1e3)

    def _load_a(self, permission: Permission, dt_s: float) -> float:
        defies = self._acts(LoadDefies)
        return (
            defies.now_a(self.now_s - self._set_s)
            if isinstance(defies, LoadDefies)
            else self._load.current_a(permission, dt_s)
        )

    # ---- what breaks -------------------------------------------------------------------------------

    def _break_processes(self, now: float) -> None:
        for number, fault in enumerate(self.faults):
            if (
                isinstance(fault, ClockSteps)
                and number not in self._stepped
                and fault.acts(now - self._set_s)
            ):
                self._stepped.add(number)
                self._wall_s += fault.step_s
        foreign = self._acts(ForeignConfiguration) is not None
        self.monitor.take_config_hash("foreign" if foreign else self.pack.config_hash)
        driver = not (self._acts(DriverHangs) or self._acts(DriverDies))
        monitor = not (self._acts(MonitorHangs) or self._acts(MonitorDies))
        driver_is_back, monitor_is_back = driver and not self._driver_runs, monitor and not self._monitor_runs
        self._driver_runs, self._monitor_runs = driver, monitor
        if driver_is_back:
            if any(isinstance(fault, DriverDies) for fault in self.faults):
                self._start_driver()
            else:
                for identifier, data in self._driver_waits:
                    self._frame(now, identifier, data)
            self._driver_waits.clear()
        if monitor_is_back:
            if any(isinstance(fault, MonitorDies) for fault in self.faults):
                record = self.monitor.record()
                self._start_monitor(replace(record, start_count=record.start_count + 1))
            waiting, self._monitor_waits = self._monitor_waits, []
            for what, arguments in waiting:
                what(now, *arguments)


def _generous() -> PowerLimits:
    import numpy as np

    return PowerLimits(
        stamp_s=0.0,
        scan_number=0,
        horizons_s=np.array([10.0]),
        charge_current_a=np.array([1e3]),
        charge_current_std_a=np.zeros(1),
        discharge_current_a=np.array([1e3]),
        discharge_current_std_a=np.zeros(1),
        charge_power_w=np.array([1e6]),
        discharge_power_w=np.array([1e6]),
        charge_reason=["campaign"],
        charge_cell=np.zeros(1, np.int32),
        discharge_reason=["campaign"],
        discharge_cell=np.zeros(1, np.int32),
        valid_for_s=1.0,
    )


_GENEROUS = _generous()
