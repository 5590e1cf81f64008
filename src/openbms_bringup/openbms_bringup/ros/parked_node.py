"""Node `parked_check`: hears driver and safety monitor while a parked pack is looked at."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from openbms_control.safety.parked.snapshot import is_complete
from openbms_core.pack import PackFile
from openbms_core.ros.convert import measurement_from_msg
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row
from openbms_core.ros.raw_topics import listening_qos
from openbms_core.topics import DIAGNOSTICS
from openbms_core.types import FaultState, Level, PackMeasurement, State

__all__ = ["ParkedNode"]

_LEVELS = {"ok": DiagnosticStatus.OK, "warn": DiagnosticStatus.WARN, "alarm": DiagnosticStatus.ERROR}
_OPEN = (State.INIT, State.STANDBY, State.FAULT)


class ParkedNode(Node):  # type: ignore[misc]
    """Collects scans, state and faults.

    Parameters
    ----------
    namespace : str
        Namespace of the pack.
    pack : PackFile
    """

    def __init__(self, namespace: str, pack: PackFile) -> None:
        super().__init__("parked_check", namespace=namespace, enable_rosout=False)
        self._pack = pack
        self.scans: list[PackMeasurement] = []
        self.complete: list[PackMeasurement] = []
        self.state: Any = None
        self.faults: list[tuple[str, Level]] = []
        self.in_use = ""
        """Why this is no parked pack; empty: it is."""
        for name, callback in (
            ("measurement", self._on_measurement),
            ("state", self._on_state),
            ("faults", self._on_faults),
        ):
            row = topic_row(name)
            self.create_subscription(interface_type(row.type), name, callback, listening_qos(row))
        self._publisher = self.create_publisher(
            DiagnosticArray, DIAGNOSTICS, qos_profile(topic_row(DIAGNOSTICS))
        )

    def system_runs(self) -> bool:
        """Tell whether a safety monitor of this pack runs already."""
        return bool(self.count_publishers("state"))

    def _on_measurement(self, message: Any) -> None:
        scan = measurement_from_msg(message)
        if scan.ignition == 1:
            self.in_use = "the key is on"
        self.scans.append(scan)
        if is_complete(scan, self._pack):
            self.complete.append(scan)

    def _on_state(self, message: Any) -> None:
        self.state = message
        if message.contactors_closed or message.state not in _OPEN:
            self.in_use = "the contactors are not open"

    def _on_faults(self, message: Any) -> None:
        # what was latched before the parking is known
        self.faults = [
            (fault.id, Level(fault.level))
            for fault in message.faults
            if fault.state == FaultState.ACTIVE
            or (fault.state == FaultState.LATCHED and not fault.from_record)
        ]

    def tell(self, level: str, text: str, values: dict[str, str]) -> None:
        """Say the verdict on /diagnostics."""
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status.append(
            DiagnosticStatus(
                level=_LEVELS[level],
                name=self.get_fully_qualified_name(),
                message=text,
                hardware_id=self._pack.serial,
                values=[KeyValue(key=key, value=value) for key, value in values.items()],
            )
        )
        self._publisher.publish(message)
