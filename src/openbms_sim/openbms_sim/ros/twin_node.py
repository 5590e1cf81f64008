"""The node ``twin``: a simulated pack on a CAN bus, and the vehicle around it."""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rosgraph_msgs.msg import Clock

from openbms_core.config_file import ConfigError
from openbms_core.ros.convert import time_to_msg
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_sim.bus_thread import BusThread
from openbms_sim.faults import InjectionError, check_source, parse_injections
from openbms_sim.ros.load_side import LoadSide, truth_message
from openbms_sim.twin import DigitalTwin
from openbms_sim.twin_setup import REQUESTS, TwinNames, TwinSettings, build_twin, open_bus


class TwinNode(BmsNode):
    """Runs the twin in a thread of its own; ROS only steers and watches it."""

    def __init__(self, **kwargs: Any) -> None:
        self._hub = self._link = self._thread = None
        self._names: TwinNames | None = None
        self._closed = b""
        super().__init__("twin", **kwargs)
        self.add_on_set_parameters_callback(self._on_parameters)

    def declare(self) -> None:
        """Declare the parameters."""
        self.parameter("can_interface", "socketcand", "python-can interface: socketcand, socketcan, virtual")
        self.parameter("can_channel", "can0", "Name of the bus")
        self.parameter("can_host", "127.0.0.1", "Address of the hub (socketcand)")
        self.parameter("can_port", 29536, "Port of the hub (socketcand); 0: any free one, with start_hub")
        self.parameter("start_hub", True, "Run the hub in this process (socketcand)")
        self.parameter(
            "source", "auto", "plant (own physics), replay, auto: replay where there is a fitting one"
        )
        self.parameter(
            "replay_file", "", "Recorded test (Parquet, CSV); empty: the shipped drive cycle (NMC)"
        )
        self.parameter("replay_soc0", -1.0, "SoC at the start of the test; negative: as the file says")
        self.parameter("replay_capacity_ah", -1.0, "Capacity of its cell [Ah]; negative: as the file says")
        self.parameter("time_scale", 1.0, "Simulated seconds in a second; other than 1: publishes /clock")
        self.parameter("publish_clock", False, "Publish /clock at time_scale 1 too")
        self.parameter("seed", 1, "Of the spread between cells and of noise")
        self.parameter("initial_soc", 0.8, "State of charge at the start, 0 to 1 (plant)")
        self.parameter("ambient_degc", 25.0, "Temperature of the surroundings [degC] (plant)")
        self.parameter("load", "drive", "drive (recorded cycle in C-rate), storage (household), none (plant)")
        self.parameter("load_factor", 1.0, "The load times this (plant); 0: no load")
        self.parameter("request_on_start", "none", "The key: none, drive, charge or connected, until reached")
        self.parameter("stop_deadline_s", 6.0, "At the end, wait this long for contactors and other clients")
        self.parameter("injections", "", "What is broken: YAML or JSON list (see the README)", dynamic=True)

    def configure(self) -> None:
        """Build twin, bus and hub."""
        self.stop_deadline_s = self.value("stop_deadline_s")
        settings = TwinSettings(**{item.name: self.value(item.name) for item in fields(TwinSettings)})
        self._twin, self._names = build_twin(self.pack, settings)
        self.get_logger().info(f"{self.pack.file.name}, {self._names.cells} cells: {self._twin.source.name}")
        self._clock_publisher = (
            self.create_publisher(Clock, "/clock", 10)
            if settings.time_scale != 1.0 or self.value("publish_clock")
            else None
        )
        self._items = self._parse(self.value("injections"), ConfigError)
        self._hub, self._link = open_bus(
            self.value("can_interface"),
            self.value("can_channel"),
            self.value("can_host"),
            self.value("can_port"),
            start_hub=self.value("start_hub"),
        )
        if self._hub is not None:
            self.get_logger().info(f"CAN hub (socketcand) on {self._hub.host}:{self._hub.port}")
        self._load = LoadSide(self, REQUESTS[settings.request_on_start])
        self._truth = self.publisher_for("twin_truth")
        self._start_s = time.time()
        self.every(1.0, self._diagnose)

    def activate(self) -> None:
        """Begin to live."""
        self._thread = BusThread(self._twin, self._link, self._after_tick)
        self._thread.inject(self._items)
        self._thread.start(self._load.permission)
        self.diagnostic(0, "running")

    def deactivate(self) -> None:
        """Stop the device: nothing is sent any more."""
        if self._thread is not None:
            self._thread.stop()

    def release(self) -> None:
        """Close bus and hub."""
        self.deactivate()
        if self._link is not None:
            self._link.close()
        if self._hub is not None:
            self._hub.stop()
        self._link = self._hub = None

    def ready_to_stop(self) -> bool:
        """The hardware lives on until its contactors are open and the others have left its hub."""
        if self._thread is None or self._thread.error:
            return True
        return self._twin.open and self._link.others == 0

    # ---- what others see ----------------------------------------------------------------------------

    def _after_tick(self, twin: DigitalTwin) -> None:
        now_s = self.now_s()
        if self._clock_publisher is not None:
            now_s = self._start_s + twin.elapsed_s + twin.clock_step_s
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=time_to_msg(now_s)))
        closed = twin.contactors.closed.tobytes()
        if not twin.scan_ended and closed == self._closed:
            return
        self._closed = closed  # a contact that moves is told at once
        self._truth.publish(truth_message(twin, self.header(now_s)))

    def _diagnose(self) -> None:
        if self._thread.error:
            self.diagnostic(2, f"the twin has stopped: {self._thread.error}")
            return
        text = f"device tripped: {self._twin.device.trip}" if self._twin.device.trip else "running"
        self.diagnostic(
            1 if self._twin.device.trip else 0,
            text,
            simulated_s=round(self._twin.elapsed_s, 1),
            frames_sent=self._thread.frames_sent,
            late_ticks=self._thread.late_ticks,
            command_frames_refused=self._twin.device.rejected,
            other_clients=self._link.others,
        )

    # ---- injections ---------------------------------------------------------------------------------

    def _parse(self, text: str, error_type: type[Exception]) -> list[Any]:
        names = self._names
        try:
            items = parse_injections(text, **asdict(names))
            check_source(items, self._twin.source.name)
            if self._clock_publisher is None and any(item.fault == "clock_step" for item in items):
                raise InjectionError(
                    "clock_step needs the twin's /clock: start the system with use_sim_time and the twin's "
                    "publish_clock."
                )
            return items
        except InjectionError as error:
            raise error_type(f"twin: {error}") from error

    def _on_parameters(self, parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "injections" and self._names is not None:
                try:
                    self._items = self._parse(str(parameter.value), InjectionError)
                    if self._thread is not None:
                        self._thread.inject(self._items)
                except InjectionError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def main() -> None:
    """Run the node."""
    run_nodes([TwinNode])
