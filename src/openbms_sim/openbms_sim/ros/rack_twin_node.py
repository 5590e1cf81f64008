"""The node ``rack_twin``: simulated packs in parallel on one DC bus, each on a CAN bus of its own."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rosgraph_msgs.msg import Clock

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.ros.convert import time_to_msg
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_sim.faults import InjectionError
from openbms_sim.rack import Rack
from openbms_sim.rack_setup import RackSettings, build_rack, open_rack_buses, parse_rack_injections
from openbms_sim.rack_thread import RackThread
from openbms_sim.ros.load_side import LoadSide, truth_message
from openbms_sim.twin_setup import REQUESTS, TwinNames


class RackTwinNode(BmsNode):
    """Runs the twins of a rack in one thread; ROS only steers and watches them."""

    def __init__(self, **kwargs: Any) -> None:
        self._hub = self._thread = None
        self._links: dict[str, Any] = {}
        self._known: dict[str, TwinNames] = {}
        super().__init__("rack_twin", **kwargs)
        self.add_on_set_parameters_callback(self._on_parameters)

    def declare(self) -> None:
        """Declare the parameters."""
        self.parameter("packs", [""], "Pack file of each pack: path or shipped name; one entry: for all")
        self.parameter("names", [""], "Namespace of each pack, relative to the node's own")
        self.parameter("channels", [""], "CAN channel of each pack")
        self.parameter("can_interface", "socketcand", "python-can interface: socketcand, socketcan, virtual")
        self.parameter("can_host", "127.0.0.1", "Address of the hub (socketcand)")
        self.parameter("can_port", 29536, "Port of the hub (socketcand); 0: any free one, with start_hub")
        self.parameter("start_hub", True, "Run the hub in this process (socketcand)")
        self.parameter("initial_soc", [0.8], "State of charge at the start, 0 to 1, of each pack or of all")
        self.parameter("capacity_factor", [1.0], "Capacity as a part of a new pack's, of each or of all")
        self.parameter(
            "resistance_factor", [1.0], "Resistance as a multiple of a new pack's, of each or of all"
        )
        self.parameter(
            "ambient_degc", [25.0], "Temperature of the surroundings [degC], of each pack or of all"
        )
        self.parameter(
            "load", "storage", "storage (a household with solar cells), drive (cycle in C-rate), none"
        )
        self.parameter("load_factor", 1.0, "The load times this; 0: no load")
        self.parameter("time_scale", 1.0, "Simulated seconds in a second; other than 1: publishes /clock")
        self.parameter("publish_clock", False, "Publish /clock at time_scale 1 too")
        self.parameter("seed", 1, "Of the spread between cells and of noise")
        self.parameter("request_on_start", "none", "The key: none, drive, charge or connected, until reached")
        self.parameter("stop_deadline_s", 6.0, "At the end, wait this long for contactors and other clients")
        self.parameter("injections", "", "What is broken: YAML or JSON list (see the README)", dynamic=True)

    def configure(self) -> None:
        """Build twins, buses and hub."""
        self.stop_deadline_s = self.value("stop_deadline_s")
        values = {item.name: self.value(item.name) for item in fields(RackSettings)}
        settings = RackSettings(**values)
        packs, channels = self._packs(len(settings.names))
        self._rack, self._known = build_rack(packs, settings)
        self._clock_out = (
            self.create_publisher(Clock, "/clock", 10)
            if settings.time_scale != 1.0 or self.value("publish_clock")
            else None
        )
        self._items = self._parse(self.value("injections"), ConfigError)
        self._hub, self._links = open_rack_buses(
            self.value("can_interface"),
            dict(zip(settings.names, channels, strict=True)),
            self.value("can_host"),
            self.value("can_port"),
            start_hub=self.value("start_hub"),
        )
        if self._hub is not None:
            self.get_logger().info(f"CAN hub (socketcand) on {self._hub.host}:{self._hub.port}")
        self._load = LoadSide(self, REQUESTS[settings.request_on_start])
        self._truth = {
            name: self.publisher_for("twin_truth", as_name=f"{name}/twin_truth") for name in settings.names
        }
        self._closed = dict.fromkeys(settings.names, b"")
        self._start_s = time.time()
        self.every(1.0, self._diagnose)

    def _packs(self, count: int) -> tuple[list[LoadedPack], list[str]]:
        paths, channels = list(self.value("packs")), list(self.value("channels"))
        if len(paths) == 1:
            paths *= count
        if len(paths) != count or len(channels) != count or not all((*paths, *channels)):
            raise ConfigError(
                f"rack_twin: names has {count} entries, packs {len(paths)}, channels {len(channels)}: each "
                "pack needs one of each."
            )
        if len(set(channels)) != count:
            raise ConfigError(f"rack_twin: channels is {channels}: each pack needs a channel of its own.")
        packs = [load_pack(path) for path in paths]
        self._pack = packs[0]  # headers and times are those of the first one
        return packs, channels

    def activate(self) -> None:
        """Begin to live."""
        self._thread = RackThread(self._rack, self._links, self._after_tick)
        self._thread.inject(self._items)
        self._thread.start(self._load.permission)
        self.diagnostic(0, "running")

    def deactivate(self) -> None:
        """Stop the devices: nothing is sent any more."""
        if self._thread is not None:
            self._thread.stop()

    def release(self) -> None:
        """Close buses and hub."""
        self.deactivate()
        for link in self._links.values():
            link.close()
        if self._hub is not None:
            self._hub.stop()
        self._links, self._hub = {}, None

    def ready_to_stop(self) -> bool:
        """The hardware lives on until all contactors are open and the others have left its hub."""
        if self._thread is None or self._thread.error:
            return True
        return self._rack.open and all(link.others == 0 for link in self._links.values())

    def _after_tick(self, rack: Rack) -> None:
        now_s = self.now_s()
        if self._clock_out is not None:
            now_s = self._start_s + next(iter(rack.twins.values())).elapsed_s
            self._clock_out.publish(Clock(clock=time_to_msg(now_s)))
        for name, twin in rack.twins.items():
            closed = twin.contactors.closed.tobytes()
            if twin.scan_ended or closed != self._closed[name]:
                self._closed[name] = closed  # a contact that moves is told at once
                self._truth[name].publish(truth_message(twin, self.header(now_s)))

    def _diagnose(self) -> None:
        if self._thread.error:
            self.diagnostic(2, f"the rack twin has stopped: {self._thread.error}")
            return
        trips = {name: twin.device.trip for name, twin in self._rack.twins.items() if twin.device.trip}
        self.diagnostic(
            1 if trips else 0,
            "; ".join(f"{name} tripped: {trip}" for name, trip in trips.items()) or "running",
            bus_v=round(self._rack.plant.link.voltage_v, 2),
            load_a=round(self._rack.plant.load_a, 2),
            late_ticks=self._thread.late_ticks,
        )

    def _parse(self, text: str, error_type: type[Exception]) -> dict[str, list[Any]]:
        try:
            return parse_rack_injections(text, self._known)
        except InjectionError as error:
            raise error_type(f"rack_twin: {error}") from error

    def _on_parameters(self, parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "injections" and self._known:
                try:
                    self._items = self._parse(str(parameter.value), InjectionError)
                except InjectionError as error:
                    return SetParametersResult(successful=False, reason=str(error))
                if self._thread is not None:
                    self._thread.inject(self._items)
        return SetParametersResult(successful=True)


def main() -> None:
    """Run the node."""
    run_nodes([RackTwinNode])
