"""A log onto a bus, at its own pace or faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from openbms_core.config_file import ConfigError
from openbms_drivers.bus import Bus, BusError
from openbms_drivers.frame import ERROR, FD, REMOTE, Frame

__all__ = ["Sent", "send_log"]

_QUEUE_FULL_S = 5.0


@dataclass
class Sent:
    """What went onto the bus."""

    frames: int = 0
    left_out: int = 0
    """Error frames and remote frames, which cannot be repeated."""
    log_s: float = 0.0
    """Duration of the log [s]."""
    took_s: float = 0.0
    """Duration of the sending [s]."""
    latest_s: float = 0.0
    """How much later than its time a frame was sent, at most [s]."""


def send_log(
    frames: Iterable[Frame],
    bus: Bus,
    speed: float | None,
    progress: Callable[[Sent], None] = lambda sent: None,
) -> Sent:
    """Send the frames of a log.

    Parameters
    ----------
    frames : iterable of Frame
    bus : Bus
        It is opened, and closed again.
    speed : float or None
        Seconds of the log in one second; None: as fast as the bus takes them.
    progress : callable
        Told every thousand frames.

    Raises
    ------
    ConfigError
        The bus cannot be used, or has no CAN FD and the log has; the sentence says what to do.
    """
    sent = Sent()
    try:
        bus.open()
        started_s = time.monotonic()
        first_s: float | None = None
        for frame in frames:
            if first_s is None:
                first_s = frame.monotonic_s
            sent.log_s = frame.monotonic_s - first_s
            if frame.flags & (ERROR | REMOTE):
                sent.left_out += 1
                continue
            if frame.flags & FD and bus.interface == "socketcand":
                raise ConfigError(
                    "the log has CAN FD frames, and socketcand carries none: use --interface socketcan or "
                    "virtual."
                )
            if speed is not None:
                due_s = started_s + sent.log_s / speed
                now_s = time.monotonic()
                if now_s < due_s:
                    time.sleep(due_s - now_s)
                sent.latest_s = max(sent.latest_s, time.monotonic() - due_s)
            _send(bus, frame)
            sent.frames += 1
            if not sent.frames % 1000:
                progress(sent)
        sent.took_s = time.monotonic() - started_s
    except BusError as error:
        raise ConfigError(str(error)) from error
    finally:
        bus.close()
    return sent


def _send(bus: Bus, frame: Frame) -> None:
    """Send one frame; a queue that is full is waited for: nothing of a log is left out."""
    give_up_s: float | None = None
    while True:
        try:
            bus.send(frame)
        except BusError as error:
            now_s = time.monotonic()
            give_up_s = now_s + _QUEUE_FULL_S if give_up_s is None else give_up_s
            if error.lost or now_s > give_up_s:
                raise
            time.sleep(0.001)
        else:
            return
