"""Hear each of some topics once."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from openbms_bringup.claim import check_namespace, domain_number
from openbms_core.config_file import ConfigError
from openbms_core.ros.executor import make_executor
from openbms_core.ros.interfaces import interface_type, topic_row
from openbms_core.ros.raw_topics import listening_qos

__all__ = ["listen_once"]

_WAIT_S = 5.0


def listen_once(names: Sequence[str], namespace: str) -> dict[str, Any]:
    """Give one message of each topic of the table.

    Parameters
    ----------
    names : sequence of str
        Names in the topic table.
    namespace : str
        Namespace of the pack.

    Raises
    ------
    ConfigError
        One of them is silent.
    """
    check_namespace(namespace)
    domain_number(os.environ.get("ROS_DOMAIN_ID") or "0")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("openbms_listener", namespace=namespace, enable_rosout=False)
    heard: dict[str, Any] = {}
    try:
        for name in names:
            row = topic_row(name)
            node.create_subscription(
                interface_type(row.type),
                name,
                lambda message, name=name: heard.__setitem__(name, message),
                listening_qos(row),
            )
        executor = make_executor()
        executor.add_node(node)
        deadline_s = time.monotonic() + _WAIT_S
        while len(heard) < len(names) and time.monotonic() < deadline_s:
            executor.spin_until_future_complete(Future(), timeout_sec=0.05)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    silent = [name for name in names if name not in heard]
    if silent:
        raise ConfigError(
            f"nothing was heard on {', '.join(silent)} in /{namespace.strip('/')} within {_WAIT_S:g} s. "
            "Is the system running, with the same ROS_DOMAIN_ID and --namespace?"
        )
    return heard
