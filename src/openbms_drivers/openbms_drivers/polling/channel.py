"""One connection of the poller and what is under way on it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from openbms_core.pack_polls import Poll
from openbms_drivers.frame import Frame
from openbms_drivers.polling.connection import Connection
from openbms_drivers.polling.report import PollReport

__all__ = ["Channel", "Turn"]


@dataclass
class Turn:
    """One poll and how it goes."""

    poll: Poll
    identifier: int
    flags: int
    request: bytes
    answer: bytes
    due_s: float = 0.0
    report: PollReport = field(default_factory=PollReport)


@dataclass
class Channel:
    """One connection: a request at a time, and what the device said to it so far."""

    connection: Connection
    turns: list[Turn] = field(default_factory=list)
    active: Turn | None = None
    asked: bytes = b""
    """The request that is under way: the poll's, or the one that opens its session."""
    expected: bytes = b""
    """How the answer to it begins."""
    ours: bool = False
    """The answer that is being received is the one to our request."""
    deadline_s: float = 0.0
    end_s: float = 0.0
    rest_until_s: float = -math.inf
    foreign_s: float = -math.inf
    """When a frame between the device and another tester was seen."""
    session: bytes = b""
    """The diagnostic session that was opened last and not lost since."""
    session_until_s: float = -math.inf
    """Until then the device keeps it without another request."""
    session_served: bool = False
    """Something was answered in it."""
    replies: deque[Frame] = field(default_factory=deque)
    reply_s: float = -math.inf
    """When the next of them may be sent."""
    gap_s: float = 0.0
    echoes: deque[bytes] = field(default_factory=lambda: deque(maxlen=8))
    """Data of the frames that were sent last: some interfaces hear themselves."""

    def begin(self, turn: Turn, asked: bytes, expected: bytes, now_s: float) -> None:
        """Start a request."""
        self.active, self.ours = turn, False
        self.asked, self.expected = asked, expected
        self.deadline_s = now_s + turn.poll.timeout_s
        self.end_s = now_s + turn.poll.duration_max_s

    def end(self, rest_until_s: float) -> None:
        """End it, however it went; nothing is asked before then."""
        self.active, self.ours = None, False
        self.asked = self.expected = b""
        self.replies.clear()
        self.echoes.clear()
        self.rest_until_s = rest_until_s

    def forget(self) -> None:
        """Forget everything but the polls."""
        self.connection.reset()
        self.end(-math.inf)
        self.foreign_s = self.reply_s = -math.inf
        self.session = b""

    def first_due(self) -> Turn:
        """Give the poll that has been due for longest."""
        return min(self.turns, key=lambda turn: turn.due_s)

    @property
    def opening(self) -> bool:
        """What is under way opens a session."""
        return self.active is not None and self.asked == self.active.poll.session_bytes != b""
