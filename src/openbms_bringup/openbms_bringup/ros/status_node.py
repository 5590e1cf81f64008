"""Node `run_status`: listens to a whole pack for the terminal; tells /diagnostics of the processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from openbms_bringup.score import ScanCounter, SocScore
from openbms_bringup.status import STATE_NAMES, PackStatus
from openbms_core.pack import LoadedPack
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row
from openbms_core.ros.raw_topics import listening_qos
from openbms_core.topics import DIAGNOSTICS

__all__ = ["StatusNode"]

_LEVELS = ("operating", "recommended", "safety")
_QUALITIES = ("unknown", "converging", "good", "degraded", "lost")


def _stamp_s(message: Any) -> float:
    return float(message.header.stamp.sec) + float(message.header.stamp.nanosec) * 1e-9


def _span(values: Any) -> tuple[float, float]:
    """Give the smallest and largest finite value (NaN if there is none)."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)


class StatusNode(Node):  # type: ignore[misc]
    """Keeps a :class:`PackStatus` up to date.

    Parameters
    ----------
    namespace : str
        Namespace of the pack.
    packs : sequence of LoadedPack
        Tell which temperatures belong to cells. Of several packs the aggregator's topics are listened to,
        whose arrays follow one another in this order.
    """

    def __init__(self, namespace: str, packs: Sequence[LoadedPack]) -> None:
        super().__init__("run_status", namespace=namespace, enable_rosout=False)
        self.status = PackStatus()
        self._scans = ScanCounter()
        self._score = SocScore(packs[0].file.measurement.scan_period_s)
        self._replay_runs = False
        sensors = [sensor for pack in packs for sensor in pack.file.topology.sensors]
        self._cell_sensors = [index for index, (_, location, _) in enumerate(sensors) if location == "cell"]
        for name, callback in (
            ("measurement", self._measurement),
            ("soc", self._soc),
            ("state", self._state),
            ("faults", self._faults),
            ("limits", self._limits),
            ("twin_truth", self._truth),
            (DIAGNOSTICS, self._diagnostics),
        ):
            self._listen(name, callback)
        self._publisher = self.create_publisher(
            DiagnosticArray, DIAGNOSTICS, qos_profile(topic_row(DIAGNOSTICS))
        )

    def _listen(self, name: str, callback: Callable[[Any], None]) -> None:
        row = topic_row(name)
        self.create_subscription(interface_type(row.type), name, callback, listening_qos(row))

    def tell_processes(self, statuses: dict[str, tuple[int, str, dict[str, str]]]) -> None:
        """Publish the state of each process: level (0 ok, 1 warning, 2 error), text, values."""
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        for name, (level, text, values) in statuses.items():
            message.status.append(
                DiagnosticStatus(
                    level=bytes([level]),
                    name=f"process {name}",
                    message=text,
                    values=[KeyValue(key=key, value=value) for key, value in values.items()],
                )
            )
        self._publisher.publish(message)

    def others_publish(self) -> int:
        """Give the number of publishers of the pack's state: more than one means that two systems meet."""
        return int(self.count_publishers("state"))

    def _measurement(self, message: Any) -> None:
        status = self.status
        self._scans.add(int(message.scan_number))
        status.scans, status.scans_lost = self._scans.scans, self._scans.lost
        status.driver_starts = self._scans.starts
        low, high = _span(message.cell_voltages)
        status.cell_voltage_spread_v = high - low
        temperatures = np.asarray(message.temperatures, np.float64)
        cells = [index for index in self._cell_sensors if index < temperatures.size]
        status.temperature_min_degc, status.temperature_max_degc = _span(temperatures[cells])
        status.current_a = float(np.sum(np.asarray(message.string_currents, np.float64)))
        status.pack_voltage_v = _span(message.string_voltages)[1]
        status.bus_message = message.bus_message

    def _soc(self, message: Any) -> None:
        status = self.status
        status.soc, status.soc_std = float(message.soc), float(message.soc_std)
        low, high = _span(message.cell_soc)
        status.cell_soc_spread = high - low
        status.soc_quality = _QUALITIES[message.quality] if message.quality < len(_QUALITIES) else "?"
        if self._replay_runs:
            self._score.add_estimate(_stamp_s(message), np.asarray(message.cell_soc, np.float64))
            self._copy_score()

    def _truth(self, message: Any) -> None:
        status = self.status
        status.test_time_s, status.test_duration_s = float(message.test_time), float(message.test_duration)
        status.test_finished = bool(message.finished)
        status.device_trip = message.device_trip or status.device_trip
        # Scored while the recorded test runs (its time stands at 0 before), and all the time in plant mode.
        self._replay_runs = not message.finished and status.test_time_s != 0.0
        if self._replay_runs:
            self._score.add_truth(_stamp_s(message), np.asarray(message.cell_soc, np.float64))
            self._copy_score()

    def _copy_score(self) -> None:
        status, score = self.status, self._score
        status.soc_rmse, status.soc_mae, status.soc_error_max = score.rmse, score.mae, score.largest
        status.soc_scans_scored = score.scans

    def _state(self, message: Any) -> None:
        status = self.status
        known = message.state < len(STATE_NAMES)
        status.state = STATE_NAMES[message.state] if known else f"state {message.state}"
        if not status.states or status.states[-1] != status.state:
            status.states.append(status.state)
        status.reason = message.reason
        status.contactors_closed = bool(message.contactors_closed)

    def _faults(self, message: Any) -> None:
        status = self.status
        status.faults = []
        for fault in message.faults:
            if fault.state == 0:  # pending: no fault yet
                continue
            level = _LEVELS[fault.level] if fault.level < len(_LEVELS) else "?"
            status.faults.append(f"{fault.id} ({level})")
            known = status.faults_seen.get(fault.id)
            if known is None or _LEVELS.index(level) > _LEVELS.index(known):
                status.faults_seen[fault.id] = level

    def _limits(self, message: Any) -> None:
        status = self.status
        status.charge_limit_a, status.charge_reason = float(message.charge_current), message.charge_reason
        status.discharge_limit_a, status.discharge_reason = (
            float(message.discharge_current),
            message.discharge_reason,
        )

    def _diagnostics(self, message: Any) -> None:
        for one in message.status:
            if not one.name.startswith(f"{self.get_namespace().rstrip('/')}/"):
                continue
            node = one.name.removeprefix(f"{self.get_namespace().rstrip('/')}/")
            values = {item.key: item.value for item in one.values}
            if node == "recorder" and "recorded_mb" in values:
                self.status.recorded_mb = float(values["recorded_mb"])
                bag = values.get("bag")
                if bag and bag not in self.status.bags:
                    self.status.bags.append(bag)
            if node == "foxglove_server":
                self.status.foxglove = values.get("url") or self.status.foxglove
            if one.level == b"\x02":
                self.status.problems[node] = one.message
            else:
                self.status.problems.pop(node, None)
