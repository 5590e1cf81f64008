"""The driver of one pack without bus and without ROS: frames and commands in, scans and frames out.

Not thread-safe, but for the setters of :class:`~openbms_drivers.arbitration.Arbiter`: one loop
receives, decodes, closes scans and asks for the frames to send.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from openbms_core.pack import LoadedPack
from openbms_core.types import BusState, PackMeasurement
from openbms_drivers.bus_health import BusHealth
from openbms_drivers.command_encoder import CommandEncoder
from openbms_drivers.database import Database, frame_key
from openbms_drivers.frame import ERROR, REMOTE, Frame
from openbms_drivers.gateway_inputs import GatewayInputs
from openbms_drivers.polling.polled import Polled
from openbms_drivers.scan import ScanAssembler
from openbms_drivers.signal_decoder import SignalDecoder

__all__ = ["PackDriver"]

_DEVICES = Path(__file__).parent / "devices"


class PackDriver:
    """Everything between the bus and the topics.

    Parameters
    ----------
    pack : LoadedPack
        The pack.
    bus_name : str
        ``interface:channel``, for sentences about the bus.
    simulated : bool
        The bus is the twin's and time may run faster: charge is integrated over the stamps.
    database : Database, optional
        Its DBC, where it is loaded already.
    listen_only : bool
        Nothing is ever sent: neither commands nor polls. What others ask for is taken all the same.

    Raises
    ------
    ConfigError
        The pack file asks for a device, DBC, message or signal that does not exist.
    """

    def __init__(
        self,
        pack: LoadedPack,
        bus_name: str = "bus",
        *,
        simulated: bool = False,
        database: Database | None = None,
        listen_only: bool = False,
    ) -> None:
        device = pack.file.device
        self.listen_only = listen_only
        self.pack = pack
        self.database = database or Database(pack)
        known = sorted(
            folder.name for folder in _DEVICES.iterdir() if folder.is_dir() and folder.name[0].isalpha()
        )
        if device.type != "generic" and device.type not in known:
            raise self.database.error(
                ("device", "type"),
                f"device.type: there is no device '{device.type}'. Use 'generic', or one of: "
                f"{', '.join(known)}.",
            )
        self.decoder = SignalDecoder(pack, self.database)
        self.gateway_inputs = GatewayInputs(pack.file, self.decoder.table)
        self.scan = ScanAssembler(pack.file, self.decoder, "stamp" if simulated else "monotonic")
        self.encoder = CommandEncoder(pack, self.database)
        self.health = BusHealth(bus_name, device.bitrate_bit_per_s, device.silent_after_s)
        self.polled = Polled(self.decoder) if device.polls else None
        self._sent_by_us = frozenset(frame_key(message) for message in self.encoder.messages)

    @property
    def uses_fd(self) -> bool:
        """Some message that is read or sent is CAN FD."""
        if any(poll.can_fd for poll in self.pack.file.device.polls):
            return True
        answers = {poll.message for poll in self.pack.file.device.polls}
        return any(
            message.is_fd and message.name not in answers
            for message in (*self.decoder.messages, *self.encoder.messages)
        )

    def start(self, now_s: float) -> None:
        """Begin to scan (monotonic time)."""
        self.scan.start(now_s)
        if self.polled is not None:
            self.polled.poller.start(now_s)

    def receive(self, frame: Frame, now_s: Callable[[], float] | None = None) -> PackMeasurement | None:
        """Take one frame; gives a scan if it closed one.

        Parameters
        ----------
        frame : Frame
            The frame, dated by its reception.
        now_s : callable, optional
            The monotonic clock: a scan is closed by it, so that what lay in a queue has its true age. None:
            now is when the frame was received.
        """
        flags = frame.flags
        if flags & (ERROR | REMOTE):
            if flags & ERROR:
                self.health.error_frame(frame.identifier, frame.monotonic_s)
            return None
        if self.polled is not None and frame.key in self.polled.keys:
            answer = self.polled.take(frame)
            if answer is None:
                self.health.other_frame(frame.monotonic_s)
                return None
            frame = answer
        plan = self.decoder.plan(frame.key)
        if plan is None:
            self.health.foreign_frame(frame.identifier, frame.monotonic_s)
            return None
        if not plan.mapped:
            if (
                frame.key in self._sent_by_us
            ):  # some interfaces hear themselves: that says nothing about the device
                return None
            self.health.other_frame(frame.monotonic_s)
            return self._close(frame, now_s) if self.scan.note(plan, frame, rejected=False) else None
        self.health.pack_frame(frame.monotonic_s)
        if self.polled is not None:
            self.polled.heard(plan, frame.monotonic_s)
        rejected = not self.decoder.decode(plan, frame)
        return self._close(frame, now_s) if self.scan.note(plan, frame, rejected=rejected) else None

    def _close(self, frame: Frame, now_s: Callable[[], float] | None) -> PackMeasurement:
        received_s = frame.monotonic_s
        closed_s = received_s if now_s is None else max(now_s(), received_s)
        return self.scan.close(closed_s, frame.stamp_s, *self.health.judge(received_s))

    def tick(self, now_s: float, stamp_s: float) -> PackMeasurement | None:
        """Give a scan if one is due by time."""
        if now_s < self.scan.deadline_s:
            return None
        return self.scan.close(now_s, stamp_s, *self.health.judge(now_s))

    def frames_due(self, now_s: float, stamp_s: float = 0.0) -> list[Frame]:
        """Give the frames that are to be sent now."""
        return [] if self.listen_only else self.encoder.frames_due(now_s, stamp_s)

    def poll_due(self, now_s: float, *, keeps_up: bool = True) -> Frame | None:
        """Give the frame of a poll that is to be sent now: at most one, after everything else that is due.

        Parameters
        ----------
        now_s : float
            Monotonic time [s].
        keeps_up : bool
            All frames that came have been read: only then something new is asked.
        """
        if self.polled is None or self.listen_only:
            return None
        return self.polled.frame_due(now_s, keeps_up=keeps_up)

    def next_send_s(self, now_s: float) -> float:
        """Give when a poll has something to send or to give up (monotonic time; infinite if never)."""
        if self.polled is None or self.listen_only:
            return math.inf
        return self.polled.next_due_s(now_s)

    def poll_not_sent(self, reason: str, now_s: float) -> None:
        """The frame that :meth:`poll_due` gave last could not be sent."""
        if self.polled is not None:
            self.polled.poller.not_sent(reason, now_s)

    def poll_reports(self, now_s: float) -> tuple[dict[str, str], str]:
        """Give how each poll goes, for diagnostics, and a sentence about those without answer.

        Any thread may ask.
        """
        if self.polled is None:
            return {}, ""
        reports = self.polled.poller.reports()
        said = {f"poll_{name}": str(report) for name, report in reports.items()}
        return said, "" if self.listen_only else self.polled.poller.judge(now_s)

    def bus_lost(self, now_s: float) -> None:
        """The bus was lost: commands are sent anew when it is back, and polls asked anew."""
        self.encoder.resend()
        if self.polled is not None:
            self.polled.poller.lost(now_s)

    def contactors_open(self, now_s: float) -> bool:
        """Tell whether the driver may stop: nothing is closed, as far as can be known.

        Either the monitor says so by a fresh state, or there is none and the frames that open everything have
        been sent.
        """
        if self.pack.file.contactors.moved_by == "none":
            return True
        state = self.encoder.arbiter.fresh_state(now_s)
        sent_open = self.encoder.opened_since_s is not None
        if state is None:
            return sent_open
        resting = state.state.name in ("INIT", "STANDBY", "FAULT")
        return resting and sent_open and not state.contactors_closed and not self._feedback_closed(now_s)

    def _feedback_closed(self, now_s: float) -> bool:
        table = self.decoder.table
        lost = self.health.judge(now_s)[0] != BusState.OK
        snapshot = table.snapshot(now_s, bus_lost=lost)
        return any(
            (snapshot.values[table.slots(f"contactor_{name}")] == 1.0).any()
            for name in ("positive", "negative", "precharge")
        )
