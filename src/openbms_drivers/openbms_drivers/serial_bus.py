"""A serial port in the place of a CAN bus: what is sent are questions, what is received are their answers.

The port is opened, lost and opened anew as a bus is; the device's folder says how its frames look
(:mod:`openbms_drivers.serial_exchange`).
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import serial

from openbms_core.config_file import ConfigError
from openbms_core.light_can import can
from openbms_core.pack import LoadedPack
from openbms_drivers.bus import Bus, BusError
from openbms_drivers.frame import Frame
from openbms_drivers.serial_exchange import Exchange, SerialProtocol

__all__ = ["SERIAL", "SerialBus", "make_bus", "protocol_of"]

SERIAL = "serial"
"""The ``can_interface`` that means a serial port; ``can_channel`` is its path."""
_READ = 512
_WRITE_TIMEOUT_S = 0.2
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


def protocol_of(pack: LoadedPack) -> SerialProtocol:
    """Give how the pack's device speaks on a serial line.

    Parameters
    ----------
    pack : LoadedPack
        ``device.type`` names the folder; its ``device.py`` holds ``serial_protocol(pack)``.

    Raises
    ------
    ConfigError
        The device has no serial protocol.
    """
    kind = pack.file.device.type
    try:
        module = importlib.import_module(f"openbms_drivers.devices.{kind}.device")
        build: Callable[[LoadedPack], SerialProtocol] = module.serial_protocol
    except (ImportError, AttributeError):
        raise ConfigError(
            f"{pack.path}: device.type '{kind}' has no serial protocol, so can_interface '{SERIAL}' cannot "
            "read it. Use the CAN interface that it is connected to, or the device folder of a smart BMS "
            "(jbd_uart, daly_uart)."
        ) from None
    return build(pack)


def make_bus(
    pack: LoadedPack, interface: str, channel: str, host: str = "", port: int = 0, *, fd: bool = False
) -> Bus:
    """Give the bus of a pack: a serial port where ``interface`` is ``serial``, else one of python-can."""
    bit_rate = pack.file.device.bitrate_bit_per_s
    if interface == SERIAL:
        return SerialBus(channel, protocol_of(pack), bit_rate)
    return Bus(interface, channel, host, port, bit_rate, fd=fd)


class SerialBus(Bus):
    """One serial port with one device.

    Parameters
    ----------
    path : str
        Of the port, such as ``/dev/ttyUSB0``; better a name below ``/dev/serial/by-id``, which stays with the
        adapter.
    protocol : SerialProtocol
        How the device speaks.
    bit_rate : int
        [bit/s]; 8 data bits, no parity, 1 stop bit.
    monotonic_s, wall_s : callables, optional
        Clocks [s].
    """

    def __init__(
        self,
        path: str,
        protocol: SerialProtocol,
        bit_rate: int = 9600,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(SERIAL, path, bit_rate=bit_rate)
        self.exchange = Exchange(protocol)
        self._monotonic_s, self._wall_s = monotonic_s, wall_s
        self._port: Any = None
        self._frames: deque[can.Message] = deque()

    @property
    def is_open(self) -> bool:
        """The port is open, as far as is known."""
        return self._port is not None

    def open(self) -> None:
        """Open the port for this process alone (BusError if it cannot be)."""
        self.close()
        try:
            self._port = serial.Serial(
                self.channel, self._bit_rate, timeout=0, write_timeout=_WRITE_TIMEOUT_S, exclusive=True
            )
            self._port.reset_input_buffer()
        except (OSError, ValueError) as error:
            self.close()
            raise BusError(_explain(error, self.channel)) from error
        self.exchange.reset()
        self._poll = select.poll()
        self._poll.register(self._port.fileno(), select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def close(self) -> None:
        """Close the port."""
        port, self._port, self._poll = self._port, None, None
        self._frames.clear()
        if port is not None:
            with contextlib.suppress(Exception):
                port.close()

    def send(self, frame: Frame, *, wait: bool = True) -> None:
        """Put a question into the queue; it goes out when the line is free."""
        if self._port is None:
            raise BusError(f"The port {self.channel} is not open.")
        self.exchange.ask(frame.identifier, frame.data)
        self.wake()

    def receive(self, timeout_s: float) -> Any | None:
        """Wait for one answer, and ask meanwhile what is to be asked (BusError if the port is lost)."""
        deadline_s = self._monotonic_s() + timeout_s
        while not self._frames:
            now_s = self._monotonic_s()
            try:
                self._keep(self.exchange.look(now_s))
                question = self.exchange.to_send(now_s)
                if question:
                    self._port.write(question)
                woken = self._wait(max(min(deadline_s, self.exchange.next_s()) - now_s, 0.0))
            except (OSError, TypeError, AttributeError) as error:
                # TypeError, AttributeError: another thread closed the port under its reader
                self.close()
                raise BusError(_explain(error, self.channel)) from error
            if self._frames or woken or self._monotonic_s() >= deadline_s:
                break
        if self.exchange.two_answer(self._monotonic_s()):
            self.close()
            raise BusError(
                f"Two devices answer on {self.channel}: their values cannot be told apart, so none is taken. "
                "Give each BMS a port (or, where it has one, an address) of its own."
            )
        return self._frames.popleft() if self._frames else None

    def _wait(self, wait_s: float) -> bool:
        """Wait for bytes, and take them; tells whether another thread ended the wait."""
        assert self._poll is not None
        ready = dict(self._poll.poll(1000.0 * wait_s))
        woken = ready.pop(self._wake, 0) != 0
        if woken:
            os.eventfd_read(self._wake)
        for event in ready.values():
            data = self._port.read(_READ) if event & select.POLLIN else b""
            if data:
                self._keep(self.exchange.take(data, self._monotonic_s()))
            elif event & _GONE:
                raise OSError(errno.ENODEV, "the port is gone")
        return woken

    def _keep(self, frames: list[Any]) -> None:
        stamp_s = self._wall_s()
        for identifier, data, extended in frames:
            self._frames.append(
                can.Message(arbitration_id=identifier, data=data, is_extended_id=extended, timestamp=stamp_s)
            )


def _explain(error: BaseException, path: str) -> str:
    """Say in one sentence why a port cannot be used and what to do about it."""
    text = " ".join(str(error).split())
    code = getattr(error, "errno", None)
    lowered = text.lower()
    if code in (errno.EACCES, errno.EPERM):
        return f"No permission for {path}. Add the user to the group that owns it (often dialout)."
    if code in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in lowered:
        return f"{path} is in use by another program. End it, or correct can_channel."
    if code == errno.ENOENT and "could not open" in lowered:
        return (
            f"There is no serial port {path}. Plug the adapter in, or correct can_channel "
            "(ls /dev/serial/by-id)."
        )
    if code == errno.ENOTTY or "not a terminal" in lowered or "inappropriate ioctl" in lowered:
        return f"{path} is not a serial port. Correct can_channel (ls /dev/serial/by-id)."
    if isinstance(error, serial.SerialTimeoutException):
        return f"{path} takes no bytes: the adapter hangs. Unplug it and plug it in again."
    if isinstance(error, ValueError):
        return f"{path} cannot be opened: {text}. Correct device.bitrate_bit_per_s."
    return f"{path} was lost ({text or type(error).__name__}). Is the adapter still plugged in?"
