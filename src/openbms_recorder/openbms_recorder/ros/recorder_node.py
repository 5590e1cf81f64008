"""Node `recorder`: everything that the topic table records, as bytes, into a rosbag2 bag."""

from __future__ import annotations

import functools

from rclpy.subscription import Subscription

from openbms_core.ros.interfaces import interface_type
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.ros.raw_topics import listening_qos, raw_topics
from openbms_recorder.recording import MEBIBYTE, Recording
from openbms_recorder.ros.recorder_settings import bag_topic, declare_parameters, read_settings

__all__ = ["RecorderNode", "main"]

_SILENCE_S = 0.3


class RecorderNode(BmsNode):
    """Records the topics of its namespace, and of the packs below it where there are several."""

    stop_deadline_s = 5.0

    def __init__(self, **kwargs: object) -> None:
        self._recording: Recording | None = None
        self._recorded: list[Subscription] = []
        self._last_message_s = 0.0
        self._stop_since_s: float | None = None
        super().__init__("recorder", **kwargs)

    def declare(self) -> None:
        """Declare the parameters."""
        declare_parameters(self)

    def configure(self) -> None:
        """Read the settings and the definitions of all types."""
        self._settings = read_settings(self)
        packs = [name for name in self.value("names") if name]
        self._topics = raw_topics(self.get_namespace(), packs, recorded_only=True)
        self.every(1.0, self._tell)

    def activate(self) -> None:
        """Begin a bag."""
        recording = Recording(
            self._settings,
            [bag_topic(topic) for topic in self._topics],
            say=self._say,
        )
        self._recording = recording
        self._stop_since_s = None
        recording.start()
        for topic in self._topics:
            self._recorded.append(
                self.create_subscription(
                    interface_type(topic.type),
                    topic.name,
                    functools.partial(self._received, topic.name),
                    listening_qos(topic.row),
                    raw=True,
                )
            )

    def _received(self, topic: str, data: bytes) -> None:
        self._last_message_s = self.monotonic_s()
        if self._recording is not None:
            self._recording.put(topic, data, self._now_ns())

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _say(self, problem: bool, text: str) -> None:
        # From the writing thread; rclpy's loggers may be used from any thread
        if problem:
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    def _tell(self) -> None:
        if self._recording is None:
            return
        status = self._recording.status()
        if not status.recording:
            level, text = 2, f"not recording: {status.problem}"
        elif status.dropped:
            level, text = (
                1,
                f"recording; {status.dropped} messages were dropped because the disk was too slow or full",
            )
        else:
            level, text = 0, "recording"
        self.diagnostic(
            level,
            text,
            bag=status.bag,
            recorded_mb=f"{status.bytes_recorded / MEBIBYTE:.3f}",
            messages=status.messages,
            dropped=status.dropped,
            recovered_bags=status.recovered,
        )

    def ready_to_stop(self) -> bool:
        """Hear the others out, then complete the bag."""
        if self._recording is None:
            return True
        now = self.monotonic_s()
        if self._stop_since_s is None:
            self._stop_since_s = now
        silent_for_s = now - max(self._last_message_s, self._stop_since_s)
        if silent_for_s >= _SILENCE_S or now - self._stop_since_s >= self.value("linger_s"):
            self._recording.request_stop()
        return self._recording.stopped

    def deactivate(self) -> None:
        """End the bag."""
        for subscription in self._recorded:
            self.destroy_subscription(subscription)
        self._recorded = []
        if self._recording is not None and not self._recording.stop():
            self.get_logger().error(
                "the disk did not let the bag be completed in time; the next start repairs it"
            )
        self._recording = None

    def release(self) -> None:
        """Nothing is held while inactive."""


def main() -> None:
    """Run the node."""
    run_nodes([RecorderNode])
