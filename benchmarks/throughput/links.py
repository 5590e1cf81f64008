"""Senders of the throughput benchmark: raw bytes onto each transport, at a rate, from another process."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import can

from openbms_drivers.bus import Bus
from openbms_drivers.frame import BIT_RATE_SWITCH, FD, Frame
from throughput.receiver import Receiver
from throughput.traffic import Traffic

__all__ = ["Run", "kernel_can", "over_kernel_can", "over_socketcand", "over_unix", "over_virtual"]

_CAN = struct.Struct("=IB3x8s")
_CANFD = struct.Struct("=IBBBB64s")
_STEP_S = 0.001
_RECEIVER = Path(__file__).parent / "receiver.py"


@dataclass
class Run:
    """What a run gave; times in seconds."""

    sent: int
    of_pack: int
    took_s: float
    received: int
    rejected: int
    cpu_s: float
    scans: int
    oldest_s: float

    @property
    def lost(self) -> int:
        """Frames of the pack that were sent and not decoded."""
        return self.of_pack - self.received + self.rejected

    @property
    def core(self) -> float:
        """Part of one core that the driver's bus thread took."""
        return self.cpu_s / self.took_s

    @property
    def us_per_frame(self) -> float:
        """CPU time of the driver per frame on the bus [us]."""
        return 1e6 * self.cpu_s / self.sent


def _wire(frame: Frame) -> bytes:
    if frame.flags & FD:
        flags = 1 if frame.flags & BIT_RATE_SWITCH else 0
        return _CANFD.pack(frame.identifier, len(frame.data), flags, 0, 0, frame.data)
    return _CAN.pack(frame.identifier, len(frame.data), frame.data)


def _pace(count: int, rate_hz: float, seconds: float, send: Callable[[int, int], None]) -> tuple[int, float]:
    """Call ``send(first, end)`` so that the rate is kept; gives frames and time."""
    began_s, sent = time.monotonic(), 0
    while (at_s := time.monotonic() - began_s) < seconds:
        due = int(at_s * rate_hz)
        while sent < due:
            first = sent % count
            end = min(first + due - sent, count)
            send(first, end)
            sent += end - first
        time.sleep(_STEP_S)
    return sent, time.monotonic() - began_s


def _of_pack(traffic: Traffic, sent: int) -> int:
    """How many of the first ``sent`` frames are of the pack."""
    if traffic.of_pack == len(traffic.frames):
        return sent
    own = [not 0x400 <= frame.identifier < 0x440 for frame in traffic.frames]
    return sent // len(own) * sum(own) + sum(own[: sent % len(own)])


@contextlib.contextmanager
def _process(traffic: Traffic, link: str, where: str, keep: int | None = None) -> Iterator[Any]:
    command = [sys.executable, str(_RECEIVER), traffic.pack, link, where, "fd" if traffic.fd else "classic"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        pass_fds=() if keep is None else (keep,),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the receiving process did not start")
        try:
            yield process
        finally:
            process.kill()


def _figures(process: Any, traffic: Traffic, sent: int, took_s: float) -> Run:
    expected = _of_pack(traffic, sent)
    out, _ = process.communicate(str(expected), timeout=60)
    return Run(sent, expected, took_s, **json.loads(out.strip().splitlines()[-1]))


def _sockets(traffic: Traffic, rate_hz: float, seconds: float, end: socket.socket, process: Any) -> Run:
    wires = [_wire(frame) for frame in traffic.frames]

    def send(first: int, last: int) -> None:
        for wire in wires[first:last]:
            end.send(wire)

    sent, took_s = _pace(len(wires), rate_hz, seconds, send)
    return _figures(process, traffic, sent, took_s)


def over_unix(traffic: Traffic, rate_hz: float, seconds: float) -> Run:
    """python-can's socketcan code over a Unix socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, _process(traffic, "unix", str(theirs.fileno()), theirs.fileno()) as process:
        return _sockets(traffic, rate_hz, seconds, ours, process)


def kernel_can(channel: str) -> str:
    """Say why a CAN interface of the kernel cannot be used; empty where it can."""
    try:
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as test:
            test.bind((channel,))
    except OSError as error:
        return f"{error.strerror}"
    return ""


def over_kernel_can(channel: str) -> Callable[[Traffic, float, float], Run]:
    """SocketCAN (vcan)."""

    def run(traffic: Traffic, rate_hz: float, seconds: float) -> Run:
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as ours:
            ours.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
            ours.bind((channel,))
            with _process(traffic, "kernel", channel) as process:
                return _sockets(traffic, rate_hz, seconds, ours, process)

    return run


def over_socketcand(traffic: Traffic, rate_hz: float, seconds: float) -> Run:
    """The demonstration's hub in a third process, TCP on 127.0.0.1."""
    hub = subprocess.Popen(
        [sys.executable, "-m", "openbms_sim.can_hub", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert hub.stdout is not None
        port = int(hub.stdout.readline().rpartition(":")[2])
        elements = [
            b"< send %03X %X %b >" % (f.identifier, len(f.data), f.data.hex(" ").encode())
            for f in traffic.frames
        ]
        with (
            _process(traffic, "socketcand", str(port)) as process,
            socket.create_connection(("127.0.0.1", port)) as ours,
        ):
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ask in (b"", b"< open can0 >", b"< rawmode >"):
                ours.sendall(ask)
                ours.recv(64)

            def send(first: int, last: int) -> None:
                ours.sendall(b"".join(elements[first:last]))

            sent, took_s = _pace(len(elements), rate_hz, seconds, send)
            return _figures(process, traffic, sent, took_s)
    finally:
        hub.terminate()
        hub.wait()


def over_virtual(traffic: Traffic, rate_hz: float, seconds: float) -> Run:
    """python-can's virtual bus: the driver's thread beside the sender's, in one process."""
    receiver = Receiver(traffic.pack, Bus("virtual", f"bench {time.monotonic()}", fd=traffic.fd))
    channel = receiver.loop._bus.channel
    messages = [
        can.Message(
            arbitration_id=frame.identifier, data=frame.data, is_extended_id=False,
            is_fd=bool(frame.flags & FD), bitrate_switch=bool(frame.flags & BIT_RATE_SWITCH),
        )
        for frame in traffic.frames
    ]  # fmt: skip
    with can.Bus(interface="virtual", channel=channel, preserve_timestamps=False) as ours:

        def send(first: int, last: int) -> None:
            for message in messages[first:last]:
                ours.send(message)

        sent, took_s = _pace(len(messages), rate_hz, seconds, send)
        figures = receiver.finish(_of_pack(traffic, sent))
    return Run(sent, _of_pack(traffic, sent), took_s, **figures)
