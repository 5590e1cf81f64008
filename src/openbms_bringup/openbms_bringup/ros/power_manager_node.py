"""Node `power_manager`: when the key is off for long enough, it asks its starter to end everything in order.

It asks by ending its process with EXIT_POWER_DOWN. It commands nothing: the safety monitor opens.
"""

from __future__ import annotations

from typing import Any

from rclpy.serialization import deserialize_message

from openbms_bringup.power_down import EXIT_POWER_DOWN, KeyWatch, Seen
from openbms_core.config_file import ConfigError
from openbms_core.ros.node_base import BmsNode, Freshness, run_nodes
from openbms_core.topics import TOPIC_BY_NAME
from openbms_core.types import UNKNOWN, State
from openbms_msgs.msg import PackMeasurement

__all__ = ["PowerManagerNode", "main"]

_PERIOD_S = 0.5


class PowerManagerNode(BmsNode):
    """Ignition, plug and state in; the end of the process out."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("power_manager", **kwargs)

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter("key_off_s", 60.0, "End everything when the key is off for this long [s]; 0: never")
        self.parameter("never_on_s", 600.0, "The same where the key was not on since the start [s]")

    def configure(self) -> None:
        """Build the watch."""
        for name in ("key_off_s", "never_on_s"):
            if not 0.0 <= self.value(name) < float("inf"):
                raise ConfigError(
                    f"power_manager: {name} is {self.value(name)}; give seconds from 0, such as 60."
                )
        self._watch = KeyWatch(self.value("key_off_s"), self.value("never_on_s"))
        self._scan: bytes | None = None
        self._state: Any = None
        self._heard = Freshness(TOPIC_BY_NAME["state"].stale_after_s)
        if not self.pack.file.mapped("ignition"):
            self.diagnostic(0, "the pack file maps no ignition: never powers down")
        elif self.value("key_off_s") == 0.0:
            self.diagnostic(0, "switched off (key_off_s is 0)")
        else:
            # a scan is looked at twice a second only, so that it need not be taken apart ten times
            self.listen("measurement", self._on_measurement, raw=True)
            self.listen("state", self._on_state)
            self.every(_PERIOD_S, self._look)

    def _on_measurement(self, raw: bytes) -> None:
        self._scan = raw

    def _on_state(self, message: Any) -> None:
        self._heard.renew(self.monotonic_s())
        self._state = message

    def _look(self) -> None:
        ignition = plug = UNKNOWN
        if self._scan is not None:
            scan = deserialize_message(self._scan, PackMeasurement)
            ignition, plug = scan.ignition, scan.charging_plug
        now_s = self.monotonic_s()
        state = self._state if self._heard.fresh(now_s) else None
        seen = Seen(
            ignition,
            plug,
            State(state.state) if state is not None else None,
            state is not None and (state.contactors_closed or any(state.contactor_command)),
        )
        verdict = self._watch.step(seen, now_s)
        self.diagnostic(0, verdict.text)
        if verdict.power_down and self.exit_code is None:
            self.get_logger().info(f"ordered power-down: {verdict.text}")
            self.exit_code = EXIT_POWER_DOWN


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([PowerManagerNode])


if __name__ == "__main__":
    main()
