"""The driver node: one pack on one CAN bus, scans out, commands in."""

from __future__ import annotations

import time
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.pack_checks import check_pack
from openbms_core.ros import convert, wire
from openbms_core.ros.clocks import awake_s, elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import BusState, PackMeasurement, State
from openbms_drivers.bus_claim import BusClaim
from openbms_drivers.bus_loop import BusLoop
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.ros.description import describe
from openbms_drivers.ros.frames import frames_to_msg
from openbms_drivers.serial_bus import make_bus
from openbms_msgs.srv import RequestState

__all__ = ["AfeDriverNode", "main"]

_CLAIM_WAIT_S = 3.0
"""A driver of the same pack that is about to end, such as a check of the parked pack, is waited for."""
_LOOP_HANGS_S = 5.0
"""Opening a bus may take a second or two; a loop that stands for longer hangs."""


class AfeDriverNode(BmsNode):
    """Runs the bus loop; its callbacks only hand commands over."""

    fail_safe = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("afe_driver", **kwargs)
        self._loop: BusLoop | None = None
        self._monitor: Any = None
        self._asked_to_open = False
        self._claim: BusClaim | None = None

    def declare(self) -> None:
        """Declare where the bus is."""
        self.parameter(
            "can_interface",
            "socketcand",
            "Interface of python-can: socketcan, socketcand, slcan …; or serial",
        )
        self.parameter("can_channel", "can0", "Name of the bus; path of the serial port")
        self.parameter("can_host", "127.0.0.1", "Computer of the socketcand server")
        self.parameter("can_port", 29536, "Port of the socketcand server")
        self.parameter(
            "record_frames", False, "Publish can_rx and can_tx, also where the pack file does not ask for it"
        )
        self.parameter(
            "listen_only",
            False,
            "Send nothing: neither commands (a device that needs a heartbeat opens) nor requests of polls",
        )

    def configure(self) -> None:
        """Read the pack file and its DBC; refuse what does not fit."""
        self.require_real_time()
        pack, simulated = self.pack, bool(self.value("use_sim_time"))
        check_pack(pack)
        interface, channel = self.value("can_interface"), self.value("can_channel")
        self._channel = f"{interface}:{channel}"
        host, port = self.value("can_host"), self.value("can_port")
        self._claim = BusClaim(interface, channel, host, port, pack.file.serial)
        if not self._claim.take(_CLAIM_WAIT_S):
            raise ConfigError(
                f"{self.get_name()}: another driver of the pack {pack.file.serial} is on {self._channel}: "
                "the two would send against each other. End it, or give this pack its own serial or bus."
            )
        self._driver = PackDriver(
            pack, self._channel, simulated=simulated, listen_only=bool(self.value("listen_only"))
        )
        for warning in self._driver.decoder.warnings:
            self.get_logger().warning(f"{pack.path}: {warning}")
        self.stop_deadline_s = pack.file.longest_opening_s + 1.0
        self._record = bool(self.value("record_frames") or pack.file.device.record_frames)
        self._bus = make_bus(pack, interface, channel, host, port, fd=self._driver.uses_fd)
        self._description = self.publisher_for("pack_description")
        self._measurement = self.publisher_for("measurement")
        self.get_logger().debug(f"scans go to the wire as they are: {wire.MEASUREMENT.raw}")
        if self._record:
            self._can_rx, self._can_tx = self.publisher_for("can_rx"), self.publisher_for("can_tx")
        arbiter = self._driver.encoder.arbiter
        for name, read, take in (
            ("balancing_command", convert.balancing_command_from_msg, arbiter.set_balancing),
            ("thermal_command", convert.thermal_command_from_msg, arbiter.set_thermal),
            ("charge_command", convert.charge_command_from_msg, arbiter.set_charge),
        ):
            self.listen(name, self._taker(name, read, take))
        for name, quick, take in (
            ("state", wire.STATE, arbiter.set_state),
            ("contactor_command", wire.COMMAND, arbiter.set_contactors),
        ):
            self.listen(name, self._taker(name, quick.decode, take), raw=quick.raw)
        gateways = self._driver.gateway_inputs
        for name, read, take in (
            ("vehicle_inputs", convert.vehicle_inputs_from_msg, gateways.take_vehicle),
            ("actuator_feedback", convert.actuator_feedback_from_msg, gateways.take_actuators),
        ):
            if gateways.needs(name):
                self.listen(name, self._taker(name, read, take))
        self._monitor = self.create_client(RequestState, "request_state")
        self.every(0.05, self._watch)
        self.every(1.0, self._say)
        self._bus_message = self._late_polls = ""
        self._loop = BusLoop(
            self._driver,
            self._bus,
            monotonic_s=elapsed_s,
            awake_s=awake_s,
            stamp_s=self.now_s if simulated else time.time,
            wall_s=None if simulated else time.time,
            on_scan=self._publish,
            record=self._record,
        )

    def _taker(self, name: str, read: Any, take: Any) -> Any:
        def received(message: Any) -> None:
            try:
                refused = take(read(message), self.monotonic_s())
            except ValueError as error:
                # whoever publishes nonsense does not renew a command, and does not end the driver either
                refused = f"{name} refused: {error}."
            if self._loop is not None:
                self._loop.answer()
            self.dealt_with_scan()
            if refused:
                self.get_logger().error(refused, throttle_duration_sec=5.0)

        return received

    def activate(self) -> None:
        """Describe the pack, open the bus."""
        self._asked_to_open = False
        self._description.publish(describe(self.pack, self.header()))
        self._loop.start()

    def deactivate(self) -> None:
        """Send nothing more: the device opens by itself if it has not been told to."""
        if self._loop is not None:
            self._loop.stop()

    def release(self) -> None:
        """Close the bus."""
        if self._loop is not None:
            self._loop.stop()
        if self._claim is not None:
            self._claim.release()
        if self._monitor is not None:
            self.destroy_client(self._monitor)
            self._monitor = None

    def ready_to_stop(self) -> bool:
        """Ask the monitor to open at zero current, and go on serving until it has, as far as can be known."""
        if self._loop is None or not self._loop.running:
            return True
        if self._driver.contactors_open(self.monotonic_s()):
            return True
        if not self._asked_to_open and self._monitor is not None and self._monitor.service_is_ready():
            self._asked_to_open = True
            request = RequestState.Request(state=int(State.STANDBY), requester=self.get_name())
            self._monitor.call_async(request)
        return False

    # ---- in the bus thread

    def _publish(self, scan: PackMeasurement, received: list[Frame], sent: list[Frame]) -> None:
        self._measurement.publish(wire.MEASUREMENT.encode(scan, scan.stamp_s, self.pack.file.serial))
        if self._record:
            header = self.header(scan.stamp_s)
            assembler = self._driver.scan
            self._can_rx.publish(frames_to_msg(received, self._channel, header, assembler))
            self._can_tx.publish(frames_to_msg(sent, self._channel, header, assembler))

    # ---- in the executor

    def _watch(self) -> None:
        """End the process where the bus thread failed or hangs: half a driver is worse than none."""
        loop = self._loop
        if loop.failure is not None:
            raise RuntimeError("the bus thread failed") from loop.failure
        if loop.running and awake_s() - loop.turned_s > _LOOP_HANGS_S:
            raise RuntimeError(f"the bus thread has been standing for {_LOOP_HANGS_S:g} s")

    def _say(self) -> None:
        self.dealt_with_scan()  # also where no command comes
        state, text = self._driver.health.judge(self.monotonic_s())
        if text != self._bus_message:
            self._bus_message = text
            self.get_logger().info(f"bus OK: {self._channel}") if not text else self.get_logger().warning(
                text
            )
        received, rejected = self._driver.decoder.totals()
        level = 0 if state == BusState.OK else 1 if state == BusState.CONNECTING else 2
        polls, late = self._driver.poll_reports(self.monotonic_s())
        if late != self._late_polls:
            self._late_polls = late
            self.get_logger().warning(late) if late else self.get_logger().info("all polls are answered")
        self.diagnostic(
            max(level, 1) if late else level,
            text or late or "frames of the pack arrive",
            bus=self._channel,
            bus_state=state.name,
            frames_received=received,
            frames_rejected=rejected,
            **polls,
            **({"period_kept_by": self._bus.kept_by} if self._driver.encoder.kept_s else {}),
            contactors_commanded="closed" if self._driver.encoder.opened_since_s is None else "open",
        )


def main() -> None:
    """Run the node in its own process; an exception in it ends the process (the heartbeat stops)."""
    run_nodes([AfeDriverNode], fail_safe=True)
