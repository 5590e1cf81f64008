"""The CAN bus through python-can: opening, receiving, sending, and saying what is wrong.

python-can raises many kinds of errors, and its socketcand client neither notices that the server is gone nor
limits its waits. Here every failure becomes one :class:`BusError` with a sentence that names the cure.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from openbms_core.light_can import can
from openbms_drivers.broadcast_manager import BroadcastManager
from openbms_drivers.bus_health import explain_failure
from openbms_drivers.frame import BIT_RATE_SWITCH, ERROR, EXTENDED, FD, REMOTE, Frame

__all__ = ["Bus", "BusError", "FrameClock"]

_CONNECT_TIMEOUT_S = 1.0
_SEND_TIMEOUT_S = 0.2
_QUEUE_TIMEOUT_S = 0.02
"""A transmit queue that is full stays full while nobody acknowledges."""
_PLAUSIBLE_DELAY_S = 0.5
_RECEIVE_BUFFER_BYTES = 4 << 20
_RECEIVE_BUFFER_FORCE = 33
"""SO_RCVBUFFORCE of linux/asm-generic/socket.h, which Python's socket module does not name."""
_EMPTY_READS_BEFORE_CHECK = 3
_LONGEST_WAIT_S = 0.01
"""An interface without a file descriptor cannot be woken: it is asked this often."""

# it warns at each frame that arrives in two pieces, and at each refused connection
logging.getLogger("can.interfaces.socketcand").setLevel(logging.CRITICAL)
logging.getLogger("can.socketcand").setLevel(logging.CRITICAL)


class BusError(Exception):
    """The bus cannot be used; the message says why and what to do.

    Attributes
    ----------
    lost : bool
        The bus is gone. Otherwise it is worth trying again: the queue is full.
    """

    def __init__(self, text: str, *, lost: bool = True) -> None:
        super().__init__(text)
        self.lost = lost


