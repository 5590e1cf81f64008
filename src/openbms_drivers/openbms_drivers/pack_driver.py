"""The driver of one pack without bus and without ROS: frames and commands in, scans and frames out.

Not thread-safe, but for the setters of :class:`~openbms_drivers.arbitration.Arbiter`: one loop
receives, decodes, closes scans and asks for the frames to send.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from openbms_core.pack import LoadedPack
from openbms_core.types import BusState, PackMeasurement
from openbms_drivers.bus_health import BusHealth
from openbms_drivers.command_encoder import CommandEncoder
from openbms_drivers.database import Database, frame_key
from openbms_drivers.frame import ERROR, REMOTE, Frame
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
    ) -> None:
        device = pack.file.device
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
        self.scan = ScanAssembler(pack.file, self.decoder, "stamp" if simulated else "monotonic")
        self.encoder = CommandEncoder(pack, self.database)
        self.health = BusHealth(bus_name, device.bitrate_bit_per_s, device.silent_after_s)
        self._sent_by_us = frozenset(frame_key(message) for message in self.encoder.messages)

    @property
    def uses_fd(self) -> bool:
        """Some message that is read or sent is CAN FD."""
        return any(message.is_fd for message in (*self.decoder.messages, *self.encoder.messages))

    def start(self, now_s: float) -> None:
        """Begin to scan (monotonic time)."""
        self.scan.start(now_s)

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
        return self.encoder.frames_due(now_s, stamp_s)

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
