"""The polls of a pack beside its broadcast: which frames are theirs, and when something may be asked."""

from __future__ import annotations

import math

from openbms_drivers.database import frame_key
from openbms_drivers.frame import Frame
from openbms_drivers.message_plan import MessagePlan
from openbms_drivers.polling.poller import Poller
from openbms_drivers.signal_decoder import SignalDecoder

__all__ = ["Polled"]


class Polled:
    """The polls of a pack file, checked against its DBC.

    Parameters
    ----------
    decoder : SignalDecoder
        That of the pack.

    Attributes
    ----------
    poller : Poller
        Whose turn it is.
    keys : frozenset of int
        Keys of the frames that :meth:`take` takes: requests and responses, and those that would pose as a
        whole answer.

    Raises
    ------
    ConfigError
        A poll names a message that the DBC does not have, or one whose identifier is used on the bus.
    """

    def __init__(self, decoder: SignalDecoder) -> None:
        database, device = decoder.database, decoder.pack.file.device
        self._silent_after_s = device.silent_after_s
        identifiers: dict[str, tuple[int, bool]] = {}
        on_bus: dict[int, str] = {}
        for poll in device.polls:
            wide = 1 << 31 if poll.extended_identifiers else 0
            on_bus[poll.request_id | wide] = on_bus[poll.response_id | wide] = poll.name
        for number, poll in enumerate(device.polls):
            where, location = f"device.polls[{number}]", ("device", "polls", number)
            message = database.message(poll.message, location, where)
            if (other := on_bus.get(frame_key(message))) is not None:
                raise database.error(
                    location,
                    f"{where}: message '{poll.message}' has the identifier {message.frame_id:#x} in "
                    f"{database.path.name}, which is that of frames on the bus (poll '{other}'). Give it one "
                    "that no frame on the bus has.",
                )
            if poll.length_bytes is not None and poll.length_bytes < message.length:
                raise database.error(
                    location,
                    f"{where}: length_bytes is {poll.length_bytes}, but message '{poll.message}' of "
                    f"{database.path.name} has {message.length} bytes. Correct one of them.",
                )
            identifiers[poll.message] = (int(message.frame_id), bool(message.is_extended_frame))
        self.poller = Poller(device.polls, identifiers)
        self.keys = self.poller.keys | self.poller.answer_keys
        self._answers = {poll.message for poll in device.polls}
        self._broadcasts = any(plan.name not in self._answers for plan in decoder.plans)
        self._broadcast_s = -math.inf

    def take(self, frame: Frame) -> Frame | None:
        """Take a frame whose key is in :attr:`keys`; gives the whole answer that it completed."""
        if frame.key in self.poller.answer_keys:  # nobody on the bus sends it: it would pose as an answer
            return None
        return self.poller.take(frame)

    def heard(self, plan: MessagePlan, now_s: float) -> None:
        """A frame of the pack came."""
        if plan.name not in self._answers:
            self._broadcast_s = now_s

    def _awake(self, now_s: float) -> bool:
        """Tell whether the device may be asked: one that broadcasts when it is awake is let sleep."""
        return not self._broadcasts or now_s - self._broadcast_s <= self._silent_after_s

    def frame_due(self, now_s: float, *, keeps_up: bool) -> Frame | None:
        """Give at most one frame to send now."""
        return self.poller.frame_due(now_s, may_ask=keeps_up and self._awake(now_s))

    def next_due_s(self, now_s: float) -> float:
        """Give when :meth:`frame_due` has something to do (monotonic time)."""
        return self.poller.next_due_s(may_ask=self._awake(now_s))
