"""What is wrong with the bus, in one sentence with its cure."""

from __future__ import annotations

import difflib
import errno
import math
from collections.abc import Iterable

from openbms_core.types import BusState

__all__ = ["BusHealth", "explain_failure"]

_RECENT_ERRORS_S = 2.0
_SHOWN_IDENTIFIERS = 5

# Classes of SocketCAN's error frames (linux/can/error.h), bits of the identifier
_NO_ACKNOWLEDGE = 0x20
_BUS_OFF = 0x40
_RESTARTED = 0x100


class BusHealth:
    """Follows what happens on the bus and says its state.

    Parameters
    ----------
    name : str
        ``interface:channel``, for the sentences.
    bit_rate : int
        What the pack file says [bit/s].
    silent_after_s : float
        Without a frame of the pack for this long the bus counts as silent [s].
    """

    def __init__(self, name: str, bit_rate: int, silent_after_s: float) -> None:
        self.name = name
        self._bit_rate = bit_rate
        self._silent_after_s = silent_after_s
        self._open_since: float | None = None
        self._reason = f"The bus {name} is being opened."
        self._pack_frame_s = -math.inf
        self._foreign_frame_s = -math.inf
        self._other_frame_s = -math.inf
        self._foreign: dict[int, None] = {}
        self._error_s = -math.inf
        self._error_class = 0
        self._bus_off = False
        self._send_failure: tuple[float, str] = (-math.inf, "")

    def opened(self, now_s: float) -> None:
        """The bus was opened."""
        self._open_since = now_s
        self._bus_off = False
        self._error_s = self._pack_frame_s = self._foreign_frame_s = self._other_frame_s = -math.inf
        self._foreign.clear()
        self._send_failure = (-math.inf, "")

    def lost(self, reason: str) -> None:
        """The bus could not be opened, or was lost."""
        self._open_since = None
        self._reason = reason

    def pack_frame(self, now_s: float) -> None:
        """A frame came that the pack file maps."""
        self._pack_frame_s = now_s
        self._bus_off = False

    def other_frame(self, now_s: float) -> None:
        """A frame came that the DBC has, but the pack file does not map."""
        self._other_frame_s = now_s

    def foreign_frame(self, identifier: int, now_s: float) -> None:
        """A frame came that the DBC does not have."""
        self._foreign_frame_s = now_s
        if len(self._foreign) < _SHOWN_IDENTIFIERS:
            self._foreign[identifier] = None

    def error_frame(self, error_class: int, now_s: float) -> None:
        """An error frame came; its class as SocketCAN writes it into the identifier (0 where it is not
        known).
        """
        self._error_s = now_s
        self._error_class = error_class
        if error_class & _BUS_OFF:
            self._bus_off = True
        elif error_class & _RESTARTED:
            self._bus_off = False

    def send_failed(self, reason: str, now_s: float) -> None:
        """A frame could not be sent."""
        self._send_failure = (now_s, reason)

    def silent_for_s(self, now_s: float) -> float:
        """Time since the bus was opened or brought anything at all; 0 while it is not open."""
        if self._open_since is None:
            return 0.0
        heard = (
            self._open_since,
            self._pack_frame_s,
            self._foreign_frame_s,
            self._other_frame_s,
            self._error_s,
        )
        return now_s - max(heard)

    def judge(self, now_s: float) -> tuple[BusState, str]:
        """Give the state of the bus and a sentence with the cure (empty while it is OK).

        Any thread may ask: what the bus thread may change meanwhile is read once.
        """
        open_since = self._open_since
        if open_since is None:
            return BusState.CONNECTING, self._reason
        if self._bus_off:
            return BusState.OFF, (
                f"The controller of {self.name} went bus-off: short circuit, missing termination or wrong "
                "bit rate "
                f"(the pack file says {self._bit_rate} bit/s). Check the wiring; let it come back by "
                "itself with "
                "'ip link set <channel> type can restart-ms 100'."
            )
        if now_s - self._pack_frame_s <= self._silent_after_s:
            return BusState.OK, ""
        if now_s - self._error_s <= _RECENT_ERRORS_S:
            if self._error_class & _NO_ACKNOWLEDGE:
                return BusState.ERROR, (
                    f"Nobody acknowledges on {self.name}: the device is off, not connected, or has another "
                    "bit rate than "
                    f"{self._bit_rate} bit/s. Check its supply, the wiring and the termination (60 ohm)."
                )
            return BusState.ERROR, (
                f"Error frames and no frame of the pack on {self.name}: wrong bit rate (the pack file says "
                f"{self._bit_rate} "
                "bit/s; see 'ip -details link show'), or missing termination."
            )
        since, reason = self._send_failure
        if now_s - since <= _RECENT_ERRORS_S:
            return BusState.ERROR, reason
        if now_s - self._foreign_frame_s <= self._silent_after_s:
            shown = ", ".join(f"0x{identifier:X}" for identifier in tuple(self._foreign))
            return BusState.UNKNOWN_FRAMES, (
                f"Frames arrive on {self.name}, but the DBC of the pack has none of them ({shown}). Wrong "
                "pack file, or wrong "
                "bus of the vehicle."
            )
        if now_s - open_since <= self._silent_after_s:
            return BusState.CONNECTING, f"{self.name} is open; waiting for the first frame of the pack."
        if now_s - self._other_frame_s <= self._silent_after_s:
            return BusState.SILENT, (
                f"Frames of the DBC arrive on {self.name}, but none that the pack file maps. Is the "
                "battery awake?"
            )
        return BusState.SILENT, (
            f"{self.name} is open, but no frame of the pack for {self._silent_after_s:g} s. Is the device "
            "switched on and "
            f"connected to this bus, at {self._bit_rate} bit/s?"
        )


