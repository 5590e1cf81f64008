"""The digital twin without bus and clock: commands in, frames out, tick by tick.

A tick is 10 ms of wall time: one frame of the current sensor. Each tenth tick (``measurement.scan_period_s``
of the pack file) ends a scan: all its frames leave in one burst, at once behind the current frame.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_core.pack import PackFile
from openbms_sim.device import CELLS, Device, Frame, Switches
from openbms_sim.faults import Injection, Injections, bus, plant
from openbms_sim.faults import device as broken
from openbms_sim.frame_path import FramePath
from openbms_sim.frames import Layout
from openbms_sim.interface import Inputs, Readings, Source
from openbms_sim.medium import Medium
from openbms_sim.plant.switching import CONTACTORS, Contactors
from openbms_sim.sensing import SensorNoise, sense
from openbms_sim.sensor_faults import spoil_current
from openbms_sim.surroundings import ACTUATORS, inputs_of, put_condition, switches_of, told_by
from openbms_sim.vehicle import Permission
from openbms_sim.wiring import SensorNames, Wiring, wiring_of

__all__ = ["TICK_S", "DigitalTwin", "check_pack"]

TICK_S = 0.01
ATMOSPHERE_PA = 101_325.0


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
        The pack is not on the device openbms_cmu, or that device cannot have its cells and sensors.
    """
    return _wired(pack)[1]


