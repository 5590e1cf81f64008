"""The site adapter: SunSpec inverter and meters over Modbus TCP; setpoint out, meter and grid events in."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from openbms_core.ros import convert
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import PackMeasurement, Validity
from openbms_drivers.devices.sunspec.setpoint import OWN_SOURCE
from openbms_drivers.devices.sunspec.site import Site
from openbms_drivers.devices.sunspec.site_file import load_site

__all__ = ["SiteAdapterNode", "main", "pack_volts_amperes"]

_TURN_S = 0.05
_QUIET_S = 1.0


def pack_volts_amperes(scan: PackMeasurement) -> tuple[float, float]:
    """Give voltage and current of a pack of parallel strings; NaN where a string is not measured.

    The voltage is the lowest of the strings, so that a limit in ampere never becomes too many watts.
    """
    volts = np.where(scan.string_voltage_validity == Validity.VALID, scan.string_voltages_v, np.nan)
    amperes = np.where(scan.string_current_validity == Validity.VALID, scan.string_currents_a, np.nan)
    if not volts.size:
        return float("nan"), float("nan")
    return float(np.min(volts)), float(np.sum(amperes))


class SiteAdapterNode(BmsNode):
    """Topics to the inverter's registers, registers to topics; Modbus runs in threads of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("site_adapter", **kwargs)
        self._site: Site | None = None

    def declare(self) -> None:
        """Declare which site it is."""
        self.parameter("site", "", "Site file: inverter, meters, limits of the connection; empty: no site")

    def configure(self) -> None:
        """Read the site's file; without one there is nothing to do."""
        self.require_real_time()
        if not self.value("site"):
            self.get_logger().info(
                "no site: give a site file (parameter site); `openbms site scan HOST` proposes one"
            )
            return
        file, path = load_site(self.value("site"))
        self.get_logger().info(f"site {file.name} ({path})")
        self._site = site = Site(file, monotonic_s=elapsed_s, stamp_s=time.time)
        self._meter = self.publisher_for("site_meter")
        self._event = self.publisher_for("grid_event")
        self._meter_s = self._event_s = -_QUIET_S
        self._said: tuple[int, str] | None = None
        for name, read, take in (
            ("limits", convert.limits_from_msg, site.inputs.take_limits),
            ("power_setpoint", convert.power_setpoint_from_msg, site.inputs.take_setpoint),
            ("grid_event", convert.grid_event_from_msg, site.inputs.take_event),
        ):
            self.listen(name, self._taker(name, read, take), every_message=name == "grid_event")
        self.listen("measurement", self._on_measurement)
        self.every(_TURN_S, self._turn)
        self.every(1.0, self._say)

    def _taker(self, name: str, read: Any, take: Any) -> Any:
        def received(message: Any) -> None:
            try:
                take(read(message), self.monotonic_s())
            except ValueError as error:  # nonsense renews nothing, and does not end the adapter
                self.get_logger().error(f"{name} refused: {error}", throttle_duration_sec=5.0)

        return received

    def _on_measurement(self, message: Any) -> None:
        volts, amperes = pack_volts_amperes(convert.measurement_from_msg(message))
        self._site.inputs.take_pack(volts, amperes, self.monotonic_s())

    def activate(self) -> None:
        """Connect."""
        if self._site is not None:
            self._site.start()
        else:
            self.diagnostic(0, "no site is configured")

    def deactivate(self) -> None:
        """Leave 0 W with its reversion time behind, close the connections."""
        if self._site is not None:
            self._site.stop()

    def release(self) -> None:
        """Close the connections."""
        self.deactivate()

    def _turn(self) -> None:
        site, now_s = self._site, self.monotonic_s()
        if site.failure is not None:
            raise RuntimeError("a thread of the site failed") from site.failure
        meter, stamp_s, new = site.meter(now_s)
        if new or (stamp_s is None and now_s - self._meter_s >= _QUIET_S):
            self._meter_s = now_s
            self._meter.publish(convert.site_meter_to_msg(meter, self.header(stamp_s)))
        if site.file.inverter is None:
            return
        event = site.grid_event(now_s)
        said = (event.kind, event.reason)
        if said != self._said or now_s - self._event_s >= _QUIET_S:
            if self._said is not None and said != self._said:
                self.get_logger().warning(f"{OWN_SOURCE}: {event.reason or 'nothing binds any more'}")
            self._said, self._event_s = said, now_s
            self._event.publish(convert.grid_event_to_msg(event, self.header()))

    def _say(self) -> None:
        report = self._site.report(self.monotonic_s())
        self.diagnostic(report.level, report.message, **report.values)


def main() -> None:
    """Run the node in its own process."""
    run_nodes([SiteAdapterNode])


if __name__ == "__main__":
    main()
