"""One site: what is read from its devices, what is decided, what is published; threads of each server."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from openbms_core.types import GridEvent, GridEventKind, SiteMeter
from openbms_drivers.devices.sunspec.controller import InverterController
from openbms_drivers.devices.sunspec.device import (
    INVERTER_FAST,
    INVERTER_SLOW,
    Reading,
    SunspecDevice,
)
from openbms_drivers.devices.sunspec.link import ModbusLink, need_pymodbus
from openbms_drivers.devices.sunspec.meters import generated_w, imported_w, inverter_power_w, site_meter
from openbms_drivers.devices.sunspec.models import INVERTER_MODELS, METER_MODELS, Values
from openbms_drivers.devices.sunspec.ratings import Ratings, grid_state, ratings
from openbms_drivers.devices.sunspec.setpoint import OWN_SOURCE, Decision, SiteInputs, Surroundings, decide
from openbms_drivers.devices.sunspec.site_file import Meter, SiteFile, Unit

__all__ = ["Report", "Site"]

_TURN_S = 0.05
MODELS_OF_ROLE = {
    "grid": METER_MODELS,
    "load": METER_MODELS,
    # one unit can hold an inverter and the meter of the connection: its solar power is the inverter's
    "pv": (*INVERTER_MODELS, *METER_MODELS),
}
"""What measures the power of each role; the first that is there counts."""

_SLOW_MAX_AGE_S = 90.0
_EVENT_VALID_FOR_S = 5.0


@dataclass(frozen=True)
class Report:
    """What is said on /diagnostics."""

    level: int
    message: str
    values: dict[str, object] = field(default_factory=dict)


@dataclass
class _Metered:
    meter: Meter
    device: SunspecDevice

    def fresh(self, now_s: float, max_age_s: float) -> Reading | None:
        """Give what was measured last, unless it is too old."""
        return self.device.snapshot.fresh(MODELS_OF_ROLE[self.meter.role], now_s, max_age_s)


class Site:
    """Inverter and meters of one site.

    Parameters
    ----------
    file : SiteFile
    monotonic_s, stamp_s : callable
        The clocks [s].

    Raises
    ------
    ConfigError
        pymodbus is missing.

    Attributes
    ----------
    inputs : SiteInputs
        To be filled from topics.
    failure : BaseException or None
        What ended a thread against its will.
    """

    def __init__(
        self, file: SiteFile, *, monotonic_s: Callable[[], float], stamp_s: Callable[[], float]
    ) -> None:
        need_pymodbus()
        self.file, self.inputs = file, SiteInputs()
        self._monotonic_s, self._stamp_s = monotonic_s, stamp_s
        self._links: dict[tuple[str, int], ModbusLink] = {}
        self._jobs: dict[tuple[str, int], list[Callable[[], None]]] = {}
        self._polled_s: dict[int, float] = {}
        self._others_w, self._others_s = math.nan, -math.inf
        self._loss_w, self._loss_s = math.nan, -math.inf
        self._published: Reading | None = None
        self._threads: list[threading.Thread] = []
        self._end = threading.Event()
        self.failure: BaseException | None = None
        self.decision = Decision(0.0, math.nan, "starting", "nothing was decided yet")
        self.controller: InverterController | None = None
        self._inverter: SunspecDevice | None = None
        if file.inverter is not None:
            self._inverter = self._device(file.inverter, (*INVERTER_MODELS, *INVERTER_FAST), INVERTER_SLOW)
            self.controller = InverterController(self._inverter, file.inverter, file.max_age_s, monotonic_s)
            self._job(file.inverter, self._turn_inverter)
        self._meters = [
            _Metered(meter, self._device(meter, MODELS_OF_ROLE[meter.role], ())) for meter in file.meters
        ]
        for metered in self._meters:
            self._job(metered.meter, lambda metered=metered: self._turn_meter(metered))  # type: ignore[misc]

    def _device(self, unit: Unit, fast: tuple[int, ...], slow: tuple[int, ...]) -> SunspecDevice:
        place = (unit.host, unit.port)
        link = self._links.get(place)
        if link is None:
            link = ModbusLink(unit.host, unit.port, self.file.timeout_s, self._monotonic_s)
            self._links[place] = link
        return SunspecDevice(
            link,
            unit.unit,
            unit.base_address,
            fast,
            slow,
            unit.registers_at_once,
            monotonic_s=self._monotonic_s,
            stamp_s=self._stamp_s,
        )

    def _job(self, unit: Unit, turn: Callable[[], None]) -> None:
        self._jobs.setdefault((unit.host, unit.port), []).append(turn)

    # ---- threads ----

    def start(self) -> None:
        """Start one thread for each server: a slow one does not hold up the others."""
        self._end.clear()
        self.failure = None
        self._threads = [
            threading.Thread(target=self._run, args=(place,), name=f"modbus {place[0]}", daemon=True)
            for place in self._jobs
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Give 0 W once more, end the threads, close the connections."""
        self._end.set()
        for thread in self._threads:
            thread.join(timeout_s)
        self._threads = []

    def _run(self, place: tuple[str, int]) -> None:
        try:
            while not self._end.is_set():
                for turn in self._jobs[place]:
                    turn()
                self._end.wait(_TURN_S)
            if self._inverter is not None and self._inverter.link is self._links[place]:
                assert self.controller is not None
                self.controller.stop(self.ratings())
        except BaseException as error:  # the node sees it and ends its process
            self.failure = error
        finally:
            self._links[place].close()

    def _poll(self, device: SunspecDevice) -> bool:
        now_s = self._monotonic_s()
        if now_s - self._polled_s.get(id(device), -math.inf) < self.file.poll_period_s:
            return False
        self._polled_s[id(device)] = now_s
        return device.poll()

    def _turn_meter(self, metered: _Metered) -> None:
        if self._poll(metered.device) and metered.meter.role == "grid":
            now_s = self._monotonic_s()
            reading = metered.fresh(now_s, self.file.max_age_s)
            battery_w = self._battery_ac_w(now_s)
            if reading is not None and not math.isnan(battery_w):
                # both at one time: what the battery does itself is no load of the site
                self._others_w = imported_w(reading.values, metered.meter.positive) - battery_w
                self._others_s = reading.at_s

    def _battery_ac_w(self, now_s: float) -> float:
        """Give what the battery draws at the AC side now [W].

        The pack is measured ten times as often as the inverter is read: its power tells the moment, the
        inverter's the losses. What a hybrid's solar panels put in between cannot be told apart: there the
        losses are reckoned.
        """
        pack_w, inverter = self.inputs.pack_power_w(now_s), self.file.inverter
        if now_s - self._loss_s <= self.file.max_age_s:
            return pack_w + self._loss_w
        factor = 1.0 if inverter is None else inverter.efficiency
        return pack_w / factor if pack_w > 0.0 else pack_w * factor

    def _learn_losses(self, now_s: float) -> None:
        snapshot = self._inverter.snapshot if self._inverter is not None else None
        if snapshot is None or snapshot.chain is None or snapshot.chain.block(160) is not None:
            return
        reading = snapshot.fresh(INVERTER_MODELS, now_s, self.file.poll_period_s)
        pack_w = self.inputs.pack_power_w(now_s)
        if reading is not None and math.isfinite(pack_w + reading.values.number("W")):
            self._loss_w, self._loss_s = inverter_power_w(reading.values) - pack_w, reading.at_s

    def _turn_inverter(self) -> None:
        assert self._inverter is not None and self.controller is not None and self.file.inverter is not None
        if self._poll(self._inverter):
            self._learn_losses(self._monotonic_s())
        now_s = self._monotonic_s()
        known = self.ratings()
        others_w = self._others_w if now_s - self._others_s <= self.file.max_age_s else math.nan
        limit = self.file.connection
        own, settings = self.grid_event(now_s), self.file.inverter
        around = Surroundings(
            known,
            None if own.kind == GridEventKind.UNREACHABLE else own,
            others_w,
            limit.import_max_w,
            limit.export_max_w,
            pack_per_ac_in=1.0 if settings.setpoint_at == "ac" else settings.efficiency,
            pack_per_ac_out=1.0 / settings.efficiency if settings.setpoint_at == "ac" else 1.0,
        )
        release = settings.when_setpoint_expires == "release"
        self.decision = decide(self.inputs, around, now_s, release_when_expired=release)
        self.controller.step(self.decision, known)
        self.controller.watch(self.decision, self.inputs.pack_power_w(now_s))

    # ---- what is known ----

    def _models(self, now_s: float) -> dict[int, Values]:
        """Give the models of the inverter that are fresh, each by its own period."""
        if self._inverter is None:
            return {}
        return {
            number: reading.values
            for number, reading in self._inverter.snapshot.readings.items()
            if now_s - reading.at_s <= (_SLOW_MAX_AGE_S if number in INVERTER_SLOW else self.file.max_age_s)
        }

    def ratings(self) -> Ratings:
        """Give what the inverter can do."""
        if self.file.inverter is None:
            return Ratings()
        models = self._models(self._monotonic_s())
        return ratings(models, self.file.inverter.charge_max_w, self.file.inverter.discharge_max_w)

    def grid_event(self, now_s: float) -> GridEvent:
        """Give what the inverter says of the grid and of itself."""
        models = self._models(now_s)
        fast = [number for number in models if number not in INVERTER_SLOW]
        if self._inverter is not None and not fast:
            return GridEvent(
                kind=int(GridEventKind.UNREACHABLE),
                charge_power_w=math.nan,
                discharge_power_w=math.nan,
                import_power_w=math.nan,
                export_power_w=math.nan,
                source=OWN_SOURCE,
                reason=self._inverter.snapshot.problem or "the inverter has no model that is read",
                valid_for_s=_EVENT_VALID_FOR_S,
            )
        return grid_state(models, self.ratings().maximum_w, _EVENT_VALID_FOR_S)

    def _grid_reading(self, now_s: float) -> tuple[Reading | None, _Metered | None]:
        grid = next((item for item in self._meters if item.meter.role == "grid"), None)
        if grid is None:
            return None, None
        return grid.fresh(now_s, self.file.max_age_s), grid

    def meter(self, now_s: float) -> tuple[SiteMeter, float | None, bool]:
        """Give what flows at the site.

        Returns
        -------
        meter : SiteMeter
        stamp_s : float or None
            ROS time of the reading; None where the grid meter is not read.
        new : bool
            The grid meter was read since the last call that gave True.
        """
        reading, grid = self._grid_reading(now_s)
        problems = [] if grid is not None else ["the site's file has no meter with role: grid"]
        powers: dict[str, list[float]] = {"pv": [], "load": []}
        for item in self._meters:
            fresh = item.fresh(now_s, self.file.max_age_s)
            if fresh is None:
                problems.append(
                    f"{item.meter.role}: {item.device.snapshot.problem or 'it has no model with this power'}"
                )
            if item.meter.role != "grid":
                measure = generated_w if item.meter.role == "pv" else imported_w
                power = math.nan if fresh is None else measure(fresh.values, item.meter.positive)
                powers[item.meter.role].append(power)
        inverter = next((v for n in INVERTER_MODELS if (v := self._models(now_s).get(n)) is not None), None)
        new = reading is not None and reading is not self._published
        if new:
            self._published = reading
        result = site_meter(
            None if reading is None else reading.values,
            "import" if grid is None else grid.meter.positive,
            inverter,
            powers["pv"],
            powers["load"],
            meter="" if grid is None else str(grid.device.snapshot.identity),
            reason="; ".join(problems),
            valid_for_s=self.file.max_age_s,
        )
        return result, None if reading is None else reading.stamp_s, new

    def report(self, now_s: float) -> Report:
        """Give what people should know."""
        values: dict[str, object] = {"site": self.file.name}
        problems = []
        for role, device in self._devices():
            fresh = device.snapshot.fresh(
                (*METER_MODELS, *INVERTER_MODELS, *INVERTER_FAST), now_s, self.file.max_age_s
            )
            values[f"{role} {device.name}"] = str(device.snapshot.identity) or "not identified"
            if fresh is None:
                problems.append(f"{role}: {device.snapshot.problem or 'no model that is read'}")
            elif device.snapshot.problem:
                values[f"{role} {device.name} remark"] = device.snapshot.problem
        for place, link in self._links.items():
            values[f"connection {place[0]}:{place[1]}"] = f"{link.connects} made, {link.losses} lost"
        if (
            self.controller is not None
            and self.file.inverter is not None
            and self.file.inverter.control != "none"
        ):
            decision, controller = self.decision, self.controller
            values.update(
                setpoint_wanted_w=f"{decision.wanted_w:.0f}",
                setpoint_decided_w=f"{decision.power_w:.0f}",
                setpoint_written_w=f"{controller.written_w:.0f}",
                setpoint_model=controller.model or "",
                bound_by=decision.bound_by,
                bound_because=decision.reason,
                pack_power_w=f"{self.inputs.pack_power_w(now_s):.0f}",
                writes=controller.writes,
                overruled=controller.overruled,
                overruled_because=controller.overruled_because,
            )
            problems += [text for text in (controller.problem, controller.not_following) if text]
        event = self.grid_event(now_s)
        if event.kind not in (GridEventKind.NONE, GridEventKind.UNREACHABLE):
            problems.append(event.reason)
        problems = list(dict.fromkeys(problems))
        return Report(1 if problems else 0, "; ".join(problems) or self._calm(), values)

    def _calm(self) -> str:
        reason = self.decision.reason if self.controller is not None else ""
        return f"the site is read; {reason}" if reason else "the site is read"

    def _devices(self) -> list[tuple[str, SunspecDevice]]:
        own = [] if self._inverter is None else [("inverter", self._inverter)]
        return [*own, *((item.meter.role, item.device) for item in self._meters)]
