"""How a poll goes, for diagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PollReport"]


@dataclass
class PollReport:
    """Counts since the start; written by the thread of the bus, read by any.

    Attributes
    ----------
    asked, answered, failed, pending : int
        Requests sent; answers taken; requests and answers that were given up; requests for patience (0x78).
    overheard : int
        Answers to another tester that were taken as well.
    answered_s, failed_s : float
        When the last one came, or was given up (monotonic; -inf: never).
    reason : str
        Why the last one was given up.
    """

    asked: int = 0
    answered: int = 0
    failed: int = 0
    pending: int = 0
    overheard: int = 0
    answered_s: float = -math.inf
    failed_s: float = -math.inf
    reason: str = ""

    def answered_now(self, now_s: float) -> None:
        """An answer came."""
        self.answered += 1
        self.answered_s = now_s

    def fail(self, reason: str, now_s: float) -> None:
        """One was given up."""
        self.failed += 1
        self.failed_s, self.reason = now_s, reason

    def late(self, now_s: float, usual_s: float) -> str:
        """Say why there is no answer that is at most twice as old as usual; empty if there is one."""
        if now_s - self.answered_s <= 2.0 * usual_s or self.failed_s <= self.answered_s:
            return ""
        return self.reason

    def __str__(self) -> str:
        """Give the counts in one line."""
        text = f"{self.answered} of {self.asked} answered"
        if self.overheard:
            text += f", {self.overheard} overheard"
        if self.failed:
            text += f", {self.failed} failed (last: {self.reason})"
        return text
