"""The actuator driver: charger, pump, fan, heater and chiller that are not on the pack's own bus."""

from __future__ import annotations

import time
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.ros import convert, wire
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_drivers.actuators.actuator_file import load_actuators
from openbms_drivers.actuators.control import ActuatorControl
from openbms_drivers.actuators.feedback import joined
from openbms_drivers.actuators.unit import ActuatorUnit, UnitReport
from openbms_drivers.gateway.gateway_loop import GatewayLoop
from openbms_drivers.ros.gateway_bus import GatewayBus, declare_bus

__all__ = ["ActuatorDriverNode", "main"]

_PERIOD_S = 0.1
_VALID_FOR_S = 0.5
_TOLD_S = 0.2
"""After this time everybody on the bus has been told to stop."""


class ActuatorDriverNode(BmsNode):
    """Commands to frames, frames to ``actuator_feedback``."""

    fail_safe = True
    """Half a driver is worse than none: its process ends, and whoever hears nothing stops by itself."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("actuator_driver", **kwargs)
        self._units: list[ActuatorUnit] = []
        self._loops: list[GatewayLoop] = []
        self._buses: list[GatewayBus] = []
        self._stopping_s: float | None = None

    def declare(self) -> None:
        """Declare which actuators there are, and on which bus."""
        declare_bus(self, "actuator_interface")
        self.parameter(
            "actuators",
            [""],
            "Files of actuators, one a bus, such as "
            "package://openbms_drivers/devices/elcon/actuators.yaml; empty: none",
        )
        self.parameter("actuator_channels", [""], "Name of the bus of each file, such as can2")

    def configure(self) -> None:
        """Read the files; refuse what does not fit."""
        self.require_real_time()
        files = [name for name in self.value("actuators") if name]
        channels = [name for name in self.value("actuator_channels") if name]
        if len(files) != len(channels):
            raise ConfigError(
                f"{self.get_name()}: {len(files)} file(s) in actuators, but {len(channels)} bus(es) in "
                "actuator_channels: each file needs its bus."
            )
        self._control = ActuatorControl(self.pack.file)
        self._stopping_s = None
        for reference, channel in zip(files, channels, strict=True):
            self._add(reference, channel)
        chargers = [unit for unit in self._units if unit.file.charger is not None]
        if len(chargers) > 1:
            raise ConfigError(
                f"{self.get_name()}: {len(chargers)} files have a charger, and each would be told the whole "
                "limit. Put them into one file with count, or one of them into another system."
            )
        if not self._units:
            return
        control = self._control
        for name, read, take in (
            ("thermal_command", convert.thermal_command_from_msg, control.set_thermal),
            ("charge_command", convert.charge_command_from_msg, control.set_charge),
        ):
            self.listen(name, self._taker(name, read, take))
        for name, quick, take in (
            ("state", wire.STATE, control.set_state),
            ("limits", wire.LIMITS, control.set_limits),
        ):
            self.listen(name, self._taker(name, quick.decode, take), raw=quick.raw)
        if any(unit.file.charger is not None and unit.file.charger.follows_pilot for unit in chargers):
            read = convert.vehicle_inputs_from_msg
            self.listen("vehicle_inputs", self._taker("vehicle_inputs", read, control.set_vehicle))
        self._feedback = self.publisher_for("actuator_feedback")
        self._reports: list[UnitReport] = []
        self.every(_PERIOD_S, self._turn)
        self.every(1.0, self._say)

    def _add(self, reference: str, channel: str) -> None:
        gateway = load_actuators(reference)
        unit = ActuatorUnit(gateway, channel, self._control)
        for warning in unit.peer.decoder.warnings:
            self.get_logger().warning(f"{gateway.path}: {warning}")
        named = [name for other in self._units for name in other.file.actuators]
        for name in unit.file.actuators:
            if name in named:
                raise ConfigError(
                    f"{gateway.path}: actuators.{name}: another file has '{name}' as well. Rename one."
                )
            if name not in self.pack.file.topology.actuators:
                self.get_logger().warning(
                    f"{gateway.path}: actuators.{name} is not in topology.actuators of "
                    f"{self.pack.path.name}: the safety monitor does not watch it"
                )
        bit_rate = gateway.file.device.bitrate_bit_per_s
        bus = GatewayBus(self, "actuator_interface", channel, bit_rate, fd=unit.peer.uses_fd)
        unit.peer.health.name = bus.name
        self._buses.append(bus)
        self._units.append(unit)
        self._loops.append(
            GatewayLoop(
                unit.peer,
                bus.bus,
                monotonic_s=elapsed_s,
                stamp_s=time.time,
                wall_s=None if self.value("use_sim_time") else time.time,
                farewell=unit.farewell,
            )
        )

    def _taker(self, name: str, read: Any, take: Any) -> Any:
        def received(message: Any) -> None:
            try:
                take(read(message), self.monotonic_s())
            except ValueError as error:  # nonsense renews no command, and does not end the driver
                self.get_logger().error(f"{name} refused: {error}", throttle_duration_sec=5.0)

        return received

    def activate(self) -> None:
        """Open the buses."""
        self._control.stopping, self._stopping_s = False, None
        if not self._loops:
            self.diagnostic(0, "no actuators: no file of them is named (parameter actuators)")
        for loop in self._loops:
            loop.start()

    def deactivate(self) -> None:
        """Tell everybody to stop, then send nothing more."""
        for loop in self._loops:
            loop.stop()

    def ready_to_stop(self) -> bool:
        """Tell charger and heater to stop, and see that it was sent."""
        self._control.stopping = True
        if self._stopping_s is None:
            self._stopping_s = self.monotonic_s()
        return not self._loops or self.monotonic_s() - self._stopping_s > _TOLD_S

    def release(self) -> None:
        """Close the buses."""
        self.deactivate()
        for bus in self._buses:
            bus.release()
        self._units, self._loops, self._buses = [], [], []

    def _turn(self) -> None:
        for loop in self._loops:
            loop.check()
        now_s = self.monotonic_s()
        self._reports = [unit.report(now_s) for unit in self._units]
        feedback = joined(self._reports, _VALID_FOR_S)
        self._feedback.publish(convert.actuator_feedback_to_msg(feedback, self.header()))

    def _say(self) -> None:
        now_s = self.monotonic_s()
        judged = [unit.peer.health.judge(now_s) for unit in self._units]
        problems = [problem for report in self._reports for problem in report.problems]
        texts = [*(text for _, text in judged if text), *(problem.text for problem in problems)]
        totals = [unit.peer.decoder.totals() for unit in self._units]
        charge = next((report.charge for report in self._reports if report.has_charger), None)
        self.diagnostic(
            2 if any(problem.severe for problem in problems) else 1 if texts else 0,
            " ".join(texts) or "the actuators are heard and obey",
            buses=", ".join(
                f"{bus.name} {state.name}" for bus, (state, _) in zip(self._buses, judged, strict=True)
            ),
            frames_received=sum(received for received, _ in totals),
            frames_rejected=sum(rejected for _, rejected in totals),
            charge="" if charge is None else f"{charge.current_a:.1f} A at {charge.voltage_v:.1f} V at most",
            charge_bound_by="" if charge is None else charge.reason,
        )


def main() -> None:
    """Run the node in its own process."""
    run_nodes([ActuatorDriverNode], fail_safe=True)