class Bus:
    """One CAN bus.

    Parameters
    ----------
    interface, channel : str
        As python-can names them.
    host, port : str, int
        Of a socketcand server.
    bit_rate : int
        For interfaces that set it, and for sentences [bit/s].
    fd : bool
        The DBC has CAN FD messages.
    """

    def __init__(
        self,
        interface: str,
        channel: str,
        host: str = "",
        port: int = 0,
        bit_rate: int = 500_000,
        *,
        fd: bool = False,
    ) -> None:
        self.interface, self.channel = interface, channel
        self._host, self._port = host, port
        self._bit_rate = bit_rate
        self._fd = fd
        self._bus: Any = None
        self._socket: socket.socket | None = None
        self._empty_reads = 0
        self._poll: select.poll | None = None
        self._manager: BroadcastManager | None = None
        self.kept_by = "the loop"
        """Who keeps the period of what :meth:`keep_sending` sends, for diagnostics."""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._wake)

    @property
    def is_open(self) -> bool:
        """The bus is open, as far as is known."""
        return self._bus is not None

    def _error(self, error: BaseException, *, lost: bool = True) -> BusError:
        where = (
            f"{self._host}:{self._port}, bus {self.channel}"
            if self.interface == "socketcand"
            else self.channel
        )
        text = explain_failure(error, self.interface, where, self._bit_rate, can.VALID_INTERFACES)
        return BusError(text, lost=lost)

    # ---- opening and closing

    def open(self) -> None:
        """Open the bus (BusError if it cannot be)."""
        self.close()
        options: dict[str, Any] = {}
        if self.interface == "socketcand":
            # without it Nagle's algorithm holds a command back for 40 ms
            options = {"host": self._host, "port": self._port, "tcp_tune": True}
        elif self.interface == "udp_multicast":
            options = {"hop_limit": 0}
        elif self.interface not in ("socketcan", "virtual"):
            options = {"bitrate": self._bit_rate}
        if self._fd and self.interface in ("socketcan", "udp_multicast"):
            options["fd"] = True
        try:
            if self.interface == "socketcand":
                self._knock()
            self._bus = can.Bus(interface=self.interface, channel=self.channel, **options)
        except Exception as error:
            self._bus = None
            raise self._error(error) from error
        self._empty_reads = 0
        self._socket = getattr(self._bus, "_SocketCanDaemonBus__socket", None)
        self._poll = self._poll_of(self._socket or self._bus)
        if self.interface == "socketcan":
            self._enlarge_buffer()
            self._open_manager()
        if self._socket is not None:
            with contextlib.suppress(
                OSError
            ):  # a server that hangs must not hang the loop that sends the heartbeat
                limit = struct.pack("ll", 0, int(_SEND_TIMEOUT_S * 1e6))
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _open_manager(self) -> None:
        try:
            self._manager = BroadcastManager(self.channel)
        except OSError as error:  # a kernel without the module can-bcm: the loop sends by itself
            self.kept_by = f"the loop (no broadcast manager in the kernel: {error.strerror or error})"
        else:
            self.kept_by = "the kernel's broadcast manager"

    def _enlarge_buffer(self) -> None:
        """Ask for a larger queue in the kernel: the usual one holds some hundred frames."""
        kernel: Any = getattr(self._bus, "socket", None)
        for option in (_RECEIVE_BUFFER_FORCE, socket.SO_RCVBUF):  # beyond rmem_max only with CAP_NET_ADMIN
            try:
                kernel.setsockopt(socket.SOL_SOCKET, option, _RECEIVE_BUFFER_BYTES)
            except (AttributeError, OSError):
                continue
            return

    def _poll_of(self, source: Any) -> select.poll | None:
        """Give what waits for a frame or to be woken; None where the interface has no file descriptor."""
        try:
            descriptor = int(source.fileno())
        except (AttributeError, NotImplementedError, OSError, ValueError):
            return None
        if descriptor < 0:
            return None
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        return poll

    def _knock(self) -> None:
        """See whether a socketcand server answers: python-can's client would spin for 10 s or wait for
        ever.
        """
        with socket.create_connection((self._host, self._port), timeout=_CONNECT_TIMEOUT_S) as knocking:
            if not knocking.recv(16).startswith(b"< hi"):
                raise OSError(errno.EPROTO, "what answers there is not a socketcand server")

    def close(self) -> None:
        """Close the bus."""
        bus, self._bus, self._socket, self._poll = self._bus, None, None, None
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.close()
        if bus is not None:
            with contextlib.suppress(Exception):
                bus.shutdown()

    # ---- frames

    def wake(self) -> None:
        """End the wait of :meth:`receive` now, or the next one; called by another thread."""
        os.eventfd_write(self._wake, 1)

    def receive(self, timeout_s: float) -> Any | None:
        """Wait for one frame; None if none came in time or it was woken (BusError if the bus is lost)."""
        if timeout_s > 0.0:
            if self._poll is None:
                timeout_s = min(timeout_s, _LONGEST_WAIT_S)
            else:
                ready = [descriptor for descriptor, _ in self._poll.poll(1000.0 * timeout_s)]
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                    ready.remove(self._wake)
                if not ready:
                    return None
                timeout_s = 0.0
        try:
            message = self._bus.recv(timeout_s)
        except Exception as error:
            self.close()
            raise self._error(error) from error
        if message is not None:
            self._empty_reads = 0
        elif self._socket is not None:
            # its client returns nothing, for ever and at once, when the server has closed the connection
            self._empty_reads += 1
            if self._empty_reads >= _EMPTY_READS_BEFORE_CHECK:
                self._empty_reads = 0
                if self._server_gone():
                    self.close()
                    raise self._error(
                        ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
                    )
        return message

    def _server_gone(self) -> bool:
        assert self._socket is not None
        try:
            readable, _, _ = select.select([self._socket], [], [], 0)
            return bool(readable) and not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            return True

    def send(self, frame: Frame, *, wait: bool = True) -> None:
        """Send one frame (BusError if it cannot be); the only method that another thread may call meanwhile.

        The bus stays open, also where it is lost: that it is closed is left to the thread that receives.

        Parameters
        ----------
        frame : Frame
            The frame.
        wait : bool
            Wait for room in a full transmit queue.
        """
        bus = self._bus
        if bus is None:
            raise BusError(f"The bus {self.channel} is not open.")
        message = _message(frame)
        try:
            bus.send(message, timeout=_QUEUE_TIMEOUT_S if wait and self.interface == "socketcan" else None)
        except Exception as error:
            full = isinstance(error, can.CanError) and getattr(error, "error_code", None) in (
                None,
                errno.ENOBUFS,
            )
            raise self._error(error, lost=self._socket is not None or not full) from error

    def keep_sending(self, frame: Frame, period_s: float) -> None:
        """Send one frame of a row whose period matters to the millisecond (BusError if it cannot be).

        On SocketCAN the kernel keeps the period and repeats the frame; it stops by itself where this is not
        called each period (:mod:`openbms_drivers.broadcast_manager`). Elsewhere this is :meth:`send`.

        Parameters
        ----------
        frame : Frame
            The frame.
        period_s : float
            Time between two of them [s].
        """
        manager = self._manager
        if manager is None:
            self.send(frame)
            return
        try:
            manager.wind_up(_message(frame), period_s)
        except OSError as error:
            raise self._error(error, lost=error.errno not in (errno.ENOBUFS, errno.EAGAIN)) from error


