"""The pack as sensor_msgs/BatteryState, for Nav2 and every other stack. See openbms_control/README.md."""

from __future__ import annotations

import math
from array import array
from dataclasses import fields
from typing import Any

import numpy as np
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Header

from openbms_control.battery_state import BatteryFacts, BatteryValues, battery_state
from openbms_control.ros.fault_messages import faults_from_msg
from openbms_core.ros.convert import (
    measurement_from_msg,
    state_of_charge_from_msg,
    time_from_msg,
    time_to_msg,
)
from openbms_core.ros.node_base import BmsNode, Freshness, run_nodes
from openbms_core.topics import TOPIC_BY_NAME
from openbms_core.types import State
from openbms_msgs.msg import PackDescription

__all__ = ["BatteryStateNode", "facts_from_msg", "main", "values_to_msg"]


def facts_from_msg(message: PackDescription) -> BatteryFacts:
    """Take from the pack's description what BatteryState needs."""
    locations = np.array(message.temperature_sensor_locations, dtype=np.uint8)
    return BatteryFacts(
        serial=message.serial,
        chemistry=message.chemistry,
        strings=message.string_count,
        rated_capacity_ah=message.rated_capacity if message.rated_capacity > 0 else math.nan,
        cell_sensor=np.array(message.cell_temperature_sensor, dtype=np.int64),
        at_cell=locations == PackDescription.LOCATION_CELL,
    )


def values_to_msg(values: BatteryValues, header: Header) -> BatteryState:
    """Convert to the message; its fields have the same names."""
    message = BatteryState(header=header)
    for item in fields(values):
        value = getattr(values, item.name)
        if isinstance(value, np.ndarray):
            value = array("f", value.astype(np.float32).tobytes())
        elif not isinstance(value, bool | str | float):
            value = int(value)
        setattr(message, item.name, value)
    return message


class BatteryStateNode(BmsNode):
    """Keep the newest of each input, say what is known once a second."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("battery_state_publisher", **kwargs)

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter("topic", "battery_state", "Topic of this pack, relative to the namespace")
        self.parameter("publish_global", True, "Publish the global topics too: true for one pack only")
        self.parameter(
            "global_topics",
            ["/battery_state", "/battery_status"],
            "Nav2 docking reads one, its trees the other",
        )
        self.parameter("location", "", "Slot or place of the pack; empty: the namespace")

    def configure(self) -> None:
        """Build publishers and subscriptions."""
        names = [self.value("topic"), *(self.value("global_topics") if self.value("publish_global") else [])]
        self._publishers_made = [
            self.publisher_for("battery_state", as_name=name) for name in dict.fromkeys(names)
        ]
        self._location = self.value("location") or self.get_namespace().strip("/")
        self._facts: BatteryFacts | None = None
        self._newest: dict[str, Any] = {}
        topics = ("measurement", "soc", "state", "faults")
        self._fresh = {name: Freshness(TOPIC_BY_NAME[name].stale_after_s) for name in topics}
        for name in topics:
            self.listen(name, lambda message, name=name: self._on(name, message))
        self.listen("pack_description", self._on_description)
        self.every(1.0 / TOPIC_BY_NAME["battery_state"].rate_hz, self._publish)

    def _on(self, name: str, message: Any) -> None:
        self._newest[name] = message
        own = time_from_msg(message.valid_for) if hasattr(message, "valid_for") else None
        self._fresh[name].renew(self.monotonic_s(), own)

    def _on_description(self, message: PackDescription) -> None:
        self._facts = facts_from_msg(message)

    def _take(self, name: str) -> Any:
        return self._newest.get(name) if self._fresh[name].fresh(self.monotonic_s()) else None

    def _publish(self) -> None:
        measured, soc, state, faults = (
            self._take(name) for name in ("measurement", "soc", "state", "faults")
        )
        values = battery_state(
            self._facts,
            measurement_from_msg(measured) if measured is not None else None,
            state_of_charge_from_msg(soc) if soc is not None else None,
            State(state.state) if state is not None else None,
            faults_from_msg(faults) if faults is not None else None,
            self._location,
        )
        stamp = measured.header.stamp if measured is not None else time_to_msg(self.now_s())
        message = values_to_msg(values, Header(stamp=stamp, frame_id=values.serial_number))
        for publisher in self._publishers_made:
            publisher.publish(message)
        missing = [name for name in self._fresh if self._take(name) is None]
        if missing:
            self.diagnostic(1, f"no fresh {', '.join(missing)}: what depends on it is unknown")
        else:
            self.diagnostic(
                0, "publishing", status=values.power_supply_status, health=values.power_supply_health
            )


def main() -> None:
    """Run the node alone."""
    run_nodes([BatteryStateNode])


if __name__ == "__main__":
    main()
