"""The newest message of a kind and until when it counts."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

from openbms_core.topics import TOPIC_BY_NAME

__all__ = ["Held"]

ValueT = TypeVar("ValueT")


class Held(Generic[ValueT]):
    """Holds the newest value. One assignment: it may be set by another thread than the one that reads it.

    Parameters
    ----------
    topic : str
        Row of the topic table, which says how long a message counts at most.
    longest_s : float, optional
        In place of that [s].
    """

    def __init__(self, topic: str, longest_s: float | None = None) -> None:
        self._longest_s = TOPIC_BY_NAME[topic].stale_after_s if longest_s is None else longest_s
        self._held: tuple[ValueT | None, float] = (None, -math.inf)

    def set(self, value: ValueT, now_s: float, valid_for_s: float | None = None) -> None:
        """Take a message; its own validity counts where it is shorter than the topic's."""
        if valid_for_s is None:
            valid_for_s = self._longest_s
        # NaN, zero and negative: never valid
        self._held = (value, now_s + min(valid_for_s, self._longest_s) if valid_for_s > 0 else -math.inf)

    def get(self, now_s: float) -> ValueT | None:
        """Give it while it counts."""
        value, until_s = self._held
        return value if now_s <= until_s else None
