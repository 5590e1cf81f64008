"""Node `foxglove_server`: the topics of a pack, live, for Foxglove and other clients of its protocol."""

from __future__ import annotations

import functools

from rclpy.subscription import Subscription

from openbms_core.config_file import ConfigError
from openbms_core.ros.interfaces import interface_type
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.ros.raw_topics import RawTopic, listening_qos, raw_topics
from openbms_dashboard.foxglove_bridge import BridgeError, BridgeTopic, FoxgloveBridge

__all__ = ["FoxgloveServerNode", "main"]

_FOLLOW_PERIOD_S = 0.1


class FoxgloveServerNode(BmsNode):
    """Subscribes to a topic while at least one client watches it, and passes its bytes on."""

    def __init__(self, **kwargs: object) -> None:
        self._bridge: FoxgloveBridge | None = None
        self._followed: dict[str, Subscription] = {}
        super().__init__("foxglove_server", **kwargs)

    def declare(self) -> None:
        """Declare the parameters."""
        self.parameter(
            "host", "127.0.0.1", "Address to listen on; 0.0.0.0 opens the pack's data to the network"
        )
        self.parameter(
            "names", [""], "Namespaces of several packs, below that of this node; the starter tells them"
        )
        self.parameter("port", 8765, "Port to listen on; 0 takes a free one")

    def configure(self) -> None:
        """Read the definitions of all types."""
        port = self.value("port")
        if not 0 <= port <= 65535:
            raise ConfigError(f"foxglove_server: parameter port is {port}; give 0 to 65535 (8765 is usual).")
        packs = [name for name in self.value("names") if name]
        topics = raw_topics(self.get_namespace(), packs)
        self._topics: dict[str, RawTopic] = {topic.name: topic for topic in topics}
        # Clients come and go on the SDK's threads; only this timer, on the executor's, touches ROS for them
        self.every(_FOLLOW_PERIOD_S, self._follow)
        self.every(1.0, self._tell)

    def activate(self) -> None:
        """Listen for clients."""
        bridge = FoxgloveBridge(
            [
                BridgeTopic(topic.name, topic.type, topic.schema, topic.row.quality == "latched")
                for topic in self._topics.values()
            ],
            host=self.value("host"),
            port=self.value("port"),
            name=f"OpenBMS {self.get_namespace()}",
        )
        try:
            bridge.start()
        except BridgeError as error:
            raise ConfigError(f"foxglove_server: {error}") from error
        self._bridge = bridge
        self.get_logger().info(f"open Foxglove on {self._url()}")

    def _url(self) -> str:
        host = self.value("host")
        port = self._bridge.port if self._bridge is not None else self.value("port")
        return f"ws://{f'[{host}]' if ':' in host else host}:{port}"

    def _follow(self) -> None:
        """Subscribe to what is wanted, leave what is not."""
        bridge = self._bridge
        if bridge is None:
            return
        wanted = bridge.wanted()
        for name in self._followed.keys() - wanted:
            self.destroy_subscription(self._followed.pop(name))
            bridge.forget(name)
        for name in wanted - self._followed.keys():
            topic = self._topics[name]
            self._followed[name] = self.create_subscription(
                interface_type(topic.type),
                name,
                functools.partial(self._received, name),
                listening_qos(topic.row),
                raw=True,
            )
        bridge.serve_newcomers()

    def _received(self, topic: str, data: bytes) -> None:
        if self._bridge is not None:
            self._bridge.forward(topic, data, int(self.get_clock().now().nanoseconds))

    def _tell(self) -> None:
        if self._bridge is None:
            return
        status = self._bridge.status()
        self.diagnostic(
            0,
            f"{status.clients} watching",
            url=self._url(),
            clients=status.clients,
            subscribed_topics=status.topics,
            forwarded_messages=status.forwarded,
        )

    def deactivate(self) -> None:
        """Close all connections."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.stop()
        for subscription in self._followed.values():
            self.destroy_subscription(subscription)
        self._followed = {}

    def release(self) -> None:
        """Nothing is held while inactive."""


def main() -> None:
    """Run the node."""
    run_nodes([FoxgloveServerNode])
