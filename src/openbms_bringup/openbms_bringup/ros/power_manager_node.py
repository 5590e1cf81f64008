"""Node `power_manager`: when the key is off for long enough, it asks its starter to end everything in order.

It asks by ending its process with EXIT_POWER_DOWN. It commands nothing: the safety monitor opens. At every
end in order it keeps how the pack was parked, for ``openbms parked-check``.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from openbms_bringup.parked.store import FILE_NAME, load_memory, save_memory
from openbms_bringup.parked.wake import Wake, parse_wake
from openbms_bringup.power_down import EXIT_POWER_DOWN, KeyWatch, Seen
from openbms_control.safety.parked.snapshot import ParkedMemory, take_snapshot
from openbms_core.config_file import ConfigError
from openbms_core.ros.convert import measurement_from_msg
from openbms_core.ros.node_base import BmsNode, Freshness, run_nodes
from openbms_core.ros.state_folder import state_folder
from openbms_core.topics import TOPIC_BY_NAME
from openbms_core.types import UNKNOWN, State
from openbms_msgs.msg import PackMeasurement

__all__ = ["PowerManagerNode", "main"]

_PERIOD_S = 0.5
_RESTED_S = 3.0
"""Voltages of a pack in which a current flowed within this time [s] are not kept: they are not at rest."""
_SCANS = 30
"""Scans that the snapshot at parking is the median of."""


class PowerManagerNode(BmsNode):
    """Ignition, plug and state in; the end of the process out."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("power_manager", **kwargs)

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter("key_off_s", 60.0, "End everything when the key is off for this long [s]; 0: never")
        self.parameter("never_on_s", 600.0, "The same where the key was not on since the start [s]")
        self.parameter(
            "parked_file",
            "",
            "How the pack was parked; empty: $XDG_STATE_HOME/openbms/<serial>/parked.json (~/.local/state)",
        )
        self.parameter(
            "wake", "none", "Who wakes the computer: none, rtc, rtc:FOLDER, command with {seconds}"
        )
        self.parameter("wake_after_s", 21_600.0, "Time from the power-down to the first check [s]")

    def configure(self) -> None:
        """Build the watch."""
        for name in ("key_off_s", "never_on_s", "wake_after_s"):
            if not 0.0 <= self.value(name) < math.inf:
                raise ConfigError(
                    f"power_manager: {name} is {self.value(name)}; give seconds from 0, such as 60."
                )
        self._wake: Wake = parse_wake(self.value("wake"), "power_manager: wake")
        self._watch = KeyWatch(self.value("key_off_s"), self.value("never_on_s"))
        self._scans: deque[bytes] = deque(maxlen=_SCANS)
        self._state: Any = None
        self._heard = Freshness(TOPIC_BY_NAME["state"].stale_after_s)
        self._moved_s = self.monotonic_s()
        self._never = ""
        if not self.pack.file.mapped("ignition"):
            self._never = "the pack file maps no ignition: never powers down"
        elif self.value("key_off_s") == 0.0:
            self._never = "power-down is switched off (key_off_s is 0)"
        # a scan is looked at twice a second only, so that it need not be taken apart ten times
        self.listen("measurement", self._scans.append, raw=True)
        self.listen("state", self._on_state)
        self.every(_PERIOD_S, self._look)

    def _on_state(self, message: Any) -> None:
        self._heard.renew(self.monotonic_s())
        self._state = message

    def _look(self) -> None:
        now_s = self.monotonic_s()
        ignition = plug = UNKNOWN
        if self._scans:
            scan = deserialize_message(self._scans[-1], PackMeasurement)
            ignition, plug = scan.ignition, scan.charging_plug
            if (
                np.nanmax(np.abs(scan.string_currents), initial=0.0)
                > self.pack.file.limits.current_deadband_a
            ):
                self._moved_s = now_s
        if self._never:
            self.diagnostic(0, self._never)
            return
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
            self._arm()
            self.exit_code = EXIT_POWER_DOWN

    def release(self) -> None:
        """Keep how the pack is parked; what could not be kept holds up no end."""
        rested_s = self.monotonic_s() - self._moved_s
        if self._scans and self._state is not None and rested_s >= _RESTED_S:
            self._remember(rested_s)
        self._scans.clear()

    def _remember(self, rested_s: float) -> None:
        path = Path(self.value("parked_file") or state_folder(self.pack.file.serial) / FILE_NAME).expanduser()
        scans = [measurement_from_msg(deserialize_message(raw, PackMeasurement)) for raw in self._scans]
        snapshot = take_snapshot(scans, start_count=int(self._state.start_count), rested_s=rested_s)
        before, problem = load_memory(path)
        if problem:
            self.get_logger().warning(problem)
        serial = self.pack.file.serial
        memory = ParkedMemory.begin(serial, self.pack.config_hash, snapshot)
        if before is not None and before.serial == serial:
            memory = memory.with_history(before.history)
        try:
            save_memory(path, memory)
        except OSError as error:
            self.get_logger().error(f"{path}: cannot be written ({error.strerror or error})")

    def _arm(self) -> None:
        armed, text = self._wake.arm(self.value("wake_after_s"))
        if text:
            (self.get_logger().info if armed else self.get_logger().error)(text)


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([PowerManagerNode])


if __name__ == "__main__":
    main()
