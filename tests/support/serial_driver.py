"""A driver in its own thread on a simulated serial port, for the tests of several devices."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from smart_bms import PortEnd

from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement, Validity
from openbms_drivers.bus_loop import BusLoop
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.serial_bus import SerialBus, make_bus

__all__ = ["PATIENCE_S", "SerialDriver", "quick", "whole"]

PATIENCE_S = 10.0
"""Only a test that fails waits for this long."""


def quick(pack: LoadedPack) -> LoadedPack:
    """Give the same pack, asked much more often and given up earlier: what is tested happens sooner."""
    device = pack.file.device
    faster: dict[str, Any] = {
        "silent_after_s": 0.5,
        "commands": tuple(c.model_copy(update={"period_s": 0.1 * c.period_s}) for c in device.commands),
    }
    measurement = pack.file.measurement
    ages = {quantity: 0.3 * age_s for quantity, age_s in measurement.max_age_s.items()}
    changed = {
        "device": device.model_copy(update=faster),
        "measurement": measurement.model_copy(update={"max_age_s": ages, "scan_period_s": 0.05}),
    }
    return LoadedPack(pack.path, pack.file.model_copy(update=changed), pack.cell)


class SerialDriver:
    """A driver on the near end of a port."""

    def __init__(self, pack: LoadedPack, port: PortEnd) -> None:
        self.port = port
        self.driver = PackDriver(pack, "serial:port")
        bus = make_bus(pack, "serial", str(port.path))
        assert isinstance(bus, SerialBus)
        self.bus = bus
        self.scans: queue.Queue[tuple[PackMeasurement, list[Frame], list[Frame]]] = queue.Queue()
        self.loop = BusLoop(
            self.driver, bus, monotonic_s=time.monotonic, stamp_s=time.time, wall_s=time.time,
            on_scan=lambda *scan: self.scans.put(scan), record=True,
        )  # fmt: skip
        self.loop.start()

    def until(self, wanted: Callable[[PackMeasurement], bool]) -> PackMeasurement:
        """Give the first scan that is as wanted."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            scan = self.scans.get(timeout=PATIENCE_S)[0]
            if wanted(scan):
                return scan
        raise AssertionError("no such scan")

    def shows(self, current_a: float) -> PackMeasurement:
        """Give the first scan with this current."""
        return self.until(lambda scan: abs(scan.string_currents_a[0] - current_a) < 0.005)

    def stop(self) -> None:
        """End it; a loop that died of a frame fails the test."""
        self.loop.stop()
        assert self.loop.failure is None


def whole(scan: PackMeasurement) -> bool:
    """Tell whether everything that is asked for has come."""
    return bool(
        (scan.cell_voltage_validity == Validity.VALID).all()
        and (scan.temperature_validity == Validity.VALID).all()
        and scan.reported_soc == scan.reported_soc
    )
