"""The gateway as the bus thread sees it, and the one lock between that thread and whoever brings messages."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from openbms_core.types import BusState
from openbms_drivers.bus_health import BusHealth
from openbms_drivers.devices.inverter_lv.battery import BatteryFacts
from openbms_drivers.devices.inverter_lv.gateway import InverterGateway, Report
from openbms_drivers.frame import ERROR, REMOTE, Frame

__all__ = ["InverterPeer"]


class InverterPeer:
    """An inverter on a bus; what :class:`~openbms_drivers.gateway.gateway_loop.GatewayLoop` runs.

    Parameters
    ----------
    gateway : InverterGateway
    bus_name : str
        ``interface:channel``, for sentences about the bus.
    """

    def __init__(self, gateway: InverterGateway, bus_name: str) -> None:
        side = gateway.profile.inverter
        self.health = BusHealth(bus_name, gateway.profile.bitrate_bit_per_s, side.lost_after_s)
        self._gateway = gateway
        self._lock = threading.Lock()
        self._next_s = -math.inf

    @property
    def sender(self) -> InverterPeer:
        """The bus thread asks it for ``next_due_s``."""
        return self

    @property
    def next_due_s(self) -> float:
        """When :meth:`frames_due` is to be called next (monotonic)."""
        return self._next_s

    def describe(self, facts: BatteryFacts, build: Callable[[BatteryFacts], InverterGateway]) -> None:
        """Take the description that the driver gives; another battery than the one told is begun anew."""
        with self._lock:
            mine = self._gateway.facts
            if (facts.serial, facts.strings, facts.cells_in_series) != (
                mine.serial,
                mine.strings,
                mine.cells_in_series,
            ):
                self._gateway = build(facts)

    def receive(self, frame: Frame) -> None:
        """Take one frame; anything may be in it."""
        if frame.flags & ERROR:
            self.health.error_frame(frame.identifier, frame.monotonic_s)
        if frame.flags & (ERROR | REMOTE):
            return
        self.health.pack_frame(frame.monotonic_s)
        with self._lock:
            self._gateway.receive(frame)

    def frames_due(self, now_s: float, stamp_s: float) -> list[Frame]:
        """Give the frames to send now."""
        with self._lock:
            frames = self._gateway.frames_due(now_s, stamp_s)
            self._next_s = self._gateway.next_due_s(now_s)
        return frames

    def take(self, name: Any, value: Any, now_s: float, valid_for_s: float | None = None) -> None:
        """Take an input of the gateway."""
        with self._lock:
            self._gateway.take(name, value, now_s, valid_for_s)

    def take_faults(
        self, faults: list[tuple[str, int]], not_monitored: tuple[str, ...], now_s: float
    ) -> None:
        """Take the faults."""
        with self._lock:
            self._gateway.take("faults", faults, now_s)
            self._gateway.set_not_monitored(not_monitored)

    def begin(self) -> None:
        """Begin (anew): nothing ends."""
        with self._lock:
            self._gateway.begin()

    def end(self, now_s: float) -> None:
        """Begin to end: no current from now on."""
        with self._lock:
            self._gateway.end(now_s)

    def ended(self, now_s: float) -> bool:
        """Tell whether the frames may stop."""
        with self._lock:
            return self._gateway.ended(now_s)

    def report(self, now_s: float) -> Report:
        """Give what there is to say: of the bus first, where that is wrong."""
        with self._lock:
            report = self._gateway.report(now_s)
        state, sentence = self.health.judge(now_s)
        unopened = state == BusState.CONNECTING and not sentence.startswith(f"{self.health.name} is open")
        if unopened or state in (BusState.ERROR, BusState.OFF):
            return Report(2, sentence, report.values)
        return report
