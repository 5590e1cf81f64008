"""The digital twin without bus and clock: commands in, frames out, tick by tick.

A tick is 10 ms of wall time: one frame of the current sensor. Each tenth tick ends a scan: all its frames
leave in one burst, at once behind the current frame.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_core.pack import PackFile
from openbms_sim import faults
from openbms_sim.device import CELLS, CELLS_EACH, Device, Frame, Switches
from openbms_sim.faults import Injections
from openbms_sim.frames import Layout
from openbms_sim.interface import Inputs, Readings, Source
from openbms_sim.plant.switching import CONTACTORS, Contactors
from openbms_sim.sensing import SensorNames, sense, sense_current_a
from openbms_sim.vehicle import Permission

__all__ = ["SCAN_TICKS", "TICK_S", "DigitalTwin", "check_pack"]

TICK_S = 0.01
SCAN_TICKS = 10


def check_pack(pack: PackFile) -> SensorNames:
    """Check that the twin can be this pack.

    Parameters
    ----------
    pack : PackFile
        The pack to simulate.

    Returns
    -------
    SensorNames
        Its temperature sensors.

    Raises
    ------
    ConfigError
        The pack is not on the device openbms_cmu, or has other cells or sensors than that device.
    """
    topology = pack.topology
    locations = [location for _, location, _ in topology.sensors]
    wanted = ["cell"] * 32 + ["afe"] * 8 + ["ambient", "coolant_in", "coolant_out"]
    if pack.device.type != "openbms_cmu":
        raise ConfigError(
            f"{pack.name}: device.type is {pack.device.type!r}: the twin speaks only as 'openbms_cmu'. "
            "Take the pack demo_96s_nmc, or describe yours with that device."
        )
    if topology.strings != 1 or topology.cell_count != CELLS or locations != wanted:
        raise ConfigError(
            f"{pack.name}: topology: the device openbms_cmu has one string of {CELLS} cells and the "
            "temperature sensors 32 cell, 8 afe, ambient, coolant_in, coolant_out, in this order."
        )
    return SensorNames(topology.sensor_names, locations, [cells for _, _, cells in topology.sensors])


@dataclass
class _Late:
    """Frames that jitter holds back."""

    due_s: float
    frames: list[Frame]


class DigitalTwin:
    """Pack, sensors, contactors and device together.

    Parameters
    ----------
    pack : PackFile
        Must be a pack on the device openbms_cmu (:func:`check_pack`).
    layouts : mapping of str to Layout
        Its messages.
    source : Source
        The plant or a recorded test.
    load : callable, optional
        ``load(permission, dt_s)`` gives the current that the load wants [A]; None: no load.
    time_scale : float
        Simulated seconds in a second.
    seed : int
        Of lost frames and jitter.
    switches : Switches
        On-off inputs as they are without injections.
    """

    def __init__(
        self,
        pack: PackFile,
        layouts: Mapping[str, Layout],
        source: Source,
        *,
        load: Callable[[Permission, float], float] | None = None,
        time_scale: float = 1.0,
        seed: int = 1,
        switches: Switches | None = None,
    ) -> None:
        self._sensors = check_pack(pack)
        self.source = source
        self.device = Device(layouts, seed)
        self.contactors = Contactors()
        self.injections = Injections()
        self.elapsed_s = 0.0
        """Simulated time since the start [s]."""
        self._load = load
        self._dt_s = TICK_S * time_scale
        self._switches = switches or Switches()
        self._random = random.Random(seed)
        self._late: list[_Late] = []
        self._tick = 0
        self._sum_v: NDArray[np.float64] = np.zeros(CELLS)
        self._sum_link_v = 0.0
        self.readings: Readings | None = None

    @property
    def open(self) -> bool:
        """No contactor is really closed."""
        return not bool(self.contactors.closed.any())

    def tick(self, received: Iterable[Frame], permission: Permission, now_s: float) -> list[Frame]:
        """Live through 10 ms of wall time.

        Parameters
        ----------
        received : iterable of (identifier, data)
            Frames that arrived since the last tick.
        permission : Permission
            What the load has heard from the battery management.
        now_s : float
            Monotonic time [s].

        Returns
        -------
        list of (identifier, data)
            Frames to send now.
        """
        injections = self.injections.at(now_s)
        switches = self._switches_now(injections)
        if not injections.acts(faults.SilentBus):
            for identifier, data in received:
                self.device.receive(identifier, data, now_s)
        self.device.control(now_s, switches, injections)
        self.contactors.step(
            self.device.coils,
            TICK_S,
            welded=self._mask(injections, faults.ContactorWelded),
            dead=self._mask(injections, faults.ContactorFailsToClose),
        )
        readings = self.source.step(self._inputs(permission, injections), self._dt_s)
        self.readings = readings
        self.elapsed_s += self._dt_s
        current_a = sense_current_a(float(readings.string_currents_a[0]), injections)
        frames = self.device.current_frame(current_a, self._dt_s, injections)
        self._sum_v += readings.cell_voltages_v
        self._sum_link_v += readings.link_voltage_v
        self._tick += 1
        if self._tick % SCAN_TICKS == 0:
            sensed = sense(
                readings,
                self._sum_v / SCAN_TICKS,
                self._sum_link_v / SCAN_TICKS,
                self._sensors,
                self.device.bleed,
                CELLS_EACH,
                injections,
            )
            self._sum_v, self._sum_link_v = np.zeros(CELLS), 0.0
            scan = self.device.scan_frames(sensed, readings, self.contactors.closed, switches, injections)
            late_s = max((item.maximum_s for item in injections.of(faults.Jitter)), default=0.0)
            self._late.append(_Late(now_s + late_s * self._random.random(), scan))
        # Scans overtake each other on no bus: a late one holds up those behind it.
        while self._late and self._late[0].due_s <= now_s:
            frames += self._late.pop(0).frames
        return frames

    @property
    def scan_ended(self) -> bool:
        """The last tick ended a scan."""
        return self._tick % SCAN_TICKS == 0

    def _inputs(self, permission: Permission, injections: Injections) -> Inputs:
        device = self.device
        load_a = 0.0 if self._load is None else self._load(permission, self._dt_s)
        shorts = injections.of(faults.CellInternalShort)
        short_ohm = np.full(CELLS, np.inf) if shorts else None
        for item in shorts:
            short_ohm[item.cell] = item.resistance_ohm  # type: ignore[index]
        return Inputs(
            closed=self.contactors.closed,
            zero_current=permission.zero_current,
            load_current_a=load_a,
            charger_enable=device.charger_enable,
            charger_voltage_v=device.charger_voltage_v,
            charger_current_a=min(device.charger_current_a, permission.charge_limit_a),
            bleed=device.bleed,
            heater=device.heater,
            pump=device.pump,
            fan=device.fan,
            chiller=device.chiller,
            precharge_open=injections.acts(faults.PrechargeResistorOpen),
            short_ohm=short_ohm,
        )

    @staticmethod
    def _mask(injections: Injections, kind: type[faults.Injection]) -> NDArray[np.bool_] | None:
        items = injections.of(kind)
        if not items:
            return None
        named = {item.contactor for item in items}
        return np.array([[name in named for name in CONTACTORS]])

    def _switches_now(self, injections: Injections) -> Switches:
        now = replace(self._switches)
        now.interlock_whole &= not injections.acts(faults.InterlockOpen)
        now.emergency_stop |= injections.acts(faults.EmergencyStop)
        now.smoke |= injections.acts(faults.Smoke)
        for item in injections.of(
            faults.Insulation, faults.ChargingPlug, faults.Ignition, faults.SupplyVoltage
        ):
            if isinstance(item, faults.Insulation):
                now.insulation_ohm = item.resistance_ohm
            elif isinstance(item, faults.ChargingPlug):
                now.plugged = item.plugged
            elif isinstance(item, faults.Ignition):
                now.ignition = item.switched_on
            else:
                now.supply_v = item.value_v
        return now
