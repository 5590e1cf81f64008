"""The vehicle gateway: what the pack may do to the vehicle's bus, what the vehicle says and asks for back."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.ros import convert, wire
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.ros.state_folder import state_folder
from openbms_core.types import State
from openbms_drivers.bus import Bus
from openbms_drivers.gateway.gateway_file import load_gateway
from openbms_drivers.gateway.gateway_loop import GatewayLoop
from openbms_drivers.gateway.peer import Peer
from openbms_drivers.vehicle.crash import CrashLatch
from openbms_drivers.vehicle.inputs import INPUT_QUANTITIES, read_inputs, stop_said, wanted_state
from openbms_drivers.vehicle.outputs import OUTPUT_VALUES, VehicleOutputs
from openbms_drivers.vehicle.requests import RequestKeeper
from openbms_msgs.srv import RequestState

__all__ = ["VehicleGatewayNode", "main"]

_PERIOD_S = 0.05
_VALID_FOR_S = 0.3


class VehicleGatewayNode(BmsNode):
    """Topics to frames, frames to ``vehicle_inputs`` and to requests."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("vehicle_gateway", **kwargs)
        self._loop: GatewayLoop | None = None
        self._monitor: Any = None

    def declare(self) -> None:
        """Declare where the vehicle's bus is and what is on it."""
        self.parameter("can_interface", "socketcan", "Interface of python-can: socketcan, socketcand …")
        self.parameter("can_channel", "can1", "Name of the vehicle's bus")
        self.parameter("can_host", "127.0.0.1", "Computer of the socketcand server")
        self.parameter("can_port", 29536, "Port of the socketcand server")
        self.parameter(
            "vehicle",
            "package://openbms_drivers/devices/vehicle_vcu/gateway.yaml",
            "Gateway file: the VCU's DBC and which of its signals is what",
        )
        self.parameter(
            "crash_file", "", "Exists while a crash is held; empty: $XDG_STATE_HOME/openbms/<serial>/crash"
        )

    def configure(self) -> None:
        """Read the gateway file; refuse what does not fit."""
        self.require_real_time()
        gateway = load_gateway(self.value("vehicle"), INPUT_QUANTITIES, OUTPUT_VALUES)
        lost_after_s = gateway.file.settings.get("vehicle_lost_after_s", 1.0)
        if not isinstance(lost_after_s, float) or lost_after_s < 0.0:
            raise ConfigError(f"{gateway.path}: settings.vehicle_lost_after_s must be seconds, such as 1.0.")
        self._crash_file = Path(self.value("crash_file") or state_folder(self.pack.file.serial) / "crash")
        self._latch = CrashLatch(latched=self._crash_file.exists())
        self._outputs = VehicleOutputs()
        self._requests = RequestKeeper(lost_after_s or math.inf)
        interface, channel = self.value("can_interface"), self.value("can_channel")
        self._channel = f"{interface}:{channel}"
        self._peer = Peer(gateway, self._channel, self._outputs.values)
        for warning in self._peer.decoder.warnings:
            self.get_logger().warning(f"{gateway.path}: {warning}")
        self._bus = Bus(
            interface,
            channel,
            self.value("can_host"),
            self.value("can_port"),
            gateway.file.device.bitrate_bit_per_s,
            fd=self._peer.uses_fd,
        )
        out = self._outputs
        for name, read, take in (
            ("soc", convert.state_of_charge_from_msg, out.set_soc),
            ("soh", convert.state_of_health_from_msg, out.set_soh),
            ("faults", _faults, out.set_faults),
        ):
            self.listen(name, self._taker(name, read, take))
        for name, quick, take in (
            ("limits", wire.LIMITS, out.set_limits),
            ("state", wire.STATE, out.set_state),
            ("measurement", wire.MEASUREMENT, out.set_scan),
        ):
            self.listen(name, self._taker(name, quick.decode, take), raw=quick.raw)
        self._inputs = self.publisher_for("vehicle_inputs")
        self._monitor = self.create_client(RequestState, "request_state")
        self._loop = GatewayLoop(
            self._peer,
            self._bus,
            monotonic_s=elapsed_s,
            stamp_s=time.time,
            wall_s=None if self.value("use_sim_time") else time.time,
        )
        self._answer_text = ""
        self.every(_PERIOD_S, self._turn)
        self.every(1.0, self._say)

    def _taker(self, name: str, read: Any, take: Any) -> Any:
        def received(message: Any) -> None:
            try:
                take(read(message), self.monotonic_s())
            except ValueError as error:  # nonsense renews nothing, and does not end the gateway
                self.get_logger().error(f"{name} refused: {error}", throttle_duration_sec=5.0)

        return received

    def activate(self) -> None:
        """Open the bus."""
        self._loop.start()

    def deactivate(self) -> None:
        """Send nothing more."""
        if self._loop is not None:
            self._loop.stop()

    def release(self) -> None:
        """Close the bus."""
        self.deactivate()
        if self._monitor is not None:
            self.destroy_client(self._monitor)
            self._monitor = None

    def _turn(self) -> None:
        """Say what the vehicle says, and ask the monitor for what it asks for."""
        if self._loop.failure is not None:
            raise RuntimeError("the bus thread failed") from self._loop.failure
        now_s = self.monotonic_s()
        readings = self._peer.readings(now_s)
        stop = stop_said(readings, self._latch)
        if stop.latch_changed:
            self._keep_crash()
        self._outputs.crash_latched = self._latch.latched
        inputs = read_inputs(readings, self._latch, _VALID_FOR_S)
        self._inputs.publish(convert.vehicle_inputs_to_msg(inputs, self.header()))
        status = self._outputs.state(now_s)
        wanted, _ = wanted_state(readings)
        target = self._requests.step(wanted, None if status is None else status.state, now_s, stop=stop.now)
        if target is not None and self._monitor.service_is_ready():
            request = RequestState.Request(state=int(target), requester=self.get_name())
            self._monitor.call_async(request).add_done_callback(lambda done: self._answered(target, done))
        self._outputs.request_answer = int(self._requests.answer)
        self._reason = inputs.reason

    def _answered(self, target: State, done: Any) -> None:
        answer = done.result()
        if answer is None:
            return
        self._requests.answered(target, bool(answer.accepted))
        self._answer_text = f"{target.name} {'accepted' if answer.accepted else 'refused'}: {answer.reason}"
        self.get_logger().info(self._answer_text)

    def _keep_crash(self) -> None:
        held = self._latch.latched
        self.get_logger().error("the vehicle says CRASH: held") if held else self.get_logger().info(
            "the crash is not held any more: key off and on"
        )
        try:
            if held:
                self._crash_file.parent.mkdir(parents=True, exist_ok=True)
                self._crash_file.touch()
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._crash_file.unlink()
        except OSError as error:
            self.get_logger().error(f"the crash cannot be kept over a restart: {error}")

    def _say(self) -> None:
        state, text = self._peer.health.judge(self.monotonic_s())
        withheld = ", ".join(f"{name} ({value})" for name, value in self._peer.sender.withheld.items())
        received, rejected = self._peer.decoder.totals()
        held = self._latch.latched
        self.diagnostic(
            2 if held else 0 if not text else 1,
            "a crash is held: key off and on ends it" if held else text or "the vehicle is heard",
            bus=self._channel,
            bus_state=state.name,
            frames_received=received,
            frames_rejected=rejected,
            inputs=self._reason if hasattr(self, "_reason") else "",
            request=self._answer_text,
            not_sent=withheld,
        )


def _faults(message: Any) -> list[tuple[str, int, int]]:
    return [(fault.id, fault.level, fault.state) for fault in message.faults]


def main() -> None:
    """Run the node in its own process."""
    run_nodes([VehicleGatewayNode])
