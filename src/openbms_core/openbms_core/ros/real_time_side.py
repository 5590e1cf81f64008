"""What a node says and asks for so that its process runs in real time; a part of the node base."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from openbms_core.config_file import ConfigError
from openbms_core.ros.real_time import Granted, RealTimeOptions, parse_processors, tidy

__all__ = ["RealTimeSide"]


class RealTimeSide:
    """The real-time side of :class:`~openbms_core.ros.node_base.BmsNode`, whose methods it uses."""

    parameter: Any
    value: Any
    get_name: Any
    get_fully_qualified_name: Any
    get_logger: Any

    real_time: RealTimeOptions | None = None
    """What the node asks for; None where it is not fail-safe."""

    def ask_for_real_time(self, *, fail_safe: bool) -> None:
        """Declare and read what a fail-safe node may ask of the computer for its process.

        Raises
        ------
        ConfigError
            A parameter cannot be what it is.
        """
        self.real_time_status: list[DiagnosticStatus] = []
        self._dealt_with = 0
        if not fail_safe:
            return
        self.parameter("real_time_priority", 0, "SCHED_FIFO priority of the process, 1 … 49; 0: ordinary")
        self.parameter("cpu_affinity", "", "Processors it may run on, such as '1' or '0,2-3'; empty: all")
        self.parameter("lock_memory", False, "Keep its memory from being paged out")
        self.parameter(
            "collect_in_idle", True, "Collect garbage right after a scan was dealt with, and never before"
        )
        try:
            self.real_time = RealTimeOptions(
                self.value("real_time_priority"),
                parse_processors(self.value("cpu_affinity")),
                self.value("lock_memory"),
                self.value("collect_in_idle"),
            )
        except ConfigError as error:
            raise ConfigError(f"{self.get_name()}: parameter {error}") from None

    def say_real_time(self, granted: Granted) -> None:
        """Say what its process was granted, once in the log and always on /diagnostics."""
        for sentence in granted.refused:
            self.get_logger().warning(sentence)
        in_force = ", ".join(granted.in_force) or "nothing was asked for"
        self.get_logger().info(f"real time: {in_force}")
        self.real_time_status = [
            DiagnosticStatus(
                level=bytes([1 if granted.refused else 0]),
                name=f"{self.get_fully_qualified_name()}/real_time",
                message=" ".join(granted.refused) or in_force,
                values=[KeyValue(key="in_force", value=in_force)],
            )
        ]

    def dealt_with_scan(self) -> None:
        """Say that nothing waits now: the next scan is a while away, so garbage may be collected."""
        self._dealt_with += 1
        tidy(self._dealt_with)
