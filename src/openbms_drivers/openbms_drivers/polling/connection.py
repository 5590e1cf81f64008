"""One ISO-TP connection: frames to whole answers and back, by the library can-isotp.

The library's state machine is used without its threads and without its clock: frames are put in and taken
out, and what has waited too long is told by the caller (:mod:`openbms_drivers.polling.poller`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import openbms_core.light_can  # noqa: F401  # isotp imports python-can as well

# isort: split
import isotp

from openbms_core.pack_polls import Poll
from openbms_drivers.frame import EXTENDED, FD, Frame

__all__ = ["Connection", "Taken"]

_FIRST_FRAME, _FLOW_CONTROL = 1, 3
_NEVER_MS = 1_000_000_000
_LONGEST_ANSWER = 4095
_MOST_WAIT_FRAMES = 1000
"""The poll's ``duration_max_s`` ends a device that asks to wait for ever."""
_LONGEST_GAP = 0x7F
"""[ms] What a reserved separation time means (ISO 15765-2:2016, 9.6.5.4)."""

# it warns of each frame that it does not expect; those are counted, and said on /diagnostics
_LOGGER = "openbms.isotp"
logging.getLogger(_LOGGER).setLevel(logging.CRITICAL)


@dataclass
class Taken:
    """What one frame brought.

    Attributes
    ----------
    answer : bytes or None
        The answer that it completed.
    begun : bytes or None
        The first bytes of the answer that it began.
    replies : list of Frame
        What the device now waits for: flow control, or the next frames of a long request.
    gap_s : float
        Least time between two of them that the device asked for [s].
    to_request : bool
        It is flow control: the device says how a long request may go on, or to wait.
    problem : str
        What was wrong with it; empty if nothing.
    """

    answer: bytes | None = None
    begun: bytes | None = None
    replies: list[Frame] = field(default_factory=list)
    gap_s: float = 0.0
    to_request: bool = False
    problem: str = ""


class Connection:
    """A pair of identifiers over which requests go and answers come.

    Parameters
    ----------
    poll : Poll
        Gives identifiers, addressing, padding and flow control.
    """

    def __init__(self, poll: Poll) -> None:
        self._identifier, self._flags = poll.request_id, EXTENDED if poll.extended_identifiers else 0
        prefix = poll.prefixes[1]
        self._at = len(prefix)
        addressing, wide = isotp.AddressingMode, poll.extended_identifiers
        options: dict[str, Any] = {"txid": poll.request_id, "rxid": poll.response_id}
        if prefix:
            # mixed addressing is extended addressing with the same byte both ways
            options |= {"target_address": poll.prefixes[0][0], "source_address": prefix[0]}
            mode = addressing.Extended_29bits if wide else addressing.Extended_11bits
        else:
            mode = addressing.Normal_29bits if wide else addressing.Normal_11bits
        self._inbox: list[isotp.CanMessage] = []
        self._outbox: list[isotp.CanMessage] = []
        self._problems: list[str] = []
        self._layer = isotp.TransportLayerLogic(
            rxfn=self._next,
            txfn=self._outbox.append,
            address=isotp.Address(mode, **options),
            error_handler=lambda error: self._problems.append(_explained(error)),
            params={
                "stmin": round(1000.0 * poll.flow_control.separation_time_s),
                "blocksize": poll.flow_control.block_size,
                "tx_padding": poll.padding,
                "tx_data_length": 64 if poll.can_fd else 8,
                "can_fd": poll.can_fd,
                "max_frame_size": _LONGEST_ANSWER,
                "rx_consecutive_frame_timeout": _NEVER_MS,
                "rx_flowcontrol_timeout": _NEVER_MS,
                "wftmax": _MOST_WAIT_FRAMES,
                # frames of a long request come out at once; the poller keeps them apart
                "override_receiver_stmin": 0.0,
                "logger_name": _LOGGER,
                "wait_func": lambda seconds: None,
            },
        )

    def _next(self, timeout_s: float) -> isotp.CanMessage | None:
        return self._inbox.pop() if self._inbox else None

    @property
    def receiving(self) -> bool:
        """An answer has begun and is not complete."""
        return bool(self._layer.is_rx_active())

    def reset(self) -> None:
        """Forget what was under way."""
        self._layer.reset()
        self._inbox.clear()
        self._outbox.clear()
        self._problems.clear()

    def request(self, payload: bytes) -> Frame:
        """Give the frame that asks.

        Parameters
        ----------
        payload : bytes
            What is asked. Where it does not fit in one frame this is the first one; the others follow when
            the device gives leave (:meth:`take`).
        """
        self.reset()
        self._layer.send(payload)
        self._layer.process(0.0)
        return self._sent()[0]

    def take(self, frame: Frame) -> Taken:
        """Take one frame with the identifier of the answers.

        Parameters
        ----------
        frame : Frame
            A data frame; anything may be in it.
        """
        data = frame.data
        if len(data) <= self._at:
            return Taken(problem="an empty frame came")
        kind = data[self._at] >> 4
        if kind == _FLOW_CONTROL:
            if not self._layer.transmitting():
                return Taken()  # that to another tester's request
            data = self._with_known_gap(data)
        self._problems.clear()
        self._inbox.append(
            isotp.CanMessage(
                arbitration_id=frame.identifier,
                data=data,
                extended_id=bool(frame.flags & EXTENDED),
                is_fd=bool(frame.flags & FD),
            )
        )
        self._layer.process(0.0)
        taken = Taken(replies=self._sent(), problem="; ".join(self._problems))
        if kind == _FLOW_CONTROL:
            code = data[self._at + 2] if len(data) > self._at + 2 else 0
            taken.to_request = True
            taken.gap_s = code / 1000.0 if code <= _LONGEST_GAP else (code - 0xF0) / 10_000.0
        answer = self._layer.recv()
        if answer is not None:
            taken.answer = bytes(answer)
        elif kind == _FIRST_FRAME and self.receiving:
            taken.begun = bytes(self._layer.rx_buffer)
        return taken

    def _with_known_gap(self, data: bytes) -> bytes:
        """Put the longest time in the place of a reserved one, which the library refuses."""
        at = self._at + 2
        if len(data) <= at or data[at] <= _LONGEST_GAP or 0xF1 <= data[at] <= 0xF9:
            return data
        return data[:at] + bytes((_LONGEST_GAP,)) + data[at + 1 :]

    def _sent(self) -> list[Frame]:
        frames = [
            Frame(
                int(message.arbitration_id),
                bytes(message.data),
                self._flags | (FD if message.is_fd else 0),
            )
            for message in self._outbox
        ]
        self._outbox.clear()
        return frames


_PROBLEMS: dict[type[Exception], str] = {
    isotp.WrongSequenceNumberError: "a frame of the answer was lost",
    isotp.UnexpectedConsecutiveFrameError: "a frame came that belongs to no answer",
    isotp.ReceptionInterruptedWithSingleFrameError: "another answer came in between",
    isotp.ReceptionInterruptedWithFirstFrameError: "another answer came in between",
    isotp.FrameTooLongError: f"an answer of more than {_LONGEST_ANSWER} bytes was announced",
    isotp.InvalidCanDataError: "a frame came that is not ISO-TP",
    isotp.ChangingInvalidRXDLError: "frames of different lengths came",
    isotp.OverflowError: "the device has no room for a request of that length",
}


def _explained(error: Exception) -> str:
    return _PROBLEMS.get(type(error), str(error) or type(error).__name__)
