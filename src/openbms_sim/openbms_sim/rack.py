"""Digital twins of packs in parallel on one DC bus, tick by tick, with the inverter that they feed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from openbms_sim.device import Frame
from openbms_sim.faults import plant
from openbms_sim.plant.pack import PackPlant
from openbms_sim.plant.rack import RackPlant
from openbms_sim.surroundings import load_now
from openbms_sim.twin import TICK_S, DigitalTwin
from openbms_sim.vehicle import Permission

__all__ = ["Rack"]


class Rack:
    """Twins that share a bus: each has its device, sensors, contactors and injections, all share the current.

    Parameters
    ----------
    twins : mapping of str to DigitalTwin
        By the name of the pack; the source of each is a :class:`PackPlant`.
    load : callable, optional
        ``load(permission, dt_s)`` gives the current that the inverter wants of the whole rack [A], positive
        charging; None: none.
    time_scale : float
        Simulated seconds in a second, as of each twin.
    """

    def __init__(
        self,
        twins: Mapping[str, DigitalTwin],
        load: Callable[[Permission, float], float] | None = None,
        time_scale: float = 1.0,
    ) -> None:
        self.twins = dict(twins)
        plants = []
        for name, twin in self.twins.items():
            if not isinstance(twin.source, PackPlant):
                raise ValueError(f"{name}: a twin in a rack needs its own physics")
            plants.append(twin.source)
        self.plant = RackPlant(plants)
        self._load = load
        self._dt_s = TICK_S * time_scale

    def tick(
        self, received: Mapping[str, Iterable[Frame]], permission: Permission, now_s: float
    ) -> dict[str, list[Frame]]:
        """Live through 10 ms of wall time.

        Parameters
        ----------
        received : mapping of str to iterable of (identifier, data)
            Frames that arrived since the last tick, by pack.
        permission : Permission
            What the inverter has heard of the whole rack.
        now_s : float
            Monotonic time [s].

        Returns
        -------
        dict of str to list of (identifier, data)
            Frames to send now, by pack.
        """
        inputs = [twin.inputs(received.get(name, ()), permission, now_s) for name, twin in self.twins.items()]
        wanted_a = 0.0 if self._load is None else self._load(permission, self._dt_s)
        told = next((twin for twin in self.twins.values() if twin.injections.of(plant.Load)), None)
        if told is not None:
            wanted_a, zero = load_now(permission, wanted_a, told.injections)
        else:
            zero = permission.zero_current
        readings = self.plant.step(inputs, 0.0 if zero else wanted_a, self._dt_s)
        return {
            name: twin.frames(reading, now_s)
            for (name, twin), reading in zip(self.twins.items(), readings, strict=True)
        }

    @property
    def open(self) -> bool:
        """No contactor of any pack is really closed."""
        return all(twin.open for twin in self.twins.values())