def explain_failure(
    error: BaseException, interface: str, channel: str, bit_rate: int, interfaces: Iterable[str] = ()
) -> str:
    """Say in one sentence why the bus cannot be used and what to do about it.

    Parameters
    ----------
    error : BaseException
        What python-can raised.
    interface, channel : str
        What was asked for.
    bit_rate : int
        What the pack file says [bit/s].
    interfaces : iterable of str
        Interfaces that python-can knows.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    known = sorted(interfaces)
    if known and interface not in known:
        near = difflib.get_close_matches(interface, known, n=1, cutoff=0.5)
        cure = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}."
        return f"can_interface '{interface}' does not exist. {cure}"
    code = _error_code(error)
    up = f"sudo ip link set {channel} up type can bitrate {bit_rate} restart-ms 100"
    if isinstance(error, ModuleNotFoundError) or "No module named" in text or "not installed" in text:
        return (
            f"can_interface '{interface}' needs a Python package that is not installed ({text}). Install "
            "it into .venv."
        )
    if code in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
        return (
            f"This kernel has no CAN sockets, so can_interface '{interface}' cannot work here (sudo "
            "modprobe can can_raw). "
            "Without CAN hardware use can_interface:=socketcand with the hub."
        )
    if code in (errno.EPERM, errno.EACCES):
        return (
            f"No permission for {interface}:{channel} ({text}). Add the user to the group that owns it "
            "(dialout, can)."
        )
    if interface == "socketcand":
        return (
            f"No socketcand server answers at {channel} ({text}). Start the hub (ros2 run openbms_sim "
            "can_hub, or the system "
            "with the twin), or give can_host and can_port of the one that runs."
        )
    if code == errno.ENETDOWN:
        return f"The CAN interface {channel} is down. Bring it up: {up}"
    if code in (errno.ENODEV, errno.ENXIO):
        return (
            f"There is no CAN interface '{channel}' ('ip link' lists those that exist). Plug it in, or "
            f"bring it up: {up}"
        )
    if code == errno.ENOBUFS:
        return (
            f"The transmit queue of {channel} is full: nobody acknowledges. The device is off, not "
            "connected, or has another "
            f"bit rate than {bit_rate} bit/s."
        )
    if code == errno.ENOENT or "could not open port" in text.lower():
        return f"{interface}: there is no device '{channel}' ({text}). Plug it in, or correct can_channel."
    return f"{interface}:{channel} cannot be used: {text}. Check can_interface, can_channel and the wiring."


def _error_code(error: BaseException | None) -> int | None:
    while error is not None:
        for name in ("error_code", "errno"):
            code = getattr(error, name, None)
            if isinstance(code, int):
                return code
        error = error.__cause__ or error.__context__
    return None
