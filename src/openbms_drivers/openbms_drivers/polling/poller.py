"""Whose turn it is: asks a device for what it does not send by itself, without being in anyone's way.

Pure: it reads no clock and sends nothing. The loop of the bus gives it frames, and asks it for at most one
frame to send each time it goes round, after everything else that is due. Each connection (a pair of
identifiers) has one request under way; those of different connections do not wait for each other, and on one
connection the poll that has been due for longest has its turn, so that one without answer delays the others
by its time-out and never more. A poll that needs a diagnostic session has it opened before, again where the
device may have left it since.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from openbms_core.pack_polls import Poll
from openbms_drivers.frame import EXTENDED, Frame
from openbms_drivers.polling.channel import Channel, Turn
from openbms_drivers.polling.connection import Connection
from openbms_drivers.polling.negative import NEGATIVE, OF_SESSION, PENDING, explain_negative
from openbms_drivers.polling.report import PollReport

__all__ = ["OTHER_TESTER_QUIET_S", "PATIENCE_S", "Poller"]

OTHER_TESTER_QUIET_S = 0.3
"""So long after a frame between the device and another tester nothing is asked: two requests at a time spoil
both answers."""
PATIENCE_S = 5.0
"""A tester that never rests does not keep a poll waiting for longer: then the first gap between two of its
answers is taken."""
_STALLED_S = 1.0
"""An answer to another tester that does not go on for this long has been given up."""
_SEND_AGAIN_S = 0.05
_SESSION_S = 4.0
"""A device leaves its session 5 s after the last request (ISO 14229-2, S3 server); a second is margin."""


class Poller:
    """Asks for the polls of a pack file.

    Parameters
    ----------
    polls : iterable of Poll
        What is asked for.
    identifiers : mapping of str to (int, bool)
        Of each poll's message in the DBC: identifier, and whether it has 29 bits.

    Attributes
    ----------
    keys : frozenset of int
        Frames with these keys (:attr:`openbms_drivers.frame.Frame.key`) belong here.
    answer_keys : frozenset of int
        Keys of the messages as which answers are decoded; no frame on the bus has them.
    """

    def __init__(self, polls: Iterable[Poll], identifiers: dict[str, tuple[int, bool]]) -> None:
        self._channels: list[Channel] = []
        channels: dict[tuple[object, ...], Channel] = {}
        self._of_response: dict[int, list[Channel]] = {}
        self._of_request: dict[int, list[Channel]] = {}
        self._turns: list[Turn] = []
        self._next = 0
        self._given: Channel | None = None
        for poll in polls:
            channel = channels.get(poll.connection)
            if channel is None:
                channel = channels[poll.connection] = Channel(Connection(poll))
                self._channels.append(channel)
                wide = 1 << 31 if poll.extended_identifiers else 0
                self._of_response.setdefault(poll.response_id | wide, []).append(channel)
                self._of_request.setdefault(poll.request_id | wide, []).append(channel)
            identifier, extended = identifiers[poll.message]
            turn = Turn(poll, identifier, EXTENDED if extended else 0, poll.request_bytes, poll.answer_bytes)
            channel.turns.append(turn)
            self._turns.append(turn)
        self.keys = frozenset(self._of_response) | frozenset(self._of_request)
        self.answer_keys = frozenset(turn.identifier | (turn.flags & EXTENDED) << 31 for turn in self._turns)

    # ---- life

    def start(self, now_s: float) -> None:
        """Begin: everything is due at once (monotonic time)."""
        self._forget()
        for turn in self._turns:
            turn.due_s = now_s

    def lost(self, now_s: float) -> None:
        """The bus was lost: what was under way is given up and asked again when it is back."""
        for channel in self._channels:
            if channel.active is not None:
                self._fail(channel, "the bus was lost", now_s)
        self._forget()

    def _forget(self) -> None:
        for channel in self._channels:
            channel.forget()

    # ---- what comes

    def take(self, frame: Frame) -> Frame | None:
        """Take a frame whose key is in :attr:`keys`.

        Returns
        -------
        Frame or None
            The whole answer, as a frame of the message that the DBC has for it, where this frame completed
            one: to our request, or to that of another tester.
        """
        answer: Frame | None = None
        for channel in self._of_request.get(frame.key, ()):
            if frame.data in channel.echoes:
                channel.echoes.remove(frame.data)
            else:
                channel.foreign_s = frame.monotonic_s
                channel.session = b""  # whose session it is now, nobody says
        for channel in self._of_response.get(frame.key, ()):
            answer = self._take_response(channel, frame) or answer
        return answer

    def _take_response(self, channel: Channel, frame: Frame) -> Frame | None:
        now_s = frame.monotonic_s
        self._expire(channel, now_s)
        taken = channel.connection.take(frame)
        active = channel.active
        if taken.to_request and active is not None:
            if taken.problem:
                self._fail(channel, taken.problem, now_s)
            else:
                channel.deadline_s = now_s + active.poll.timeout_s
                channel.replies += taken.replies
                channel.gap_s = taken.gap_s
            return None
        if taken.begun is not None:
            channel.ours = active is not None and taken.begun.startswith(channel.expected)
        if active is not None and channel.ours:
            if taken.problem and taken.begun is None:
                # whatever came in between, the rest of the answer is lost
                self._fail(channel, taken.problem, now_s)
            elif taken.answer is None:
                channel.deadline_s = now_s + active.poll.timeout_s
                channel.replies += taken.replies
                return None
        if taken.answer is not None:
            return self._answered(channel, taken.answer, frame)
        if not channel.ours:
            channel.foreign_s = now_s
        return None

    def _answered(self, channel: Channel, answer: bytes, frame: Frame) -> Frame | None:
        now_s, active = frame.monotonic_s, channel.active
        channel.ours = False
        if answer[0] == NEGATIVE:
            self._refused(channel, answer, now_s)
            return None
        if active is not None and answer.startswith(channel.expected):
            turn, opened = active, channel.opening
            channel.session_served = not opened
            if opened:
                channel.session = channel.asked
                turn.due_s = now_s  # now the poll itself
            channel.session_until_s = now_s + _SESSION_S
            channel.end(now_s + turn.poll.pause_s)
            if opened:
                return None
        else:
            channel.foreign_s = now_s
            found = [turn for turn in channel.turns if answer.startswith(turn.answer)]
            if not found:
                return None
            turn = max(found, key=lambda each: len(each.answer))
            turn.report.overheard += 1
            turn.due_s = max(turn.due_s, now_s + turn.poll.period_s)  # no need to ask the same again
        wanted = turn.poll.length_bytes
        if wanted is not None and len(answer) != wanted:
            turn.report.fail(
                f"the answer has {len(answer)} bytes, not {wanted}: the device is of another generation",
                now_s,
            )
            return None
        turn.report.answered_now(now_s)
        return Frame(turn.identifier, answer, turn.flags, frame.monotonic_s, frame.stamp_s)

    def _refused(self, channel: Channel, answer: bytes, now_s: float) -> None:
        """Take a negative response."""
        active = channel.active
        if active is None or len(answer) < 3 or answer[1] != channel.asked[0]:
            channel.foreign_s = now_s
        elif answer[2] == PENDING:
            active.report.pending += 1
            channel.deadline_s = now_s + active.poll.pending_timeout_s
        else:
            what = "the session was refused: " if channel.opening else ""
            channel.session_until_s = now_s + _SESSION_S
            if answer[2] in OF_SESSION:
                if channel.session and channel.session_served:
                    active.due_s = now_s  # it was left earlier than usual: open it again now
                channel.session = b""
            self._fail(channel, f"{what}negative response {explain_negative(answer[2])}", now_s)

    # ---- what goes

    def frame_due(self, now_s: float, *, may_ask: bool = True) -> Frame | None:
        """Give at most one frame to send now.

        Parameters
        ----------
        now_s : float
            Monotonic time [s].
        may_ask : bool
            A new request may be sent; else only what an answer that is under way waits for.
        """
        for channel in self._channels:
            self._expire(channel, now_s)
            if channel.replies and now_s >= channel.reply_s:
                channel.reply_s = now_s + channel.gap_s
                if channel.active is not None and not channel.ours:
                    channel.deadline_s = now_s + channel.active.poll.timeout_s
                return self._send(channel, channel.replies.popleft())
        if not may_ask:
            return None
        for step in range(len(self._channels)):
            number = (self._next + step) % len(self._channels)
            channel = self._channels[number]
            turn = channel.first_due()
            if channel.active is None and now_s >= self._may_ask_s(channel, turn):
                self._next = number + 1  # the next time another connection is looked at first
                return self._ask(channel, turn, now_s)
        return None

    def next_due_s(self, *, may_ask: bool = True) -> float:
        """Give when :meth:`frame_due` has something to do (monotonic time; infinite if nothing)."""
        due_s = math.inf
        for channel in self._channels:
            if channel.replies:
                due_s = min(due_s, channel.reply_s)
            if channel.active is not None:
                due_s = min(due_s, channel.deadline_s, channel.end_s)
            elif may_ask:
                due_s = min(due_s, self._may_ask_s(channel, channel.first_due()))
        return due_s

    @staticmethod
    def _may_ask_s(channel: Channel, turn: Turn) -> float:
        due_s = max(turn.due_s, channel.rest_until_s)
        if channel.foreign_s == -math.inf:
            return due_s
        if channel.connection.receiving:
            return max(due_s, channel.foreign_s + _STALLED_S)
        quiet_s = channel.foreign_s + OTHER_TESTER_QUIET_S
        return max(due_s, min(quiet_s, turn.due_s + PATIENCE_S))

    def _ask(self, channel: Channel, turn: Turn, now_s: float) -> Frame:
        poll = turn.poll
        session, asked, expected = poll.session_bytes, turn.request, turn.answer
        if session and (channel.session != session or now_s >= channel.session_until_s):
            asked, expected = session, bytes((session[0] | 0x40, *session[1:]))
        else:
            turn.report.asked += 1
        channel.begin(turn, asked, expected, now_s)
        # not by the time it was due: what comes late is not made up for
        turn.due_s = now_s + poll.period_s
        channel.gap_s, channel.reply_s = 0.0, -math.inf
        return self._send(channel, channel.connection.request(asked))

    def _send(self, channel: Channel, frame: Frame) -> Frame:
        channel.echoes.append(frame.data)
        self._given = channel
        return frame

    def not_sent(self, reason: str, now_s: float) -> None:
        """The frame that was given last could not be sent: its poll is given up for this time."""
        channel = self._given
        if channel is not None and channel.active is not None:
            self._fail(channel, f"it could not be sent: {reason}", now_s)
            channel.rest_until_s = max(channel.rest_until_s, now_s + _SEND_AGAIN_S)

    # ---- what does not come

    def _expire(self, channel: Channel, now_s: float) -> None:
        active = channel.active
        if active is None:
            if channel.connection.receiving and now_s - channel.foreign_s > _STALLED_S:
                channel.connection.reset()
        elif now_s >= channel.end_s:
            self._fail(channel, f"it was not complete after {active.poll.duration_max_s:g} s", now_s)
        elif now_s >= channel.deadline_s:
            what = "the answer broke off" if channel.ours else "no answer"
            channel.session = b""  # it may have started anew
            self._fail(channel, f"{what} within {active.poll.timeout_s:g} s", now_s)

    @staticmethod
    def _fail(channel: Channel, reason: str, now_s: float) -> None:
        active = channel.active
        assert active is not None
        active.report.fail(reason, now_s)
        channel.connection.reset()
        channel.end(now_s + active.poll.pause_s)

    # ---- what is said

    def reports(self) -> dict[str, PollReport]:
        """Give how each poll goes, by its name; any thread may ask."""
        return {turn.poll.name: turn.report for turn in self._turns}

    def judge(self, now_s: float) -> str:
        """Say which polls are not answered, and why, in one sentence; empty if all are.

        Any thread may ask.
        """
        late = []
        for turn in self._turns:
            text = turn.report.late(now_s, turn.poll.period_s + turn.poll.timeout_s)
            if text:
                late.append(
                    f"'{turn.poll.name}' ({turn.poll.request_id:#x} → {turn.poll.response_id:#x}): {text}"
                )
        if not late:
            return ""
        return (
            f"Polls without answer: {'; '.join(late)}. Is the device awake, of the generation that the pack "
            "file is for, and reached by these identifiers on this bus?"
        )
