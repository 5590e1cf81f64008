"""How old something is that was received, and whether it still counts."""

from __future__ import annotations

import math

__all__ = ["Freshness"]


class Freshness:
    """Age of something received, by the receiver's clock that nobody sets, and whether it is still valid.

    Parameters
    ----------
    limit_s : float
        Time for which it is valid, unless it says its own.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._received = -math.inf
        self._valid_for_s = limit_s

    def renew(self, now_s: float, valid_for_s: float | None = None) -> None:
        """Note a reception at ``now_s``; ``valid_for_s`` is its own expiry where it has one."""
        self._received = now_s
        self._valid_for_s = self.limit_s if valid_for_s is None else valid_for_s

    def age_s(self, now_s: float) -> float:
        """Give the time since the last reception (infinite if there was none)."""
        return now_s - self._received

    def fresh(self, now_s: float) -> bool:
        """Tell whether it was received and has not expired."""
        return self.age_s(now_s) <= self._valid_for_s
