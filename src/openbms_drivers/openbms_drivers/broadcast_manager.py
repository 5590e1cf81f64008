"""SocketCAN's broadcast manager as a metronome that stops by itself.

A device that counts the milliseconds between two requests needs a sender that is never late, and a device
that holds contactors closed needs one that dies with whoever decides. The kernel is the first, the driver's
loop the second: the kernel repeats a frame, but only so often (``count`` without a second interval), and the
loop winds it up anew each time the frame is due. A loop that hangs is followed by four or five more frames
(kernels differ in whether they count the last one), a process that ends by none: its socket goes with it.

Source: net/can/bcm.c and Documentation/networking/can.rst of Linux. ``send_periodic`` of python-can cannot
wind up a task without starting its period anew, so its parts are used.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
from typing import Any

import openbms_core.light_can  # noqa: F401  # before any other import of python-can

# isort: split
from can.interfaces.socketcan import constants
from can.interfaces.socketcan.socketcan import build_bcm_header, build_can_frame, create_bcm_socket

__all__ = ["FRAMES_LEFT", "BroadcastManager"]

FRAMES_LEFT = 5
"""So many frames the kernel still sends at most when nobody winds it up any more; a loop may be late by three
periods without a gap."""
_EXPIRED = 9
"""TX_EXPIRED of linux/can/bcm.h, which python-can does not name."""
_HEAD = struct.Struct("@IIIllllII")
_EXTENDED_BIT = 0x80000000


class BroadcastManager:
    """Frames that the kernel repeats for a short time.

    Parameters
    ----------
    channel : str
        CAN interface, such as ``can0``.

    Raises
    ------
    OSError
        The kernel has no broadcast manager (module ``can-bcm``), or not for this interface.
    """

    def __init__(self, channel: str) -> None:
        self._socket: socket.socket = create_bcm_socket(channel)
        self._socket.setblocking(False)
        self._sent: dict[int, bytes] = {}

    def close(self) -> None:
        """Close the socket: the kernel stops at once."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def wind_up(self, message: Any, period_s: float) -> None:
        """Let the kernel repeat a frame :data:`FRAMES_LEFT` times more.

        Its period goes on as it runs; a frame whose content changed, or that had stopped, is sent at once.

        Parameters
        ----------
        message : can.Message
            What is repeated from now on, in the place of what was under this identifier.
        period_s : float
            Time between two of them [s].

        Raises
        ------
        OSError
            The kernel refuses it.
        """
        self._take_events()
        identifier = message.arbitration_id | (_EXTENDED_BIT if message.is_extended_id else 0)
        data = bytes(message.data)
        flags, count = constants.SETTIMER | constants.TX_COUNTEVT, FRAMES_LEFT
        last = self._sent.get(identifier)
        if last is None:
            flags, count = flags | constants.STARTTIMER, count + 1
        elif last != data:
            flags, count = flags | constants.TX_ANNOUNCE, count + 1
        if message.is_fd:
            flags |= constants.CAN_FD_FRAME
        fraction, seconds = math.modf(period_s)
        head = build_bcm_header(
            constants.CAN_BCM_TX_SETUP, flags, count, int(seconds), round(1e6 * fraction), 0, 0, identifier, 1
        )
        self._socket.send(head + build_can_frame(message))
        self._sent[identifier] = data

    def _take_events(self) -> None:
        """See which frames have stopped: the loop had stood for too long."""
        while True:
            try:
                event = self._socket.recv(4096)
            except BlockingIOError:
                return
            if len(event) >= _HEAD.size:
                opcode, *_, identifier, _ = _HEAD.unpack_from(event)
                if opcode == _EXPIRED:
                    self._sent.pop(identifier, None)
