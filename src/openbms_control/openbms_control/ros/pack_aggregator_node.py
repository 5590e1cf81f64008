"""Several packs as one battery, on the topics of a single one. See openbms_control/README.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from std_msgs.msg import Header

from openbms_control.aggregation.aggregator import Aggregate, AggregateSettings, Aggregator
from openbms_control.aggregation.conductor import STOPS_ALL, Order
from openbms_control.aggregation.joining import JoinSettings
from openbms_control.aggregation.pack_view import PackFacts, PackView
from openbms_control.battery_state import battery_state
from openbms_control.ros.aggregate_messages import describe_aggregate, faults_to_msg
from openbms_control.ros.battery_state_node import facts_from_msg, values_to_msg
from openbms_control.ros.pack_inputs import PackInputs
from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_core.ros import wire
from openbms_core.ros.convert import state_of_charge_to_msg, state_of_health_to_msg, time_to_msg
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import State
from openbms_msgs.srv import ClearFaults, RequestState

__all__ = ["PackAggregatorNode", "main"]

_SOC_PERIOD_S, _SOH_PERIOD_S, _SLOW_PERIOD_S = 0.5, 5.0, 1.0


class PackAggregatorNode(BmsNode):
    """What the packs say comes in from below its namespace; what they are together goes out in its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("pack_aggregator", **kwargs)

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter("packs", [""], "Pack file of each pack; the starter tells them")
        self.parameter("names", [""], "Namespace of each pack, below that of this node")
        self.parameter("connection", "parallel", "How the packs are connected: parallel or series")
        self.parameter("serial", "", "Serial number of the whole; empty: those of the packs, joined with +")
        self.parameter("name", "", "Name of the whole; empty: its namespace")
        self.parameter("period_s", 0.1, "Limits, state and measurement are published this often [s]")
        self.parameter("share_margin", 0.05, "Part by which a pack's share may be larger than it is thought")
        self.parameter(
            "join_voltage_difference_max_v",
            0.0,
            "A pack joins within this of the bus [V]; 0: 0.9 of what its own monitor allows",
        )
        self.parameter(
            "join_current_max_a",
            0.0,
            "Largest current between packs at joining [A]; 0: 0.8 of break_current_a",
        )
        self.parameter("join_settle_s", 1.0, "Both must hold for this long [s]")
        self.parameter("stops_all", list(STOPS_ALL), "Faults of one pack that open all")
        self.parameter(
            "global_topics", ["/battery_state", "/battery_status"], "BatteryState beside battery_state"
        )
        self.parameter("location", "", "Slot or place of the whole; empty: the namespace")

    def configure(self) -> None:
        """Build the core and listen to every pack."""
        files = [one for one in self.value("packs") if one]
        names = [one for one in self.value("names") if one]
        if len(files) != len(names):
            raise ConfigError(
                f"pack_aggregator: {len(files)} pack files (packs) and {len(names)} namespaces (names): "
                "give one "
                "of each for every pack."
            )
        facts = [PackFacts.of(name, load_pack(file)) for name, file in zip(names, files, strict=True)]
        self._core = Aggregator(facts, self._settings())
        self._serial = self.value("serial") or "+".join(one.serial for one in facts)
        self._inputs = [PackInputs(self, one, self._urgent) for one in facts]
        self._published_as = {
            name: self.publisher_for(name)
            for name in ("pack_description", "measurement", "limits", "state", "faults", "soc", "soh")
        }
        self._battery = [
            self.publisher_for("battery_state", as_name=name)
            for name in dict.fromkeys(["battery_state", *(one for one in self.value("global_topics") if one)])
        ]
        self._described: Any = None
        self._said_faults: Any = None
        self._due: dict[str, float] = {}
        self._services_made = [
            self.create_service(RequestState, "request_state", self._on_request),
            self.create_service(ClearFaults, "clear_faults", self._on_clear),
        ]
        self.every(self.value("period_s"), self._tick)

    def _settings(self) -> AggregateSettings:
        connection = self.value("connection")
        if connection not in ("parallel", "series"):
            raise ConfigError(
                f"pack_aggregator: parameter connection is '{connection}'; give parallel or series."
            )
        for name, least in (("period_s", 0.02), ("share_margin", 0.0), ("join_settle_s", 0.0)):
            if not least <= self.value(name) <= 1e4:
                raise ConfigError(
                    f"pack_aggregator: parameter {name} is {self.value(name):g}; give {least:g} or more."
                )
        if self.value("period_s") > 0.2:
            raise ConfigError(
                "pack_aggregator: parameter period_s is above 0.2: limits would expire between."
            )
        window, current = self.value("join_voltage_difference_max_v"), self.value("join_current_max_a")
        return AggregateSettings(
            series=connection == "series",
            margin=self.value("share_margin"),
            join=JoinSettings(window or math.nan, current or math.nan, self.value("join_settle_s")),
            stops_all=[one for one in self.value("stops_all") if one],
        )

    def release(self) -> None:
        """Take services and clients away."""
        for service in getattr(self, "_services_made", []):
            self.destroy_service(service)
        for one in getattr(self, "_inputs", []):
            one.release()
        self._services_made, self._inputs = [], []

    # ---- what comes in ----

    def _urgent(self) -> None:
        now_s = self.monotonic_s()
        self._step(now_s, [one.view(now_s, whole=False) for one in self._inputs])

    def _on_request(
        self, request: RequestState.Request, response: RequestState.Response
    ) -> RequestState.Response:
        if not self.acting:
            response.reason = "The aggregator is not active."
            return response
        known = request.state in (State.STANDBY, State.DRIVE, State.CHARGE, State.CONNECTED)
        now_s = self.monotonic_s()
        views = [one.view(now_s) for one in self._inputs]
        answer = self._core.request(State(request.state) if known else State.INIT, views)
        self.get_logger().info(f"state {request.state} requested by '{request.requester}': {answer.reason}")
        response.accepted, response.reason = answer.accepted, answer.reason
        response.state = int(self._step(now_s, views).status.state)
        return response

    def _on_clear(self, request: ClearFaults.Request, response: ClearFaults.Response) -> ClearFaults.Response:
        """Pass it on to every pack; what each has cleared shows on its ``faults``."""
        ready = [one for one in self._inputs if one.clearing.service_is_ready()]
        for one in ready:
            one.clearing.call_async(ClearFaults.Request(requester=request.requester, ids=list(request.ids)))
        response.accepted = bool(ready)
        names = ", ".join(one.facts.name for one in ready) or "nobody"
        response.reason = f"Passed on to {names}; what each pack has cleared shows on faults."
        return response

    # ---- what goes out ----

    def _is_due(self, what: str, period_s: float, now_s: float) -> bool:
        if now_s < self._due.get(what, -math.inf):
            return False
        self._due[what] = now_s + period_s - 0.4 * self.value("period_s")
        return True

    def _header(self) -> Header:
        return Header(stamp=time_to_msg(self.now_s()), frame_id=self._serial)

    def _tick(self) -> None:
        now_s, stamp_s = self.monotonic_s(), self.now_s()
        with_soc = self._is_due("soc", _SOC_PERIOD_S, now_s)
        views = [one.view(now_s, whole=with_soc) for one in self._inputs]
        result, out = self._step(now_s, views), self._published_as
        scan = self._core.scan(views, stamp_s)
        out["measurement"].publish(wire.MEASUREMENT.encode(scan, scan.stamp_s, self._serial))
        if with_soc:
            self._soc = self._core.soc(views, now_s, stamp_s)
            out["soc"].publish(state_of_charge_to_msg(self._soc, self._serial))
        soh = self._core.soh(views, stamp_s) if self._is_due("soh", _SOH_PERIOD_S, now_s) else None
        if soh is not None:
            out["soh"].publish(state_of_health_to_msg(soh, self._serial))
        faults, unwatched = self._core.faults(views)
        said = [(fault.id, fault.level, fault.state, fault.explanation) for fault in faults]
        if self._is_due("slow", _SLOW_PERIOD_S, now_s):
            self._describe()
            facts = facts_from_msg(self._described) if self._described is not None else None
            known = [(fault.id, fault.level) for fault in faults if fault.state > 0]
            location = self.value("location") or self.get_namespace().strip("/")
            values = battery_state(facts, scan, self._soc, result.status.state, known, location)
            if math.isfinite(scan.link_voltage_v):
                values.voltage = scan.link_voltage_v  # packs that are off the bus have another one
            for publisher in self._battery:
                publisher.publish(values_to_msg(values, self._header()))
            self._said_faults = None
            self._say(result)
        if said != self._said_faults:
            self._said_faults = said
            out["faults"].publish(faults_to_msg(faults, unwatched, self._header()))

    def _step(self, now_s: float, views: Sequence[PackView]) -> Aggregate:
        result = self._core.step(views, now_s)
        stamp_s, out = self.now_s(), self._published_as
        out["limits"].publish(wire.LIMITS.encode(result.limits, stamp_s, self._serial))
        out["state"].publish(wire.STATE.encode(result.status, stamp_s, self._serial))
        for order in result.orders:
            self.get_logger().info(f"{order.pack}: {order.state.name} is asked for")
            inputs = next(one for one in self._inputs if one.facts.name == order.pack)
            inputs.ask(order, self._answered)
        return result

    def _answered(self, order: Order, accepted: bool, reason: str) -> None:
        if not accepted:
            self.get_logger().warning(f"{order.pack}: {order.state.name} refused: {reason}")
        self._core.answered(order, accepted, reason, self.monotonic_s())

    def _describe(self) -> None:
        parts = [one.description for one in self._inputs]
        if any(part is None for part in parts):
            return
        name = self.value("name") or self.get_namespace().strip("/").replace("/", "_")
        made = describe_aggregate(parts, self._header(), name=name, series=self._core.series)
        if self._described is None or made.config_hash != self._described.config_hash:
            self._described = made
            self._published_as["pack_description"].publish(made)

    def _say(self, result: Aggregate) -> None:
        status, limits = result.status, result.limits
        silent = [one.facts.name for one in self._inputs if one.description is None]
        self.diagnostic(
            1 if result.out or silent else 0,
            f"{status.state.name}: {status.explanation}",
            reason=status.reason,
            charge_limit_a=f"{limits.charge_current_a:.1f} ({limits.charge_reason})",
            discharge_limit_a=f"{limits.discharge_current_a:.1f} ({limits.discharge_reason})",
            shares=", ".join(
                f"{one.facts.name} {share:.3f}"
                for one, share in zip(self._inputs, result.division.share, strict=True)
            ),
            never_heard=", ".join(silent),
        )


def main() -> None:
    """Run the node alone."""
    run_nodes([PackAggregatorNode])


if __name__ == "__main__":
    main()
