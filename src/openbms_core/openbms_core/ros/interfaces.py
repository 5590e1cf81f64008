"""Message types by name and the QoS of each topic, from the topic table."""

from __future__ import annotations

import importlib
import math
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from openbms_core.topics import TOPIC_BY_NAME, Topic

__all__ = ["interface_type", "listening", "qos_profile", "topic_row"]


def interface_type(name: str) -> Any:
    """Import the class of an interface.

    Parameters
    ----------
    name : str
        ``package/msg/Name`` or ``package/srv/Name``.
    """
    package, kind, plain = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), plain)


def topic_row(name: str) -> Topic:
    """Give the row of a topic; a name that is not in the table is a programming error (KeyError)."""
    return TOPIC_BY_NAME[name]


def qos_profile(topic: Topic) -> QoSProfile:
    """Give the QoS with which a topic is published, and subscribed by who needs every message."""
    depth = {"latched": 1, "reliable": 50, "best_effort": 5}[topic.quality]
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=(
            ReliabilityPolicy.BEST_EFFORT if topic.quality == "best_effort" else ReliabilityPolicy.RELIABLE
        ),
        durability=(
            DurabilityPolicy.TRANSIENT_LOCAL if topic.quality == "latched" else DurabilityPolicy.VOLATILE
        ),
    )


def listening(topic: Topic) -> QoSProfile:
    """Give the QoS for a subscriber that acts on the newest message and has no use for an older one.

    A periodic topic is read as best effort: a message that is lost is replaced by the next one, instead of
    holding all newer ones back until it is repaired.
    """
    profile = qos_profile(topic)
    if topic.quality == "reliable" and math.isfinite(topic.stale_after_s):
        profile.reliability = ReliabilityPolicy.BEST_EFFORT
        profile.depth = 10
    return profile