def _message(frame: Frame) -> can.Message:
    """Give a frame as python-can wants it."""
    return can.Message(
        arbitration_id=frame.identifier,
        data=frame.data,
        is_extended_id=bool(frame.flags & EXTENDED),
        is_fd=bool(frame.flags & FD),
        bitrate_switch=bool(frame.flags & BIT_RATE_SWITCH),
    )


class FrameClock:
    """Converts python-can messages, each dated by both clocks, never before the one that came before it.

    Parameters
    ----------
    monotonic_s, stamp_s : callables
        The clocks [s].
    wall_s : callable or None
        System clock [s]: where a message carries a time of reception shortly before it (the kernel's, or the
        server's), the frame is dated back to that: by more than half a second only as far as frames may have
        waited, since otherwise a clock was set. None: not.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        stamp_s: Callable[[], float],
        wall_s: Callable[[], float] | None,
    ) -> None:
        self._monotonic_s, self._stamp_s, self._wall_s = monotonic_s, stamp_s, wall_s
        self._last_monotonic_s = self._last_stamp_s = -math.inf
        self._empty_s: float | None = None

    def nothing_waits(self) -> None:
        """Say that everything has been read: what is read next has come since."""
        self._empty_s = self._monotonic_s()

    def frame(self, message: Any) -> Frame:
        """Convert one message that has just been received."""
        monotonic_s, stamp_s = self._monotonic_s(), self._stamp_s()
        if self._wall_s is not None:
            delay_s = self._wall_s() - message.timestamp
            waited_s = 0.0 if self._empty_s is None else monotonic_s - self._empty_s
            if 0.0 < delay_s < _PLAUSIBLE_DELAY_S + waited_s:
                monotonic_s -= delay_s
                stamp_s -= delay_s
        # the clocks are read one after the other, so frames of one batch would go back by microseconds
        monotonic_s = self._last_monotonic_s = max(monotonic_s, self._last_monotonic_s)
        if 0.0 < self._last_stamp_s - stamp_s < _PLAUSIBLE_DELAY_S:
            stamp_s = self._last_stamp_s
        self._last_stamp_s = stamp_s
        flags = (
            (EXTENDED if message.is_extended_id else 0)
            | (FD if message.is_fd else 0)
            | (BIT_RATE_SWITCH if message.bitrate_switch else 0)
            | (REMOTE if message.is_remote_frame else 0)
            | (ERROR if message.is_error_frame else 0)
        )
        return Frame(message.arbitration_id, bytes(message.data), flags, monotonic_s, stamp_s)
