"""The inverter gateway: one battery to one low-voltage inverter on a CAN bus of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from std_msgs.msg import Header

from openbms_core.config_file import ConfigError
from openbms_core.ros import convert
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.ros.state_folder import state_folder
from openbms_core.types import FaultState
from openbms_drivers.bus import Bus
from openbms_drivers.devices.inverter_lv.battery import BatteryFacts
from openbms_drivers.devices.inverter_lv.gateway import GatewaySettings, InverterGateway
from openbms_drivers.devices.inverter_lv.limits import Shaping
from openbms_drivers.devices.inverter_lv.peer import InverterPeer
from openbms_drivers.devices.inverter_lv.profile import load_profile, shipped_profiles
from openbms_drivers.devices.inverter_lv.requests import ChargeRequests
from openbms_drivers.devices.inverter_lv.stored import load_last_full, save_last_full
from openbms_drivers.gateway.gateway_loop import GatewayLoop
from openbms_drivers.gateway.peer import Peer
from openbms_drivers.ros.description import describe
from openbms_msgs.msg import FaultArray, PackDescription

__all__ = ["InverterGatewayNode", "facts_from_msg", "main"]

_STORE_STEP_S = 3600.0


def facts_from_msg(message: PackDescription) -> BatteryFacts:
    """Take from the pack's description what an inverter is told."""
    limits = {
        name: (operating, recommended)
        for name, operating, recommended in zip(
            message.limit_names, message.limit_operating, message.limit_recommended, strict=True
        )
    }
    strings = int(message.string_count)
    return BatteryFacts(
        serial=message.serial,
        name=message.name,
        manufacturer=message.manufacturer,
        strings=strings,
        cells_in_series=int(message.cells_in_series),
        rated_capacity_ah=float(message.rated_capacity) * strings,
        cell_maximum_v=limits["cell_voltage_max_v"],
        cell_minimum_v=limits["cell_voltage_min_v"],
        charge_current_max_a=limits["charge_current_max_a"][0] * strings,
        discharge_current_max_a=limits["discharge_current_max_a"][0] * strings,
        at_cell=np.array(message.temperature_sensor_locations, np.uint8) == PackDescription.LOCATION_CELL,
    )


class InverterGatewayNode(BmsNode):
    """Topics to frames; the inverter's frames to /diagnostics."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("inverter_gateway", **kwargs)
        self._loop: GatewayLoop | None = None

    def declare(self) -> None:
        """Declare the inverter and where it is."""
        names = ", ".join(shipped_profiles())
        self.parameter("profile", "pylontech_v1_2", f"Inverter: a profile file, or one of {names}")
        self.parameter("can_interface", "socketcan", "Interface of python-can: socketcan, socketcand …")
        self.parameter("can_host", "127.0.0.1", "Computer of the socketcand server")
        self.parameter("can_port", 29536, "Port of the socketcand server")
        self.parameter("inverter_channel", "can1", "Bus of the inverter: not the one of the battery")
        self.parameter("charge_voltage_v", 0.0, "Of the battery; 0: cells times their operating maximum")
        self.parameter("discharge_voltage_v", 0.0, "Of the battery; 0: cells times their recommended minimum")
        self.parameter("rise_s", 20.0, "Time in which a limit rises from nothing to its full value")
        self.parameter("hold_s", 5.0, "A limit that fell to nothing stays there at least this long")
        self.parameter("on_inverter_lost", "say", "An inverter that is not heard: say it, or zero its limits")
        self.parameter("state_file", "", "Day of the last full charge; empty: in the pack's state folder")

    def configure(self) -> None:
        """Read the profile; refuse a battery that does not fit it."""
        self.require_real_time()
        reaction = self.value("on_inverter_lost")
        if reaction not in ("say", "zero"):
            raise ConfigError(
                f"{self.get_name()}: on_inverter_lost is {reaction!r}: it must be 'say' or 'zero'."
            )
        self._profile = load_profile(self.value("profile"))
        self._settings = GatewaySettings(
            self.value("charge_voltage_v"),
            self.value("discharge_voltage_v"),
            Shaping(self.value("rise_s"), self.value("hold_s")),
            reaction,
        )
        folder = state_folder(self.pack.file.serial)
        self._state_file = Path(self.value("state_file") or folder / "inverter.json")
        self._stored_s = load_last_full(self._state_file)
        self._requests = ChargeRequests(last_full_s=self._stored_s)
        gateway = self._gateway(facts_from_msg(describe(self.pack, Header())))
        interface, channel = self.value("can_interface"), self.value("inverter_channel")
        self._peer = InverterPeer(gateway, f"{interface}:{channel}")
        bus = Bus(
            interface,
            channel,
            self.value("can_host"),
            self.value("can_port"),
            self._profile.bitrate_bit_per_s,
        )
        self._loop = GatewayLoop(
            cast(Peer, self._peer), bus, monotonic_s=elapsed_s, stamp_s=time.time, wall_s=None
        )
        self._take("limits", convert.limits_from_msg, expires=True)
        self._take("state", convert.state_from_msg, expires=True)
        self._take("measurement", convert.measurement_from_msg)
        self._take("soc", convert.state_of_charge_from_msg)
        self._take("soh", convert.state_of_health_from_msg)
        self.listen("faults", self._on_faults)
        self.listen("pack_description", self._on_description)
        self.every(1.0, self._say)

    def _gateway(self, facts: BatteryFacts) -> InverterGateway:
        return InverterGateway(self._profile, facts, self._settings, self._requests)

    def _take(self, name: str, read: Any, *, expires: bool = False) -> None:
        def received(message: Any) -> None:
            valid_for_s = convert.time_from_msg(message.valid_for) if expires else None
            self._peer.take(name, read(message), self.monotonic_s(), valid_for_s)

        self.listen(name, received)

    def _on_faults(self, message: FaultArray) -> None:
        active = [(fault.id, fault.level) for fault in message.faults if fault.state != FaultState.PENDING]
        self._peer.take_faults(active, tuple(message.not_monitored), self.monotonic_s())

    def _on_description(self, message: PackDescription) -> None:
        facts = facts_from_msg(message)
        mine = self._peer.gateway.facts
        if (facts.serial, facts.strings, facts.cells_in_series) != (
            mine.serial,
            mine.strings,
            mine.cells_in_series,
        ):
            self._peer.gateway = self._gateway(facts)

    def activate(self) -> None:
        """Open the bus."""
        self._loop.start()

    def deactivate(self) -> None:
        """Send nothing more: the inverter sees it by its own timeout."""
        if self._loop is not None:
            self._loop.stop()

    def release(self) -> None:
        """Close the bus, store what must be kept."""
        self.deactivate()
        self._store(0.0)

    def _store(self, step_s: float) -> str:
        last_s = self._requests.last_full_s if self._loop is not None else None
        if last_s is None or (self._stored_s is not None and abs(last_s - self._stored_s) <= step_s):
            return ""
        problem = save_last_full(self._state_file, last_s)
        self._stored_s = last_s
        return problem

    def _say(self) -> None:
        if self._loop.failure is not None:
            raise RuntimeError("the bus thread failed") from self._loop.failure
        problem = self._store(_STORE_STEP_S)
        if problem:
            self.get_logger().warning(problem)
        report = self._peer.report(self.monotonic_s())
        self.diagnostic(report.level, report.message, **report.values)


def main() -> None:
    """Run the node alone."""
    run_nodes([InverterGatewayNode])


if __name__ == "__main__":
    main()