def _wired(pack: PackFile) -> tuple[Wiring, SensorNames]:
    if pack.device.type != "openbms_cmu":
        raise ConfigError(
            f"{pack.name}: device.type is {pack.device.type!r}: the twin speaks only as 'openbms_cmu'. "
            "Take a pack on that device (docs/how-to/simulate-your-pack.md), or describe yours with it."
        )
    topology = pack.topology
    if topology.strings != 1 or topology.cell_count > CELLS:
        raise ConfigError(
            f"{pack.name}: topology: it has {topology.strings} string(s) of {topology.cells_in_series} "
            f"cells in series, but the device openbms_cmu has one string of at most {CELLS}. Strings in "
            "parallel are packs of their own (docs/how-to/simulate-your-pack.md)."
        )
    return wiring_of(pack)


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
        Of everything random: noise, lost frames, jitter.
    switches : Switches
        On-off inputs as they are without injections.
    noise : SensorNoise
        Of healthy sensors; by default that of usual parts. A recorded test has its own.
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
        noise: SensorNoise | None = None,
    ) -> None:
        self.wiring, self._sensors = _wired(pack)
        self._actuators = [name for name in ACTUATORS if pack.topology.members(name)]
        self.source = source
        self.device = Device(layouts, self.wiring, seed)
        self.contactors = Contactors()
        self.injections = Injections()
        self.elapsed_s = 0.0
        """Simulated time since the start [s]."""
        self._load = load
        self._dt_s = TICK_S * time_scale
        self._scan_ticks = max(1, round(pack.measurement.scan_period_s / TICK_S))
        self._switches = switches or Switches()
        self._switched = self._switches
        self._random = random.Random(seed)
        self._rng = np.random.default_rng(seed)
        none = SensorNoise(0.0, 0.0, 0.0, 0.0)
        self._noise = noise or (SensorNoise() if source.name == "plant" else none)
        self._path = FramePath(layouts, seed)
        self._medium = Medium(pack.device.bitrate_bit_per_s, seed)
        self._late: list[_Late] = []
        self._tick = 0
        self._sum_v: NDArray[np.float64] = np.zeros(self.wiring.cell_count)
        self._sum_link_v = self._sum_redundant_a = 0.0
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
        inputs = self.inputs(received, permission, now_s)
        return self.frames(self.source.step(inputs, self._dt_s), now_s)

    def inputs(self, received: Iterable[Frame], permission: Permission, now_s: float) -> Inputs:
        """Give what acts on the pack in a tick: the first half of :meth:`tick`.

        Parameters
        ----------
        received, permission, now_s
            As for :meth:`tick`.
        """
        injections = self.injections.at(now_s)
        self._begin(injections, now_s)
        self._switched = switches = switches_of(self._switches, injections)
        if self.readings is not None:
            switches.gas |= self.readings.gas
            switches.smoke |= self.readings.smoke
            switches.pressure_pa += self.readings.pressure_pa - ATMOSPHERE_PA
        for identifier, data in self._medium.to_device(list(received), now_s, injections):
            self.device.receive(identifier, data, now_s)
        self.device.control(now_s, switches, injections)
        dropped = self._mask(injections, broken.ContactorDropsOut)
        self.contactors.step(
            self.device.coils if dropped is None else self.device.coils & ~dropped,
            TICK_S,
            welded=self._mask(injections, broken.ContactorWelded),
            dead=self._mask(injections, broken.ContactorFailsToClose),
        )
        load_a = 0.0 if self._load is None else self._load(permission, self._dt_s)
        return inputs_of(self.device, self.contactors.closed, permission, load_a, injections, self._actuators)

    def frames(self, readings: Readings, now_s: float) -> list[Frame]:
        """Give the frames of a tick from what really happened in it: the second half of :meth:`tick`.

        Parameters
        ----------
        readings : Readings
            What the source made of :meth:`inputs`.
        now_s : float
            As for :meth:`inputs`.
        """
        injections = self.injections
        self.readings = readings = told_by(readings, self.device, injections)
        self.elapsed_s += self._dt_s
        frames = self._frames(readings, self._switched, now_s, injections)
        return self._medium.to_host(self._path.through(frames, now_s, injections), now_s, injections)

    def _begin(self, injections: Injections, now_s: float) -> None:
        """Do what an injection does when it begins, and not any more later."""
        for restart in injections.began(broken.DeviceReboot):
            self.device.restart(now_s, restart.silence_s, restart.refuse_s)
        for condition in injections.of(plant.Condition):
            past_s = injections.since_s(condition)
            if past_s < condition.ramp_s + self._dt_s or condition in injections.began(plant.Condition):
                put_condition(self.source, condition, past_s, injections)

    def _frames(
        self, readings: Readings, switches: Switches, now_s: float, injections: Injections
    ) -> list[Frame]:
        """What the device sends in this tick."""
        true_a, sigma_a = float(readings.string_currents_a[0]), self._noise.current_a
        noise_a = self._rng.standard_normal(2) * sigma_a if sigma_a else (0.0, 0.0)
        current_a = spoil_current(true_a + float(noise_a[0]), injections, self._rng, redundant=False)
        self._sum_redundant_a += spoil_current(
            true_a + float(noise_a[1]), injections, self._rng, redundant=True
        )
        self._sum_v += readings.cell_voltages_v
        self._sum_link_v += readings.link_voltage_v
        self._tick += 1
        scan: list[Frame] = []
        silent = self.device.silent(now_s)
        frames = [] if silent else self.device.current_frame(current_a, self._dt_s, injections)
        if self._tick % self._scan_ticks == 0:
            sensed = sense(
                readings,
                self._sum_v / self._scan_ticks,
                self._sum_link_v / self._scan_ticks,
                self._sensors,
                self.device.bleed,
                self.wiring.module_of,
                injections,
                noise=self._noise,
                rng=self._rng,
            )
            sensed.redundant_current_a = self._sum_redundant_a / self._scan_ticks
            self._sum_v = np.zeros(self.wiring.cell_count)
            self._sum_link_v = self._sum_redundant_a = 0.0
            if not silent:
                closed = self.contactors.closed
                scan = self.device.scan_frames(sensed, readings, closed, switches, injections)
            late_s = max((item.maximum_s for item in injections.of(bus.Jitter)), default=0.0)
            self._late.append(_Late(now_s + late_s * self._random.random(), scan))
        # Scans overtake each other on no bus: a late one holds up those behind it.
        while self._late and self._late[0].due_s <= now_s:
            frames += self._late.pop(0).frames
        return frames

    @property
    def clock_step_s(self) -> float:
        """How far the twin's clock is off now [s]."""
        return float(sum(item.step_s for item in self.injections.of(bus.ClockStep)))

    @property
    def scan_ended(self) -> bool:
        """The last tick ended a scan."""
        return self._tick % self._scan_ticks == 0

    @staticmethod
    def _mask(injections: Injections, kind: type[Injection]) -> NDArray[np.bool_] | None:
        items = injections.of(kind)
        if not items:
            return None
        named = {item.contactor for item in items}
        return np.array([[name in named for name in CONTACTORS]])
