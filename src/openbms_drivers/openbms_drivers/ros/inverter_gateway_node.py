"""The inverter gateway: one battery to one low-voltage inverter on a CAN bus of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from std_msgs.msg import Header

from openbms_core.config_file import ConfigError
from openbms_core.ros import convert, wire
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.ros.state_folder import state_folder
from openbms_core.types import FaultState, State
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
from openbms_drivers.ros.gateway_bus import GatewayBus, declare_bus
from openbms_drivers.ros.inverter_facts import facts_from_msg
from openbms_msgs.msg import FaultArray, PackDescription
from openbms_msgs.srv import RequestState

__all__ = ["InverterGatewayNode", "main"]

_STORE_STEP_S = 3600.0
_END_MARGIN_S = 1.0


class InverterGatewayNode(BmsNode):
    """Topics to frames; the inverter's frames to /diagnostics."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("inverter_gateway", **kwargs)
        self._loop: GatewayLoop | None = None
        self._place: GatewayBus | None = None
        self._monitor: Any = None

    def declare(self) -> None:
        """Declare the inverter and where it is."""
        names = ", ".join(shipped_profiles())
        self.parameter("profile", "pylontech_v1_2", f"Inverter: a profile file, or one of {names}")
        declare_bus(self, "inverter_interface")
        self.parameter("can_channel", "can0", "Bus of the battery, which must be another one")
        self.parameter("inverter_channel", "can1", "Bus of the inverter")
        self.parameter("charge_voltage_v", 0.0, "Of the battery; 0: cells times their operating maximum")
        self.parameter("discharge_voltage_v", 0.0, "Of the battery; 0: cells times their recommended minimum")
        self.parameter("rise_s", 20.0, "Time in which a limit rises from nothing to its full value")
        self.parameter("hold_s", 5.0, "A limit that fell to nothing stays there at least this long")
        self.parameter("on_inverter_lost", "say", "An inverter that is not heard: say it, or zero its limits")
        self.parameter(
            "connect", False, "Ask for CONNECTED when the inverter is heard, until that is reached"
        )
        self.parameter("state_file", "", "Day of the last full charge; empty: in the pack's state folder")

    def configure(self) -> None:
        """Read the profile; refuse a battery that does not fit it."""
        self.require_real_time()
        self._profile = load_profile(self.value("profile"))
        self._settings = self._read_settings()
        folder = state_folder(self.pack.file.serial)
        self._state_file = Path(self.value("state_file") or folder / "inverter.json")
        self._stored_s = load_last_full(self._state_file)
        self._requests = ChargeRequests(last_full_s=self._stored_s)
        self._wanted = bool(self.value("connect"))
        # an inverter obeys zero within its own cycle; contactors open meanwhile
        self.stop_deadline_s = self.pack.file.longest_opening_s + _END_MARGIN_S
        gateway = self._gateway(facts_from_msg(describe(self.pack, Header())))
        self._place = self._bus_of_inverter()
        self._peer = InverterPeer(gateway, self._place.name)
        peer, bus = cast(Peer, self._peer), self._place.bus
        self._loop = GatewayLoop(peer, bus, monotonic_s=elapsed_s, stamp_s=time.time, wall_s=None)
        for name, quick in (
            ("limits", wire.LIMITS),
            ("state", wire.STATE),
            ("measurement", wire.MEASUREMENT),
        ):
            self.listen(name, self._taker(name, quick.decode), raw=quick.raw)
        self.listen("soc", self._taker("soc", convert.state_of_charge_from_msg))
        self.listen("soh", self._taker("soh", convert.state_of_health_from_msg))
        self.listen("faults", self._on_faults)
        self.listen("pack_description", self._on_description)
        self._monitor = self.create_client(RequestState, "request_state")
        self.every(0.1, lambda: self._loop.check() if self._loop is not None else None)
        self.every(1.0, self._say)

    def _read_settings(self) -> GatewaySettings:
        reaction = self.value("on_inverter_lost")
        if reaction not in ("say", "zero"):
            raise ConfigError(
                f"{self.get_name()}: on_inverter_lost is {reaction!r}: it must be 'say' or 'zero'."
            )
        times = {name: self.value(name) for name in ("rise_s", "hold_s")}
        for name, value in times.items():
            if not value >= 0.0:
                raise ConfigError(f"{self.get_name()}: {name} is {value:g}: give seconds, 0 or more.")
        voltages = self.value("charge_voltage_v"), self.value("discharge_voltage_v")
        return GatewaySettings(*voltages, Shaping(**times), reaction)

    def _bus_of_inverter(self) -> GatewayBus:
        interface, channel = self.value("can_interface"), self.value("inverter_channel")
        if channel == self.value("can_channel") and self.value("inverter_interface") in ("", interface):
            raise ConfigError(
                f"{self.get_name()}: inverter_channel is {channel!r} on {interface}, the battery's own bus: "
                "the inverter needs a bus of its own, such as can1."
            )
        bit_rate = self._profile.bitrate_bit_per_s
        return GatewayBus(self, "inverter_interface", channel, bit_rate, fd=False)

    def _gateway(self, facts: BatteryFacts) -> InverterGateway:
        return InverterGateway(self._profile, facts, self._settings, self._requests)

    def _taker(self, name: str, read: Any) -> Any:
        def received(message: Any) -> None:
            try:
                value = read(message)
            except ValueError as error:  # nonsense renews nothing, and does not end the gateway
                self.get_logger().error(f"{name} refused: {error}", throttle_duration_sec=5.0)
                return
            self._peer.take(name, value, self.monotonic_s(), getattr(value, "valid_for_s", None))
            if name == "state" and value.state == State.CONNECTED:
                self._wanted = False  # from here on nothing is asked for: what opens stays open

        return received

    def _on_faults(self, message: FaultArray) -> None:
        active = [(fault.id, fault.level) for fault in message.faults if fault.state != FaultState.PENDING]
        self._peer.take_faults(active, tuple(message.not_monitored), self.monotonic_s())

    def _on_description(self, message: PackDescription) -> None:
        try:
            self._peer.describe(facts_from_msg(message), self._gateway)
        except (ValueError, ConfigError) as error:
            self.get_logger().error(f"pack_description refused: {error}")

    def activate(self) -> None:
        """Open the bus."""
        self._peer.begin()
        self._loop.start()

    def ready_to_stop(self) -> bool:
        """Tell the inverter that there is no current, and go on until it obeys or nothing is connected."""
        if self._loop is None or not self._loop.running:
            return True
        now_s = self.monotonic_s()
        self._peer.end(now_s)
        return self._peer.ended(now_s)

    def deactivate(self) -> None:
        """Send nothing more: the inverter sees it by its own timeout."""
        if self._loop is not None:
            self._loop.stop()

    def release(self) -> None:
        """Close the bus, store what must be kept."""
        self.deactivate()
        self._store(0.0)
        if self._place is not None:
            self._place.release()
        if self._monitor is not None:
            self.destroy_client(self._monitor)
            self._monitor = None

    def _store(self, step_s: float) -> str:
        last_s = self._requests.last_full_s if self._loop is not None else None
        if last_s is None or (self._stored_s is not None and abs(last_s - self._stored_s) <= step_s):
            return ""
        problem = save_last_full(self._state_file, last_s)
        self._stored_s = last_s
        return problem

    def _say(self) -> None:
        problem = self._store(_STORE_STEP_S)
        if problem:
            self.get_logger().warning(problem)
        report = self._peer.report(self.monotonic_s())
        self.diagnostic(report.level, report.message, **report.values)
        if self._wanted and report.values["inverter_frames"] and report.values["situation"] == "standby":
            self._ask()

    def _ask(self) -> None:
        if self._monitor is not None and self._monitor.service_is_ready():
            request = RequestState.Request(state=int(State.CONNECTED), requester=self.get_name())
            self._monitor.call_async(request).add_done_callback(self._answered)

    def _answered(self, done: Any) -> None:
        answer = done.result()
        if answer is not None and not answer.accepted:
            self.get_logger().info(f"not connected yet: {answer.reason}", throttle_duration_sec=30.0)


def main() -> None:
    """Run the node alone."""
    run_nodes([InverterGatewayNode])


if __name__ == "__main__":
    main()
