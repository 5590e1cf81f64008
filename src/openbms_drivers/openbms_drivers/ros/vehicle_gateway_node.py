"""The vehicle gateway: what the pack may do to the vehicle's bus, what the vehicle says and asks for back."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from openbms_core.ros import convert, wire
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.ros.state_folder import state_folder
from openbms_core.types import State, VehicleInputs
from openbms_drivers.gateway.gateway_loop import GatewayLoop
from openbms_drivers.gateway.peer import Peer
from openbms_drivers.ros.gateway_bus import GatewayBus, declare_bus
from openbms_drivers.vehicle.crash import CrashLatch
from openbms_drivers.vehicle.crash_file import CrashFile
from openbms_drivers.vehicle.inputs import read_inputs, stop_said, wanted_state
from openbms_drivers.vehicle.outputs import VehicleOutputs
from openbms_drivers.vehicle.requests import RequestKeeper
from openbms_drivers.vehicle.vehicle_file import load_vehicle, lost_after_s
from openbms_msgs.srv import RequestState

__all__ = ["VehicleGatewayNode", "main"]

_LOOK_S = 0.02
"""What changed at the vehicle is published at once, that is within this time."""
_PERIOD_S = 0.05
_VALID_FOR_S = 0.3
_ENDED = (State.INIT, State.STANDBY, State.FAULT)


class VehicleGatewayNode(BmsNode):
    """Topics to frames, frames to ``vehicle_inputs`` and to requests."""

    fail_safe = True
    """Half a gateway is worse than none: its process ends and is started again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("vehicle_gateway", **kwargs)
        self._loop: GatewayLoop | None = None
        self._bus: GatewayBus | None = None
        self._monitor: Any = None

    def declare(self) -> None:
        """Declare where the vehicle's bus is and what is on it."""
        declare_bus(self, "vehicle_interface")
        self.parameter("vehicle_channel", "", "Name of the vehicle's bus, such as can1; empty: there is none")
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
        gateway = load_vehicle(self.value("vehicle"))
        self._requests = RequestKeeper(lost_after_s(gateway))
        self._outputs = VehicleOutputs()
        channel = self.value("vehicle_channel")
        self._peer = Peer(gateway, channel, self._outputs.values, caught=("crash",))
        for warning in self._peer.decoder.warnings:
            self.get_logger().warning(f"{gateway.path}: {warning}")
        if not channel:
            return
        self._crash_file = CrashFile(
            Path(self.value("crash_file") or state_folder(self.pack.file.serial) / "crash")
        )
        self._latch = CrashLatch(latched=self._crash_file.held)
        self.stop_deadline_s = self.pack.file.longest_opening_s + 1.0
        bit_rate = gateway.file.device.bitrate_bit_per_s
        self._bus = GatewayBus(self, "vehicle_interface", channel, bit_rate, fd=self._peer.uses_fd)
        self._peer.health.name = self._bus.name
        self._listen()
        self._inputs, self._said, self._said_s = self.publisher_for("vehicle_inputs"), None, -math.inf
        self._monitor = self.create_client(RequestState, "request_state")
        self._loop = GatewayLoop(
            self._peer,
            self._bus.bus,
            monotonic_s=elapsed_s,
            stamp_s=time.time,
            wall_s=None if self.value("use_sim_time") else time.time,
        )
        self._answer_text = self._reason = ""
        self.every(_LOOK_S, self._turn)
        self.every(1.0, self._say)

    def _listen(self) -> None:
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

    def _taker(self, name: str, read: Any, take: Any) -> Any:
        def received(message: Any) -> None:
            try:
                take(read(message), self.monotonic_s())
            except ValueError as error:  # nonsense renews nothing, and does not end the gateway
                self.get_logger().error(f"{name} refused: {error}", throttle_duration_sec=5.0)

        return received

    def activate(self) -> None:
        """Open the bus."""
        if self._loop is None:
            self.diagnostic(0, "no vehicle: no bus of one is named (parameter vehicle_channel)")
        else:
            self._loop.start()

    def deactivate(self) -> None:
        """Send nothing more."""
        if self._loop is not None:
            self._loop.stop()

    def ready_to_stop(self) -> bool:
        """Go on until the pack has opened: the vehicle must hear of the zero current that is requested."""
        status = None if self._loop is None else self._outputs.state(self.monotonic_s())
        return status is None or status.state in _ENDED

    def release(self) -> None:
        """Close the bus."""
        self.deactivate()
        if self._bus is not None:
            self._bus.release()
        if self._monitor is not None:
            self.destroy_client(self._monitor)
        self._loop = self._bus = self._monitor = None

    def _turn(self) -> None:
        """Say what the vehicle says, and ask the monitor for what it asks for."""
        self._loop.check()
        now_s = self.monotonic_s()
        # what was caught first: a frame that comes in between is caught the next time
        crash_seen = "crash" in self._peer.caught_since()
        readings = self._peer.readings(now_s)
        stop = stop_said(readings, self._latch, crash_seen=crash_seen)
        if stop.latch_changed:
            self._keep_crash(held=self._latch.latched)
        self._outputs.crash_latched = self._latch.latched
        inputs = read_inputs(readings, self._latch, _VALID_FOR_S)
        if _switches(inputs) != self._said or now_s - self._said_s >= _PERIOD_S:
            self._said, self._said_s = _switches(inputs), now_s
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

    def _keep_crash(self, *, held: bool) -> None:
        if held:
            self.get_logger().error("the vehicle says CRASH: held until the key was off and on")
        else:
            self.get_logger().info("the crash is not held any more: key off and on")
        problem = self._crash_file.keep(held=held)
        if problem:
            self.get_logger().error(problem)

    def _say(self) -> None:
        state, text = self._peer.health.judge(self.monotonic_s())
        received, rejected = self._peer.decoder.totals()
        held = self._latch.latched
        self.diagnostic(
            2 if held else 0 if not text else 1,
            "a crash is held: key off and on ends it" if held else text or "the vehicle is heard",
            bus=self._bus.name,
            bus_state=state.name,
            frames_received=received,
            frames_rejected=rejected,
            inputs=self._reason,
            request=self._answer_text,
            not_sent=", ".join(f"{name} ({value})" for name, value in self._peer.sender.withheld.items()),
        )


def _switches(inputs: VehicleInputs) -> tuple[int, ...]:
    return (
        inputs.ignition, inputs.interlock, inputs.emergency_stop, inputs.charging_plug, inputs.wanted_state,
        int(inputs.crash_latched),
    )  # fmt: skip


def _faults(message: Any) -> list[tuple[str, int, int]]:
    return [(fault.id, fault.level, fault.state) for fault in message.faults]


def main() -> None:
    """Run the node in its own process."""
    run_nodes([VehicleGatewayNode], fail_safe=True)
